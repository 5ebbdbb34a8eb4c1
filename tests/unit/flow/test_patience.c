#include "tests/unit/flow/world.h"

#include "flow/patience.h"
#include "flow/state.h"
#include "flow/suspect.h"

/*
 * The clock of this program: real time, and a leap when somebody has asked twice since it was
 * armed. The first to ask after `arm` is the one who sets the deadline, the second the one who
 * begins to verify: so the verification takes as long as the leap.
 */
static _Atomic int64_t fixed_s, leapt_ms;
static int64_t leap_ms;
static int asked = -1;

time_t
clock_now_s(void)
{
    return fixed_s ? (time_t)fixed_s : time(NULL);
}

void
clock_set_s(time_t now_s)
{
    fixed_s = (int64_t)now_s;
}

int64_t
clock_monotonic_ms(void)
{
    struct timespec now;
    int64_t said_ms;

    clock_gettime(CLOCK_MONOTONIC, &now);
    said_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 + leapt_ms;
    if (asked >= 0 && ++asked == 2) {
        leapt_ms += leap_ms;
        asked = -1;
    }
    return said_ms;
}

static struct world world;

enum { LARGE = 24 * 1024 * 1024, TIMEOUT_MS = 2000 };

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

static void
it_grows_with_the_octets_up_to_a_limit(void **state)
{
    bool cut = true;

    (void)state;
    assert_int_equal(flow_patience_get(20000, 0, &cut), 20000);
    assert_false(cut);
    assert_int_equal(flow_patience_get(20000, 1024 * 1024, NULL), 20125);
    assert_int_equal(flow_patience_get(20000, 1024 * 1024 * 1024ull, &cut), 148000);
    assert_false(cut);
    assert_int_equal(flow_patience_get(20000, 8ull << 30, &cut), FLOW_PATIENCE_LIMIT_MS);
    assert_true(cut);
    assert_int_equal(flow_patience_get(20000, UINT64_MAX, &cut), FLOW_PATIENCE_LIMIT_MS);
    assert_true(cut);
    assert_int_equal(flow_patience_get(FLOW_PATIENCE_LIMIT_MS, 0, &cut), FLOW_PATIENCE_LIMIT_MS);
    assert_false(cut);
    assert_int_equal(flow_patience_get(FLOW_PATIENCE_LIMIT_MS, 1 << 30, &cut),
                     FLOW_PATIENCE_LIMIT_MS);
    assert_true(cut);
}

static struct letter letter;
static bool basic;      /* the deadline is eom_timeout alone */
static uint64_t claims; /* octets that the message is said to have; 0: its own */

/* After the facts, before the verification: what milter/message does. */
static void
arm(struct flow_message *message)
{
    if (claims > 0)
        message->body_bytes = claims;
    letter.deadline_ms = basic ? TIMEOUT_MS : flow_patience_find(message, NULL);
    asked = 0;
}

/* What becomes of a message of that many octets whose verification takes so long. */
static enum flow_answer_kind
answered(size_t octets, int64_t takes_ms)
{
    static const char start[] = "--b\r\n\r\ntext\r\n--b\r\n"
                                "Content-Type: application/pkcs7-signature\r\n\r\nx\r\n--b--\r\n";
    char *body = malloc(octets + sizeof start);
    struct delivery delivery;
    enum flow_answer_kind kind;

    memset(body, 'x', octets + sizeof start);
    memcpy(body, start, sizeof start - 1);
    for (size_t i = sizeof start + 70; i + 1 < octets; i += 72)
        memcpy(body + i, "\r\n", 2);
    letter =
        (struct letter){ .sender = "alice@example.org",
                         .to = { "bob@example.net" },
                         .header = "From: alice@example.org\r\nContent-Type: multipart/signed; "
                                   "boundary=b; protocol=\"application/pkcs7-signature\"\r\n",
                         .body = body,
                         .body_n = octets + sizeof start - 1,
                         .piece = 65535,
                         .meddle = arm,
                         .inbound = true };
    leap_ms = takes_ms;
    world_send(&world, &letter, &delivery);
    assert_int_equal(asked, -1);
    kind = delivery.answer.kind;
    if (kind == FLOW_DEFER)
        assert_int_equal(delivery.answer.code, 451);
    delivery_free(&delivery);
    free(body);
    return kind;
}

/* How many messages have stalled us, in the ring of marks. */
static unsigned
suspects(void)
{
    unsigned suspects = 0, poisoned = 0;

    flow_suspect_get(&suspects, &poisoned);
    return suspects;
}

static void
a_message_that_is_merely_large_has_its_time_and_is_no_suspect(void **state)
{
    struct conf_global global = { .state_folder = world.folder };

    (void)state;
    flow_suspect_init(&global);
    world_configure(&world, "eom_timeout = 2s\nfacts_timeout = 1s\n"
                            "rule \"in\" {\n direction = in\n }\n");
    assert_int_equal(answered(LARGE, 3000), FLOW_CONTINUE);
    assert_int_equal(suspects(), 0);
    /* The same with a deadline that does not grow. */
    basic = true;
    assert_int_equal(answered(LARGE, 3000), FLOW_DEFER);
    assert_int_equal(suspects(), 1);
    assert_int_equal(flow_suspect_reset(), 1);
    basic = false;
    /* Who does not end in his time stalls, large or not. */
    assert_int_equal(answered(LARGE, 30000), FLOW_DEFER);
    assert_int_equal(suspects(), 1);
    assert_int_equal(flow_suspect_reset(), 1);
    assert_int_equal(answered(1000, 3000), FLOW_DEFER);
    assert_int_equal(suspects(), 1);
    assert_int_equal(flow_suspect_reset(), 1);
    /* So large that its time is cut: it is deferred, and no suspect. */
    claims = 8ull << 30;
    assert_int_equal(answered(1000, FLOW_PATIENCE_LIMIT_MS - 2000), FLOW_CONTINUE);
    assert_int_equal(answered(1000, FLOW_PATIENCE_LIMIT_MS + 2000), FLOW_DEFER);
    assert_int_equal(suspects(), 0);
    flow_suspect_deinit();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_grows_with_the_octets_up_to_a_limit),
        cmocka_unit_test(a_message_that_is_merely_large_has_its_time_and_is_no_suspect),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
