/*
 * smimectl path: path validation alone, of the first certificate of a file; the others of the file
 * are untrusted intermediates.
 */
#include <stdio.h>

#include "ctl/account.h"
#include "ctl/command.h"
#include "ctl/json.h"
#include "ctl/trust.h"
#include "pki/reason.h"

static void
path_print_json(const struct pki_path_result *result)
{
    struct ctl_json json;

    ctl_json_init(&json, stdout);
    ctl_json_open(&json, NULL, '{');
    ctl_json_text(&json, "result",
                  result->answer.status == PKI_STATUS_OK     ? "ok"
                  : result->answer.status == PKI_STATUS_TEMP ? "temperror"
                                                             : "invalid");
    ctl_json_text(&json, "reason", result->answer.reason);
    ctl_json_text(&json, "text", result->answer.text);
    ctl_account_json(&json, "path", result);
    ctl_json_close(&json);
}

static void
path_print_text(const struct pki_path_result *result)
{
    printf("%s: ", result->answer.reason);
    ctl_print(result->answer.text[0] ? result->answer.text : "the path holds");
    putchar('\n');
    ctl_account_print(result, true);
}

static int
path_run(struct ctl_trust *trust, const char *path, bool json)
{
    struct pki_certificates file = { .limit = 0 };
    struct pki_path_result result = { .count = 0 };
    struct pki_path_args args = { .trust = trust->trust,
                                  .untrusted = &trust->untrusted,
                                  .source = "file",
                                  .at = (time_t)trust->at,
                                  .revocation = trust->rules,
                                  .evidence = trust->evidence,
                                  .budget = trust->offline ? NULL : &trust->budget,
                                  .allow_weak = trust->allow_weak,
                                  .policies = trust->policies.list,
                                  .explicit_policy = trust->explicit_policy,
                                  .inhibit_policy_mapping = trust->inhibit_policy_mapping,
                                  .inhibit_any_policy = trust->inhibit_any_policy };
    struct err err = ERR_INIT;
    enum err_code code = pki_certificates_load(&file, path, &err);
    int exit_code;

    if (code == ERR_OK && file.count == 0)
        code = err_set(&err, ERR_PERM, "there is no certificate in %s", path);
    for (size_t i = 1; code == ERR_OK && i < file.count; i++)
        code = pki_certificates_add1(&trust->untrusted, file.list[i], &err);
    if (code == ERR_OK) {
        args.leaf = file.list[0];
        code = pki_path_check(&args, &result, &err);
    }
    if (code != ERR_OK) {
        exit_code = ctl_fail(&err);
    } else {
        if (json)
            path_print_json(&result);
        else
            path_print_text(&result);
        exit_code = result.answer.status == PKI_STATUS_OK     ? CTL_EXIT_YES
                    : result.answer.status == PKI_STATUS_TEMP ? CTL_EXIT_TEMP
                                                              : CTL_EXIT_NO;
    }
    pki_path_result_free(&result);
    pki_certificates_free(&file);
    return exit_code;
}

int
ctl_path(int argc, char **argv)
{
    struct ctl_common common = { .config = NULL };
    struct ctl_trust trust = { .at = 0 };
    const struct ctl_option table[] = { CTL_COMMON_OPTIONS(common),
                                        CTL_TRUST_OPTIONS(trust),
                                        { .name = NULL } };
    struct ctl_options options = { .table = table, .takes = CTL_OPERAND_FILE };
    int code = CTL_EXIT_USAGE;

    if (ctl_options_parse(&options, argc, argv))
        code = ctl_trust_load(&trust, &common);
    if (code == CTL_EXIT_YES && !trust.trust) {
        ctl_say("path needs --anchors, or a configuration with trust anchors");
        code = CTL_EXIT_USAGE;
    }
    if (code == CTL_EXIT_YES)
        code = path_run(&trust, options.operand, common.json);
    ctl_trust_free(&trust);
    ctl_options_free(&options);
    return code;
}
