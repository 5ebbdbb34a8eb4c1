/*
 * What pki/evidence holds: the table of everything that was asked for, and the objects in it.
 * Private to pki/evidence and pki/refresh.
 *
 * An item is one question that was asked (a URL with the key of an issuer, a certificate, a
 * responder): what is held about it, who is asking right now, what failed. An object is what came
 * in at once: immutable and counted, so that it is read without a lock and handed out while another
 * takes its place.
 *
 * The table is bounded by octets and by items; what was not used for the longest time goes first.
 * An item that somebody asks about right now stays.
 *
 * Threads: all functions on the table and on items that are in it are called between
 * pki_evidence_lock and pki_evidence_unlock; objects are free. Freeing a large CRL takes
 * milliseconds (it is wiped), so what goes is put aside and freed by pki_evidence_unlock, after the
 * lock.
 */
#ifndef PKI_EVIDENCE_HELD_H
#define PKI_EVIDENCE_HELD_H

#include <pthread.h>
#include <stdatomic.h>

#include <openssl/evp.h>

/* uthash ends the process when it has no memory unless told otherwise: here the item is marked, and
 * is in no table. */
#define HASH_NONFATAL_OOM 1
#define uthash_nonfatal_oom(element) ((element)->lost = true)
#include <uthash.h>

#include "pki/evidence.h"

enum {
    PKI_EVIDENCE_KEY_BYTES = 32,
    PKI_EVIDENCE_ITEMS = 65536,
    PKI_EVIDENCE_URL_BYTES = 2048,
    PKI_EVIDENCE_FIRST_S = 30, /* until what failed is asked again; doubles */
    PKI_EVIDENCE_MOST_S = 600,
    PKI_EVIDENCE_SKEW_S = 300, /* between the clocks of others and ours */
};

struct pki_evidence_object {
    _Atomic unsigned references;
    const char *source; /* static */
    time_t fetched_at;
    time_t this_update, next_update; /* as it says; 0: it does not */
    time_t end;                      /* in date until then, by its own word */
    time_t due;                      /* asked for again from then on: `end`, or the longest life */
    bool is_verified;                /* a CRL: signed by the key of the issuer that was asked for */
    size_t bytes;
    X509_CRL *crl;
    /* An OCSP response, and what it was found to be worth when it came in. */
    unsigned char *der;
    size_t der_n;
    struct pki_ocsp_result ocsp;
    unsigned ocsp_max_age_s;
    struct pki_certificates issuers;
    struct pki_evidence_object *next_dead;
};

/* What a certificate takes as the library keeps it. */
size_t pki_evidence_certificate_bytes(const struct pki_certificate *certificate);

/* One hold. NULL: no memory. */
struct pki_evidence_object *pki_evidence_object_new(const char *source, time_t fetched_at);
struct pki_evidence_object *pki_evidence_object_add1(struct pki_evidence_object *object);
void pki_evidence_object_free(struct pki_evidence_object **object);

/* since 0: it does not fail. */
struct pki_evidence_failure {
    time_t since, at;
    unsigned times, wait_s;
    enum err_code code;
    const char *reason;
    char text[200];
    /* What the log has said. */
    time_t warned_at;
    unsigned warned_times;
    bool warned_stale;
};

struct pki_evidence_item {
    UT_hash_handle hh;
    struct pki_evidence_item *newer, *older; /* by use */
    unsigned references;                     /* the table's, and one of each who works with it */
    bool is_listed, is_busy, lost;
    /* The question; does not change. */
    unsigned char key[PKI_EVIDENCE_KEY_BYTES];
    enum pki_evidence_kind kind;
    struct span url;                     /* empty for an OCSP answer */
    char *name;                          /* for people; escaped */
    struct pki_certificate *certificate; /* of an OCSP question */
    struct pki_certificate *issuer;      /* of a CRL or OCSP question */
    /* What is known. */
    struct pki_evidence_object *object; /* NULL: nothing is held */
    struct pki_evidence_failure failure;
    time_t refresh_at; /* of what is held */
    time_t used_at;
    uint64_t hits;
    unsigned max_age_s; /* of the last OCSP question */
    size_t bytes;       /* as counted */
};

struct pki_refresh;

struct pki_evidence {
    struct pki_evidence_args args; /* defaults filled in */
    _Atomic unsigned references;
    EVP_MD *digest;
    pthread_mutex_t lock;
    pthread_cond_t landed; /* somebody has finished asking */
    struct pki_evidence_item *items, *newest, *oldest;
    size_t held_bytes;
    struct pki_evidence_item *dead_items; /* by `older` */
    struct pki_evidence_object *dead_objects;
    _Atomic uint64_t generation; /* counts what came in and what was forgotten */
    uint64_t hits, misses, refreshed, failed, evicted, waited;
    struct pki_refresh *refresh; /* NULL: not started */
    _Atomic bool stop;
};

void pki_evidence_lock(struct pki_evidence *evidence);
void pki_evidence_unlock(struct pki_evidence *evidence);

/* What names a question in the table. Without the lock. */
struct pki_evidence_name {
    enum pki_evidence_kind kind;
    struct span url;                           /* CRL, issuers, responder */
    const struct pki_certificate *certificate; /* OCSP */
    const struct pki_certificate *issuer;      /* CRL, OCSP */
    unsigned char key[PKI_EVIDENCE_KEY_BYTES]; /* filled by pki_evidence_name_set */
};
ERR_CHECKED enum err_code pki_evidence_name_set(const struct pki_evidence *evidence,
                                                struct pki_evidence_name *name, struct err *err);

/* Adds a reference for the caller, and counts as a use. NULL: not in the table. */
struct pki_evidence_item *pki_evidence_held_find(struct pki_evidence *evidence,
                                                 const unsigned char *key);
/* The same, and makes it when it is not there; NULL: no memory. */
struct pki_evidence_item *pki_evidence_held_new(struct pki_evidence *evidence,
                                                const struct pki_evidence_name *name);
void pki_evidence_held_reset(struct pki_evidence *evidence, struct pki_evidence_item **item);

/* Takes an item out of the table; it lives on while others have it. */
void pki_evidence_held_remove(struct pki_evidence *evidence, struct pki_evidence_item *item);

/* Puts `object` (taken) in the place of what is held, and makes room for it. */
void pki_evidence_held_set(struct pki_evidence *evidence, struct pki_evidence_item *item,
                           struct pki_evidence_object *object);

/* ---- failures ----------------------------------------------------------------------------------
 */

void pki_evidence_fail(struct pki_evidence *evidence, struct pki_evidence_item *item,
                       const struct err *why);
/* May it be asked now? `is_refresh`: by the refresher. */
bool pki_evidence_may_ask(const struct pki_evidence *evidence, const struct pki_evidence_item *item,
                          bool is_refresh, time_t now);
/* When the absence of what is held began to matter; 0: it does not. */
time_t pki_evidence_unknown_since(const struct pki_evidence_item *item, time_t now);

#endif
