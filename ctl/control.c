#include "ctl/control.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "util/clock.h"

static enum err_code
connect_to(const char *path, int fd, struct err *err)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    if (strlen(path) >= sizeof address.sun_path)
        return err_set(err, ERR_PERM, "the path of socket %s is too long", path);
    memcpy(address.sun_path, path, strlen(path) + 1);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return ERR_OK;
    switch (errno) {
    case ENOENT:
    case ECONNREFUSED:
        return err_set(err, ERR_TEMP, "smimed does not run, or listens elsewhere than on %s", path);
    case EACCES:
        return err_set(err, ERR_TEMP, "no permission for %s; be root or the user of smimed", path);
    default:
        return err_set_errno(err, errno, "cannot connect to %s", path);
    }
}

/* Reads until the peer closes. */
static enum err_code
read_answer(int fd, struct buf *answer, struct err *err)
{
    int64_t deadline_ms = clock_monotonic_ms() + CTL_CONTROL_TIMEOUT_MS;
    unsigned char piece[4096];

    for (;;) {
        struct pollfd fds = { .fd = fd, .events = POLLIN };
        int64_t left_ms = deadline_ms - clock_monotonic_ms();
        if (left_ms <= 0)
            return err_set(err, ERR_TEMP, "smimed did not answer in %d s",
                           CTL_CONTROL_TIMEOUT_MS / 1000);
        int ready = poll(&fds, 1, (int)left_ms);
        if (ready < 0 && errno != EINTR)
            return err_set_errno(err, errno, "cannot wait for smimed");
        if (ready <= 0)
            continue;
        ssize_t n = read(fd, piece, sizeof piece);
        if (n < 0 && errno != EINTR)
            return err_set_errno(err, errno, "cannot read smimed's answer");
        if (n == 0)
            return ERR_OK;
        if (n > 0 && buf_append(answer, span_of(piece, (size_t)n), err))
            return err->code;
    }
}

enum err_code
ctl_control_get(const char *path, const char *command, struct buf *answer, struct err *err)
{
    char line[CTL_CONTROL_LINE];
    int n = snprintf(line, sizeof line, "%s\n", command);
    int fd;

    if (n < 0 || (size_t)n >= sizeof line || strchr(command, '\n'))
        return err_set(err, ERR_LIMIT, "a command of one line and at most %zu octets",
                       sizeof line - 2);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_set_errno(err, errno, "cannot make a socket");
    if (connect_to(path, fd, err))
        goto out;
    if (send(fd, line, (size_t)n, MSG_NOSIGNAL) != n) {
        err_set(err, ERR_TEMP, "cannot send to smimed");
        goto out;
    }
    if (read_answer(fd, answer, err))
        goto out;
    if (answer->n == 0 || answer->p[answer->n - 1] != '\n') {
        err_set(err, ERR_TEMP, "smimed hung up without an answer");
        goto out;
    }
    answer->p[--answer->n] = '\0';
out:
    close(fd);
    return err->code;
}

bool
ctl_control_is_ok(struct span answer)
{
    return span_starts_nocase(answer, "{\"ok\": true");
}

/* Answers are flat objects of our own daemon's: strings, numbers, true and false. */
static void
print_members(struct span answer, FILE *out)
{
    bool in_string = false;

    for (size_t i = 1; i + 1 < answer.n; i++) {
        unsigned char c = answer.p[i];
        if (in_string && c == '\\' && i + 2 < answer.n) {
            putc(answer.p[++i], out);
        } else if (c == '"') {
            in_string = !in_string;
        } else if (!in_string && c == ',') {
            putc('\n', out);
            i += answer.p[i + 1] == ' ';
        } else if (in_string || c != ':') {
            putc(c, out);
        }
    }
    putc('\n', out);
}

void
ctl_control_print(struct span answer, bool json, FILE *out)
{
    if (json)
        fprintf(out, "%.*s\n", SPAN_ARG(answer));
    else
        print_members(answer, out);
}

int
ctl_control_run(const char *path, const char *command, bool json, FILE *out)
{
    struct buf answer = BUF_INIT(CTL_CONTROL_ANSWER);
    struct err err = ERR_INIT;
    int code = 3;

    if (ctl_control_get(path, command, &answer, &err) == ERR_OK) {
        ctl_control_print(buf_span(&answer), json, out);
        code = ctl_control_is_ok(buf_span(&answer)) ? 0 : 1;
    } else {
        fprintf(stderr, "smimectl: %s\n", err.text);
    }
    buf_free(&answer);
    return code;
}
