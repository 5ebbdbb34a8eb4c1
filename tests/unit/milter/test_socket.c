#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "milter/notify.h"
#include "milter/socket.h"

struct place {
    char folder[64], path[96];
};

static int
begin(void **state)
{
    struct place *place = calloc(1, sizeof *place);

    snprintf(place->folder, sizeof place->folder, "/tmp/smimed-socket-XXXXXX");
    assert_non_null(mkdtemp(place->folder));
    snprintf(place->path, sizeof place->path, "%s/s", place->folder);
    *state = place;
    return 0;
}

static int
end(void **state)
{
    struct place *place = *state;

    unlink(place->path);
    rmdir(place->folder);
    free(place);
    return 0;
}

static void
socket_that_nobody_listens_on_is_removed(void **state)
{
    struct place *place = *state;
    struct err err = ERR_INIT;
    int fd;

    assert_int_equal(milter_socket_reset(place->path, &err), ERR_OK); /* nothing there */
    assert_int_equal(milter_socket_new(place->path, 0660, &fd, &err), ERR_OK);
    close(fd);
    assert_int_equal(access(place->path, F_OK), 0);
    assert_int_equal(milter_socket_reset(place->path, &err), ERR_OK);
    assert_int_not_equal(access(place->path, F_OK), 0);
}

static void
socket_that_somebody_listens_on_stays(void **state)
{
    struct place *place = *state;
    struct err err = ERR_INIT;
    int fd, second;

    assert_int_equal(milter_socket_new(place->path, 0660, &fd, &err), ERR_OK);
    assert_int_equal(milter_socket_new(place->path, 0660, &second, &err), ERR_PERM);
    assert_int_equal(second, -1);
    assert_non_null(strstr(err.text, "already listens"));
    assert_int_equal(access(place->path, F_OK), 0);
    close(fd);
}

static void
socket_never_takes_the_place_of_a_file_or_a_link(void **state)
{
    struct place *place = *state;
    struct err err = ERR_INIT;
    int fd;

    FILE *file = fopen(place->path, "w");
    assert_non_null(file);
    fclose(file);
    assert_int_equal(milter_socket_new(place->path, 0660, &fd, &err), ERR_PERM);
    assert_non_null(strstr(err.text, "is not a socket"));
    assert_int_equal(access(place->path, F_OK), 0);
    unlink(place->path);
    assert_int_equal(symlink("/tmp/elsewhere-that-is-not-there", place->path), 0);
    err_reset(&err);
    assert_int_equal(milter_socket_new(place->path, 0660, &fd, &err), ERR_PERM);
}

static void
socket_has_its_mode_from_the_start_and_the_umask_is_as_before(void **state)
{
    static const unsigned modes[] = { 0600, 0660, 0666, 0777 };
    struct place *place = *state;
    struct err err = ERR_INIT;
    struct stat st;
    int fd;

    mode_t before = umask(077);
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        assert_int_equal(milter_socket_new(place->path, modes[i], &fd, &err), ERR_OK);
        assert_int_equal(stat(place->path, &st), 0);
        assert_int_equal(st.st_mode & 0777, modes[i]);
        close(fd);
    }
    assert_int_equal(umask(before), 077);
}

static void
socket_path_too_long_is_named(void **state)
{
    char path[300];
    struct err err = ERR_INIT;
    int fd;

    (void)state;
    memset(path, 'a', sizeof path);
    path[0] = '/';
    path[sizeof path - 1] = '\0';
    assert_int_equal(milter_socket_new(path, 0660, &fd, &err), ERR_PERM);
    assert_non_null(strstr(err.text, "longer than"));
}

static void
socket_names_of_libmilter_have_paths_or_none(void **state)
{
    (void)state;
    assert_string_equal(milter_socket_path("unix:/run/x"), "/run/x");
    assert_string_equal(milter_socket_path("local:/run/x"), "/run/x");
    assert_string_equal(milter_socket_path("/run/x"), "/run/x");
    assert_null(milter_socket_path("inet:8891@127.0.0.1"));
    assert_null(milter_socket_path("inet6:8891@::1"));
}

static void
socket_group_that_does_not_exist_is_named(void **state)
{
    struct place *place = *state;
    struct err err = ERR_INIT;

    assert_int_equal(milter_socket_set_group(place->path, "", &err), ERR_OK);
    assert_int_equal(milter_socket_set_group(place->path, "no-such-group-here", &err), ERR_PERM);
    assert_non_null(strstr(err.text, "no-such-group-here"));
}

static void
notify_tells_the_manager_when_there_is_one(void **state)
{
    struct place *place = *state;
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    char text[512] = "";

    milter_notify_ready("nobody listens"); /* without a manager nothing happens */
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    assert_true(fd >= 0);
    memcpy(address.sun_path, place->path, strlen(place->path) + 1);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    setenv("NOTIFY_SOCKET", place->path, 1);
    milter_notify_init();
    assert_null(getenv("NOTIFY_SOCKET"));
    milter_notify_ready("serving");
    assert_true(recv(fd, text, sizeof text - 1, MSG_DONTWAIT) > 0);
    assert_non_null(strstr(text, "READY=1\n"));
    assert_non_null(strstr(text, "STATUS=serving"));
    milter_notify_reloading();
    memset(text, 0, sizeof text);
    assert_true(recv(fd, text, sizeof text - 1, MSG_DONTWAIT) > 0);
    assert_non_null(strstr(text, "RELOADING=1\nMONOTONIC_USEC="));
    milter_notify_stopping();
    memset(text, 0, sizeof text);
    assert_true(recv(fd, text, sizeof text - 1, MSG_DONTWAIT) > 0);
    assert_string_equal(text, "STOPPING=1");
    close(fd);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(socket_that_nobody_listens_on_is_removed, begin, end),
        cmocka_unit_test_setup_teardown(socket_that_somebody_listens_on_stays, begin, end),
        cmocka_unit_test_setup_teardown(socket_never_takes_the_place_of_a_file_or_a_link, begin,
                                        end),
        cmocka_unit_test_setup_teardown(
            socket_has_its_mode_from_the_start_and_the_umask_is_as_before, begin, end),
        cmocka_unit_test(socket_path_too_long_is_named),
        cmocka_unit_test(socket_names_of_libmilter_have_paths_or_none),
        cmocka_unit_test_setup_teardown(socket_group_that_does_not_exist_is_named, begin, end),
        cmocka_unit_test_setup_teardown(notify_tells_the_manager_when_there_is_one, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
