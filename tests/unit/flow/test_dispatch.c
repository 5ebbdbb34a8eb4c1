/* One message through the listener for copies, against a peer that behaves and one that does not.
 */
#include "tests/unit/flow/peer.h"
#include "tests/unit/flow/world.h"

#include "flow/dispatch.h"
#include "flow/mark.h"
#include "flow/resubmission.h"
#include "smime/hash.h"

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

static void
begin(const struct peer_fault *faults)
{
    char text[200];

    peer_init(&peer, faults);
    snprintf(text, sizeof text, "resubmit_server = %s\nspool_memory = 4KiB\nrule \"all\" {\n}\n",
             peer.server);
    world_configure(&world, text);
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

static const char header[] = "Subject: hello\r\nTo: Bob <bob@example.net>\r\n";

static enum err_code
dispatched(const char *body, struct flow_dispatch_recipient *recipients, size_t count,
           struct flow_dispatch_result *result, struct err *err)
{
    struct flow_dispatch dispatch = {
        .services = world.services,
        .sender = "alice@example.org",
        .parameters = "SIZE=100 RET=HDRS ENVID=abc AUTH=<>",
        .recipients = recipients,
        .count = count,
        .header = span_str(header),
        .body = write_text,
        .context = (void *)body,
        .deadline_ms = clock_monotonic_ms() + 1500,
    };

    return flow_dispatch_write(&dispatch, result, err);
}

/* What the listener's milter does with what arrived. */
static enum err_code
arrived(size_t index, const char *const *recipients, size_t count, struct err *err)
{
    struct mime_header *fields = NULL;
    struct mime_header_field field;
    struct smime_hash hash;
    struct span content = buf_span(&peer.messages[index].content);
    size_t at = 0;
    enum err_code code;

    while (memcmp(content.p + at, "\r\n\r\n", 4) != 0)
        at++;
    assert_int_equal(mime_header_new(100000, 1000, &fields, err), ERR_OK);
    assert_int_equal(mime_header_parse(fields, span_of(content.p, at + 2), err), ERR_OK);
    assert_true(mime_header_find(fields, FLOW_MARK_FIELD, 0, &field));
    smime_hash_init(&hash);
    assert_int_equal(smime_hash_new(&hash, NID_sha256, err), ERR_OK);
    assert_int_equal(smime_hash_write(&hash, span_from(content, at + 4), err), ERR_OK);
    assert_int_equal(smime_hash_finish(&hash, err), ERR_OK);
    code = flow_mark_check(flow_resubmission_mark(world.services->resubmission), field.value,
                           &(struct flow_mark_copy){ .sender = "alice@example.org",
                                                     .recipients = recipients,
                                                     .count = count,
                                                     .header = fields,
                                                     .body = smime_hash_get(&hash, NID_sha256) },
                           err);
    smime_hash_deinit(&hash);
    mime_header_free(&fields);
    return code;
}

static void
copy_arrives_with_envelope_parameters_and_a_mark_that_holds(void **state)
{
    static const char *const people[] = { "bob@example.net", "carol@example.net" };
    static const char *const bodies[] = { "", "text\r\n.\r\n..\r\n", "no line end",
                                          "\xc3\xa4\r\n" };
    static const bool is_8bit[] = { false, false, false, true };

    (void)state;
    begin(NULL);
    for (size_t i = 0; i < 4; i++) {
        struct flow_dispatch_recipient recipients[] = {
            { .address = "bob@EXAMPLE.net",
              .parameters = "NOTIFY=NEVER ORCPT=rfc822;b@example.net" },
            { .address = "carol@example.net" }
        };
        struct flow_dispatch_result result;
        struct err err = ERR_INIT;

        assert_int_equal(dispatched(bodies[i], recipients, 2, &result, &err), ERR_OK);
        assert_int_equal(result.end, FLOW_DISPATCH_TAKEN);
        assert_string_equal(result.queue_id, "4QUEUED");
        assert_int_equal(recipients[1].reply.code, 250);
        assert_non_null(strstr(peer.messages[i].envelope, "RET=HDRS ENVID=abc\n"));
        assert_int_equal(strstr(peer.messages[i].envelope, "BODY=8BITMIME") != NULL, is_8bit[i]);
        assert_non_null(strstr(peer.messages[i].envelope,
                               "RCPT TO:<bob@EXAMPLE.net> NOTIFY=NEVER "
                               "ORCPT=rfc822;b@example.net\nRCPT TO:<carol@example.net>\n"));
        assert_int_equal(arrived(i, people, 2, &err), ERR_OK);
        assert_int_equal(arrived(i, people, 2, &err), ERR_PERM);
        assert_string_equal(err.reason, "mark-used");
    }
    peer_deinit(&peer);
}

static void
each_way_to_end_is_told_apart(void **state)
{
    static const struct {
        struct peer_fault fault;
        enum err_code code;
        enum flow_dispatch_end end;
        int reply;
        const char *reason;
    } rows[] = {
        { { 0, "", "554 5.3.2 closed\r\n" }, ERR_TEMP, 0, 554, "resubmit-unwilling" },
        { { 0, "", "" }, ERR_TEMP, 0, 0, "resubmit-broken" },
        { { 0, "", "..." }, ERR_TEMP, 0, 0, "resubmit-timeout" },
        { { 0, "EHLO", "" }, ERR_TEMP, 0, 0, "resubmit-broken" },
        { { 0, "MAIL", "550 5.1.8 no\r\n" }, ERR_OK, FLOW_DISPATCH_REFUSED, 550, NULL },
        { { 0, "MAIL", "451 4.3.2 busy\r\n" }, ERR_OK, FLOW_DISPATCH_REFUSED, 451, NULL },
        { { 0, "MAIL", "..." }, ERR_TEMP, 0, 0, "resubmit-timeout" },
        { { 0, "RCPT TO:<bob", "550 5.1.1 unknown\r\n" },
          ERR_OK,
          FLOW_DISPATCH_RECIPIENT,
          550,
          NULL },
        { { 0, "RCPT TO:<carol", "450 4.2.0 later\r\n" },
          ERR_OK,
          FLOW_DISPATCH_RECIPIENT,
          450,
          NULL },
        { { 0, "RCPT TO:<carol", "" }, ERR_TEMP, 0, 0, "resubmit-broken" },
        { { 0, "RCPT TO:<carol", "421 4.3.2 bye\r\n" }, ERR_OK, FLOW_DISPATCH_REFUSED, 421, NULL },
        { { 0, "DATA", "452 4.3.1 full\r\n" }, ERR_OK, FLOW_DISPATCH_REFUSED, 452, NULL },
        { { 0, "DATA", "" }, ERR_TEMP, 0, 0, "resubmit-broken" },
        { { 0, ".", "550 5.7.1 no\r\n" }, ERR_OK, FLOW_DISPATCH_REFUSED, 550, NULL },
        { { 0, ".", "550 5.7.1 " FLOW_MARK_REFUSAL "\r\n" }, ERR_TEMP, 0, 550, "resubmit-mark" },
        { { 0, ".", "451 4.3.0 no\r\n" }, ERR_OK, FLOW_DISPATCH_REFUSED, 451, NULL },
        { { 0, ".", "" }, ERR_OK, FLOW_DISPATCH_LOST, 0, NULL },
        { { 0, ".", "..." }, ERR_OK, FLOW_DISPATCH_LOST, 0, NULL },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct peer_fault faults[] = { rows[i].fault, { .step = NULL } };
        struct flow_dispatch_recipient recipients[] = { { .address = "bob@example.net" },
                                                        { .address = "carol@example.net" } };
        struct flow_dispatch_result result;
        struct err err = ERR_INIT;

        begin(faults);
        if (dispatched("x\r\n", recipients, 2, &result, &err) != rows[i].code ||
            (rows[i].code == ERR_OK && result.end != rows[i].end) ||
            result.reply.code != rows[i].reply ||
            (rows[i].reason && strcmp(err.reason ? err.reason : "", rows[i].reason) != 0))
            fail_msg("row %zu: %s, end %d, reply %d %s", i, err.text, (int)result.end,
                     result.reply.code, result.reply.text);
        peer_deinit(&peer);
    }
}

/* One connection refused, and none configured. */
static void
nobody_listens(void **state)
{
    struct flow_dispatch_recipient recipient = { .address = "bob@example.net" };
    struct flow_dispatch_result result;
    struct err err = ERR_INIT;

    (void)state;
    begin(NULL);
    peer_deinit(&peer);
    assert_int_equal(dispatched("x\r\n", &recipient, 1, &result, &err), ERR_TEMP);
    err_reset(&err);
    world_configure(&world, "rule \"all\" {\n}\n");
    assert_int_equal(dispatched("x\r\n", &recipient, 1, &result, &err), ERR_TEMP);
    assert_string_equal(err.reason, "resubmit-server");
}

static void
letter_leaves_from_the_null_sender(void **state)
{
    struct buf letter = BUF_INIT(1000);
    struct err err = ERR_INIT;

    (void)state;
    begin(NULL);
    assert_int_equal(buf_append_str(&letter, "To: a@example.org\r\n\r\nhello\r\n", &err), ERR_OK);
    assert_int_equal(flow_dispatch_letter(world.services, "a@example.org", &letter,
                                          clock_monotonic_ms() + 5000, &err),
                     ERR_OK);
    assert_string_equal(peer.messages[0].envelope, "MAIL FROM:<>\nRCPT TO:<a@example.org>\n");
    assert_non_null(
        strstr(buf_str(&peer.messages[0].content), "\r\nTo: a@example.org\r\n\r\nhello\r\n"));
    buf_free(&letter);
    peer_deinit(&peer);
}

/* A bare line feed never leaves, whoever wrote the body. */
static void
body_with_a_bare_newline_is_not_sent(void **state)
{
    struct flow_dispatch_recipient recipient = { .address = "bob@example.net" };
    struct flow_dispatch_result result;
    struct err err = ERR_INIT;

    (void)state;
    begin(NULL);
    assert_int_equal(dispatched("a\n.\nMAIL", &recipient, 1, &result, &err), ERR_BUG);
    assert_int_equal(peer_count(&peer), 0);
    peer_deinit(&peer);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copy_arrives_with_envelope_parameters_and_a_mark_that_holds),
        cmocka_unit_test(each_way_to_end_is_told_apart),
        cmocka_unit_test(nobody_listens),
        cmocka_unit_test(letter_leaves_from_the_null_sender),
        cmocka_unit_test(body_with_a_bare_newline_is_not_sent),
    };

    return cmocka_run_group_tests(tests, world_new, world_end);
}
