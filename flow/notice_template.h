/*
 * One template of a letter: read, checked, filled. Part of flow/notice.
 *
 * Threads: immutable once loaded.
 */
#ifndef FLOW_NOTICE_TEMPLATE_H
#define FLOW_NOTICE_TEMPLATE_H

#include "util/buf.h"

enum { FLOW_NOTICE_TEMPLATE_PARTS = 200 };

/* A piece of text, or a name in braces. */
struct flow_notice_part {
    struct span text;
    int name; /* index into the names that were given; -1: text */
};

struct flow_notice_template {
    struct buf bytes; /* the file; parts point into it */
    struct flow_notice_part parts[FLOW_NOTICE_TEMPLATE_PARTS];
    size_t subject_count; /* the first parts are the subject, the others the text */
    size_t count;
};

/* `names` NULL-terminated, borrowed for the call. ERR_PERM with "path:line: ". */
ERR_CHECKED enum err_code flow_notice_template_load(const char *path, size_t limit_bytes,
                                                    const char *const *names,
                                                    struct flow_notice_template *out,
                                                    struct err *err);
void flow_notice_template_free(struct flow_notice_template *template);

/* Appends the subject, or the text, with values[name] (never NULL) in the place of each name. */
ERR_CHECKED enum err_code flow_notice_template_format(const struct flow_notice_template *template,
                                                      bool subject, const char *const *values,
                                                      struct buf *out, struct err *err);

#endif
