#include "flow/notice.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flow/notice_template.h"
#include "mime/address.h"
#include "mime/base64.h"
#include "mime/local.h"
#include "mime/qp.h"
#include "util/random.h"

enum { WORD_OCTETS = 45 /* 60 characters of base64 in a word of 75, RFC 2047 2 */ };

enum value {
    VALUE_HOST,
    VALUE_ADDRESS,
    VALUE_SERIAL,
    VALUE_DATE,
    VALUE_DAYS,
    VALUE_RECIPIENTS,
    VALUE_SUBJECT,
    VALUE_MESSAGE_ID,
    VALUE_QUEUE_ID,
    VALUES,
};

/* In the order of enum value; "" is no name of that kind. */
static const char *const names[FLOW_NOTICE_KINDS][VALUES + 1] = {
    [FLOW_NOTICE_EXPIRES] = { "host", "address", "serial", "date", "days", "", "", "", "", NULL },
    [FLOW_NOTICE_ARRIVED] = { "host", "address", "serial", "date", "", "", "", "", "", NULL },
    [FLOW_NOTICE_REMOVED] = { "host", "", "", "", "", "recipients", "subject", "message_id",
                              "queue_id", NULL },
    [FLOW_NOTICE_REFUSED] = { "host", "", "", "", "", "recipients", "subject", "message_id",
                              "queue_id", NULL },
};

static const char *const files[FLOW_NOTICE_KINDS] = {
    [FLOW_NOTICE_EXPIRES] = "expires.txt",
    [FLOW_NOTICE_ARRIVED] = "arrived.txt",
    [FLOW_NOTICE_REMOVED] = "removed.txt",
    [FLOW_NOTICE_REFUSED] = "refused.txt",
};

struct flow_notices {
    struct flow_notice_template templates[FLOW_NOTICE_KINDS];
};

enum err_code
flow_notice_load(const char *folder, struct flow_notices **out, struct err *err)
{
    struct flow_notices *notices = calloc(1, sizeof *notices);
    enum err_code code = ERR_OK;
    char path[4096];

    *out = NULL;
    if (!notices)
        return err_set(err, ERR_NOMEM, "no memory for the templates of notices");
    for (int kind = 0; code == ERR_OK && kind < FLOW_NOTICE_KINDS; kind++) {
        if (snprintf(path, sizeof path, "%s/%s", folder, files[kind]) >= (int)sizeof path)
            code = err_set(err, ERR_PERM, "the name of the folder of notices is too long");
        else
            code = flow_notice_template_load(path, FLOW_NOTICE_TEMPLATE_BYTES, names[kind],
                                             &notices->templates[kind], err);
    }
    if (code != ERR_OK)
        flow_notice_free(&notices);
    *out = notices;
    return code;
}

void
flow_notice_free(struct flow_notices **notices)
{
    for (int kind = 0; *notices && kind < FLOW_NOTICE_KINDS; kind++)
        flow_notice_template_free(&(*notices)->templates[kind]);
    free(*notices);
    *notices = NULL;
}

/* ---- values ------------------------------------------------------------------------------------
 */

/* What a stranger wrote, as text of one line: UTF-8 without control characters, cut. */
static enum err_code
value_append(const char *text, struct buf *out, struct err *err)
{
    size_t n = strlen(text), cut = n;
    bool readable;

    if (n > FLOW_NOTICE_VALUE_BYTES) {
        for (cut = FLOW_NOTICE_VALUE_BYTES; cut > 0 && ((unsigned char)text[cut] & 0xc0) == 0x80;)
            cut--;
    }
    readable = mime_local_is_utf8(span_of(text, cut));
    for (size_t i = 0; i < cut; i++) {
        unsigned char c = (unsigned char)text[i];
        /* U+0080 to U+009F are control characters too. */
        bool is_c1 = c == 0xc2 && i + 1 < cut && (unsigned char)text[i + 1] < 0xa0;

        if (c < ' ' || c == 0x7f || is_c1 || (c > 0x7f && !readable))
            c = c < ' ' ? ' ' : '?';
        if (buf_append_byte(out, c, err) != ERR_OK)
            return err->code;
        i += is_c1;
    }
    return cut < n ? buf_append_str(out, "...", err) : ERR_OK;
}

static enum err_code
recipients_append(const struct flow_notice *notice, struct buf *out, struct err *err)
{
    for (size_t i = 0; i < notice->count; i++) {
        const struct flow_notice_recipient *one = &notice->recipients[i];

        if (buf_append_str(out, i > 0 ? "\n  " : "  ", err) != ERR_OK ||
            value_append(one->address, out, err) != ERR_OK ||
            buf_append_str(out, ": ", err) != ERR_OK ||
            value_append(one->reason ? one->reason : "", out, err) != ERR_OK)
            return err->code;
    }
    return ERR_OK;
}

struct values {
    struct buf bufs[VALUES];
    const char *text[VALUES];
};

static void
values_free(struct values *values)
{
    for (int i = 0; i < VALUES; i++)
        buf_free(&values->bufs[i]);
}

static enum err_code
values_set(struct values *values, const struct flow_notice *notice, struct err *err)
{
    const char *const given[VALUES] = {
        [VALUE_HOST] = notice->host,
        [VALUE_ADDRESS] = notice->address,
        [VALUE_SERIAL] = notice->serial,
        [VALUE_DATE] = notice->date,
        [VALUE_DAYS] = notice->days,
        [VALUE_SUBJECT] = notice->subject,
        [VALUE_MESSAGE_ID] = notice->message_id,
        [VALUE_QUEUE_ID] = notice->queue_id,
    };
    enum err_code code = ERR_OK;

    for (int i = 0; code == ERR_OK && i < VALUES; i++) {
        buf_init(&values->bufs[i], FLOW_NOTICE_BYTES);
        code = i == VALUE_RECIPIENTS
                   ? recipients_append(notice, &values->bufs[i], err)
                   : value_append(given[i] ? given[i] : "", &values->bufs[i], err);
        values->text[i] = buf_str(&values->bufs[i]);
    }
    return code;
}

/* ---- the header --------------------------------------------------------------------------------
 */

static bool
is_plain(struct span text)
{
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] < ' ' || text.p[i] > '~')
            return false;
    }
    /* What looks like an encoded word would be decoded. */
    return !memmem(text.p, text.n, "=?", 2);
}

/* One field of text; encoded words where it is not plain, each of whole characters. */
static enum err_code
subject_append(struct span text, struct buf *out, struct err *err)
{
    enum err_code code = buf_append_str(out, "Subject: ", err);

    if (is_plain(text)) {
        if (code == ERR_OK)
            code = buf_append(out, text, err);
        text.n = 0;
    }
    while (code == ERR_OK && text.n > 0) {
        size_t n = text.n < WORD_OCTETS ? text.n : WORD_OCTETS;

        while (n < text.n && n > 0 && (text.p[n] & 0xc0) == 0x80)
            n--;
        code = buf_append_str(out, "=?UTF-8?B?", err);
        if (code == ERR_OK)
            code = mime_base64_format(span_of(text.p, n), out, err);
        text = span_from(text, n);
        if (code == ERR_OK)
            code = buf_append_str(out, text.n > 0 ? "?=\r\n " : "?=", err);
    }
    return code == ERR_OK ? buf_append_str(out, "\r\n", err) : code;
}

/* RFC 5322 3.3, in UTC, whatever the locale. */
static enum err_code
date_append(time_t now, struct buf *out, struct err *err)
{
    static const char days[][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
    static const char months[][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
    struct tm tm;

    if (!gmtime_r(&now, &tm))
        return err_set(err, ERR_BUG, "no such time");
    return buf_appendf(out, err, "Date: %s, %d %s %d %02d:%02d:%02d +0000\r\n", days[tm.tm_wday],
                       tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min,
                       tm.tm_sec);
}

/* An address that stands in a header of ours. SMTPUTF8 is not asked for: ASCII alone. */
static enum err_code
address_check(const char *address, struct err *err)
{
    char formatted[MIME_ADDRESS_SIZE];
    struct err why = ERR_INIT;

    if (!address || !is_plain(span_str(address)) || strpbrk(address, " <>,;:\"()[]\\") ||
        mime_address_format(span_str(address), formatted, &why) != ERR_OK)
        return err_set(err, ERR_PERM, "not an address that a notice can be written to");
    return ERR_OK;
}

/* "<...@...>" and nothing else: it came with the message. */
static bool
is_message_id(const char *text)
{
    size_t n = text ? strlen(text) : 0;

    return n > 4 && n <= FLOW_NOTICE_VALUE_BYTES && text[0] == '<' && text[n - 1] == '>' &&
           is_plain(span_str(text)) && strcspn(text + 1, "<> ") == n - 2;
}

static enum err_code
header_append(const struct flow_notice *notice, struct span subject, struct buf *out,
              struct err *err)
{
    char unique[33];
    enum err_code code;

    if ((code = address_check(notice->from, err)) != ERR_OK ||
        (code = address_check(notice->to, err)) != ERR_OK ||
        (code = random_get_hex(unique, 16, err)) != ERR_OK ||
        (code = buf_appendf(out, err, "From: S/MIME gateway <%s>\r\nTo: <%s>\r\n", notice->from,
                            notice->to)) != ERR_OK ||
        (code = subject_append(subject, out, err)) != ERR_OK ||
        (code = date_append(notice->now, out, err)) != ERR_OK ||
        (code = buf_appendf(out, err, "Message-ID: <%s@%s>\r\n", unique,
                            strchr(notice->from, '@') + 1)) != ERR_OK)
        return code;
    if (is_message_id(notice->reference) &&
        (code = buf_appendf(out, err, "In-Reply-To: %s\r\nReferences: %s\r\n", notice->reference,
                            notice->reference)) != ERR_OK)
        return code;
    return buf_append_str(out,
                          "Auto-Submitted: auto-generated\r\n"
                          "MIME-Version: 1.0\r\n"
                          "Content-Type: text/plain; charset=utf-8\r\n"
                          "Content-Transfer-Encoding: quoted-printable\r\n\r\n",
                          err);
}

/* ---- the letter --------------------------------------------------------------------------------
 */

static enum err_code
body_append(struct span text, struct buf *out, struct err *err)
{
    struct stage *sink = NULL, *encoder = NULL;
    enum err_code code = stage_buf_new(out, &sink, err);

    if (code == ERR_OK) {
        code = mime_qp_encode_new(MIME_QP_TEXT, sink, &encoder, err);
        if (code == ERR_OK)
            sink = NULL;
    }
    if (code == ERR_OK)
        code = stage_write(encoder, text, err);
    if (code == ERR_OK)
        code = stage_finish(encoder, err);
    stage_free(&encoder);
    stage_free(&sink);
    return code;
}

enum err_code
flow_notice_format(const struct flow_notices *notices, const struct flow_notice *notice,
                   struct buf *out, struct err *err)
{
    const struct flow_notice_template *template = &notices->templates[notice->kind];
    struct values values = { .text = { NULL } };
    struct buf subject = BUF_INIT(FLOW_NOTICE_BYTES), text = BUF_INIT(FLOW_NOTICE_BYTES);
    enum err_code code = values_set(&values, notice, err);

    if (code == ERR_OK)
        code = flow_notice_template_format(template, true, values.text, &subject, err);
    if (code == ERR_OK)
        code = flow_notice_template_format(template, false, values.text, &text, err);
    if (code == ERR_OK)
        code = header_append(notice, buf_span(&subject), out, err);
    if (code == ERR_OK)
        code = body_append(buf_span(&text), out, err);
    buf_free(&text);
    buf_free(&subject);
    values_free(&values);
    return code;
}

/* ---- to whom none is written -------------------------------------------------------------------
 */

static bool
value_is(const struct mime_header_field *field, const char *word)
{
    struct span value = span_trim(field->value);

    /* Parameters and comments may follow. */
    return span_starts_nocase(value, word) &&
           (value.n == strlen(word) || strchr("; \t(", value.p[strlen(word)]));
}

bool
flow_notice_may_answer(const char *envelope_sender, const struct mime_header *header)
{
    static const char *const of_lists[] = { "List-Id", "List-Unsubscribe", "List-Post",
                                            "X-Auto-Response-Suppress", "X-Loop" };
    static const char *const bulk[] = { "bulk", "list", "junk" };
    struct mime_header_field field;

    if (!envelope_sender || !envelope_sender[0])
        return false;
    for (size_t i = 0; i < sizeof of_lists / sizeof *of_lists; i++) {
        if (mime_header_find(header, of_lists[i], 0, &field))
            return false;
    }
    for (size_t i = 0; mime_header_find(header, "Auto-Submitted", i, &field); i++) {
        if (!value_is(&field, "no"))
            return false;
    }
    for (size_t i = 0; mime_header_find(header, "Precedence", i, &field); i++) {
        for (size_t j = 0; j < sizeof bulk / sizeof *bulk; j++) {
            if (value_is(&field, bulk[j]))
                return false;
        }
    }
    for (size_t i = 0; mime_header_find(header, "Content-Type", i, &field); i++) {
        if (value_is(&field, "multipart/report"))
            return false;
    }
    return true;
}
