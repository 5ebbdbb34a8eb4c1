#include "tests/unit/flow/world.h"

static struct world world;

static int
setup(void **state)
{
    (void)state;
    world_make(&world);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    world_free(&world);
    return 0;
}

/* What the log says while a letter goes through; freed by the caller. */
static char *
log_of(const struct letter *letter, enum log_form form)
{
    struct log_args args = { .sink = LOG_SINK_STDERR, .form = form, .level = LOG_LEVEL_INFO };
    struct delivery delivery;
    int kept = dup(STDERR_FILENO), fd;
    char path[300];

    snprintf(path, sizeof path, "%s/stderr", world.folder);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(kept >= 0 && fd >= 0 && dup2(fd, STDERR_FILENO) >= 0);
    close(fd);
    log_init(&args);
    world_send(&world, letter, &delivery);
    delivery_free(&delivery);
    assert_true(dup2(kept, STDERR_FILENO) >= 0);
    close(kept);
    return world_read(&world, "stderr", NULL);
}

static struct letter
letter_to_bob(void)
{
    return (struct letter){ .sender = "alice@example.org",
                            .to = { "bob@example.net" },
                            .header = "From: alice@example.org\r\nTo: bob@example.net\r\n",
                            .body = "hello\r\n" };
}

static void
assert_has(const char *log, const char *wanted)
{
    if (!strstr(log, wanted))
        fail_msg("no \"%s\" in: %s", wanted, log);
}

static void
a_message_has_one_line_and_its_fields(void **state)
{
    struct letter letter = letter_to_bob();
    char *log;

    (void)state;
    world_configure(&world, "rule \"partners\" {\n sign = always\n encrypt = always\n }");
    log = log_of(&letter, LOG_FORM_TEXT);
    assert_has(log, "TEST1: dir=out action=sign+encrypt rule=partners from=alice@example.org ");
    assert_has(log,
               " nrcpt=1 to=bob@example.net certs=2 alg=aes256-cbc digest=sha256 format=clear ");
    assert_has(log, " size=");
    assert_has(log, " osize=");
    assert_has(log, " wait_ms=");
    assert_has(log, " crypto_ms=");
    assert_has(log, " result=ok");
    assert_null(strstr(log, "reason="));
    assert_ptr_equal(strchr(log, '\n'), log + strlen(log) - 1);
    free(log);
}

static void
a_refusal_says_why(void **state)
{
    struct letter letter = letter_to_bob();
    char *log;

    (void)state;
    world_configure(&world, "rule \"partners\" {\n sign = always\n encrypt = always\n }");
    letter.to[1] = "erin@example.net";
    log = log_of(&letter, LOG_FORM_TEXT);
    assert_has(log, " action=refuse ");
    assert_has(log, " to=bob@example.net,erin@example.net ");
    assert_has(log, " result=refused reason=cert-expired code=550-5.7.1");
    free(log);
}

static void
who_cannot_be_encrypted_to_is_named_with_his_reason(void **state)
{
    struct letter letter = letter_to_bob();
    char *log;

    (void)state;
    world_configure(&world, "rule \"partners\" {\n sign = always\n encrypt = always\n }");
    letter.to[1] = "erin@example.net";
    letter.to[2] = "nobody@example.net";
    log = log_of(&letter, LOG_FORM_TEXT);
    assert_has(log, " unreachable=2 ");
    assert_has(log, "TEST1: unreachable=erin@example.net:cert-expired,nobody@example.net:"
                    "no-certificate numbers=1-2 of=2\n");
    free(log);
    log = log_of(&letter, LOG_FORM_JSON);
    assert_has(log, "\"numbers\":\"1-2\"");
    free(log);
    /* Where nobody has to be, nobody is. */
    world_configure(&world, "rule \"partners\" { sign = always }");
    log = log_of(&letter, LOG_FORM_TEXT);
    assert_null(strstr(log, "unreachable"));
    free(log);
}

static void
recipients_are_capped_and_the_rest_counted(void **state)
{
    struct letter letter = letter_to_bob();
    char *log;

    (void)state;
    letter.to[1] = letter.to[2] = letter.to[3] = "carol@example.net";
    world_configure(&world, "log_recipients = 2\n");
    log = log_of(&letter, LOG_FORM_TEXT);
    assert_has(log, " nrcpt=4 to=bob@example.net,carol@example.net,+2 ");
    free(log);
    world_configure(&world, "log_recipients = 0\n");
    log = log_of(&letter, LOG_FORM_TEXT);
    assert_null(strstr(log, " to="));
    free(log);
}

static void
nobody_forges_a_field_or_a_line(void **state)
{
    struct letter letter = letter_to_bob();
    char *log;

    (void)state;
    letter.sender = "a@x result=ok\nTEST2: dir=out";
    letter.login = "eve\" result=ok";
    world_configure(&world, "");
    log = log_of(&letter, LOG_FORM_TEXT);
    assert_ptr_equal(strchr(log, '\n'), log + strlen(log) - 1);
    assert_null(strstr(log, "\nTEST2"));
    assert_has(log, " sender=\"");
    assert_has(log, " login=\"");
    free(log);
}

static void
the_json_form_has_numbers_and_strings(void **state)
{
    struct letter letter = letter_to_bob();
    char *log;

    (void)state;
    world_configure(&world, "rule \"all\" { sign = always }");
    log = log_of(&letter, LOG_FORM_JSON);
    assert_has(log, "\"dir\":\"out\"");
    assert_has(log, "\"nrcpt\":1");
    assert_has(log, "\"result\":\"ok\"");
    free(log);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_has_one_line_and_its_fields),
        cmocka_unit_test(a_refusal_says_why),
        cmocka_unit_test(who_cannot_be_encrypted_to_is_named_with_his_reason),
        cmocka_unit_test(recipients_are_capped_and_the_rest_counted),
        cmocka_unit_test(nobody_forges_a_field_or_a_line),
        cmocka_unit_test(the_json_form_has_numbers_and_strings),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
