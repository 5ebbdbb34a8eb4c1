#include "pki/verdict.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "util/clock.h"

enum { WAYS = 2, SETS = PKI_VERDICT_PLACES / WAYS };

/* What a verdict depends on beside the trust set. */
struct question {
    struct pki_certificate *leaf; /* a reference, in an entry */
    struct pki_revocation_rules rules;
    const struct pki_evidence *evidence; /* compared, never followed */
    uint64_t generation;                 /* of the evidence */
    const char *source;                  /* static; not NULL */
};

struct entry {
    struct question question;
    time_t from, until; /* when it holds */
    struct pki_answer answer;
    size_t count;
    struct pki_path_step steps[]; /* with references */
};

struct pki_verdicts {
    pthread_mutex_t lock;
    struct entry *sets[SETS][WAYS]; /* the most recently used first */
    struct pki_verdict_counts counts;
};

static void
entry_free(struct entry *entry)
{
    if (!entry)
        return;
    pki_certificate_free(&entry->question.leaf);
    for (size_t i = 0; i < entry->count; i++)
        pki_certificate_free(&entry->steps[i].certificate);
    free(entry);
}

struct pki_verdicts *
pki_verdicts_new(void)
{
    struct pki_verdicts *verdicts = calloc(1, sizeof *verdicts);

    if (verdicts && pthread_mutex_init(&verdicts->lock, NULL)) {
        free(verdicts);
        verdicts = NULL;
    }
    return verdicts;
}

void
pki_verdicts_free(struct pki_verdicts **verdicts)
{
    struct pki_verdicts *old = *verdicts;

    *verdicts = NULL;
    if (!old)
        return;
    for (size_t i = 0; i < SETS; i++) {
        for (size_t j = 0; j < WAYS; j++)
            entry_free(old->sets[i][j]);
    }
    pthread_mutex_destroy(&old->lock);
    free(old);
}

void
pki_verdicts_get(struct pki_verdicts *verdicts, struct pki_verdict_counts *out)
{
    pthread_mutex_lock(&verdicts->lock);
    *out = verdicts->counts;
    pthread_mutex_unlock(&verdicts->lock);
}

/* ---- what may be kept --------------------------------------------------------------------------
 */

/* CRLs of the question and policies are not part of what is compared. */
static bool
is_plain(const struct pki_path_args *args)
{
    return (!args->crls || sk_X509_CRL_num(args->crls) <= 0) &&
           (!args->message_crls || sk_X509_CRL_num(args->message_crls) <= 0) && !args->policies &&
           !args->explicit_policy && !args->inhibit_policy_mapping && !args->inhibit_any_policy &&
           !args->allow_weak;
}

static struct question
question_of(const struct pki_path_args *args)
{
    return (struct question){
        .leaf = (struct pki_certificate *)(uintptr_t)args->leaf,
        .rules = args->revocation,
        .evidence = args->evidence,
        .generation = args->evidence ? pki_evidence_generation(args->evidence) : 0,
        .source = args->source ? args->source : "message",
    };
}

static bool
is_same(const struct question *a, const struct question *b)
{
    return a->rules.mode == b->rules.mode && a->rules.methods == b->rules.methods &&
           a->rules.stale_s == b->rules.stale_s && a->rules.giveup_s == b->rules.giveup_s &&
           a->rules.crl_max_age_s == b->rules.crl_max_age_s &&
           a->rules.ocsp_max_age_s == b->rules.ocsp_max_age_s && a->evidence == b->evidence &&
           a->generation == b->generation && strcmp(a->source, b->source) == 0 &&
           pki_certificate_is(a->leaf, b->leaf);
}

static void
narrow(time_t *from, time_t *until, time_t begin, time_t end)
{
    *from = begin > *from ? begin : *from;
    *until = end < *until ? end : *until;
}

/* The window in which one step stays what it is. False: it is not known to. */
static bool
step_window(const struct pki_path_step *step, const struct pki_revocation_rules *rules,
            time_t *from, time_t *until)
{
    const struct pki_certificate_facts *facts;
    unsigned most_s = rules->crl_max_age_s;

    if (!step->certificate || step->stale || step->accepted)
        return false;
    facts = pki_certificate_get(step->certificate);
    narrow(from, until, facts->not_before, facts->not_after);
    if (strcmp(step->revocation, "anchor") == 0 || strcmp(step->revocation, "off") == 0)
        return true;
    if (strcmp(step->revocation, "good") != 0 || step->this_update == 0)
        return false;
    narrow(from, until, step->this_update,
           step->next_update ? step->next_update : step->this_update + PKI_PATH_CRL_OPEN_AGE_S);
    if (!most_s || (rules->ocsp_max_age_s && rules->ocsp_max_age_s < most_s))
        most_s = rules->ocsp_max_age_s;
    if (most_s)
        narrow(from, until, *from, step->this_update + (time_t)most_s);
    return true;
}

/* NULL: not to be kept, or no memory, which is no reason to fail. */
static struct entry *
entry_new(const struct question *question, const struct pki_path_result *result, time_t at)
{
    time_t from = 0, until = at + PKI_VERDICT_LIFE_S;
    struct entry *entry;

    if (result->answer.status != PKI_STATUS_OK || result->unfresh || result->count == 0)
        return NULL;
    for (size_t i = 0; i < result->count; i++) {
        if (!step_window(&result->steps[i], &question->rules, &from, &until))
            return NULL;
    }
    if (at < from || at >= until)
        return NULL;
    entry = malloc(sizeof *entry + result->count * sizeof entry->steps[0]);
    if (!entry)
        return NULL;
    *entry = (struct entry){ .question = *question,
                             .from = from,
                             .until = until,
                             .answer = result->answer,
                             .count = result->count };
    pki_certificate_add1(entry->question.leaf);
    memcpy(entry->steps, result->steps, result->count * sizeof entry->steps[0]);
    for (size_t i = 0; i < result->count; i++)
        pki_certificate_add1(entry->steps[i].certificate);
    return entry;
}

/* ---- the table ---------------------------------------------------------------------------------
 */

/* The fingerprint is a digest already: some of its digits will do. */
static struct entry **
find_set(struct pki_verdicts *verdicts, const struct pki_certificate *leaf)
{
    char digits[9] = "";

    memcpy(digits, pki_certificate_get(leaf)->fingerprint, sizeof digits - 1);
    return verdicts->sets[strtoul(digits, NULL, 16) % SETS];
}

static bool
find(struct pki_verdicts *verdicts, const struct question *question, time_t at,
     struct pki_path_result *result)
{
    struct entry **set = find_set(verdicts, question->leaf), *found = NULL;

    pthread_mutex_lock(&verdicts->lock);
    for (size_t i = 0; i < WAYS && !found; i++) {
        if (!set[i] || at < set[i]->from || at >= set[i]->until ||
            !is_same(&set[i]->question, question))
            continue;
        found = set[i];
        memmove(set + 1, set, i * sizeof set[0]);
        set[0] = found;
        result->answer = found->answer;
        memcpy(result->steps, found->steps, found->count * sizeof found->steps[0]);
        result->count = found->count;
        for (size_t j = 0; j < found->count; j++)
            pki_certificate_add1(result->steps[j].certificate);
    }
    verdicts->counts.hits += found != NULL;
    verdicts->counts.misses += found == NULL;
    pthread_mutex_unlock(&verdicts->lock);
    return found != NULL;
}

static void
keep(struct pki_verdicts *verdicts, struct entry *entry)
{
    struct entry **set = find_set(verdicts, entry->question.leaf), *last;

    pthread_mutex_lock(&verdicts->lock);
    last = set[WAYS - 1];
    memmove(set + 1, set, (WAYS - 1) * sizeof set[0]);
    set[0] = entry;
    pthread_mutex_unlock(&verdicts->lock);
    entry_free(last);
}

enum err_code
pki_verdict_check(const struct pki_path_args *args, struct pki_path_result *result, struct err *err)
{
    struct pki_verdicts *verdicts = pki_trust_get0_verdicts(args->trust);
    time_t at = args->at ? args->at : clock_now_s();
    struct entry *entry;
    enum err_code code;

    if (!is_plain(args))
        return pki_path_check(args, result, err);
    /* What the evidence was before it was asked: what comes in meanwhile is new to the verdict. */
    struct question question = question_of(args);
    result->count = 0;
    result->unfresh = false;
    if (find(verdicts, &question, at, result))
        return ERR_OK;
    code = pki_path_check(args, result, err);
    if (code != ERR_OK)
        return code;
    entry = entry_new(&question, result, at);
    if (entry)
        keep(verdicts, entry);
    return ERR_OK;
}
