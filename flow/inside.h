/*
 * What is inside a signature or an envelope: an entity, taken apart into header and body as it
 * passes.                                                            RFC 2045, RFC 8551 3.1
 *
 * Inside a signature the octets are what was signed and pass as they are. What comes out of an
 * envelope (`mend`) is meant for a mail server next: bare LF becomes CRLF, and what cannot travel
 * there, NUL and bare CR, is noted. A leaf that says it is binary is left as it is.
 *
 * What does not begin with a header section (it was decrypted with another key, say) is a body with
 * a header of our own, and `broken`: every octet is looked at all the same, so that the time does
 * not tell.
 *
 * Holds one header section of at most FLOW_INSIDE_LIMIT_HEADER. Belongs to one thread.
 */
#ifndef FLOW_INSIDE_H
#define FLOW_INSIDE_H

#include "mime/header.h"

enum { FLOW_INSIDE_LIMIT_HEADER = 64 * 1024 };

struct flow_inside_result {
    bool broken;  /* it is no entity */
    bool binary;  /* `mend`: a leaf with Content-Transfer-Encoding: binary */
    bool unclean; /* `mend`: NUL or a bare CR in a body that is not binary */
};

/* Called once, before the body; borrowed for the call. */
typedef enum err_code flow_inside_header_fn(void *context, const struct mime_header *header,
                                            struct err *err);
typedef enum err_code flow_inside_body_fn(void *context, struct span piece, struct err *err);

struct flow_inside_args {
    bool mend;
    flow_inside_header_fn *header; /* NULL: nobody asks */
    flow_inside_body_fn *body;
    void *context; /* borrowed until free */
};

struct flow_inside;

ERR_CHECKED enum err_code flow_inside_new(const struct flow_inside_args *args,
                                          struct flow_inside **out, struct err *err);
ERR_CHECKED enum err_code flow_inside_write(struct flow_inside *inside, struct span piece,
                                            struct err *err);
ERR_CHECKED enum err_code flow_inside_finish(struct flow_inside *inside, struct err *err);
const struct flow_inside_result *flow_inside_get(const struct flow_inside *inside);
void flow_inside_free(struct flow_inside **inside);

#endif
