#include "tests/unit/flow/world.h"

static struct world world;

static const char plain_header[] = "Received: from x by y;\r\n Mon, 1 Jan 2026 00:00:00 +0000\r\n"
                                   "From: Alice <alice@example.org>\r\n"
                                   "To: bob@example.net\r\n"
                                   "Subject: a test\r\n";
static const char mime_header_text[] = "mime-version: 1.0\r\n"
                                       "From: Alice <alice@example.org>\r\n"
                                       "CONTENT-type: text/plain;\r\n charset=utf-8\r\n"
                                       "To: bob@example.net, carol@example.net\r\n"
                                       "Content-Transfer-Encoding: 8bit\r\n"
                                       "Subject: a test\r\n"
                                       "MIME-Version: 1.0\r\n"
                                       "Content-Language: de\r\n";
static const char umlauts[] = "Gr\xc3\xbc\xc3\x9f"
                              "e,\r\n\r\nFrom here on  \r\n.\r\nend\r\n";

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

static struct letter
letter_to_bob(void)
{
    return (struct letter){ .sender = "<alice@example.org>",
                            .to = { "<bob@example.net>" },
                            .header = plain_header,
                            .body = "hello\r\n" };
}

static const char *
outer_header(const struct delivery *delivery)
{
    static char header[20000];
    const char *end = strstr(buf_str(&delivery->message), "\r\n\r\n");

    assert_non_null(end);
    snprintf(header, sizeof header, "%.*s\r\n", (int)(end - buf_str(&delivery->message)),
             buf_str(&delivery->message));
    return header;
}

static size_t
count_fields(const char *header, const char *prefix)
{
    size_t count = 0;

    for (const char *line = header; line && *line; line = strchr(line, '\n')) {
        line += *line == '\n';
        count += strncasecmp(line, prefix, strlen(prefix)) == 0;
    }
    return count;
}

/* openssl's word on a signed message: the content that was signed, freed by the caller. */
static char *
verified_content(const char *file)
{
    if (!world_run(&world,
                   "openssl cms -verify -in %s -CAfile anchors/root.pem -certfile sub.pem "
                   "-out content",
                   file))
        fail_msg("openssl does not verify: %s", world_read(&world, "log", NULL));
    return world_read(&world, "content", NULL);
}

static void
decrypt_as(const char *name, const char *in, const char *out)
{
    if (!world_run(&world,
                   "openssl cms -decrypt -binary -in %s -recip %s.pem -inkey %s.pem -out %s", in,
                   name, name, out))
        fail_msg("%s cannot decrypt: %s", name, world_read(&world, "log", NULL));
}

static bool
can_decrypt(const char *name, const char *in)
{
    return world_run(&world,
                     "openssl cms -decrypt -binary -in %s -recip %s.pem -inkey %s.pem -out nothing",
                     in, name, name);
}

static void
assert_reply(const struct delivery *delivery, int code, const char *enhanced, const char *text)
{
    if (delivery->answer.code != code || strcmp(delivery->answer.enhanced, enhanced) != 0 ||
        !strstr(delivery->answer.text, text))
        fail_msg("reply %d %s %s\n%s", delivery->answer.code, delivery->answer.enhanced,
                 delivery->answer.text, delivery->explain);
    assert_int_equal(delivery->edits, 0);
    assert_false(delivery->replaced);
}

static void
assert_delivered(const struct delivery *delivery)
{
    if (delivery->answer.kind != FLOW_CONTINUE)
        fail_msg("reply %d %s %s\n%s", delivery->answer.code, delivery->answer.enhanced,
                 delivery->answer.text, delivery->explain);
}

/* ---- signing -----------------------------------------------------------------------------------
 */

static void
a_message_is_clear_signed_and_openssl_agrees(void **state)
{
    static const size_t pieces[] = { 1, 2, 3, 7, 64, 4096, 65535 };
    struct letter letter = letter_to_bob();
    struct delivery delivery;
    char *content;

    (void)state;
    world_configure(&world, "rule \"all\" { sign = always }");
    letter.header = mime_header_text;
    letter.body = umlauts;
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        letter.piece = pieces[i];
        world_send(&world, &letter, &delivery);
        assert_delivered(&delivery);
        assert_true(delivery.replaced);
        world_write(&world, "signed", buf_span(&delivery.message));
        content = verified_content("signed");
        assert_non_null(strstr(content, "CONTENT-type: text/plain"));
        assert_non_null(strstr(content, "Content-Language: de"));
        assert_non_null(strstr(content, "Gr=C3=BC=C3=9Fe"));
        assert_null(strstr(content, "\nFrom "));
        assert_null(strstr(content, "Subject"));
        free(content);
        delivery_free(&delivery);
    }
}

static void
the_outer_header_keeps_what_is_not_content(void **state)
{
    struct letter letter = letter_to_bob();
    struct delivery delivery;
    const char *header;

    (void)state;
    world_configure(&world, "rule \"all\" { sign = always }");
    letter.header = mime_header_text;
    world_send(&world, &letter, &delivery);
    assert_delivered(&delivery);
    header = outer_header(&delivery);
    assert_int_equal(count_fields(header, "MIME-Version:"), 1);
    assert_int_equal(count_fields(header, "Content-Type: multipart/signed"), 1);
    assert_int_equal(count_fields(header, "Content-Type:"), 1);
    assert_int_equal(count_fields(header, "Content-Language:"), 0);
    assert_int_equal(count_fields(header, "Content-Transfer-Encoding:"), 0);
    assert_int_equal(count_fields(header, "Subject: a test"), 1);
    assert_int_equal(count_fields(header, "From: Alice"), 1);
    assert_non_null(strstr(header, "protocol=\"application/pkcs7-signature\""));
    assert_non_null(strstr(header, "micalg=sha-256"));
    delivery_free(&delivery);
}

static void
a_message_without_mime_fields_and_without_a_body_is_signed(void **state)
{
    struct letter letter = letter_to_bob();
    struct delivery delivery;

    (void)state;
    world_configure(&world, "rule \"all\" { sign = always }");
    letter.body = "";
    world_send(&world, &letter, &delivery);
    assert_delivered(&delivery);
    world_write(&world, "signed", buf_span(&delivery.message));
    free(verified_content("signed"));
    delivery_free(&delivery);
}

static void
an_opaque_signature_is_made_where_the_rule_asks_for_it(void **state)
{
    struct letter letter = letter_to_bob();
    struct delivery delivery;
    char *content;

    (void)state;
    world_configure(&world,
                    "rule \"all\" {\n sign = always\n sign_format = opaque\n digest = sha512\n }");
    world_send(&world, &letter, &delivery);
    assert_delivered(&delivery);
    assert_int_equal(count_fields(outer_header(&delivery), "Content-Type: application/pkcs7-mime"),
                     1);
    world_write(&world, "signed", buf_span(&delivery.message));
    content = verified_content("signed");
    assert_non_null(strstr(content, "hello\r\n"));
    free(content);
    delivery_free(&delivery);
}

static void
what_cannot_be_clear_signed_is_signed_opaque(void **state)
{
    struct letter letter = letter_to_bob();
    struct delivery delivery;

    (void)state;
    world_configure(&world, "rule \"all\" { sign = always }");
    letter.header = "From: alice@example.org\r\nTo: bob@example.net\r\nMIME-Version: 1.0\r\n"
                    "Content-Type: multipart/mixed; boundary=b\r\n";
    letter.body = "--b\r\nContent-Type: text/plain; name=\"\xc3\xbc\"\r\n\r\nx\r\n--b--\r\n";
    world_send(&world, &letter, &delivery);
    assert_delivered(&delivery);
    assert_int_equal(count_fields(outer_header(&delivery), "Content-Type: application/pkcs7-mime"),
                     1);
    assert_non_null(strstr(delivery.explain, "only opaque"));
    world_write(&world, "signed", buf_span(&delivery.message));
    free(verified_content("signed"));
    delivery_free(&delivery);
}

static void
what_is_signed_is_not_signed_again_but_encrypted(void **state)
{
    struct letter letter = letter_to_bob();
    struct delivery first, second;
    char *header;

    (void)state;
    for (int opaque = 0; opaque < 2; opaque++) {
        world_configure(&world, opaque ? "rule \"all\" {\n sign = always\n sign_format = opaque\n }"
                                       : "rule \"all\" { sign = always }");
        letter = letter_to_bob();
        world_send(&world, &letter, &first);
        assert_delivered(&first);
        header = strdup(outer_header(&first));
        letter.header = header;
        letter.body = buf_str(&first.body);
        world_send(&world, &letter, &second);
        assert_delivered(&second);
        assert_int_equal(second.edits, 0);
        assert_non_null(strstr(second.explain, "structure: already signed"));
        delivery_free(&second);

        world_configure(&world, "rule \"all\" {\n sign = always\n encrypt = always\n }");
        world_send(&world, &letter, &second);
        assert_delivered(&second);
        world_write(&world, "sealed", buf_span(&second.message));
        decrypt_as("bob", "sealed", "opened");
        free(verified_content("opened"));
        delivery_free(&second);
        delivery_free(&first);
        free(header);
    }
}

static void
what_only_looks_signed_is_signed(void **state)
{
#define SIGNED \
    "Content-Type: multipart/signed; protocol=\"application/pkcs7-signature\"; boundary=b\r\n"
#define PART "--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n"
#define SIGNATURE                                                                     \
    "--b\r\nContent-Type: application/pkcs7-signature\r\nContent-Transfer-Encoding: " \
    "base64\r\n\r\n"
    /* SignedData without a signer, and with content. */
#define EMPTY "MCMGCSqGSIb3DQEHAqAWMBQCAQExADALBgkqhkiG9w0BBwExAA==\r\n"
    static const struct {
        const char *header, *body;
    } cases[] = {
        { SIGNED, PART "--b--\r\n" },
        { SIGNED, PART SIGNATURE "bm8gc2lnbmF0dXJl\r\n--b--\r\n" },
        { SIGNED, PART SIGNATURE EMPTY "--b--\r\n" },
        { SIGNED, PART PART SIGNATURE EMPTY "--b--\r\n" },
        { SIGNED, PART "--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b--\r\n" },
        { SIGNED, "hello\r\n" },
        { "Content-Type: multipart/signed; protocol=\"application/pgp-signature\"; boundary=b\r\n",
          PART "--b\r\nContent-Type: application/pgp-signature\r\n\r\nx\r\n--b--\r\n" },
        { "Content-Type: application/pkcs7-mime; smime-type=signed-data\r\n"
          "Content-Transfer-Encoding: base64\r\n",
          EMPTY },
        { "Content-Type: application/pkcs7-signature; name=smime.p7s\r\n", "x\r\n" },
    };
    struct letter letter = letter_to_bob();
    struct delivery delivery;
    char header[1000];

    (void)state;
    world_configure(&world, "rule \"all\" { sign = always }");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        snprintf(header, sizeof header,
                 "From: alice@example.org\r\nTo: bob@example.net\r\nMIME-Version: 1.0\r\n%s",
                 cases[i].header);
        letter.header = header;
        letter.body = cases[i].body;
        world_send(&world, &letter, &delivery);
        assert_delivered(&delivery);
        if (!delivery.replaced)
            fail_msg("case %zu was taken for signed\n%s", i, delivery.explain);
        world_write(&world, "signed", buf_span(&delivery.message));
        free(verified_content("signed"));
        delivery_free(&delivery);
    }
}

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
a_signature_names_the_certificate_to_answer_with(void **state)
{
    struct letter letter = letter_to_bob();
    struct delivery delivery;
    char *text;

    (void)state;
    world_configure(&world, "rule \"all\" { sign = always }");
    world_send(&world, &letter, &delivery);
    assert_delivered(&delivery);
    world_write(&world, "signed", buf_span(&delivery.message));
    assert_true(world_run(&world, "openssl cms -cmsout -print -noout -in signed"));
    text = world_read(&world, "log", NULL);
    assert_non_null(strstr(text, "id-smime-aa-encrypKeyPref"));
    free(text);
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

/* ---- who may send ------------------------------------------------------------------------------
 */

static void
a_sender_without_a_key_is_refused_unsigned_or_spoken_for(void **state)
{
    struct letter letter = letter_to_bob();
    struct delivery delivery;
    char *log;

    (void)state;
    letter.sender = "dave@example.org";
    letter.header = "From: dave@example.org\r\nTo: bob@example.net\r\nSubject: x\r\n";
    world_configure(&world, "rule \"all\" { sign = always }");
    world_send(&world, &letter, &delivery);
    assert_reply(&delivery, 550, "5.7.1", "dave@example.org");
    delivery_free(&delivery);

    world_configure(&world,
                    "rule \"all\" {\n sign = always\n no_signing_certificate = unsigned\n }");
    world_send(&world, &letter, &delivery);
    assert_delivered(&delivery);
    assert_int_equal(delivery.edits, 0);
    delivery_free(&delivery);

    world_configure(&world, "rule \"all\" {\n sign = always\n no_signing_certificate = domain\n"
                            " sign_as = gate@example.org\n }");
    world_send(&world, &letter, &delivery);
    assert_delivered(&delivery);
    world_write(&world, "signed", buf_span(&delivery.message));
    free(verified_content("signed"));
    assert_true(world_run(&world, "openssl cms -verify -in signed -CAfile anchors/root.pem -signer "
                                  "who -out /dev/null && openssl x509 -in who -noout -email"));
    log = world_read(&world, "log", NULL);
    assert_non_null(strstr(log, "gate@example.org"));
    free(log);
    delivery_free(&delivery);
}

static void
a_sender_who_is_not_whom_the_message_names_is_refused(void **state)
{
    static const char *const headers[] = {
        "From: carol@example.org\r\nTo: bob@example.net\r\n",
        "From: alice@example.org, carol@example.org\r\nTo: bob@example.net\r\n",
        "From: alice@example.org\r\nFrom: carol@example.org\r\nTo: bob@example.net\r\n",
        "To: bob@example.net\r\n",
        "From: x:alice@example.org;\r\nTo: bob@example.net\r\n",
    };
    struct letter letter = letter_to_bob();
    struct delivery delivery;

    (void)state;
    world_configure(&world, "rule \"all\" { sign = always }");
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        letter.header = headers[i];
        world_send(&world, &letter, &delivery);
        assert_reply(&delivery, 550, "5.7.1", "");
        delivery_free(&delivery);
    }
}

static void
the_directory_says_who_a_login_is(void **state)
{
    static const char people[] = "dn: uid=alice,dc=example,dc=org\n"
                                 "objectClass: inetOrgPerson\n"
                                 "uid: alice\ncn: Alice\nsn: A\n"
                                 "mail: alice@example.org\n"
                                 "proxyAddresses: SMTP:alice@example.org\n"
                                 "proxyAddresses: smtp:sales@example.org\n\n"
                                 "dn: uid=dave,dc=example,dc=org\n"
                                 "objectClass: inetOrgPerson\n"
                                 "uid: dave\ncn: Dave\nsn: D\nmail: dave@example.org\n";
    static const struct {
        const char *login, *from;
        int code;
        const char *text;
    } cases[] = {
        { "alice", "alice@example.org", 0, "" },
        { "ALICE@example.org", "alice@example.org", 0, "" },
        { NULL, "alice@example.org", 0, "" },
        { "alice", "sales@example.org", 550, "primary" },
        { "alice", "dave@example.org", 550, "not your address" },
        { "nobody", "alice@example.org", 550, "not known" },
        { NULL, "zoe@example.org", 550, "not known" },
    };
    char rules[600], header[300];

    (void)state;
    world_write(&world, "people.ldif", span_str(people));
    for (int mode = 0; mode < 3; mode++) {
        static const char *const modes[] = { "enforce", "log", "off" };

        snprintf(rules, sizeof rules,
                 "sender_identity = %s\ndirectory \"people\" { ldif = %s/people.ldif }\n"
                 "rule \"all\" {\n sign = always\n no_signing_certificate = unsigned\n }",
                 modes[mode], world.folder);
        world_configure(&world, rules);
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
            struct letter letter = letter_to_bob();
            struct delivery delivery;

            snprintf(header, sizeof header, "From: %s\r\nTo: bob@example.net\r\n", cases[i].from);
            letter.header = header;
            letter.sender = cases[i].from;
            letter.login = cases[i].login;
            world_send(&world, &letter, &delivery);
            if (mode == 0 && cases[i].code)
                assert_reply(&delivery, cases[i].code, "5.7.1", cases[i].text);
            else
                assert_delivered(&delivery);
            assert_int_equal(strstr(delivery.explain, "identity: ") != NULL, mode < 2);
            delivery_free(&delivery);
        }
    }
}

static void
outbound_mail_comes_from_one_of_our_domains(void **state)
{
    struct letter letter = letter_to_bob();
    struct delivery delivery;

    (void)state;
    world_configure(&world, "local_domains = example.com org\n");
    world_send(&world, &letter, &delivery);
    assert_reply(&delivery, 550, "5.7.1", "domain");
    delivery_free(&delivery);
    world_configure(&world, "local_domains = example.com EXAMPLE.org\n");
    world_send(&world, &letter, &delivery);
    assert_delivered(&delivery);
    delivery_free(&delivery);
    letter.sender = "<>";
    world_configure(&world, "local_domains = example.com\n");
    world_send(&world, &letter, &delivery);
    assert_delivered(&delivery);
    delivery_free(&delivery);
}

/* ---- what passes, and what does not fit --------------------------------------------------------
 */

static void
mail_that_no_rule_protects_has_no_edits_and_its_body_is_not_wanted(void **state)
{
    struct letter letter = letter_to_bob();
    struct delivery delivery;

    (void)state;
    world_configure(&world, "rule \"off\" { smime = no }");
    world_send(&world, &letter, &delivery);
    assert_delivered(&delivery);
    assert_true(delivery.skipped);
    assert_int_equal(delivery.edits, 0);
    delivery_free(&delivery);
    world_configure(&world, "");
    world_send(&world, &letter, &delivery);
    assert_delivered(&delivery);
    assert_int_equal(delivery.edits, 0);
    delivery_free(&delivery);
}

static void
bounds_are_named_in_the_reply(void **state)
{
    struct letter letter = letter_to_bob();
    struct delivery delivery;
    size_t n = 200000;
    char *big = malloc(n + 1);

    (void)state;
    memset(big, 'x', n);
    big[n] = 0;
    world_configure(&world, "max_message = 64KiB\nmax_recipients = 2\nmax_header = 64KiB\n"
                            "rule \"all\" { sign = always }");
    letter.body = big;
    world_send(&world, &letter, &delivery);
    assert_reply(&delivery, 552, "5.3.4", "65536");
    delivery_free(&delivery);

    letter = letter_to_bob();
    letter.to[1] = letter.to[2] = "carol@example.net";
    world_send(&world, &letter, &delivery);
    assert_reply(&delivery, 452, "4.5.3", "2 recipients");
    delivery_free(&delivery);

    letter = letter_to_bob();
    memcpy(big, "From: alice@example.org\r\nX: ", 28);
    letter.header = big;
    world_send(&world, &letter, &delivery);
    assert_reply(&delivery, 552, "5.3.4", "");
    delivery_free(&delivery);
    free(big);
}

static void
a_structure_beyond_every_bound_is_refused_only_where_it_must_be_protected(void **state)
{
    struct letter letter = letter_to_bob();
    struct delivery delivery;
    char *body = malloc(40000);
    size_t n = 0;

    (void)state;
    for (int i = 0; i < 1200; i++)
        n += (size_t)sprintf(body + n, "--b\r\n\r\nx\r\n");
    sprintf(body + n, "--b--\r\n");
    letter.header = "From: alice@example.org\r\nTo: bob@example.net\r\nMIME-Version: 1.0\r\n"
                    "Content-Type: multipart/mixed; boundary=b\r\n";
    letter.body = body;
    world_configure(&world, "rule \"all\" { sign = always }");
    world_send(&world, &letter, &delivery);
    assert_reply(&delivery, 554, "5.6.0", "");
    delivery_free(&delivery);
    letter.sender = "dave@example.org";
    letter.header = "From: dave@example.org\r\nTo: bob@example.net\r\nMIME-Version: 1.0\r\n"
                    "Content-Type: multipart/mixed; boundary=b\r\n";
    world_configure(&world,
                    "rule \"all\" {\n sign = always\n no_signing_certificate = unsigned\n }");
    world_send(&world, &letter, &delivery);
    assert_delivered(&delivery);
    assert_int_equal(delivery.edits, 0);
    delivery_free(&delivery);
    free(body);
}

static void
a_spool_that_cannot_be_written_defers(void **state)
{
    struct letter letter = letter_to_bob();
    struct delivery delivery;
    char *big = malloc(100001), path[300], away[300];

    (void)state;
    memset(big, 'x', 100000);
    big[100000] = 0;
    letter.body = big;
    world_configure(&world,
                    "spool_memory = 4KiB\nrule \"all\" {\n sign = never\n encrypt = always\n }");
    snprintf(path, sizeof path, "%s/spool", world.folder);
    snprintf(away, sizeof away, "%s/spool.away", world.folder);
    assert_int_equal(rename(path, away), 0);
    world_send(&world, &letter, &delivery);
    assert_reply(&delivery, 451, "4.3.0", "");
    assert_null(strstr(delivery.answer.text, "spool"));
    delivery_free(&delivery);
    assert_int_equal(rename(away, path), 0);
    world_send(&world, &letter, &delivery);
    assert_delivered(&delivery);
    assert_true(delivery.replaced);
    delivery_free(&delivery);
    free(big);
}

static void
a_deadline_that_is_over_defers(void **state)
{
    struct letter letter = letter_to_bob();
    struct delivery delivery;

    (void)state;
    world_configure(&world, "rule \"all\" {\n sign = always\n encrypt = always\n }");
    letter.deadline_ms = -10;
    world_send(&world, &letter, &delivery);
    assert_reply(&delivery, 451, "4.7.1", "");
    delivery_free(&delivery);
}

static void
a_message_can_end_at_every_step(void **state)
{
    struct flow_client client = { .host = "x" };
    struct flow_message *message = NULL;
    struct flow_answer answer;
    struct err err = ERR_INIT;

    (void)state;
    world_configure(&world, "rule \"all\" {\n sign = always\n encrypt = always\n }");
    for (int steps = 0; steps < 7; steps++) {
        assert_int_equal(flow_message_new(world.services, &client, &message, &err), ERR_OK);
        if (steps > 0)
            flow_message_sender(message, "alice@example.org", &answer);
        if (steps > 1)
            flow_message_recipient(message, "bob@example.net", &answer);
        if (steps > 2)
            flow_message_header(message, span_str("From"), span_str(" alice@example.org"), &answer);
        if (steps > 3)
            flow_message_eoh(message, &answer);
        if (steps > 4)
            flow_message_write(message, span_str("x\r\n"), &answer);
        if (steps > 5)
            flow_message_finish(message, clock_monotonic_ms() + 60000, &answer);
        assert_true(flow_message_bytes(message) < 10000);
        flow_message_log(message);
        flow_message_log(message);
        flow_message_free(&message);
        assert_null(message);
    }
    flow_message_free(&message);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_is_clear_signed_and_openssl_agrees),
        cmocka_unit_test(the_outer_header_keeps_what_is_not_content),
        cmocka_unit_test(a_message_without_mime_fields_and_without_a_body_is_signed),
        cmocka_unit_test(an_opaque_signature_is_made_where_the_rule_asks_for_it),
        cmocka_unit_test(what_cannot_be_clear_signed_is_signed_opaque),
        cmocka_unit_test(what_is_signed_is_not_signed_again_but_encrypted),
        cmocka_unit_test(what_only_looks_signed_is_signed),
        cmocka_unit_test(everybody_named_and_the_sender_can_read_it),
        cmocka_unit_test(sign_and_encrypt_puts_the_signature_inside),
        cmocka_unit_test(a_recipient_without_a_certificate_refuses_the_message_by_name),
        cmocka_unit_test(encryption_that_is_not_possible_is_left_out_where_the_rule_allows_it),
        cmocka_unit_test(
            an_additional_recipient_without_a_certificate_stops_what_must_be_encrypted),
        cmocka_unit_test(a_sender_without_a_certificate_has_no_copy_and_the_message_goes),
        cmocka_unit_test(a_sender_whose_certificate_could_not_be_asked_for_waits_for_his_copy),
        cmocka_unit_test(a_signature_names_the_certificate_to_answer_with),
        cmocka_unit_test(could_not_ask_is_451_and_never_plain),
        cmocka_unit_test(a_hidden_recipient_is_not_shown_to_the_others),
        cmocka_unit_test(what_is_encrypted_passes_as_it_is),
        cmocka_unit_test(pgp_mime_passes_where_the_rule_says_that_it_is_encrypted),
        cmocka_unit_test(a_disguise_is_plain_text),
        cmocka_unit_test(a_sender_without_a_key_is_refused_unsigned_or_spoken_for),
        cmocka_unit_test(a_sender_who_is_not_whom_the_message_names_is_refused),
        cmocka_unit_test(the_directory_says_who_a_login_is),
        cmocka_unit_test(outbound_mail_comes_from_one_of_our_domains),
        cmocka_unit_test(mail_that_no_rule_protects_has_no_edits_and_its_body_is_not_wanted),
        cmocka_unit_test(bounds_are_named_in_the_reply),
        cmocka_unit_test(a_structure_beyond_every_bound_is_refused_only_where_it_must_be_protected),
        cmocka_unit_test(a_spool_that_cannot_be_written_defers),
        cmocka_unit_test(a_deadline_that_is_over_defers),
        cmocka_unit_test(a_message_can_end_at_every_step),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
