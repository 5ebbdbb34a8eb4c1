#include "flow/digest.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "smime/hash.h"

/* Parts are small and many: they are gathered, and hashed some at a time. */
struct gather {
    struct smime_hash hash;
    size_t n;
    unsigned char bytes[512];
};

static enum err_code
gather_write(struct gather *gather, struct span piece, struct err *err)
{
    enum err_code code = ERR_OK;

    if (gather->n + piece.n > sizeof gather->bytes) {
        code = smime_hash_write(&gather->hash, span_of(gather->bytes, gather->n), err);
        gather->n = 0;
    }
    if (code == ERR_OK && piece.n > sizeof gather->bytes)
        return smime_hash_write(&gather->hash, piece, err);
    if (code == ERR_OK && piece.n > 0) {
        memcpy(gather->bytes + gather->n, piece.p, piece.n);
        gather->n += piece.n;
    }
    return code;
}

static enum err_code
gather_part(struct gather *gather, struct span part, struct err *err)
{
    unsigned char length[8];

    for (int i = 0; i < 8; i++)
        length[i] = (unsigned char)((uint64_t)part.n >> (56 - 8 * i));
    if (gather_write(gather, span_of(length, sizeof length), err) != ERR_OK)
        return err->code;
    return gather_write(gather, part, err);
}

enum err_code
flow_digest_get(const struct span *parts, size_t count, unsigned char *out, struct err *err)
{
    struct gather gather = { .n = 0 };
    struct smime_hash *hash = &gather.hash;
    enum err_code code;

    smime_hash_init(hash);
    code = smime_hash_new(hash, NID_sha256, err);
    for (size_t i = 0; code == ERR_OK && i < count; i++)
        code = gather_part(&gather, parts[i], err);
    if (code == ERR_OK)
        code = smime_hash_write(hash, span_of(gather.bytes, gather.n), err);
    if (code == ERR_OK)
        code = smime_hash_finish(hash, err);
    if (code == ERR_OK)
        memcpy(out, smime_hash_get(hash, NID_sha256).p, FLOW_DIGEST_BYTES);
    smime_hash_deinit(hash);
    explicit_bzero(gather.bytes, sizeof gather.bytes);
    return code;
}

static int
compare_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

size_t
flow_digest_sort(const char **texts, size_t count)
{
    size_t kept = 0;

    if (count > 0)
        qsort(texts, count, sizeof *texts, compare_text);
    for (size_t i = 0; i < count; i++) {
        if (kept == 0 || strcmp(texts[i], texts[kept - 1]) != 0)
            texts[kept++] = texts[i];
    }
    return kept;
}
