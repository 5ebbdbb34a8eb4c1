/*
 * What people see of the verdict beside the result field, as the deciding rule says.
 *
 * - result_fields = yes: X-SMIME-Result (the word), X-SMIME-Reason (a sentence in plain language)
 * and, of a pass, X-SMIME-Signer. Fields whose name begins with X-SMIME- and that came with the
 * message are removed always: nobody shall believe them.
 * - tag_pass, tag_fail and so on: a text in front of Subject. All texts of the rule are first taken
 *   out of Subject, encoded words opened: nobody writes them himself.
 *
 * Called by flow/inbound only.
 */
#ifndef FLOW_READER_H
#define FLOW_READER_H

#include "flow/message.h"
#include "flow/verification.h"

#define FLOW_READER_PREFIX "X-SMIME-"

/* The fields: before the result field is put on top. `result` NULL: nobody wanted a verdict. */
ERR_CHECKED enum err_code flow_reader_fields(struct flow_message *message,
                                             const struct flow_verification_result *result,
                                             struct err *err);

/* Subject: behind all other edits, since one of them may have changed it. */
ERR_CHECKED enum err_code flow_reader_tag(struct flow_message *message,
                                          const struct policy_verdict *verdict, struct err *err);

#endif
