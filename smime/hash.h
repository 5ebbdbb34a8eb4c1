/*
 * Several digests over one stream of content.                                     RFC 5652 5.4
 *
 * Holds the state of each digest and the first octets of the content. Belongs to one thread.
 */
#ifndef SMIME_HASH_H
#define SMIME_HASH_H

#include <stdint.h>

#include <openssl/evp.h>

#include "util/err.h"
#include "util/span.h"

enum { SMIME_HASH_LIMIT = 8, SMIME_HASH_HEAD = 8 };

struct smime_hash {
    struct {
        int nid;
        EVP_MD_CTX *context; /* NULL once finished */
        unsigned char value[EVP_MAX_MD_SIZE];
        unsigned value_n;
    } list[SMIME_HASH_LIMIT];
    size_t count;
    bool finished;
    unsigned char head[SMIME_HASH_HEAD]; /* first octets of the content */
    uint64_t bytes;                      /* of the content */
};

void smime_hash_init(struct smime_hash *hash);
void smime_hash_deinit(struct smime_hash *hash);

/* Starts one more digest; again the same: nothing happens. ERR_NOTFOUND: the library does not have
 * it; ERR_LIMIT: more than SMIME_HASH_LIMIT. */
ERR_CHECKED enum err_code smime_hash_new(struct smime_hash *hash, int nid, struct err *err);
ERR_CHECKED enum err_code smime_hash_write(struct smime_hash *hash, struct span piece,
                                           struct err *err);
ERR_CHECKED enum err_code smime_hash_finish(struct smime_hash *hash, struct err *err);

/* The digest, after finish; p NULL when it did not run. Borrowed. */
struct span smime_hash_get(const struct smime_hash *hash, int nid);

/* Starts what `micalg` names ("sha-256", "SHA1", "sha-256,sha-512", RFC 8551 3.5.3.2); where it is
 * absent (p NULL) or names something unknown, all digests that we accept. True: only what it names
 * was started. */
ERR_CHECKED enum err_code smime_hash_parse(struct smime_hash *hash, struct span micalg,
                                           bool *announced, struct err *err);

#endif
