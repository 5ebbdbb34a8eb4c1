/*
 * What revocation by CRL costs: the path of a leaf below two RSA-2048 authorities with warm CRLs,
 * small ones and one of 1,000,000 entries, beside the raw operations with public keys that it holds
 * (two certificates; the CRLs' signatures were found good before); and what a large CRL takes to
 * read, to search and to hold, by our reader and by the library's own.
 */
#include <malloc.h>

#include "pki/path.h"
#include "tests/bench/bench.h"
#include "tests/unit/pki/crl_fixture.h"

enum { MILLION = 1000000, HASH_BYTES = 32 };

static struct testca root, ca;
static struct testca_leaf leaf;
static char *folder;

static void
world_init(void)
{
    testca_init_below(&root, NULL, "Bench Root",
                      &(struct testca_args){ .key = testca_key(TESTCA_RSA2048, 1) });
    testca_init_below(&ca, &root, "Bench CA",
                      &(struct testca_args){ .key = testca_key(TESTCA_RSA2048, 2) });
    testca_issue(&ca,
                 &(struct testca_args){ .cn = "Alice",
                                        .san = "email:alice@example.org",
                                        .key_usage = "critical,digitalSignature",
                                        .ext_key_usage = "emailProtection" },
                 &leaf);
    folder = testca_folder();
    testca_pem(folder, "anchors.pem", 0644, NULL, root.x509, NULL, NULL);
    testca_pem(folder, "intermediates.pem", 0644, NULL, ca.x509, NULL, NULL);
}

static void
world_free(void)
{
    testca_folder_free(&folder);
    testca_leaf_free(&leaf);
    testca_free(&ca);
    testca_free(&root);
}

static void
crl_format(struct buf *out, size_t count)
{
    struct buf list = BUF_INIT(RAW_LIMIT);

    for (uint32_t i = 0; i < count; i++)
        raw_usual_entry(&list, i);
    raw_format(&(struct raw_crl){ .by = &ca, .entries = &list }, out);
    buf_free(&list);
}

static void
print_ratio(const char *name, double ratio, size_t bytes)
{
    printf("{\"name\": \"%s\", \"ratio\": %.3f, \"bytes\": %zu}\n", name, ratio, bytes);
    fflush(stdout);
}

/* ---- paths --------------------------------------------------------------------------------------
 */

struct path {
    struct pki_trust *trust;
    struct pki_certificate *leaf;
};

static void
run_path(void *context)
{
    const struct path *path = context;
    struct pki_path_args args = { .trust = path->trust, .leaf = path->leaf };
    struct pki_path_result result;

    BENCH_MUST(pki_path_check(&args, &result, NULL) == ERR_OK);
    BENCH_MUST(result.answer.status == PKI_STATUS_OK);
    pki_path_result_free(&result);
}

/* The path with a CRL of so many entries for the leaf. */
static double
path_us(const struct buf *der)
{
    char anchors[300], intermediates[300], crls[2][300];
    const char *a[] = { anchors, NULL }, *i[] = { intermediates, NULL };
    const char *c[] = { crls[0], crls[1], NULL };
    struct path path = { .leaf = testca_certificate(leaf.x509) };
    X509_CRL *roots = testca_crl(&root, NULL);
    double us;

    testca_crl_file(folder, "root.crl", roots);
    testca_file(folder, "ca.crl", 0644, der->p, der->n);
    snprintf(anchors, sizeof anchors, "%s/anchors.pem", folder);
    snprintf(intermediates, sizeof intermediates, "%s/intermediates.pem", folder);
    snprintf(crls[0], sizeof crls[0], "%s/root.crl", folder);
    snprintf(crls[1], sizeof crls[1], "%s/ca.crl", folder);
    BENCH_MUST(
        pki_trust_load(&(struct pki_trust_args){ .anchors = a, .intermediates = i, .crls = c },
                       &path.trust, NULL) == ERR_OK);
    us = bench_us(run_path, &path);
    pki_trust_free(&path.trust);
    pki_certificate_free(&path.leaf);
    X509_CRL_free(roots);
    return us;
}

/* ---- raw operations
 * ------------------------------------------------------------------------------ */

struct raw {
    EVP_PKEY_CTX *ctx;
    unsigned char digest[HASH_BYTES], signature[512];
    size_t n;
};

static void
run_raw(void *context)
{
    struct raw *raw = context;

    for (int i = 0; i < 2; i++)
        BENCH_MUST(EVP_PKEY_verify(raw->ctx, raw->signature, raw->n, raw->digest,
                                   sizeof raw->digest) == 1);
}

static double
raw_us(void)
{
    EVP_PKEY *key = testca_key(TESTCA_RSA2048, 1);
    struct raw raw = { .ctx = EVP_PKEY_CTX_new(key, NULL), .n = sizeof raw.signature };
    double us;

    BENCH_MUST(EVP_PKEY_sign_init(raw.ctx) > 0 &&
               EVP_PKEY_CTX_set_signature_md(raw.ctx, EVP_sha256()) > 0 &&
               EVP_PKEY_sign(raw.ctx, raw.signature, &raw.n, raw.digest, sizeof raw.digest) > 0);
    BENCH_MUST(EVP_PKEY_verify_init(raw.ctx) > 0 &&
               EVP_PKEY_CTX_set_signature_md(raw.ctx, EVP_sha256()) > 0);
    us = bench_us(run_raw, &raw);
    EVP_PKEY_CTX_free(raw.ctx);
    return us;
}

/* ---- one large CRL
 * -------------------------------------------------------------------------------- */

struct question {
    X509_CRL *crl;
    ASN1_INTEGER *number;
    uint32_t next;
};

/* Every second one is there, all over the list. */
static void
run_search(void *context)
{
    struct question *question = context;
    unsigned char serial[16];
    X509_REVOKED *revoked;
    bool there = question->next % 2 == 0;

    question->next = (question->next + 7919) % MILLION;
    raw_usual_serial(question->next + (there ? 0 : MILLION), serial);
    BENCH_MUST(ASN1_STRING_set(question->number, serial, sizeof serial));
    BENCH_MUST(X509_CRL_get0_by_serial(question->crl, &revoked, question->number) == there);
    question->next += there;
}

static void
run_verify(void *context)
{
    BENCH_MUST(X509_CRL_verify(context, ca.key) == 1);
}

static void
run_stranger(void *context)
{
    BENCH_MUST(X509_CRL_verify(context, testca_key(TESTCA_RSA2048, 3)) == 0);
    ERR_clear_error();
}

static void
search_run(const char *name, X509_CRL *crl)
{
    struct question question = { .crl = crl, .number = ASN1_INTEGER_new() };

    bench_run(name, run_search, &question);
    ASN1_INTEGER_free(question.number);
}

static void
ours_run(const struct buf *der)
{
    struct buf copy = BUF_INIT(RAW_LIMIT);
    X509_CRL *crl;
    size_t before, held;
    double begin, us;

    malloc_trim(0);
    before = raw_resident();
    BENCH_MUST(buf_append(&copy, buf_span(der), NULL) == ERR_OK);
    begin = bench_cpu_s();
    BENCH_MUST(pki_crl_parse_take(&copy, &crl, NULL) == ERR_OK);
    us = (bench_cpu_s() - begin) * 1e6;
    malloc_trim(0);
    held = raw_resident() - before;
    bench_print("crl 1000000 read", us);
    print_ratio("crl 1000000 resident against its DER", (double)held / (double)der->n, held);
    search_run("crl 1000000 look-up", crl);
    bench_run("crl 1000000 signature, key known", run_verify, crl);
    bench_run("crl 1000000 signature, key of a stranger", run_stranger, crl);
    X509_CRL_free(crl);
}

static void
library_run(const struct buf *der)
{
    size_t before, held;
    double begin;
    X509_CRL *crl;

    malloc_trim(0);
    before = raw_resident();
    begin = bench_cpu_s();
    crl = raw_library(buf_span(der));
    BENCH_MUST(crl);
    bench_print("crl 1000000 read, library", (bench_cpu_s() - begin) * 1e6);
    held = raw_resident() - before;
    print_ratio("crl 1000000 resident against its DER, library", (double)held / (double)der->n,
                held);
    search_run("crl 1000000 look-up, library", crl);
    bench_run("crl 1000000 signature, library", run_verify, crl);
    X509_CRL_free(crl);
}

int
main(void)
{
    struct buf few = BUF_INIT(RAW_LIMIT), many = BUF_INIT(RAW_LIMIT);
    double raw, small, large;

    BENCH_MUST(pki_crl_init(NULL) == ERR_OK);
    world_init();
    crl_format(&few, 10);
    crl_format(&many, MILLION);
    /* One after the other, and once more: what else runs falls on both. */
    raw = raw_us();
    small = path_us(&few);
    large = path_us(&many);
    bench_print("path of three, public-key operations alone", raw);
    bench_print("path of three, small CRLs", small);
    bench_print("path of three, CRL of 1000000", large);
    print_ratio("path of three, CRL of 1000000 against small", large / small, many.n);
    ours_run(&many);
    library_run(&many);
    buf_free(&few);
    buf_free(&many);
    world_free();
    return 0;
}
