/* What is measured: latencies here, CPU and memory of the filter in /proc. */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/mload.h"

uint64_t
figures_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void
figures_add(struct figures *figures, double latency_us)
{
    if (figures->count == figures->cap) {
        figures->cap = figures->cap ? 2 * figures->cap : 4096;
        figures->latency_us =
            message_room(figures->latency_us, figures->cap * sizeof *figures->latency_us);
    }
    figures->latency_us[figures->count++] = latency_us;
}

static int
compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

double
figures_get(struct figures *figures, double share)
{
    if (figures->count == 0)
        return 0;
    qsort(figures->latency_us, figures->count, sizeof *figures->latency_us, compare);
    return figures->latency_us[(size_t)((double)(figures->count - 1) * share)];
}

static FILE *
open_file(int pid, const char *name, const char *mode)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    return fopen(path, mode);
}

void
process_reset(int pid)
{
    FILE *file = open_file(pid, "clear_refs", "w");

    if (!file)
        return;
    fputs("5", file);
    fclose(file);
}

/* The scheduler's own count in nanoseconds: the fields of stat are hundredths of a second. */
static double
get_cpu(int pid)
{
    struct timespec used = { 0 };
    clockid_t clock;

    if (clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &used))
        return 0;
    return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}

/* Of children that were waited for: a filter that starts a program per message. */
static double
get_children_cpu(int pid)
{
    char text[1024];
    unsigned long user = 0, system = 0;
    FILE *file = open_file(pid, "stat", "r");
    size_t n = file ? fread(text, 1, sizeof text - 1, file) : 0;
    char *p;

    if (file)
        fclose(file);
    text[n] = 0;
    p = strrchr(text, ')');
    for (int field = 2; p && field < 16; field++)
        p = strchr(p + 1, ' ');
    if (p) {
        user = strtoul(p, &p, 10);
        system = strtoul(p, &p, 10);
    }
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

struct process
process_get(int pid)
{
    struct process process = { .cpu_s = get_cpu(pid) + get_children_cpu(pid) };
    char line[256];
    FILE *file = open_file(pid, "status", "r");

    while (file && fgets(line, sizeof line, file)) {
        if (strncmp(line, "VmHWM:", 6) == 0)
            process.peak_kib = atol(line + 6);
        else if (strncmp(line, "VmRSS:", 6) == 0)
            process.rss_kib = atol(line + 6);
        else if (strncmp(line, "Threads:", 8) == 0)
            process.threads = atol(line + 8);
    }
    if (file)
        fclose(file);
    return process;
}
