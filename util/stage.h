/*
 * The stream: a chain of small stages. Each takes pieces of any size and gives pieces to the next,
 * so that memory does not depend on the size of a message. The result never depends on how the
 * input was cut (tests cut at 1, 2, 3, 7, 64, 4096, 65535).
 *
 * The vtable exists because there are many real stages: canonical form, base64, quoted-printable,
 * sign, encrypt, spool, milter body, file, memory.
 *
 * Ownership: a stage owns the one after it (`next` is taken by the constructor when it succeeds,
 * and left alone when it fails). stage_free frees the chain from there on. A stage that failed is
 * broken: every later call returns the first error.
 *
 * Threads: a chain belongs to one thread at a time.
 */
#ifndef UTIL_STAGE_H
#define UTIL_STAGE_H

#include "util/buf.h"
#include "util/err.h"
#include "util/span.h"

struct stage;

struct stage_ops {
    const char *name;
    /* `piece` is borrowed for the call; may be empty. Must not call stage_write on itself. */
    enum err_code (*write)(struct stage *stage, struct span piece, struct err *err);
    /* No more input: flush into the next stage. Must NOT finish the next one: stage_finish does. */
    enum err_code (*finish)(struct stage *stage, struct err *err);
    /* Frees what the stage owns but not the next stage; the struct itself too. */
    void (*free)(struct stage *stage);
};

/* The head of every stage's own struct (first member). */
struct stage {
    const struct stage_ops *ops;
    struct stage *next; /* owned; NULL for a sink */
    struct err failed;  /* the first error; code ERR_OK while whole */
    bool finished;
};

void stage_init(struct stage *stage, const struct stage_ops *ops, struct stage *next);

ERR_CHECKED enum err_code stage_write(struct stage *stage, struct span piece, struct err *err);

/* Finishes this stage and, in order, all that follow. A second call is ERR_BUG. */
ERR_CHECKED enum err_code stage_finish(struct stage *stage, struct err *err);

/* The whole chain; NULL and half-built are fine. */
void stage_free(struct stage **stage);

/* Sinks. */

typedef enum err_code stage_sink_fn(void *context, struct span piece, struct err *err);

/* Calls `sink` for each piece. `context` is borrowed until the stage is freed. */
ERR_CHECKED enum err_code stage_sink_new(stage_sink_fn *sink, void *context, struct stage **out,
                                         struct err *err);

/* Appends to `buf`, borrowed until the stage is freed. */
ERR_CHECKED enum err_code stage_buf_new(struct buf *buf, struct stage **out, struct err *err);

/* Writes to a file descriptor, borrowed. Short writes are continued; EPIPE and the rest ERR_TEMP.
 */
ERR_CHECKED enum err_code stage_fd_new(int fd, struct stage **out, struct err *err);

/* Gathers small pieces so that the next stage sees pieces of `piece_bytes` (the last one shorter).
 */
ERR_CHECKED enum err_code stage_gather_new(size_t piece_bytes, struct stage *next,
                                           struct stage **out, struct err *err);

/* Passes bytes on without owning the next stage: a chain that ends in somebody else's stage.
 * finish is not passed on. `target` is borrowed until this stage is freed. */
ERR_CHECKED enum err_code stage_borrow_new(struct stage *target, struct stage **out,
                                           struct err *err);

#endif
