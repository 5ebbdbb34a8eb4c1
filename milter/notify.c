#include "milter/notify.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "util/clock.h"

static struct sockaddr_un manager; /* written once, before any thread */
static socklen_t manager_size;

void
milter_notify_init(void)
{
    const char *path = getenv("NOTIFY_SOCKET");

    /* A path, or an abstract name that begins with '@'. */
    if (path && (path[0] == '/' || path[0] == '@') && path[1] &&
        strlen(path) < sizeof manager.sun_path) {
        manager.sun_family = AF_UNIX;
        memcpy(manager.sun_path, path, strlen(path));
        manager_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
        if (path[0] == '@')
            manager.sun_path[0] = '\0';
        else
            manager_size++;
    }
    unsetenv("NOTIFY_SOCKET");
}

static void
tell(const char *text)
{
    if (manager_size == 0)
        return;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    (void)sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&manager, manager_size);
    close(fd);
}

void
milter_notify_ready(const char *status)
{
    char text[256];

    snprintf(text, sizeof text, "READY=1\nMAINPID=%ld\nSTATUS=%.180s", (long)getpid(), status);
    tell(text);
}

void
milter_notify_reloading(void)
{
    char text[128];

    snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%lld",
             (long long)clock_monotonic_ms() * 1000);
    tell(text);
}

void
milter_notify_stopping(void)
{
    tell("STOPPING=1");
}
