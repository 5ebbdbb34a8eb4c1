/* Options, the loop, the report: mload.h says what this is. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/bench/mload.h"

enum { FAILURES_LIMIT = 1000, EVENTS = 256, WAIT_MS = 100, CONNECT_TRIES = 20000 };

struct load {
    const char *socket, *file;
    size_t connections, body_bytes;
    double seconds;
    int pid;
    struct sockaddr_storage address;
    socklen_t address_n;
    int epoll;
    struct talk *talks;
    long threads_max;
    size_t turn;      /* the connection that is looked at next for one that waits for its turn */
    uint64_t next_ns; /* when the next message may begin */
    struct talk_plan plan;
};

/* ---- connections ------------------------------------------------------------------------------
 */

static void
parse_socket(struct load *load)
{
    const char *at = strchr(load->socket, '@');

    if (strncmp(load->socket, "inet:", 5) == 0) {
        struct sockaddr_in in = { .sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)atoi(load->socket + 5)) };

        if (inet_pton(AF_INET, at ? at + 1 : "127.0.0.1", &in.sin_addr) != 1)
            message_die(load->socket, "no address");
        memcpy(&load->address, &in, sizeof in);
        load->address_n = sizeof in;
        return;
    }
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    snprintf(un.sun_path, sizeof un.sun_path, "%s",
             strncmp(load->socket, "unix:", 5) == 0 ? load->socket + 5 : load->socket);
    memcpy(&load->address, &un, sizeof un);
    load->address_n = sizeof un;
}

static void
begin(struct load *load, struct talk *talk)
{
    int one = 1, fd = socket(load->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        message_die("socket", strerror(errno));
    for (int tries = 0;
         connect(fd, (struct sockaddr *)&load->address, load->address_n) && tries < CONNECT_TRIES;
         tries++) {
        if (errno != EAGAIN && errno != EINTR)
            message_die(load->socket, strerror(errno));
        usleep(200); /* the backlog of a Unix socket is full */
    }
    if (fcntl(fd, F_SETFL, O_NONBLOCK))
        message_die("socket", strerror(errno));
    if (load->address.ss_family == AF_INET)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    talk_init(talk, fd);
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = talk };
    if (epoll_ctl(load->epoll, EPOLL_CTL_ADD, fd, &event))
        message_die("epoll", strerror(errno));
}

static bool
has_more(const struct talk_plan *plan)
{
    return !plan->stopping && (plan->messages == 0 || plan->started < plan->messages);
}

static void step(struct load *load, struct talk *talk, bool good);

static void
end(struct load *load, struct talk *talk, bool good)
{
    if (!good && ++load->plan.figures.failed > FAILURES_LIMIT)
        message_die(load->socket, "too many conversations broke");
    close(talk->fd);
    talk->fd = -1;
    if (!has_more(&load->plan))
        return;
    begin(load, talk);
    step(load, talk, talk_write(&load->plan, talk));
}

/* After reading or writing: what is waited for next. */
static void
step(struct load *load, struct talk *talk, bool good)
{
    if (!good || talk->ended) {
        end(load, talk, good || talk->closing);
        return;
    }
    struct epoll_event event = { .events = EPOLLIN | (talk->wants_out ? EPOLLOUT : 0),
                                 .data.ptr = talk };
    (void)epoll_ctl(load->epoll, EPOLL_CTL_MOD, talk->fd, &event);
}

static bool
is_busy(const struct load *load)
{
    for (size_t i = 0; i < load->connections; i++) {
        if (load->talks[i].fd >= 0)
            return true;
    }
    return false;
}

/* Those whose turn has come, in the order of the connections; all of them at the end. */
static void
release(struct load *load, uint64_t now_ns)
{
    struct talk_plan *plan = &load->plan;

    for (size_t looked = 0; looked < load->connections; looked++) {
        struct talk *talk = &load->talks[load->turn];

        if (!plan->stopping && now_ns < load->next_ns)
            return;
        load->turn = (load->turn + 1) % load->connections;
        if (!talk->parked || talk->fd < 0)
            continue;
        talk->parked = false;
        talk->released = true;
        load->next_ns += plan->interval_ns;
        step(load, talk, talk_write(plan, talk));
    }
}

static void
run(struct load *load, uint64_t begun_ns)
{
    struct talk_plan *plan = &load->plan;
    load->next_ns = begun_ns;
    uint64_t end_ns = begun_ns + (uint64_t)(load->seconds * 1e9), sampled_ns = begun_ns;

    for (size_t i = 0; i < load->connections; i++) {
        load->talks[i].number = (int)i;
        begin(load, &load->talks[i]);
        step(load, &load->talks[i], talk_write(plan, &load->talks[i]));
    }
    while (is_busy(load)) {
        struct epoll_event events[EVENTS];
        int n = epoll_wait(load->epoll, events, EVENTS, plan->interval_ns ? 1 : WAIT_MS);

        for (int i = 0; i < n; i++) {
            struct talk *talk = events[i].data.ptr;
            bool can_read = events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR);

            if (talk->fd >= 0)
                step(load, talk, can_read ? talk_read(plan, talk) : talk_write(plan, talk));
        }
        uint64_t now_ns = figures_now_ns();
        plan->stopping |= load->seconds > 0 && now_ns >= end_ns;
        if (plan->interval_ns)
            release(load, now_ns);
        if (load->pid && now_ns - sampled_ns > 20000000u) {
            long threads = process_get(load->pid).threads;
            load->threads_max = threads > load->threads_max ? threads : load->threads_max;
            sampled_ns = now_ns;
        }
        if (plan->messages && plan->figures.done + plan->figures.failed >= plan->messages)
            break;
    }
}

/* ---- options and report -----------------------------------------------------------------------
 */

static _Noreturn void
usage(void)
{
    fputs("usage: mload -s inet:PORT@HOST|unix:PATH [options]; prints one JSON object\n"
          "  -c N      connections at once (1)\n"
          "  -n N      messages in all (1000), or -d SECONDS\n"
          "  -m N      messages per connection (0: any number)\n"
          "  -b N      octets of body (4096), or -f FILE\n"
          "  -R N      messages a second that begin, on any connection (as many as can)\n"
          "  -r N      recipients (1)\n"
          "  -F ADDR   sender; % is the number of the connection\n"
          "  -T ADDR   recipient; % is the number of the recipient, # of the message\n"
          "  -D NAME   {daemon_name}\n"
          "  -N HEX    protocol flags to offer (1fffff)\n"
          "  -k N      octets of a piece of the body (65535)\n"
          "  -p PID    the filter: its CPU, memory and threads\n"
          "  -o FILE   save what the first message was changed to\n",
          stderr);
    exit(2);
}

static void
parse_options(struct load *load, int argc, char **argv)
{
    struct talk_plan *plan = &load->plan;
    int option;

    while ((option = getopt(argc, argv, "s:c:n:d:m:b:f:r:R:F:T:D:N:k:p:o:")) != -1) {
        switch (option) {
        case 's':
            load->socket = optarg;
            break;
        case 'c':
            load->connections = strtoul(optarg, NULL, 10);
            break;
        case 'n':
            plan->messages = atol(optarg);
            break;
        case 'd':
            load->seconds = atof(optarg);
            break;
        case 'm':
            plan->per_connection = atol(optarg);
            break;
        case 'b':
            load->body_bytes = strtoul(optarg, NULL, 10);
            break;
        case 'f':
            load->file = optarg;
            break;
        case 'r':
            plan->recipients = strtoul(optarg, NULL, 10);
            break;
        case 'R':
            plan->interval_ns = atof(optarg) > 0 ? (uint64_t)(1e9 / atof(optarg)) : 0;
            break;
        case 'F':
            plan->from = optarg;
            break;
        case 'T':
            plan->to = optarg;
            break;
        case 'D':
            plan->daemon_name = optarg;
            break;
        case 'N':
            plan->offer = (uint32_t)strtoul(optarg, NULL, 16);
            break;
        case 'k':
            plan->piece_bytes = strtoul(optarg, NULL, 10);
            break;
        case 'p':
            load->pid = atoi(optarg);
            break;
        case 'o':
            plan->save = fopen(optarg, "w");
            break;
        default:
            usage();
        }
    }
    if (!load->socket || load->connections == 0 || plan->piece_bytes == 0)
        usage();
    if (plan->messages == 0 && load->seconds <= 0)
        plan->messages = 1000;
}

static void
report(struct load *load, double seconds, const struct process *before, const struct process *after)
{
    struct figures *figures = &load->plan.figures;
    double done = figures->done ? (double)figures->done : 1;
    struct rusage own;

    getrusage(RUSAGE_SELF, &own);
    double own_s = (double)(own.ru_utime.tv_sec + own.ru_stime.tv_sec) +
                   (double)(own.ru_utime.tv_usec + own.ru_stime.tv_usec) / 1e6;
    printf("{\"messages\": %ld, \"failed\": %ld, \"tempfailed\": %ld, \"rejected\": %ld, "
           "\"seconds\": %.4f, \"rate\": %.1f, \"body\": %zu, \"replaced\": %.0f, \"edits\": %.2f, "
           "\"p50_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f, \"own_cpu_us\": %.1f, "
           "\"cpu_us\": %.1f, \"peak_kib\": %ld, \"idle_kib\": %ld, \"rss_kib\": %ld, "
           "\"threads\": %ld}\n",
           figures->done, figures->failed, figures->tempfailed, figures->rejected, seconds,
           (double)figures->done / seconds, load->plan.message->body_n,
           (double)figures->replaced_bytes / done, (double)figures->edits / done,
           figures_get(figures, 0.5), figures_get(figures, 0.99), figures_get(figures, 1),
           own_s * 1e6 / done, (after->cpu_s - before->cpu_s) * 1e6 / done, after->peak_kib,
           before->rss_kib, after->rss_kib, load->threads_max);
}

int
main(int argc, char **argv)
{
    struct message message = { 0 };
    struct process before = { 0 }, after = { 0 };
    struct rlimit files;
    struct load load = {
        .connections = 1,
        .body_bytes = 4096,
        .plan = { .message = &message,
                  .from = "sender%@example.test",
                  .to = "r%@example.test",
                  .daemon_name = "smtpd",
                  .recipients = 1,
                  .piece_bytes = 65535,
                  .offer = 0x1fffff },
    };

    parse_options(&load, argc, argv);
    signal(SIGPIPE, SIG_IGN);
    parse_socket(&load);
    if (load.file)
        message_load(&message, load.file);
    else
        message_make(&message, load.body_bytes, &load.plan);
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &files);
    load.epoll = epoll_create1(EPOLL_CLOEXEC);
    load.talks = calloc(load.connections, sizeof *load.talks);
    if (!load.talks || load.epoll < 0)
        message_die("connections", strerror(errno));
    if (load.pid) {
        process_reset(load.pid);
        before = process_get(load.pid);
    }
    uint64_t begun_ns = figures_now_ns();
    run(&load, begun_ns);
    double seconds = (double)(figures_now_ns() - begun_ns) / 1e9;
    if (load.pid)
        after = process_get(load.pid);
    report(&load, seconds, &before, &after);
    return load.plan.figures.failed + load.plan.figures.tempfailed + load.plan.figures.rejected > 0;
}
