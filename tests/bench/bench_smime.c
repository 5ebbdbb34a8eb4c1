/*
 * The streams of smime/ alone, without milter and policy: what one message costs in CPU, and how it
 * scales over two threads. The difference to the raw primitives is ASN.1 and our own code; the
 * difference to the same work through the daemon is everything else.
 *
 * "threads" figures are CPU per message while two threads do the same at once, against one: above 1
 * means that they wait for each other's locks or cache lines.
 */
#include <pthread.h>

#include "mime/base64.h"
#include "smime/decrypt.h"
#include "smime/encrypt.h"
#include "smime/sign.h"
#include "smime/verify.h"
#include "tests/bench/bench.h"
#include "tests/unit/testca.h"

enum { SIZES = 4, RECIPIENTS = 100, LIMIT = 64 << 20, THREAD_CALLS = 400 };

static const struct size {
    const char *name;
    size_t n;
} sizes[SIZES] = { { "4k", 4096 }, { "64k", 65536 }, { "1m", 1 << 20 }, { "25m", 25 << 20 } };

static unsigned char *input;

struct work {
    struct testca_leaf leaf;
    struct pki_key key;
    struct pki_certificate *recipients[RECIPIENTS];
    size_t count, n;
    bool opaque;
    enum smime_cipher cipher;
    struct buf der; /* a signature, or an enveloped object */
    struct spool *spool;
};

/* Another certificate with the same key: the library encrypts to each certificate once. */
static struct pki_certificate *
new_recipient(struct testca *ca, enum testca_key type)
{
    struct testca_leaf leaf;

    testca_issue(ca,
                 &(struct testca_args){ .cn = "Recipient",
                                        .san = "email:bob@example.org",
                                        .key_usage = "critical,digitalSignature,keyEncipherment",
                                        .ext_key_usage = "emailProtection",
                                        .key_type = type },
                 &leaf);
    struct pki_certificate *certificate = testca_certificate(leaf.x509);
    testca_leaf_free(&leaf);
    return certificate;
}

static void
work_init(struct work *work, struct testca *ca, enum testca_key type)
{
    *work = (struct work){ .cipher = SMIME_CIPHER_AES256_CBC };
    testca_issue(ca,
                 &(struct testca_args){ .cn = "Alice",
                                        .san = "email:alice@example.org",
                                        .key_usage = "critical,digitalSignature,keyEncipherment",
                                        .ext_key_usage = "emailProtection",
                                        .key_type = type },
                 &work->leaf);
    work->key = (struct pki_key){ .pkey = work->leaf.key,
                                  .certificate = testca_certificate(work->leaf.x509),
                                  .file = "bench" };
    for (size_t i = 0; i < RECIPIENTS; i++)
        work->recipients[i] = new_recipient(ca, type);
    buf_init(&work->der, LIMIT);
}

static void
work_free(struct work *work)
{
    for (size_t i = 0; i < RECIPIENTS; i++)
        pki_certificate_free(&work->recipients[i]);
    pki_certificate_free(&work->key.certificate);
    testca_leaf_free(&work->leaf);
    buf_free(&work->der);
    spool_free(&work->spool);
}

static enum err_code
discard(void *context, struct span piece, struct err *err)
{
    (void)context, (void)piece, (void)err;
    return ERR_OK;
}

static void
feed(struct stage *stage, size_t n)
{
    for (size_t at = 0; at < n; at += 65536)
        BENCH_MUST(stage_write(stage, span_of(input + at, n - at < 65536 ? n - at : 65536), NULL) ==
                   ERR_OK);
    BENCH_MUST(stage_finish(stage, NULL) == ERR_OK);
}

/* ---- sign -------------------------------------------------------------------------------------
 */

static void
sign_into(const struct work *work, struct stage *sink)
{
    struct smime_sign_args args = { .key = &work->key,
                                    .encryption = work->key.certificate,
                                    .opaque = work->opaque,
                                    .digest = SMIME_DIGEST_SHA256,
                                    .signing_time = time(NULL) };
    struct smime_entity_header header;
    struct stage *stage = NULL;

    BENCH_MUST(smime_sign_new(&args, sink, &stage, &header, NULL) == ERR_OK);
    feed(stage, work->n);
    stage_free(&stage);
}

static void
run_sign(void *context)
{
    struct stage *sink = NULL;

    BENCH_MUST(stage_sink_new(discard, NULL, &sink, NULL) == ERR_OK);
    sign_into(context, sink);
}

/* ---- encrypt and decrypt ----------------------------------------------------------------------
 */

static void
encrypt_into(const struct work *work, struct stage *sink)
{
    struct smime_encrypt_args args = { .recipients = work->recipients,
                                       .count = work->count,
                                       .cipher = work->cipher,
                                       .transport = SMIME_TRANSPORT_PKCS1 };
    struct smime_entity_header header;
    struct stage *stage = NULL;

    BENCH_MUST(smime_encrypt_new(&args, sink, &stage, &header, NULL) == ERR_OK);
    feed(stage, work->n);
    stage_free(&stage);
}

static void
run_encrypt(void *context)
{
    struct stage *sink = NULL;

    BENCH_MUST(stage_sink_new(discard, NULL, &sink, NULL) == ERR_OK);
    encrypt_into(context, sink);
}

static void
run_decrypt(void *context)
{
    struct work *work = context;
    struct pki_key key = { .pkey = work->leaf.key, .certificate = work->recipients[0] };
    const struct pki_key *keys[] = { &key };
    struct smime_decrypt_args args = { .spool = work->spool, .keys = keys, .count = 1 };
    struct smime_decrypt_result result;
    struct stage *sink = NULL;

    BENCH_MUST(stage_sink_new(discard, NULL, &sink, NULL) == ERR_OK);
    BENCH_MUST(smime_decrypt(&args, sink, &result, NULL) == ERR_OK);
    stage_free(&sink);
}

/* The octets of CMS behind the base64 that a stream wrote. */
static struct spool *
new_spool(struct work *work, void (*write)(const struct work *, struct stage *))
{
    struct spool_args args = { .folder = "/tmp", .memory_bytes = LIMIT, .limit_bytes = LIMIT };
    struct stage *sink = NULL, *decoder = NULL;
    struct spool *spool = NULL;

    BENCH_MUST(spool_new(&args, &spool, NULL) == ERR_OK);
    BENCH_MUST(spool_stage_new(spool, &sink, NULL) == ERR_OK);
    BENCH_MUST(mime_base64_decode_new(NULL, sink, &decoder, NULL) == ERR_OK);
    write(work, decoder);
    return spool;
}

/* ---- verify -----------------------------------------------------------------------------------
 */

/* The signature part of a clear-signed message. */
static void
load_signature(struct work *work)
{
    struct buf text = BUF_INIT(LIMIT), der = BUF_INIT(LIMIT);
    struct stage *sink = NULL;

    BENCH_MUST(stage_buf_new(&text, &sink, NULL) == ERR_OK);
    sign_into(work, sink);
    const char *p = strstr(buf_str(&text) + work->n, "application/pkcs7-signature");
    BENCH_MUST(p && (p = strstr(p, "\r\n\r\n")));
    const char *end = strstr(p, "\r\n--");
    BENCH_MUST(end);
    BENCH_MUST(mime_base64_parse(span_of(p, (size_t)(end - p)), &der, NULL) == ERR_OK);
    buf_free(&work->der);
    work->der = der;
    buf_free(&text);
}

static void
run_verify(void *context)
{
    struct work *work = context;
    struct smime_verify_args args = { .micalg = span_str("sha-256") };
    struct smime_verify *verify = NULL;
    struct smime_verify_result result;

    BENCH_MUST(smime_verify_new(&args, &verify, NULL) == ERR_OK);
    BENCH_MUST(smime_verify_write(verify, span_of(input, work->n), NULL) == ERR_OK);
    BENCH_MUST(smime_verify_finish(verify, buf_span(&work->der), &result, NULL) == ERR_OK);
    BENCH_MUST(result.count == 1 && result.signers[0].state == SMIME_SIGNATURE_OK);
    smime_verify_result_free(&result);
    smime_verify_free(&verify);
}

static void
run_opaque(void *context)
{
    struct work *work = context;
    struct smime_verify_opaque_args args = { .spool = work->spool, .limit_bytes = LIMIT };
    struct smime_verify_result result;

    BENCH_MUST(smime_verify_opaque(&args, &result, NULL) == ERR_OK);
    BENCH_MUST(result.count == 1 && result.signers[0].state == SMIME_SIGNATURE_OK);
    smime_verify_result_free(&result);
}

/* ---- two threads ------------------------------------------------------------------------------
 */

struct thread {
    bench_fn *run;
    void *context;
    pthread_barrier_t *barrier;
    double us;
};

static void *
run_thread(void *context)
{
    struct thread *thread = context;

    thread->run(thread->context);
    pthread_barrier_wait(thread->barrier);
    double begin = bench_cpu_s();
    for (int i = 0; i < THREAD_CALLS; i++)
        thread->run(thread->context);
    thread->us = (bench_cpu_s() - begin) * 1e6 / THREAD_CALLS;
    return NULL;
}

/* Microseconds per call in `count` threads at once. */
static double
threads_us(bench_fn *run, void *context, unsigned count)
{
    struct thread threads[2];
    pthread_t ids[2];
    pthread_barrier_t barrier;
    double us = 0;

    BENCH_MUST(pthread_barrier_init(&barrier, NULL, count) == 0);
    for (unsigned i = 0; i < count; i++) {
        threads[i] = (struct thread){ .run = run, .context = context, .barrier = &barrier };
        BENCH_MUST(pthread_create(&ids[i], NULL, run_thread, &threads[i]) == 0);
    }
    for (unsigned i = 0; i < count; i++) {
        BENCH_MUST(pthread_join(ids[i], NULL) == 0);
        us += threads[i].us / count;
    }
    pthread_barrier_destroy(&barrier);
    return us;
}

static void
bench_threads(const char *what, bench_fn *run, void *context)
{
    double ratios[BENCH_ROUNDS];

    for (int i = 0; i < BENCH_ROUNDS; i++)
        ratios[i] = threads_us(run, context, 2) / threads_us(run, context, 1);
    qsort(ratios, BENCH_ROUNDS, sizeof *ratios, bench_compare);
    printf("{\"name\": \"threads %s\", \"ratio\": %.3f}\n", what, ratios[BENCH_ROUNDS / 2]);
    fflush(stdout);
}

/* ---- all of it --------------------------------------------------------------------------------
 */

static void
bench_named(const char *what, const char *size, bench_fn *run, struct work *work)
{
    char name[64];

    snprintf(name, sizeof name, "smime %s %s", what, size);
    bench_run(name, run, work);
}

static void
bench_size(struct work *work, const struct size *size)
{
    work->n = size->n;
    work->opaque = false;
    bench_named("sign", size->name, run_sign, work);
    load_signature(work);
    bench_named("verify clear", size->name, run_verify, work);
    work->opaque = true;
    work->spool = new_spool(work, sign_into);
    bench_named("verify opaque", size->name, run_opaque, work);
    spool_free(&work->spool);
    work->opaque = false;
    for (work->cipher = SMIME_CIPHER_AES256_CBC;; work->cipher = SMIME_CIPHER_AES256_GCM) {
        bool gcm = work->cipher == SMIME_CIPHER_AES256_GCM;

        work->count = 1;
        bench_named(gcm ? "encrypt gcm" : "encrypt", size->name, run_encrypt, work);
        work->spool = new_spool(work, encrypt_into);
        bench_named(gcm ? "decrypt gcm" : "decrypt", size->name, run_decrypt, work);
        spool_free(&work->spool);
        if (gcm)
            break;
    }
}

int
main(void)
{
    struct work rsa, ec;
    struct testca ca;

    input = malloc(sizes[SIZES - 1].n);
    BENCH_MUST(input);
    for (size_t i = 0; i < sizes[SIZES - 1].n; i++)
        input[i] = i % 78 == 76 ? '\r' : i % 78 == 77 ? '\n' : (unsigned char)('a' + i % 23);
    testca_init(&ca, "Root");
    work_init(&rsa, &ca, TESTCA_RSA2048);
    work_init(&ec, &ca, TESTCA_P256);
    for (size_t i = 0; i < SIZES; i++)
        bench_size(&rsa, &sizes[i]);
    ec.n = rsa.n = sizes[0].n;
    bench_named("sign p256", "4k", run_sign, &ec);
    load_signature(&ec);
    bench_named("verify p256", "4k", run_verify, &ec);
    rsa.cipher = ec.cipher = SMIME_CIPHER_AES256_CBC;
    rsa.count = RECIPIENTS;
    bench_named("encrypt 100 recipients", "4k", run_encrypt, &rsa);
    load_signature(&rsa);
    bench_threads("sign rsa2048", run_sign, &rsa);
    bench_threads("verify rsa2048", run_verify, &rsa);
    bench_threads("sign p256", run_sign, &ec);
    work_free(&rsa);
    work_free(&ec);
    testca_free(&ca);
    free(input);
    return 0;
}
