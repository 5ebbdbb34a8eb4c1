/*
 * Letters that nobody waits for: to our users about their certificates (one expires, once a day;
 * one has arrived, once), and those that messages have caused (flow/letters). By SMTP through the
 * listener for copies, from the null sender.
 *
 * Once a day across gateways that share a Redis: whoever writes claims the letter there, and leaves
 * a mark. Both are hints: losing one costs a second letter. What was written is in the file
 * "letters" of state_folder, too. Without resubmit_server nothing is sent, and the log alone says
 * what arrived.
 *
 * Threads: that of housekeeping. A round takes MILTER_LETTERS_ROUND_MS at most, and one letter
 * more; what could not be sent waits for the next round.
 */
#ifndef MILTER_LETTERS_H
#define MILTER_LETTERS_H

#include "flow/services.h"

enum { MILTER_LETTERS_ROUND_MS = 5000, MILTER_LETTERS_SEND_MS = 10000 };

void milter_letters_run(struct flow_services *services);
void milter_letters_deinit(void);

#endif
