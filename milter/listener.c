#include "milter/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <libmilter/mfapi.h>

#include "milter/callbacks.h"
#include "milter/socket.h"

enum { BACKLOG = 512 };

static pthread_t thread;
static sem_t go;
static atomic_bool stopping, ended;
static int wake[2] = { -1, -1 };
static char *unix_path;

/* In the place of the C library's: the one who calls it is libmilter's signal thread (listener.h).
 */
int
sigwait(const sigset_t *set, int *number)
{
    (void)set, (void)number;
    for (;;)
        (void)poll(NULL, 0, -1);
}

static void
wake_up(void)
{
    /* Full pipe: it is awake already. */
    if (write(wake[1], "s", 1) != 1)
        return;
}

static void
on_signal(int number)
{
    int before = errno;

    if (number == SIGHUP) {
        kill(getpid(), SIGUSR1);
    } else {
        atomic_store(&stopping, true);
        wake_up();
    }
    errno = before;
}

static enum err_code
set_handler(int number, struct err *err)
{
    struct sigaction action = { .sa_handler = number == SIGPIPE ? SIG_IGN : on_signal };

    sigfillset(&action.sa_mask);
    if (sigaction(number, &action, NULL))
        return err_set_errno(err, errno, "cannot handle signal %d", number);
    return ERR_OK;
}

enum err_code
milter_listener_init(struct err *err)
{
    static const int handled[] = { SIGHUP, SIGTERM, SIGINT, SIGPIPE };
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGUSR1);
    if (pthread_sigmask(SIG_BLOCK, &set, NULL))
        return err_set(err, ERR_BUG, "cannot block signals");
    if (pipe2(wake, O_CLOEXEC | O_NONBLOCK))
        return err_set_errno(err, errno, "cannot make a pipe");
    if (sem_init(&go, 0, 0))
        return err_set_errno(err, errno, "cannot make a semaphore");
    for (size_t i = 0; i < sizeof handled / sizeof handled[0]; i++) {
        if (set_handler(handled[i], err))
            return err->code;
    }
    return ERR_OK;
}

enum err_code
milter_listener_new(const struct conf_global *global, struct err *err)
{
    const char *path = milter_socket_path(global->socket);
    mode_t before;

    if (path && milter_socket_reset(path, err))
        return err->code;
    if (smfi_register(milter_callbacks_get(path != NULL)) != MI_SUCCESS)
        return err_set(err, ERR_BUG, "libmilter does not take our callbacks");
    if (smfi_setconn(global->socket) != MI_SUCCESS ||
        smfi_settimeout((int)(global->milter_timeout / 1000)) != MI_SUCCESS ||
        smfi_setbacklog(BACKLOG) != MI_SUCCESS)
        return err_set(err, ERR_PERM, "libmilter does not take socket = %s", global->socket);
    before = milter_socket_set_umask(global->socket_mode);
    int result = smfi_opensocket(false);
    int why = errno;
    umask(before);
    if (result != MI_SUCCESS)
        return err_set_errno(err, why, "cannot open socket %s", global->socket);
    if (!path) {
        milter_socket_set_nodelay();
        return ERR_OK;
    }
    unix_path = strdup(path);
    if (!unix_path)
        return err_set(err, ERR_NOMEM, "no memory for a path");
    return milter_socket_set_group(path, global->socket_group, err);
}

static void *
listen_all(void *unused)
{
    while (sem_wait(&go) && errno == EINTR)
        ;
    (void)smfi_main();
    atomic_store(&ended, true);
    wake_up();
    return unused;
}

enum err_code
milter_listener_start(struct err *err)
{
    sigset_t set;

    int code = pthread_create(&thread, NULL, listen_all, NULL);
    if (code)
        return err_set_errno(err, code, "cannot start the listener thread");
    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    if (pthread_sigmask(SIG_UNBLOCK, &set, NULL))
        return err_set(err, ERR_BUG, "cannot unblock signals");
    sem_post(&go);
    return ERR_OK;
}

void
milter_listener_wait(struct err *err)
{
    struct pollfd fds = { .fd = wake[0], .events = POLLIN };

    while (!atomic_load(&stopping) && !atomic_load(&ended)) {
        if (poll(&fds, 1, -1) < 0 && errno != EINTR) {
            err_set_errno(err, errno, "cannot wait for signals");
            return;
        }
    }
    if (!atomic_load(&stopping))
        err_set(err, ERR_TEMP, "libmilter stopped by itself");
}

void
milter_listener_deinit(void)
{
    if (unix_path)
        (void)unlink(unix_path);
    free(unix_path);
    unix_path = NULL;
}
