/* The listener for copies: what smimed handed to the MTA passes once, everything else is refused;
 * and marks that come by other ways. */
#include "tests/unit/flow/peer.h"
#include "tests/unit/flow/world.h"

#include "flow/dispatch.h"
#include "flow/mark.h"

static struct world world;
static struct peer peer;

static int
world_new(void **state)
{
    char text[300];

    (void)state;
    world_make(&world);
    peer_init(&peer, NULL);
    snprintf(text, sizeof text,
             "resubmit_server = %s\nresubmit_daemon = copies\nsender_identity = off\n"
             "rule \"all\" {\n sign = never\n}\n",
             peer.server);
    world_configure(&world, text);
    return 0;
}

static int
world_end(void **state)
{
    (void)state;
    peer_deinit(&peer);
    world_free(&world);
    return 0;
}

static enum err_code
write_text(void *context, struct stage *sink, struct err *err)
{
    enum err_code code = stage_write(sink, span_str(context), err);

    if (code == ERR_OK)
        code = stage_finish(sink, err);
    stage_free(&sink);
    return code;
}

static char header[65536], body[65536];

/* A copy as it comes back from the MTA, which has put what it does in front. */
static struct letter
copy(void)
{
    struct flow_dispatch_recipient recipients[] = { { .address = "bob@example.net" },
                                                    { .address = "carol@example.net" } };
    struct flow_dispatch dispatch = {
        .services = world.services,
        .sender = "alice@example.org",
        .recipients = recipients,
        .count = 2,
        .header =
            span_str("From: alice@example.org\r\nTo: bob@example.net\r\nSubject: a\r\n b\r\n"),
        .body = write_text,
        .context = (void *)"hello\r\n.\r\nbye\r\n",
        .deadline_ms = clock_monotonic_ms() + 5000,
    };
    struct flow_dispatch_result result;
    struct err err = ERR_INIT;
    const char *content, *end;

    assert_int_equal(flow_dispatch_write(&dispatch, &result, &err), ERR_OK);
    assert_int_equal(result.end, FLOW_DISPATCH_TAKEN);
    content = buf_str(&peer.messages[peer_count(&peer) - 1].content);
    end = strstr(content, "\r\n\r\n");
    snprintf(header, sizeof header, "%.*s", (int)(end + 2 - content), content);
    snprintf(body, sizeof body, "%s", end + 4);
    return (struct letter){ .sender = "<alice@example.org>",
                            .to = { "<bob@example.net>", "<carol@example.net>" },
                            .daemon = "copies",
                            .header = header,
                            .body = body };
}

static void
expect(const struct letter *letter, int code, const char *words)
{
    struct delivery delivery;

    world_send(&world, letter, &delivery);
    if (delivery.answer.code != code || !strstr(delivery.answer.text, words))
        fail_msg("%d %s", delivery.answer.code, delivery.answer.text);
    if (code == 0)
        assert_null(strstr(buf_str(&delivery.message), FLOW_MARK_FIELD));
    delivery_free(&delivery);
}

static void
copy_passes_once_without_its_mark_and_as_it_is(void **state)
{
    struct letter letter = copy();
    struct delivery delivery;

    (void)state;
    for (size_t piece = 1; piece < 100; piece *= 3) {
        letter = copy();
        letter.piece = piece;
        world_send(&world, &letter, &delivery);
        assert_int_equal(delivery.answer.kind, FLOW_CONTINUE);
        assert_string_equal(buf_str(&delivery.message),
                            "From: alice@example.org\r\nTo: bob@example.net\r\nSubject: a\r\n b\r\n"
                            "\r\nhello\r\n.\r\nbye\r\n");
        assert_int_equal(delivery.edits, 1);
        assert_string_equal(delivery.envelope, "");
        delivery_free(&delivery);
    }
    expect(&letter, 550, "used before");
}

static void
mail_without_a_mark_that_holds_is_refused_on_the_listener(void **state)
{
    struct letter letter = copy();
    char *text = NULL;

    (void)state;
    letter.header = "From: alice@example.org\r\n";
    expect(&letter, 550, FLOW_MARK_REFUSAL ": no mark");
    letter.header = "From: alice@example.org\r\nX-Smimed-Mark: v1 0123\r\n";
    expect(&letter, 550, FLOW_MARK_REFUSAL);
    assert_true(asprintf(&text, "X-SMIMED-MARK: v1 1\r\n%s", header) > 0);
    letter.header = text;
    expect(&letter, 550, "more than one");
    free(text);
    letter.header = header;
    letter.to[1] = NULL;
    expect(&letter, 550, "not the one that was marked");
    letter.to[1] = "<mallory@example.net>";
    expect(&letter, 550, "not the one that was marked");
    letter.to[1] = "<carol@example.net>";
    letter.sender = "<>";
    expect(&letter, 550, "not the one that was marked");
    letter.sender = "<alice@example.org>";
    body[0] = 'H';
    expect(&letter, 550, "not the one that was marked");
    body[0] = 'h';
    expect(&letter, 0, "");
}

static void
mark_by_another_way_is_removed_when_forged_and_deferred_when_ours(void **state)
{
    struct letter letter = copy();
    struct letter forged = {
        .sender = "<alice@example.org>",
        .to = { "<bob@example.net>" },
        .header = "x-smimed-mark: a\r\nFrom: alice@example.org\r\nX-Smimed-Mark: v1 b\r\n",
        .body = "text\r\n",
    };

    (void)state;
    expect(&forged, 0, "");
    forged.inbound = true;
    expect(&forged, 0, "");
    letter.daemon = NULL;
    expect(&letter, 451, "");
    letter.daemon = "ORIGINATING";
    expect(&letter, 451, "");
    letter.inbound = true;
    letter.daemon = NULL;
    expect(&letter, 451, "");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copy_passes_once_without_its_mark_and_as_it_is),
        cmocka_unit_test(mail_without_a_mark_that_holds_is_refused_on_the_listener),
        cmocka_unit_test(mark_by_another_way_is_removed_when_forged_and_deferred_when_ours),
    };

    return cmocka_run_group_tests(tests, world_new, world_end);
}
