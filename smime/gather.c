#include "smime/gather.h"

#include <openssl/x509.h>

#include "pki/crl.h"
#include "pki/crypto.h"
#include "pki/intern.h"

static const unsigned char oid_data[] = { SMIME_BER_OID, 9,    0x2a, 0x86, 0x48, 0x86,
                                          0xf7,          0x0d, 0x01, 0x07, 0x01 };

static enum err_code
limit(struct smime_gather *gather, const char *reason, struct err *err)
{
    gather->reason = reason;
    return err_set_reason(err, ERR_LIMIT, reason,
                          "CMS: more signers, certificates, CRLs or octets "
                          "than we read in one signature");
}

/* How many of this kind there are by now, against its own limit. */
static bool
is_too_many(const struct smime_gather *gather, enum smime_field field)
{
    const struct smime_structure_result *found = smime_structure_get(gather->structure);
    return (field == SMIME_FIELD_SIGNER && found->signers > SMIME_VERIFY_LIMIT_SIGNERS) ||
           (field == SMIME_FIELD_CERTIFICATE &&
            found->certificates > SMIME_VERIFY_LIMIT_CERTIFICATES) ||
           (field == SMIME_FIELD_CRL && found->crls > SMIME_VERIFY_LIMIT_CRLS);
}

static enum err_code
on_field(void *context, enum smime_field field, struct span element, struct err *err)
{
    struct smime_gather *gather = context;
    if (field == SMIME_FIELD_CONTENT_TYPE) {
        gather->is_data = span_equal(element, span_of(oid_data, sizeof(oid_data)));
        return ERR_OK;
    }
    if (is_too_many(gather, field))
        return limit(gather, field == SMIME_FIELD_SIGNER ? "too-many-signers" : "too-large", err);
    size_t at = gather->bytes.n;
    enum err_code code = buf_append(&gather->bytes, element, err);
    if (code != ERR_OK)
        return code;
    gather->items[gather->count].field = field;
    gather->items[gather->count].at = at;
    gather->items[gather->count].n = element.n;
    gather->count++;
    return ERR_OK;
}

enum err_code
smime_gather_init(struct smime_gather *gather, struct err *err)
{
    *gather = (struct smime_gather){ .bytes = BUF_INIT(SMIME_VERIFY_LIMIT_SIGNATURE) };
    const struct smime_structure_args args = {
        .wanted = 1u << SMIME_FIELD_CONTENT_TYPE | 1u << SMIME_FIELD_CERTIFICATE |
                  1u << SMIME_FIELD_CRL | 1u << SMIME_FIELD_SIGNER,
        .field_limit_bytes = SMIME_VERIFY_LIMIT_SIGNATURE,
        .field = on_field,
        .context = gather,
    };
    return smime_structure_new(&args, &gather->structure, err);
}

void
smime_gather_deinit(struct smime_gather *gather)
{
    smime_structure_free(&gather->structure);
    buf_free(&gather->bytes);
}

static enum err_code
note(struct smime_gather *gather, enum err_code code)
{
    if (gather->reason != NULL)
        return code;
    if (code == ERR_LIMIT)
        gather->reason = "too-large";
    else if (code == ERR_PERM)
        gather->reason = "malformed-cms";
    return code;
}

enum err_code
smime_gather_write(struct smime_gather *gather, struct span piece, struct err *err)
{
    return note(gather, smime_structure_write(gather->structure, piece, err));
}

enum err_code
smime_gather_finish(struct smime_gather *gather, struct err *err)
{
    enum err_code code = note(gather, smime_structure_finish(gather->structure, err));
    if (code != ERR_OK)
        return code;
    enum smime_content content = smime_structure_get(gather->structure)->content;
    if (content == SMIME_CONTENT_SIGNED || content == SMIME_CONTENT_CERTS_ONLY)
        return ERR_OK;
    gather->reason = "not-signed-data";
    return err_set_reason(err, ERR_PERM, gather->reason, "CMS: not a SignedData");
}

const char *
smime_gather_reason(const struct smime_gather *gather)
{
    return gather->reason != NULL ? gather->reason : "ok";
}

static struct span
get_item(const struct smime_gather *gather, size_t index)
{
    return span_of(gather->bytes.p + gather->items[index].at, gather->items[index].n);
}

/* What the pieces of a signature are worth as a structure: NULL, or the reason to refuse it. */
static const char *
judge_shape(const struct smime_gather *gather, bool opaque)
{
    const struct smime_structure_result *found = smime_structure_get(gather->structure);
    if (found->signers == 0)
        return opaque ? "certs-only" : "no-signer";
    if (!gather->is_data)
        return "wrong-content-type";
    if (!opaque && found->has_content)
        return "not-detached";
    if (opaque && !found->has_content)
        return "malformed-cms";
    return NULL;
}

/* A certificate that we cannot read is left out; if it was the signer's, there is no signer. */
static enum err_code
load_certificate(struct smime_verify_result *result, struct span der, struct err *err)
{
    struct pki_certificate *certificate = NULL;
    struct err ignored = ERR_INIT;
    enum err_code code = pki_intern_get(der, &certificate, &ignored);
    if (code == ERR_NOMEM || code == ERR_BUG)
        return err_set(err, code, "%s", ignored.text);
    if (code == ERR_OK)
        code = pki_certificates_add1(&result->certificates, certificate, err);
    else
        code = ERR_OK;
    pki_certificate_free(&certificate);
    return code;
}

/* A CRL that we cannot read is left out: it is a candidate and nothing more. */
static enum err_code
load_crl(struct smime_verify_result *result, struct span der, struct err *err)
{
    X509_CRL *crl = NULL;
    struct err ignored = ERR_INIT;
    enum err_code code = pki_crl_parse(der, &crl, &ignored);
    if (code == ERR_NOMEM || code == ERR_BUG)
        return err_set(err, code, "%s", ignored.text);
    if (code != ERR_OK)
        return ERR_OK;
    if (result->crls == NULL)
        result->crls = sk_X509_CRL_new_null();
    if (result->crls == NULL || !sk_X509_CRL_push(result->crls, crl)) {
        X509_CRL_free(crl);
        return err_set(err, ERR_NOMEM, "no memory for a CRL");
    }
    return ERR_OK;
}

static enum err_code
load_items(const struct smime_gather *gather, struct smime_verify_result *result, struct err *err)
{
    enum err_code code = ERR_OK;
    result->certificates.limit = SMIME_VERIFY_LIMIT_CERTIFICATES;
    for (size_t i = 0; i < gather->count && code == ERR_OK; i++) {
        if (gather->items[i].field == SMIME_FIELD_CERTIFICATE)
            code = load_certificate(result, get_item(gather, i), err);
        else if (gather->items[i].field == SMIME_FIELD_CRL)
            code = load_crl(result, get_item(gather, i), err);
    }
    return code;
}

/* Reads the SignerInfos. *broken is set when one cannot be read: then nothing is believed. */
static size_t
parse_signers(const struct smime_gather *gather, struct smime_signer_info *infos, bool *broken)
{
    size_t count = 0;
    *broken = false;
    for (size_t i = 0; i < gather->count; i++) {
        struct err ignored = ERR_INIT;
        if (gather->items[i].field != SMIME_FIELD_SIGNER)
            continue;
        if (smime_signer_parse(get_item(gather, i), &infos[count], &ignored) != ERR_OK)
            *broken = true;
        count++;
    }
    return count;
}

enum err_code
smime_gather_load(const struct smime_gather *gather, bool opaque, struct smime_signer_info *infos,
                  size_t *count, struct smime_verify_result *result, struct err *err)
{
    bool broken = false;
    *count = parse_signers(gather, infos, &broken);
    result->reason = "malformed-cms";
    if (broken)
        return ERR_OK;
    result->parsed = true;
    enum err_code code = load_items(gather, result, err);
    if (code != ERR_OK)
        return code;
    const char *reason = judge_shape(gather, opaque);
    result->reason = reason != NULL ? reason : "ok";
    return ERR_OK;
}
