/*
 * Is this message signed, by whom, and can it be believed?      RFC 8551 3.5, 3.9; RFC 8550 3, 4
 *
 * The one way a message is verified: the inbound flow and `smimectl verify` both push a message
 * through here and read the same result. The header section decides what to look for
 * (multipart/signed, application/pkcs7-mime, nothing); then the body comes in pieces of any size:
 *
 * - clear-signed: mime/split feeds smime/verify, so that digests run over the exact bytes of part
 *   one while they pass; nothing is kept but the signature part;
 * - CMS: transfer decoding into a spool; smime/detect says what it really is; opaque signatures are
 *   then verified within limit_opaque_bytes. Enveloped objects are only named and not kept, unless
 *   `decryption` is given: then what is inside is looked at.
 *
 * Layers. What is inside a signature or an opened envelope is looked at in the same way, at most
 * FLOW_VERIFICATION_LAYERS deep (flow/layer). One envelope is opened per message: the outermost one
 * that is the root, or, where the rules say so, the whole content of signatures that all passed.
 * Which layer counts:
 *
 * - of signatures in signatures, the outermost; the others are only reported;
 * - of an envelope that stays closed, what is around it: nothing (none), or the signature;
 * - of an envelope that was opened, the signature inside; there is none: none, or neutral where a
 *   signature was around it, since who signs octets that he cannot read has signed no text.
 *
 * At the end each signer is asked four questions, each by the part of the house that knows:
 * signature (smime/), leaf and path with revocation (pki/), and identity (is the mailbox of From in
 * his certificate?). policy/verdict makes one word and one reason of it.
 *
 * Holds, per layer: the signature part (at most 2 MiB encoded) or the spool of one CMS object.
 * Never holds clear-signed content. One thread at a time.
 */
#ifndef FLOW_VERIFICATION_H
#define FLOW_VERIFICATION_H

#include "flow/from.h"
#include "mime/header.h"
#include "pki/path.h"
#include "policy/verdict.h"
#include "smime/detect.h"
#include "smime/verify.h"

struct flow_decryption;

enum { FLOW_VERIFICATION_LAYERS = 4 };

struct flow_verification_args {
    /* Trust sets; the path must hold in every one of them (recipients whose rules name different
     * sets). None: every path is "untrusted". Borrowed until free. */
    const struct pki_trust *const *trusts;
    size_t trust_count;
    struct pki_certificates *untrusted; /* more intermediates and signers (smimectl --untrusted);
                                           may be NULL; borrowed until free */
    const STACK_OF(X509_CRL) *
        crls; /* more CRLs (smimectl --crl); may be NULL; borrowed until free */
    /* CRLs that came inside the message are candidates too, by the rule of pki/revocation.h: where
     * another source is named, they do not count alone. */
    bool message_crls;
    time_t at; /* when it must be valid; 0: now */
    struct pki_revocation_rules revocation;
    struct pki_evidence *evidence;   /* as in pki/path.h; borrowed until free */
    struct pki_fetch_budget *budget; /* likewise; NULL: nobody is asked */
    bool allow_weak;             /* historic corpora only: weak algorithms and keys are accepted */
    const char *const *policies; /* RFC 5280 6.1.1, as in pki/path.h; borrowed until free */
    bool explicit_policy, inhibit_policy_mapping, inhibit_any_policy;
    struct pki_leaf_policy leaf_policy;
    const char *spool_folder; /* as in util/spool.h; borrowed until free */
    size_t spool_memory_bytes;
    uint64_t limit_opaque_bytes; /* a larger CMS object is permerror, too-large */
    /* The message's attempt to decrypt, borrowed until free; NULL: what is encrypted stays so. Its
     * CMS object may have limit_enveloped_bytes. */
    struct flow_decryption *decryption;
    uint64_t limit_enveloped_bytes;
    unsigned depth;               /* 1: the message itself */
    const struct flow_from *from; /* of the message, for what is inside it; NULL: of `header` */
    struct stage *content; /* gets what is inside the outermost signature, whatever the verdict; may
                              be NULL; borrowed, not finished */
};

/* Sets the defaults of the configuration table where the caller has none (smimectl without a
 * configuration): revocation require, RSA 2048, case folded, spool in `spool_folder`. */
void flow_verification_args_init(struct flow_verification_args *args, const char *spool_folder);

struct flow_verification_signer {
    const struct smime_signer
        *smime; /* signature, algorithm, certificate (NULL: not there), signing time */
    struct pki_answer algorithm; /* of smime, after allow_weak */
    struct pki_answer leaf;      /* usage, validity, key size */
    struct pki_path_result path; /* of the first trust set that did not hold, else of the last */
    /* Intermediates of the message over which the paths went that held, in each trust set; what
     * files or the network had is not among them. */
    struct pki_certificates issuers;
    bool identity; /* the address of From is in the certificate */
    /* RFC 7281 2 properties; "" when there is no certificate. */
    char identifier[MIME_ADDRESS_SIZE]; /* an address of the certificate: that of From where it is
                                           in it */
    char serial[256];                   /* hex */
    char issuer[1024];                  /* RFC 4514 */
};

struct flow_verification_result {
    struct policy_verdict verdict;
    enum smime_claim claim;
    enum smime_content content; /* CMS: what it is; SMIME_CONTENT_UNKNOWN otherwise */
    struct flow_from from;
    bool unproven; /* it was decrypted, and nothing says that it is what the sender wrote */
    bool structure_ok, structure_ambiguous;
    const char *structure_reason; /* reason word when one of these two is wrong, else "ok" */
    struct flow_verification_signer *signers;
    size_t count;
    const struct flow_verification_signer *signer; /* the one that decided; NULL: none */
    const struct smime_verify_result *smime;       /* NULL when it did not get so far */
    /* Clear-signed, and part one was found: the octets that the signature is about, counted from
     * the beginning of the body. */
    bool has_range;
    uint64_t range_offset, range_bytes;
    char text[400]; /* one sentence for people, escaped */
    /* The words of smimectl verify --json. */
    const char *signature_word; /* "ok", "bad", "none" */
    const char *path_word;      /* "ok" or a reason word; "none" without a signer's certificate */
    const char *identity_word;  /* "match", "mismatch", "none" */
};

struct flow_verification;

/* `header` is the header section of the message; borrowed for the call. */
ERR_CHECKED enum err_code flow_verification_new(const struct flow_verification_args *args,
                                                const struct mime_header *header,
                                                struct flow_verification **out, struct err *err);

/* Other trust sets than those of `args`, before finish: the rules of the recipients may be known
 * only then. Borrowed until free. */
void flow_verification_set_trusts(struct flow_verification *verification,
                                  const struct pki_trust *const *trusts, size_t count);

/* False: the message claims nothing, the body does not matter. */
bool flow_verification_wants_body(const struct flow_verification *verification);

/* The body of the message, as on the wire (CRLF). Errors are about our own ability only (spool
 * full, memory): whatever is wrong with the message is part of the result. */
ERR_CHECKED enum err_code flow_verification_write(struct flow_verification *verification,
                                                  struct span piece, struct err *err);
ERR_CHECKED enum err_code flow_verification_finish(struct flow_verification *verification,
                                                   struct err *err);

/* The layer that counts. Valid after finish; borrowed until free. */
const struct flow_verification_result *
flow_verification_get(const struct flow_verification *verification);

/* One layer for the log and for people; static words. */
struct flow_verification_layer {
    const char *kind;  /* "clear-signed", "opaque-signed", "enveloped", "auth-enveloped", "cms" */
    const char *state; /* signed: the word of a verdict; enveloped: "sealed", "opened" */
    const char *reason;
    bool counts;
};

/* From the outside in; valid after finish. *too_deep: there are more. Returns how many. */
size_t flow_verification_layers(const struct flow_verification *verification,
                                struct flow_verification_layer out[FLOW_VERIFICATION_LAYERS],
                                bool *too_deep);

/* The header that the sender protected, of the innermost entity that was reached; NULL: none.
 * Believed only where the layer that counts passed, or was opened and is proven. */
struct flow_protected;
const struct flow_protected *
flow_verification_protected(const struct flow_verification *verification);

/* For flow/layer: does the header say that it is S/MIME; leave closed what is encrypted. */
bool flow_verification_is_claimed(const struct flow_verification *verification);
void flow_verification_set_sealed(struct flow_verification *verification);

/* Octets held now: heap and spool. */
uint64_t flow_verification_bytes(const struct flow_verification *verification);
void flow_verification_free(struct flow_verification **verification);

#endif
