/*
 * The cache in the process: bounded by bytes, the least recently used goes first.
 *
 * The bytes are counted with their keys and the bookkeeping, over all shards together, so that one
 * large CRL may have most of the room. The bound is reserved before a value is copied: it is never
 * exceeded, but for values that are being read while they are evicted.
 *
 * Threads: any; a lock per shard, held while pointers move, never while a value is copied out.
 * Nobody holds two of them.
 */
#ifndef CACHE_MEMORY_H
#define CACHE_MEMORY_H

#include "cache/cache.h"

/* `limit_bytes` is at least 4096. */
ERR_CHECKED enum err_code cache_memory_new(size_t limit_bytes, struct cache **out, struct err *err);

#endif
