/*
 * Inbound: one word and one reason for the message as a whole. Pure.      RFC 7281 4, RFC 8601 2.7,
 * RFC 8550 3
 *
 * pass only when the root entity is signed, every signer verifies, the CMS content type is data,
 * From is one mailbox, and its address is in the certificate of a signer whose path holds. What
 * readers could see differently is never pass.
 */
#ifndef POLICY_VERDICT_H
#define POLICY_VERDICT_H

#include <stdbool.h>
#include <stddef.h>

#include "conf/conf.h"

enum policy_result {
    POLICY_RESULT_NONE,
    POLICY_RESULT_PASS,
    POLICY_RESULT_FAIL,
    POLICY_RESULT_POLICY,
    POLICY_RESULT_NEUTRAL,
    POLICY_RESULT_TEMPERROR,
    POLICY_RESULT_PERMERROR
};

enum policy_signature {
    POLICY_SIGNATURE_NONE,
    POLICY_SIGNATURE_OK,
    POLICY_SIGNATURE_BAD,
    POLICY_SIGNATURE_UNSUPPORTED,
    POLICY_SIGNATURE_NO_SIGNER
};
enum policy_trust { POLICY_TRUST_OK, POLICY_TRUST_INVALID, POLICY_TRUST_POLICY, POLICY_TRUST_TEMP };

struct policy_signer_facts {
    enum policy_signature signature;
    const char *signature_reason;
    enum policy_trust algorithm; /* allow-list on digest, signature algorithm, key */
    const char *algorithm_reason;
    enum policy_trust leaf; /* usage, validity */
    const char *leaf_reason;
    enum policy_trust path; /* path and revocation */
    const char *path_reason;
    bool identity; /* the From address is in the certificate */
};

struct policy_verdict_facts {
    bool claimed; /* the root entity says it is S/MIME signed */
    /* It is a complete enveloped object: what became of it, a reason word. NULL: it is none. */
    const char *envelope;
    bool structure_ok;            /* CMS could be read, multipart/signed has two parts, ... */
    bool structure_ambiguous;     /* readers may see different signed bytes */
    const char *structure_reason; /* reason word when one of the two above is wrong */
    bool micalg_mismatch;
    size_t from_fields, from_mailboxes;
    bool from_irregular;
    const struct policy_signer_facts *signers;
    size_t count;
};

struct policy_verdict {
    enum policy_result result;
    const char *reason; /* reason word, "ok" */
    size_t signer;      /* the signer that decided, or 0 */
};

void policy_verdict_decide(const struct policy_verdict_facts *facts, struct policy_verdict *out);

/* "pass", "fail", ... */
const char *policy_result_name(enum policy_result result);

/* mark, quarantine or reject (for temperror: defer), by the rule. */
enum policy_disposition { POLICY_MARK, POLICY_QUARANTINE, POLICY_REJECT, POLICY_HOLD_BACK };
enum policy_disposition policy_verdict_disposition(const struct policy_verdict *verdict,
                                                   const struct conf_rule *rule);

#endif
