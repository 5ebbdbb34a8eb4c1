/*
 * One HTTP request and its answer; what pki/fetch_get.c and pki/fetch.c share. Private to
 * pki/fetch.
 *
 * libcurl is touched by pki/fetch.c alone. pki/fetch_get.c holds what one fetch is made of:
 * budget, gate, redirects.
 */
#ifndef PKI_FETCH_EXCHANGE_H
#define PKI_FETCH_EXCHANGE_H

#include <pthread.h>
#include <stdatomic.h>

#include "pki/fetch.h"
#include "pki/fetch_gate.h"
#include "pki/fetch_url.h"

struct pki_fetch_pool; /* libcurl's handles */

struct pki_fetch {
    struct pki_fetch_args args; /* defaults filled in, all that it points to is ours */
    struct pki_fetch_exception *exceptions;
    struct network *only;
    char *proxy;
    char *user_agent;
    struct pki_fetch_gate *gate;
    struct pki_fetch_pool *pool;
    pthread_mutex_t lock; /* counts */
    _Atomic bool stop;
    struct pki_fetch_counts counts;
};

struct pki_fetch_exchange {
    struct pki_fetch *fetch;
    const struct pki_fetch_url *url;
    struct span request; /* of a POST; p NULL: GET */
    int64_t deadline_ms;
    size_t limit_bytes;
    struct buf *body; /* filled when the status is 200 */
    /* The answer */
    unsigned status;
    char location[PKI_FETCH_URL_BYTES + 1]; /* of a redirect, absolute; "" none */
    uint64_t received;                      /* octets of body */
    /* While it runs */
    size_t header_bytes;
    uint64_t announced; /* Content-Length */
    bool is_refused, is_too_large, is_encoded, is_ended, is_nomem;
    char refused[64];
};

/* NULL: no memory. The handles are made when they are needed, `most` of them. */
struct pki_fetch_pool *pki_fetch_pool_new(unsigned most);
void pki_fetch_pool_free(struct pki_fetch_pool **pool);

/* ERR_OK: the server answered; see status. Else ERR_TEMP with the word for it, or ERR_NOMEM. */
ERR_CHECKED enum err_code pki_fetch_exchange_write(struct pki_fetch_exchange *exchange,
                                                   struct err *err);

#endif
