#include "flow/services.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "flow/evidence.h"
#include "flow/harvest.h"
#include "flow/notice.h"
#include "flow/rate.h"
#include "flow/resolve.h"
#include "flow/resubmission.h"

static pthread_mutex_t services_lock = PTHREAD_MUTEX_INITIALIZER;
static struct flow_services *services_current; /* behind services_lock */

struct services_complaint {
    flow_services_complaint_fn *complain;
    void *context;
};

static void
services_complain(void *context, const char *file, const char *text)
{
    const struct services_complaint *complaint = context;
    char line[1024];

    if (!complaint->complain)
        return;
    if (file && strncmp(text, file, strlen(file)) != 0)
        snprintf(line, sizeof(line), "%s: %s", file, text);
    else
        snprintf(line, sizeof(line), "%s", text);
    complaint->complain(complaint->context, line);
}

static enum err_code
services_load_names(struct flow_services *services, struct err *err)
{
    const struct conf_global *global = &services->conf->global;
    int written;

    if (global->hostname[0]) {
        written = snprintf(services->hostname, sizeof(services->hostname), "%s", global->hostname);
        if (written >= (int)sizeof(services->hostname))
            return err_set(err, ERR_PERM, "hostname is longer than %zu characters",
                           sizeof(services->hostname) - 1);
    } else if (gethostname(services->hostname, sizeof(services->hostname) - 1) != 0 ||
               !services->hostname[0]) {
        return err_set(err, ERR_PERM, "this host has no name; set hostname");
    }
    written = snprintf(services->authserv_id, sizeof(services->authserv_id), "%s",
                       global->authserv_id[0] ? global->authserv_id : services->hostname);
    if (written >= (int)sizeof(services->authserv_id))
        return err_set(err, ERR_PERM, "authserv_id is longer than %zu characters",
                       sizeof(services->authserv_id) - 1);
    return ERR_OK;
}

static enum err_code
services_load_trusts(struct flow_services *services, struct err *err)
{
    const struct conf *conf = services->conf;
    enum err_code code;
    size_t i;

    if (conf->trust_count == 0)
        return ERR_OK;
    services->trusts = calloc(conf->trust_count, sizeof(*services->trusts));
    if (!services->trusts)
        return err_set(err, ERR_NOMEM, "memory for trust sets");
    for (i = 0; i < conf->trust_count; i++) {
        const struct conf_trust *trust = &conf->trusts[i];
        struct pki_trust_args args = {
            .name = trust->name,
            .anchors = (const char *const *)trust->anchors,
            .intermediates = (const char *const *)trust->intermediates,
            .crls = (const char *const *)trust->crls,
        };

        code = pki_trust_load(&args, &services->trusts[i].trust, err);
        if (code != ERR_OK)
            return code;
        services->trusts[i].name = trust->name;
        services->trust_count = i + 1;
    }
    return ERR_OK;
}

static enum err_code
services_load_lookup(struct flow_services *services, struct err *err)
{
    const struct conf *conf = services->conf;
    struct directory **directories = NULL;
    struct directory_lookup_sources sources = {
        .keyring = services->keyring,
        .certificate_folders = (const char *const *)conf->global.certificate_folders,
        .harvest = flow_harvest_get(services->harvest),
        .order = (const char *const *)conf->global.lookup_order,
    };
    enum err_code code = ERR_OK;
    size_t i;

    directories = calloc(conf->directory_count + 1, sizeof(*directories));
    if (!directories)
        return err_set(err, ERR_NOMEM, "memory for directories");
    for (i = 0; i < conf->directory_count; i++) {
        code = directory_new(&conf->directories[i], &directories[i], err);
        if (code != ERR_OK)
            goto out;
    }
    sources.directories = directories;
    sources.directory_count = conf->directory_count;
    code = directory_lookup_new(&sources, &services->lookup, err);
    if (code == ERR_OK)
        memset(directories, 0, conf->directory_count * sizeof(*directories));
out:
    for (i = 0; i < conf->directory_count; i++)
        directory_free(&directories[i]);
    free(directories);
    return code;
}

static enum err_code
services_load_evidence(struct flow_services *services, struct err *err)
{
    struct flow_services *current = flow_services_get1();
    enum err_code code = ERR_OK;

    services->evidence_parts = flow_evidence_format(services->conf);
    if (!services->evidence_parts)
        code = err_set(err, ERR_NOMEM, "memory for trust evidence");
    else if (current && strcmp(current->evidence_parts, services->evidence_parts) == 0)
        services->evidence = pki_evidence_add1(current->evidence);
    else
        code = flow_evidence_new(&services->conf->global, &services->evidence, err);
    if (code == ERR_OK && !current)
        flow_evidence_set_first_lookup(services->lookup);
    flow_services_free(&current);
    return code;
}

/* Without templates no letters are written. */
static enum err_code
services_load_notices(struct flow_services *services, struct services_complaint *complaint,
                      struct err *err)
{
    const struct conf_global *global = &services->conf->global;
    struct err why = ERR_INIT;

    if (!global->notices_folder[0] ||
        flow_notice_load(global->notices_folder, &services->notices, &why) == ERR_OK)
        return ERR_OK;
    if (why.code != ERR_NOTFOUND)
        return err_set(err, why.code, "%s", why.text);
    if (global->resubmit_server[0])
        services_complain(complaint, NULL, why.text);
    return ERR_OK;
}

static enum err_code
services_load_resubmission(struct flow_services *services, struct err *err)
{
    struct flow_services *current = flow_services_get1();
    enum err_code code =
        flow_resubmission_new(&services->conf->global, services->hostname,
                              current ? current->resubmission : NULL, &services->resubmission, err);

    flow_services_free(&current);
    return code;
}

/* What was tried before a reload was tried. */
static enum err_code
services_load_rate(struct flow_services *services, struct err *err)
{
    struct flow_services *current = flow_services_get1();
    enum err_code code = ERR_OK;

    if (current)
        services->decrypt_rate = flow_rate_add1(current->decrypt_rate);
    else
        code = flow_rate_new(&services->decrypt_rate, err);
    flow_services_free(&current);
    return code;
}

enum err_code
flow_services_new(struct conf *conf, flow_services_complaint_fn *complain, void *context,
                  struct flow_services **out, struct err *err)
{
    struct services_complaint complaint = { .complain = complain, .context = context };
    struct flow_services *services = calloc(1, sizeof(*services));
    enum err_code code;

    if (!services)
        return err_set(err, ERR_NOMEM, "memory for the services");
    services->references = 1;
    services->conf = conf_add1(conf);
    services->leaf_policy = (struct pki_leaf_policy){
        .subject_address = conf->global.subject_address,
        .fold_local = conf->global.fold_local_part,
        .rsa_bits_min = (unsigned)conf->global.rsa_bits_min,
    };
    code = services_load_names(services, err);
    if (code == ERR_OK)
        code = pki_keyring_load(conf->global.keys_folder[0] ? conf->global.keys_folder : NULL,
                                services_complain, &complaint, &services->keyring, err);
    if (code == ERR_OK)
        code = services_load_trusts(services, err);
    if (code == ERR_OK)
        code = flow_harvest_new(&conf->global, &services->harvest, err);
    if (code == ERR_OK)
        code = services_load_lookup(services, err);
    if (code == ERR_OK)
        code = flow_resolve_new(&conf->global, &services->resolve, err);
    if (code == ERR_OK)
        code = services_load_evidence(services, err);
    if (code == ERR_OK)
        code = services_load_resubmission(services, err);
    if (code == ERR_OK)
        code = services_load_notices(services, &complaint, err);
    if (code == ERR_OK)
        code = services_load_rate(services, err);
    if (code != ERR_OK) {
        flow_services_free(&services);
        return code;
    }
    *out = services;
    return ERR_OK;
}

struct flow_services *
flow_services_add1(struct flow_services *services)
{
    __atomic_add_fetch(&services->references, 1, __ATOMIC_RELAXED);
    return services;
}

void
flow_services_free(struct flow_services **services)
{
    struct flow_services *old = services ? *services : NULL;
    size_t i;

    if (services)
        *services = NULL;
    if (!old || __atomic_sub_fetch(&old->references, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    flow_resolve_free(&old->resolve);
    flow_evidence_reset_lookup(old->lookup);
    pki_evidence_free(&old->evidence);
    free(old->evidence_parts);
    flow_resubmission_free(&old->resubmission);
    flow_notice_free(&old->notices);
    flow_rate_free(&old->decrypt_rate);
    directory_lookup_free(&old->lookup);
    flow_harvest_free(&old->harvest);
    for (i = 0; i < old->trust_count; i++)
        pki_trust_free(&old->trusts[i].trust);
    free(old->trusts);
    pki_keyring_free(&old->keyring);
    conf_free(&old->conf);
    free(old);
}

void
flow_services_swap(struct flow_services *services)
{
    struct flow_services *old;

    flow_evidence_set_lookup(services ? services->lookup : NULL);
    pthread_mutex_lock(&services_lock);
    old = services_current;
    services_current = services;
    pthread_mutex_unlock(&services_lock);
    /* Outside the lock: the last reference frees keys and trust sets. */
    flow_services_free(&old);
}

struct flow_services *
flow_services_get1(void)
{
    struct flow_services *services;

    pthread_mutex_lock(&services_lock);
    services = services_current ? flow_services_add1(services_current) : NULL;
    pthread_mutex_unlock(&services_lock);
    return services;
}

const struct pki_trust *
flow_services_trust(const struct flow_services *services, const char *name)
{
    size_t i;

    for (i = 0; i < services->trust_count; i++) {
        if (strcmp(services->trusts[i].name, name) == 0)
            return services->trusts[i].trust;
    }
    return NULL;
}
