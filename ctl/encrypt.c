/*
 * smimectl encrypt: to certificates of the command line, or as the daemon would: to the addresses
 * of the message (To, Cc, Bcc) or those of --to, to the sender himself and to the additional
 * recipients of the rule.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

struct encrypt {
    struct ctl_common common;
    struct ctl_list certificates, to;
    const char *cipher;
    bool oaep;
    struct ctl_message message;
    struct flow_services *services;
    struct flow_from from;
    struct pki_certificates recipients;
    struct conf_rule found; /* of the first recipient */
    bool has_found;
    size_t missing; /* recipients without a valid certificate, each named */
    bool temp;      /* one could not be asked */
    struct conf_rule rule;
};

enum { ENCRYPT_LIMIT = 5000 };

/* The first certificate of each file: what follows it there is its chain. */
static int
encrypt_load_files(struct encrypt *encrypt, struct err *err)
{
    const struct pki_leaf_policy policy = { .fold_local = true, .rsa_bits_min = 2048 };

    for (size_t i = 0; i < encrypt->certificates.count; i++) {
        const char *path = encrypt->certificates.list[i];
        struct pki_certificates file = { .limit = 0 };
        struct pki_answer answer = { .status = PKI_STATUS_OK };
        enum err_code code = pki_certificates_load(&file, path, err);

        if (code == ERR_OK && file.count == 0)
            code = err_set(err, ERR_PERM, "there is no certificate in %s", path);
        if (code == ERR_OK)
            pki_certificate_check(file.list[0], PKI_USE_ENCRYPT, NULL, clock_now_s(), &policy,
                                  &answer);
        if (code == ERR_OK && answer.status == PKI_STATUS_OK)
            code = pki_certificates_add1(&encrypt->recipients, file.list[0], err);
        pki_certificates_free(&file);
        if (code != ERR_OK)
            return ctl_fail_as(err, encrypt->common.json);
        if (answer.status != PKI_STATUS_OK) {
            ctl_say("%s: %s (%s)", path, answer.text, answer.reason);
            encrypt->missing++;
        }
    }
    return CTL_EXIT_YES;
}

/* One recipient; all of them are asked before anything is decided, so that each is named. */
static enum err_code
encrypt_add(struct encrypt *encrypt, const char *address, const char *trust, struct err *err)
{
    struct directory_lookup_result result;
    struct err mine = ERR_INIT;
    enum err_code code =
        ctl_people_find(encrypt->services, address, PKI_USE_ENCRYPT, trust, &result, &mine);

    switch (code) {
    case ERR_OK:
        code = pki_certificates_add1(&encrypt->recipients, result.selected->certificate, err);
        break;
    case ERR_NOTFOUND:
    case ERR_TEMP:
        ctl_say("%s: %s (%s)", address, result.answer.text, result.answer.reason);
        encrypt->temp |= code == ERR_TEMP;
        encrypt->missing++;
        code = ERR_OK;
        break;
    default:
        err_set(err, code, "%s", mine.text);
    }
    directory_lookup_result_free(&result);
    return code;
}

static enum err_code
encrypt_take_address(void *context, const char *address, struct err *err)
{
    struct encrypt *encrypt = context;
    struct conf_rule rule;
    enum err_code code =
        ctl_people_find_rule(encrypt->services, encrypt->from.address, address, &rule, err);

    if (code != ERR_OK)
        return code;
    if (!encrypt->has_found)
        encrypt->found = rule;
    encrypt->has_found = true;
    return encrypt_add(encrypt, address, rule.trust, err);
}

static enum err_code
encrypt_take_named(struct encrypt *encrypt, struct err *err)
{
    static const char *const names[] = { "To", "Cc", "Bcc" };
    enum err_code code = ERR_OK;

    for (size_t i = 0; code == ERR_OK && i < encrypt->to.count; i++) {
        char formatted[MIME_ADDRESS_SIZE];

        code = mime_address_format(span_str(encrypt->to.list[i]), formatted, err);
        if (code == ERR_OK)
            code = encrypt_take_address(encrypt, formatted, err);
    }
    for (size_t i = 0; code == ERR_OK && encrypt->to.count == 0 && i < 3; i++)
        code = ctl_message_addresses(encrypt->message.header, names[i], encrypt_take_address,
                                     encrypt, err);
    if (code == ERR_OK && !encrypt->has_found)
        code = err_set(err, ERR_PERM, "the message names no recipient; use --to or --to-cert");
    return code;
}

/* The sender can read what he wrote (RFC 8551 3.3); without a certificate of his own he cannot. */
static enum err_code
encrypt_take_sender(struct encrypt *encrypt, struct err *err)
{
    struct directory_lookup_result result;
    struct err ignored = ERR_INIT;
    enum err_code code = ERR_OK;

    if (!encrypt->from.address[0])
        return ERR_OK;
    if (ctl_people_find(encrypt->services, encrypt->from.address, PKI_USE_ENCRYPT,
                        ctl_people_own_trust(encrypt->services, &encrypt->found), &result,
                        &ignored) == ERR_OK)
        code = pki_certificates_add1(&encrypt->recipients, result.selected->certificate, err);
    else
        ctl_say("%s has no valid certificate: the sender will not be able to read it",
                encrypt->from.address);
    directory_lookup_result_free(&result);
    return code;
}

static int
encrypt_find_people(struct encrypt *encrypt, struct err *err)
{
    enum err_code code;
    int exit_code = ctl_context_load(&encrypt->common, &encrypt->services);

    if (exit_code != CTL_EXIT_YES)
        return exit_code;
    code = flow_from_load(encrypt->message.header, &encrypt->from, err);
    if (code == ERR_OK)
        code = encrypt_take_named(encrypt, err);
    if (code == ERR_OK)
        code = encrypt_take_sender(encrypt, err);
    if (code == ERR_OK)
        encrypt->rule = encrypt->found;
    for (size_t i = 0; code == ERR_OK && encrypt->rule.encrypt_also[i]; i++)
        code = encrypt_add(encrypt, encrypt->rule.encrypt_also[i],
                           ctl_people_own_trust(encrypt->services, &encrypt->found), err);
    return code == ERR_OK ? CTL_EXIT_YES : ctl_fail_as(err, encrypt->common.json);
}

static int
encrypt_report(const struct encrypt *encrypt)
{
    struct ctl_json json;

    if (!encrypt->common.json)
        return CTL_EXIT_YES;
    ctl_json_init(&json, stderr);
    ctl_json_open(&json, NULL, '{');
    ctl_json_text(&json, "result", "encrypted");
    ctl_json_text(&json, "cipher", smime_cipher_name(flow_names_cipher(encrypt->rule.cipher)));
    ctl_json_open(&json, "recipients", '[');
    for (size_t i = 0; i < encrypt->recipients.count; i++) {
        ctl_json_open(&json, NULL, '{');
        ctl_certificate_json(&json, encrypt->recipients.list[i]);
        ctl_json_close(&json);
    }
    ctl_json_close(&json);
    ctl_json_close(&json);
    return CTL_EXIT_YES;
}

static int
encrypt_run(struct encrypt *encrypt, const char *path)
{
    struct err err = ERR_INIT;
    int code;

    encrypt->rule = *policy_rule_builtin();
    encrypt->recipients.limit = ENCRYPT_LIMIT;
    if (ctl_message_load(path, &encrypt->message, &err) != ERR_OK)
        return ctl_fail_as(&err, encrypt->common.json);
    code = encrypt->certificates.count > 0 ? encrypt_load_files(encrypt, &err)
                                           : encrypt_find_people(encrypt, &err);
    if (code != CTL_EXIT_YES)
        return code;
    if (encrypt->missing > 0)
        return encrypt->temp ? CTL_EXIT_TEMP : CTL_EXIT_NO;
    if (!ctl_words_set_cipher(&encrypt->rule, encrypt->cipher))
        return CTL_EXIT_USAGE;
    if (encrypt->oaep)
        encrypt->rule.key_transport = 1;
    if (ctl_protect_write(&(struct ctl_protect_args){ .message = &encrypt->message,
                                                      .rule = &encrypt->rule,
                                                      .encrypt = true,
                                                      .recipients = encrypt->recipients.list,
                                                      .count = encrypt->recipients.count },
                          &err) != ERR_OK)
        return ctl_fail_as(&err, encrypt->common.json);
    return encrypt_report(encrypt);
}

int
ctl_encrypt(int argc, char **argv)
{
    struct encrypt encrypt = { .cipher = NULL };
    const struct ctl_option table[] = { CTL_COMMON_OPTIONS(encrypt.common),
                                        { "to-cert", 0, CTL_OPTION_LIST, &encrypt.certificates },
                                        { "to", 0, CTL_OPTION_LIST, &encrypt.to },
                                        { "cipher", 0, CTL_OPTION_VALUE, &encrypt.cipher },
                                        { "oaep", 0, CTL_OPTION_FLAG, &encrypt.oaep },
                                        { .name = NULL } };
    struct ctl_options options = { .table = table, .takes = CTL_OPERAND_FILE };
    int code = CTL_EXIT_USAGE;

    if (ctl_options_parse(&options, argc, argv))
        code = encrypt_run(&encrypt, options.operand);
    pki_certificates_free(&encrypt.recipients);
    flow_services_free(&encrypt.services);
    ctl_message_free(&encrypt.message);
    ctl_options_free(&options);
    return code;
}
