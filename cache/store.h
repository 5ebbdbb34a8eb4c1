/*
 * The cache that a fleet of gateways shares: sealed values in Redis.
 *
 * Names: PREFIX "v:" KEY for values, PREFIX "c:" KEY for claims, so that neither is ever taken for
 * the other. A value is what cache/seal.h writes, sealed under its whole name, with a lifetime
 * (PX). Claims are SET NX PX with a random token. Two short scripts (EVAL) make one step of what
 * must be one: "replace unless newer" and "delete if it is mine".
 *
 * Anything that is not a value sealed with our key is a miss: a list where a string should be, a
 * value that is too long, garbage, one that was moved from another name. The script that keeps the
 * newer of two reads the time without knowing the key; so when it keeps one, that one is opened,
 * and replaced all the same when it was not sealed by us. Redis that loads, is full, is read-only,
 * is slow or gone: could not ask. Each of these is logged, once and then with a count, and none of
 * them stops mail.
 *
 * What a Redis user of ours needs (ACL): ~PREFIX* +get +set +del +eval +getrange, +select for a
 * database other than 0, +info with Sentinels.
 *
 * Memory: for a moment a value is held up to three times (what came from the wire, the parser's
 * string, the caller's copy); the limit of the caller's buffer bounds all three.
 *
 * Threads: any.
 */
#ifndef CACHE_STORE_H
#define CACHE_STORE_H

#include "cache/cache.h"
#include "cache/pool.h"
#include "cache/seal.h"

enum { CACHE_STORE_PREFIX_BYTES = 64, CACHE_STORE_TIMEOUT_MS = 1000 };

struct cache_store_args {
    struct cache_pool_args pool;
    const char *prefix;      /* copied; NULL is "smimed:" */
    struct cache_seal *seal; /* taken when the call succeeds */
    /* Of one question, waiting for a connection included; 0 is CACHE_STORE_TIMEOUT_MS. Large values
     * extend it (CACHE_REDIS_RATE). */
    int64_t timeout_ms;
};

/* Never connects. ERR_PERM: arguments that make no sense. */
ERR_CHECKED enum err_code cache_store_new(const struct cache_store_args *args, struct cache **out,
                                          struct err *err);

/* A password: the first line of a file that only its owner can read (root or us). Returned: free()
 * after explicit_bzero. ERR_NOTFOUND, ERR_PERM, ERR_TEMP as file_read; ERR_PERM for an empty line
 * or a NUL. */
ERR_CHECKED enum err_code cache_store_load_password(const char *path, char **out, struct err *err);

#endif
