#include "util/pool.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

/* OpenSSL builds paths and libldap parses answers in far less. */
enum { POOL_STACK_BYTES = 1024 * 1024 };

struct task {
    pool_task_fn *run;
    void *context;
};

struct pool {
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct task *ring; /* `cap` places; the first waiting task is at `head` */
    size_t cap, head, waiting;
    pthread_t *threads;
    unsigned thread_count, thread_limit, idle;
    size_t refused;
    bool ending;
};

static void *
pool_main(void *context)
{
    struct pool *pool = context;

    pthread_mutex_lock(&pool->lock);
    for (;;) {
        struct task task;

        while (pool->waiting == 0 && !pool->ending) {
            pool->idle++;
            pthread_cond_wait(&pool->work, &pool->lock);
            pool->idle--;
        }
        if (pool->ending)
            break;
        task = pool->ring[pool->head];
        pool->head = (pool->head + 1) % pool->cap;
        pool->waiting--;
        pthread_mutex_unlock(&pool->lock);
        task.run(task.context, true);
        pthread_mutex_lock(&pool->lock);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

enum err_code
pool_new(const struct pool_args *args, struct pool **out, struct err *err)
{
    struct pool *pool = calloc(1, sizeof *pool);

    *out = NULL;
    if (!pool)
        return err_set(err, ERR_NOMEM, "no memory for a pool of threads");
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, NULL);
    pool->cap = args->queue > 0 ? args->queue : 1;
    pool->thread_limit = args->threads > 0 ? args->threads : 1;
    pool->ring = calloc(pool->cap, sizeof *pool->ring);
    pool->threads = calloc(pool->thread_limit, sizeof *pool->threads);
    if (!pool->ring || !pool->threads) {
        pool_free(&pool);
        return err_set(err, ERR_NOMEM, "no memory for a pool of threads");
    }
    *out = pool;
    return ERR_OK;
}

void
pool_free(struct pool **pool)
{
    struct pool *old = pool ? *pool : NULL;

    if (!old)
        return;
    *pool = NULL;
    pthread_mutex_lock(&old->lock);
    old->ending = true;
    pthread_cond_broadcast(&old->work);
    pthread_mutex_unlock(&old->lock);
    for (unsigned i = 0; i < old->thread_count; i++)
        pthread_join(old->threads[i], NULL);
    for (; old->waiting > 0; old->waiting--, old->head = (old->head + 1) % old->cap)
        old->ring[old->head].run(old->ring[old->head].context, false);
    pthread_cond_destroy(&old->work);
    pthread_mutex_destroy(&old->lock);
    free(old->ring);
    free(old->threads);
    free(old);
}

/* One more thread, if there may be one; the lock is held. That there is none is no error as long as
 * some thread is there to do the work. */
static void
pool_grow(struct pool *pool)
{
    pthread_attr_t attributes;
    sigset_t all, before;

    if (pool->thread_count == pool->thread_limit || pthread_attr_init(&attributes) != 0)
        return;
    (void)pthread_attr_setstacksize(&attributes, POOL_STACK_BYTES);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(&pool->threads[pool->thread_count], &attributes, pool_main, pool) == 0)
        pool->thread_count++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
}

enum err_code
pool_submit(struct pool *pool, pool_task_fn *task, void *context, struct err *err)
{
    enum err_code code = ERR_OK;

    pthread_mutex_lock(&pool->lock);
    /* `idle` counts threads that were woken and did not run yet, too: compare with what waits. */
    if (!pool->ending && pool->idle <= pool->waiting)
        pool_grow(pool);
    if (pool->ending || pool->waiting == pool->cap || pool->thread_count == 0) {
        pool->refused++;
        code = err_set_reason(err, ERR_LIMIT, "busy", "%s",
                              pool->thread_count == 0 ? "no thread could be started"
                              : pool->ending          ? "smimed is ending"
                                                      : "too much work waits already");
    } else {
        pool->ring[(pool->head + pool->waiting) % pool->cap] =
            (struct task){ .run = task, .context = context };
        pool->waiting++;
        pthread_cond_signal(&pool->work);
    }
    pthread_mutex_unlock(&pool->lock);
    return code;
}

void
pool_get(struct pool *pool, struct pool_facts *out)
{
    pthread_mutex_lock(&pool->lock);
    *out = (struct pool_facts){ .threads = pool->thread_count,
                                .idle = pool->idle,
                                .waiting = pool->waiting,
                                .refused = pool->refused };
    pthread_mutex_unlock(&pool->lock);
}
