/*
 * Small translations between the words of configuration and those of the parts that use them, and
 * which recipients the header names. Pure, but for the memory of a list.
 */
#ifndef FLOW_NAMES_H
#define FLOW_NAMES_H

#include "conf/conf.h"
#include "pki/path.h"
#include "policy/algorithm.h"
#include "smime/algorithm.h"
#include "smime/capability.h"

struct flow_message;

/* How revocation is judged in a direction. */
struct pki_revocation_rules flow_names_revocation(const struct conf_global *global,
                                                  enum conf_direction direction);

/* What may be asked of the network for one question, from now on. */
void flow_names_budget_init(struct pki_fetch_budget *budget, const struct conf_global *global);

/* From the index of an ENUM parameter; what is out of range becomes the strictest. */
enum smime_digest flow_names_digest(int word);
enum smime_signature flow_names_signature(int word);
enum smime_cipher flow_names_cipher(int word);
enum smime_transport flow_names_transport(int word);

/* What a recipient said, in policy's words. */
struct policy_capabilities flow_names_capabilities(const struct smime_capabilities *told);

/* Sets `in_header` of each recipient: is he named in To, Cc, Resent-To or Resent-Cc? A list that is
 * too long to be read names nobody: its recipients are treated as hidden. */
ERR_CHECKED enum err_code flow_names_load_visible(struct flow_message *message, struct err *err);

#endif
