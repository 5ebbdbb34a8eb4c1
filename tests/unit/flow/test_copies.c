/* A plan of copies is carried out against a double of the MTA's listener that misbehaves at every
 * step: each ends in the right reply or letter, and after the client has sent again everybody has
 * one copy. */
#include "tests/unit/flow/peer.h"
#include "tests/unit/flow/world.h"

#include "flow/dispatch.h"
#include "flow/mark.h"

static struct world world;
static struct peer peer;

static int
world_new(void **state)
{
    (void)state;
    world_make(&world);
    return 0;
}

static int
world_end(void **state)
{
    (void)state;
    world_free(&world);
    return 0;
}

/* bob: encrypted. dave: signed. paul: plain. rita: has to be encrypted, cannot be, is returned.
 * sam: the same, gets a signed copy in its place. */
static const char rules[] =
    "rule \"bob\" {\n recipient = bob@example.net\n encrypt = always\n}\n"
    "rule \"carol\" {\n recipient = carol@example.net\n encrypt = always\n}\n"
    "rule \"paul\" {\n recipient = paul@example.com\n smime = no\n}\n"
    "rule \"rita\" {\n recipient = rita@example.com\n encrypt = always\n no_certificate = "
    "return\n}\n"
    "rule \"sam\" {\n recipient = sam@example.com\n encrypt = always\n no_certificate = sign\n}\n"
    "rule \"all\" {\n sign = always\n}\n";

static void
begin(const struct peer_fault *faults, const char *more)
{
    char text[4000], folder[2000];

    peer_init(&peer, faults);
    assert_non_null(getcwd(folder, sizeof folder));
    snprintf(
        text, sizeof text,
        "resubmit_server = %s\nnotices_folder = %s/conf/notices\nsender_identity = off\n%s\n%s",
        peer.server, folder, more, rules);
    world_configure(&world, text);
}

static void
forget(void)
{
    static const char *const ends[] = { "", "-wal", "-shm" };
    char path[600];

    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/journal.db%s", world.folder, ends[i]);
        (void)unlink(path);
    }
}

static const char header[] = "From: alice@example.org\r\n"
                             "To: bob@example.net, dave@example.net, paul@example.com,\r\n"
                             " rita@example.com, sam@example.com, carol@example.net\r\n"
                             "Bcc: secret@example.com\r\nMessage-ID: <1@example.org>\r\n"
                             "Subject: three of them\r\nContent-Type: text/plain\r\n";

static struct letter
letter_to(const char *a, const char *b, const char *c, const char *d)
{
    return (struct letter){ .sender = "<alice@example.org>",
                            .to = { a, b, c, d },
                            .header = header,
                            .body = "the text\r\n.\r\n",
                            .deadline_ms = 3000 };
}

static const char *
content(size_t index)
{
    return buf_str(&peer.messages[index].content);
}

/* The copies that the peer has for this address. */
static size_t
count_copies(const char *address)
{
    char line[300];
    size_t count = 0, messages = peer_count(&peer);

    snprintf(line, sizeof line, "RCPT TO:<%s>", address);
    for (size_t i = 0; i < messages; i++)
        count += strstr(peer.messages[i].envelope, line) != NULL;
    return count;
}

static void
each_recipient_gets_his_own_kind_of_copy(void **state)
{
    struct letter letter =
        letter_to("<bob@example.net>", "<dave@example.net>", "<paul@example.com>", NULL);
    struct delivery delivery;

    (void)state;
    forget();
    begin(NULL, "");
    letter.said[0] = "SIZE=1 RET=HDRS ENVID=q";
    letter.said[2] = "NOTIFY=FAILURE ORCPT=rfc822;d@example.net";
    letter.said[3] = "NOTIFY=NEVER";
    world_send(&world, &letter, &delivery);
    if (delivery.answer.kind != FLOW_CONTINUE)
        fail_msg("%d %s", delivery.answer.code, delivery.answer.text);
    assert_int_equal(peer_count(&peer), 2);
    /* Who is in the transaction is policy's choice; everybody is somewhere once. */
    assert_string_equal(delivery.envelope, "-<dave@example.net> -<paul@example.com> ");
    assert_non_null(strstr(buf_str(&delivery.message), "smime-type=enveloped-data"));
    assert_null(strstr(buf_str(&delivery.message), "secret"));
    assert_string_equal(peer.messages[0].envelope,
                        "MAIL FROM:<alice@example.org> RET=HDRS ENVID=q\n"
                        "RCPT TO:<dave@example.net> NOTIFY=FAILURE ORCPT=rfc822;d@example.net\n");
    assert_non_null(strstr(content(0), "multipart/signed"));
    assert_null(strstr(content(0), "secret"));
    assert_non_null(strstr(content(0), "\r\nReceived: (from "));
    assert_string_equal(peer.messages[1].envelope,
                        "MAIL FROM:<alice@example.org> RET=HDRS ENVID=q\n"
                        "RCPT TO:<paul@example.com> NOTIFY=NEVER\n");
    assert_non_null(strstr(content(1), "Content-Type: text/plain\r\n\r\nthe text\r\n.\r\n"));
    assert_null(strstr(content(1), "secret"));
    delivery_free(&delivery);
    peer_deinit(&peer);
}

static void
explaining_sends_nothing(void **state)
{
    struct letter letter =
        letter_to("<bob@example.net>", "<dave@example.net>", "<rita@example.com>", NULL);
    struct delivery delivery;
    char path[600];

    (void)state;
    forget();
    begin(NULL, "");
    letter.dry = true;
    world_send(&world, &letter, &delivery);
    assert_int_equal(delivery.answer.kind, FLOW_COPIES);
    assert_int_equal(peer.connections, 0);
    snprintf(path, sizeof path, "%s/journal.db", world.folder);
    assert_int_not_equal(access(path, F_OK), 0);
    delivery_free(&delivery);
    peer_deinit(&peer);
}

/* What the peer does at a step of the first or second copy; what the client is told; and who has
 * how many copies after it has sent again to a peer that behaves. */
static void
misbehaving_peer_ends_in_the_right_reply(void **state)
{
    static const char *const steps[] = { "", "EHLO", "MAIL", "RCPT", "DATA", "." };
    static const char *const says[] = { "451 4.3.0 later\r\n", "421 4.3.2 bye\r\n", "", "..." };
    size_t repeated = 0, runs = 0;

    (void)state;
    for (unsigned connection = 1; connection <= 2; connection++) {
        for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
            for (size_t k = 0; k < sizeof says / sizeof *says; k++) {
                struct peer_fault faults[] = { { connection, steps[i], says[k] },
                                               { .step = NULL } };
                bool lost = steps[i][0] == '.' && k >= 2;
                struct letter letter = letter_to("<bob@example.net>", "<dave@example.net>",
                                                 "<paul@example.com>", NULL);
                struct delivery delivery;
                size_t dave, paul;

                forget();
                letter.deadline_ms = 700;
                begin(faults, "");
                world_send(&world, &letter, &delivery);
                if (delivery.answer.code != 451)
                    fail_msg("copy %u, %s, %s: %d %s", connection, steps[i], says[k],
                             delivery.answer.code, delivery.answer.text);
                assert_int_equal(delivery.edits, 0);
                delivery_free(&delivery);
                dave = count_copies("dave@example.net");
                paul = count_copies("paul@example.com");
                /* A message of which the end was refused is not with the peer. */
                if (steps[i][0] == '.' && !lost) {
                    dave -= connection == 1;
                    paul -= connection == 2;
                }
                peer_deinit(&peer);
                begin(NULL, "");
                letter.deadline_ms = 3000;
                world_send(&world, &letter, &delivery);
                if (delivery.answer.kind != FLOW_CONTINUE)
                    fail_msg("again: %d %s", delivery.answer.code, delivery.answer.text);
                assert_string_equal(delivery.envelope, "-<dave@example.net> -<paul@example.com> ");
                dave += count_copies("dave@example.net");
                paul += count_copies("paul@example.com");
                assert_in_range(dave, 1, lost ? 2 : 1);
                assert_in_range(paul, 1, lost ? 2 : 1);
                repeated += dave - 1 + paul - 1;
                runs++;
                delivery_free(&delivery);
                peer_deinit(&peer);
            }
        }
    }
    print_message("%zu runs, %zu copies repeated, all where the reply to the dot was lost\n", runs,
                  repeated);
}

static void
refusal_before_anything_left_refuses_the_message(void **state)
{
    static const struct {
        const char *step, *say;
        int code;
        const char *enhanced, *words;
    } rows[] = {
        { "RCPT TO:<dave", "550 5.1.1 unknown user\r\n", 550, "5.1.1", "dave@example.net" },
        { "MAIL", "552 5.3.4 too large\r\n", 552, "5.3.4", "too large" },
        { "DATA", "554 5.5.1 no\r\n", 554, "5.5.1", "no" },
        { ".", "550 5.7.1 content\r\n", 550, "5.7.1", "content" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct peer_fault faults[] = { { 1, rows[i].step, rows[i].say }, { .step = NULL } };
        struct letter letter =
            letter_to("<bob@example.net>", "<dave@example.net>", "<paul@example.com>", NULL);
        struct delivery delivery;

        forget();
        begin(faults, "");
        world_send(&world, &letter, &delivery);
        assert_int_equal(delivery.answer.code, rows[i].code);
        assert_string_equal(delivery.answer.enhanced, rows[i].enhanced);
        assert_non_null(strstr(delivery.answer.text, rows[i].words));
        assert_int_equal(peer.connections, 1);
        delivery_free(&delivery);
        peer_deinit(&peer);
    }
}

static void
refusal_after_something_left_is_told_by_a_letter_once(void **state)
{
    static const struct peer_fault rows[] = { { 2, "RCPT", "550 5.1.1 unknown user\r\n" },
                                              { 2, "MAIL", "552 5.3.4 unknown user\r\n" },
                                              { 2, ".", "550 5.7.1 unknown user\r\n" } };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct peer_fault faults[] = { rows[i], { .step = NULL } };
        struct letter letter =
            letter_to("<bob@example.net>", "<dave@example.net>", "<paul@example.com>", NULL);
        struct delivery delivery;
        size_t last;

        forget();
        begin(faults, "");
        world_send(&world, &letter, &delivery);
        if (delivery.answer.kind != FLOW_CONTINUE)
            fail_msg("%d %s", delivery.answer.code, delivery.answer.text);
        assert_string_equal(delivery.envelope, "-<dave@example.net> -<paul@example.com> ");
        last = peer_count(&peer) - 1;
        assert_string_equal(peer.messages[last].envelope,
                            "MAIL FROM:<>\nRCPT TO:<alice@example.org>\n");
        assert_non_null(strstr(content(last), "paul@example.com"));
        assert_non_null(strstr(content(last), "unknown user"));
        assert_null(strstr(content(last), "dave@example.net"));
        delivery_free(&delivery);
        peer_deinit(&peer);
        /* The client did not hear that: neither copy nor letter comes again. */
        begin(NULL, "");
        world_send(&world, &letter, &delivery);
        assert_int_equal(delivery.answer.kind, FLOW_CONTINUE);
        assert_int_equal(peer_count(&peer), 0);
        delivery_free(&delivery);
        peer_deinit(&peer);
    }
}

static void
returned_recipient_is_named_by_a_letter_or_the_message_is_refused(void **state)
{
    struct letter letter = letter_to("<bob@example.net>", "<rita@example.com>", NULL, NULL);
    struct delivery delivery;

    (void)state;
    forget();
    begin(NULL, "");
    world_send(&world, &letter, &delivery);
    if (delivery.answer.kind != FLOW_CONTINUE)
        fail_msg("%d %s", delivery.answer.code, delivery.answer.text);
    assert_string_equal(delivery.envelope, "-<rita@example.com> ");
    assert_int_equal(peer_count(&peer), 1);
    assert_string_equal(peer.messages[0].envelope, "MAIL FROM:<>\nRCPT TO:<alice@example.org>\n");
    assert_non_null(strstr(content(0), "rita@example.com"));
    assert_non_null(strstr(content(0), "Auto-Submitted: auto-generated"));
    delivery_free(&delivery);
    peer_deinit(&peer);

    forget();
    begin(NULL, "");
    letter.sender = "<>";
    world_send(&world, &letter, &delivery);
    assert_int_equal(delivery.answer.code, 550);
    assert_non_null(strstr(delivery.answer.text, "rita@example.com"));
    assert_int_equal(peer.connections, 0);
    delivery_free(&delivery);
    peer_deinit(&peer);

    /* The letter cannot be sent: later, or not at all. */
    forget();
    begin((const struct peer_fault[]){ { 1, "RCPT", "451 4.3.0 later\r\n" }, { .step = NULL } },
          "");
    letter.sender = "<alice@example.org>";
    world_send(&world, &letter, &delivery);
    assert_int_equal(delivery.answer.code, 451);
    delivery_free(&delivery);
    peer_deinit(&peer);
    begin((const struct peer_fault[]){ { 1, "RCPT", "550 5.1.1 no\r\n" }, { .step = NULL } }, "");
    world_send(&world, &letter, &delivery);
    assert_int_equal(delivery.answer.code, 550);
    assert_non_null(strstr(delivery.answer.text, "rita@example.com"));
    delivery_free(&delivery);
    peer_deinit(&peer);
}

/* Two of one copy, one of them refused: the other gets it. */
static void
copy_leaves_without_the_recipient_whom_the_peer_refuses(void **state)
{
    struct peer_fault faults[] = { { 0, "RCPT TO:<erika", "550 5.1.1 unknown user\r\n" },
                                   { .step = NULL } };
    struct letter letter = letter_to("<bob@example.net>", "<paul@example.com>",
                                     "<dave@example.net>", "<erika@example.net>");
    struct delivery delivery;

    (void)state;
    forget();
    begin(faults, "rule \"erika\" {\n recipient = erika@example.net\n encrypt = never\n}\n");
    /* paul's copy goes first, so that something has left. */
    letter.header =
        "From: alice@example.org\r\nMessage-ID: <2@example.org>\r\n"
        "To: bob@example.net, paul@example.com, dave@example.net, erika@example.net\r\n";
    world_send(&world, &letter, &delivery);
    if (delivery.answer.kind != FLOW_CONTINUE)
        fail_msg("%d %s", delivery.answer.code, delivery.answer.text);
    assert_int_equal(count_copies("dave@example.net") + !strstr(delivery.envelope, "-<dave"), 1);
    assert_int_equal(count_copies("erika@example.net"), 0);
    assert_non_null(strstr(content(peer_count(&peer) - 1), "erika@example.net"));
    delivery_free(&delivery);
    peer_deinit(&peer);
}

static void
hidden_recipients_have_copies_of_their_own(void **state)
{
    struct letter letter = letter_to("<bob@example.net>", "<carol@example.net>", NULL, NULL);
    struct delivery delivery;

    (void)state;
    forget();
    begin(NULL, "");
    letter.header = "From: alice@example.org\r\nTo: bob@example.net\r\n"
                    "Message-ID: <3@example.org>\r\nBcc: carol@example.net\r\n";
    world_send(&world, &letter, &delivery);
    if (delivery.answer.kind != FLOW_CONTINUE)
        fail_msg("%d %s", delivery.answer.code, delivery.answer.text);
    assert_int_equal(peer_count(&peer), 1);
    assert_string_equal(delivery.envelope, "-<carol@example.net> ");
    assert_non_null(strstr(peer.messages[0].envelope, "RCPT TO:<carol@example.net>"));
    assert_null(strstr(content(0), "carol"));
    assert_null(strstr(buf_str(&delivery.message), "carol"));
    assert_non_null(strstr(content(0), "enveloped-data"));
    delivery_free(&delivery);
    peer_deinit(&peer);
}

/* Postfix adds Date, with the time of the attempt, where the client wrote none. */
static void
date_that_the_mta_adds_makes_no_other_message(void **state)
{
    static const char *const headers[] = {
        "From: alice@example.org\r\nTo: bob@example.net\r\nMessage-ID: <4@example.org>\r\n"
        "Date: Sat, 28 Nov 2026 00:24:04 +0000 (UTC)\r\n",
        "From: alice@example.org\r\nTo: bob@example.net\r\nMessage-ID: <4@example.org>\r\n"
        "Date: Sat, 28 Nov 2026 00:24:05 +0000 (UTC)\r\n",
    };
    struct letter letter = letter_to("<bob@example.net>", "<dave@example.net>", NULL, NULL);
    struct delivery delivery;

    (void)state;
    forget();
    begin(NULL, "");
    for (size_t i = 0; i < 2; i++) {
        letter.header = headers[i];
        world_send(&world, &letter, &delivery);
        assert_int_equal(delivery.answer.kind, FLOW_CONTINUE);
        assert_int_equal(peer_count(&peer), 1);
        delivery_free(&delivery);
    }
    peer_deinit(&peer);
}

/* An alarm without a Message-ID says the same again and again; but its retries are known. */
static void
message_without_an_id_is_known_only_until_it_has_ended(void **state)
{
    static const char *const headers[] = {
        "From: alice@example.org\r\nTo: bob@example.net\r\n",
        "From: alice@example.org\r\nTo: bob@example.net\r\nMessage-Id: <20.TEST1@mx>\r\n",
    };

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct peer_fault faults[] = { { 2, "MAIL", "451 4.3.0 later\r\n" }, { .step = NULL } };
        struct letter letter =
            letter_to("<bob@example.net>", "<dave@example.net>", "<paul@example.com>", NULL);
        struct delivery delivery;

        forget();
        letter.header = headers[i];
        begin(faults, "");
        world_send(&world, &letter, &delivery);
        assert_int_equal(delivery.answer.code, 451);
        assert_int_equal(peer_count(&peer), 1);
        delivery_free(&delivery);
        peer_deinit(&peer);
        for (size_t expected = 1; expected <= 2; expected++) {
            begin(NULL, "");
            world_send(&world, &letter, &delivery);
            assert_int_equal(delivery.answer.kind, FLOW_CONTINUE);
            assert_int_equal(peer_count(&peer), expected);
            delivery_free(&delivery);
            peer_deinit(&peer);
        }
    }
}

static struct budget {
    bool fits;
    uint64_t most, last;
} budget;

static bool
ask_budget(void *context, uint64_t more)
{
    struct budget *asked = context;

    asked->most = more > asked->most ? more : asked->most;
    asked->last = more;
    return asked->fits || more == 0;
}

static void
set_budget(struct flow_message *message)
{
    flow_message_set_budget(message, ask_budget, &budget);
}

/* What a copy holds in its spool counts for as long as it is there. */
static void
copy_counts_in_the_byte_budget(void **state)
{
    struct letter letter = letter_to("<bob@example.net>", "<dave@example.net>", NULL, NULL);
    static char body[2 * FLOW_DISPATCH_BUDGET_STEP];
    struct delivery delivery;

    (void)state;
    memset(body, 'x', sizeof body);
    for (size_t i = 76; i < sizeof body; i += 78)
        memcpy(body + i, "\r\n", sizeof body - i < 2 ? 1 : 2);
    letter.body = body;
    letter.body_n = sizeof body;
    letter.meddle = set_budget;
    letter.deadline_ms = 30000;
    for (int fits = 0; fits <= 1; fits++) {
        forget();
        begin(NULL, "");
        budget = (struct budget){ .fits = fits, .last = 1 };
        world_send(&world, &letter, &delivery);
        if (fits) {
            assert_int_equal(delivery.answer.kind, FLOW_CONTINUE);
            assert_true(budget.most > sizeof body);
        } else {
            assert_int_equal(delivery.answer.code, 451);
            assert_non_null(strstr(delivery.answer.text, "too much mail in work"));
            assert_in_range(budget.most, 1, FLOW_DISPATCH_BUDGET_STEP + 65536);
        }
        assert_int_equal(peer_count(&peer), fits);
        assert_int_equal(budget.last, 0);
        delivery_free(&delivery);
        peer_deinit(&peer);
    }
}

static void
without_a_journal_nothing_leaves(void **state)
{
    struct letter letter =
        letter_to("<bob@example.net>", "<dave@example.net>", "<paul@example.com>", NULL);
    struct delivery delivery;
    char path[600];

    (void)state;
    forget();
    begin(NULL, "");
    snprintf(path, sizeof path, "%s/journal.db", world.folder);
    assert_int_equal(mkdir(path, 0700), 0);
    world_send(&world, &letter, &delivery);
    assert_int_equal(delivery.answer.code, 451);
    assert_null(strstr(delivery.answer.text, world.folder));
    assert_int_equal(peer.connections, 0);
    delivery_free(&delivery);
    assert_int_equal(rmdir(path), 0);
    world_send(&world, &letter, &delivery);
    assert_int_equal(delivery.answer.kind, FLOW_CONTINUE);
    delivery_free(&delivery);
    peer_deinit(&peer);
}

/* The rules changed between two attempts: whoever has had his copy is not sent another one, and
 * where nobody is left the message is taken and thrown away. */
static void
recipients_of_the_transaction_who_had_a_copy_are_left_out(void **state)
{
    struct peer_fault faults[] = { { 2, "MAIL", "451 4.3.0 later\r\n" }, { .step = NULL } };
    struct letter letter =
        letter_to("<bob@example.net>", "<dave@example.net>", "<paul@example.com>", NULL);
    struct delivery delivery;

    (void)state;
    forget();
    begin(faults, "");
    world_send(&world, &letter, &delivery);
    assert_int_equal(delivery.answer.code, 451);
    delivery_free(&delivery);
    peer_deinit(&peer);
    begin(NULL, "rule \"b\" {\n recipient = bob@example.net\n smime = no\n}\n");
    world_send(&world, &letter, &delivery);
    if (delivery.answer.kind != FLOW_CONTINUE)
        fail_msg("%d %s", delivery.answer.code, delivery.answer.text);
    assert_int_equal(count_copies("dave@example.net"), 0);
    assert_int_equal(count_copies("bob@example.net") + !strstr(delivery.envelope, "-<bob"), 1);
    assert_int_equal(count_copies("paul@example.com") + !strstr(delivery.envelope, "-<paul"), 1);
    delivery_free(&delivery);
    peer_deinit(&peer);

    forget();
    begin(NULL, "rule \"d\" {\n recipient = dave@example.net\n smime = no\n}\n");
    world_send(&world, &letter, &delivery);
    assert_string_equal(delivery.envelope, "-<bob@example.net> ");
    delivery_free(&delivery);
    peer_deinit(&peer);
    begin(NULL, "");
    world_send(&world, &letter, &delivery);
    assert_int_equal(delivery.answer.kind, FLOW_DISCARD);
    assert_int_equal(count_copies("bob@example.net"), 0);
    assert_int_equal(count_copies("paul@example.com"), 1);
    assert_int_equal(count_copies("dave@example.net"), 1);
    delivery_free(&delivery);
    peer_deinit(&peer);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_recipient_gets_his_own_kind_of_copy),
        cmocka_unit_test(explaining_sends_nothing),
        cmocka_unit_test(misbehaving_peer_ends_in_the_right_reply),
        cmocka_unit_test(refusal_before_anything_left_refuses_the_message),
        cmocka_unit_test(refusal_after_something_left_is_told_by_a_letter_once),
        cmocka_unit_test(returned_recipient_is_named_by_a_letter_or_the_message_is_refused),
        cmocka_unit_test(copy_leaves_without_the_recipient_whom_the_peer_refuses),
        cmocka_unit_test(hidden_recipients_have_copies_of_their_own),
        cmocka_unit_test(date_that_the_mta_adds_makes_no_other_message),
        cmocka_unit_test(message_without_an_id_is_known_only_until_it_has_ended),
        cmocka_unit_test(copy_counts_in_the_byte_budget),
        cmocka_unit_test(without_a_journal_nothing_leaves),
        cmocka_unit_test(recipients_of_the_transaction_who_had_a_copy_are_left_out),
    };

    return cmocka_run_group_tests(tests, world_new, world_end);
}
