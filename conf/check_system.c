/*
 * What the file says about this system: users, groups, files and folders. Only what the file gives
 * is looked at; the folders of defaults are made by the package or the service manager.
 */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/parser.h"

enum { CONF_PASSWD_BYTES = 65536 };

/* 1 it is there, 0 it is not, -1 nobody could say. */
static int
conf_find_user(const char *name, uid_t *uid)
{
    struct passwd entry, *found = NULL;
    char *bytes = malloc(CONF_PASSWD_BYTES);
    int rc = bytes ? getpwnam_r(name, &entry, bytes, CONF_PASSWD_BYTES, &found) : ENOMEM;

    if (found)
        *uid = found->pw_uid;
    free(bytes);
    return found ? 1 : rc == 0 || rc == ENOENT || rc == ESRCH ? 0 : -1;
}

static int
conf_find_group(const char *name)
{
    struct group entry, *found = NULL;
    char *bytes = malloc(CONF_PASSWD_BYTES);
    int rc = bytes ? getgrnam_r(name, &entry, bytes, CONF_PASSWD_BYTES, &found) : ENOMEM;

    free(bytes);
    return found ? 1 : rc == 0 || rc == ENOENT || rc == ESRCH ? 0 : -1;
}

static void
conf_check_account(struct conf_report *report, const struct conf_param *param, const char *name,
                   const struct conf_origin *at)
{
    bool user = param->type == CONF_TYPE_USER;
    const char *what = user ? "user" : "group";
    uid_t uid;
    int found = user ? conf_find_user(name, &uid) : conf_find_group(name);

    if (found == 0)
        conf_report_set(report, at, "%s = %s: there is no such %s on this system", param->name,
                        name, what);
    else if (found < 0)
        conf_report_set(report, at, "%s = %s: the %s database cannot be asked", param->name, name,
                        what);
}

/* Permission bits that a private thing must not have, by type. The group may be let in: the account
 * of the MTA or of an enrolment system is often given access that way. */
static mode_t
conf_check_forbidden(enum conf_type type)
{
    switch (type) {
    case CONF_TYPE_FOLDER_PRIVATE:
    case CONF_TYPE_FILE_SECRET:
        return 0027;
    case CONF_TYPE_FOLDER_DROP:
        return 0007;
    default:
        return 0;
    }
}

static void
conf_check_owner(struct conf_parser *parser, const struct conf_param *param, const char *path,
                 const struct stat *st, const struct conf_origin *at)
{
    const char *user = parser->conf->global.user;
    uid_t uid = geteuid();

    if (st->st_uid == 0 || st->st_uid == uid)
        return;
    if (*user && conf_find_user(user, &uid) == 1 && st->st_uid == uid)
        return;
    conf_report_set(&parser->report, at,
                    "%s = %s belongs to user %u; it must belong to root or to the user of smimed",
                    param->name, path, (unsigned)st->st_uid);
}

static void
conf_check_path(struct conf_parser *parser, const struct conf_param *param, const char *path,
                const struct conf_origin *at)
{
    bool folder = param->type == CONF_TYPE_FOLDER_PRIVATE || param->type == CONF_TYPE_FOLDER_DROP;
    mode_t forbidden = conf_check_forbidden(param->type);
    struct conf_report *report = &parser->report;
    struct stat st;

    if (stat(path, &st) < 0) {
        if (errno == ENOENT || errno == ENOTDIR)
            conf_report_set(report, at, "%s = %s: there is no such %s", param->name, path,
                            folder                           ? "folder"
                            : param->type == CONF_TYPE_PATHS ? "file or folder"
                                                             : "file");
        else
            conf_report_set(report, at, "%s = %s cannot be looked at: %s", param->name, path,
                            strerror(errno));
        return;
    }
    if (folder && !S_ISDIR(st.st_mode)) {
        conf_report_set(report, at, "%s = %s is not a folder", param->name, path);
        return;
    }
    if (param->type != CONF_TYPE_PATHS && !folder && !S_ISREG(st.st_mode)) {
        conf_report_set(report, at, "%s = %s is not a plain file", param->name, path);
        return;
    }
    if (st.st_mode & forbidden)
        conf_report_set(report, at, "%s = %s has mode %04o, which is not private; chmod %04o",
                        param->name, path, (unsigned)st.st_mode & 07777,
                        (unsigned)(st.st_mode & 07777 & ~forbidden));
    if (forbidden)
        conf_check_owner(parser, param, path, &st, at);
}

/* The folder of a socket. Below /run it is made when the service starts. */
static void
conf_check_socket(struct conf_report *report, const struct conf_param *param, const char *value,
                  const struct conf_origin *at)
{
    const char *path = strchr(value, '/');
    char folder[1100];
    size_t n = path ? (size_t)(strrchr(path, '/') - path) : 0;
    struct stat st;

    if (n == 0 || n >= sizeof folder || strncmp(path, "/run/", 5) == 0 ||
        strncmp(path, "/var/run/", 9) == 0)
        return;
    memcpy(folder, path, n);
    folder[n] = '\0';
    if (stat(folder, &st) < 0 || !S_ISDIR(st.st_mode))
        conf_report_set(report, at, "%s = %s: there is no folder %s for the socket", param->name,
                        value, folder);
}

static void
conf_check_string(struct conf_parser *parser, const struct conf_param *param, const char *value,
                  const struct conf_origin *at)
{
    switch (param->type) {
    case CONF_TYPE_USER:
    case CONF_TYPE_GROUP:
        conf_check_account(&parser->report, param, value, at);
        break;
    case CONF_TYPE_FILE:
    case CONF_TYPE_FILE_SECRET:
    case CONF_TYPE_FOLDER_PRIVATE:
    case CONF_TYPE_FOLDER_DROP:
        conf_check_path(parser, param, value, at);
        break;
    case CONF_TYPE_SOCKET:
        if (strncmp(value, "unix:", 5) == 0)
            conf_check_socket(&parser->report, param, value, at);
        break;
    case CONF_TYPE_PATH:
        conf_check_socket(&parser->report, param, value, at);
        break;
    default:
        break;
    }
}

void
conf_check_system(struct conf_parser *parser, const struct conf_section *section)
{
    const struct conf_table *table = conf_table_get(section->kind);

    for (size_t i = 0; i < table->count; i++) {
        const struct conf_param *param = &table->params[i];
        const void *field = (const char *)section->base + param->offset;
        const struct conf_origin *at = &section->origins[i];

        if (!param->name || at->line == 0)
            continue;
        if (conf_type_is_string(param->type) && **(char *const *)field)
            conf_check_string(parser, param, *(char *const *)field, at);
        if (param->type == CONF_TYPE_PATHS)
            for (conf_list path = *(const conf_list *)field; *path; path++)
                conf_check_path(parser, param, *path, at);
    }
}
