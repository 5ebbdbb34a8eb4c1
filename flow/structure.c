#include "flow/structure.h"

#include <string.h>

#include "flow/pgp.h"
#include "mime/base64.h"
#include "mime/qp.h"
#include "mime/split.h"

enum { STRUCTURE_LIMIT_SIGNATURE = 2 * 1024 * 1024 };

/* Flags of a field that two readers may understand differently: then it claims nothing. */
enum {
    STRUCTURE_DOUBTFUL = MIME_PARAMETER_DUPLICATE | MIME_PARAMETER_SYNTAX | MIME_PARAMETER_COMMENT |
                         MIME_PARAMETER_EIGHTBIT
};

enum structure_coding { CODING_IDENTITY, CODING_BASE64, CODING_QP, CODING_UNKNOWN };

/* ---- the fields --------------------------------------------------------------------------------
 */

/* Parses the one field of that name; *out NULL: it is not there, or it is doubtful (`why`). */
static enum err_code
structure_parse_field(const struct mime_header *header, const char *name,
                      struct mime_parameters **out, const char **why, struct err *err)
{
    struct mime_header_field field;
    enum err_code code;

    *out = NULL;
    if (mime_header_find_count(header, name) > 1) {
        *why = "a Content field comes twice";
        return ERR_OK;
    }
    if (!mime_header_find(header, name, 0, &field))
        return ERR_OK;
    code = mime_parameter_parse(field.value, out, err);
    if (code == ERR_LIMIT) {
        err_reset(err);
        *why = "a Content field is beyond every bound";
        return ERR_OK;
    }
    if (code != ERR_OK)
        return code;
    if (mime_parameter_flags(*out) & STRUCTURE_DOUBTFUL) {
        *why = "readers understand a Content field differently";
        mime_parameter_free(out);
    }
    return ERR_OK;
}

static enum err_code
structure_find_coding(const struct mime_header *header, enum structure_coding *coding,
                      const char **why, struct err *err)
{
    struct mime_parameters *encoding = NULL;
    const char *value;
    enum err_code code;

    *coding = CODING_IDENTITY;
    code = structure_parse_field(header, "Content-Transfer-Encoding", &encoding, why, err);
    if (code != ERR_OK || (!encoding && !*why))
        return code;
    value = encoding ? mime_parameter_value(encoding) : "?";
    if (strcmp(value, "base64") == 0)
        *coding = CODING_BASE64;
    else if (strcmp(value, "quoted-printable") == 0)
        *coding = CODING_QP;
    else if (strcmp(value, "7bit") != 0 && strcmp(value, "8bit") != 0 &&
             strcmp(value, "binary") != 0)
        *coding = CODING_UNKNOWN;
    mime_parameter_free(&encoding);
    return ERR_OK;
}

enum err_code
flow_structure_claim(const struct mime_header *header, enum smime_claim *claim, struct err *err)
{
    struct mime_parameters *type = NULL;
    const char *why = NULL;
    enum err_code code = structure_parse_field(header, "Content-Type", &type, &why, err);

    *claim = SMIME_CLAIM_NONE;
    if (code == ERR_OK && type)
        *claim = smime_detect_claim(type);
    mime_parameter_free(&type);
    return code;
}

/* ---- the CMS object ----------------------------------------------------------------------------
 */

struct structure_detector {
    struct smime_detect *detect;
    bool broken; /* the object is refused: what follows does not matter */
};

/* Whatever is wrong with the object is an answer; only memory and disk are errors of ours. */
static bool
structure_is_answer(enum err_code code)
{
    return code == ERR_PERM || code == ERR_LIMIT || code == ERR_NOTFOUND;
}

static enum err_code
structure_detect_piece(void *context, struct span piece, struct err *err)
{
    struct structure_detector *detector = context;
    struct err found = ERR_INIT;
    enum err_code code;

    if (detector->broken)
        return ERR_OK;
    code = smime_detect_write(detector->detect, piece, &found);
    if (code == ERR_OK)
        return ERR_OK;
    detector->broken = true;
    return structure_is_answer(code) ? ERR_OK : err_set(err, code, "%s", found.text);
}

static enum err_code
structure_decoder_new(enum structure_coding coding, struct structure_detector *detector,
                      uint64_t *irregular, struct stage **out, struct err *err)
{
    struct stage *sink = NULL;
    enum err_code code = stage_sink_new(structure_detect_piece, detector, &sink, err);

    *out = NULL;
    if (code == ERR_OK && coding == CODING_BASE64)
        code = mime_base64_decode_new(irregular, sink, out, err);
    else if (code == ERR_OK && coding == CODING_QP)
        code = mime_qp_decode_new(irregular, sink, out, err);
    else if (code == ERR_OK)
        *out = sink;
    if (code != ERR_OK)
        stage_free(&sink);
    return code;
}

/* Decodes the octets (out of the spool, or out of `body` when spool is NULL) and looks what they
 * are. *found is SMIME_CONTENT_UNKNOWN unless the object is whole and nothing stands beside it. */
static enum err_code
structure_detect(enum structure_coding coding, const struct spool *spool, struct span body,
                 struct smime_detect_result *found, struct err *err)
{
    struct structure_detector detector = { 0 };
    struct err ignored = ERR_INIT;
    struct stage *stage = NULL;
    uint64_t irregular = 0;
    enum err_code code;

    *found = (struct smime_detect_result){ .why = "not a CMS object" };
    if (coding == CODING_UNKNOWN)
        return ERR_OK;
    code = smime_detect_new(&detector.detect, err);
    if (code == ERR_OK)
        code = structure_decoder_new(coding, &detector, &irregular, &stage, err);
    if (code == ERR_OK)
        code = spool ? spool_copy(spool, stage, err) : stage_write(stage, body, err);
    if (code == ERR_OK)
        code = stage_finish(stage, err);
    if (code == ERR_OK && !detector.broken)
        detector.broken = smime_detect_finish(detector.detect, &ignored) != ERR_OK;
    if (code == ERR_OK && irregular > 0)
        found->why = "there is something beside the encoded object";
    else if (code == ERR_OK && !detector.broken && smime_detect_get(detector.detect)->complete)
        *found = *smime_detect_get(detector.detect);
    stage_free(&stage);
    smime_detect_free(&detector.detect);
    return code;
}

static enum err_code
structure_load_cms(const struct mime_header *header, const struct spool *spool,
                   struct flow_structure *out, struct err *err)
{
    struct smime_detect_result found;
    enum structure_coding coding;
    enum err_code code = structure_find_coding(header, &coding, &out->why, err);

    if (code != ERR_OK || out->why)
        return code;
    code = structure_detect(coding, spool, span_of(NULL, 0), &found, err);
    if (code != ERR_OK)
        return code;
    if (!found.complete)
        out->why = found.why ? found.why : "the CMS object is not complete";
    else if ((found.content == SMIME_CONTENT_ENVELOPED ||
              found.content == SMIME_CONTENT_AUTHENVELOPED) &&
             found.recipients > 0)
        out->encrypted_already = true;
    else if (found.content == SMIME_CONTENT_SIGNED && found.signers > 0)
        out->signed_already = true;
    else
        out->why = "the CMS object is neither signed nor enveloped";
    return ERR_OK;
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

/* Gives the spool to the splitter in pieces. */
static enum err_code
structure_split_piece(void *context, struct span piece, struct err *err)
{
    return mime_split_write(context, piece, err);
}

/* Part two: is it the signature that the root announced? */
static enum err_code
structure_load_signature(const struct mime_split_result *split, struct flow_structure *out,
                         struct err *err)
{
    struct mime_header *header = NULL;
    struct mime_parameters *type = NULL;
    struct smime_detect_result found = { 0 };
    enum structure_coding coding = CODING_UNKNOWN;
    enum err_code code;
    bool announced = false;

    code = mime_header_new(STRUCTURE_LIMIT_SIGNATURE, MIME_HEADER_LIMIT_FIELDS, &header, err);
    if (code == ERR_OK)
        code = mime_header_parse(header, split->signature_header, err);
    if (code == ERR_OK)
        code = structure_parse_field(header, "Content-Type", &type, &out->why, err);
    if (code == ERR_OK && type) {
        const char *value = mime_parameter_value(type);

        announced = strcmp(value, "application/pkcs7-signature") == 0 ||
                    strcmp(value, "application/x-pkcs7-signature") == 0;
    }
    if (code == ERR_OK && announced)
        code = structure_find_coding(header, &coding, &out->why, err);
    if (code == ERR_OK && announced && !out->why)
        code = structure_detect(coding, NULL, split->signature_body, &found, err);
    if (code == ERR_OK)
        out->signed_already =
            found.complete && found.content == SMIME_CONTENT_SIGNED && found.signers > 0;
    if (structure_is_answer(code)) {
        err_reset(err);
        code = ERR_OK;
    }
    mime_parameter_free(&type);
    mime_header_free(&header);
    return code;
}

static enum err_code
structure_load_multipart(struct span boundary, const struct spool *spool,
                         struct flow_structure *out, struct err *err)
{
    struct mime_split_args args = { .boundary = boundary,
                                    .signature_limit_bytes = STRUCTURE_LIMIT_SIGNATURE };
    const struct mime_split_result *result;
    struct mime_split *split = NULL;
    struct stage *feed = NULL;
    enum err_code code;

    code = stage_sink_new(structure_discard, NULL, &args.content, err);
    if (code == ERR_OK)
        code = mime_split_new(&args, &split, err);
    if (code == ERR_OK)
        code = stage_sink_new(structure_split_piece, split, &feed, err);
    if (code == ERR_OK)
        code = spool_copy(spool, feed, err);
    if (code == ERR_OK)
        code = mime_split_finish(split, err);
    if (code == ERR_OK) {
        result = mime_split_get(split);
        if (result->parts == 2 && result->closed && !result->ambiguous && !result->preamble &&
            !result->epilogue)
            code = structure_load_signature(result, out, err);
        if (code == ERR_OK && !out->signed_already && !out->why)
            out->why = result->why ? result->why : "multipart/signed without a signature";
    } else if (structure_is_answer(code)) {
        err_reset(err);
        code = ERR_OK;
        out->why = "multipart/signed that cannot be split";
    }
    stage_free(&feed);
    mime_split_free(&split);
    stage_free(&args.content);
    return code;
}

/* ---- all of it ---------------------------------------------------------------------------------
 */

enum err_code
flow_structure_load(const struct mime_header *header, const struct spool *spool,
                    struct flow_structure *out, struct err *err)
{
    struct mime_parameters *type = NULL;
    struct span boundary;
    enum err_code code;

    *out = (struct flow_structure){ .claim = SMIME_CLAIM_NONE };
    code = structure_parse_field(header, "Content-Type", &type, &out->why, err);
    if (code != ERR_OK || !type)
        return code;
    out->claim = smime_detect_claim(type);
    boundary = mime_parameter_find(type, "boundary");
    switch (out->claim) {
    case SMIME_CLAIM_CMS:
        code = structure_load_cms(header, spool, out, err);
        break;
    case SMIME_CLAIM_CLEAR_SIGNED:
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
