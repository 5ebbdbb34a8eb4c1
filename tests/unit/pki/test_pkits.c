/*
 * NIST PKITS through pki_path_check: every test of the list in the corpus, with its certificates
 * and CRLs as they would come with a message, anchored in the suite's root. All of them are as NIST
 * says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "pki/crl.h"
#include "pki/crypto.h"
#include "pki/file.h"
#include "pki/path.h"
#include "pki/trust.h"
#include "tests/unit/testca.h"

enum { LIST_MAX = 64, JSON_LIMIT = 1 << 20 };

/* 2023-11-14: inside the validity of all that the suite wants valid. */
static const time_t at = 1700000000;

static char corpus[512];

static int
group_setup(void **state)
{
    const char *corpora = getenv("SMIMED_CORPORA");

    (void)state;
    if (corpora)
        snprintf(corpus, sizeof corpus, "%s/pkits", corpora);
    return 0;
}

struct test {
    char number[32];
    bool valid, explicit_policy, inhibit_mapping, inhibit_any;
    char policies[8][64];
    const char *policy_list[9];
    char certs[LIST_MAX][128], crls[LIST_MAX][128];
    size_t cert_count, crl_count;
};

/* The value of a key of the object that starts at `object`: a pointer behind "key": */
static const char *
value_find(const char *object, const char *end, const char *key)
{
    char quoted[64];
    const char *found;

    snprintf(quoted, sizeof quoted, "\"%s\":", key);
    found = strstr(object, quoted);
    if (!found || found > end)
        fail_msg("no %s in an entry of the list", key);
    found += strlen(quoted);
    return found + strspn(found, " \n");
}

static bool
flag_get(const char *object, const char *end, const char *key)
{
    return strncmp(value_find(object, end, key), "true", 4) == 0;
}

/* ["a", "b"] or "a,b" */
static size_t
strings_get(const char *p, char stop, char *out, size_t size, size_t max)
{
    size_t count = 0;

    while (*p != stop && count < max) {
        size_t n;
        p += strspn(p, "[\", \n");
        n = strcspn(p, "\",]");
        if (n == 0)
            break;
        assert_true(n < size);
        memcpy(out + count * size, p, n);
        out[count * size + n] = '\0';
        count++;
        p += n;
        p += *p == '"' && stop == ']';
    }
    return count;
}

static void
test_parse(const char *object, const char *end, struct test *t)
{
    size_t count;

    *t = (struct test){ .valid = flag_get(object, end, "should_validate"),
                        .explicit_policy = flag_get(object, end, "InitialExplicitPolicy"),
                        .inhibit_mapping = flag_get(object, end, "InitialPolicyMappingInhibit"),
                        .inhibit_any = flag_get(object, end, "InitialInhibitAnyPolicy") };
    strings_get(value_find(object, end, "subnum"), '\n', t->number, sizeof t->number, 1);
    t->cert_count = strings_get(value_find(object, end, "certs"), ']', t->certs[0], 128, LIST_MAX);
    t->crl_count = strings_get(value_find(object, end, "crls"), ']', t->crls[0], 128, LIST_MAX);
    count =
        strings_get(value_find(object, end, "InitialPolicySet") + 1, '"', t->policies[0], 64, 8);
    for (size_t i = 0; i < count; i++) {
        static const char prefix[] = "NIST-test-policy-";
        if (strncmp(t->policies[i], prefix, sizeof prefix - 1) == 0) {
            char number[8];
            snprintf(number, sizeof number, "%s", t->policies[i] + sizeof prefix - 1);
            snprintf(t->policies[i], 64, "2.16.840.1.101.3.2.1.48.%s", number);
        }
        t->policy_list[i] = t->policies[i];
    }
}

static struct pki_trust *
trust_load(void)
{
    char anchor[600];
    const char *anchors[] = { anchor, NULL };
    struct pki_trust *trust = NULL;
    struct err err = ERR_INIT;

    snprintf(anchor, sizeof anchor, "%s/certs/TrustAnchorRootCertificate.crt", corpus);
    if (pki_trust_load(&(struct pki_trust_args){ .anchors = anchors }, &trust, &err) != ERR_OK)
        fail_msg("%s", err.text);
    return trust;
}

/* Runs one test; out holds the answer. Certificates that the library cannot even parse are an
 * answer too. */
static void
run(const struct pki_trust *trust, const struct test *t, struct pki_answer *out)
{
    struct pki_certificates leaf = { .list = NULL }, others = { .list = NULL };
    STACK_OF(X509_CRL) *crls = sk_X509_CRL_new_null();
    struct pki_path_result result;
    struct err err = ERR_INIT;
    char path[700];

    for (size_t i = 0; i < t->cert_count; i++) {
        snprintf(path, sizeof path, "%s/certs/%s", corpus, t->certs[i]);
        if (pki_certificates_load(i + 1 == t->cert_count ? &leaf : &others, path, &err) != ERR_OK)
            fail_msg("%s: %s", t->number, err.text);
    }
    for (size_t i = 0; i < t->crl_count; i++) {
        snprintf(path, sizeof path, "%s/crls/%s", corpus, t->crls[i]);
        struct buf der = BUF_INIT(JSON_LIMIT);
        X509_CRL *crl = NULL;
        if (pki_file_load(path, &der, &err) != ERR_OK ||
            pki_crl_parse_take(&der, &crl, &err) != ERR_OK)
            fail_msg("%s: %s", path, err.text);
        sk_X509_CRL_push(crls, crl);
        buf_free(&der);
    }
    struct pki_path_args args = { .trust = trust,
                                  .leaf = leaf.list[0],
                                  .untrusted = &others,
                                  .crls = crls,
                                  .at = at,
                                  .revocation = { .mode = PKI_REVOCATION_REQUIRE },
                                  .allow_weak = true,
                                  .policies = t->policy_list[0] ? t->policy_list : NULL,
                                  .explicit_policy = t->explicit_policy,
                                  .inhibit_policy_mapping = t->inhibit_mapping,
                                  .inhibit_any_policy = t->inhibit_any };
    if (pki_path_check(&args, &result, &err) != ERR_OK)
        fail_msg("%s: %s", t->number, err.text);
    assert_int_equal(ERR_peek_error(), 0);
    *out = result.answer;
    pki_path_result_free(&result);
    sk_X509_CRL_pop_free(crls, X509_CRL_free);
    pki_certificates_free(&leaf);
    pki_certificates_free(&others);
}

static void
every_pkits_test_has_the_verdict_of_nist(void **state)
{
    (void)state;
    struct buf json = BUF_INIT(JSON_LIMIT);
    struct err err = ERR_INIT;
    struct pki_trust *trust;
    char path[600];
    size_t total = 0, right = 0;

    if (!corpus[0]) {
        print_message("SMIMED_CORPORA is not set: skipped\n");
        skip();
    }
    snprintf(path, sizeof path, "%s/boringssl-pkits-expected.json", corpus);
    if (pki_file_load(path, &json, &err) != ERR_OK)
        fail_msg("%s", err.text);
    trust = trust_load();
    for (const char *object = strchr(buf_str(&json), '{'); object;
         object = strchr(object + 1, '{')) {
        const char *end = strchr(object, '}');
        struct test t;
        struct pki_answer answer;
        test_parse(object, end, &t);
        run(trust, &t, &answer);
        total++;
        if ((answer.status == PKI_STATUS_OK) == t.valid) {
            right++;
            continue;
        }
        print_error("%s: expected %s, got %s: %s\n", t.number, t.valid ? "valid" : "invalid",
                    answer.reason, answer.text);
    }
    print_message("PKITS: %zu of %zu as NIST says\n", right, total);
    assert_int_equal(total, 249);
    assert_int_equal(right, total);
    pki_trust_free(&trust);
    buf_free(&json);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pkits_test_has_the_verdict_of_nist),
    };
    return cmocka_run_group_tests(tests, group_setup, NULL);
}
