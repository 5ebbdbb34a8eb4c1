#include "tests/unit/flow/world.h"

/*
 * Mail to alice, whose key is ours, encrypted by openssl; from bob, whose signature is known. Dora
 * has two encryption keys here, one of them expired; olga has a P-256 key.
 */

static struct world world;
static struct testca_leaf dora_old, dora_new, olga, signer_only;

static const char text[] = "Content-Type: text/plain; charset=us-ascii\r\n\r\n"
                           "canary in plain words\r\n.\r\nFrom here on\r\n";

static const char rule[] = "rule \"d\" {\n direction = in\n decrypt = yes\n }\n";
static const char rule_mark[] =
    "rule \"d\" {\n direction = in\n decrypt = yes\n decrypt_unsigned = mark\n }\n";

static void
add_user(const char *name, const char *address, const struct testca_args *args,
         struct testca_leaf *leaf)
{
    char file[100];

    world_user(&world, &world.sub, name, address, args, leaf);
    snprintf(file, sizeof file, "keys/%s.pem", name);
    testca_pem(world.folder, file, 0600, leaf->key, leaf->x509, world.sub.x509, NULL);
}

static int
setup(void **state)
{
    struct testca_args old = { .not_before = time(NULL) - 900000,
                               .not_after = time(NULL) - 86400,
                               .key_index = 1 };

    (void)state;
    world_make(&world);
    add_user("dora-old", "dora@example.org", &old, &dora_old);
    add_user("dora-new", "dora@example.org", &(struct testca_args){ .key_index = 2 }, &dora_new);
    add_user("olga", "olga@example.org",
             &(struct testca_args){ .key_type = TESTCA_P256,
                                    .key_usage = "critical,digitalSignature,keyAgreement" },
             &olga);
    add_user("signer", "signer@example.org",
             &(struct testca_args){ .key_usage = "critical,digitalSignature", .key_index = 3 },
             &signer_only);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    testca_leaf_free(&dora_old);
    testca_leaf_free(&dora_new);
    testca_leaf_free(&olga);
    testca_leaf_free(&signer_only);
    world_free(&world);
    return 0;
}

/* ---- messages ----------------------------------------------------------------------------------
 */

struct mail {
    char *header, *body;
};

static char *
with_crlf(const char *in)
{
    char *out = malloc(2 * strlen(in) + 1), *to = out;

    for (; *in; in++) {
        if (*in == '\n' && (to == out || to[-1] != '\r'))
            *to++ = '\r';
        *to++ = *in;
    }
    *to = 0;
    return out;
}

/* A file of the world that openssl wrote, as a message from bob. */
static struct mail
take(const char *file, const char *to)
{
    struct mail mail;
    char *raw = world_read(&world, file, NULL);
    char *whole = with_crlf(raw), *end = strstr(whole, "\r\n\r\n");

    assert_non_null(end);
    mail.body = strdup(end + 4);
    end[2] = 0;
    assert_true(asprintf(&mail.header,
                         "From: Bob <bob@example.net>\r\nTo: %s\r\nSubject: outside\r\n%s", to,
                         whole) > 0);
    free(raw);
    free(whole);
    return mail;
}

static void
mail_free(struct mail *mail)
{
    free(mail->header);
    free(mail->body);
}

static void
sign(const char *in, const char *out, const char *options)
{
    assert_true(world_run(&world,
                          "openssl cms -sign -binary -in %s -signer bob.pem -inkey bob.pem "
                          "-certfile sub.pem -out %s.lf %s && sed 's/\\r*$/\\r/' %s.lf > %s",
                          in, out, options, out, out));
}

static void
encrypt(const char *in, const char *out, const char *options)
{
    if (!world_run(&world,
                   "openssl cms -encrypt -binary -in %s -out %s.lf %s && sed 's/\\r*$/\\r/' %s.lf "
                   "> %s",
                   in, out, options, out, out))
        fail_msg("%s", world_read(&world, "log", NULL));
}

static void
deliver(const struct mail *mail, const char *const *to, struct delivery *out)
{
    struct letter letter = {
        .sender = "bob@example.net", .header = mail->header, .body = mail->body, .inbound = true
    };

    for (size_t i = 0; to[i]; i++)
        letter.to[i] = to[i];
    world_send(&world, &letter, out);
    assert_int_equal(out->answer.kind, FLOW_CONTINUE);
}

/* What comes out for one recipient when `file` is sent; freed by the caller. */
static void
send_file(const char *file, const char *to, struct delivery *out)
{
    struct mail mail = take(file, to);

    deliver(&mail, (const char *const[]){ to, NULL }, out);
    mail_free(&mail);
}

static void
expect_opened(const char *file, const char *to, const char *result)
{
    struct delivery delivery;
    char wanted[200];

    send_file(file, to, &delivery);
    snprintf(wanted, sizeof wanted, "Authentication-Results: mx.example.org;\r\n\tsmime=%s",
             result);
    if (!delivery.replaced || strncmp(buf_str(&delivery.message), wanted, strlen(wanted)) != 0 ||
        !strstr(buf_str(&delivery.body), "canary in plain words\r\n"))
        fail_msg("%s to %s: wanted %s\n%.1500s\n%s", file, to, result, buf_str(&delivery.message),
                 delivery.explain);
    assert_null(strstr(buf_str(&delivery.message), "pkcs7-mime"));
    delivery_free(&delivery);
}

/* Not decrypted, for that reason; octets as they came but for the mark. */
static void
expect_closed(const char *file, const char *to, const char *reason)
{
    static const char mark[] =
        "Authentication-Results: mx.example.org;\r\n\tsmime=none "
        "(not-decrypted: the message is encrypted and was not\r\n\tdecrypted)\r\n";
    struct mail mail = take(file, to);
    struct delivery delivery;
    char wanted[200];

    deliver(&mail, (const char *const[]){ to, NULL }, &delivery);
    snprintf(wanted, sizeof wanted, "decryption: not opened: %s\n", reason);
    if (delivery.replaced || !strstr(delivery.explain, wanted))
        fail_msg("%s to %s: wanted %s\n%.600s\n%s", file, to, reason, buf_str(&delivery.message),
                 delivery.explain);
    char whole[sizeof mark + 4096];
    snprintf(whole, sizeof whole, "%s%.4000s", mark, mail.header);
    assert_int_equal(strncmp(buf_str(&delivery.message), whole, strlen(whole)), 0);
    assert_non_null(strstr(buf_str(&delivery.message), mail.body));
    delivery_free(&delivery);
    mail_free(&mail);
}

/* ---- the tests ---------------------------------------------------------------------------------
 */

static void
decryption_reads_each_algorithm_and_recipient_form(void **state)
{
    static const char *const ciphers[] = { "-aes128", "-aes192",      "-aes256",
                                           "-des3",   "-aes-128-gcm", "-aes-256-gcm" };
    static const struct {
        const char *to, *options;
    } forms[] = {
        { "alice@example.org", "alice.pem" },
        { "alice@example.org", "-keyid alice.pem" },
        { "alice@example.org", "-recip alice.pem -keyopt rsa_padding_mode:oaep" },
        { "alice@example.org",
          "-recip alice.pem -keyopt rsa_padding_mode:oaep -keyopt rsa_oaep_md:sha256" },
        { "alice@example.org", "bob.pem carol.pem alice.pem" },
        { "olga@example.org", "-recip olga.pem -keyopt ecdh_kdf_md:sha256" },
        { "olga@example.org", "-keyid -recip olga.pem" },
        { "dora@example.org", "dora-new.pem" },
        { "dora@example.org", "dora-old.pem" },
    };
    char options[200];

    (void)state;
    world_configure(&world, rule);
    world_write(&world, "text", span_str(text));
    sign("text", "signed", "");
    for (size_t i = 0; i < sizeof ciphers / sizeof ciphers[0]; i++) {
        for (size_t j = 0; j < sizeof forms / sizeof forms[0]; j++) {
            /* The library wraps a 3DES key by 3DES then, which we do not read. */
            if (strcmp(ciphers[i], "-des3") == 0 && strstr(forms[j].options, "olga"))
                continue;
            snprintf(options, sizeof options, "%s %s %s", ciphers[i], (i + j) % 2 ? "-stream" : "",
                     forms[j].options);
            encrypt("signed", "sealed", options);
            expect_opened("sealed", forms[j].to, "pass (ok)\r\n");
        }
    }
}

static void
decryption_is_off_unless_all_rules_say_so(void **state)
{
    struct mail mail;
    struct delivery delivery;
    static const char *const rules[] = {
        "",
        "rule \"d\" { decrypt = no }",
        "rule \"off\" {\n recipient = dora@example.org\n }\nrule \"d\" { decrypt = yes }",
        "rule \"off\" {\n recipient = dora@example.org\n smime = no\n }\nrule \"d\" { decrypt = "
        "yes }",
    };

    (void)state;
    world_write(&world, "text", span_str(text));
    encrypt("text", "sealed", "-aes-256-gcm alice.pem dora-new.pem");
    mail = take("sealed", "alice@example.org");
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        world_configure(&world, rules[i]);
        deliver(&mail, (const char *const[]){ "alice@example.org", "dora@example.org", NULL },
                &delivery);
        assert_false(delivery.replaced);
        assert_int_equal(delivery.edits, 0);
        delivery_free(&delivery);
    }
    world_configure(&world, "rule \"d\" { decrypt = yes }");
    deliver(&mail, (const char *const[]){ "alice@example.org", "dora@example.org", NULL },
            &delivery);
    assert_true(delivery.replaced);
    delivery_free(&delivery);
    mail_free(&mail);
}

static void
decryption_gives_nobody_what_he_could_not_have_opened(void **state)
{
    static const struct {
        const char *recipients, *other, *reason;
    } cases[] = {
        { "alice.pem", "dora@example.org", "no-key" },
        { "alice.pem", "nobody@example.org", "recipient-without-key" },
        { "alice.pem", "signer@example.org", "recipient-without-key" },
    };
    struct mail mail;
    struct delivery delivery;

    (void)state;
    world_configure(&world, rule);
    world_write(&world, "text", span_str(text));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        encrypt("text", "sealed", "-aes-256-gcm alice.pem");
        mail = take("sealed", "alice@example.org");
        deliver(&mail, (const char *const[]){ "alice@example.org", cases[i].other, NULL },
                &delivery);
        assert_false(delivery.replaced);
        if (!strstr(delivery.explain, cases[i].reason))
            fail_msg("%s", delivery.explain);
        assert_non_null(strstr(buf_str(&delivery.message), "smime=none (not-decrypted"));
        delivery_free(&delivery);
        mail_free(&mail);
    }
}

static void
decryption_marks_what_has_integrity_and_no_signature(void **state)
{
    (void)state;
    world_configure(&world, rule);
    world_write(&world, "text", span_str(text));
    encrypt("text", "sealed", "-aes-256-gcm alice.pem");
    expect_opened("sealed", "alice@example.org", "none (decrypted: ");
}

static void
decryption_of_cbc_without_a_signature_is_a_rule(void **state)
{
    (void)state;
    world_write(&world, "text", span_str(text));
    encrypt("text", "sealed", "-aes256 alice.pem");
    world_configure(&world, rule);
    expect_closed("sealed", "alice@example.org", "not-authentic");
    world_configure(&world, rule_mark);
    expect_opened("sealed", "alice@example.org", "none (decrypted-unproven: ");
}

static void
decryption_verifies_what_is_inside(void **state)
{
    char *signed_text, *at;

    (void)state;
    world_write(&world, "text", span_str(text));
    sign("text", "signed", "");
    signed_text = world_read(&world, "signed", NULL);
    at = strstr(signed_text, "plain words");
    assert_non_null(at);
    memcpy(at, "other", 5);
    memcpy(strstr(signed_text, "canary"), "canary", 6);
    world_write(&world, "broken", span_str(signed_text));
    free(signed_text);
    world_configure(&world, rule);
    /* CBC: a signature that does not fit is none. */
    encrypt("broken", "sealed", "-aes256 alice.pem");
    expect_closed("sealed", "alice@example.org", "not-authentic");
    /* GCM: it is what was sent, and it is bad. */
    encrypt("broken", "sealed", "-aes-256-gcm alice.pem");
    struct delivery delivery;
    send_file("sealed", "alice@example.org", &delivery);
    assert_true(delivery.replaced);
    assert_non_null(strstr(buf_str(&delivery.message), "smime=fail (digest-mismatch"));
    delivery_free(&delivery);
}

static void
decryption_reads_opaque_signatures_inside(void **state)
{
    (void)state;
    struct delivery delivery;

    world_configure(&world, rule);
    world_write(&world, "text", span_str(text));
    sign("text", "opaque", "-nodetach");
    encrypt("opaque", "sealed", "-aes256 alice.pem");
    send_file("sealed", "alice@example.org", &delivery);
    assert_true(delivery.replaced);
    assert_non_null(strstr(buf_str(&delivery.message), "smime=pass (ok)"));
    assert_non_null(strstr(buf_str(&delivery.message), "signed-data"));
    delivery_free(&delivery);
    /* As DER in a binary part: it goes on in base64. */
    assert_true(world_run(&world,
                          "openssl cms -cmsout -in opaque -outform DER -out der && { printf "
                          "'Content-Type: application/pkcs7-mime; smime-type=signed-data\\r\\n"
                          "Content-Transfer-Encoding: binary\\r\\n\\r\\n'; cat der; } > bin"));
    encrypt("bin", "sealed", "-aes256 alice.pem");
    send_file("sealed", "alice@example.org", &delivery);
    if (!delivery.replaced || !strstr(buf_str(&delivery.message), "smime=pass (ok)") ||
        !strstr(buf_str(&delivery.message), "Content-Transfer-Encoding: base64\r\n"))
        fail_msg("%.800s\n%s", buf_str(&delivery.message), delivery.explain);
    delivery_free(&delivery);
}

static void
decryption_lets_no_field_but_content_out(void **state)
{
    static const char inside[] =
        "Authentication-Results: mx.example.org; smime=pass\r\n"
        "Subject: inside\r\nReceived: forged\r\nX-SMIME-Layer: 1; pass\r\n"
        "Content-Type: text/plain;\r\n\tcharset=utf-8\r\nContent-Language: en\r\n"
        "Content-Transfer-Encoding: 8bit\r\n\r\ncanary in plain words\r\n";
    struct delivery delivery;

    (void)state;
    world_configure(&world, rule);
    world_write(&world, "text", span_str(inside));
    encrypt("text", "sealed", "-aes-256-gcm alice.pem");
    send_file("sealed", "alice@example.org", &delivery);
    assert_string_equal(
        buf_str(&delivery.message),
        "Authentication-Results: mx.example.org;\r\n\tsmime=none (decrypted: the message was "
        "encrypted, it is not signed)\r\n"
        "From: Bob <bob@example.net>\r\nTo: alice@example.org\r\nSubject: outside\r\n"
        "MIME-Version: 1.0\r\nContent-Type: text/plain;\r\n\tcharset=utf-8\r\n"
        "Content-Language: en\r\nContent-Transfer-Encoding: 8bit\r\n\r\ncanary in plain words\r\n");
    delivery_free(&delivery);
}

static void
decryption_refuses_header_sections_that_are_none(void **state)
{
    static const char *const bad[] = {
        "Content-Type: text/plain\r\nContent-Type: text/html\r\n\r\nx\r\n",
        "Content-Type: text/plain\x01\r\n\r\nx\r\n",
        "Content-Type: text/plain\rX-Evil: y\r\n\r\nx\r\n",
        "Content-Type: text/plain;\r\n \r\n charset=x\r\n\r\nx\r\n",
        "Content-: x\r\nContent-Type: text/plain\r\n\r\nx\r\n",
        "no header at all\r\n\r\nx\r\n",
        "\x80\x81\x82\r\n\r\nx\r\n",
    };
    char *many = malloc(40 * 40), *at = many;

    (void)state;
    world_configure(&world, rule);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        world_write(&world, "text", span_str(bad[i]));
        encrypt("text", "sealed", "-aes-256-gcm alice.pem");
        expect_closed("sealed", "alice@example.org", "not-an-entity");
    }
    for (int i = 0; i < 30; i++)
        at += sprintf(at, "Content-A%d: x\r\n", i);
    strcpy(at, "\r\nx\r\n");
    world_write(&world, "text", span_str(many));
    encrypt("text", "sealed", "-aes-256-gcm alice.pem");
    expect_closed("sealed", "alice@example.org", "not-an-entity");
    free(many);
    world_write(&world, "text", span_str("Content-Type: text/plain\r\n\r\na\rb\r\n"));
    encrypt("text", "sealed", "-aes-256-gcm alice.pem");
    expect_closed("sealed", "alice@example.org", "not-transportable");
}

static void
decryption_mends_bare_line_feeds(void **state)
{
    struct delivery delivery;

    (void)state;
    world_configure(&world, rule);
    world_write(&world, "text", span_str("Content-Type: text/plain\n\none\ntwo\r\n\n"));
    encrypt("text", "sealed", "-aes-256-gcm alice.pem");
    send_file("sealed", "alice@example.org", &delivery);
    assert_string_equal(buf_str(&delivery.body), "one\r\ntwo\r\n\r\n");
    delivery_free(&delivery);
}

static void
decryption_failures_look_alike(void **state)
{
    static const char other[] = "Content-Type: text/plain\r\n\r\nanother\r\n";

    (void)state;
    world_configure(&world, rule);
    world_write(&world, "text", span_str(text));
    encrypt("text", "sealed", "-aes-256-gcm bob.pem");
    expect_closed("sealed", "alice@example.org", "no-key");
    encrypt("text", "sealed", "-camellia256 alice.pem");
    expect_closed("sealed", "alice@example.org", "unsupported-algorithm");
    assert_true(world_run(&world, "openssl cms -encrypt -binary -in text -out sealed -aes256 "
                                  "-secretkey 000102030405060708090a0b0c0d0e0f -secretkeyid 01"));
    expect_closed("sealed", "alice@example.org", "unsupported-algorithm");
    /* A bad tag, and a tag cut off. */
    world_write(&world, "text", span_str(other));
    assert_true(world_run(&world, "openssl cms -encrypt -binary -in text -outform DER -out der "
                                  "-aes-256-gcm alice.pem && "
                                  "{ head -c -1 der; printf '\\377'; } > der2 && "
                                  "{ printf 'Content-Type: application/pkcs7-mime; smime-type="
                                  "authEnveloped-data\\nContent-Transfer-Encoding: base64\\n\\n'; "
                                  "base64 der2; } > sealed"));
    expect_closed("sealed", "alice@example.org", "decrypt-failed");
}

static void
decryption_attempts_are_bounded(void **state)
{
    char rules[300];

    (void)state;
    snprintf(rules, sizeof rules, "decrypt_rate_each = 3\n%s", rule);
    world_configure(&world, rules);
    world_write(&world, "text", span_str(text));
    sign("text", "signed", "");
    encrypt("signed", "good", "-aes256 alice.pem");
    encrypt("text", "bad", "-aes256 alice.pem");
    encrypt("text", "foreign", "-aes256 bob.pem");
    for (int i = 0; i < 10; i++) {
        expect_opened("good", "alice@example.org", "pass (ok)");
        expect_closed("foreign", "alice@example.org", "no-key");
    }
    for (int i = 0; i < 3; i++)
        expect_closed("bad", "alice@example.org", "not-authentic");
    expect_closed("bad", "alice@example.org", "rate-limited");
    expect_closed("good", "alice@example.org", "rate-limited");
    world_configure(&world, rule);
    expect_opened("good", "alice@example.org", "pass (ok)");
}

static void
decryption_takes_octet_streams_by_rule(void **state)
{
    struct delivery delivery;
    struct mail mail;

    (void)state;
    world_write(&world, "text", span_str(text));
    encrypt("text", "sealed", "-aes-256-gcm alice.pem");
    assert_true(world_run(&world,
                          "sed -e '/^Content-Type/s/.*/Content-Type: application\\/octet-stream; "
                          "name=x.P7M\\r/' -e '/^Content-Disp/d' sealed > octets"));
    mail = take("octets", "alice@example.org");
    for (int i = 0; i < 2; i++) {
        world_configure(&world,
                        i ? "rule \"d\" {\n decrypt = yes\n decrypt_octet_stream = yes\n }" : rule);
        deliver(&mail, (const char *const[]){ "alice@example.org", NULL }, &delivery);
        if (delivery.replaced != (i == 1))
            fail_msg("%d %.700s %s", i, mail.header, delivery.explain);
        delivery_free(&delivery);
    }
    mail_free(&mail);
}

static void
decryption_inside_a_signature_is_a_rule(void **state)
{
    static const char in_signed[] = "rule \"d\" {\n decrypt = yes\n decrypt_in_signed = yes\n "
                                    "layers_header = yes\n }";
    struct delivery delivery;

    (void)state;
    world_write(&world, "text", span_str(text));
    sign("text", "signed", "");
    encrypt("signed", "inner", "-aes256 alice.pem");
    sign("inner", "triple", "");
    world_configure(&world, rule);
    send_file("triple", "alice@example.org", &delivery);
    assert_false(delivery.replaced);
    assert_non_null(strstr(buf_str(&delivery.message), "smime=pass (ok)"));
    assert_non_null(strstr(delivery.explain, "layer: 2: enveloped, sealed (encrypted)\n"));
    delivery_free(&delivery);
    world_configure(&world, in_signed);
    send_file("triple", "alice@example.org", &delivery);
    if (!delivery.replaced || !strstr(buf_str(&delivery.message),
                                      "X-SMIME-Layer: 1; clear-signed; pass (ok)\r\n"
                                      "X-SMIME-Layer: 2; enveloped; opened\r\n"
                                      "X-SMIME-Layer: 3; clear-signed; pass (ok); counts\r\n"))
        fail_msg("%.900s\n%s", buf_str(&delivery.message), delivery.explain);
    delivery_free(&delivery);
    /* Nobody signs what he cannot read. */
    encrypt("text", "inner", "-aes-256-gcm alice.pem");
    sign("inner", "outer", "");
    expect_opened("outer", "alice@example.org", "neutral (signature-outside");
}

static void
decryption_leaves_envelopes_inside_envelopes_and_beside_others(void **state)
{
    struct delivery delivery;

    (void)state;
    world_configure(&world, "rule \"d\" {\n decrypt = yes\n layers_header = yes\n }");
    world_write(&world, "text", span_str(text));
    encrypt("text", "inner", "-aes-256-gcm alice.pem");
    encrypt("inner", "sealed", "-aes-256-gcm alice.pem");
    send_file("sealed", "alice@example.org", &delivery);
    assert_true(delivery.replaced);
    assert_null(strstr(buf_str(&delivery.message), "canary"));
    if (!strstr(buf_str(&delivery.message), "X-SMIME-Layer: 1; auth-enveloped; opened\r\n"
                                            "X-SMIME-Layer: 2; auth-enveloped; sealed\r\n"))
        fail_msg("%.900s", buf_str(&delivery.message));
    delivery_free(&delivery);
    assert_true(world_run(&world,
                          "{ printf 'Content-Type: multipart/mixed; boundary=b\\n\\n--b\\n"
                          "\\nhello\\n--b\\n'; cat inner; printf '\\n--b--\\n'; } > mixed"));
    send_file("mixed", "alice@example.org", &delivery);
    assert_false(delivery.replaced);
    assert_int_equal(delivery.edits, 0);
    delivery_free(&delivery);
}

static void
decryption_looks_four_layers_deep(void **state)
{
    struct delivery delivery;

    (void)state;
    world_configure(&world, "rule \"d\" {\n decrypt = yes\n layers_header = yes\n }");
    world_write(&world, "text", span_str(text));
    sign("text", "a", "");
    for (int i = 0; i < 4; i++) {
        sign("a", "b", i % 2 ? "-nodetach" : "");
        assert_true(world_run(&world, "mv b a"));
    }
    send_file("a", "alice@example.org", &delivery);
    if (!strstr(buf_str(&delivery.message), "X-SMIME-Layer: 4; ") ||
        !strstr(buf_str(&delivery.message), "X-SMIME-Layer: more; not looked at\r\n") ||
        strstr(buf_str(&delivery.message), "X-SMIME-Layer: 5") ||
        !strstr(buf_str(&delivery.message), "X-SMIME-Layer: 1; opaque-signed; pass (ok); counts"))
        fail_msg("%.1500s", buf_str(&delivery.message));
    delivery_free(&delivery);
}

static void
decryption_never_believes_layer_fields_that_came(void **state)
{
    struct letter letter = { .sender = "bob@example.net",
                             .to = { "alice@example.org" },
                             .header = "From: bob@example.net\r\nX-SMIME-layer: 1; pass\r\n"
                                       "X-Smime-Layer: 2; pass\r\n",
                             .body = "x\r\n",
                             .inbound = true };
    static const char *const rules[] = { "", "rule \"off\" { smime = no }" };
    struct delivery delivery;

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        world_configure(&world, rules[i]);
        world_send(&world, &letter, &delivery);
        assert_string_equal(buf_str(&delivery.message), "From: bob@example.net\r\n\r\nx\r\n");
        delivery_free(&delivery);
    }
}

/* The reply to what was decrypted without proof is that to what was not decrypted. */
static void
decryption_is_no_oracle_for_replies(void **state)
{
    static const char *const rules[] = {
        "rule \"d\" {\n decrypt = yes\n on_none = reject\n on_fail = reject\n }",
        "rule \"d\" {\n decrypt = yes\n decrypt_unsigned = mark\n on_none = reject\n on_fail = "
        "reject\n }",
    };
    static const char *const files[] = { "unsigned", "broken-sealed", "foreign" };
    char first[1000] = "";

    (void)state;
    world_write(&world, "text", span_str(text));
    sign("text", "signed", "");
    assert_true(world_run(&world, "sed 's/plain words/other words/' signed > broken"));
    encrypt("text", "unsigned", "-aes256 alice.pem");
    encrypt("broken", "broken-sealed", "-aes256 alice.pem");
    encrypt("text", "foreign", "-aes256 bob.pem");
    for (size_t i = 0; i < 2; i++) {
        world_configure(&world, rules[i]);
        for (size_t j = 0; j < 3; j++) {
            struct mail mail = take(files[j], "alice@example.org");
            struct letter letter = { .sender = "bob@example.net",
                                     .to = { "alice@example.org" },
                                     .header = mail.header,
                                     .body = mail.body,
                                     .inbound = true };
            struct delivery delivery;

            world_send(&world, &letter, &delivery);
            assert_int_equal(delivery.answer.code, 550);
            if (!first[0])
                strcpy(first, delivery.answer.text);
            assert_string_equal(first, delivery.answer.text);
            delivery_free(&delivery);
            mail_free(&mail);
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decryption_reads_each_algorithm_and_recipient_form),
        cmocka_unit_test(decryption_is_off_unless_all_rules_say_so),
        cmocka_unit_test(decryption_gives_nobody_what_he_could_not_have_opened),
        cmocka_unit_test(decryption_marks_what_has_integrity_and_no_signature),
        cmocka_unit_test(decryption_of_cbc_without_a_signature_is_a_rule),
        cmocka_unit_test(decryption_verifies_what_is_inside),
        cmocka_unit_test(decryption_reads_opaque_signatures_inside),
        cmocka_unit_test(decryption_lets_no_field_but_content_out),
        cmocka_unit_test(decryption_refuses_header_sections_that_are_none),
        cmocka_unit_test(decryption_mends_bare_line_feeds),
        cmocka_unit_test(decryption_failures_look_alike),
        cmocka_unit_test(decryption_attempts_are_bounded),
        cmocka_unit_test(decryption_takes_octet_streams_by_rule),
        cmocka_unit_test(decryption_inside_a_signature_is_a_rule),
        cmocka_unit_test(decryption_leaves_envelopes_inside_envelopes_and_beside_others),
        cmocka_unit_test(decryption_looks_four_layers_deep),
        cmocka_unit_test(decryption_never_believes_layer_fields_that_came),
        cmocka_unit_test(decryption_is_no_oracle_for_replies),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
