/*
 * The report that the doctor's checks write into, and the checks; private to ctl/doctor*.c.
 */
#ifndef CTL_DOCTOR_REPORT_H
#define CTL_DOCTOR_REPORT_H

#include "conf/conf.h"
#include "ctl/doctor.h"
#include "util/buf.h"

enum ctl_doctor_level {
    CTL_DOCTOR_LEVEL_OK,
    CTL_DOCTOR_LEVEL_WARN,
    CTL_DOCTOR_LEVEL_FAIL,
    CTL_DOCTOR_LEVEL_UNKNOWN
};

struct ctl_doctor_report {
    FILE *out;
    bool json;
    size_t counts[CTL_DOCTOR_LEVEL_UNKNOWN + 1];
};

/* One line. `name` is the check's ("postfix.default-action"); `hint` is what to do, or NULL. */
void ctl_doctor_report_write(struct ctl_doctor_report *report, enum ctl_doctor_level level,
                             const char *name, const char *hint, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* Runs a program without a shell and gathers what it prints, at most 1 MiB, at most 20 s.
 * ERR_NOTFOUND: there is no such program; ERR_PERM: it ended with an error. */
ERR_CHECKED enum err_code ctl_doctor_report_run(char *const argv[], struct buf *out,
                                                struct err *err);

void ctl_doctor_check_postfix(struct ctl_doctor_report *report, const struct conf *conf,
                              const char *folder);
void ctl_doctor_check_sendmail(struct ctl_doctor_report *report, const struct conf *conf,
                               const char *file);

/* Can `user` reach the socket at `path`? Below `root` ("" or the folder that the MTA is chrooted
 * to) every folder must be open to it, and the socket writable. */
void ctl_doctor_check_access(struct ctl_doctor_report *report, const char *name, const char *root,
                             const char *path, const char *user);

void ctl_doctor_check_files(struct ctl_doctor_report *report, const struct conf *conf);
void ctl_doctor_check_directories(struct ctl_doctor_report *report, const struct conf *conf);
void ctl_doctor_check_trust(struct ctl_doctor_report *report, struct conf *conf);
void ctl_doctor_check_cache(struct ctl_doctor_report *report, const struct conf *conf);
void ctl_doctor_check_copies(struct ctl_doctor_report *report, const struct conf *conf);
void ctl_doctor_check_host(struct ctl_doctor_report *report);

#endif
