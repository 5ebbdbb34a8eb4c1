/*
 * The people of a message, asked for as the daemon asks: the sender's keys, the recipients'
 * certificates.
 *
 * Our own keys and additional recipients are judged by the trust set "default" where there is one,
 * else by that of the rule; recipients by that of their rule (flow/facts.h). Threads: one.
 */
#ifndef CTL_PEOPLE_H
#define CTL_PEOPLE_H

#include "directory/lookup.h"
#include "flow/services.h"

/* An administrator waits as long as a message would. */
enum { CTL_PEOPLE_TIMEOUT_MS = 15000 };

/* One question of the outbound direction. */
ERR_CHECKED enum err_code ctl_people_find(struct flow_services *services, const char *address,
                                          enum pki_use use, const char *trust,
                                          struct directory_lookup_result *result, struct err *err);

/* The outbound rule for a recipient, with the settings of the sender; conditions about the message
 * that are not known here count as open: the strictest rule that could hold. */
ERR_CHECKED enum err_code ctl_people_find_rule(const struct flow_services *services,
                                               const char *sender, const char *recipient,
                                               struct conf_rule *out, struct err *err);

/* The name of the trust set for our own keys. */
const char *ctl_people_own_trust(const struct flow_services *services,
                                 const struct conf_rule *rule);

#endif
