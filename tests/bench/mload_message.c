/* What is sent: text that is made, or a message from a file. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/mload.h"

void
message_die(const char *what, const char *why)
{
    fprintf(stderr, "mload: %s: %s\n", what, why);
    exit(2);
}

void *
message_room(void *block, size_t size)
{
    block = realloc(block, size ? size : 1);
    if (!block)
        message_die("memory", strerror(ENOMEM));
    return block;
}

static void
add_field(struct message *message, const char *name, const char *value)
{
    message->fields = message_room(message->fields, (message->count + 1) * sizeof *message->fields);
    message->fields[message->count].name = strdup(name);
    message->fields[message->count].value = strdup(value);
    message->count++;
}

/* The recipients as a folded field: who is not named there is a Bcc, and treated so. */
static void
add_recipients(struct message *message, const char *to, size_t recipients)
{
    const char *mark = strchr(to, '%');
    size_t room = recipients * (strlen(to) + 24) + 1, at = 0;
    char *value = message_room(NULL, room);

    for (size_t i = 1; mark && i <= recipients; i++)
        at += (size_t)snprintf(value + at, room - at, "%s%.*s%zu%s", i > 1 ? ",\n " : "",
                               (int)(mark - to), to, i, mark + 1);
    add_field(message, "To", mark ? value : to);
    free(value);
}

void
message_make(struct message *message, size_t body_bytes, const struct talk_plan *plan)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz 0123456789 ABCDEFGHIJKLM";
    size_t at = 0, column = 0;

    add_field(message, "From", plan->from);
    add_recipients(message, plan->to, plan->recipients);
    add_field(message, "Subject", "a message of the load generator");
    add_field(message, "Date", "Mon, 1 Jan 2024 00:00:00 +0000");
    add_field(message, "Message-ID", "<1.mload@example.test>");
    add_field(message, "MIME-Version", "1.0");
    add_field(message, "Content-Type", "text/plain; charset=us-ascii");
    add_field(message, "Content-Transfer-Encoding", "7bit");
    message->body = message_room(NULL, body_bytes + 2);
    while (at < body_bytes) {
        if (column == 76) {
            message->body[at++] = '\r';
            message->body[at++] = '\n';
            column = 0;
            continue;
        }
        message->body[at] = (uint8_t)letters[(at * 7 + at / 91) % (sizeof letters - 1)];
        /* White space at the end of a line asks for another encoding. */
        if (++column == 76 || at + 3 >= body_bytes)
            message->body[at] = 'x';
        at++;
    }
    message->body_n = body_bytes;
    if (body_bytes >= 2)
        memcpy(message->body + body_bytes - 2, "\r\n", 2);
}

/* One more line of the header section: a new field, or the continuation of `value`. */
static void
take_header_line(struct message *message, char *line, char **name, char **value)
{
    if ((line[0] == ' ' || line[0] == '\t') && *value) {
        *value = message_room(*value, strlen(*value) + strlen(line) + 2);
        strcat(strcat(*value, "\n"), line);
        return;
    }
    if (*name)
        add_field(message, *name, *value);
    free(*name);
    free(*value);
    *name = *value = NULL;
    char *colon = strchr(line, ':');
    if (!colon)
        return;
    *colon++ = 0;
    *name = strdup(line);
    *value = strdup(colon + strspn(colon, " "));
}

void
message_load(struct message *message, const char *path)
{
    FILE *file = fopen(path, "r");
    char *line = NULL, *name = NULL, *value = NULL;
    size_t cap = 0, room = 0;
    bool in_header = true;
    ssize_t n;

    if (!file)
        message_die(path, strerror(errno));
    while ((n = getline(&line, &cap, file)) >= 0) {
        while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r'))
            line[--n] = 0;
        if (in_header) {
            take_header_line(message, line, &name, &value);
            in_header = n > 0;
            continue;
        }
        if (message->body_n + (size_t)n + 2 > room) {
            room = 2 * room + (size_t)n + 65536;
            message->body = message_room(message->body, room);
        }
        memcpy(message->body + message->body_n, line, (size_t)n);
        memcpy(message->body + message->body_n + n, "\r\n", 2);
        message->body_n += (size_t)n + 2;
    }
    free(line);
    free(name);
    free(value);
    fclose(file);
}
