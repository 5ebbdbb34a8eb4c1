#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "policy/outbound.h"
#include "policy/rule.h"

enum { PEOPLE = 120 };

/* Each recipient with a rule of his own: encrypt = always, a certificate, named in the header. */
struct scene {
    struct conf conf;
    struct conf_rule rules[PEOPLE];
    struct policy_recipient recipients[PEOPLE];
    char addresses[PEOPLE][40];
    struct policy_outbound_facts facts;
    size_t order[PEOPLE];
    struct policy_outbound_decision out;
};

static void
scene_init(struct scene *scene, size_t count)
{
    memset(scene, 0, sizeof *scene);
    scene->conf.global.resubmit_server = (char *)"inet:10026@127.0.0.1";
    scene->conf.global.max_copies = 50;
    for (size_t i = 0; i < count; i++) {
        snprintf(scene->addresses[i], sizeof scene->addresses[i], "r%zu@partner.example", i);
        scene->rules[i] = *policy_rule_builtin();
        scene->rules[i].encrypt = CONF_ENCRYPT_ALWAYS;
        scene->recipients[i] = (struct policy_recipient){ .address = scene->addresses[i],
                                                          .rule = &scene->rules[i],
                                                          .in_header = true,
                                                          .reason = "ok" };
    }
    scene->facts = (struct policy_outbound_facts){ .conf = &scene->conf,
                                                   .recipients = scene->recipients,
                                                   .count = count,
                                                   .from = "me@our.example",
                                                   .envelope_sender = "me@our.example" };
}

static void
scene_lose(struct scene *scene, size_t index, int what)
{
    scene->rules[index].no_certificate = what;
    scene->recipients[index].certificate = POLICY_NO;
    scene->recipients[index].reason = "cert-expired";
    scene->recipients[index].text = "the certificate expired";
}

/* "0,1|2*|~3": copies in their order, * hidden, ~ returned. */
static void
check_plan(struct scene *scene, const char *expected)
{
    const struct policy_plan *plan = &scene->out.plan;
    char text[2000] = "", part[40];

    memset(scene->order, 0xff, sizeof scene->order);
    policy_outbound_decide(&scene->facts, scene->order, &scene->out);
    for (size_t i = 0; i < plan->copy_count; i++) {
        const struct policy_copy *copy = &plan->copies[i];

        for (size_t k = 0; k < copy->count; k++) {
            snprintf(part, sizeof part, "%s%zu",
                     k > 0   ? ","
                     : i > 0 ? "|"
                             : "",
                     plan->order[copy->first + k]);
            strcat(text, part);
        }
        strcat(text, copy->hidden ? "*" : "");
    }
    for (size_t i = 0; i < plan->returned_count; i++) {
        snprintf(part, sizeof part, "|~%zu", plan->order[plan->returned_first + i]);
        strcat(text, part);
    }
    if (strcmp(text, expected) != 0)
        fail_msg("%s, not %s (%s: %s)", text, expected, scene->out.reason, scene->out.text);
}

static void
recipients_with_equal_effects_share_a_copy_whatever_their_rules_are_called(void **state)
{
    static char *const archive[] = { (char *)"archive@our.example", NULL };
    static char *const again[] = { (char *)"Archive@our.example", NULL };
    struct scene scene;

    (void)state;
    scene_init(&scene, 4);
    check_plan(&scene, "0,1,2,3");
    scene.rules[2].encrypt_also = (conf_list)archive;
    check_plan(&scene, "0,1,3|2");
    scene.rules[3].encrypt_also = (conf_list)again;
    check_plan(&scene, "0,1|2,3");
    for (size_t i = 0; i < 4; i++)
        scene.rules[i].sign = CONF_SIGN_ALWAYS;
    check_plan(&scene, "0,1|2,3");
    scene.rules[1].digest = 2;
    check_plan(&scene, "2,3|1|0");
    assert_int_equal(scene.out.plan.copies[1].algorithms.digest, 2);
    scene.rules[0].sign_format = CONF_SIGN_OPAQUE;
    scene.rules[0].digest = 2;
    scene.facts.only_opaque = true;
    check_plan(&scene, "0,1|2,3");
}

static void
hidden_recipients_have_a_copy_each_and_never_the_transaction(void **state)
{
    struct scene scene;

    (void)state;
    scene_init(&scene, 4);
    scene.recipients[0].in_header = scene.recipients[1].in_header = false;
    check_plan(&scene, "2,3|1*|0*");
    scene.recipients[2].in_header = scene.recipients[3].in_header = false;
    check_plan(&scene, "0*|1*|2*|3*");
    /* The same address twice is one recipient. */
    scene.recipients[3].address = "R1@Partner.example";
    check_plan(&scene, "1,3*|0*|2*");
    /* Nothing to hide where nothing is encrypted. */
    for (size_t i = 0; i < 4; i++)
        scene.rules[i].encrypt = CONF_ENCRYPT_NEVER;
    check_plan(&scene, "0,1,2,3");
    assert_int_equal(scene.out.action, POLICY_PASS);
    /* One plain copy beside, even a small one, stays in the transaction. */
    for (size_t i = 0; i < 3; i++)
        scene.rules[i].encrypt = CONF_ENCRYPT_ALWAYS;
    check_plan(&scene, "3|1*|2*|0*");
}

static void
what_a_recipient_without_a_certificate_gets_is_his_rules_word(void **state)
{
    struct scene scene;

    (void)state;
    scene_init(&scene, 3);
    scene_lose(&scene, 1, CONF_NO_CERTIFICATE_REFUSE);
    check_plan(&scene, "");
    assert_int_equal(scene.out.code, 550);
    assert_string_equal(scene.out.reason, "cert-expired");
    scene_lose(&scene, 1, CONF_NO_CERTIFICATE_RETURN);
    check_plan(&scene, "0,2|~1");
    scene_lose(&scene, 1, CONF_NO_CERTIFICATE_PLAIN);
    check_plan(&scene, "0,2|1");
    assert_false(scene.out.plan.copies[1].sign || scene.out.plan.copies[1].encrypt);
    scene.rules[1].sign = CONF_SIGN_ALWAYS;
    check_plan(&scene, "0,2|1");
    assert_true(scene.out.plan.copies[1].sign && !scene.out.plan.copies[1].encrypt);
    scene.rules[1].sign = CONF_SIGN_NEVER;
    scene_lose(&scene, 1, CONF_NO_CERTIFICATE_SIGN);
    check_plan(&scene, "0,2|1");
    assert_true(scene.out.plan.copies[1].sign && !scene.out.plan.copies[1].encrypt);
    /* In the place of encryption a signature is made, or the message is refused. */
    scene.facts.signing = POLICY_NO;
    scene.facts.signing_reason = "no-certificate";
    scene.rules[1].no_signing_certificate = CONF_NO_SIGNING_UNSIGNED;
    check_plan(&scene, "");
    assert_int_equal(scene.out.action, POLICY_REFUSE);
}

static void
who_chose_encryption_never_gets_less(void **state)
{
    struct scene scene;

    (void)state;
    for (int what = CONF_NO_CERTIFICATE_SIGN; what <= CONF_NO_CERTIFICATE_PLAIN; what++) {
        for (int encrypt = CONF_ENCRYPT_IF_POSSIBLE; encrypt <= CONF_ENCRYPT_DEFAULT_OFF;
             encrypt++) {
            scene_init(&scene, 2);
            scene.rules[0].encrypt = scene.rules[1].encrypt = encrypt;
            scene.facts.choice.encrypt = true;
            scene_lose(&scene, 1, what);
            check_plan(&scene, "");
            assert_int_equal(scene.out.action, POLICY_REFUSE);
            scene_lose(&scene, 1, CONF_NO_CERTIFICATE_RETURN);
            check_plan(&scene, "0|~1");
        }
    }
}

static void
if_all_are_returned_nobody_gets_it_and_the_reply_says_so(void **state)
{
    struct scene scene;

    (void)state;
    scene_init(&scene, 2);
    scene_lose(&scene, 0, CONF_NO_CERTIFICATE_RETURN);
    scene_lose(&scene, 1, CONF_NO_CERTIFICATE_RETURN);
    check_plan(&scene, "");
    assert_int_equal(scene.out.action, POLICY_REFUSE);
    assert_non_null(strstr(scene.out.text, "r0@partner.example (the certificate expired), "));
    assert_non_null(strstr(scene.out.text, "2 of 2 recipients"));
}

static void
copies_are_bounded(void **state)
{
    struct scene scene;

    (void)state;
    scene_init(&scene, 51);
    for (size_t i = 0; i < 51; i++)
        scene.recipients[i].in_header = i == 50;
    scene.conf.global.max_copies = 50;
    check_plan(&scene, "");
    assert_string_equal(scene.out.reason, "too-many-copies");
    scene.recipients[49].in_header = true;
    policy_outbound_decide(&scene.facts, scene.order, &scene.out);
    assert_int_equal(scene.out.plan.copy_count, 50);
    scene.conf.global.max_copies = 49;
    check_plan(&scene, "");
    scene.facts.count = 3;
    scene.conf.global.max_copies = 3;
    check_plan(&scene, "0*|1*|2*");
}

static void
without_a_listener_more_than_one_copy_is_refused_and_the_reply_says_what_is_missing(void **state)
{
    struct scene scene;

    (void)state;
    scene_init(&scene, 2);
    scene.recipients[1].in_header = false;
    check_plan(&scene, "0|1*");
    scene.conf.global.resubmit_server = (char *)"";
    check_plan(&scene, "");
    assert_string_equal(scene.out.reason, "copies-needed");
    assert_non_null(strstr(scene.out.text, "resubmit_server"));
    scene.recipients[1].in_header = true;
    scene_lose(&scene, 1, CONF_NO_CERTIFICATE_RETURN);
    check_plan(&scene, "");
    assert_string_equal(scene.out.reason, "copies-needed");
    assert_non_null(strstr(scene.out.text, "resubmit_server"));
    assert_non_null(strstr(scene.out.text, "r1@partner.example"));
    scene_lose(&scene, 1, CONF_NO_CERTIFICATE_PLAIN);
    check_plan(&scene, "");
    assert_string_equal(scene.out.reason, "copies-needed");
    /* Everybody can have the same. */
    scene_lose(&scene, 0, CONF_NO_CERTIFICATE_PLAIN);
    check_plan(&scene, "0,1");
    assert_int_equal(scene.out.action, POLICY_PASS);
}

static void
a_hidden_group_shows_its_members_to_nobody(void **state)
{
    struct scene scene;

    (void)state;
    scene_init(&scene, 2);
    scene.recipients[1].members = 3;
    check_plan(&scene, "0,1");
    scene.recipients[1].in_header = false;
    check_plan(&scene, "");
    assert_string_equal(scene.out.reason, "copies-needed");
    scene.recipients[1].members = 1;
    check_plan(&scene, "0|1*");
}

static void
too_many_people_for_one_encrypted_copy_are_refused(void **state)
{
    struct scene scene;

    (void)state;
    scene_init(&scene, 3);
    scene.facts.people_limit = 10;
    scene.recipients[0].members = 8;
    check_plan(&scene, "0,1,2");
    scene.recipients[1].members = 2;
    check_plan(&scene, "");
    assert_string_equal(scene.out.reason, "too-many-recipients");
    scene.recipients[1].in_header = false;
    scene.recipients[1].members = 1;
    check_plan(&scene, "0,2|1*");
}

static void
large_plans_are_sorted_copy_after_copy(void **state)
{
    struct scene scene;
    const struct policy_plan *plan = &scene.out.plan;

    (void)state;
    scene_init(&scene, PEOPLE);
    for (size_t i = 0; i < PEOPLE; i++) {
        scene.rules[i].digest = (int)(i % 3);
        scene.rules[i].sign = i % 4 ? CONF_SIGN_ALWAYS : CONF_SIGN_NEVER;
        if (i % 11 == 5)
            scene_lose(&scene, i, CONF_NO_CERTIFICATE_RETURN);
    }
    policy_outbound_decide(&scene.facts, scene.order, &scene.out);
    assert_int_equal(plan->copy_count, 4);
    for (size_t i = 0, at = 0; i <= plan->copy_count; i++) {
        bool last = i == plan->copy_count;
        size_t first = last ? plan->returned_first : plan->copies[i].first;
        size_t count = last ? plan->returned_count : plan->copies[i].count;

        assert_int_equal(first, at);
        for (size_t k = 0; k < count; k++) {
            size_t index = plan->order[at + k];

            assert_true(k == 0 || plan->order[at + k - 1] < index);
            assert_int_equal(last, index % 11 == 5);
            if (!last)
                assert_int_equal(plan->copies[i].sign, index % 4 != 0);
            if (!last && plan->copies[i].sign)
                assert_int_equal(plan->copies[i].algorithms.digest, (int)(index % 3));
        }
        at += count;
        assert_true(!last || at == PEOPLE);
    }
    for (size_t i = 1; i < plan->copy_count; i++)
        assert_true(plan->copies[0].count >= plan->copies[i].count);
}

static void
signed_for_the_domain_of_each_rule(void **state)
{
    struct scene scene;

    (void)state;
    scene_init(&scene, 3);
    scene.facts.signing = POLICY_NO;
    for (size_t i = 0; i < 3; i++) {
        scene.rules[i].sign = CONF_SIGN_ALWAYS;
        scene.rules[i].no_signing_certificate = CONF_NO_SIGNING_DOMAIN;
        scene.rules[i].sign_as = (char *)(i == 1 ? "two@our.example" : "one@our.example");
    }
    check_plan(&scene, "0,2|1");
    assert_true(scene.out.plan.copies[1].domain_signature);
    assert_string_equal(scene.out.plan.copies[1].sign_rule->sign_as, "two@our.example");
    scene.recipients[1].domain_signing = POLICY_UNKNOWN;
    check_plan(&scene, "");
    assert_int_equal(scene.out.code, 451);
    scene.recipients[1].domain_signing = POLICY_NO;
    check_plan(&scene, "");
    assert_int_equal(scene.out.code, 550);
    scene.rules[1].no_signing_certificate = CONF_NO_SIGNING_UNSIGNED;
    check_plan(&scene, "0,2|1");
    assert_false(scene.out.plan.copies[1].sign);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            recipients_with_equal_effects_share_a_copy_whatever_their_rules_are_called),
        cmocka_unit_test(hidden_recipients_have_a_copy_each_and_never_the_transaction),
        cmocka_unit_test(what_a_recipient_without_a_certificate_gets_is_his_rules_word),
        cmocka_unit_test(who_chose_encryption_never_gets_less),
        cmocka_unit_test(if_all_are_returned_nobody_gets_it_and_the_reply_says_so),
        cmocka_unit_test(copies_are_bounded),
        cmocka_unit_test(
            without_a_listener_more_than_one_copy_is_refused_and_the_reply_says_what_is_missing),
        cmocka_unit_test(a_hidden_group_shows_its_members_to_nobody),
        cmocka_unit_test(too_many_people_for_one_encrypted_copy_are_refused),
        cmocka_unit_test(large_plans_are_sorted_copy_after_copy),
        cmocka_unit_test(signed_for_the_domain_of_each_rule),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
