#include "flow/verification_state.h"

#include <stdlib.h>

#include "flow/coding.h"
#include "flow/decryption.h"
#include "flow/layer.h"
#include "flow/signer.h"
#include "mime/split.h"

enum {
    VERIFICATION_SPOOL_MEMORY = 256 * 1024,
    VERIFICATION_LIMIT_OPAQUE = 64 * 1024 * 1024,
    VERIFICATION_RSA_BITS = 2048
};

void
flow_verification_args_init(struct flow_verification_args *args, const char *spool_folder)
{
    *args = (struct flow_verification_args){
        .revocation = { .mode = PKI_REVOCATION_REQUIRE },
        .leaf_policy = { .fold_local = true, .rsa_bits_min = VERIFICATION_RSA_BITS },
        .spool_folder = spool_folder,
        .spool_memory_bytes = VERIFICATION_SPOOL_MEMORY,
        .limit_opaque_bytes = VERIFICATION_LIMIT_OPAQUE,
        .depth = 1,
    };
}

/* ---- what is wrong with the message ------------------------------------------------------------
 */

/* It cannot be verified at all: permerror. The first reason counts. */
static void
verification_break(struct flow_verification *verification, const char *reason)
{
    if (verification->broken)
        return;
    verification->broken = true;
    verification->result.structure_ok = false;
    verification->result.structure_reason = reason;
}

/* It can be verified, but readers may see something else: neutral at best. */
void
flow_verification_doubt(struct flow_verification *verification, const char *reason)
{
    if (!verification->result.structure_ambiguous && !verification->broken)
        verification->result.structure_reason = reason;
    verification->result.structure_ambiguous = true;
}

/* An error of the message becomes part of the result, one of ours is returned. */
static enum err_code
verification_sort(struct flow_verification *verification, enum err_code code,
                  const struct err *found, const char *reason, struct err *err)
{
    if (code == ERR_OK)
        return ERR_OK;
    if (code == ERR_PERM || code == ERR_LIMIT || code == ERR_NOTFOUND) {
        verification_break(verification, code == ERR_LIMIT ? "too-large" : reason);
        return ERR_OK;
    }
    return err_set(err, code, "%s", found->text);
}

/* ---- the start ---------------------------------------------------------------------------------
 */

/* What is signed: hashed, and looked into. */
static enum err_code
verification_take_content(void *context, struct span piece, struct err *err)
{
    struct flow_verification *verification = context;
    enum err_code code =
        verification->verify ? smime_verify_write(verification->verify, piece, err) : ERR_OK;

    if (code == ERR_OK && verification->args.content)
        code = stage_write(verification->args.content, piece, err);
    return code == ERR_OK ? flow_layer_write(verification->layer, piece, err) : code;
}

static enum err_code
verification_start_layer(struct flow_verification *verification, struct err *err)
{
    enum err_code code =
        flow_layer_new(&verification->args, &verification->result.from, &verification->layer, err);

    return code == ERR_OK ? stage_sink_new(verification_take_content, verification,
                                           &verification->content, err)
                          : code;
}

static enum err_code
verification_start_clear(struct flow_verification *verification, const struct mime_parameters *type,
                         enum flow_coding coding, struct err *err)
{
    struct mime_split_args split = { .boundary = mime_parameter_find(type, "boundary"),
                                     .signature_limit_bytes = FLOW_CODING_LIMIT_SIGNATURE };
    struct smime_verify_args verify = { .micalg = mime_parameter_find(type, "micalg"),
                                        .extra = verification->args.untrusted };
    struct err found = ERR_INIT;
    enum err_code code;

    if (!split.boundary.p) {
        verification_break(verification, "no-boundary");
        return ERR_OK;
    }
    /* RFC 2045 6.4: a multipart is never encoded; who decodes it sees other parts. */
    if (coding != FLOW_CODING_IDENTITY)
        flow_verification_doubt(verification, "ambiguous-encoding");
    code = smime_verify_new(&verify, &verification->verify, err);
    if (code == ERR_OK)
        code = verification_start_layer(verification, err);
    if (code != ERR_OK)
        return code;
    split.content = verification->content;
    code = mime_split_new(&split, &verification->split, &found);
    return verification_sort(verification, code, &found, "no-boundary", err);
}

static bool
verification_is_envelope(const struct flow_verification *verification)
{
    enum smime_content content = smime_detect_get(verification->detect)->content;

    return content == SMIME_CONTENT_ENVELOPED || content == SMIME_CONTENT_AUTHENVELOPED;
}

/* How much of the object is worth keeping: what we would verify or decrypt. */
static uint64_t
verification_limit(const struct flow_verification *verification)
{
    if (!verification_is_envelope(verification))
        return verification->args.limit_opaque_bytes;
    return verification->args.decryption ? verification->args.limit_enveloped_bytes : 0;
}

/* Decoded octets: looked at, and kept for as long as they may be of use. */
static enum err_code
verification_keep(void *context, struct span piece, struct err *err)
{
    struct flow_verification *verification = context;
    struct err found = ERR_INIT;
    enum err_code code = smime_detect_write(verification->detect, piece, err);

    if (code != ERR_OK || verification->too_large)
        return code;
    if (spool_size(verification->spool) + piece.n > verification_limit(verification)) {
        verification->too_large = true;
        spool_free(&verification->spool);
        return ERR_OK;
    }
    code = spool_write(verification->spool, piece, &found);
    if (code == ERR_LIMIT) {
        verification->too_large = true;
        spool_free(&verification->spool);
        return ERR_OK;
    }
    return code == ERR_OK ? ERR_OK : err_set(err, code, "%s", found.text);
}

static enum err_code
verification_start_cms(struct flow_verification *verification, enum flow_coding coding,
                       struct err *err)
{
    struct spool_args spool = { .folder = verification->args.spool_folder,
                                .memory_bytes = verification->args.spool_memory_bytes,
                                .limit_bytes = verification->args.limit_opaque_bytes };
    struct stage *sink = NULL;
    enum err_code code;

    if (spool.limit_bytes < verification->args.limit_enveloped_bytes)
        spool.limit_bytes = verification->args.limit_enveloped_bytes;
    if (coding == FLOW_CODING_UNKNOWN) {
        verification_break(verification, "unknown-encoding");
        return ERR_OK;
    }
    code = smime_detect_new(&verification->detect, err);
    if (code == ERR_OK)
        code = spool_new(&spool, &verification->spool, err);
    if (code == ERR_OK)
        code = stage_sink_new(verification_keep, verification, &sink, err);
    if (code == ERR_OK)
        code = flow_coding_decoder_new(coding, &verification->irregular, sink,
                                       &verification->decoder, err);
    return code;
}

static bool
verification_is_named(const struct mime_parameters *field, const char *parameter)
{
    static const char ending[] = ".p7m";
    struct span name = field ? mime_parameter_find(field, parameter) : span_of(NULL, 0);

    return name.n >= sizeof(ending) - 1 &&
           span_equal_nocase(span_from(name, name.n - (sizeof(ending) - 1)), ending);
}

/* RFC 8551 3.2.1: some senders can write no other type. */
static enum err_code
verification_guess(const struct mime_header *header, const struct mime_parameters *type,
                   bool *guessed, struct err *err)
{
    struct mime_parameters *disposition = NULL;
    const char *doubt = NULL;
    enum err_code code = ERR_OK;

    if (strcmp(mime_parameter_value(type), "application/octet-stream") != 0)
        return ERR_OK;
    code = flow_coding_parse_field(header, "Content-Disposition", &disposition, &doubt, err);
    *guessed = code == ERR_OK && (verification_is_named(type, "name") ||
                                  verification_is_named(disposition, "filename"));
    mime_parameter_free(&disposition);
    return code;
}

static enum err_code
verification_start(struct flow_verification *verification, const struct mime_header *header,
                   struct err *err)
{
    struct mime_parameters *type = NULL;
    enum flow_coding coding = FLOW_CODING_IDENTITY;
    const char *doubt = NULL;
    enum err_code code;

    code = flow_coding_parse_field(header, "Content-Type", &type, &doubt, err);
    if (code == ERR_OK)
        code = flow_coding_find(header, &coding, &doubt, err);
    if (code != ERR_OK || !type)
        goto out;
    verification->result.claim = smime_detect_claim(type);
    verification->claimed = verification->result.claim == SMIME_CLAIM_CLEAR_SIGNED ||
                            verification->result.claim == SMIME_CLAIM_CMS;
    if (!verification->claimed && verification->args.decryption && verification->args.depth == 1 &&
        flow_decryption_wants_octet_stream(verification->args.decryption))
        code = verification_guess(header, type, &verification->guessed, err);
    if (code != ERR_OK || (!verification->claimed && !verification->guessed))
        goto out;
    if (doubt || mime_header_irregular(header) > 0)
        flow_verification_doubt(verification, "ambiguous-header");
    code = verification->guessed || verification->result.claim == SMIME_CLAIM_CMS
               ? verification_start_cms(verification, coding, err)
               : verification_start_clear(verification, type, coding, err);
out:
    mime_parameter_free(&type);
    return code;
}

/* White space between the angles is lawful, and readers make another address of it, or none. */
static void
verification_judge_from(struct flow_verification *verification, const struct mime_header *header)
{
    struct mime_header_field field;
    bool inside = false, blank = false, doubtful = false;

    if (!mime_header_find(header, "From", 0, &field))
        return;
    for (size_t i = 0; i < field.value.n; i++) {
        unsigned char c = field.value.p[i];

        if (c == '<') {
            inside = true;
            blank = false;
        } else if (c == '>') {
            doubtful = inside && blank; /* the last pair counts */
            inside = false;
        } else {
            blank |= c == ' ' || c == '\t' || c == '\r' || c == '\n';
        }
    }
    verification->result.from.irregular |= doubtful;
}

enum err_code
flow_verification_new(const struct flow_verification_args *args, const struct mime_header *header,
                      struct flow_verification **out, struct err *err)
{
    struct flow_verification *verification = calloc(1, sizeof(*verification));
    enum err_code code = ERR_OK;

    if (!verification)
        return err_set(err, ERR_NOMEM, "memory for verifying a message");
    verification->args = *args;
    verification->result.structure_ok = true;
    verification->result.structure_reason = "ok";
    if (args->from)
        verification->result.from = *args->from;
    else
        code = flow_from_load(header, &verification->result.from, err);
    if (!args->from)
        verification_judge_from(verification, header);
    if (code == ERR_OK)
        code = verification_start(verification, header, err);
    if (code != ERR_OK) {
        flow_verification_free(&verification);
        return code;
    }
    *out = verification;
    return ERR_OK;
}

void
flow_verification_free(struct flow_verification **verification)
{
    struct flow_verification *old = verification ? *verification : NULL;

    if (!old)
        return;
    *verification = NULL;
    flow_signer_free(&old->result);
    smime_verify_result_free(&old->smime);
    mime_split_free(&old->split);
    stage_free(&old->content);
    smime_verify_free(&old->verify);
    stage_free(&old->decoder);
    smime_detect_free(&old->detect);
    spool_free(&old->spool);
    flow_layer_free(&old->layer);
    free(old);
}

void
flow_verification_set_trusts(struct flow_verification *verification,
                             const struct pki_trust *const *trusts, size_t count)
{
    verification->args.trusts = trusts;
    verification->args.trust_count = count;
}

bool
flow_verification_wants_body(const struct flow_verification *verification)
{
    return (verification->claimed || verification->guessed) && !verification->broken;
}

uint64_t
flow_verification_bytes(const struct flow_verification *verification)
{
    const struct flow_verification *inside =
        verification->layer ? flow_layer_get(verification->layer) : NULL;

    return (verification->spool ? spool_size(verification->spool) : 0) +
           (inside ? flow_verification_bytes(inside) : 0);
}

bool
flow_verification_is_claimed(const struct flow_verification *verification)
{
    return verification->claimed;
}

void
flow_verification_set_sealed(struct flow_verification *verification)
{
    verification->args.decryption = NULL;
}

/* ---- the body ----------------------------------------------------------------------------------
 */

enum err_code
flow_verification_write(struct flow_verification *verification, struct span piece, struct err *err)
{
    struct err found = ERR_INIT;
    enum err_code code;

    if (!flow_verification_wants_body(verification))
        return ERR_OK;
    code = verification->split ? mime_split_write(verification->split, piece, &found)
                               : stage_write(verification->decoder, piece, &found);
    return verification_sort(verification, code, &found, "malformed-mime", err);
}

/* ---- the end: clear-signed ---------------------------------------------------------------------
 */

static void
verification_judge_split(struct flow_verification *verification)
{
    const struct mime_split_result *split = mime_split_get(verification->split);

    verification->result.has_range = split->parts > 0;
    verification->result.range_offset = split->content_offset;
    verification->result.range_bytes = split->content_bytes;
    if (split->parts != 2)
        verification_break(verification, "wrong-parts");
    else if (!split->closed)
        verification_break(verification, "not-closed");
    else if (split->epilogue)
        flow_verification_doubt(verification, "epilogue");
    else if (split->preamble && !split->preamble_usual)
        flow_verification_doubt(verification, "preamble");
    else if (split->ambiguous)
        flow_verification_doubt(verification, "ambiguous-structure");
}

/* The header of part two: *der is left empty when it is no signature. */
static enum err_code
verification_decode_signature(struct flow_verification *verification, struct buf *der,
                              struct err *err)
{
    const struct mime_split_result *split = mime_split_get(verification->split);
    struct stage *sink = NULL, *decoder = NULL;
    enum flow_coding coding = FLOW_CODING_UNKNOWN;
    const char *doubt = NULL;
    uint64_t irregular = 0;
    bool is_signature = false;
    enum err_code code =
        flow_coding_find_signature(split->signature_header, &is_signature, &coding, &doubt, err);

    if (code != ERR_OK)
        goto out;
    if (!is_signature) {
        verification_break(verification, "no-signature-part");
        goto out;
    }
    code = stage_buf_new(der, &sink, err);
    if (code == ERR_OK)
        code = flow_coding_decoder_new(coding, &irregular, sink, &decoder, err);
    if (code == ERR_OK)
        code = stage_write(decoder, split->signature_body, err);
    if (code == ERR_OK)
        code = stage_finish(decoder, err);
out:
    stage_free(&decoder);
    return code;
}

static enum err_code
verification_finish_clear(struct flow_verification *verification, struct err *err)
{
    struct buf der = BUF_INIT(FLOW_CODING_LIMIT_SIGNATURE);
    struct err found = ERR_INIT;
    enum err_code code = mime_split_finish(verification->split, &found);

    code = verification_sort(verification, code, &found, "malformed-mime", err);
    if (code != ERR_OK || verification->broken)
        return code;
    verification_judge_split(verification);
    if (verification->broken)
        return ERR_OK;
    code = verification_decode_signature(verification, &der, &found);
    code = verification_sort(verification, code, &found, "malformed-cms", err);
    if (code == ERR_OK && !verification->broken) {
        code =
            smime_verify_finish(verification->verify, buf_span(&der), &verification->smime, &found);
        code = verification_sort(verification, code, &found,
                                 found.reason ? found.reason : "malformed-cms", err);
        verification->result.smime = &verification->smime;
    }
    buf_free(&der);
    return code;
}

/* ---- the end: CMS ------------------------------------------------------------------------------
 */

static enum err_code
verification_finish_opaque(struct flow_verification *verification, struct err *err)
{
    struct smime_verify_opaque_args args = {
        .spool = verification->spool,
        .limit_bytes = (size_t)verification->args.limit_opaque_bytes,
        .extra = verification->args.untrusted,
    };
    struct err found = ERR_INIT;
    enum err_code code;

    if (verification->too_large) {
        verification_break(verification, "too-large");
        return ERR_OK;
    }
    code = spool_finish(verification->spool, err);
    if (code == ERR_OK)
        code = verification_start_layer(verification, err);
    if (code != ERR_OK)
        return code;
    args.content = verification->content;
    code = smime_verify_opaque(&args, &verification->smime, &found);
    verification->result.smime = &verification->smime;
    return verification_sort(verification, code, &found,
                             found.reason ? found.reason : "malformed-cms", err);
}

static enum err_code
verification_finish_cms(struct flow_verification *verification, const char **envelope,
                        struct err *err)
{
    const struct smime_detect_result *found;
    enum err_code code = stage_finish(verification->decoder, err);

    if (code == ERR_OK)
        code = smime_detect_finish(verification->detect, err);
    if (code != ERR_OK)
        return code;
    found = smime_detect_get(verification->detect);
    verification->result.content = found->content;
    if (verification->irregular > 0)
        flow_verification_doubt(verification, "ambiguous-encoding");
    if (verification_is_envelope(verification)) {
        /* Where it is to be opened, an algorithm that we do not know is one more way to fail. */
        if (found->whole && verification->args.decryption)
            return flow_verification_open(verification, envelope, err);
        *envelope = found->complete ? "encrypted" : NULL;
        if (!found->complete)
            verification_break(verification, "malformed-cms");
        return ERR_OK;
    }
    return verification->guessed ? ERR_OK : verification_finish_opaque(verification, err);
}

/* ---- the verdict -------------------------------------------------------------------------------
 */

void
flow_verification_judge(struct flow_verification *verification, const char *envelope)
{
    struct flow_verification_result *result = &verification->result;
    struct policy_signer_facts signers[SMIME_VERIFY_LIMIT_SIGNERS];
    struct policy_verdict_facts facts = {
        .claimed = verification->claimed,
        .envelope = envelope,
        .from_fields = result->from.fields,
        .from_mailboxes = result->from.mailboxes,
        .from_irregular = result->from.irregular,
        .micalg_mismatch = result->smime && verification->smime.micalg_mismatch,
        .structure_ok = result->structure_ok,
        .structure_ambiguous = result->structure_ambiguous,
        .structure_reason = result->structure_reason,
        .signers = signers,
    };

    for (; facts.count < result->count && facts.count < SMIME_VERIFY_LIMIT_SIGNERS; facts.count++)
        flow_signer_facts(&result->signers[facts.count], &signers[facts.count]);
    policy_verdict_decide(&facts, &result->verdict);
    flow_signer_describe(result);
}

static enum err_code
verification_decide(struct flow_verification *verification, const char *envelope, struct err *err)
{
    struct flow_verification_result *result = &verification->result;
    enum err_code code = ERR_OK;

    if (result->smime && !verification->broken && strcmp(verification->smime.reason, "ok") != 0)
        verification_break(verification, verification->smime.reason);
    if (result->smime)
        code = flow_signer_load(&verification->args, result->smime, result, err);
    if (code == ERR_OK)
        flow_verification_judge(verification, envelope);
    return code;
}

enum err_code
flow_verification_finish(struct flow_verification *verification, struct err *err)
{
    const char *envelope = NULL;
    enum err_code code = ERR_OK;

    if (verification->finished)
        return err_set(err, ERR_BUG, "a verification is finished once");
    verification->finished = true;
    verification->count = &verification->result;
    if (flow_verification_wants_body(verification))
        code = verification->split ? verification_finish_clear(verification, err)
                                   : verification_finish_cms(verification, &envelope, err);
    if (code == ERR_OK)
        code = verification_decide(verification, envelope, err);
    if (code == ERR_OK && verification->layer && verification->result.smime)
        code = flow_verification_finish_layer(verification, err);
    if (code == ERR_OK && verification->args.depth == 1)
        flow_verification_compare_from(verification);
    return code;
}

const struct flow_verification_result *
flow_verification_get(const struct flow_verification *verification)
{
    return verification->count ? verification->count : &verification->result;
}
