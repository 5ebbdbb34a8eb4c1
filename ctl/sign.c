/*
 * smimectl sign: with a key and a certificate of the command line, or as the daemon would for the
 * address of From.
 */
#include <stdio.h>

#include "ctl/certificate.h"
#include "ctl/command.h"
#include "ctl/context.h"
#include "ctl/people.h"
#include "ctl/protect.h"
#include "ctl/words.h"
#include "flow/from.h"
#include "flow/names.h"
#include "policy/rule.h"
#include "util/clock.h"

struct sign {
    struct ctl_common common;
    const char *key, *certificate, *chain, *digest;
    bool opaque, pss;
    struct ctl_message message;
    struct flow_services *services;
    struct pki_keyring *pair;
    struct directory_lookup_result keys, own;
    struct conf_rule rule;
    struct ctl_protect_args args;
};

static int
sign_report(const struct sign *sign)
{
    struct ctl_json json;

    if (!sign->common.json)
        return CTL_EXIT_YES;
    ctl_json_init(&json, stderr);
    ctl_json_open(&json, NULL, '{');
    ctl_json_text(&json, "result", "signed");
    ctl_json_text(&json, "digest", smime_digest_name(flow_names_digest(sign->rule.digest)));
    ctl_certificate_json(&json, sign->args.key->certificate);
    ctl_json_close(&json);
    return CTL_EXIT_YES;
}

static int
sign_find_pair(struct sign *sign, struct err *err)
{
    const struct pki_leaf_policy policy = { .fold_local = true, .rsa_bits_min = 2048 };
    struct pki_answer answer;

    if (!sign->key || !sign->certificate) {
        ctl_say("--key and --cert go together");
        return CTL_EXIT_USAGE;
    }
    if (pki_keyring_load_pair(sign->key, sign->certificate, sign->chain, &sign->pair, err) !=
        ERR_OK)
        return ctl_fail_as(err, sign->common.json);
    sign->args.key = pki_keyring_get(sign->pair, 0);
    pki_certificate_check(sign->args.key->certificate, PKI_USE_SIGN, NULL, clock_now_s(), &policy,
                          &answer);
    if (answer.status == PKI_STATUS_OK)
        return CTL_EXIT_YES;
    ctl_say("%s: %s (%s)", sign->certificate, answer.text, answer.reason);
    return CTL_EXIT_NO;
}

static enum err_code
sign_take_first(void *context, const char *address, struct err *err)
{
    char *first = context;

    (void)err;
    if (!first[0])
        snprintf(first, MIME_ADDRESS_SIZE, "%s", address);
    return ERR_OK;
}

/* As for outbound mail of the From address to the first recipient. */
static int
sign_find_sender(struct sign *sign, struct err *err)
{
    char recipient[MIME_ADDRESS_SIZE] = "";
    const struct conf_rule *rule;
    struct flow_from from;
    struct err ignored = ERR_INIT;
    enum err_code code;
    int exit_code = ctl_context_load(&sign->common, &sign->services);

    if (exit_code != CTL_EXIT_YES)
        return exit_code;
    code = flow_from_load(sign->message.header, &from, err);
    if (code == ERR_OK)
        code = ctl_message_addresses(sign->message.header, "To", sign_take_first, recipient, err);
    if (code == ERR_OK && !from.address[0])
        code = err_set(err, ERR_PERM, "From does not name exactly one address");
    if (code != ERR_OK)
        return ctl_fail_as(err, sign->common.json);
    if (ctl_people_find_rule(sign->services, from.address, recipient, &sign->rule, err) != ERR_OK)
        return ctl_fail_as(err, sign->common.json);
    rule = &sign->rule;
    code = ctl_people_find(sign->services, from.address, PKI_USE_SIGN,
                           ctl_people_own_trust(sign->services, rule), &sign->keys, err);
    if (code != ERR_OK) {
        err_prefix(err, "no key to sign for %.200s", from.address);
        return ctl_fail_as(err, sign->common.json);
    }
    sign->args.key = sign->keys.selected->key;
    if (ctl_people_find(sign->services, from.address, PKI_USE_ENCRYPT,
                        ctl_people_own_trust(sign->services, rule), &sign->own, &ignored) == ERR_OK)
        sign->args.own = sign->own.selected->certificate;
    return CTL_EXIT_YES;
}

static int
sign_run(struct sign *sign, const char *path)
{
    struct err err = ERR_INIT;
    int code;

    sign->rule = *policy_rule_builtin();
    if (ctl_message_load(path, &sign->message, &err) != ERR_OK)
        return ctl_fail_as(&err, sign->common.json);
    code =
        sign->key || sign->certificate ? sign_find_pair(sign, &err) : sign_find_sender(sign, &err);
    if (code != CTL_EXIT_YES)
        return code;
    if (!ctl_words_set_digest(&sign->rule, sign->digest))
        return CTL_EXIT_USAGE;
    if (sign->pss)
        sign->rule.rsa_signature = 1;
    sign->args.message = &sign->message;
    sign->args.rule = &sign->rule;
    sign->args.sign = true;
    sign->args.opaque = sign->opaque || sign->rule.sign_format == CONF_SIGN_OPAQUE;
    if (ctl_protect_write(&sign->args, &err) != ERR_OK)
        return ctl_fail_as(&err, sign->common.json);
    return sign_report(sign);
}

int
ctl_sign(int argc, char **argv)
{
    struct sign sign = { .key = NULL };
    const struct ctl_option table[] = { CTL_COMMON_OPTIONS(sign.common),
                                        { "key", 0, CTL_OPTION_VALUE, &sign.key },
                                        { "cert", 0, CTL_OPTION_VALUE, &sign.certificate },
                                        { "chain", 0, CTL_OPTION_VALUE, &sign.chain },
                                        { "digest", 0, CTL_OPTION_VALUE, &sign.digest },
                                        { "opaque", 0, CTL_OPTION_FLAG, &sign.opaque },
                                        { "pss", 0, CTL_OPTION_FLAG, &sign.pss },
                                        { .name = NULL } };
    struct ctl_options options = { .table = table, .takes = CTL_OPERAND_FILE };
    int code = CTL_EXIT_USAGE;

    if (ctl_options_parse(&options, argc, argv))
        code = sign_run(&sign, options.operand);
    directory_lookup_result_free(&sign.own);
    directory_lookup_result_free(&sign.keys);
    pki_keyring_free(&sign.pair);
    flow_services_free(&sign.services);
    ctl_message_free(&sign.message);
    ctl_options_free(&options);
    return code;
}
