/*
 * The structure of an entity as it passes: a push parser of MIME.          RFC 2045, RFC 2046 5,
 * 5322
 *
 * Fed with an entity (header section, empty line, body) in pieces of any size, it tells its handler
 * what each byte is: part of a header section, of a leaf's body, of a preamble or epilogue, or of a
 * boundary delimiter line with the line breaks that belong to it. The bytes of all events, one
 * behind the other, are the input: who writes them out again has changed nothing. Held are the
 * header section of one part and at most one line.
 *
 * It descends into multipart/... with a usable boundary and into message/rfc822 and message/global
 * that are not encoded, and sees what Python's email package sees in well-formed mail. Where
 * readers would differ it goes on, and says so: mime_entity_get.
 */
#ifndef MIME_ENTITY_H
#define MIME_ENTITY_H

#include <stdint.h>

#include "mime/parameter.h"
#include "util/err.h"
#include "util/span.h"

enum {
    MIME_ENTITY_LIMIT_PARTS = 1000,
    MIME_ENTITY_LIMIT_DEPTH = 50,
    MIME_ENTITY_LIMIT_HEADER = 64 * 1024
};

enum mime_entity_kind { MIME_ENTITY_LEAF, MIME_ENTITY_MULTIPART, MIME_ENTITY_MESSAGE };

/* Content-Transfer-Encoding. RFC 2045 6.1 */
enum mime_entity_encoding {
    MIME_ENTITY_7BIT, /* or no field */
    MIME_ENTITY_8BIT,
    MIME_ENTITY_BINARY,
    MIME_ENTITY_QP,
    MIME_ENTITY_BASE64,
    MIME_ENTITY_OTHER
};

struct mime_entity_part {
    uint32_t index; /* parts are numbered as their header sections begin; the root is 0 */
    uint32_t depth; /* the root is 1 */
    enum mime_entity_kind kind;
    enum mime_entity_encoding encoding;
    bool encoding_odd;    /* the field comes twice or is not read the same by everybody */
    bool encoding_8bit;   /* some reader could take it for "8bit" or "binary" */
    bool is_text;         /* text/..., or no (readable) type */
    bool is_composite;    /* a leaf that calls itself message/... or multipart/... */
    bool is_message_root; /* the header of a message, not of a body part */
    bool has_mime_version;
    const struct mime_parameters *type; /* Content-Type or NULL; during MIME_ENTITY_HEADER only */
};

enum mime_entity_event_kind {
    MIME_ENTITY_HEADER, /* a part begins; the whole section with its empty line, in one span */
    MIME_ENTITY_BODY,   /* of a leaf */
    MIME_ENTITY_PREAMBLE,
    MIME_ENTITY_EPILOGUE,
    MIME_ENTITY_DELIMITER, /* of the multipart `part` */
    MIME_ENTITY_END        /* `part` is over; no bytes */
};

struct mime_entity_event {
    enum mime_entity_event_kind kind;
    const struct mime_entity_part *part; /* borrowed for the call */
    struct span bytes;                   /* borrowed for the call */
};

/* An error it returns ends the parsing and is returned from there. */
typedef enum err_code mime_entity_handler_fn(void *context, const struct mime_entity_event *event,
                                             struct err *err);

struct mime_entity_result {
    uint32_t parts;
    uint32_t depth;
    /* The first point where readers may see another structure than we do; static text or NULL. */
    const char *doubt;
    /* The first point where a mail server that reads MIME would change bytes, though all of them
     * are plain ASCII; static text or NULL. */
    const char *fragile;
};

struct mime_entity;

/* `context` is borrowed until free. */
ERR_CHECKED enum err_code mime_entity_new(mime_entity_handler_fn *handler, void *context,
                                          struct mime_entity **out, struct err *err);
void mime_entity_free(struct mime_entity **entity);

/* ERR_LIMIT beyond a bound above; the text names it. */
ERR_CHECKED enum err_code mime_entity_write(struct mime_entity *entity, struct span piece,
                                            struct err *err);
ERR_CHECKED enum err_code mime_entity_finish(struct mime_entity *entity, struct err *err);

/* Borrowed until free; complete after finish. */
const struct mime_entity_result *mime_entity_get(const struct mime_entity *entity);

#endif
