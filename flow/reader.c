#include "flow/reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flow/inbound.h"
#include "flow/layers.h"
#include "flow/state.h"
#include "mime/word.h"

/* ---- fields ------------------------------------------------------------------------------------
 */

/* FLOW_LAYERS_FIELD is removed by flow/layers. */
static bool
reader_is_ours(struct span name)
{
    size_t n = strlen(FLOW_READER_PREFIX);

    return name.n > n && span_equal_nocase(span_of(name.p, n), FLOW_READER_PREFIX) &&
           !span_equal_nocase(name, FLOW_LAYERS_FIELD);
}

static enum err_code
reader_add(struct flow_message *message, const char *name, const char *value, struct err *err)
{
    char field[40];

    snprintf(field, sizeof field, FLOW_READER_PREFIX "%s", name);
    return flow_edits_add(&message->edits, FLOW_EDIT_INSERT_HEADER, field, value, 0, err);
}

/* "The sender's certificate expired on 2026-11-01 00:00:00 UTC." The text is escaped already. */
static void
reader_describe(const struct flow_verification_result *result, char *out, size_t size)
{
    static const char certificate[] = "the certificate ";
    const char *text = result->text[0] ? result->text : result->verdict.reason;

    if (strncmp(text, certificate, strlen(certificate)) == 0)
        snprintf(out, size, "The sender's certificate %s.", text + strlen(certificate));
    else
        snprintf(out, size, "%c%s.", text[0] >= 'a' && text[0] <= 'z' ? text[0] - 32 : text[0],
                 text[0] ? text + 1 : "");
}

enum err_code
flow_reader_fields(struct flow_message *message, const struct flow_verification_result *result,
                   struct err *err)
{
    char sentence[sizeof result->text + 40];
    enum err_code code =
        flow_edits_add_deletions(&message->edits, message->header, reader_is_ours, err);

    if (code != ERR_OK || !result || !message->inbound->rule->result_fields)
        return code;
    reader_describe(result, sentence, sizeof sentence);
    /* Each is put on top of those before. */
    if (result->verdict.result == POLICY_RESULT_PASS && result->signer)
        code = reader_add(message, "Signer", result->signer->identifier, err);
    if (code == ERR_OK)
        code = reader_add(message, "Reason", sentence, err);
    return code == ERR_OK
               ? reader_add(message, "Result", policy_result_name(result->verdict.result), err)
               : code;
}

/* ---- Subject -----------------------------------------------------------------------------------
 */

/* Never NULL: the built-in rule has none at all. */
static const char *
reader_find_tag(const struct conf_rule *rule, enum policy_result result)
{
    const char *const tags[] = {
        [POLICY_RESULT_NONE] = rule->tag_none,
        [POLICY_RESULT_PASS] = rule->tag_pass,
        [POLICY_RESULT_FAIL] = rule->tag_fail,
        [POLICY_RESULT_POLICY] = rule->tag_policy,
        [POLICY_RESULT_NEUTRAL] = rule->tag_neutral,
        [POLICY_RESULT_TEMPERROR] = rule->tag_temperror,
        [POLICY_RESULT_PERMERROR] = rule->tag_permerror,
    };
    const char *tag = tags[result];

    return tag ? tag : "";
}

/* The edit that has changed Subject already; NULL: none. */
static struct flow_edit *
reader_find_edit(struct flow_edits *edits)
{
    for (size_t i = edits->count; i > 0; i--) {
        struct flow_edit *edit = &edits->list[i - 1];

        if ((edit->kind == FLOW_EDIT_CHANGE_HEADER || edit->kind == FLOW_EDIT_INSERT_HEADER) &&
            edit->name && span_equal_nocase(span_str(edit->name), "Subject"))
            return edit;
    }
    return NULL;
}

/* Takes every text of the rule out of `now`, until none is left. */
static enum err_code
reader_remove(const struct conf_rule *rule, struct buf *now, struct buf *next, bool *any,
              struct err *err)
{
    enum err_code code = ERR_OK;

    for (int result = POLICY_RESULT_NONE; code == ERR_OK && result <= POLICY_RESULT_PERMERROR;
         result++) {
        const char *tag = reader_find_tag(rule, (enum policy_result)result);
        bool removed = tag[0] != '\0';

        while (code == ERR_OK && removed) {
            buf_reset(next);
            code = mime_word_remove(buf_span(now), tag, next, &removed, err);
            if (code != ERR_OK || !removed || next->n >= now->n)
                break;
            *any = true;
            buf_reset(now);
            code = buf_append(now, buf_span(next), err);
        }
    }
    return code;
}

/* Does a reader still see a text of the rule, in pieces of several encoded words? */
static enum err_code
reader_is_shown(const struct conf_rule *rule, struct span value, bool *shown, struct err *err)
{
    struct buf seen = BUF_INIT(value.n + 1);
    unsigned flags = 0;
    enum err_code code = mime_word_decode(value, &seen, &flags, err);

    *shown = false;
    for (int result = POLICY_RESULT_NONE; code == ERR_OK && result <= POLICY_RESULT_PERMERROR;
         result++) {
        const char *tag = reader_find_tag(rule, (enum policy_result)result);
        size_t n = strlen(tag);

        for (size_t i = 0; n > 0 && i + n <= seen.n; i++)
            *shown |= span_equal_nocase(span_of(seen.p + i, n), tag);
    }
    buf_free(&seen);
    return code;
}

/* Nobody writes a tag in pieces but to forge it: its encoded words are shown as they stand. */
static void
reader_defuse(struct buf *value)
{
    for (size_t i = 0; i + 1 < value->n; i++) {
        if (value->p[i] == '=' && value->p[i + 1] == '?')
            value->p[i] = '_';
    }
}

/* `value`: of Subject as it will be, `space` in front of it; `out` gets the tagged one. */
static enum err_code
reader_format(const struct conf_rule *rule, const char *tag, struct span value, struct buf *out,
              bool *changed, struct err *err)
{
    struct buf now = BUF_INIT(out->limit_bytes), next = BUF_INIT(out->limit_bytes);
    enum err_code code = buf_append(&now, value, err);
    bool shown = false;

    *changed = tag[0] != '\0';
    if (code == ERR_OK)
        code = reader_remove(rule, &now, &next, changed, err);
    if (code == ERR_OK)
        code = reader_is_shown(rule, buf_span(&now), &shown, err);
    if (code == ERR_OK && shown) {
        reader_defuse(&now);
        *changed = true;
    }
    if (code == ERR_OK && tag[0])
        code = buf_appendf(out, err, "%s ", tag);
    if (code == ERR_OK)
        code = buf_append(out, span_trim(buf_span(&now)), err);
    buf_free(&now);
    buf_free(&next);
    return code;
}

enum err_code
flow_reader_tag(struct flow_message *message, const struct policy_verdict *verdict, struct err *err)
{
    const struct conf_rule *rule = message->inbound->rule;
    const char *tag = reader_find_tag(rule, verdict->result);
    struct flow_edit *edit = reader_find_edit(&message->edits);
    struct buf out = BUF_INIT(message->conf->global.max_header + 1);
    struct mime_header_field field = { .value = { NULL, 0 } };
    bool changed = false;
    bool there = mime_header_find(message->header, "Subject", 0, &field);
    enum err_code code;
    char *copy;

    /* As an edit has it: a space in front where the field came with the message. */
    if ((edit && edit->kind == FLOW_EDIT_CHANGE_HEADER) || (!edit && there))
        code = buf_append_byte(&out, ' ', err);
    else
        code = ERR_OK;
    if (code == ERR_OK)
        code = reader_format(rule, tag, edit ? span_str(edit->value) : field.value, &out, &changed,
                             err);
    if (code == ERR_OK && changed && edit) {
        copy = strdup(buf_str(&out));
        if (!copy)
            code = err_set(err, ERR_NOMEM, "memory for a subject");
        else
            free(edit->value);
        edit->value = copy ? copy : edit->value;
    } else if (code == ERR_OK && changed && there) {
        code = flow_edits_add(&message->edits, FLOW_EDIT_CHANGE_HEADER, "Subject", buf_str(&out), 1,
                              err);
    } else if (code == ERR_OK && changed) {
        /* Below the result field. */
        code = flow_edits_add(&message->edits, FLOW_EDIT_INSERT_HEADER, "Subject", buf_str(&out), 1,
                              err);
    }
    buf_free(&out);
    return code;
}
