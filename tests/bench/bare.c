/*
 * bare: filters that do next to nothing, and one that does it the slow way. They are what every
 * comparison is measured against.
 *
 *   bare SOCKET accept            sees everything, changes nothing
 *   bare SOCKET replace N [WORK]  puts N octets of text in the place of the body, where N is not 0;
 *                                 WORK are the raw primitives that are done before (bare_work.h)
 *   bare SOCKET sleep MS          answers the end of each message after that time
 *   bare SOCKET pipe COMMAND...   the body through a program, one process per message
 *
 * A '+' behind the mode ("accept+") declares every step that allows it as not answered
 * (SMFIP_NR_*): the cheapest conversation that libmilter can have.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <libmilter/mfapi.h>

#include "milter/socket.h"
#include "tests/bench/bare_work.h"

extern char **environ;

enum { PIECE = 65535 };

enum mode { MODE_ACCEPT, MODE_REPLACE, MODE_SLEEP, MODE_PIPE };

static enum mode mode;
static bool unanswered;
static size_t amount; /* octets, or milliseconds */
static char **command;
static unsigned char text[PIECE];

/* The body of one message, for `pipe`. */
struct kept {
    unsigned char *p;
    size_t n, cap;
};

static bool
keep(struct kept *kept, const unsigned char *piece, size_t n)
{
    if (kept->n + n > kept->cap) {
        size_t cap = 2 * (kept->n + n);
        unsigned char *p = realloc(kept->p, cap);

        if (!p)
            return false;
        kept->p = p;
        kept->cap = cap;
    }
    memcpy(kept->p + kept->n, piece, n);
    kept->n += n;
    return true;
}

/* ---- the program ------------------------------------------------------------------------------
 */

static pid_t
start(int in[2], int out[2])
{
    posix_spawn_file_actions_t actions;
    pid_t child = -1;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], 0);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    if (posix_spawnp(&child, command[0], &actions, NULL, command, environ))
        child = -1;
    posix_spawn_file_actions_destroy(&actions);
    close(in[0]);
    close(out[1]);
    return child;
}

/* Writes and reads at once: a pipe is smaller than a message. */
static bool
exchange(int to, int from, const struct kept *body, struct kept *result)
{
    size_t at = 0;

    for (;;) {
        struct pollfd fds[2] = { { .fd = from, .events = POLLIN },
                                 { .fd = to, .events = POLLOUT } };
        unsigned char piece[65536];

        if (poll(fds, to >= 0 ? 2 : 1, -1) < 0 && errno != EINTR)
            break;
        if (to >= 0 && (fds[1].revents & (POLLOUT | POLLERR | POLLHUP))) {
            size_t n = body->n - at < 4096 ? body->n - at : 4096;
            ssize_t written = n ? write(to, body->p + at, n) : 0;

            at += written > 0 ? (size_t)written : 0;
            if (written < 0 || at == body->n) {
                close(to);
                to = -1;
            }
        }
        if (fds[0].revents) {
            ssize_t n = read(from, piece, sizeof piece);

            if (n <= 0 || !keep(result, piece, (size_t)n))
                break;
        }
    }
    if (to >= 0)
        close(to);
    close(from);
    return at == body->n;
}

static bool
run(const struct kept *body, struct kept *result)
{
    int in[2], out[2], status = -1;

    if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC))
        return false;
    pid_t child = start(in, out);
    bool good = exchange(in[1], out[0], body, result);
    if (child < 0 || waitpid(child, &status, 0) != child)
        return false;
    return good && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* ---- callbacks --------------------------------------------------------------------------------
 */

static sfsistat
go_on(void)
{
    return unanswered ? SMFIS_NOREPLY : SMFIS_CONTINUE;
}

static sfsistat
on_negotiate(SMFICTX *ctx, unsigned long actions, unsigned long steps, unsigned long f2,
             unsigned long f3, unsigned long *actions_out, unsigned long *steps_out,
             unsigned long *f2_out, unsigned long *f3_out)
{
    (void)ctx, (void)f2, (void)f3;
    *actions_out = actions & (SMFIF_CHGBODY | SMFIF_ADDHDRS | SMFIF_CHGHDRS);
    *steps_out = *f2_out = *f3_out = 0;
    if (unanswered)
        *steps_out = steps & (SMFIP_NR_CONN | SMFIP_NR_HELO | SMFIP_NR_MAIL | SMFIP_NR_RCPT |
                              SMFIP_NR_DATA | SMFIP_NR_HDR | SMFIP_NR_EOH | SMFIP_NR_BODY);
    return SMFIS_CONTINUE;
}

static sfsistat
on_connect(SMFICTX *ctx, char *host, _SOCK_ADDR *address)
{
    (void)host, (void)address;
    if (mode == MODE_PIPE)
        smfi_setpriv(ctx, calloc(1, sizeof(struct kept)));
    return go_on();
}

static sfsistat
on_text(SMFICTX *ctx, char *name)
{
    (void)ctx, (void)name;
    return go_on();
}

static sfsistat
on_envelope(SMFICTX *ctx, char **arguments)
{
    (void)ctx, (void)arguments;
    return go_on();
}

static sfsistat
on_step(SMFICTX *ctx)
{
    (void)ctx;
    return go_on();
}

static sfsistat
on_header(SMFICTX *ctx, char *name, char *value)
{
    (void)ctx, (void)name, (void)value;
    return go_on();
}

static sfsistat
on_body(SMFICTX *ctx, unsigned char *piece, size_t n)
{
    struct kept *kept = smfi_getpriv(ctx);

    if (kept && !keep(kept, piece, n))
        return SMFIS_TEMPFAIL;
    return go_on();
}

static sfsistat
send_text(SMFICTX *ctx)
{
    bare_work_run();
    for (size_t left = amount; left > 0;) {
        size_t n = left < PIECE ? left : PIECE;

        if (smfi_replacebody(ctx, text, (int)n) != MI_SUCCESS)
            return SMFIS_TEMPFAIL;
        left -= n;
    }
    return SMFIS_CONTINUE;
}

static sfsistat
on_eom(SMFICTX *ctx)
{
    struct kept *kept = smfi_getpriv(ctx), result = { 0 };
    sfsistat status = SMFIS_CONTINUE;

    if (mode == MODE_REPLACE)
        return send_text(ctx);
    if (mode == MODE_SLEEP)
        usleep((useconds_t)amount * 1000);
    if (mode != MODE_PIPE || !kept)
        return status;
    if (!run(kept, &result) || smfi_replacebody(ctx, result.p, (int)result.n) != MI_SUCCESS)
        status = SMFIS_TEMPFAIL;
    free(result.p);
    kept->n = 0;
    return status;
}

static sfsistat
on_close(SMFICTX *ctx)
{
    struct kept *kept = smfi_getpriv(ctx);

    if (kept)
        free(kept->p);
    free(kept);
    smfi_setpriv(ctx, NULL);
    return SMFIS_CONTINUE;
}

static bool
parse_mode(int argc, char **argv)
{
    static const char *const names[] = { "accept", "replace", "sleep", "pipe" };
    size_t n = argc > 2 ? strcspn(argv[2], "+") : 0;

    for (size_t i = 0; n && i < sizeof names / sizeof names[0]; i++) {
        if (strlen(names[i]) != n || strncmp(argv[2], names[i], n) != 0)
            continue;
        mode = (enum mode)i;
        unanswered = argv[2][n] == '+';
        command = argv + 3;
        amount = argc > 3 ? strtoul(argv[3], NULL, 10) : 0;
        if (mode == MODE_REPLACE && argc > 4 && !bare_work_parse(argv[4]))
            return false;
        return mode == MODE_ACCEPT || argc > 3;
    }
    return false;
}

int
main(int argc, char **argv)
{
    struct smfiDesc callbacks = {
        .xxfi_name = (char *)"bare",
        .xxfi_version = SMFI_VERSION,
        .xxfi_flags = SMFIF_CHGBODY | SMFIF_ADDHDRS | SMFIF_CHGHDRS,
        .xxfi_connect = on_connect,
        .xxfi_helo = on_text,
        .xxfi_envfrom = on_envelope,
        .xxfi_envrcpt = on_envelope,
        .xxfi_header = on_header,
        .xxfi_eoh = on_step,
        .xxfi_body = on_body,
        .xxfi_eom = on_eom,
        .xxfi_close = on_close,
        .xxfi_data = on_step,
        .xxfi_negotiate = on_negotiate,
    };

    if (!parse_mode(argc, argv)) {
        fputs("usage: bare SOCKET accept[+] | replace[+] N [WORK] | sleep[+] MS | pipe[+] "
              "COMMAND...\n",
              stderr);
        return 2;
    }
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = i % 78 == 76 ? '\r' : i % 78 == 77 ? '\n' : 'A';
    if (smfi_register(callbacks) != MI_SUCCESS || smfi_setconn(argv[1]) != MI_SUCCESS ||
        smfi_setbacklog(512) != MI_SUCCESS || smfi_opensocket(true) != MI_SUCCESS)
        return 1;
    milter_socket_set_nodelay();
    return smfi_main() == MI_SUCCESS ? 0 : 1;
}
