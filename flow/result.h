/*
 * The verdict as other programs read it: one Authentication-Results field.     RFC 8601 2.2, RFC
 * 7281
 *
 * Everything that comes out of a certificate is hostile: it is quoted, escaped and capped here, and
 * a name that would have to be cut is left out rather than shown as another. Properties of the
 * signer are written for a pass only: next to "fail" they would lend a forger the name he claims.
 */
#ifndef FLOW_RESULT_H
#define FLOW_RESULT_H

#include "flow/verification.h"

#define FLOW_RESULT_FIELD "Authentication-Results"

enum { FLOW_RESULT_LIMIT_BYTES = 4096 };

/* Is there more to say than that nothing is signed? What was to be decrypted is always told. */
bool flow_result_is_wanted(const struct flow_verification_result *result);

/* Appends the value (folded with LF, no leading space) to `out`. */
ERR_CHECKED enum err_code flow_result_format(const char *authserv_id,
                                             const struct flow_verification_result *result,
                                             struct buf *out, struct err *err);

#endif
