#include "milter/housekeeping.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include "flow/resubmission.h"
#include "milter/letters.h"
#include "milter/reload.h"
#include "pki/reason.h"
#include "util/clock.h"
#include "util/log.h"

enum { HOUR_MS = 3600 * 1000, DAY_MS = 24 * HOUR_MS };

static pthread_t keeper;
static bool running;
static atomic_bool stop;

/* ---- certificates that will expire -------------------------------------------------------------
 */

/* Will another certificate of ours serve this address when `key`'s has expired? Histories hold
 * years of old pairs; only an address that will be left without one is worth an operator's time. */
static bool
has_successor(const struct flow_services *services, const struct pki_key *key, const char *address,
              enum pki_use use)
{
    const struct pki_certificate_facts *facts = pki_certificate_get(key->certificate);
    struct pki_keyring_question question = {
        .address = address,
        .use = use,
        .now = facts->not_after + 1,
        .policy = &services->leaf_policy,
    };
    const struct pki_key *next = NULL;
    struct pki_answer why;
    struct err err = ERR_INIT;

    return pki_keyring_find(services->keyring, &question, &next, &why, &err) == ERR_OK;
}

static bool
will_be_missed(const struct flow_services *services, const struct pki_key *key, time_t now)
{
    const struct pki_certificate_facts *facts = pki_certificate_get(key->certificate);

    for (size_t i = 0; facts->addresses && facts->addresses[i]; i++) {
        for (int use = PKI_USE_SIGN; use <= PKI_USE_ENCRYPT; use++) {
            struct pki_answer good;
            pki_certificate_check(key->certificate, (enum pki_use)use, facts->addresses[i], now,
                                  &services->leaf_policy, &good);
            if (good.status == PKI_STATUS_OK &&
                !has_successor(services, key, facts->addresses[i], (enum pki_use)use))
                return true;
        }
    }
    return false;
}

size_t
milter_housekeeping_find_expiring(const struct flow_services *services, time_t now,
                                  milter_housekeeping_expiry_fn *each, void *context)
{
    time_t soon = now + (time_t)(services->conf->global.expiry_warning / 1000);
    size_t count = 0;

    for (size_t i = 0; i < pki_keyring_count(services->keyring); i++) {
        const struct pki_key *key = pki_keyring_get(services->keyring, i);
        time_t not_after = pki_certificate_get(key->certificate)->not_after;

        if (not_after < now || not_after > soon || !will_be_missed(services, key, now))
            continue;
        count++;
        if (each)
            each(context, key, not_after);
    }
    return count;
}

static void
warn_expiry(void *context, const struct pki_key *key, time_t not_after)
{
    const struct pki_certificate_facts *facts = pki_certificate_get(key->certificate);
    char when[PKI_TIME_SIZE], log_key[48];
    time_t now = *(const time_t *)context;

    snprintf(log_key, sizeof log_key, "expires-%.32s", facts->fingerprint);
    log_warn(log_key, NULL, "the certificate of %s, serial %s, expires in %lld days, on %s: %s",
             facts->addresses[0], facts->serial, (long long)(not_after - now) / 86400,
             pki_time_format(not_after, when), key->file);
}

static void
warn_all(void)
{
    struct flow_services *services = flow_services_get1();
    time_t now = clock_now_s();

    if (services)
        (void)milter_housekeeping_find_expiring(services, now, warn_expiry, &now);
    flow_services_free(&services);
}

/* ---- files --------------------------------------------------------------------------------------
 */

static void
complain_import(void *context, const char *file, const char *text)
{
    (void)context;
    log_warn("import", NULL, "%s: %s", file ? file : "import_folder", text);
}

static void
import_files(const struct conf_global *global)
{
    struct err err = ERR_INIT;
    size_t count = 0;

    if (!global->import_folder[0])
        return;
    const char *password = global->import_password_file[0] ? global->import_password_file : NULL;
    if (pki_keyring_import_folder(global->import_folder, password, global->keys_folder,
                                  complain_import, NULL, &count, &err))
        log_warn("import", NULL, "import_folder: %s", err.text);
    if (count > 0)
        log_info(NULL, "imported %zu pairs from %s", count, global->import_folder);
}

/* The journal of copies, where this process has written one. */
static void
forget_copies(void)
{
    struct flow_services *services = flow_services_get1();
    struct err err = ERR_INIT;

    if (services && flow_resubmission_expire(services->resubmission, &err) != ERR_OK)
        log_warn("copies-journal", NULL, "old notes of copies stay: %s", err.text);
    flow_services_free(&services);
}

static int64_t
look_at_files(void)
{
    struct flow_services *services = flow_services_get1();
    struct err err = ERR_INIT;
    int64_t interval_ms = 30000;

    if (services) {
        interval_ms = services->conf->global.import_interval;
        import_files(&services->conf->global);
    }
    flow_services_free(&services);
    if (milter_reload_check(&err))
        log_debug(NULL, "files: %s", err.text); /* the warning is written */
    services = flow_services_get1();
    if (services)
        milter_letters_run(services);
    flow_services_free(&services);
    return interval_ms;
}

/* ---- the thread ---------------------------------------------------------------------------------
 */

static void *
keep(void *unused)
{
    int64_t files_ms = clock_monotonic_ms(), warn_ms = files_ms, forget_ms = files_ms + HOUR_MS;
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    while (!atomic_load(&stop)) {
        int64_t now_ms = clock_monotonic_ms();
        if (now_ms >= files_ms)
            files_ms = clock_monotonic_ms() + look_at_files();
        if (now_ms >= warn_ms) {
            warn_all();
            warn_ms = clock_monotonic_ms() + DAY_MS;
        }
        if (now_ms >= forget_ms) {
            forget_copies();
            forget_ms = clock_monotonic_ms() + HOUR_MS;
        }
        int64_t next_ms = files_ms < warn_ms ? files_ms : warn_ms;
        int64_t left_ms = (next_ms < forget_ms ? next_ms : forget_ms) - clock_monotonic_ms();
        if (left_ms < 0)
            left_ms = 0;
        struct timespec wait = { .tv_sec = left_ms / 1000, .tv_nsec = (left_ms % 1000) * 1000000 };
        if (sigtimedwait(&set, NULL, &wait) == SIGUSR1 && !atomic_load(&stop)) {
            struct err err = ERR_INIT;
            if (milter_reload_load(&err))
                log_debug(NULL, "reload: %s", err.text); /* the warning is written */
        }
    }
    return unused;
}

enum err_code
milter_housekeeping_init(struct err *err)
{
    atomic_store(&stop, false);
    int code = pthread_create(&keeper, NULL, keep, NULL);
    if (code)
        return err_set_errno(err, code, "cannot start the housekeeping thread");
    running = true;
    return ERR_OK;
}

void
milter_housekeeping_deinit(void)
{
    if (!running)
        return;
    atomic_store(&stop, true);
    pthread_kill(keeper, SIGUSR1);
    pthread_join(keeper, NULL);
    milter_letters_deinit();
    running = false;
}
