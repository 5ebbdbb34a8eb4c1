/*
 * The seal on what is stored where others can write: an HMAC-SHA-256 (RFC 2104, FIPS 180-4) over
 * the key name, the time of fetching and the bytes, with a key from a file that the nodes share.
 *
 * Whoever can write to Redis but has no key file can take values away and put older sealed values
 * of the same name back; he cannot make one, move one to another name, or make one look younger.
 * The first costs a fetch; of the second the reader learns the true age. Sealed or not, a CRL or a
 * certificate is verified again by its own signature: the seal keeps rubbish from the parsers.
 *
 *     octets  0-7   "smimed1\n"
 *     octets  8-27  seconds since 1970, 20 decimal digits (compared as text by the script that
 *                   keeps the newer of two)
 *     octets 28-59  the HMAC
 *     then the bytes
 *
 * This file is at home with libcrypto's EVP since an HMAC of our own would be worse than one more
 * line in docs/LAYERS; nothing else of libcrypto is used in cache/. The error queue is empty at
 * every return.
 *
 * Threads: any, at once; a seal never changes. The key is wiped when freed.
 */
#ifndef CACHE_SEAL_H
#define CACHE_SEAL_H

#include <stdint.h>

#include "util/buf.h"
#include "util/err.h"
#include "util/span.h"

enum {
    CACHE_SEAL_HEADER_BYTES = 60,
    CACHE_SEAL_KEY_LEAST_BYTES = 32,
    CACHE_SEAL_KEY_MOST_BYTES = 4096,
    CACHE_SEAL_SKEW_S = 300, /* how far the clocks of two nodes may be apart */
};

struct cache_seal;

/* The key is the file's octets, all of them: copy the file to the other nodes. ERR_NOTFOUND,
 * ERR_PERM (readable or writable by others than its owner, owner neither root nor us, too short,
 * not random), ERR_LIMIT, ERR_TEMP as file_read. */
ERR_CHECKED enum err_code cache_seal_load(const char *path, struct cache_seal **out,
                                          struct err *err);

/* The same from memory. */
ERR_CHECKED enum err_code cache_seal_new(struct span key, struct cache_seal **out, struct err *err);
void cache_seal_free(struct cache_seal **seal);

/* Appends the sealed form of `bytes` to `out`. */
struct cache_seal_value {
    struct span name; /* the whole key name, prefix included */
    struct span bytes;
    int64_t fetched_s;
};
ERR_CHECKED enum err_code cache_seal_write(const struct cache_seal *seal,
                                           const struct cache_seal_value *value, struct buf *out,
                                           struct err *err);

/* Opens `sealed` under value->name (set by the caller): fills `bytes`, borrowed from `sealed`, and
 * `fetched_s`. ERR_NOTFOUND, with the reason word "cache-forged": not sealed with this key under
 * this name, or fetched more than CACHE_SEAL_SKEW_S in the future. */
ERR_CHECKED enum err_code cache_seal_check(const struct cache_seal *seal, struct span sealed,
                                           struct cache_seal_value *value, struct err *err);

#endif
