#include "util/clock.h"

#include <stdatomic.h>

/* Seconds that a test or --at has set; 0 while the real clock counts. */
static _Atomic int64_t clock_fixed_s;

time_t
clock_now_s(void)
{
    int64_t fixed = atomic_load_explicit(&clock_fixed_s, memory_order_relaxed);
    return fixed ? (time_t)fixed : time(NULL);
}

int64_t
clock_monotonic_ms(void)
{
    struct timespec now;
    /* CLOCK_MONOTONIC cannot fail on Linux. */
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void
clock_set_s(time_t now_s)
{
    atomic_store_explicit(&clock_fixed_s, (int64_t)now_s, memory_order_relaxed);
}
