#include "util/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "util/wipe.h"

/* What is gathered before it is written to the file, and what spool_copy hands on at once. */
enum { SPOOL_PIECE_BYTES = 65536 };

/* Pieces of this size go to the file as they are: an MTA's have up to 65,535 octets. */
enum { SPOOL_DIRECT_BYTES = 16384 };

struct spool {
    char *folder;
    size_t memory_bytes;
    uint64_t limit_bytes;
    uint64_t size;      /* all octets written */
    uint64_t file_size; /* those of them that are in the file */
    struct buf memory;  /* all octets, or those after file_size */
    int fd;             /* -1 while everything fits into memory */
    bool finished;
    struct err failed;
};

enum err_code
spool_new(const struct spool_args *args, struct spool **out, struct err *err)
{
    struct spool *spool = calloc(1, sizeof *spool);

    if (!spool)
        return err_set(err, ERR_NOMEM, "out of memory");
    spool->fd = -1;
    spool->memory_bytes = args->memory_bytes;
    spool->limit_bytes = args->limit_bytes;
    buf_init(&spool->memory,
             args->memory_bytes > SPOOL_PIECE_BYTES ? args->memory_bytes : SPOOL_PIECE_BYTES);
    spool->folder = span_dup(span_str(args->folder));
    if (!spool->folder) {
        spool_free(&spool);
        return err_set(err, ERR_NOMEM, "out of memory");
    }
    *out = spool;
    return ERR_OK;
}

void
spool_free(struct spool **spool)
{
    if (!spool || !*spool)
        return;
    buf_free(&(*spool)->memory);
    if ((*spool)->fd >= 0)
        close((*spool)->fd);
    free((*spool)->folder);
    free(*spool);
    *spool = NULL;
}

static enum err_code
spool_open(struct spool *spool, struct err *err)
{
    char path[PATH_MAX];
    int n;

    /* O_EXCL: the file can never be given a name, by us or through /proc. */
    spool->fd = open(spool->folder, O_TMPFILE | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
    if (spool->fd >= 0)
        return ERR_OK;
    /* Not every file system knows O_TMPFILE (NFS, overlays of old kernels). */
    n = snprintf(path, sizeof path, "%s/spool-XXXXXX", spool->folder);
    if (n < 0 || (size_t)n >= sizeof path)
        return err_set(err, ERR_TEMP, "spool folder: name too long");
    spool->fd = mkostemp(path, O_CLOEXEC);
    if (spool->fd < 0)
        return err_set_errno(err, errno, "spool file in %.300s", spool->folder);
    if (unlink(path) < 0)
        return err_set_errno(err, errno, "spool file %.300s cannot be unlinked", path);
    return ERR_OK;
}

static enum err_code
spool_put(struct spool *spool, struct span piece, struct err *err)
{
    while (piece.n > 0) {
        ssize_t n = pwrite(spool->fd, piece.p, piece.n, (off_t)spool->file_size);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return err_set_errno(err, n ? errno : EIO, "writing spool file in %.300s",
                                 spool->folder);
        spool->file_size += (uint64_t)n;
        piece = span_from(piece, (size_t)n);
    }
    return ERR_OK;
}

static enum err_code
spool_flush(struct spool *spool, struct err *err)
{
    enum err_code rc = ERR_OK;

    if (spool->fd < 0)
        rc = spool_open(spool, err);
    if (rc == ERR_OK)
        rc = spool_put(spool, buf_span(&spool->memory), err);
    buf_reset(&spool->memory);
    return rc;
}

static enum err_code
spool_take(struct spool *spool, struct span piece, struct err *err)
{
    size_t bound = spool->fd < 0 ? spool->memory_bytes : SPOOL_PIECE_BYTES;
    enum err_code rc;

    if (piece.n > spool->limit_bytes || spool->size > spool->limit_bytes - piece.n)
        return err_set_reason(err, ERR_LIMIT, "too-large", "larger than %llu octets",
                              (unsigned long long)spool->limit_bytes);
    if (piece.n > bound || spool->memory.n > bound - piece.n) {
        bool first = spool->fd < 0;

        rc = spool_flush(spool, err);
        /* The memory of a small spool is given back: from here on a piece is held, not the bound.
         */
        if (first)
            buf_free(&spool->memory);
        if (rc != ERR_OK)
            return rc;
    }
    if (spool->fd >= 0 && piece.n >= SPOOL_DIRECT_BYTES) {
        rc = spool->memory.n > 0 ? spool_flush(spool, err) : ERR_OK;
        if (rc == ERR_OK)
            rc = spool_put(spool, piece, err);
    } else {
        rc = buf_append(&spool->memory, piece, err);
    }
    if (rc == ERR_OK)
        spool->size += piece.n;
    return rc;
}

/* Keeps the first error; every later call answers with it. */
static enum err_code
spool_fail(struct spool *spool, enum err_code code, struct err *err)
{
    if (spool->failed.code == ERR_OK) {
        if (err && err->code == code)
            spool->failed = *err;
        else
            (void)err_set(&spool->failed, code, "spool failed");
    }
    return err_set_reason(err, spool->failed.code, spool->failed.reason, "%s", spool->failed.text);
}

enum err_code
spool_write(struct spool *spool, struct span piece, struct err *err)
{
    struct err own = ERR_INIT;
    enum err_code rc;

    if (spool->failed.code != ERR_OK)
        return spool_fail(spool, spool->failed.code, err);
    if (!err)
        err = &own;
    if (spool->finished)
        rc = err_set(err, ERR_BUG, "spool: written to after its end");
    else
        rc = spool_take(spool, piece, err);
    return rc == ERR_OK ? ERR_OK : spool_fail(spool, rc, err);
}

enum err_code
spool_finish(struct spool *spool, struct err *err)
{
    struct err own = ERR_INIT;
    enum err_code rc = ERR_OK;

    if (spool->failed.code != ERR_OK)
        return spool_fail(spool, spool->failed.code, err);
    if (!err)
        err = &own;
    if (spool->finished)
        return err_set(err, ERR_BUG, "spool: finished twice");
    spool->finished = true;
    if (spool->fd >= 0) {
        rc = spool_flush(spool, err);
        buf_free(&spool->memory);
    }
    return rc == ERR_OK ? ERR_OK : spool_fail(spool, rc, err);
}

uint64_t
spool_size(const struct spool *spool)
{
    return spool->size;
}

size_t
spool_memory(const struct spool *spool)
{
    return spool->memory.cap;
}

enum err_code
spool_read(const struct spool *spool, uint64_t offset, void *into, size_t size, size_t *got,
           struct err *err)
{
    *got = 0;
    if (spool->failed.code != ERR_OK)
        return err_set_reason(err, spool->failed.code, spool->failed.reason, "%s",
                              spool->failed.text);
    if (!spool->finished)
        return err_set(err, ERR_BUG, "spool: read before its end is known");
    if (offset >= spool->size || size == 0)
        return ERR_OK;
    if (size > spool->size - offset)
        size = (size_t)(spool->size - offset);
    if (spool->fd < 0) {
        memcpy(into, spool->memory.p + offset, size);
        *got = size;
        return ERR_OK;
    }
    while (*got < size) {
        ssize_t n = pread(spool->fd, (char *)into + *got, size - *got, (off_t)(offset + *got));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set_errno(err, errno, "reading spool file in %.300s", spool->folder);
        if (n == 0)
            return err_set(err, ERR_TEMP, "spool file in %.300s is shorter than it was written",
                           spool->folder);
        *got += (size_t)n;
    }
    return ERR_OK;
}

enum err_code
spool_copy(const struct spool *spool, struct stage *stage, struct err *err)
{
    unsigned char *piece = NULL;
    enum err_code rc = ERR_OK;
    uint64_t offset = 0;
    size_t got = 0;

    if (spool->finished && spool->failed.code == ERR_OK && spool->fd < 0) {
        struct span all = buf_span(&spool->memory);
        while (rc == ERR_OK && all.n > 0) {
            size_t n = all.n < SPOOL_PIECE_BYTES ? all.n : SPOOL_PIECE_BYTES;
            rc = stage_write(stage, span_of(all.p, n), err);
            all = span_from(all, n);
        }
        return rc;
    }
    piece = malloc(SPOOL_PIECE_BYTES);
    if (!piece)
        return err_set(err, ERR_NOMEM, "out of memory");
    do {
        rc = spool_read(spool, offset, piece, SPOOL_PIECE_BYTES, &got, err);
        if (rc == ERR_OK && got > 0)
            rc = stage_write(stage, span_of(piece, got), err);
        offset += got;
    } while (rc == ERR_OK && got > 0);
    wipe_free_used(piece, SPOOL_PIECE_BYTES);
    return rc;
}

struct spool_stage {
    struct stage stage;
    struct spool *spool;
};

static enum err_code
spool_stage_write(struct stage *stage, struct span piece, struct err *err)
{
    return spool_write(((struct spool_stage *)stage)->spool, piece, err);
}

static enum err_code
spool_stage_finish(struct stage *stage, struct err *err)
{
    return spool_finish(((struct spool_stage *)stage)->spool, err);
}

static void
spool_stage_free(struct stage *stage)
{
    free(stage);
}

static const struct stage_ops spool_stage_ops = {
    .name = "spool",
    .write = spool_stage_write,
    .finish = spool_stage_finish,
    .free = spool_stage_free,
};

enum err_code
spool_stage_new(struct spool *spool, struct stage **out, struct err *err)
{
    struct spool_stage *self = calloc(1, sizeof *self);

    if (!self)
        return err_set(err, ERR_NOMEM, "out of memory");
    stage_init(&self->stage, &spool_stage_ops, NULL);
    self->spool = spool;
    *out = &self->stage;
    return ERR_OK;
}
