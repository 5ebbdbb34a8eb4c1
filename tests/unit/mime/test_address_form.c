/* One address: the form in which it is compared, equality, patterns.   RFC 5321 4.1.2, RFC 9598 3
 */
#include <time.h>

#include "addresses.h"

static void
an_address_has_one_form_to_compare(void **state)
{
    (void)state;
    const struct {
        struct span address;
        const char *wanted; /* NULL: refused */
    } cases[] = {
        { LITERAL("a@b.example"), "a@b.example" },
        { LITERAL("Ab.C@B.EXAMPLE"), "Ab.C@b.example" },
        { LITERAL("\"a\"@b"), "a@b" },
        { LITERAL("\"a b\"@c"), "\"a b\"@c" },
        { LITERAL("\"a@b\"@c"), "\"a@b\"@c" },
        { LITERAL("\"\\a\\\"\"@c"), "\"a\\\"\"@c" },
        { LITERAL("a..b@c"), "\"a..b\"@c" },
        { LITERAL("\"a..b\"@c"), "\"a..b\"@c" },
        { LITERAL("a@[IPv6:2001:DB8::1]"), "a@[ipv6:2001:db8::1]" },
        { LITERAL("a@under_score.example"), "a@under_score.example" },
        { LITERAL("a@B\xc3\x9c"
                  "CHER.Example"),
          "a@xn--bcher-kva.example" },
        { LITERAL("a@b\xc3\xbc"
                  "cher.example"),
          "a@xn--bcher-kva.example" },
        { LITERAL("a@bu\xcc\x88"
                  "cher.example"),
          "a@xn--bcher-kva.example" },
        { LITERAL("a@XN--BCHER-KVA.example"), "a@xn--bcher-kva.example" },
        { LITERAL("a@stra\xc3\x9f"
                  "e.example"),
          "a@xn--strae-oqa.example" },
        { LITERAL("a@b\xe3\x80\x82"
                  "c"),
          "a@b.c" },
        { LITERAL("\xc3\xbc@b"), "\xc3\xbc@b" },
        { LITERAL(""), NULL },
        { LITERAL("a"), NULL },
        { LITERAL("@b"), NULL },
        { LITERAL("a@"), NULL },
        { LITERAL("\"\"@b"), NULL },
        { LITERAL("a@b@c"), NULL },
        { LITERAL("<a@b>"), NULL },
        { LITERAL("\"a<\"@b"), NULL },
        { LITERAL(" a@b"), NULL },
        { LITERAL("a@b "), NULL },
        { LITERAL("a@b\n"), NULL },
        { LITERAL("victim@x \n"), NULL },
        { LITERAL("a @b"), NULL },
        { LITERAL("a@ b"), NULL },
        { LITERAL("a@b\0"), NULL },
        { LITERAL("a@b\0.c"), NULL },
        { LITERAL("a\0@b"), NULL },
        { LITERAL("\"a\0\"@b"), NULL },
        { LITERAL("\"a\tb\"@c"), NULL },
        { LITERAL("a\x01@b"), NULL },
        { LITERAL("a\x7f@b"), NULL },
        { LITERAL("a@b."), NULL },
        { LITERAL("a@.b"), NULL },
        { LITERAL("a@b..c"), NULL },
        { LITERAL("a@-b"), NULL },
        { LITERAL("a@b-.c"), NULL },
        { LITERAL("a@b-"), NULL },
        { LITERAL("a@b/c"), NULL },
        { LITERAL("a@b\xe3\x80\x82"), NULL },
        { LITERAL("a@\xef\xbc\x9c"
                  "b"),
          NULL },
        { LITERAL("a@b\xff"), NULL },
        { LITERAL("\xff@b"), NULL },
        { LITERAL("a,b@c"), NULL },
        { LITERAL("a(b)@c"), NULL },
        { LITERAL("a\\b@c"), NULL },
        { LITERAL("a\"b\"@c"), NULL },
        { LITERAL("\"a\"b@c"), NULL },
        { LITERAL("\"a@b"), NULL },
        { LITERAL("\"a\\"), NULL },
        { LITERAL("a@[]"), NULL },
        { LITERAL("a@[1"), NULL },
        { LITERAL("a@[1]2"), NULL },
        { LITERAL("a@[x@y]"), NULL },
        { LITERAL("a@b, c@d"), NULL },
        { LITERAL("a@aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), NULL },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err err = ERR_INIT;
        char out[MIME_ADDRESS_SIZE];
        struct span copy = exact(cases[i].address);
        enum err_code code = mime_address_format(copy, out, &err);
        const char *wanted = cases[i].wanted ? cases[i].wanted : "";
        if (code != (cases[i].wanted ? ERR_OK : ERR_PERM) || strcmp(out, wanted) != 0) {
            print_message("%.*s: %d %s\n", SPAN_ARG(cases[i].address), code, out);
            fail();
        }
        exact_free(copy);
        if (code != ERR_OK)
            continue;
        /* The form of the form is itself. */
        char again[MIME_ADDRESS_SIZE];
        assert_int_equal(mime_address_format(span_str(out), again, &err), ERR_OK);
        assert_string_equal(out, again);
    }
}

/* RFC 9598 3. Sixty marks on one letter are a way to spend memory and time, not a name. */
static void
local_parts_are_compared_in_nfc(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    char out[MIME_ADDRESS_SIZE];
    char marked[128] = "u";
    assert_int_equal(mime_address_format(span_str("u\xcc\x88@b"), out, &err), ERR_OK);
    assert_string_equal(out, "\xc3\xbc@b");
    /* The Angstrom sign, and a Greek question mark, which is a semicolon and wants quotes. */
    assert_int_equal(mime_address_format(span_str("\xe2\x84\xab\xcd\xbe@b"), out, &err), ERR_OK);
    assert_string_equal(out, "\"\xc3\x85;\"@b");
    assert_int_equal(mime_address_match("u\xcc\x88*@b", "\xc3\xbcx@b", &err), ERR_OK);
    assert_int_equal(mime_address_match("\xc3\xbc*@b", "u\xcc\x88x@b", &err), ERR_OK);
    for (int i = 0; i < 30; i++)
        memcpy(marked + 1 + 2 * i, "\xcc\xa3", 3);
    memcpy(marked + 61, "@b", 3);
    assert_int_equal(mime_address_format(span_str(marked), out, &err), ERR_OK);
    memcpy(marked + 61, "\xcc\xa3@b", 5);
    assert_int_equal(mime_address_format(span_str(marked), out, &err), ERR_PERM);
}

static void
what_parse_gives_format_reads(void **state)
{
    (void)state;
    struct mime_addresses *a =
        parsed(LITERAL("\"a \\\"b\"@c, d@[1.2.3.4], \xc3\xbc@\xc3\xbc.de, \"x\".y@z"));
    assert_int_equal(mime_address_count(a), 4);
    for (size_t i = 0; i < 4; i++) {
        struct err err = ERR_INIT;
        char out[MIME_ADDRESS_SIZE];
        assert_int_equal(mime_address_format(span_str(mime_address_get(a, i)), out, &err), ERR_OK);
    }
    mime_address_free(&a);
}

static void
the_longest_address_fits(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    char address[1100];
    char out[MIME_ADDRESS_SIZE];
    size_t n = 0;
    address[n++] = '"';
    while (n < 1 + 2 * 512) {
        address[n++] = '\\';
        address[n++] = '"';
    }
    address[n++] = '"';
    memcpy(address + n, "@b", 2);
    /* 1028 characters are above the 1024 that are looked at; one pair less is not. */
    assert_int_equal(mime_address_format(span_of(address, n + 2), out, &err), ERR_PERM);
    assert_string_equal(out, "");
    err_reset(&err);
    memcpy(address + n - 5, "\"@b", 3);
    assert_int_equal(mime_address_format(span_of(address, n - 2), out, &err), ERR_OK);
    assert_int_equal(strlen(out), n - 2);
}

static void
equality_folds_the_domain_and_the_local_part_only_on_demand(void **state)
{
    (void)state;
    const struct {
        struct span a, b;
        bool exact, folded;
    } cases[] = {
        { LITERAL("a@b"), LITERAL("a@B"), true, true },
        { LITERAL("A@b"), LITERAL("a@b"), false, true },
        { LITERAL("\"a\"@b"), LITERAL("a@b"), true, true },
        { LITERAL("a@xn--bcher-kva.de"),
          LITERAL("a@B\xc3\xbc"
                  "CHER.de"),
          true, true },
        { LITERAL("a@stra\xc3\x9f"
                  "e.de"),
          LITERAL("a@strasse.de"), false, false },
        { LITERAL("\xc3\x9c@b"), LITERAL("\xc3\xbc@b"), false, false },
        { LITERAL("u\xcc\x88@b"), LITERAL("\xc3\xbc@b"), true, true },
        { LITERAL("a@b"), LITERAL("a@b "), false, false },
        { LITERAL("a@b "), LITERAL("a@b "), false, false },
        { LITERAL("a@b\0"), LITERAL("a@b\0"), false, false },
        { LITERAL(""), LITERAL(""), false, false },
        { LITERAL("a@b"), LITERAL("aa@b"), false, false },
        { LITERAL("a@bc"), LITERAL("a@b.c"), false, false },
        { LITERAL("a@b"), LITERAL("a@c"), false, false },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(mime_address_is(cases[i].a, cases[i].b, false), cases[i].exact);
        assert_int_equal(mime_address_is(cases[i].b, cases[i].a, false), cases[i].exact);
        assert_int_equal(mime_address_is(cases[i].a, cases[i].b, true), cases[i].folded);
    }
}

static void
patterns_match_addresses_domains_and_subdomains(void **state)
{
    (void)state;
    const struct {
        const char *pattern, *address;
        bool wanted;
    } cases[] = {
        { "*", "a@b", true },
        { "*", "", true },
        { "*", "no address", true },
        { "a@b", "a@b", true },
        { "a@b", "A@B", true },
        { "a@b", "a@b.c", false },
        { "@b.c", "x@b.c", true },
        { "@b.c", "x@d.b.c", false },
        { "*@b.c", "x@b.c", true },
        { "*@b.c", "x@bb.c", false },
        { "*@B.c", "x@b.C", true },
        { "*@*.b.c", "x@d.b.c", true },
        { "*@*.b.c", "x@e.d.b.c", true },
        { "*@*.b.c", "x@b.c", false },
        { "*@*.b.c", "x@evilb.c", false },
        { "*.b.c", "x@d.b.c", true },
        { "*.b.c", "x@b.c", false },
        { ".b.c", "x@d.b.c", true },
        { ".b.c", "x@b.c", false },
        { ".b.c", "x@evilb.c", false },
        { ".b.c", "x@d.b.c.e", false },
        { "b.c", "x@b.c", false },
        { "b*", "b@c", false },
        { "info*@b", "info-x@b", true },
        { "info*@b", "info@b", true },
        { "*fo@b", "info@b", true },
        { "*a*b*c@d", "xaybzc@d", true },
        { "*a*b*c@d", "xaybz@d", false },
        { "i?fo@b", "info@b", true },
        { "i?fo@b", "ifo@b", false },
        { "i?fo@b",
          "i\xc3\xb1"
          "fo@b",
          true },
        { "i??fo@b",
          "i\xc3\xb1"
          "fo@b",
          false },
        { "a@*", "a@b.c", true },
        { "*@b?.c", "x@b1.c", true },
        { "*@b?.c", "x@b.c", false },
        { "*@b\xc3\xbc"
          "cher.de",
          "x@xn--bcher-kva.de", true },
        { "*@*.b\xc3\x9c"
          "cher.de",
          "x@a.xn--bcher-kva.de", true },
        { ".xn--bcher-kva.de",
          "x@a.b\xc3\xbc"
          "cher.de",
          true },
        { "*@b.c", "\"y@b.c\"@d.e", false },
        { "\"a@b\"@c", "\"a@b\"@c", true },
        { "a@b", "<a@b>", false },
        { "*@*", "a@b ", false },
        { "*@*", "a@b", true },
        { "@", "a@b", false },
        { "", "a@b", false },
        { "a@", "a@b", false },
        { "@\xff", "a@b", false },
        { "@a..b", "a@a..b", false },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err err = ERR_INIT;
        if (mime_address_match(cases[i].pattern, cases[i].address, &err) !=
            (cases[i].wanted ? ERR_OK : ERR_NOTFOUND)) {
            print_message("%s against %s\n", cases[i].pattern, cases[i].address);
            fail();
        }
    }
}

static void
a_pattern_of_many_stars_ends_soon(void **state)
{
    (void)state;
    char pattern[1100], address[600];
    size_t n = 0;
    while (n < 1000) {
        pattern[n++] = '*';
        pattern[n++] = 'a';
    }
    memcpy(pattern + n, "b@c", 4);
    memset(address, 'a', 500);
    memcpy(address + 500, "@c", 3);
    struct err err = ERR_INIT;
    clock_t begin = clock();
    for (int i = 0; i < 100; i++)
        assert_int_equal(mime_address_match(pattern, address, &err), ERR_NOTFOUND);
    assert_true((double)(clock() - begin) / CLOCKS_PER_SEC < 5.0);
    memset(pattern, '*', sizeof pattern - 1);
    pattern[sizeof pattern - 1] = '\0';
    assert_int_equal(mime_address_match(pattern, address, &err), ERR_NOTFOUND);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_has_one_form_to_compare),
        cmocka_unit_test(local_parts_are_compared_in_nfc),
        cmocka_unit_test(what_parse_gives_format_reads),
        cmocka_unit_test(the_longest_address_fits),
        cmocka_unit_test(equality_folds_the_domain_and_the_local_part_only_on_demand),
        cmocka_unit_test(patterns_match_addresses_domains_and_subdomains),
        cmocka_unit_test(a_pattern_of_many_stars_ends_soon),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
