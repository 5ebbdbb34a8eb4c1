/*
 * "value; name=value; ..." of Content-Type, Content-Disposition, Content-Transfer-Encoding.
 *                                                         RFC 2045 5.1, RFC 2231 3 and 4, RFC 822
 * comments Reads what mail systems produce and reports what a strict reader would not accept, so
 * that the caller can tell "ambiguous" from "fine": parsers that disagree about a duplicate
 * boundary are how signatures are faked.
 */
#ifndef MIME_PARAMETER_H
#define MIME_PARAMETER_H

#include "util/buf.h"

enum mime_parameter_flag {
    MIME_PARAMETER_DUPLICATE = 1 << 0,    /* a name came twice in any form; the first counts */
    MIME_PARAMETER_SYNTAX = 1 << 1,       /* bytes that fit no grammar were skipped */
    MIME_PARAMETER_CONTINUATION = 1 << 2, /* RFC 2231 pieces were joined */
    MIME_PARAMETER_COMMENT = 1 << 3,      /* a comment was skipped */
    MIME_PARAMETER_UNQUOTED = 1 << 4,     /* a value needed quotes and had none */
    MIME_PARAMETER_EIGHTBIT = 1 << 5,     /* bytes above 127, anywhere in the field */
    MIME_PARAMETER_EXTENDED = 1 << 6,     /* a name with '*' was percent-decoded (RFC 2231 4) */
    /* A backslash in quotes stood before something else than '"' and '\': it was taken off, as the
     * grammar has it, and some readers keep it ("C:\dir", and a boundary nobody agrees on). */
    MIME_PARAMETER_ESCAPE = 1 << 7,
};

enum { MIME_PARAMETER_LIMIT = 200, MIME_PARAMETER_LIMIT_BYTES = 64 * 1024 };

struct mime_parameters;

/* Never fails for bad syntax (see flags): only ERR_LIMIT (bytes, parameters) and ERR_NOMEM. Linear
 * in the length of the field. A quoted string without its closing quote goes to the end; an
 * unquoted value with white space to the next ';'; of RFC 2231 pieces those from 0 up to the first
 * gap count. */
ERR_CHECKED enum err_code mime_parameter_parse(struct span field_value,
                                               struct mime_parameters **out, struct err *err);
void mime_parameter_free(struct mime_parameters **parameters);

/* What stands before the first ';', lower case, without comments and white space around '/':
 * "text/plain", "attachment", "base64". A second word is no part of it (SYNTAX). "" when missing.
 * Borrowed. */
const char *mime_parameter_value(const struct mime_parameters *parameters);

/* "text" and "plain" of it; "" when there is no slash. Borrowed. */
const char *mime_parameter_type(const struct mime_parameters *parameters);
const char *mime_parameter_subtype(const struct mime_parameters *parameters);

/* A parameter's value, decoded (quotes, escapes, folding, RFC 2231 pieces and percent-encoding; no
 * conversion of character sets), borrowed; p is NULL when it is absent. Name in lower case. A
 * decoded value can hold any byte, NUL and line breaks too. */
struct span mime_parameter_find(const struct mime_parameters *parameters, const char *name);

/* Like find, compared to `value` with ASCII case folded. */
bool mime_parameter_is(const struct mime_parameters *parameters, const char *name,
                       const char *value);

size_t mime_parameter_count(const struct mime_parameters *parameters);
/* Name (lower case) and decoded value of parameter `index`; borrowed. */
const char *mime_parameter_name(const struct mime_parameters *parameters, size_t index);
struct span mime_parameter_get(const struct mime_parameters *parameters, size_t index);

/* Flags of enum mime_parameter_flag. */
unsigned mime_parameter_flags(const struct mime_parameters *parameters);

#endif
