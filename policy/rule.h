/*
 * Which rule decides: the first that matches, in the order of the file; and what it says with the
 * settings of the sender. Pure.
 *
 * Conditions are known at different times: envelope at RCPT, header at its end, size, content and
 * groups at the end of the message. A condition that is not known yet neither matches nor does not:
 * the answer is not certain then, and names the strictest rule that could still hold, so that too
 * much is asked early and never too little. At the end only a group that could not be asked is
 * unknown, and that is "could not ask": never the next rule.
 */
#ifndef POLICY_RULE_H
#define POLICY_RULE_H

#include "conf/conf.h"
#include "conf/scope.h"
#include "policy/kind.h"
#include "policy/outbound.h"

/* What rules ask of the message. Of `header` and `groups` one for each rule of the configuration,
 * in its order; NULL: not known yet. */
struct policy_rule_message {
    const enum policy_known *header; /* YES or NO: has it a field that the rule lists */
    const enum policy_known *groups; /* is the sender in one of the rule's groups */
    bool has_size, has_content;
    uint64_t size;    /* octets, header included */
    unsigned content; /* POLICY_CONTENT_... */
};

struct policy_rule_question {
    enum conf_direction direction;
    const char *sender;    /* the address that rules see; "" or NULL: the null sender */
    const char *recipient; /* addresses in mime_address_format where they have one, else as came */
    const struct policy_rule_message *message; /* NULL: nothing of it is known yet */
    /* Nobody stands for `sender` (policy_sender_witness): what the message claims then never takes
     * it out of a rule that encrypts always, nor into one that exempts it. A rule that encrypts
     * always matches whoever the sender is, and before every rule that goes by what the message
     * says of itself (sender, group, header, size, content); one that does not, or that lists <>,
     * matches as it stands. A section of the sender's address can only make him encrypt. */
    bool unvouched;
};

struct policy_rule_answer {
    const struct conf_rule *rule; /* as it stands in the file; never NULL after ERR_OK */
    bool certain;                 /* else `rule` is the strictest of those that could hold */
};

/* The rule for one recipient, or the built-in rule (all defaults, but sign = never) when none
 * matches. ERR_NOMEM: a pattern could not be compared; the next rule might let plain what that one
 * protects. */
ERR_CHECKED enum err_code policy_rule_find(const struct conf *conf,
                                           const struct policy_rule_question *question,
                                           struct policy_rule_answer *out);

/* Why a rule matched or not, for `smimectl explain`: "direction", "sender", "sender_group",
 * "recipient", "header", "size", "content"; policy_rule_open (a condition is not known),
 * policy_rule_unknown (no memory to compare), or NULL (it matches). With `unvouched`, a rule that
 * matches may still give way to a later one that encrypts. */
extern const char policy_rule_open[], policy_rule_unknown[];
const char *policy_rule_mismatch(const struct conf *conf, size_t index,
                                 const struct policy_rule_question *question);

/* Every condition of the rule and its state: "recipient yes, header no, size not known". Returns
 * `out`. */
enum { POLICY_RULE_SIZE = 200 };
char *policy_rule_format(const struct conf *conf, size_t index,
                         const struct policy_rule_question *question, char out[POLICY_RULE_SIZE]);

/* The rule with all that bears on it. */
struct policy_rule_settings {
    const struct conf_rule *rule; /* as it stands in the file */
    const char *sender;
    bool unvouched;
    bool must_encrypt;                  /* of the recipient (policy_rule_must_encrypt) */
    unsigned content;                   /* what kind of mail it is; 0: not known yet */
    const struct policy_choice *choice; /* NULL: none */
    bool bypass;                        /* signing and verifying are switched off */
    bool inbound;
};

/* *out: what holds; strings are borrowed from the configuration. In this order: settings of the
 * sender, kind of mail, bypass, and last, so that nothing lifts it, must_encrypt. False: the rule
 * as it stands. */
bool policy_rule_merge(const struct conf *conf, const struct policy_rule_settings *settings,
                       struct conf_rule *out);

bool policy_rule_must_encrypt(const struct conf *conf, const char *recipient);

/* Does some rule or section for outbound mail ask who the sender is, and protect? Then the sender
 * of every outbound message has to be who he says, or a false From would choose another one. */
bool policy_rule_asks_sender(const struct conf *conf);

/* Is one of `field`'s patterns ("Name: pattern") that of a field with this name and text? Text in
 * UTF-8, encoded words decoded, trimmed, ASCII in lower case. Linear in its length. */
bool policy_rule_lists_field(const conf_list fields, const char *name, struct span text);

/* The rule that holds where no rule of the file matches. */
const struct conf_rule *policy_rule_builtin(void);

#endif
