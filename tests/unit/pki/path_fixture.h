/*
 * What the tests of paths and of revocation share: a root, an authority below it, a leaf, and a
 * folder with them.
 */
#ifndef TESTS_UNIT_PKI_PATH_FIXTURE_H
#define TESTS_UNIT_PKI_PATH_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "pki/crypto.h"
#include "pki/path.h"
#include "tests/unit/testca.h"

static struct testca root, ca;
static struct testca_leaf leaf;
static char *folder;

static inline int
setup(void **state)
{
    (void)state;
    folder = testca_folder();
    testca_init(&root, "Path Root");
    testca_init_below(&ca, &root, "Path CA", NULL);
    testca_issue(&ca, &(struct testca_args){ .cn = "Alice", .san = "email:a@example.org" }, &leaf);
    testca_pem(folder, "anchors.pem", 0644, NULL, root.x509, NULL, NULL);
    testca_pem(folder, "intermediates.pem", 0644, NULL, ca.x509, NULL, NULL);
    char crls[300];
    snprintf(crls, sizeof crls, "%s/crls", folder);
    assert_int_equal(mkdir(crls, 0755), 0);
    return 0;
}

static inline int
teardown(void **state)
{
    (void)state;
    testca_leaf_free(&leaf);
    testca_free(&ca);
    testca_free(&root);
    testca_folder_free(&folder);
    return 0;
}

/* Writes a CRL of `by` into the folder of CRLs. */
static inline void
crl_store(const char *name, const struct testca *by, const struct testca_crl_args *args)
{
    X509_CRL *crl = testca_crl(by, args);
    char path[64];

    snprintf(path, sizeof path, "crls/%s", name);
    testca_crl_file(folder, path, crl);
    X509_CRL_free(crl);
}

static inline void
good_crls_store(void)
{
    crl_store("root.crl", &root, NULL);
    crl_store("ca.crl", &ca, NULL);
}

static inline struct pki_trust *
trust_load(void)
{
    char anchors[300], intermediates[300], crls[300];
    const char *a[] = { anchors, NULL }, *i[] = { intermediates, NULL }, *c[] = { crls, NULL };
    struct pki_trust *trust = NULL;
    struct err err = ERR_INIT;

    snprintf(anchors, sizeof anchors, "%s/anchors.pem", folder);
    snprintf(intermediates, sizeof intermediates, "%s/intermediates.pem", folder);
    snprintf(crls, sizeof crls, "%s/crls", folder);
    if (pki_trust_load(
            &(struct pki_trust_args){ .name = "unit", .anchors = a, .intermediates = i, .crls = c },
            &trust, &err) != ERR_OK)
        fail_msg("%s", err.text);
    return trust;
}

/* Checks `x509` with `args`; trust and leaf are filled in here. The answer is left in *out. */
static inline void
check(X509 *x509, struct pki_path_args args, struct pki_path_result *out)
{
    struct pki_trust *trust = trust_load();
    struct pki_certificate *certificate = testca_certificate(x509);
    struct err err = ERR_INIT;

    args.trust = trust;
    args.leaf = certificate;
    if (pki_path_check(&args, out, &err) != ERR_OK)
        fail_msg("%s", err.text);
    assert_int_equal(ERR_peek_error(), 0);
    assert_true(out->answer.text[0] != '\0');
    pki_certificate_free(&certificate);
    pki_trust_free(&trust);
}

static inline void
expect(X509 *x509, struct pki_path_args args, const char *reason, enum pki_status status)
{
    struct pki_path_result result;

    check(x509, args, &result);
    if (strcmp(result.answer.reason, reason) != 0)
        fail_msg("expected %s, got %s: %s", reason, result.answer.reason, result.answer.text);
    assert_int_equal(result.answer.status, status);
    pki_path_result_free(&result);
}

#endif
