/*
 * The commands of smimectl and what they share: how they end, and how they speak.
 *
 * Every command is `int ctl_NAME(int argc, char **argv)`, argv[0] is its own name. Results go to
 * stdout, everything else to stderr; with --json the result is one JSON object on stdout (sign,
 * encrypt and decrypt, whose result is a message, put it on stderr). Text that came from outside is
 * escaped before a terminal sees it.
 *
 * Threads: one.
 */
#ifndef CTL_COMMAND_H
#define CTL_COMMAND_H

#include <stdbool.h>

#include "util/err.h"
#include "util/span.h"

enum ctl_exit {
    CTL_EXIT_YES,   /* done; it is so; found */
    CTL_EXIT_NO,    /* it is not so; refused; not there */
    CTL_EXIT_USAGE, /* the command line or the configuration is wrong */
    CTL_EXIT_TEMP   /* could not ask, or could not do it now */
};

int ctl_cache(int argc, char **argv);
int ctl_certs(int argc, char **argv);
int ctl_check(int argc, char **argv);
int ctl_decrypt(int argc, char **argv);
int ctl_demo(int argc, char **argv);
int ctl_doctor(int argc, char **argv);
int ctl_dump(int argc, char **argv);
int ctl_encrypt(int argc, char **argv);
int ctl_expand(int argc, char **argv);
int ctl_expiring(int argc, char **argv);
int ctl_explain(int argc, char **argv);
int ctl_bypass(int argc, char **argv);
int ctl_health(int argc, char **argv);
int ctl_import(int argc, char **argv);
int ctl_keys(int argc, char **argv);
int ctl_lookup(int argc, char **argv);
int ctl_path(int argc, char **argv);
int ctl_poison(int argc, char **argv);
int ctl_reload(int argc, char **argv);
int ctl_sign(int argc, char **argv);
int ctl_stats(int argc, char **argv);
int ctl_verify(int argc, char **argv);

/* "smimectl: ..." on stderr, escaped, one line. */
void ctl_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Says what went wrong and returns the exit code that fits: CTL_EXIT_NO for an input that is wrong
 * or not there, CTL_EXIT_TEMP for what may go better next time. */
int ctl_fail(const struct err *err);

/* The same for commands whose result is a message: as one JSON object on stderr if `as_json`. */
int ctl_fail_as(const struct err *err, bool as_json);

/* `text` escaped, on stdout. */
void ctl_print(const char *text);

/* stdout to its last byte; CTL_EXIT_TEMP instead of `code` when it could not be written. */
int ctl_finish(int code);

#endif
