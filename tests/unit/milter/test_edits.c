/* libmilter's smfi_* functions are replaced at link time by ones that write down what they are
 * told, and that fail when the test says so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "milter/edits.h"
#include "util/clock.h"

static char told[4096];
static int calls, fail_at; /* the call that fails, from 1; 0: none */
static size_t body_bytes, largest_piece;
static struct flow_edits edits;
static size_t body_to_write;
static enum err_code body_error;

static int
tell(const char *what, const char *name, const char *value, int index)
{
    size_t n = strlen(told);

    snprintf(told + n, sizeof told - n, "%s(%s|%s|%d) ", what, name ? name : "-",
             value ? value : "-", index);
    return ++calls == fail_at ? MI_FAILURE : MI_SUCCESS;
}

int
smfi_insheader(SMFICTX *ctx, int index, char *name, char *value)
{
    (void)ctx;
    return tell("ins", name, value, index);
}

int
smfi_chgheader(SMFICTX *ctx, char *name, int index, char *value)
{
    (void)ctx;
    return tell("chg", name, value, index);
}

int
smfi_addrcpt(SMFICTX *ctx, char *address)
{
    (void)ctx;
    return tell("add", address, NULL, 0);
}

int
smfi_delrcpt(SMFICTX *ctx, char *address)
{
    (void)ctx;
    return tell("del", address, NULL, 0);
}

int
smfi_quarantine(SMFICTX *ctx, char *reason)
{
    (void)ctx;
    return tell("quarantine", reason, NULL, 0);
}

int
smfi_replacebody(SMFICTX *ctx, unsigned char *piece, int size)
{
    (void)ctx, (void)piece;
    body_bytes += (size_t)size;
    if ((size_t)size > largest_piece)
        largest_piece = (size_t)size;
    return tell("body", NULL, NULL, size);
}

const struct flow_edits *
flow_message_edits(const struct flow_message *message)
{
    (void)message;
    return &edits;
}

enum err_code
flow_message_write_body(struct flow_message *message, struct stage *sink, struct err *err)
{
    static const unsigned char piece[1000];

    (void)message;
    for (size_t left = body_to_write; left > 0 && !err->code;) {
        size_t n = left < sizeof piece ? left : sizeof piece;
        if (stage_write(sink, span_of(piece, n), err))
            break;
        left -= n;
    }
    if (body_error && !err->code)
        err_set(err, body_error, "the chain failed");
    if (!err->code && stage_finish(sink, err) == ERR_OK)
        assert_null(sink->next->next);
    stage_free(&sink);
    return err->code;
}

static int
begin(void **state)
{
    (void)state;
    told[0] = '\0';
    calls = fail_at = 0;
    body_bytes = largest_piece = body_to_write = 0;
    body_error = ERR_OK;
    edits = (struct flow_edits){ .list = NULL };
    return 0;
}

static struct flow_edit all_kinds[] = {
    { .kind = FLOW_EDIT_DELETE_HEADER, .name = (char *)"Subject", .index = 2 },
    { .kind = FLOW_EDIT_INSERT_HEADER,
      .name = (char *)"X-A",
      .value = (char *)"one\n\ttwo",
      .index = 1 },
    { .kind = FLOW_EDIT_ADD_RECIPIENT, .value = (char *)"<a@x>" },
    { .kind = FLOW_EDIT_DELETE_RECIPIENT, .value = (char *)"<b@x>" },
    { .kind = FLOW_EDIT_QUARANTINE, .value = (char *)"why" },
    { .kind = FLOW_EDIT_REPLACE_BODY },
};

static enum err_code
apply(struct flow_edit *list, size_t count, int64_t deadline_ms)
{
    struct err err = ERR_INIT;

    edits.list = list;
    edits.count = count;
    struct milter_budget_slot slot = { .patience_ms = 1000 };
    return milter_edits_write(
        &(struct milter_edits_args){ .deadline_ms = deadline_ms, .slot = &slot }, &err);
}

static void
edits_are_applied_in_their_order(void **state)
{
    (void)state;
    body_to_write = 10;
    assert_int_equal(apply(all_kinds, 6, clock_monotonic_ms() + 60000), ERR_OK);
    assert_string_equal(told, "chg(Subject|-|2) ins(X-A| one\n\ttwo|1) add(<a@x>|-|0) "
                              "del(<b@x>|-|0) quarantine(why|-|0) body(-|-|10) ");
}

static void
edits_stop_at_the_first_that_the_mta_did_not_take(void **state)
{
    (void)state;
    for (int i = 1; i <= 6; i++) {
        begin(NULL);
        body_to_write = 10;
        fail_at = i;
        assert_int_equal(apply(all_kinds, 6, clock_monotonic_ms() + 60000), ERR_TEMP);
        assert_int_equal(calls, i);
    }
}

static void
edits_send_a_body_in_full_pieces(void **state)
{
    (void)state;
    body_to_write = 3 * MILTER_EDITS_BODY_PIECE + 17;
    assert_int_equal(apply(&all_kinds[5], 1, clock_monotonic_ms() + 60000), ERR_OK);
    assert_int_equal(body_bytes, body_to_write);
    assert_int_equal(calls, 4);
    assert_int_equal(largest_piece, MILTER_EDITS_BODY_PIECE);
}

static void
edits_say_so_when_the_new_body_is_empty(void **state)
{
    (void)state;
    assert_int_equal(apply(&all_kinds[5], 1, clock_monotonic_ms() + 60000), ERR_OK);
    assert_string_equal(told, "body(-|-|0) ");
}

static void
edits_fail_when_the_chain_fails_or_the_body_breaks_off(void **state)
{
    (void)state;
    body_to_write = 10;
    body_error = ERR_NOMEM;
    assert_int_equal(apply(&all_kinds[5], 1, clock_monotonic_ms() + 60000), ERR_NOMEM);
    begin(NULL);
    body_to_write = 10 * MILTER_EDITS_BODY_PIECE;
    fail_at = 3;
    assert_int_equal(apply(&all_kinds[5], 1, clock_monotonic_ms() + 60000), ERR_TEMP);
    assert_int_equal(calls, 3);
}

static void
edits_bound_the_time_of_a_body(void **state)
{
    (void)state;
    body_to_write = 10 * MILTER_EDITS_BODY_PIECE;
    assert_int_equal(apply(&all_kinds[5], 1, clock_monotonic_ms() - 60000), ERR_TEMP);
    assert_int_equal(calls, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(edits_are_applied_in_their_order, begin),
        cmocka_unit_test_setup(edits_stop_at_the_first_that_the_mta_did_not_take, begin),
        cmocka_unit_test_setup(edits_send_a_body_in_full_pieces, begin),
        cmocka_unit_test_setup(edits_say_so_when_the_new_body_is_empty, begin),
        cmocka_unit_test_setup(edits_fail_when_the_chain_fails_or_the_body_breaks_off, begin),
        cmocka_unit_test_setup(edits_bound_the_time_of_a_body, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
