/*
 * pki_keyring_import_folder: one round over the folder of an enrolment system. Who may write there
 * hands out identities: the folder belongs to the enrolment system alone, and one that everybody
 * can write is refused.
 */
#include "pki/keyring.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pki/file.h"
#include "util/clock.h"

enum { SETTLE_S = 2, RENAME_TRIES = 1000 };

struct round {
    const char *watched, *password_file, *folder;
    pki_keyring_complaint_fn *complain;
    void *context;
};

static void
complain(const struct round *round, const char *file, const char *text)
{
    if (round->complain)
        round->complain(round->context, file, text);
}

static bool
is_pkcs12_name(const char *path)
{
    const char *dot = strrchr(path, '.');

    return dot && (strcmp(dot, ".p12") == 0 || strcmp(dot, ".pfx") == 0);
}

static bool
is_settled(const char *path)
{
    struct stat st;
    time_t age;

    if (stat(path, &st) != 0)
        return false;
    age = clock_now_s() - st.st_mtime;
    /* A clock that is far ahead elsewhere must not keep a file waiting. */
    return age >= SETTLE_S || age <= -SETTLE_S;
}

/* Moves a file into watched/place/, under a free name. */
static enum err_code
move(const struct round *round, const char *path, const char *place, struct err *err)
{
    char folder[PATH_MAX], to[PATH_MAX];
    const char *name = strrchr(path, '/') + 1;
    struct stat st;
    enum err_code code;

    snprintf(folder, sizeof folder, "%s/%s", round->watched, place);
    if ((code = pki_file_folder_new(folder, err)) != ERR_OK)
        return code;
    for (unsigned i = 0; i < RENAME_TRIES; i++) {
        int n = i ? snprintf(to, sizeof to, "%s/%s.%u", folder, name, i)
                  : snprintf(to, sizeof to, "%s/%s", folder, name);
        if (n < 0 || (size_t)n >= sizeof to)
            return err_set(err, ERR_PERM, "%s: the path is too long", path);
        if (lstat(to, &st) == 0)
            continue;
        if (rename(path, to) == 0)
            return ERR_OK;
        return err_set_errno(err, errno, "%s", path);
    }
    return err_set(err, ERR_LIMIT, "%s: %u files of that name in %s", path, RENAME_TRIES, place);
}

/* NAME.password beside NAME.p12. False: it is not there yet. */
static bool
password_find(const struct round *round, const char *path, char *out, size_t size)
{
    struct stat st;

    if (round->password_file)
        return (size_t)snprintf(out, size, "%s", round->password_file) < size;
    return (size_t)snprintf(out, size, "%.*s.password", (int)(strrchr(path, '.') - path), path) <
               size &&
           stat(out, &st) == 0;
}

static void
file_import(const struct round *round, const char *path, size_t *count)
{
    char password[PATH_MAX];
    struct pki_import_args args = {
        .file = path, .password_file = password, .folder = round->folder, .guarded = true
    };
    struct err err = ERR_INIT, moving = ERR_INIT;
    const char *place = "done";
    size_t made = 0;
    enum err_code code;

    if (!is_settled(path))
        return;
    if (!password_find(round, path, password, sizeof password)) {
        complain(round, path, "its password file (NAME.password) is not there yet");
        return;
    }
    code = pki_keyring_import(&args, &made, &err);
    *count += made;
    if (code != ERR_OK)
        complain(round, path, err.text);
    /* What may be different the next time stays where it is. */
    if (code == ERR_TEMP || code == ERR_NOMEM)
        return;
    if (code != ERR_OK)
        place = "failed";
    if (move(round, path, place, &moving) != ERR_OK ||
        (!round->password_file && move(round, password, place, &moving) != ERR_OK))
        complain(round, path, moving.text);
}

enum err_code
pki_keyring_import_folder(const char *watched, const char *password_file, const char *folder,
                          pki_keyring_complaint_fn *complain_fn, void *context, size_t *count,
                          struct err *err)
{
    struct round round = { .watched = watched,
                           .password_file = password_file,
                           .folder = folder,
                           .complain = complain_fn,
                           .context = context };
    struct pki_file_names names = { .list = NULL };
    struct stat st;
    enum err_code code;

    *count = 0;
    if (stat(watched, &st) != 0)
        return err_set_errno(err, errno, "%s", watched);
    if (st.st_mode & S_IWOTH)
        return err_set(err, ERR_PERM, "%s: everybody can write into it (mode %04o)", watched,
                       (unsigned)(st.st_mode & 07777));
    code = pki_file_names_load(watched, 0, &names, err);
    for (size_t i = 0; code == ERR_OK && i < names.count; i++) {
        if (is_pkcs12_name(names.list[i]))
            file_import(&round, names.list[i], count);
    }
    pki_file_names_free(&names);
    return code;
}
