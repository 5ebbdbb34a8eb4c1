#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "util/network.h"

static struct network
network_of(const char *text)
{
    struct network network;
    struct err err = ERR_INIT;

    assert_int_equal(network_parse(text, &network, &err), ERR_OK);
    return network;
}

static bool
holds(const char *network, const char *address)
{
    struct network one = network_of(network);
    unsigned char *bytes = malloc(16);
    bool found;

    if (inet_pton(AF_INET, address, bytes) == 1) {
        bytes = realloc(bytes, 4);
        found = network_find(&one, 1, AF_INET, bytes);
    } else {
        assert_int_equal(inet_pton(AF_INET6, address, bytes), 1);
        found = network_find(&one, 1, AF_INET6, bytes);
    }
    free(bytes);
    return found;
}

static void
network_holds_its_addresses_and_no_others(void **state)
{
    (void)state;
    assert_true(holds("192.0.2.0/24", "192.0.2.0"));
    assert_true(holds("192.0.2.0/24", "192.0.2.255"));
    assert_false(holds("192.0.2.0/24", "192.0.3.0"));
    assert_false(holds("192.0.2.0/24", "192.0.1.255"));
    assert_true(holds("192.0.2.128/25", "192.0.2.128"));
    assert_false(holds("192.0.2.128/25", "192.0.2.127"));
    assert_true(holds("10.0.0.0/7", "11.255.255.255"));
    assert_false(holds("10.0.0.0/7", "12.0.0.0"));
    assert_true(holds("192.0.2.1", "192.0.2.1"));
    assert_false(holds("192.0.2.1", "192.0.2.2"));
    assert_true(holds("0.0.0.0/0", "203.0.113.9"));
    assert_true(holds("2001:db8::/32", "2001:db8:ffff::1"));
    assert_false(holds("2001:db8::/32", "2001:db9::1"));
    assert_true(holds("2001:db8::8/125", "2001:db8::f"));
    assert_false(holds("2001:db8::8/125", "2001:db8::10"));
    assert_true(holds("::/0", "2001:db8::1"));
    assert_true(holds("::1", "::1"));
}

static void
network_families_are_apart_but_for_mapped_addresses(void **state)
{
    (void)state;
    assert_false(holds("::/0", "192.0.2.1"));
    assert_false(holds("0.0.0.0/0", "2001:db8::1"));
    assert_true(holds("192.0.2.0/24", "::ffff:192.0.2.7"));
    assert_true(holds("::ffff:192.0.2.0/120", "192.0.2.7"));
    assert_false(holds("::ffff:192.0.2.0/120", "192.0.3.7"));
    assert_true(holds("::ffff:192.0.2.0/120", "::ffff:192.0.2.7"));
    /* A client that comes over IPv4 is not in "all of IPv6", however its address is written. */
    assert_false(holds("::/0", "::ffff:192.0.2.7"));
    /* ::192.0.2.7 is an IPv6 address. */
    assert_false(holds("192.0.2.0/24", "::192.0.2.7"));
}

static void
network_refuses_what_is_not_cidr(void **state)
{
    static const char *const bad[] = {
        "",
        "192.0.2",
        "192.0.2.0/",
        "192.0.2.0/33",
        "192.0.2.0/-1",
        "192.0.2.0/ 8",
        "2001::/129",
        "192.0.2.0/+8",
        "192.0.2.0/24 ",
        "192.0.2.0/24x",
        "host",
        "1.2.3.4/0024",
        "192.0.2.1/24",
        "2001:db8::1/64",
        "::ffff:192.0.2.1/120",
        "fe80::1%eth0",
        "[::1]",
        "0x7f.1",
        "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc:dddd:eeee/1",
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct network network;
        struct err err = ERR_INIT;
        char *copy = strdup(bad[i]);

        assert_int_equal(network_parse(copy, &network, &err), ERR_PERM);
        assert_true(err.text[0] != '\0');
        free(copy);
    }
}

static void
network_is_written_as_it_was_read(void **state)
{
    static const char *const texts[] = { "192.0.2.0/24",  "192.0.2.1", "0.0.0.0/0",
                                         "2001:db8::/32", "::1",       "::/0" };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct network network = network_of(texts[i]);
        char out[NETWORK_TEXT_SIZE];

        assert_string_equal(network_format(&network, out), texts[i]);
    }
}

static void
network_finds_socket_addresses(void **state)
{
    struct network list[2] = { network_of("2001:db8::/32"), network_of("127.0.0.0/8") };
    struct sockaddr_in in = { .sin_family = AF_INET };
    struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
    struct sockaddr local = { .sa_family = AF_UNIX };

    (void)state;
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(network_find_sockaddr(list, 2, (struct sockaddr *)&in));
    assert_false(network_find_sockaddr(list, 1, (struct sockaddr *)&in));
    assert_false(network_find_sockaddr(list, 0, (struct sockaddr *)&in));
    assert_int_equal(inet_pton(AF_INET6, "2001:db8::5", &in6.sin6_addr), 1);
    assert_true(network_find_sockaddr(list, 2, (struct sockaddr *)&in6));
    assert_false(network_find_sockaddr(list, 2, &local));
}

static void
servers_have_a_host_and_a_port(void **state)
{
    static const struct {
        const char *text, *host;
        unsigned port;
    } rows[] = { { "127.0.0.1:6379", "127.0.0.1", 6379 },
                 { "redis.example.com:1", "redis.example.com", 1 },
                 { "[2001:db8::1]:65535", "2001:db8::1", 65535 } };
    static const char *const wrong[] = {
        "",         ":",          "host",       "host:",
        ":6379",    "host:0",     "host:65536", "host:99999999999999999999",
        "host: 1",  "host:1 ",    "ho st:1",    "[::1:1",
        "::1:6379", "[x]:1",      "[]:1",       "user@host:1",
        "host:+1",  "unix:/run/x"
    };
    char host[NETWORK_HOST_SIZE], longest[NETWORK_HOST_SIZE + 8];
    struct err err = ERR_INIT;
    unsigned port;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(network_parse_server(rows[i].text, host, &port, &err), ERR_OK);
        assert_string_equal(host, rows[i].host);
        assert_int_equal(port, rows[i].port);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        err_reset(&err);
        if (network_parse_server(wrong[i], host, &port, &err) != ERR_PERM)
            fail_msg("%s was taken", wrong[i]);
    }
    memset(longest, 'a', sizeof longest);
    strcpy(longest + NETWORK_HOST_SIZE, ":1");
    assert_int_equal(network_parse_server(longest, host, &port, &err), ERR_PERM);
    assert_int_equal(network_parse_server(longest + 1, host, &port, &err), ERR_OK);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(network_holds_its_addresses_and_no_others),
        cmocka_unit_test(network_families_are_apart_but_for_mapped_addresses),
        cmocka_unit_test(network_refuses_what_is_not_cidr),
        cmocka_unit_test(network_is_written_as_it_was_read),
        cmocka_unit_test(network_finds_socket_addresses),
        cmocka_unit_test(servers_have_a_host_and_a_port),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
