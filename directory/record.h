/*
 * Records of an LDIF file: content, no changes.                                      RFC 2849
 *
 * Reads LF and CRLF, folded lines, comments, base64 values ("::"), "version: 1" and a UTF-8 byte
 * order mark. Plain values may be UTF-8, which the RFC wants in base64 and people write as it is. A
 * value that is fetched from a URL (":<") is refused: a directory file must not make us read other
 * files. So are change records, NUL outside base64, and a bare CR. Whatever is wrong is ERR_PERM
 * with "file:line:".
 *
 * Holds one record at a time. Threads: no state.
 */
#ifndef DIRECTORY_RECORD_H
#define DIRECTORY_RECORD_H

#include "util/err.h"
#include "util/span.h"

enum {
    DIRECTORY_RECORD_LIMIT_FILE = 64 * 1024 * 1024,
    DIRECTORY_RECORD_LIMIT_RECORDS = 1000000,
    DIRECTORY_RECORD_LIMIT_VALUES = 100000, /* of one record */
    DIRECTORY_RECORD_LIMIT_VALUE = 1024 * 1024,
};

struct directory_attribute {
    const char *name;  /* type with options, lower case: "usercertificate;binary" */
    struct span value; /* decoded; a NUL stands behind it */
    unsigned line;
};

struct directory_record {
    const char *file; /* as errors name it */
    const char *dn;   /* UTF-8 */
    unsigned line;
    const struct directory_attribute *list; /* in file order, without the dn */
    size_t count;
};

/* The record is borrowed for the call. Another code than ERR_OK ends the reading. */
typedef enum err_code directory_record_fn(void *context, const struct directory_record *record,
                                          struct err *err);

/* Calls `each` for every record of `text`. ERR_PERM, ERR_LIMIT with the place, ERR_NOMEM, or what
 * `each` returned. */
ERR_CHECKED enum err_code directory_record_parse(const char *file, struct span text,
                                                 directory_record_fn *each, void *context,
                                                 struct err *err);

/* Copies of attributes, without values of more than `limit_bytes`; ERR_NOMEM. */
struct directory_attributes {
    struct directory_attribute *list;
    size_t count;
};
ERR_CHECKED enum err_code directory_attributes_copy(const struct directory_record *record,
                                                    size_t limit_bytes,
                                                    struct directory_attributes *out,
                                                    struct err *err);
void directory_attributes_free(struct directory_attributes *attributes);

#endif
