#include "milter/letters.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/cache.h"
#include "flow/dispatch.h"
#include "flow/evidence.h"
#include "flow/letters.h"
#include "flow/notice.h"
#include "flow/told.h"
#include "milter/housekeeping.h"
#include "pki/reason.h"
#include "util/clock.h"
#include "util/log.h"

enum {
    DAY_S = 86400 - 600, /* a round may come a little earlier than the one of the day before */
    ARRIVED_S = 30 * 86400,
    CLAIM_MS = 120 * 1000,
};

/* Of the housekeeping thread alone. */
static struct flow_told *told;
static char *told_path;
static struct cache *shared;
static char *shared_parts;
static char *waiting_path; /* what waits, over a restart */

struct round {
    struct flow_services *services;
    time_t now;
    int64_t deadline_ms;
    bool over; /* the MTA does not take letters now, or the time is up */
};

/* What waits is on the disk when a round ends. */
static bool
write_waiting(void)
{
    struct err err = ERR_INIT;

    if (!waiting_path || flow_letters_write(waiting_path, &err) == ERR_OK)
        return waiting_path != NULL;
    log_warn("letters-written", NULL, "letters that wait are in memory alone: %s", err.text);
    return false;
}

/* Once; and where a reload has named another folder. */
static void
load_waiting(const struct conf_global *global)
{
    struct err err = ERR_INIT;
    char *path = NULL;

    if (asprintf(&path, "%s/letters.waiting", global->state_folder) < 0)
        return;
    if (waiting_path && strcmp(path, waiting_path) == 0) {
        free(path);
        return;
    }
    free(waiting_path);
    waiting_path = path;
    if (flow_letters_load(path, &err) != ERR_OK)
        log_warn("letters-waiting", NULL, "letters that waited are not sent: %.200s: %s", path,
                 err.text);
}

void
milter_letters_deinit(void)
{
    bool kept = write_waiting();

    flow_told_free(&told);
    free(told_path);
    told_path = NULL;
    cache_free(&shared);
    free(shared_parts);
    shared_parts = NULL;
    free(waiting_path);
    waiting_path = NULL;
    flow_letters_reset(kept);
}

/* ---- what was written --------------------------------------------------------------------------
 */

/* The file of the state folder, read once. */
static bool
load_told(const struct conf_global *global)
{
    struct err err = ERR_INIT;
    char *path = NULL;

    if (asprintf(&path, "%s/letters", global->state_folder) < 0)
        return false;
    if (told && strcmp(path, told_path) == 0) {
        free(path);
        return true;
    }
    flow_told_free(&told);
    free(told_path);
    told_path = path;
    if (flow_told_load(path, &told, &err) == ERR_OK)
        return true;
    log_warn("letters-state", NULL, "no letters are written about certificates: %s", err.text);
    return false;
}

static bool
is_ours(const void *context, const char *fingerprint)
{
    const struct round *round = context;
    const struct pki_keyring *keyring = round->services->keyring;

    for (size_t i = 0; i < pki_keyring_count(keyring); i++) {
        const struct pki_key *key = pki_keyring_get(keyring, i);

        if (strcmp(pki_certificate_get(key->certificate)->fingerprint, fingerprint) == 0)
            return true;
    }
    return false;
}

static void
write_told(struct round *round)
{
    struct err err = ERR_INIT;

    if (flow_told_write(told, is_ours, round, &err) == ERR_OK)
        return;
    /* Not to be known after a restart: rather no more of them now. */
    log_warn("letters-state", NULL, "which letters were written cannot be noted: %s", err.text);
    round->over = true;
}

static void
note(struct round *round, enum flow_notice_kind kind, const char *fingerprint, time_t at)
{
    struct err err = ERR_INIT;

    if (flow_told_set(told, kind, fingerprint, at, &err) != ERR_OK)
        round->over = true;
    else
        write_told(round);
}

/* ---- the hint that gateways share --------------------------------------------------------------
 */

static void
load_shared(const struct flow_services *services)
{
    struct err err = ERR_INIT;

    if (shared_parts && strcmp(shared_parts, services->evidence_parts) == 0)
        return;
    cache_free(&shared);
    free(shared_parts);
    shared_parts = strdup(services->evidence_parts);
    if (services->conf->global.cache != CONF_CACHE_REDIS)
        return;
    if (flow_evidence_cache_new(&services->conf->global, &shared, &err) != ERR_OK)
        log_warn("letters-cache", NULL, "letters are not shared with other gateways: %s", err.text);
}

static struct span
shared_key(enum flow_notice_kind kind, const char *fingerprint, char out[CACHE_KEY_BYTES])
{
    snprintf(out, CACHE_KEY_BYTES, "letter:%s:%.100s",
             kind == FLOW_NOTICE_EXPIRES ? "expires" : "arrived", fingerprint);
    return span_str(out);
}

/* When another gateway wrote it; 0: not, or nobody knows. */
static time_t
shared_get(enum flow_notice_kind kind, const char *fingerprint)
{
    char key[CACHE_KEY_BYTES];
    struct buf value = BUF_INIT(64);
    struct err err = ERR_INIT;
    int64_t at_s = 0;

    if (shared &&
        cache_get(shared, shared_key(kind, fingerprint, key), &value, &at_s, &err) != ERR_OK)
        at_s = 0;
    buf_free(&value);
    return (time_t)at_s;
}

static void
shared_set(enum flow_notice_kind kind, const char *fingerprint, time_t now)
{
    char key[CACHE_KEY_BYTES];
    const struct cache_value value = { .bytes = span_str("1"),
                                       .fetched_s = now,
                                       .ttl_s = kind == FLOW_NOTICE_EXPIRES ? DAY_S : ARRIVED_S };
    struct err err = ERR_INIT;

    if (shared)
        (void)cache_set(shared, shared_key(kind, fingerprint, key), &value, &err);
}

/* ---- one letter --------------------------------------------------------------------------------
 */

static bool
is_due(enum flow_notice_kind kind, time_t last, time_t now)
{
    /* A clock that was wrong keeps nobody from a letter for longer than a day. */
    if (last == 0 || last > now + 86400)
        return true;
    return kind == FLOW_NOTICE_EXPIRES && now - last >= DAY_S;
}

static bool
can_send(const struct flow_services *services)
{
    return services->notices && services->conf->global.resubmit_server[0];
}

static enum err_code
send_about(struct round *round, enum flow_notice_kind kind, const struct pki_key *key,
           struct err *err)
{
    const struct pki_certificate_facts *facts = pki_certificate_get(key->certificate);
    struct buf letter = BUF_INIT(FLOW_NOTICE_BYTES);
    char from[300], date[PKI_TIME_SIZE], days[32];
    enum err_code code;

    snprintf(from, sizeof from, "postmaster@%s", round->services->hostname);
    snprintf(days, sizeof days, "%lld", (long long)(facts->not_after - round->now) / 86400);
    code =
        flow_notice_format(round->services->notices,
                           &(struct flow_notice){ .kind = kind,
                                                  .from = from,
                                                  .to = facts->addresses[0],
                                                  .host = round->services->hostname,
                                                  .address = facts->addresses[0],
                                                  .serial = facts->serial,
                                                  .date = pki_time_format(facts->not_after, date),
                                                  .days = days,
                                                  .now = round->now },
                           &letter, err);
    if (code == ERR_OK)
        code = flow_dispatch_letter(round->services, facts->addresses[0], &letter,
                                    clock_monotonic_ms() + MILTER_LETTERS_SEND_MS, err);
    buf_free(&letter);
    return code;
}

/* What became of it. A letter that can never be sent is not tried again until it is due again. */
static void
settle(struct round *round, enum flow_notice_kind kind, const struct pki_key *key,
       enum err_code code, const struct err *err)
{
    const struct pki_certificate_facts *facts = pki_certificate_get(key->certificate);
    const char *what = kind == FLOW_NOTICE_EXPIRES ? "expires" : "arrived";

    if (code == ERR_OK) {
        log_info(NULL, "letter: %s, to %s, certificate %s", what, facts->addresses[0],
                 facts->serial);
        shared_set(kind, facts->fingerprint, round->now);
        note(round, kind, facts->fingerprint, round->now);
    } else if (code == ERR_PERM) {
        log_warn("letters", NULL, "no letter (%s) to %s: %s", what, facts->addresses[0], err->text);
        note(round, kind, facts->fingerprint, round->now);
    } else {
        log_warn("letters", NULL, "letters wait: %s", err->text);
        round->over = true;
    }
}

static void
write_about(struct round *round, enum flow_notice_kind kind, const struct pki_key *key)
{
    const char *fingerprint = pki_certificate_get(key->certificate)->fingerprint;
    char name[CACHE_KEY_BYTES];
    struct cache_claim claim = { .token = "" };
    struct err err = ERR_INIT, ignored = ERR_INIT;
    time_t elsewhere;

    round->over |= clock_monotonic_ms() > round->deadline_ms;
    if (round->over || !is_due(kind, flow_told_get(told, kind, fingerprint), round->now))
        return;
    elsewhere = shared_get(kind, fingerprint);
    if (!is_due(kind, elsewhere, round->now)) {
        note(round, kind, fingerprint, elsewhere);
        return;
    }
    /* Another gateway is about to: the next round sees what became of it. */
    if (shared && cache_claim(shared, shared_key(kind, fingerprint, name), CLAIM_MS, &claim,
                              &ignored) == ERR_NOTFOUND)
        return;
    settle(round, kind, key, send_about(round, kind, key, &err), &err);
    if (shared)
        cache_release(shared, shared_key(kind, fingerprint, name), &claim);
}

/* ---- the round ---------------------------------------------------------------------------------
 */

/* Does it sign from now on? What is kept of older years, or encrypts alone, is no news. */
static bool
is_news(const struct flow_services *services, const struct pki_key *key, time_t now)
{
    const struct pki_certificate_facts *facts = pki_certificate_get(key->certificate);
    const struct pki_key *best = NULL;
    struct pki_answer why;
    struct err err = ERR_INIT;

    if (!facts->addresses || !facts->addresses[0])
        return false;
    const struct pki_keyring_question question = { .address = facts->addresses[0],
                                                   .use = PKI_USE_SIGN,
                                                   .now = now,
                                                   .policy = &services->leaf_policy };
    return pki_keyring_find(services->keyring, &question, &best, &why, &err) == ERR_OK &&
           best == key;
}

static void
look_for_arrived(struct round *round)
{
    const struct flow_services *services = round->services;
    bool first = flow_told_is_new(told), changed = false;

    for (size_t i = 0; !round->over && i < pki_keyring_count(services->keyring); i++) {
        const struct pki_key *key = pki_keyring_get(services->keyring, i);
        const struct pki_certificate_facts *facts = pki_certificate_get(key->certificate);
        struct err err = ERR_INIT;

        if (flow_told_get(told, FLOW_NOTICE_ARRIVED, facts->fingerprint) != 0)
            continue;
        if (!first && is_news(services, key, round->now)) {
            if (can_send(services) && services->conf->global.notice_arrived) {
                write_about(round, FLOW_NOTICE_ARRIVED, key);
                continue;
            }
            log_info(NULL, "a new certificate of %s has arrived: serial %s", facts->addresses[0],
                     facts->serial);
        }
        changed = true;
        if (flow_told_set(told, FLOW_NOTICE_ARRIVED, facts->fingerprint, round->now, &err))
            round->over = true;
    }
    if (changed || first)
        write_told(round);
}

static void
write_expires(void *context, const struct pki_key *key, time_t not_after)
{
    (void)not_after;
    write_about(context, FLOW_NOTICE_EXPIRES, key);
}

static void
send_waiting(struct round *round)
{
    struct buf letter;
    char *to;

    while (!round->over && clock_monotonic_ms() < round->deadline_ms &&
           flow_letters_take(&to, &letter)) {
        struct err err = ERR_INIT;

        if (flow_dispatch_letter(round->services, to, &letter,
                                 clock_monotonic_ms() + MILTER_LETTERS_SEND_MS, &err) == ERR_OK) {
            log_info(NULL, "letter: refused, to %s", to);
        } else if (err.code == ERR_PERM) {
            log_warn("letters", NULL, "no letter to %s: %s", to, err.text);
            log_info(NULL, "letter: lost, to %s", to);
        } else {
            log_warn("letters", NULL, "letters wait: %s", err.text);
            round->over = true;
            flow_letters_return(to, &letter);
            continue;
        }
        free(to);
        buf_free(&letter);
    }
}

void
milter_letters_run(struct flow_services *services)
{
    const struct conf_global *global = &services->conf->global;
    struct round round = { .services = services,
                           .now = clock_now_s(),
                           .deadline_ms = clock_monotonic_ms() + MILTER_LETTERS_ROUND_MS };

    load_waiting(global);
    load_shared(services);
    if (load_told(global)) {
        look_for_arrived(&round);
        /* Without a listener the daily warning of the log is all there is. */
        if (can_send(services) && global->notice_expires)
            (void)milter_housekeeping_find_expiring(services, round.now, write_expires, &round);
    }
    if (can_send(services))
        send_waiting(&round);
    (void)write_waiting();
}
