#include "flow/people.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "flow/state.h"
#include "policy/rule.h"

enum { PEOPLE_NAMED = 5, PEOPLE_TEXT = 700 };

static enum err_code
no_memory(struct err *err)
{
    return err_set(err, ERR_NOMEM, "no memory for the people of a message");
}

/* ---- what a recipient's answer is --------------------------------------------------------------
 */

static const char *
finding_text(const struct flow_finding *finding)
{
    return finding ? finding->lookup.answer.text : "";
}

static enum policy_key
finding_key(const struct flow_finding *finding)
{
    const struct directory_candidate *selected = finding ? finding->lookup.selected : NULL;
    const char *algorithm =
        selected ? pki_certificate_get(selected->certificate)->key_algorithm : NULL;

    if (!algorithm)
        return POLICY_KEY_UNKNOWN;
    return strcmp(algorithm, "rsa") == 0 ? POLICY_KEY_RSA : POLICY_KEY_EC;
}

/* What all members of a group can read; one who said nothing makes it unknown. */
static struct policy_capabilities
group_said(const struct flow_recipient *recipient)
{
    struct policy_capabilities all = { .known = true, .ciphers = ~0u, .transports = ~0u };

    for (size_t i = 0; i < recipient->finding->member_count; i++) {
        const struct flow_finding *member = recipient->members[i];

        if (!member || !member->said.known)
            return (struct policy_capabilities){ .known = false };
        all.ciphers &= member->said.ciphers;
        all.transports &= member->said.transports;
    }
    return all;
}

static enum policy_known
member_known(const struct flow_recipient *recipient, size_t index)
{
    return recipient->members[index] ? recipient->members[index]->known : POLICY_UNKNOWN;
}

/* The members in that state by name: "a@x (why), b@x (why) and 3 more of 20 members". */
static char *
members_text(const struct flow_recipient *recipient, enum policy_known known, size_t total)
{
    const struct flow_finding *group = recipient->finding;
    size_t named = 0, n;
    char *text = malloc(PEOPLE_TEXT);

    if (!text)
        return NULL;
    n = (size_t)snprintf(text, PEOPLE_TEXT, "of its members: ");
    for (size_t i = 0; i < group->member_count && named < PEOPLE_NAMED; i++) {
        const struct flow_finding *member = recipient->members[i];

        if (member_known(recipient, i) != known || n + 120 > PEOPLE_TEXT)
            continue;
        n += (size_t)snprintf(text + n, PEOPLE_TEXT - n, "%s%.60s, %.30s", named > 0 ? "; " : "",
                              group->members[i].address, member ? member->reason : "deadline");
        named++;
    }
    snprintf(text + n, PEOPLE_TEXT - n, "; %zu of %zu", total, group->member_count);
    return text;
}

/* A group: unknown if it is of one member, else no if it is of one. */
static enum err_code
load_group(struct flow_recipient *recipient, struct err *err)
{
    const struct flow_finding *group = recipient->finding;
    size_t counts[3] = { 0, 0, 0 };
    enum policy_known known;

    if (group->group_err.code != ERR_OK) {
        recipient->known = group->group_err.code == ERR_TEMP ? POLICY_UNKNOWN : POLICY_NO;
        recipient->reason = group->group_err.reason ? group->group_err.reason : "group-malformed";
        recipient->text = strdup(group->group_err.text);
        return recipient->text ? ERR_OK : no_memory(err);
    }
    for (size_t i = 0; i < group->member_count; i++)
        counts[member_known(recipient, i)]++;
    known = counts[POLICY_UNKNOWN] > 0 ? POLICY_UNKNOWN
            : counts[POLICY_NO] > 0    ? POLICY_NO
                                       : POLICY_YES;
    recipient->known = known;
    recipient->reason = "ok";
    if (group->member_count == 0) {
        recipient->known = POLICY_NO;
        recipient->reason = "group-empty";
        recipient->text = strdup("nobody with an address is in the group");
        return recipient->text ? ERR_OK : no_memory(err);
    }
    if (known == POLICY_YES)
        return ERR_OK;
    for (size_t i = 0; i < group->member_count; i++) {
        if (member_known(recipient, i) == known) {
            recipient->reason = recipient->members[i] ? recipient->members[i]->reason : "deadline";
            break;
        }
    }
    recipient->text = members_text(recipient, known, counts[known]);
    return recipient->text ? ERR_OK : no_memory(err);
}

static enum err_code
load_recipient(struct flow_recipient *recipient, struct err *err)
{
    const struct flow_finding *finding = recipient->finding;

    free(recipient->text);
    recipient->text = NULL;
    recipient->replaced = false;
    if (finding && finding->group)
        return load_group(recipient, err);
    if (finding) {
        recipient->known = finding->known;
        recipient->reason = finding->reason;
    }
    return ERR_OK;
}

/* ---- what policy reads -------------------------------------------------------------------------
 */

static bool
is_group(const struct flow_recipient *recipient)
{
    return recipient->finding && recipient->finding->group &&
           recipient->finding->group_err.code == ERR_OK && recipient->finding->member_count > 0;
}

static void
add_person(struct flow_facts *facts, const struct flow_recipient *recipient,
           const struct flow_finding *finding, const struct policy_recipient *policy)
{
    facts->recipients[facts->policy.count] = *policy;
    facts->people[facts->policy.count++] =
        (struct flow_person){ .recipient = recipient, .finding = finding };
}

/* Where members are to take the place of their group, and are not known. */
static void
load_expanded(const struct flow_recipient *recipient, struct policy_recipient *out)
{
    const struct flow_finding *finding = recipient->finding;

    out->expanded = POLICY_YES;
    out->group_reason = "directory-unreachable";
    out->group_text = "";
    if (!recipient->rule->smime || recipient->rule->groups != CONF_GROUPS_REPLACE ||
        !recipient->valid || !recipient->address[0])
        return;
    if (!finding) {
        out->expanded = POLICY_UNKNOWN;
        out->group_reason = "deadline";
        out->group_text = "finding out who is in it took too long";
    } else if (finding->group) {
        /* One who is known as a group, and still here: an error, or nobody is in it. */
        out->expanded = recipient->known == POLICY_UNKNOWN ? POLICY_UNKNOWN : POLICY_NO;
        out->group_reason = recipient->reason;
        out->group_text = recipient->text ? recipient->text : "";
    } else if (finding->unsure) {
        out->expanded = POLICY_UNKNOWN;
        out->group_text = "the directory cannot say whether it is a group";
    }
}

static void
add_recipient(struct flow_facts *facts, const struct flow_recipient *recipient)
{
    const struct flow_finding *finding = recipient->finding;
    bool group = is_group(recipient);

    add_person(facts, recipient, group ? NULL : finding,
               &(struct policy_recipient){
                   .address = recipient->address,
                   .rule = recipient->rule,
                   .in_header = recipient->in_header,
                   .certificate = recipient->known,
                   .reason = recipient->reason,
                   .text = recipient->text ? recipient->text : finding_text(finding),
                   .members = group ? finding->member_count : 0,
                   .key = group ? POLICY_KEY_UNKNOWN : finding_key(finding),
                   .said = group     ? group_said(recipient)
                           : finding ? finding->said
                                     : (struct policy_capabilities){ .known = false },
               });
    load_expanded(recipient, &facts->recipients[facts->policy.count - 1]);
}

/* One recipient for each member. */
static enum err_code
add_members(const struct flow_message *message, struct flow_facts *facts,
            const struct flow_recipient *recipient, struct err *err)
{
    const struct flow_finding *group = recipient->finding;

    for (size_t i = 0; i < group->member_count; i++) {
        const struct flow_finding *finding = recipient->members[i];
        const struct conf_rule *rule;

        if (flow_rules_find(message, group->members[i].address, &rule, NULL, err) != ERR_OK)
            return err->code;
        rule = policy_outbound_member_rule(recipient->rule, rule, &facts->policy.choice);
        /* What the group's rule does for people without a certificate is not for him. */
        if (policy_rule_must_encrypt(message->conf, group->members[i].address) &&
            flow_rules_must(message, &rule, err) != ERR_OK)
            return err->code;
        add_person(
            facts, recipient, finding,
            &(struct policy_recipient){
                .address = group->members[i].address,
                .rule = rule,
                .in_header = recipient->in_header,
                .certificate = member_known(recipient, i),
                .reason = finding ? finding->reason : "deadline",
                .text = finding_text(finding),
                .replaces = true,
                .key = finding_key(finding),
                .said = finding ? finding->said : (struct policy_capabilities){ .known = false },
            });
    }
    return ERR_OK;
}

/* ---- who is there twice ------------------------------------------------------------------------
 */

/* For the sort: whose address it is. */
struct twice {
    const char *address;
    size_t index;
    bool member;
};

/* By address; who is named himself before who is a member, then in their order. */
static int
compare_twice(const void *a, const void *b)
{
    const struct twice *left = a, *right = b;
    int order = strcasecmp(left->address, right->address);

    if (order != 0)
        return order;
    if (left->member != right->member)
        return left->member - right->member;
    return left->index < right->index ? -1 : left->index > right->index;
}

/* 2: encrypted or not at all; 1: encrypted, or what no_certificate says; 0: neither. */
static int
merge_strictness(const struct flow_facts *facts, const struct conf_rule *rule)
{
    if (!rule->smime || policy_choice_encrypt(rule, &facts->policy.choice) != CONF_ENCRYPT_ALWAYS)
        return 0;
    return rule->no_certificate == CONF_NO_CERTIFICATE_REFUSE ||
                   rule->no_certificate == CONF_NO_CERTIFICATE_RETURN
               ? 2
               : 1;
}

/* One who must get it encrypted as a member of his group does not get it plain by his own name. */
static void
merge_member(struct flow_facts *facts, size_t kept, size_t member)
{
    struct policy_recipient *one = &facts->recipients[kept];
    const struct policy_recipient *other = &facts->recipients[member];

    one->in_header |= other->in_header;
    if (merge_strictness(facts, other->rule) <= merge_strictness(facts, one->rule))
        return;
    one->rule = other->rule;
    one->certificate = other->certificate;
    one->reason = other->reason;
    one->text = other->text;
    one->key = other->key;
    one->said = other->said;
    facts->people[kept].finding = facts->people[member].finding;
}

/* Members who are recipients by their own name, or members of another group as well, are there
 * once: one recipient, one copy. Who is a group himself is left alone. */
static enum err_code
merge_members(struct flow_facts *facts, struct err *err)
{
    size_t count = facts->policy.count, left = 0;
    struct twice *list = calloc(count + 1, sizeof *list);
    bool *gone = calloc(count + 1, sizeof *gone);

    if (!list || !gone) {
        free(list);
        free(gone);
        return no_memory(err);
    }
    for (size_t i = 0; i < count; i++)
        list[i] = (struct twice){ .address = facts->recipients[i].address,
                                  .index = i,
                                  .member = facts->recipients[i].replaces };
    qsort(list, count, sizeof *list, compare_twice);
    for (size_t i = 1, kept = 0; i < count; i++) {
        if (strcasecmp(list[i].address, list[kept].address) != 0)
            kept = i;
        else if (list[i].member && facts->recipients[list[kept].index].members == 0) {
            merge_member(facts, list[kept].index, list[i].index);
            gone[list[i].index] = true;
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (gone[i])
            continue;
        facts->recipients[left] = facts->recipients[i];
        facts->people[left++] = facts->people[i];
    }
    facts->policy.count = left;
    free(list);
    free(gone);
    return ERR_OK;
}

/* A recipient whom the header does not name, but whose group it names, is named. */
static void
load_visible_members(struct flow_message *message)
{
    for (size_t i = 0; i < message->count; i++) {
        const struct flow_recipient *group = &message->recipients[i];

        if (!group->in_header || !is_group(group))
            continue;
        for (size_t k = 0; k < message->count; k++) {
            struct flow_recipient *other = &message->recipients[k];

            for (size_t m = 0; !other->in_header && m < group->finding->member_count; m++)
                other->in_header =
                    strcasecmp(group->finding->members[m].address, other->address) == 0;
        }
    }
}

enum err_code
flow_people_load(struct flow_message *message, struct flow_facts *facts, struct err *err)
{
    size_t room = 1;
    enum err_code code = ERR_OK;

    for (size_t i = 0; code == ERR_OK && i < message->count; i++) {
        struct flow_recipient *recipient = &message->recipients[i];

        code = load_recipient(recipient, err);
        recipient->replaced =
            code == ERR_OK && is_group(recipient) &&
            policy_outbound_replaces(
                &facts->policy,
                &(struct policy_recipient){ .rule = recipient->rule,
                                            .in_header = recipient->in_header,
                                            .certificate = recipient->known,
                                            .members = recipient->finding->member_count });
        room += recipient->replaced ? recipient->finding->member_count : 1;
    }
    if (code != ERR_OK)
        return code;
    free(facts->recipients);
    free(facts->people);
    facts->recipients = calloc(room, sizeof *facts->recipients);
    facts->people = calloc(room, sizeof *facts->people);
    facts->policy.recipients = facts->recipients;
    facts->policy.count = 0;
    if (!facts->recipients || !facts->people)
        return no_memory(err);
    load_visible_members(message);
    for (size_t i = 0; code == ERR_OK && i < message->count; i++) {
        if (message->recipients[i].replaced)
            code = add_members(message, facts, &message->recipients[i], err);
        else
            add_recipient(facts, &message->recipients[i]);
    }
    for (size_t i = 0; code == ERR_OK && i < facts->policy.count; i++) {
        if (facts->recipients[i].replaces)
            return merge_members(facts, err);
    }
    return code;
}

/* ---- certificates ------------------------------------------------------------------------------
 */

struct list {
    struct pki_certificate **list;
    size_t count, cap;
};

static enum err_code
list_add(struct list *list, const struct flow_finding *finding, const char *who, struct err *err)
{
    if (!finding || finding->known != POLICY_YES || !finding->lookup.selected)
        return err_set(err, ERR_BUG, "%.200s was promised a message that he cannot read", who);
    if (list->count == list->cap)
        return err_set(err, ERR_BUG, "more certificates than people");
    list->list[list->count++] = finding->lookup.selected->certificate;
    return ERR_OK;
}

static enum err_code
list_add_person(struct list *list, const struct flow_person *person,
                const struct policy_recipient *policy, struct err *err)
{
    const struct flow_recipient *recipient = person->recipient;
    enum err_code code = ERR_OK;

    if (policy->members == 0)
        return list_add(list, person->finding, policy->address, err);
    for (size_t i = 0; code == ERR_OK && i < recipient->finding->member_count; i++)
        code = list_add(list, recipient->members[i], recipient->finding->members[i].address, err);
    return code;
}

static int
compare_certificates(const void *a, const void *b)
{
    const struct pki_certificate *const *left = a, *const *right = b;

    return strcmp(pki_certificate_get(*left)->fingerprint,
                  pki_certificate_get(*right)->fingerprint);
}

static void
list_sort(struct list *list)
{
    size_t kept = 0;

    qsort(list->list, list->count, sizeof *list->list, compare_certificates);
    for (size_t i = 0; i < list->count; i++) {
        if (kept == 0 || compare_certificates(&list->list[kept - 1], &list->list[i]) != 0)
            list->list[kept++] = list->list[i];
    }
    list->count = kept;
}

/* The additional recipients of the rules of these recipients, each once. */
static size_t
list_add_escrow(struct list *list, const struct flow_facts *facts, const size_t *order,
                size_t count, struct err *err)
{
    size_t added = 0;

    for (size_t k = 0; k < facts->escrow_count && err->code == ERR_OK; k++) {
        const struct flow_beside *beside = &facts->escrow[k];
        bool named = false;

        for (size_t i = 0; !named && i < count; i++) {
            const conf_list also = facts->recipients[order[i]].rule->encrypt_also;

            for (size_t n = 0; !named && also[n]; n++)
                named = strcmp(also[n], beside->address) == 0;
        }
        if (named && list_add(list, beside->finding, beside->address, err) == ERR_OK)
            added++;
    }
    return added;
}

enum err_code
flow_people_get_certificates(const struct flow_facts *facts, const struct policy_plan *plan,
                             size_t copy, struct pki_certificate ***out, size_t *count,
                             struct err *err)
{
    const size_t *order = plan->order + plan->copies[copy].first;
    size_t members = plan->copies[copy].count, promised = 0;
    struct list list = { .cap = 0 };
    enum err_code code = ERR_OK;

    *out = NULL;
    *count = 0;
    for (size_t i = 0; i < members; i++) {
        const struct policy_recipient *recipient = &facts->recipients[order[i]];

        promised += recipient->members > 0 ? recipient->members : 1;
    }
    list.cap = promised + facts->escrow_count + 1;
    list.list = calloc(list.cap, sizeof *list.list);
    if (!list.list)
        return no_memory(err);
    for (size_t i = 0; code == ERR_OK && i < members; i++)
        code = list_add_person(&list, &facts->people[order[i]], &facts->recipients[order[i]], err);
    if (code == ERR_OK) {
        promised += list_add_escrow(&list, facts, order, members, err);
        code = err->code;
    }
    /* Everybody whom policy was told of, and nobody else. */
    if (code == ERR_OK && list.count != promised)
        code = err_set(err, ERR_BUG, "%zu certificates for %zu people", list.count, promised);
    if (code == ERR_OK && facts->self && facts->self->known == POLICY_YES)
        code = list_add(&list, facts->self, "the sender", err);
    if (code != ERR_OK) {
        free(list.list);
        return code;
    }
    list_sort(&list);
    *out = list.list;
    *count = list.count;
    return ERR_OK;
}

/* ---- the envelope ------------------------------------------------------------------------------
 */

static int
compare_texts(const void *a, const void *b)
{
    return strcasecmp(*(const char *const *)a, *(const char *const *)b);
}

/* Who has the message anyway: recipients who are not replaced. Sorted; borrowed texts. */
static const char **
list_direct(const struct flow_message *message, size_t *count)
{
    const char **list = calloc(message->count + 1, sizeof *list);

    *count = 0;
    for (size_t i = 0; list && i < message->count; i++) {
        if (!message->recipients[i].replaced)
            list[(*count)++] = message->recipients[i].address;
    }
    if (list)
        qsort(list, *count, sizeof *list, compare_texts);
    return list;
}

static enum err_code
edit_add(struct flow_edits *edits, const char **members, size_t count, const char **direct,
         size_t direct_count, struct err *err)
{
    enum err_code code = ERR_OK;

    qsort(members, count, sizeof *members, compare_texts);
    for (size_t i = 0; code == ERR_OK && i < count; i++) {
        if ((i > 0 && strcasecmp(members[i], members[i - 1]) == 0) ||
            bsearch(&members[i], direct, direct_count, sizeof *direct, compare_texts))
            continue;
        code = flow_edits_add(edits, FLOW_EDIT_ADD_RECIPIENT, NULL, members[i], 0, err);
    }
    return code;
}

enum err_code
flow_people_edit(const struct flow_message *message, struct flow_edits *edits, struct err *err)
{
    const char **direct = NULL, **members = NULL;
    size_t total = 0, count = 0, direct_count = 0;
    enum err_code code = ERR_OK;

    for (size_t i = 0; i < message->count; i++)
        total += message->recipients[i].replaced ? message->recipients[i].finding->member_count : 0;
    if (total == 0)
        return ERR_OK;
    direct = list_direct(message, &direct_count);
    members = calloc(total, sizeof *members);
    if (!direct || !members)
        code = no_memory(err);
    for (size_t i = 0; code == ERR_OK && i < message->count; i++) {
        const struct flow_recipient *recipient = &message->recipients[i];

        if (!recipient->replaced)
            continue;
        for (size_t m = 0; m < recipient->finding->member_count; m++)
            members[count++] = recipient->finding->members[m].address;
        code = flow_edits_add(edits, FLOW_EDIT_DELETE_RECIPIENT, NULL, recipient->as_came, 0, err);
    }
    /* First who comes, then who goes, would lose a group whose own address is a member's: the other
     * way round nobody is lost, and the MTA does both or none. */
    if (code == ERR_OK)
        code = edit_add(edits, members, count, direct, direct_count, err);
    free(direct);
    free(members);
    return code;
}
