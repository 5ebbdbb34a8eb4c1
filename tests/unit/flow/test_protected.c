#include "tests/unit/flow/world.h"

/* Mail from bob to alice, whose key is ours, with header fields under the signature or in the
 * envelope. */

static struct world world;

static const char restore[] =
    "rule \"d\" {\n direction = in\n decrypt = yes\n protected_headers = restore\n }\n";
static const char ignore[] = "rule \"d\" {\n direction = in\n decrypt = yes\n }\n";

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

/* Signs or encrypts `entity`, sends it with `outside` as the fields of the message. */
static void
deliver(const char *command, const char *entity, const char *outside, struct delivery *out)
{
    struct letter letter = { .sender = "bob@example.net",
                             .to = { "alice@example.org" },
                             .inbound = true };
    char *whole, *end, *header;

    world_write(&world, "entity", span_str(entity));
    if (!world_run(&world,
                   "openssl cms %s -binary -in entity -out lf && sed 's/\\r*$/\\r/' lf > crlf",
                   command))
        fail_msg("%s", world_read(&world, "log", NULL));
    whole = world_read(&world, "crlf", NULL);
    end = strstr(whole, "\r\n\r\n");
    letter.body = end + 4;
    end[2] = 0;
    assert_true(asprintf(&header, "%s%s", outside, whole) > 0);
    letter.header = header;
    world_send(&world, &letter, out);
    assert_int_equal(out->answer.kind, FLOW_CONTINUE);
    free(header);
    free(whole);
}

static const char sign[] = "-sign -signer bob.pem -inkey bob.pem -certfile sub.pem";
static const char encrypt[] = "-encrypt -aes-256-gcm -recip alice.pem";
static const char outside[] = "From: Bob <bob@example.net>\r\nTo: alice@example.org\r\n"
                              "Subject: [...]\r\n";
static const char inside[] = "From: Bob <bob@example.net>\r\nTo: alice@example.org\r\n"
                             "Subject: the\r\n real one\r\nHP-Outer: Subject: [...]\r\n"
                             "Cc: carol@example.net\r\nReceived: never\r\n"
                             "Content-Type: text/plain; hp=\"cipher\"\r\n\r\ntext\r\n";

static void
protected_fields_take_the_place_of_those_outside(void **state)
{
    static const char *const commands[] = { sign, encrypt };
    struct delivery delivery;

    (void)state;
    world_configure(&world, restore);
    for (size_t i = 0; i < 2; i++) {
        deliver(commands[i], inside, outside, &delivery);
        const char *message = buf_str(&delivery.message);
        if (!strstr(message, "\r\nSubject: the\r\n real one\r\n") ||
            strstr(message, "\r\nSubject: [...]") ||
            !strstr(message, "\r\nTo: alice@example.org\r\n") ||
            !strstr(message, "\r\nCc: carol@example.net\r\n"))
            fail_msg("%.900s\n%s", message, delivery.explain);
        if (commands[i] == encrypt)
            assert_null(strstr(message, "HP-Outer"));
        assert_null(strstr(delivery.envelope, "carol"));
        delivery_free(&delivery);
    }
    world_configure(&world, ignore);
    deliver(sign, inside, outside, &delivery);
    assert_non_null(strstr(buf_str(&delivery.message), "Subject: [...]"));
    delivery_free(&delivery);
}

/* Somebody has a copy of what bob wrote to alice, and sends it to her again with ways for her
 * answer to reach him (RFC 9788 6.1.2). */
static void
ways_for_an_answer_that_the_sender_did_not_protect_are_taken_away(void **state)
{
    static const char again[] =
        "From: Bob <bob@example.net>\r\nTo: alice@example.org\r\nReply-To: m@evil.test\r\n"
        "Cc: m@evil.test\r\nTo: m@evil.test\r\nCc: m@evil.test, alice@example.org\r\n"
        "Mail-Followup-To: m@evil.test\r\nSubject: [...]\r\nList-Id: <l.example.net>\r\n";
    static const char clear[] = "From: bob@example.net\r\nTo: alice@example.org\r\n"
                                "Content-Type: text/plain; hp=\"clear\"\r\n\r\ntext\r\n";
    static const char draft[] =
        "Subject: the real one\r\n"
        "Content-Type: text/plain; protected-headers=\"v1\"\r\n\r\ntext\r\n";
    struct delivery delivery;

    (void)state;
    world_configure(&world, restore);
    for (size_t i = 0; i < 2; i++) {
        deliver(i == 0 ? encrypt : sign, i == 0 ? inside : clear, again, &delivery);
        const char *message = buf_str(&delivery.message);
        if (strstr(message, "evil") || !strstr(message, "\r\nTo: alice@example.org\r\n") ||
            !strstr(message, "List-Id") ||
            (strstr(message, "\r\nCc: carol@example.net\r\n") != NULL) != (i == 0))
            fail_msg("%.900s\n%s", message, delivery.explain);
        delivery_free(&delivery);
    }
    /* The draft repeats what its sender liked: nothing is known of the others. */
    deliver(encrypt, draft, again, &delivery);
    assert_non_null(strstr(buf_str(&delivery.message), "Reply-To: m@evil.test"));
    assert_non_null(strstr(buf_str(&delivery.message), "the real one"));
    delivery_free(&delivery);
    /* Without the rule the header stays as it is. */
    world_configure(&world, ignore);
    deliver(encrypt, inside, again, &delivery);
    assert_non_null(strstr(buf_str(&delivery.message), "Reply-To: m@evil.test"));
    delivery_free(&delivery);
}

static void
protected_fields_of_a_wrapped_message_are_read(void **state)
{
    static const char wrapped[] = "Content-Type: message/rfc822\r\n\r\n"
                                  "From: bob@example.net\r\nSubject: wrapped\r\n"
                                  "Content-Type: text/plain\r\n\r\nSubject: of the body\r\n";
    struct delivery delivery;

    (void)state;
    world_configure(&world, restore);
    deliver(encrypt, wrapped, outside, &delivery);
    assert_non_null(strstr(buf_str(&delivery.message), "\r\nSubject: wrapped\r\n"));
    delivery_free(&delivery);
}

static void
protected_fields_without_the_announcement_are_none(void **state)
{
    struct delivery delivery;

    (void)state;
    world_configure(&world, restore);
    deliver(sign, "Subject: real\r\nContent-Type: text/plain\r\n\r\ntext\r\n", outside, &delivery);
    assert_non_null(strstr(buf_str(&delivery.message), "Subject: [...]"));
    delivery_free(&delivery);
}

static void
protected_fields_of_another_sender_or_a_bad_signature_are_not_believed(void **state)
{
    static const char other[] = "From: mallory@example.net\r\nSubject: real\r\n"
                                "Content-Type: text/plain; hp=\"clear\"\r\n\r\ntext\r\n";
    struct delivery delivery;

    (void)state;
    world_configure(&world, restore);
    deliver(sign, other, outside, &delivery);
    assert_non_null(strstr(buf_str(&delivery.message), "smime=neutral (from-differs"));
    assert_non_null(strstr(buf_str(&delivery.message), "Subject: [...]"));
    delivery_free(&delivery);
    /* Signed by frank, who is revoked. */
    deliver("-sign -signer frank.pem -inkey frank.pem -certfile sub.pem", inside, outside,
            &delivery);
    assert_null(strstr(buf_str(&delivery.message), "smime=pass"));
    assert_non_null(strstr(buf_str(&delivery.message), "Subject: [...]"));
    delivery_free(&delivery);
}

static void
protected_fields_that_come_twice_or_are_no_fields_are_left_alone(void **state)
{
    static const char *const bad[] = {
        "Subject: a\r\nSubject: b\r\nContent-Type: text/plain; hp=\"clear\"\r\n\r\ntext\r\n",
        "Subject: a\x01\r\nContent-Type: text/plain; hp=\"clear\"\r\n\r\ntext\r\n",
        "Subject: a\rb\r\nContent-Type: text/plain; hp=\"clear\"\r\n\r\ntext\r\n",
    };
    struct delivery delivery;

    (void)state;
    world_configure(&world, restore);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        deliver(sign, bad[i], outside, &delivery);
        assert_non_null(strstr(buf_str(&delivery.message), "Subject: [...]"));
        delivery_free(&delivery);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(protected_fields_take_the_place_of_those_outside),
        cmocka_unit_test(ways_for_an_answer_that_the_sender_did_not_protect_are_taken_away),
        cmocka_unit_test(protected_fields_of_a_wrapped_message_are_read),
        cmocka_unit_test(protected_fields_without_the_announcement_are_none),
        cmocka_unit_test(protected_fields_of_another_sender_or_a_bad_signature_are_not_believed),
        cmocka_unit_test(protected_fields_that_come_twice_or_are_no_fields_are_left_alone),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
