#include "directory/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "util/clock.h"

struct directory_guard {
    pthread_mutex_t lock; /* of all below and of every watch that is set */
    pthread_cond_t wake;
    struct directory_guard_watch *first;
    int64_t next_ms; /* what the thread waits for; INT64_MAX: for nothing */
    pthread_t thread;
    bool is_running, ends;
};

enum err_code
directory_guard_new(struct directory_guard **out, struct err *err)
{
    struct directory_guard *guard = calloc(1, sizeof *guard);
    pthread_condattr_t attributes;
    *out = guard;
    if (!guard)
        return err_set(err, ERR_NOMEM, "no memory for a guard of deadlines");
    guard->next_ms = INT64_MAX;
    pthread_mutex_init(&guard->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&guard->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    return ERR_OK;
}

void
directory_guard_free(struct directory_guard **guard)
{
    if (!guard || !*guard)
        return;
    struct directory_guard *g = *guard;
    *guard = NULL;
    pthread_mutex_lock(&g->lock);
    g->ends = true;
    bool is_running = g->is_running;
    pthread_cond_signal(&g->wake);
    pthread_mutex_unlock(&g->lock);
    if (is_running)
        pthread_join(g->thread, NULL);
    pthread_cond_destroy(&g->wake);
    pthread_mutex_destroy(&g->lock);
    free(g);
}

/* Shuts down what is over and finds what comes next. */
static void
strike(struct directory_guard *guard)
{
    int64_t now_ms = clock_monotonic_ms();
    guard->next_ms = INT64_MAX;
    for (struct directory_guard_watch *watch = guard->first; watch; watch = watch->next) {
        if (watch->has_fired)
            continue;
        if (watch->deadline_ms <= now_ms) {
            watch->has_fired = true;
            (void)shutdown(watch->fd, SHUT_RDWR);
        } else if (watch->deadline_ms < guard->next_ms) {
            guard->next_ms = watch->deadline_ms;
        }
    }
}

static void *
run(void *context)
{
    struct directory_guard *guard = context;
    pthread_mutex_lock(&guard->lock);
    while (!guard->ends) {
        strike(guard);
        if (guard->next_ms == INT64_MAX) {
            pthread_cond_wait(&guard->wake, &guard->lock);
            continue;
        }
        const struct timespec until = { .tv_sec = guard->next_ms / 1000,
                                        .tv_nsec = guard->next_ms % 1000 * 1000000 };
        (void)pthread_cond_timedwait(&guard->wake, &guard->lock, &until);
    }
    pthread_mutex_unlock(&guard->lock);
    return NULL;
}

enum err_code
directory_guard_watch_init(struct directory_guard_watch *watch, int fd, struct err *err)
{
    *watch = (struct directory_guard_watch){ .fd = fcntl(fd, F_DUPFD_CLOEXEC, 0) };
    return watch->fd >= 0 ? ERR_OK : err_set_errno(err, errno, "cannot guard a socket");
}

void
directory_guard_watch_deinit(struct directory_guard_watch *watch)
{
    if (watch->fd >= 0)
        close(watch->fd);
    watch->fd = -1;
}

enum err_code
directory_guard_set(struct directory_guard *guard, struct directory_guard_watch *watch,
                    int64_t deadline_ms, struct err *err)
{
    int error = 0;
    pthread_mutex_lock(&guard->lock);
    if (!guard->is_running)
        error = pthread_create(&guard->thread, NULL, run, guard);
    guard->is_running |= error == 0;
    if (error == 0) {
        watch->deadline_ms = deadline_ms;
        watch->has_fired = false;
        if (!watch->is_set) {
            watch->is_set = true;
            watch->next = guard->first;
            watch->link = &guard->first;
            if (watch->next)
                watch->next->link = &watch->next;
            guard->first = watch;
        }
        if (deadline_ms < guard->next_ms)
            pthread_cond_signal(&guard->wake);
    }
    pthread_mutex_unlock(&guard->lock);
    return error == 0 ? ERR_OK : err_set_errno(err, error, "no thread to hold a deadline");
}

bool
directory_guard_reset(struct directory_guard *guard, struct directory_guard_watch *watch)
{
    pthread_mutex_lock(&guard->lock);
    if (watch->is_set) {
        *watch->link = watch->next;
        if (watch->next)
            watch->next->link = watch->link;
        watch->is_set = false;
    }
    bool has_fired = watch->has_fired;
    pthread_mutex_unlock(&guard->lock);
    return has_fired;
}
