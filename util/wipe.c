#include "util/wipe.h"

#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

enum err_code
wipe_init(struct err *err)
{
    struct rlimit none = { .rlim_cur = 0, .rlim_max = 0 };

    /* The limit alone does not do it: a core handler behind a pipe ignores it (core(5)). */
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return err_set_errno(err, errno, "PR_SET_DUMPABLE");
    if (setrlimit(RLIMIT_CORE, &none) < 0)
        return err_set_errno(err, errno, "RLIMIT_CORE");
    return ERR_OK;
}

#if WIPE_IS_OFF

void
wipe_free(void *block)
{
    free(block);
}

void *
wipe_realloc(void *block, size_t size)
{
    return realloc(block, size);
}

void
wipe_free_used(void *block, size_t used)
{
    if (!block)
        return;
    explicit_bzero(block, used);
    free(block);
}

#else

/* The allocator itself: free() is ours where this is used. */
extern void __libc_free(void *block);

enum { WIPE_INLINE_BYTES = 192 };

/* The library frees thousands of small blocks per message: they are cleared here, by stores that
 * the barrier keeps from being left out, and large ones by the C library. What the allocator gives
 * is a multiple of 8 octets and aligned to 16. */
static inline void
wipe_block(void *block, size_t size)
{
    if (size > WIPE_INLINE_BYTES) {
        explicit_bzero(block, size);
        return;
    }
    for (uint64_t *p = block, *end = p + size / sizeof *p; p < end; p++)
        *p = 0;
    __asm__ volatile("" : : "r"(block) : "memory");
}

void
wipe_free(void *block)
{
    if (!block)
        return;
    /* All that the allocator gave, not only what was asked for: callers may use the whole of it.
     * errno stays what it was (glibc 2.33 and newer). */
    wipe_block(block, malloc_usable_size(block));
    __libc_free(block);
}

/* Weak, for tests that count blocks: this one frees past the `free` that they see. */
__attribute__((weak)) void
wipe_free_used(void *block, size_t used)
{
    if (!block)
        return;
    wipe_block(block, (used + 7) / 8 * 8);
    __libc_free(block);
}

void *
wipe_realloc(void *block, size_t size)
{
    size_t held = block ? malloc_usable_size(block) : 0;
    void *moved;

    if (!block)
        return malloc(size);
    if (size == 0) {
        wipe_free(block);
        return NULL;
    }
    /* Stays where it is, unless that would waste more than half. */
    if (size <= held && size >= held / 2)
        return block;
    moved = malloc(size);
    if (!moved)
        return NULL;
    memcpy(moved, block, size < held ? size : held);
    wipe_free(block);
    return moved;
}

#endif
