/*
 * Files and folders: who can read our keys, and can the MTA reach our socket?
 */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/doctor_report.h"
#include "util/span.h"

enum { PATH_SIZE = 4200, GROUPS_MAX = 256 };

/* ---- what somebody else may do
 * ---------------------------------------------------------------------- */

struct person {
    uid_t uid;
    gid_t groups[GROUPS_MAX];
    int group_count;
};

static bool
find_person(const char *user, struct person *out)
{
    const struct passwd *entry = getpwnam(user);

    if (!entry)
        return false;
    out->uid = entry->pw_uid;
    out->group_count = GROUPS_MAX;
    return getgrouplist(user, entry->pw_gid, out->groups, &out->group_count) >= 0;
}

/* Mode bits only: an access control list may say more. `want` is 1 (search), 2 (write) or 4 (read).
 */
static bool
may(const struct person *person, const struct stat *st, unsigned want)
{
    if (person->uid == 0)
        return true;
    if (st->st_uid == person->uid)
        return ((st->st_mode >> 6) & want) == want;
    for (int i = 0; i < person->group_count; i++) {
        if (st->st_gid == person->groups[i])
            return ((st->st_mode >> 3) & want) == want;
    }
    return (st->st_mode & want) == want;
}

void
ctl_doctor_check_access(struct ctl_doctor_report *report, const char *name, const char *root,
                        const char *path, const char *user)
{
    static const char hint[] = "give the folder and the socket to the MTA's group (socket_group, "
                               "socket_mode = 0660), or move the socket";
    char part[PATH_SIZE];
    struct person person;
    struct stat st;
    size_t from = strlen(root);

    if (!find_person(user, &person)) {
        ctl_doctor_report_write(report, CTL_DOCTOR_LEVEL_UNKNOWN, name, NULL, "there is no user %s",
                                user);
        return;
    }
    if (from > 0 && (strncmp(path, root, from) || path[from] != '/'))
        from = 0; /* a link leads there: look at all of it */
    for (const char *slash = path + from; slash; slash = strchr(slash + 1, '/')) {
        snprintf(part, sizeof part, "%.*s", slash == path ? 1 : (int)(slash - path), path);
        if (stat(part, &st)) {
            ctl_doctor_report_write(
                report, errno == EACCES ? CTL_DOCTOR_LEVEL_UNKNOWN : CTL_DOCTOR_LEVEL_FAIL, name,
                errno == EACCES ? "run this as root" : "make the folder", "%s: %s", part,
                strerror(errno));
            return;
        }
        if (!may(&person, &st, 1)) {
            ctl_doctor_report_write(report, CTL_DOCTOR_LEVEL_FAIL, name, hint,
                                    "user %s cannot enter %s (mode %04o)", user, part,
                                    (unsigned)st.st_mode & 07777);
            return;
        }
    }
    if (stat(path, &st)) {
        ctl_doctor_report_write(report, CTL_DOCTOR_LEVEL_WARN, name, "start smimed", "%s: %s", path,
                                strerror(errno));
        return;
    }
    bool good = S_ISSOCK(st.st_mode) && may(&person, &st, 2);
    ctl_doctor_report_write(report, good ? CTL_DOCTOR_LEVEL_OK : CTL_DOCTOR_LEVEL_FAIL, name, hint,
                            "user %s %s %s (mode %04o)", user,
                            !S_ISSOCK(st.st_mode) ? "finds no socket at"
                            : good                ? "can write to"
                                                  : "cannot write to",
                            path, (unsigned)st.st_mode & 07777);
}

/* ---- ours
 * -------------------------------------------------------------------------------------------- */

/* Its mode was judged with the configuration. */
static void
check_folder(struct ctl_doctor_report *report, const char *name, const char *path)
{
    struct stat st;

    if (!path[0])
        return;
    if (stat(path, &st)) {
        ctl_doctor_report_write(report,
                                errno == EACCES ? CTL_DOCTOR_LEVEL_UNKNOWN : CTL_DOCTOR_LEVEL_FAIL,
                                name, errno == EACCES ? "run this as root" : "make the folder",
                                "%s: %s", path, strerror(errno));
        return;
    }
    if (!S_ISDIR(st.st_mode))
        ctl_doctor_report_write(report, CTL_DOCTOR_LEVEL_FAIL, name, "name a folder",
                                "%s is not a folder", path);
    else
        ctl_doctor_report_write(report, CTL_DOCTOR_LEVEL_OK, name, NULL, "%s (mode %04o)", path,
                                (unsigned)st.st_mode & 07777);
}

/* Can the user that the daemon becomes read and write there? */
static void
check_owner(struct ctl_doctor_report *report, const char *name, const char *path, const char *user)
{
    struct person person;
    struct stat st;

    if (!path[0] || !user[0] || stat(path, &st))
        return;
    if (!find_person(user, &person))
        ctl_doctor_report_write(report, CTL_DOCTOR_LEVEL_FAIL, "user",
                                "adduser --system --group --home /var/lib/smimed smimed",
                                "there is no user %s", user);
    else if (!may(&person, &st, 7))
        ctl_doctor_report_write(report, CTL_DOCTOR_LEVEL_FAIL, name, "chown it to that user",
                                "user %s cannot write to %s", user, path);
}

void
ctl_doctor_check_files(struct ctl_doctor_report *report, const struct conf *conf)
{
    const struct conf_global *global = &conf->global;
    const struct {
        const char *name, *path;
    } folders[] = {
        { "state_folder", global->state_folder },
        { "spool_folder", global->spool_folder },
        { "keys_folder", global->keys_folder },
        { "import_folder", global->import_folder },
    };

    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        check_folder(report, folders[i].name, folders[i].path);
        check_owner(report, folders[i].name, folders[i].path, global->user);
    }
    for (size_t i = 0; global->certificate_folders[i]; i++) {
        const char *path = global->certificate_folders[i];
        if (access(path, R_OK))
            ctl_doctor_report_write(report, CTL_DOCTOR_LEVEL_FAIL, "certificate_folders",
                                    "make it readable for smimed", "%s: %s", path, strerror(errno));
    }
    if (strncasecmp(global->socket, "inet", 4) == 0 && !strstr(global->socket, "@127.") &&
        !strstr(global->socket, "@localhost") && !strstr(global->socket, "@[::1]") &&
        !strstr(global->socket, "@::1"))
        ctl_doctor_report_write(report, CTL_DOCTOR_LEVEL_WARN, "socket",
                                "use a Unix socket, or bind it to loopback, or filter the port: "
                                "whoever reaches it can have mail signed",
                                "%s can be reached from other hosts", global->socket);
}
