/*
 * smimectl lookup: every candidate certificate of an address, over all sources, each with its
 * verdict.
 */
#include <stdio.h>

#include "ctl/certificate.h"
#include "ctl/command.h"
#include "ctl/context.h"
#include "ctl/expand.h"
#include "ctl/people.h"
#include "flow/names.h"
#include "mime/address.h"
#include "util/clock.h"

static void
lookup_print_json(const char *address, enum err_code code,
                  const struct directory_lookup_result *result)
{
    struct ctl_json json;

    ctl_json_init(&json, stdout);
    ctl_json_open(&json, NULL, '{');
    ctl_json_text(&json, "address", address);
    ctl_json_text(&json, "result",
                  code == ERR_OK     ? "found"
                  : code == ERR_TEMP ? "temperror"
                                     : "none");
    ctl_json_text(&json, "reason", code == ERR_OK ? "ok" : result->answer.reason);
    ctl_json_text(&json, "text", result->answer.text);
    ctl_json_open(&json, "candidates", '[');
    for (size_t i = 0; i < result->count; i++) {
        const struct directory_candidate *one = &result->list[i];

        ctl_json_open(&json, NULL, '{');
        ctl_json_bool(&json, "selected", one->selected);
        ctl_json_bool(&json, "valid", one->answer.status == PKI_STATUS_OK);
        ctl_json_text(&json, "reason", one->answer.reason);
        ctl_json_text(&json, "text", one->answer.text);
        ctl_json_text(&json, "source", one->source);
        ctl_certificate_json(&json, one->certificate);
        ctl_json_close(&json);
    }
    ctl_json_close(&json);
    ctl_json_close(&json);
}

static void
lookup_print_text(enum err_code code, const struct directory_lookup_result *result)
{
    for (size_t i = 0; i < result->count; i++) {
        const struct directory_candidate *one = &result->list[i];

        if (one->selected)
            fputs("SELECTED", stdout);
        else if (one->answer.status == PKI_STATUS_OK)
            fputs("VALID, not selected: an earlier source or a newer certificate has precedence",
                  stdout);
        else
            printf("REJECTED %s", one->answer.reason);
        if (one->answer.status != PKI_STATUS_OK) {
            fputs(": ", stdout);
            ctl_print(one->answer.text);
        }
        fputs("\n    source: ", stdout);
        ctl_print(one->source);
        if (one->key) {
            fputs(", ", stdout);
            ctl_print(one->key->file);
        }
        putchar('\n');
        ctl_certificate_print(one->certificate);
    }
    if (code != ERR_OK) {
        printf("%s %s: ", code == ERR_TEMP ? "COULD NOT ASK" : "NONE", result->answer.reason);
        ctl_print(result->answer.text);
        putchar('\n');
    }
}

static int
lookup_run(struct flow_services *services, const char *address, const char *trust, bool sign,
           bool json)
{
    struct pki_fetch_budget budget;
    struct directory_lookup_question question = {
        .trust = flow_services_trust(services, trust),
        .revocation = flow_names_revocation(&services->conf->global, CONF_DIRECTION_OUT),
        .evidence = services->evidence,
        .budget = &budget,
        .policy = &services->leaf_policy,
        .now = clock_now_s(),
        .deadline_ms = clock_monotonic_ms() + CTL_PEOPLE_TIMEOUT_MS,
        .all = true
    };
    struct directory_lookup_result result = { .list = NULL };
    char formatted[MIME_ADDRESS_SIZE];
    struct err err = ERR_INIT;
    enum err_code code;

    if (!question.trust) {
        ctl_say("there is no trust \"%s\" in the configuration", trust);
        return CTL_EXIT_USAGE;
    }
    code = mime_address_format(span_str(address), formatted, &err);
    if (code == ERR_NOMEM)
        return ctl_fail(&err);
    if (code != ERR_OK) {
        ctl_say("\"%s\" is no address: %s", address, err.text);
        return CTL_EXIT_USAGE;
    }
    question.address = formatted;
    flow_names_budget_init(&budget, &services->conf->global);
    code = sign ? directory_lookup_key(services->lookup, &question, &result, &err)
                : directory_lookup_certificate(services->lookup, &question, &result, &err);
    if (code != ERR_OK && code != ERR_NOTFOUND && code != ERR_TEMP) {
        directory_lookup_result_free(&result);
        return ctl_fail(&err);
    }
    if (json)
        lookup_print_json(formatted, code, &result);
    else
        lookup_print_text(code, &result);
    if (!json && !sign && code == ERR_NOTFOUND)
        ctl_expand_show(services, formatted, trust);
    directory_lookup_result_free(&result);
    return code == ERR_OK ? CTL_EXIT_YES : code == ERR_TEMP ? CTL_EXIT_TEMP : CTL_EXIT_NO;
}

int
ctl_lookup(int argc, char **argv)
{
    struct ctl_common common = { .config = NULL };
    struct flow_services *services = NULL;
    const char *trust = "default";
    bool sign = false;
    const struct ctl_option table[] = { CTL_COMMON_OPTIONS(common),
                                        { "trust", 0, CTL_OPTION_VALUE, &trust },
                                        { "sign", 0, CTL_OPTION_FLAG, &sign },
                                        { .name = NULL } };
    struct ctl_options options = { .table = table, .takes = CTL_OPERAND_MAYBE };
    int code = CTL_EXIT_USAGE;

    if (!ctl_options_parse(&options, argc, argv))
        return CTL_EXIT_USAGE;
    if (!options.operand)
        ctl_say("lookup needs an ADDRESS");
    else if ((code = ctl_context_load(&common, &services)) == CTL_EXIT_YES)
        code = lookup_run(services, options.operand, trust, sign, common.json);
    flow_services_free(&services);
    return code;
}
