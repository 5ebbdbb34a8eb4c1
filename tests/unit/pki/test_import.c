#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <openssl/provider.h>

#include "pki/crypto.h"
#include "pki/file.h"
#include "pki/keyring.h"
#include "pki/pkcs12.h"
#include "tests/unit/testca.h"
#include "util/clock.h"

static const struct pki_leaf_policy usual = { .fold_local = true, .rsa_bits_min = 2048 };
static const char password[] = "correct horse";

static struct testca root, ca;
static char *folder;
static char keys[300], p12_path[300], password_path[300];

static int
group_setup(void **state)
{
    (void)state;
    testca_init(&root, "Import Root");
    testca_init_below(&ca, &root, "Import CA", NULL);
    return 0;
}

static int
group_teardown(void **state)
{
    (void)state;
    testca_free(&ca);
    testca_free(&root);
    return 0;
}

static int
setup(void **state)
{
    (void)state;
    folder = testca_folder();
    snprintf(keys, sizeof keys, "%s/keys", folder);
    snprintf(p12_path, sizeof p12_path, "%s/x.p12", folder);
    snprintf(password_path, sizeof password_path, "%s/x.password", folder);
    assert_int_equal(mkdir(keys, 0700), 0);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    testca_folder_free(&folder);
    return 0;
}

static void
p12_write(PKCS12 *p12, const char *path)
{
    unsigned char *der = NULL;
    int n = i2d_PKCS12(p12, &der);
    FILE *f = fopen(path, "wb");

    assert_true(n > 0 && f && fwrite(der, 1, (size_t)n, f) == (size_t)n);
    fclose(f);
    OPENSSL_free(der);
}

/* One pair with its issuers. */
static PKCS12 *
p12_new(struct testca_args args, const char *with, int mac_iterations)
{
    struct testca_leaf leaf;
    STACK_OF(X509) *issuers = sk_X509_new_null();
    PKCS12 *p12;

    testca_issue(&ca, &args, &leaf);
    sk_X509_push(issuers, ca.x509);
    sk_X509_push(issuers, root.x509);
    p12 = PKCS12_create(with, "name", leaf.key, leaf.x509, issuers, 0, 0, 2048, mac_iterations, 0);
    assert_non_null(p12);
    sk_X509_free(issuers);
    testca_leaf_free(&leaf);
    return p12;
}

static enum err_code
import(const char *address, size_t *count, struct err *err)
{
    struct pki_import_args args = {
        .file = p12_path, .password_file = password_path, .folder = keys, .address = address
    };
    enum err_code code;

    err_reset(err);
    code = pki_keyring_import(&args, count, err);
    assert_int_equal(ERR_peek_error(), 0);
    return code;
}

static void
password_write(const char *text)
{
    testca_file(folder, "x.password", 0600, text, strlen(text));
}

static struct pki_keyring *
keyring_load(void)
{
    struct pki_keyring *keyring = NULL;
    struct err err = ERR_INIT;

    if (pki_keyring_load(keys, NULL, NULL, &keyring, &err) != ERR_OK)
        fail_msg("%s", err.text);
    return keyring;
}

static void
a_pair_is_imported_with_its_chain_and_found(void **state)
{
    (void)state;
    PKCS12 *p12 = p12_new((struct testca_args){ .cn = "A", .san = "email:Alice@Example.org" },
                          password, 2048);
    struct err err = ERR_INIT;
    struct stat st;
    size_t count;
    const struct pki_key *key = NULL;
    struct pki_answer why;

    p12_write(p12, p12_path);
    password_write("correct horse\r\nsecond line\n");
    assert_int_equal(import(NULL, &count, &err), ERR_OK);
    assert_int_equal(count, 1);
    struct pki_keyring *keyring = keyring_load();
    assert_int_equal(
        pki_keyring_find(keyring,
                         &(struct pki_keyring_question){ .address = "alice@example.org",
                                                         .use = PKI_USE_SIGN,
                                                         .now = time(NULL),
                                                         .policy = &usual },
                         &key, &why, &err),
        ERR_OK);
    assert_non_null(strstr(key->file, "/keys/alice@example.org/"));
    assert_int_equal(key->chain.count, 1);
    assert_int_equal(stat(key->file, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    pki_keyring_free(&keyring);
    /* Again: what is there is left alone. */
    assert_int_equal(import(NULL, &count, &err), ERR_OK);
    assert_int_equal(count, 0);
    PKCS12_free(p12);
}

static void
what_root_imports_belongs_to_the_owner_of_the_folder(void **state)
{
    (void)state;
    PKCS12 *p12 =
        p12_new((struct testca_args){ .cn = "A", .san = "email:a@example.org" }, password, 1);
    struct err err = ERR_INIT;
    struct pki_file_names names = { .list = NULL };
    struct stat st;
    size_t count;

    if (geteuid() != 0) {
        PKCS12_free(p12);
        skip();
    }
    p12_write(p12, p12_path);
    PKCS12_free(p12);
    password_write(password);
    assert_int_equal(chown(keys, 12345, 23456), 0);
    assert_int_equal(import(NULL, &count, &err), ERR_OK);
    assert_int_equal(pki_file_names_load(keys, 1, &names, &err), ERR_OK);
    assert_int_equal(names.count, 1);
    assert_int_equal(stat(names.list[0], &st), 0);
    assert_int_equal(st.st_uid, 12345);
    assert_int_equal(st.st_gid, 23456);
    *strrchr(names.list[0], '/') = '\0';
    assert_int_equal(stat(names.list[0], &st), 0);
    assert_int_equal(st.st_uid, 12345);
    assert_int_equal(st.st_mode & 07777, 0700);
    pki_file_names_free(&names);
}

static void
histories_become_a_file_for_each_pair(void **state)
{
    (void)state;
    STACK_OF(PKCS12_SAFEBAG) *certificates = NULL, *shrouded = NULL;
    STACK_OF(PKCS7) *safes = NULL;
    struct err err = ERR_INIT;
    size_t count;

    /* Three keys, four certificates (one key was renewed), in mixed order, one of them a
     * stranger's. */
    for (unsigned i = 0; i < 5; i++) {
        struct testca_leaf leaf;
        testca_issue(
            &ca,
            &(struct testca_args){ .cn = "H",
                                   .san = i == 3 ? "email:old@example.org" : "email:h@example.org",
                                   .key_index = i % 4,
                                   .key_type = TESTCA_P256 },
            &leaf);
        assert_non_null(PKCS12_add_cert(&certificates, leaf.x509));
        if (i < 3)
            assert_non_null(PKCS12_add_key(&shrouded, leaf.key, 0, 2048,
                                           NID_pbe_WithSHA1And3_Key_TripleDES_CBC, password));
        testca_leaf_free(&leaf);
    }
    assert_true(PKCS12_add_safe(&safes, certificates, NID_aes_256_cbc, 2048, password));
    assert_true(PKCS12_add_safe(&safes, shrouded, -1, 0, NULL));
    PKCS12 *p12 = PKCS12_add_safes(safes, 0);
    assert_true(PKCS12_set_mac(p12, password, -1, NULL, 0, 2048, EVP_sha256()));
    p12_write(p12, p12_path);
    password_write(password);
    assert_int_equal(import(NULL, &count, &err), ERR_OK);
    assert_int_equal(count, 4);
    struct pki_keyring *keyring = keyring_load();
    assert_int_equal(pki_keyring_count(keyring), 4);
    pki_keyring_free(&keyring);
    PKCS12_free(p12);
    sk_PKCS7_pop_free(safes, PKCS7_free);
    sk_PKCS12_SAFEBAG_pop_free(certificates, PKCS12_SAFEBAG_free);
    sk_PKCS12_SAFEBAG_pop_free(shrouded, PKCS12_SAFEBAG_free);
}

static void
empty_and_wrong_passwords_are_refused(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    size_t count;
    PKCS12 *p12 =
        p12_new((struct testca_args){ .cn = "A", .san = "email:a@example.org" }, "", 2048);

    p12_write(p12, p12_path);
    PKCS12_free(p12);
    password_write("\n");
    assert_int_equal(import(NULL, &count, &err), ERR_PERM);
    assert_non_null(strstr(err.text, "password is empty"));
    password_write("");
    assert_int_equal(import(NULL, &count, &err), ERR_PERM);
    password_write("anything");
    assert_int_equal(import(NULL, &count, &err), ERR_PERM);
    assert_non_null(strstr(err.text, "password is wrong"));
    assert_int_equal(count, 0);
    unlink(password_path);
    assert_int_equal(import(NULL, &count, &err), ERR_NOTFOUND);
}

static void
a_file_without_mac_is_refused(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    size_t count;
    PKCS12 *p12 =
        p12_new((struct testca_args){ .cn = "A", .san = "email:a@example.org" }, password, -1);

    p12_write(p12, p12_path);
    PKCS12_free(p12);
    password_write(password);
    assert_int_equal(import(NULL, &count, &err), ERR_PERM);
    assert_non_null(strstr(err.text, "no MAC"));
}

static void
a_wanted_address_must_be_in_a_certificate(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    size_t count;
    PKCS12 *p12 =
        p12_new((struct testca_args){ .cn = "A", .san = "email:a@example.org,email:b@example.org" },
                password, 1);

    p12_write(p12, p12_path);
    PKCS12_free(p12);
    password_write(password);
    assert_int_equal(import("c@example.org", &count, &err), ERR_PERM);
    assert_string_equal(err.reason, "cert-wrong-address");
    assert_int_equal(import("B@example.org", &count, &err), ERR_OK);
    assert_int_equal(count, 1);
    struct pki_keyring *keyring = keyring_load();
    assert_non_null(strstr(pki_keyring_get(keyring, 0)->file, "/b@example.org/"));
    pki_keyring_free(&keyring);
}

static void
an_address_is_no_way_out_of_the_folder(void **state)
{
    (void)state;
    static const char *const sans[] = { "email:../../x@example.org", "email:.x@example.org",
                                        "email:a/b@example.org" };
    struct err err = ERR_INIT;
    size_t count;

    password_write(password);
    for (size_t i = 0; i < 3; i++) {
        PKCS12 *p12 = p12_new((struct testca_args){ .cn = "A", .san = sans[i] }, password, 1);
        p12_write(p12, p12_path);
        PKCS12_free(p12);
        (void)import(NULL, &count, &err);
    }
    /* Refused, or in a folder whose name cannot lead anywhere. */
    struct pki_keyring *keyring = keyring_load();
    for (size_t i = 0; i < pki_keyring_count(keyring); i++) {
        const char *file = pki_keyring_get(keyring, i)->file;
        assert_int_equal(strncmp(file, keys, strlen(keys)), 0);
        file += strlen(keys) + 1;
        assert_int_not_equal(file[0], '.');
        assert_ptr_equal(strchr(file, '/'), strrchr(file, '/'));
    }
    pki_keyring_free(&keyring);
    struct pki_file_names names = { .list = NULL };
    err_reset(&err);
    assert_int_equal(pki_file_names_load(folder, 0, &names, &err), ERR_OK);
    assert_int_equal(names.count, 2); /* x.p12, x.password */
    pki_file_names_free(&names);
}

static void
corpus_files_are_imported(void **state)
{
    (void)state;
    static const struct {
        const char *file, *password;
        size_t pairs;
    } cases[] = { { "rfc9216/alice.p12", "alice", 2 },
                  { "rfc9216/bob.p12", "bob", 2 },
                  { "rfc9216/carlos.p12", "carlos", 2 },
                  { "rfc9216/dana.p12", "dana", 2 },
                  { "protected-headers/bob.p12", "bob", 1 } };
    const char *corpora = getenv("SMIMED_CORPORA");
    struct err err = ERR_INIT;
    size_t count;

    if (!corpora) {
        print_message("SMIMED_CORPORA is not set: skipped\n");
        skip();
    }
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        password_write(cases[i].password);
        snprintf(p12_path, sizeof p12_path, "%s/%s", corpora, cases[i].file);
        if (import(NULL, &count, &err) != ERR_OK)
            fail_msg("%s", err.text);
        assert_int_equal(count, cases[i].pairs);
    }
    /* An empty password, and RC2-40: refused for the first. */
    snprintf(p12_path, sizeof p12_path, "%s/bc-mail/johndoe.p12", corpora);
    password_write("");
    assert_int_equal(import(NULL, &count, &err), ERR_PERM);
    password_write("johndoe");
    assert_int_equal(import(NULL, &count, &err), ERR_PERM);
}

/* The same pair in the algorithms of twenty years ago, written by a library context of the test's
 * own. */
static void
rc2_40_files_are_read_and_the_legacy_provider_stays_outside(void **state)
{
    (void)state;
    OSSL_LIB_CTX *old = OSSL_LIB_CTX_new();
    OSSL_PROVIDER *standard = OSSL_PROVIDER_load(old, "default");
    OSSL_PROVIDER *legacy = OSSL_PROVIDER_load(old, "legacy");
    struct testca_leaf leaf;
    struct err err = ERR_INIT;
    size_t count;

    assert_non_null(legacy);
    testca_issue(&ca, &(struct testca_args){ .cn = "A", .san = "email:a@example.org" }, &leaf);
    PKCS12 *p12 =
        PKCS12_create_ex(password, NULL, leaf.key, leaf.x509, NULL, NID_pbe_WithSHA1And40BitRC2_CBC,
                         NID_pbe_WithSHA1And40BitRC2_CBC, 2048, 1, 0, old, NULL);
    assert_non_null(p12);
    p12_write(p12, p12_path);
    PKCS12_free(p12);
    password_write(password);
    if (import(NULL, &count, &err) != ERR_OK)
        fail_msg("%s", err.text);
    assert_int_equal(count, 1);
    EVP_CIPHER *rc2 = EVP_CIPHER_fetch(NULL, "RC2-40-CBC", NULL);
    assert_null(rc2);
    ERR_clear_error();
    testca_leaf_free(&leaf);
    OSSL_PROVIDER_unload(legacy);
    OSSL_PROVIDER_unload(standard);
    OSSL_LIB_CTX_free(old);
}

struct complaints {
    unsigned count;
    char text[600];
};

static void
complain(void *context, const char *file, const char *text)
{
    struct complaints *complaints = context;

    (void)file;
    complaints->count++;
    snprintf(complaints->text, sizeof complaints->text, "%s", text);
}

static bool
exists(const char *name)
{
    char path[512];
    struct stat st;

    snprintf(path, sizeof path, "%s/watched/%s", folder, name);
    return stat(path, &st) == 0;
}

static size_t
import_round(struct complaints *complaints)
{
    char watched[300];
    struct err err = ERR_INIT;
    size_t count = 0;

    *complaints = (struct complaints){ .count = 0 };
    snprintf(watched, sizeof watched, "%s/watched", folder);
    if (pki_keyring_import_folder(watched, NULL, keys, complain, complaints, &count, &err) !=
        ERR_OK)
        fail_msg("%s", err.text);
    return count;
}

static void
a_watched_folder_is_emptied_into_done_and_failed(void **state)
{
    (void)state;
    struct complaints complaints;
    char watched[300], path[1024];
    PKCS12 *p12 =
        p12_new((struct testca_args){ .cn = "A", .san = "email:a@example.org" }, password, 1);

    snprintf(watched, sizeof watched, "%s/watched", folder);
    assert_int_equal(mkdir(watched, 0700), 0);
    snprintf(path, sizeof path, "%s/good.p12", watched);
    p12_write(p12, path);
    PKCS12_free(p12);
    testca_file(folder, "watched/bad.p12", 0600, "rubbish", 7);
    testca_file(folder, "watched/bad.password", 0600, "secret", 6);
    testca_file(folder, "watched/readme.txt", 0600, "hello", 5);

    /* Just written: it may still be growing. */
    assert_int_equal(import_round(&complaints), 0);
    assert_int_equal(complaints.count, 0);
    clock_set_s(time(NULL) + 60);
    /* Settled, but one password is not there yet. */
    assert_int_equal(import_round(&complaints), 0);
    assert_int_equal(complaints.count, 2);
    assert_true(exists("good.p12"));
    assert_false(exists("bad.p12"));
    assert_true(exists("failed/bad.p12"));
    assert_true(exists("failed/bad.password"));
    /* A password that others can read is refused where nobody looks on. */
    testca_file(folder, "watched/good.password", 0644, password, strlen(password));
    assert_int_equal(import_round(&complaints), 0);
    assert_true(exists("failed/good.p12"));
    snprintf(path, sizeof path, "mv '%s'/failed/good.* '%s'; chmod 600 '%s'/good.password", watched,
             watched, watched);
    assert_int_equal(system(path), 0);
    assert_int_equal(import_round(&complaints), 1);
    assert_int_equal(complaints.count, 0);
    assert_true(exists("done/good.p12"));
    assert_true(exists("done/good.password"));
    assert_false(exists("good.p12"));
    assert_true(exists("readme.txt"));
    clock_set_s(0);
}

static void
a_watched_folder_that_everybody_can_write_is_refused(void **state)
{
    (void)state;
    char watched[300];
    struct err err = ERR_INIT;
    size_t count;

    snprintf(watched, sizeof watched, "%s/watched", folder);
    assert_int_equal(mkdir(watched, 0700), 0);
    assert_int_equal(chmod(watched, 0777), 0);
    assert_int_equal(pki_keyring_import_folder(watched, NULL, keys, NULL, NULL, &count, &err),
                     ERR_PERM);
    err_reset(&err);
    assert_int_equal(
        pki_keyring_import_folder("/nonexistent/x", NULL, keys, NULL, NULL, &count, &err),
        ERR_TEMP);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    static const struct CMUnitTest tests[] = {
        TEST(a_pair_is_imported_with_its_chain_and_found),
        TEST(what_root_imports_belongs_to_the_owner_of_the_folder),
        TEST(histories_become_a_file_for_each_pair),
        TEST(empty_and_wrong_passwords_are_refused),
        TEST(a_file_without_mac_is_refused),
        TEST(a_wanted_address_must_be_in_a_certificate),
        TEST(an_address_is_no_way_out_of_the_folder),
        TEST(corpus_files_are_imported),
        TEST(rc2_40_files_are_read_and_the_legacy_provider_stays_outside),
        TEST(a_watched_folder_is_emptied_into_done_and_failed),
        TEST(a_watched_folder_that_everybody_can_write_is_refused),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
