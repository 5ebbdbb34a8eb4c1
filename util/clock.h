/*
 * The one clock. Everything that asks for the time asks here, so that a test (and `smimectl --at`)
 * can set it. Wall time decides validity; monotonic time decides deadlines and is never set.
 */
#ifndef UTIL_CLOCK_H
#define UTIL_CLOCK_H

#include <stdint.h>
#include <time.h>

/* Seconds since 1970, UTC. */
time_t clock_now_s(void);

/* Milliseconds of a clock that only moves forward. */
int64_t clock_monotonic_ms(void);

/* From now on clock_now_s answers `now_s` (0: the real time again). For tests and --at only. */
void clock_set_s(time_t now_s);

#endif
