/*
 * The Content-* fields of a decrypted entity, on their way into the header of the message.
 *                                                                    RFC 2045 9, RFC 8551 3.1
 *
 * They describe the body that replaces the encrypted one, so they replace the message's own
 * Content-* fields. Nothing else of a decrypted header section ever reaches the message: a
 * result field or a Received in there says nothing. Whoever encrypted chose these octets: names,
 * characters, line lengths and counts are bounded here, and one field too many or one character
 * that could begin another field means that none is taken.
 *
 * Plain values; flow_lift_free gives the memory back.
 */
#ifndef FLOW_LIFT_H
#define FLOW_LIFT_H

#include "flow/edits.h"
#include "mime/header.h"

enum {
    FLOW_LIFT_LIMIT_FIELDS = 16,
    FLOW_LIFT_LIMIT_NAME = 64,
    FLOW_LIFT_LIMIT_VALUE = 16 * 1024,
    FLOW_LIFT_LIMIT_LINE = 998 /* RFC 5322 2.1.1 */
};

struct flow_lift {
    struct {
        char *name, *value; /* folded with LF, without space in front */
    } list[FLOW_LIFT_LIMIT_FIELDS];
    size_t count;
    bool has_type; /* Content-Type is among them */
    bool odd;      /* one was beyond a bound: nothing of this may be used */
};

/* Copies them. ERR_NOMEM only. */
ERR_CHECKED enum err_code flow_lift_load(const struct mime_header *header, struct flow_lift *out,
                                         struct err *err);
void flow_lift_free(struct flow_lift *lift);

/* Adds the edits: the Content-* fields of `header` go, these come, and MIME-Version where there is
 * none. `encoding` not NULL: it stands for the value of Content-Transfer-Encoding. */
ERR_CHECKED enum err_code flow_lift_edits(const struct flow_lift *lift,
                                          const struct mime_header *header, const char *encoding,
                                          struct flow_edits *edits, struct err *err);

/* A field value as an edit wants it (folded with LF, no space in front), returned: free. *out NULL:
 * it is longer than limit_bytes, has a line that is too long or empty, or a character that no field
 * should have. */
ERR_CHECKED enum err_code flow_lift_format(struct span value, size_t limit_bytes, char **out,
                                           struct err *err);

#endif
