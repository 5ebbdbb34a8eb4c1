#include "policy/rule.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "mime/address.h"

/* An empty list of the type the configuration uses; nobody writes through it. */
static char *const empty_list[] = { NULL };
static char *const any_list[] = { (char *)"*", NULL };

/* The defaults of conf/params.def, but sign = never: a fresh installation signs nothing that
 * nobody asked it to sign. A unit test compares it with what the parser makes of an empty rule. */
static const struct conf_rule builtin = {
    .name = (char *)"built-in",
    .direction = CONF_DIRECTION_ANY,
    .sender = (conf_list)any_list,
    .sender_group = (conf_list)empty_list,
    .recipient = (conf_list)any_list,
    .header = (conf_list)empty_list,
    .content = (conf_list)empty_list,
    .smime = true,
    .sign = CONF_SIGN_NEVER,
    .encrypt = CONF_ENCRYPT_NEVER,
    .sender_may_change = true,
    .forbidden_choice = CONF_FORBIDDEN_REFUSE,
    .sign_format = CONF_SIGN_CLEAR,
    .no_signing_certificate = CONF_NO_SIGNING_REFUSE,
    .sign_as = (char *)"",
    .encrypt_also = (conf_list)empty_list,
    .digest = 0,
    .rsa_signature = 0,
    .cipher = 1, /* aes256-cbc: what GnuPG 2.2 and NSS can read */
    .key_transport = 0,
    .algorithms = CONF_ALGORITHMS_LEARNT,
    .cipher_floor = 0,
    .no_certificate = CONF_NO_CERTIFICATE_REFUSE,
    .pgp_is_encrypted = false,
    .trust = (char *)"default",
    .on_fail = CONF_ON_MARK,
    .on_policy = CONF_ON_MARK,
    .on_permerror = CONF_ON_MARK,
    .on_neutral = CONF_ON_MARK,
    .on_none = CONF_ON_MARK,
    .on_temperror = CONF_ON_MARK,
    .on_require = CONF_ON_REJECT,
    .tag_pass = (char *)"",
    .tag_fail = (char *)"",
    .tag_policy = (char *)"",
    .tag_neutral = (char *)"",
    .tag_permerror = (char *)"",
    .tag_temperror = (char *)"",
    .tag_none = (char *)"",
    .report = CONF_KIND_UNSIGNED,
    .decrypt = false,
    .decrypt_unsigned = CONF_DECRYPT_UNSIGNED_REFUSE,
    .protected_headers = CONF_PROTECTED_IGNORE,
};

const char policy_rule_open[] = "open", policy_rule_unknown[] = "unknown";

/* ---- conditions --------------------------------------------------------------------------------
 */

/* `address` "" is the null path: only "*" and "<>" match it, so that a rule for a domain never
 * decides about bounces. */
static enum err_code
rule_list_match(const conf_list patterns, const char *address)
{
    struct err ignored = ERR_INIT;

    for (size_t i = 0; patterns[i] != NULL; i++) {
        if (strcmp(patterns[i], "*") == 0)
            return ERR_OK;
        if (address[0] == '\0') {
            if (strcmp(patterns[i], "<>") == 0)
                return ERR_OK;
            continue;
        }
        enum err_code code = mime_address_match(patterns[i], address, &ignored);
        if (code != ERR_NOTFOUND)
            return code;
    }
    return ERR_NOTFOUND;
}

static bool
rule_lists(const conf_list patterns, const char *word)
{
    for (size_t i = 0; patterns[i] != NULL; i++) {
        if (strcmp(patterns[i], word) == 0)
            return true;
    }
    return false;
}

/* Does it ask who the sender is? */
static bool
rule_asks_sender(const struct conf_rule *rule)
{
    return !rule_lists(rule->sender, "*") || rule->sender_group[0] != NULL;
}

/* Does it ask what the message says of itself? */
static bool
rule_asks_message(const struct conf_rule *rule)
{
    return rule_asks_sender(rule) || rule->header[0] != NULL || rule->content[0] != NULL ||
           rule->size_over > 0 || rule->size_under > 0;
}

static bool
rule_size_matches(const struct conf_rule *rule, uint64_t size)
{
    return (rule->size_over == 0 || size > rule->size_over) &&
           (rule->size_under == 0 || size < rule->size_under);
}

static bool
rule_content_matches(const struct conf_rule *rule, unsigned content)
{
    for (size_t i = 0; rule->content[i] != NULL; i++) {
        if (policy_kind_content(rule->content[i]) & content)
            return true;
    }
    return false;
}

/* In the order in which they are looked at. */
enum rule_condition {
    RULE_DIRECTION,
    RULE_SENDER,
    RULE_RECIPIENT,
    RULE_HEADER,
    RULE_SIZE,
    RULE_CONTENT,
    RULE_GROUP,
    RULE_CONDITIONS,
};

static const char *const rule_names[RULE_CONDITIONS] = { "direction",   "sender", "recipient",
                                                         "header",      "size",   "content",
                                                         "sender_group" };

enum rule_state { RULE_MATCHES, RULE_DIFFERS, RULE_OPEN, RULE_UNKNOWN, RULE_NOT_ASKED };

static enum rule_state
state_of(bool matches)
{
    return matches ? RULE_MATCHES : RULE_DIFFERS;
}

static enum rule_state
rule_list_state(const conf_list patterns, const char *address)
{
    enum err_code code;

    if (rule_lists(patterns, "*"))
        return RULE_NOT_ASKED;
    code = rule_list_match(patterns, address != NULL ? address : "");
    return code == ERR_OK || code == ERR_NOTFOUND ? state_of(code == ERR_OK) : RULE_UNKNOWN;
}

static enum rule_state
rule_group_state(const struct conf_rule *rule, size_t index,
                 const struct policy_rule_question *question)
{
    const struct policy_rule_message *message = question->message;

    if (rule->sender_group[0] == NULL)
        return RULE_NOT_ASKED;
    if (question->direction == CONF_DIRECTION_IN)
        return RULE_DIFFERS;
    if (message == NULL || message->groups == NULL || message->groups[index] == POLICY_UNKNOWN)
        return RULE_OPEN;
    return state_of(message->groups[index] == POLICY_YES);
}

/* The conditions that hang on the message. */
static enum rule_state
rule_message_state(const struct conf_rule *rule, size_t index, enum rule_condition condition,
                   const struct policy_rule_question *question)
{
    const struct policy_rule_message *message = question->message;

    if (condition == RULE_HEADER) {
        if (rule->header[0] == NULL)
            return RULE_NOT_ASKED;
        return message == NULL || message->header == NULL
                   ? RULE_OPEN
                   : state_of(message->header[index] == POLICY_YES);
    }
    if (condition == RULE_SIZE) {
        if (rule->size_over == 0 && rule->size_under == 0)
            return RULE_NOT_ASKED;
        return message == NULL || !message->has_size
                   ? RULE_OPEN
                   : state_of(rule_size_matches(rule, message->size));
    }
    if (rule->content[0] == NULL)
        return RULE_NOT_ASKED;
    if (question->direction == CONF_DIRECTION_IN)
        return RULE_DIFFERS;
    return message == NULL || !message->has_content
               ? RULE_OPEN
               : state_of(rule_content_matches(rule, message->content));
}

/* `encrypts`: the rule, with its settings, encrypts always: then it asks nobody who is not vouched
 * for. */
static enum rule_state
rule_find_state(const struct conf_rule *rule, size_t index, bool encrypts,
                enum rule_condition condition, const struct policy_rule_question *question)
{
    bool any_sender = question->unvouched && encrypts;

    switch (condition) {
    case RULE_DIRECTION:
        if (rule->direction == CONF_DIRECTION_ANY)
            return RULE_NOT_ASKED;
        return state_of(question->direction == CONF_DIRECTION_ANY ||
                        rule->direction == (int)question->direction);
    case RULE_SENDER:
        if (any_sender || (question->unvouched && rule_lists(rule->sender, "<>")))
            return RULE_NOT_ASKED;
        return rule_list_state(rule->sender, question->sender);
    case RULE_RECIPIENT:
        return rule_list_state(rule->recipient, question->recipient);
    case RULE_GROUP:
        return any_sender ? RULE_NOT_ASKED : rule_group_state(rule, index, question);
    default:
        return rule_message_state(rule, index, condition, question);
    }
}

static const char *
rule_mismatch(const struct conf_rule *rule, size_t index, bool encrypts,
              const struct policy_rule_question *question)
{
    bool open = false;

    for (int i = 0; i < RULE_CONDITIONS; i++) {
        enum rule_state state =
            rule_find_state(rule, index, encrypts, (enum rule_condition)i, question);

        if (state == RULE_UNKNOWN)
            return policy_rule_unknown;
        if (state == RULE_DIFFERS)
            return rule_names[i];
        open |= state == RULE_OPEN;
    }
    return open ? policy_rule_open : NULL;
}

static void
rule_settings(const struct conf *conf, const struct conf_rule *rule,
              const struct policy_rule_question *question, struct conf_rule *out)
{
    (void)policy_rule_merge(conf,
                            &(struct policy_rule_settings){ .rule = rule,
                                                            .sender = question->sender,
                                                            .unvouched = question->unvouched },
                            out);
}

static bool
rule_encrypts(const struct conf *conf, const struct conf_rule *rule,
              const struct policy_rule_question *question)
{
    struct conf_rule merged;

    rule_settings(conf, rule, question, &merged);
    return merged.smime && merged.encrypt == CONF_ENCRYPT_ALWAYS;
}

const char *
policy_rule_mismatch(const struct conf *conf, size_t index,
                     const struct policy_rule_question *question)
{
    const struct conf_rule *rule = &conf->rules[index];
    bool encrypts = question->unvouched && rule_encrypts(conf, rule, question);

    return rule_mismatch(rule, index, encrypts, question);
}

char *
policy_rule_format(const struct conf *conf, size_t index,
                   const struct policy_rule_question *question, char out[POLICY_RULE_SIZE])
{
    static const char *const words[] = { "yes", "no", "not known", "no memory" };
    const struct conf_rule *rule = &conf->rules[index];
    bool encrypts = question->unvouched && rule_encrypts(conf, rule, question);
    size_t n = 0;

    out[0] = '\0';
    for (int i = 0; i < RULE_CONDITIONS; i++) {
        enum rule_state state =
            rule_find_state(rule, index, encrypts, (enum rule_condition)i, question);

        if (state != RULE_NOT_ASKED)
            n += (size_t)snprintf(out + n, POLICY_RULE_SIZE - n, "%s%s %s", n > 0 ? ", " : "",
                                  rule_names[i], words[state]);
    }
    if (n == 0)
        snprintf(out, POLICY_RULE_SIZE, "asks nothing");
    return out;
}

/* ---- the first that matches --------------------------------------------------------------------
 */

/* How much has to be known for it. */
static int
rule_rank(const struct conf *conf, const struct conf_rule *rule,
          const struct policy_rule_question *question)
{
    struct conf_rule merged;

    rule_settings(conf, rule, question, &merged);
    if (!merged.smime)
        return 0;
    switch (merged.encrypt) {
    case CONF_ENCRYPT_ALWAYS:
    case CONF_ENCRYPT_DEFAULT_ON:
        return 4;
    case CONF_ENCRYPT_IF_POSSIBLE:
    case CONF_ENCRYPT_DEFAULT_OFF:
        return 3;
    default:
        return merged.sign != CONF_SIGN_NEVER ? 2 : 1;
    }
}

/* What is found on the way down. */
struct rule_search {
    const struct conf_rule *claimed; /* it matches because of what the message claims */
    const struct conf_rule *strict;  /* the strictest that may match; NULL: none is open */
    int rank;
};

static void
search_add(struct rule_search *search, const struct conf *conf, const struct conf_rule *rule,
           const struct policy_rule_question *question)
{
    int rank = rule_rank(conf, rule, question);

    if (search->strict != NULL && rank <= search->rank)
        return;
    search->strict = rule;
    search->rank = rank;
}

static void
search_finish(struct rule_search *search, const struct conf *conf, const struct conf_rule *rule,
              const struct policy_rule_question *question, struct policy_rule_answer *out)
{
    if (search->claimed != NULL && !rule_encrypts(conf, rule, question))
        rule = search->claimed;
    *out = (struct policy_rule_answer){ .rule = rule, .certain = search->strict == NULL };
    if (search->strict == NULL)
        return;
    search_add(search, conf, rule, question);
    out->rule = search->strict;
}

enum err_code
policy_rule_find(const struct conf *conf, const struct policy_rule_question *question,
                 struct policy_rule_answer *out)
{
    struct rule_search search = { .claimed = NULL };

    for (size_t i = 0; i < conf->rule_count; i++) {
        const struct conf_rule *rule = &conf->rules[i];
        bool encrypts = question->unvouched && rule_encrypts(conf, rule, question);
        const char *why = rule_mismatch(rule, i, encrypts, question);

        if (why == policy_rule_unknown)
            return ERR_NOMEM;
        if (why == policy_rule_open)
            search_add(&search, conf, rule, question);
        if (why != NULL)
            continue;
        if (question->unvouched && !encrypts && rule_asks_message(rule) &&
            !rule_lists(rule->sender, "<>")) {
            if (search.claimed == NULL)
                search.claimed = rule;
            continue;
        }
        search_finish(&search, conf, rule, question, out);
        return ERR_OK;
    }
    search_finish(&search, conf, search.claimed != NULL ? search.claimed : &builtin, question, out);
    return ERR_OK;
}

/* ---- settings ----------------------------------------------------------------------------------
 */

static bool
settings_encrypt(const struct conf_rule *rule)
{
    return rule->smime && rule->encrypt == CONF_ENCRYPT_ALWAYS;
}

/* The sections of a sender whom nobody vouches for: taken where they encrypt, else left. */
static bool
settings_merge_sender(const struct conf *conf, const struct policy_rule_settings *settings,
                      struct conf_rule *out)
{
    static const struct conf_scopes none = { .user = NULL };
    struct conf_scopes scopes = conf_scope_find(conf, settings->sender);
    bool changed = conf_scope_merge(conf, settings->rule, &scopes, out);

    if (!settings->unvouched || settings_encrypt(out))
        return changed;
    return conf_scope_merge(conf, settings->rule, &none, out);
}

/* Signing ends; encryption stays where it must be, was chosen, or is on by default. */
static bool
settings_bypass(const struct policy_rule_settings *settings, struct conf_rule *out)
{
    static const struct policy_choice none = { .sign = false };

    if (settings->inbound) {
        out->smime = false;
        return true;
    }
    out->sign = CONF_SIGN_NEVER;
    /* No signed copy, and the rule says nothing of a plain one. */
    if (out->no_certificate == CONF_NO_CERTIFICATE_SIGN)
        out->no_certificate = CONF_NO_CERTIFICATE_REFUSE;
    if (policy_choice_encrypt(out, settings->choice ? settings->choice : &none) ==
        CONF_ENCRYPT_IF_POSSIBLE)
        out->encrypt = CONF_ENCRYPT_NEVER;
    return true;
}

static void
settings_must_encrypt(struct conf_rule *out)
{
    if (!out->smime)
        out->sign = CONF_SIGN_NEVER;
    out->smime = true;
    out->encrypt = CONF_ENCRYPT_ALWAYS;
    /* Encrypted or not sent: what a rule does for people without a certificate is not for him. */
    if (out->no_certificate != CONF_NO_CERTIFICATE_RETURN)
        out->no_certificate = CONF_NO_CERTIFICATE_REFUSE;
}

bool
policy_rule_merge(const struct conf *conf, const struct policy_rule_settings *settings,
                  struct conf_rule *out)
{
    bool changed = settings_merge_sender(conf, settings, out);

    if (!settings->inbound)
        changed |= policy_kind_apply(settings->content, settings->choice, out);
    if (settings->bypass)
        changed |= settings_bypass(settings, out);
    if (!settings->inbound && settings->must_encrypt) {
        settings_must_encrypt(out);
        changed = true;
    }
    return changed;
}

bool
policy_rule_must_encrypt(const struct conf *conf, const char *recipient)
{
    struct conf_scopes scopes = conf_scope_find(conf, recipient);

    return conf_scope_must_encrypt(&scopes);
}

/* ---- the rest ----------------------------------------------------------------------------------
 */

const struct conf_rule *
policy_rule_builtin(void)
{
    return &builtin;
}

bool
policy_rule_asks_sender(const struct conf *conf)
{
    static const struct conf_scopes none = { .user = NULL };

    if (conf_scope_gives(conf))
        return true;
    for (size_t i = 0; i < conf->rule_count; i++) {
        struct conf_rule rule;
        bool protects;

        if (conf->rules[i].direction == CONF_DIRECTION_IN || !rule_asks_sender(&conf->rules[i]))
            continue;
        (void)conf_scope_merge(conf, &conf->rules[i], &none, &rule);
        protects = rule.sign != CONF_SIGN_NEVER || rule.encrypt != CONF_ENCRYPT_NEVER;
        if (rule.smime && protects)
            return true;
    }
    return false;
}

enum { PATTERN_SIZE = 301 }; /* conf/text.c */

/* '*' stands for anything. Each piece between two of them is taken where it first stands: no piece
 * is ever looked for again, so that the time is linear whoever writes the text. */
static bool
text_matches(const char *pattern, struct span text)
{
    size_t n = strcspn(pattern, "*");

    if (n > text.n || memcmp(pattern, text.p, n) != 0)
        return false;
    if (pattern[n] == '\0')
        return n == text.n;
    text = span_from(text, n);
    for (pattern += n + 1; *pattern; pattern += n + 1) {
        const unsigned char *at;

        n = strcspn(pattern, "*");
        if (pattern[n] == '\0')
            return n <= text.n && memcmp(pattern, text.p + text.n - n, n) == 0;
        at = memmem(text.p, text.n, pattern, n);
        if (at == NULL)
            return false;
        text = span_from(text, (size_t)(at - text.p) + n);
    }
    return true;
}

bool
policy_rule_lists_field(const conf_list fields, const char *name, struct span text)
{
    for (size_t i = 0; fields[i] != NULL; i++) {
        const char *colon = strchr(fields[i], ':');
        char pattern[PATTERN_SIZE] = "";
        size_t n = (size_t)(colon - fields[i]), used = 0;

        if (strlen(name) != n || strncasecmp(fields[i], name, n) != 0)
            continue;
        for (const char *p = colon + 1 + strspn(colon + 1, " "); *p && used < sizeof pattern - 1;
             p++)
            pattern[used++] = *p >= 'A' && *p <= 'Z' ? (char)(*p + 'a' - 'A') : *p;
        if (text_matches(pattern, text))
            return true;
    }
    return false;
}
