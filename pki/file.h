/*
 * Reading the small files of configuration: certificates, CRLs, keys. Regular files only (no pipe
 * can stall us, no device can feed us for ever), each with a bound.
 *
 * Threads: any.
 */
#ifndef PKI_FILE_H
#define PKI_FILE_H

#include <sys/stat.h>
#include <sys/types.h>

#include "util/buf.h"
#include "util/err.h"

enum { PKI_FILE_NAMES_MAX = 100000 };

/* Opens for reading; what is judged is the opened file, not a link that leads to it. ERR_NOTFOUND:
 * there is none; ERR_PERM: not a regular file, or `secret` and its owner is neither us nor root
 * (for root: nor the owner of its folder) or others may read or write it; ERR_LIMIT: more than
 * `limit_bytes`; ERR_TEMP. The caller closes *fd. */
ERR_CHECKED enum err_code pki_file_find(const char *path, size_t limit_bytes, bool secret, int *fd,
                                        struct stat *st, struct err *err);

/* Appends the file's bytes to `into`; its limit is the bound. */
ERR_CHECKED enum err_code pki_file_load(const char *path, struct buf *into, struct err *err);

/* The full paths of a folder's regular files in the order of their names, without dot files and
 * what editors and package managers leave behind; with `depth` 1 those of its subfolders too. */
struct pki_file_names {
    char **list;
    size_t count, cap;
};

ERR_CHECKED enum err_code pki_file_names_load(const char *folder, unsigned depth,
                                              struct pki_file_names *out, struct err *err);
void pki_file_names_free(struct pki_file_names *names); /* empties it */

/* Writes a new file of mode 0600, synced, whole or not at all. One that is there is left alone:
 * *made says whether it was written. When root writes, the file is given to the owner of its
 * folder, so that a daemon with a user of its own can read what the administrator imports. */
ERR_CHECKED enum err_code pki_file_write(const char *path, struct span bytes, bool *made,
                                         struct err *err);

/* A private folder (0700), owned like the folder it stands in; one that is there is fine. */
ERR_CHECKED enum err_code pki_file_folder_new(const char *path, struct err *err);

#endif
