#include "flow/letters.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flow/notice.h"
#include "flow/outbound.h"
#include "flow/state.h"
#include "util/clock.h"
#include "util/log.h"

struct letter {
    char *to;
    struct buf text;
    struct letter *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct letter *first, **last = &first; /* behind the lock, and so are these: */
static size_t waiting, waiting_bytes;

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
        taken = true;
    }
    pthread_mutex_unlock(&lock);
    if (taken)
        return;
    log_warn("letters", NULL, "too many letters wait; one to %s is not written", letter->to);
    letter_free(letter);
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
flow_letters_reset(void)
{
    struct buf text;
    char *to;

    while (flow_letters_take(&to, &text)) {
        free(to);
        buf_free(&text);
    }
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
