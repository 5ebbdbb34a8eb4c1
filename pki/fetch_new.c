#include "pki/fetch.h"

#include <stdlib.h>
#include <string.h>

#include "pki/fetch_exchange.h"

static enum err_code
fetch_copy_args(struct pki_fetch *fetch, const struct pki_fetch_args *args, struct err *err)
{
    static const size_t limits[] = {
        [PKI_FETCH_AIA] = 1 << 20, [PKI_FETCH_OCSP] = 16 << 10, [PKI_FETCH_CRL] = 64 << 20
    };
    struct pki_fetch_args *a = &fetch->args;
    const char *agent = args->user_agent ? args->user_agent : "smimed";

    *a = *args;
    if (args->proxy && strncmp(args->proxy, "http://", 7) != 0 &&
        strncmp(args->proxy, "https://", 8) != 0 && strncmp(args->proxy, "socks5h://", 10) != 0)
        return err_set(err, ERR_PERM,
                       "a proxy is written http://host:port, https:// or socks5h://");
    fetch->exceptions = calloc(args->exception_count + 1, sizeof *fetch->exceptions);
    fetch->only = calloc(args->only_count + 1, sizeof *fetch->only);
    fetch->user_agent = strdup(agent);
    fetch->proxy = args->proxy ? strdup(args->proxy) : NULL;
    if (!fetch->exceptions || !fetch->only || !fetch->user_agent || (args->proxy && !fetch->proxy))
        return err_set(err, ERR_NOMEM, "no memory for fetching");
    if (args->exception_count > 0)
        memcpy(fetch->exceptions, args->exceptions,
               args->exception_count * sizeof *fetch->exceptions);
    if (args->only_count > 0)
        memcpy(fetch->only, args->only, args->only_count * sizeof *fetch->only);
    a->exceptions = fetch->exceptions;
    a->only = fetch->only;
    a->user_agent = fetch->user_agent;
    a->proxy = fetch->proxy;
    a->connect_ms = args->connect_ms ? args->connect_ms : 5000;
    a->total_ms = args->total_ms ? args->total_ms : 60000;
    a->transfers = args->transfers ? args->transfers : 32;
    a->remembered = args->remembered ? args->remembered : 1024;
    a->backoff_first_s = args->backoff_first_s ? args->backoff_first_s : 30;
    a->backoff_most_s = args->backoff_most_s ? args->backoff_most_s : 3600;
    for (int kind = 0; kind < PKI_FETCH_KIND_COUNT; kind++)
        if (a->limit_bytes[kind] == 0)
            a->limit_bytes[kind] = limits[kind];
    return ERR_OK;
}

enum err_code
pki_fetch_new(const struct pki_fetch_args *args, struct pki_fetch **out, struct err *err)
{
    struct pki_fetch *fetch = calloc(1, sizeof *fetch);
    struct pki_fetch_gate_args gate;
    enum err_code code;

    *out = NULL;
    if (!fetch)
        return err_set(err, ERR_NOMEM, "no memory for fetching");
    pthread_mutex_init(&fetch->lock, NULL);
    if ((code = fetch_copy_args(fetch, args, err)) != ERR_OK)
        goto out;
    gate = (struct pki_fetch_gate_args){ .remembered = fetch->args.remembered,
                                         .first_s = fetch->args.backoff_first_s,
                                         .most_s = fetch->args.backoff_most_s };
    if ((code = pki_fetch_gate_new(&gate, &fetch->gate, err)) != ERR_OK)
        goto out;
    if (!(fetch->pool = pki_fetch_pool_new(fetch->args.transfers))) {
        code = err_set(err, ERR_NOMEM, "no memory for fetching");
        goto out;
    }
    *out = fetch;
    fetch = NULL;
out:
    pki_fetch_free(&fetch);
    return code;
}

void
pki_fetch_stop(struct pki_fetch *fetch)
{
    atomic_store(&fetch->stop, true);
}

void
pki_fetch_free(struct pki_fetch **fetch)
{
    if (!fetch || !*fetch)
        return;
    pki_fetch_pool_free(&(*fetch)->pool);
    pki_fetch_gate_free(&(*fetch)->gate);
    pthread_mutex_destroy(&(*fetch)->lock);
    free((*fetch)->exceptions);
    free((*fetch)->only);
    free((*fetch)->proxy);
    free((*fetch)->user_agent);
    free(*fetch);
    *fetch = NULL;
}
