/* What the tests of rules about CRLs share: a CRL of the leaf's issuer, written as a test says. */
#ifndef TESTS_UNIT_PKI_CRL_RULES_H
#define TESTS_UNIT_PKI_CRL_RULES_H

#include "tests/unit/pki/path_fixture.h"

#include "tests/unit/pki/crl_fixture.h"

#define OID_IDP RAW("\x55\x1d\x1c")
#define OID_NUMBER RAW("\x55\x1d\x14")
#define OID_DELTA RAW("\x55\x1d\x1b")
#define OID_FRESHEST RAW("\x55\x1d\x2e")
#define OID_NOBODYS RAW("\x69\x01")
#define NONE span_of(NULL, 0)

static struct buf extensions = BUF_INIT(65536), entries = BUF_INIT(65536);

static inline int
rules_setup(void **state)
{
    buf_reset(&extensions);
    buf_reset(&entries);
    setup(state);
    crl_store("root.crl", &root, NULL);
    return 0;
}

/* Writes a CRL of the leaf's issuer into the folder of CRLs. */
static inline void
raw_store(const char *name, struct raw_crl args)
{
    struct buf der = BUF_INIT(RAW_LIMIT);
    char path[64];

    if (!args.by)
        args.by = &ca;
    raw_format(&args, &der);
    snprintf(path, sizeof path, "crls/%s", name);
    testca_file(folder, path, 0644, der.p, der.n);
    buf_free(&der);
}

static inline void
rule(const char *reason)
{
    enum pki_status status = strcmp(reason, "ok") == 0        ? PKI_STATUS_OK
                             : strcmp(reason, "revoked") == 0 ? PKI_STATUS_INVALID
                                                              : PKI_STATUS_TEMP;

    expect(leaf.x509, (struct pki_path_args){ .at = 0 }, reason, status);
}

static inline struct span
serial_of(const X509 *x509)
{
    const ASN1_INTEGER *number = X509_get0_serialNumber(x509);

    return span_of(ASN1_STRING_get0_data(number), (size_t)ASN1_STRING_length(number));
}

/* An issuingDistributionPoint with this content. */
static inline void
idp_put(struct span content)
{
    struct buf value = BUF_INIT(4096);

    raw_put(&value, 0x30, content);
    raw_extension(&extensions, OID_IDP, true, buf_span(&value));
    buf_free(&value);
}

static inline int
group_teardown(void **state)
{
    (void)state;
    buf_free(&extensions);
    buf_free(&entries);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rules_setup, teardown)

#endif
