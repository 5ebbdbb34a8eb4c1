#include "flow/forged.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "mime/address.h"

static const char field_name[] = "Authentication-Results";

enum { FORGED_NAME_SIZE = 1024 };

/* A host name in the one form it is compared in: no trailing dot, A-labels in lower case; what is
 * no host name at all in lower case. "": longer than any name of ours. */
static enum err_code
forged_normalise(struct span name, char *out, struct err *err)
{
    char address[FORGED_NAME_SIZE + 2], formatted[MIME_ADDRESS_SIZE];
    struct err found = ERR_INIT;
    enum err_code code;
    size_t i;

    out[0] = 0;
    while (name.n > 0 && name.p[name.n - 1] == '.')
        name.n--;
    if (name.n == 0 || name.n >= FORGED_NAME_SIZE || memchr(name.p, 0, name.n))
        return ERR_OK;
    snprintf(address, sizeof(address), "x@%.*s", SPAN_ARG(name));
    code = mime_address_format(span_str(address), formatted, &found);
    if (code == ERR_OK) {
        snprintf(out, FORGED_NAME_SIZE, "%s", strrchr(formatted, '@') + 1);
        return ERR_OK;
    }
    if (code != ERR_PERM && code != ERR_LIMIT)
        return err_set(err, code, "%s", found.text);
    for (i = 0; i < name.n; i++) {
        unsigned char c = name.p[i];

        out[i] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
    }
    out[name.n] = 0;
    return ERR_OK;
}

/* Position behind a comment that starts at `at`; nested ones and escapes as RFC 5322 3.2.2 has it.
 */
static size_t
forged_skip_comment(struct span text, size_t at)
{
    size_t depth = 0;

    for (; at < text.n; at++) {
        if (text.p[at] == '\\')
            at++;
        else if (text.p[at] == '(')
            depth++;
        else if (text.p[at] == ')' && --depth == 0)
            return at + 1;
    }
    return text.n;
}

/* Copies a quoted string without its quotes and escapes; position behind it. */
static size_t
forged_read_quoted(struct span text, size_t at, char *word, size_t *length)
{
    *length = 0;
    for (at++; at < text.n && text.p[at] != '"'; at++) {
        if (text.p[at] == '\\' && at + 1 < text.n)
            at++;
        if (*length < FORGED_NAME_SIZE)
            word[(*length)++] = (char)text.p[at];
    }
    return at < text.n ? at + 1 : text.n;
}

static bool
forged_ends_word(unsigned char c)
{
    return c <= ' ' || c == 127 || strchr("()<>@,;:\\\"/[]?=", c) != NULL;
}

static size_t
forged_read_word(struct span text, size_t at, char *word, size_t *length)
{
    *length = 0;
    for (; at < text.n && !forged_ends_word(text.p[at]); at++) {
        if (*length < FORGED_NAME_SIZE)
            word[(*length)++] = (char)text.p[at];
    }
    return at;
}

/* The next word of the segment that names the authserv-id; false at its end. A segment without any
 * word ("; mail.example.org; ...") is passed over: some readers do. */
static bool
forged_next_word(struct span text, size_t *at, bool *seen, char *word, size_t *length)
{
    while (*at < text.n) {
        unsigned char c = text.p[*at];

        if (c == ';' && *seen)
            return false;
        if (c == '(') {
            *at = forged_skip_comment(text, *at);
        } else if (c == '"') {
            *at = forged_read_quoted(text, *at, word, length);
            *seen = true;
            return true;
        } else if (forged_ends_word(c)) {
            (*at)++;
        } else {
            *at = forged_read_word(text, *at, word, length);
            *seen = true;
            return true;
        }
    }
    return false;
}

static enum err_code
forged_is_name(struct span text, const char *wanted, bool *same, struct err *err)
{
    char name[FORGED_NAME_SIZE];
    enum err_code code = forged_normalise(text, name, err);

    *same = code == ERR_OK && name[0] && strcmp(name, wanted) == 0;
    return code;
}

/* The first word once more, of its printable ASCII alone. */
static enum err_code
forged_check_visible(struct span text, const char *wanted, bool *named, struct err *err)
{
    char word[FORGED_NAME_SIZE];
    size_t at = 0, length = 0, used = 0, i;
    bool seen = false;

    if (!forged_next_word(text, &at, &seen, word, &length))
        return ERR_OK;
    for (i = 0; i < length; i++) {
        if (word[i] > ' ' && word[i] < 127)
            word[used++] = word[i];
    }
    return used < length ? forged_is_name(span_of(word, used), wanted, named, err) : ERR_OK;
}

static enum err_code
forged_check_segment(struct span text, const char *wanted, bool *named, struct err *err)
{
    char word[FORGED_NAME_SIZE];
    size_t at = 0, length = 0;
    bool seen = false;
    enum err_code code = ERR_OK;

    while (code == ERR_OK && !*named && forged_next_word(text, &at, &seen, word, &length))
        code = forged_is_name(span_of(word, length), wanted, named, err);
    if (code != ERR_OK || *named)
        return code;
    /* Readers drop or trim what they cannot see: U+00A0 in front of our id is our id to them. */
    code = forged_check_visible(text, wanted, named, err);
    if (code != ERR_OK || *named)
        return code;
    /* An id of ours that is no host name may hold characters that end a word above. */
    text.n = span_find(text, ';');
    return forged_is_name(span_trim(text), wanted, named, err);
}

enum err_code
flow_forged_check(struct span value, const char *authserv_id, bool *forged, struct err *err)
{
    struct buf text = BUF_INIT(MIME_HEADER_LIMIT_BYTES * 2);
    char wanted[FORGED_NAME_SIZE];
    enum err_code code;

    *forged = false;
    code = forged_normalise(span_str(authserv_id), wanted, err);
    if (code == ERR_OK)
        code = mime_header_unfold(value, &text, err);
    if (code == ERR_OK)
        code = forged_check_segment(buf_span(&text), wanted, forged, err);
    buf_free(&text);
    return code;
}

enum err_code
flow_forged_find(const struct mime_header *header, const char *authserv_id,
                 struct flow_edits *edits, size_t *count, struct err *err)
{
    size_t i = mime_header_find_count(header, field_name);
    struct mime_header_field field;
    enum err_code code;
    bool forged;

    for (*count = 0; i > 0; i--) {
        if (!mime_header_find(header, field_name, i - 1, &field))
            continue;
        code = flow_forged_check(field.value, authserv_id, &forged, err);
        if (code == ERR_OK && forged) {
            code =
                flow_edits_add(edits, FLOW_EDIT_DELETE_HEADER, field_name, NULL, (unsigned)i, err);
            (*count)++;
        }
        if (code != ERR_OK)
            return code;
    }
    return ERR_OK;
}
