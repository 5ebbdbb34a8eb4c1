/*
 * Decryption in the mail flow: for whom, with which keys, how often, and when plaintext may be
 * released.                                                        RFC 8551 3.1, 3.3, 6; EFAIL
 *
 * Everybody in the envelope gets the same octets. So a message is decrypted only if the rules of
 * all recipients say so, all of them have keys here, and each of them could have opened it: for
 * each, some RecipientInfo names one of his certificates and holds the same content key. Whoever
 * sends somebody else's message to him and to himself reads nothing by that.
 *
 * How one passes. The encrypted octets are in a spool. They go through the cipher once with the
 * plaintext going nowhere: then the tag, or the padding, is known. They go through it again, and
 * the plaintext is looked at (a signature inside is verified, header and line ends are looked at).
 * Only if everything holds (flow_decryption_finish) does the milter ask for the body, and they go
 * through it a third time, into the MTA. Plaintext of the message itself is never stored.
 *
 * All that can go wrong ends in the state CLOSED, after the same work: one operation with a key for
 * each recipient, the whole content through a cipher twice, the result looked at as an entity. What
 * is missing for that is made up (smime/decrypt, flow/inside). Where CBC has a wrong padding, the
 * signature inside is verified all the same, so that the time does not say whether it was the
 * padding or the signature. The reason is known to flow_decryption_reason alone.
 *
 * CBC and 3DES prove nothing about integrity. Without a valid signature inside they are CLOSED like
 * a failure, or OPENED if all rules say decrypt_unsigned = mark.
 *
 * Called by flow/inbound and flow/verification. Belongs to one message.
 */
#ifndef FLOW_DECRYPTION_H
#define FLOW_DECRYPTION_H

#include "flow/edits.h"
#include "flow/inside.h"
#include "util/spool.h"

struct flow_decryption;
struct flow_message;

enum flow_decryption_state {
    FLOW_DECRYPTION_UNASKED, /* nothing that is encrypted was found */
    FLOW_DECRYPTION_CLOSED,
    FLOW_DECRYPTION_OPENED
};

/* *out NULL: the message is not to be decrypted, whatever it is. */
ERR_CHECKED enum err_code flow_decryption_new(const struct flow_message *message,
                                              struct flow_decryption **out, struct err *err);
void flow_decryption_free(struct flow_decryption **decryption);

/* What the rules say of these forms. */
bool flow_decryption_wants_octet_stream(const struct flow_decryption *decryption);
bool flow_decryption_wants_signed(const struct flow_decryption *decryption);

/* `spool`: the CMS octets of an enveloped object that is whole; borrowed until free. The entity
 * goes through `inside` (its `mend` is set here), whose callbacks cannot tell whether it is the
 * real one. Once. Errors are our own. */
ERR_CHECKED enum err_code flow_decryption_open(struct flow_decryption *decryption,
                                               const struct spool *spool,
                                               const struct flow_inside_args *inside,
                                               struct err *err);

/* `intact`: a signature inside covers all of it and fits. What was decided: OPENED or CLOSED. */
enum flow_decryption_state flow_decryption_finish(struct flow_decryption *decryption, bool intact);

/* The state without a decision: the message is left as it is for a reason that everybody can see.
 */
void flow_decryption_reset(struct flow_decryption *decryption, const char *reason);

enum flow_decryption_state flow_decryption_get(const struct flow_decryption *decryption);
/* OPENED: the cipher says that nobody changed it. */
bool flow_decryption_is_authentic(const struct flow_decryption *decryption);
/* For the administrator's debug log alone. */
const char *flow_decryption_reason(const struct flow_decryption *decryption);
const char *flow_decryption_cipher(const struct flow_decryption *decryption); /* "" unless tried */

/* OPENED: the edits, the new body among them; `header` is the message's. */
ERR_CHECKED enum err_code flow_decryption_edits(const struct flow_decryption *decryption,
                                                const struct mime_header *header,
                                                struct flow_edits *edits, struct err *err);
/* OPENED: the body into `sink` (taken), finished. */
ERR_CHECKED enum err_code flow_decryption_write_body(struct flow_decryption *decryption,
                                                     struct stage *sink, struct err *err);

#endif
