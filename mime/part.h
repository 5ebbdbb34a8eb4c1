/*
 * What the header section of a part says about the part.           RFC 2045 5 and 6, RFC 2046 5.1.1
 *
 * The second half of mime/entity: one function that reads a section, and one that knows a header
 * field when it sees its first line.
 */
#ifndef MIME_PART_H
#define MIME_PART_H

#include "mime/entity.h"

struct mime_part_facts {
    struct mime_parameters *type; /* owned; NULL: no Content-Type */
    struct span boundary;         /* of a multipart that is descended into; borrowed from type */
    bool is_digest;
    const char *doubt; /* see mime_entity_result */
};

/* Fills kind, encoding and the rest of `part` that comes from its header; index, depth and
 * is_message_root are the caller's. `in_digest`: without Content-Type it is a message. */
ERR_CHECKED enum err_code mime_part_load(struct span section, bool in_digest,
                                         struct mime_entity_part *part,
                                         struct mime_part_facts *facts, struct err *err);

/* Frees what mime_part_load put into facts. */
void mime_part_free(struct mime_part_facts *facts);

/* Is this line, or its first 998 octets, the first line of a header field? "name :", which RFC 5322
 * 4.5 still allows, is one; *is_obsolete then says so. */
bool mime_part_is_field(struct span line, bool *is_obsolete);

#endif
