/*
 * CRLs, alone and in PEM: parsed, counted, and asked for by their own issuer. What our parser and
 * the library both accept has to answer alike for every entry, and for neighbours of it: the
 * library's own method is the oracle.
 */
#include <stdint.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "pki/crl.h"
#include "pki/crl_held.h"
#include "pki/crypto.h"
#include "pki/revocation.h"

enum { QUESTIONS_MAX = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(int good)
{
    if (!good)
        abort();
}

static X509_CRL *
library_parse(const uint8_t *data, size_t size)
{
    const unsigned char *p = data;
    X509_CRL *crl;

    X509_CRL_set_default_method(NULL);
    crl = d2i_X509_CRL(NULL, &p, (long)size);
    X509_CRL_set_default_method(pki_crl_method_get0());
    if (crl && p != data + size) {
        X509_CRL_free(crl);
        crl = NULL;
    }
    ERR_clear_error();
    return crl;
}

static int
reason_of(const X509_REVOKED *entry)
{
    ASN1_ENUMERATED *reason = X509_REVOKED_get_ext_d2i(entry, NID_crl_reason, NULL, NULL);
    int number = reason ? (int)ASN1_ENUMERATED_get(reason) : -1;

    ASN1_ENUMERATED_free(reason);
    return number;
}

static int
stands_twice(X509_CRL *library, const ASN1_INTEGER *serial)
{
    STACK_OF(X509_REVOKED) *list = X509_CRL_get_REVOKED(library);
    int count = 0;

    for (int i = 0; i < sk_X509_REVOKED_num(list); i++)
        count += ASN1_INTEGER_cmp(X509_REVOKED_get0_serialNumber(sk_X509_REVOKED_value(list, i)),
                                  serial) == 0;
    return count > 1;
}

/* `issuer`: of the certificate that is asked about; NULL: the CRL's own. */
static void
compare(X509_CRL *ours, X509_CRL *library, const ASN1_INTEGER *serial, const X509_NAME *issuer)
{
    X509_REVOKED *mine = NULL, *theirs = NULL;
    X509 *x509 = X509_new();
    int ours_says, library_says;

    require(x509 && X509_set_serialNumber(x509, (ASN1_INTEGER *)serial) &&
            X509_set_issuer_name(x509, issuer ? issuer : X509_CRL_get_issuer(library)));
    ours_says = X509_CRL_get0_by_cert(ours, &mine, x509);
    library_says = X509_CRL_get0_by_cert(library, &theirs, x509);
    X509_free(x509);
    require(!ours_says == !mine);
    require(!ours_says == !library_says);
    if (ours_says == library_says)
        return;
    /* On purpose: of repetitions revoked wins, the library takes any. A complete CRL removes
     * nobody. */
    require(ours_says == 1 && library_says == 2);
    require(!pki_crl_is_delta(ours) || stands_twice(library, serial));
    require(reason_of(theirs) == CRL_REASON_REMOVE_FROM_CRL);
}

static void
entry_compare(X509_CRL *ours, X509_CRL *library, const X509_REVOKED *entry)
{
    const ASN1_INTEGER *serial = X509_REVOKED_get0_serialNumber(entry);
    GENERAL_NAMES *names = X509_REVOKED_get_ext_d2i(entry, NID_certificate_issuer, NULL, NULL);
    ASN1_INTEGER *next = ASN1_INTEGER_dup(serial);

    compare(ours, library, serial, NULL);
    for (int i = 0; i < sk_GENERAL_NAME_num(names) && i < 4; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type == GEN_DIRNAME)
            compare(ours, library, serial, name->d.directoryName);
    }
    require(next != NULL);
    if (next->length > 0) {
        next->data[next->length - 1] ^= 1;
        if (next->data[0] != 0)
            compare(ours, library, next, NULL);
    }
    ASN1_INTEGER_free(next);
    GENERAL_NAMES_free(names);
}

/* What the library passes over as if it were not there is a fault to us. */
static void
faults_compare(const X509_CRL *ours, const X509_CRL *library)
{
    static const int nids[] = { NID_issuing_distribution_point, NID_authority_key_identifier,
                                NID_crl_number, NID_delta_crl };

    for (size_t i = 0; i < sizeof nids / sizeof *nids; i++) {
        int first = X509_CRL_get_ext_by_NID(library, nids[i], -1);
        if (first >= 0 && X509_CRL_get_ext_by_NID(library, nids[i], first) >= 0)
            require(pki_crl_fault(ours) != NULL);
    }
}

static void
crl_compare(X509_CRL *ours, X509_CRL *library)
{
    STACK_OF(X509_REVOKED) *list = X509_CRL_get_REVOKED(library);
    int count = sk_X509_REVOKED_num(list), step = count / QUESTIONS_MAX + 1;

    require(pki_crl_entries(ours) == (size_t)(count > 0 ? count : 0));
    require(X509_NAME_cmp(X509_CRL_get_issuer(ours), X509_CRL_get_issuer(library)) == 0);
    require(X509_CRL_get_ext_count(ours) == X509_CRL_get_ext_count(library));
    require(ASN1_STRING_cmp(X509_CRL_get0_lastUpdate(ours), X509_CRL_get0_lastUpdate(library)) ==
            0);
    require(!X509_CRL_get0_nextUpdate(ours) == !X509_CRL_get0_nextUpdate(library));
    faults_compare(ours, library);
    /* With a fault the entries are not believed; the library has stopped to read them. */
    if (pki_crl_fault(ours))
        return;
    for (int i = 0; i < count; i += step)
        entry_compare(ours, library, sk_X509_REVOKED_value(list, i));
}

static void
parse_compare(const uint8_t *data, size_t size)
{
    struct err err = ERR_INIT;
    X509_CRL *library = library_parse(data, size), *ours = NULL;
    enum err_code code = pki_crl_parse(span_of(data, size), &ours, &err);

    require(ERR_peek_error() == 0);
    require(!ours == (code != ERR_OK));
    if (ours) {
        struct span der = pki_crl_der(ours);
        require(der.n == size && pki_crl_bytes(ours) >= size);
        if (library)
            crl_compare(ours, library);
    }
    ERR_clear_error();
    X509_CRL_free(ours);
    X509_CRL_free(library);
}

static void
set_ask(const uint8_t *data, size_t size)
{
    struct pki_revocation_set *set = NULL;
    struct err err = ERR_INIT;
    X509_CRL *crl = library_parse(data, size);

    require(pki_revocation_new(&set, &err) == ERR_OK);
    (void)!pki_revocation_parse(set, span_of(data, size), &err);
    require(ERR_peek_error() == 0);
    if (crl) {
        STACK_OF(X509_CRL) *found =
            pki_revocation_find(set, &(struct pki_revocation_question){
                                         .issuer = X509_CRL_get_issuer(crl), .at = 1700000000 });
        require(found && (size_t)sk_X509_CRL_num(found) <= pki_revocation_count(set));
        sk_X509_CRL_pop_free(found, X509_CRL_free);
    }
    ERR_clear_error();
    X509_CRL_free(crl);
    pki_revocation_free(&set);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    require(pki_crl_init(NULL) == ERR_OK);
    parse_compare(data, size);
    set_ask(data, size);
    return 0;
}
