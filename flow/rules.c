#include "flow/rules.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "flow/automatic.h"
#include "flow/state.h"
#include "mime/word.h"

enum {
    RULES_LIMIT_NAME = 300, /* conf/text.c: no pattern is longer */
    RULES_LIMIT_GROUPS = 500,
};

/* A rule as it holds. */
struct rules_entry {
    const struct conf_rule *original;
    bool must_encrypt;
    unsigned generation;
    struct conf_rule rule;
    struct rules_entry *next;
};

struct rules_group {
    const char *name; /* borrowed from the configuration */
    struct flow_resolve_ticket *ticket;
    enum policy_known known;
    const char *reason;
    char text[200];
};

struct flow_rules {
    struct policy_rule_message message;
    enum policy_known *header, *groups; /* one for each rule */
    bool final;
    int64_t deadline_ms; /* of waiting for groups */
    struct rules_entry *entries;
    unsigned generation; /* of what entries are made of: sender, content */
    struct rules_group *asked;
    size_t asked_count;
};

static enum err_code
no_memory(struct err *err)
{
    return err_set(err, ERR_NOMEM, "no memory to find the rule for a recipient");
}

enum err_code
flow_rules_new(const struct conf *conf, struct flow_rules **out, struct err *err)
{
    struct flow_rules *rules = calloc(1, sizeof *rules);

    *out = rules;
    if (!rules)
        return no_memory(err);
    rules->header = calloc(conf->rule_count + 1, sizeof *rules->header);
    rules->groups = calloc(conf->rule_count + 1, sizeof *rules->groups);
    return rules->header && rules->groups ? ERR_OK : no_memory(err);
}

void
flow_rules_free(struct flow_rules **rules)
{
    struct flow_rules *old = rules ? *rules : NULL;

    if (!old)
        return;
    *rules = NULL;
    while (old->entries) {
        struct rules_entry *next = old->entries->next;

        free(old->entries);
        old->entries = next;
    }
    for (size_t i = 0; i < old->asked_count; i++)
        flow_resolve_free_ticket(&old->asked[i].ticket);
    free(old->asked);
    free(old->header);
    free(old->groups);
    free(old);
}

/* ---- a rule as it holds ------------------------------------------------------------------------
 */

static const struct conf_rule *
rules_merge(const struct flow_message *message, const struct conf_rule *original, bool must_encrypt,
            struct err *err)
{
    struct flow_rules *rules = message->rules;
    const struct policy_rule_settings settings = {
        .rule = original,
        .sender = flow_state_sender(message),
        .unvouched = message->identity.unvouched,
        .must_encrypt = must_encrypt,
        .content = rules->message.has_content ? rules->message.content : 0,
        .choice = &message->choice,
        .bypass = message->bypass,
        .inbound = message->direction == CONF_DIRECTION_IN,
    };
    struct rules_entry *entry;
    struct conf_rule merged;

    for (entry = rules->entries; entry; entry = entry->next) {
        if (entry->original == original && entry->must_encrypt == must_encrypt &&
            entry->generation == rules->generation)
            return &entry->rule;
    }
    if (!policy_rule_merge(message->conf, &settings, &merged))
        return original;
    entry = malloc(sizeof *entry);
    if (!entry) {
        (void)no_memory(err);
        return NULL;
    }
    *entry = (struct rules_entry){ .original = original,
                                   .must_encrypt = must_encrypt,
                                   .generation = rules->generation,
                                   .rule = merged,
                                   .next = rules->entries };
    rules->entries = entry;
    return &entry->rule;
}

/* Why a rule could not be told from the next: the first group that could not be asked. */
static enum err_code
rules_refuse(const struct flow_rules *rules, const struct conf_rule *rule, struct err *err)
{
    for (size_t i = 0; i < rules->asked_count; i++) {
        const struct rules_group *group = &rules->asked[i];

        if (group->known == POLICY_UNKNOWN)
            return err_set_reason(err, ERR_TEMP, group->reason,
                                  "whether the sender is in a group that a rule names cannot be "
                                  "told: %s; try again later",
                                  group->text);
    }
    return err_set_reason(err, ERR_TEMP, "directory-unreachable",
                          "whether rule \"%s\" holds cannot be told; try again later", rule->name);
}

/* ---- header fields -----------------------------------------------------------------------------
 */

static void
text_lower(struct buf *text)
{
    for (size_t i = 0; i < text->n; i++) {
        if (text->p[i] >= 'A' && text->p[i] <= 'Z')
            text->p[i] = (unsigned char)(text->p[i] + 'a' - 'A');
    }
}

static bool
rules_name(const conf_list patterns, struct span name)
{
    for (size_t i = 0; patterns[i]; i++) {
        if (strcspn(patterns[i], ":") == name.n &&
            strncasecmp(patterns[i], (const char *)name.p, name.n) == 0)
            return true;
    }
    return false;
}

static enum err_code
rules_match_field(const struct flow_message *message, const conf_list patterns,
                  const struct mime_header_field *field, bool *matches, struct err *err)
{
    struct buf text = BUF_INIT(message->conf->global.max_header + 1);
    char name[RULES_LIMIT_NAME + 1];
    unsigned flags;
    enum err_code code = mime_word_decode(field->value, &text, &flags, err);

    snprintf(name, sizeof name, "%.*s", (int)field->name.n, (const char *)field->name.p);
    if (code == ERR_OK) {
        text_lower(&text);
        *matches = policy_rule_lists_field(patterns, name, span_trim(buf_span(&text)));
    }
    buf_free(&text);
    return code;
}

/* Every field of the header, whatever its number: one that is passed over would be a way around the
 * rule. Each is decoded once for a rule; the header is bounded. */
static enum err_code
rules_match_header(const struct flow_message *message, const conf_list patterns, bool *matches,
                   struct err *err)
{
    size_t count = mime_header_count(message->header);
    enum err_code code = ERR_OK;

    *matches = false;
    for (size_t i = 0; code == ERR_OK && !*matches && i < count; i++) {
        struct mime_header_field field = mime_header_get(message->header, i);

        if (field.name.n <= RULES_LIMIT_NAME && rules_name(patterns, field.name))
            code = rules_match_field(message, patterns, &field, matches, err);
    }
    return code;
}

enum err_code
flow_rules_load_header(struct flow_message *message, struct err *err)
{
    const struct conf *conf = message->conf;
    struct flow_rules *rules = message->rules;
    enum err_code code = ERR_OK;

    for (size_t i = 0; code == ERR_OK && i < conf->rule_count; i++) {
        bool matches = false;

        if (conf->rules[i].header[0])
            code = rules_match_header(message, conf->rules[i].header, &matches, err);
        rules->header[i] = matches ? POLICY_YES : POLICY_NO;
    }
    if (code == ERR_OK)
        rules->message.header = rules->header;
    return code;
}

/* ---- groups ------------------------------------------------------------------------------------
 */

bool
flow_rules_are_open(const struct flow_message *message)
{
    for (size_t i = 0; i < message->count; i++) {
        if (message->recipients[i].open)
            return true;
    }
    return false;
}

static enum err_code
rules_ask_group(const struct flow_message *message, const char *name, struct err *err)
{
    struct flow_rules *rules = message->rules;
    struct rules_group *grown;
    enum err_code code;

    for (size_t i = 0; i < rules->asked_count; i++) {
        if (strcmp(rules->asked[i].name, name) == 0)
            return ERR_OK;
    }
    if (rules->asked_count == RULES_LIMIT_GROUPS)
        return err_set(err, ERR_PERM, "rules name more than %d groups", RULES_LIMIT_GROUPS);
    grown = realloc(rules->asked, (rules->asked_count + 1) * sizeof *grown);
    if (!grown)
        return no_memory(err);
    rules->asked = grown;
    grown[rules->asked_count] = (struct rules_group){ .name = name, .known = POLICY_UNKNOWN };
    code = flow_resolve_start(
        message->services,
        &(struct flow_finding_question){ .address = name, .trust = "", .members = true },
        &grown[rules->asked_count].ticket, err);
    rules->asked_count += code == ERR_OK;
    return code;
}

static enum err_code
rules_ask_groups(const struct flow_message *message, struct err *err)
{
    const struct conf *conf = message->conf;
    enum err_code code = ERR_OK;

    for (size_t i = 0; code == ERR_OK && i < conf->rule_count; i++) {
        const struct conf_rule *rule = &conf->rules[i];

        for (size_t k = 0;
             code == ERR_OK && rule->direction != CONF_DIRECTION_IN && rule->sender_group[k]; k++)
            code = rules_ask_group(message, rule->sender_group[k], err);
    }
    return code;
}

enum err_code
flow_rules_start(struct flow_message *message, struct err *err)
{
    enum err_code code = ERR_OK;

    if (message->direction == CONF_DIRECTION_OUT && flow_rules_are_open(message))
        code = rules_ask_groups(message, err);
    /* That the queue is full is known at the end, if it still is. */
    if (code == ERR_LIMIT) {
        err_reset(err);
        code = ERR_OK;
    }
    return code;
}

/* By the address that rules see, and by the primary one of the person who stands for it (not where
 * he sends as somebody else). */
static bool
rules_is_member(const struct flow_message *message, const struct directory_group *group)
{
    const struct flow_identity *identity = &message->identity;
    const char *sender = flow_state_sender(message);
    const char *primary =
        identity->asked && identity->facts.person == POLICY_YES && !identity->answer.send_as
            ? identity->facts.primary
            : NULL;

    for (size_t i = 0; i < group->count; i++) {
        const char *address =
            group->nodes[i].kind == DIRECTORY_NODE_GROUP ? NULL : group->nodes[i].address;

        if (address && ((sender[0] && strcasecmp(address, sender) == 0) ||
                        (primary && strcasecmp(address, primary) == 0)))
            return true;
    }
    return false;
}

static enum err_code
rules_wait_group(const struct flow_message *message, struct rules_group *group, int64_t deadline_ms,
                 struct err *err)
{
    const struct flow_finding *finding = NULL;
    struct err mine = ERR_INIT;
    enum err_code code = flow_resolve_wait(group->ticket, deadline_ms, &finding, &mine);

    if (code != ERR_OK && code != ERR_TEMP)
        return err_set_reason(err, code, mine.reason, "%s", mine.text);
    if (code == ERR_OK && finding->known == POLICY_YES) {
        group->known = rules_is_member(message, finding->group) ? POLICY_YES : POLICY_NO;
        return ERR_OK;
    }
    group->known = POLICY_UNKNOWN;
    group->reason = finding ? finding->reason : "deadline";
    snprintf(group->text, sizeof group->text, "%.190s",
             finding ? finding->group_err.text : mine.text);
    return ERR_OK;
}

/* One of a rule's groups suffices; one that is not known leaves it open. */
static enum policy_known
rules_find_group(const struct flow_rules *rules, const conf_list names)
{
    enum policy_known known = POLICY_NO;

    for (size_t i = 0; names[i]; i++) {
        enum policy_known one = POLICY_UNKNOWN;

        for (size_t k = 0; k < rules->asked_count; k++) {
            if (strcmp(rules->asked[k].name, names[i]) == 0)
                one = rules->asked[k].known;
        }
        if (one == POLICY_YES)
            return POLICY_YES;
        if (one == POLICY_UNKNOWN)
            known = POLICY_UNKNOWN;
    }
    return known;
}

/* All of them, once: from then on every rule's answer is there. */
static enum err_code
rules_load_groups(const struct flow_message *message, struct err *err)
{
    const struct conf *conf = message->conf;
    struct flow_rules *rules = message->rules;
    enum err_code code = rules_ask_groups(message, err);

    for (size_t i = 0; code == ERR_OK && i < rules->asked_count; i++)
        code = rules_wait_group(message, &rules->asked[i], rules->deadline_ms, err);
    if (code != ERR_OK)
        return code;
    for (size_t i = 0; i < conf->rule_count; i++)
        rules->groups[i] = rules_find_group(rules, conf->rules[i].sender_group);
    rules->message.groups = rules->groups;
    return ERR_OK;
}

/* ---- the answer --------------------------------------------------------------------------------
 */

/* Groups are asked for where a rule hangs on one, and not before: members of groups among the
 * recipients may be the first. */
enum err_code
flow_rules_find(const struct flow_message *message, const char *recipient,
                const struct conf_rule **out, bool *certain, struct err *err)
{
    struct policy_rule_question question = flow_state_question(message, recipient);
    struct policy_rule_answer answer;

    if (policy_rule_find(message->conf, &question, &answer) != ERR_OK)
        return no_memory(err);
    if (!answer.certain && message->rules->final && !message->rules->message.groups) {
        enum err_code code = rules_load_groups(message, err);

        if (code != ERR_OK)
            return code;
        if (policy_rule_find(message->conf, &question, &answer) != ERR_OK)
            return no_memory(err);
    }
    if (certain)
        *certain = answer.certain;
    if (!answer.certain && message->rules->final)
        return rules_refuse(message->rules, answer.rule, err);
    *out =
        rules_merge(message, answer.rule, policy_rule_must_encrypt(message->conf, recipient), err);
    return *out ? ERR_OK : err->code;
}

enum err_code
flow_rules_must(const struct flow_message *message, const struct conf_rule **rule, struct err *err)
{
    const struct conf_rule *must =
        rules_merge(message, flow_rules_original(message, *rule), true, err);

    if (!must)
        return err->code;
    *rule = must;
    return ERR_OK;
}

enum err_code
flow_rules_find_all(struct flow_message *message, struct err *err)
{
    enum err_code code = ERR_OK;

    /* Another sender, another content: other settings, and another answer about groups. */
    message->rules->generation++;
    message->rules->message.groups = NULL;
    for (size_t i = 0; code == ERR_OK && i < message->count; i++) {
        struct flow_recipient *recipient = &message->recipients[i];
        bool certain = true;

        code = flow_rules_find(message, recipient->address, &recipient->rule, &certain, err);
        recipient->open = !certain;
        if (code == ERR_OK && recipient->must)
            code = flow_rules_must(message, &recipient->rule, err);
    }
    return code;
}

/* ---- the end -----------------------------------------------------------------------------------
 */

enum err_code
flow_rules_find_content(const struct flow_message *message, unsigned *out, struct err *err)
{
    bool automatic = false;
    enum err_code code = flow_automatic_find(message->header, &automatic, err);

    *out = 0;
    if (automatic || !message->sender || !message->sender[0])
        *out |= POLICY_CONTENT_AUTOMATIC;
    if (!message->sender || !message->sender[0])
        *out |= POLICY_CONTENT_NULL;
    if (flow_automatic_is_list(message->header))
        *out |= POLICY_CONTENT_LIST;
    return code;
}

void
flow_rules_set_size(struct flow_message *message)
{
    struct policy_rule_message *facts = &message->rules->message;

    facts->has_size = true;
    facts->size = message->header_bytes + message->body_bytes;
}

void
flow_rules_set_content(struct flow_message *message, unsigned content)
{
    struct policy_rule_message *facts = &message->rules->message;

    flow_rules_set_size(message);
    facts->content = content;
    facts->has_content = true;
}

const char *
flow_rules_kind(const struct flow_message *message)
{
    const struct policy_rule_message *facts = &message->rules->message;

    return facts->has_content ? policy_kind_name(facts->content) : NULL;
}

enum err_code
flow_rules_load(struct flow_message *message, int64_t deadline_ms, bool *changed, struct err *err)
{
    struct flow_rules *rules = message->rules;

    rules->final = true;
    rules->deadline_ms = deadline_ms;
    *changed = flow_rules_are_open(message) || flow_rules_kind(message);
    return *changed ? flow_rules_find_all(message, err) : ERR_OK;
}

const struct policy_rule_message *
flow_rules_message(const struct flow_message *message)
{
    return &message->rules->message;
}

const struct conf_rule *
flow_rules_original(const struct flow_message *message, const struct conf_rule *rule)
{
    for (const struct rules_entry *entry = message->rules->entries; entry; entry = entry->next) {
        if (&entry->rule == rule)
            return entry->original;
    }
    return rule;
}
