/*
 * The order is the defence: walk and count the whole structure, refuse by shape, hash, decode
 * certificates, and only then look at signatures.
 */
#include "smime/verify.h"

#include <stdlib.h>

#include <openssl/objects.h>

#include "pki/crypto.h"
#include "pki/inheritance.h"
#include "smime/gather.h"
#include "smime/hash.h"
#include "smime/signer.h"

enum { PIECE_BYTES = 64 * 1024 };

struct smime_verify {
    struct smime_verify_args args;
    struct smime_hash hash;
    bool announced; /* micalg named digests, and they alone run */
};

/* Refuses the object, which is an answer and no error of ours. */
static enum err_code
refuse(struct smime_verify_result *result, const char *reason)
{
    result->reason = reason;
    return ERR_OK;
}

/* The digest was not run because micalg announced another one: neither forged nor unsupported. */
static bool
is_mismatch(const struct smime_signer_info *info, const struct smime_hash *hash)
{
    return smime_hash_get(hash, info->digest_nid).p == NULL &&
           EVP_get_digestbynid(info->digest_nid) != NULL;
}

static enum err_code
check_signers(const struct smime_signer_info *infos, size_t count, const struct smime_hash *hash,
              const struct pki_certificates *extra, struct smime_verify_result *result,
              struct err *err)
{
    const struct pki_certificates *const more[] = { extra, NULL };
    /* A signer's DSA key may have the parameters of his issuer. */
    enum err_code code = pki_inheritance_set(&result->certificates, more, err);
    for (size_t i = 0; i < count && code == ERR_OK; i++) {
        struct smime_signer *signer = &result->signers[i];
        code = smime_signer_check(&infos[i], hash, &result->certificates, extra, signer, err);
        result->count = i + 1;
    }
    return code;
}

/* ---- clear-signed ---- */

enum err_code
smime_verify_new(const struct smime_verify_args *args, struct smime_verify **out, struct err *err)
{
    pki_crypto_reset();
    struct smime_verify *verify = calloc(1, sizeof(*verify));
    if (verify == NULL)
        return err_set(err, ERR_NOMEM, "no memory to verify");
    smime_hash_init(&verify->hash);
    enum err_code code = smime_hash_parse(&verify->hash, args->micalg, &verify->announced, err);
    verify->args = *args;
    verify->args.micalg = span_of(NULL, 0); /* not ours beyond this call */
    if (code == ERR_OK)
        *out = verify;
    else
        smime_verify_free(&verify);
    return code;
}

void
smime_verify_free(struct smime_verify **verify)
{
    if (verify == NULL || *verify == NULL)
        return;
    smime_hash_deinit(&(*verify)->hash);
    free(*verify);
    *verify = NULL;
}

enum err_code
smime_verify_write(struct smime_verify *verify, struct span content, struct err *err)
{
    return smime_hash_write(&verify->hash, content, err);
}

/* Turns what is wrong with the object into an answer; keeps what is wrong with us an error. */
static enum err_code
answer(const struct smime_gather *gather, enum err_code code, const struct err *why,
       struct smime_verify_result *result, struct err *err)
{
    if (code == ERR_PERM || code == ERR_LIMIT)
        return refuse(result, smime_gather_reason(gather));
    return err_set_reason(err, code, why->reason, "%s", why->text);
}

static enum err_code
finish_clear(struct smime_verify *verify, struct smime_gather *gather, struct span signature,
             struct smime_verify_result *result, struct err *err)
{
    struct smime_signer_info infos[SMIME_VERIFY_LIMIT_SIGNERS];
    struct err why = ERR_INIT;
    size_t count = 0;
    if (signature.n > SMIME_VERIFY_LIMIT_SIGNATURE)
        return refuse(result, "too-large");
    enum err_code code = smime_gather_write(gather, signature, &why);
    if (code == ERR_OK)
        code = smime_gather_finish(gather, &why);
    if (code != ERR_OK)
        return answer(gather, code, &why, result, err);
    code = smime_gather_load(gather, false, infos, &count, result, err);
    if (code != ERR_OK || strcmp(result->reason, "ok") != 0)
        return code;
    code = check_signers(infos, count, &verify->hash, verify->args.extra, result, err);
    for (size_t i = 0; i < count && verify->announced && code == ERR_OK; i++) {
        if (is_mismatch(&infos[i], &verify->hash)) {
            result->micalg_mismatch = true;
            result->signers[i].reason = "micalg-mismatch";
        }
    }
    return code;
}

enum err_code
smime_verify_finish(struct smime_verify *verify, struct span signature,
                    struct smime_verify_result *result, struct err *err)
{
    struct smime_gather gather;
    *result = (struct smime_verify_result){ .reason = "malformed-cms" };
    pki_crypto_reset();
    enum err_code code = smime_hash_finish(&verify->hash, err);
    if (code != ERR_OK)
        return code;
    code = smime_gather_init(&gather, err);
    if (code == ERR_OK)
        code = finish_clear(verify, &gather, signature, result, err);
    smime_gather_deinit(&gather);
    pki_crypto_reset();
    return code;
}

struct verify_stage {
    struct stage stage;
    struct smime_verify *verify;
};

static enum err_code
stage_on_write(struct stage *stage, struct span piece, struct err *err)
{
    return smime_verify_write(((struct verify_stage *)stage)->verify, piece, err);
}

static enum err_code
stage_on_finish(struct stage *stage, struct err *err)
{
    (void)stage;
    (void)err;
    return ERR_OK;
}

static void
stage_on_free(struct stage *stage)
{
    free(stage);
}

static const struct stage_ops stage_ops = {
    .name = "verify", .write = stage_on_write, .finish = stage_on_finish, .free = stage_on_free
};

enum err_code
smime_verify_stage_new(struct smime_verify *verify, struct stage **out, struct err *err)
{
    struct verify_stage *stage = calloc(1, sizeof(*stage));
    if (stage == NULL)
        return err_set(err, ERR_NOMEM, "no memory to verify");
    stage_init(&stage->stage, &stage_ops, NULL);
    stage->verify = verify;
    *out = &stage->stage;
    return ERR_OK;
}

/* ---- opaque ---- */

typedef enum err_code write_fn(void *context, struct span piece, struct err *err);

static enum err_code
copy(const struct spool *spool, write_fn *write, void *context, struct err *err)
{
    unsigned char *piece = malloc(PIECE_BYTES);
    uint64_t at = 0;
    size_t got = 1;
    enum err_code code =
        piece != NULL ? ERR_OK : err_set(err, ERR_NOMEM, "no memory to read a CMS object");
    while (code == ERR_OK && got > 0) {
        code = spool_read(spool, at, piece, PIECE_BYTES, &got, err);
        if (code == ERR_OK && got > 0)
            code = write(context, span_of(piece, got), err);
        at += got;
    }
    if (piece != NULL)
        OPENSSL_cleanse(piece, PIECE_BYTES);
    free(piece);
    return code;
}

static enum err_code
write_gather(void *context, struct span piece, struct err *err)
{
    return smime_gather_write(context, piece, err);
}

/* The second reading: content to the digests and to the caller. */
struct content {
    struct smime_hash hash;
    struct stage *stage; /* may be NULL */
    struct smime_structure *structure;
};

static enum err_code
on_content(void *context, struct span piece, struct err *err)
{
    struct content *content = context;
    enum err_code code = smime_hash_write(&content->hash, piece, err);
    if (code == ERR_OK && content->stage != NULL)
        code = stage_write(content->stage, piece, err);
    return code;
}

static enum err_code
write_content(void *context, struct span piece, struct err *err)
{
    return smime_structure_write(((struct content *)context)->structure, piece, err);
}

static enum err_code
load_content(const struct smime_verify_opaque_args *args, struct content *content,
             const struct smime_signer_info *infos, size_t count, struct err *err)
{
    enum err_code code = ERR_OK;
    for (size_t i = 0; i < count; i++) {
        struct err why = ERR_INIT;
        code = smime_hash_new(&content->hash, infos[i].digest_nid, &why);
        /* A digest that is not there, or one too many: unsupported, said where it is missed. */
        if (code != ERR_OK && code != ERR_NOTFOUND && code != ERR_LIMIT)
            return err_set(err, code, "%s", why.text);
    }
    const struct smime_structure_args reading = { .content = on_content, .context = content };
    code = smime_structure_new(&reading, &content->structure, err);
    if (code == ERR_OK)
        code = copy(args->spool, write_content, content, err);
    if (code == ERR_OK)
        code = smime_hash_finish(&content->hash, err);
    return code;
}

static enum err_code
verify_opaque(const struct smime_verify_opaque_args *args, struct smime_gather *gather,
              struct content *content, struct smime_verify_result *result, struct err *err)
{
    struct smime_signer_info infos[SMIME_VERIFY_LIMIT_SIGNERS];
    struct err why = ERR_INIT;
    size_t count = 0;
    enum err_code code = copy(args->spool, write_gather, gather, &why);
    if (code == ERR_OK)
        code = smime_gather_finish(gather, &why);
    if (code != ERR_OK)
        return answer(gather, code, &why, result, err);
    code = smime_gather_load(gather, true, infos, &count, result, err);
    if (code != ERR_OK || strcmp(result->reason, "ok") != 0)
        return code;
    code = load_content(args, content, infos, count, err);
    if (code != ERR_OK)
        return code;
    return check_signers(infos, count, &content->hash, args->extra, result, err);
}

enum err_code
smime_verify_opaque(const struct smime_verify_opaque_args *args, struct smime_verify_result *result,
                    struct err *err)
{
    struct smime_gather gather;
    struct content content = { .stage = args->content };
    *result = (struct smime_verify_result){ .reason = "malformed-cms" };
    pki_crypto_reset();
    if (spool_size(args->spool) > args->limit_bytes) {
        result->reason = "too-large";
        return err_set_reason(err, ERR_LIMIT, result->reason,
                              "an opaque-signed object of more than %zu octets", args->limit_bytes);
    }
    smime_hash_init(&content.hash);
    enum err_code code = smime_gather_init(&gather, err);
    if (code == ERR_OK)
        code = verify_opaque(args, &gather, &content, result, err);
    smime_structure_free(&content.structure);
    smime_hash_deinit(&content.hash);
    smime_gather_deinit(&gather);
    pki_crypto_reset();
    return code;
}

void
smime_verify_result_free(struct smime_verify_result *result)
{
    if (result == NULL)
        return;
    for (size_t i = 0; i < result->count; i++) {
        pki_certificate_free(&result->signers[i].certificate);
        pki_certificate_free(&result->signers[i].encryption);
        buf_free(&result->signers[i].capabilities);
    }
    pki_certificates_free(&result->certificates);
    sk_X509_CRL_pop_free(result->crls, X509_CRL_free);
    *result = (struct smime_verify_result){ .reason = "malformed-cms" };
}
