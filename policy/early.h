/*
 * What can be decided of a recipient at RCPT, before there is a header.                      Pure.
 *
 * Mail to him must be encrypted, he has no valid certificate, and his rule says that he is refused
 * at once (no_certificate_at_rcpt). At RCPT nobody knows From, the sender's choice, the header, the
 * size, what kind of mail it is. So it is decided only where none of these can change it:
 *
 *   - the rule that holds for him hangs on nothing that is not known yet;
 *   - no rule asks who the sender is, by address or by group, and no section user or domain gives
 *     settings of senders: the rules go by From, and the envelope sender may be another;
 *   - the rule says encrypt = always, which no choice and no kind of mail lifts (default-on can be
 *     lifted), and no_certificate = refuse.
 *
 * One thing is not known all the same: the author may have encrypted the message himself, and then
 * it would pass at its end. Who sets the parameter says that nobody does.
 */
#ifndef POLICY_EARLY_H
#define POLICY_EARLY_H

#include "conf/conf.h"

/* `rule` as it holds for the recipient, `certain`: nothing of the message can change which. */
bool policy_early_decides(const struct conf *conf, const struct conf_rule *rule, bool certain);

#endif
