#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "policy/outbound.h"
#include "policy/rule.h"

enum { CIPHERS = 4, SETS = 16 };

static char *const nobody[] = { NULL };
static char *const archive[] = { (char *)"archive@our.example", NULL };

struct scene {
    struct conf conf;
    struct conf_rule rules[3];
    struct policy_recipient people[3];
    struct policy_outbound_facts facts;
    size_t order[3];
    struct policy_outbound_decision out;
};

static void
scene_init(struct scene *scene, size_t count, bool listener)
{
    static const char *const addresses[] = { "a@one.example", "b@two.example", "c@three.example" };

    memset(scene, 0, sizeof *scene);
    scene->conf.global.resubmit_server = (char *)(listener ? "unix:/run/copies" : "");
    scene->conf.global.max_copies = 50;
    for (size_t i = 0; i < count; i++) {
        scene->rules[i] = *policy_rule_builtin();
        scene->rules[i].encrypt = CONF_ENCRYPT_ALWAYS;
        scene->rules[i].encrypt_also = (conf_list)nobody;
        scene->people[i] = (struct policy_recipient){ .address = addresses[i],
                                                      .rule = &scene->rules[i],
                                                      .in_header = true,
                                                      .key = POLICY_KEY_RSA };
    }
    scene->facts = (struct policy_outbound_facts){ .conf = &scene->conf,
                                                   .recipients = scene->people,
                                                   .count = count,
                                                   .from = "me@our.example",
                                                   .envelope_sender = "me@our.example" };
}

static const struct policy_plan *
scene_decide(struct scene *scene)
{
    policy_outbound_decide(&scene->facts, scene->order, &scene->out);
    return &scene->out.plan;
}

static void
scene_say(struct scene *scene, size_t i, unsigned ciphers, unsigned transports)
{
    scene->people[i].said =
        (struct policy_capabilities){ .known = true, .ciphers = ciphers, .transports = transports };
}

static int
cipher_of(struct scene *scene)
{
    const struct policy_plan *plan = scene_decide(scene);

    return plan->copy_count == 1 ? plan->copies[0].algorithms.cipher : -1;
}

/* ---- what must hold of every row ---------------------------------------------------------------
 */

/* Can he read that, for all that is known? By the words of the manual. */
static bool
can_read(const struct policy_recipient *person, int cipher, bool listener)
{
    const struct conf_rule *rule = person->rule;
    bool cbc = cipher <= 1;

    if (cipher < rule->cipher_floor)
        return false;
    if (rule->algorithms == CONF_ALGORITHMS_RULE && listener)
        return cipher == rule->cipher;
    if (rule->algorithms == CONF_ALGORITHMS_LEARNT && person->said.known)
        return person->said.ciphers >> cipher & 1;
    return cipher == rule->cipher || (cbc && cipher < rule->cipher);
}

/* The strongest that he may get: with escrow, no word of his raises it above the rule where the
 * rule's words are among what he can read. */
static bool
may_have(const struct policy_recipient *person, int cipher, bool listener)
{
    const struct conf_rule *rule = person->rule;
    bool bound = false;

    if (!can_read(person, cipher, listener))
        return false;
    if (rule->encrypt_also[0] == NULL || !person->said.known ||
        rule->algorithms == CONF_ALGORITHMS_RULE)
        return true;
    for (int i = 0; i < CIPHERS; i++)
        bound |=
            (person->said.ciphers >> i & 1) && (i == rule->cipher || (i <= 1 && i < rule->cipher));
    return !bound || cipher == rule->cipher || (cipher <= 1 && cipher < rule->cipher);
}

static void
check_row(struct scene *scene)
{
    bool listener = scene->conf.global.resubmit_server[0] != '\0', nothing = false, common = false;
    const struct policy_plan *plan = scene_decide(scene);

    for (size_t i = 0; i < scene->facts.count; i++) {
        bool some = false;

        for (int c = 0; c < CIPHERS; c++)
            some |= may_have(&scene->people[i], c, true);
        nothing |= !some;
    }
    for (int c = 0; c < CIPHERS; c++) {
        bool all = true;

        for (size_t i = 0; i < scene->facts.count; i++)
            all = all && may_have(&scene->people[i], c, listener);
        common |= all;
    }
    if (plan->copy_count == 0) {
        assert_int_equal(scene->out.action, POLICY_REFUSE);
        assert_true(nothing || (!listener && !common));
        if (nothing)
            assert_string_equal(scene->out.reason, "algorithm-floor");
        return;
    }
    assert_false(nothing);
    assert_true(listener || plan->copy_count == 1);
    for (size_t k = 0; k < plan->copy_count; k++) {
        const struct policy_copy *copy = &plan->copies[k];

        assert_true(copy->encrypt);
        for (int c = copy->algorithms.cipher; c < CIPHERS; c++) {
            bool all = true;

            for (size_t i = 0; i < copy->count; i++)
                all = all && may_have(&scene->people[plan->order[copy->first + i]], c, listener);
            /* All can read it, and nothing stronger that all can. */
            assert_int_equal(all, c == copy->algorithms.cipher);
        }
    }
}

static void
scene_set_person(struct scene *scene, size_t i, unsigned n)
{
    struct conf_rule *rule = &scene->rules[i];
    unsigned said = n % (SETS + 1);

    n /= SETS + 1;
    scene->people[i].said =
        (struct policy_capabilities){ .known = said < SETS, .ciphers = said % SETS };
    rule->cipher = (int)(n % CIPHERS);
    n /= CIPHERS;
    rule->cipher_floor = (int)(n % CIPHERS);
    if (rule->cipher_floor > rule->cipher)
        rule->cipher_floor = rule->cipher;
    n /= CIPHERS;
    rule->algorithms = (int)(n % 2);
    n /= 2;
    rule->encrypt_also = (conf_list)(n ? archive : nobody);
}

enum { PERSON_STATES = (SETS + 1) * CIPHERS * CIPHERS * 2 * 2 };

static void
every_pair_gets_the_strongest_that_both_can_read_or_copies(void **state)
{
    struct scene scene;
    unsigned long rows = 0;

    (void)state;
    for (int listener = 0; listener < 2; listener++) {
        scene_init(&scene, 2, listener);
        for (unsigned a = 0; a < PERSON_STATES; a++) {
            scene_set_person(&scene, 0, a);
            for (unsigned b = 0; b < PERSON_STATES; b++) {
                scene_set_person(&scene, 1, b);
                check_row(&scene);
                rows++;
            }
        }
    }
    print_message("%lu rows\n", rows);
}

static void
three_recipients_get_the_strongest_that_all_of_a_copy_can_read(void **state)
{
    struct scene scene;

    (void)state;
    for (int listener = 0; listener < 2; listener++) {
        scene_init(&scene, 3, listener);
        for (unsigned n = 0; n < 60 * 60 * 60; n++) {
            scene_set_person(&scene, 0, n % 60 * 17);
            scene_set_person(&scene, 1, n / 60 % 60 * 18 + 5);
            scene_set_person(&scene, 2, n / 3600 * 17 + n % 13);
            check_row(&scene);
        }
    }
}

/* ---- cases that people ask for -----------------------------------------------------------------
 */

static void
the_default_is_what_everybody_reads(void **state)
{
    struct scene scene;
    const struct policy_plan *plan;

    (void)state;
    scene_init(&scene, 2, true);
    plan = scene_decide(&scene);
    assert_int_equal(plan->copy_count, 1);
    assert_int_equal(plan->copies[0].algorithms.cipher, 1);        /* aes256-cbc */
    assert_int_equal(plan->copies[0].algorithms.key_transport, 0); /* pkcs1 */
    assert_int_equal(plan->copies[0].algorithms.digest, 0);        /* sha256 */
}

static void
what_was_learnt_raises_where_all_can_read_it(void **state)
{
    struct scene scene;

    (void)state;
    scene_init(&scene, 2, true);
    scene_say(&scene, 0, SETS - 1, 0);
    assert_int_equal(cipher_of(&scene), 1); /* the other said nothing */
    scene_say(&scene, 1, SETS - 1, 0);
    assert_int_equal(cipher_of(&scene), 3); /* aes256-gcm */
    scene_say(&scene, 1, POLICY_CIPHER_AES128_GCM | POLICY_CIPHER_AES256_CBC, 0);
    assert_int_equal(cipher_of(&scene), 2);
    scene.rules[0].encrypt_also = scene.rules[1].encrypt_also = (conf_list)archive;
    assert_int_equal(cipher_of(&scene), 1); /* the archive said nothing */
}

static void
who_can_read_less_than_the_floor_counts_as_without_a_certificate(void **state)
{
    struct scene scene;
    const struct policy_plan *plan;

    (void)state;
    scene_init(&scene, 2, true);
    scene_say(&scene, 0, 0, 0); /* triple DES alone */
    scene_decide(&scene);
    assert_string_equal(scene.out.reason, "algorithm-floor");
    assert_non_null(strstr(scene.out.text, "a@one.example (can read nothing as strong"));
    scene.rules[0].no_certificate = CONF_NO_CERTIFICATE_RETURN;
    plan = scene_decide(&scene);
    assert_int_equal(plan->returned_count, 1);
    scene.rules[0].no_certificate = CONF_NO_CERTIFICATE_REFUSE;
    scene_say(&scene, 0, POLICY_CIPHER_AES128_CBC, 0);
    assert_int_equal(cipher_of(&scene), 0);
    scene.rules[0].cipher_floor = 1;
    assert_int_equal(cipher_of(&scene), -1);
    assert_string_equal(scene.out.reason, "algorithm-floor");
    /* if-possible: it is not. */
    scene.rules[0].encrypt = CONF_ENCRYPT_IF_POSSIBLE;
    plan = scene_decide(&scene);
    assert_int_equal(plan->copy_count, 2);
}

static void
rules_that_demand_different_algorithms_make_copies(void **state)
{
    struct scene scene;
    const struct policy_plan *plan;

    (void)state;
    scene_init(&scene, 3, true);
    for (size_t i = 0; i < 3; i++)
        scene.rules[i].algorithms = CONF_ALGORITHMS_RULE;
    scene.rules[1].cipher = 3;
    plan = scene_decide(&scene);
    assert_int_equal(plan->copy_count, 2);
    assert_int_equal(plan->copies[0].algorithms.cipher, 1);
    assert_int_equal(plan->copies[1].algorithms.cipher, 3);
    scene.rules[2].key_transport = 1;
    plan = scene_decide(&scene);
    assert_int_equal(plan->copy_count, 3);
    /* One copy only: what both can read; or none. */
    scene.conf.global.resubmit_server = (char *)"";
    assert_int_equal(cipher_of(&scene), 1);
    scene.rules[1].cipher_floor = 3;
    assert_int_equal(cipher_of(&scene), -1);
    assert_string_equal(scene.out.reason, "copies-needed");
    assert_non_null(strstr(scene.out.text, "can read nothing that the other can"));
}

static void
key_transport_follows_what_rsa_recipients_can_read(void **state)
{
    struct scene scene;
    const struct policy_plan *plan;

    (void)state;
    scene_init(&scene, 2, true);
    scene_say(&scene, 0, SETS - 1, POLICY_TRANSPORT_PKCS1 | POLICY_TRANSPORT_OAEP);
    scene_say(&scene, 1, SETS - 1, POLICY_TRANSPORT_PKCS1 | POLICY_TRANSPORT_OAEP);
    plan = scene_decide(&scene);
    assert_int_equal(plan->copies[0].algorithms.key_transport, 1);
    scene_say(&scene, 1, SETS - 1, 0);
    plan = scene_decide(&scene);
    assert_int_equal(plan->copy_count, 1);
    assert_int_equal(plan->copies[0].algorithms.key_transport, 0);
    scene_say(&scene, 0, SETS - 1, POLICY_TRANSPORT_OAEP);
    plan = scene_decide(&scene);
    assert_int_equal(plan->copy_count, 2);
    /* An elliptic curve has no use for it. */
    scene.people[0].key = POLICY_KEY_EC;
    plan = scene_decide(&scene);
    assert_int_equal(plan->copy_count, 1);
    assert_int_equal(plan->copies[0].algorithms.key_transport, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pair_gets_the_strongest_that_both_can_read_or_copies),
        cmocka_unit_test(three_recipients_get_the_strongest_that_all_of_a_copy_can_read),
        cmocka_unit_test(the_default_is_what_everybody_reads),
        cmocka_unit_test(what_was_learnt_raises_where_all_can_read_it),
        cmocka_unit_test(who_can_read_less_than_the_floor_counts_as_without_a_certificate),
        cmocka_unit_test(rules_that_demand_different_algorithms_make_copies),
        cmocka_unit_test(key_transport_follows_what_rsa_recipients_can_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
