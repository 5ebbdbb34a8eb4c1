#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "directory/lookup.h"
#include "tests/unit/testca.h"

/* A directory as a test wants it: one entry, an error, a count of questions. */
struct fake {
    struct directory head;
    enum err_code code;
    enum directory_kind kind;
    const char *primary;
    const char *login;
    struct pki_certificate *certificates[3];
    size_t bad_certificates;
    size_t asked;
};

static enum err_code
fake_answer(struct fake *fake, struct directory_entry **out, struct err *err)
{
    fake->asked++;
    if (fake->code == ERR_BUG)
        return ERR_OK; /* and no entry */
    if (fake->code != ERR_OK)
        return err_set(err, fake->code, "no answer from the test");
    *out = calloc(1, sizeof **out);
    assert_non_null(*out);
    (*out)->kind = fake->kind;
    (*out)->primary = fake->primary ? strdup(fake->primary) : NULL;
    (*out)->bad_certificates = fake->bad_certificates;
    for (size_t i = 0; i < 3 && fake->certificates[i]; i++)
        assert_int_equal(pki_certificates_add1(&(*out)->certificates, fake->certificates[i], err),
                         ERR_OK);
    return ERR_OK;
}

static enum err_code
fake_find_addresses(struct directory *directory, const struct directory_questions *questions,
                    struct directory_entries *out, struct err *err)
{
    enum err_code code = ERR_OK;

    for (size_t i = 0; i < questions->count && code == ERR_OK; i++) {
        struct directory_entry *entry = NULL;
        struct err mine = ERR_INIT;

        code = fake_answer((struct fake *)directory, &entry, &mine);
        if (((struct fake *)directory)->code == ERR_BUG)
            return ERR_OK; /* and no answer */
        if (code != ERR_OK && code != ERR_NOTFOUND)
            return err_set(err, code, "%s", mine.text);
        code = directory_entries_append(out, entry, err);
    }
    return code;
}

static enum err_code
fake_find_dns(struct directory *directory, const struct directory_questions *questions,
              struct directory_entries *out, struct err *err)
{
    (void)directory;
    (void)questions;
    (void)out;
    return err_set(err, ERR_BUG, "not asked in this test");
}

static enum err_code
fake_find_urls(struct directory *directory, const struct directory_questions *questions,
               size_t limit, struct directory_entries *out, struct err *err)
{
    (void)limit;
    return fake_find_dns(directory, questions, out, err);
}

static enum err_code
fake_find_login(struct directory *directory, const char *login, int64_t deadline_ms,
                struct directory_entry **out, struct err *err)
{
    struct fake *fake = (struct fake *)directory;

    (void)deadline_ms;
    if (fake->login && strcmp(fake->login, login) != 0)
        return ERR_NOTFOUND;
    return fake_answer(fake, out, err);
}

static enum err_code
fake_find_send_as(struct directory *directory, const struct directory_entry *person,
                  const char *address, int64_t deadline_ms, struct err *err)
{
    (void)directory;
    (void)deadline_ms;
    return err_set(err, ERR_NOTFOUND, "%s may not send as %s", person->dn, address);
}

static enum err_code
fake_get_url(struct directory *directory, struct span url, int64_t deadline_ms, struct buf *out,
             struct err *err)
{
    struct fake *fake = (struct fake *)directory;

    (void)deadline_ms;
    fake->asked++;
    if (fake->code != ERR_OK)
        return err_set(err, fake->code, "no answer from the test");
    return buf_append(out, url, err);
}

static void
fake_free(struct directory *directory)
{
    struct fake *fake = (struct fake *)directory;

    for (size_t i = 0; i < 3; i++)
        pki_certificate_free(&fake->certificates[i]);
    free(directory);
}

static const struct directory_ops fake_ops = { .name = "fake",
                                               .find_addresses = fake_find_addresses,
                                               .find_dns = fake_find_dns,
                                               .find_urls = fake_find_urls,
                                               .find_login = fake_find_login,
                                               .find_send_as = fake_find_send_as,
                                               .get_url = fake_get_url,
                                               .free = fake_free };

static struct fake *
fake_new(enum err_code code)
{
    struct fake *fake = calloc(1, sizeof *fake);

    assert_non_null(fake);
    fake->head.ops = &fake_ops;
    fake->head.name = (char *)"fake";
    fake->code = code;
    return fake;
}

/* directory_new is not under test here; this keeps the backend out of this program. */
enum err_code
directory_ldif_new(const struct conf_directory *conf, struct directory **out, struct err *err)
{
    (void)conf;
    *out = NULL;
    return err_set(err, ERR_PERM, "no backend in this test");
}

/* A small world: an authority, a keyring folder, two certificate folders. */
struct world {
    struct testca ca;
    char *keys, *files, *more;
    struct pki_keyring *keyring;
    struct pki_trust *trust;
    struct directory_lookup *lookup;
    struct directory_lookup_result result;
    struct err err;
    const char *const *order; /* NULL: the usual one */
};

static const struct pki_leaf_policy policy = { .fold_local = true, .rsa_bits_min = 2048 };

static void
world_init(struct world *world)
{
    *world = (struct world){ .keys = testca_folder(),
                             .files = testca_folder(),
                             .more = testca_folder() };
    testca_init(&world->ca, "Lookup Root");
}

static void
world_load(struct world *world, struct directory *const *directories, size_t count)
{
    const char *folders[] = { world->files, world->more, NULL };

    assert_int_equal(pki_keyring_load(world->keys, NULL, NULL, &world->keyring, &world->err),
                     ERR_OK);
    assert_int_equal(
        directory_lookup_new(&(struct directory_lookup_sources){ .keyring = world->keyring,
                                                                 .certificate_folders = folders,
                                                                 .directories = directories,
                                                                 .directory_count = count,
                                                                 .order = world->order },
                             &world->lookup, &world->err),
        ERR_OK);
}

static void
world_trust(struct world *world, bool with_crl)
{
    char *folder = testca_folder(), *crls = testca_folder();
    const char *anchors[] = { folder, NULL }, *crl_folders[] = { crls, NULL };

    testca_pem(folder, "root.pem", 0644, NULL, world->ca.x509, NULL, NULL);
    if (with_crl) {
        X509_CRL *crl = testca_crl(&world->ca, NULL);

        testca_crl_file(crls, "root.crl", crl);
        X509_CRL_free(crl);
    }
    assert_int_equal(
        pki_trust_load(
            &(struct pki_trust_args){ .name = "test", .anchors = anchors, .crls = crl_folders },
            &world->trust, &world->err),
        ERR_OK);
    testca_folder_free(&folder);
    testca_folder_free(&crls);
}

static void
world_free(struct world *world)
{
    directory_lookup_result_free(&world->result);
    directory_lookup_free(&world->lookup);
    pki_keyring_free(&world->keyring);
    pki_trust_free(&world->trust);
    testca_free(&world->ca);
    testca_folder_free(&world->keys);
    testca_folder_free(&world->files);
    testca_folder_free(&world->more);
}

/* Issues a certificate and writes it (with its key where asked) into `folder`. */
static struct pki_certificate *
world_issue(struct world *world, const char *folder, const char *name, bool key,
            const struct testca_args *args)
{
    struct testca_leaf leaf;
    struct pki_certificate *certificate;

    testca_issue(&world->ca, args, &leaf);
    if (folder)
        testca_pem(folder, name, key ? 0600 : 0644, key ? leaf.key : NULL, leaf.x509, NULL, NULL);
    certificate = testca_certificate(leaf.x509);
    testca_leaf_free(&leaf);
    return certificate;
}

static void
world_file(struct world *world, const char *folder, const char *name, const char *san,
           time_t not_before, time_t not_after)
{
    struct pki_certificate *certificate =
        world_issue(world, folder, name, false,
                    &(struct testca_args){
                        .cn = "X", .san = san, .not_before = not_before, .not_after = not_after });

    pki_certificate_free(&certificate);
}

static enum err_code
world_ask(struct world *world, const char *address, bool all)
{
    directory_lookup_result_free(&world->result);
    err_reset(&world->err);
    return directory_lookup_certificate(
        world->lookup,
        &(struct directory_lookup_question){ .address = address,
                                             .trust = world->trust,
                                             .revocation = { .mode = PKI_REVOCATION_REQUIRE },
                                             .policy = &policy,
                                             .now = time(NULL),
                                             .all = all },
        &world->result, &world->err);
}

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
