#include "pki/crl_signed.h"

#include <openssl/objects.h>

#include "pki/crypto.h"
#include "pki/signature.h"

enum err_code
pki_crl_signed_parse(const struct pki_crl_shape *shape, struct pki_crl_signed *out, struct err *err)
{
    const EVP_MD *md;

    *out = (struct pki_crl_signed){ .digest_nid = pki_signature_digest(shape->algorithm) };
    md = out->digest_nid == NID_undef ? NULL : EVP_get_digestbynid(out->digest_nid);
    if (md && EVP_Digest(shape->tbs.p, shape->tbs.n, out->digest, &out->digest_bytes, md, NULL))
        return ERR_OK;
    /* A digest that the provider refuses is one that no signature can be checked with. */
    if (md && pki_crypto_is_short())
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
