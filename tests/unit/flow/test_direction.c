#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include <cmocka.h>

#include "flow/direction.h"

static struct conf *conf;

static int
setup(void **state)
{
    struct err err = ERR_INIT;

    (void)state;
    return conf_parse("test",
                      "internal_networks = 10.0.0.0/8, 192.0.2.128/25, 2001:db8::/33\n"
                      "outbound_daemons = SUBMISSION BOTH\n"
                      "inbound_daemons = MX BOTH\n",
                      NULL, NULL, &conf, &err);
}

static int
teardown(void **state)
{
    (void)state;
    conf_free(&conf);
    return 0;
}

static const char *
why_for(const char *address, const char *daemon, const char *login, enum conf_direction expected)
{
    struct sockaddr_in in = { .sin_family = AF_INET };
    struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
    struct flow_client client = { .daemon_name = daemon, .login = login };
    const char *why = NULL;

    if (address && inet_pton(AF_INET, address, &in.sin_addr) == 1)
        client.address = (struct sockaddr *)&in;
    else if (address && inet_pton(AF_INET6, address, &in6.sin6_addr) == 1)
        client.address = (struct sockaddr *)&in6;
    assert_int_equal(flow_direction_find(conf, &client, &why), expected);
    return why;
}

static void
networks_are_compared_bit_by_bit(void **state)
{
    (void)state;
    assert_string_equal(why_for("10.255.255.255", NULL, NULL, CONF_DIRECTION_OUT),
                        "internal-network");
    assert_string_equal(why_for("11.0.0.0", NULL, NULL, CONF_DIRECTION_IN), "outside");
    assert_string_equal(why_for("192.0.2.128", NULL, NULL, CONF_DIRECTION_OUT), "internal-network");
    assert_string_equal(why_for("192.0.2.127", NULL, NULL, CONF_DIRECTION_IN), "outside");
    assert_string_equal(why_for("2001:db8:7fff::1", NULL, NULL, CONF_DIRECTION_OUT),
                        "internal-network");
    assert_string_equal(why_for("2001:db8:8000::1", NULL, NULL, CONF_DIRECTION_IN), "outside");
}

static void
an_ipv4_client_of_a_dual_stack_listener_is_the_same_client(void **state)
{
    (void)state;
    assert_string_equal(why_for("::ffff:10.1.2.3", NULL, NULL, CONF_DIRECTION_OUT),
                        "internal-network");
    assert_string_equal(why_for("::ffff:11.1.2.3", NULL, NULL, CONF_DIRECTION_IN), "outside");
}

static void
an_inbound_daemon_wins_over_everything(void **state)
{
    (void)state;
    assert_string_equal(why_for("10.0.0.1", "MX", "alice", CONF_DIRECTION_IN), "inbound-daemon");
    assert_string_equal(why_for("10.0.0.1", "BOTH", "alice", CONF_DIRECTION_IN), "inbound-daemon");
    assert_string_equal(why_for(NULL, "MX", NULL, CONF_DIRECTION_IN), "inbound-daemon");
}

static void
a_login_is_outbound_and_an_empty_one_is_none(void **state)
{
    (void)state;
    assert_string_equal(why_for("203.0.113.1", NULL, "alice", CONF_DIRECTION_OUT), "authenticated");
    assert_string_equal(why_for("203.0.113.1", NULL, "", CONF_DIRECTION_IN), "outside");
    assert_string_equal(why_for("203.0.113.1", "SUBMISSION", NULL, CONF_DIRECTION_OUT),
                        "outbound-daemon");
    assert_string_equal(why_for("203.0.113.1", "submission", NULL, CONF_DIRECTION_IN), "outside");
}

static void
a_local_submission_is_outbound(void **state)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    struct flow_client client = { .address = (struct sockaddr *)&un };
    const char *why = NULL;

    (void)state;
    assert_string_equal(why_for(NULL, NULL, NULL, CONF_DIRECTION_OUT), "local");
    assert_int_equal(flow_direction_find(conf, &client, &why), CONF_DIRECTION_OUT);
    assert_string_equal(why, "local");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(networks_are_compared_bit_by_bit),
        cmocka_unit_test(an_ipv4_client_of_a_dual_stack_listener_is_the_same_client),
        cmocka_unit_test(an_inbound_daemon_wins_over_everything),
        cmocka_unit_test(a_login_is_outbound_and_an_empty_one_is_none),
        cmocka_unit_test(a_local_submission_is_outbound),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
