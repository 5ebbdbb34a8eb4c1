#include "flow/choice.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "flow/state.h"
#include "mime/word.h"

enum { CHOICE_LIMIT_FIELDS = 100 }; /* of one name: more are no choice of a person */

/* Is one of the words in the text, in any case? */
static bool
choice_says(const struct buf *text, const conf_list words)
{
    for (size_t i = 0; text->n > 0 && words[i] != NULL; i++) {
        if (words[i][0] != '\0' && strcasestr(buf_str(text), words[i]) != NULL)
            return true;
    }
    return false;
}

static enum err_code
choice_load_subject(struct flow_message *message, struct err *err)
{
    const struct conf_global *global = &message->conf->global;
    size_t count = mime_header_find_count(message->header, "Subject");
    enum err_code code = ERR_OK;

    for (size_t i = 0; code == ERR_OK && i < count && i < CHOICE_LIMIT_FIELDS; i++) {
        struct buf text = BUF_INIT(global->max_header + 1);
        struct mime_header_field field;
        unsigned flags;

        if (mime_header_find(message->header, "Subject", i, &field))
            code = mime_word_decode(field.value, &text, &flags, err);
        if (code == ERR_OK)
            policy_choice_add(&message->choice, choice_says(&text, global->subject_sign),
                              choice_says(&text, global->subject_encrypt),
                              choice_says(&text, global->subject_plain));
        buf_free(&text);
    }
    return code;
}

enum err_code
flow_choice_load(struct flow_message *message, struct err *err)
{
    const struct conf_global *global = &message->conf->global;
    struct mime_header_field field;

    if (message->direction != CONF_DIRECTION_OUT)
        return ERR_OK;
    for (size_t k = 0; global->choice_headers[k] != NULL; k++) {
        const char *name = global->choice_headers[k];
        size_t count = mime_header_find_count(message->header, name);

        for (size_t i = 0; i < count; i++) {
            if (mime_header_find(message->header, name, i, &field))
                policy_choice_parse(field.value, &message->choice);
        }
    }
    if (global->choice_sensitivity && mime_header_find(message->header, "Sensitivity", 0, &field) &&
        span_equal_nocase(span_trim(field.value), "company-confidential"))
        policy_choice_add(&message->choice, false, true, false);
    return choice_load_subject(message, err);
}

/* Takes all of `words` out of `now`; `next` is room to work in. */
static enum err_code
choice_remove(const conf_list words, struct buf *now, struct buf *next, bool *any, struct err *err)
{
    enum err_code code = ERR_OK;

    for (size_t i = 0; code == ERR_OK && words[i] != NULL; i++) {
        bool removed = false;

        if (words[i][0] == '\0')
            continue;
        buf_reset(next);
        code = mime_word_remove(buf_span(now), words[i], next, &removed, err);
        if (code != ERR_OK || !removed)
            continue;
        *any = true;
        buf_reset(now);
        code = buf_append(now, buf_span(next), err);
    }
    return code;
}

/* One Subject without the words; nothing where none was in it. */
static enum err_code
choice_edit_subject(struct flow_message *message, size_t index, struct err *err)
{
    const struct conf_global *global = &message->conf->global;
    const conf_list lists[] = { global->subject_encrypt, global->subject_sign,
                                global->subject_plain };
    struct buf now = BUF_INIT(global->max_header + 1), next = BUF_INIT(global->max_header + 1);
    struct mime_header_field field;
    bool any = false;
    enum err_code code = ERR_OK;

    if (!mime_header_find(message->header, "Subject", index, &field))
        return ERR_OK;
    code = buf_append(&now, field.value, err);
    for (size_t i = 0; code == ERR_OK && i < sizeof lists / sizeof lists[0]; i++)
        code = choice_remove(lists[i], &now, &next, &any, err);
    /* An empty value would be a deletion. */
    if (code == ERR_OK && any)
        code = flow_edits_add(&message->edits, FLOW_EDIT_CHANGE_HEADER, "Subject",
                              now.n > 0 ? buf_str(&now) : " ", (unsigned)index + 1, err);
    buf_free(&now);
    buf_free(&next);
    return code;
}

enum err_code
flow_choice_edit(struct flow_message *message, struct err *err)
{
    const conf_list names = message->conf->global.choice_headers;
    size_t subjects = mime_header_find_count(message->header, "Subject");
    enum err_code code = ERR_OK;

    for (size_t k = 0; code == ERR_OK && names[k] != NULL; k++) {
        for (size_t i = mime_header_find_count(message->header, names[k]); code == ERR_OK && i > 0;
             i--)
            code = flow_edits_add(&message->edits, FLOW_EDIT_DELETE_HEADER, names[k], NULL,
                                  (unsigned)i, err);
    }
    for (size_t i = 0; code == ERR_OK && policy_choice_is_made(&message->choice) && i < subjects &&
                       i < CHOICE_LIMIT_FIELDS;
         i++)
        code = choice_edit_subject(message, i, err);
    return code;
}
