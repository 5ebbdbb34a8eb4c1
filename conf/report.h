/*
 * Complaints about a configuration: all of them are told, the first one is kept for the caller's
 * struct err, and a file that is not a configuration at all stops being talked about after a bound.
 */
#ifndef CONF_REPORT_H
#define CONF_REPORT_H

#include "conf/private.h"

enum { CONF_REPORT_LIMIT = 100 };

struct conf_complaint {
    struct conf_origin at;
    unsigned rank; /* of the file, by the order in which files were opened */
    unsigned order;
    char *text;
};

struct conf_report {
    enum err_code code; /* ERR_OK, ERR_PERM after a complaint, ERR_NOMEM (which wins) */
    unsigned count;
    struct conf_complaint list[CONF_REPORT_LIMIT + 1];
};

/* The text is "what is wrong; hint". NULL takes no complaints. */
void conf_report_set(struct conf_report *report, const struct conf_origin *at, const char *format,
                     ...) __attribute__((format(printf, 3, 4)));

/* Tells all complaints in the order of their places: what a check at the end found in line 2 comes
 * before what the parser found in line 3. The first one goes into err. Returns report->code; frees.
 */
ERR_CHECKED enum err_code conf_report_finish(struct conf_report *report, const struct conf *conf,
                                             conf_complaint_fn *complain, void *context,
                                             struct err *err);

/* Memory is exhausted. */
void conf_report_set_nomem(struct conf_report *report);

/* Which of `words` ("a|b|c") is meant by `word`: the nearest by edits, NULL if none is near. Writes
 * it to `out`. */
const char *conf_report_find(const char *words, const char *word, char *out, size_t size);

#endif
