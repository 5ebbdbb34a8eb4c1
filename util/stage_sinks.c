/*
 * The sinks and helpers that every floor needs: function, buffer, file descriptor, gathering, and
 * the end in somebody else's stage.
 */
#include "util/stage.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "util/wipe.h"

/* A reader of a pipe that stands still for this long is given up. */
enum { STAGE_FD_WAIT_MS = 60000 };

struct stage_sink {
    struct stage stage;
    stage_sink_fn *sink;
    void *context;
};

static enum err_code
stage_sink_write(struct stage *stage, struct span piece, struct err *err)
{
    struct stage_sink *self = (struct stage_sink *)stage;
    return piece.n ? self->sink(self->context, piece, err) : ERR_OK;
}

static void
stage_plain_free(struct stage *stage)
{
    free(stage);
}

static const struct stage_ops stage_sink_ops = {
    .name = "sink",
    .write = stage_sink_write,
    .free = stage_plain_free,
};

enum err_code
stage_sink_new(stage_sink_fn *sink, void *context, struct stage **out, struct err *err)
{
    struct stage_sink *self = calloc(1, sizeof *self);

    if (!self)
        return err_set(err, ERR_NOMEM, "out of memory");
    stage_init(&self->stage, &stage_sink_ops, NULL);
    self->sink = sink;
    self->context = context;
    *out = &self->stage;
    return ERR_OK;
}

static enum err_code
stage_buf_sink(void *context, struct span piece, struct err *err)
{
    return buf_append(context, piece, err);
}

enum err_code
stage_buf_new(struct buf *buf, struct stage **out, struct err *err)
{
    return stage_sink_new(stage_buf_sink, buf, out, err);
}

struct stage_fd {
    struct stage stage;
    int fd;
};

/* A descriptor that somebody made non-blocking: wait, but not for ever. */
static enum err_code
stage_fd_wait(int fd, struct err *err)
{
    struct pollfd poll_fd = { .fd = fd, .events = POLLOUT };
    int ready = poll(&poll_fd, 1, STAGE_FD_WAIT_MS);

    if (ready == 0)
        return err_set(err, ERR_TEMP, "write: the reader takes nothing for %d s",
                       STAGE_FD_WAIT_MS / 1000);
    if (ready < 0 && errno != EINTR)
        return err_set_errno(err, errno, "poll");
    return ERR_OK;
}

static enum err_code
stage_fd_write(struct stage *stage, struct span piece, struct err *err)
{
    struct stage_fd *self = (struct stage_fd *)stage;

    while (piece.n > 0) {
        ssize_t n = write(self->fd, piece.p, piece.n);
        enum err_code rc;

        if (n > 0) {
            piece = span_from(piece, (size_t)n);
            continue;
        }
        if (n == 0)
            return err_set(err, ERR_TEMP, "write: nothing was taken");
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN && errno != EWOULDBLOCK)
            return err_set_errno(err, errno, "write");
        rc = stage_fd_wait(self->fd, err);
        if (rc != ERR_OK)
            return rc;
    }
    return ERR_OK;
}

static const struct stage_ops stage_fd_ops = {
    .name = "file descriptor",
    .write = stage_fd_write,
    .free = stage_plain_free,
};

enum err_code
stage_fd_new(int fd, struct stage **out, struct err *err)
{
    struct stage_fd *self = calloc(1, sizeof *self);

    if (!self)
        return err_set(err, ERR_NOMEM, "out of memory");
    stage_init(&self->stage, &stage_fd_ops, NULL);
    self->fd = fd;
    *out = &self->stage;
    return ERR_OK;
}

struct stage_gather {
    struct stage stage;
    size_t size;
    size_t n, cap;
    size_t used;         /* the most that was ever held: what has to be wiped */
    unsigned char *held; /* grows up to `size`: most messages are far smaller */
};

enum { GATHER_FIRST_CAP = 8192 };

static enum err_code
stage_gather_hold(struct stage_gather *self, struct span piece, struct err *err)
{
    if (self->n + piece.n > self->cap) {
        size_t cap = self->cap ? 2 * self->cap : GATHER_FIRST_CAP;
        unsigned char *held;

        if (cap < self->n + piece.n)
            cap = self->n + piece.n;
        if (cap > self->size)
            cap = self->size;
        held = malloc(cap);
        if (!held)
            return err_set(err, ERR_NOMEM, "out of memory");
        if (self->n > 0)
            memcpy(held, self->held, self->n);
        wipe_free_used(self->held, self->used);
        self->held = held;
        self->cap = cap;
    }
    memcpy(self->held + self->n, piece.p, piece.n);
    self->n += piece.n;
    if (self->n > self->used)
        self->used = self->n;
    return ERR_OK;
}

static enum err_code
stage_gather_write(struct stage *stage, struct span piece, struct err *err)
{
    struct stage_gather *self = (struct stage_gather *)stage;

    while (piece.n > 0) {
        size_t take = self->size - self->n;
        enum err_code rc = ERR_OK;

        if (take > piece.n)
            take = piece.n;
        if (take == self->size) {
            /* A whole piece as it came: no copy. */
            rc = stage_write(stage->next, span_of(piece.p, take), err);
        } else {
            rc = stage_gather_hold(self, span_of(piece.p, take), err);
            if (rc == ERR_OK && self->n == self->size) {
                self->n = 0;
                rc = stage_write(stage->next, span_of(self->held, self->size), err);
            }
        }
        if (rc != ERR_OK)
            return rc;
        piece = span_from(piece, take);
    }
    return ERR_OK;
}

static enum err_code
stage_gather_finish(struct stage *stage, struct err *err)
{
    struct stage_gather *self = (struct stage_gather *)stage;
    size_t n = self->n;

    self->n = 0;
    return n ? stage_write(stage->next, span_of(self->held, n), err) : ERR_OK;
}

static void
stage_gather_free(struct stage *stage)
{
    struct stage_gather *self = (struct stage_gather *)stage;

    wipe_free_used(self->held, self->used);
    free(self);
}

static const struct stage_ops stage_gather_ops = {
    .name = "gather",
    .write = stage_gather_write,
    .finish = stage_gather_finish,
    .free = stage_gather_free,
};

enum err_code
stage_gather_new(size_t piece_bytes, struct stage *next, struct stage **out, struct err *err)
{
    struct stage_gather *self;

    if (piece_bytes == 0)
        return err_set(err, ERR_BUG, "gather: pieces of 0 octets");
    self = calloc(1, sizeof *self);
    if (!self)
        return err_set(err, ERR_NOMEM, "out of memory");
    stage_init(&self->stage, &stage_gather_ops, next);
    self->size = piece_bytes;
    *out = &self->stage;
    return ERR_OK;
}

struct stage_borrow {
    struct stage stage;
    struct stage *target;
};

static enum err_code
stage_borrow_write(struct stage *stage, struct span piece, struct err *err)
{
    return stage_write(((struct stage_borrow *)stage)->target, piece, err);
}

static const struct stage_ops stage_borrow_ops = {
    .name = "borrow",
    .write = stage_borrow_write,
    .free = stage_plain_free,
};

enum err_code
stage_borrow_new(struct stage *target, struct stage **out, struct err *err)
{
    struct stage_borrow *self = calloc(1, sizeof *self);

    if (!self)
        return err_set(err, ERR_NOMEM, "out of memory");
    stage_init(&self->stage, &stage_borrow_ops, NULL);
    self->target = target;
    *out = &self->stage;
    return ERR_OK;
}
