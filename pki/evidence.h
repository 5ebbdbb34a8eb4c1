/*
 * What was fetched about certificates, shared by all messages: CRLs and issuers by URL, OCSP
 * responses by certificate.                            RFC 5280 4.2.1.13, 4.2.2.1, 5; RFC 6960
 *
 * Three tiers, asked in this order: parsed objects in the process (bounded by octets, the least
 * recently used goes first), DER in `shared` (memory, or Redis for a fleet), the network. How one
 * question passes: what is held and in date answers at once, without I/O. Else, and only with a
 * budget, one thread asks for it, and the others that want the same wait for what it brings: first
 * the shared cache, then the network, one at a time in the fleet too (cache_claim: a hint). A URL
 * that fails is asked again by the refresher alone: the message that comes second does not wait for
 * what the first found dead. A message whose own budget ended has found nothing dead; the refresher
 * then goes on at once, so that the retry finds it.
 *
 * What comes in is checked before it is kept. A CRL is kept for a URL and the key of an issuer: one
 * in the issuer's name must be signed by that key, so that after a key rollover each key keeps its
 * own, and nobody on the way replaces one by what the key did not sign. A CRL in another name
 * (indirect) is not verified here; it never replaces a verified one, is asked for again soon, and
 * is not shared. An OCSP response is judged by pki/ocsp. Older never replaces newer. What came out
 * of the shared cache past half of its life is fetched again before it is believed, and is believed
 * only if that fails: that bounds what can be replayed. Whatever cannot be used counts as a failure
 * of its URL with a reason word, and takes nothing away that is held.
 *
 * The refresher (threads of its own: pki/refresh) fetches what is in use at half of its remaining
 * lifetime, so that in steady state no message waits for the network, and what fails after 30 s,
 * then twice as long each time, at most 10 minutes.
 *
 * All of this is evidence, not a verdict: pki/path judges.
 *
 * Memory: limit_bytes, or one object where that is larger. A cache in the memory of the process
 * would hold each CRL a second time, beside the object that holds its DER already, so only OCSP
 * responses and issuers go there.
 *
 * Threads: any, at once. Locks are held while pointers move, never during I/O or cryptography.
 */
#ifndef PKI_EVIDENCE_H
#define PKI_EVIDENCE_H

#include <time.h>

#include <openssl/x509.h>

#include "cache/cache.h"
#include "pki/certificate.h"
#include "pki/fetch.h"
#include "pki/ocsp.h"

struct pki_evidence;

/* ldap:/// URLs of CRLs and issuers: the configured directory servers are asked by DN and
 * attribute, whatever host the URL names. Appends the value to `out`. ERR_OK, ERR_NOTFOUND,
 * ERR_TEMP, as pki_fetch_get. Here because directory/ stands above pki/. */
typedef enum err_code pki_evidence_ldap_fn(void *context, struct span url, int64_t deadline_ms,
                                           struct buf *out, struct err *err);

struct pki_evidence_args {
    struct pki_fetch *fetch;    /* taken on success; NULL: no network */
    struct cache *shared;       /* taken on success; NULL: none */
    bool shared_is_local;       /* it is cache/memory: CRLs do not go there, nobody else fetches */
    pki_evidence_ldap_fn *ldap; /* may be NULL: such URLs cannot be asked */
    void *ldap_context;         /* borrowed until free */
    size_t limit_bytes;         /* of parsed objects [256 MiB] */
    /* Longest time that one is held unasked, whatever it says itself. [7 d, 1 d, 7 d] */
    unsigned crl_life_s;
    unsigned ocsp_life_s;
    unsigned issuer_life_s; /* of certificates fetched by AIA */
    unsigned refresh_s;     /* how often the refresher looks [10] */
    unsigned idle_s;        /* what nobody asked for so long is not refreshed [24 h] */
    unsigned fetch_ms;      /* what a fetch of the refresher may take; it is in no hurry [60 s] */
};

ERR_CHECKED enum err_code pki_evidence_new(const struct pki_evidence_args *args,
                                           struct pki_evidence **out, struct err *err);
struct pki_evidence *pki_evidence_add1(struct pki_evidence *evidence);
/* The last reference ends the refresher and waits for it. */
void pki_evidence_free(struct pki_evidence **evidence);

/* Starts the refresher; without it (smimectl) nothing runs in the background, and what failed may
 * be asked again by questions once its interval is over. A second call does nothing. */
ERR_CHECKED enum err_code pki_evidence_start(struct pki_evidence *evidence, struct err *err);

/* Where an answer came from, and since when there is none. */
struct pki_evidence_origin {
    const char *source;   /* static: "network", "shared-cache"; NULL: nothing is held */
    time_t fetched_at;    /* 0: nothing is held */
    time_t unknown_since; /* of what cannot be asked: when its absence began to matter (the later
                             of the first failure and the end of what was held); 0: not failing,
                             or what is held is still in date */
    const char *reason;   /* static word of the last failure ("fetch-timeout", ...), or NULL */
    char text[200];       /* of the last failure */
};

/* Another number after every object that came in or was forgotten: what was concluded from what is
 * held holds while it stays the same. */
uint64_t pki_evidence_generation(const struct pki_evidence *evidence);

/* Every function below: `budget` NULL asks nobody (held objects alone, no I/O of any kind). ERR_OK:
 * there is something. ERR_NOTFOUND: nothing is held and nobody was asked (budget NULL), the server
 * says that there is nothing, or nobody may be asked (no network: reason "fetch-off"). ERR_TEMP:
 * could not ask, also when it is known to fail (whatever the budget); origin says why and since
 * when. ERR_NOMEM. `origin` may be NULL; it is filled whatever is returned. */

/* The newest CRL of a URL, also one that is out of date (its times are judged by pki/path, and a
 * stale one matters to mode prefer). `issuer` is the certificate that issued the one in question;
 * a CRL in its name that its key did not sign is never handed out. *out is a reference. */
struct pki_evidence_crl_question {
    struct span url;
    const struct pki_certificate *issuer;
    time_t at; /* 0: now. In date then: no network is asked */
    struct pki_fetch_budget *budget;
};
ERR_CHECKED enum err_code pki_evidence_get_crl(struct pki_evidence *evidence,
                                               const struct pki_evidence_crl_question *question,
                                               X509_CRL **out, struct pki_evidence_origin *origin,
                                               struct err *err);

/* What OCSP says of a certificate: the responders of its AIA in order, GET where the request fits
 * (RFC 5019), else, or where the server takes none, POST. ERR_OK also for revoked and unknown: see
 * result->status, which is never PKI_OCSP_NONE then; else result->answer says what is wrong with
 * the response that is held, if one is. Free the result in any case. */
struct pki_evidence_ocsp_question {
    const struct pki_certificate *certificate;
    const struct pki_certificate *issuer;
    const struct pki_certificates *untrusted; /* where else to look for a responder; may be NULL */
    unsigned max_age_s;                       /* as in pki/ocsp.h */
    time_t at;                                /* 0: now */
    struct pki_fetch_budget *budget;
};
ERR_CHECKED enum err_code pki_evidence_get_ocsp(struct pki_evidence *evidence,
                                                const struct pki_evidence_ocsp_question *question,
                                                struct pki_ocsp_result *result,
                                                struct pki_evidence_origin *origin,
                                                struct err *err);

/* Certificates behind a caIssuers URL (DER, PEM, PKCS#7), appended to `out` as references. They are
 * candidates for a path and nothing more. */
ERR_CHECKED enum err_code pki_evidence_get_issuers(struct pki_evidence *evidence, struct span url,
                                                   struct pki_fetch_budget *budget,
                                                   struct pki_certificates *out,
                                                   struct pki_evidence_origin *origin,
                                                   struct err *err);

/* ---- for smimectl cache and stats --------------------------------------------------------------
 */

/* A responder is listed while it fails: it holds nothing back but itself. */
enum pki_evidence_kind {
    PKI_EVIDENCE_CRL,
    PKI_EVIDENCE_OCSP,
    PKI_EVIDENCE_ISSUERS,
    PKI_EVIDENCE_RESPONDER,
};
const char *pki_evidence_kind_name(enum pki_evidence_kind kind); /* "crl", "ocsp", ... */

struct pki_evidence_entry {
    enum pki_evidence_kind kind;
    const char *name;   /* URL, or serial and issuer of an OCSP answer; escaped */
    const char *source; /* NULL: nothing is held */
    time_t fetched_at, this_update, next_update, refresh_at; /* 0: does not say, or not held */
    size_t bytes;                                            /* held */
    uint64_t hits;
    time_t used_at;
    time_t failing_since; /* 0: not failing */
    const char *reason;   /* of the last failure; NULL: not failing */
    const char *text;     /* the same in words, or "" */
};

/* Calls `each` for every entry, most recently used first, until it returns false. The entry is
 * borrowed for the call; no lock of the evidence is held meanwhile. */
typedef bool pki_evidence_each_fn(void *context, const struct pki_evidence_entry *entry);
void pki_evidence_each(struct pki_evidence *evidence, pki_evidence_each_fn *each, void *context);

struct pki_evidence_stats {
    size_t entries, failing, held_bytes;
    uint64_t hits, misses, refreshed, failed, evicted;
    uint64_t waited; /* questions of messages that did I/O */
    struct pki_fetch_counts fetch;
    struct cache_stats shared;
};
void pki_evidence_get_stats(struct pki_evidence *evidence, struct pki_evidence_stats *out);

/* Forgets what is held, and what failed (and what the shared cache has of these, `shared_too`): all
 * (`url` empty), or what is listed under that URL or name. */
ERR_CHECKED enum err_code pki_evidence_flush(struct pki_evidence *evidence, struct span url,
                                             bool shared_too, size_t *count, struct err *err);

#endif
