/*
 * libmilter's callbacks. They hold no decision and no cryptography: each turns its arguments into a
 * call of flow/ (through milter/message), and the answer into a status.
 *
 * What is asked of the MTA is asked without alternatives: protocol version 6 with
 * SMFIP_HDR_LEADSPC and SMFIP_SKIP (Sendmail 8.14, Postfix 2.6, both of 2009 or before) and all
 * actions. An MTA that offers less is refused at negotiation, and its default action decides, which
 * must be tempfail anyway. One form of a header field is enough.
 *
 * On a Unix socket, CONNECT, DATA, header fields and the end of the header are not answered
 * (SMFIP_NR_*): an MTA sends them all at once then, which saves a dozen writes and wake-ups a
 * message. Where such a step would refuse, the message remembers it, and the first piece of the
 * body says it, or the end of the message where there is no body. MAIL, RCPT, body and end are
 * always answered: MAIL and RCPT can be refused, and only an answered body can be skipped
 * (SMFIS_SKIP), so that mail that passes is not sent here whole. On an inet socket every step is
 * answered: Nagle's algorithm of the MTA's side waits otherwise (11 messages a second).
 *
 * Never SMFIS_ACCEPT: older Postfix stays in the accept state for a second message. Never a refusal
 * by libmilter's own text.
 */
#ifndef MILTER_CALLBACKS_H
#define MILTER_CALLBACKS_H

#include <stdbool.h>

#include <libmilter/mfapi.h>

/* The table for smfi_register. `is_unix`: what kind of socket we listen on; once, before libmilter
 * runs. */
struct smfiDesc milter_callbacks_get(bool is_unix);

#endif
