#include "pki/ocsp_single.h"

#include <openssl/x509v3.h>

#include "pki/crypto.h"

static bool
refuse(struct pki_answer *answer, const char *text)
{
    pki_reason_set(answer, PKI_REASON_OCSP_INVALID, "%s", text);
    return false;
}

bool
pki_ocsp_time_get(const ASN1_GENERALIZEDTIME *from, time_t *out)
{
    struct tm tm;

    *out = 0;
    if (!from || !ASN1_GENERALIZEDTIME_check(from) || !ASN1_TIME_to_tm(from, &tm))
        return false;
    *out = timegm(&tm);
    return true;
}

/* Is it about our certificate? The CertID may use any digest that we know, so it is made again with
 * the one it names. */
bool
pki_ocsp_single_is(const struct pki_ocsp_args *args, OCSP_SINGLERESP *single)
{
    static const int digests[] = { NID_sha1, NID_sha256, NID_sha384, NID_sha512 };
    X509 *certificate = pki_certificate_get0_x509(args->certificate);
    X509 *issuer = pki_certificate_get0_x509(args->issuer);
    OCSP_CERTID *theirs = (OCSP_CERTID *)OCSP_SINGLERESP_get0_id(single), *ours = NULL;
    ASN1_OBJECT *digest = NULL;
    bool same = false;

    if (!theirs || !OCSP_id_get0_info(NULL, &digest, NULL, NULL, theirs))
        return false;
    for (size_t i = 0; i < sizeof digests / sizeof *digests && !ours; i++) {
        if (OBJ_obj2nid(digest) == digests[i])
            ours = OCSP_cert_to_id(EVP_get_digestbynid(digests[i]), certificate, issuer);
    }
    /* Not OCSP_id_cmp: it compares parameters of the digest too, of which there are two spellings.
     */
    if (ours) {
        ASN1_OCTET_STRING *name[2], *key[2];
        ASN1_INTEGER *serial[2];
        same = OCSP_id_get0_info(&name[0], NULL, &key[0], &serial[0], ours) &&
               OCSP_id_get0_info(&name[1], NULL, &key[1], &serial[1], theirs) &&
               ASN1_OCTET_STRING_cmp(name[0], name[1]) == 0 &&
               ASN1_OCTET_STRING_cmp(key[0], key[1]) == 0 &&
               ASN1_INTEGER_cmp(serial[0], serial[1]) == 0;
    }
    OCSP_CERTID_free(ours);
    return same;
}

/* RFC 6960 4.4: a CRL reference, the archive cutoff, and entry extensions of CRLs. The certificate
 * issuer of indirect CRLs is not among them: it would make this an answer about somebody else. */
static bool
single_extensions_are_known(OCSP_SINGLERESP *single)
{
    static const int known[] = { NID_id_pkix_OCSP_CrlID, NID_id_pkix_OCSP_archiveCutoff,
                                 NID_crl_reason, NID_invalidity_date, NID_hold_instruction_code };

    for (int i = 0; i < OCSP_SINGLERESP_get_ext_count(single); i++) {
        X509_EXTENSION *e = OCSP_SINGLERESP_get_ext(single, i);
        bool found = !X509_EXTENSION_get_critical(e);
        for (size_t k = 0; k < sizeof known / sizeof *known && !found; k++)
            found = OBJ_obj2nid(X509_EXTENSION_get_object(e)) == known[k];
        if (!found)
            return false;
    }
    return true;
}

/* Until when it may be used. */
static time_t
usable_until(const struct pki_ocsp_args *args, time_t this_update, time_t next_update)
{
    time_t open_age = args->open_max_age_s ? args->open_max_age_s : PKI_OCSP_OPEN_AGE_S;
    time_t until = next_update ? next_update : this_update + open_age;

    if (args->max_age_s && this_update + (time_t)args->max_age_s < until)
        until = this_update + (time_t)args->max_age_s;
    return until;
}

/* Final revocations do not run out (header). */
static bool
is_final(const struct pki_ocsp_single *out)
{
    return out->status == PKI_OCSP_REVOKED && out->reason != CRL_REASON_CERTIFICATE_HOLD &&
           out->reason != CRL_REASON_REMOVE_FROM_CRL;
}

bool
pki_ocsp_single_parse(const struct pki_ocsp_single_args *how, OCSP_SINGLERESP *single,
                      struct pki_ocsp_single *out, struct pki_answer *answer)
{
    ASN1_GENERALIZEDTIME *revoked = NULL, *this_update = NULL, *next_update = NULL;
    time_t skew = how->args->skew_s;
    int status;

    *out = (struct pki_ocsp_single){ .reason = -1 };
    status = OCSP_single_get0_status(single, &out->reason, &revoked, &this_update, &next_update);
    if (!single_extensions_are_known(single))
        return refuse(answer, "the OCSP response's entry has an unknown critical extension");
    if (!pki_ocsp_time_get(this_update, &out->this_update) ||
        (next_update && !pki_ocsp_time_get(next_update, &out->next_update)) ||
        (status == V_OCSP_CERTSTATUS_REVOKED && !pki_ocsp_time_get(revoked, &out->revoked_at)))
        return refuse(answer, "a time of the OCSP response is no time");
    if (next_update && out->next_update < out->this_update)
        return refuse(answer, "the OCSP response's nextUpdate is before its thisUpdate");
    /* Nobody knows at producedAt what holds later. */
    if (out->this_update > how->produced_at + skew)
        return refuse(answer, "the OCSP response's thisUpdate is after its producedAt");
    out->usable_until = usable_until(how->args, out->this_update, out->next_update);
    out->status = status == V_OCSP_CERTSTATUS_GOOD      ? PKI_OCSP_GOOD
                  : status == V_OCSP_CERTSTATUS_REVOKED ? PKI_OCSP_REVOKED
                                                        : PKI_OCSP_UNKNOWN;
    if (out->this_update > how->at + skew) {
        out->status = PKI_OCSP_NONE;
        out->problem = PKI_REASON_OCSP_NOT_YET_VALID;
    } else if (how->at > out->usable_until + skew && !is_final(out)) {
        out->status = PKI_OCSP_NONE;
        out->problem = PKI_REASON_OCSP_EXPIRED;
    }
    return true;
}

/* REVOKED, UNKNOWN, GOOD, NONE. */
static unsigned
rank(enum pki_ocsp_status status)
{
    static const unsigned ranks[] = {
        [PKI_OCSP_NONE] = 0, [PKI_OCSP_GOOD] = 1, [PKI_OCSP_UNKNOWN] = 2, [PKI_OCSP_REVOKED] = 3
    };

    return ranks[status];
}

bool
pki_ocsp_single_counts_more(const struct pki_ocsp_single *a, const struct pki_ocsp_single *b)
{
    if (rank(a->status) != rank(b->status))
        return rank(a->status) > rank(b->status);
    return a->this_update > b->this_update;
}
