/* Nodes that share a real Redis, and one value of each kind in it, for the tests of evidence. */
#ifndef TESTS_UNIT_PKI_EVIDENCE_NODES_H
#define TESTS_UNIT_PKI_EVIDENCE_NODES_H

#include "tests/unit/cache/fleet.h"
#include "tests/unit/pki/evidence_fixture.h"

#include "cache/memory.h"

static const char key_text[] = "0123456789abcdef0123456789abcdef";
static bool there; /* is there a redis-server on this machine? */

/* ---- nodes -------------------------------------------------------------------------------------
 */

static inline struct cache *
store_of(struct cache_store_args args, const char *key)
{
    struct err err = ERR_INIT;
    struct cache *cache = NULL;

    if (args.pool.connections == 0)
        args.pool.connections = 4;
    if (args.pool.backoff_ms == 0)
        args.pool.backoff_ms = 50;
    if (args.timeout_ms == 0)
        args.timeout_ms = 2000;
    assert_int_equal(cache_seal_new(span_str(key), &args.seal, &err), ERR_OK);
    if (cache_store_new(&args, &cache, &err) != ERR_OK)
        fail_msg("%s", err.text);
    return cache;
}

static inline struct cache *
store(const char *key)
{
    return store_of((struct cache_store_args){ .pool.server.socket = server_path("s") }, key);
}

static inline struct pki_evidence *
node_of(struct cache *cache)
{
    return evidence_of((struct pki_evidence_args){ .shared = cache, .idle_s = 30 * DAY });
}

static inline struct pki_evidence *
node(void)
{
    return node_of(store(key_text));
}

/* The whole name of the one value in Redis. */
static inline void
name_get(struct buf *out)
{
    const struct span words[] = { span_str("EVAL"),
                                  span_str("return redis.call('KEYS', 'smimed:v:*')[1]"),
                                  span_str("0") };

    buf_reset(out);
    assert_int_equal(raw("s", words, 3, out), CACHE_REDIS_KIND_STRING);
    assert_true(out->n > 10);
}

/* ---- one value, of each kind -------------------------------------------------------------------
 */

enum what { A_CRL, AN_ANSWER, ISSUERS, WHATS };

static struct pki_certificate *bob, *issuer_of_bob;

static inline void
publish(enum what what)
{
    unsigned char *der = NULL;
    size_t n;

    if (what == A_CRL) {
        serve_crl("/it", &ca, &(struct testca_crl_args){ .number = 5, .next_update = now + DAY });
    } else if (what == AN_ANSWER) {
        der = respond(
            &(struct said){ .entries = { TIMED(-HOUR, DAY, .of = pki_certificate_get0_x509(bob),
                                               .status = V_OCSP_CERTSTATUS_REVOKED) } },
            &n);
        serve("/it", WELL, der, n);
    } else {
        n = (size_t)i2d_X509(ca.x509, &der);
        serve("/it", WELL, der, n);
    }
    OPENSSL_free(der);
}

/* True: the right answer; `source` is where it came from. */
static inline bool
ask(struct pki_evidence *evidence, enum what what, const char **source)
{
    struct pki_fetch_budget budget = budget_of(5000);
    struct pki_certificates found = { .list = NULL };
    struct pki_evidence_origin origin;
    struct pki_ocsp_result result;
    struct err err = ERR_INIT;
    bool right;

    if (what == A_CRL) {
        struct got got = get_crl(evidence, "/it");
        *source = got.origin.source;
        return got.code == ERR_OK && got.number == 5;
    }
    if (what == AN_ANSWER) {
        right = pki_evidence_get_ocsp(evidence,
                                      &(struct pki_evidence_ocsp_question){ .certificate = bob,
                                                                            .issuer = issuer_of_bob,
                                                                            .budget = &budget },
                                      &result, &origin, &err) == ERR_OK &&
                result.status == PKI_OCSP_REVOKED;
        pki_ocsp_result_free(&result);
    } else {
        right = pki_evidence_get_issuers(evidence, span_str(url_of("/it")), &budget, &found,
                                         &origin, &err) == ERR_OK &&
                found.count == 1 &&
                X509_cmp(pki_certificate_get0_x509(found.list[0]), ca.x509) == 0;
        pki_certificates_free(&found);
    }
    *source = origin.source;
    return right;
}

static inline void
setup_bob(void)
{
    struct testca_leaf made;
    char aia[400];

    snprintf(aia, sizeof aia, "OCSP;URI:%s", url_of("/it"));
    testca_issue(&ca,
                 &(struct testca_args){ .cn = "Bob",
                                        .key_type = TESTCA_P256,
                                        .extra = { { "authorityInfoAccess", aia } } },
                 &made);
    bob = testca_certificate(made.x509);
    issuer_of_bob = testca_certificate(ca.x509);
    testca_leaf_free(&made);
}

static inline int
begin(void **state)
{
    struct err err = ERR_INIT;

    (void)state;
    there = system("command -v redis-server >/dev/null 2>&1") == 0;
    if (!there)
        print_message("there is no redis-server: its tests are skipped\n");
    return mkdtemp(scratch) && pki_fetch_init(&err) == ERR_OK ? 0 : -1;
}

static inline int
end(void **state)
{
    char command[100];

    (void)state;
    pki_fetch_deinit();
    snprintf(command, sizeof command, "rm -rf %s", scratch);
    return system(command);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

#endif
