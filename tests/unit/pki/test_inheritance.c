/* DSA keys without parameters: who lends them, and who does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/dsa.h>

#include "pki/crypto.h"
#include "pki/inheritance.h"
#include "pki/path.h"
#include "tests/unit/testca.h"

enum { BITS = 1024 };

static EVP_PKEY *parameters, *others;
static struct testca root, heir;
static struct testca_leaf leaf;

static EVP_PKEY *
parameters_new(void)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "DSA", NULL);
    EVP_PKEY *out = NULL;

    TESTCA_MUST(ctx && EVP_PKEY_paramgen_init(ctx) > 0 &&
                EVP_PKEY_CTX_set_dsa_paramgen_bits(ctx, BITS) > 0 &&
                EVP_PKEY_paramgen(ctx, &out) > 0);
    EVP_PKEY_CTX_free(ctx);
    return out;
}

static EVP_PKEY *
key_new(EVP_PKEY *with)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(with, NULL);
    EVP_PKEY *out = NULL;

    TESTCA_MUST(ctx && EVP_PKEY_keygen_init(ctx) > 0 && EVP_PKEY_keygen(ctx, &out) > 0);
    EVP_PKEY_CTX_free(ctx);
    return out;
}

/* Takes the parameters out of the certificate's key and signs it again. */
static void
open_sign(X509 *x509, EVP_PKEY *by)
{
    X509_PUBKEY *key = X509_get_X509_PUBKEY(x509);
    const unsigned char *bits;
    unsigned char *copy;
    int n;

    TESTCA_MUST(X509_PUBKEY_get0_param(NULL, &bits, &n, NULL, key));
    copy = OPENSSL_memdup(bits, (size_t)n);
    TESTCA_MUST(X509_PUBKEY_set0_param(key, OBJ_nid2obj(NID_dsa), V_ASN1_UNDEF, NULL, copy, n));
    testca_sign(x509, by, NULL);
}

static int
group_setup(void **state)
{
    (void)state;
    EVP_PKEY *key;

    parameters = parameters_new();
    others = parameters_new();
    key = key_new(parameters);
    testca_init_below(&root, NULL, "DSA Root", &(struct testca_args){ .key = key });
    EVP_PKEY_free(key);
    key = key_new(parameters);
    testca_init_below(&heir, &root, "DSA Heir", &(struct testca_args){ .key = key });
    open_sign(heir.x509, root.key);
    EVP_PKEY_free(key);
    key = key_new(parameters);
    testca_issue(&heir, &(struct testca_args){ .cn = "Alice", .key = key }, &leaf);
    open_sign(leaf.x509, heir.key);
    EVP_PKEY_free(key);
    return 0;
}

static int
group_teardown(void **state)
{
    (void)state;
    testca_leaf_free(&leaf);
    testca_free(&heir);
    testca_free(&root);
    EVP_PKEY_free(parameters);
    EVP_PKEY_free(others);
    return 0;
}

static void
list_add(struct pki_certificates *list, X509 *x509)
{
    struct pki_certificate *one = testca_certificate(x509);
    struct err err = ERR_INIT;

    assert_int_equal(pki_certificates_add1(list, one, &err), ERR_OK);
    pki_certificate_free(&one);
}

static void
an_heir_of_an_heir_gets_the_parameters(void **state)
{
    (void)state;
    struct pki_certificates list = { .list = NULL }, roots = { .list = NULL };
    const struct pki_certificates *const more[] = { &roots, NULL };
    struct err err = ERR_INIT;

    list_add(&list, leaf.x509);
    list_add(&list, heir.x509);
    list_add(&roots, root.x509);
    struct span before = pki_certificate_der(list.list[0]);
    unsigned char *octets = OPENSSL_memdup(before.p, before.n);
    assert_true(pki_inheritance_is_open(list.list[0]) && pki_inheritance_is_open(list.list[1]));
    assert_false(pki_inheritance_is_open(roots.list[0]));
    assert_int_equal(pki_inheritance_set(&list, NULL, &err), ERR_OK);
    assert_true(pki_inheritance_is_open(list.list[0])); /* nobody there to inherit from */
    assert_int_equal(pki_inheritance_set(&list, more, &err), ERR_OK);
    for (size_t i = 0; i < 2; i++) {
        assert_false(pki_inheritance_is_open(list.list[i]));
        assert_int_equal(pki_certificate_get(list.list[i])->key_bits, BITS);
    }
    /* The key is the one that signs, the octets are those that were signed. */
    assert_int_equal(
        EVP_PKEY_eq(X509_get0_pubkey(pki_certificate_get0_x509(list.list[0])), leaf.key), 1);
    assert_true(span_equal(pki_certificate_der(list.list[0]), span_of(octets, before.n)));
    assert_int_equal(X509_verify(pki_certificate_get0_x509(list.list[0]), heir.key), 1);
    assert_int_equal(ERR_peek_error(), 0);
    OPENSSL_free(octets);
    pki_certificates_free(&list);
    pki_certificates_free(&roots);
}

static void
who_did_not_sign_lends_nothing(void **state)
{
    (void)state;
    struct pki_certificates list = { .list = NULL };
    struct testca impostor;
    EVP_PKEY *key = key_new(others);
    struct err err = ERR_INIT;

    /* The name of the heir's issuer, and other parameters. */
    testca_init_below(&impostor, NULL, "DSA Root", &(struct testca_args){ .key = key });
    list_add(&list, impostor.x509);
    list_add(&list, heir.x509);
    assert_int_equal(pki_inheritance_set(&list, NULL, &err), ERR_OK);
    assert_true(pki_inheritance_is_open(list.list[1]));
    list_add(&list, root.x509);
    assert_int_equal(pki_inheritance_set(&list, NULL, &err), ERR_OK);
    assert_false(pki_inheritance_is_open(list.list[1]));
    assert_int_equal(ERR_peek_error(), 0);
    EVP_PKEY_free(key);
    testca_free(&impostor);
    pki_certificates_free(&list);
}

static void
the_work_has_a_bound(void **state)
{
    (void)state;
    struct pki_certificates list = { .list = NULL };
    X509 *forged = X509_dup(heir.x509);
    const ASN1_BIT_STRING *signature;
    struct err err = ERR_INIT;

    X509_get0_signature(&signature, NULL, forged);
    signature->data[signature->length - 1] ^= 1;
    list_add(&list, forged);
    for (int i = 0; i < PKI_INHERITANCE_SIGNATURES; i++)
        list_add(&list, root.x509);
    list_add(&list, heir.x509);
    /* The forged one has used up what may be checked for this list. */
    assert_int_equal(pki_inheritance_set(&list, NULL, &err), ERR_OK);
    assert_true(pki_inheritance_is_open(list.list[0]));
    assert_true(pki_inheritance_is_open(list.list[list.count - 1]));
    X509_free(forged);
    pki_certificates_free(&list);
}

static void
a_path_of_heirs_holds_and_is_weak(void **state)
{
    (void)state;
    char *folder = testca_folder(), anchors[300], intermediates[300];
    const char *a[] = { anchors, NULL }, *i[] = { intermediates, NULL };
    struct pki_certificate *certificate = testca_certificate(leaf.x509);
    struct pki_certificates untrusted = { .list = NULL };
    struct err err = ERR_INIT;

    testca_pem(folder, "anchors.pem", 0644, NULL, root.x509, NULL, NULL);
    testca_pem(folder, "intermediates.pem", 0644, NULL, heir.x509, NULL, NULL);
    snprintf(anchors, sizeof anchors, "%s/anchors.pem", folder);
    snprintf(intermediates, sizeof intermediates, "%s/intermediates.pem", folder);
    list_add(&untrusted, heir.x509);
    for (int configured = 0; configured < 2; configured++) {
        struct pki_trust *trust = NULL;
        assert_int_equal(
            pki_trust_load(
                &(struct pki_trust_args){ .anchors = a, .intermediates = configured ? i : NULL },
                &trust, &err),
            ERR_OK);
        for (int weak = 0; weak < 2; weak++) {
            struct pki_path_args args = { .trust = trust,
                                          .leaf = certificate,
                                          .untrusted = configured ? NULL : &untrusted,
                                          .allow_weak = weak };
            struct pki_path_result result;
            args.revocation.mode = PKI_REVOCATION_OFF;
            assert_int_equal(pki_path_check(&args, &result, &err), ERR_OK);
            assert_string_equal(result.answer.reason, weak ? "ok" : "weak-algorithm");
            assert_int_equal(result.count, 3);
            assert_true(pki_certificate_is(result.steps[0].certificate, certificate));
            assert_string_equal(result.steps[1].source, configured ? "intermediate" : "message");
            pki_path_result_free(&result);
        }
        pki_trust_free(&trust);
    }
    pki_certificate_free(&certificate);
    pki_certificates_free(&untrusted);
    testca_folder_free(&folder);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_heir_of_an_heir_gets_the_parameters),
        cmocka_unit_test(who_did_not_sign_lends_nothing),
        cmocka_unit_test(the_work_has_a_bound),
        cmocka_unit_test(a_path_of_heirs_holds_and_is_weak),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
