#include "smime/gather.h"

#include <string.h>

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

struct span
smime_gather_get(const struct smime_gather *gather, size_t index)
{
    return span_of(gather->bytes.p + gather->items[index].at, gather->items[index].n);
}
