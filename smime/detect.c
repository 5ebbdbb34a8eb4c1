/*
 * Whether the body of a mail is what its header field claims. The answer opens a door: what is
 * complete here goes out as it is under a rule that says encrypt. Nobody can tell plaintext from
 * ciphertext by looking, but everything that a mail program, a filter or a lazy forger gets wrong
 * shows in the structure, the algorithm or the length.
 */
#include "smime/detect.h"

#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/objects.h>

#include "smime/ber.h"
#include "smime/structure.h"

enum { LIMIT_ALGORITHM = 512 };

struct smime_detect {
    struct smime_structure *structure;
    struct smime_detect_result result;
    bool broken; /* it did not fit; the rest does not matter */
    bool finished;
    int cipher_nid;
};

/* Content encryption that we take for encryption, and what it tells about the length. */
static const struct known {
    int nid;
    unsigned char block; /* CBC: a whole number of these, at least one; 0: any length above 0 */
    bool aead;           /* belongs into AuthEnvelopedData; tolerated outside (RFC 5084 1) */
} known_ciphers[] = {
    { NID_aes_128_cbc, 16, false },      { NID_aes_192_cbc, 16, false },
    { NID_aes_256_cbc, 16, false },      { NID_des_ede3_cbc, 8, false },
    { NID_camellia_128_cbc, 16, false }, { NID_camellia_192_cbc, 16, false },
    { NID_camellia_256_cbc, 16, false }, { NID_aes_128_gcm, 0, true },
    { NID_aes_192_gcm, 0, true },        { NID_aes_256_gcm, 0, true },
    { NID_aes_128_ccm, 0, true },        { NID_aes_192_ccm, 0, true },
    { NID_aes_256_ccm, 0, true },        { NID_undef, 0, false },
};

/* id-alg-AEADChaCha20Poly1305 (RFC 8103) has no NID. */
static const char oid_chacha20_poly1305[] = "1.2.840.113549.1.9.16.3.18";

static bool
is_signature_type(const struct mime_parameters *content_type)
{
    return mime_parameter_is(content_type, "protocol", "application/pkcs7-signature") ||
           mime_parameter_is(content_type, "protocol", "application/x-pkcs7-signature");
}

enum smime_claim
smime_detect_claim(const struct mime_parameters *content_type)
{
    if (content_type == NULL)
        return SMIME_CLAIM_NONE;
    const char *type = mime_parameter_value(content_type);
    if (strcmp(type, "multipart/signed") == 0) {
        if (is_signature_type(content_type))
            return SMIME_CLAIM_CLEAR_SIGNED;
        if (mime_parameter_is(content_type, "protocol", "application/pgp-signature"))
            return SMIME_CLAIM_PGP_SIGNED;
        return SMIME_CLAIM_NONE;
    }
    if (strcmp(type, "multipart/encrypted") == 0 &&
        mime_parameter_is(content_type, "protocol", "application/pgp-encrypted"))
        return SMIME_CLAIM_PGP_ENCRYPTED;
    if (strcmp(type, "application/pkcs7-mime") == 0 ||
        strcmp(type, "application/x-pkcs7-mime") == 0)
        return SMIME_CLAIM_CMS;
    return SMIME_CLAIM_NONE;
}

/* Notes the OID of the content encryption. */
static enum err_code
on_field(void *context, enum smime_field field, struct span element, struct err *err)
{
    struct smime_detect *detect = context;
    struct smime_ber_element algorithm, oid;
    (void)field;
    enum err_code code = smime_ber_get(&element, &algorithm, err);
    struct span inside = algorithm.contents;
    if (code == ERR_OK)
        code = smime_ber_get(&inside, &oid, err);
    if (code != ERR_OK)
        return err_set_reason(err, ERR_PERM, "malformed-cms", "CMS: an unreadable algorithm");
    const unsigned char *p = oid.whole.p;
    ASN1_OBJECT *object = d2i_ASN1_OBJECT(NULL, &p, (long)oid.whole.n);
    if (object == NULL) {
        ERR_clear_error();
        return err_set_reason(err, ERR_PERM, "malformed-cms", "CMS: an unreadable algorithm");
    }
    int n = OBJ_obj2txt(detect->result.cipher, sizeof(detect->result.cipher), object, 1);
    if (n < 0 || n >= (int)sizeof(detect->result.cipher))
        detect->result.cipher[0] = '\0';
    detect->cipher_nid = OBJ_obj2nid(object);
    ASN1_OBJECT_free(object);
    return ERR_OK;
}

enum err_code
smime_detect_new(struct smime_detect **out, struct err *err)
{
    struct smime_detect *detect = calloc(1, sizeof(*detect));
    if (detect == NULL)
        return err_set(err, ERR_NOMEM, "no memory to look at a CMS object");
    const struct smime_structure_args args = {
        .wanted = 1u << SMIME_FIELD_CONTENT_ALGORITHM,
        .field_limit_bytes = LIMIT_ALGORITHM,
        .field = on_field,
        .context = detect,
    };
    enum err_code code = smime_structure_new(&args, &detect->structure, err);
    if (code != ERR_OK) {
        smime_detect_free(&detect);
        return code;
    }
    *out = detect;
    return ERR_OK;
}

void
smime_detect_free(struct smime_detect **detect)
{
    if (detect == NULL || *detect == NULL)
        return;
    smime_structure_free(&(*detect)->structure);
    free(*detect);
    *detect = NULL;
}

/* Octets that do not fit are an answer, not an error of ours. */
static enum err_code
judge(struct smime_detect *detect, enum err_code code, const struct err *why, struct err *err)
{
    const struct smime_structure_result *found = smime_structure_get(detect->structure);
    detect->result.content = found->content;
    detect->result.recipients = found->recipients;
    detect->result.signers = found->signers;
    if (code == ERR_OK)
        return ERR_OK;
    if (code != ERR_PERM && code != ERR_LIMIT)
        return err_set_reason(err, code, why->reason, "%s", why->text);
    detect->broken = true;
    detect->result.why = found->why != NULL ? found->why : "an element cannot be read";
    return ERR_OK;
}

enum err_code
smime_detect_write(struct smime_detect *detect, struct span octets, struct err *err)
{
    if (detect->broken)
        return ERR_OK;
    struct err why = ERR_INIT;
    enum err_code code = smime_structure_write(detect->structure, octets, &why);
    return judge(detect, code, &why, err);
}

/* What the structure cannot say: NULL when all is well. */
static const char *
check_encrypted(const struct smime_detect *detect)
{
    uint64_t bytes = smime_structure_get(detect->structure)->content_bytes;
    if (bytes == 0)
        return "the encrypted content is empty";
    if (strcmp(detect->result.cipher, oid_chacha20_poly1305) == 0)
        return NULL;
    for (const struct known *known = known_ciphers; known->nid != NID_undef; known++) {
        if (known->nid != detect->cipher_nid)
            continue;
        if (known->block != 0 && bytes % known->block != 0)
            return "the encrypted content does not have the length of its cipher's blocks";
        if (!known->aead && detect->result.content == SMIME_CONTENT_AUTHENVELOPED)
            return "AuthEnvelopedData without authenticated encryption";
        return NULL;
    }
    return "content encryption that we do not know or do not trust";
}

enum err_code
smime_detect_finish(struct smime_detect *detect, struct err *err)
{
    if (detect->finished)
        return err_set(err, ERR_BUG, "smime_detect_finish was called twice");
    detect->finished = true;
    if (detect->broken)
        return ERR_OK;
    struct err why = ERR_INIT;
    enum err_code code = smime_structure_finish(detect->structure, &why);
    code = judge(detect, code, &why, err);
    if (code != ERR_OK || detect->broken)
        return code;
    struct smime_detect_result *result = &detect->result;
    if (result->content == SMIME_CONTENT_ENVELOPED ||
        result->content == SMIME_CONTENT_AUTHENVELOPED)
        result->why = check_encrypted(detect);
    else if (result->content == SMIME_CONTENT_SIGNED &&
             !smime_structure_get(detect->structure)->has_content)
        result->why = "a signature without the content it signs";
    result->whole = true;
    result->complete = result->why == NULL;
    return ERR_OK;
}

const struct smime_detect_result *
smime_detect_get(const struct smime_detect *detect)
{
    return &detect->result;
}
