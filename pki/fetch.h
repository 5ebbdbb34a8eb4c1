/*
 * Fetching what a certificate points to: issuers (AIA), CRLs, OCSP answers, over HTTP.
 * RFC 5280 4.2.1.13 and 4.2.2.1, RFC 6960 appendix A
 *
 * Whoever sends a message chooses the URLs in its certificates, so every fetch is a request that a
 * stranger makes from inside the network. What stands against it, in the order in which one fetch
 * passes through:
 *
 *   1. The URL is read by our own strict parser (pki/fetch_url): http and https, no userinfo, no
 *      second spelling of an address (0x7f.1, 2130706433), ports 80 and 443 unless all are allowed.
 *      What libcurl gets is what this parser wrote, so that two parsers cannot disagree.
 *   2. An address in the URL is judged at once (pki/fetch_address); one that a name resolves to is
 *      judged when the socket is about to be opened: no second resolution can bring another one.
 *   3. One fetch per URL at a time; the others wait, with a deadline, and share its result. A URL
 *      that failed is left alone for a while, twice as long each time (pki/fetch_gate).
 *   4. Redirects are followed here, not in libcurl: each target passes 1 and 2 again.
 *   5. Bytes are counted while they stream; encodings (gzip) are refused, not unpacked; a slow or
 *      silent peer is given up; the budget of the message bounds all of its fetches together.
 *
 * Behind a proxy the socket is the proxy's. Then the name is resolved here before the request and
 * its addresses are judged; the proxy resolves again, so a name whose answer changes can pass: the
 * proxy needs rules of its own. With proxy_resolves only addresses in URLs are judged.
 *
 * The certificate of an https server is checked only on request: what is fetched carries its own
 * signature and is judged by that, and RFC 5280 section 8 warns of https here because checking it
 * may need what is being fetched.
 *
 * No cookies, no netrc, no proxies out of the environment, no authentication, HTTP/1.1 only.
 *
 * Three answers: ERR_OK; ERR_NOTFOUND with "fetch-not-there" (404, 410); ERR_TEMP, could not ask,
 * with one of the words below. ERR_NOMEM as everywhere.
 *
 *   fetch-refused-url      the URL is not one that is asked, or a redirect leads to such a one
 *   fetch-refused-address  it leads to an address that is never asked
 *   fetch-resolve          the name could not be resolved
 *   fetch-connect          no connection
 *   fetch-tls              no TLS with the server
 *   fetch-timeout          too slow, or nothing came
 *   fetch-too-large        longer than what this kind of object may have
 *   fetch-redirect         too many redirects, or one without a target
 *   fetch-status           any other HTTP status than 200, 404, 410
 *   fetch-encoding         a content or transfer encoding that was not asked for
 *   fetch-broken           the connection broke, or what came is not HTTP, or it is empty
 *   fetch-budget           the message has no time, fetches or bytes left; says nothing about the
 * URL fetch-busy             all transfers that may run at a time are taken
 *
 * Threads: pki_fetch_init and _deinit once, while there is one thread. A struct pki_fetch is used
 * by any number at a time, until pki_fetch_free. A budget belongs to one message.
 */
#ifndef PKI_FETCH_H
#define PKI_FETCH_H

#include <stdint.h>
#include <time.h>

#include "util/buf.h"
#include "util/err.h"
#include "util/network.h"
#include "util/span.h"

struct pki_fetch;

enum pki_fetch_kind {
    PKI_FETCH_AIA,
    PKI_FETCH_OCSP,
    PKI_FETCH_CRL,
    PKI_FETCH_KIND_COUNT,
};

/* A hole in the table of refused networks. */
struct pki_fetch_exception {
    struct network network;
    unsigned port; /* 0: every port */
};

enum pki_fetch_scope { PKI_FETCH_PORTS_WEB, PKI_FETCH_PORTS_ANY };

/* Everything is copied. What is 0 or NULL has the default in brackets. */
struct pki_fetch_args {
    const struct pki_fetch_exception *exceptions; /* [none] */
    size_t exception_count;
    const struct network *only; /* when given, nothing outside of these is asked [all] */
    size_t only_count;
    enum pki_fetch_scope ports; /* [80 and 443] */
    const char *proxy;      /* "http://host:port", https://, socks5h:// [none, never environment] */
    bool proxy_resolves;    /* names are not resolved here: hosts without outside DNS */
    bool https_check;       /* check https servers against the system's store */
    const char *user_agent; /* ["smimed"] */
    unsigned connect_ms;    /* resolving and connecting [5000] */
    unsigned total_ms;      /* one fetch with its redirects [60000] */
    size_t limit_bytes[PKI_FETCH_KIND_COUNT]; /* [AIA 1 MiB, OCSP 16 KiB, CRL 64 MiB] */
    unsigned transfers;                       /* at a time [32] */
    unsigned remembered;                      /* URLs that failed, least recently used go [1024] */
    unsigned backoff_first_s;                 /* [30] */
    unsigned backoff_most_s;                  /* [3600] */
};

enum { PKI_FETCH_REDIRECTS = 3 };

/* What one message may still spend. Decremented by each call; share one among all of a message. */
struct pki_fetch_budget {
    int64_t deadline_ms; /* of clock_monotonic_ms */
    unsigned fetches;
    uint64_t bytes;
    unsigned total_ms; /* of one fetch; 0: as pki_fetch_args says. Who is in no hurry gives more */
};

void pki_fetch_budget_init(struct pki_fetch_budget *budget, unsigned total_ms, unsigned fetches,
                           uint64_t bytes);

/* Once at start, before any thread, and at the end: curl_global_init and _cleanup. */
ERR_CHECKED enum err_code pki_fetch_init(struct err *err);
void pki_fetch_deinit(void);

/* ERR_PERM: a proxy that cannot be meant. */
ERR_CHECKED enum err_code pki_fetch_new(const struct pki_fetch_args *args, struct pki_fetch **out,
                                        struct err *err);

/* The end is near: what is under way is given up within a second, and nothing is fetched any more
 * ("fetch-busy"). */
void pki_fetch_stop(struct pki_fetch *fetch);

/* No call may be under way. */
void pki_fetch_free(struct pki_fetch **fetch);

/* Appends what `url` holds to `out`, whose own limit counts too. On every other answer `out` is as
 * it was. `url` is raw from the certificate: any octets. */
ERR_CHECKED enum err_code pki_fetch_get(struct pki_fetch *fetch, struct span url,
                                        enum pki_fetch_kind kind, struct pki_fetch_budget *budget,
                                        struct buf *out, struct err *err);

/* POST of an OCSP request. Redirects are followed only where they keep the method (307, 308). */
struct pki_fetch_post_args {
    struct span url;
    struct span request; /* DER, at most PKI_FETCH_REQUEST_BYTES */
    struct pki_fetch_budget *budget;
};
enum { PKI_FETCH_REQUEST_BYTES = 16384 };
ERR_CHECKED enum err_code pki_fetch_post(struct pki_fetch *fetch,
                                         const struct pki_fetch_post_args *args, struct buf *out,
                                         struct err *err);

/* When the failures of `url` that have not been interrupted by an answer began (clock_now_s); 0:
 * none is remembered. ERR_NOTFOUND is an answer, but not one that ends a failure. */
time_t pki_fetch_get_failing_since(struct pki_fetch *fetch, struct span url,
                                   enum pki_fetch_kind kind);

/* Since pki_fetch_new. asked = found + not_there + failed. */
struct pki_fetch_counts {
    uint64_t asked;
    uint64_t found;
    uint64_t not_there;
    uint64_t failed;
    uint64_t refused;   /* of `failed`: by URL or address */
    uint64_t shared;    /* answered by another thread's fetch */
    uint64_t held_back; /* answered out of memory, since the URL failed a while ago */
    uint64_t exchanges; /* HTTP requests begun, redirects included */
    uint64_t bytes;     /* octets of bodies received */
};
void pki_fetch_get_counts(struct pki_fetch *fetch, struct pki_fetch_counts *out);

#endif
