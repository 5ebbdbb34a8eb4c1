/*
 * smimectl certs: what was learnt from mail that verified.                    directory/harvest.h
 *
 * Works on the database itself, also while the daemon runs.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/certificate.h"
#include "ctl/command.h"
#include "ctl/context.h"
#include "flow/harvest.h"
#include "pki/keyfile.h"
#include "pki/reason.h"

enum { CERTS_PEM_BYTES = 256 * 1024 };

enum action { ACTION_LIST, ACTION_SHOW, ACTION_APPROVE, ACTION_REMOVE, ACTION_EXPORT };

struct certs {
    struct ctl_common common;
    enum action action;
    const char *address, *fingerprint; /* NULL: not given */
    struct directory_harvest *harvest;
    struct ctl_json json;
    size_t count;
};

static const char *
state_name(enum directory_harvest_state state)
{
    switch (state) {
    case DIRECTORY_HARVEST_ACCEPTED:
        return "accepted";
    case DIRECTORY_HARVEST_HELD:
        return "held";
    case DIRECTORY_HARVEST_REMOVED:
        break;
    }
    return "removed";
}

/* ---- rows --------------------------------------------------------------------------------------
 */

static bool
row_is_meant(const struct certs *certs, const struct directory_harvest_row *row)
{
    if (certs->fingerprint)
        return strncasecmp(row->fingerprint, certs->fingerprint, strlen(certs->fingerprint)) == 0;
    return certs->action != ACTION_EXPORT || row->state == DIRECTORY_HARVEST_ACCEPTED;
}

static void
row_json(struct certs *certs, const struct directory_harvest_row *row,
         const struct pki_certificate *certificate)
{
    ctl_json_open(&certs->json, NULL, '{');
    ctl_json_text(&certs->json, "address", row->address);
    ctl_json_text(&certs->json, "state", state_name(row->state));
    ctl_json_time(&certs->json, "first_seen", row->first_seen);
    ctl_json_time(&certs->json, "last_seen", row->last_seen);
    ctl_json_number(&certs->json, "messages", (int64_t)row->count);
    ctl_json_time(&certs->json, "decided", row->decided_at);
    ctl_certificate_json(&certs->json, certificate);
    ctl_json_open(&certs->json, "intermediates", '[');
    for (size_t i = 0; i < row->chain->count; i++) {
        ctl_json_open(&certs->json, NULL, '{');
        ctl_certificate_json(&certs->json, row->chain->list[i]);
        ctl_json_close(&certs->json);
    }
    ctl_json_close(&certs->json);
    ctl_json_close(&certs->json);
}

static void
row_print(const struct certs *certs, const struct directory_harvest_row *row,
          const struct pki_certificate *certificate)
{
    char first[PKI_TIME_SIZE], last[PKI_TIME_SIZE];

    ctl_print(row->address);
    printf("  %s  %.16s  %s to %s, %llu %s\n", state_name(row->state), row->fingerprint,
           pki_time_format(row->first_seen, first), pki_time_format(row->last_seen, last),
           (unsigned long long)row->count, row->count == 1 ? "message" : "messages");
    if (certs->action != ACTION_SHOW)
        return;
    ctl_certificate_print(certificate);
    for (size_t i = 0; i < row->chain->count; i++) {
        printf("  with the intermediate ");
        ctl_print(pki_certificate_get(row->chain->list[i])->subject);
        printf("\n");
    }
}

static enum err_code
row_export(const struct pki_certificate *certificate, struct err *err)
{
    struct buf pem = BUF_INIT(CERTS_PEM_BYTES);
    enum err_code code = pki_keyfile_format(NULL, certificate, NULL, &pem, err);

    if (code == ERR_OK && pem.n > 0 && fwrite(pem.p, 1, pem.n, stdout) != pem.n)
        code = err_set(err, ERR_TEMP, "the certificate cannot be written");
    buf_free(&pem);
    return code;
}

static enum err_code
certs_each(void *context, const struct directory_harvest_row *row, struct err *err)
{
    struct certs *certs = context;
    struct pki_certificate *certificate = NULL;
    enum err_code code;

    if (!row_is_meant(certs, row))
        return ERR_OK;
    code = pki_certificate_parse(row->der, &certificate, err);
    if (code != ERR_OK)
        return err_prefix(err, "%.200s, %.16s", row->address, row->fingerprint);
    certs->count++;
    if (certs->action == ACTION_EXPORT)
        code = row_export(certificate, err);
    else if (certs->common.json)
        row_json(certs, row, certificate);
    else
        row_print(certs, row, certificate);
    pki_certificate_free(&certificate);
    return code;
}

static enum err_code
certs_print(struct certs *certs, struct err *err)
{
    bool json = certs->common.json && certs->action != ACTION_EXPORT;
    enum err_code code;

    ctl_json_init(&certs->json, stdout);
    if (json)
        ctl_json_open(&certs->json, NULL, '[');
    code = directory_harvest_each(certs->harvest, certs->address, certs_each, certs, err);
    if (json)
        ctl_json_close(&certs->json);
    if (code == ERR_OK && certs->count == 0 && certs->action != ACTION_LIST)
        code = err_set(err, ERR_NOTFOUND, "nothing of that kind was harvested for %.200s",
                       certs->address);
    return code;
}

/* What their mail says they can decrypt: whether it is known, and since when. */
static enum err_code
capabilities_print(struct certs *certs, struct err *err)
{
    struct buf der = BUF_INIT(DIRECTORY_HARVEST_CAPABILITIES);
    char when[PKI_TIME_SIZE];
    time_t signed_at = 0;
    enum err_code code =
        directory_harvest_get_capabilities(certs->harvest, certs->address, &der, &signed_at, err);

    if (code == ERR_OK)
        printf("capabilities were told on %s, %zu octets\n", pki_time_format(signed_at, when),
               der.n);
    else if (code == ERR_NOTFOUND)
        code = ERR_OK;
    if (code == ERR_OK)
        err_reset(err);
    buf_free(&der);
    return code;
}

static enum err_code
certs_set(struct certs *certs, struct err *err)
{
    enum directory_harvest_state state =
        certs->action == ACTION_APPROVE ? DIRECTORY_HARVEST_ACCEPTED : DIRECTORY_HARVEST_REMOVED;
    enum err_code code =
        directory_harvest_set(certs->harvest, certs->address, certs->fingerprint, state, err);

    if (code != ERR_OK)
        return code;
    if (certs->common.json) {
        ctl_json_init(&certs->json, stdout);
        ctl_json_open(&certs->json, NULL, '{');
        ctl_json_text(&certs->json, "result", "ok");
        ctl_json_text(&certs->json, "state", state_name(state));
        ctl_json_close(&certs->json);
    } else {
        printf("%s; the daemon follows within a minute\n", state_name(state));
    }
    return ERR_OK;
}

/* ---- the command -------------------------------------------------------------------------------
 */

/* Takes the next word that is no option out of the line; NULL: there is none. */
static const char *
word_take(int *argc, char **argv)
{
    for (int i = 1; i < *argc; i++) {
        const char *word = argv[i];

        if (strcmp(word, "-c") == 0 || strcmp(word, "--config") == 0) {
            i++;
        } else if (word[0] != '-') {
            memmove(argv + i, argv + i + 1, (size_t)(*argc - i) * sizeof *argv);
            --*argc;
            return word;
        }
    }
    return NULL;
}

static bool
certs_parse(struct certs *certs, int argc, char **argv)
{
    static const char *const words[] = { "list", "show", "approve", "remove", "export" };
    const char *what = word_take(&argc, argv);
    const struct ctl_option table[] = { CTL_COMMON_OPTIONS(certs->common), { .name = NULL } };
    struct ctl_options options = { .table = table, .takes = CTL_OPERAND_NONE };
    size_t i = 0;

    while (i < sizeof words / sizeof *words && (!what || strcmp(words[i], what) != 0))
        i++;
    certs->action = (enum action)i;
    certs->address = word_take(&argc, argv);
    certs->fingerprint = certs->address ? word_take(&argc, argv) : NULL;
    if (i == sizeof words / sizeof *words || (i > ACTION_LIST && !certs->address) ||
        (i == ACTION_LIST && certs->fingerprint) ||
        ((i == ACTION_APPROVE || i == ACTION_REMOVE) && !certs->fingerprint)) {
        ctl_say("certs list [ADDRESS], show or export ADDRESS [FINGERPRINT], approve or remove "
                "ADDRESS FINGERPRINT");
        return false;
    }
    return ctl_options_parse(&options, argc, argv);
}

int
ctl_certs(int argc, char **argv)
{
    struct certs certs = { .action = ACTION_LIST };
    struct conf *conf = NULL;
    struct err err = ERR_INIT;
    char *path = NULL;
    enum err_code code;
    int exit_code;

    if (!certs_parse(&certs, argc, argv))
        return CTL_EXIT_USAGE;
    exit_code = ctl_context_load_conf(&certs.common, &conf);
    if (exit_code != CTL_EXIT_YES)
        return exit_code;
    path = flow_harvest_format_path(&conf->global);
    code = path ? directory_harvest_open(&(struct directory_harvest_args){ .path = path },
                                         &certs.harvest, &err)
                : err_set(&err, ERR_NOMEM, "no memory for a path");
    if (code == ERR_OK)
        code = certs.action == ACTION_APPROVE || certs.action == ACTION_REMOVE
                   ? certs_set(&certs, &err)
                   : certs_print(&certs, &err);
    if (code == ERR_OK && certs.action == ACTION_SHOW && !certs.common.json)
        code = capabilities_print(&certs, &err);
    directory_harvest_close(&certs.harvest);
    conf_free(&conf);
    free(path);
    return code == ERR_OK ? CTL_EXIT_YES : ctl_fail(&err);
}
