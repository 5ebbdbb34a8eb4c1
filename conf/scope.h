/*
 * Settings of senders: what a rule leaves open comes from the section user of the sender, then from
 * that of the sender's domain, then from defaults, then from the table.
 *
 * Nothing is allocated: what comes out borrows from the configuration.
 */
#ifndef CONF_SCOPE_H
#define CONF_SCOPE_H

#include "conf/conf.h"

/* The sections of one address; NULL: there is none. */
struct conf_scopes {
    const struct conf_scope *user, *domain;
};

/* `address` in the form of mime_address_format; "" and what is none has no sections. Of the domain
 * the section of that name, else of the closest "*.parent". */
struct conf_scopes conf_scope_find(const struct conf *conf, const char *address);

/* Has the address to be encrypted to? Its section user, where that says so, else that of its
 * domain. */
bool conf_scope_must_encrypt(const struct conf_scopes *scopes);

/* Does any section user or domain give a setting of a sender? */
bool conf_scope_gives(const struct conf *conf);

/* Does any section user or domain say must_encrypt? */
bool conf_scope_must(const struct conf *conf);

/* *out: the rule with what it leaves open. False: it is the rule as it stands. */
bool conf_scope_merge(const struct conf *conf, const struct conf_rule *rule,
                      const struct conf_scopes *scopes, struct conf_rule *out);

/* Every setting of a rule that is not at the table's default: name, value as it would be written,
 * and the section that it comes from: `rule`, `user "x"`, `domain "x"` or `defaults`. */
typedef void conf_scope_each_fn(void *context, const char *name, const char *value,
                                const char *from);
void conf_scope_each(const struct conf *conf, const struct conf_rule *rule,
                     const struct conf_scopes *scopes, conf_scope_each_fn *each, void *context);

/* Private to conf/: for `smimectl dump`, where row *row of a rule's section, which the file does
 * not give, comes from: defaults with its own row, or the section itself. */
struct conf_section;
const struct conf_section *conf_scope_find_shown(const struct conf *conf,
                                                 const struct conf_section *section, size_t *row);

#endif
