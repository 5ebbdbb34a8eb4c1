/*
 * The questions that are asked about each signer, and what is said about the answers.   RFC 8550 3,
 * 4
 *
 * smime/verify knows whether the signature fits; here each signer's certificate is judged (leaf
 * rules, path with revocation, address), and the verdict's reason becomes a sentence. Private to
 * flow/verification.
 */
#ifndef FLOW_SIGNER_H
#define FLOW_SIGNER_H

#include "flow/verification.h"

/* Fills result->signers from the signers that smime/verify found. Own failures only. */
ERR_CHECKED enum err_code flow_signer_load(const struct flow_verification_args *args,
                                           const struct smime_verify_result *smime,
                                           struct flow_verification_result *result,
                                           struct err *err);
void flow_signer_free(struct flow_verification_result *result);

/* The facts of one signer, as policy asks for them. */
void flow_signer_facts(const struct flow_verification_signer *signer,
                       struct policy_signer_facts *out);

/* result->text and the three words, once the verdict is there. */
void flow_signer_describe(struct flow_verification_result *result);

#endif
