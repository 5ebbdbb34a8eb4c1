/*
 * A message as a file holds it, taken apart into header fields and body: what an MTA does before it
 * calls a milter. smimectl reads its messages through here, and so do tests.
 *
 * A file whose first line ends in a bare LF is in the form of Unix mail stores: every bare LF
 * becomes CRLF on the way, as SMTP would have it (signatures are over CRLF). Other files are taken
 * as they are.
 *
 * Holds the header section (bounded). One thread at a time.
 */
#ifndef FLOW_RAW_H
#define FLOW_RAW_H

#include "mime/header.h"
#include "util/stage.h"

struct flow_raw;

/* Called once, after the empty line or at the end: the parsed section, borrowed for the call.
 * Fields have their values as libmilter hands them (leading space kept, folding with LF or CRLF as
 * it came). A first line that starts with "From " (mbox) is left out. */
typedef enum err_code flow_raw_header_fn(void *context, const struct mime_header *header,
                                         struct err *err);
typedef enum err_code flow_raw_body_fn(void *context, struct span piece, struct err *err);

struct flow_raw_args {
    size_t limit_header_bytes;
    flow_raw_header_fn *header;
    flow_raw_body_fn *body; /* pieces of the body, none when it is empty */
    void *context;
};

ERR_CHECKED enum err_code flow_raw_new(const struct flow_raw_args *args, struct flow_raw **out,
                                       struct err *err);
ERR_CHECKED enum err_code flow_raw_write(struct flow_raw *raw, struct span piece, struct err *err);
ERR_CHECKED enum err_code flow_raw_finish(struct flow_raw *raw, struct err *err);
void flow_raw_free(struct flow_raw **raw);

#endif
