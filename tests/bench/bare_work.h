/*
 * The raw primitives that one message cannot do without, for the bare filter: what is left of a
 * gateway when all but libmilter and the cryptography is taken away. Run there, they meet what a
 * gateway's meet: other threads on the same processors, and caches that a socket was read through.
 *
 * Keys are read once; contexts are made once for each thread. What fails ends the program.
 */
#ifndef BENCH_BARE_WORK_H
#define BENCH_BARE_WORK_H

#include <stdbool.h>

/* "key=FILE,rsa=FILE,sign=1,verify=6,wrap=2,sha256=4096,aes256-cbc=5286,base64=5286": what to do
 * for each message, how often or with how many octets; unwrap, aes256-cbc-open and unbase64 are the
 * way back. `key` signs and verifies, `rsa` wraps and unwraps; both are PEM. Before other threads
 * exist. False: not to be understood. */
bool bare_work_parse(char *text);

/* One message's worth; any thread. Nothing when nothing was parsed. */
void bare_work_run(void);

#endif
