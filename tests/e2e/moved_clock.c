/*
 * The time as smimed sees it, moved by a test: real time plus the seconds in a file. Preloaded
 * (LD_PRELOAD); the monotonic clock, by which everything waits, stays real.
 *
 * libfaketime does the same and more: it also takes over waiting for conditions, and gets those of
 * the monotonic clock wrong.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const _Atomic int64_t *moved_s; /* what the test writes */

__attribute__((constructor)) static void
moved_init(void)
{
    const char *path = getenv("MOVED_CLOCK");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *page = fd >= 0 ? mmap(NULL, sizeof *moved_s, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;

    if (page == MAP_FAILED)
        _exit(125);
    moved_s = page;
    close(fd);
}

int
clock_gettime(clockid_t id, struct timespec *out)
{
    int code = (int)syscall(SYS_clock_gettime, id, out);

    if (code == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE) && moved_s)
        out->tv_sec += *moved_s;
    return code;
}

time_t
time(time_t *out)
{
    struct timespec now = { 0 };

    clock_gettime(CLOCK_REALTIME, &now);
    if (out)
        *out = now.tv_sec;
    return now.tv_sec;
}

int
gettimeofday(struct timeval *restrict out, void *restrict zone)
{
    struct timespec now = { 0 };

    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    *out = (struct timeval){ .tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000 };
    return 0;
}
