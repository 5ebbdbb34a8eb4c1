/*
 * smimectl: the administrator's door. It walks the same rooms as the daemon, so that what it says
 * is what happens.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/command.h"
#include "pki/crypto.h"
#include "pki/fetch.h"
#include "util/log.h"
#include "util/wipe.h"

/* Whatever library frees a copy of a key or of plaintext. */
WIPE_EVERY_FREE

struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *synopsis;
    const char *summary;
};

#define TRUST_SYNOPSIS                                                            \
    "[--anchors PATH...] [--untrusted PATH...] [--crl PATH...] [--at UNIXTIME]\n" \
    "        [--offline] [--revocation require|prefer|off] [--policy OID...]\n"   \
    "        [--explicit-policy] [--inhibit-policy-mapping] [--inhibit-any-policy]"

static const struct command commands[] = {
    { "check", ctl_check, "[FILE]", "check the configuration; every error with file:line:column" },
    { "dump", ctl_dump, "[-n]",
      "effective values and where each comes from; -n: changed ones only" },
    { "doctor", ctl_doctor, "[--postfix FOLDER] [--sendmail FILE]",
      "MTA settings, socket, key modes, clock, OpenSSL" },
    { "explain", ctl_explain,
      "--from ADDRESS --rcpt ADDRESS... [--login NAME] [--client IP] [--daemon NAME] [FILE]",
      "what would happen to a message, without side effects" },
    { "lookup", ctl_lookup, "[--sign] [--trust NAME] ADDRESS",
      "every candidate certificate: SELECTED, or REJECTED and why" },
    { "expand", ctl_expand, "[--trust NAME] GROUP",
      "who is in a distribution group, as a tree, and who of them has a certificate" },
    { "sign", ctl_sign,
      "[--key PEM --cert PEM [--chain PEM]] [--opaque] [--digest NAME] [--pss] [FILE]",
      "sign a message" },
    { "encrypt", ctl_encrypt,
      "[--to-cert PEM...] [--to ADDRESS...] [--cipher NAME] [--oaep] [FILE]", "encrypt a message" },
    { "decrypt", ctl_decrypt, "[--key PEM --cert PEM] [--message] [FILE]",
      "decrypt a message; --message: with the header fields it came with" },
    { "verify", ctl_verify, TRUST_SYNOPSIS " [--trust NAME] [--allow-weak] [FILE]",
      "verify a signed message" },
    { "path", ctl_path, TRUST_SYNOPSIS " [--trust NAME] [--allow-weak] CERT",
      "path validation alone" },
    { "import", ctl_import, "--password-file FILE [--address ADDRESS] [--folder FOLDER] P12",
      "keys, certificates and histories of a PKCS#12 file" },
    { "keys", ctl_keys, "[--folder FOLDER]", "address, usage, validity and file of every key" },
    { "expiring", ctl_expiring, "[--within DAYS] [--folder FOLDER]",
      "the keys whose certificates expire soon" },
    { "certs", ctl_certs,
      "list [ADDRESS] | show ADDRESS [FINGERPRINT] | approve ADDRESS FINGERPRINT |\n"
      "        remove ADDRESS FINGERPRINT | export ADDRESS [FINGERPRINT]",
      "what was learnt from mail: certificates by address, and those that wait for approval" },
    { "poison", ctl_poison, "[--forget]",
      "messages that brought the daemon down: how many, or look at them again" },
    { "reload", ctl_reload, "", "make the daemon read its configuration again" },
    { "cache", ctl_cache, "stats | show | flush [--shared] [URL]",
      "what was fetched for trust: counts, every entry, forget it" },
    { "stats", ctl_stats, "", "what the daemon counts" },
    { "bypass", ctl_bypass, "[--for TIME | --off]",
      "in an emergency: sign and verify nothing for a while" },
    { "health", ctl_health, "", "is the daemon well?" },
    { "demo", ctl_demo, "[--run]", "all of it at work, in a scratch folder with a private MTA" },
};

enum { COMMANDS = sizeof commands / sizeof commands[0] };

static const struct command *
command_find(const char *name)
{
    for (size_t i = 0; i < COMMANDS; i++) {
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    }
    return NULL;
}

static void
print_command(FILE *out, const struct command *command)
{
    fprintf(out, "usage: smimectl [-c FILE] %s [--json] %s\n    %s\n", command->name,
            command->synopsis, command->summary);
}

static void
print_usage(FILE *out)
{
    fputs("usage: smimectl [-c FILE] COMMAND [--json] ...\n\n", out);
    for (size_t i = 0; i < COMMANDS; i++)
        fprintf(out, "    %-10s %s\n", commands[i].name, commands[i].summary);
    fputs("\n`smimectl help COMMAND` tells more; so does smimectl(8).\n"
          "exit: 0 yes, 1 no, 2 usage or configuration, 3 could not ask\n",
          out);
}

static int
help(const char *name)
{
    const struct command *command = name ? command_find(name) : NULL;

    if (name && !command) {
        ctl_say("there is no command %s; try: smimectl help", name);
        return CTL_EXIT_USAGE;
    }
    if (command)
        print_command(stdout, command);
    else
        print_usage(stdout);
    return CTL_EXIT_YES;
}

/* Keys and plaintext pass through here as they do through the daemon: no core file may hold them.
 */
static int
protect_process(void)
{
    struct err err = ERR_INIT;

    signal(SIGPIPE, SIG_IGN);
    log_init(&(struct log_args){
        .sink = LOG_SINK_STDERR, .level = LOG_LEVEL_WARN, .ident = "smimectl" });
    if (wipe_init(&err) || pki_crypto_init(0, &err) || pki_fetch_init(&err))
        return ctl_fail(&err);
    return CTL_EXIT_YES;
}

/* `smimectl -c FILE COMMAND ...` is `smimectl COMMAND -c FILE ...`. */
static int
run(int argc, char **argv)
{
    const char *config = NULL;
    const struct command *command;
    char **words;
    int first = 1, count = 0, code;

    if (argc > 2 && (strcmp(argv[1], "-c") == 0 || strcmp(argv[1], "--config") == 0)) {
        config = argv[2];
        first = 3;
    }
    if (first >= argc) {
        print_usage(stderr);
        return CTL_EXIT_USAGE;
    }
    if (strcmp(argv[first], "help") == 0 || strcmp(argv[first], "--help") == 0)
        return help(first + 1 < argc ? argv[first + 1] : NULL);
    if (strcmp(argv[first], "--version") == 0) {
        puts("smimectl " SMIMED_VERSION);
        return CTL_EXIT_YES;
    }
    command = command_find(argv[first]);
    if (!command) {
        ctl_say("there is no command %s; try: smimectl help", argv[first]);
        return CTL_EXIT_USAGE;
    }
    if (first + 1 < argc && strcmp(argv[first + 1], "--help") == 0)
        return help(command->name);
    words = calloc((size_t)argc + 3, sizeof *words);
    if (!words)
        return CTL_EXIT_TEMP;
    words[count++] = argv[first];
    if (config) {
        words[count++] = (char *)"--config";
        words[count++] = (char *)config;
    }
    for (int i = first + 1; i < argc; i++)
        words[count++] = argv[i];
    code = protect_process();
    if (code == CTL_EXIT_YES)
        code = command->run(count, words);
    free(words);
    return code;
}

int
main(int argc, char **argv)
{
    int code = ctl_finish(run(argc, argv));

    pki_fetch_deinit();
    pki_crypto_deinit();
    return code;
}
