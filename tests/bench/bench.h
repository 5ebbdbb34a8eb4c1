/*
 * What the bench_*.c share: a function is run for a while, many times, and one JSON line is printed
 * per figure, which tests/bench/run.py gathers:
 *
 *     {"name": "sign rsa2048", "us": 301.2}
 *
 * Figures are CPU time of the calling thread, so that other work on the machine disturbs them
 * little, and the median of several rounds. Anything that fails ends the program: a figure of work
 * that was not done would be worse than none.
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BENCH_ROUNDS = 7 };

#define BENCH_MUST(what)                                                       \
    do {                                                                       \
        if (!(what)) {                                                         \
            fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #what); \
            exit(1);                                                           \
        }                                                                      \
    } while (0)

typedef void bench_fn(void *context);

static inline double
bench_cpu_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static inline int
bench_compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static inline bool
bench_is_quick(void)
{
    const char *mode = getenv("BENCH");

    return mode && strcmp(mode, "quick") == 0;
}

/* Microseconds of CPU that one call takes. */
static inline double
bench_us(bench_fn *run, void *context)
{
    double round_s = bench_is_quick() ? 0.01 : 0.05, us[BENCH_ROUNDS];

    run(context);
    for (int i = 0; i < BENCH_ROUNDS; i++) {
        double begin = bench_cpu_s(), now;
        unsigned long calls = 0;

        do {
            run(context);
            calls++;
        } while ((now = bench_cpu_s()) - begin < round_s);
        us[i] = (now - begin) * 1e6 / (double)calls;
    }
    qsort(us, BENCH_ROUNDS, sizeof *us, bench_compare);
    return us[BENCH_ROUNDS / 2];
}

static inline void
bench_print(const char *name, double us)
{
    printf("{\"name\": \"%s\", \"us\": %.3f}\n", name, us);
    fflush(stdout);
}

static inline void
bench_run(const char *name, bench_fn *run, void *context)
{
    bench_print(name, bench_us(run, context));
}

#endif
