/*
 * Memory that keeps no secrets: every block that the process frees is wiped first, and no core is
 * ever written.
 *
 * Our own buffers wipe themselves. But the plaintext of a message also passes through the libraries
 * we link: libmilter's read and write buffers, the C library's stdio, whatever frees a copy of its
 * own. So the two programs replace free() and realloc() for the whole process:
 *
 *     #include "util/wipe.h"
 *     WIPE_EVERY_FREE
 *
 * in exactly one of their own files (an archive member that defines free() would be linked into
 * everything that calls it). The macro is empty under sanitizers, whose allocator must stay whole.
 * What cannot be reached: stacks, registers, and the allocator's own link fields, which hold no
 * content.
 *
 * Threads: any.
 */
#ifndef UTIL_WIPE_H
#define UTIL_WIPE_H

#include <stddef.h>

#include "util/err.h"

#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) ||       \
    __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer)
#define WIPE_IS_OFF 1
#define WIPE_EVERY_FREE
#else
#define WIPE_IS_OFF 0
#define WIPE_EVERY_FREE                     \
    void free(void *block)                  \
    {                                       \
        wipe_free(block);                   \
    }                                       \
    void *realloc(void *block, size_t size) \
    {                                       \
        return wipe_realloc(block, size);   \
    }
#endif

/* No core dumps and no tracing by other processes of the same user: PR_SET_DUMPABLE 0 and
 * RLIMIT_CORE 0. Call it first in main, and again after the user was changed: the kernel resets the
 * first one then. */
ERR_CHECKED enum err_code wipe_init(struct err *err);

/* What free() and realloc() are replaced by. */
void wipe_free(void *block);
void *wipe_realloc(void *block, size_t size);

/* Frees a block of which only the first `used` octets can hold anything, and wipes those alone:
 * buffers with room to grow. Wipes under sanitizers too. */
void wipe_free_used(void *block, size_t used);

#endif
