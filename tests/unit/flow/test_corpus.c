#include <ftw.h>

#include "tests/unit/flow/world.h"

/* The corpus of malformed and ordinary messages (SMIMED_CORPORA/mime): each is signed, encrypted,
 * and taken apart again by openssl. What is refused is counted and must be few. */

static struct world world;
static unsigned seen, refused;
static bool encrypting;

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

struct original {
    struct buf header, body;
};

static enum err_code
take_header(void *context, const struct mime_header *header, struct err *err)
{
    return mime_header_format(header, &((struct original *)context)->header, err);
}

static enum err_code
take_body(void *context, struct span piece, struct err *err)
{
    return buf_append(&((struct original *)context)->body, piece, err);
}

static void
load_original(const char *path, struct original *out)
{
    struct flow_raw_args args = {
        .limit_header_bytes = 1 << 20, .header = take_header, .body = take_body, .context = out
    };
    struct flow_raw *raw = NULL;
    struct err err = ERR_INIT;
    char piece[4096];
    FILE *in = fopen(path, "r");
    size_t n;

    buf_init(&out->header, 2 << 20);
    buf_init(&out->body, WORLD_LIMIT);
    assert_non_null(in);
    assert_int_equal(flow_raw_new(&args, &raw, &err), ERR_OK);
    while ((n = fread(piece, 1, sizeof piece, in)) > 0)
        assert_int_equal(flow_raw_write(raw, span_of(piece, n), &err), ERR_OK);
    assert_int_equal(flow_raw_finish(raw, &err), ERR_OK);
    flow_raw_free(&raw);
    fclose(in);
}

static void
judge(const char *path, const struct delivery *delivery)
{
    const char *in = encrypting ? "opened" : "out";

    world_write(&world, "out", buf_span(&delivery->message));
    if (encrypting && !world_run(&world, "openssl cms -decrypt -binary -in out -recip bob.pem "
                                         "-inkey bob.pem -out opened"))
        fail_msg("%s: openssl does not decrypt: %s\n%s", path, world_read(&world, "log", NULL),
                 delivery->explain);
    if (!world_run(&world,
                   "openssl cms -verify -in %s -CAfile anchors/root.pem -certfile sub.pem "
                   "-out content",
                   in))
        fail_msg("%s: openssl does not verify: %s\n%s", path, world_read(&world, "log", NULL),
                 delivery->explain);
}

static int
each_file(const char *path, const struct stat *status, int type, struct FTW *where)
{
    struct letter letter = { .sender = "gate@example.org", .to = { "bob@example.net" } };
    struct original original;
    struct delivery delivery;

    (void)status;
    (void)where;
    if (type != FTW_F)
        return 0;
    seen++;
    load_original(path, &original);
    letter.header = buf_str(&original.header);
    letter.body = buf_str(&original.body);
    letter.body_n = original.body.n;
    letter.piece = 1 + seen * 37 % 5000;
    world_send(&world, &letter, &delivery);
    if (delivery.answer.kind == FLOW_CONTINUE) {
        if (delivery.replaced)
            judge(path, &delivery);
        else if (!strstr(delivery.explain, "structure: already"))
            fail_msg("%s passed\n%s", path, delivery.explain);
    } else {
        refused++;
        print_message("%s: %d %s %s\n", path, delivery.answer.code, delivery.answer.enhanced,
                      delivery.answer.text);
        assert_int_equal(delivery.answer.kind, FLOW_REFUSE);
    }
    delivery_free(&delivery);
    buf_free(&original.header);
    buf_free(&original.body);
    return 0;
}

static void
run_corpus(const char *rule)
{
    const char *corpora = getenv("SMIMED_CORPORA");
    char path[500], rules[600];

    if (!corpora) {
        print_message("skipped: SMIMED_CORPORA is not set\n");
        skip();
    }
    snprintf(path, sizeof path, "%s/mime", corpora);
    snprintf(rules, sizeof rules,
             "sender_identity = off\nrule \"all\" {\n sign = always\n"
             " no_signing_certificate = domain\n sign_as = gate@example.org\n%s }",
             rule);
    world_configure(&world, rules);
    seen = refused = 0;
    assert_int_equal(nftw(path, each_file, 20, 0), 0);
    print_message("%u messages, %u refused\n", seen, refused);
    assert_true(seen >= 291);
    assert_true(refused <= 5);
}

static void
every_message_of_the_corpus_is_signed_and_verifies(void **state)
{
    (void)state;
    encrypting = false;
    run_corpus("");
}

static void
every_message_of_the_corpus_is_signed_and_encrypted_and_comes_back(void **state)
{
    (void)state;
    encrypting = true;
    run_corpus(" encrypt = always\n");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_of_the_corpus_is_signed_and_verifies),
        cmocka_unit_test(every_message_of_the_corpus_is_signed_and_encrypted_and_comes_back),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
