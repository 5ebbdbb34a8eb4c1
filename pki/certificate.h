/*
 * A certificate, parsed once and shared.                     RFC 5280 4, RFC 8550 4.4, RFC 9598
 *
 * Immutable and reference counted: parsing costs sixteen times its RSA verification, so nobody
 * parses twice what can be kept. Leaf policy (usage, algorithm, size, address) lives here as our
 * own code, since OpenSSL's S/MIME purposes and its address check are wrong for mail
 * (docs/security.md).
 *
 * Threads: any, once parsed.
 */
#ifndef PKI_CERTIFICATE_H
#define PKI_CERTIFICATE_H

#include <stdint.h>
#include <time.h>

#include <openssl/x509.h>

#include "util/buf.h"

struct pki_certificate;
struct pki_pointers;
struct pki_contexts;

enum pki_use { PKI_USE_SIGN, PKI_USE_ENCRYPT };

/* How a question about trust ends. */
enum pki_status {
    PKI_STATUS_OK,
    PKI_STATUS_INVALID, /* asked, and no: 550, fail */
    PKI_STATUS_POLICY,  /* valid, but our policy refuses it (weak algorithm): policy */
    PKI_STATUS_TEMP,    /* could not ask: 451, temperror */
};

/* A status with its reason word (a static string out of the closed list in docs/operations.md, "ok"
 * for OK) and a sentence for people ("the certificate expired on 2026-11-01"). */
struct pki_answer {
    enum pki_status status;
    const char *reason;
    char text[256];
};

struct pki_certificate_facts {
    const char *subject;     /* RFC 4514, escaped for one line */
    const char *issuer;      /* RFC 4514 */
    const char *serial;      /* hex, upper case, no colons, no leading 00 */
    const char *fingerprint; /* SHA-256 of the DER, lower-case hex */
    time_t not_before, not_after;
    const char *key_algorithm; /* "rsa", "ec", "ed25519", "x25519", "dsa", "other" */
    unsigned key_bits;
    const char *const
        *addresses; /* SAN rfc822Name and SmtpUTF8Mailbox, normalised; NULL-terminated */
    const char *const
        *subject_addresses; /* emailAddress of the subject; only where policy allows it */
    bool bad_address;       /* some address was refused: NUL, control, white space, ... */
    bool ca;
    bool self_issued;
};

/* Strict DER of one certificate, at most 64 KiB; trailing bytes are ERR_PERM. */
ERR_CHECKED enum err_code pki_certificate_parse(struct span der, struct pki_certificate **out,
                                                struct err *err);
/* The same, with the key that the certificate's own means: for pki/inheritance alone. */
ERR_CHECKED enum err_code pki_certificate_parse_with(struct span der, EVP_PKEY *key,
                                                     struct pki_certificate **out, struct err *err);
struct pki_certificate *
pki_certificate_add1(struct pki_certificate *certificate); /* one more reference */
void pki_certificate_free(struct pki_certificate **certificate);

const struct pki_certificate_facts *pki_certificate_get(const struct pki_certificate *certificate);
X509 *pki_certificate_get0_x509(const struct pki_certificate *certificate); /* borrowed */
/* Operations with its key that are prepared already (pki/context.h); borrowed. */
struct pki_contexts *pki_certificate_get0_contexts(const struct pki_certificate *certificate);
/* The certificate that an X509 of ours belongs to; NULL: none. Borrowed. */
struct pki_certificate *pki_certificate_of(const X509 *x509);
/* Where it points to (pki/pointer.h); borrowed. */
const struct pki_pointers *pki_certificate_get0_pointers(const struct pki_certificate *certificate);
struct span pki_certificate_der(const struct pki_certificate *certificate); /* borrowed */
bool pki_certificate_is(const struct pki_certificate *a, const struct pki_certificate *b);

struct pki_leaf_policy {
    bool subject_address;  /* accept emailAddress of the subject */
    bool fold_local;       /* local parts without regard to case */
    unsigned rsa_bits_min; /* 2048 */
};

/* Is this leaf good for `use` at `now`, for `address` (NULL: any)? Validity, key usage, extended
 * key usage, algorithms and sizes, address. Not the path. Reasons: cert-expired,
 * cert-not-yet-valid, cert-wrong-usage, cert-wrong-address, cert-weak-key, weak-algorithm,
 * cert-is-ca, unsupported-algorithm. */
void pki_certificate_check(const struct pki_certificate *certificate, enum pki_use use,
                           const char *address, time_t now, const struct pki_leaf_policy *policy,
                           struct pki_answer *out);

/* Does it carry that address? */
bool pki_certificate_has_address(const struct pki_certificate *certificate, const char *address,
                                 const struct pki_leaf_policy *policy);

/* A list that owns a reference to each of its certificates. Bounded. */
struct pki_certificates {
    struct pki_certificate **list;
    size_t count, cap;
    size_t limit; /* 0: 1000 */
};

ERR_CHECKED enum err_code pki_certificates_add1(struct pki_certificates *certificates,
                                                struct pki_certificate *one, struct err *err);
/* The same, unless it is in the list already. */
ERR_CHECKED enum err_code pki_certificates_add1_once(struct pki_certificates *certificates,
                                                     struct pki_certificate *one, struct err *err);
void pki_certificates_free(struct pki_certificates *certificates); /* empties it */

/* Adds every certificate of the bytes: DER, PEM (one or many), PKCS#7 (DER or PEM), a serialized
 * store of Microsoft's (.sst). */
ERR_CHECKED enum err_code pki_certificates_parse(struct pki_certificates *certificates,
                                                 struct span bytes, struct err *err);
/* The same for a file (at most 16 MiB), or for every file of a folder (not recursive, dot files and
 * editors' backups left out). A file that cannot be parsed is an error that names it. */
ERR_CHECKED enum err_code pki_certificates_load(struct pki_certificates *certificates,
                                                const char *path, struct err *err);

#endif
