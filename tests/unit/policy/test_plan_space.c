/*
 * The decision over its whole space: rule settings of each recipient, the sender's choice, states
 * of certificates, who is named in the header, groups, kinds of mail, with and without a listener
 * for copies. What must hold of every row is written here from the facts alone: nothing of policy/
 * is called but the decision itself. The number of rows is printed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "policy/outbound.h"

/* Sanitizers make it ten times as slow: they see every so many row. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { STRIDE = 17, PAIR_STRIDE = 23 * 11, TRIPLE_STRIDE = 7 };
#else
enum { STRIDE = 1, PAIR_STRIDE = 23, TRIPLE_STRIDE = 1 };
#endif

enum { ROW_RECIPIENTS = 3 };

struct row {
    struct conf conf;
    struct conf_rule rules[ROW_RECIPIENTS];
    struct policy_recipient people[ROW_RECIPIENTS];
    struct policy_outbound_facts facts;
    size_t order[ROW_RECIPIENTS];
    struct policy_outbound_needs needs;
    struct policy_outbound_decision out;
    unsigned long rows, left, copies, returned, refused, deferred;
};

static char *const nobody[] = { NULL };
static char *const archive[] = { (char *)"archive@our.example", NULL };
static const char *const addresses[] = { "a@one.example", "b@two.example", "c@three.example" };

/* ---- what the facts say of one recipient, in words of the documentation ------------------------
 */

struct word {
    bool off, sealed, never, possible, must, signs, lost, unknown, forbidden, ignores;
};

static void
row_read(const struct row *row, size_t i, struct word *out)
{
    const struct policy_recipient *person = &row->people[i];
    const struct conf_rule *rule = person->rule;
    const struct policy_choice *choice = &row->facts.choice;
    bool may = rule->sender_may_change && !choice->unclear, always = false, signs = false;

    memset(out, 0, sizeof *out);
    out->off = !rule->smime;
    out->sealed =
        row->facts.already_encrypted || (row->facts.pgp_encrypted && rule->pgp_is_encrypted);
    if (rule->encrypt == CONF_ENCRYPT_ALWAYS)
        always = true;
    else if (rule->encrypt != CONF_ENCRYPT_NEVER && may && choice->encrypt)
        always = true;
    else if (rule->encrypt == CONF_ENCRYPT_DEFAULT_ON && !(may && choice->plain))
        always = true;
    out->possible = rule->encrypt == CONF_ENCRYPT_IF_POSSIBLE && !always && !(may && choice->plain);
    out->never = !always && !out->possible;
    out->must = always && !out->sealed && !out->off;
    out->possible = out->possible && !out->sealed && !out->off;
    if (rule->sign == CONF_SIGN_ALWAYS)
        signs = true;
    else if (rule->sign == CONF_SIGN_DEFAULT_ON)
        signs = !may || !choice->plain || choice->sign;
    else if (rule->sign == CONF_SIGN_DEFAULT_OFF)
        signs = may && choice->sign;
    out->signs = signs && !out->off && !out->sealed && !row->facts.already_signed;
    out->unknown = person->certificate == POLICY_UNKNOWN || person->escrow == POLICY_UNKNOWN;
    out->lost = !out->unknown && (person->certificate == POLICY_NO || person->escrow == POLICY_NO);
    out->ignores = rule->forbidden_choice == CONF_FORBIDDEN_IGNORE;
    out->forbidden = (choice->encrypt && (out->off || !always)) ||
                     (choice->sign && (out->off || !signs)) ||
                     (choice->plain && !out->off && !out->never);
}

/* ---- what must hold ----------------------------------------------------------------------------
 */

#define HOLDS(what) row_holds(row, what, #what)

static void
row_holds(const struct row *row, bool holds, const char *what)
{
    const struct policy_plan *plan = &row->out.plan;

    if (holds)
        return;
    print_message("%s\n listener %s, choice %s%s%s%s, signed %d encrypted %d pgp %d, signing %d\n",
                  what, row->conf.global.resubmit_server[0] ? "yes" : "no",
                  row->facts.choice.sign ? "s" : "", row->facts.choice.encrypt ? "e" : "",
                  row->facts.choice.plain ? "p" : "", row->facts.choice.unclear ? "?" : "",
                  row->facts.already_signed, row->facts.already_encrypted, row->facts.pgp_encrypted,
                  row->facts.signing);
    for (size_t i = 0; i < row->facts.count; i++)
        print_message(" %zu: smime %d sign %d encrypt %d may %d ignore %d lost %d unsigned %d pgp "
                      "%d certificate %d escrow %d header %d members %zu expanded %d\n",
                      i, row->rules[i].smime, row->rules[i].sign, row->rules[i].encrypt,
                      row->rules[i].sender_may_change, row->rules[i].forbidden_choice,
                      row->rules[i].no_certificate, row->rules[i].no_signing_certificate,
                      row->rules[i].pgp_is_encrypted, row->people[i].certificate,
                      row->people[i].escrow, row->people[i].in_header, row->people[i].members,
                      row->people[i].expanded);
    for (size_t i = 0; i < plan->copy_count; i++)
        print_message(" copy sign %d encrypt %d hidden %d count %zu\n", plan->copies[i].sign,
                      plan->copies[i].encrypt, plan->copies[i].hidden, plan->copies[i].count);
    print_message(" returned %zu; %s: %s\n", plan->returned_count, row->out.reason, row->out.text);
    fail_msg("%s", what);
}

/* Where is he? The copy's number, or -1 when he is returned. He is there exactly once. */
static int
row_find(struct row *row, size_t index)
{
    const struct policy_plan *plan = &row->out.plan;
    int found = -2;

    for (size_t c = 0; c < plan->copy_count; c++) {
        for (size_t k = 0; k < plan->copies[c].count; k++) {
            if (plan->order[plan->copies[c].first + k] != index)
                continue;
            HOLDS(found == -2);
            found = (int)c;
        }
    }
    for (size_t k = 0; k < plan->returned_count; k++) {
        if (plan->order[plan->returned_first + k] != index)
            continue;
        HOLDS(found == -2);
        found = -1;
    }
    HOLDS(found != -2);
    return found;
}

static void
check_person(struct row *row, size_t i, bool listener)
{
    const struct policy_recipient *person = &row->people[i];
    const struct policy_copy *copy;
    int where = row_find(row, i);
    struct word word;

    row_read(row, i, &word);
    /* A group that was to be replaced and is not leaves only by what the sender encrypted. */
    HOLDS(person->expanded == POLICY_YES || word.sealed);
    if (where < 0) {
        HOLDS(word.must && person->certificate == POLICY_NO);
        HOLDS(person->rule->no_certificate == CONF_NO_CERTIFICATE_RETURN);
        return;
    }
    copy = &row->out.plan.copies[where];
    /* Nobody gets plaintext whose rule, with the choice, says encrypted. */
    if (word.must && !copy->encrypt) {
        HOLDS(person->certificate == POLICY_NO && !row->facts.choice.encrypt);
        HOLDS(person->rule->no_certificate == CONF_NO_CERTIFICATE_PLAIN ||
              (person->rule->no_certificate == CONF_NO_CERTIFICATE_SIGN &&
               (copy->sign || row->facts.already_signed)));
    }
    /* Nobody who chose encryption is sent plain, unless the rule says that it may be ignored. */
    if (row->facts.choice.encrypt && !word.sealed && !copy->encrypt)
        HOLDS(word.ignores && !word.must);
    /* Could not ask never ends in a plain copy. */
    if ((word.must || word.possible) && word.unknown)
        HOLDS(!listener && !word.must && !row->needs.certificates);
    if (copy->encrypt) {
        HOLDS(!word.off && !word.never && !word.lost && !word.unknown);
        HOLDS(!listener || word.must || word.possible);
    } else if (word.possible && listener) {
        HOLDS(word.lost);
    }
    if (copy->sign) {
        HOLDS(!word.off && !row->facts.already_signed);
        HOLDS(!listener || word.signs || (word.must && word.lost));
    } else if (word.signs) {
        HOLDS(row->facts.signing == POLICY_NO);
        HOLDS(person->rule->no_signing_certificate == CONF_NO_SIGNING_UNSIGNED);
    }
}

/* The people whose certificates a copy names are its recipients and the members of its groups. */
static void
check_copy(struct row *row, const struct policy_copy *copy, bool listener)
{
    const struct policy_recipient *first = &row->people[row->out.plan.order[copy->first]];
    bool hides = false;

    HOLDS(copy->count > 0 && copy->first + copy->count <= row->facts.count);
    HOLDS((copy->sign_rule != NULL) == copy->sign);
    HOLDS((copy->encrypt_rule != NULL) == copy->encrypt);
    HOLDS(!copy->opaque || copy->sign);
    for (size_t k = 0; k < copy->count; k++) {
        const struct policy_recipient *person = &row->people[row->out.plan.order[copy->first + k]];

        hides |= !person->in_header;
        if (listener && copy->encrypt)
            HOLDS(person->rule->encrypt_also == first->rule->encrypt_also);
        if (listener && copy->sign)
            HOLDS(person->rule->digest == copy->algorithms.digest);
        if (copy->sign && row->facts.signing != POLICY_YES)
            HOLDS(copy->domain_signature);
    }
    HOLDS(copy->hidden == (copy->encrypt && hides));
    if (copy->hidden)
        HOLDS(copy->count == 1 && first->members <= 1);
    if (copy->sign) {
        HOLDS(row->facts.signing != POLICY_UNKNOWN);
        HOLDS(copy->domain_signature == (row->facts.signing == POLICY_NO));
        HOLDS(!copy->domain_signature ||
              copy->sign_rule->no_signing_certificate == CONF_NO_SIGNING_DOMAIN);
        HOLDS(copy->opaque ==
              (row->facts.only_opaque || copy->sign_rule->sign_format == CONF_SIGN_OPAQUE));
    }
}

static void
check_leaves(struct row *row, bool listener)
{
    const struct policy_plan *plan = &row->out.plan;
    size_t most = 0, total = 0;
    bool shown = false, protects = false;

    HOLDS(plan->copy_count >= 1 && plan->copy_count <= ROW_RECIPIENTS);
    HOLDS(listener || (plan->copy_count == 1 && plan->returned_count == 0));
    for (size_t c = 0; c < plan->copy_count; c++) {
        const struct policy_copy *copy = &plan->copies[c];

        check_copy(row, copy, listener);
        total += copy->count;
        shown |= !copy->hidden;
        protects |= copy->sign || copy->encrypt;
        if (!copy->hidden && copy->count > most)
            most = copy->count;
    }
    HOLDS(total + plan->returned_count == row->facts.count);
    HOLDS(!shown || (!plan->copies[0].hidden && plan->copies[0].count == most));
    HOLDS((row->out.action == POLICY_PROTECT) == (protects || plan->returned_count > 0));
    for (size_t i = 0; i < row->facts.count; i++)
        check_person(row, i, listener);
}

/* With a listener, nothing is refused or deferred that could leave. */
static void
check_stays(struct row *row)
{
    bool unknown = false, lost = false, returned = true, unsigned_ = false, group = false;
    bool forbidden = row->facts.choice.unclear && row->rules[0].forbidden_choice == 0;

    for (size_t i = 0; i < row->facts.count; i++) {
        const struct policy_recipient *person = &row->people[i];
        const struct conf_rule *rule = person->rule;
        struct word word;
        bool less, gone, signs;

        row_read(row, i, &word);
        less = rule->no_certificate == CONF_NO_CERTIFICATE_SIGN ||
               rule->no_certificate == CONF_NO_CERTIFICATE_PLAIN;
        gone = word.must && person->certificate == POLICY_NO && !word.unknown &&
               rule->no_certificate == CONF_NO_CERTIFICATE_RETURN;
        returned = returned && gone;
        unknown |= person->expanded == POLICY_UNKNOWN && !word.sealed;
        group |= person->expanded == POLICY_NO && !word.sealed;
        signs = word.signs || (word.must && word.lost && person->certificate == POLICY_NO &&
                               rule->no_certificate == CONF_NO_CERTIFICATE_SIGN &&
                               !row->facts.choice.encrypt && !row->facts.already_signed);
        unknown |= (word.must || word.possible) && word.unknown;
        lost |= word.must && word.lost && !gone &&
                (person->certificate != POLICY_NO || !less || row->facts.choice.encrypt);
        group |=
            (word.must || word.possible) && !word.lost && !person->in_header && person->members > 1;
        forbidden |= word.forbidden && !word.ignores && !word.sealed;
        /* Who is returned needs no signature; who is a group that cannot be replaced is not. */
        if (!signs || (gone && (person->expanded == POLICY_YES || word.sealed)))
            continue;
        unknown |= row->facts.signing == POLICY_UNKNOWN;
        if (row->facts.signing != POLICY_NO)
            continue;
        unknown |= rule->no_signing_certificate == CONF_NO_SIGNING_DOMAIN &&
                   person->domain_signing == POLICY_UNKNOWN;
        unsigned_ |= rule->no_signing_certificate == CONF_NO_SIGNING_REFUSE ||
                     (rule->no_signing_certificate == CONF_NO_SIGNING_DOMAIN &&
                      person->domain_signing == POLICY_NO) ||
                     (rule->no_signing_certificate == CONF_NO_SIGNING_UNSIGNED && !word.signs) ||
                     (word.must && word.lost && !row->facts.choice.encrypt &&
                      rule->no_certificate == CONF_NO_CERTIFICATE_SIGN);
    }
    if (row->out.action == POLICY_DEFER)
        HOLDS(unknown);
    else
        HOLDS(forbidden || (!unknown && (lost || returned || unsigned_ || group)));
}

static void
check_row(struct row *row)
{
    const struct policy_outbound_decision *out = &row->out;
    bool listener = row->conf.global.resubmit_server[0] != '\0';
    bool leaves;

    memset(row->order, 0xff, sizeof row->order);
    policy_outbound_needs(&row->facts, &row->needs);
    policy_outbound_decide(&row->facts, row->order, &row->out);
    leaves = out->action == POLICY_PASS || out->action == POLICY_PROTECT;
    row->rows++;
    row->left += leaves;
    row->copies += out->plan.copy_count > 1;
    row->returned += out->plan.returned_count > 0;
    row->refused += out->action == POLICY_REFUSE;
    row->deferred += out->action == POLICY_DEFER;
    HOLDS(out->rule != NULL && out->reason != NULL);
    HOLDS(out->code == (leaves ? 0 : out->action == POLICY_DEFER ? 451 : 550));
    if (leaves) {
        check_leaves(row, listener);
        return;
    }
    HOLDS(out->plan.copy_count == 0 && out->plan.returned_count == 0);
    HOLDS(strlen(out->text) > 20);
    if (listener) {
        HOLDS(strcmp(out->reason, "copies-needed") != 0 ||
              strstr(out->text, "to each other") != NULL);
        check_stays(row);
    }
}

/* ---- the space ---------------------------------------------------------------------------------
 */

static void
row_init(struct row *row, size_t count)
{
    memset(row, 0, sizeof *row);
    row->conf.global.max_copies = 50;
    for (size_t i = 0; i < count; i++) {
        row->rules[i] = (struct conf_rule){
            .name = (char *)"rule",
            .smime = true,
            .sender_may_change = true,
            .sign_as = (char *)"office@our.example",
            .encrypt_also = (conf_list)nobody,
            .cipher = 1,
        };
        row->people[i] = (struct policy_recipient){ .address = addresses[i],
                                                    .rule = &row->rules[i],
                                                    .in_header = true,
                                                    .reason = "no-certificate",
                                                    .text = "there is none",
                                                    .group_reason = "group-empty",
                                                    .group_text = "nobody is in it" };
    }
    row->facts = (struct policy_outbound_facts){ .conf = &row->conf,
                                                 .recipients = row->people,
                                                 .count = count,
                                                 .from = "me@our.example",
                                                 .envelope_sender = "me@our.example",
                                                 .signing_reason = "no-certificate" };
}

static unsigned
take(unsigned *n, unsigned values)
{
    unsigned value = *n % values;

    *n /= values;
    return value;
}

static void
row_set_listener(struct row *row, unsigned n)
{
    row->conf.global.resubmit_server = (char *)(n ? "unix:/run/copies" : "");
}

enum { KINDS = 6, CHOICES = 6, SIGNINGS = 5 };

/* Plain, signed, encrypted, PGP, only opaque, from the null sender. */
static void
row_set_kind(struct row *row, unsigned n)
{
    row->facts.already_signed = n == 1;
    row->facts.already_encrypted = n == 2;
    row->facts.pgp_encrypted = n == 3 || n == KINDS;
    row->facts.only_opaque = n == 4;
    row->facts.envelope_sender = n == 5 ? "" : "me@our.example";
    row->facts.from = n == 5 ? NULL : "me@our.example";
}

/* Nothing, sign, encrypt, plain, sign and encrypt, what cannot be told. */
static void
row_set_choice(struct row *row, unsigned n)
{
    row->facts.choice = (struct policy_choice){ .sign = n == 1 || n == 4,
                                                .encrypt = n == 2 || n == 4 || n == 5,
                                                .plain = n == 3 || n == 5,
                                                .unclear = n == 5 };
}

static void
row_set_signing(struct row *row, unsigned n)
{
    row->facts.signing = n == 0 ? POLICY_YES : n == 1 ? POLICY_UNKNOWN : POLICY_NO;
    for (size_t i = 0; i < row->facts.count; i++)
        row->people[i].domain_signing = (enum policy_known)(n < 2 ? 2 : n - 2);
}

static void
row_report(const struct row *row, const char *space)
{
    print_message("%s: %lu rows: %lu leave, %lu of them in several copies, %lu with somebody "
                  "returned; %lu refused, %lu deferred\n",
                  space, row->rows, row->left, row->copies, row->returned, row->refused,
                  row->deferred);
    assert_true(row->left > 0 && row->refused > 0 && row->deferred > 0);
}

static void
one_recipient_every_setting(void **state)
{
    struct row row;
    struct conf_rule *rule = &row.rules[0];

    (void)state;
    row_init(&row, 1);
    for (unsigned n = 0; n < 4 * 5 * 2 * 2 * 4 * 3 * 2; n++) {
        unsigned k = n;

        rule->sign = (int)take(&k, 4);
        rule->encrypt = (int)take(&k, 5);
        rule->sender_may_change = take(&k, 2);
        rule->forbidden_choice = (int)take(&k, 2);
        rule->no_certificate = (int)take(&k, 4);
        rule->no_signing_certificate = (int)take(&k, 3);
        rule->smime = take(&k, 2);
        for (unsigned m = n % STRIDE; m < 3 * 3 * 2 * CHOICES * (KINDS + 1) * SIGNINGS * 2;
             m += STRIDE) {
            k = m;
            row.people[0].certificate = (enum policy_known)take(&k, 3);
            row.people[0].escrow = (enum policy_known)take(&k, 3);
            row.people[0].in_header = take(&k, 2);
            row.people[0].members = n % 3 * 2 / 2;
            row.people[0].expanded = n % 7 == 3   ? POLICY_NO
                                     : n % 7 == 5 ? POLICY_UNKNOWN
                                                  : POLICY_YES;
            row_set_choice(&row, take(&k, CHOICES));
            rule->pgp_is_encrypted = k % (KINDS + 1) == KINDS;
            row_set_kind(&row, take(&k, KINDS + 1));
            row_set_signing(&row, take(&k, SIGNINGS));
            row_set_listener(&row, take(&k, 2));
            check_row(&row);
        }
    }
    row_report(&row, "one recipient");
}

/* One state of a recipient of several. Settings that the others make no difference to are left to
 * the space of one recipient. */
static void
row_set_person(struct row *row, size_t i, unsigned n)
{
    struct conf_rule *rule = &row->rules[i];
    struct policy_recipient *person = &row->people[i];
    static const unsigned char encrypts[] = { CONF_ENCRYPT_NEVER,       CONF_ENCRYPT_IF_POSSIBLE,
                                              CONF_ENCRYPT_DEFAULT_OFF, CONF_ENCRYPT_DEFAULT_ON,
                                              CONF_ENCRYPT_ALWAYS,      CONF_ENCRYPT_ALWAYS,
                                              CONF_ENCRYPT_ALWAYS,      CONF_ENCRYPT_ALWAYS };
    unsigned what;

    person->certificate = (enum policy_known)take(&n, 3);
    person->in_header = take(&n, 2);
    rule->sign = take(&n, 2) ? CONF_SIGN_ALWAYS : CONF_SIGN_NEVER;
    what = take(&n, 9);
    rule->smime = what != 8;
    rule->encrypt = what == 8 ? CONF_ENCRYPT_ALWAYS : encrypts[what];
    rule->no_certificate = what >= 4 && what < 8 ? (int)what - 4 : (int)(what % 4);
    person->members = n == 1 ? 3 : 0;
    person->expanded = n == 6 ? POLICY_NO : n == 7 ? POLICY_UNKNOWN : POLICY_YES;
    rule->encrypt_also = (conf_list)(n == 2 ? archive : nobody);
    rule->digest = n == 3;
    person->escrow = n == 4 ? POLICY_NO : POLICY_YES;
    rule->no_signing_certificate = n == 5   ? CONF_NO_SIGNING_UNSIGNED
                                   : n == 1 ? CONF_NO_SIGNING_DOMAIN
                                            : CONF_NO_SIGNING_REFUSE;
    rule->pgp_is_encrypted = n == 5;
    rule->forbidden_choice = n == 2 ? CONF_FORBIDDEN_IGNORE : CONF_FORBIDDEN_REFUSE;
}

enum { PERSON_PLAIN = 3 * 2 * 2 * 9, PERSON_STATES = PERSON_PLAIN * 8 };

static void
two_recipients_every_pair(void **state)
{
    struct row row;

    (void)state;
    row_init(&row, 2);
    for (unsigned a = 0; a < PERSON_STATES; a++) {
        row_set_person(&row, 0, a);
        for (unsigned b = 0; b < PERSON_STATES; b++) {
            row_set_person(&row, 1, b);
            /* Some of these for each pair, others for the next pair. */
            for (unsigned m = (a + b) % PAIR_STRIDE; m < CHOICES * KINDS * SIGNINGS * 2;
                 m += PAIR_STRIDE) {
                unsigned k = m;

                row_set_listener(&row, take(&k, 2));
                row_set_choice(&row, take(&k, CHOICES));
                row_set_kind(&row, take(&k, KINDS));
                row_set_signing(&row, take(&k, SIGNINGS));
                check_row(&row);
            }
        }
    }
    row_report(&row, "two recipients");
    assert_true(row.copies > 0 && row.returned > 0);
}

static void
three_recipients_every_triple(void **state)
{
    struct row row;

    (void)state;
    row_init(&row, 3);
    for (unsigned a = 0; a < PERSON_PLAIN; a++) {
        row_set_person(&row, 0, a);
        for (unsigned b = 0; b < PERSON_PLAIN; b++) {
            row_set_person(&row, 1, b + PERSON_PLAIN * (a % 8));
            for (unsigned c = (a + b) % TRIPLE_STRIDE; c < PERSON_PLAIN; c += TRIPLE_STRIDE) {
                unsigned k = a + 5 * b + 7 * c;

                row_set_person(&row, 2, c + PERSON_PLAIN * (b % 3));
                row_set_listener(&row, (a ^ b ^ c) & 3);
                row_set_choice(&row, k % 11 < CHOICES ? k % 11 : 0);
                row_set_kind(&row, k % 13 < KINDS ? k % 13 : 0);
                row_set_signing(&row, k % 17 < SIGNINGS ? k % 17 : 0);
                check_row(&row);
            }
        }
    }
    row_report(&row, "three recipients");
    assert_true(row.copies > 0 && row.returned > 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_recipient_every_setting),
        cmocka_unit_test(two_recipients_every_pair),
        cmocka_unit_test(three_recipients_every_triple),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
