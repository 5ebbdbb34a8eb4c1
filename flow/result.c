#include "flow/result.h"

#include <stdio.h>
#include <string.h>

enum {
    RESULT_LIMIT_PROPERTY = 600, /* far below the 998 of a line, RFC 5322 2.1.1 */
    RESULT_LIMIT_ADDRESS = 320,  /* RFC 5321 4.5.3.1: 64 + 1 + 255 */
    RESULT_COLUMNS = 76
};

/* RFC 2045 5.1: what may stand without quotes. */
static bool
result_is_token(const char *text)
{
    const char *c;

    for (c = text; *c; c++) {
        if (*c <= ' ' || *c >= 127 || strchr("()<>@,;:\\\"/[]?=", *c))
            return false;
    }
    return c > text;
}

/* RFC 8601 2.2 lets a mailbox stand without quotes in a property: dot-atoms around one '@'. */
static bool
result_is_mailbox(const char *text)
{
    const char *at = strchr(text, '@'), *c;

    if (!at || at == text || strchr(at + 1, '@'))
        return false;
    for (c = text; *c; c++) {
        bool alnum =
            (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9');

        if (!alnum && c != at && !strchr(".-_+", *c))
            return false;
    }
    return at[1] != 0;
}

static bool
result_is_ascii(const char *text)
{
    for (; *text; text++) {
        if (*text < ' ' || *text >= 127)
            return false;
    }
    return true;
}

/* A quoted-string. Bytes that are no printable ASCII become the escape of RFC 4514 2.4 (a
 * backslash, which the quoted-string doubles, and two hex digits). */
static enum err_code
result_append_quoted(struct buf *out, const char *text, struct err *err)
{
    enum err_code code = buf_append_byte(out, '"', err);

    for (; code == ERR_OK && *text; text++) {
        unsigned char c = (unsigned char)*text;

        if (c < ' ' || c >= 127)
            code = buf_appendf(out, err, "\\\\%02X", c);
        else if (c == '"' || c == '\\')
            code = buf_appendf(out, err, "\\%c", c);
        else
            code = buf_append_byte(out, c, err);
    }
    if (code == ERR_OK)
        code = buf_append_byte(out, '"', err);
    return code;
}

/* What a comment may hold. Parentheses and backslashes would have to be escaped, which half of the
 * readers get wrong. In ';' and '=' the names of certificates and the addresses of strangers would
 * write "smime=pass" for a reader that only searches the field. */
static unsigned char
result_comment_byte(unsigned char c)
{
    if (c == ';')
        return ',';
    if (c == '=')
        return ':';
    return c <= ' ' || c >= 127 || strchr("()\\", c) ? '?' : c;
}

/* A comment of words, folded between them. */
static enum err_code
result_append_comment(struct buf *out, size_t column, const char *text, struct err *err)
{
    enum err_code code = buf_append_byte(out, '(', err);

    for (column++; code == ERR_OK && *text;) {
        size_t word = strcspn(text, " ");
        size_t i;

        for (i = 0; code == ERR_OK && i < word; i++)
            code = buf_append_byte(out, result_comment_byte((unsigned char)text[i]), err);
        column += word;
        text += word;
        text += strspn(text, " ");
        if (code != ERR_OK || !*text)
            break;
        if (column + 1 + strcspn(text, " ") > RESULT_COLUMNS) {
            code = buf_append_str(out, "\n\t", err);
            column = 8;
        } else {
            code = buf_append_byte(out, ' ', err);
            column++;
        }
    }
    if (code == ERR_OK)
        code = buf_append_byte(out, ')', err);
    return code;
}

static enum err_code
result_append_signer(struct buf *out, const struct flow_verification_signer *signer,
                     struct err *err)
{
    enum err_code code = ERR_OK;

    if (signer->identifier[0] && strlen(signer->identifier) <= RESULT_LIMIT_ADDRESS &&
        result_is_ascii(signer->identifier)) {
        code = buf_append_str(out, "\n\tbody.smime-identifier=", err);
        if (code == ERR_OK && result_is_mailbox(signer->identifier))
            code = buf_append_str(out, signer->identifier, err);
        else if (code == ERR_OK)
            code = result_append_quoted(out, signer->identifier, err);
    }
    /* Both or neither; a name that is too long is not cut: it would name another issuer. */
    if (code != ERR_OK || !signer->serial[0] || !signer->issuer[0] ||
        strlen(signer->issuer) > RESULT_LIMIT_PROPERTY / 4)
        return code;
    code = buf_appendf(out, err, "\n\tbody.smime-serial=%s\n\tbody.smime-issuer=", signer->serial);
    if (code == ERR_OK)
        code = result_append_quoted(out, signer->issuer, err);
    return code;
}

/* Of mail without a signature there is something to say only where it was to be decrypted. */
static bool
result_has_reason(const struct flow_verification_result *result)
{
    return result->verdict.result != POLICY_RESULT_NONE || flow_result_is_wanted(result);
}

bool
flow_result_is_wanted(const struct flow_verification_result *result)
{
    const char *reason = result->verdict.reason;

    return strcmp(reason, "not-decrypted") == 0 || strcmp(reason, "decrypted") == 0 ||
           strcmp(reason, "decrypted-unproven") == 0;
}

enum err_code
flow_result_format(const char *authserv_id, const struct flow_verification_result *result,
                   struct buf *out, struct err *err)
{
    const char *name = policy_result_name(result->verdict.result);
    char comment[512], method[64];
    enum err_code code;

    code = result_is_token(authserv_id) ? buf_append_str(out, authserv_id, err)
                                        : result_append_quoted(out, authserv_id, err);
    if (code == ERR_OK) {
        snprintf(method, sizeof(method), "smime=%s", name);
        code = buf_appendf(out, err, ";\n\t%s", method);
    }
    if (code != ERR_OK || !result_has_reason(result))
        return code;
    if (result->verdict.result == POLICY_RESULT_PASS || !result->text[0])
        snprintf(comment, sizeof(comment), "%s", result->verdict.reason);
    else
        snprintf(comment, sizeof(comment), "%s: %s", result->verdict.reason, result->text);
    code = buf_append_byte(out, ' ', err);
    if (code == ERR_OK)
        code = result_append_comment(out, 8 + strlen(method) + 1, comment, err);
    if (code == ERR_OK && result->verdict.result == POLICY_RESULT_PASS && result->signer)
        code = result_append_signer(out, result->signer, err);
    return code;
}
