#include "flow/harvest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flow/inbound.h"
#include "flow/state.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/pool.h"

struct flow_harvest {
    char *path;
    enum directory_harvest_change change;
    uint64_t limit;
    struct directory_harvest *reader;
    struct directory_harvest *writer; /* of the pool's thread, made when it is needed */
};

static struct pool *harvest_pool; /* set before other threads are there, and after they are gone */

enum err_code
flow_harvest_init(struct err *err)
{
    /* One thread: SQLite has one writer at a time. */
    return pool_new(&(struct pool_args){ .threads = 1, .queue = FLOW_HARVEST_QUEUE }, &harvest_pool,
                    err);
}

void
flow_harvest_deinit(void)
{
    if (harvest_pool)
        pool_free(&harvest_pool);
}

char *
flow_harvest_format_path(const struct conf_global *global)
{
    char *path = NULL;

    return asprintf(&path, "%s/harvest.db", global->state_folder) < 0 ? NULL : path;
}

enum err_code
flow_harvest_new(const struct conf_global *global, struct flow_harvest **out, struct err *err)
{
    struct flow_harvest *harvest = calloc(1, sizeof *harvest);
    enum err_code code = ERR_OK;

    *out = NULL;
    if (!harvest || !(harvest->path = flow_harvest_format_path(global)))
        code = err_set(err, ERR_NOMEM, "no memory for the harvested certificates");
    if (code == ERR_OK) {
        harvest->change = global->harvest_change == CONF_HARVEST_CHANGE_ACCEPT
                              ? DIRECTORY_HARVEST_ACCEPT
                              : DIRECTORY_HARVEST_HOLD;
        harvest->limit = global->harvest_limit;
        code = directory_harvest_open(&(struct directory_harvest_args){ .path = harvest->path },
                                      &harvest->reader, err);
    }
    if (code != ERR_OK)
        flow_harvest_free(&harvest);
    *out = harvest;
    return code;
}

void
flow_harvest_free(struct flow_harvest **harvest)
{
    struct flow_harvest *old = *harvest;

    *harvest = NULL;
    if (!old)
        return;
    directory_harvest_close(&old->reader);
    directory_harvest_close(&old->writer);
    free(old->path);
    free(old);
}

struct directory_harvest *
flow_harvest_get(struct flow_harvest *harvest)
{
    return harvest->reader;
}

/* ---- the task ----------------------------------------------------------------------------------
 */

struct task {
    struct flow_services *services; /* a reference: holds the trust sets and the harvest */
    const struct pki_trust **trusts;
    size_t trust_count;
    char id[FLOW_ID_SIZE];
    char address[MIME_ADDRESS_SIZE];
    struct pki_certificate *certificate;
    bool judged;                       /* it is the signer's: its path held a moment ago */
    struct pki_certificates untrusted; /* that came along; judged: none */
    struct pki_certificates chain; /* intermediates to keep; not judged: the signer's, at first */
    struct buf capabilities;
    time_t signed_at;
};

static void
task_free(struct task *task)
{
    pki_certificate_free(&task->certificate);
    pki_certificates_free(&task->untrusted);
    pki_certificates_free(&task->chain);
    buf_free(&task->capabilities);
    flow_services_free(&task->services);
    free(task->trusts);
    free(task);
}

/* Does it lead to an anchor of every trust set, over those certificates? What it went over joins
 * the chain. Revocation is asked when it is used: nobody waits for the network here. */
static enum err_code
task_check_over(const struct task *task, const struct pki_certificates *untrusted,
                struct pki_certificates *chain, bool *good, struct err *err)
{
    enum err_code code = ERR_OK;

    *good = task->trust_count > 0;
    for (size_t i = 0; code == ERR_OK && *good && i < task->trust_count; i++) {
        struct pki_path_result path = { .count = 0 };

        code = pki_path_check(&(struct pki_path_args){ .trust = task->trusts[i],
                                                       .leaf = task->certificate,
                                                       .untrusted = untrusted,
                                                       .source = "message",
                                                       .at = clock_now_s(),
                                                       .revocation.mode = PKI_REVOCATION_OFF },
                              &path, err);
        *good = code == ERR_OK && path.answer.status == PKI_STATUS_OK;
        for (size_t n = 1; *good && code == ERR_OK && n < path.count; n++) {
            if (strcmp(path.steps[n].source, "message") == 0)
                code = pki_certificates_add1_once(chain, path.steps[n].certificate, err);
        }
        pki_path_result_free(&path);
    }
    return code;
}

/* The way that the signer's path went first: there, revocation was asked too. */
static enum err_code
task_check(struct task *task, bool *good, struct err *err)
{
    struct pki_certificates other = { .list = NULL };
    enum err_code code = ERR_OK;

    *good = task->judged;
    if (!task->judged)
        code = task_check_over(task, &task->chain, &other, good, err);
    if (code == ERR_OK && !*good) {
        pki_certificates_free(&other);
        code = task_check_over(task, &task->untrusted, &other, good, err);
    }
    if (task->judged)
        return code;
    pki_certificates_free(&task->chain);
    task->chain = other;
    return code;
}

static enum err_code
task_write(struct task *task, struct err *err)
{
    struct flow_harvest *harvest = task->services->harvest;
    const char *fingerprint = pki_certificate_get(task->certificate)->fingerprint;
    const struct directory_harvest_news news = { .address = task->address,
                                                 .certificate = task->certificate,
                                                 .chain = &task->chain,
                                                 .capabilities = buf_span(&task->capabilities),
                                                 .signed_at = task->signed_at,
                                                 .now = clock_now_s() };
    enum directory_harvest_state state;
    bool is_new = false;
    enum err_code code = ERR_OK;

    if (!harvest->writer)
        code = directory_harvest_open(&(struct directory_harvest_args){ .path = harvest->path,
                                                                        .change = harvest->change,
                                                                        .limit = harvest->limit,
                                                                        .create = true },
                                      &harvest->writer, err);
    if (code == ERR_OK)
        code = directory_harvest_add(harvest->writer, &news, &state, &is_new, err);
    if (code != ERR_OK || !is_new)
        return code;
    if (state == DIRECTORY_HARVEST_HELD)
        log_warn("held", task->id,
                 "the certificate %.16s of %s has another key than the known ones and is held; "
                 "smimectl certs approve",
                 fingerprint, task->address);
    else
        log_info(task->id, "harvested the certificate %.16s of %s", fingerprint, task->address);
    return ERR_OK;
}

static void
task_run(void *context, bool run)
{
    struct task *task = context;
    struct err err = ERR_INIT;
    bool good = false;

    if (run && task_check(task, &good, &err) == ERR_OK && good)
        (void)task_write(task, &err);
    if (err.code)
        log_warn("harvest", task->id, "nothing was learnt from a message of %s: %s", task->address,
                 err.text);
    task_free(task);
}

/* ---- what a message teaches --------------------------------------------------------------------
 */

/* Is it for the address, and good to encrypt to? */
static bool
certificate_fits(const struct flow_message *message, const struct pki_certificate *certificate,
                 const char *address)
{
    struct pki_answer answer;

    pki_certificate_check(certificate, PKI_USE_ENCRYPT, address, clock_now_s(),
                          &message->services->leaf_policy, &answer);
    return answer.status == PKI_STATUS_OK;
}

/* The one that the signer prefers; else his own; else one of his name (RFC 8551 2.5.3.1). */
static struct pki_certificate *
certificate_find(const struct flow_message *message, const struct flow_verification_result *result)
{
    const struct smime_signer *signer = result->signer->smime;
    const char *address = result->from.address;
    const char *subject = pki_certificate_get(signer->certificate)->subject;

    if (signer->prefers)
        return signer->encryption && certificate_fits(message, signer->encryption, address)
                   ? signer->encryption
                   : NULL;
    if (certificate_fits(message, signer->certificate, address))
        return signer->certificate;
    for (size_t i = 0; i < result->smime->certificates.count; i++) {
        struct pki_certificate *one = result->smime->certificates.list[i];

        if (strcmp(pki_certificate_get(one)->subject, subject) == 0 &&
            certificate_fits(message, one, address))
            return one;
    }
    return NULL;
}

/* Certificates that a path may need; more octets than a chain has are not carried along. */
static enum err_code
task_load_untrusted(struct task *task, const struct pki_certificates *certificates, struct err *err)
{
    enum err_code code = ERR_OK;
    size_t bytes = 0;

    for (size_t i = 0; code == ERR_OK && !task->judged && i < certificates->count; i++) {
        bytes += pki_certificate_der(certificates->list[i]).n;
        if (bytes > FLOW_HARVEST_LIMIT_BYTES)
            return ERR_OK;
        code = pki_certificates_add1(&task->untrusted, certificates->list[i], err);
    }
    return code;
}

static enum err_code
task_new(struct flow_message *message, const struct flow_verification_result *result,
         struct pki_certificate *certificate, struct task **out, struct err *err)
{
    const struct flow_inbound *inbound = message->inbound;
    const struct smime_signer *signer = result->signer->smime;
    struct task *task = calloc(1, sizeof *task);
    enum err_code code;

    *out = task;
    if (!task)
        return err_set(err, ERR_NOMEM, "memory for what a message teaches");
    task->capabilities = (struct buf)BUF_INIT(SMIME_VERIFY_LIMIT_CAPABILITIES);
    task->services = flow_services_add1(message->services);
    task->certificate = pki_certificate_add1(certificate);
    task->judged = certificate == signer->certificate;
    task->signed_at = signer->signing_time;
    snprintf(task->id, sizeof task->id, "%s", message->id);
    snprintf(task->address, sizeof task->address, "%s", result->from.address);
    task->trusts = calloc(inbound->trust_count + 1, sizeof(*task->trusts));
    if (!task->trusts)
        return err_set(err, ERR_NOMEM, "memory for what a message teaches");
    for (size_t i = 0; i < inbound->trust_count; i++)
        task->trusts[task->trust_count++] = inbound->trusts[i];
    code = task_load_untrusted(task, &result->smime->certificates, err);
    for (size_t i = 0; code == ERR_OK && i < result->signer->issuers.count; i++)
        code = pki_certificates_add1(&task->chain, result->signer->issuers.list[i], err);
    if (code == ERR_OK)
        code = buf_append(&task->capabilities, buf_span(&signer->capabilities), err);
    return code;
}

void
flow_harvest_add(struct flow_message *message)
{
    const struct flow_verification_result *result;
    struct pki_certificate *certificate;
    struct task *task = NULL;
    struct err err = ERR_INIT;

    if (!harvest_pool || !message->conf->global.harvest || !message->inbound ||
        !message->inbound->verification || message->ended)
        return;
    result = flow_verification_get(message->inbound->verification);
    if (result->verdict.result != POLICY_RESULT_PASS || !result->signer || !result->smime)
        return;
    certificate = certificate_find(message, result);
    if (!certificate)
        return;
    if (task_new(message, result, certificate, &task, &err) == ERR_OK &&
        pool_submit(harvest_pool, task_run, task, &err) == ERR_OK)
        return;
    log_warn("harvest", message->id, "nothing was learnt from a message of %s: %s",
             result->from.address, err.text);
    if (task)
        task_free(task);
}
