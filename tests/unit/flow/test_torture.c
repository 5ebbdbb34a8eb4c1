#include "tests/unit/flow/world.h"

/*
 * Every allocation of a message fails once, one after the other, the library's too. Whatever
 * happens: a message that must be protected leaves protected or not at all, and a message that came
 * in tampered never passes.
 */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TORTURE_OFF 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define TORTURE_OFF 1
#endif
#endif

#ifdef TORTURE_OFF

/* The sanitizers have an allocator of their own. */
static void
every_allocation_fails_once(void **state)
{
    (void)state;
    print_message("skipped: the sanitizer brings its own malloc\n");
    skip();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_allocation_fails_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

/* What lies between is the code of this program: only its own allocations fail, not the libraries'.
 */
extern const char __executable_start, etext;

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);

/* How many allocations still succeed; -1: all. */
static long torture_left = -1;
static long torture_count;

static bool
torture_fails(const void *caller)
{
    if ((const char *)caller < &__executable_start || (const char *)caller >= &etext)
        return false;
    torture_count++;
    if (torture_left < 0)
        return false;
    return torture_left-- == 0;
}

void *
malloc(size_t size)
{
    return torture_fails(__builtin_return_address(0)) ? NULL : __libc_malloc(size);
}

void *
calloc(size_t count, size_t size)
{
    return torture_fails(__builtin_return_address(0)) ? NULL : __libc_calloc(count, size);
}

void *
realloc(void *old, size_t size)
{
    return torture_fails(__builtin_return_address(0)) ? NULL : __libc_realloc(old, size);
}

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

struct run {
    struct flow_answer answer;
    bool body_wanted, body_written, made;
    size_t edits;
    char fields[2000];
    char body[60000];
    size_t body_n;
};

static enum err_code
take_body(void *context, struct span piece, struct err *err)
{
    struct run *run = context;

    if (run->body_n + piece.n >= sizeof run->body)
        return err_set(err, ERR_LIMIT, "the test's buffer");
    memcpy(run->body + run->body_n, piece.p, piece.n);
    run->body_n += piece.n;
    return ERR_OK;
}

static bool
is_over(const struct run *run)
{
    return run->answer.kind == FLOW_REFUSE || run->answer.kind == FLOW_DEFER;
}

static void
run_edits(struct flow_message *message, struct run *run)
{
    const struct flow_edits *edits = flow_message_edits(message);
    struct err err = ERR_INIT;

    run->edits = edits->count;
    for (size_t i = 0; i < edits->count; i++) {
        struct stage *sink = NULL;

        if (edits->list[i].kind == FLOW_EDIT_INSERT_HEADER ||
            edits->list[i].kind == FLOW_EDIT_CHANGE_HEADER)
            strncat(run->fields, edits->list[i].value,
                    sizeof run->fields - strlen(run->fields) - 1);
        if (edits->list[i].kind != FLOW_EDIT_REPLACE_BODY)
            continue;
        run->body_wanted = true;
        if (stage_sink_new(take_body, run, &sink, &err) == ERR_OK)
            run->body_written = flow_message_write_body(message, sink, &err) == ERR_OK;
    }
}

/* A message with the Nth allocation failing. The header is given field by field, as a milter would.
 */
static void
run_message(const char *client_address, const char *const *fields, const char *body, long nth,
            struct run *run)
{
    struct sockaddr_in in = { .sin_family = AF_INET };
    struct flow_client client = { .address = (struct sockaddr *)&in };
    struct flow_message *message = NULL;
    struct err err = ERR_INIT;

    memset(run, 0, sizeof *run);
    inet_pton(AF_INET, client_address, &in.sin_addr);
    torture_count = 0;
    torture_left = nth;
    run->made = flow_message_new(world.services, &client, &message, &err) == ERR_OK;
    if (run->made) {
        flow_message_sender(message, "alice@example.org", &run->answer);
        if (!is_over(run))
            flow_message_recipient(message, "bob@example.net", &run->answer);
        for (; !is_over(run) && *fields; fields += 2)
            flow_message_header(message, span_str(fields[0]), span_str(fields[1]), &run->answer);
        if (!is_over(run))
            flow_message_eoh(message, &run->answer);
        if (!is_over(run) && run->answer.kind != FLOW_ACCEPT_REST)
            flow_message_write(message, span_str(body), &run->answer);
        if (!is_over(run))
            flow_message_finish(message, clock_monotonic_ms() + 60000, &run->answer);
        if (!is_over(run))
            run_edits(message, run);
        flow_message_log(message);
    }
    flow_message_free(&message);
    torture_left = -1;
}

static const char *const plain_fields[] = {
    "From",         " alice@example.org",         "To", " bob@example.net", "MIME-Version", " 1.0",
    "Content-Type", " text/plain; charset=utf-8", NULL
};

static void
torture_fields(const char *rule, const char *const *fields, const char *type)
{
    long total, nth;
    struct run run;

    world_configure(&world, rule);
    run_message("127.0.0.1", fields, "secret plans \xc3\xbc\r\n", -1, &run);
    assert_true(run.made && run.body_written);
    assert_non_null(strstr(run.fields, type));
    total = torture_count;
    assert_true(total > 30);
    for (nth = 0; nth < total; nth++) {
        run_message("127.0.0.1", fields, "secret plans \xc3\xbc\r\n", nth, &run);
        if (!run.made || is_over(&run)) {
            if (run.made && run.answer.kind != FLOW_DEFER)
                fail_msg("allocation %ld of %ld: %d %s", nth, total, run.answer.code,
                         run.answer.text);
            continue;
        }
        if (!run.body_wanted || !strstr(run.fields, type))
            fail_msg("allocation %ld of %ld: unprotected", nth, total);
        if (run.body_written && strstr(type, "enveloped") && strstr(run.body, "secret plans"))
            fail_msg("allocation %ld of %ld: plaintext", nth, total);
    }
}

static void
torture_outbound(const char *rule, const char *type)
{
    torture_fields(rule, plain_fields, type);
}

/* The rule that encrypts is found only after the directory was asked and From was rewritten. */
static void
a_rule_for_the_primary_address_is_never_lost(void **state)
{
    static const char people[] = "dn: uid=alice,dc=x\nobjectClass: inetOrgPerson\nuid: alice\n"
                                 "proxyAddresses: SMTP:alice@example.org\n"
                                 "proxyAddresses: smtp:second@example.org\n";
    static const char *const fields[] = { "From",   " \"=?utf-8?q?Al=69ce?=\" <second@example.org>",
                                          "Sender", " second@example.org",
                                          "To",     " bob@example.net",
                                          NULL };
    char rules[700];

    (void)state;
    world_write(&world, "people.ldif", span_str(people));
    snprintf(rules, sizeof rules,
             "secondary_address = rewrite\ndirectory \"people\" { ldif = %s/people.ldif }\n"
             "rule \"alice\" {\n sender = alice@example.org\n encrypt = always\n sign = never\n}\n"
             "rule \"rest\" {\n smime = no\n}",
             world.folder);
    torture_fields(rules, fields, "enveloped-data");
}

static void
a_message_that_must_be_encrypted_never_leaves_plain(void **state)
{
    (void)state;
    torture_outbound("rule \"all\" {\n sign = always\n encrypt = always\n }", "enveloped-data");
    torture_outbound("rule \"all\" {\n sign = always\n encrypt = if-possible\n }",
                     "enveloped-data");
    torture_outbound("rule \"all\" {\n sign = never\n encrypt = always\n cipher = aes256-gcm\n }",
                     "authEnveloped-data");
}

static void
a_message_that_must_be_signed_never_leaves_unsigned(void **state)
{
    (void)state;
    torture_outbound("rule \"all\" {\n sign = always\n no_signing_certificate = unsigned\n }",
                     "multipart/signed");
    torture_outbound("rule \"all\" {\n sign = always\n sign_format = opaque\n"
                     " no_signing_certificate = unsigned\n }",
                     "signed-data");
}

static void
a_tampered_message_never_passes(void **state)
{
    const char *fields[] = { "From", " alice@example.org", "Content-Type", NULL, NULL };
    char *type, *body;
    struct run run;
    long total, nth;

    (void)state;
    world_configure(&world, "rule \"all\" {\n direction = out\n sign = always\n }");
    run_message("127.0.0.1", plain_fields, "pay alice\r\n", -1, &run);
    assert_true(run.body_written);
    run.body[run.body_n] = 0;
    type = strstr(run.fields, "multipart/signed");
    assert_non_null(type);
    type = strdup(type);
    body = strdup(run.body);
    fields[3] = type;
    for (int tampered = 0; tampered < 2; tampered++) {
        if (tampered)
            memcpy(strstr(body, "pay alice"), "pay mallo", 9);
        run_message("203.0.113.5", fields, body, -1, &run);
        assert_non_null(strstr(run.fields, tampered ? "smime=fail" : "smime=pass"));
        total = torture_count;
        for (nth = 0; nth < total; nth++) {
            run_message("203.0.113.5", fields, body, nth, &run);
            if (!run.made || is_over(&run)) {
                if (run.made && run.answer.kind != FLOW_DEFER)
                    fail_msg("allocation %ld of %ld: %d", nth, total, run.answer.code);
                continue;
            }
            if (tampered && strstr(run.fields, "smime=pass"))
                fail_msg("allocation %ld of %ld: passed", nth, total);
            /* Our own trouble is not the signer's fault. */
            if (!tampered && !strstr(run.fields, "smime=pass"))
                fail_msg("allocation %ld of %ld: %s", nth, total, run.fields);
        }
    }
    free(type);
    free(body);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_that_must_be_encrypted_never_leaves_plain),
        cmocka_unit_test(a_message_that_must_be_signed_never_leaves_unsigned),
        cmocka_unit_test(a_tampered_message_never_passes),
        cmocka_unit_test(a_rule_for_the_primary_address_is_never_lost),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}

#endif
