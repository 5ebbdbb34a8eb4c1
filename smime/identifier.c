#include "smime/identifier.h"

#include <openssl/x509.h>

#include "pki/crypto.h"
#include "smime/ber.h"

/* Names and numbers are nearly always copied out of the certificate as they stand in it: then
 * nothing has to be decoded. */
static bool
is_same_octets(const struct smime_ber_element *name, const struct smime_ber_element *serial,
               X509 *x509)
{
    const ASN1_INTEGER *number = X509_get0_serialNumber(x509);
    const unsigned char *issuer = NULL;
    size_t n = 0;
    if (ASN1_STRING_type(number) != V_ASN1_INTEGER || serial->contents.n == 0 ||
        (serial->contents.p[0] & 0x80) != 0 ||
        !X509_NAME_get0_der(X509_get_issuer_name(x509), &issuer, &n))
        return false;
    struct span magnitude = serial->contents;
    if (magnitude.n > 1 && magnitude.p[0] == 0)
        magnitude = span_from(magnitude, 1);
    return span_equal(span_of(issuer, n), name->whole) &&
           span_equal(magnitude,
                      span_of(ASN1_STRING_get0_data(number), (size_t)ASN1_STRING_length(number)));
}

/* The serial number first: it is cheap, and hardly ever the same by chance. */
static bool
is_issuer_and_serial(struct span contents, X509 *x509)
{
    struct smime_ber_element name, serial;
    if (smime_ber_get(&contents, &name, NULL) != ERR_OK || name.identifier != SMIME_BER_SEQUENCE ||
        smime_ber_get(&contents, &serial, NULL) != ERR_OK ||
        serial.identifier != SMIME_BER_INTEGER || contents.n != 0)
        return false;
    if (is_same_octets(&name, &serial, x509))
        return true;
    const unsigned char *p = serial.whole.p;
    ASN1_INTEGER *number = d2i_ASN1_INTEGER(NULL, &p, (long)serial.whole.n);
    bool same = number != NULL && ASN1_INTEGER_cmp(number, X509_get0_serialNumber(x509)) == 0;
    ASN1_INTEGER_free(number);
    if (!same)
        return false;
    p = name.whole.p;
    X509_NAME *issuer = d2i_X509_NAME(NULL, &p, (long)name.whole.n);
    same = issuer != NULL && X509_NAME_cmp(issuer, X509_get_issuer_name(x509)) == 0;
    X509_NAME_free(issuer);
    return same;
}

static bool
is_key_identifier(struct span octets, X509 *x509)
{
    ASN1_OCTET_STRING *own = X509_get_ext_d2i(x509, NID_subject_key_identifier, NULL, NULL);
    bool same = own != NULL && span_equal(octets, span_of(ASN1_STRING_get0_data(own),
                                                          (size_t)ASN1_STRING_length(own)));
    ASN1_OCTET_STRING_free(own);
    return same;
}

bool
smime_identifier_is(struct span element, const struct pki_certificate *certificate)
{
    X509 *x509 = pki_certificate_get0_x509(certificate);
    struct smime_ber_element identifier, octets;
    bool same = false;
    if (smime_ber_get(&element, &identifier, NULL) != ERR_OK)
        return false;
    struct span inside = identifier.contents;
    if (identifier.identifier == SMIME_BER_SEQUENCE)
        same = is_issuer_and_serial(inside, x509);
    else if (identifier.identifier == SMIME_BER_CONTEXT)
        same = is_key_identifier(inside, x509);
    else if (identifier.identifier == SMIME_BER_CONTEXT_CONSTRUCTED &&
             smime_ber_get(&inside, &octets, NULL) == ERR_OK &&
             octets.identifier == SMIME_BER_OCTETS)
        same = is_key_identifier(octets.contents, x509);
    pki_crypto_reset();
    return same;
}
