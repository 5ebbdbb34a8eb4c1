/*
 * smimectl decrypt: with a pair of the command line, or with every key of the keyring.
 *
 * Plaintext waits in a spool until the whole structure was accepted: a failed CBC decryption has
 * written garbage by then, and a bad tag is known at the end (RFC 8551 6). CBC without a signature
 * inside proves nothing about its integrity; that is said.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ctl/command.h"
#include "ctl/context.h"
#include "ctl/json.h"
#include "ctl/message.h"
#include "flow/coding.h"
#include "smime/decrypt.h"
#include "smime/detect.h"

struct decrypt {
    struct ctl_common common;
    const char *key, *certificate;
    bool message;               /* with the header fields of the message around it */
    struct mime_header *header; /* of the message */
    struct spool *cms, *plain;
    struct stage *decoder; /* into `cms`; NULL: the message is not CMS */
    uint64_t irregular;
    struct pki_keyring *keyring;
    struct smime_decrypt_result result;
};

static enum err_code
decrypt_header(void *context, const struct mime_header *header, struct err *err)
{
    struct decrypt *decrypt = context;
    struct mime_parameters *type = NULL;
    enum flow_coding coding = FLOW_CODING_IDENTITY;
    struct stage *sink = NULL;
    const char *doubt = NULL;
    enum err_code code = ctl_message_header_dup(header, &decrypt->header, err);

    if (code == ERR_OK)
        code = flow_coding_parse_field(header, "Content-Type", &type, &doubt, err);
    if (code == ERR_OK && smime_detect_claim(type) != SMIME_CLAIM_CMS)
        code = err_set(err, ERR_PERM, "the message is not application/pkcs7-mime");
    if (code == ERR_OK)
        code = flow_coding_find(header, &coding, &doubt, err);
    if (code == ERR_OK)
        code = spool_stage_new(decrypt->cms, &sink, err);
    if (code == ERR_OK)
        code = flow_coding_decoder_new(coding, &decrypt->irregular, sink, &decrypt->decoder, err);
    mime_parameter_free(&type);
    return code;
}

static enum err_code
decrypt_body(void *context, struct span piece, struct err *err)
{
    struct decrypt *decrypt = context;

    return stage_write(decrypt->decoder, piece, err);
}

/* The keys to try: one pair, or all of the keyring. */
static int
decrypt_load_keys(struct decrypt *decrypt, struct err *err)
{
    struct flow_services *services = NULL;
    int code;

    if (decrypt->key || decrypt->certificate) {
        if (!decrypt->key || !decrypt->certificate) {
            ctl_say("--key and --cert go together");
            return CTL_EXIT_USAGE;
        }
        if (pki_keyring_load_pair(decrypt->key, decrypt->certificate, NULL, &decrypt->keyring,
                                  err) != ERR_OK)
            return ctl_fail_as(err, decrypt->common.json);
        return CTL_EXIT_YES;
    }
    code = ctl_context_load(&decrypt->common, &services);
    if (code == CTL_EXIT_YES)
        decrypt->keyring = pki_keyring_add1(services->keyring);
    flow_services_free(&services);
    return code;
}

static enum err_code
decrypt_open(struct decrypt *decrypt, struct err *err)
{
    size_t count = pki_keyring_count(decrypt->keyring);
    const struct pki_key **keys = calloc(count + 1, sizeof *keys);
    struct stage *sink = NULL;
    enum err_code code = ERR_OK;

    if (!keys)
        return err_set(err, ERR_NOMEM, "no memory for %zu keys", count);
    for (size_t i = 0; i < count; i++)
        keys[i] = pki_keyring_get(decrypt->keyring, i);
    code = spool_stage_new(decrypt->plain, &sink, err);
    if (code == ERR_OK)
        code = smime_decrypt(
            &(struct smime_decrypt_args){ .spool = decrypt->cms, .keys = keys, .count = count },
            sink, &decrypt->result, err);
    if (code == ERR_OK)
        code = stage_finish(sink, err);
    stage_free(&sink);
    free(keys);
    return code;
}

/* The fields of the message but those that described the enveloped entity. */
static enum err_code
decrypt_format_header(const struct mime_header *header, struct buf *out, struct err *err)
{
    struct mime_header *outer = NULL;
    enum err_code code =
        mime_header_new(CTL_MESSAGE_HEADER * 2, MIME_HEADER_LIMIT_FIELDS, &outer, err);

    for (size_t i = 0; code == ERR_OK && i < mime_header_count(header); i++) {
        struct mime_header_field field = mime_header_get(header, i);

        if (!span_starts_nocase(field.name, "Content-"))
            code = mime_header_set(outer, field.name, field.value, err);
    }
    if (code == ERR_OK)
        code = mime_header_format(outer, out, err);
    mime_header_free(&outer);
    return code;
}

static enum err_code
decrypt_release(struct decrypt *decrypt, struct err *err)
{
    struct buf header = BUF_INIT(CTL_MESSAGE_HEADER * 2);
    struct stage *sink = NULL;
    enum err_code code = stage_fd_new(STDOUT_FILENO, &sink, err);

    if (code == ERR_OK && decrypt->message)
        code = decrypt_format_header(decrypt->header, &header, err);
    if (code == ERR_OK)
        code = stage_write(sink, buf_span(&header), err);
    if (code == ERR_OK)
        code = spool_copy(decrypt->plain, sink, err);
    if (code == ERR_OK)
        code = stage_finish(sink, err);
    stage_free(&sink);
    buf_free(&header);
    return code;
}

static void
decrypt_warn(const struct smime_decrypt_result *result)
{
    if (!result->authenticated)
        ctl_say("%s says nothing about integrity: trust it only if a signature inside holds",
                result->cipher);
    if (result->weak_cipher)
        ctl_say("%s is too weak to rely on: ask the sender for AES", result->cipher);
    if (result->misplaced_aead)
        ctl_say("%s stands in EnvelopedData, which RFC 5084 forbids: others may not read it",
                result->cipher);
}

static void
decrypt_report(const struct decrypt *decrypt)
{
    struct ctl_json json;

    if (!decrypt->common.json) {
        decrypt_warn(&decrypt->result);
        return;
    }
    ctl_json_init(&json, stderr);
    ctl_json_open(&json, NULL, '{');
    ctl_json_text(&json, "result", "decrypted");
    ctl_json_text(&json, "cipher", decrypt->result.cipher);
    ctl_json_bool(&json, "authenticated", decrypt->result.authenticated);
    ctl_json_bool(&json, "weak_cipher", decrypt->result.weak_cipher);
    ctl_json_bool(&json, "misplaced_aead", decrypt->result.misplaced_aead);
    ctl_json_number(&json, "recipients", decrypt->result.recipients);
    ctl_json_text(&json, "key", decrypt->result.key ? decrypt->result.key->file : NULL);
    ctl_json_close(&json);
}

static int
decrypt_run(struct decrypt *decrypt, const char *path)
{
    struct err err = ERR_INIT;
    enum err_code code;
    int exit_code = decrypt_load_keys(decrypt, &err);

    if (exit_code != CTL_EXIT_YES)
        return exit_code;
    code = ctl_message_spool_new(&decrypt->cms, &err);
    if (code == ERR_OK)
        code = ctl_message_spool_new(&decrypt->plain, &err);
    if (code == ERR_OK)
        code = ctl_message_copy(path, decrypt_header, decrypt_body, decrypt, &err);
    if (code == ERR_OK)
        code = stage_finish(decrypt->decoder, &err);
    if (code == ERR_OK)
        code = decrypt_open(decrypt, &err);
    if (code == ERR_OK)
        code = decrypt_release(decrypt, &err);
    if (code != ERR_OK)
        return ctl_fail_as(&err, decrypt->common.json);
    decrypt_report(decrypt);
    return CTL_EXIT_YES;
}

int
ctl_decrypt(int argc, char **argv)
{
    struct decrypt decrypt = { .key = NULL };
    const struct ctl_option table[] = { CTL_COMMON_OPTIONS(decrypt.common),
                                        { "key", 0, CTL_OPTION_VALUE, &decrypt.key },
                                        { "cert", 0, CTL_OPTION_VALUE, &decrypt.certificate },
                                        { "message", 0, CTL_OPTION_FLAG, &decrypt.message },
                                        { .name = NULL } };
    struct ctl_options options = { .table = table, .takes = CTL_OPERAND_FILE };
    int code = CTL_EXIT_USAGE;

    if (ctl_options_parse(&options, argc, argv))
        code = decrypt_run(&decrypt, options.operand);
    stage_free(&decrypt.decoder);
    spool_free(&decrypt.plain);
    spool_free(&decrypt.cms);
    mime_header_free(&decrypt.header);
    pki_keyring_free(&decrypt.keyring);
    ctl_options_free(&options);
    return code;
}
