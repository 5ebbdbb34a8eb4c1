#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include <stdlib.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>

#include "pki/fetch_address.h"
#include "pki/fetch_url.h"

static enum err_code
parse(struct span text, bool any_port, struct pki_fetch_url *out)
{
    unsigned char *exact = malloc(text.n ? text.n : 1);
    struct err err = ERR_INIT;
    enum err_code code;

    if (text.n > 0)
        memcpy(exact, text.p, text.n);
    code = pki_fetch_url_parse(span_of(exact, text.n), any_port, out, &err);
    if (code != ERR_OK) {
        assert_int_equal(code, ERR_TEMP);
        assert_string_equal(err.reason, "fetch-refused-url");
    }
    free(exact);
    return code;
}

static void
an_honest_url_is_written_anew(void **state)
{
    static const char *const pairs[][2] = {
        { "http://crl.example.org/a.crl", "http://crl.example.org:80/a.crl" },
        { "HTTP://CRL.Example.ORG", "http://crl.example.org:80/" },
        { "https://ca.example.org/A%20b.p7c?x=/", "https://ca.example.org:443/A%20b.p7c?x=/" },
        { "http://xn--bcher-kva.example?q", "http://xn--bcher-kva.example:80/?q" },
        { "http://my_ca.example:443/x", "http://my_ca.example:443/x" },
        { "http://8.8.8.8/x", "http://8.8.8.8:80/x" },
        { "http://[2001:4860:0:0::8888]/x", "http://[2001:4860::8888]:80/x" },
        { "http://1.example/", "http://1.example:80/" },
        { "http://0x7f.example/@:", "http://0x7f.example:80/@:" },
    };
    struct pki_fetch_url url, again;

    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        assert_int_equal(parse(span_str(pairs[i][0]), false, &url), ERR_OK);
        assert_string_equal(url.text, pairs[i][1]);
        assert_int_equal(parse(span_str(url.text), false, &again), ERR_OK);
        assert_string_equal(again.text, url.text);
    }
}

static void
what_two_parsers_may_read_differently_is_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "http",
        "http:",
        "http://",
        "http:///",
        "http://?",
        "http://:80/",
        "http://a:/",
        "http://a:80:80/",
        "http://a:99999/",
        "http://a:0/",
        "http://a:8080/",
        "http://a..b/",
        "http://.a/",
        "http://a./",
        "http://-a/",
        "http://a-/",
        "http://a-.b/",
        "http://a b/",
        "http://a%2eb/",
        "http://a@b/",
        "http://a:b@c/",
        "http://a\\b/",
        "http://a/#b",
        "http://a/<b>",
        "http://a/{b}",
        "http://1.2.3/",
        "http://1.2.3.4.5/",
        "http://256.1.1.1/",
        "http://08.1.1.1/",
        "http://a.1/",
        "http://a.0x1/",
        "http://a.0x/",
        "http://[1.2.3.4]/",
        "http://[::1/",
        "http://[]/",
        "http://[::1]x/",
        "http://[fe80::1%25eth0]/",
        "http://b[::1]/",
        "file:///etc/passwd",
        "ldap:///cn=x",
        "javascript:1",
        "http//a/",
        "httpx://a/",
        "http://a\x7f/",
        "http://a\x80/",
        "http://a/\x01",
        "http://a,b/",
        "http://a;b/",
        "http://a&b/",
        "http://*/",
        "http://a'b/",
        "http://$/",
    };
    struct pki_fetch_url url;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (parse(span_str(bad[i]), false, &url) == ERR_OK)
            fail_msg("%s was taken", bad[i]);
    assert_int_equal(parse(span_of("http://a/\0b", 11), true, &url), ERR_TEMP);
    assert_int_equal(parse(span_str("http://a:8080/"), true, &url), ERR_OK);
}

static void
length_has_a_bound(void **state)
{
    char text[PKI_FETCH_URL_BYTES + 2];
    struct pki_fetch_url url;

    (void)state;
    memset(text, 'a', sizeof text);
    memcpy(text, "http://ca.example.org/", 22);
    assert_int_equal(parse(span_of(text, PKI_FETCH_URL_BYTES), false, &url), ERR_OK);
    assert_int_equal(strlen(url.text), PKI_FETCH_URL_BYTES + 3);
    assert_int_equal(parse(span_of(text, PKI_FETCH_URL_BYTES + 1), false, &url), ERR_TEMP);
    text[7 + 64] = '/'; /* a label of 64 */
    memset(text + 7, 'a', 64);
    assert_int_equal(parse(span_of(text, 100), false, &url), ERR_TEMP);
    text[7 + 63] = '/';
    assert_int_equal(parse(span_of(text, 100), false, &url), ERR_OK);
}

static bool
may_ask(const struct pki_fetch_args *args, const char *text, unsigned port)
{
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };

    if (inet_pton(AF_INET, text, &in.sin_addr) == 1)
        return pki_fetch_address_check(args, (struct sockaddr *)&in);
    assert_int_equal(inet_pton(AF_INET6, text, &in6.sin6_addr), 1);
    return pki_fetch_address_check(args, (struct sockaddr *)&in6);
}

static void
inner_and_special_networks_are_refused(void **state)
{
    static const char *const refused[] = {
        "0.0.0.0",
        "0.255.255.255",
        "10.0.0.0",
        "10.255.255.255",
        "100.64.0.0",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.255",
        "169.254.169.254",
        "172.16.0.0",
        "172.31.255.255",
        "192.0.0.1",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.0.0",
        "192.168.255.255",
        "198.18.0.0",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.0",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::8.8.8.8",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:808:808::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "febf::1",
        "fec0::1",
        "ff02::1",
    };
    static const char *const open[] = {
        "1.1.1.1",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "169.253.255.255",
        "172.15.255.255",
        "172.32.0.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "2001:4860:4860::8888",
        "2606:4700::1",
        "::ffff:8.8.8.8",
        "2003::1",
    };
    const struct pki_fetch_args none = { 0 };

    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (may_ask(&none, refused[i], 80))
            fail_msg("%s may be asked", refused[i]);
    for (size_t i = 0; i < sizeof open / sizeof *open; i++)
        if (!may_ask(&none, open[i], 80))
            fail_msg("%s may not be asked", open[i]);
}

static void
an_exception_opens_what_it_names_and_no_more(void **state)
{
    struct pki_fetch_exception exceptions[2] = { { .port = 8080 }, { .port = 0 } };
    struct network only;
    struct pki_fetch_args args = { .exceptions = exceptions, .exception_count = 2 };
    struct err err = ERR_INIT;

    (void)state;
    assert_int_equal(network_parse("10.1.0.0/16", &exceptions[0].network, &err), ERR_OK);
    assert_int_equal(network_parse("64:ff9b::/96", &exceptions[1].network, &err), ERR_OK);
    assert_true(may_ask(&args, "10.1.2.3", 8080));
    assert_true(may_ask(&args, "::ffff:10.1.2.3", 8080));
    assert_false(may_ask(&args, "10.1.2.3", 80));
    assert_false(may_ask(&args, "10.2.2.3", 8080));
    /* NAT64 is opened, but not to what lies behind it. */
    assert_true(may_ask(&args, "64:ff9b::8.8.8.8", 80));
    assert_false(may_ask(&args, "64:ff9b::127.0.0.1", 80));
    assert_true(may_ask(&args, "64:ff9b::10.1.2.3", 8080));
    assert_int_equal(network_parse("8.8.0.0/16", &only, &err), ERR_OK);
    args.only = &only;
    args.only_count = 1;
    assert_true(may_ask(&args, "8.8.8.8", 80));
    assert_false(may_ask(&args, "8.9.8.8", 80));
    assert_false(may_ask(&args, "10.1.2.3", 8080));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_honest_url_is_written_anew),
        cmocka_unit_test(what_two_parsers_may_read_differently_is_refused),
        cmocka_unit_test(length_has_a_bound),
        cmocka_unit_test(inner_and_special_networks_are_refused),
        cmocka_unit_test(an_exception_opens_what_it_names_and_no_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
