#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/spool.h"
#include "util/stage.h"

static const size_t sizes[] = { 1, 2, 3, 7, 64, 4096, 65535 };
enum { SIZES = sizeof sizes / sizeof sizes[0], BYTES = 200003 };

/* Bytes whose every position is told from its neighbours. */
static unsigned char *
pattern(size_t n)
{
    unsigned char *bytes = malloc(n);
    uint32_t x = 12345;

    assert_non_null(bytes);
    for (size_t i = 0; i < n; i++) {
        x = x * 1664525u + 1013904223u;
        bytes[i] = (unsigned char)(x >> 24);
    }
    return bytes;
}

/* Pushes in pieces, each from an exact-size block of its own. */
static enum err_code
push(struct stage *stage, const unsigned char *bytes, size_t n, size_t piece, struct err *err)
{
    for (size_t at = 0; at < n; at += piece) {
        size_t take = n - at < piece ? n - at : piece;
        unsigned char *copy = malloc(take);
        enum err_code rc;

        memcpy(copy, bytes + at, take);
        rc = stage_write(stage, span_of(copy, take), err);
        free(copy);
        if (rc != ERR_OK)
            return rc;
    }
    return ERR_OK;
}

static void
stage_buf_gathers_all_pieces(void **state)
{
    unsigned char *bytes = pattern(BYTES);

    (void)state;
    for (size_t i = 0; i < SIZES; i++) {
        struct buf out = BUF_INIT(BYTES);
        struct stage *stage = NULL;
        struct err err = ERR_INIT;

        assert_int_equal(stage_buf_new(&out, &stage, &err), ERR_OK);
        assert_int_equal(push(stage, bytes, BYTES, sizes[i], &err), ERR_OK);
        assert_int_equal(stage_write(stage, span_of(NULL, 0), &err), ERR_OK);
        assert_int_equal(stage_finish(stage, &err), ERR_OK);
        assert_int_equal(out.n, BYTES);
        assert_memory_equal(out.p, bytes, BYTES);
        stage_free(&stage);
        assert_null(stage);
        buf_free(&out);
    }
    free(bytes);
}

struct seen {
    struct buf all;
    size_t piece;
    unsigned shorter; /* pieces that were not of the full size */
    unsigned fail_at;
    unsigned calls;
};

static enum err_code
see(void *context, struct span piece, struct err *err)
{
    struct seen *seen = context;

    seen->calls++;
    if (seen->fail_at && seen->calls == seen->fail_at)
        return err_set_reason(err, ERR_TEMP, "broken", "sink broke");
    assert_true(piece.n > 0);
    assert_true(piece.n <= seen->piece);
    if (piece.n != seen->piece)
        seen->shorter++;
    return buf_append(&seen->all, piece, err);
}

static void
stage_gather_makes_pieces_of_one_size(void **state)
{
    static const size_t wanted[] = { 1, 5, 64, 16384, 300000 };
    unsigned char *bytes = pattern(BYTES);

    (void)state;
    for (size_t w = 0; w < sizeof wanted / sizeof wanted[0]; w++) {
        for (size_t i = 0; i < SIZES; i++) {
            struct seen seen = { .all = BUF_INIT(BYTES), .piece = wanted[w] };
            struct stage *sink = NULL, *stage = NULL;
            struct err err = ERR_INIT;

            assert_int_equal(stage_sink_new(see, &seen, &sink, &err), ERR_OK);
            assert_int_equal(stage_gather_new(wanted[w], sink, &stage, &err), ERR_OK);
            assert_int_equal(push(stage, bytes, BYTES, sizes[i], &err), ERR_OK);
            assert_int_equal(seen.shorter, 0);
            assert_int_equal(stage_finish(stage, &err), ERR_OK);
            assert_int_equal(seen.shorter, BYTES % wanted[w] != 0);
            assert_int_equal(seen.all.n, BYTES);
            assert_memory_equal(seen.all.p, bytes, BYTES);
            stage_free(&stage);
            buf_free(&seen.all);
        }
    }
    free(bytes);
}

static void
stage_that_failed_answers_with_the_first_error(void **state)
{
    struct seen seen = { .all = BUF_INIT(100), .piece = 100, .fail_at = 2 };
    struct stage *sink = NULL, *stage = NULL;
    struct err err = ERR_INIT, later = ERR_INIT, end = ERR_INIT;

    (void)state;
    assert_int_equal(stage_sink_new(see, &seen, &sink, &err), ERR_OK);
    assert_int_equal(stage_gather_new(3, sink, &stage, &err), ERR_OK);
    assert_int_equal(stage_write(stage, span_str("abcd"), &err), ERR_OK);
    assert_int_equal(stage_write(stage, span_str("efgh"), &err), ERR_TEMP);
    assert_int_equal(stage_write(stage, span_str("i"), &later), ERR_TEMP);
    assert_string_equal(later.text, "sink broke");
    assert_string_equal(later.reason, "broken");
    assert_int_equal(stage_write(stage, span_str("i"), NULL), ERR_TEMP);
    assert_int_equal(stage_finish(stage, &end), ERR_TEMP);
    assert_string_equal(end.text, "sink broke");
    assert_int_equal(seen.calls, 2);
    stage_free(&stage);
    buf_free(&seen.all);
}

static void
stage_failure_behind_the_head_breaks_the_head(void **state)
{
    struct seen seen = { .all = BUF_INIT(100), .piece = 100, .fail_at = 1 };
    struct stage *sink = NULL, *stage = NULL;
    struct err err = ERR_INIT, later = ERR_INIT;

    (void)state;
    assert_int_equal(stage_sink_new(see, &seen, &sink, &err), ERR_OK);
    assert_int_equal(stage_gather_new(100, sink, &stage, &err), ERR_OK);
    assert_int_equal(stage_write(stage, span_str("held"), &err), ERR_OK);
    assert_int_equal(stage_finish(stage, NULL), ERR_TEMP);
    assert_int_equal(stage_finish(stage, &later), ERR_TEMP);
    assert_string_equal(later.text, "sink broke");
    stage_free(&stage);
    buf_free(&seen.all);
}

static void
stage_is_finished_once_and_not_written_after(void **state)
{
    struct buf out = BUF_INIT(100);
    struct stage *stage = NULL;
    struct err err = ERR_INIT, twice = ERR_INIT, late = ERR_INIT;

    (void)state;
    assert_int_equal(stage_buf_new(&out, &stage, &err), ERR_OK);
    assert_int_equal(stage_finish(stage, &err), ERR_OK);
    assert_int_equal(stage_finish(stage, &twice), ERR_BUG);
    assert_int_equal(stage_write(stage, span_str("x"), &late), ERR_BUG);
    assert_int_equal(out.n, 0);
    stage_free(&stage);
    stage_free(&stage);
    stage_free(NULL);
    buf_free(&out);
}

static void
stage_constructor_that_fails_leaves_the_next_alone(void **state)
{
    struct buf out = BUF_INIT(100);
    struct stage *sink = NULL, *stage = NULL;
    struct err err = ERR_INIT;

    (void)state;
    assert_int_equal(stage_buf_new(&out, &sink, &err), ERR_OK);
    assert_int_equal(stage_gather_new(0, sink, &stage, &err), ERR_BUG);
    assert_null(stage);
    assert_int_equal(stage_write(sink, span_str("x"), NULL), ERR_OK);
    stage_free(&sink);
    buf_free(&out);
}

static void
stage_borrow_ends_in_a_stage_of_somebody_else(void **state)
{
    struct buf out = BUF_INIT(100);
    struct stage *target = NULL, *stage = NULL;
    struct err err = ERR_INIT;

    (void)state;
    assert_int_equal(stage_buf_new(&out, &target, &err), ERR_OK);
    assert_int_equal(stage_borrow_new(target, &stage, &err), ERR_OK);
    assert_int_equal(stage_write(stage, span_str("one "), &err), ERR_OK);
    assert_int_equal(stage_finish(stage, &err), ERR_OK);
    stage_free(&stage);
    assert_int_equal(stage_write(target, span_str("two"), &err), ERR_OK);
    assert_int_equal(stage_finish(target, &err), ERR_OK);
    assert_string_equal(buf_str(&out), "one two");
    stage_free(&target);
    buf_free(&out);
}

struct pipe_reader {
    int fd;
    struct buf all;
};

static void *
read_slowly(void *context)
{
    struct pipe_reader *reader = context;
    unsigned char bytes[997];
    ssize_t n;

    while ((n = read(reader->fd, bytes, sizeof bytes)) > 0)
        if (buf_append(&reader->all, span_of(bytes, (size_t)n), NULL) != ERR_OK)
            break;
    return NULL;
}

/* A non-blocking pipe takes only a part of each piece: short writes and EAGAIN, both continued. */
static void
stage_fd_loses_nothing_on_short_writes(void **state)
{
    unsigned char *bytes = pattern(BYTES);
    struct pipe_reader reader = { .all = BUF_INIT(BYTES + 1) };
    struct stage *stage = NULL;
    struct err err = ERR_INIT;
    pthread_t thread;
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    assert_true(fcntl(ends[1], F_SETPIPE_SZ, 4096) >= 0);
    assert_int_equal(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
    reader.fd = ends[0];
    assert_int_equal(pthread_create(&thread, NULL, read_slowly, &reader), 0);
    assert_int_equal(stage_fd_new(ends[1], &stage, &err), ERR_OK);
    assert_int_equal(push(stage, bytes, BYTES, 65535, &err), ERR_OK);
    assert_int_equal(stage_finish(stage, &err), ERR_OK);
    stage_free(&stage);
    close(ends[1]);
    pthread_join(thread, NULL);
    assert_int_equal(reader.all.n, BYTES);
    assert_memory_equal(reader.all.p, bytes, BYTES);
    close(ends[0]);
    buf_free(&reader.all);
    free(bytes);
}

static void
stage_fd_says_that_the_reader_is_gone(void **state)
{
    struct stage *stage = NULL;
    struct err err = ERR_INIT;
    int ends[2];

    (void)state;
    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(pipe(ends), 0);
    close(ends[0]);
    assert_int_equal(stage_fd_new(ends[1], &stage, &err), ERR_OK);
    assert_int_equal(stage_write(stage, span_str("x"), &err), ERR_TEMP);
    assert_non_null(strstr(err.text, "Broken pipe"));
    stage_free(&stage);
    close(ends[1]);
}

static void
stage_fd_on_a_full_disk_is_nomem(void **state)
{
    struct stage *stage = NULL;
    struct err err = ERR_INIT;
    int fd = open("/dev/full", O_WRONLY);

    (void)state;
    if (fd < 0)
        skip();
    assert_int_equal(stage_fd_new(fd, &stage, &err), ERR_OK);
    assert_int_equal(stage_write(stage, span_str("x"), &err), ERR_NOMEM);
    stage_free(&stage);
    close(fd);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stage_buf_gathers_all_pieces),
        cmocka_unit_test(stage_gather_makes_pieces_of_one_size),
        cmocka_unit_test(stage_that_failed_answers_with_the_first_error),
        cmocka_unit_test(stage_failure_behind_the_head_breaks_the_head),
        cmocka_unit_test(stage_is_finished_once_and_not_written_after),
        cmocka_unit_test(stage_constructor_that_fails_leaves_the_next_alone),
        cmocka_unit_test(stage_borrow_ends_in_a_stage_of_somebody_else),
        cmocka_unit_test(stage_fd_loses_nothing_on_short_writes),
        cmocka_unit_test(stage_fd_says_that_the_reader_is_gone),
        cmocka_unit_test(stage_fd_on_a_full_disk_is_nomem),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
