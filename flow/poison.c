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

struct flow_poison {
    struct poison_file *file; /* mapped */
    int fd;
    bool ended; /* behind the lock, as the marks are */
    pthread_mutex_t lock;
};

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
file_check(struct poison_file *file)
{
    unsigned suspects = 0;

    if (memcmp(file->magic, poison_magic, sizeof poison_magic) != 0) {
        memset(file, 0, sizeof *file);
        memcpy(file->magic, poison_magic, sizeof poison_magic);
    }
    for (size_t i = 0; i < FLOW_POISON_SLOTS; i++) {
        struct poison_slot *slot = &file->slots[i];

        if (slot->state == POISON_IN_FLIGHT) {
            slot->times++;
            slot->state = POISON_SUSPECT;
            suspects++;
        } else if (slot->state != POISON_SUSPECT) {
            slot->state = POISON_FREE;
        }
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
    *suspects = file_check(poison->file);
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

/* The mark of that name that is not in flight (the same message may come over two connections at
 * once; each has a mark of its own), and the place for a new one: a free one, else the oldest
 * suspect. The walk over 4,096 marks costs microseconds. */
static struct poison_slot *
slot_find(struct poison_file *file, const unsigned char *name, struct poison_slot **place)
{
    *place = NULL;
    for (size_t i = 0; i < FLOW_POISON_SLOTS; i++) {
        struct poison_slot *slot = &file->slots[i];

        if (slot->state == POISON_SUSPECT && memcmp(slot->name, name, sizeof slot->name) == 0)
            return slot;
        if (slot->state == POISON_IN_FLIGHT || (*place && (*place)->state == POISON_FREE))
            continue;
        if (!*place || slot->state == POISON_FREE || slot->at_s < (*place)->at_s)
            *place = slot;
    }
    return NULL;
}

/* How many of that name are stuck: in flight for longer than a message can be. */
static unsigned
stuck_count(const struct poison_file *file, const unsigned char *name, int64_t now_s)
{
    unsigned count = 0;

    for (size_t i = 0; i < FLOW_POISON_SLOTS; i++) {
        const struct poison_slot *slot = &file->slots[i];

        count += slot->state == POISON_IN_FLIGHT && now_s - slot->at_s > FLOW_POISON_STUCK_S &&
                 memcmp(slot->name, name, sizeof slot->name) == 0;
    }
    return count;
}

static int
slot_set(struct poison_file *file, struct poison_slot *slot, const unsigned char *name,
         uint32_t times)
{
    slot->state = POISON_FREE;
    memcpy(slot->name, name, sizeof slot->name);
    slot->times = times;
    slot->at_s = clock_now_s();
    slot->state = POISON_IN_FLIGHT;
    return (int)(slot - file->slots);
}

unsigned
flow_poison_set(struct flow_poison *poison, const unsigned char name[FLOW_POISON_NAME_BYTES],
                int *out)
{
    struct poison_slot *slot, *place;
    unsigned times = 0, stuck;

    *out = -1;
    if (!poison)
        return 0;
    pthread_mutex_lock(&poison->lock);
    if (poison->ended) {
        pthread_mutex_unlock(&poison->lock);
        return 0;
    }
    slot = slot_find(poison->file, name, &place);
    if (slot)
        times = slot->times;
    stuck = stuck_count(poison->file, name, clock_now_s());
    if (times + stuck < FLOW_POISON_TIMES && (slot || place))
        *out = slot_set(poison->file, slot ? slot : place, name, times);
    pthread_mutex_unlock(&poison->lock);
    return times + stuck;
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
        slot->state = end == FLOW_POISON_WELL || slot->times == 0 ? POISON_FREE : POISON_SUSPECT;
    pthread_mutex_unlock(&poison->lock);
}

void
flow_poison_deinit(struct flow_poison *poison)
{
    if (!poison)
        return;
    pthread_mutex_lock(&poison->lock);
    poison->ended = true;
    for (size_t i = 0; i < FLOW_POISON_SLOTS; i++) {
        struct poison_slot *slot = &poison->file->slots[i];

        if (slot->state == POISON_IN_FLIGHT)
            slot->state = slot->times == 0 ? POISON_FREE : POISON_SUSPECT;
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
    for (size_t i = 0; i < FLOW_POISON_SLOTS; i++) {
        struct poison_slot *slot = &poison->file->slots[i];

        if (slot->state == POISON_SUSPECT &&
            (!name || memcmp(slot->name, name, sizeof slot->name) == 0)) {
            slot->state = POISON_FREE;
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
    for (size_t i = 0; i < FLOW_POISON_SLOTS; i++) {
        const struct poison_slot *slot = &poison->file->slots[i];

        *suspects += slot->state == POISON_SUSPECT;
        *poisoned += slot->state == POISON_SUSPECT && slot->times >= FLOW_POISON_TIMES;
    }
    pthread_mutex_unlock(&poison->lock);
}
