/*
 * libmilter's callbacks. They hold no decision and no cryptography: each turns its arguments into a
 * call of flow/ (through milter/message), and the answer into a status.
 *
 * What is asked of the MTA is asked without alternatives: protocol version 6 with
 * SMFIP_HDR_LEADSPC and SMFIP_SKIP (Sendmail 8.14, Postfix 2.6, both of 2009 or before) and all
 * actions. An MTA that offers less is refused at negotiation, and its default action decides, which
 * must be tempfail anyway. One form of a header field is enough.
 *
 * Never SMFIS_ACCEPT: older Postfix stays in the accept state for a second message. Never a refusal
 * by libmilter's own text.
 */
#ifndef MILTER_CALLBACKS_H
#define MILTER_CALLBACKS_H

#include <libmilter/mfapi.h>

/* The table for smfi_register. */
struct smfiDesc milter_callbacks_get(void);

#endif
