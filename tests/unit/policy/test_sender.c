#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "policy/sender.h"

/* "me" has a primary address and two others; "boss" and "alias of boss" are other people's. */
#define ME "me@our.example"
#define ALIAS "alias@our.example"
#define BOSS "boss@our.example"
#define STRANGER "stranger@else.example"
#define NOWHERE "nobody@our.example"
#define UMLAUT "m\xc3\xbcller@our.example"

static const char *const his_addresses[] = { ME, ALIAS, "third@our.example", NULL };

/* The one text that a host without a login hears about persons. */
static const char anonymous[] =
    "the sender is not accepted without a login: From and envelope sender have to be the same "
    "primary address of one of our users; correct them, or log in";

/* What is not said is the good case: a login, one From, the same envelope. */
struct row {
    const char *from, *envelope;
    const char *sender, *resent; /* fields; NULL: not there */
    const char *shows;           /* in the display name of From */
    const char *identity;        /* "ok", "refuse", "defer" */
    const char *reason;
    const char *text; /* NULL: none, or looked at elsewhere */
    int secondary, hosts, null_sender, automatic_is, display;
    bool host, says_automatic, no_directory, nobody, down, no_primary, delegated, owner_alias,
        owner_down, unreadable;
};

struct question {
    struct conf_global conf;
    struct policy_sender_facts facts;
    const char *shown[2];
};

static void
ask(const struct row *row, struct question *out)
{
    struct policy_sender_facts *facts = &out->facts;
    const char *places[POLICY_SENDER_FIELDS] = { row->from, row->sender, row->resent, NULL };

    *out = (struct question){ .conf = { .fold_local_part = true,
                                        .secondary_address = row->secondary,
                                        .identity_trusted_hosts = row->hosts,
                                        .identity_null_sender = row->null_sender,
                                        .identity_automatic = row->automatic_is,
                                        .identity_display_name = row->display },
                              .shown = { row->shows } };
    *facts = (struct policy_sender_facts){
        .conf = &out->conf,
        .envelope_sender = row->envelope,
        .login = row->host ? NULL : "me",
        .automatic = row->says_automatic,
        .directory = !row->no_directory,
        .person = row->down                          ? POLICY_UNKNOWN
                  : row->nobody || row->no_directory ? POLICY_NO
                                                     : POLICY_YES,
        .send_as = row->owner_down  ? POLICY_UNKNOWN
                   : row->delegated ? POLICY_YES
                                    : POLICY_NO,
        .owner_primary = row->owner_alias ? POLICY_NO : POLICY_YES,
        .shown = out->shown,
        .unreadable = row->unreadable,
    };
    for (size_t i = 0; i < POLICY_SENDER_FIELDS; i++) {
        if (places[i] != NULL)
            facts->field[i] = (struct policy_sender_field){ 1, 1, false, places[i] };
    }
    if (facts->person != POLICY_YES)
        return;
    facts->addresses = his_addresses;
    facts->primary = row->no_primary ? NULL : ME;
}

#define HOST .host = true
#define DEFAULTS .from = ME, .envelope = ME

static const struct row rows[] = {
    /* his own */
    { ME, ME, .identity = "ok", .reason = "ok" },
    { "ME@OUR.example", ME, .identity = "ok", .reason = "ok" },
    { ME, "", .identity = "ok", .reason = "ok" },
    { ME, ME, .sender = ME, .identity = "ok", .reason = "ok" },
    { ME, ME, .resent = ME, .identity = "ok", .reason = "ok" },
    { ME, ME, .shows = ME, .identity = "ok", .reason = "ok" },
    { ME, ME, .shows = ALIAS, .identity = "ok", .reason = "ok" },
    { ME, ME, HOST, .identity = "ok", .reason = "ok" },
    { ME, ME, HOST, .says_automatic = true, .identity = "ok", .reason = "ok" },
    { ME, "", HOST, .identity = "ok", .reason = "ok" },
    /* another's */
    { BOSS, ME, .identity = "refuse", .reason = "not-your-address",
      .text = BOSS " is not your address; send as " ME },
    { BOSS, BOSS, .identity = "refuse", .reason = "not-your-address",
      .text = BOSS " is not your address; send as " ME },
    { NOWHERE, NOWHERE, .identity = "refuse", .reason = "not-your-address",
      .text = NOWHERE " is not your address; send as " ME },
    { BOSS, "", .identity = "refuse", .reason = "not-your-address" },
    { ME, BOSS, .identity = "refuse", .reason = "envelope-not-yours",
      .text = BOSS " (the envelope sender) is not your address; send as " ME },
    { ME, STRANGER, .identity = "refuse", .reason = "envelope-not-yours" },
    { ME, ME, .sender = BOSS, .identity = "refuse", .reason = "sender-not-yours",
      .text = BOSS " (the Sender field) is not your address; send as " ME },
    { ME, ME, .resent = BOSS, .identity = "refuse", .reason = "resent-not-yours",
      .text = BOSS " (who sent it on) is not your address; send as " ME },
    { STRANGER, ME, .resent = ME, .identity = "refuse", .reason = "not-your-address" },
    { ME, ME, .shows = BOSS, .identity = "refuse", .reason = "from-shows-another",
      .text = "the name in From shows an address that is not the sender's; take it out" },
    { ME, ME, .shows = BOSS, .display = CONF_DISPLAY_NAME_ALLOW, .identity = "ok", .reason = "ok" },
    { ME, ME, .unreadable = true, .identity = "refuse", .reason = "from-shows-another" },
    { ME, ME, .unreadable = true, .display = CONF_DISPLAY_NAME_ALLOW, .identity = "ok",
      .reason = "ok" },
    /* send-as */
    { BOSS, BOSS, .delegated = true, .identity = "ok", .reason = "send-as" },
    { BOSS, ME, .delegated = true, .identity = "ok", .reason = "send-as" },
    { BOSS, "", .delegated = true, .identity = "ok", .reason = "send-as" },
    { BOSS, ME, .delegated = true, .sender = ME, .identity = "ok", .reason = "send-as" },
    { BOSS, BOSS, .delegated = true, .sender = BOSS, .identity = "ok", .reason = "send-as" },
    { BOSS, BOSS, .delegated = true, .shows = BOSS, .identity = "ok", .reason = "send-as" },
    { BOSS, STRANGER, .delegated = true, .identity = "refuse", .reason = "envelope-not-yours" },
    { BOSS, ME, .delegated = true, .sender = STRANGER, .identity = "refuse",
      .reason = "sender-not-yours" },
    { BOSS, ALIAS, .delegated = true, .identity = "refuse", .reason = "secondary-address" },
    { BOSS, ALIAS, .delegated = true, .secondary = CONF_SECONDARY_REWRITE, .identity = "ok",
      .reason = "secondary-rewritten" },
    { BOSS, ME, .delegated = true, .owner_alias = true, .identity = "refuse",
      .reason = "secondary-address",
      .text = BOSS " is not a primary address; send as the primary one" },
    { BOSS, ME, .delegated = true, .owner_alias = true, .secondary = CONF_SECONDARY_REWRITE,
      .identity = "refuse", .reason = "secondary-address" },
    { BOSS, ME, .delegated = true, .owner_alias = true, .secondary = CONF_SECONDARY_ALLOW,
      .identity = "ok", .reason = "send-as" },
    { BOSS, ME, .owner_down = true, .identity = "defer", .reason = "directory-unreachable" },
    { BOSS, ME, HOST, .delegated = true, .identity = "ok", .reason = "send-as" },
    { BOSS, ME, HOST, .delegated = true, .owner_alias = true, .identity = "refuse",
      .reason = "secondary-address", .text = "From has to be a primary address; correct it" },
    /* secondary addresses */
    { ALIAS, ALIAS, .identity = "refuse", .reason = "secondary-address",
      .text = ALIAS " is not your primary address; send as " ME },
    { ME, ALIAS, .identity = "refuse", .reason = "secondary-address" },
    { ALIAS, "", .identity = "refuse", .reason = "secondary-address" },
    { ME, ME, .sender = ALIAS, .identity = "refuse", .reason = "secondary-address" },
    { ALIAS, ALIAS, .secondary = CONF_SECONDARY_REWRITE, .identity = "ok",
      .reason = "secondary-rewritten" },
    { ALIAS, ME, .secondary = CONF_SECONDARY_REWRITE, .identity = "ok",
      .reason = "secondary-rewritten" },
    { ME, ALIAS, .secondary = CONF_SECONDARY_REWRITE, .identity = "ok",
      .reason = "secondary-rewritten" },
    { ALIAS, "", .secondary = CONF_SECONDARY_REWRITE, .identity = "ok",
      .reason = "secondary-rewritten" },
    { ALIAS, BOSS, .secondary = CONF_SECONDARY_REWRITE, .identity = "refuse",
      .reason = "envelope-not-yours" },
    { ALIAS, ALIAS, .secondary = CONF_SECONDARY_ALLOW, .identity = "ok",
      .reason = "secondary-allowed" },
    { ALIAS, ME, .secondary = CONF_SECONDARY_ALLOW, .identity = "ok",
      .reason = "secondary-allowed" },
    /* without a login */
    { ALIAS, ALIAS, HOST, .identity = "refuse", .reason = "secondary-address", .text = anonymous },
    { BOSS, ME, HOST, .identity = "refuse", .reason = "from-not-sender", .text = anonymous },
    { NOWHERE, NOWHERE, HOST, .nobody = true, .identity = "refuse", .reason = "sender-unknown",
      .text = anonymous },
    { ME, ME, HOST, .no_primary = true, .identity = "refuse", .reason = "no-primary-address",
      .text = anonymous },
    { ME, ME, HOST, .shows = ALIAS, .identity = "refuse", .reason = "from-shows-another" },
    { ALIAS, ALIAS, HOST, .secondary = CONF_SECONDARY_REWRITE, .identity = "ok",
      .reason = "secondary-rewritten" },
    { ME, ME, HOST, .hosts = CONF_TRUSTED_HOSTS_REFUSE, .identity = "refuse",
      .reason = "not-authenticated", .text = "mail is not accepted without a login; log in" },
    { STRANGER, NOWHERE, HOST, .nobody = true, .hosts = CONF_TRUSTED_HOSTS_ALLOW, .identity = "ok",
      .reason = "nobody-vouches" },
    { ALIAS, ALIAS, HOST, .hosts = CONF_TRUSTED_HOSTS_ALLOW, .identity = "refuse",
      .reason = "secondary-address" },
    { ME, STRANGER, HOST, .hosts = CONF_TRUSTED_HOSTS_ALLOW, .identity = "ok", .reason = "ok" },
    { STRANGER, STRANGER, HOST, .down = true, .hosts = CONF_TRUSTED_HOSTS_ALLOW,
      .identity = "defer", .reason = "directory-unreachable" },
    /* the null sender, and automatic mail */
    { NOWHERE, "", HOST, .nobody = true, .identity = "ok", .reason = "nobody-vouches" },
    { NOWHERE, "", HOST, .nobody = true, .null_sender = CONF_NULL_SENDER_KNOWN,
      .identity = "refuse", .reason = "sender-unknown" },
    { ME, "", HOST, .null_sender = CONF_NULL_SENDER_KNOWN, .identity = "ok", .reason = "ok" },
    { ALIAS, "", HOST, .identity = "refuse", .reason = "secondary-address", .text = anonymous },
    { NOWHERE, "", HOST, .nobody = true, .shows = BOSS, .identity = "refuse",
      .reason = "from-shows-another" },
    { ME, "", HOST, .null_sender = CONF_NULL_SENDER_REFUSE, .identity = "refuse",
      .reason = "null-sender", .text = "the null sender is not accepted without a login; log in" },
    { ME, "", .null_sender = CONF_NULL_SENDER_REFUSE, .identity = "ok", .reason = "ok" },
    { ME, "", HOST, .hosts = CONF_TRUSTED_HOSTS_REFUSE, .identity = "ok", .reason = "ok" },
    { ME, "", HOST, .down = true, .identity = "defer", .reason = "directory-unreachable" },
    { NOWHERE, "bounce+7@our.example", HOST, .nobody = true, .says_automatic = true,
      .identity = "refuse", .reason = "sender-unknown" },
    { NOWHERE, "bounce+7@our.example", HOST, .nobody = true, .says_automatic = true,
      .automatic_is = CONF_AUTOMATIC_ALLOW, .identity = "ok", .reason = "nobody-vouches" },
    { ME, "bounce+7@our.example", HOST, .says_automatic = true,
      .automatic_is = CONF_AUTOMATIC_ALLOW, .identity = "ok", .reason = "ok" },
    { BOSS, BOSS, .says_automatic = true, .automatic_is = CONF_AUTOMATIC_ALLOW,
      .identity = "refuse", .reason = "not-your-address" },
    /* the directory */
    { ME, ME, .nobody = true, .identity = "refuse", .reason = "sender-unknown",
      .text = "your login is not known in the directory; ask your administrator" },
    { ME, ME, .no_primary = true, .identity = "refuse", .reason = "no-primary-address",
      .text = "the directory has no primary address for you; ask your administrator" },
    { ME, ME, .down = true, .identity = "defer", .reason = "directory-unreachable",
      .text = "the directory cannot be asked who the sender is; try again later" },
    { BOSS, BOSS, .down = true, .identity = "defer", .reason = "directory-unreachable" },
    { BOSS, BOSS, .no_directory = true, .identity = "ok", .reason = "ok" },
    { BOSS, "", .no_directory = true, .identity = "ok", .reason = "ok" },
    { BOSS, ME, .no_directory = true, .identity = "refuse", .reason = "from-not-sender",
      .text = "From " BOSS " and the envelope sender " ME " differ; send from one address" },
    { ME, ME, .no_directory = true, .sender = BOSS, .identity = "refuse",
      .reason = "sender-not-yours" },
    { ME, ME, .no_directory = true, .shows = BOSS, .identity = "refuse",
      .reason = "from-shows-another" },
};

static const char *
word_of(enum policy_identity identity)
{
    return identity == POLICY_IDENTITY_OK        ? "ok"
           : identity == POLICY_IDENTITY_REFUSED ? "refuse"
                                                 : "defer";
}

/* Things that hold for every answer. */
static void
check_answer(const struct policy_sender_facts *facts, const struct policy_sender_answer *out)
{
    bool ok = out->identity == POLICY_IDENTITY_OK;

    assert_int_equal(out->text[0] == '\0', ok);
    assert_true(strlen(out->text) < sizeof out->text);
    assert_null(strpbrk(out->text, "\r\n"));
    /* Nobody is told about anybody but himself; without a login, not even that. */
    assert_null(strstr(out->text, "third@our.example"));
    if (facts->login == NULL && facts->directory)
        assert_null(strchr(out->text, '@'));
    if (!ok) {
        assert_int_equal(out->rewrite, 0);
        assert_false(out->send_as);
        assert_null(out->carries);
    }
    if (out->rewrite != 0)
        assert_int_equal(facts->conf->secondary_address, CONF_SECONDARY_REWRITE);
    if (out->carries != NULL)
        assert_int_equal(facts->conf->secondary_address, CONF_SECONDARY_ALLOW);
    if (out->send_as)
        assert_int_equal(facts->send_as, POLICY_YES);
    /* What could not be asked is never an answer. */
    if (facts->directory && facts->person == POLICY_UNKNOWN)
        assert_int_not_equal(out->identity, POLICY_IDENTITY_OK);
}

static void
each_case_has_its_answer_reason_and_reply(void **state)
{
    (void)state;
    assert_true(sizeof rows / sizeof rows[0] >= 80);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct policy_sender_answer out;
        struct question question;

        ask(&rows[i], &question);
        policy_sender_decide(&question.facts, &out);
        if (strcmp(out.reason, rows[i].reason) != 0 ||
            strcmp(word_of(out.identity), rows[i].identity) != 0)
            print_message("row %zu: From %s, envelope <%s>: %s %s\n", i, rows[i].from,
                          rows[i].envelope, out.reason, out.text);
        assert_string_equal(out.reason, rows[i].reason);
        assert_string_equal(word_of(out.identity), rows[i].identity);
        if (rows[i].text != NULL)
            assert_string_equal(out.text, rows[i].text);
        check_answer(&question.facts, &out);
    }
}

/* The shape of fields, whoever sends and whatever can be asked. */
static void
fields_that_are_not_one_mailbox_are_refused(void **state)
{
    static const struct {
        struct policy_sender_field field;
        const char *from, *sender, *resent; /* the reason where it stands there; NULL: none */
    } shapes[] = {
        { { 0, 0, false, NULL }, "from-missing", NULL, NULL },
        { { 1, 0, false, NULL }, "from-missing", "sender-syntax", "resent-syntax" },
        { { 2, 1, false, NULL }, "from-several", "sender-syntax", "resent-syntax" },
        { { 1, 2, false, NULL }, "from-several", "sender-syntax", "resent-syntax" },
        { { 1, 1, true, NULL }, "from-syntax", "sender-syntax", "resent-syntax" },
        { { 1, 0, true, NULL }, "from-syntax", "sender-syntax", "resent-syntax" },
        { { 1, 1, false, NULL }, "from-syntax", "sender-syntax", "resent-syntax" },
        { { 1, 1, false, "" }, "from-syntax", "sender-syntax", "resent-syntax" },
        { { 2, 1, false, ME }, "from-several", "sender-syntax", NULL },
    };

    (void)state;
    for (size_t n = 0; n < sizeof shapes / sizeof shapes[0] * 3 * 12; n++) {
        size_t shape = n % (sizeof shapes / sizeof shapes[0]),
               rest = n / (sizeof shapes / sizeof shapes[0]);
        enum policy_sender_place place = (enum policy_sender_place)(rest % 3);
        const char *reasons[] = { shapes[shape].from, shapes[shape].sender, shapes[shape].resent };
        struct row row = { DEFAULTS, .host = rest / 3 % 2, .no_directory = rest / 6 % 2 };
        struct policy_sender_answer out;
        struct question question;

        ask(&row, &question);
        question.facts.person = (enum policy_known)(rest / 12);
        question.facts.field[place] = shapes[shape].field;
        policy_sender_decide(&question.facts, &out);
        check_answer(&question.facts, &out);
        if (reasons[place] != NULL) {
            assert_int_equal(out.identity, POLICY_IDENTITY_REFUSED);
            assert_string_equal(out.reason, reasons[place]);
        } else {
            assert_null(strstr(out.reason, "-syntax"));
        }
    }
}

/* The whole space: every address in every place, every configuration, every state of the directory.
 */
static void
nothing_of_another_person_is_ever_sent_as_his(void **state)
{
    static const char *const addresses[] = { ME, ALIAS, BOSS, STRANGER };
    size_t total = 0, fine = 0;

    (void)state;
    for (unsigned n = 0; n < 4 * 5 * 5 * 3 * 3 * 3 * 2 * 3 * 2 * 2 * 3; n++) {
        unsigned rest = n;
        struct row row = { .from = addresses[rest % 4] };
        struct policy_sender_answer out;
        struct question question;
        unsigned envelope = (rest /= 4) % 5, sender = (rest /= 5) % 5;
        bool foreign_from, foreign_envelope;

        row.envelope = envelope == 4 ? "" : addresses[envelope];
        row.sender = sender == 4 ? NULL : addresses[sender];
        row.secondary = (int)((rest /= 5) % 3);
        row.hosts = (int)((rest /= 3) % 3);
        row.null_sender = (int)((rest /= 3) % 3);
        row.automatic_is = (int)((rest /= 3) % 2);
        unsigned person = (rest /= 2) % 3;
        row.down = person == 2;
        row.nobody = person == 1;
        row.host = (rest /= 3) % 2;
        row.says_automatic = (rest /= 2) % 2;
        unsigned owner = (rest /= 2) % 3;
        row.delegated = owner == 1;
        row.owner_down = owner == 2;
        ask(&row, &question);
        policy_sender_decide(&question.facts, &out);
        check_answer(&question.facts, &out);
        total++;
        if (out.identity != POLICY_IDENTITY_OK)
            continue;
        fine++;
        foreign_from = row.from == addresses[2] || row.from == addresses[3];
        foreign_envelope = envelope == 2 || envelope == 3;
        if (policy_sender_witness(&question.facts) == POLICY_WITNESS_NOBODY) {
            assert_true(row.host);
            continue;
        }
        assert_int_equal(question.facts.person, POLICY_YES);
        assert_int_equal(out.send_as, foreign_from);
        assert_true(!foreign_from || row.delegated);
        assert_true(!foreign_envelope || (row.delegated && strcmp(row.envelope, row.from) == 0));
        /* After rewriting no secondary address is left, unless it is allowed. */
        if (row.secondary != CONF_SECONDARY_ALLOW) {
            assert_true(row.from != addresses[1] || out.rewrite & 1U << POLICY_SENDER_FROM);
            assert_true(envelope != 1 || out.rewrite & 1U << POLICY_SENDER_ENVELOPE);
            assert_true(sender != 1 || out.rewrite & 1U << POLICY_SENDER_SENDER);
        } else if (row.from == addresses[1]) {
            assert_string_equal(out.carries, ME);
        }
        assert_true(row.from == addresses[1] || !(out.rewrite & 1U << POLICY_SENDER_FROM));
        assert_true(envelope == 1 || !(out.rewrite & 1U << POLICY_SENDER_ENVELOPE));
    }
    print_message("%zu combinations, %zu let through\n", total, fine);
    assert_true(fine > 1000 && fine < total / 2);
}

/* The answer to "BOSS" and to an address that nobody has are the same words. */
static void
who_there_is_cannot_be_found_out(void **state)
{
    (void)state;
    for (int host = 0; host < 2; host++) {
        struct policy_sender_answer there, not_there;
        struct question question;

        ask(&(struct row){ .from = "bossy@our.example",
                           .envelope = "bossy@our.example",
                           .host = host,
                           .nobody = host },
            &question);
        policy_sender_decide(&question.facts, &not_there);
        /* With the login it is still him; without one, the person found is the owner of the alias.
         */
        ask(&(struct row){ .from = host ? ALIAS : "bossy@our.example",
                           .envelope = host ? ALIAS : "bossy@our.example",
                           .host = host },
            &question);
        policy_sender_decide(&question.facts, &there);
        assert_string_equal(there.text, not_there.text);
    }
}

static void
case_of_local_parts_counts_where_it_is_configured(void **state)
{
    struct policy_sender_answer out;
    struct question question;

    (void)state;
    ask(&(struct row){ .from = "ME@our.example", .envelope = ME }, &question);
    question.conf.fold_local_part = false;
    policy_sender_decide(&question.facts, &out);
    assert_string_equal(out.reason, "not-your-address");
}

/* RFC 6531: an address beyond ASCII enters only a message that has one already. */
static void
rewriting_never_makes_a_message_internationalised(void **state)
{
    static const char *const his[] = { UMLAUT, ALIAS, "m\xc3\xbc@our.example", NULL };
    static const struct {
        const char *from, *envelope;
        bool rewritten;
    } cases[] = {
        { ALIAS, ALIAS, false },
        { ALIAS, "", false },
        { "m\xc3\xbc@our.example", "m\xc3\xbc@our.example", true },
        { ALIAS, UMLAUT, true },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct policy_sender_answer out;
        struct question question;

        ask(&(struct row){ .from = cases[i].from,
                           .envelope = cases[i].envelope,
                           .secondary = CONF_SECONDARY_REWRITE },
            &question);
        question.facts.primary = UMLAUT;
        question.facts.addresses = his;
        policy_sender_decide(&question.facts, &out);
        assert_string_equal(out.reason,
                            cases[i].rewritten ? "secondary-rewritten" : "secondary-address");
    }
}

static void
rewriting_makes_no_line_too_long(void **state)
{
    struct policy_sender_answer out;
    struct question question;

    (void)state;
    ask(&(struct row){ .from = ALIAS, .envelope = ALIAS, .secondary = CONF_SECONDARY_REWRITE },
        &question);
    question.facts.too_long = true;
    policy_sender_decide(&question.facts, &out);
    assert_string_equal(out.reason, "secondary-address");
}

static void
owners_are_asked_about_foreign_addresses_alone(void **state)
{
    static const struct {
        struct row row;
        bool asks;
    } cases[] = {
        { { .from = BOSS, .envelope = ME }, true },
        { { .from = ME, .envelope = BOSS }, false },
        { { .from = ALIAS, .envelope = ME }, false },
        { { BOSS, BOSS, .down = true }, false },
        { { BOSS, BOSS, .nobody = true }, false },
        { { BOSS, BOSS, .no_directory = true }, false },
        { { BOSS, BOSS, .no_primary = true }, false },
        { { BOSS, ME, .host = true }, true },
        { { BOSS, "", .host = true }, false },
        { { .from = NULL, .envelope = ME }, false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct question question;

        ask(&cases[i].row, &question);
        assert_int_equal(policy_sender_asks_owner(&question.facts), cases[i].asks);
    }
}

static void
long_addresses_are_cut_and_the_advice_stays(void **state)
{
    struct policy_sender_answer out;
    struct question question;
    char address[1000];

    (void)state;
    memset(address, 'a', sizeof address - 1);
    memcpy(address + 900, "@our.example", 12);
    address[sizeof address - 1] = '\0';
    for (int n = 0; n < 2; n++) {
        ask(&(struct row){ .from = address, .envelope = ME, .no_directory = n }, &question);
        policy_sender_decide(&question.facts, &out);
        assert_non_null(strstr(out.text, "..."));
        assert_non_null(strstr(out.text, n ? "differ; send from one address" : "; send as " ME));
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_case_has_its_answer_reason_and_reply),
        cmocka_unit_test(fields_that_are_not_one_mailbox_are_refused),
        cmocka_unit_test(nothing_of_another_person_is_ever_sent_as_his),
        cmocka_unit_test(who_there_is_cannot_be_found_out),
        cmocka_unit_test(case_of_local_parts_counts_where_it_is_configured),
        cmocka_unit_test(rewriting_never_makes_a_message_internationalised),
        cmocka_unit_test(rewriting_makes_no_line_too_long),
        cmocka_unit_test(owners_are_asked_about_foreign_addresses_alone),
        cmocka_unit_test(long_addresses_are_cut_and_the_advice_stays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
