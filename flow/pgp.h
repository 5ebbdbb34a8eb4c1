/*
 * PGP/MIME encrypted, by structure.                                        RFC 3156 4, RFC
 * 9580 4.2, 6.2
 *
 * Two parts: "Version: 1", then one armoured message, and nothing beside them. Inside the armour
 * the packets must be session keys followed by encrypted data: a literal or a signed packet in
 * armour is readable by anybody. No cryptography is done and no key is known here.
 *
 * Walks the spool line by line; holds one line of the armour.
 */
#ifndef FLOW_PGP_H
#define FLOW_PGP_H

#include "util/spool.h"

ERR_CHECKED enum err_code flow_pgp_check(struct span boundary, const struct spool *spool,
                                         bool *encrypted, struct err *err);

#endif
