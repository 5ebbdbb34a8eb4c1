#include "tests/unit/flow/world.h"

static struct world world;
static char *signed_header, *signed_body; /* by openssl, from alice to bob, clear */

static const char *content = "Content-Type: text/plain\r\n\r\nhello bob,\r\nit is alice\r\n";

/* Bare LF becomes CRLF, as SMTP carries it; freed by the caller. */
static char *
with_crlf(const char *text)
{
    char *out = malloc(2 * strlen(text) + 1), *to = out;

    for (; *text; text++) {
        if (*text == '\n' && (to == out || to[-1] != '\r'))
            *to++ = '\r';
        *to++ = *text;
    }
    *to = 0;
    return out;
}

/* Signs `content` with openssl; header (with From and To) and body of the message, freed by the
 * caller. */
static void
sign_with(const char *who, const char *options, const char *from, char **header, char **body)
{
    char *message, *end;
    const char *start;

    world_write(&world, "content", span_str(content));
    if (!world_run(&world,
                   "openssl cms -sign -binary -crlfeol -in content -signer %s.pem -inkey %s.pem "
                   "-certfile sub.pem -out signed %s",
                   who, who, options))
        fail_msg("openssl does not sign: %s", world_read(&world, "log", NULL));
    message = world_read(&world, "signed", NULL);
    end = strstr(message, "\n\n");
    if (strstr(message, "\r\n\r\n"))
        end = strstr(message, "\r\n\r\n") + 2;
    start = end + (end[0] == '\r' ? 2 : end[1] == '\n' ? 2 : 1);
    *body = with_crlf(start);
    *end = 0;
    while (end > message && (end[-1] == '\n' || end[-1] == '\r'))
        *--end = 0;
    assert_true(asprintf(header, "From: %s\nTo: bob@example.net\nSubject: x\n%s\n", from, message) >
                0);
    free(message);
}

static int
setup(void **state)
{
    (void)state;
    world_make(&world);
    sign_with("alice", "", "Alice <alice@example.org>", &signed_header, &signed_body);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    free(signed_header);
    free(signed_body);
    world_free(&world);
    return 0;
}

static struct letter
letter_from_alice(void)
{
    return (struct letter){ .sender = "alice@example.org",
                            .to = { "bob@example.net" },
                            .header = signed_header,
                            .body = signed_body,
                            .inbound = true };
}

/* The first field of the message as it is delivered, unfolded only by eye. */
static const char *
first_line(const struct delivery *delivery)
{
    static char line[2000];

    snprintf(line, sizeof line, "%s", buf_str(&delivery->message));
    return line;
}

static void
expect(const struct letter *letter, const char *result)
{
    struct delivery delivery;
    char wanted[400];

    world_send(&world, letter, &delivery);
    snprintf(wanted, sizeof wanted, "Authentication-Results: mx.example.org;\r\n\tsmime=%s",
             result);
    if (delivery.answer.kind != FLOW_CONTINUE ||
        strncmp(first_line(&delivery), wanted, strlen(wanted)) != 0)
        fail_msg("wanted %s, got %d %s\n%.600s\n%s", result, delivery.answer.code,
                 delivery.answer.text, first_line(&delivery), delivery.explain);
    assert_false(delivery.replaced);
    assert_int_equal(delivery.edits, 1);
    delivery_free(&delivery);
}

static void
a_good_signature_passes_at_every_piece_size(void **state)
{
    static const size_t pieces[] = { 1, 2, 3, 7, 64, 4096, 65535 };
    struct letter letter = letter_from_alice();
    struct delivery delivery;

    (void)state;
    world_configure(&world, "");
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        letter.piece = pieces[i];
        expect(&letter, "pass (ok)\r\n\tbody.smime-identifier=alice@example.org\r\n");
    }
    world_send(&world, &letter, &delivery);
    /* The result field alone: the rest is what came, octet by octet. */
    assert_non_null(strstr(buf_str(&delivery.message), signed_body));
    assert_non_null(strstr(delivery.explain, "verdict: pass (ok)"));
    delivery_free(&delivery);
}

static void
a_changed_octet_fails(void **state)
{
    struct letter letter = letter_from_alice();
    char *body = strdup(signed_body);

    (void)state;
    world_configure(&world, "");
    memcpy(strstr(body, "alice"), "malic", 5);
    letter.body = body;
    expect(&letter, "fail (digest-mismatch");
    free(body);
}

static void
another_name_in_from_fails(void **state)
{
    struct letter letter = letter_from_alice();
    char *header = NULL;

    (void)state;
    world_configure(&world, "");
    assert_true(asprintf(&header, "From: \"alice@example.org\" <mallory@example.org>%s",
                         strchr(signed_header, '\n')) > 0);
    letter.header = header;
    expect(&letter, "fail (identity-mismatch");
    free(header);
}

static void
two_senders_never_pass(void **state)
{
    struct letter letter = letter_from_alice();
    char *header = NULL;

    (void)state;
    world_configure(&world, "");
    assert_true(asprintf(&header, "From: mallory@example.org\n%s", signed_header) > 0);
    letter.header = header;
    expect(&letter, "permerror (from-several");
    free(header);
}

static void
the_right_name_from_the_wrong_authority_fails(void **state)
{
    struct letter letter = letter_from_alice();
    char *header, *body;

    (void)state;
    world_configure(&world, "");
    sign_with("mallory", "", "alice@example.org", &header, &body);
    letter.header = header;
    letter.body = body;
    expect(&letter, "fail (untrusted");
    free(header);
    free(body);
}

static void
expired_and_revoked_signers_fail(void **state)
{
    struct letter letter = letter_from_alice();
    char *header, *body;

    (void)state;
    world_configure(&world, "");
    sign_with("erin", "", "erin@example.net", &header, &body);
    letter.header = header;
    letter.body = body;
    expect(&letter, "fail (cert-expired");
    free(header);
    free(body);
    sign_with("frank", "", "frank@example.net", &header, &body);
    letter.header = header;
    letter.body = body;
    expect(&letter, "fail (revoked");
    free(header);
    free(body);
}

static void
a_weak_digest_is_policy(void **state)
{
    struct letter letter = letter_from_alice();
    char *header, *body;

    (void)state;
    world_configure(&world, "");
    sign_with("alice", "-md sha1", "alice@example.org", &header, &body);
    letter.header = header;
    letter.body = body;
    expect(&letter, "policy (weak-algorithm");
    free(header);
    free(body);
}

static void
opaque_signatures_are_read(void **state)
{
    struct letter letter = letter_from_alice();
    char *header, *body;

    (void)state;
    sign_with("alice", "-nodetach", "alice@example.org", &header, &body);
    letter.header = header;
    letter.body = body;
    world_configure(&world, "");
    expect(&letter, "pass (ok)");
    letter.piece = 1;
    expect(&letter, "pass (ok)");
    free(header);
    free(body);
}

static void
an_opaque_object_beyond_its_bound_is_named(void **state)
{
    struct letter letter = letter_from_alice();
    const char *small = content;
    char *header, *body, *large = malloc(100001);

    (void)state;
    memset(large, 'x', 100000);
    large[100000] = 0;
    memcpy(large, "X: \r\n\r\n", 7);
    content = large;
    sign_with("alice", "-nodetach", "alice@example.org", &header, &body);
    content = small;
    letter.header = header;
    letter.body = body;
    world_configure(&world, "max_opaque = 64KiB\n");
    expect(&letter, "permerror (too-large");
    world_configure(&world, "max_opaque = 128KiB\nspool_memory = 4KiB\n");
    expect(&letter, "pass (ok)");
    free(header);
    free(body);
    free(large);
}

static void
what_is_no_cms_is_permerror_and_passes_marked(void **state)
{
    struct letter letter = letter_from_alice();

    (void)state;
    world_configure(&world, "");
    letter.header = "From: alice@example.org\nContent-Type: application/pkcs7-mime; "
                    "smime-type=signed-data\nContent-Transfer-Encoding: base64\n";
    letter.body = "AAAA\r\n";
    expect(&letter, "permerror (malformed-cms");
    letter.body = "";
    expect(&letter, "permerror (malformed-cms");
    letter.header = "From: alice@example.org\nContent-Type: multipart/signed; "
                    "protocol=\"application/pkcs7-signature\"; boundary=b\n";
    letter.body = "--b\r\n\r\nx\r\n--b--\r\n";
    expect(&letter, "permerror (wrong-parts");
    letter.body = "--b\r\n\r\nx\r\n--b\r\nContent-Type: application/pkcs7-signature\r\n\r\ny\r\n";
    expect(&letter, "permerror (not-closed");
    letter.body = "--b\r\n\r\nx\r\n--b\r\nContent-Type: text/plain\r\n\r\ny\r\n--b--\r\n";
    expect(&letter, "permerror (no-signature-part");
    letter.header = "From: alice@example.org\nContent-Type: multipart/signed; "
                    "protocol=\"application/pkcs7-signature\"\n";
    expect(&letter, "permerror (no-boundary");
}

static void
text_behind_the_signed_part_never_passes(void **state)
{
    struct letter letter = letter_from_alice();
    char *body = NULL;

    (void)state;
    world_configure(&world, "");
    assert_true(asprintf(&body, "%s\r\nsend money\r\n", signed_body) > 0);
    letter.body = body;
    expect(&letter, "neutral (epilogue");
    free(body);
}

static void
a_header_that_readers_understand_differently_never_passes(void **state)
{
    struct letter letter = letter_from_alice();
    char *header = NULL;

    (void)state;
    world_configure(&world, "");
    assert_true(asprintf(&header, "%sContent-Type: text/html\n", signed_header) > 0);
    letter.header = header;
    expect(&letter, "neutral (ambiguous-header");
    free(header);
    assert_true(asprintf(&header, "%sContent-Transfer-Encoding: base64\n", signed_header) > 0);
    letter.header = header;
    expect(&letter, "neutral (ambiguous-encoding");
    free(header);
}

static void
mail_without_a_signature_is_left_alone_or_called_none(void **state)
{
    struct letter letter = letter_from_alice();
    struct delivery delivery;

    (void)state;
    letter.header = "From: alice@example.org\r\nSubject: x\r\n";
    letter.body = "hello\r\n";
    world_configure(&world, "");
    world_send(&world, &letter, &delivery);
    assert_int_equal(delivery.answer.kind, FLOW_CONTINUE);
    assert_int_equal(delivery.edits, 0);
    assert_true(delivery.skipped);
    delivery_free(&delivery);
    world_configure(&world, "result_none = yes\n");
    expect(&letter, "none\r\n");
}

static void
an_encrypted_message_is_none(void **state)
{
    struct letter letter = letter_from_alice();
    char *message, *header = NULL, *body;

    (void)state;
    world_write(&world, "content", span_str(content));
    assert_true(world_run(&world, "openssl cms -encrypt -aes256 -binary -in content -out sealed "
                                  "bob.pem"));
    message = world_read(&world, "sealed", NULL);
    body = strstr(message, "\n\n") + 2;
    body[-2] = 0;
    assert_true(asprintf(&header, "From: alice@example.org\n%s\n", message) > 0);
    letter.header = header;
    letter.body = body;
    world_configure(&world, "result_none = yes\n");
    expect(&letter, "none\r\n");
    free(header);
    free(message);
}

static void
forged_results_of_our_name_go_and_others_stay(void **state)
{
    struct letter letter = letter_from_alice();
    struct delivery delivery;

    (void)state;
    letter.header = "Authentication-Results: MX.example.org 1; smime=pass\r\n"
                    "From: alice@example.org\r\n"
                    "authentication-results:\r\n\t(x) \"mx.example.org\"; smime=pass\r\n"
                    "Authentication-Results: other.example; smime=pass\r\n";
    letter.body = "hello\r\n";
    for (int i = 0; i < 2; i++) {
        world_configure(&world, i ? "rule \"off\" { smime = no }" : "");
        world_send(&world, &letter, &delivery);
        assert_int_equal(delivery.answer.kind, FLOW_CONTINUE);
        assert_int_equal(delivery.edits, 2);
        assert_string_equal(buf_str(&delivery.message),
                            "From: alice@example.org\r\n"
                            "Authentication-Results: other.example; smime=pass\r\n\r\nhello\r\n");
        delivery_free(&delivery);
    }
    /* Outbound mail is not ours to clean. */
    letter.inbound = false;
    world_configure(&world, "");
    world_send(&world, &letter, &delivery);
    assert_int_equal(delivery.edits, 0);
    delivery_free(&delivery);
}

static void
rules_quarantine_refuse_and_defer(void **state)
{
    struct letter letter = letter_from_alice();
    struct delivery delivery;
    char *body = strdup(signed_body);
    char path[300], away[300];

    (void)state;
    memcpy(strstr(body, "alice"), "malic", 5);
    letter.body = body;
    world_configure(&world, "rule \"q\" { on_fail = quarantine }");
    world_send(&world, &letter, &delivery);
    assert_int_equal(delivery.answer.kind, FLOW_CONTINUE);
    assert_non_null(strstr(delivery.quarantine, "digest-mismatch"));
    assert_non_null(strstr(first_line(&delivery), "smime=fail"));
    delivery_free(&delivery);

    world_configure(&world, "rule \"r\" { on_fail = reject }");
    world_send(&world, &letter, &delivery);
    assert_int_equal(delivery.answer.code, 550);
    assert_string_equal(delivery.answer.enhanced, "5.7.1");
    assert_non_null(strstr(delivery.answer.text, "digest-mismatch"));
    assert_int_equal(delivery.edits, 0);
    delivery_free(&delivery);

    /* The most severe rule of all recipients. */
    letter.to[1] = "carol@example.net";
    world_configure(&world, "rule \"c\" {\n recipient = carol@example.net\n on_fail = reject\n }\n"
                            "rule \"rest\" { on_fail = quarantine }");
    world_send(&world, &letter, &delivery);
    assert_int_equal(delivery.answer.code, 550);
    delivery_free(&delivery);
    letter.to[1] = NULL;
    world_send(&world, &letter, &delivery);
    assert_int_equal(delivery.answer.kind, FLOW_CONTINUE);
    assert_true(delivery.quarantine[0]);
    delivery_free(&delivery);
    free(body);

    letter.body = signed_body;
    snprintf(path, sizeof path, "%s/crls/sub.crl", world.folder);
    snprintf(away, sizeof away, "%s/away.crl", world.folder);
    assert_int_equal(rename(path, away), 0);
    world_configure(&world, "");
    expect(&letter, "temperror (revocation-unknown");
    world_configure(&world, "rule \"d\" { on_temperror = defer }");
    world_send(&world, &letter, &delivery);
    assert_int_equal(delivery.answer.code, 451);
    assert_string_equal(delivery.answer.enhanced, "4.7.1");
    delivery_free(&delivery);
    assert_int_equal(rename(away, path), 0);
}

static void
the_path_is_told_certificate_by_certificate(void **state)
{
    struct letter letter = letter_from_alice();
    struct delivery delivery;
    char path[300], away[300];

    (void)state;
    letter.body = signed_body;
    world_configure(&world, "");
    world_send(&world, &letter, &delivery);
    assert_non_null(strstr(delivery.explain, "path: 0: CN=alice"));
    assert_non_null(strstr(delivery.explain, "from message, good by crl from folder, next "));
    assert_non_null(strstr(delivery.explain, "from anchor, anchor"));
    delivery_free(&delivery);
    /* What prefer accepts without a status is said. */
    snprintf(path, sizeof path, "%s/crls/sub.crl", world.folder);
    snprintf(away, sizeof away, "%s/away.crl", world.folder);
    assert_int_equal(rename(path, away), 0);
    world_configure(&world, "revocation_inbound = prefer\n");
    world_send(&world, &letter, &delivery);
    assert_non_null(strstr(first_line(&delivery), "smime=pass"));
    assert_non_null(strstr(delivery.explain, "from message, unknown"));
    delivery_free(&delivery);
    assert_int_equal(rename(away, path), 0);
}

static void
what_we_sign_we_verify(void **state)
{
    static const char *const rules[] = {
        "rule \"all\" {\n direction = out\n sign = always\n }",
        "rule \"all\" {\n direction = out\n sign = always\n sign_format = opaque\n }",
        "rule \"all\" {\n sign = always\n rsa_signature = pss\n digest = sha384\n }",
    };
    struct letter out = { .sender = "alice@example.org",
                          .to = { "bob@example.net" },
                          .header = "From: alice@example.org\r\nTo: bob@example.net\r\n"
                                    "MIME-Version: 1.0\r\nContent-Type: text/plain; "
                                    "charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n",
                          .body = "Gr\xc3\xbc\xc3\x9f"
                                  "e  \r\n.\r\nFrom here\r\n" };
    struct delivery delivery;

    (void)state;
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        struct letter in = letter_from_alice();
        char *header;

        world_configure(&world, rules[i]);
        world_send(&world, &out, &delivery);
        assert_true(delivery.replaced);
        header = strdup(buf_str(&delivery.message));
        *(strstr(header, "\r\n\r\n") + 2) = 0;
        in.header = header;
        in.body = buf_str(&delivery.body);
        expect(&in, "pass (ok)");
        free(header);
        delivery_free(&delivery);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_signature_passes_at_every_piece_size),
        cmocka_unit_test(a_changed_octet_fails),
        cmocka_unit_test(another_name_in_from_fails),
        cmocka_unit_test(two_senders_never_pass),
        cmocka_unit_test(the_right_name_from_the_wrong_authority_fails),
        cmocka_unit_test(expired_and_revoked_signers_fail),
        cmocka_unit_test(a_weak_digest_is_policy),
        cmocka_unit_test(opaque_signatures_are_read),
        cmocka_unit_test(an_opaque_object_beyond_its_bound_is_named),
        cmocka_unit_test(what_is_no_cms_is_permerror_and_passes_marked),
        cmocka_unit_test(text_behind_the_signed_part_never_passes),
        cmocka_unit_test(a_header_that_readers_understand_differently_never_passes),
        cmocka_unit_test(mail_without_a_signature_is_left_alone_or_called_none),
        cmocka_unit_test(an_encrypted_message_is_none),
        cmocka_unit_test(forged_results_of_our_name_go_and_others_stay),
        cmocka_unit_test(rules_quarantine_refuse_and_defer),
        cmocka_unit_test(the_path_is_told_certificate_by_certificate),
        cmocka_unit_test(what_we_sign_we_verify),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
