/*
 * Which rule holds for whom of a message, with all that bears on it.
 *
 * What rules ask of a message is gathered here as it becomes known: header fields at the end of the
 * header, size and content at the end of the message, groups of the directory (asked in the
 * background) at its end. Until then an answer may not be certain: then it is the strictest rule
 * that could still hold, so that what it needs is asked early, and the body is kept.
 *
 * A rule as it holds (policy_rule_merge) is made once for each rule and message and lives as long
 * as the message; without sections, kinds and the like it is the rule of the file itself. At most
 * two for each rule and each sender that the message had.
 *
 * Belongs to one message.
 */
#ifndef FLOW_RULES_H
#define FLOW_RULES_H

#include "policy/rule.h"
#include "util/err.h"

struct flow_message;
struct flow_rules;

ERR_CHECKED enum err_code flow_rules_new(const struct conf *conf, struct flow_rules **out,
                                         struct err *err);
void flow_rules_free(struct flow_rules **rules);

/* The rule for that recipient; *certain (may be NULL): nothing that is not known yet can change it.
 * At the end (flow_rules_load) a rule that hangs on a group that could not be asked is ERR_TEMP,
 * reason that of the group. ERR_NOMEM. */
ERR_CHECKED enum err_code flow_rules_find(const struct flow_message *message, const char *recipient,
                                          const struct conf_rule **out, bool *certain,
                                          struct err *err);

/* *rule becomes itself, for somebody who must be encrypted to (must_encrypt). ERR_NOMEM. */
ERR_CHECKED enum err_code flow_rules_must(const struct flow_message *message,
                                          const struct conf_rule **rule, struct err *err);

/* The same for all recipients of the message, with what flow/must knows of them. */
ERR_CHECKED enum err_code flow_rules_find_all(struct flow_message *message, struct err *err);

/* At the end of the header: which rules' fields are there. */
ERR_CHECKED enum err_code flow_rules_load_header(struct flow_message *message, struct err *err);

/* Begins to ask for groups, if a recipient's rule hangs on one. */
ERR_CHECKED enum err_code flow_rules_start(struct flow_message *message, struct err *err);

/* All of the body has come: the size is known. */
void flow_rules_set_size(struct flow_message *message);

/* What the message is (POLICY_CONTENT_...); its size is known, too. */
void flow_rules_set_content(struct flow_message *message, unsigned content);

/* POLICY_CONTENT_LIST and _AUTOMATIC, which header and envelope say. */
ERR_CHECKED enum err_code flow_rules_find_content(const struct flow_message *message, unsigned *out,
                                                  struct err *err);

/* Does a recipient's rule hang on what is not known yet? */
bool flow_rules_are_open(const struct flow_message *message);

/* The end: finds all rules for good; waits for groups where a rule hangs on one. *changed: some
 * were found anew. ERR_TEMP: it cannot be told. */
ERR_CHECKED enum err_code flow_rules_load(struct flow_message *message, int64_t deadline_ms,
                                          bool *changed, struct err *err);

/* What rules were asked with, for explain; borrowed. */
const struct policy_rule_message *flow_rules_message(const struct flow_message *message);

/* The rule of the file that `rule` was made of. */
const struct conf_rule *flow_rules_original(const struct flow_message *message,
                                            const struct conf_rule *rule);

/* The kind of mail that decides (policy_kind_name); NULL: none. */
const char *flow_rules_kind(const struct flow_message *message);

#endif
