/* Certificates and lists of them: whatever comes in, what is taken is DER, its facts are one-line
 * text, and judging it leaves nothing behind. */
#include <stdint.h>
#include <stdlib.h>

#include <openssl/err.h>

#include "mime/address.h"
#include "pki/certificate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool fact)
{
    if (!fact)
        abort();
}

static void
check_text(const char *text)
{
    for (; *text; text++)
        require((unsigned char)*text >= ' ' && (unsigned char)*text < 0x7f);
}

static void
check_one(const struct pki_certificate *certificate)
{
    const struct pki_leaf_policy policy = { .subject_address = true, .rsa_bits_min = 2048 };
    const struct pki_certificate_facts *facts = pki_certificate_get(certificate);
    struct pki_answer answer;

    check_text(facts->subject);
    check_text(facts->issuer);
    check_text(facts->serial);
    for (const char *const *a = facts->addresses; *a; a++) {
        require(mime_address_is(span_str(*a), span_str(*a), false));
        require(pki_certificate_has_address(certificate, *a, &policy));
    }
    pki_certificate_check(certificate, PKI_USE_SIGN, NULL, 1700000000, &policy, &answer);
    pki_certificate_check(certificate, PKI_USE_ENCRYPT, "a@example.org", 1700000000, &policy,
                          &answer);
    require(ERR_peek_error() == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err = ERR_INIT;
    struct pki_certificate *one = NULL, *two = NULL;
    struct pki_certificates list = { .limit = 50 };

    if (pki_certificate_parse(span_of(data, size), &one, &err) == ERR_OK) {
        check_one(one);
        require(span_equal(pki_certificate_der(one), span_of(data, size)));
        require(pki_certificate_parse(pki_certificate_der(one), &two, &err) == ERR_OK);
        require(pki_certificate_is(one, two));
    }
    pki_certificate_free(&one);
    pki_certificate_free(&two);
    err_reset(&err);
    (void)!pki_certificates_parse(&list, span_of(data, size), &err);
    require(ERR_peek_error() == 0);
    for (size_t i = 0; i < list.count; i++)
        check_one(list.list[i]);
    pki_certificates_free(&list);
    return 0;
}
