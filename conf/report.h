/*
 * Complaints about a configuration: all of them are told, the first one is kept for the caller's
 * struct err, and a file that is not a configuration at all stops being talked about after a bound.
 */
#ifndef CONF_REPORT_H
#define CONF_REPORT_H

#include "conf/private.h"

enum { CONF_REPORT_LIMIT = 100 };

struct conf_report {
    conf_complaint_fn *complain; /* may be NULL */
    void *context;
    struct err *err;
    enum err_code code; /* ERR_OK, ERR_PERM after a complaint, ERR_NOMEM (which wins) */
    unsigned count;
};

/* The text is "what is wrong; hint". */
void conf_report_set(struct conf_report *report, const struct conf_origin *at, const char *format,
                     ...) __attribute__((format(printf, 3, 4)));

/* Memory is exhausted. */
void conf_report_set_nomem(struct conf_report *report);

/* Which of `words` ("a|b|c") is meant by `word`: the nearest by edits, NULL if none is near. Writes
 * it to `out`. */
const char *conf_report_find(const char *words, const char *word, char *out, size_t size);

#endif
