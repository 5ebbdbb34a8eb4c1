/*
 * The connections to a list of servers that hold the same directory: bounded, kept, made when
 * needed; fail-over in the order of the list, and a circuit breaker for each server.
 *
 * How one question passes: the first server whose circuit is closed gives a kept connection or a
 * new one. A failure opens the circuit of that server (where there is no other: the third in a
 * row): for a while nobody asks it, so that a dead server costs a message nothing, then one
 * question probes; the while doubles from one to 30 s. Another server is tried at once. Failures
 * are logged once with a count (util/log.h), and once when a server is back.
 *
 * Nothing is connected when the pool is made: servers may be absent at start.
 *
 * Threads: any; one lock, held while a list changes, never during input or output.
 */
#ifndef DIRECTORY_LDAP_POOL_H
#define DIRECTORY_LDAP_POOL_H

#include "directory/ldap_connection.h"

enum {
    DIRECTORY_LDAP_POOL_CONNECTIONS = 64,
    DIRECTORY_LDAP_POOL_SERVERS = 16,
    DIRECTORY_LDAP_POOL_FAILURES = 3,
    DIRECTORY_LDAP_POOL_BACKOFF_MS = 1000,
    DIRECTORY_LDAP_POOL_BACKOFF_MAX_MS = 30000,
    DIRECTORY_LDAP_POOL_IDLE_MS = 120000, /* firewalls forget connections; this is before */
};

struct directory_ldap_pool;

/* Servers are parsed here. ERR_PERM: one is none, more than DIRECTORY_LDAP_POOL_SERVERS, a bad
 * account. */
ERR_CHECKED enum err_code directory_ldap_pool_new(const struct conf_directory *conf,
                                                  struct directory_ldap_pool **out,
                                                  struct err *err);
void directory_ldap_pool_free(struct directory_ldap_pool **pool); /* all were given back */

/* The servers, for the doctor. */
size_t directory_ldap_pool_count(const struct directory_ldap_pool *pool);
const struct directory_server *directory_ldap_pool_get(const struct directory_ldap_pool *pool,
                                                       size_t server);

/* A connection under `deadline_ms`, to a server whose bit in `tried` is not set. *connects (may be
 * NULL) counts. ERR_NOTFOUND: no server is left. ERR_TEMP: the one that was tried failed (its bit
 * is set, and it was counted), or all connections are in use until the deadline. */
ERR_CHECKED enum err_code directory_ldap_pool_take(struct directory_ldap_pool *pool,
                                                   int64_t deadline_ms, unsigned *tried,
                                                   struct directory_ldap_connection **out,
                                                   struct err *err);

enum directory_ldap_verdict {
    DIRECTORY_LDAP_VERDICT_GOOD,   /* it answered, and is kept */
    DIRECTORY_LDAP_VERDICT_DROP,   /* it answered, but more may come: it is closed */
    DIRECTORY_LDAP_VERDICT_FAILED, /* the server failed: closed and counted */
    DIRECTORY_LDAP_VERDICT_AGED,   /* a kept connection had ended: all kept ones of that server are
                                      closed, and nothing is counted */
};

/* Gives it back and sets the pointer to NULL. `failure`: what to log. */
void directory_ldap_pool_give(struct directory_ldap_pool *pool,
                              struct directory_ldap_connection **connection,
                              enum directory_ldap_verdict verdict, const struct err *failure);

/* A connection to one server, beside the pool: for the doctor. */
ERR_CHECKED enum err_code directory_ldap_pool_try(struct directory_ldap_pool *pool, size_t server,
                                                  int64_t deadline_ms,
                                                  struct directory_ldap_connection **out,
                                                  enum directory_ldap_step *step, struct err *err);

#endif
