/*
 * Verification.                                     RFC 8551 3.5, 3.9; RFC 5652 5.4, 5.6; RFC 8550
 * 2, 4
 *
 * Clear-signed: the exact bytes of part one are hashed as they pass, the structure is read at the
 * end. micalg is a hint: what it names is run (SHA-1, SHA-224 and MD5 only when it names them);
 * absent or unknown, all digests that we accept run. Opaque: the object is read from its spool
 * twice, once for its structure and once for the content, which goes to a stage; nothing but the
 * signatures and certificates is held.
 *
 * The result is about cryptography alone: signature, algorithm, structure. Path, revocation and
 * identity are asked of pki/ by the caller with the certificates found here. Embedded CRLs never
 * decide: they are handed over as candidates, and no CMS_verify is called at all.
 *
 * Nothing is decoded before the whole structure was walked (smime/structure) and its certificates,
 * CRLs and signers were counted: 10,000 certificates cost half a second.
 *
 * Belongs to one thread at a time.
 */
#ifndef SMIME_VERIFY_H
#define SMIME_VERIFY_H

#include <stdint.h>

#include "pki/certificate.h"
#include "util/spool.h"
#include "util/stage.h"

enum {
    SMIME_VERIFY_LIMIT_SIGNERS = 16,
    SMIME_VERIFY_LIMIT_CERTIFICATES = 100,
    SMIME_VERIFY_LIMIT_CRLS = 50,
    SMIME_VERIFY_LIMIT_CAPABILITIES = 4096,
    SMIME_VERIFY_LIMIT_SIGNATURE = 1024 * 1024 /* octets of it, without the content */
};

enum smime_signature_state {
    SMIME_SIGNATURE_NONE,
    SMIME_SIGNATURE_OK,
    SMIME_SIGNATURE_BAD,         /* forged or altered: digest or signature value does not fit */
    SMIME_SIGNATURE_UNSUPPORTED, /* an algorithm the library cannot do: never "forged" */
    SMIME_SIGNATURE_NO_SIGNER    /* the signer's certificate is not there */
};

struct smime_signer {
    enum smime_signature_state state;
    /* OK: "ok". BAD: "digest-mismatch" (content altered, or two digests named), "bad-signature",
     * "content-type-mismatch", "malformed-attributes", "wrong-certificate" (signingCertificate
     * names another). UNSUPPORTED: "unsupported-algorithm", "micalg-mismatch" (the digest used is
     * not the announced one and did not run). NO_SIGNER: "no-signer". */
    const char *reason;
    struct pki_answer algorithm;         /* our allow-list's word on digest and signature */
    struct pki_certificate *certificate; /* shared with the result; NULL when not found */
    time_t signing_time;                 /* 0: none */
    /* Signed with it, and there only when the state is OK: what the signer can decrypt, the DER of
     * his SMIMECapabilities (at most SMIME_VERIFY_LIMIT_CAPABILITIES octets, n 0: not told), and
     * the certificate of the message that he wants to be encrypted to. Prefers one that is not in
     * the message: `prefers`, and NULL. */
    struct buf capabilities;
    bool prefers;
    struct pki_certificate *encryption; /* a reference */
    int digest_nid;
};

struct smime_verify_result {
    bool parsed; /* the CMS structure could be read at all */
    /* When not parsed or the structure is refused: "malformed-cms", "not-signed-data", "certs-only"
     * (opaque, no signer), "no-signer" (clear, no signer), "wrong-content-type", "not-detached",
     * "too-many-signers", "too-large" (the limits above, limit_bytes); else "ok". */
    const char *reason;
    struct smime_signer signers[SMIME_VERIFY_LIMIT_SIGNERS];
    size_t count;
    struct pki_certificates certificates; /* all of the message that could be read */
    STACK_OF(X509_CRL) * crls;            /* of the message: candidates only; may be NULL */
    bool micalg_mismatch;                 /* the announced digest is not the one used */
};

struct smime_verify;

struct smime_verify_args {
    struct span micalg;             /* p NULL: none announced */
    struct pki_certificates *extra; /* more certificates to find signers in (smimectl); may be NULL;
                                       borrowed */
};

/* Clear-signed. write gets the bytes of part one; finish gets the DER or BER of the signature
 * (decoded). What is wrong with the signature is in `result`; the codes are about our own ability
 * only. */
ERR_CHECKED enum err_code smime_verify_new(const struct smime_verify_args *args,
                                           struct smime_verify **out, struct err *err);
ERR_CHECKED enum err_code smime_verify_write(struct smime_verify *verify, struct span content,
                                             struct err *err);
ERR_CHECKED enum err_code smime_verify_finish(struct smime_verify *verify, struct span signature,
                                              struct smime_verify_result *result, struct err *err);
void smime_verify_free(struct smime_verify **verify);

/* A stage that feeds smime_verify_write; `verify` is borrowed. */
ERR_CHECKED enum err_code smime_verify_stage_new(struct smime_verify *verify, struct stage **out,
                                                 struct err *err);

/* Opaque: `spool` holds the CMS octets (decoded, finished). An object of more than limit_bytes is
 * not read: reason "too-large" and ERR_LIMIT. The content of a well-formed SignedData of type data
 * goes to `content` (may be NULL) whatever the signatures are worth: the caller decides what may be
 * released. */
struct smime_verify_opaque_args {
    const struct spool *spool;
    size_t limit_bytes;
    struct pki_certificates *extra;
    struct stage *content; /* borrowed; not finished */
};
ERR_CHECKED enum err_code smime_verify_opaque(const struct smime_verify_opaque_args *args,
                                              struct smime_verify_result *result, struct err *err);

void smime_verify_result_free(struct smime_verify_result *result);

#endif
