/*
 * What the tests of smime share: users with keys, a message through a chain of stages in pieces,
 * and the openssl command line as the other side. Every function aborts on failure.
 */
#ifndef TESTS_UNIT_SMIME_FIXTURE_H
#define TESTS_UNIT_SMIME_FIXTURE_H

#include "make.h"

#include <string.h>

#include "../testca.h"
#include "pki/keyring.h"
#include "mime/base64.h"
#include "smime/encrypt.h"
#include "smime/sign.h"
#include "util/spool.h"

#define FIXTURE_ENTITY \
    "Content-Type: text/plain; charset=us-ascii\r\n\r\nGood morning.\r\n-- \r\nAlice\r\n"

struct user {
    struct testca_leaf leaf;
    struct pki_key key;
};

static inline void
user_init(struct user *user, struct testca *ca, enum testca_key type, unsigned index,
          const char *usage)
{
    char san[64], cn[32];
    snprintf(cn, sizeof(cn), "User %d.%u", (int)type, index);
    snprintf(san, sizeof(san), "email:user%d.%u@example.org", (int)type, index);
    testca_issue(ca,
                 &(struct testca_args){ .cn = cn,
                                        .san = san,
                                        .key_type = type,
                                        .key_index = index,
                                        .key_usage = usage,
                                        .ext_key_usage = "emailProtection" },
                 &user->leaf);
    user->key = (struct pki_key){ .pkey = user->leaf.key,
                                  .certificate = testca_certificate(user->leaf.x509),
                                  .file = "test.pem" };
}

static inline void
user_free(struct user *user)
{
    pki_certificate_free(&user->key.certificate);
    pki_certificates_free(&user->key.chain);
    testca_leaf_free(&user->leaf);
}

/* Writes `bytes` in pieces of `size`, each an exact heap block, and finishes. */
static inline enum err_code
fixture_feed(struct stage *stage, struct span bytes, size_t size, struct err *err)
{
    enum err_code code = ERR_OK;
    for (size_t at = 0; at < bytes.n && code == ERR_OK; at += size) {
        size_t n = bytes.n - at < size ? bytes.n - at : size;
        struct make piece = make_raw(bytes.p + at, n);
        code = stage_write(stage, span_of(piece.p, n), err);
        free(piece.p);
    }
    return code == ERR_OK ? stage_finish(stage, err) : code;
}

#define FIXTURE_MUST(what)                       \
    do {                                         \
        enum err_code must_code = (what);        \
        if (must_code != ERR_OK)                 \
            fail_msg("%s: %s", #what, err.text); \
        assert_int_equal(ERR_peek_error(), 0);   \
    } while (0)

/* The signed message (header fields, empty line, body) is appended to `out`. */
static inline void
fixture_sign(const struct smime_sign_args *args, struct span entity, size_t size, struct buf *out)
{
    struct err err = ERR_INIT;
    struct buf body = BUF_INIT(MAKE_LIMIT);
    struct stage *sink = NULL, *sign = NULL;
    struct smime_entity_header header;
    FIXTURE_MUST(stage_buf_new(&body, &sink, &err));
    FIXTURE_MUST(smime_sign_new(args, sink, &sign, &header, &err));
    FIXTURE_MUST(fixture_feed(sign, entity, size, &err));
    stage_free(&sign);
    FIXTURE_MUST(smime_entity_header_format(&header, out, &err));
    FIXTURE_MUST(buf_append_str(out, "\r\n", &err));
    FIXTURE_MUST(buf_append(out, buf_span(&body), &err));
    buf_free(&body);
}

static inline void
fixture_encrypt(const struct smime_encrypt_args *args, struct span entity, size_t size,
                struct buf *out)
{
    struct err err = ERR_INIT;
    struct buf body = BUF_INIT(MAKE_LIMIT);
    struct stage *sink = NULL, *encrypt = NULL;
    struct smime_entity_header header;
    FIXTURE_MUST(stage_buf_new(&body, &sink, &err));
    FIXTURE_MUST(smime_encrypt_new(args, sink, &encrypt, &header, &err));
    FIXTURE_MUST(fixture_feed(encrypt, entity, size, &err));
    stage_free(&encrypt);
    FIXTURE_MUST(smime_entity_header_format(&header, out, &err));
    FIXTURE_MUST(buf_append_str(out, "\r\n", &err));
    FIXTURE_MUST(buf_append(out, buf_span(&body), &err));
    buf_free(&body);
}

/* The body of a message as fixture_sign and fixture_encrypt write it. */
static inline struct span
fixture_body(const struct buf *message)
{
    const char *end = strstr(buf_str(message), "\r\n\r\n");
    assert_non_null(end);
    size_t at = (size_t)(end + 4 - buf_str(message));
    return span_of(message->p + at, message->n - at);
}

/* Decodes the base64 body of `message` (appended to `cms`). */
static inline void
fixture_decode(const struct buf *message, struct buf *cms)
{
    struct err err = ERR_INIT;
    struct stage *sink = NULL, *decode = NULL;
    uint64_t irregular = 0;
    FIXTURE_MUST(stage_buf_new(cms, &sink, &err));
    FIXTURE_MUST(mime_base64_decode_new(&irregular, sink, &decode, &err));
    FIXTURE_MUST(stage_write(decode, fixture_body(message), &err));
    FIXTURE_MUST(stage_finish(decode, &err));
    stage_free(&decode);
    assert_int_equal(irregular, 0);
}

static inline struct spool *
fixture_spool(struct span bytes)
{
    struct err err = ERR_INIT;
    struct spool *spool = NULL;
    const struct spool_args args = { .folder = "/tmp",
                                     .memory_bytes = 256 * 1024,
                                     .limit_bytes = 4ull * 1024 * 1024 * 1024 };
    FIXTURE_MUST(spool_new(&args, &spool, &err));
    FIXTURE_MUST(spool_write(spool, bytes, &err));
    FIXTURE_MUST(spool_finish(spool, &err));
    return spool;
}

/* Runs `openssl` with `arguments` in `folder`; true when it exits with 0. */
static inline bool
fixture_openssl(const char *folder, const char *arguments)
{
    char command[2048];
    snprintf(command, sizeof(command), "cd '%s' && openssl %s >out.txt 2>err.txt", folder,
             arguments);
    int status = system(command);
    return status == 0;
}

static inline void
fixture_save(const char *folder, const char *name, const struct buf *bytes)
{
    testca_file(folder, name, 0600, bytes->p, bytes->n);
}

/* Reads a file of `folder` (appended to `out`). */
static inline void
fixture_load(const char *folder, const char *name, struct buf *out)
{
    struct err err = ERR_INIT;
    char path[512];
    char piece[4096];
    snprintf(path, sizeof(path), "%s%s%s", folder, folder[0] != '\0' ? "/" : "", name);
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        fail_msg("cannot open %s", path);
    size_t n;
    while ((n = fread(piece, 1, sizeof(piece), file)) > 0)
        FIXTURE_MUST(buf_append(out, span_of(piece, n), &err));
    fclose(file);
}

#endif
