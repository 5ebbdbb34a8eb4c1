#include "pki/crl_signed.h"

#include <openssl/objects.h>

#include "pki/crypto.h"
#include "pki/signature.h"

static bool
is_there(const EVP_MD *md)
{
    EVP_MD *fetched = EVP_MD_fetch(NULL, EVP_MD_get0_name(md), NULL);

    EVP_MD_free(fetched);
    pki_crypto_reset();
    return fetched != NULL;
}

enum err_code
pki_crl_signed_parse(const struct pki_crl_shape *shape, struct pki_crl_signed *out, struct err *err)
{
    const EVP_MD *md;
    enum err_code code;

    *out = (struct pki_crl_signed){ .digest_nid = NID_undef };
    if ((code = pki_signature_find_digest(shape->algorithm, &out->digest_nid, err)) != ERR_OK)
        return code;
    md = out->digest_nid == NID_undef ? NULL : EVP_get_digestbynid(out->digest_nid);
    if (md && EVP_Digest(shape->tbs.p, shape->tbs.n, out->digest, &out->digest_bytes, md, NULL))
        return ERR_OK;
    /* A digest that the provider does not have is one that no signature can be checked with. One
     * that is there all the same was not for want of memory. */
    if (pki_crypto_is_short() || (md && is_there(md)))
        return err_set(err, ERR_NOMEM, "no memory for the digest of a CRL");
    *out = (struct pki_crl_signed){ .digest_nid = NID_undef };
    return ERR_OK;
}

bool
pki_crl_signed_check(const struct pki_crl_shape *shape, const struct pki_crl_signed *what,
                     EVP_PKEY *key)
{
    const char *reason;

    return !shape->unused_bits && span_equal(shape->algorithm, shape->inner_algorithm) &&
           pki_signature_check(
               &(struct pki_signature_args){ .algorithm = shape->algorithm,
                                             .digest_nid = what->digest_nid,
                                             .key = key,
                                             .signature = shape->signature,
                                             .digest = span_of(what->digest, what->digest_bytes),
                                             .signed_bytes = shape->tbs },
               &reason) == PKI_SIGNATURE_OK;
}
