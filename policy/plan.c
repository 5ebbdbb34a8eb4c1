#include "policy/plan.h"

#include <string.h>
#include <strings.h>

#include "policy/algorithm.h"
#include "policy/treatment.h"

/* What is known of a copy while it is put together. */
struct draft {
    struct policy_reading reading;
    size_t first;  /* recipient */
    size_t people; /* RecipientInfos but those of sender and escrow */
};

struct planning {
    const struct policy_treatments *all;
    struct policy_plan *plan;
    struct draft drafts[POLICY_LIMIT_COPIES];
    size_t limit, returned;
};

/* The number of a bucket: that of a copy, or of those who are returned. */
enum { PLAN_RETURNED = POLICY_LIMIT_COPIES };

/* ---- who shares a copy -------------------------------------------------------------------------
 */

static bool
plan_equal_lists(const conf_list a, const conf_list b)
{
    size_t i = 0;

    if (a == b)
        return true;
    if (a == NULL || b == NULL)
        return (a == NULL ? b : a)[0] == NULL;
    while (a[i] != NULL && b[i] != NULL && strcasecmp(a[i], b[i]) == 0)
        i++;
    return a[i] == NULL && b[i] == NULL;
}

/* Do two rules sign in the same way, and encrypt with the same additional recipients? */
static bool
plan_equal_rules(const struct policy_copy *copy, const struct policy_treatment *one)
{
    if (copy->sign && copy->sign_rule != one->sign_rule &&
        (copy->sign_rule->digest != one->sign_rule->digest ||
         copy->sign_rule->rsa_signature != one->sign_rule->rsa_signature ||
         (copy->domain_signature &&
          strcasecmp(copy->sign_rule->sign_as, one->sign_rule->sign_as) != 0)))
        return false;
    return !copy->encrypt ||
           plan_equal_lists(copy->encrypt_rule->encrypt_also, one->encrypt_rule->encrypt_also);
}

/* A hidden recipient shares with himself alone: an address that is there twice gets one copy. */
static bool
plan_shares(const struct planning *planning, size_t number, size_t index,
            const struct policy_treatment *one)
{
    const struct policy_recipient *recipients = planning->all->facts->recipients;
    const struct policy_copy *copy = &planning->plan->copies[number];

    if (copy->sign != one->sign || copy->encrypt != one->encrypt || copy->opaque != one->opaque ||
        copy->domain_signature != one->domain_signature || copy->hidden != one->hidden)
        return false;
    if (copy->hidden && strcasecmp(recipients[planning->drafts[number].first].address,
                                   recipients[index].address) != 0)
        return false;
    return planning->all->joined || plan_equal_rules(copy, one);
}

static void
plan_add_copy(struct planning *planning, size_t index, const struct policy_treatment *one,
              const struct policy_reading *reading)
{
    struct policy_plan *plan = planning->plan;

    planning->drafts[plan->copy_count] = (struct draft){ .reading = *reading, .first = index };
    plan->copies[plan->copy_count++] = (struct policy_copy){
        .sign = one->sign,
        .encrypt = one->encrypt,
        .opaque = one->opaque,
        .domain_signature = one->domain_signature,
        .hidden = one->hidden,
        .sign_rule = one->sign ? one->sign_rule : NULL,
        .encrypt_rule = one->encrypt_rule,
    };
}

/* The first copy that fits, or a new one. false: there are as many as may be. */
static bool
plan_add(struct planning *planning, size_t index, const struct policy_treatment *one,
         size_t *number)
{
    const struct policy_recipient *recipient = &planning->all->facts->recipients[index];
    struct policy_plan *plan = planning->plan;
    struct policy_reading reading = { 0 };
    size_t i;

    if (one->encrypt)
        policy_algorithm_get(recipient->rule, &recipient->said, recipient->key,
                             planning->all->joined, &reading);
    for (i = 0; i < plan->copy_count; i++) {
        if (plan_shares(planning, i, index, one) &&
            (!one->encrypt || policy_algorithm_join(&planning->drafts[i].reading, &reading)))
            break;
    }
    if (i == planning->limit)
        return false;
    if (i == plan->copy_count)
        plan_add_copy(planning, index, one, &reading);
    plan->copies[i].count++;
    planning->drafts[i].people += recipient->members > 0 ? recipient->members : 1;
    *number = i;
    return true;
}

static enum policy_plan_fault
plan_add_all(struct planning *planning, size_t *one, size_t *other)
{
    const struct policy_outbound_facts *facts = planning->all->facts;
    struct policy_treatment treatment;

    for (size_t i = 0; i < facts->count; i++) {
        size_t number = PLAN_RETURNED;

        policy_treatment_get(planning->all, i, &treatment);
        *other = i;
        if (treatment.end == POLICY_TREATMENT_RETURN) {
            *one = i;
            planning->returned++;
            if (planning->all->joined)
                return POLICY_PLAN_RETURN_NEEDED;
        } else if (treatment.hidden && facts->recipients[i].members > 1) {
            *one = i;
            return POLICY_PLAN_HIDDEN_GROUP;
        } else if (!plan_add(planning, i, &treatment, &number)) {
            *one = planning->drafts[0].first;
            return planning->all->joined ? POLICY_PLAN_COPIES_NEEDED : POLICY_PLAN_TOO_MANY_COPIES;
        }
        planning->plan->order[i] = number * facts->count + i;
    }
    return POLICY_PLAN_OK;
}

/* ---- the order ---------------------------------------------------------------------------------
 */

static void
plan_sift(size_t *heap, size_t at, size_t count)
{
    for (size_t child; (child = 2 * at + 1) < count; at = child) {
        size_t held = heap[at];

        if (child + 1 < count && heap[child + 1] > heap[child])
            child++;
        if (heap[child] <= held)
            return;
        heap[at] = heap[child];
        heap[child] = held;
    }
}

/* In place and without memory; qsort may ask for some. */
static void
plan_sort(size_t *list, size_t count)
{
    for (size_t i = count / 2; i-- > 0;)
        plan_sift(list, i, count);
    for (size_t end = count; end > 1;) {
        size_t largest = list[0];

        list[0] = list[--end];
        list[end] = largest;
        plan_sift(list, 0, end);
    }
}

/* The copy for the milter's transaction: the largest that is not hidden. */
static size_t
plan_find_main(const struct policy_plan *plan)
{
    size_t best = 0;

    for (size_t i = 1; i < plan->copy_count; i++) {
        const struct policy_copy *copy = &plan->copies[i], *old = &plan->copies[best];

        if (copy->hidden != old->hidden ? old->hidden : copy->count > old->count)
            best = i;
    }
    return best;
}

/* `order` holds bucket * recipients + index: sorted, it is copy after copy. */
static void
plan_sort_order(struct planning *planning)
{
    struct policy_plan *plan = planning->plan;
    size_t count = planning->all->facts->count, best = plan_find_main(plan), first = 0;
    struct policy_copy held = plan->copies[best];

    plan->copies[best] = plan->copies[0];
    plan->copies[0] = held;
    for (size_t i = 0; best > 0 && i < count; i++) {
        size_t number = plan->order[i] / count;

        if (number == 0 || number == best)
            plan->order[i] = (best - number) * count + i;
    }
    plan_sort(plan->order, count);
    for (size_t i = 0; i < count; i++)
        plan->order[i] %= count;
    for (size_t i = 0; i < plan->copy_count; i++) {
        plan->copies[i].first = first;
        first += plan->copies[i].count;
    }
    plan->returned_first = first;
    plan->returned_count = planning->returned;
}

/* ---- the whole ---------------------------------------------------------------------------------
 */

static void
plan_write_algorithms(struct policy_copy *copy, const struct policy_reading *reading)
{
    if (copy->encrypt) {
        copy->algorithms.cipher = policy_algorithm_cipher(reading);
        copy->algorithms.key_transport = policy_algorithm_transport(reading);
    }
    if (copy->sign) {
        copy->algorithms.digest = copy->sign_rule->digest;
        copy->algorithms.rsa_signature = copy->sign_rule->rsa_signature;
    }
}

enum policy_plan_fault
policy_plan_find(const struct policy_treatments *all, size_t *order, struct policy_plan *out,
                 size_t *one, size_t *other)
{
    const struct policy_outbound_facts *facts = all->facts;
    size_t limit = all->joined ? 1 : (size_t)facts->conf->global.max_copies;
    struct planning planning = { .all = all, .plan = out };
    enum policy_plan_fault fault;

    memset(out, 0, sizeof *out);
    out->order = order;
    planning.limit = limit == 0 || limit > POLICY_LIMIT_COPIES ? POLICY_LIMIT_COPIES : limit;
    if (facts->count == 0)
        return POLICY_PLAN_OK;
    fault = plan_add_all(&planning, one, other);
    for (size_t i = 0; fault == POLICY_PLAN_OK && i < out->copy_count; i++) {
        plan_write_algorithms(&out->copies[i], &planning.drafts[i].reading);
        if (out->copies[i].encrypt && facts->people_limit > 0 &&
            planning.drafts[i].people > facts->people_limit)
            fault = POLICY_PLAN_TOO_MANY_PEOPLE;
    }
    if (fault == POLICY_PLAN_OK && out->copy_count == 0)
        fault = POLICY_PLAN_NOBODY;
    if (fault != POLICY_PLAN_OK) {
        out->copy_count = 0;
        return fault;
    }
    plan_sort_order(&planning);
    return POLICY_PLAN_OK;
}
