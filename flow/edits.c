#include "flow/edits.h"

#include <stdlib.h>
#include <string.h>

static enum err_code
edits_grow(struct flow_edits *edits, struct err *err)
{
    size_t cap = edits->cap ? edits->cap * 2 : 16;
    struct flow_edit *list;

    if (edits->count >= FLOW_EDITS_LIMIT)
        return err_set(err, ERR_LIMIT, "more than %d changes to one message", FLOW_EDITS_LIMIT);
    if (edits->count < edits->cap)
        return ERR_OK;
    list = realloc(edits->list, cap * sizeof(*list));
    if (!list)
        return err_set(err, ERR_NOMEM, "memory for the changes to a message");
    edits->list = list;
    edits->cap = cap;
    return ERR_OK;
}

enum err_code
flow_edits_add(struct flow_edits *edits, enum flow_edit_kind kind, const char *name,
               const char *value, unsigned index, struct err *err)
{
    struct flow_edit edit = { .kind = kind, .index = index };
    enum err_code code = edits_grow(edits, err);

    if (code != ERR_OK)
        return code;
    edit.name = name ? strdup(name) : NULL;
    edit.value = value ? strdup(value) : NULL;
    if ((name && !edit.name) || (value && !edit.value)) {
        free(edit.name);
        free(edit.value);
        return err_set(err, ERR_NOMEM, "memory for the changes to a message");
    }
    edits->list[edits->count++] = edit;
    return ERR_OK;
}

/* Which of the fields of its name is field `index`? 1-based, as the MTA counts. */
static unsigned
edits_count_before(const struct mime_header *header, size_t index, const char *name)
{
    unsigned nth = 1;
    size_t i;

    for (i = 0; i < index; i++) {
        if (span_equal_nocase(mime_header_get(header, i).name, name))
            nth++;
    }
    return nth;
}

enum err_code
flow_edits_add_deletions(struct flow_edits *edits, const struct mime_header *header,
                         bool (*is_one)(struct span name), struct err *err)
{
    enum err_code code = ERR_OK;
    size_t i;

    /* From the last to the first: each deletion shifts only what is behind it. */
    for (i = mime_header_count(header); code == ERR_OK && i > 0; i--) {
        struct mime_header_field field = mime_header_get(header, i - 1);
        char *name;

        if (!is_one(field.name))
            continue;
        name = span_dup(field.name);
        if (!name)
            return err_set(err, ERR_NOMEM, "memory for header edits");
        code = flow_edits_add(edits, FLOW_EDIT_DELETE_HEADER, name, NULL,
                              edits_count_before(header, i - 1, name), err);
        free(name);
    }
    return code;
}

void
flow_edits_free(struct flow_edits *edits)
{
    size_t i;

    if (!edits)
        return;
    for (i = 0; i < edits->count; i++) {
        free(edits->list[i].name);
        free(edits->list[i].value);
    }
    free(edits->list);
    *edits = (struct flow_edits){ 0 };
}
