/*
 * smimectl doctor: is everything around smimed as it must be?
 *
 * smimed fails closed, but the MTA decides what happens while smimed is not there, and a socket
 * that the MTA's user cannot reach, a clock in the past or a key that others can read are found out
 * by their victims. Each check prints one line (OK, WARN, FAIL, or UNKNOWN when it could not be
 * made) and, when it is not OK, what to do about it.
 *
 * Nothing is changed, but for one key in Redis that is removed at once. Postfix is asked with
 * postconf, Sendmail's configuration file is read.
 *
 * Threads: one.
 */
#ifndef CTL_DOCTOR_H
#define CTL_DOCTOR_H

#include <stdbool.h>
#include <stdio.h>

struct ctl_doctor_args {
    const char *conf_path;
    const char *postfix_folder; /* configuration of a private Postfix; NULL: the machine's */
    const char *sendmail_file;  /* sendmail.cf or sendmail.mc; NULL: /etc/mail/sendmail.cf */
    bool json;
};

/* The exit code: 0 nothing failed, 1 something did, 2 the configuration of smimed is wrong, 3
 * nothing failed but something could not be asked. */
int ctl_doctor_run(const struct ctl_doctor_args *args, FILE *out);

#endif
