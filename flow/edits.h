/*
 * What is to be done to a message: a list of edits, computed first, applied in one loop.
 *
 * The order of the list is the order of application: deletions of a name come in descending index,
 * so that no deletion shifts another; insertions after them. Bodies are not stored:
 * flow_message_write_body runs the chain when the milter asks for it.
 */
#ifndef FLOW_EDITS_H
#define FLOW_EDITS_H

#include <stddef.h>

#include "mime/header.h"
#include "util/err.h"

enum flow_edit_kind {
    FLOW_EDIT_DELETE_HEADER, /* name, index (1-based among the fields of that name) */
    FLOW_EDIT_INSERT_HEADER, /* position (0: top), name, value folded with LF, without the space
                                behind the colon: the milter adds it (SMFIP_HDR_LEADSPC) */
    FLOW_EDIT_CHANGE_HEADER, /* name, index, value as it came: with its space behind the colon */
    FLOW_EDIT_CHANGE_SENDER, /* value: the new envelope sender, without brackets */
    FLOW_EDIT_ADD_RECIPIENT,
    FLOW_EDIT_DELETE_RECIPIENT,
    FLOW_EDIT_REPLACE_BODY,
    FLOW_EDIT_QUARANTINE /* value: reason */
};

struct flow_edit {
    enum flow_edit_kind kind;
    char *name;
    char *value;
    unsigned index;
};

enum { FLOW_EDITS_LIMIT = 30000 };

struct flow_edits {
    struct flow_edit *list;
    size_t count, cap;
};

ERR_CHECKED enum err_code flow_edits_add(struct flow_edits *edits, enum flow_edit_kind kind,
                                         const char *name, const char *value, unsigned index,
                                         struct err *err);
/* A deletion for every field of the section whose name `is_one` says yes to, the last first. */
ERR_CHECKED enum err_code flow_edits_add_deletions(struct flow_edits *edits,
                                                   const struct mime_header *header,
                                                   bool (*is_one)(struct span name),
                                                   struct err *err);
void flow_edits_free(struct flow_edits *edits);

#endif
