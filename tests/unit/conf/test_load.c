#include "tests/unit/conf/complaints.h"

#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64];

static int
make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/test-conf-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    return chmod(folder, 0755);
}

static void run(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void
run(const char *format, ...)
{
    char command[512];
    va_list args;

    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    assert_int_equal(system(command), 0);
}

static int
remove_folder(void **state)
{
    (void)state;
    run("rm -rf '%s'", folder);
    return 0;
}

/* Writes FOLDER/name; every @ of the text becomes the folder. */
static void
put(const char *name, const char *text)
{
    char path[128];
    FILE *out;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    out = fopen(path, "w");
    assert_non_null(out);
    for (; *text; text++)
        if (*text == '@')
            fputs(folder, out);
        else
            fputc(*text, out);
    assert_int_equal(fclose(out), 0);
    assert_int_equal(chmod(path, 0644), 0);
}

/* Loads FOLDER/f; complaints, in which the folder is written @, must be `expected`. */
static struct conf *
load(const char *expected)
{
    struct complaints *all = calloc(1, sizeof *all);
    char path[128], *shown = calloc(1, 65536), *to = shown;
    struct conf *conf = NULL;
    struct err err = ERR_INIT;
    enum err_code rc;

    snprintf(path, sizeof path, "%s/f", folder);
    rc = conf_load(path, complaints_add, all, &conf, &err);
    for (const char *from = all->text; *from;) {
        if (strncmp(from, folder, strlen(folder)) == 0) {
            *to++ = '@';
            from += strlen(folder);
        } else {
            *to++ = *from++;
        }
    }
    assert_string_equal(shown, expected);
    assert_int_equal(rc, *expected ? ERR_PERM : ERR_OK);
    assert_int_equal(conf != NULL, !*expected);
    free(shown);
    free(all);
    return conf;
}

static void
file_that_is_not_there_is_no_complaint(void **state)
{
    struct complaints all = { .count = 0 };
    struct conf *conf = NULL;
    struct err err = ERR_INIT;

    (void)state;
    assert_int_equal(conf_load("/nonexistent/f", complaints_add, &all, &conf, &err), ERR_NOTFOUND);
    assert_int_equal(all.count, 0);
    assert_string_equal(err.text, "/nonexistent/f is not there");
    assert_null(conf);
}

static void
user_and_group_must_exist(void **state)
{
    (void)state;
    put("f", "user = no-such-user\nsocket_group = no-such-group\n");
    load("@/f:1:1: user = no-such-user: there is no such user on this system\n"
         "@/f:2:1: socket_group = no-such-group: there is no such group on this system\n");
}

static void
folders_and_files_must_be_there(void **state)
{
    (void)state;
    put("f",
        "spool_folder = @/none\nimport_password_file = @/none\nkeys_folder = @/f\n"
        "certificate_folders = @ @/none @/f\nsocket = unix:@/none/s\ncontrol_socket = @/none/c\n"
        "import_password_file = @\n"
        "trust default { anchors = @/none }\ndirectory d { ldif = @ }\n");
    load("@/f:1:1: spool_folder = @/none: there is no such folder\n"
         "@/f:2:1: import_password_file = @/none: there is no such file\n"
         "@/f:3:1: keys_folder = @/f is not a folder\n"
         "@/f:4:1: certificate_folders = @/none: there is no such file or folder\n"
         "@/f:5:1: socket = unix:@/none/s: there is no folder @/none for the socket\n"
         "@/f:6:1: control_socket = @/none/c: there is no folder @/none for the socket\n"
         "@/f:7:1: \"import_password_file\" was given before at @/f:2; give it once\n"
         "@/f:8:17: anchors = @/none: there is no such file or folder\n"
         "@/f:9:15: ldif = @ is not a plain file\n");
    /* A socket below /run lies in a folder that the service manager makes. */
    put("f", "socket = unix:/run/none/s\ncontrol_socket = /var/run/none/s\n");
    struct conf *conf = load("");
    conf_free(&conf);
}

static void
private_folder_must_be_closed_to_others(void **state)
{
    struct conf *conf;

    (void)state;
    run("cd %s && mkdir spool keys drop state && chmod 0755 spool && chmod 0770 keys && chmod 0771 "
        "drop && "
        "chmod 2750 state && touch secret && chmod 0644 secret",
        folder);
    put("f", "spool_folder = @/spool\nkeys_folder = @/keys\nimport_folder = @/drop\n"
             "state_folder = @/state\nimport_password_file = @/secret\n");
    load("@/f:1:1: spool_folder = @/spool has mode 0755, which is not private; chmod 0750\n"
         "@/f:2:1: keys_folder = @/keys has mode 0770, which is not private; chmod 0750\n"
         "@/f:3:1: import_folder = @/drop has mode 0771, which is not private; chmod 0770\n"
         "@/f:5:1: import_password_file = @/secret has mode 0644, which is not private; chmod "
         "0640\n");
    run("cd %s && chmod 0700 spool && chmod 0750 keys && chmod 0770 drop && chmod 0640 secret",
        folder);
    conf = load("");
    conf_free(&conf);
    if (geteuid() == 0) {
        struct passwd *nobody = getpwnam("nobody");

        run("chown nobody %s/spool && chown daemon %s/keys", folder, folder);
        put("f", "user = nobody\nspool_folder = @/spool\n");
        conf = load("");
        conf_free(&conf);
        assert_non_null(nobody);
        put("f", "user = nobody\nkeys_folder = @/keys\n");
        load("@/f:2:1: keys_folder = @/keys belongs to user 1; it must belong to root or to the "
             "user of "
             "smimed\n");
    }
    run("cd %s && rm -rf spool keys drop state secret", folder);
}

static void
file_that_others_can_write_is_refused(void **state)
{
    (void)state;
    put("f", "log = syslog\n");
    run("chmod 0646 %s/f", folder);
    load("@/f:1:1: @/f has mode 0646, which is not safe; chmod 0644\n");
    put("f", "\ninclude g\n");
    put("g", "");
    run("chmod 0666 %s/g", folder);
    load("@/f:2:1: @/g has mode 0666, which is not safe; chmod 0664\n");
}

static void
file_with_nul_octets_is_refused(void **state)
{
    (void)state;
    run("printf 'log = syslog\\n# \\000\\nuser = a\\000b\\n' > %s/f", folder);
    load("@/f:2:3: NUL octet; the file is not a text file\n"
         "@/f:3:9: NUL octet; the file is not a text file\n");
}

static void
file_over_its_bound_is_refused(void **state)
{
    struct conf *conf;

    (void)state;
    run("head -c 1048576 /dev/zero | tr '\\0' '\\n' > %s/f", folder);
    conf = load("");
    conf_free(&conf);
    run("echo >> %s/f", folder);
    load("@/f:1:1: @/f is longer than 1048576 octets\n");
}

static void
what_is_no_file_is_refused(void **state)
{
    (void)state;
    put("f", "include /dev/zero\ninclude @\ninclude none\ninclude \"\"\n");
    load("@/f:1:1: /dev/zero is not a plain file\n@/f:2:1: @ is not a plain file\n"
         "@/f:3:1: @/none is not there\n@/f:4:1: include names no file\n");
}

static void
included_files_are_read_in_order_and_place(void **state)
{
    struct conf *conf;

    (void)state;
    run("mkdir -p %s/d", folder);
    put("f", "include \"d/*.conf\"\ntrust default { anchors = / }\ninclude @/d/last\n"
             "include empty-*.conf\n");
    put("d/20.conf", "rule b { }\ninclude rest\n");
    put("d/10.conf", "rule a { }\nmax_messages = 5\n");
    put("d/rest", "rule c { }");
    put("d/last", "rule d { }");
    put("d/30.conf~", "rule e { }");
    conf = load("");
    assert_int_equal(conf->rule_count, 4);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(conf->rules[i].name[0], "abcd"[i]);
    assert_int_equal(conf->global.max_messages, 5);
    conf_free(&conf);
    put("d/rest", "\n\n rule a { sign = x }");
    put("d/10.conf", "rule a { }\nlog = x\n");
    put("d/last", "log = syslog\n}");
    load("@/d/10.conf:2:7: log = x: no such word; one of stderr|syslog\n"
         "@/d/rest:3:7: there is a rule \"a\" already at @/d/10.conf:1; names are given once\n"
         "@/d/rest:3:18: sign = x: no such word; one of always|never|default-on|default-off\n"
         "@/d/last:1:1: \"log\" was given before at @/d/10.conf:2; give it once\n"
         "@/d/last:2:1: \"}\" closes nothing; no section is open\n");
    run("rm -rf %s/d", folder);
}

static void
section_does_not_go_on_in_the_including_file(void **state)
{
    (void)state;
    put("f", "trust default { anchors = / }\ninclude g\nsign = never\n}\n");
    put("g", "rule x {\n");
    load(
        "@/f:3:1: unknown parameter \"sign\"; it belongs into a section rule \"...\" { }\n"
        "@/f:4:1: \"}\" closes nothing; no section is open\n"
        "@/g:1:1: section rule \"x\" is not closed; \"}\" is missing before the end of the file\n");
}

static void
include_loop_is_told(void **state)
{
    (void)state;
    put("f", "include g\n");
    put("g", "\ninclude f\ninclude ../../@/g\n");
    run("ln -s f %s/h", folder);
    load("@/g:2:1: include loop: @/f is being read already\n"
         "@/g:3:1: include loop: @/../../@/g is being read already\n");
    put("f", "include h\n");
    load("@/f:1:1: include loop: @/h is being read already\n");
    run("rm %s/h", folder);
}

static void
include_is_bounded_in_depth_and_number(void **state)
{
    struct conf *conf;

    (void)state;
    put("f", "include i1\n");
    for (int i = 1; i <= 5; i++) {
        char name[8], text[32];
        snprintf(name, sizeof name, "i%d", i);
        if (i < 5)
            snprintf(text, sizeof text, "include i%d\n", i + 1);
        else
            snprintf(text, sizeof text, "log = syslog\n");
        put(name, text);
    }
    conf = load("");
    conf_free(&conf);
    put("i5", "include i6\n");
    put("i6", "");
    load("@/i5:1:1: include deeper than 5 files\n");
    run("mkdir %s/many && cd %s/many && for i in $(seq 1000 1255); do : > $i; done", folder,
        folder);
    put("f", "include many/*\n");
    load("@/f:1:1: more than 256 files are included\n");
    run("rm -rf %s/many", folder);
}

struct dump {
    char text[65536];
};

static void
dump_one(void *context, const char *section, const char *name, const char *value, const char *from)
{
    struct dump *dump = context;
    size_t n = strlen(dump->text);

    if (strcmp(from, "default") != 0)
        snprintf(dump->text + n, sizeof dump->text - n, "[%s] %s = %s (%s)\n", section, name, value,
                 from);
}

static void
values_know_where_they_come_from(void **state)
{
    struct conf *conf, *second;
    struct dump dump = { .text = "" };
    char expected[2000];

    (void)state;
    put("f", "\nmax_bytes = 2048KiB\nmax_messages = 100\nrule x {\n recipient = <> }\ninclude g\n"
             "local_domains = \"\"\nlog_debug_for = \"a \\\"b\\\" \\\\\"\nsocket_mode = 0600\n"
             "eom_timeout = 90000ms\n");
    put("g", "trust default { anchors = / /tmp }\nrule y { encrypt = always }\n"
             "internal_networks = ::ffff:10.0.0.0/104, ::1/128\n");
    conf = load("");
    second = conf_add1(conf);
    assert_ptr_equal(second, conf);
    conf_free(&conf);
    assert_null(conf);
    conf_each(second, dump_one, &dump);
    snprintf(expected, sizeof expected,
             "[] socket_mode = 0600 (%s/f:9)\n"
             "[] max_bytes = 2MiB (%s/f:2)\n"
             "[] max_messages = 100 (%s/f:3)\n"
             "[] eom_timeout = 90s (%s/f:10)\n"
             "[] internal_networks = 10.0.0.0/8 ::1 (%s/g:3)\n"
             "[] local_domains = \"\" (%s/f:7)\n"
             "[] log_debug_for = \"a \\\"b\\\" \\\\\" (%s/f:8)\n"
             "[rule \"x\"] recipient = <> (%s/f:5)\n"
             "[trust \"default\"] anchors = / /tmp (%s/g:1)\n"
             "[rule \"y\"] encrypt = always (%s/g:2)\n",
             folder, folder, folder, folder, folder, folder, folder, folder, folder, folder);
    {
        /* In the order of the table within the top. */
        char *lines[64], *save = NULL;
        size_t n = 0;

        for (char *line = strtok_r(expected, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
            lines[n++] = line;
        for (size_t i = 0; i < n; i++)
            assert_non_null(strstr(dump.text, lines[i]));
        for (const char *p = dump.text; (p = strchr(p, '\n')); p++)
            n--;
        assert_int_equal(n, 0);
    }
    conf_free(&second);
    conf_free(&second);
    conf_free(NULL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(file_that_is_not_there_is_no_complaint),
        cmocka_unit_test(user_and_group_must_exist),
        cmocka_unit_test(folders_and_files_must_be_there),
        cmocka_unit_test(private_folder_must_be_closed_to_others),
        cmocka_unit_test(file_that_others_can_write_is_refused),
        cmocka_unit_test(file_with_nul_octets_is_refused),
        cmocka_unit_test(file_over_its_bound_is_refused),
        cmocka_unit_test(what_is_no_file_is_refused),
        cmocka_unit_test(included_files_are_read_in_order_and_place),
        cmocka_unit_test(section_does_not_go_on_in_the_including_file),
        cmocka_unit_test(include_loop_is_told),
        cmocka_unit_test(include_is_bounded_in_depth_and_number),
        cmocka_unit_test(values_know_where_they_come_from),
    };
    umask(022);
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
