#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "pki/reason.h"
#include "pki/trust.h"
#include "tests/unit/testca.h"

static struct testca root;
static char *folder;
static char anchors_path[300], crls_path[300];

static int
setup(void **state)
{
    (void)state;
    folder = testca_folder();
    testca_init(&root, "Trust Root");
    snprintf(anchors_path, sizeof anchors_path, "%s/anchors.pem", folder);
    snprintf(crls_path, sizeof crls_path, "%s/crls", folder);
    assert_int_equal(mkdir(crls_path, 0755), 0);
    testca_pem(folder, "anchors.pem", 0644, NULL, root.x509, NULL, NULL);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    testca_free(&root);
    testca_folder_free(&folder);
    return 0;
}

static enum err_code
load(struct pki_trust **out, struct err *err)
{
    const char *anchors[] = { anchors_path, NULL }, *crls[] = { crls_path, NULL };

    err_reset(err);
    return pki_trust_load(
        &(struct pki_trust_args){ .name = "unit", .anchors = anchors, .crls = crls }, out, err);
}

static void
crl_store(const char *name, long number)
{
    X509_CRL *crl = testca_crl(&root, &(struct testca_crl_args){ .number = number });
    char path[64];

    snprintf(path, sizeof path, "crls/%s", name);
    testca_crl_file(folder, path, crl);
    X509_CRL_free(crl);
}

static void
anchors_and_crls_are_counted(void **state)
{
    (void)state;
    struct pki_trust *trust = NULL, *second;
    struct err err = ERR_INIT;

    crl_store("a.crl", 1);
    crl_store("b.crl", 2);
    assert_int_equal(load(&trust, &err), ERR_OK);
    assert_int_equal(pki_trust_anchor_count(trust), 1);
    assert_int_equal(pki_trust_crl_count(trust), 2);
    second = pki_trust_add1(trust);
    pki_trust_free(&trust);
    assert_int_equal(pki_trust_anchor_count(second), 1);
    pki_trust_free(&second);
    pki_trust_free(&second);
}

static void
the_same_crl_in_two_files_is_one(void **state)
{
    (void)state;
    X509_CRL *crl = testca_crl(&root, NULL);
    struct pki_trust *trust = NULL;
    struct err err = ERR_INIT;

    testca_crl_file(folder, "crls/a.crl", crl);
    testca_crl_file(folder, "crls/b.crl", crl);
    X509_CRL_free(crl);
    assert_int_equal(load(&trust, &err), ERR_OK);
    assert_int_equal(pki_trust_crl_count(trust), 1);
    pki_trust_free(&trust);
}

static void
crls_in_pem_are_read(void **state)
{
    (void)state;
    BIO *bio = BIO_new(BIO_s_mem());
    struct pki_trust *trust = NULL;
    struct err err = ERR_INIT;
    char *text;

    for (long i = 1; i <= 2; i++) {
        X509_CRL *crl = testca_crl(&root, &(struct testca_crl_args){ .number = i });
        assert_true(PEM_write_bio_X509_CRL(bio, crl));
        X509_CRL_free(crl);
    }
    long n = BIO_get_mem_data(bio, &text);
    testca_file(folder, "crls/both.pem", 0644, text, (size_t)n);
    BIO_free(bio);
    assert_int_equal(load(&trust, &err), ERR_OK);
    assert_int_equal(pki_trust_crl_count(trust), 2);
    pki_trust_free(&trust);
}

static void
what_is_wrong_is_named(void **state)
{
    (void)state;
    struct pki_trust *trust = NULL;
    struct err err = ERR_INIT;

    testca_file(folder, "crls/bad.crl", 0644, "rubbish", 7);
    assert_int_equal(load(&trust, &err), ERR_PERM);
    assert_non_null(strstr(err.text, "trust set unit"));
    assert_non_null(strstr(err.text, "bad.crl"));
    assert_null(trust);
    testca_file(folder, "anchors.pem", 0644, "rubbish", 7);
    assert_int_equal(load(&trust, &err), ERR_PERM);
    assert_non_null(strstr(err.text, "anchors.pem"));
    snprintf(anchors_path, sizeof anchors_path, "%s/none.pem", folder);
    assert_int_equal(load(&trust, &err), ERR_NOTFOUND);
    err_reset(&err);
    assert_int_equal(pki_trust_load(&(struct pki_trust_args){ .name = "empty" }, &trust, &err),
                     ERR_PERM);
    assert_non_null(strstr(err.text, "no trust anchor"));
}

static void
changes_in_the_folder_of_crls_are_noticed(void **state)
{
    (void)state;
    struct pki_trust *trust = NULL;
    struct err err = ERR_INIT;
    char path[400];

    crl_store("a.crl", 1);
    assert_int_equal(load(&trust, &err), ERR_OK);
    assert_false(pki_trust_is_stale(trust));
    testca_file(folder, "crls/a.crl~", 0644, "x", 1);
    assert_false(pki_trust_is_stale(trust));
    crl_store("b.crl", 2);
    assert_true(pki_trust_is_stale(trust));
    snprintf(path, sizeof path, "%s/b.crl", crls_path);
    unlink(path);
    assert_false(pki_trust_is_stale(trust));
    crl_store("a.crl", 1000);
    assert_true(pki_trust_is_stale(trust));
    pki_trust_free(&trust);
}

static void
every_reason_has_one_word_and_a_meaning(void **state)
{
    (void)state;
    struct pki_answer answer;

    for (int i = 0; i < PKI_REASON_COUNT; i++) {
        enum pki_reason reason = (enum pki_reason)i;
        assert_int_equal(pki_reason_find(pki_reason_word(reason)), i);
        assert_true(strlen(pki_reason_meaning(reason)) > 10);
        pki_reason_set(&answer, reason, "%s", "a sentence");
        assert_int_equal(answer.status, pki_reason_status(reason));
        assert_ptr_equal(answer.reason, pki_reason_word(reason));
    }
    assert_int_equal(pki_reason_status(PKI_REASON_REVOCATION_UNKNOWN), PKI_STATUS_TEMP);
    assert_int_equal(pki_reason_status(PKI_REASON_REVOKED), PKI_STATUS_INVALID);
    assert_int_equal(pki_reason_status(PKI_REASON_WEAK_ALGORITHM), PKI_STATUS_POLICY);
    assert_int_equal(pki_reason_find("no such word"), PKI_REASON_COUNT);
    assert_int_equal(pki_reason_find(NULL), PKI_REASON_COUNT);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    static const struct CMUnitTest tests[] = {
        TEST(anchors_and_crls_are_counted),
        TEST(the_same_crl_in_two_files_is_one),
        TEST(crls_in_pem_are_read),
        TEST(what_is_wrong_is_named),
        TEST(changes_in_the_folder_of_crls_are_noticed),
        cmocka_unit_test(every_reason_has_one_word_and_a_meaning),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
