/*
 * smimectl keys, expiring and import: the folder with the keys of our own users.
 */
#include <stdio.h>

#include "ctl/certificate.h"
#include "ctl/command.h"
#include "ctl/context.h"
#include "pki/keyring.h"
#include "pki/reason.h"
#include "util/clock.h"

enum { SECONDS_PER_DAY = 86400, KEYS_WITHIN_DAYS = 30 };

struct keys {
    struct ctl_common common;
    const char *folder; /* NULL: of the configuration */
    long long within;   /* days; -1: of the configuration */
    struct pki_leaf_policy policy;
    struct pki_keyring *keyring;
};

static void
keys_complain(void *context, const char *file, const char *text)
{
    (void)context;
    ctl_say("%s: %s", file, text);
}

/* Folder, limits and policy from the configuration, unless --folder says enough. */
static int
keys_load(struct keys *keys, struct err *err)
{
    struct conf *conf = NULL;
    enum err_code code;
    int exit_code = CTL_EXIT_YES;

    keys->policy = (struct pki_leaf_policy){ .fold_local = true, .rsa_bits_min = 2048 };
    if (!keys->folder || keys->common.config) {
        exit_code = ctl_context_load_conf(&keys->common, &conf);
        if (exit_code != CTL_EXIT_YES)
            return exit_code;
        keys->policy =
            (struct pki_leaf_policy){ .subject_address = conf->global.subject_address,
                                      .fold_local = conf->global.fold_local_part,
                                      .rsa_bits_min = (unsigned)conf->global.rsa_bits_min };
        if (keys->within < 0)
            keys->within = conf->global.expiry_warning / 1000 / SECONDS_PER_DAY;
    }
    if (keys->within < 0)
        keys->within = KEYS_WITHIN_DAYS;
    code = pki_keyring_load(keys->folder ? keys->folder : conf->global.keys_folder, keys_complain,
                            NULL, &keys->keyring, err);
    conf_free(&conf);
    return code == ERR_OK ? CTL_EXIT_YES : ctl_fail(err);
}

/* "ok", or why the certificate cannot be used now. */
static void
keys_judge(const struct keys *keys, const struct pki_key *key, struct pki_answer *out)
{
    pki_certificate_check(key->certificate, PKI_USE_SIGN, NULL, clock_now_s(), &keys->policy, out);
    if (pki_reason_find(out->reason) == PKI_REASON_CERT_WRONG_USAGE)
        pki_certificate_check(key->certificate, PKI_USE_ENCRYPT, NULL, clock_now_s(), &keys->policy,
                              out);
}

static void
keys_print_one(const struct keys *keys, const struct pki_key *key, struct ctl_json *json)
{
    const struct pki_certificate_facts *facts = pki_certificate_get(key->certificate);
    const char *usage = ctl_certificate_usage(key->certificate, &keys->policy);
    char addresses[2048], from[PKI_TIME_SIZE], to[PKI_TIME_SIZE];
    struct pki_answer answer;

    keys_judge(keys, key, &answer);
    if (json) {
        ctl_json_open(json, NULL, '{');
        ctl_json_text(json, "usage", usage);
        ctl_json_text(json, "status", answer.reason);
        ctl_json_number(json, "days_left",
                        (int64_t)(facts->not_after - clock_now_s()) / SECONDS_PER_DAY);
        ctl_json_text(json, "source", key->file);
        ctl_certificate_json(json, key->certificate);
        ctl_json_close(json);
        return;
    }
    ctl_certificate_addresses(key->certificate, addresses, sizeof addresses);
    ctl_print(addresses);
    printf("  %s  %s to %s  %s  ", usage, pki_time_format(facts->not_before, from),
           pki_time_format(facts->not_after, to), answer.reason);
    ctl_print(key->file);
    putchar('\n');
}

static int
keys_print(const struct keys *keys, bool expiring)
{
    time_t limit = clock_now_s() + (time_t)keys->within * SECONDS_PER_DAY;
    size_t count = pki_keyring_count(keys->keyring);
    struct ctl_json json;

    ctl_json_init(&json, stdout);
    if (keys->common.json)
        ctl_json_open(&json, NULL, '[');
    for (size_t i = 0; i < count; i++) {
        const struct pki_key *key = pki_keyring_get(keys->keyring, i);

        if (!expiring || pki_certificate_get(key->certificate)->not_after <= limit)
            keys_print_one(keys, key, keys->common.json ? &json : NULL);
    }
    if (keys->common.json)
        ctl_json_close(&json);
    return CTL_EXIT_YES;
}

static int
keys_run(int argc, char **argv, bool expiring)
{
    struct keys keys = { .within = -1 };
    const struct ctl_option table[] = { CTL_COMMON_OPTIONS(keys.common),
                                        { "folder", 0, CTL_OPTION_VALUE, &keys.folder },
                                        { expiring ? "within" : NULL, 0, CTL_OPTION_COUNT,
                                          &keys.within },
                                        { .name = NULL } };
    struct ctl_options options = { .table = table, .takes = CTL_OPERAND_NONE };
    struct err err = ERR_INIT;
    int code = CTL_EXIT_USAGE;

    if (ctl_options_parse(&options, argc, argv) && (code = keys_load(&keys, &err)) == CTL_EXIT_YES)
        code = keys_print(&keys, expiring);
    pki_keyring_free(&keys.keyring);
    return code;
}

int
ctl_keys(int argc, char **argv)
{
    return keys_run(argc, argv, false);
}

int
ctl_expiring(int argc, char **argv)
{
    return keys_run(argc, argv, true);
}

static int
import_run(const struct ctl_common *common, struct pki_import_args *args)
{
    struct conf *conf = NULL;
    struct err err = ERR_INIT;
    struct ctl_json json;
    size_t count = 0;
    enum err_code code;

    if (!args->folder) {
        int exit_code = ctl_context_load_conf(common, &conf);

        if (exit_code != CTL_EXIT_YES)
            return exit_code;
        args->folder = conf->global.keys_folder;
    }
    code = pki_keyring_import(args, &count, &err);
    if (code == ERR_OK && common->json) {
        ctl_json_init(&json, stdout);
        ctl_json_open(&json, NULL, '{');
        ctl_json_text(&json, "result", "ok");
        ctl_json_number(&json, "pairs", (int64_t)count);
        ctl_json_text(&json, "folder", args->folder);
        ctl_json_close(&json);
    } else if (code == ERR_OK) {
        printf("%zu new %s in ", count, count == 1 ? "pair" : "pairs");
        ctl_print(args->folder);
        puts("; running daemons take it up by themselves within import_interval");
    }
    conf_free(&conf);
    return code == ERR_OK ? CTL_EXIT_YES : ctl_fail(&err);
}

int
ctl_import(int argc, char **argv)
{
    struct ctl_common common = { .config = NULL };
    struct pki_import_args args = { .file = NULL };
    const struct ctl_option table[] = { CTL_COMMON_OPTIONS(common),
                                        { "password-file", 0, CTL_OPTION_VALUE,
                                          &args.password_file },
                                        { "address", 0, CTL_OPTION_VALUE, &args.address },
                                        { "folder", 0, CTL_OPTION_VALUE, &args.folder },
                                        { .name = NULL } };
    struct ctl_options options = { .table = table, .takes = CTL_OPERAND_MAYBE };

    if (!ctl_options_parse(&options, argc, argv))
        return CTL_EXIT_USAGE;
    args.file = options.operand;
    if (!args.file || !args.password_file) {
        ctl_say("import needs --password-file FILE and a PKCS#12 file");
        return CTL_EXIT_USAGE;
    }
    return import_run(&common, &args);
}
