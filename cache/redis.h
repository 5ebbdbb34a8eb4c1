/*
 * One connection to one Redis (or Sentinel): bounded in time and size. The home of hiredis, whose
 * formatter and reply parser do the protocol; waiting is done here.
 *
 * Why not hiredis' blocking calls: their time-out counts anew with every octet, so that a server
 * that drips holds a thread for days; and they read a reply of any size. Here every call has one
 * deadline, a reply that announces more than its bound is refused before it is read, and arrays are
 * one level of at most CACHE_REDIS_ELEMENTS.
 *
 * A connection on which anything went wrong (time-out, garbage, more octets than the one reply) is
 * dead: a later reply would answer an earlier question. The owner drops it.
 *
 * hiredis 0.14 has no TLS: over a network, Redis belongs into one that is private. A host given by
 * name is resolved by the C library, whose own time-outs then count (resolv.conf(5)); give an
 * address, or a name in /etc/hosts.
 *
 * Threads: a connection belongs to one at a time.
 */
#ifndef CACHE_REDIS_H
#define CACHE_REDIS_H

#include <stdbool.h>
#include <stdint.h>

#include "util/err.h"
#include "util/span.h"

enum {
    CACHE_REDIS_ELEMENTS = 8,   /* of an array */
    CACHE_REDIS_ARGUMENTS = 10, /* of a command */
    CACHE_REDIS_RATE = 16384,   /* octets per millisecond by which large values extend a deadline */
};

/* Where and as whom. Strings are borrowed for the call of cache_redis_new. */
struct cache_redis_server {
    const char *socket; /* a Unix socket; NULL: host and port */
    const char *host;
    unsigned port;
    const char *user;     /* ACL user; NULL: the default one */
    const char *password; /* NULL: none is sent */
    unsigned database;    /* chosen when not 0; Sentinels have none */
};

enum cache_redis_kind {
    CACHE_REDIS_KIND_NIL,
    CACHE_REDIS_KIND_STRING,
    CACHE_REDIS_KIND_STATUS,
    CACHE_REDIS_KIND_INTEGER,
    CACHE_REDIS_KIND_ERROR, /* the server's own words */
    CACHE_REDIS_KIND_ARRAY, /* of strings: others are empty */
};

/* Borrowed until the next call on the connection. */
struct cache_redis_answer {
    enum cache_redis_kind kind;
    struct span text; /* STRING, STATUS, ERROR */
    int64_t integer;
    size_t count;
    struct span elements[CACHE_REDIS_ELEMENTS];
};

struct cache_redis;

/* Connects, authenticates, chooses the database. ERR_TEMP: no connection, and why; the password is
 * never in the text. */
ERR_CHECKED enum err_code cache_redis_new(const struct cache_redis_server *server,
                                          int64_t deadline_ms, struct cache_redis **out,
                                          struct err *err);
void cache_redis_free(struct cache_redis **redis);

struct cache_redis_question {
    const struct span *arguments;
    size_t count;
    size_t limit_bytes;  /* longest string in the answer */
    int64_t deadline_ms; /* of the monotonic clock; grows with the octets, see CACHE_REDIS_RATE */
};

/* ERR_OK: there is an answer, perhaps one of kind ERROR. ERR_TEMP: none; the connection is dead.
 * ERR_LIMIT: the answer is too long; the connection is dead. */
ERR_CHECKED enum err_code cache_redis_ask(struct cache_redis *redis,
                                          const struct cache_redis_question *question,
                                          struct cache_redis_answer *answer, struct err *err);

/* Whole, and with nothing to read: a server that went away, or that says something unasked, is
 * noticed before the next question. */
bool cache_redis_is_usable(const struct cache_redis *redis);

#endif
