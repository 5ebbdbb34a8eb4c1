#include "flow/people.h"
#include "flow/state.h"
#include "tests/unit/flow/letters.h"

static const char people[] =
    "dn: uid=alice,dc=corp\nobjectClass: inetOrgPerson\nuid: alice\nmail: alice@example.org\n\n"
    "dn: uid=bob,dc=corp\nobjectClass: inetOrgPerson\nmail: bob@example.net\n\n"
    "dn: uid=carol,dc=corp\nobjectClass: inetOrgPerson\nmail: carol@example.net\n"
    "mail: carol.old@example.org\n\n"
    "dn: uid=dave,dc=corp\nobjectClass: inetOrgPerson\nmail: dave@example.net\n\n"
    "dn: cn=team,dc=corp\nobjectClass: groupOfNames\nmail: team@example.org\n"
    "member: uid=bob,dc=corp\nmember: cn=inner,dc=corp\n\n"
    "dn: cn=inner,dc=corp\nobjectClass: groupOfNames\nmail: inner@example.org\n"
    "member: uid=carol,dc=corp\nmember: cn=team,dc=corp\n\n"
    "dn: cn=some,dc=corp\nobjectClass: groupOfNames\nmail: some@example.org\n"
    "member: uid=carol,dc=corp\nmember: uid=dave,dc=corp\n\n"
    "dn: cn=stale,dc=corp\nobjectClass: groupOfNames\nmail: stale@example.org\n"
    "member: uid=bob,dc=corp\nmember: uid=gone,dc=corp\n\n"
    "dn: cn=plain,dc=corp\nobjectClass: groupOfNames\nmail: plain@example.org\n"
    "member: uid=bob,dc=corp\nmember: uid=dave,dc=corp\n\n"
    "dn: cn=vault,dc=corp\nobjectClass: groupOfNames\nmail: vault@example.org\n"
    "member: uid=carol,dc=corp\n\n"
    "dn: cn=all,dc=corp\nobjectClass: nisMailAlias\ncn: all\nmail: all@example.org\n"
    "rfc822MailMember: bob@example.net\nrfc822MailMember: carol.old@example.org\n";

static const char carol[] = "user \"carol@example.net\" {\n must_encrypt = yes\n}\n";

static void
configure(const char *rule, const char *more)
{
    char text[2000];

    world_write(&world, "people.ldif", span_str(people));
    snprintf(text, sizeof text,
             "%s\ndirectory \"people\" {\n ldif = %s/people.ldif\n}\nrule \"all\" {\n %s\n}", more,
             world.folder, rule);
    world_configure(&world, text);
}

static void
send_to(const char *to, struct delivery *delivery)
{
    char header[1000], envelope[1000];
    struct letter letter = letter_to_bob();

    snprintf(header, sizeof header, "From: alice@example.org\r\nTo: %s\r\n", to);
    snprintf(envelope, sizeof envelope, "<%s>", to);
    letter.header = header;
    letter.to[0] = envelope;
    world_send(&world, &letter, delivery);
}

static void
assert_explains(const struct delivery *delivery, const char *text)
{
    if (!strstr(delivery->explain, text))
        fail_msg("no \"%s\" in\n%s", text, delivery->explain);
}

static void
assert_sealed(const struct delivery *delivery)
{
    assert_delivered(delivery);
    if (!delivery->replaced || !strstr(outer_header(delivery), "enveloped-data"))
        fail_msg("it left in plain\n%s", delivery->explain);
    world_write(&world, "sealed", buf_span(&delivery->message));
}

static const char *const mild[] = {
    "smime = no",
    "sign = never\n encrypt = never",
    "sign = always\n encrypt = never",
    "sign = never\n encrypt = default-off",
    "sign = never\n encrypt = if-possible",
    "sign = never\n encrypt = always\n no_certificate = plain",
    "sign = always\n encrypt = always\n no_certificate = sign",
    "sign = never\n encrypt = never\n calendar = pass\n automatic = pass",
};

enum { MILD = sizeof mild / sizeof mild[0] };

/* ---- kept -------------------------------------------------------------------------------------
 */

static void
a_kept_group_is_encrypted_where_a_member_must_be_whatever_the_rule_says(void **state)
{
    struct delivery delivery;

    (void)state;
    for (size_t i = 0; i < MILD; i++) {
        configure(mild[i], carol);
        /* bob, and carol by a group in it. */
        send_to("team@example.org", &delivery);
        assert_sealed(&delivery);
        assert_string_equal(delivery.envelope, "");
        decrypt_as("bob", "sealed", "opened");
        decrypt_as("carol", "sealed", "opened");
        assert_false(can_decrypt("vault", "sealed"));
        assert_explains(&delivery, "must encrypt: team@example.org: a section user or domain says "
                                   "so of carol@example.net");
        delivery_free(&delivery);
        /* One of the others has no certificate: nobody gets it. */
        send_to("some@example.org", &delivery);
        assert_reply(&delivery, 550, "5.7.1", "dave@example.net");
        delivery_free(&delivery);
    }
}

static void
a_group_in_a_group_that_must_be_encrypted_to_counts(void **state)
{
    struct delivery delivery;

    (void)state;
    configure("smime = no", "user \"inner@example.org\" {\n must_encrypt = yes\n}\n");
    send_to("team@example.org", &delivery);
    assert_sealed(&delivery);
    delivery_free(&delivery);
    /* Whoever wrote the alias may have taken another address of hers. */
    configure("smime = no", "user \"carol.old@example.org\" {\n must_encrypt = yes\n}\n");
    send_to("all@example.org", &delivery);
    assert_sealed(&delivery);
    delivery_free(&delivery);
}

static void
a_group_of_others_leaves_as_its_rule_says(void **state)
{
    struct delivery delivery;

    (void)state;
    configure("smime = no", carol);
    send_to("plain@example.org", &delivery);
    assert_delivered(&delivery);
    assert_false(delivery.replaced);
    delivery_free(&delivery);
    send_to("nobody@elsewhere.example", &delivery);
    assert_delivered(&delivery);
    assert_false(delivery.replaced);
    delivery_free(&delivery);
    /* An exception from the domain's. */
    configure("smime = no", "domain \"example.net\" {\n must_encrypt = yes\n}\n"
                            "user \"bob@example.net\" {\n must_encrypt = no\n}\n"
                            "user \"dave@example.net\" {\n must_encrypt = no\n}\n");
    send_to("plain@example.org", &delivery);
    assert_delivered(&delivery);
    assert_false(delivery.replaced);
    delivery_free(&delivery);
    send_to("team@example.org", &delivery);
    assert_sealed(&delivery);
    delivery_free(&delivery);
}

static void
another_address_of_a_person_is_no_way_around(void **state)
{
    struct delivery delivery;

    (void)state;
    configure("smime = no", carol);
    send_to("carol.old@example.org", &delivery);
    assert_sealed(&delivery);
    decrypt_as("carol", "sealed", "opened");
    delivery_free(&delivery);
}

static void
a_group_with_a_certificate_of_its_own_is_encrypted_to_it(void **state)
{
    struct delivery delivery;

    (void)state;
    configure("sign = never\n encrypt = never", carol);
    send_to("vault@example.org", &delivery);
    assert_sealed(&delivery);
    decrypt_as("vault", "sealed", "opened");
    delivery_free(&delivery);
}

static void
a_group_whose_members_cannot_be_told_does_not_leave_in_plain(void **state)
{
    struct delivery delivery;
    char globals[400];

    (void)state;
    for (size_t i = 0; i < MILD; i++) {
        snprintf(globals, sizeof globals, "group_depth = 1\n%s", carol);
        configure(mild[i], globals);
        send_to("team@example.org", &delivery);
        assert_reply(&delivery, 550, "5.7.1", "group_depth");
        delivery_free(&delivery);
        snprintf(globals, sizeof globals, "group_members = 1\n%s", carol);
        configure(mild[i], globals);
        send_to("plain@example.org", &delivery);
        assert_reply(&delivery, 550, "5.7.1", "group_members");
        delivery_free(&delivery);
    }
    configure("smime = no", carol);
    send_to("stale@example.org", &delivery);
    assert_reply(&delivery, 550, "5.7.1", "uid=gone,dc=corp");
    delivery_free(&delivery);
    snprintf(globals, sizeof globals, "group_unknown_member = skip\n%s", carol);
    configure("smime = no", globals);
    send_to("stale@example.org", &delivery);
    assert_delivered(&delivery);
    assert_false(delivery.replaced);
    delivery_free(&delivery);
}

static void
a_directory_that_cannot_be_asked_defers_and_only_where_it_must_be_asked(void **state)
{
    static const char silent[] = "directory \"silent\" {\n servers = \"ldap://127.0.0.1:1\"\n"
                                 " base = \"dc=corp\"\n starttls = no\n}\n";
    struct delivery delivery;
    char globals[600];

    (void)state;
    for (size_t i = 0; i < MILD; i++) {
        snprintf(globals, sizeof globals, "%s%s", silent, carol);
        configure(mild[i], globals);
        send_to("nobody@elsewhere.example", &delivery);
        assert_reply(&delivery, 451, "4.7.1", "");
        delivery_free(&delivery);
        /* Found in the second directory; the first one may know a group of that address. */
        send_to("dave@example.net", &delivery);
        assert_reply(&delivery, 451, "4.7.1", "");
        delivery_free(&delivery);
    }
    configure("smime = no", silent);
    send_to("team@example.org", &delivery);
    assert_delivered(&delivery);
    assert_false(delivery.replaced);
    delivery_free(&delivery);
}

/* ---- replaced ----------------------------------------------------------------------------------
 */

static void
a_member_in_the_place_of_his_group_keeps_his_own_must(void **state)
{
    static const char dave[] = "user \"dave@example.net\" {\n must_encrypt = yes\n}\n";
    static const char *const rules[] = {
        "sign = never\n encrypt = never\n groups = replace",
        "sign = never\n encrypt = always\n no_certificate = plain\n groups = replace",
        "sign = always\n encrypt = always\n no_certificate = sign\n groups = replace",
        "sign = never\n encrypt = if-possible\n group_fallback = replace",
    };
    struct delivery delivery;

    (void)state;
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        configure(rules[i], dave);
        send_to("some@example.org", &delivery);
        assert_reply(&delivery, 550, "5.7.1", "dave@example.net");
        delivery_free(&delivery);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_kept_group_is_encrypted_where_a_member_must_be_whatever_the_rule_says),
        cmocka_unit_test(a_group_in_a_group_that_must_be_encrypted_to_counts),
        cmocka_unit_test(a_group_of_others_leaves_as_its_rule_says),
        cmocka_unit_test(another_address_of_a_person_is_no_way_around),
        cmocka_unit_test(a_group_with_a_certificate_of_its_own_is_encrypted_to_it),
        cmocka_unit_test(a_group_whose_members_cannot_be_told_does_not_leave_in_plain),
        cmocka_unit_test(a_directory_that_cannot_be_asked_defers_and_only_where_it_must_be_asked),
        cmocka_unit_test(a_member_in_the_place_of_his_group_keeps_his_own_must),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
