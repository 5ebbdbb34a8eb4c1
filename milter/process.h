/*
 * What kind of process smimed is: which user, no core dump, in the background or not, pid file.
 *
 * Keys and plaintext live in this process, so nobody else may look into it (not dumpable: no core,
 * no ptrace by the same user, /proc/PID/mem for root alone), and it does not run as root unless the
 * configuration says so in words.
 *
 * Threads: before any other thread.
 */
#ifndef MILTER_PROCESS_H
#define MILTER_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

#include "util/err.h"

/* No core, not dumpable, umask 077, descriptors 0 to 2 open. Again after a change of user. */
ERR_CHECKED enum err_code milter_process_init(struct err *err);

struct milter_process_user {
    bool change; /* false: stay who started us */
    uid_t uid;
    gid_t gid;
    char name[64];
};

/* Who we shall be. ERR_PERM: root without `user = root`, another user without being root, no such
 * user. */
ERR_CHECKED enum err_code
milter_process_find_user(const char *user, struct milter_process_user *out, struct err *err);

/* Becomes that user for good, with its groups. */
ERR_CHECKED enum err_code milter_process_set_user(const struct milter_process_user *user,
                                                  struct err *err);

/* Forks. The parent waits until the child calls milter_process_ready and then exits 0, or 1 when
 * the child ended before. Returns in the child only. */
ERR_CHECKED enum err_code milter_process_detach(int *ready_fd, struct err *err);
void milter_process_ready(int *ready_fd);

/* Writes our process id; the file is made anew. "" and NULL: no file. */
ERR_CHECKED enum err_code milter_process_write_pid(const char *path, struct err *err);

#endif
