/*
 * The cases of the corpus `ocsp`, all of them: responses of 2012 held against issuers that are
 * right or wrong. As in the product, the issuer's own path is validated first and the response
 * second. The list's time is later than what the responses say of themselves, so a clock skew
 * stands in for the clock of those days; without it most of the good ones are out of date.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "pki/file.h"
#include "pki/ocsp.h"
#include "pki/path.h"
#include "pki/trust.h"
#include "tests/unit/testca.h"

enum { CASES = 59, JSON_LIMIT = 1 << 20, SKEW_S = 100 * 86400 };

static const time_t at = 1355875200;
static char corpus[512];

static int
group_setup(void **state)
{
    const char *corpora = getenv("SMIMED_CORPORA");

    (void)state;
    if (corpora)
        snprintf(corpus, sizeof corpus, "%s/ocsp", corpora);
    return 0;
}

/* "key": "value" or "key": 7 of the object that starts at `object`. */
static void
value_get(const char *object, const char *key, char *out, size_t size)
{
    char quoted[64];
    const char *p;
    size_t n;

    snprintf(quoted, sizeof quoted, "\"%s\":", key);
    p = strstr(object, quoted);
    assert_non_null(p);
    p += strlen(quoted);
    p += strspn(p, " \"");
    n = strcspn(p, "\",\n");
    assert_true(n < size);
    memcpy(out, p, n);
    out[n] = '\0';
}

static struct pki_certificate *
certificate_load(const char *name)
{
    struct pki_certificates list = { .list = NULL };
    struct pki_certificate *one;
    struct err err = ERR_INIT;
    char path[700];

    snprintf(path, sizeof path, "%s/%s", corpus, name);
    if (pki_certificates_load(&list, path, &err) != ERR_OK)
        fail_msg("%s", err.text);
    one = pki_certificate_add1(list.list[0]);
    pki_certificates_free(&list);
    return one;
}

/* The certificate that a response is about has the name of the case: "WRID_ND1.ors": ND1_Cert_...
 */
static struct pki_certificate *
subject_load(const char *ors)
{
    const char *name = strrchr(ors, '_') ? strrchr(ors, '_') + 1 : ors;
    int stem = (int)strcspn(name, ".");
    char path[700], file[64];

    for (int i = 0; i < 2; i++) {
        snprintf(file, sizeof file, "%.*s_Cert_%s.pem", stem, name, i ? "ICA" : "EE");
        snprintf(path, sizeof path, "%s/%s", corpus, file);
        if (access(path, R_OK) == 0)
            return certificate_load(file);
    }
    fail_msg("no certificate for %s", ors);
    return NULL;
}

/* Does the issuer lead to the case's anchor? */
static bool
issuer_is_trusted(const struct pki_certificate *issuer, const char *anchor, const char *untrusted)
{
    char path[700], more[700];
    const char *anchors[] = { path, NULL }, *intermediates[] = { more, NULL };
    struct pki_trust *trust = NULL;
    struct pki_path_result result;
    struct err err = ERR_INIT;
    bool ok;

    snprintf(path, sizeof path, "%s/%s", corpus, anchor);
    snprintf(more, sizeof more, "%s/%s", corpus, untrusted);
    if (!untrusted[0])
        intermediates[0] = NULL;
    if (pki_trust_load(&(struct pki_trust_args){ .name = "ocsp",
                                                 .anchors = anchors,
                                                 .intermediates = intermediates },
                       &trust, &err) != ERR_OK ||
        pki_path_check(&(struct pki_path_args){ .trust = trust,
                                                .leaf = issuer,
                                                .at = at,
                                                .revocation = { .mode = PKI_REVOCATION_OFF },
                                                .allow_weak = true },
                       &result, &err) != ERR_OK)
        fail_msg("%s", err.text);
    ok = result.answer.status == PKI_STATUS_OK;
    pki_path_result_free(&result);
    pki_trust_free(&trust);
    return ok;
}

static struct buf
response_load(const char *name)
{
    struct buf text = BUF_INIT(JSON_LIMIT), der = BUF_INIT(JSON_LIMIT);
    struct err err = ERR_INIT;
    char path[700];
    BIO *bio;
    unsigned char piece[512];
    int n;

    snprintf(path, sizeof path, "%s/%s", corpus, name);
    if (pki_file_load(path, &text, &err) != ERR_OK)
        fail_msg("%s", err.text);
    bio = BIO_push(BIO_new(BIO_f_base64()), BIO_new_mem_buf(text.p, (int)text.n));
    while ((n = BIO_read(bio, piece, sizeof piece)) > 0)
        assert_int_equal(buf_append(&der, span_of(piece, (size_t)n), &err), ERR_OK);
    BIO_free_all(bio);
    buf_free(&text);
    assert_true(der.n > 100);
    return der;
}

static void
case_check(const char *object)
{
    char title[128], ors[64], ca[64], untrusted[64], expected[8];
    struct pki_certificate *subject, *issuer;
    struct pki_ocsp_result result;
    struct pki_ocsp_args args;
    struct err err = ERR_INIT;
    struct buf der;
    bool good;

    value_get(object, "title", title, sizeof title);
    value_get(object, "ors", ors, sizeof ors);
    value_get(object, "ca", ca, sizeof ca);
    value_get(object, "untrusted", untrusted, sizeof untrusted);
    value_get(object, "exp_exit", expected, sizeof expected);
    subject = subject_load(ors);
    issuer = certificate_load(untrusted[0] ? untrusted : ca);
    der = response_load(ors);
    args = (struct pki_ocsp_args){ .response = buf_span(&der),
                                   .certificate = subject,
                                   .issuer = issuer,
                                   .at = at,
                                   .skew_s = SKEW_S,
                                   .allow_weak = true };
    assert_int_equal(pki_ocsp_check(&args, &result, &err), ERR_OK);
    good = issuer_is_trusted(issuer, ca, untrusted) && result.status == PKI_OCSP_GOOD;
    if (good != (expected[0] == '0'))
        fail_msg("%s, %s with %s: %s", title, ors, ca, result.answer.text);
    assert_int_equal(ERR_peek_error(), 0);
    if (good) {
        const char *today = result.next_update + PKI_OCSP_SKEW_S < at ? "ocsp-expired" : "ok";
        pki_ocsp_result_free(&result);
        args.skew_s = PKI_OCSP_SKEW_S;
        assert_int_equal(pki_ocsp_check(&args, &result, &err), ERR_OK);
        assert_string_equal(result.answer.reason, today);
        pki_ocsp_result_free(&result);
        args.allow_weak = false; /* SHA-1 */
        assert_int_equal(pki_ocsp_check(&args, &result, &err), ERR_OK);
        assert_string_equal(result.answer.reason, "ocsp-weak-algorithm");
    }
    pki_ocsp_result_free(&result);
    pki_certificate_free(&subject);
    pki_certificate_free(&issuer);
    buf_free(&der);
}

static void
every_case_of_the_corpus_ends_as_expected(void **state)
{
    (void)state;
    struct buf json = BUF_INIT(JSON_LIMIT);
    struct err err = ERR_INIT;
    char path[700];
    size_t count = 0;

    if (!corpus[0]) {
        print_message("SMIMED_CORPORA is not set\n");
        skip();
    }
    snprintf(path, sizeof path, "%s/openssl-ocsp-expected.json", corpus);
    if (pki_file_load(path, &json, &err) != ERR_OK)
        fail_msg("%s", err.text);
    for (const char *object = strstr(buf_str(&json), "\"group\":"); object;
         object = strstr(object + 1, "\"group\":")) {
        case_check(object);
        count++;
    }
    assert_int_equal(count, CASES);
    buf_free(&json);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_case_of_the_corpus_ends_as_expected),
    };

    return cmocka_run_group_tests(tests, group_setup, NULL);
}
