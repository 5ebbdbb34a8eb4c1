/*
 * A trust set: anchors, intermediates that configuration gives, and CRLs of a folder.   RFC
 * 5280 6.1.1
 *
 * Immutable and shared; a new one is loaded and swapped on reload. Nothing fetched or received ever
 * enters the anchors. What the network yields is in pki/evidence, not here.
 */
#ifndef PKI_TRUST_H
#define PKI_TRUST_H

#include "pki/certificate.h"
#include "pki/revocation.h"

struct pki_trust;
struct pki_path_library;
struct pki_verdicts;

struct pki_trust_args {
    const char *name;                 /* for messages; copied */
    const char *const *anchors;       /* files or folders, NULL-terminated */
    const char *const *intermediates; /* files or folders, or NULL */
    const char *const *crls;          /* files or folders (DER, PEM), or NULL */
};

ERR_CHECKED enum err_code pki_trust_load(const struct pki_trust_args *args, struct pki_trust **out,
                                         struct err *err);
struct pki_trust *pki_trust_add1(struct pki_trust *trust);
void pki_trust_free(struct pki_trust **trust);
size_t pki_trust_anchor_count(const struct pki_trust *trust);
size_t pki_trust_crl_count(const struct pki_trust *trust);
/* Is there a place for CRLs, so that one that is missing may still come? */
bool pki_trust_has_crls(const struct pki_trust *trust);

/* Have files of the CRL folders changed since they were loaded? A watcher asks, then reloads. */
bool pki_trust_is_stale(const struct pki_trust *trust);

/* For pki/path alone; all borrowed. The store holds the anchors and nothing else. */
X509_STORE *pki_trust_get0_store(const struct pki_trust *trust);
/* Verdicts that were reached with this set (pki/verdict); they have a lock of their own. */
struct pki_verdicts *pki_trust_get0_verdicts(const struct pki_trust *trust);
const struct pki_path_library *pki_trust_get0_library(const struct pki_trust *trust);
const struct pki_revocation_set *pki_trust_get0_revocation(const struct pki_trust *trust);
const struct pki_certificates *pki_trust_get0_anchors(const struct pki_trust *trust);
const struct pki_certificates *pki_trust_get0_intermediates(const struct pki_trust *trust);

#endif
