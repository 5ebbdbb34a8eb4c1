#include "flow/finding.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flow/names.h"
#include "policy/rule.h"
#include "smime/capability.h"
#include "util/clock.h"

enum { FINDING_HARVESTED_S = 60 };

static enum err_code
no_memory(struct err *err)
{
    return err_set(err, ERR_NOMEM, "no memory for what is known of a recipient");
}

struct flow_finding *
flow_finding_add1(struct flow_finding *finding)
{
    __atomic_add_fetch(&finding->references, 1, __ATOMIC_RELAXED);
    return finding;
}

void
flow_finding_free(struct flow_finding **finding)
{
    struct flow_finding *old = finding ? *finding : NULL;

    if (finding)
        *finding = NULL;
    if (!old || __atomic_sub_fetch(&old->references, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    for (size_t i = 0; i < old->member_count; i++)
        flow_finding_free(&old->members[i].finding);
    free(old->members);
    directory_group_free(&old->group);
    directory_lookup_result_free(&old->lookup);
    free(old->must);
    free(old);
}

bool
flow_finding_is_dn(const char *name)
{
    return strchr(name, '=') && !strchr(name, '@');
}

size_t
flow_finding_count(const struct flow_finding *finding)
{
    if (finding->group && !finding->members)
        return finding->group->member_count + 1;
    return finding->group ? finding->member_count : 1;
}

static struct flow_finding *
finding_new(void)
{
    struct flow_finding *finding = calloc(1, sizeof *finding);

    if (finding) {
        finding->references = 1;
        finding->known = POLICY_UNKNOWN;
        finding->reason = "not-asked";
    }
    return finding;
}

/* ---- one person -------------------------------------------------------------------------------
 */

static void
finding_limit_until(struct flow_finding *finding, time_t until)
{
    if (until > 0 && (finding->until == 0 || until < finding->until))
        finding->until = until;
}

/* What cannot be read says nothing: the rule's algorithms hold then. */
static void
finding_read_capabilities(struct flow_finding *finding)
{
    struct smime_capabilities told;
    struct err ignored = ERR_INIT;

    if (finding->lookup.capabilities.n == 0 ||
        smime_capability_parse(buf_span(&finding->lookup.capabilities), &told, &ignored) != ERR_OK)
        return;
    finding->said = flow_names_capabilities(&told);
}

/* ERR_OK, ERR_NOTFOUND and ERR_TEMP are the three answers; the rest is our own failure. */
static enum err_code
finding_settle(struct flow_finding *finding, enum err_code code, const struct err *asked,
               struct err *err)
{
    struct pki_answer *answer = &finding->lookup.answer;

    if (code == ERR_NOMEM || code == ERR_BUG)
        return err_set(err, code, "%s", asked->text);
    finding->known = code == ERR_OK && finding->lookup.selected ? POLICY_YES
                     : code == ERR_NOTFOUND                     ? POLICY_NO
                                                                : POLICY_UNKNOWN;
    if (finding->known == POLICY_YES) {
        finding->reason = "ok";
        finding_read_capabilities(finding);
        finding_limit_until(finding, finding->lookup.selected->until);
        /* What somebody removes is not used for much longer. */
        if (strcmp(finding->lookup.selected->source, "harvested") == 0)
            finding_limit_until(finding, clock_now_s() + FINDING_HARVESTED_S);
        return ERR_OK;
    }
    if (!answer->reason) {
        answer->reason = code == ERR_NOTFOUND ? "no-certificate" : "directory-unreachable";
        snprintf(answer->text, sizeof answer->text, "%.250s", asked->text);
    }
    finding->reason = answer->reason;
    finding->negative = finding->known == POLICY_NO;
    finding->temp = finding->known == POLICY_UNKNOWN;
    return ERR_OK;
}

/* What one question may cost: the network is asked within one budget for the address, and within
 * another one for all members of a group together. */
struct asking {
    struct flow_services *services;
    const struct flow_finding_question *question;
    struct pki_fetch_budget budget;
};

static void
asking_open_budget(struct asking *asking)
{
    flow_names_budget_init(&asking->budget, &asking->services->conf->global);
}

static enum err_code
finding_ask(struct asking *asking, const struct flow_finding_question *question,
            const struct directory_found *found, struct flow_finding *finding, struct err *err)
{
    struct flow_services *services = asking->services;
    const struct conf_global *global = &services->conf->global;
    struct directory_lookup_question lookup = {
        .address = question->address,
        .trust = flow_services_trust(services, question->trust),
        .revocation = flow_names_revocation(global, CONF_DIRECTION_OUT),
        .evidence = services->evidence,
        .budget = &asking->budget,
        .policy = &services->leaf_policy,
        .now = clock_now_s(),
        .deadline_ms = clock_monotonic_ms() + global->facts_timeout,
        .found = found,
    };
    struct err asked = ERR_INIT;
    enum err_code code;

    /* The lookup takes a missing trust set for "do not ask": here it means that nothing is trusted.
     */
    if (!lookup.trust) {
        finding->lookup.answer =
            (struct pki_answer){ .status = PKI_STATUS_INVALID, .reason = "untrusted" };
        snprintf(finding->lookup.answer.text, sizeof finding->lookup.answer.text,
                 "there is no trust set to judge certificates by");
        return finding_settle(finding, ERR_NOTFOUND, &asked, err);
    }
    code = question->key
               ? directory_lookup_key(services->lookup, &lookup, &finding->lookup, &asked)
               : directory_lookup_certificate(services->lookup, &lookup, &finding->lookup, &asked);
    return finding_settle(finding, code, &asked, err);
}

/* ---- the members of a group -------------------------------------------------------------------
 */

static enum err_code
finding_add_member(struct asking *asking, struct flow_finding *finding,
                   const struct directory_node *node, struct err *err)
{
    struct flow_services *services = asking->services;
    struct flow_finding_member *member = &finding->members[finding->member_count];
    const struct policy_rule_question rule_question = { .direction = CONF_DIRECTION_OUT,
                                                        .sender = asking->question->sender,
                                                        .recipient = node->address };
    struct policy_rule_answer rule;
    struct policy_rule_settings settings = { .sender = asking->question->sender };
    struct conf_rule merged;
    const char *trust;
    const struct directory_found found = {
        .entry = node->entry,
        .directory =
            node->entry ? node->directory : directory_lookup_directory_count(services->lookup),
    };
    struct flow_finding_question mine = { .address = node->address };
    enum err_code code;

    if (policy_rule_find(services->conf, &rule_question, &rule) != ERR_OK)
        return no_memory(err);
    settings.rule = rule.rule;
    (void)policy_rule_merge(services->conf, &settings, &merged);
    trust = merged.trust;
    *member = (struct flow_finding_member){ .address = node->address, .trust = trust };
    member->finding = finding_new();
    if (!member->finding)
        return no_memory(err);
    finding->member_count++;
    mine.trust = trust;
    code = finding_ask(asking, &mine, &found, member->finding, err);
    finding->negative |= member->finding->negative;
    finding->temp |= member->finding->temp;
    finding_limit_until(finding, member->finding->until);
    return code;
}

static enum err_code
finding_expand(struct asking *asking, struct directory_found *found, struct flow_finding *finding,
               struct err *err)
{
    struct flow_services *services = asking->services;
    const struct conf_global *global = &services->conf->global;
    const struct directory_group_args args = {
        .directory = found->directory,
        .depth = (unsigned)global->group_depth,
        .members = (size_t)global->group_members,
        .timeout_ms = global->group_timeout,
        .skip_unknown = global->group_unknown_member == CONF_UNKNOWN_MEMBER_SKIP,
    };
    struct directory_entry *entry = found->entry;
    enum err_code code;

    found->entry = NULL;
    code = directory_lookup_expand(services->lookup, &args, entry, &finding->group,
                                   &finding->group_err);
    if (code == ERR_NOMEM || code == ERR_BUG)
        return err_set(err, code, "%s", finding->group_err.text);
    if (code != ERR_OK) {
        finding->negative = code != ERR_TEMP;
        finding->temp = code == ERR_TEMP;
        if (!finding->group)
            return err_set(err, ERR_BUG, "a group that was not expanded without a name");
        directory_group_reset_entries(finding->group);
        return ERR_OK;
    }
    /* The group's own lack of a certificate is no longer what matters. */
    finding->negative = finding->temp = false;
    finding->members = calloc(finding->group->member_count + 1, sizeof *finding->members);
    if (!finding->members)
        return no_memory(err);
    asking_open_budget(asking);
    for (size_t i = 0; code == ERR_OK && i < finding->group->member_count; i++)
        code = finding_add_member(asking, finding,
                                  &finding->group->nodes[finding->group->members[i]], err);
    directory_group_reset_entries(finding->group);
    return code;
}

/* ---- who is in a group -------------------------------------------------------------------------
 */

static enum err_code
finding_note_must(const struct conf *conf, struct flow_finding *finding, const char *address,
                  struct err *err)
{
    if (finding->must || !address || !policy_rule_must_encrypt(conf, address))
        return ERR_OK;
    finding->must = strdup(address);
    return finding->must ? ERR_OK : no_memory(err);
}

/* An alias of the MTA may have been written with any of a member's addresses: all of them count. */
static enum err_code
finding_load_must(const struct conf *conf, struct flow_finding *finding, struct err *err)
{
    enum err_code code = ERR_OK;

    for (size_t i = 0; code == ERR_OK && !finding->must && i < finding->group->count; i++) {
        const struct directory_node *node = &finding->group->nodes[i];

        code = finding_note_must(conf, finding, node->address, err);
        for (size_t k = 0; code == ERR_OK && node->entry && node->entry->addresses[k]; k++)
            code = finding_note_must(conf, finding, node->entry->addresses[k], err);
    }
    return code;
}

static enum err_code
finding_find_group(struct flow_services *services, const char *name, struct directory_found *found,
                   bool asked, struct err *err)
{
    int64_t deadline_ms = clock_monotonic_ms() + services->conf->global.facts_timeout;
    enum err_code code = ERR_OK;

    if (!asked && flow_finding_is_dn(name))
        code = directory_lookup_find_dn(services->lookup, name, deadline_ms, found, err);
    else if (!asked)
        code = directory_lookup_find(services->lookup, &name, 1, deadline_ms, found, err);
    /* A person in one directory may be a group in the one that could not be asked. */
    if (code == ERR_OK && found->temp && (!found->entry || found->entry->kind != DIRECTORY_GROUP))
        return err_set_reason(err, ERR_TEMP, "directory-unreachable", "%s", found->text);
    if (code == ERR_NOTFOUND ||
        (code == ERR_OK && (!found->entry || found->entry->kind != DIRECTORY_GROUP)))
        return err_set_reason(err, ERR_NOTFOUND, "group-not-found",
                              "no directory knows a group %.200s", name);
    return code;
}

/* Members whom nobody knows and who have no address change nothing: the one who is looked for has
 * one. */
static enum err_code
finding_load_members(struct flow_services *services, const char *name,
                     struct directory_found *asked, struct flow_finding *finding, struct err *err)
{
    const struct conf_global *global = &services->conf->global;
    struct directory_found found = asked ? *asked : (struct directory_found){ .entry = NULL };
    struct directory_group_args args = {
        .depth = (unsigned)global->group_depth,
        .members = (size_t)global->group_members,
        .timeout_ms = global->group_timeout,
        .skip_unknown = true,
    };
    enum err_code code =
        finding_find_group(services, name, &found, asked != NULL, &finding->group_err);

    if (asked)
        asked->entry = NULL;
    if (code == ERR_OK) {
        struct directory_entry *entry = found.entry;

        found.entry = NULL;
        args.directory = found.directory;
        code = directory_lookup_expand(services->lookup, &args, entry, &finding->group,
                                       &finding->group_err);
    }
    if (found.entry &&
        finding_note_must(services->conf, finding, found.entry->primary, err) != ERR_OK)
        code = finding->group_err.code = ERR_NOMEM;
    directory_entry_free(&found.entry);
    if (code == ERR_NOMEM || code == ERR_BUG)
        return err_set(err, code, "%s", finding->group_err.text);
    if (finding->group) {
        if (conf_scope_must(services->conf) &&
            finding_load_must(services->conf, finding, err) != ERR_OK)
            return err->code;
        directory_group_reset_entries(finding->group);
    }
    finding->known = code == ERR_OK ? POLICY_YES : POLICY_UNKNOWN;
    finding->reason = code == ERR_OK              ? "ok"
                      : finding->group_err.reason ? finding->group_err.reason
                                                  : "group-malformed";
    finding->negative = code != ERR_OK && code != ERR_TEMP;
    finding->temp = code == ERR_TEMP;
    return ERR_OK;
}

/* ---- the whole --------------------------------------------------------------------------------
 */

/* Asks the directories about the address unless what is held here says enough. */
static enum err_code
finding_find(struct flow_services *services, const struct flow_finding_question *question,
             struct directory_found *found, struct err *err)
{
    struct err asked = ERR_INIT;
    enum err_code code = directory_lookup_find(
        services->lookup, &(const char *){ question->address }, 1,
        clock_monotonic_ms() + services->conf->global.facts_timeout, found, &asked);

    return code == ERR_OK ? ERR_OK : err_set(err, code, "%s", asked.text);
}

static enum err_code
finding_ask_recipient(struct asking *asking, struct directory_found *found,
                      struct flow_finding *finding, struct err *err)
{
    struct flow_services *services = asking->services;
    const struct flow_finding_question *question = asking->question;
    struct directory_found mine = { .entry = NULL };
    enum err_code code = ERR_OK;

    if (!found && !question->expand &&
        directory_lookup_holds(services->lookup, question->address)) {
        /* Known here: nobody has to be asked if that is valid. */
        const struct directory_found nobody = { .unasked = true };

        code = finding_ask(asking, question, &nobody, finding, err);
        if (code != ERR_OK || finding->known == POLICY_YES)
            return code;
        directory_lookup_result_free(&finding->lookup);
        finding->negative = finding->temp = false;
    }
    if (!found) {
        found = &mine;
        code = finding_find(services, question, found, err);
    }
    if (code == ERR_OK)
        code = finding_ask(asking, question, found, finding, err);
    finding->unsure = found->temp && (!found->entry || found->entry->kind != DIRECTORY_GROUP);
    finding->temp |= finding->unsure && question->expand;
    if (code == ERR_OK && found->entry && found->entry->kind == DIRECTORY_GROUP &&
        (question->expand || finding->known == POLICY_NO))
        code = finding_expand(asking, found, finding, err);
    directory_entry_free(&mine.entry);
    return code;
}

enum err_code
flow_finding_load(struct flow_services *services, const struct flow_finding_question *question,
                  struct directory_found *found, struct flow_finding **out, struct err *err)
{
    struct asking asking = { .services = services, .question = question };
    struct flow_finding *finding = finding_new();
    enum err_code code = finding ? ERR_OK : no_memory(err);

    *out = NULL;
    asking_open_budget(&asking);
    if (code == ERR_OK && question->members)
        code = finding_load_members(services, question->address, found, finding, err);
    else if (code == ERR_OK)
        code = question->key ? finding_ask(&asking, question, NULL, finding, err)
                             : finding_ask_recipient(&asking, found, finding, err);
    if (code == ERR_OK) {
        *out = finding;
        finding = NULL;
    }
    flow_finding_free(&finding);
    return code;
}
