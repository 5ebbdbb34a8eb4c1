/*
 * What the tests of directory/lookup share: directories that answer as a test says, and a small
 * world of an authority, a keyring folder and two folders of certificates.
 */
#ifndef TESTS_UNIT_DIRECTORY_LOOKUP_WORLD_H
#define TESTS_UNIT_DIRECTORY_LOOKUP_WORLD_H

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

static inline enum err_code
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

static inline enum err_code
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

static inline enum err_code
fake_find_dns(struct directory *directory, const struct directory_questions *questions,
              struct directory_entries *out, struct err *err)
{
    (void)directory;
    (void)questions;
    (void)out;
    return err_set(err, ERR_BUG, "not asked in this test");
}

static inline enum err_code
fake_find_urls(struct directory *directory, const struct directory_questions *questions,
               size_t limit, struct directory_entries *out, struct err *err)
{
    (void)limit;
    return fake_find_dns(directory, questions, out, err);
}

static inline enum err_code
fake_find_login(struct directory *directory, const char *login, int64_t deadline_ms,
                struct directory_entry **out, struct err *err)
{
    struct fake *fake = (struct fake *)directory;

    (void)deadline_ms;
    if (fake->login && strcmp(fake->login, login) != 0)
        return ERR_NOTFOUND;
    return fake_answer(fake, out, err);
}

static inline enum err_code
fake_find_send_as(struct directory *directory, const struct directory_entry *person,
                  const char *address, int64_t deadline_ms, struct err *err)
{
    (void)directory;
    (void)deadline_ms;
    return err_set(err, ERR_NOTFOUND, "%s may not send as %s", person->dn, address);
}

static inline enum err_code
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

static inline void
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

static inline struct fake *
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

static inline void
world_init(struct world *world)
{
    *world = (struct world){ .keys = testca_folder(),
                             .files = testca_folder(),
                             .more = testca_folder() };
    testca_init(&world->ca, "Lookup Root");
}

static inline void
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

static inline void
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

static inline void
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
static inline struct pki_certificate *
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

static inline void
world_file(struct world *world, const char *folder, const char *name, const char *san,
           time_t not_before, time_t not_after)
{
    struct pki_certificate *certificate =
        world_issue(world, folder, name, false,
                    &(struct testca_args){
                        .cn = "X", .san = san, .not_before = not_before, .not_after = not_after });

    pki_certificate_free(&certificate);
}

static inline enum err_code
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

#endif
