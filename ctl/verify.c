/*
 * smimectl verify: the verdict of the inbound flow, in words.
 */
#include <stdio.h>
#include <string.h>

#include "ctl/account.h"
#include "ctl/certificate.h"
#include "ctl/command.h"
#include "ctl/json.h"
#include "ctl/message.h"
#include "ctl/trust.h"
#include "flow/verification.h"

struct verify {
    struct flow_verification_args args;
    struct flow_verification *verification;
};

static enum err_code
verify_header(void *context, const struct mime_header *header, struct err *err)
{
    struct verify *verify = context;

    return flow_verification_new(&verify->args, header, &verify->verification, err);
}

static enum err_code
verify_body(void *context, struct span piece, struct err *err)
{
    struct verify *verify = context;

    if (!flow_verification_wants_body(verify->verification))
        return ERR_OK;
    return flow_verification_write(verify->verification, piece, err);
}

static void
verify_print_signer(struct ctl_json *json, const struct flow_verification_signer *signer)
{
    const struct pki_certificate *certificate = signer->smime->certificate;

    ctl_json_open(json, NULL, '{');
    ctl_json_text(json, "identifier", signer->identifier[0] ? signer->identifier : NULL);
    ctl_json_text(json, "serial", signer->serial[0] ? signer->serial : NULL);
    ctl_json_text(json, "issuer", signer->issuer[0] ? signer->issuer : NULL);
    ctl_json_text(json, "signature", signer->smime->reason);
    ctl_json_text(json, "algorithm", signer->algorithm.reason);
    ctl_json_text(json, "certificate", certificate ? signer->leaf.reason : NULL);
    ctl_json_text(json, "path", certificate ? signer->path.answer.reason : NULL);
    ctl_json_text(json, "path_text", certificate ? signer->path.answer.text : NULL);
    ctl_json_bool(json, "identity", signer->identity);
    ctl_json_time(json, "signing_time", signer->smime->signing_time);
    if (certificate)
        ctl_certificate_json(json, certificate);
    ctl_account_json(json, "path_steps", &signer->path);
    ctl_json_close(json);
}

static void
verify_print_layers(struct ctl_json *json, const struct flow_verification *verification)
{
    struct flow_verification_layer layers[FLOW_VERIFICATION_LAYERS];
    bool too_deep = false;
    size_t n = flow_verification_layers(verification, layers, &too_deep);

    ctl_json_open(json, "layers", '[');
    for (size_t i = 0; i < n; i++) {
        ctl_json_open(json, NULL, '{');
        ctl_json_text(json, "kind", layers[i].kind);
        ctl_json_text(json, "state", layers[i].state);
        ctl_json_text(json, "reason", layers[i].reason);
        ctl_json_bool(json, "counts", layers[i].counts);
        ctl_json_close(json);
    }
    ctl_json_close(json);
    ctl_json_bool(json, "more_layers", too_deep);
}

static void
verify_print_json(const struct flow_verification *verification)
{
    const struct flow_verification_result *result = flow_verification_get(verification);
    struct ctl_json json;

    ctl_json_init(&json, stdout);
    ctl_json_open(&json, NULL, '{');
    ctl_json_text(&json, "result", policy_result_name(result->verdict.result));
    ctl_json_text(&json, "reason", result->verdict.reason);
    ctl_json_text(&json, "text", result->text);
    ctl_json_text(&json, "signature", result->signature_word);
    ctl_json_text(&json, "path", result->path_word);
    ctl_json_text(&json, "identity", result->identity_word);
    ctl_json_text(&json, "from", result->from.address[0] ? result->from.address : NULL);
    if (result->has_range) {
        ctl_json_number(&json, "signed_offset", (int64_t)result->range_offset);
        ctl_json_number(&json, "signed_octets", (int64_t)result->range_bytes);
    }
    verify_print_layers(&json, verification);
    ctl_json_open(&json, "signers", '[');
    for (size_t i = 0; i < result->count; i++)
        verify_print_signer(&json, &result->signers[i]);
    ctl_json_close(&json);
    ctl_json_close(&json);
}

static void
verify_print_text(const struct flow_verification_result *result)
{
    printf("%s (%s): ", policy_result_name(result->verdict.result), result->verdict.reason);
    ctl_print(result->text);
    printf("\nsignature: %s\npath: %s\nidentity: %s\n", result->signature_word, result->path_word,
           result->identity_word);
    for (size_t i = 0; i < result->count; i++) {
        const struct flow_verification_signer *signer = &result->signers[i];

        printf("signer %zu: %s", i + 1, signer->smime->reason);
        if (signer->smime->certificate) {
            fputs(", ", stdout);
            ctl_print(signer->identifier[0] ? signer->identifier : "no address");
            printf(", serial %s, issuer ", signer->serial);
            ctl_print(signer->issuer);
            printf("\n    algorithm: %s\n    certificate: %s\n    path: %s",
                   signer->algorithm.reason, signer->leaf.reason, signer->path.answer.reason);
            if (signer->path.answer.status != PKI_STATUS_OK || signer->path.unfresh) {
                fputs(": ", stdout);
                ctl_print(signer->path.answer.text);
            }
        }
        putchar('\n');
        ctl_account_print(&signer->path, false);
    }
}

static int
verify_exit(enum policy_result result)
{
    switch (result) {
    case POLICY_RESULT_PASS:
        return CTL_EXIT_YES;
    case POLICY_RESULT_TEMPERROR:
        return CTL_EXIT_TEMP;
    default:
        return CTL_EXIT_NO;
    }
}

static int
verify_run(struct ctl_trust *trust, const char *path, bool json)
{
    struct verify verify = { .verification = NULL };
    struct flow_verification_args *args = &verify.args;
    const struct flow_verification_result *result;
    struct err err = ERR_INIT;
    enum err_code code;
    int exit_code;

    flow_verification_args_init(args, ctl_context_scratch());
    args->trusts = &trust->trust;
    args->trust_count = trust->trust ? 1 : 0;
    args->untrusted = &trust->untrusted;
    args->at = (time_t)trust->at;
    args->revocation = trust->rules;
    args->evidence = trust->evidence;
    args->budget = trust->offline ? NULL : &trust->budget;
    args->allow_weak = trust->allow_weak;
    args->policies = trust->policies.list;
    args->explicit_policy = trust->explicit_policy;
    args->inhibit_policy_mapping = trust->inhibit_policy_mapping;
    args->inhibit_any_policy = trust->inhibit_any_policy;
    args->message_crls = true;
    if (trust->services) {
        args->leaf_policy = trust->services->leaf_policy;
        args->limit_opaque_bytes = trust->services->conf->global.max_opaque;
    }
    code = ctl_message_copy(path, verify_header, verify_body, &verify, &err);
    if (code == ERR_OK)
        code = flow_verification_finish(verify.verification, &err);
    if (code != ERR_OK) {
        exit_code = ctl_fail(&err);
    } else {
        result = flow_verification_get(verify.verification);
        if (json)
            verify_print_json(verify.verification);
        else
            verify_print_text(result);
        exit_code = verify_exit(result->verdict.result);
    }
    flow_verification_free(&verify.verification);
    return exit_code;
}

int
ctl_verify(int argc, char **argv)
{
    struct ctl_common common = { .config = NULL };
    struct ctl_trust trust = { .at = 0 };
    const struct ctl_option table[] = { CTL_COMMON_OPTIONS(common),
                                        CTL_TRUST_OPTIONS(trust),
                                        { .name = NULL } };
    struct ctl_options options = { .table = table, .takes = CTL_OPERAND_FILE };
    int code = CTL_EXIT_USAGE;

    if (ctl_options_parse(&options, argc, argv) &&
        (code = ctl_trust_load(&trust, &common)) == CTL_EXIT_YES)
        code = verify_run(&trust, options.operand, common.json);
    ctl_trust_free(&trust);
    ctl_options_free(&options);
    return code;
}
