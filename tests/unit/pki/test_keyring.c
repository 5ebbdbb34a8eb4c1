#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "pki/crypto.h"
#include "pki/keyring.h"
#include "tests/unit/testca.h"

static const struct pki_leaf_policy usual = { .fold_local = true, .rsa_bits_min = 2048 };

static struct testca root, ca;
static char *folder;

static int
group_setup(void **state)
{
    (void)state;
    testca_init(&root, "Keyring Root");
    testca_init_below(&ca, &root, "Keyring CA", NULL);
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
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    testca_folder_free(&folder);
    return 0;
}

/* Issues a certificate and stores the pair with its chain as folder/name. */
static void
store(const char *name, struct testca_args args)
{
    struct testca_leaf leaf;

    if (!args.cn)
        args.cn = name;
    testca_issue(&ca, &args, &leaf);
    testca_pem(folder, name, 0600, leaf.key, leaf.x509, ca.x509, root.x509);
    testca_leaf_free(&leaf);
}

struct complaints {
    unsigned count;
    char text[8][600];
};

static void
complain(void *context, const char *file, const char *text)
{
    struct complaints *complaints = context;

    assert_non_null(strstr(text, file));
    if (complaints->count < 8)
        snprintf(complaints->text[complaints->count], sizeof complaints->text[0], "%s", text);
    complaints->count++;
}

static struct pki_keyring *
load(struct complaints *complaints)
{
    struct pki_keyring *keyring = NULL;
    struct err err = ERR_INIT;

    *complaints = (struct complaints){ .count = 0 };
    if (pki_keyring_load(folder, complain, complaints, &keyring, &err) != ERR_OK)
        fail_msg("%s", err.text);
    assert_int_equal(ERR_peek_error(), 0);
    return keyring;
}

static const struct pki_key *
find(const struct pki_keyring *keyring, const char *address, enum pki_use use,
     struct pki_answer *why)
{
    struct pki_keyring_question question = {
        .address = address, .use = use, .now = time(NULL), .policy = &usual
    };
    const struct pki_key *key = NULL;
    struct err err = ERR_INIT;
    enum err_code code = pki_keyring_find(keyring, &question, &key, why, &err);

    assert_true((code == ERR_OK) == (key != NULL));
    assert_true(code == ERR_OK || code == ERR_NOTFOUND);
    if (code == ERR_NOTFOUND) {
        assert_string_equal(err.reason, why->reason);
        assert_non_null(strstr(err.text, address));
    }
    return key;
}

static void
a_pair_is_found_by_any_of_its_addresses_with_its_chain(void **state)
{
    (void)state;
    struct complaints complaints;
    struct pki_answer why;

    store("a.pem", (struct testca_args){ .san = "email:Alice@Example.org,email:al@example.org" });
    struct pki_keyring *keyring = load(&complaints);
    assert_int_equal(pki_keyring_count(keyring), 1);
    const struct pki_key *key = find(keyring, "alice@EXAMPLE.ORG", PKI_USE_SIGN, &why);
    assert_non_null(key);
    assert_string_equal(why.reason, "ok");
    assert_ptr_equal(key, find(keyring, "al@example.org", PKI_USE_ENCRYPT, &why));
    assert_ptr_equal(key, pki_keyring_get(keyring, 0));
    assert_null(pki_keyring_get(keyring, 1));
    assert_non_null(strstr(key->file, "/a.pem"));
    /* The intermediate, but not the root. */
    assert_int_equal(key->chain.count, 1);
    assert_string_equal(pki_certificate_get(key->chain.list[0])->subject, "CN=Keyring CA,O=Testca");
    assert_int_equal(EVP_PKEY_eq(key->pkey, testca_key(TESTCA_RSA2048, 0)), 1);
    pki_keyring_free(&keyring);
}

static void
nobody_is_called_no_certificate(void **state)
{
    (void)state;
    struct complaints complaints;
    struct pki_answer why;

    store("a.pem", (struct testca_args){ .san = "email:alice@example.org" });
    struct pki_keyring *keyring = load(&complaints);
    assert_null(find(keyring, "bob@example.org", PKI_USE_SIGN, &why));
    assert_string_equal(why.reason, "no-certificate");
    pki_keyring_free(&keyring);
}

static void
separate_certificates_are_chosen_by_usage(void **state)
{
    (void)state;
    struct complaints complaints;
    struct pki_answer why;

    mkdir(strcat(strcpy((char[300]){ 0 }, folder), "/alice@example.org"), 0700);
    store("alice@example.org/sign.pem",
          (struct testca_args){ .san = "email:alice@example.org",
                                .key_usage = "critical,digitalSignature" });
    store("alice@example.org/encrypt.pem",
          (struct testca_args){ .san = "email:alice@example.org",
                                .key_usage = "critical,keyEncipherment",
                                .key_index = 1 });
    struct pki_keyring *keyring = load(&complaints);
    assert_int_equal(pki_keyring_count(keyring), 2);
    assert_non_null(
        strstr(find(keyring, "alice@example.org", PKI_USE_SIGN, &why)->file, "/sign.pem"));
    assert_non_null(
        strstr(find(keyring, "alice@example.org", PKI_USE_ENCRYPT, &why)->file, "/encrypt.pem"));
    pki_keyring_free(&keyring);
}

static void
of_a_history_the_newest_valid_one_is_chosen(void **state)
{
    (void)state;
    struct complaints complaints;
    struct pki_answer why;
    time_t now = time(NULL);

    store("1.pem", (struct testca_args){ .san = "email:a@example.org",
                                         .not_before = now - 9000,
                                         .not_after = now + 9000 });
    store("2.pem", (struct testca_args){ .san = "email:a@example.org",
                                         .not_before = now - 5000,
                                         .not_after = now + 5000 });
    store("3.pem", (struct testca_args){ .san = "email:a@example.org",
                                         .not_before = now - 3000,
                                         .not_after = now - 1000 });
    store("4.pem", (struct testca_args){ .san = "email:a@example.org",
                                         .not_before = now + 3000,
                                         .not_after = now + 9000 });
    struct pki_keyring *keyring = load(&complaints);
    assert_int_equal(pki_keyring_count(keyring), 4);
    assert_non_null(strstr(find(keyring, "a@example.org", PKI_USE_SIGN, &why)->file, "/2.pem"));
    pki_keyring_free(&keyring);
}

static void
what_is_wrong_with_the_nearest_candidate_is_told(void **state)
{
    (void)state;
    struct complaints complaints;
    struct pki_answer why;
    time_t now = time(NULL);

    store("e1.pem", (struct testca_args){ .san = "email:e@example.org",
                                          .not_before = now - 9000,
                                          .not_after = now - 8000 });
    store("e2.pem",
          (struct testca_args){ .san = "email:e@example.org", .key_usage = "keyEncipherment" });
    store("n.pem", (struct testca_args){ .san = "email:n@example.org",
                                         .not_before = now + 8000,
                                         .not_after = now + 9000 });
    store("u.pem",
          (struct testca_args){ .san = "email:u@example.org", .key_usage = "keyEncipherment" });
    store("s.pem", (struct testca_args){ .subject_email = "s@example.org" });
    store("w.pem",
          (struct testca_args){ .san = "email:w@example.org", .key_type = TESTCA_RSA1024 });
    struct pki_keyring *keyring = load(&complaints);
    static const struct {
        const char *address, *reason;
    } cases[] = { { "e@example.org", "cert-expired" },
                  { "n@example.org", "cert-not-yet-valid" },
                  { "u@example.org", "cert-wrong-usage" },
                  { "s@example.org", "cert-wrong-address" },
                  { "w@example.org", "cert-weak-key" } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_null(find(keyring, cases[i].address, PKI_USE_SIGN, &why));
        assert_string_equal(why.reason, cases[i].reason);
    }
    pki_keyring_free(&keyring);
}

static void
unsafe_modes_are_refused_and_named(void **state)
{
    (void)state;
    static const mode_t unsafe[] = { 0644, 0640, 0604, 0620, 0601 };
    struct complaints complaints;
    struct testca_leaf leaf;

    testca_issue(&ca, &(struct testca_args){ .san = "email:a@example.org" }, &leaf);
    for (size_t i = 0; i < sizeof unsafe / sizeof *unsafe; i++) {
        testca_pem(folder, "a.pem", unsafe[i], leaf.key, leaf.x509, NULL, NULL);
        struct pki_keyring *keyring = load(&complaints);
        assert_int_equal(pki_keyring_count(keyring), 0);
        assert_int_equal(complaints.count, 1);
        assert_non_null(strstr(complaints.text[0], "a.pem has mode 06"));
        pki_keyring_free(&keyring);
    }
    testca_pem(folder, "a.pem", 0400, leaf.key, leaf.x509, NULL, NULL);
    struct pki_keyring *keyring = load(&complaints);
    assert_int_equal(pki_keyring_count(keyring), 1);
    pki_keyring_free(&keyring);
    testca_leaf_free(&leaf);
}

static void
a_foreign_owner_is_refused(void **state)
{
    (void)state;
    struct complaints complaints;
    char path[300];

    if (geteuid() != 0)
        skip();
    store("a.pem", (struct testca_args){ .san = "email:a@example.org" });
    snprintf(path, sizeof path, "%s/a.pem", folder);
    assert_int_equal(chown(path, 12345, (gid_t)-1), 0);
    struct pki_keyring *keyring = load(&complaints);
    assert_int_equal(pki_keyring_count(keyring), 0);
    assert_non_null(strstr(complaints.text[0], "12345"));
    pki_keyring_free(&keyring);
}

static void
root_reads_the_keys_of_the_user_that_smimed_runs_as(void **state)
{
    (void)state;
    struct complaints complaints;
    char path[300];

    if (geteuid() != 0)
        skip();
    store("a.pem", (struct testca_args){ .san = "email:a@example.org" });
    snprintf(path, sizeof path, "%s/a.pem", folder);
    assert_int_equal(chown(path, 12345, (gid_t)-1), 0);
    assert_int_equal(chown(folder, 12345, (gid_t)-1), 0);
    struct pki_keyring *keyring = load(&complaints);
    assert_int_equal(pki_keyring_count(keyring), 1);
    pki_keyring_free(&keyring);
}

static void
a_folder_that_others_can_write_is_refused(void **state)
{
    (void)state;
    struct pki_keyring *keyring = NULL;
    struct err err = ERR_INIT;

    assert_int_equal(chmod(folder, 0770), 0);
    assert_int_equal(pki_keyring_load(folder, NULL, NULL, &keyring, &err), ERR_PERM);
    assert_non_null(strstr(err.text, folder));
    assert_null(keyring);
}

static void
a_missing_folder_is_temporary_and_none_is_an_empty_keyring(void **state)
{
    (void)state;
    struct pki_keyring *keyring = NULL;
    struct err err = ERR_INIT;

    assert_int_equal(pki_keyring_load("/nonexistent/x", NULL, NULL, &keyring, &err), ERR_TEMP);
    err_reset(&err);
    assert_int_equal(pki_keyring_load(NULL, NULL, NULL, &keyring, &err), ERR_OK);
    assert_int_equal(pki_keyring_count(keyring), 0);
    pki_keyring_free(&keyring);
}

static void
one_bad_file_spoils_none_of_the_others(void **state)
{
    (void)state;
    struct complaints complaints;
    struct testca_leaf leaf;
    static const char broken[] = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    char path[300];

    testca_issue(&ca, &(struct testca_args){ .cn = "x" }, &leaf);
    store("good.pem", (struct testca_args){ .san = "email:a@example.org" });
    testca_file(folder, "1broken.pem", 0600, broken, sizeof broken - 1);
    testca_file(folder, "2garbage.pem", 0600, "\x00\x01\x02", 3);
    testca_pem(folder, "3mismatch.pem", 0600, testca_key(TESTCA_RSA2048, 2), leaf.x509, NULL, NULL);
    testca_pem(folder, "4nokey.pem", 0600, NULL, leaf.x509, NULL, NULL);
    testca_pem(folder, "5nocert.pem", 0600, leaf.key, NULL, NULL, NULL);
    testca_file(folder, "6empty.pem", 0600, "", 0);
    testca_file(folder, "ignored.txt", 0600, "hello", 5);
    testca_file(folder, "good.pem~", 0600, "hello", 5);
    testca_file(folder, ".hidden.pem", 0600, "hello", 5);
    snprintf(path, sizeof path, "%s/7pipe.pem", folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    struct pki_keyring *keyring = load(&complaints);
    assert_int_equal(pki_keyring_count(keyring), 1);
    assert_int_equal(complaints.count, 6);
    assert_non_null(strstr(complaints.text[2], "belongs to no certificate"));
    assert_non_null(strstr(complaints.text[3], "no private key"));
    pki_keyring_free(&keyring);
    testca_leaf_free(&leaf);
}

static void
an_encrypted_key_is_refused_with_a_clear_message(void **state)
{
    (void)state;
    struct complaints complaints;
    BIO *bio = BIO_new(BIO_s_mem());
    char *text;
    long n;

    assert_true(PEM_write_bio_PrivateKey(bio, testca_key(TESTCA_P256, 0), EVP_aes_256_cbc(),
                                         (const unsigned char *)"secret", 6, NULL, NULL));
    n = BIO_get_mem_data(bio, &text);
    testca_file(folder, "1.pem", 0600, text, (size_t)n);
    BIO_reset(bio);
    assert_true(
        PEM_write_bio_PrivateKey_traditional(bio, testca_key(TESTCA_P256, 0), EVP_aes_256_cbc(),
                                             (const unsigned char *)"secret", 6, NULL, NULL));
    n = BIO_get_mem_data(bio, &text);
    testca_file(folder, "2.pem", 0600, text, (size_t)n);
    BIO_free(bio);
    struct pki_keyring *keyring = load(&complaints);
    assert_int_equal(complaints.count, 2);
    assert_non_null(strstr(complaints.text[0], "encrypted with a password"));
    assert_non_null(strstr(complaints.text[1], "encrypted with a password"));
    pki_keyring_free(&keyring);
}

static void
a_file_above_the_limit_is_refused(void **state)
{
    (void)state;
    struct complaints complaints;
    size_t n = 300 * 1024;
    char *big = malloc(n);

    memset(big, '\n', n);
    testca_file(folder, "big.pem", 0600, big, n);
    free(big);
    struct pki_keyring *keyring = load(&complaints);
    assert_int_equal(complaints.count, 1);
    pki_keyring_free(&keyring);
}

static void
every_certificate_of_a_key_makes_a_pair(void **state)
{
    (void)state;
    struct complaints complaints;
    struct testca_leaf first, second;
    struct pki_answer why;

    testca_issue(&ca, &(struct testca_args){ .cn = "1", .san = "email:a@example.org" }, &first);
    testca_issue(&ca, &(struct testca_args){ .cn = "2", .san = "email:b@example.org" }, &second);
    testca_pem(folder, "x.pem", 0600, first.key, ca.x509, first.x509, second.x509);
    struct pki_keyring *keyring = load(&complaints);
    assert_int_equal(pki_keyring_count(keyring), 2);
    assert_non_null(find(keyring, "a@example.org", PKI_USE_SIGN, &why));
    assert_non_null(find(keyring, "b@example.org", PKI_USE_SIGN, &why));
    assert_int_equal(pki_keyring_get(keyring, 1)->chain.count, 1);
    pki_keyring_free(&keyring);
    testca_leaf_free(&first);
    testca_leaf_free(&second);
}

static void
all_kinds_of_keys_are_read(void **state)
{
    (void)state;
    static const enum testca_key kinds[] = { TESTCA_RSA2048, TESTCA_RSA3072, TESTCA_RSAPSS,
                                             TESTCA_P256,    TESTCA_P384,    TESTCA_P521,
                                             TESTCA_ED25519, TESTCA_X25519 };
    struct complaints complaints;
    char name[32];

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        snprintf(name, sizeof name, "%zu.pem", i);
        store(name, (struct testca_args){ .san = "email:a@example.org", .key_type = kinds[i] });
    }
    struct pki_keyring *keyring = load(&complaints);
    if (complaints.count)
        fail_msg("%s", complaints.text[0]);
    assert_int_equal(pki_keyring_count(keyring), sizeof kinds / sizeof *kinds);
    pki_keyring_free(&keyring);
}

static void
a_pair_is_loaded_from_separate_files(void **state)
{
    (void)state;
    struct testca_leaf leaf;
    struct pki_keyring *keyring = NULL;
    struct err err = ERR_INIT;
    char key[300], certificate[300], chain[300];

    testca_issue(&ca, &(struct testca_args){ .san = "email:a@example.org" }, &leaf);
    testca_pem(folder, "key.pem", 0644, leaf.key, NULL, NULL, NULL);
    testca_pem(folder, "cert.pem", 0644, NULL, leaf.x509, NULL, NULL);
    testca_pem(folder, "chain.pem", 0644, NULL, root.x509, ca.x509, NULL);
    snprintf(key, sizeof key, "%s/key.pem", folder);
    snprintf(certificate, sizeof certificate, "%s/cert.pem", folder);
    snprintf(chain, sizeof chain, "%s/chain.pem", folder);
    assert_int_equal(pki_keyring_load_pair(key, certificate, chain, &keyring, &err), ERR_OK);
    assert_int_equal(pki_keyring_count(keyring), 1);
    assert_int_equal(pki_keyring_get(keyring, 0)->chain.count, 1);
    pki_keyring_free(&keyring);
    assert_int_equal(pki_keyring_load_pair(key, certificate, NULL, &keyring, &err), ERR_OK);
    pki_keyring_free(&keyring);
    assert_int_equal(pki_keyring_load_pair(key, chain, NULL, &keyring, &err), ERR_PERM);
    err_reset(&err);
    assert_int_equal(pki_keyring_load_pair(certificate, certificate, NULL, &keyring, &err),
                     ERR_PERM);
    err_reset(&err);
    assert_int_equal(pki_keyring_load_pair("/nonexistent", certificate, NULL, &keyring, &err),
                     ERR_NOTFOUND);
    testca_leaf_free(&leaf);
}

static void
keys_live_in_the_secure_heap(void **state)
{
    (void)state;
    struct complaints complaints;
    struct pki_crypto_facts before, after;

    pki_crypto_get(&before);
    if (before.secure_bytes == 0)
        fail_msg("there is no secure heap");
    store("a.pem", (struct testca_args){ .san = "email:a@example.org" });
    struct pki_keyring *keyring = load(&complaints);
    pki_crypto_get(&after);
    /* The private numbers of RSA-2048: d and five of half its size. */
    assert_int_equal(after.secure_used - before.secure_used, 256 + 5 * 128);
    pki_keyring_free(&keyring);
    pki_crypto_get(&after);
    assert_int_equal(after.secure_used, before.secure_used);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    static const struct CMUnitTest tests[] = {
        TEST(a_pair_is_found_by_any_of_its_addresses_with_its_chain),
        TEST(nobody_is_called_no_certificate),
        TEST(separate_certificates_are_chosen_by_usage),
        TEST(of_a_history_the_newest_valid_one_is_chosen),
        TEST(what_is_wrong_with_the_nearest_candidate_is_told),
        TEST(unsafe_modes_are_refused_and_named),
        TEST(a_foreign_owner_is_refused),
        TEST(root_reads_the_keys_of_the_user_that_smimed_runs_as),
        TEST(a_folder_that_others_can_write_is_refused),
        TEST(a_missing_folder_is_temporary_and_none_is_an_empty_keyring),
        TEST(one_bad_file_spoils_none_of_the_others),
        TEST(an_encrypted_key_is_refused_with_a_clear_message),
        TEST(a_file_above_the_limit_is_refused),
        TEST(every_certificate_of_a_key_makes_a_pair),
        TEST(all_kinds_of_keys_are_read),
        TEST(a_pair_is_loaded_from_separate_files),
        TEST(keys_live_in_the_secure_heap),
    };
    struct err err = ERR_INIT;

    if (pki_crypto_init(100, &err) != ERR_OK) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    int failed = cmocka_run_group_tests(tests, group_setup, group_teardown);
    pki_crypto_deinit();
    return failed;
}
