/*
 * Recipients to whom a message should go encrypted and cannot, in the log: all of them, whatever
 * the reply has room for.
 *
 * Ten a line, behind the outcome line of their message and with its id:
 *
 *     QUEUEID: unreachable=a@x:cert-expired,b@y:no-certificate numbers=1-2 of=2
 *
 * The words are those of the reply: not there, expired, revoked, wrong usage, could not be asked
 * are told apart. What became of them (refused, returned, sent otherwise) is in the outcome line.
 */
#ifndef FLOW_UNREACHABLE_H
#define FLOW_UNREACHABLE_H

#include <stddef.h>

struct flow_message;

/* How many there are; 0 also where nobody was asked about. */
size_t flow_unreachable_count(const struct flow_message *message);

void flow_unreachable_log(const struct flow_message *message);

#endif
