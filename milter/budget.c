#include "milter/budget.h"

#include <string.h>
#include <time.h>

#include "util/clock.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct milter_budget_facts now_held;
static struct milter_budget_slot *slots;
static struct milter_budget_slot *waiting; /* in the order they came */

/* How long a waiter sleeps before it looks whether a slot has become stale. */
enum { LOOK_MS = 500 };

const char *
milter_result_name(enum milter_result result)
{
    static const char *const names[MILTER_RESULT_COUNT] = {
        [MILTER_RESULT_DELIVERED] = "delivered", [MILTER_RESULT_REFUSED] = "refused",
        [MILTER_RESULT_DEFERRED] = "deferred",   [MILTER_RESULT_BUSY] = "busy",
        [MILTER_RESULT_FAILED] = "failed",       [MILTER_RESULT_ABORTED] = "aborted",
    };
    return result < MILTER_RESULT_COUNT ? names[result] : "unknown";
}

/* Waits with the lock held. False when the deadline has passed. */
static bool
wait_for(pthread_cond_t *condition, int64_t deadline_ms)
{
    if (clock_monotonic_ms() >= deadline_ms)
        return false;
    struct timespec until = { .tv_sec = deadline_ms / 1000,
                              .tv_nsec = (deadline_ms % 1000) * 1000000 };
    pthread_cond_clockwait(condition, &lock, CLOCK_MONOTONIC, &until);
    return true;
}

bool
milter_budget_take_connection(uint64_t limit)
{
    pthread_mutex_lock(&lock);
    bool taken = now_held.connections < limit;
    if (taken) {
        now_held.connections++;
        now_held.connections_total++;
    } else {
        now_held.connections_refused++;
    }
    pthread_mutex_unlock(&lock);
    return taken;
}

void
milter_budget_release_connection(void)
{
    pthread_mutex_lock(&lock);
    now_held.connections--;
    pthread_mutex_unlock(&lock);
}

bool
milter_budget_take_arrival(uint64_t limit)
{
    pthread_mutex_lock(&lock);
    bool taken = now_held.arrivals < limit;
    if (taken) {
        now_held.arrivals++;
        now_held.arrivals_total++;
    } else {
        now_held.connections_refused++;
    }
    pthread_mutex_unlock(&lock);
    return taken;
}

void
milter_budget_release_arrival(void)
{
    pthread_mutex_lock(&lock);
    now_held.arrivals--;
    pthread_mutex_unlock(&lock);
}

bool
milter_budget_take_message(uint64_t limit, uint64_t limit_bytes)
{
    pthread_mutex_lock(&lock);
    bool taken = !now_held.stopping && now_held.messages < limit && now_held.bytes < limit_bytes;
    if (taken) {
        now_held.messages++;
        now_held.messages_total++;
    } else {
        now_held.results[MILTER_RESULT_BUSY]++;
    }
    pthread_mutex_unlock(&lock);
    return taken;
}

void
milter_budget_release_message(enum milter_result result)
{
    pthread_mutex_lock(&lock);
    now_held.messages--;
    if (result < MILTER_RESULT_COUNT)
        now_held.results[result]++;
    if (now_held.messages == 0)
        pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static bool
set_bytes(uint64_t *held, uint64_t now, uint64_t limit_bytes, bool to_end)
{
    pthread_mutex_lock(&lock);
    bool more = now > *held;
    now_held.bytes = now_held.bytes - *held + now;
    *held = now;
    if (now_held.bytes > now_held.bytes_peak)
        now_held.bytes_peak = now_held.bytes;
    bool fits = !more || now_held.bytes <= limit_bytes || (to_end && now_held.bytes == now);
    pthread_mutex_unlock(&lock);
    return fits;
}

bool
milter_budget_set_bytes(uint64_t *held, uint64_t now, uint64_t limit_bytes)
{
    return set_bytes(held, now, limit_bytes, false);
}

bool
milter_budget_set_bytes_to_end(uint64_t *held, uint64_t now, uint64_t limit_bytes)
{
    return set_bytes(held, now, limit_bytes, true);
}

/* Slots whose holder moves; the caller holds the lock. */
static uint64_t
count_working(void)
{
    int64_t now_ms = clock_monotonic_ms();
    uint64_t count = 0;

    for (const struct milter_budget_slot *slot = slots; slot; slot = slot->next)
        count += slot->stale_ms > now_ms;
    return count;
}

/* The last of those that wait; the caller holds the lock. */
static void
join_queue(struct milter_budget_slot *slot)
{
    struct milter_budget_slot **last = &waiting;

    while (*last)
        last = &(*last)->next;
    slot->next = NULL;
    *last = slot;
    now_held.slots_waiting++;
}

static void
leave(struct milter_budget_slot **list, const struct milter_budget_slot *slot)
{
    for (; *list; list = &(*list)->next) {
        if (*list == slot) {
            *list = slot->next;
            return;
        }
    }
}

/* Who is first now looks for himself. */
static void
wake_first(void)
{
    if (waiting)
        pthread_cond_signal(&waiting->turn);
    else if (now_held.slots == 0)
        pthread_cond_broadcast(&changed);
}

/* Until it is the slot's turn and there is room; the caller holds the lock. */
static bool
wait_turn(struct milter_budget_slot *slot, uint64_t limit, int64_t deadline_ms)
{
    bool taken;

    pthread_cond_init(&slot->turn, NULL);
    join_queue(slot);
    while (!(taken = waiting == slot && count_working() < limit)) {
        int64_t look_ms = clock_monotonic_ms() + LOOK_MS;
        if (clock_monotonic_ms() >= deadline_ms)
            break;
        wait_for(&slot->turn, look_ms < deadline_ms ? look_ms : deadline_ms);
    }
    leave(&waiting, slot);
    now_held.slots_waiting--;
    pthread_cond_destroy(&slot->turn);
    return taken;
}

bool
milter_budget_take_slot(struct milter_budget_slot *slot, uint64_t limit, int64_t deadline_ms)
{
    pthread_mutex_lock(&lock);
    bool taken = !waiting && count_working() < limit;
    if (!taken)
        taken = wait_turn(slot, limit, deadline_ms);
    if (taken) {
        slot->stale_ms = clock_monotonic_ms() + slot->patience_ms;
        slot->next = slots;
        slots = slot;
        now_held.slots++;
    }
    /* One that gave up was perhaps the one that was woken. */
    if (!taken || count_working() < limit)
        wake_first();
    pthread_mutex_unlock(&lock);
    return taken;
}

void
milter_budget_reset_slot(struct milter_budget_slot *slot)
{
    pthread_mutex_lock(&lock);
    slot->stale_ms = clock_monotonic_ms() + slot->patience_ms;
    pthread_mutex_unlock(&lock);
}

void
milter_budget_release_slot(struct milter_budget_slot *slot)
{
    pthread_mutex_lock(&lock);
    leave(&slots, slot);
    now_held.slots--;
    wake_first();
    pthread_mutex_unlock(&lock);
}

void
milter_budget_stop(void)
{
    pthread_mutex_lock(&lock);
    now_held.stopping = true;
    pthread_mutex_unlock(&lock);
}

bool
milter_budget_wait_idle(int64_t deadline_ms)
{
    bool in_time = true;
    pthread_mutex_lock(&lock);
    while (now_held.messages > 0 && in_time)
        in_time = wait_for(&changed, deadline_ms);
    bool idle = now_held.messages == 0;
    pthread_mutex_unlock(&lock);
    return idle;
}

bool
milter_budget_wait_slots(int64_t deadline_ms)
{
    bool in_time = true;
    pthread_mutex_lock(&lock);
    while (now_held.slots + now_held.slots_waiting > 0 && in_time)
        in_time = wait_for(&changed, deadline_ms);
    bool idle = now_held.slots + now_held.slots_waiting == 0;
    pthread_mutex_unlock(&lock);
    return idle;
}

void
milter_budget_get(struct milter_budget_facts *out)
{
    pthread_mutex_lock(&lock);
    *out = now_held;
    pthread_mutex_unlock(&lock);
}

void
milter_budget_reset(void)
{
    pthread_mutex_lock(&lock);
    memset(&now_held, 0, sizeof now_held);
    slots = waiting = NULL;
    pthread_mutex_unlock(&lock);
}
