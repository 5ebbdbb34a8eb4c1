#include "flow/poison.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/clock.h"

enum { POISON_FREE, POISON_SUSPECT, POISON_IN_FLIGHT };

/* One layout for all machines that share nothing: the file never leaves its host. The state is
 * written last when a mark is set and first when it is taken away, so that a mark is whole. */
struct poison_slot {
    unsigned char name[FLOW_POISON_NAME_BYTES];
    _Atomic uint32_t state;
    uint32_t times;
    int64_t at_s;
    unsigned char unused[16];
};

struct poison_file {
    char magic[16];
    unsigned char unused[48];
    struct poison_slot slots[FLOW_POISON_SLOTS];
};

static const char poison_magic[16] = "smimed poison 1";

_Static_assert(sizeof(struct poison_slot) == 64, "a mark has 64 octets");

/* Which marks are not free is kept beside the file, so that a message looks at those alone: as a
 * rule they are as few as the messages in flight, and a walk over all of the file takes its place
 * in the processor's caches. */
struct flow_poison {
    struct poison_file *file; /* mapped */
    int fd;
    bool ended;                        /* behind the lock, as the marks and all that follows are */
    unsigned taken;                    /* how many are not free: the first ones in `order` */
    uint16_t order[FLOW_POISON_SLOTS]; /* every mark once */
    uint16_t place[FLOW_POISON_SLOTS]; /* where each stands in `order` */
    pthread_mutex_t lock;
};

static struct poison_slot *
slot_at(struct flow_poison *poison, unsigned place)
{
    return &poison->file->slots[poison->order[place]];
}

static void
slot_move(struct flow_poison *poison, const struct poison_slot *slot, unsigned to)
{
    uint16_t index = (uint16_t)(slot - poison->file->slots), other = poison->order[to];
    uint16_t from = poison->place[index];

    poison->order[to] = index;
    poison->place[index] = (uint16_t)to;
    poison->order[from] = other;
    poison->place[other] = from;
}

/* The slot, which was taken, is free. */
static void
slot_free(struct flow_poison *poison, struct poison_slot *slot)
{
    slot->state = POISON_FREE;
    slot_move(poison, slot, --poison->taken);
}

static enum err_code
file_map(struct flow_poison *poison, const char *path, struct err *err)
{
    struct stat st;
    void *mapped;

    poison->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (poison->fd < 0)
        return err_set_errno(err, errno, "%.200s", path);
    if (flock(poison->fd, LOCK_EX | LOCK_NB) != 0)
        return err_set_errno(err, errno, "%.200s is in use by another smimed", path);
    if (fstat(poison->fd, &st) != 0)
        return err_set_errno(err, errno, "%.200s", path);
    if (!S_ISREG(st.st_mode) || (st.st_mode & 077))
        return err_set(err, ERR_PERM, "%.200s is not a private file of ours", path);
    /* The blocks are there before they are needed: a full disk must not be a SIGBUS later. */
    errno = posix_fallocate(poison->fd, 0, sizeof(struct poison_file));
    if (errno != 0)
        return err_set_errno(err, errno, "%.200s", path);
    mapped =
        mmap(NULL, sizeof(struct poison_file), PROT_READ | PROT_WRITE, MAP_SHARED, poison->fd, 0);
    if (mapped == MAP_FAILED)
        return err_set_errno(err, errno, "%.200s cannot be mapped", path);
    poison->file = mapped;
    return ERR_OK;
}

/* Whatever was in flight fell with us. Garbage in a slot is a free slot. */
static unsigned
file_check(struct flow_poison *poison)
{
    struct poison_file *file = poison->file;
    unsigned suspects = 0, end = FLOW_POISON_SLOTS;

    if (memcmp(file->magic, poison_magic, sizeof poison_magic) != 0) {
        memset(file, 0, sizeof *file);
        memcpy(file->magic, poison_magic, sizeof poison_magic);
    }
    for (unsigned i = 0; i < FLOW_POISON_SLOTS; i++) {
        struct poison_slot *slot = &file->slots[i];
        unsigned place;

        if (slot->state == POISON_IN_FLIGHT) {
            slot->times++;
            slot->state = POISON_SUSPECT;
            suspects++;
        } else if (slot->state != POISON_SUSPECT) {
            slot->state = POISON_FREE;
        }
        place = slot->state == POISON_FREE ? --end : poison->taken++;
        poison->order[place] = (uint16_t)i;
        poison->place[i] = (uint16_t)place;
    }
    return suspects;
}

enum err_code
flow_poison_open(const char *path, struct flow_poison **out, unsigned *suspects, struct err *err)
{
    struct flow_poison *poison = calloc(1, sizeof *poison);
    enum err_code code;

    *out = NULL;
    if (!poison)
        return err_set(err, ERR_NOMEM, "no memory for the marks of messages");
    poison->fd = -1;
    pthread_mutex_init(&poison->lock, NULL);
    code = file_map(poison, path, err);
    if (code != ERR_OK) {
        flow_poison_close(&poison);
        return code;
    }
    *suspects = file_check(poison);
    *out = poison;
    return ERR_OK;
}

void
flow_poison_close(struct flow_poison **poison)
{
    struct flow_poison *p = *poison;

    *poison = NULL;
    if (!p)
        return;
    if (p->file)
        munmap(p->file, sizeof *p->file);
    if (p->fd >= 0)
        close(p->fd);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

/* What a new mark of that name has to know of the others. */
struct slot_search {
    struct poison_slot *suspect; /* of that name and not in flight; NULL: none. The same message may
                                    come over two connections at once: each has its own mark */
    struct poison_slot *oldest;  /* suspect of any name; NULL: none */
    unsigned stuck;              /* of that name, in flight for longer than a message can be */
};

static struct slot_search
slot_find(struct flow_poison *poison, const unsigned char *name, int64_t now_s)
{
    struct slot_search found = { 0 };

    for (unsigned i = 0; i < poison->taken; i++) {
        struct poison_slot *slot = slot_at(poison, i);
        bool same = memcmp(slot->name, name, sizeof slot->name) == 0;

        if (slot->state == POISON_IN_FLIGHT) {
            found.stuck += same && now_s - slot->at_s > FLOW_POISON_STUCK_S;
            continue;
        }
        if (same && !found.suspect)
            found.suspect = slot;
        if (!found.oldest || slot->at_s < found.oldest->at_s)
            found.oldest = slot;
    }
    return found;
}

/* The place for a new mark: a free one, else the oldest suspect; NULL when all are in flight. */
static struct poison_slot *
slot_take(struct flow_poison *poison, struct poison_slot *oldest)
{
    return poison->taken < FLOW_POISON_SLOTS ? slot_at(poison, poison->taken++) : oldest;
}

static int
slot_set(struct flow_poison *poison, struct poison_slot *slot, const unsigned char *name,
         uint32_t times)
{
    slot->state = POISON_FREE;
    memcpy(slot->name, name, sizeof slot->name);
    slot->times = times;
    slot->at_s = clock_now_s();
    slot->state = POISON_IN_FLIGHT;
    return (int)(slot - poison->file->slots);
}

unsigned
flow_poison_set(struct flow_poison *poison, const unsigned char name[FLOW_POISON_NAME_BYTES],
                int *out)
{
    struct slot_search found;
    struct poison_slot *slot;
    unsigned times;

    *out = -1;
    if (!poison)
        return 0;
    pthread_mutex_lock(&poison->lock);
    if (poison->ended) {
        pthread_mutex_unlock(&poison->lock);
        return 0;
    }
    found = slot_find(poison, name, clock_now_s());
    times = found.suspect ? found.suspect->times : 0;
    if (times + found.stuck < FLOW_POISON_TIMES) {
        slot = found.suspect ? found.suspect : slot_take(poison, found.oldest);
        if (slot)
            *out = slot_set(poison, slot, name, times);
    }
    pthread_mutex_unlock(&poison->lock);
    return times + found.stuck;
}

/* A mark is in flight no more. Once `ended` has set it free another message cannot have taken it.
 */
static void
slot_end(struct flow_poison *poison, struct poison_slot *slot, bool forget)
{
    if (!forget)
        slot->state = POISON_SUSPECT;
    else if (slot->state != POISON_FREE)
        slot_free(poison, slot);
}

void
flow_poison_finish(struct flow_poison *poison, int *out, enum flow_poison_end end)
{
    struct poison_slot *slot;

    if (*out < 0)
        return;
    assert(poison && *out < FLOW_POISON_SLOTS);
    slot = &poison->file->slots[*out];
    *out = -1;
    pthread_mutex_lock(&poison->lock);
    if (end == FLOW_POISON_STALLED)
        slot->times++;
    if (!poison->ended || end != FLOW_POISON_ABORTED)
        slot_end(poison, slot, end == FLOW_POISON_WELL || slot->times == 0);
    pthread_mutex_unlock(&poison->lock);
}

void
flow_poison_deinit(struct flow_poison *poison)
{
    if (!poison)
        return;
    pthread_mutex_lock(&poison->lock);
    poison->ended = true;
    for (unsigned i = poison->taken; i-- > 0;) {
        struct poison_slot *slot = slot_at(poison, i);

        if (slot->state == POISON_IN_FLIGHT)
            slot_end(poison, slot, slot->times == 0);
    }
    pthread_mutex_unlock(&poison->lock);
}

unsigned
flow_poison_reset(struct flow_poison *poison, const unsigned char *name)
{
    unsigned count = 0;

    if (!poison)
        return 0;
    pthread_mutex_lock(&poison->lock);
    for (unsigned i = poison->taken; i-- > 0;) {
        struct poison_slot *slot = slot_at(poison, i);

        if (slot->state == POISON_SUSPECT &&
            (!name || memcmp(slot->name, name, sizeof slot->name) == 0)) {
            slot_free(poison, slot);
            count++;
        }
    }
    pthread_mutex_unlock(&poison->lock);
    return count;
}

void
flow_poison_get(struct flow_poison *poison, unsigned *suspects, unsigned *poisoned)
{
    *suspects = *poisoned = 0;
    if (!poison)
        return;
    pthread_mutex_lock(&poison->lock);
    for (unsigned i = 0; i < poison->taken; i++) {
        const struct poison_slot *slot = slot_at(poison, i);

        *suspects += slot->state == POISON_SUSPECT;
        *poisoned += slot->state == POISON_SUSPECT && slot->times >= FLOW_POISON_TIMES;
    }
    pthread_mutex_unlock(&poison->lock);
}
