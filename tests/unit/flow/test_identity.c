#include "tests/unit/flow/letters.h"

#include "flow/automatic.h"

/* Rewriting, to the octet; the table of senders is in tests/e2e/test_identity.py. */

static const char people[] = "dn: uid=alice,dc=example,dc=org\n"
                             "objectClass: inetOrgPerson\n"
                             "uid: alice\ncn: Alice\nsn: A\n"
                             "proxyAddresses: SMTP:alice@example.org\n"
                             "proxyAddresses: smtp:a@example.org\n"
                             "proxyAddresses: smtp:sales@example.org\n";

static void
configure(const char *options)
{
    char rules[600];

    world_write(&world, "people.ldif", span_str(people));
    snprintf(rules, sizeof rules,
             "%s\ndirectory \"people\" { ldif = %s/people.ldif }\n"
             "rule \"all\" {\n sign = always\n no_signing_certificate = unsigned\n }",
             options, world.folder);
    world_configure(&world, rules);
}

static void
deliver(const char *from, const char *envelope, struct delivery *delivery)
{
    static char header[3000];
    struct letter letter = letter_to_bob();

    snprintf(header, sizeof header, "From:%s\r\nTo: bob@example.net\r\n", from);
    letter.header = header;
    letter.sender = envelope;
    letter.login = "alice";
    world_send(&world, &letter, delivery);
}

static void
names_comments_and_folding_stay_as_they_are(void **state)
{
    static const struct {
        const char *from, *becomes;
    } rows[] = {
        { " sales@example.org", " alice@example.org" },
        { "sales@example.org", "alice@example.org" },
        { " Alice <sales@example.org>", " Alice <alice@example.org>" },
        { " \"A, \\\"B\\\" <x>\" <sales@example.org> (c (d))",
          " \"A, \\\"B\\\" <x>\" <alice@example.org> (c (d))" },
        { " =?utf-8?q?S=C3=A4les?=\r\n\t<sales@example.org>\r\n (at work)",
          " =?utf-8?q?S=C3=A4les?=\r\n\t<alice@example.org>\r\n (at work)" },
        { " (a) \"sales\"@EXAMPLE.ORG", " (a) alice@example.org" },
        { " S\xc3\xa4les < sales@example.org >", " S\xc3\xa4les < alice@example.org >" },
    };

    (void)state;
    configure("secondary_address = rewrite");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct delivery delivery;
        char wanted[500];

        deliver(rows[i].from, "sales@example.org", &delivery);
        assert_delivered(&delivery);
        snprintf(wanted, sizeof wanted, "From:%s\r\n", rows[i].becomes);
        assert_non_null(strstr(buf_str(&delivery.message), wanted));
        assert_string_equal(delivery.sender, "alice@example.org");
        assert_true(delivery.replaced);
        delivery_free(&delivery);
    }
}

/* "alice" is longer than "a": a line of 996 octets would become one of 1000. */
static void
a_line_that_would_be_too_long_is_refused(void **state)
{
    char from[1100];

    (void)state;
    configure("secondary_address = rewrite");
    for (int n = 0; n < 2; n++) {
        struct delivery delivery;
        size_t name = n ? 971 : 970; /* From: "xxx" <a@example.org> */

        snprintf(from, sizeof from, " \"%0*d\" <a@example.org>", (int)name, 0);
        assert_int_equal(strlen("From:") + strlen(from) + strlen("lice"), 998 + n);
        deliver(from, "alice@example.org", &delivery);
        if (n)
            assert_reply(&delivery, 550, "5.7.1", "a@example.org is not your primary address");
        else
            assert_delivered(&delivery);
        delivery_free(&delivery);
    }
}

static void
a_dry_run_changes_nothing(void **state)
{
    static const char *const options[] = { "sender_identity = log\nsecondary_address = rewrite",
                                           "sender_identity = log", "sender_identity = off" };

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct delivery delivery;

        configure(options[i]);
        deliver(" Alice <sales@example.org>", "sales@example.org", &delivery);
        assert_delivered(&delivery);
        assert_non_null(strstr(buf_str(&delivery.message), "From: Alice <sales@example.org>\r\n"));
        assert_string_equal(delivery.sender, "");
        delivery_free(&delivery);
    }
}

static const char *
automatic(const char *fields)
{
    struct mime_header *header = NULL;
    struct err err = ERR_INIT;
    bool is = false;

    assert_int_equal(mime_header_new(100000, 100, &header, &err), ERR_OK);
    assert_int_equal(mime_header_parse(header, span_str(fields), &err), ERR_OK);
    assert_int_equal(flow_automatic_find(header, &is, &err), ERR_OK);
    mime_header_free(&header);
    return is ? "yes" : "no";
}

static void
what_says_that_it_is_automatic_is_seen(void **state)
{
    (void)state;
    assert_string_equal(automatic("Auto-Submitted: auto-replied\r\n"), "yes");
    assert_string_equal(automatic("auto-submitted: Auto-Generated; x=y (z)\r\n"), "yes");
    assert_string_equal(automatic("Auto-Submitted: (no) auto-notified\r\n"), "yes");
    assert_string_equal(automatic("Content-Type: multipart/report; report-type=x\r\n"), "yes");
    assert_string_equal(automatic("Auto-Submitted: no\r\nAuto-Submitted: yes\r\n"), "yes");
    assert_string_equal(automatic("Auto-Submitted: no\r\n"), "no");
    assert_string_equal(automatic("Auto-Submitted: NO (auto)\r\n"), "no");
    assert_string_equal(automatic("Auto-Submitted:\r\n"), "no");
    assert_string_equal(automatic("Content-Type: multipart/mixed\r\n"), "no");
    assert_string_equal(automatic("Subject: multipart/report\r\n"), "no");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_comments_and_folding_stay_as_they_are),
        cmocka_unit_test(a_line_that_would_be_too_long_is_refused),
        cmocka_unit_test(a_dry_run_changes_nothing),
        cmocka_unit_test(what_says_that_it_is_automatic_is_seen),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
