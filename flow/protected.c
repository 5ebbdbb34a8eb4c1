#include "flow/protected.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "flow/coding.h"
#include "flow/lift.h"

enum { PROTECTED_AT_END = 1000 };

/* RFC 9788 1.1.1: fields that a reader shows. */
static const char *const protected_names[FLOW_PROTECTED_FIELDS] = {
    "Subject", "Date", "To", "Cc", "Reply-To", "Comments", "Keywords", "In-Reply-To", "References"
};

/* RFC 9788 6.1.2: fields that say where an answer goes. */
static const char *const answer_names[FLOW_PROTECTED_ANSWERS] = { "To", "Cc", "Reply-To",
                                                                  "Mail-Reply-To",
                                                                  "Mail-Followup-To" };

static enum err_code
protected_find_type(const struct mime_header *header, struct mime_parameters **type,
                    struct err *err)
{
    const char *doubt = NULL;
    enum err_code code = flow_coding_parse_field(header, "Content-Type", type, &doubt, err);

    if (doubt)
        mime_parameter_free(type);
    return code;
}

enum err_code
flow_protected_is_wrapper(const struct mime_header *header, bool *is_wrapper, struct err *err)
{
    struct mime_parameters *type = NULL;
    enum err_code code = protected_find_type(header, &type, err);

    *is_wrapper = type && (strcmp(mime_parameter_value(type), "message/rfc822") == 0 ||
                           strcmp(mime_parameter_value(type), "message/global") == 0);
    mime_parameter_free(&type);
    return code;
}

static bool
protected_is_whole(const struct mime_parameters *type)
{
    return mime_parameter_is(type, "hp", "clear") || mime_parameter_is(type, "hp", "cipher");
}

enum err_code
flow_protected_load(const struct mime_header *header, bool wrapped, struct flow_protected *out,
                    struct err *err)
{
    struct mime_parameters *type = NULL;
    enum err_code code = protected_find_type(header, &type, err);

    *out = (struct flow_protected){ .wrapped = wrapped,
                                    .whole = wrapped || (type && protected_is_whole(type)) };
    out->there = out->whole || (type && mime_parameter_is(type, "protected-headers", "v1"));
    mime_parameter_free(&type);
    if (code != ERR_OK || !out->there)
        return code;
    for (size_t i = 0; i < FLOW_PROTECTED_ANSWERS; i++)
        out->answers[i] = mime_header_find_count(header, answer_names[i]) > 0;
    code = flow_from_load(header, &out->from, err);
    for (size_t i = 0; code == ERR_OK && i < FLOW_PROTECTED_FIELDS; i++) {
        struct mime_header_field field;

        if (mime_header_find_count(header, protected_names[i]) == 1 &&
            mime_header_find(header, protected_names[i], 0, &field))
            code = flow_lift_format(field.value, FLOW_PROTECTED_LIMIT_VALUE, &out->values[i], err);
    }
    return code;
}

bool
flow_protected_is_other(const struct flow_protected *protected, const struct flow_from *from)
{
    return protected->there && !protected->wrapped && protected->from.fields > 0 &&
           (!from->address[0] || strcasecmp(protected->from.address, from->address) != 0);
}

void
flow_protected_free(struct flow_protected *protected)
{
    for (size_t i = 0; i < FLOW_PROTECTED_FIELDS; i++)
        free(protected->values[i]);
    *protected = (struct flow_protected){ .there = false };
}

/* The same text, however it is folded. */
static enum err_code
protected_is_same(struct span outside, const char *inside, bool *same, struct err *err)
{
    struct buf a = BUF_INIT(MIME_HEADER_LIMIT_BYTES), b = BUF_INIT(MIME_HEADER_LIMIT_BYTES);
    enum err_code code = mime_header_unfold(outside, &a, err);

    if (code == ERR_OK)
        code = mime_header_unfold(span_str(inside), &b, err);
    *same = code == ERR_OK && span_equal(buf_span(&a), buf_span(&b));
    buf_free(&a);
    buf_free(&b);
    return code;
}

static enum err_code
protected_set(struct flow_edits *edits, const struct mime_header *header, const char *name,
              const char *value, struct err *err)
{
    unsigned end = (unsigned)mime_header_count(header) + PROTECTED_AT_END;
    char *spaced = NULL;
    enum err_code code;

    if (mime_header_find_count(header, name) == 0)
        return flow_edits_add(edits, FLOW_EDIT_INSERT_HEADER, name, value, end, err);
    if (asprintf(&spaced, " %s", value) < 0)
        return err_set(err, ERR_NOMEM, "memory for a header field");
    code = flow_edits_add(edits, FLOW_EDIT_CHANGE_HEADER, name, spaced, 1, err);
    free(spaced);
    return code;
}

/* Fields outside that lead an answer and are not the sender's go: all of them where there is none
 * inside, all but the first, which takes the place of the one inside, else. */
static enum err_code
protected_edit_answers(const struct flow_protected *protected, const struct mime_header *header,
                       bool restore, struct flow_edits *edits, size_t *differ, struct err *err)
{
    enum err_code code = ERR_OK;

    for (size_t i = 0; i < FLOW_PROTECTED_ANSWERS; i++) {
        size_t count = mime_header_find_count(header, answer_names[i]);
        size_t keep = protected->answers[i] ? 1 : 0;

        *differ += count > keep;
        for (; code == ERR_OK && restore && count > keep; count--)
            code = flow_edits_add(edits, FLOW_EDIT_DELETE_HEADER, answer_names[i], NULL,
                                  (unsigned)count, err);
    }
    return code;
}

static bool
protected_leads_answer(const char *name)
{
    for (size_t i = 0; i < FLOW_PROTECTED_ANSWERS; i++) {
        if (strcmp(answer_names[i], name) == 0)
            return true;
    }
    return false;
}

enum err_code
flow_protected_edits(const struct flow_protected *protected, const struct flow_from *from,
                     const struct mime_header *header, bool restore, struct flow_edits *edits,
                     size_t *differ, struct err *err)
{
    bool is_his = protected->from.fields == 0 ||
                  (from->address[0] && strcmp(protected->from.address, from->address) == 0);
    enum err_code code = ERR_OK;

    *differ = is_his ? 0 : 1;
    if (protected->whole)
        code = protected_edit_answers(protected, header, restore && is_his, edits, differ, err);
    for (size_t i = 0; code == ERR_OK && i < FLOW_PROTECTED_FIELDS; i++) {
        struct mime_header_field field;
        bool same = false;

        if (!protected->values[i] ||
            (mime_header_find_count(header, protected_names[i]) > 1 &&
             !(protected->whole && protected_leads_answer(protected_names[i]))))
            continue;
        if (mime_header_find(header, protected_names[i], 0, &field))
            code = protected_is_same(field.value, protected->values[i], &same, err);
        if (code != ERR_OK || same)
            continue;
        ++*differ;
        if (restore && is_his)
            code = protected_set(edits, header, protected_names[i], protected->values[i], err);
    }
    return code;
}
