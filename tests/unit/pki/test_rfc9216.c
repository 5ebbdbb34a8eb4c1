/*
 * The sample identities of RFC 9216: what we say about each certificate, and its path to its own
 * authority.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "pki/path.h"
#include "tests/unit/testca.h"

static const struct pki_leaf_policy usual = { .fold_local = true, .rsa_bits_min = 2048 };
static const time_t at = 1700000000;

static struct pki_certificates
load(const char *name)
{
    struct pki_certificates list = { .list = NULL };
    struct err err = ERR_INIT;
    char path[600];

    snprintf(path, sizeof path, "%s/rfc9216/%s", getenv("SMIMED_CORPORA"), name);
    if (pki_certificates_load(&list, path, &err) != ERR_OK)
        fail_msg("%s", err.text);
    return list;
}

static struct pki_trust *
trust_load(const char *name)
{
    char path[600];
    const char *anchors[] = { path, NULL };
    struct pki_trust *trust = NULL;
    struct err err = ERR_INIT;

    snprintf(path, sizeof path, "%s/rfc9216/%s", getenv("SMIMED_CORPORA"), name);
    if (pki_trust_load(&(struct pki_trust_args){ .anchors = anchors }, &trust, &err) != ERR_OK)
        fail_msg("%s", err.text);
    return trust;
}

static void
every_certificate_is_judged_as_the_rfc_describes_it(void **state)
{
    (void)state;
    static const struct {
        const char *file, *anchor, *address, *key, *sign, *encrypt;
    } cases[] = {
        { "alice.sign.crt.pem", "ca.rsa.crt.pem", "alice@smime.example", "rsa", "ok",
          "cert-wrong-usage" },
        { "alice.encrypt.crt.pem", "ca.rsa.crt.pem", "alice@smime.example", "rsa",
          "cert-wrong-usage", "ok" },
        { "bob.sign.crt.pem", "ca.rsa.crt.pem", "bob@smime.example", "rsa", "ok",
          "cert-wrong-usage" },
        { "bob.encrypt.crt.pem", "ca.rsa.crt.pem", "bob@smime.example", "rsa", "cert-wrong-usage",
          "ok" },
        { "carlos.sign.crt.pem", "ca.25519.crt.pem", "carlos@smime.example", "ed25519",
          "unsupported-algorithm", "cert-wrong-usage" },
        { "carlos.encrypt.crt.pem", "ca.25519.crt.pem", "carlos@smime.example", "x25519",
          "cert-wrong-usage", "unsupported-algorithm" },
        { "dana.sign.crt.pem", "ca.25519.crt.pem", "dana@smime.example", "ed25519",
          "unsupported-algorithm", "cert-wrong-usage" },
        { "dana.encrypt.crt.pem", "ca.25519.crt.pem", "dana@smime.example", "x25519",
          "cert-wrong-usage", "unsupported-algorithm" },
    };

    if (!getenv("SMIMED_CORPORA")) {
        print_message("SMIMED_CORPORA is not set: skipped\n");
        skip();
    }
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct pki_certificates leaf = load(cases[i].file);
        struct pki_trust *trust = trust_load(cases[i].anchor);
        struct pki_answer answer;
        struct pki_path_result result;
        struct err err = ERR_INIT;

        assert_int_equal(leaf.count, 1);
        assert_string_equal(pki_certificate_get(leaf.list[0])->key_algorithm, cases[i].key);
        pki_certificate_check(leaf.list[0], PKI_USE_SIGN, cases[i].address, at, &usual, &answer);
        assert_string_equal(answer.reason, cases[i].sign);
        pki_certificate_check(leaf.list[0], PKI_USE_ENCRYPT, cases[i].address, at, &usual, &answer);
        assert_string_equal(answer.reason, cases[i].encrypt);
        pki_certificate_check(leaf.list[0], PKI_USE_SIGN, "eve@smime.example", at, &usual, &answer);
        assert_string_equal(answer.reason, "cert-wrong-address");
        struct pki_path_args args = { .trust = trust,
                                      .leaf = leaf.list[0],
                                      .at = at,
                                      .revocation = { .mode = PKI_REVOCATION_OFF } };
        assert_int_equal(pki_path_check(&args, &result, &err), ERR_OK);
        assert_string_equal(result.answer.reason, "ok");
        pki_path_result_free(&result);
        pki_trust_free(&trust);
        pki_certificates_free(&leaf);
    }
}

static void
a_cross_certificate_leads_to_the_other_authority(void **state)
{
    (void)state;
    if (!getenv("SMIMED_CORPORA"))
        skip();
    struct pki_certificates leaf = load("carlos.sign.crt.pem"),
                            cross = load("ca.25519.cross.crt.pem");
    struct pki_trust *trust = trust_load("ca.rsa.crt.pem");
    struct pki_path_result result;
    struct err err = ERR_INIT;
    struct pki_path_args args = {
        .trust = trust, .leaf = leaf.list[0], .at = at, .revocation = { .mode = PKI_REVOCATION_OFF }
    };

    assert_int_equal(pki_path_check(&args, &result, &err), ERR_OK);
    assert_string_equal(result.answer.reason, "untrusted");
    pki_path_result_free(&result);
    args.untrusted = &cross;
    assert_int_equal(pki_path_check(&args, &result, &err), ERR_OK);
    assert_string_equal(result.answer.reason, "ok");
    assert_int_equal(result.count, 3);
    pki_path_result_free(&result);
    pki_trust_free(&trust);
    pki_certificates_free(&leaf);
    pki_certificates_free(&cross);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_certificate_is_judged_as_the_rfc_describes_it),
        cmocka_unit_test(a_cross_certificate_leads_to_the_other_authority),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
