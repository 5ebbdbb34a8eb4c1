#include "flow/structure.h"

#include "flow/coding.h"
#include "flow/pgp.h"
#include "mime/split.h"
#include "smime/structure.h"

/* Whatever is wrong with the message is an answer; only memory and disk are errors of ours. */
static bool
structure_is_answer(enum err_code code)
{
    return code == ERR_PERM || code == ERR_LIMIT || code == ERR_NOTFOUND;
}

enum err_code
flow_structure_claim(const struct mime_header *header, enum smime_claim *claim, struct err *err)
{
    struct mime_parameters *type = NULL;
    const char *doubt = NULL;
    enum err_code code = flow_coding_parse_field(header, "Content-Type", &type, &doubt, err);

    *claim = SMIME_CLAIM_NONE;
    if (code == ERR_OK && type && !doubt)
        *claim = smime_detect_claim(type);
    mime_parameter_free(&type);
    return code;
}

/* ---- application/pkcs7-mime --------------------------------------------------------------------
 */

static enum err_code
structure_detect_piece(void *context, struct span piece, struct err *err)
{
    return smime_detect_write(context, piece, err);
}

static void
structure_judge(const struct smime_detect_result *found, struct flow_structure *out)
{
    if (!found->complete)
        out->why = found->why ? found->why : "the CMS object is not complete";
    else if ((found->content == SMIME_CONTENT_ENVELOPED ||
              found->content == SMIME_CONTENT_AUTHENVELOPED) &&
             found->recipients > 0)
        out->encrypted_already = true;
    else if (found->content == SMIME_CONTENT_SIGNED && found->signers > 0)
        out->signed_already = true;
    else
        out->why = "the CMS object is neither signed nor enveloped";
}

static enum err_code
structure_load_cms(const struct mime_header *header, const struct spool *spool,
                   struct flow_structure *out, struct err *err)
{
    struct smime_detect *detect = NULL;
    struct stage *sink = NULL, *stage = NULL;
    enum flow_coding coding;
    uint64_t irregular = 0;
    enum err_code code = flow_coding_find(header, &coding, &out->why, err);

    if (code != ERR_OK || out->why)
        return code;
    code = smime_detect_new(&detect, err);
    if (code == ERR_OK)
        code = stage_sink_new(structure_detect_piece, detect, &sink, err);
    if (code == ERR_OK)
        code = flow_coding_decoder_new(coding, &irregular, sink, &stage, err);
    if (code == ERR_OK)
        code = spool_copy(spool, stage, err);
    if (code == ERR_OK)
        code = stage_finish(stage, err);
    if (code == ERR_OK)
        code = smime_detect_finish(detect, err);
    if (code == ERR_OK && irregular > 0)
        out->why = "there is something beside the encoded object";
    else if (code == ERR_OK)
        structure_judge(smime_detect_get(detect), out);
    stage_free(&stage);
    smime_detect_free(&detect);
    return code;
}

/* ---- multipart/signed --------------------------------------------------------------------------
 */

static enum err_code
structure_discard(void *context, struct span piece, struct err *err)
{
    (void)context;
    (void)piece;
    (void)err;
    return ERR_OK;
}

static enum err_code
structure_split_piece(void *context, struct span piece, struct err *err)
{
    return mime_split_write(context, piece, err);
}

/* SignedData without content and with a signer, and nothing else? */
static enum err_code
structure_load_detached(enum flow_coding coding, struct span body, bool *detached, struct err *err)
{
    struct smime_structure_args args = { 0 };
    struct smime_structure *structure = NULL;
    const struct smime_structure_result *found;
    struct buf der = BUF_INIT(FLOW_CODING_LIMIT_SIGNATURE);
    struct stage *sink = NULL, *stage = NULL;
    uint64_t irregular = 0;
    enum err_code code = stage_buf_new(&der, &sink, err);

    if (code == ERR_OK)
        code = flow_coding_decoder_new(coding, &irregular, sink, &stage, err);
    if (code == ERR_OK)
        code = stage_write(stage, body, err);
    if (code == ERR_OK)
        code = stage_finish(stage, err);
    if (code == ERR_OK)
        code = smime_structure_new(&args, &structure, err);
    if (code == ERR_OK)
        code = smime_structure_write(structure, buf_span(&der), err);
    if (code == ERR_OK)
        code = smime_structure_finish(structure, err);
    if (code == ERR_OK) {
        found = smime_structure_get(structure);
        *detached = found->complete && found->content == SMIME_CONTENT_SIGNED &&
                    !found->has_content && found->signers > 0 && irregular == 0;
    }
    smime_structure_free(&structure);
    stage_free(&stage);
    buf_free(&der);
    return code;
}

/* Part two: is it the signature that the root announced? */
static enum err_code
structure_load_signature(const struct mime_split_result *split, bool *is_signature, struct err *err)
{
    enum flow_coding coding = FLOW_CODING_UNKNOWN;
    const char *doubt = NULL;
    bool is_named = false;
    enum err_code code =
        flow_coding_find_signature(split->signature_header, &is_named, &coding, &doubt, err);

    if (code == ERR_OK && !doubt && is_named)
        code = structure_load_detached(coding, split->signature_body, is_signature, err);
    return code;
}

static enum err_code
structure_load_multipart(struct span boundary, const struct spool *spool,
                         struct flow_structure *out, struct err *err)
{
    struct mime_split_args args = { .boundary = boundary,
                                    .signature_limit_bytes = FLOW_CODING_LIMIT_SIGNATURE };
    const struct mime_split_result *result;
    struct mime_split *split = NULL;
    struct stage *feed = NULL;
    struct err found = ERR_INIT;
    enum err_code code;

    code = stage_sink_new(structure_discard, NULL, &args.content, &found);
    if (code == ERR_OK)
        code = mime_split_new(&args, &split, &found);
    if (code == ERR_OK)
        code = stage_sink_new(structure_split_piece, split, &feed, &found);
    if (code == ERR_OK)
        code = spool_copy(spool, feed, &found);
    if (code == ERR_OK)
        code = mime_split_finish(split, &found);
    if (code == ERR_OK) {
        result = mime_split_get(split);
        if (result->parts == 2 && result->closed && !result->ambiguous && !result->epilogue)
            code = structure_load_signature(result, &out->signed_already, &found);
        if (!out->signed_already)
            out->why = result->why ? result->why : "multipart/signed without a signature";
    }
    if (structure_is_answer(code)) {
        code = ERR_OK;
        out->signed_already = false;
        out->why = "multipart/signed that cannot be read";
    }
    stage_free(&feed);
    mime_split_free(&split);
    stage_free(&args.content);
    return code == ERR_OK ? ERR_OK : err_set(err, code, "%s", found.text);
}

/* ---- all of it ---------------------------------------------------------------------------------
 */

enum err_code
flow_structure_load(const struct mime_header *header, const struct spool *spool,
                    struct flow_structure *out, struct err *err)
{
    struct mime_parameters *type = NULL;
    enum flow_coding coding;
    struct span boundary;
    enum err_code code;

    *out = (struct flow_structure){ .claim = SMIME_CLAIM_NONE };
    code = flow_coding_parse_field(header, "Content-Type", &type, &out->why, err);
    if (code != ERR_OK || !type || out->why) {
        mime_parameter_free(&type);
        return code;
    }
    out->claim = smime_detect_claim(type);
    boundary = mime_parameter_find(type, "boundary");
    switch (out->claim) {
    case SMIME_CLAIM_CMS:
        code = structure_load_cms(header, spool, out, err);
        break;
    case SMIME_CLAIM_CLEAR_SIGNED:
        code = flow_coding_find(header, &coding, &out->why, err);
        if (code == ERR_OK && coding != FLOW_CODING_IDENTITY)
            out->why = "an encoded multipart (RFC 2045 6.4)";
        if (code == ERR_OK && !out->why)
            code = structure_load_multipart(boundary, spool, out, err);
        break;
    case SMIME_CLAIM_PGP_ENCRYPTED:
        code = flow_pgp_check(boundary, spool, &out->pgp_encrypted, err);
        if (code == ERR_OK && !out->pgp_encrypted)
            out->why = "there is something beside the PGP message, or it is none";
        break;
    case SMIME_CLAIM_NONE:
    case SMIME_CLAIM_PGP_SIGNED:
        break;
    }
    mime_parameter_free(&type);
    return code;
}
