#include "tests/unit/flow/letters.h"

/* ---- encrypting --------------------------------------------------------------------------------
 */

static void
everybody_named_and_the_sender_can_read_it(void **state)
{
    struct letter letter = letter_to_bob();
    struct delivery delivery;
    char *content;

    (void)state;
    world_configure(&world, "rule \"all\" {\n sign = never\n encrypt = always\n"
                            " encrypt_also = vault@example.org\n }");
    letter.header = mime_header_text;
    letter.body = umlauts;
    letter.to[1] = "Carol@EXAMPLE.net";
    world_send(&world, &letter, &delivery);
    assert_delivered(&delivery);
    world_write(&world, "sealed", buf_span(&delivery.message));
    decrypt_as("bob", "sealed", "opened");
    content = world_read(&world, "opened", NULL);
    assert_non_null(strstr(content, umlauts));
    free(content);
    decrypt_as("carol", "sealed", "opened");
    decrypt_as("alice", "sealed", "opened");
    decrypt_as("vault", "sealed", "opened");
    assert_false(can_decrypt("gate", "sealed"));
    delivery_free(&delivery);
}

static void
sign_and_encrypt_puts_the_signature_inside(void **state)
{
    static const char *const formats[] = { "clear", "opaque" };
    static const char *const ciphers[] = { "aes256-cbc", "aes128-gcm" };
    struct letter letter = letter_to_bob();
    struct delivery delivery;
    char rules[300];

    (void)state;
    letter.header = mime_header_text;
    letter.body = umlauts;
    for (int i = 0; i < 4; i++) {
        snprintf(rules, sizeof rules,
                 "rule \"all\" {\n sign = always\n encrypt = always\n sign_format = %s\n"
                 " cipher = %s\n key_transport = %s\n}",
                 formats[i & 1], ciphers[i >> 1], i >> 1 ? "oaep" : "pkcs1");
        world_configure(&world, rules);
        world_send(&world, &letter, &delivery);
        assert_delivered(&delivery);
        assert_int_equal(count_fields(outer_header(&delivery), "Content-"), 4);
        world_write(&world, "sealed", buf_span(&delivery.message));
        decrypt_as("bob", "sealed", "opened");
        free(verified_content("opened"));
        delivery_free(&delivery);
    }
}

static void
a_recipient_without_a_certificate_refuses_the_message_by_name(void **state)
{
    static const struct {
        const char *to, *word;
    } cases[] = { { "dave@example.net", "dave@example.net" },
                  { "erin@example.net", "erin@example.net" },
                  { "frank@example.net", "frank@example.net" },
                  { "not an address", "not an address" } };
    struct letter letter = letter_to_bob();
    struct delivery delivery;

    (void)state;
    world_configure(&world, "rule \"all\" {\n sign = always\n encrypt = always\n }");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        letter.to[1] = cases[i].to;
        world_send(&world, &letter, &delivery);
        assert_reply(&delivery, 550, "5.7.1", cases[i].word);
        assert_null(strstr(delivery.answer.text, "bob@example.net"));
        delivery_free(&delivery);
    }
}

static void
encryption_that_is_not_possible_is_left_out_where_the_rule_allows_it(void **state)
{
    struct letter letter = letter_to_bob();
    struct delivery delivery;

    (void)state;
    world_configure(&world, "rule \"all\" {\n sign = always\n encrypt = if-possible\n }");
    world_send(&world, &letter, &delivery);
    assert_delivered(&delivery);
    assert_non_null(strstr(outer_header(&delivery), "enveloped-data"));
    delivery_free(&delivery);
    letter.to[1] = "dave@example.net";
    world_send(&world, &letter, &delivery);
    assert_delivered(&delivery);
    assert_non_null(strstr(outer_header(&delivery), "multipart/signed"));
    delivery_free(&delivery);
}

static void
a_sender_whose_certificate_could_not_be_asked_for_waits_for_his_copy(void **state)
{
    struct letter letter = letter_to_bob();
    struct delivery delivery;

    (void)state;
    letter.sender = "zed@example.org";
    letter.header = "From: zed@example.org\r\nTo: bob@example.net\r\n";
    world_configure(&world, "rule \"all\" {\n sign = never\n encrypt = always\n }");
    world_send(&world, &letter, &delivery);
    assert_reply(&delivery, 451, "4.7.1", "sender's own certificate");
    delivery_free(&delivery);
}

static void
could_not_ask_is_451_and_never_plain(void **state)
{
    struct letter letter = letter_to_bob();
    struct delivery delivery;
    char path[300], away[300];

    (void)state;
    snprintf(path, sizeof path, "%s/crls/sub.crl", world.folder);
    snprintf(away, sizeof away, "%s/away.crl", world.folder);
    assert_int_equal(rename(path, away), 0);
    world_configure(&world, "rule \"all\" {\n sign = never\n encrypt = if-possible\n }");
    world_send(&world, &letter, &delivery);
    assert_reply(&delivery, 451, "4.7.1", "bob@example.net");
    delivery_free(&delivery);
    world_configure(&world,
                    "rule \"all\" {\n sign = always\n no_signing_certificate = unsigned\n }");
    world_send(&world, &letter, &delivery);
    assert_reply(&delivery, 451, "4.7.1", "alice@example.org");
    delivery_free(&delivery);
    assert_int_equal(rename(away, path), 0);
}

static void
a_hidden_recipient_is_not_shown_to_the_others(void **state)
{
    struct letter letter = letter_to_bob();
    struct delivery delivery;

    (void)state;
    world_configure(&world, "rule \"all\" {\n sign = never\n encrypt = always\n }");
    letter.to[1] = "carol@example.net";
    world_send(&world, &letter, &delivery);
    assert_reply(&delivery, 550, "5.7.1", "carol@example.net");
    delivery_free(&delivery);
}

static void
an_additional_recipient_without_a_certificate_stops_what_must_be_encrypted(void **state)
{
    struct letter letter = letter_to_bob();
    struct delivery delivery;

    (void)state;
    world_configure(&world, "rule \"all\" {\n sign = never\n encrypt = always\n"
                            " encrypt_also = vault@example.org lost@example.org\n }");
    world_send(&world, &letter, &delivery);
    assert_reply(&delivery, 550, "5.7.1", "lost@example.org");
    delivery_free(&delivery);
    world_configure(&world, "rule \"all\" {\n sign = never\n encrypt = if-possible\n"
                            " encrypt_also = lost@example.org\n }");
    world_send(&world, &letter, &delivery);
    assert_delivered(&delivery);
    assert_int_equal(delivery.edits, 0);
    delivery_free(&delivery);
}

static void
a_sender_without_a_certificate_has_no_copy_and_the_message_goes(void **state)
{
    struct letter letter = letter_to_bob();
    struct delivery delivery;

    (void)state;
    letter.sender = "dave@example.org";
    letter.header = "From: dave@example.org\r\nTo: bob@example.net\r\n";
    world_configure(&world, "rule \"all\" {\n sign = never\n encrypt = always\n }");
    world_send(&world, &letter, &delivery);
    assert_delivered(&delivery);
    assert_non_null(strstr(delivery.explain, "sender-copy: dave@example.org: none"));
    world_write(&world, "sealed", buf_span(&delivery.message));
    decrypt_as("bob", "sealed", "opened");
    assert_false(can_decrypt("alice", "sealed"));
    delivery_free(&delivery);
}

/* ---- already encrypted -------------------------------------------------------------------------
 */

static void
what_is_encrypted_passes_as_it_is(void **state)
{
    struct letter letter = letter_to_bob();
    struct delivery first, second;
    char *header;

    (void)state;
    world_configure(&world, "rule \"all\" {\n sign = always\n encrypt = always\n }");
    world_send(&world, &letter, &first);
    assert_delivered(&first);
    header = strdup(outer_header(&first));
    letter.header = header;
    letter.body = buf_str(&first.body);
    letter.to[0] = "dave@example.net";
    world_send(&world, &letter, &second);
    assert_delivered(&second);
    assert_int_equal(second.edits, 0);
    assert_non_null(strstr(second.explain, "structure: already encrypted"));
    delivery_free(&second);
    delivery_free(&first);
    free(header);
}

static void
pgp_mime_passes_where_the_rule_says_that_it_is_encrypted(void **state)
{
    struct letter letter = letter_to_bob();
    struct delivery delivery;

    (void)state;
    letter.header = "From: alice@example.org\r\nTo: bob@example.net\r\nMIME-Version: 1.0\r\n"
                    "Content-Type: multipart/encrypted; boundary=b;\r\n"
                    " protocol=\"application/pgp-encrypted\"\r\n";
    letter.body = "--b\r\nContent-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n--b\r\n"
                  "Content-Type: application/octet-stream\r\n\r\n-----BEGIN PGP MESSAGE-----\r\n"
                  "\r\nhAMBAgPSBAEJCQk=\r\n-----END PGP MESSAGE-----\r\n--b--\r\n";
    world_configure(&world, "rule \"all\" {\n sign = always\n encrypt = always\n"
                            " pgp_is_encrypted = yes\n }");
    world_send(&world, &letter, &delivery);
    assert_delivered(&delivery);
    assert_int_equal(delivery.edits, 0);
    delivery_free(&delivery);
    world_configure(&world, "rule \"all\" {\n sign = always\n encrypt = always\n }");
    world_send(&world, &letter, &delivery);
    assert_delivered(&delivery);
    assert_true(delivery.replaced);
    delivery_free(&delivery);
}

struct disguise {
    const char *name, *header, *before, *after;
    bool text; /* the body is plain text, no CMS object */
};

static void
a_disguise_is_plain_text(void **state)
{
#define ENVELOPED \
    "Content-Type: application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m\r\n"
#define BASE64 "Content-Transfer-Encoding: base64\r\n"
    static const struct disguise disguises[] = {
        { "the type alone", ENVELOPED BASE64, "c2VjcmV0IHBsYW5z\r\n", "", true },
        { "no encoding", ENVELOPED, "secret plans\r\n", "", true },
        { "text behind the object", ENVELOPED BASE64, "", "\r\nsecret plans !\r\n", false },
        { "text behind the padding", ENVELOPED BASE64, "", "====\r\nsecretplans\r\n", false },
        { "text before the object", ENVELOPED BASE64, "-- secret plans --\r\n", "", false },
        { "two content types", ENVELOPED "Content-Type: text/plain\r\n" BASE64, "", "", false },
        { "two types of one field",
          "Content-Type: application/pkcs7-mime; smime-type=enveloped-data; "
          "smime-type=x\r\n" BASE64,
          "", "", false },
        { "a comment in the type", "Content-Type: application/(text/plain)pkcs7-mime\r\n" BASE64,
          "", "", false },
        { "a file name", "Content-Type: application/octet-stream; name=smime.p7m\r\n" BASE64, "",
          "", false },
        { "a part of a multipart", "Content-Type: multipart/mixed; boundary=b\r\n",
          "--b\r\n\r\nsecret plans\r\n--b\r\n" ENVELOPED BASE64 "\r\n", "\r\n--b--\r\n", false },
        { "two encodings", ENVELOPED BASE64 "Content-Transfer-Encoding: 7bit\r\n", "", "", false },
        { "an unknown encoding", ENVELOPED "Content-Transfer-Encoding: x-base64\r\n", "", "",
          false },
        { "PGP by name",
          "Content-Type: multipart/encrypted; boundary=b;"
          " protocol=\"application/pgp-encrypted\"\r\n",
          "--b\r\nContent-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n--b\r\n\r\n"
          "-----BEGIN PGP MESSAGE-----\r\n\r\nc2VjcmV0IHBsYW5z\r\n-----END PGP MESSAGE-----\r\n"
          "--b--\r\n",
          "", true },
    };
    struct letter letter = letter_to_bob();
    struct delivery sealed, delivery;
    char header[2000], body[20000];

    (void)state;
    world_configure(&world, "rule \"all\" {\n sign = never\n encrypt = always\n"
                            " pgp_is_encrypted = yes\n }");
    world_send(&world, &letter, &sealed);
    assert_delivered(&sealed);
    for (size_t i = 0; i < sizeof disguises / sizeof disguises[0]; i++) {
        const struct disguise *one = &disguises[i];

        snprintf(header, sizeof header,
                 "From: alice@example.org\r\nTo: bob@example.net\r\n"
                 "MIME-Version: 1.0\r\n%s",
                 one->header);
        snprintf(body, sizeof body, "%s%s%s", one->before, one->text ? "" : buf_str(&sealed.body),
                 one->after);
        letter.header = header;
        letter.body = body;
        world_send(&world, &letter, &delivery);
        assert_delivered(&delivery);
        if (!delivery.replaced || strstr(buf_str(&delivery.message), "secret plans"))
            fail_msg("got through: %s\n%s", one->name, delivery.explain);
        world_write(&world, "sealed", buf_span(&delivery.message));
        decrypt_as("bob", "sealed", "opened");
        delivery_free(&delivery);
    }
    delivery_free(&sealed);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everybody_named_and_the_sender_can_read_it),
        cmocka_unit_test(sign_and_encrypt_puts_the_signature_inside),
        cmocka_unit_test(a_recipient_without_a_certificate_refuses_the_message_by_name),
        cmocka_unit_test(encryption_that_is_not_possible_is_left_out_where_the_rule_allows_it),
        cmocka_unit_test(a_sender_whose_certificate_could_not_be_asked_for_waits_for_his_copy),
        cmocka_unit_test(could_not_ask_is_451_and_never_plain),
        cmocka_unit_test(a_hidden_recipient_is_not_shown_to_the_others),
        cmocka_unit_test(
            an_additional_recipient_without_a_certificate_stops_what_must_be_encrypted),
        cmocka_unit_test(a_sender_without_a_certificate_has_no_copy_and_the_message_goes),
        cmocka_unit_test(what_is_encrypted_passes_as_it_is),
        cmocka_unit_test(pgp_mime_passes_where_the_rule_says_that_it_is_encrypted),
        cmocka_unit_test(a_disguise_is_plain_text),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
