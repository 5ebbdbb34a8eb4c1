/* Two authorities, and a look-up that answers as the library's hook does, for the tests of CRLs. */
#ifndef TESTS_UNIT_PKI_CRL_LOOK_UP_H
#define TESTS_UNIT_PKI_CRL_LOOK_UP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "pki/crypto.h"
#include "tests/unit/pki/crl_fixture.h"

static struct testca ca, other;

static inline int
group_setup(void **state)
{
    (void)state;
    struct err err = ERR_INIT;

    assert_int_equal(pki_crl_init(&err), ERR_OK);
    testca_init(&ca, "CRL CA");
    testca_init(&other, "Other CA");
    return 0;
}

static inline int
group_teardown(void **state)
{
    (void)state;
    testca_free(&ca);
    testca_free(&other);
    return 0;
}

static inline ASN1_INTEGER *
integer_new(struct span content)
{
    struct buf der = BUF_INIT(1024);
    const unsigned char *p;
    ASN1_INTEGER *number;

    raw_put(&der, 0x02, content);
    p = der.p;
    number = d2i_ASN1_INTEGER(NULL, &p, (long)der.n);
    assert_non_null(number);
    buf_free(&der);
    return number;
}

/* 0: absent, 1: revoked, 2: removed; as the library's hook answers. `issuer` NULL: the CRL's own.
 */
static inline int
look(X509_CRL *crl, struct span serial, X509_NAME *issuer)
{
    ASN1_INTEGER *number = integer_new(serial);
    X509 *x509 = X509_new();
    X509_REVOKED *revoked = NULL;
    int answer;

    assert_true(X509_set_serialNumber(x509, number));
    assert_true(X509_set_issuer_name(x509, issuer ? issuer : X509_CRL_get_issuer(crl)));
    answer = X509_CRL_get0_by_cert(crl, &revoked, x509);
    assert_true(!answer == !revoked);
    X509_free(x509);
    ASN1_INTEGER_free(number);
    return answer;
}

#endif
