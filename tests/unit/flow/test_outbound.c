#include "tests/unit/flow/letters.h"

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
    /* What was there is changed in its place: it says what no field would say. */
    assert_int_equal(count_fields(header, "Content-Transfer-Encoding:"), 1);
    assert_int_equal(count_fields(header, "Content-Transfer-Encoding: 7bit"), 1);
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
        { NULL, "zoe@example.org", 550, "without a login" },
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
        cmocka_unit_test(a_signature_names_the_certificate_to_answer_with),
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
