#include "tests/unit/flow/world.h"

static struct world world;

static const char exempt[] = "rule \"ours\" {\n recipient = *@example.org\n smime = no\n}\n"
                             "rule \"all\" {\n sign = never\n encrypt = always\n}";

static int
setup(void **state)
{
    (void)state;
    world_make(&world);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    world_free(&world);
    return 0;
}

static void
send_to(const char *recipient, bool inbound, struct delivery *delivery)
{
    struct letter letter = { .sender = "<alice@example.org>",
                             .to = { recipient },
                             .header = "From: alice@example.org\r\nTo: bob@example.net\r\n",
                             .body = "hello\r\n",
                             .inbound = inbound };

    world_send(&world, &letter, delivery);
}

static void
an_address_that_another_rule_may_hold_for_is_refused(void **state)
{
    static const char *const routed[] = {
        "<bob%example.net@example.org>",
        "<\"bob@example.net\"@example.org>",
        "<\"bob\\@example.net\"@example.org>",
        "<example.net!bob@example.org>",
        "<example.org!example.net!bob@example.org>",
        "<bob%example.org%example.net@example.org>",
        "<bob%example.net%example.org@example.org>",
        "<%@example.org>",
        "<!@example.org>",
        "<a%example.org%example.org%example.org%example.org%example.org%example.org%example.org"
        "%example.org%example.org@example.org>",
    };
    size_t i;

    (void)state;
    world_configure(&world, exempt);
    for (i = 0; i < sizeof(routed) / sizeof(routed[0]); i++) {
        struct delivery delivery;

        send_to(routed[i], false, &delivery);
        if (delivery.answer.kind != FLOW_REFUSE || delivery.answer.code != 553)
            print_message("%s: %d %s\n", routed[i], delivery.answer.code, delivery.answer.text);
        assert_int_equal(delivery.answer.kind, FLOW_REFUSE);
        assert_int_equal(delivery.answer.code, 553);
        assert_string_equal(delivery.answer.enhanced, "5.1.3");
        delivery_free(&delivery);
    }
}

static void
what_an_mta_alone_can_read_as_an_address_is_refused(void **state)
{
    static const char *const spellings[] = {
        "<@example.com:bob@example.net>",
        "<bob @example.net>",
        "<bob(x)@example.net>",
        "<bob@example.net(x)>",
        "<b\\ob@example.net>",
        "<<bob@example.net>>",
        "<\"Bob\" <bob@example.net>>",
        "<bob@example.net\t>",
        "<x:bob@example.net;>",
        "<bob>",
        "<\"bob\">",
        "<bob%example.net>",
        "bob",
        "<bob@example.net,x@y.net>",
    };
    static const char *const configurations[] = {
        "user \"bob@example.net\" {\n must_encrypt = yes\n}\nrule \"all\" {\n smime = no\n}",
        "rule \"bob\" {\n recipient = bob@example.net\n sign = never\n encrypt = always\n}\n"
        "rule \"all\" {\n smime = no\n}",
    };
    struct delivery delivery;

    (void)state;
    for (size_t k = 0; k < sizeof configurations / sizeof *configurations; k++) {
        world_configure(&world, configurations[k]);
        for (size_t i = 0; i < sizeof spellings / sizeof *spellings; i++) {
            send_to(spellings[i], false, &delivery);
            if (delivery.answer.code != 553)
                fail_msg("%s: %d %s", spellings[i], delivery.answer.code, delivery.answer.text);
            assert_string_equal(delivery.answer.enhanced, "5.1.3");
            delivery_free(&delivery);
        }
        send_to("<dave@example.net>", false, &delivery);
        assert_int_equal(delivery.answer.kind, FLOW_CONTINUE);
        delivery_free(&delivery);
    }
    /* Nothing hangs on who he is. */
    world_configure(&world, "rule \"all\" {\n sign = always\n}");
    send_to("<bob>", false, &delivery);
    assert_int_equal(delivery.answer.kind, FLOW_CONTINUE);
    delivery_free(&delivery);
}

static void
an_address_that_one_rule_holds_for_is_taken_however_it_is_read(void **state)
{
    static const char *const same[] = {
        "<carol@example.org>",
        "<\"two words\"@example.org>",
        "<carol%example.org@example.org>",
        "<example.org!carol@example.org>",
    };
    size_t i;

    (void)state;
    world_configure(&world, exempt);
    for (i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
        struct delivery delivery;

        send_to(same[i], false, &delivery);
        assert_int_not_equal(delivery.answer.kind, FLOW_REFUSE);
        assert_int_not_equal(delivery.answer.kind, FLOW_DEFER);
        delivery_free(&delivery);
    }
}

static void
inbound_mail_is_not_judged_by_where_it_may_go(void **state)
{
    struct delivery delivery;

    (void)state;
    world_configure(&world, exempt);
    send_to("<bob%example.net@example.org>", true, &delivery);
    assert_int_not_equal(delivery.answer.kind, FLOW_REFUSE);
    delivery_free(&delivery);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_that_another_rule_may_hold_for_is_refused),
        cmocka_unit_test(what_an_mta_alone_can_read_as_an_address_is_refused),
        cmocka_unit_test(an_address_that_one_rule_holds_for_is_taken_however_it_is_read),
        cmocka_unit_test(inbound_mail_is_not_judged_by_where_it_may_go),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
