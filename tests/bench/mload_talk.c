/*
 * The MTA's part of one connection.
 *
 * `advance` puts commands into the buffer up to the next one that must be answered; what the filter
 * negotiated away is not sent, what it does not answer is not waited for. Pieces of the body are
 * written from where they lie.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tests/bench/mload.h"

/* Flags of the protocol (mfdef.h without the prefix): steps not wanted, steps not answered. */
enum { ACTIONS_ALL = 0x1ff, READ_BYTES = 65536, REPLY_LIMIT = 2 << 20 };

static const uint32_t unwanted[TALK_QUIT + 1] = {
    [TALK_CONNECT] = 0x1, [TALK_HELO] = 0x2,    [TALK_MAIL] = 0x4, [TALK_RCPT] = 0x8,
    [TALK_DATA] = 0x200,  [TALK_HEADER] = 0x20, [TALK_EOH] = 0x40, [TALK_BODY] = 0x10,
};
static const uint32_t unanswered[TALK_QUIT + 1] = {
    [TALK_CONNECT] = 0x1000, [TALK_HELO] = 0x2000, [TALK_MAIL] = 0x4000, [TALK_RCPT] = 0x8000,
    [TALK_DATA] = 0x10000,   [TALK_HEADER] = 0x80, [TALK_EOH] = 0x40000, [TALK_BODY] = 0x80000,
};

/* ---- commands ---------------------------------------------------------------------------------
 */

static void
put(struct talk *talk, const void *bytes, size_t n)
{
    if (talk->out_n + n > talk->out_cap) {
        talk->out_cap = 2 * (talk->out_n + n);
        talk->out = message_room(talk->out, talk->out_cap);
    }
    memcpy(talk->out + talk->out_n, bytes, n);
    talk->out_n += n;
}

static void
put_text(struct talk *talk, const char *text)
{
    put(talk, text, strlen(text) + 1);
}

static void
put_number(struct talk *talk, uint32_t number)
{
    number = htonl(number);
    put(talk, &number, sizeof number);
}

static size_t
packet_begin(struct talk *talk, char command)
{
    size_t at = talk->out_n;

    put_number(talk, 0);
    put(talk, &command, 1);
    return at;
}

/* `more` octets of the packet follow from elsewhere. */
static void
packet_end(struct talk *talk, size_t at, size_t more)
{
    uint32_t n = htonl((uint32_t)(talk->out_n - at - 4 + more));

    memcpy(talk->out + at, &n, sizeof n);
}

static void
put_address(struct talk *talk, char command, const char *pattern, size_t number, long message)
{
    const char *mark = strpbrk(pattern, "%#");
    size_t at = packet_begin(talk, command);
    char address[512];

    if (mark && *mark == '#')
        number = (size_t)message;
    if (mark)
        snprintf(address, sizeof address, "<%.*s%zu%s>", (int)(mark - pattern), pattern, number,
                 mark + 1);
    else
        snprintf(address, sizeof address, "<%s>", pattern);
    put_text(talk, address);
    packet_end(talk, at, 0);
}

static void
put_macros(struct talk *talk, const struct talk_plan *plan, char stage)
{
    size_t at = packet_begin(talk, 'D');
    char id[32];

    snprintf(id, sizeof id, "Q%08lX", (unsigned long)plan->started);
    put(talk, &stage, 1);
    if (stage == 'C') {
        put_text(talk, "j");
        put_text(talk, "mload.example.test");
        put_text(talk, "{daemon_name}");
        put_text(talk, plan->daemon_name);
    } else {
        put_text(talk, "i");
        put_text(talk, id);
    }
    packet_end(talk, at, 0);
}

static void
put_connect(struct talk *talk)
{
    uint16_t port = htons((uint16_t)(40000 + talk->number % 20000));
    size_t at;

    at = packet_begin(talk, 'C');
    put_text(talk, "client.example.test");
    put(talk, "4", 1);
    put(talk, &port, sizeof port);
    put_text(talk, "127.0.0.1");
    packet_end(talk, at, 0);
}

static void
put_simple(struct talk *talk, char command, const char *text)
{
    size_t at = packet_begin(talk, command);

    if (text)
        put_text(talk, text);
    packet_end(talk, at, 0);
}

/* ---- steps ------------------------------------------------------------------------------------
 */

/* A new message, or the end of the connection. */
static bool
begin_message(struct talk_plan *plan, struct talk *talk)
{
    if (plan->stopping || (plan->messages && plan->started >= plan->messages) ||
        (plan->per_connection && talk->messages >= plan->per_connection)) {
        talk->step = TALK_QUIT;
        return false;
    }
    if (plan->interval_ns && !talk->released) {
        talk->parked = true;
        return false;
    }
    talk->released = false;
    plan->started++;
    talk->begun_ns = figures_now_ns();
    talk->skip = false;
    talk->body_at = 0;
    talk->index = 0;
    put_macros(talk, plan, 'M');
    put_address(talk, 'M', plan->from, (size_t)talk->number + 1, plan->started);
    talk->step = TALK_RCPT;
    return true;
}

static bool
put_field(struct talk_plan *plan, struct talk *talk)
{
    const struct message *message = plan->message;

    if (talk->index == message->count) {
        talk->step = TALK_EOH;
        return false;
    }
    size_t at = packet_begin(talk, 'L');
    put_text(talk, message->fields[talk->index].name);
    put_text(talk, message->fields[talk->index].value);
    packet_end(talk, at, 0);
    talk->index++;
    return true;
}

static bool
put_body(struct talk_plan *plan, struct talk *talk)
{
    size_t n = plan->message->body_n - talk->body_at;

    if (n > plan->piece_bytes)
        n = plan->piece_bytes;
    if (n == 0 || talk->skip) {
        talk->step = TALK_EOM;
        return false;
    }
    size_t at = packet_begin(talk, 'B');
    packet_end(talk, at, n);
    talk->body = plan->message->body + talk->body_at;
    talk->body_n = n;
    talk->body_at += n;
    return true;
}

/* Puts the command of the present step and goes to the next. False: nothing was put. */
static bool
put_step(struct talk_plan *plan, struct talk *talk)
{
    size_t at;

    switch (talk->step) {
    case TALK_NEGOTIATE:
        at = packet_begin(talk, 'O');
        put_number(talk, 6);
        put_number(talk, ACTIONS_ALL);
        put_number(talk, plan->offer);
        packet_end(talk, at, 0);
        return true;
    case TALK_CONNECT:
        put_macros(talk, plan, 'C');
        put_connect(talk);
        talk->step = TALK_HELO;
        return true;
    case TALK_HELO:
        put_simple(talk, 'H', "client.example.test");
        talk->step = TALK_MAIL;
        return true;
    case TALK_MAIL:
        return begin_message(plan, talk);
    case TALK_RCPT:
        put_address(talk, 'R', plan->to, ++talk->index, plan->started);
        if (talk->index >= plan->recipients) {
            talk->step = TALK_DATA;
            talk->index = 0;
        }
        return true;
    case TALK_DATA:
        put_simple(talk, 'T', NULL);
        talk->step = TALK_HEADER;
        return true;
    case TALK_HEADER:
        return put_field(plan, talk);
    case TALK_EOH:
        put_simple(talk, 'N', NULL);
        talk->step = TALK_BODY;
        return true;
    case TALK_BODY:
        return put_body(plan, talk);
    case TALK_EOM:
        put_macros(talk, plan, 'E');
        put_simple(talk, 'E', NULL);
        talk->step = TALK_ANSWER;
        return true;
    case TALK_ANSWER:
        break;
    case TALK_QUIT:
        put_simple(talk, 'Q', NULL);
        talk->closing = talk->waiting = true;
        return true;
    }
    message_die("conversation", "a step that is none");
}

static void
advance(struct talk_plan *plan, struct talk *talk)
{
    while (!talk->waiting && !talk->parked && talk->body_n == 0) {
        enum talk_step step = talk->step;

        /* A new message begins at MAIL whether the filter wants to see that or not. */
        if (step != TALK_MAIL && (talk->flags & unwanted[step])) {
            talk->step++;
            talk->index = 0;
            continue;
        }
        if (put_step(plan, talk) && !talk->closing)
            talk->waiting = !(talk->flags & unanswered[step]);
    }
}

/* ---- answers ----------------------------------------------------------------------------------
 */

static void
end_message(struct talk_plan *plan, struct talk *talk)
{
    figures_add(&plan->figures, (double)(figures_now_ns() - talk->begun_ns) / 1e3);
    plan->figures.done++;
    talk->messages++;
    talk->step = TALK_MAIL;
    if (plan->save)
        fclose(plan->save);
    plan->save = NULL;
}

static void
take_edit(struct talk_plan *plan, char command, const uint8_t *bytes, size_t n)
{
    if (command == 'p')
        return;
    plan->figures.edits++;
    if (command == 'b')
        plan->figures.replaced_bytes += n;
    if (!plan->save)
        return;
    if (command == 'b') {
        fwrite(bytes, 1, n, plan->save);
        return;
    }
    fprintf(plan->save, "#%c ", command);
    for (size_t i = 0; i < n; i++)
        fputc(bytes[i] ? bytes[i] : '|', plan->save);
    fputc('\n', plan->save);
}

static bool
take_reply(struct talk_plan *plan, struct talk *talk, char command, const uint8_t *bytes, size_t n)
{
    uint32_t flags;

    if (talk->step == TALK_NEGOTIATE) {
        if (command != 'O' || n < 12)
            return false;
        memcpy(&flags, bytes + 8, sizeof flags);
        talk->flags = ntohl(flags);
        talk->step = TALK_CONNECT;
        talk->waiting = false;
        return true;
    }
    if (command && strchr("+-2ehimqbp", command)) {
        take_edit(plan, command, bytes, n);
        return true;
    }
    if (!talk->waiting)
        return false;
    switch (command) {
    case 'c':
        break;
    case 's':
        talk->skip = true;
        break;
    case 'a':
    case 'd':
        talk->step = TALK_ANSWER;
        break;
    case 't':
        plan->figures.tempfailed++;
        talk->step = TALK_ANSWER;
        break;
    case 'y':
    case 'r':
        if (command == 'y' && n > 0 && bytes[0] == '4')
            plan->figures.tempfailed++;
        else
            plan->figures.rejected++;
        talk->step = TALK_ANSWER;
        break;
    default:
        return false;
    }
    talk->waiting = false;
    if (talk->step == TALK_ANSWER)
        end_message(plan, talk);
    return true;
}

/* Takes every whole packet out of the buffer. */
static bool
take_packets(struct talk_plan *plan, struct talk *talk)
{
    size_t at = 0;

    while (talk->in_n - at >= 5) {
        uint32_t n;

        memcpy(&n, talk->in + at, sizeof n);
        n = ntohl(n);
        if (n == 0 || n > REPLY_LIMIT)
            return false;
        if (talk->in_n - at < 4 + (size_t)n)
            break;
        if (!take_reply(plan, talk, (char)talk->in[at + 4], talk->in + at + 5, n - 1))
            return false;
        at += 4 + (size_t)n;
    }
    memmove(talk->in, talk->in + at, talk->in_n - at);
    talk->in_n -= at;
    return true;
}

/* ---- the connection ---------------------------------------------------------------------------
 */

void
talk_init(struct talk *talk, int fd)
{
    uint8_t *out = talk->out, *in = talk->in;
    size_t out_cap = talk->out_cap, in_cap = talk->in_cap;
    int number = talk->number;

    *talk = (struct talk){
        .fd = fd, .number = number, .out = out, .out_cap = out_cap, .in = in, .in_cap = in_cap
    };
}

bool
talk_write(struct talk_plan *plan, struct talk *talk)
{
    talk->wants_out = false;
    for (;;) {
        size_t n = talk->out_n - talk->out_at;

        if (n == 0 && talk->body_n == 0) {
            talk->out_at = talk->out_n = 0;
            if (talk->waiting || talk->parked)
                break;
            advance(plan, talk);
            continue;
        }
        struct iovec parts[2] = { { talk->out + talk->out_at, n },
                                  { (void *)(uintptr_t)talk->body, talk->body_n } };
        ssize_t written = writev(talk->fd, parts, talk->body_n ? 2 : 1);
        if (written < 0 && errno == EAGAIN) {
            talk->wants_out = true;
            return true;
        }
        if (written < 0 && errno != EINTR)
            return false;
        if (written < 0)
            continue;
        if ((size_t)written < n)
            n = (size_t)written;
        talk->out_at += n;
        talk->body += (size_t)written - n;
        talk->body_n -= (size_t)written - n;
    }
    talk->ended = talk->closing;
    return true;
}

bool
talk_read(struct talk_plan *plan, struct talk *talk)
{
    for (;;) {
        if (talk->in_cap - talk->in_n < READ_BYTES) {
            talk->in_cap = talk->in_cap ? 2 * talk->in_cap : 2 * READ_BYTES;
            talk->in = message_room(talk->in, talk->in_cap);
        }
        ssize_t n = read(talk->fd, talk->in + talk->in_n, talk->in_cap - talk->in_n);
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        talk->in_n += (size_t)n;
        if (!take_packets(plan, talk))
            return false;
    }
    return talk_write(plan, talk);
}
