/*
 * What the tests of paths over the network share: the root of evidence_fixture.h as the only
 * anchor, an authority below it and a leaf whose certificates point to the HTTP server of that
 * fixture, and questions with a budget.
 */
#ifndef TESTS_UNIT_PKI_PATH_WORLD_H
#define TESTS_UNIT_PKI_PATH_WORLD_H

#include "tests/unit/pki/evidence_fixture.h"

#include "pki/path.h"

static struct pki_evidence *evidence;
static char *folder; /* anchors.pem, crls/ */
static struct testca sub;
static struct testca_leaf alice;
static struct pki_revocation_rules rules; /* of `judge` */

/* Which pointers a certificate gets: paths on the server, NULL: none. */
struct points {
    const char *crl, *crl2; /* two alternatives of one point */
    const char *ocsp, *issuer, *freshest;
};

static inline void
points_add(struct testca_args *args, const struct points *points)
{
    static char text[64][600];
    static unsigned next;
    size_t i = 0;

    while (i < TESTCA_EXTRA && args->extra[i].name)
        i++;
    if (points->crl) {
        char *out = text[next++ % 64];
        snprintf(out, sizeof text[0], "URI:%s", url_of(points->crl));
        args->extra[i].name = "crlDistributionPoints";
        args->extra[i++].value = out;
    }
    if (points->freshest) {
        char *out = text[next++ % 64];
        snprintf(out, sizeof text[0], "URI:%s", url_of(points->freshest));
        args->extra[i].name = "freshestCRL";
        args->extra[i++].value = out;
    }
    if (points->ocsp || points->issuer) {
        char *out = text[next++ % 64];
        snprintf(out, sizeof text[0], "%s%s%s%s%s", points->ocsp ? "OCSP;URI:" : "",
                 points->ocsp ? url_of(points->ocsp) : "",
                 points->ocsp && points->issuer ? "," : "", points->issuer ? "caIssuers;URI:" : "",
                 points->issuer ? url_of(points->issuer) : "");
        args->extra[i].name = "authorityInfoAccess";
        args->extra[i++].value = out;
    }
}

static inline void
authority_of(struct testca *out, struct testca *by, const char *cn, struct points points)
{
    struct testca_args args = { .cn = cn };

    points_add(&args, &points);
    testca_init_below(out, by, cn, &args);
}

static inline void
leaf_of(struct testca_leaf *out, struct testca *by, const char *cn, struct points points)
{
    struct testca_args args = { .cn = cn, .key_type = TESTCA_P256, .san = "email:a@example.org" };

    points_add(&args, &points);
    testca_issue(by, &args, out);
}

/* Root and Sub publish CRLs under /root.crl and /sub.crl, Alice is of Sub. */
static inline void
usual_world(void)
{
    authority_of(&sub, &root, "Sub", (struct points){ .crl = "/root.crl", .issuer = "/root.cer" });
    leaf_of(&alice, &sub, "Alice", (struct points){ .crl = "/sub.crl", .issuer = "/sub.cer" });
    serve_crl("/root.crl", &root, NULL);
    serve_crl("/sub.crl", &sub, NULL);
}

static inline void
serve_certificate(const char *path, X509 *x509)
{
    unsigned char *der = NULL;
    int n = i2d_X509(x509, &der);

    TESTCA_MUST(n > 0);
    serve(path, WELL, der, (size_t)n);
    OPENSSL_free(der);
}

static inline void
serve_ocsp(const char *path, const struct said *said)
{
    size_t n;
    unsigned char *der = respond(said, &n);

    serve(path, WELL, der, n);
    OPENSSL_free(der);
}

/* What the authority says about one certificate by OCSP. */
static inline void
serve_status(const char *path, const struct testca *by, X509 *of, int status)
{
    serve_ocsp(path, &(struct said){ .key = by->key,
                                     .signer = by->x509,
                                     .entries = { { .there = true,
                                                    .of = of,
                                                    .by = by->x509,
                                                    .status = status,
                                                    .this_update = -HOUR,
                                                    .next_update = DAY } } });
}

static inline struct pki_trust *
trust_of(bool with_crls)
{
    char anchors[300], crls[300];
    const char *a[] = { anchors, NULL }, *c[] = { crls, NULL };
    struct pki_trust_args args = { .name = "unit", .anchors = a, .crls = with_crls ? c : NULL };
    struct pki_trust *trust = NULL;
    struct err err = ERR_INIT;

    snprintf(anchors, sizeof anchors, "%s/anchors.pem", folder);
    snprintf(crls, sizeof crls, "%s/crls", folder);
    if (pki_trust_load(&args, &trust, &err) != ERR_OK)
        fail_msg("%s", err.text);
    return trust;
}

/* How a question differs from the usual one. */
struct how {
    X509 *const *untrusted; /* NULL-terminated; NULL: Sub alone */
    STACK_OF(X509_CRL) * message_crls;
    time_t at;
    bool offline; /* without a budget */
    bool blind;   /* without evidence */
    bool with_crls;
    struct pki_fetch_budget *budget; /* NULL: a usual one */
};

static inline void
judge_how(X509 *x509, struct how how, struct pki_path_result *out)
{
    X509 *const usual[] = { sub.x509, NULL };
    struct pki_fetch_budget budget = budget_of(5000);
    struct pki_trust *trust = trust_of(how.with_crls);
    struct pki_certificate *certificate = testca_certificate(x509);
    struct pki_certificates untrusted = { .list = NULL };
    struct pki_path_args args = { .trust = trust,
                                  .leaf = certificate,
                                  .untrusted = &untrusted,
                                  .message_crls = how.message_crls,
                                  .at = how.at,
                                  .revocation = rules,
                                  .evidence = how.blind ? NULL : evidence,
                                  .budget = how.offline  ? NULL
                                            : how.budget ? how.budget
                                                         : &budget };
    struct err err = ERR_INIT;

    for (X509 *const *one = how.untrusted ? how.untrusted : usual; *one; one++) {
        struct pki_certificate *more = testca_certificate(*one);
        assert_int_equal(pki_certificates_add1(&untrusted, more, &err), ERR_OK);
        pki_certificate_free(&more);
    }
    if (pki_path_check(&args, out, &err) != ERR_OK)
        fail_msg("%s", err.text);
    assert_int_equal(ERR_peek_error(), 0);
    assert_true(out->answer.text[0] != '\0');
    pki_certificates_free(&untrusted);
    pki_certificate_free(&certificate);
    pki_trust_free(&trust);
}

static inline void
expect_how(X509 *x509, struct how how, const char *reason, enum pki_status status)
{
    struct pki_path_result result;

    judge_how(x509, how, &result);
    if (strcmp(result.answer.reason, reason) != 0)
        fail_msg("expected %s, got %s: %s", reason, result.answer.reason, result.answer.text);
    assert_int_equal(result.answer.status, status);
    pki_path_result_free(&result);
}

static inline void
expect_path(const char *reason, enum pki_status status)
{
    expect_how(alice.x509, (struct how){ .at = 0 }, reason, status);
}

/* Nothing is held and nothing failed any more. */
static inline void
evidence_renew(void)
{
    pki_evidence_free(&evidence);
    evidence = evidence_of((struct pki_evidence_args){ .fetch = NULL });
}

static inline int
path_setup(void **state)
{
    char crls[300];

    world_setup(state);
    rules = (struct pki_revocation_rules){ .giveup_s = 4 * HOUR };
    sub = (struct testca){ .key = NULL };
    alice = (struct testca_leaf){ .key = NULL };
    folder = testca_folder();
    testca_pem(folder, "anchors.pem", 0644, NULL, root.x509, NULL, NULL);
    snprintf(crls, sizeof crls, "%s/crls", folder);
    assert_int_equal(mkdir(crls, 0755), 0);
    evidence_renew();
    return 0;
}

static inline int
path_teardown(void **state)
{
    pki_evidence_free(&evidence);
    testca_leaf_free(&alice);
    testca_free(&sub);
    testca_folder_free(&folder);
    return world_teardown(state);
}

#define PATH_TEST(name) cmocka_unit_test_setup_teardown(name, path_setup, path_teardown)

/* libcurl's own start and end are the process's. */
static inline int
path_group_setup(void **state)
{
    struct err err = ERR_INIT;

    (void)state;
    return pki_fetch_init(&err) == ERR_OK ? 0 : -1;
}

static inline int
path_group_teardown(void **state)
{
    (void)state;
    pki_fetch_deinit();
    return 0;
}

#endif
