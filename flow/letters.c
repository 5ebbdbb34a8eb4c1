#include "flow/letters.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "flow/notice.h"
#include "flow/outbound.h"
#include "flow/state.h"
#include "util/clock.h"
#include "util/file.h"
#include "util/log.h"

enum { LETTERS_FILE = FLOW_LETTERS_BYTES + FLOW_LETTERS_LIMIT * (FLOW_LIMIT_ADDRESS + 32) + 64 };

struct letter {
    char *to;
    struct buf text;
    struct letter *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct letter *first, **last = &first; /* behind the lock, and so are these: */
static size_t waiting, waiting_bytes;
static bool changed; /* since the file was written */

static void
letter_free(struct letter *letter)
{
    if (!letter)
        return;
    free(letter->to);
    buf_free(&letter->text);
    free(letter);
}

/* Takes the letter. */
static void
letter_add(struct letter *letter)
{
    bool taken = false;

    pthread_mutex_lock(&lock);
    if (waiting < FLOW_LETTERS_LIMIT && waiting_bytes + letter->text.n <= FLOW_LETTERS_BYTES) {
        *last = letter;
        last = &letter->next;
        waiting++;
        waiting_bytes += letter->text.n;
        taken = changed = true;
    }
    pthread_mutex_unlock(&lock);
    if (taken)
        return;
    log_warn("letters", NULL, "too many letters wait: what comes now is lost");
    log_info(NULL, "letter: lost, to %s", letter->to);
    letter_free(letter);
}

void
flow_letters_return(char *to, struct buf *text)
{
    struct letter *letter = calloc(1, sizeof *letter);

    if (!letter) {
        log_info(NULL, "letter: lost, to %s", to);
        free(to);
        buf_free(text);
        return;
    }
    *letter = (struct letter){ .to = to, .text = *text };
    buf_init(text, 1);
    pthread_mutex_lock(&lock);
    letter->next = first;
    if (!first)
        last = &letter->next;
    first = letter;
    waiting++;
    waiting_bytes += letter->text.n;
    changed = true;
    pthread_mutex_unlock(&lock);
}

bool
flow_letters_take(char **to, struct buf *letter)
{
    struct letter *one;

    pthread_mutex_lock(&lock);
    one = first;
    if (one) {
        first = one->next;
        if (!first)
            last = &first;
        waiting--;
        waiting_bytes -= one->text.n;
        changed = true;
    }
    pthread_mutex_unlock(&lock);
    if (!one)
        return false;
    *to = one->to;
    *letter = one->text;
    free(one);
    return true;
}

void
flow_letters_reset(bool kept)
{
    struct buf text;
    char *to;

    while (flow_letters_take(&to, &text)) {
        if (!kept)
            log_info(NULL, "letter: lost, to %s", to);
        free(to);
        buf_free(&text);
    }
    changed = false;
}

/* ---- over a restart ----------------------------------------------------------------------------
 */

/* The head, then for each letter the lengths of address and text in a line, and both. */
static const char waiting_head[] = "smimed waiting letters 1\n";

static enum err_code
letters_format(struct buf *out, struct err *err)
{
    enum err_code code = buf_append(out, span_str(waiting_head), err);

    for (const struct letter *one = first; code == ERR_OK && one; one = one->next) {
        code = buf_appendf(out, err, "%zu %zu\n%s", strlen(one->to), one->text.n, one->to);
        if (code == ERR_OK)
            code = buf_append(out, buf_span(&one->text), err);
    }
    return code;
}

enum err_code
flow_letters_write(const char *path, struct err *err)
{
    struct buf out = BUF_INIT(LETTERS_FILE);
    enum err_code code = ERR_OK;
    bool any, write;

    pthread_mutex_lock(&lock);
    any = first != NULL;
    write = changed;
    changed = false;
    if (any && write)
        code = letters_format(&out, err);
    pthread_mutex_unlock(&lock);
    if (code == ERR_OK && any && write)
        code = file_write(path, buf_span(&out), 0600, err);
    else if (code == ERR_OK && !any && write && unlink(path) != 0 && errno != ENOENT)
        code = err_set_errno(err, errno, "%.200s", path);
    if (code != ERR_OK) {
        pthread_mutex_lock(&lock);
        changed = true;
        pthread_mutex_unlock(&lock);
    }
    buf_free(&out);
    return code;
}

/* A number of `limit` at most and the character behind it. */
static bool
number_parse(struct span text, size_t *at, char end, size_t limit, size_t *out)
{
    size_t digits = 0;

    for (*out = 0; *at < text.n && text.p[*at] >= '0' && text.p[*at] <= '9'; ++*at, digits++) {
        *out = *out * 10 + (size_t)(text.p[*at] - '0');
        if (*out > limit)
            return false;
    }
    return digits > 0 && *at < text.n && text.p[(*at)++] == (unsigned char)end;
}

/* One letter; *at moves behind it. */
static enum err_code
letter_parse(struct span text, size_t *at, struct err *err)
{
    size_t to = 0, n = 0;
    struct letter *letter;
    enum err_code code;

    if (!number_parse(text, at, ' ', FLOW_LIMIT_ADDRESS, &to) ||
        !number_parse(text, at, '\n', FLOW_NOTICE_BYTES, &n) || to == 0 || to + n > text.n - *at ||
        memchr(text.p + *at, 0, to))
        return err_set(err, ERR_PERM, "a letter that is not ours at octet %zu", *at);
    letter = calloc(1, sizeof *letter);
    if (!letter)
        return err_set(err, ERR_NOMEM, "no memory for letters that wait");
    buf_init(&letter->text, FLOW_NOTICE_BYTES);
    letter->to = span_dup(span_of(text.p + *at, to));
    code = letter->to ? buf_append(&letter->text, span_of(text.p + *at + to, n), err)
                      : err_set(err, ERR_NOMEM, "no memory for letters that wait");
    *at += to + n;
    if (code == ERR_OK)
        letter_add(letter);
    else
        letter_free(letter);
    return code;
}

enum err_code
flow_letters_load(const char *path, struct err *err)
{
    const struct file_read_args args = { .limit_bytes = LETTERS_FILE,
                                         .forbidden_mode = 0077,
                                         .check_owner = true };
    struct buf text = BUF_INIT(LETTERS_FILE + 1);
    size_t at = sizeof waiting_head - 1;
    enum err_code code = file_read(path, &args, &text, err);

    if (code == ERR_OK && strncmp(buf_str(&text), waiting_head, at) != 0)
        code = err_set(err, ERR_PERM, "%.200s is not a file of ours", path);
    while (code == ERR_OK && at < text.n)
        code = letter_parse(buf_span(&text), &at, err);
    buf_free(&text);
    if (code != ERR_NOTFOUND)
        return code;
    err_reset(err);
    return ERR_OK;
}

/* ---- refused -----------------------------------------------------------------------------------
 */

/* Those without whom it was refused. */
static size_t
refused_list(const struct flow_message *message, struct flow_notice_recipient *out)
{
    const struct policy_outbound_facts *facts = &message->outbound->facts.policy;
    size_t count = 0;

    for (size_t i = 0; i < facts->count; i++) {
        const struct policy_recipient *one = &facts->recipients[i];

        if (!one->rule->smime || one->certificate != POLICY_NO ||
            policy_choice_encrypt(one->rule, &facts->choice) != CONF_ENCRYPT_ALWAYS)
            continue;
        out[count++] = (struct flow_notice_recipient){
            .address = one->address,
            .reason = one->text && one->text[0] ? one->text : one->reason,
        };
    }
    return count;
}

static enum err_code
field_of(const struct flow_message *message, const char *name, struct buf *out, struct err *err)
{
    struct mime_header_field field;

    if (!mime_header_find(message->header, name, 0, &field))
        return ERR_OK;
    return mime_header_unfold(field.value, out, err);
}

enum err_code
flow_letters_format(const struct flow_message *message, enum flow_notice_kind kind, const char *to,
                    const struct flow_notice_recipient *list, size_t count, struct buf *letter,
                    struct err *err)
{
    struct buf subject = BUF_INIT(message->conf->global.max_header + 1),
               id = BUF_INIT(message->conf->global.max_header + 1);
    char from[300];
    enum err_code code = field_of(message, "Subject", &subject, err);

    if (code == ERR_OK)
        code = field_of(message, "Message-ID", &id, err);
    snprintf(from, sizeof from, "postmaster@%s", message->services->hostname);
    if (code == ERR_OK)
        code = flow_notice_format(message->services->notices,
                                  &(struct flow_notice){ .kind = kind,
                                                         .from = from,
                                                         .to = to,
                                                         .host = message->services->hostname,
                                                         .subject = buf_str(&subject),
                                                         .message_id = buf_str(&id),
                                                         .queue_id = message->id,
                                                         .recipients = list,
                                                         .count = count,
                                                         .reference = buf_str(&id),
                                                         .now = clock_now_s() },
                                  letter, err);
    buf_free(&subject);
    buf_free(&id);
    return code;
}

/* A letter goes to who sent the message, and to nobody whose address somebody else wrote down. */
static bool
refused_may_be_told(const struct flow_message *message)
{
    const struct flow_outbound *outbound = message->outbound;
    const struct conf_global *global = &message->conf->global;

    if (!global->notice_refused || !global->resubmit_server[0] || !message->services->notices)
        return false;
    if (!outbound || !outbound->decided || outbound->decision.action != POLICY_REFUSE)
        return false;
    if (global->sender_identity == CONF_IDENTITY_ENFORCE &&
        (!message->identity.asked || message->identity.answer.identity != POLICY_IDENTITY_OK ||
         message->identity.unvouched))
        return false;
    return message->sender_valid && flow_notice_may_answer(message->sender, message->header);
}

void
flow_letters_refuse(const struct flow_message *message)
{
    struct flow_notice_recipient *list = NULL;
    struct letter *letter = NULL;
    struct err err = ERR_INIT;
    size_t count;

    if (!refused_may_be_told(message))
        return;
    list = calloc(message->outbound->facts.policy.count + 1, sizeof *list);
    letter = calloc(1, sizeof *letter);
    count = list && letter ? refused_list(message, list) : 0;
    if (count > 0) {
        buf_init(&letter->text, FLOW_NOTICE_BYTES);
        letter->to = strdup(message->sender);
        if (letter->to && flow_letters_format(message, FLOW_NOTICE_REFUSED, message->sender, list,
                                              count, &letter->text, &err) == ERR_OK) {
            letter_add(letter);
            letter = NULL;
        }
    }
    if (err.code != ERR_OK)
        log_debug(message->id, "no letter about the refusal: %s", err.text);
    letter_free(letter);
    free(list);
}
