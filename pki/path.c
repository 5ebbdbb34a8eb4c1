/*
 * How one leaf becomes trusted.
 *
 * The caller brings a leaf, perhaps certificates and CRLs of the message, and a trust set. OpenSSL
 * builds a path from the leaf over what the message and the configuration give to an anchor, and
 * checks it as RFC 5280 6.1 says: signatures, validity, constraints, names, policies, and for every
 * certificate a CRL (complete, delta, indirect, by reasons). Its purposes are not used; they know
 * mail worse than we do.
 *
 *   build       verify; take other issuers where that led nowhere; fetch those that are missing and
 *               verify again, three times at most                          (path_build,
 * path_issuer) revocation  where the path holds: OCSP that is held, then what is missing, from the
 * network; new CRLs are judged by verifying once more                       (path_revocation)
 *   account     each certificate with source and status, and the answer     (path_account, _floor)
 *
 * Which CRLs the library sees is decided by pki/revocation, what becomes of an error by
 * pki/path_hooks: a final one (bad signature, revoked, expired) ends the matter, one that only says
 * "not known" is noted and the search for a final one goes on. So the answer is temporary only
 * where asking again could make it good.
 *
 * Two attacks shape the order. A signer may embed an old CRL, so those of the message count only
 * beside one of ours, or where there is nobody to ask. And every URL in a certificate is a request
 * that a stranger makes from inside our network, so nothing is asked about a path that cannot hold.
 *
 * Only anchors are in the store; with partial chains allowed an intermediate there would be an
 * anchor too.
 */
#include "pki/path.h"

#include "pki/crypto.h"
#include "pki/path_heirs.h"
#include "pki/path_search.h"

static enum err_code
whole_check(const struct pki_path_args *args, struct pki_path_result *result, struct err *err)
{
    struct pki_path_search search;
    enum err_code code;

    pki_crypto_reset();
    code = pki_path_search_init(&search, args, err);
    if (code == ERR_OK)
        code = pki_path_build_check(&search, err);
    if (code == ERR_OK && args->revocation.mode != PKI_REVOCATION_OFF)
        code = pki_path_revocation_check(&search, err);
    if (code == ERR_OK)
        pki_path_account_set(&search, result);
    pki_path_search_free(&search);
    pki_crypto_reset();
    if (code != ERR_OK)
        pki_path_result_free(result);
    return code;
}

enum err_code
pki_path_check(const struct pki_path_args *args, struct pki_path_result *result, struct err *err)
{
    struct pki_path_args whole = *args;
    struct pki_path_heirs heirs;
    enum err_code code = pki_path_heirs_load(&heirs, &whole, err);

    *result = (struct pki_path_result){ .count = 0 };
    if (code == ERR_OK)
        code = whole_check(&whole, result, err);
    pki_path_heirs_free(&heirs);
    return code;
}

void
pki_path_result_free(struct pki_path_result *result)
{
    for (size_t i = 0; i < result->count; i++)
        pki_certificate_free(&result->steps[i].certificate);
    result->count = 0;
}
