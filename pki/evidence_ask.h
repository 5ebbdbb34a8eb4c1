/*
 * Asking for what is not held: the shared cache, then the network. Private to pki/evidence and
 * pki/refresh.
 *
 * Whoever calls has made the item busy, so that in this process nobody else asks for the same; in
 * the fleet a claim says so. Another node's claim is waited for, with a bound: what it fetches
 * appears in the shared cache. A claim that is lost, forged or never released costs that wait.
 *
 * Threads: any; the lock is not held.
 */
#ifndef PKI_EVIDENCE_ASK_H
#define PKI_EVIDENCE_ASK_H

#include "pki/evidence_held.h"

enum {
    PKI_EVIDENCE_CLAIM_MS = 30000,      /* a claim ends by itself */
    PKI_EVIDENCE_CLAIM_WAIT_MS = 10000, /* longest wait for that of another node */
};

struct pki_evidence_ask {
    struct pki_evidence_item *item; /* busy by the caller, who holds a reference */
    struct pki_fetch_budget *budget;
    const struct pki_certificates *untrusted; /* of an OCSP question; may be NULL */
    unsigned max_age_s;                       /* the same */
    bool is_refresh;
};

/* Puts what came into the item, or the failure. ERR_OK: something new is held (its times may be
 * past: then the failure says so, too). Else err says why there is nothing: the failure that the
 * item remembers, or one of our own that it does not (no budget, no memory, no network). */
ERR_CHECKED enum err_code pki_evidence_ask(struct pki_evidence *evidence,
                                           struct pki_evidence_ask *ask, struct err *err);

/* ---- the network alone (pki/evidence_network.c) ------------------------------------------------
 */

struct pki_evidence_network {
    const struct pki_evidence_ask *ask;
    struct pki_evidence_object *held; /* what must not be replaced by something older */
    /* The outcome */
    struct pki_evidence_object *object;
    bool is_own;          /* a failure that says nothing about the source */
    time_t failing_since; /* of a responder that was not asked since it fails already; 0: none */
};
ERR_CHECKED enum err_code pki_evidence_network_get(struct pki_evidence *evidence,
                                                   struct pki_evidence_network *network,
                                                   struct err *err);

/* ---- the shared cache alone (pki/evidence_shared.c) --------------------------------------------
 */

/* "crl:", "ocsp:" or "aia:" and the key in hexadecimal. */
enum { PKI_EVIDENCE_SHARED_KEY_SIZE = 80 };
struct span pki_evidence_shared_key(const struct pki_evidence_item *item,
                                    char out[PKI_EVIDENCE_SHARED_KEY_SIZE]);

/* Is this kind kept there at all? */
bool pki_evidence_shared_is_used(const struct pki_evidence *evidence,
                                 const struct pki_evidence_item *item);

/* What is there and newer than `held` (may be NULL), checked like what the network brings. NULL:
 * nothing that is of use. */
struct pki_evidence_object *pki_evidence_shared_get(struct pki_evidence *evidence,
                                                    const struct pki_evidence_ask *ask,
                                                    const struct pki_evidence_object *held);
void pki_evidence_shared_set(struct pki_evidence *evidence, const struct pki_evidence_item *item,
                             const struct pki_evidence_object *object);

/* In the first half of its life: believed without asking again. */
bool pki_evidence_shared_is_fresh(const struct pki_evidence_object *object);

/* Claims the item for this node, or waits until another node has fetched it: then what it brought
 * is returned. NULL: fetch; `claim` is to be released with cache_release, also when it is empty. */
struct pki_evidence_object *pki_evidence_shared_claim(struct pki_evidence *evidence,
                                                      const struct pki_evidence_ask *ask,
                                                      const struct pki_evidence_object *held,
                                                      struct cache_claim *claim);

#endif
