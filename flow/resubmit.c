#include "flow/resubmit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flow/link.h"
#include "flow/reply.h"

enum { RESUBMIT_VALUE_BYTES = 1000 };

enum resubmit_phase { PHASE_ENVELOPE, PHASE_CONTENT, PHASE_FINISHED, PHASE_CLOSED };

struct flow_resubmit {
    struct flow_link link;
    struct err failed; /* the first error; then nothing goes on */
    enum resubmit_phase phase;
    unsigned accepted; /* recipients */
    bool has_8bit, has_utf8, has_dsn;
    bool is_utf8;
    unsigned char last[2]; /* of the content, to see line ends across pieces */
};

/* ---- what the peer says ------------------------------------------------------------------------
 */

/* RFC 2034: "250 2.1.5 Ok". */
static void
reply_set_enhanced(struct flow_resubmit_reply *reply, const char *text)
{
    size_t n = strspn(text, "0123456789.");

    reply->enhanced[0] = '\0';
    if (n < 5 || n >= sizeof reply->enhanced || text[1] != '.' || (text[n] != ' ' && text[n]))
        return;
    memcpy(reply->enhanced, text, n);
    reply->enhanced[n] = '\0';
}

/* "250-text" or "250 text"; 0 is no reply line. */
static int
reply_parse_code(const char *line, size_t n)
{
    if (n < 3 || line[0] < '2' || line[0] > '5' || line[1] < '0' || line[1] > '9' ||
        line[2] < '0' || line[2] > '9' || (n > 3 && line[3] != ' ' && line[3] != '-'))
        return 0;
    return (line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0');
}

typedef void reply_line_fn(struct flow_resubmit *resubmit, const char *text);

/* Reads one reply; `each` (may be NULL) sees the text of every line. */
static enum err_code
reply_read(struct flow_resubmit *resubmit, struct flow_resubmit_reply *reply, reply_line_fn *each,
           struct err *err)
{
    char line[FLOW_RESUBMIT_LINE_BYTES + 2], raw[sizeof reply->text] = "";
    size_t n = 0, used = 0;

    *reply = (struct flow_resubmit_reply){ .code = 0 };
    for (unsigned i = 0; i < FLOW_RESUBMIT_LINES; i++) {
        struct err why = ERR_INIT;
        int said;

        if (flow_link_read_line(&resubmit->link, line, sizeof line, &n, &why) == ERR_LIMIT)
            return err_set_reason(err, ERR_TEMP, "resubmit-broken", "%s", why.text);
        if (why.code != ERR_OK)
            return err_set_reason(err, why.code, why.reason, "%s", why.text);
        said = memchr(line, '\0', n) ? 0 : reply_parse_code(line, n);
        if (said == 0 || (i > 0 && said != reply->code))
            return err_set_reason(err, ERR_TEMP, "resubmit-broken", "the peer does not speak SMTP");
        reply->code = said;
        if (i == 0 && n > 4)
            reply_set_enhanced(reply, line + 4);
        if (n > 4 && used + 1 < sizeof raw) {
            int added = snprintf(raw + used, sizeof raw - used, "%s%s", used ? " " : "", line + 4);
            used += added > 0 ? (size_t)added : 0;
        }
        if (each)
            each(resubmit, n > 4 ? line + 4 : "");
        if (n == 3 || line[3] == ' ') {
            flow_reply_text(raw, reply->text, sizeof reply->text);
            return ERR_OK;
        }
    }
    return err_set_reason(err, ERR_TEMP, "resubmit-broken", "a reply without an end");
}

static void
note_extension(struct flow_resubmit *resubmit, const char *text)
{
    struct span keyword = span_of(text, strcspn(text, " "));

    resubmit->has_8bit |= span_equal_nocase(keyword, "8BITMIME");
    resubmit->has_utf8 |= span_equal_nocase(keyword, "SMTPUTF8");
    resubmit->has_dsn |= span_equal_nocase(keyword, "DSN");
}

/* ---- what we say -------------------------------------------------------------------------------
 */

/* Every failure that ends the transaction. */
static enum err_code
resubmit_fail(struct flow_resubmit *resubmit, const struct err *why, struct err *err)
{
    if (resubmit->failed.code == ERR_OK)
        resubmit->failed = *why;
    return err_set_reason(err, why->code, why->reason, "%s", why->text);
}

static enum err_code
ask(struct flow_resubmit *resubmit, const char *command, struct flow_resubmit_reply *reply,
    reply_line_fn *each, struct err *err)
{
    if (flow_link_write(&resubmit->link, span_str(command), err) != ERR_OK ||
        flow_link_write(&resubmit->link, span_str("\r\n"), err) != ERR_OK ||
        flow_link_flush(&resubmit->link, err) != ERR_OK)
        return err->code;
    return reply_read(resubmit, reply, each, err);
}

static enum err_code
refused(const char *what, const struct flow_resubmit_reply *reply, struct err *err)
{
    return err_set_reason(err, reply->code >= 500 ? ERR_PERM : ERR_TEMP, "resubmit-refused",
                          "%s: %d %.300s", what, reply->code, reply->text);
}

/* The peer talks to nobody, or not to us: no fault of the message. */
static enum err_code
unwilling(const char *what, const struct flow_resubmit_reply *reply, struct err *err)
{
    return err_set_reason(err, ERR_TEMP, "resubmit-unwilling", "%s: %d %.300s", what, reply->code,
                          reply->text);
}

/* A path may hold neither what ends it nor what ends the command (RFC 5321 4.1.2; a quoted local
 * part may hold blanks, and ">" too: such addresses are not ours to send). */
static bool
is_path(const char *address, bool may_be_utf8)
{
    for (const unsigned char *p = (const unsigned char *)address; *p; p++) {
        if (*p <= ' ' || *p == 0x7f || *p == '<' || *p == '>' || (*p > 0x7f && !may_be_utf8))
            return false;
    }
    return strlen(address) <= RESUBMIT_VALUE_BYTES;
}

/* Appends those of `parameters` whose keyword is in `keywords` ("|RET|ENVID|"). */
static enum err_code
append_parameters(char *command, size_t size, const char *parameters, const char *keywords,
                  struct err *err)
{
    for (const char *p = parameters ? parameters : ""; *p;) {
        size_t n = strcspn(p, " "), keyword_n = strcspn(p, "= ");
        char keyword[16];
        size_t used = strlen(command);

        if (keyword_n > 0 && keyword_n < sizeof keyword - 2) {
            keyword[0] = '|';
            for (size_t i = 0; i < keyword_n; i++)
                keyword[i + 1] = (char)(p[i] >= 'a' && p[i] <= 'z' ? p[i] - 32 : p[i]);
            keyword[keyword_n + 1] = '|';
            keyword[keyword_n + 2] = '\0';
            if (strstr(keywords, keyword)) {
                for (size_t i = 0; i < n; i++) {
                    if ((unsigned char)p[i] <= ' ' || p[i] == 0x7f)
                        return err_set(err, ERR_PERM, "a control character in %.20s", keyword);
                }
                if (used + 1 + n >= size)
                    return err_set(err, ERR_PERM, "the parameters are too long for a command");
                command[used] = ' ';
                memcpy(command + used + 1, p, n);
                command[used + 1 + n] = '\0';
            }
        }
        p += n;
        p += strspn(p, " ");
    }
    return ERR_OK;
}

static enum err_code
say_mail(struct flow_resubmit *resubmit, const struct flow_resubmit_args *args,
         struct flow_resubmit_reply *reply, struct err *err)
{
    char command[FLOW_RESUBMIT_COMMAND_BYTES];

    if (args->is_utf8 && !resubmit->has_utf8)
        return err_set_reason(err, ERR_PERM, "resubmit-smtputf8",
                              "the peer offers no SMTPUTF8, which the message needs");
    if (args->is_8bit && !resubmit->has_8bit)
        return err_set_reason(err, ERR_PERM, "resubmit-8bitmime",
                              "the peer offers no 8BITMIME, which the message needs");
    if (!is_path(args->sender, args->is_utf8))
        return err_set(err, ERR_PERM, "the sender cannot be said in SMTP");
    snprintf(command, sizeof command, "MAIL FROM:<%s>%s%s", args->sender,
             args->is_8bit ? " BODY=8BITMIME" : "", args->is_utf8 ? " SMTPUTF8" : "");
    if (resubmit->has_dsn &&
        append_parameters(command, sizeof command, args->parameters, "|RET|ENVID|", err) != ERR_OK)
        return err->code;
    if (ask(resubmit, command, reply, NULL, err) != ERR_OK)
        return err->code;
    return reply->code / 100 == 2 ? ERR_OK : refused("MAIL", reply, err);
}

static enum err_code
say_hello(struct flow_resubmit *resubmit, const char *helo, struct flow_resubmit_reply *reply,
          struct err *err)
{
    char command[FLOW_RESUBMIT_COMMAND_BYTES];

    if (reply_read(resubmit, reply, NULL, err) != ERR_OK)
        return err->code;
    if (reply->code != 220)
        return unwilling("greeting", reply, err);
    if (!is_path(helo, false))
        return err_set(err, ERR_PERM, "our own name cannot be said in SMTP");
    snprintf(command, sizeof command, "EHLO %s", helo);
    if (ask(resubmit, command, reply, note_extension, err) != ERR_OK)
        return err->code;
    return reply->code == 250 ? ERR_OK : unwilling("EHLO", reply, err);
}

enum err_code
flow_resubmit_new(const struct flow_resubmit_args *args, struct flow_resubmit **out,
                  struct flow_resubmit_reply *reply, struct err *err)
{
    struct flow_resubmit *resubmit = calloc(1, sizeof *resubmit);
    struct flow_resubmit_reply own;
    enum err_code code;

    *out = NULL;
    if (!reply)
        reply = &own;
    *reply = (struct flow_resubmit_reply){ .code = 0 };
    if (!resubmit)
        return err_set(err, ERR_NOMEM, "no memory for a connection to the MTA");
    resubmit->is_utf8 = args->is_utf8;
    code = flow_link_init(&resubmit->link, args->server, args->deadline_ms, err);
    if (code == ERR_OK)
        code = say_hello(resubmit, args->helo, reply, err);
    if (code == ERR_OK)
        code = say_mail(resubmit, args, reply, err);
    if (code != ERR_OK) {
        flow_resubmit_free(&resubmit);
        return code;
    }
    *out = resubmit;
    return ERR_OK;
}

bool
flow_resubmit_has_dsn(const struct flow_resubmit *resubmit)
{
    return resubmit->has_dsn;
}

enum err_code
flow_resubmit_add(struct flow_resubmit *resubmit, const char *recipient, const char *parameters,
                  struct flow_resubmit_reply *reply, struct err *err)
{
    char command[FLOW_RESUBMIT_COMMAND_BYTES];
    struct err why = ERR_INIT;

    *reply = (struct flow_resubmit_reply){ .code = 0 };
    if (resubmit->failed.code != ERR_OK)
        return resubmit_fail(resubmit, &resubmit->failed, err);
    if (resubmit->phase != PHASE_ENVELOPE)
        return err_set(err, ERR_BUG, "a recipient behind the envelope");
    if (!is_path(recipient, resubmit->is_utf8) || !recipient[0])
        return err_set(err, ERR_PERM, "the recipient cannot be said in SMTP");
    snprintf(command, sizeof command, "RCPT TO:<%s>", recipient);
    if (resubmit->has_dsn &&
        append_parameters(command, sizeof command, parameters, "|NOTIFY|ORCPT|", err) != ERR_OK)
        return err->code;
    if (ask(resubmit, command, reply, NULL, &why) != ERR_OK)
        return resubmit_fail(resubmit, &why, err);
    /* RFC 5321 3.8: the peer is going away, whatever the recipient. */
    if (reply->code == 421 || reply->code / 100 == 3) {
        (void)refused("RCPT", reply, &why);
        return resubmit_fail(resubmit, &why, err);
    }
    resubmit->accepted += reply->code / 100 == 2;
    return ERR_OK;
}

/* ---- the content -------------------------------------------------------------------------------
 */

struct resubmit_sink {
    struct stage stage;
    struct flow_resubmit *resubmit;
};

static enum err_code
content_write_line_part(struct flow_resubmit *resubmit, struct span part, struct err *err)
{
    bool at_start = resubmit->last[1] == '\n';

    if (at_start && part.p[0] == '.' &&
        flow_link_write(&resubmit->link, span_str("."), err) != ERR_OK)
        return err->code;
    if (flow_link_write(&resubmit->link, part, err) != ERR_OK)
        return err->code;
    if (part.n > 1)
        resubmit->last[0] = part.p[part.n - 2];
    else
        resubmit->last[0] = resubmit->last[1];
    resubmit->last[1] = part.p[part.n - 1];
    return ERR_OK;
}

/* A bare CR or LF can be read as the end of the content by a peer that is lax, and what follows as
 * commands: it never leaves. */
static bool
has_bare_newline(const struct flow_resubmit *resubmit, struct span line)
{
    unsigned char before = resubmit->last[1];

    for (size_t i = 0; i < line.n; before = line.p[i++]) {
        if ((line.p[i] == '\n') != (before == '\r'))
            return true;
    }
    return false;
}

static enum err_code
content_write(struct stage *stage, struct span piece, struct err *err)
{
    struct flow_resubmit *resubmit = ((struct resubmit_sink *)stage)->resubmit;
    struct err why = ERR_INIT;

    while (piece.n > 0) {
        size_t n = span_find(piece, '\n');
        struct span line = span_of(piece.p, n < piece.n ? n + 1 : n);

        if (has_bare_newline(resubmit, line))
            (void)err_set(&why, ERR_BUG, "a bare CR or LF in a copy");
        else
            (void)content_write_line_part(resubmit, line, &why);
        if (why.code != ERR_OK)
            return resubmit_fail(resubmit, &why, err);
        piece = span_from(piece, line.n);
    }
    return ERR_OK;
}

static enum err_code
content_finish(struct stage *stage, struct err *err)
{
    struct flow_resubmit *resubmit = ((struct resubmit_sink *)stage)->resubmit;
    struct err why = ERR_INIT;

    if (resubmit->last[1] == '\r')
        (void)err_set(&why, ERR_BUG, "a bare CR at the end of a copy");
    else if ((resubmit->last[1] == '\n' ||
              flow_link_write(&resubmit->link, span_str("\r\n"), &why) == ERR_OK) &&
             flow_link_flush(&resubmit->link, &why) == ERR_OK)
        resubmit->phase = PHASE_FINISHED;
    return why.code == ERR_OK ? ERR_OK : resubmit_fail(resubmit, &why, err);
}

static void
content_free(struct stage *stage)
{
    free(stage);
}

static const struct stage_ops content_ops = {
    .name = "resubmit",
    .write = content_write,
    .finish = content_finish,
    .free = content_free,
};

enum err_code
flow_resubmit_open(struct flow_resubmit *resubmit, struct stage **sink,
                   struct flow_resubmit_reply *reply, struct err *err)
{
    struct resubmit_sink *own;
    struct err why = ERR_INIT;

    *sink = NULL;
    *reply = (struct flow_resubmit_reply){ .code = 0 };
    if (resubmit->failed.code != ERR_OK)
        return resubmit_fail(resubmit, &resubmit->failed, err);
    if (resubmit->phase != PHASE_ENVELOPE || resubmit->accepted == 0)
        return err_set(err, ERR_BUG, "content without a recipient");
    own = calloc(1, sizeof *own);
    if (!own)
        return err_set(err, ERR_NOMEM, "no memory for a copy");
    if (ask(resubmit, "DATA", reply, NULL, &why) == ERR_OK && reply->code != 354)
        (void)refused("DATA", reply, &why);
    if (why.code != ERR_OK) {
        free(own);
        return resubmit_fail(resubmit, &why, err);
    }
    stage_init(&own->stage, &content_ops, NULL);
    own->resubmit = resubmit;
    resubmit->phase = PHASE_CONTENT;
    resubmit->last[0] = '\r';
    resubmit->last[1] = '\n';
    *sink = &own->stage;
    return ERR_OK;
}

enum err_code
flow_resubmit_close(struct flow_resubmit *resubmit, enum flow_resubmit_end *end,
                    struct flow_resubmit_reply *reply, struct err *err)
{
    struct err why = ERR_INIT, ignored = ERR_INIT;

    *end = FLOW_RESUBMIT_REFUSED;
    *reply = (struct flow_resubmit_reply){ .code = 0 };
    if (resubmit->failed.code != ERR_OK)
        return resubmit_fail(resubmit, &resubmit->failed, err);
    if (resubmit->phase != PHASE_FINISHED)
        return err_set(err, ERR_BUG, "the content has no end");
    resubmit->phase = PHASE_CLOSED;
    /* From the first octet of the dot on, the peer may have it. */
    if (ask(resubmit, ".", reply, NULL, &why) != ERR_OK || reply->code / 100 == 3) {
        *end = FLOW_RESUBMIT_LOST;
        (void)snprintf(reply->text, sizeof reply->text, "%.400s",
                       why.text[0] ? why.text : "no final reply");
        return ERR_OK;
    }
    if (reply->code / 100 == 2)
        *end = FLOW_RESUBMIT_TAKEN;
    /* A farewell that fails changes nothing. */
    if (flow_link_write(&resubmit->link, span_str("QUIT\r\n"), &ignored) == ERR_OK &&
        flow_link_flush(&resubmit->link, &ignored) == ERR_OK)
        flow_link_deinit(&resubmit->link);
    return ERR_OK;
}

void
flow_resubmit_free(struct flow_resubmit **resubmit)
{
    if (!resubmit || !*resubmit)
        return;
    flow_link_deinit(&(*resubmit)->link);
    free(*resubmit);
    *resubmit = NULL;
}
