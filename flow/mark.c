#include "flow/mark.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#define uthash_nonfatal_oom(item) ((item)->broken = true)
#include <uthash.h>

#include "cache/seal.h"
#include "flow/digest.h"
#include "mime/base64.h"
#include "util/clock.h"
#include "util/random.h"

enum {
    MARK_NONCE_BYTES = 16,
    MARK_NONCE_SIZE = 2 * MARK_NONCE_BYTES + 1,
    MARK_KEY_BYTES = 32,
    MARK_NAME_SIZE = 400,
    MARK_SEALED_BYTES = CACHE_SEAL_HEADER_BYTES + FLOW_DIGEST_BYTES,
    MARK_LIMIT_HEADER = 80 << 20, /* max_header is 64 MiB at most */
};

struct used {
    char nonce[MARK_NONCE_SIZE];
    int64_t made_s;
    bool broken; /* no memory to remember it */
    UT_hash_handle hh;
};

struct flow_mark {
    struct cache_seal *seal;
    char host[256];
    pthread_mutex_t lock; /* around what follows */
    struct used *used;    /* in the order in which they were taken */
    int64_t floor_s;      /* what was made until then is not taken: it may have been, before */
};

static enum err_code
mark_load_key(struct flow_mark *mark, const char *key_file, struct err *err)
{
    unsigned char key[MARK_KEY_BYTES];
    enum err_code code;

    if (key_file && *key_file) {
        mark->floor_s = clock_now_s();
        return cache_seal_load(key_file, &mark->seal, err);
    }
    mark->floor_s = -1;
    code = random_get(key, sizeof key, err);
    if (code == ERR_OK)
        code = cache_seal_new(span_of(key, sizeof key), &mark->seal, err);
    explicit_bzero(key, sizeof key);
    return code;
}

enum err_code
flow_mark_new(const char *key_file, const char *host, struct flow_mark **out, struct err *err)
{
    struct flow_mark *mark = calloc(1, sizeof *mark);
    enum err_code code;

    *out = NULL;
    if (!mark)
        return err_set(err, ERR_NOMEM, "no memory for the mark on copies");
    pthread_mutex_init(&mark->lock, NULL);
    snprintf(mark->host, sizeof mark->host, "%s", host);
    code = mark_load_key(mark, key_file, err);
    if (code != ERR_OK)
        flow_mark_free(&mark);
    *out = mark;
    return code;
}

void
flow_mark_free(struct flow_mark **mark)
{
    struct flow_mark *old = mark ? *mark : NULL;
    struct used *one, *next;

    if (!old)
        return;
    *mark = NULL;
    HASH_ITER(hh, old->used, one, next)
    {
        HASH_DEL(old->used, one);
        free(one);
    }
    cache_seal_free(&old->seal);
    pthread_mutex_destroy(&old->lock);
    free(old);
}

/* ---- what is sealed ----------------------------------------------------------------------------
 */

/* "name:value" with the name in lower case and white space, folding too, as one blank. */
static enum err_code
append_field(struct buf *out, struct mime_header_field field, struct err *err)
{
    bool blank = false;

    if (buf_reserve(out, field.name.n + field.value.n + 2, err) != ERR_OK)
        return err->code;
    for (size_t i = 0; i < field.name.n; i++) {
        unsigned char c = field.name.p[i];

        (void)!buf_append_byte(out, c >= 'A' && c <= 'Z' ? (unsigned char)(c + 32) : c, err);
    }
    (void)!buf_append_byte(out, ':', err);
    field.value = span_trim(field.value);
    for (size_t i = 0; i < field.value.n; i++) {
        unsigned char c = field.value.p[i];

        if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
            blank = true;
            continue;
        }
        if (blank)
            (void)!buf_append_byte(out, ' ', err);
        blank = false;
        (void)!buf_append_byte(out, c, err);
    }
    return buf_append_byte(out, '\n', err);
}

static enum err_code
digest_header(const struct mime_header *header, unsigned char *out, struct err *err)
{
    struct buf text = BUF_INIT(MARK_LIMIT_HEADER);
    enum err_code code = ERR_OK;

    for (size_t i = 0; code == ERR_OK && i < mime_header_count(header); i++) {
        struct mime_header_field field = mime_header_get(header, i);

        if (!span_equal_nocase(field.name, FLOW_MARK_FIELD))
            code = append_field(&text, field, err);
    }
    if (code == ERR_OK) {
        struct span part = buf_span(&text);

        code = flow_digest_get(&part, 1, out, err);
    }
    buf_free(&text);
    return code;
}

static enum err_code
digest_copy(const struct flow_mark_copy *copy, unsigned char *out, struct err *err)
{
    unsigned char header[FLOW_DIGEST_BYTES];
    const char **sorted = calloc(copy->count + 1, sizeof *sorted);
    struct span *parts = calloc(copy->count + 3, sizeof *parts);
    size_t count = copy->count;
    enum err_code code = sorted && parts ? digest_header(copy->header, header, err)
                                         : err_set(err, ERR_NOMEM, "no memory for a mark");

    if (code == ERR_OK) {
        if (count > 0)
            memcpy(sorted, copy->recipients, count * sizeof *sorted);
        count = flow_digest_sort(sorted, count);
        parts[0] = span_of(header, sizeof header);
        parts[1] = copy->body;
        parts[2] = span_str(copy->sender);
        for (size_t i = 0; i < count; i++)
            parts[i + 3] = span_str(sorted[i]);
        code = flow_digest_get(parts, count + 3, out, err);
    }
    free(sorted);
    free(parts);
    return code;
}

static struct span
mark_name(const struct flow_mark *mark, const char *nonce, char name[MARK_NAME_SIZE])
{
    snprintf(name, MARK_NAME_SIZE, "copy %s %s", nonce, mark->host);
    return span_str(name);
}

/* ---- making -------------------------------------------------------------------------------------
 */

enum err_code
flow_mark_format(struct flow_mark *mark, const struct flow_mark_copy *copy,
                 char out[FLOW_MARK_SIZE], struct err *err)
{
    struct buf sealed = BUF_INIT(MARK_SEALED_BYTES), text = BUF_INIT(FLOW_MARK_SIZE);
    char nonce[MARK_NONCE_SIZE], name[MARK_NAME_SIZE];
    unsigned char digest[FLOW_DIGEST_BYTES];
    struct cache_seal_value value = { .bytes = span_of(digest, sizeof digest),
                                      .fetched_s = clock_now_s() };
    enum err_code code = random_get_hex(nonce, MARK_NONCE_BYTES, err);

    if (code == ERR_OK)
        code = digest_copy(copy, digest, err);
    value.name = mark_name(mark, nonce, name);
    if (code == ERR_OK)
        code = cache_seal_write(mark->seal, &value, &sealed, err);
    if (code == ERR_OK)
        code = mime_base64_format(buf_span(&sealed), &text, err);
    if (code == ERR_OK)
        snprintf(out, FLOW_MARK_SIZE, "v1 %s\r\n %s", nonce, buf_str(&text));
    buf_free(&sealed);
    buf_free(&text);
    return code;
}

/* ---- checking -----------------------------------------------------------------------------------
 */

static enum err_code
forged(struct err *err, const char *text)
{
    return err_set_reason(err, ERR_PERM, "mark-forged", "%s", text);
}

/* "v1 NONCE BASE64", with any white space between. */
static enum err_code
mark_parse(struct span value, char *nonce, struct buf *sealed, struct err *err)
{
    struct span rest = span_trim(value);
    struct err why = ERR_INIT;
    size_t i = 0;

    if (rest.n < 4 + MARK_NONCE_SIZE || rest.n > FLOW_MARK_SIZE || !span_starts_nocase(rest, "v1 "))
        return forged(err, "not a mark");
    rest = span_trim(span_from(rest, 3));
    for (; i + 1 < MARK_NONCE_SIZE && i < rest.n; i++) {
        unsigned char c = rest.p[i];

        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return forged(err, "not a mark");
        nonce[i] = (char)c;
    }
    nonce[i] = '\0';
    rest = span_from(rest, i);
    if (i + 1 != MARK_NONCE_SIZE || rest.n == 0 ||
        (rest.p[0] != ' ' && rest.p[0] != '\r' && rest.p[0] != '\n' && rest.p[0] != '\t'))
        return forged(err, "not a mark");
    if (mime_base64_parse(rest, sealed, &why) != ERR_OK)
        return why.code == ERR_NOMEM ? err_set(err, ERR_NOMEM, "no memory for a mark")
                                     : forged(err, "not a mark");
    return sealed->n == MARK_SEALED_BYTES ? ERR_OK : forged(err, "not a mark");
}

/* Opens a mark of ours: its nonce, when it was made, and the digest in `sealed`. */
static enum err_code
mark_open(struct flow_mark *mark, struct span text, char *nonce, struct buf *sealed,
          struct cache_seal_value *value, struct err *err)
{
    char name[MARK_NAME_SIZE];
    struct err why = ERR_INIT;
    int64_t age_s;

    if (mark_parse(text, nonce, sealed, err) != ERR_OK)
        return err->code;
    value->name = mark_name(mark, nonce, name);
    (void)!cache_seal_check(mark->seal, buf_span(sealed), value, &why);
    value->name = span_of(NULL, 0);
    if (why.code == ERR_NOTFOUND)
        return forged(err, "not sealed with our key, or from the future");
    if (why.code != ERR_OK)
        return err_set(err, why.code, "%s", why.text);
    age_s = (int64_t)clock_now_s() - value->fetched_s;
    if (age_s > FLOW_MARK_FRESH_S)
        return err_set_reason(err, ERR_PERM, "mark-late", "the mark is %lld seconds old",
                              (long long)age_s);
    return ERR_OK;
}

enum err_code
flow_mark_find(struct flow_mark *mark, struct span text, struct err *err)
{
    struct buf sealed = BUF_INIT(FLOW_MARK_SIZE);
    struct cache_seal_value value;
    char nonce[MARK_NONCE_SIZE];
    enum err_code code = mark_open(mark, text, nonce, &sealed, &value, err);

    buf_free(&sealed);
    return code;
}

/* Forgets what is not fresh any more. A clock that is set back makes none of it fresh again. */
static void
forget_old(struct flow_mark *mark, int64_t now_s)
{
    while (mark->used && now_s - mark->used->made_s > FLOW_MARK_FRESH_S) {
        struct used *old = mark->used;

        if (old->made_s > mark->floor_s)
            mark->floor_s = old->made_s;
        HASH_DEL(mark->used, old);
        free(old);
    }
}

/* Behind the lock. `fresh` is taken when it returns ERR_OK. */
static enum err_code
take(struct flow_mark *mark, struct used *fresh, struct err *err)
{
    struct used *before = NULL;

    forget_old(mark, clock_now_s());
    if (fresh->made_s <= mark->floor_s)
        return err_set_reason(err, ERR_TEMP, "mark-early",
                              "the mark was made before this process began to remember marks");
    HASH_FIND_STR(mark->used, fresh->nonce, before);
    if (before)
        return err_set_reason(err, ERR_PERM, "mark-used", "the mark was used before");
    if (HASH_COUNT(mark->used) >= FLOW_MARK_LIMIT_USED)
        return err_set_reason(err, ERR_TEMP, "mark-many", "more than %d marks within %d seconds",
                              FLOW_MARK_LIMIT_USED, FLOW_MARK_FRESH_S);
    HASH_ADD_STR(mark->used, nonce, fresh);
    return fresh->broken ? err_set(err, ERR_NOMEM, "no memory to remember a mark") : ERR_OK;
}

enum err_code
flow_mark_check(struct flow_mark *mark, struct span text, const struct flow_mark_copy *copy,
                struct err *err)
{
    struct buf sealed = BUF_INIT(FLOW_MARK_SIZE);
    struct cache_seal_value value;
    struct used *fresh = calloc(1, sizeof *fresh);
    unsigned char digest[FLOW_DIGEST_BYTES];
    enum err_code code = ERR_OK;

    if (!fresh)
        return err_set(err, ERR_NOMEM, "no memory for a mark");
    code = mark_open(mark, text, fresh->nonce, &sealed, &value, err);
    if (code == ERR_OK)
        code = digest_copy(copy, digest, err);
    if (code == ERR_OK && !span_equal(value.bytes, span_of(digest, sizeof digest)))
        code = err_set_reason(err, ERR_PERM, "mark-changed",
                              "the message or its envelope is not the one that was marked");
    if (code == ERR_OK) {
        fresh->made_s = value.fetched_s;
        pthread_mutex_lock(&mark->lock);
        code = take(mark, fresh, err);
        pthread_mutex_unlock(&mark->lock);
    }
    if (code != ERR_OK)
        free(fresh);
    buf_free(&sealed);
    return code;
}
