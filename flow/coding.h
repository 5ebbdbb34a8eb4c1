/*
 * The fields that say how an entity is to be read, and the decoder they ask for.     RFC 2045 5, 6
 *
 * Both directions ask the same questions of the same fields, and answers that readers could give
 * differently must be the same for both: here.
 */
#ifndef FLOW_CODING_H
#define FLOW_CODING_H

#include <stdint.h>

#include "mime/header.h"
#include "mime/parameter.h"
#include "util/stage.h"

enum flow_coding { FLOW_CODING_IDENTITY, FLOW_CODING_BASE64, FLOW_CODING_QP, FLOW_CODING_UNKNOWN };

/* Parses the first field of that name; *out NULL: it is not there. `doubt` is set (a static text,
 * else left alone) when the field comes twice, cannot be read, or is read differently by different
 * readers. */
ERR_CHECKED enum err_code flow_coding_parse_field(const struct mime_header *header,
                                                  const char *name, struct mime_parameters **out,
                                                  const char **doubt, struct err *err);

/* Content-Transfer-Encoding; `doubt` as above. */
ERR_CHECKED enum err_code flow_coding_find(const struct mime_header *header,
                                           enum flow_coding *coding, const char **doubt,
                                           struct err *err);

/* Part two of a multipart/signed, encoded, header included. */
enum { FLOW_CODING_LIMIT_SIGNATURE = 2 * 1024 * 1024 };

/* Is what `fields` (the header section of part two) describes a signature by its Content-Type, and
 * how is it encoded? `doubt` as above. */
ERR_CHECKED enum err_code flow_coding_find_signature(struct span fields, bool *is_signature,
                                                     enum flow_coding *coding, const char **doubt,
                                                     struct err *err);

/* A stage that decodes into `next` (taken; freed when this fails). `irregular` counts what the
 * encoding does not allow; borrowed until the stage is freed. UNKNOWN decodes nothing. */
ERR_CHECKED enum err_code flow_coding_decoder_new(enum flow_coding coding, uint64_t *irregular,
                                                  struct stage *next, struct stage **out,
                                                  struct err *err);

#endif
