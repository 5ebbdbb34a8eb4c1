/* A snapshot as a whole: what it refuses to load, several directories in turn, threads, bounds. */
#include "tests/unit/directory/lookup_world.h"

#include <pthread.h>

static void
directory_that_cannot_be_made_is_named(void **state)
{
    struct conf_directory conf = { .name = (char *)"people" };
    struct directory *directory = NULL;
    struct err err = ERR_INIT;

    (void)state;
    assert_int_equal(directory_new(&conf, &directory, &err), ERR_PERM);
    assert_non_null(strstr(err.text, "directory \"people\""));
    assert_null(directory);
    directory_free(&directory);
}

static void
case_of_the_local_part_counts_only_where_policy_says_so(void **state)
{
    static const struct pki_leaf_policy exact = { .rsa_bits_min = 2048 };
    struct world world;

    (void)state;
    world_init(&world);
    world_file(&world, world.files, "a.pem", "email:Anna@X.example", 0, 0);
    world_load(&world, NULL, 0);
    assert_int_equal(world_ask(&world, "anna@x.example", false), ERR_OK);
    directory_lookup_result_free(&world.result);
    assert_int_equal(directory_lookup_certificate(
                         world.lookup,
                         &(struct directory_lookup_question){
                             .address = "anna@x.example", .policy = &exact, .now = time(NULL) },
                         &world.result, &world.err),
                     ERR_NOTFOUND);
    assert_string_equal(world.result.answer.reason, "cert-wrong-address");
    world_free(&world);
}

static void
person_is_the_first_that_a_directory_finds(void **state)
{
    struct fake *down = fake_new(ERR_TEMP), *found = fake_new(ERR_OK);
    struct directory *directories[] = { &down->head, &found->head };
    struct directory_entry *entry = NULL;
    struct world world;

    (void)state;
    world_init(&world);
    world_load(&world, directories, 2);
    found->primary = "me@our.example";
    found->login = "me";
    assert_int_equal(directory_lookup_directory_count(world.lookup), 2);
    assert_int_equal(
        directory_lookup_person(world.lookup, NULL, "me", INT64_MAX, &entry, &world.err), ERR_OK);
    assert_string_equal(entry->primary, "me@our.example");
    directory_entry_free(&entry);
    /* Not there in one and no answer from another: nobody may say "not there". */
    assert_int_equal(
        directory_lookup_person(world.lookup, NULL, "you", INT64_MAX, &entry, &world.err),
        ERR_TEMP);
    assert_null(entry);
    err_reset(&world.err);
    down->code = ERR_NOTFOUND;
    assert_int_equal(
        directory_lookup_person(world.lookup, NULL, "you", INT64_MAX, &entry, &world.err),
        ERR_NOTFOUND);
    err_reset(&world.err);
    found->code = ERR_NOTFOUND;
    assert_int_equal(
        directory_lookup_person(world.lookup, "a@x.example", NULL, INT64_MAX, &entry, &world.err),
        ERR_NOTFOUND);
    world_free(&world);
}

/* The three answers, over two directories: one that could not be asked makes "not there" unknown.
 */
static void
an_ldap_url_is_asked_of_each_directory_until_one_has_it(void **state)
{
    static const struct {
        enum err_code first, second, both;
        size_t asked;
    } rows[] = {
        { ERR_OK, ERR_OK, ERR_OK, 0 },           { ERR_NOTFOUND, ERR_OK, ERR_OK, 1 },
        { ERR_TEMP, ERR_OK, ERR_OK, 1 },         { ERR_NOTFOUND, ERR_NOTFOUND, ERR_NOTFOUND, 1 },
        { ERR_TEMP, ERR_NOTFOUND, ERR_TEMP, 1 }, { ERR_NOTFOUND, ERR_TEMP, ERR_TEMP, 1 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fake *first = fake_new(rows[i].first), *second = fake_new(rows[i].second);
        struct directory *directories[] = { &first->head, &second->head };
        struct buf out = BUF_INIT(100);
        struct world world;

        world_init(&world);
        world_load(&world, directories, 2);
        assert_int_equal(directory_lookup_get_url(world.lookup, span_str("ldap:///x"), INT64_MAX,
                                                  &out, &world.err),
                         rows[i].both);
        assert_int_equal(world.err.code, rows[i].both);
        assert_int_equal(second->asked, rows[i].asked);
        buf_free(&out);
        world_free(&world);
    }
}

static void
folder_with_a_file_that_is_no_certificate_is_refused_by_name(void **state)
{
    struct world world;
    const char *folders[2] = { NULL };

    (void)state;
    world_init(&world);
    testca_file(world.files, "junk.pem", 0644, "junk", 4);
    folders[0] = world.files;
    assert_int_not_equal(
        directory_lookup_new(&(struct directory_lookup_sources){ .certificate_folders = folders },
                             &world.lookup, &world.err),
        ERR_OK);
    assert_null(world.lookup);
    assert_non_null(strstr(world.err.text, "junk.pem"));
    world_free(&world);
}

/* One thread's share: the same questions on the same snapshot, with a reference of its own. */
static void *
ask_often(void *context)
{
    struct world *world = context;
    struct directory_lookup *lookup = directory_lookup_add1(world->lookup);
    size_t good = 0;

    for (size_t i = 0; i < 40; i++) {
        struct directory_lookup_result result;
        struct err err = ERR_INIT;
        const char *address = i % 2 ? "a@x.example" : "nobody@x.example";
        enum err_code code = directory_lookup_certificate(
            lookup,
            &(struct directory_lookup_question){ .address = address,
                                                 .trust = world->trust,
                                                 .revocation = { .mode = PKI_REVOCATION_REQUIRE },
                                                 .policy = &policy,
                                                 .now = time(NULL) },
            &result, &err);

        good += code == (i % 2 ? ERR_OK : ERR_NOTFOUND);
        directory_lookup_result_free(&result);
    }
    directory_lookup_free(&lookup);
    return good == 40 ? context : NULL;
}

static void
threads_share_one_snapshot(void **state)
{
    pthread_t threads[4];
    struct world world;

    (void)state;
    world_init(&world);
    world_file(&world, world.files, "a.pem", "email:a@x.example", 0, 0);
    world_load(&world, NULL, 0);
    world_trust(&world, true);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_often, &world), 0);
    for (size_t i = 0; i < 4; i++) {
        void *good = NULL;

        assert_int_equal(pthread_join(threads[i], &good), 0);
        assert_ptr_equal(good, &world);
    }
    world_free(&world);
}

/* Certificates without number under one address: a bound that is named, not an endless judgement.
 */
static void
more_certificates_than_a_person_can_have_are_refused(void **state)
{
    const char *folders[2] = { NULL };
    struct world world;
    char *pem = NULL;
    size_t n = 0;
    FILE *file = open_memstream(&pem, &n);

    (void)state;
    world_init(&world);
    for (size_t i = 0; i <= DIRECTORY_LIMIT_CANDIDATES; i++) {
        struct testca_leaf leaf;

        testca_issue(
            &world.ca,
            &(struct testca_args){ .cn = "X", .san = "email:a@x.example", .key_type = TESTCA_P256 },
            &leaf);
        assert_int_equal(PEM_write_X509(file, leaf.x509), 1);
        testca_leaf_free(&leaf);
    }
    fclose(file);
    testca_file(world.files, "many.pem", 0644, pem, n);
    free(pem);
    folders[0] = world.files;
    assert_int_equal(
        directory_lookup_new(&(struct directory_lookup_sources){ .certificate_folders = folders },
                             &world.lookup, &world.err),
        ERR_LIMIT);
    assert_non_null(strstr(world.err.text, "a@x.example"));
    world_free(&world);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(directory_that_cannot_be_made_is_named),
        cmocka_unit_test(case_of_the_local_part_counts_only_where_policy_says_so),
        cmocka_unit_test(person_is_the_first_that_a_directory_finds),
        cmocka_unit_test(an_ldap_url_is_asked_of_each_directory_until_one_has_it),
        cmocka_unit_test(folder_with_a_file_that_is_no_certificate_is_refused_by_name),
        cmocka_unit_test(threads_share_one_snapshot),
        cmocka_unit_test(more_certificates_than_a_person_can_have_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
