#include "milter/socket.h"

#include <errno.h>
#include <grp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 64, LISTENERS_SEARCHED = 256 };

const char *
milter_socket_path(const char *name)
{
    if (strncasecmp(name, "unix:", 5) == 0)
        return name + 5;
    if (strncasecmp(name, "local:", 6) == 0)
        return name + 6;
    return name[0] == '/' ? name : NULL;
}

static enum err_code
set_address(const char *path, struct sockaddr_un *out, struct err *err)
{
    memset(out, 0, sizeof *out);
    out->sun_family = AF_UNIX;
    if (strlen(path) >= sizeof out->sun_path)
        return err_set(err, ERR_PERM, "the path of socket %s is longer than %zu octets", path,
                       sizeof out->sun_path - 1);
    memcpy(out->sun_path, path, strlen(path) + 1);
    return ERR_OK;
}

enum err_code
milter_socket_reset(const char *path, struct err *err)
{
    struct sockaddr_un address;
    struct stat st;

    if (set_address(path, &address, err))
        return err->code;
    if (lstat(path, &st)) {
        if (errno == ENOENT)
            return ERR_OK;
        return err_set_errno(err, errno, "cannot look at socket %s", path);
    }
    if (!S_ISSOCK(st.st_mode))
        return err_set(err, ERR_PERM, "%s is there and is not a socket; remove it", path);

    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_set_errno(err, errno, "cannot make a socket");
    int result = connect(fd, (struct sockaddr *)&address, sizeof address);
    int why = errno;
    close(fd);
    /* EAGAIN: somebody listens and is busy. */
    if (result == 0 || why == EAGAIN)
        return err_set(err, ERR_PERM, "a daemon already listens on %s", path);
    if (why != ECONNREFUSED && why != ENOENT)
        return err_set_errno(err, why, "cannot tell whether a daemon listens on %s", path);
    if (unlink(path) && errno != ENOENT)
        return err_set_errno(err, errno, "cannot remove the old socket %s", path);
    return ERR_OK;
}

mode_t
milter_socket_set_umask(unsigned mode)
{
    return umask(0777 & ~mode);
}

enum err_code
milter_socket_set_group(const char *path, const char *group, struct err *err)
{
    if (!group[0])
        return ERR_OK;
    const struct group *entry = getgrnam(group); /* one thread yet */
    if (!entry)
        return err_set(err, ERR_PERM, "there is no group %s (socket_group)", group);
    if (lchown(path, (uid_t)-1, entry->gr_gid))
        return err_set_errno(err, errno,
                             "cannot give socket %s to group %s; start as root, or be a member",
                             path, group);
    return ERR_OK;
}

enum err_code
milter_socket_new(const char *path, unsigned mode, int *fd, struct err *err)
{
    struct sockaddr_un address;

    *fd = -1;
    if (set_address(path, &address, err) || milter_socket_reset(path, err))
        return err->code;
    int made = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (made < 0)
        return err_set_errno(err, errno, "cannot make a socket");
    mode_t before = milter_socket_set_umask(mode);
    int result = bind(made, (struct sockaddr *)&address, sizeof address);
    int why = errno;
    umask(before);
    if (result) {
        close(made);
        return err_set_errno(err, why, "cannot open socket %s", path);
    }
    if (listen(made, BACKLOG)) {
        why = errno;
        close(made);
        return err_set_errno(err, why, "cannot listen on %s", path);
    }
    *fd = made;
    return ERR_OK;
}

void
milter_socket_set_nodelay(void)
{
    for (int fd = 3; fd < LISTENERS_SEARCHED; fd++) {
        struct sockaddr_storage address;
        socklen_t size = sizeof address;
        int listening = 0, on = 1;
        socklen_t n = sizeof listening;

        if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &n) || !listening)
            continue;
        if (getsockname(fd, (struct sockaddr *)&address, &size) ||
            (address.ss_family != AF_INET && address.ss_family != AF_INET6))
            continue;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
}
