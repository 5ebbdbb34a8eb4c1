#include "tests/unit/directory/lookup_world.h"

static void
newest_valid_certificate_of_a_folder_is_selected_and_the_others_say_why_not(void **state)
{
    struct world world;
    time_t now = time(NULL);
    size_t valid = 0, expired = 0;

    (void)state;
    world_init(&world);
    world_file(&world, world.files, "a.pem", "email:b@x.example", now - 4000, 0);
    world_file(&world, world.files, "b.pem", "email:b@x.example", now - 2000, 0);
    world_file(&world, world.files, "c.pem", "email:b@x.example", now - 3000, 0);
    world_file(&world, world.files, "d.pem", "email:b@x.example", now - 9000, now - 1000);
    world_file(&world, world.files, "e.pem", "email:other@x.example", now - 100, 0);
    world_load(&world, NULL, 0);
    assert_int_equal(world_ask(&world, "b@x.example", false), ERR_OK);
    assert_int_equal(world.result.count, 4);
    assert_non_null(world.result.selected);
    assert_int_equal(pki_certificate_get(world.result.selected->certificate)->not_before,
                     now - 2000);
    for (size_t i = 0; i < world.result.count; i++) {
        const struct directory_candidate *one = &world.result.list[i];

        assert_int_equal(one->selected, one == world.result.selected);
        valid += one->answer.status == PKI_STATUS_OK;
        expired += strcmp(one->answer.reason, "cert-expired") == 0;
        assert_memory_equal(one->source, "files:/tmp/", 11);
    }
    assert_int_equal(valid, 3);
    assert_int_equal(expired, 1);
    world_free(&world);
}

static void
own_user_in_the_keyring_is_a_recipient_and_comes_before_all_others(void **state)
{
    struct fake *fake = fake_new(ERR_OK);
    struct directory *directories[] = { &fake->head };
    struct pki_certificate *mine;
    struct world world;

    (void)state;
    world_init(&world);
    mine = world_issue(&world, world.keys, "me.pem", true,
                       &(struct testca_args){ .cn = "Me", .san = "email:Me@our.example" });
    world_file(&world, world.files, "me.pem", "email:me@our.example", time(NULL) - 10, 0);
    world_load(&world, directories, 1);
    assert_int_equal(world_ask(&world, "me@our.example", false), ERR_OK);
    assert_string_equal(world.result.selected->source, "keys");
    assert_true(pki_certificate_is(world.result.selected->certificate, mine));
    assert_int_equal(world.result.count, 1);
    assert_int_equal(fake->asked, 0);

    assert_int_equal(world_ask(&world, "me@our.example", true), ERR_OK);
    assert_string_equal(world.result.selected->source, "keys");
    assert_int_equal(world.result.count, 2);
    assert_int_equal(fake->asked, 1);
    pki_certificate_free(&mine);
    world_free(&world);
}

static void
second_folder_is_used_only_when_the_first_has_nothing_valid(void **state)
{
    struct world world;
    time_t now = time(NULL);

    (void)state;
    world_init(&world);
    world_file(&world, world.files, "a.pem", "email:a@x.example", now - 9000, 0);
    world_file(&world, world.more, "a.pem", "email:a@x.example", now - 10, 0);
    world_file(&world, world.files, "b.pem", "email:b@x.example", now - 9000, now - 10);
    world_file(&world, world.more, "b.pem", "email:b@x.example", now - 8000, 0);
    world_load(&world, NULL, 0);
    assert_int_equal(world_ask(&world, "a@x.example", false), ERR_OK);
    assert_non_null(strstr(world.result.selected->source, world.files));
    assert_int_equal(world_ask(&world, "b@x.example", false), ERR_OK);
    assert_non_null(strstr(world.result.selected->source, world.more));
    world_free(&world);
}

static void
the_order_of_the_sources_is_that_of_the_configuration(void **state)
{
    static const struct {
        const char *order[4];
        const char *with_all, *with_files, *key_only;
    } cases[] = {
        { { NULL }, "keys", "files:", "keys" },
        { { "keys", "files", "directories" }, "keys", "files:", "keys" },
        { { "files", "directories", "keys" }, "files:", "files:", "directory:fake" },
        { { "directory-first" }, "directory:fake", "directory:fake", "directory:fake" },
        { { "directories", "files" }, "directory:fake", "directory:fake", "directory:fake" },
        { { "files" }, "files:", "files:", NULL },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fake *fake = fake_new(ERR_OK);
        struct directory *directories[] = { &fake->head };
        struct world world;

        world_init(&world);
        world.order = cases[i].order;
        fake->primary = "main@x.example";
        fake->certificates[0] =
            world_issue(&world, NULL, NULL, false,
                        &(struct testca_args){ .cn = "D",
                                               .san = "email:a@x.example,email:b@x.example,"
                                                      "email:c@x.example,email:main@x.example",
                                               .key_usage = "critical,keyEncipherment" });
        world_file(&world, world.files, "a.pem", "email:a@x.example,email:b@x.example", 0, 0);
        struct pki_certificate *own = world_issue(
            &world, world.keys, "a.pem", true,
            &(struct testca_args){
                .cn = "K", .san = "email:a@x.example,email:c@x.example", .key_index = 1 });
        pki_certificate_free(&own);
        world_load(&world, directories, 1);
        assert_int_equal(world_ask(&world, "a@x.example", false), ERR_OK);
        assert_non_null(strstr(world.result.selected->source, cases[i].with_all));
        assert_int_equal(world_ask(&world, "b@x.example", false), ERR_OK);
        assert_non_null(strstr(world.result.selected->source, cases[i].with_files));
        assert_int_equal(world_ask(&world, "c@x.example", false),
                         cases[i].key_only ? ERR_OK : ERR_NOTFOUND);
        if (cases[i].key_only)
            assert_non_null(strstr(world.result.selected->source, cases[i].key_only));
        /* Enough is held here only where it is asked first. */
        assert_int_equal(directory_lookup_holds(world.lookup, "c@x.example"), i < 2);
        world_free(&world);
    }
}

static void
what_is_held_for_the_primary_address_is_found_behind_the_directory_too(void **state)
{
    static const char *const order[] = { "directory-first", NULL };
    struct fake *fake = fake_new(ERR_OK);
    struct directory *directories[] = { &fake->head };
    struct world world;

    (void)state;
    world_init(&world);
    world.order = order;
    fake->primary = "main@x.example";
    world_file(&world, world.files, "m.pem", "email:main@x.example", 0, 0);
    world_load(&world, directories, 1);
    assert_int_equal(world_ask(&world, "alias@x.example", false), ERR_OK);
    assert_non_null(strstr(world.result.selected->source, world.files));
    world_free(&world);
}

static void
an_order_that_is_none_is_refused(void **state)
{
    static const char *const bad[][4] = {
        { "keys", "keys" }, { "ldap" }, { "directory-first", "keys" }, { "keys", "directory-first" }
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct directory_lookup *lookup = NULL;
        struct err err = ERR_INIT;

        assert_int_equal(directory_lookup_new(&(struct directory_lookup_sources){ .order = bad[i] },
                                              &lookup, &err),
                         ERR_PERM);
        assert_null(lookup);
        assert_non_null(strstr(err.text, "lookup_order"));
    }
}

static void
refused_candidates_give_the_reason_nearest_to_use(void **state)
{
    struct world world;
    struct pki_certificate *one;

    (void)state;
    world_init(&world);
    one = world_issue(&world, world.files, "sign.pem", false,
                      &(struct testca_args){ .cn = "X",
                                             .san = "email:a@x.example",
                                             .key_usage = "critical,digitalSignature" });
    pki_certificate_free(&one);
    world_load(&world, NULL, 0);
    assert_int_equal(world_ask(&world, "nobody@x.example", false), ERR_NOTFOUND);
    assert_string_equal(world.result.answer.reason, "no-certificate");
    assert_string_equal(world.err.reason, "no-certificate");
    assert_int_equal(world.result.count, 0);

    assert_int_equal(world_ask(&world, "a@x.example", false), ERR_NOTFOUND);
    assert_string_equal(world.result.answer.reason, "cert-wrong-usage");
    directory_lookup_free(&world.lookup);
    pki_keyring_free(&world.keyring);
    world_file(&world, world.files, "to-old.pem", "email:a@x.example", time(NULL) - 9000,
               time(NULL) - 10);
    world_load(&world, NULL, 0);
    assert_int_equal(world_ask(&world, "a@x.example", false), ERR_NOTFOUND);
    assert_string_equal(world.result.answer.reason, "cert-expired");
    assert_null(world.result.selected);
    world_free(&world);
}

static void
directory_that_cannot_be_asked_is_never_no_certificate(void **state)
{
    struct fake *down = fake_new(ERR_TEMP), *empty = fake_new(ERR_NOTFOUND);
    struct directory *directories[] = { &down->head, &empty->head };
    struct world world;

    (void)state;
    world_init(&world);
    world_file(&world, world.files, "a.pem", "email:a@x.example", 0, 0);
    world_file(&world, world.files, "old.pem", "email:old@x.example", time(NULL) - 9000,
               time(NULL) - 10);
    world_load(&world, directories, 2);
    assert_int_equal(world_ask(&world, "b@x.example", false), ERR_TEMP);
    assert_string_equal(world.result.answer.reason, "directory-unreachable");
    assert_int_equal(world.result.answer.status, PKI_STATUS_TEMP);
    assert_non_null(strstr(world.result.answer.text, "fake"));
    assert_int_equal(empty->asked, 1);
    /* An expired certificate at hand is no answer either: the directory may hold the new one. */
    assert_int_equal(world_ask(&world, "old@x.example", false), ERR_TEMP);
    /* What is valid is valid, whoever is down. */
    assert_int_equal(world_ask(&world, "a@x.example", false), ERR_OK);
    assert_int_equal(world_ask(&world, "a@x.example", true), ERR_OK);
    world_free(&world);
}

static void
certificate_of_the_directory_is_good_for_the_persons_other_addresses(void **state)
{
    struct fake *fake = fake_new(ERR_OK);
    struct directory *directories[] = { &fake->head };
    struct world world;

    (void)state;
    world_init(&world);
    fake->primary = "main@x.example";
    fake->certificates[0] =
        world_issue(&world, NULL, NULL, false,
                    &(struct testca_args){
                        .cn = "A", .san = "email:else@x.example", .not_before = time(NULL) - 5 });
    fake->certificates[1] =
        world_issue(&world, NULL, NULL, false,
                    &(struct testca_args){ .cn = "B", .san = "email:main@x.example" });
    fake->certificates[2] = world_issue(&world, NULL, NULL, false,
                                        &(struct testca_args){ .cn = "C",
                                                               .san = "email:alias@x.example",
                                                               .not_before = time(NULL) - 9000 });
    world_load(&world, directories, 1);
    assert_int_equal(world_ask(&world, "alias@x.example", false), ERR_OK);
    assert_int_equal(world.result.count, 3);
    assert_string_equal(world.result.list[0].answer.reason, "cert-wrong-address");
    assert_true(world.result.list[1].selected);
    assert_int_equal(world.result.list[2].answer.status, PKI_STATUS_OK);
    assert_string_equal(world.result.selected->source, "directory:fake");
    world_free(&world);
}

static void
alias_of_an_own_user_finds_the_keyring_through_the_directory(void **state)
{
    struct fake *fake = fake_new(ERR_OK);
    struct directory *directories[] = { &fake->head };
    struct pki_certificate *mine;
    struct world world;

    (void)state;
    world_init(&world);
    fake->primary = "me@our.example";
    mine = world_issue(&world, world.keys, "me.pem", true,
                       &(struct testca_args){ .cn = "Me", .san = "email:me@our.example" });
    fake->certificates[0] = pki_certificate_add1(mine);
    world_load(&world, directories, 1);
    assert_int_equal(world_ask(&world, "alias@our.example", false), ERR_OK);
    assert_string_equal(world.result.selected->source, "keys");
    assert_true(pki_certificate_is(world.result.selected->certificate, mine));
    assert_int_equal(world.result.count, 1);
    /* Asked for everything, the directory offers the same certificate: still one candidate. */
    assert_int_equal(world_ask(&world, "alias@our.example", true), ERR_OK);
    assert_int_equal(world.result.count, 1);
    pki_certificate_free(&mine);
    world_free(&world);
}

static void
group_and_unreadable_values_are_named_as_such(void **state)
{
    struct fake *fake = fake_new(ERR_OK);
    struct directory *directories[] = { &fake->head };
    struct world world;

    (void)state;
    world_init(&world);
    world_load(&world, directories, 1);
    fake->kind = DIRECTORY_GROUP;
    fake->primary = "list@x.example";
    assert_int_equal(world_ask(&world, "list@x.example", false), ERR_NOTFOUND);
    assert_string_equal(world.result.answer.reason, "no-certificate");
    assert_non_null(strstr(world.result.answer.text, "group"));
    /* A list with a certificate of its own is a recipient like any other. */
    fake->certificates[0] =
        world_issue(&world, NULL, NULL, false,
                    &(struct testca_args){ .cn = "List", .san = "email:list@x.example" });
    assert_int_equal(world_ask(&world, "list@x.example", false), ERR_OK);
    pki_certificate_free(&fake->certificates[0]);
    fake->kind = DIRECTORY_CONTACT;
    fake->bad_certificates = 2;
    assert_int_equal(world_ask(&world, "list@x.example", false), ERR_NOTFOUND);
    assert_string_equal(world.result.answer.reason, "cert-malformed");
    world_free(&world);
}

static void
failure_of_a_backend_itself_is_returned_as_it_is(void **state)
{
    struct fake *fake = fake_new(ERR_NOMEM);
    struct directory *directories[] = { &fake->head };
    struct world world;

    (void)state;
    world_init(&world);
    world_load(&world, directories, 1);
    assert_int_equal(world_ask(&world, "a@x.example", false), ERR_NOMEM);
    fake->code = ERR_BUG; /* ERR_OK without an entry */
    assert_int_equal(world_ask(&world, "a@x.example", false), ERR_BUG);
    world_free(&world);
}

static void
path_and_revocation_are_asked_for_every_candidate(void **state)
{
    struct world world, foreign;

    (void)state;
    world_init(&world);
    world_init(&foreign);
    testca_free(&foreign.ca);
    testca_init(&foreign.ca, "Somebody Else");
    world_file(&world, world.files, "good.pem", "email:good@x.example", 0, 0);
    world_file(&foreign, world.files, "bad.pem", "email:bad@x.example", 0, 0);
    /* The newer one has no path: the older one is the answer. */
    world_file(&world, world.files, "two-a.pem", "email:two@x.example", time(NULL) - 9000, 0);
    world_file(&foreign, world.files, "two-b.pem", "email:two@x.example", time(NULL) - 10, 0);
    world_load(&world, NULL, 0);
    world_trust(&world, true);
    assert_int_equal(world_ask(&world, "good@x.example", false), ERR_OK);
    assert_int_equal(world_ask(&world, "bad@x.example", false), ERR_NOTFOUND);
    assert_string_equal(world.result.answer.reason, "untrusted");
    assert_int_equal(world_ask(&world, "two@x.example", false), ERR_OK);
    assert_int_equal(pki_certificate_get(world.result.selected->certificate)->not_before / 100,
                     (time(NULL) - 9000) / 100);

    /* Without a CRL nobody can say: 451, not 550. */
    pki_trust_free(&world.trust);
    world_trust(&world, false);
    assert_int_equal(world_ask(&world, "good@x.example", false), ERR_TEMP);
    assert_string_equal(world.result.answer.reason, "revocation-unknown");
    assert_int_equal(world_ask(&world, "bad@x.example", false), ERR_NOTFOUND);
    world_free(&foreign);
    world_free(&world);
}

static void
signing_pair_comes_from_the_keyring_alone(void **state)
{
    struct world world;
    struct pki_certificate *sign, *encrypt;
    struct directory_lookup_question question = { .address = "me@our.example",
                                                  .policy = &policy,
                                                  .now = time(NULL) };

    (void)state;
    world_init(&world);
    sign = world_issue(&world, world.keys, "sign.pem", true,
                       &(struct testca_args){ .cn = "Me",
                                              .san = "email:me@our.example",
                                              .key_usage = "critical,digitalSignature" });
    encrypt = world_issue(&world, world.keys, "encrypt.pem", true,
                          &(struct testca_args){ .cn = "Me",
                                                 .san = "email:me@our.example",
                                                 .key_index = 1,
                                                 .key_usage = "critical,keyEncipherment" });
    world_file(&world, world.files, "you.pem", "email:you@our.example", 0, 0);
    world_load(&world, NULL, 0);
    assert_int_equal(directory_lookup_key(world.lookup, &question, &world.result, &world.err),
                     ERR_OK);
    assert_true(pki_certificate_is(world.result.selected->certificate, sign));
    assert_non_null(world.result.selected->key);
    assert_non_null(world.result.selected->key->pkey);
    assert_int_equal(world_ask(&world, "me@our.example", false), ERR_OK);
    assert_true(pki_certificate_is(world.result.selected->certificate, encrypt));

    question.address = "you@our.example";
    directory_lookup_result_free(&world.result);
    assert_int_equal(directory_lookup_key(world.lookup, &question, &world.result, &world.err),
                     ERR_NOTFOUND);
    assert_string_equal(world.result.answer.reason, "no-certificate");
    assert_string_equal(world.result.answer.text, "there is no key for the address");
    pki_certificate_free(&sign);
    pki_certificate_free(&encrypt);
    world_free(&world);
}

static void
same_certificate_in_two_places_is_one_candidate(void **state)
{
    struct pki_certificate *one;
    struct testca_leaf leaf;
    struct world world;

    (void)state;
    world_init(&world);
    testca_issue(&world.ca,
                 &(struct testca_args){ .cn = "A", .san = "email:a@x.example,email:A@x.example" },
                 &leaf);
    testca_pem(world.files, "a.pem", 0644, NULL, leaf.x509, NULL, NULL);
    testca_pem(world.more, "a.pem", 0644, NULL, leaf.x509, NULL, NULL);
    one = testca_certificate(leaf.x509);
    testca_leaf_free(&leaf);
    world_load(&world, NULL, 0);
    assert_int_equal(world_ask(&world, "a@x.example", true), ERR_OK);
    assert_int_equal(world.result.count, 1);
    assert_true(pki_certificate_is(world.result.selected->certificate, one));
    pki_certificate_free(&one);
    world_free(&world);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            newest_valid_certificate_of_a_folder_is_selected_and_the_others_say_why_not),
        cmocka_unit_test(own_user_in_the_keyring_is_a_recipient_and_comes_before_all_others),
        cmocka_unit_test(second_folder_is_used_only_when_the_first_has_nothing_valid),
        cmocka_unit_test(the_order_of_the_sources_is_that_of_the_configuration),
        cmocka_unit_test(what_is_held_for_the_primary_address_is_found_behind_the_directory_too),
        cmocka_unit_test(an_order_that_is_none_is_refused),
        cmocka_unit_test(refused_candidates_give_the_reason_nearest_to_use),
        cmocka_unit_test(directory_that_cannot_be_asked_is_never_no_certificate),
        cmocka_unit_test(certificate_of_the_directory_is_good_for_the_persons_other_addresses),
        cmocka_unit_test(alias_of_an_own_user_finds_the_keyring_through_the_directory),
        cmocka_unit_test(group_and_unreadable_values_are_named_as_such),
        cmocka_unit_test(failure_of_a_backend_itself_is_returned_as_it_is),
        cmocka_unit_test(path_and_revocation_are_asked_for_every_candidate),
        cmocka_unit_test(signing_pair_comes_from_the_keyring_alone),
        cmocka_unit_test(same_certificate_in_two_places_is_one_candidate),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
