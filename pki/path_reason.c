#include "pki/path_reason.h"

#include <stdio.h>

#include <openssl/x509_vfy.h>

#include "pki/path_search.h"

struct row {
    int code;
    enum pki_reason reason;
};

/* Not here: path-invalid. Validity is told apart by depth below. */
static const struct row rows[] = {
    { X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, PKI_REASON_UNTRUSTED },
    { X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, PKI_REASON_UNTRUSTED },
    { X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, PKI_REASON_UNTRUSTED },
    { X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, PKI_REASON_UNTRUSTED },
    { X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, PKI_REASON_UNTRUSTED },
    { X509_V_ERR_CERT_UNTRUSTED, PKI_REASON_UNTRUSTED },
    { X509_V_ERR_CERT_REJECTED, PKI_REASON_UNTRUSTED },
    { X509_V_ERR_CERT_CHAIN_TOO_LONG, PKI_REASON_PATH_TOO_LONG },
    { X509_V_ERR_PATH_LENGTH_EXCEEDED, PKI_REASON_PATH_TOO_LONG },
    { X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED, PKI_REASON_PATH_TOO_LONG },
    { X509_V_ERR_UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY, PKI_REASON_UNSUPPORTED_ALGORITHM },
    { X509_V_ERR_UNSUPPORTED_SIGNATURE_ALGORITHM, PKI_REASON_UNSUPPORTED_ALGORITHM },
    { X509_V_ERR_EE_KEY_TOO_SMALL, PKI_REASON_WEAK_ALGORITHM },
    { X509_V_ERR_CA_KEY_TOO_SMALL, PKI_REASON_WEAK_ALGORITHM },
    { X509_V_ERR_CA_MD_TOO_WEAK, PKI_REASON_WEAK_ALGORITHM },
    { X509_V_ERR_PERMITTED_VIOLATION, PKI_REASON_NAME_CONSTRAINTS },
    { X509_V_ERR_EXCLUDED_VIOLATION, PKI_REASON_NAME_CONSTRAINTS },
    { X509_V_ERR_SUBTREE_MINMAX, PKI_REASON_NAME_CONSTRAINTS },
    { X509_V_ERR_UNSUPPORTED_CONSTRAINT_TYPE, PKI_REASON_NAME_CONSTRAINTS },
    { X509_V_ERR_UNSUPPORTED_CONSTRAINT_SYNTAX, PKI_REASON_NAME_CONSTRAINTS },
    { X509_V_ERR_UNSUPPORTED_NAME_SYNTAX, PKI_REASON_NAME_CONSTRAINTS },
    { X509_V_ERR_INVALID_POLICY_EXTENSION, PKI_REASON_POLICY },
    { X509_V_ERR_NO_EXPLICIT_POLICY, PKI_REASON_POLICY },
    { X509_V_ERR_OUT_OF_MEM, PKI_REASON_POLICY }, /* pki/path.c: of the policy tree's bound */
    { X509_V_ERR_CERT_REVOKED, PKI_REASON_REVOKED },
    { X509_V_ERR_UNABLE_TO_GET_CRL, PKI_REASON_REVOCATION_UNKNOWN },
    { X509_V_ERR_DIFFERENT_CRL_SCOPE, PKI_REASON_REVOCATION_UNKNOWN },
    { X509_V_ERR_CRL_HAS_EXPIRED, PKI_REASON_CRL_EXPIRED },
    { X509_V_ERR_CRL_NOT_YET_VALID, PKI_REASON_CRL_INVALID },
    { X509_V_ERR_UNABLE_TO_DECRYPT_CRL_SIGNATURE, PKI_REASON_CRL_INVALID },
    { X509_V_ERR_CRL_SIGNATURE_FAILURE, PKI_REASON_CRL_INVALID },
    { X509_V_ERR_ERROR_IN_CRL_LAST_UPDATE_FIELD, PKI_REASON_CRL_INVALID },
    { X509_V_ERR_ERROR_IN_CRL_NEXT_UPDATE_FIELD, PKI_REASON_CRL_INVALID },
    { X509_V_ERR_UNABLE_TO_GET_CRL_ISSUER, PKI_REASON_CRL_INVALID },
    { X509_V_ERR_KEYUSAGE_NO_CRL_SIGN, PKI_REASON_CRL_INVALID },
    { X509_V_ERR_UNHANDLED_CRITICAL_CRL_EXTENSION, PKI_REASON_CRL_INVALID },
    { X509_V_ERR_CRL_PATH_VALIDATION_ERROR, PKI_REASON_CRL_INVALID },
};

enum pki_reason
pki_path_reason_find(int code, int depth)
{
    if (code == X509_V_OK)
        return PKI_REASON_OK;
    if (code == X509_V_ERR_CERT_HAS_EXPIRED)
        return depth > 0 ? PKI_REASON_ISSUER_EXPIRED : PKI_REASON_CERT_EXPIRED;
    if (code == X509_V_ERR_CERT_NOT_YET_VALID)
        return depth > 0 ? PKI_REASON_ISSUER_EXPIRED : PKI_REASON_CERT_NOT_YET_VALID;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].code == code)
            return rows[i].reason;
    }
    return PKI_REASON_PATH_INVALID;
}

void
pki_path_reason_set(struct pki_answer *out, const struct pki_path_failure *failure)
{
    enum { NAME_SIZE = 120 };
    char name[NAME_SIZE] = "";
    const char *what = X509_verify_cert_error_string(failure->code);
    enum pki_reason reason = pki_path_reason_find(failure->code, failure->depth);

    if (failure->x509) {
        BIO *bio = BIO_new(BIO_s_mem());
        if (bio && X509_NAME_print_ex(bio, X509_get_subject_name(failure->x509), 0,
                                      XN_FLAG_RFC2253) >= 0) {
            int n = BIO_read(bio, name, sizeof name - 1);
            name[n > 0 ? n : 0] = '\0';
        }
        BIO_free(bio);
    }
    if (name[0])
        pki_reason_set(out, reason, "%s: %s (%s)", pki_reason_meaning(reason), what, name);
    else
        pki_reason_set(out, reason, "%s: %s", pki_reason_meaning(reason), what);
}
