#include "milter/progress.h"

#include <pthread.h>
#include <stdbool.h>
#include <time.h>

#include "util/clock.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER;
static struct milter_progress *waiting;
static pthread_t ticker;
static bool running, stop;

static void *
tick(void *unused)
{
    pthread_mutex_lock(&lock);
    while (!stop) {
        int64_t next_ms = clock_monotonic_ms() + MILTER_PROGRESS_INTERVAL_MS;
        while (!stop && clock_monotonic_ms() < next_ms) {
            struct timespec until = { .tv_sec = next_ms / 1000,
                                      .tv_nsec = (next_ms % 1000) * 1000000 };
            pthread_cond_clockwait(&wake, &lock, CLOCK_MONOTONIC, &until);
        }
        for (struct milter_progress *p = waiting; p && !stop; p = p->next) {
            /* A failure means that the MTA is gone; the callback finds out by itself. */
            (void)smfi_progress(p->ctx);
        }
    }
    pthread_mutex_unlock(&lock);
    return unused;
}

enum err_code
milter_progress_init(struct err *err)
{
    stop = false;
    int code = pthread_create(&ticker, NULL, tick, NULL);
    if (code)
        return err_set_errno(err, code, "cannot start the progress thread");
    running = true;
    return ERR_OK;
}

void
milter_progress_deinit(void)
{
    if (!running)
        return;
    pthread_mutex_lock(&lock);
    stop = true;
    pthread_cond_broadcast(&wake);
    pthread_mutex_unlock(&lock);
    pthread_join(ticker, NULL);
    running = false;
}

void
milter_progress_begin(struct milter_progress *progress, SMFICTX *ctx)
{
    progress->ctx = ctx;
    pthread_mutex_lock(&lock);
    progress->next = waiting;
    waiting = progress;
    pthread_mutex_unlock(&lock);
}

void
milter_progress_end(struct milter_progress *progress)
{
    pthread_mutex_lock(&lock);
    for (struct milter_progress **p = &waiting; *p; p = &(*p)->next) {
        if (*p == progress) {
            *p = progress->next;
            break;
        }
    }
    pthread_mutex_unlock(&lock);
}
