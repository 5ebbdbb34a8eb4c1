#include "milter/control.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "flow/services.h"
#include "flow/suspect.h"
#include "milter/budget.h"
#include "milter/control_bypass.h"
#include "milter/control_cache.h"
#include "milter/control_json.h"
#include "milter/reload.h"
#include "milter/socket.h"
#include "pki/crypto.h"
#include "util/clock.h"
#include "util/log.h"

static int listener = -1;
static int wake[2] = { -1, -1 };
static char socket_path[108];
static pthread_t server;
static bool running;
static int64_t started_ms;

/* ---- answers -----------------------------------------------------------------------------------
 */

static enum err_code
format_error(const char *text, struct buf *out, struct err *err)
{
    if (buf_append_str(out, "{\"ok\": false, \"error\": ", err) ||
        milter_control_append_string(out, text, err))
        return err->code;
    return buf_append_str(out, "}\n", err);
}

static enum err_code
format_reload(struct buf *out, struct err *err)
{
    struct err why = ERR_INIT;
    struct milter_reload_facts facts;

    if (milter_reload_load(&why))
        return format_error(why.text, out, err);
    milter_reload_get(&facts);
    return buf_appendf(out, err, "{\"ok\": true, \"generation\": %llu, \"keys\": %zu}\n",
                       (unsigned long long)facts.generation, facts.keys);
}

/* What each directory cost: members "directory.NAME.waits" and so on. */
static enum err_code
format_directory_stats(struct buf *out, struct err *err)
{
    struct flow_services *services = flow_services_get1();
    size_t count = services ? directory_lookup_directory_count(services->lookup) : 0;
    enum err_code code = ERR_OK;

    for (size_t i = 0; code == ERR_OK && i < count; i++) {
        struct directory_counts counts;
        const char *name;
        char member[200];

        directory_lookup_get_counts(services->lookup, i, &name, &counts);
        const struct {
            const char *word;
            uint64_t value;
        } members[] = {
            { "waits", counts.waits },       { "searches", counts.searches },
            { "entries", counts.entries },   { "connects", counts.connects },
            { "failures", counts.failures }, { "hits", counts.hits },
            { "misses", counts.misses },     { "stale", counts.stale },
        };
        for (size_t k = 0; code == ERR_OK && k < sizeof members / sizeof members[0]; k++) {
            snprintf(member, sizeof member, "directory.%.100s.%s", name, members[k].word);
            code = buf_append_str(out, ", ", err);
            if (code == ERR_OK)
                code = milter_control_append_string(out, member, err);
            if (code == ERR_OK)
                code = buf_appendf(out, err, ": %llu", (unsigned long long)members[k].value);
        }
    }
    flow_services_free(&services);
    return code;
}

static enum err_code
format_evidence_stats(struct buf *out, struct err *err)
{
    struct flow_services *services = flow_services_get1();
    enum err_code code =
        services ? milter_control_cache_append_stats(services->evidence, out, err) : ERR_OK;

    flow_services_free(&services);
    return code;
}

static enum err_code
format_cache(const char *command, struct buf *out, struct err *err)
{
    struct flow_services *services = flow_services_get1();
    struct err why = ERR_INIT;
    enum err_code code;

    if (!services)
        return format_error("stopping", out, err);
    code = milter_control_cache_format(services->evidence, command, out, &why);
    flow_services_free(&services);
    if (code == ERR_NOTFOUND)
        return format_error(why.text, out, err);
    return code == ERR_OK ? ERR_OK : err_set(err, code, "%s", why.text);
}

static enum err_code
format_stats(struct buf *out, struct err *err)
{
    struct milter_budget_facts held;
    struct milter_reload_facts loaded;

    milter_budget_get(&held);
    milter_reload_get(&loaded);
    if (buf_appendf(out, err,
                    "{\"ok\": true, \"version\": \"%s\", \"uptime_s\": %lld, \"generation\": %llu, "
                    "\"loaded\": %lld, \"keys\": %zu, \"trust_sets\": %zu, \"messages\": %llu",
                    SMIMED_VERSION, (long long)(clock_monotonic_ms() - started_ms) / 1000,
                    (unsigned long long)loaded.generation, (long long)loaded.loaded_s, loaded.keys,
                    loaded.trusts, (unsigned long long)held.messages_total))
        return err->code;
    for (int i = 0; i < MILTER_RESULT_COUNT; i++) {
        if (buf_appendf(out, err, ", \"%s\": %llu", milter_result_name((enum milter_result)i),
                        (unsigned long long)held.results[i]))
            return err->code;
    }
    if (milter_control_bypass_append(out, err) || format_evidence_stats(out, err) ||
        format_directory_stats(out, err))
        return err->code;
    return buf_appendf(
        out, err,
        ", \"in_flight\": %llu, \"bytes\": %llu, \"bytes_peak\": %llu, \"slots\": %llu, "
        "\"slots_waiting\": %llu, \"connections\": %llu, \"connections_total\": %llu, "
        "\"connections_refused\": %llu, \"copies_connections\": %llu, "
        "\"copies_connections_total\": %llu}\n",
        (unsigned long long)held.messages, (unsigned long long)held.bytes,
        (unsigned long long)held.bytes_peak, (unsigned long long)held.slots,
        (unsigned long long)held.slots_waiting, (unsigned long long)held.connections,
        (unsigned long long)held.connections_total, (unsigned long long)held.connections_refused,
        (unsigned long long)held.arrivals, (unsigned long long)held.arrivals_total);
}

/* What is wrong with the daemon, in words; "" when nothing is. */
static void
find_trouble(const struct milter_reload_facts *loaded, char *out, size_t size)
{
    struct milter_budget_facts held;
    struct flow_services *services = flow_services_get1();
    struct statvfs disk;

    out[0] = '\0';
    milter_budget_get(&held);
    if (!services || held.stopping) {
        snprintf(out, size, "stopping");
    } else if (access(services->conf->global.spool_folder, W_OK | X_OK)) {
        snprintf(out, size, "spool_folder is not writable: %s", strerror(errno));
    } else if (statvfs(services->conf->global.spool_folder, &disk) == 0 && disk.f_bavail == 0) {
        snprintf(out, size, "spool_folder is on a full disk");
    } else if (loaded->failed) {
        snprintf(out, size, "the last reload failed: %.400s", loaded->error);
    }
    flow_services_free(&services);
}

static enum err_code
format_health(struct buf *out, struct err *err)
{
    struct milter_reload_facts loaded;
    struct pki_crypto_facts crypto;
    char trouble[ERR_TEXT_SIZE];

    milter_reload_get(&loaded);
    pki_crypto_get(&crypto);
    find_trouble(&loaded, trouble, sizeof trouble);
    if (trouble[0])
        return format_error(trouble, out, err);
    if (buf_appendf(out, err, "{\"ok\": true, \"generation\": %llu, \"openssl\": ",
                    (unsigned long long)loaded.generation) ||
        milter_control_append_string(out, crypto.version ? crypto.version : "", err))
        return err->code;
    if (milter_control_bypass_append(out, err))
        return err->code;
    return buf_appendf(out, err,
                       ", \"secure_heap_bytes\": %zu, \"secure_heap_used\": %zu, "
                       "\"secure_heap_locked\": %s}\n",
                       crypto.secure_bytes, crypto.secure_used,
                       crypto.secure_is_locked ? "true" : "false");
}

/* Messages that brought us down; "forget": all of them are looked at again. */
static enum err_code
format_poison(bool forget, struct buf *out, struct err *err)
{
    unsigned forgotten = forget ? flow_suspect_reset() : 0, suspects, poisoned;

    flow_suspect_get(&suspects, &poisoned);
    if (forgotten > 0)
        log_info(NULL, "%u marks of messages that brought smimed down were forgotten", forgotten);
    return buf_appendf(out, err,
                       "{\"ok\": true, \"suspects\": %u, \"poisoned\": %u, \"forgotten\": %u}\n",
                       suspects, poisoned, forgotten);
}

enum err_code
milter_control_format(const char *line, uid_t uid, struct buf *out, struct err *err)
{
    if (strcmp(line, "reload") == 0)
        return format_reload(out, err);
    if (strcmp(line, "stats") == 0)
        return format_stats(out, err);
    if (strcmp(line, "health") == 0)
        return format_health(out, err);
    if (strncmp(line, "cache ", 6) == 0)
        return format_cache(line + 6, out, err);
    if (strncmp(line, "bypass", 6) == 0 && (line[6] == ' ' || line[6] == '\0'))
        return milter_control_bypass_format(line + 6, uid, out, err);
    if (strcmp(line, "poison") == 0 || strcmp(line, "poison forget") == 0)
        return format_poison(line[6] != '\0', out, err);
    return format_error(
        "unknown command; there are reload, stats, health, bypass, cache and poison", out, err);
}

/* ---- one client --------------------------------------------------------------------------------
 */

/* Waits for `events` until the deadline, or until the daemon stops. */
static bool
wait_for(int fd, short events, int64_t deadline_ms)
{
    struct pollfd fds[] = { { .fd = fd, .events = events }, { .fd = wake[0], .events = POLLIN } };

    for (;;) {
        int64_t left_ms = deadline_ms - clock_monotonic_ms();
        if (left_ms <= 0)
            return false;
        int n = poll(fds, 2, (int)left_ms);
        if (n < 0 && errno == EINTR)
            continue;
        return n > 0 && fds[1].revents == 0 && fds[0].revents != 0;
    }
}

/* Reads up to the first LF. False: too long, too late, or gone. */
static bool
read_line(int fd, char line[MILTER_CONTROL_LINE])
{
    int64_t deadline_ms = clock_monotonic_ms() + MILTER_CONTROL_TIMEOUT_MS;
    size_t n = 0;

    while (n < MILTER_CONTROL_LINE && wait_for(fd, POLLIN, deadline_ms)) {
        ssize_t got = recv(fd, line + n, MILTER_CONTROL_LINE - n, MSG_DONTWAIT);
        if (got < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (got <= 0)
            return false;
        char *end = memchr(line + n, '\n', (size_t)got);
        if (end) {
            if (end > line && end[-1] == '\r')
                end--;
            *end = '\0';
            return memchr(line, '\0', (size_t)(end - line)) == NULL;
        }
        n += (size_t)got;
    }
    return false;
}

static void
write_answer(int fd, struct span answer)
{
    int64_t deadline_ms = clock_monotonic_ms() + MILTER_CONTROL_TIMEOUT_MS;

    while (answer.n > 0 && wait_for(fd, POLLOUT, deadline_ms)) {
        ssize_t sent = send(fd, answer.p, answer.n, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (sent <= 0)
            return;
        answer = span_from(answer, (size_t)sent);
    }
}

/* Who asks; (uid_t)-1: the system does not say. */
static uid_t
peer_uid(int fd)
{
    struct ucred peer;
    socklen_t size = sizeof peer;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) || size != sizeof peer)
        return (uid_t)-1;
    return peer.uid;
}

static void
serve(int fd)
{
    char line[MILTER_CONTROL_LINE] = "";
    struct buf answer = BUF_INIT(MILTER_CONTROL_ANSWER);
    struct err err = ERR_INIT;

    if (read_line(fd, line) && milter_control_format(line, peer_uid(fd), &answer, &err) == ERR_OK)
        write_answer(fd, buf_span(&answer));
    if (err.code)
        log_warn("control", NULL, "no answer on the control socket: %s", err.text);
    buf_free(&answer);
}

static void *
serve_all(void *unused)
{
    struct pollfd fds[] = { { .fd = listener, .events = POLLIN },
                            { .fd = wake[0], .events = POLLIN } };

    for (;;) {
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            break;
        if (fds[1].revents)
            break;
        if (!(fds[0].revents & POLLIN))
            continue;
        int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (client < 0) {
            /* Out of descriptors: not in a busy loop. */
            if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
                (void)poll(&fds[1], 1, 1000);
            continue;
        }
        serve(client);
        close(client);
    }
    return unused;
}

enum err_code
milter_control_new(const char *path, struct err *err)
{
    started_ms = clock_monotonic_ms();
    snprintf(socket_path, sizeof socket_path, "%s", path);
    return milter_socket_new(path, MILTER_CONTROL_MODE, &listener, err);
}

enum err_code
milter_control_init(struct err *err)
{
    if (pipe2(wake, O_CLOEXEC))
        return err_set_errno(err, errno, "cannot make a pipe");
    int code = pthread_create(&server, NULL, serve_all, NULL);
    if (code)
        return err_set_errno(err, code, "cannot start the control thread");
    running = true;
    return ERR_OK;
}

void
milter_control_deinit(void)
{
    if (running) {
        if (write(wake[1], "q", 1) == 1)
            pthread_join(server, NULL);
        running = false;
    }
    if (listener >= 0) {
        (void)unlink(socket_path);
        close(listener);
        listener = -1;
    }
    for (int i = 0; i < 2; i++) {
        if (wake[i] >= 0)
            close(wake[i]);
        wake[i] = -1;
    }
}
