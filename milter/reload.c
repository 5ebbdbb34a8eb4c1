#include "milter/reload.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "flow/services.h"
#include "milter/notify.h"
#include "milter/watch.h"
#include "util/clock.h"
#include "util/log.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *conf_path;
static uint64_t watched; /* of the files that the snapshot was made of */
static struct milter_reload_facts facts;

void
milter_reload_set_log(const struct conf *conf)
{
    const struct conf_global *global = &conf->global;

    log_init(&(struct log_args){
        .sink = global->log == CONF_LOG_STDERR ? LOG_SINK_STDERR : LOG_SINK_SYSLOG,
        .form = global->log_form == CONF_LOG_JSON ? LOG_FORM_JSON : LOG_FORM_TEXT,
        .level = global->log_debug ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO,
        .facility = global->log_facility,
        .ident = "smimed",
        .debug_for = global->log_debug_for[0] ? global->log_debug_for : NULL,
    });
}

void
milter_reload_complain(void *context, const char *file, unsigned line, unsigned column,
                       const char *text)
{
    char key[48];

    if (context) { /* main, before there is a log: `context` is its stderr */
        fprintf(context, "%s:%u:%u: %s\n", file, line, column, text);
        return;
    }
    /* A key of its own for each, or the throttle would show the first error only. */
    snprintf(key, sizeof key, "conf-%u-%u", line, column);
    log_warn(key, NULL, "%s:%u:%u: %s", file, line, column, text);
}

static void
complain_file(void *context, const char *text)
{
    char key[48];
    unsigned h = 5381;

    (void)context;
    for (const char *p = text; *p; p++)
        h = h * 33 + (unsigned char)*p;
    snprintf(key, sizeof key, "left-out-%08x", h);
    log_warn(key, NULL, "left out: %s", text);
}

/* Warns of what a reload cannot change. */
static void
warn_fixed(const struct conf *before, const struct conf *after)
{
    const struct conf_global *a = &before->global, *b = &after->global;

    if (strcmp(a->socket, b->socket) || a->socket_mode != b->socket_mode ||
        strcmp(a->socket_group, b->socket_group) || strcmp(a->control_socket, b->control_socket) ||
        strcmp(a->user, b->user) || a->milter_timeout != b->milter_timeout ||
        a->resolve_threads != b->resolve_threads || a->resolve_queue != b->resolve_queue)
        log_warn("reload-fixed", NULL,
                 "socket, socket_mode, socket_group, control_socket, user, milter_timeout, "
                 "resolve_threads and resolve_queue take effect with a restart");
}

/* Builds and swaps; the caller holds the lock. */
static enum err_code
swap_in(struct conf *conf, struct err *err)
{
    struct flow_services *services = NULL;
    /* Before loading: what changes meanwhile is seen in the next round. */
    uint64_t seen = milter_watch_get(conf);

    if (flow_services_new(conf, complain_file, NULL, &services, err))
        return err->code;
    if (pki_evidence_start(services->evidence, err)) {
        flow_services_free(&services);
        return err->code;
    }
    facts.keys = pki_keyring_count(services->keyring);
    facts.trusts = services->trust_count;
    facts.generation++;
    facts.loaded_s = clock_now_s();
    flow_services_swap(services);
    watched = seen;
    return ERR_OK;
}

static enum err_code
finish(const char *what, struct err *err)
{
    facts.failed = err->code != ERR_OK;
    snprintf(facts.error, sizeof facts.error, "%s", facts.failed ? err->text : "");
    if (facts.failed)
        log_warn("reload", NULL, "%s failed, the old one stays: %s", what, err->text);
    else
        log_info(NULL, "%s: generation %llu, %zu keys, %zu trust sets", what,
                 (unsigned long long)facts.generation, facts.keys, facts.trusts);
    return err->code;
}

enum err_code
milter_reload_init(const char *path, struct conf *conf, struct err *err)
{
    pthread_mutex_lock(&lock);
    conf_path = path;
    enum err_code code = swap_in(conf, err);
    pthread_mutex_unlock(&lock);
    return code;
}

void
milter_reload_deinit(void)
{
    pthread_mutex_lock(&lock);
    flow_services_swap(NULL);
    pthread_mutex_unlock(&lock);
}

enum err_code
milter_reload_load(struct err *err)
{
    struct conf *conf = NULL;
    struct flow_services *before = NULL;

    pthread_mutex_lock(&lock);
    milter_notify_reloading();
    before = flow_services_get1();
    if (conf_load(conf_path, milter_reload_complain, NULL, &conf, err) || swap_in(conf, err))
        goto out;
    if (before)
        warn_fixed(before->conf, conf);
    milter_reload_set_log(conf);
out:
    (void)finish("configuration", err);
    milter_notify_ready(err->code ? "the last reload failed; the old configuration is in use"
                                  : "reloaded");
    flow_services_free(&before);
    conf_free(&conf);
    pthread_mutex_unlock(&lock);
    return err->code;
}

enum err_code
milter_reload_check(struct err *err)
{
    struct flow_services *services = NULL;

    pthread_mutex_lock(&lock);
    services = flow_services_get1();
    if (services && milter_watch_get(services->conf) != watched) {
        (void)swap_in(services->conf, err);
        (void)finish("keys, certificates or CRLs have changed", err);
    }
    flow_services_free(&services);
    pthread_mutex_unlock(&lock);
    return err->code;
}

void
milter_reload_get(struct milter_reload_facts *out)
{
    pthread_mutex_lock(&lock);
    *out = facts;
    pthread_mutex_unlock(&lock);
}
