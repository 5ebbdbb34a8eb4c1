#include "cache/seal.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "util/clock.h"
#include "util/file.h"

static const char cache_seal_magic[] = "smimed1\n";

enum {
    CACHE_SEAL_MAGIC_BYTES = sizeof cache_seal_magic - 1,
    CACHE_SEAL_TIME_BYTES = 20,
    CACHE_SEAL_MAC_BYTES = 32,
    CACHE_SEAL_DISTINCT = 8, /* a key with fewer different octets is zeros or a mistake */
};

_Static_assert(CACHE_SEAL_HEADER_BYTES ==
                   CACHE_SEAL_MAGIC_BYTES + CACHE_SEAL_TIME_BYTES + CACHE_SEAL_MAC_BYTES,
               "the header is its parts");

/* A context that holds the key and is only ever duplicated. */
struct cache_seal {
    EVP_MAC_CTX *keyed;
};

void
cache_seal_free(struct cache_seal **seal)
{
    if (!seal || !*seal)
        return;
    EVP_MAC_CTX_free((*seal)->keyed); /* libcrypto wipes the key */
    free(*seal);
    *seal = NULL;
}

static enum err_code
cache_seal_check_key(struct span key, struct err *err)
{
    bool seen[256] = { false };
    unsigned distinct = 0;

    if (key.n < CACHE_SEAL_KEY_LEAST_BYTES || key.n > CACHE_SEAL_KEY_MOST_BYTES)
        return err_set_reason(err, ERR_PERM, "bad-key", "a key of %zu octets; %d to %d are needed",
                              key.n, CACHE_SEAL_KEY_LEAST_BYTES, CACHE_SEAL_KEY_MOST_BYTES);
    for (size_t i = 0; i < key.n; i++) {
        distinct += !seen[key.p[i]];
        seen[key.p[i]] = true;
    }
    explicit_bzero(seen, sizeof seen);
    if (distinct < CACHE_SEAL_DISTINCT)
        return err_set_reason(err, ERR_PERM, "bad-key", "the key is not random");
    return ERR_OK;
}

enum err_code
cache_seal_new(struct span key, struct cache_seal **out, struct err *err)
{
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    struct cache_seal *seal = NULL;
    EVP_MAC *mac = NULL;
    enum err_code rc = cache_seal_check_key(key, err);

    if (rc != ERR_OK)
        return rc;
    seal = calloc(1, sizeof *seal);
    mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    if (seal && mac)
        seal->keyed = EVP_MAC_CTX_new(mac);
    if (!seal || !seal->keyed || !EVP_MAC_init(seal->keyed, key.p, key.n, params)) {
        rc = err_set(err, ERR_NOMEM, "HMAC-SHA-256 cannot be set up");
        cache_seal_free(&seal);
    }
    EVP_MAC_free(mac);
    ERR_clear_error();
    *out = seal;
    return rc;
}

enum err_code
cache_seal_load(const char *path, struct cache_seal **out, struct err *err)
{
    const struct file_read_args args = {
        .limit_bytes = CACHE_SEAL_KEY_MOST_BYTES,
        .forbidden_mode = 0077,
        .check_owner = true,
    };
    struct buf key = BUF_INIT(CACHE_SEAL_KEY_MOST_BYTES);
    enum err_code rc = file_read(path, &args, &key, err);

    if (rc == ERR_OK) {
        rc = cache_seal_new(buf_span(&key), out, err);
        if (rc != ERR_OK)
            rc = err_prefix(err, "%.300s", path);
    }
    buf_free(&key);
    return rc;
}

/* Name and bytes are separated by the name's length: otherwise octets could move from one to the
 * other. */
static enum err_code
cache_seal_mac(const struct cache_seal *seal, const struct cache_seal_value *value,
               unsigned char out[CACHE_SEAL_MAC_BYTES], struct err *err)
{
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_dup(seal->keyed);
    unsigned char fixed[64];
    size_t n = 0;
    int length = snprintf((char *)fixed, sizeof fixed, "%s%020" PRId64 "%020zu", cache_seal_magic,
                          value->fetched_s, value->name.n);
    bool good = ctx && length > 0 && (size_t)length < sizeof fixed &&
                EVP_MAC_update(ctx, fixed, (size_t)length) &&
                EVP_MAC_update(ctx, value->name.p, value->name.n) &&
                (value->bytes.n == 0 || EVP_MAC_update(ctx, value->bytes.p, value->bytes.n)) &&
                EVP_MAC_final(ctx, out, &n, CACHE_SEAL_MAC_BYTES) && n == CACHE_SEAL_MAC_BYTES;

    EVP_MAC_CTX_free(ctx);
    ERR_clear_error();
    return good ? ERR_OK : err_set(err, ERR_NOMEM, "HMAC-SHA-256 failed");
}

enum err_code
cache_seal_write(const struct cache_seal *seal, const struct cache_seal_value *value,
                 struct buf *out, struct err *err)
{
    unsigned char mac[CACHE_SEAL_MAC_BYTES];
    enum err_code rc;

    if (value->fetched_s < 0)
        return err_set(err, ERR_BUG, "a negative time of fetching");
    rc = cache_seal_mac(seal, value, mac, err);
    if (rc == ERR_OK)
        rc = buf_reserve(out, CACHE_SEAL_HEADER_BYTES + value->bytes.n, err);
    if (rc == ERR_OK)
        rc = buf_appendf(out, err, "%s%020" PRId64, cache_seal_magic, value->fetched_s);
    if (rc == ERR_OK)
        rc = buf_append(out, span_of(mac, sizeof mac), err);
    if (rc == ERR_OK)
        rc = buf_append(out, value->bytes, err);
    return rc;
}

/* Twenty digits, no sign, no space; false also for what does not fit. */
static bool
cache_seal_parse_time(const unsigned char *p, int64_t *out)
{
    int64_t time_s = 0;

    for (size_t i = 0; i < CACHE_SEAL_TIME_BYTES; i++) {
        if (p[i] < '0' || p[i] > '9' || time_s > (INT64_MAX - 9) / 10)
            return false;
        time_s = time_s * 10 + (p[i] - '0');
    }
    *out = time_s;
    return true;
}

enum err_code
cache_seal_check(const struct cache_seal *seal, struct span sealed, struct cache_seal_value *value,
                 struct err *err)
{
    struct cache_seal_value found = { .name = value->name };
    unsigned char mac[CACHE_SEAL_MAC_BYTES];
    enum err_code rc;

    if (sealed.n < CACHE_SEAL_HEADER_BYTES ||
        memcmp(sealed.p, cache_seal_magic, CACHE_SEAL_MAGIC_BYTES) != 0 ||
        !cache_seal_parse_time(sealed.p + CACHE_SEAL_MAGIC_BYTES, &found.fetched_s))
        return err_set_reason(err, ERR_NOTFOUND, "cache-forged", "not a sealed value");
    found.bytes = span_from(sealed, CACHE_SEAL_HEADER_BYTES);
    rc = cache_seal_mac(seal, &found, mac, err);
    if (rc != ERR_OK)
        return rc;
    if (CRYPTO_memcmp(mac, sealed.p + CACHE_SEAL_MAGIC_BYTES + CACHE_SEAL_TIME_BYTES, sizeof mac) !=
        0)
        return err_set_reason(err, ERR_NOTFOUND, "cache-forged",
                              "not sealed with our key under this name");
    /* A node whose clock is wrong must not keep all others from replacing its value. */
    if (found.fetched_s > (int64_t)clock_now_s() + CACHE_SEAL_SKEW_S)
        return err_set_reason(err, ERR_NOTFOUND, "cache-forged",
                              "fetched in the future: is the clock of a node wrong?");
    *value = found;
    return ERR_OK;
}
