#include "conf/report.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/log.h"

enum { CONF_WORD_BYTES = 48, CONF_TEXT_BYTES = 768 };

void
conf_report_set_nomem(struct conf_report *report)
{
    if (report)
        report->code = ERR_NOMEM;
}

void
conf_report_set(struct conf_report *report, const struct conf_origin *at, const char *format, ...)
{
    char raw[CONF_TEXT_BYTES], text[CONF_TEXT_BYTES];
    struct conf_complaint *complaint;
    va_list args;

    if (!report || report->code == ERR_NOMEM || report->count > CONF_REPORT_LIMIT)
        return;
    va_start(args, format);
    vsnprintf(raw, sizeof raw, format, args);
    va_end(args);
    if (report->count == CONF_REPORT_LIMIT)
        snprintf(raw, sizeof raw, "more than %d errors; the rest is not shown", CONF_REPORT_LIMIT);
    /* The text quotes the file, which may hold anything. */
    log_escape(span_str(raw), text, sizeof text);
    complaint = &report->list[report->count];
    *complaint = (struct conf_complaint){ .at = *at, .order = report->count, .text = strdup(text) };
    if (!complaint->text) {
        conf_report_set_nomem(report);
        return;
    }
    report->count++;
    report->code = ERR_PERM;
}

static int
conf_report_compare(const void *left, const void *right)
{
    const struct conf_complaint *a = left, *b = right;

    if (a->rank != b->rank)
        return a->rank < b->rank ? -1 : 1;
    if (a->at.line != b->at.line)
        return a->at.line < b->at.line ? -1 : 1;
    if (a->at.column != b->at.column)
        return a->at.column < b->at.column ? -1 : 1;
    return a->order < b->order ? -1 : a->order > b->order;
}

/* The note that there are more errors stays last. */
static void
conf_report_sort(struct conf_report *report, const struct conf *conf)
{
    const struct conf_private *private = conf->private;

    for (unsigned i = 0; i < report->count; i++) {
        struct conf_complaint *complaint = &report->list[i];
        unsigned rank = 0;
        while (rank < private->file_count && private->files[rank] != complaint->at.file)
            rank++;
        complaint->rank = i == CONF_REPORT_LIMIT ? UINT_MAX : rank;
    }
    qsort(report->list, report->count, sizeof report->list[0], conf_report_compare);
}

enum err_code
conf_report_finish(struct conf_report *report, const struct conf *conf, conf_complaint_fn *complain,
                   void *context, struct err *err)
{
    conf_report_sort(report, conf);
    for (unsigned i = 0; i < report->count; i++) {
        const struct conf_complaint *told = &report->list[i];

        if (report->code == ERR_PERM && complain)
            complain(context, told->at.file, told->at.line, told->at.column, told->text);
        if (report->code == ERR_PERM && i == 0)
            (void)!err_set(err, ERR_PERM, "%s:%u:%u: %s", told->at.file, told->at.line,
                           told->at.column, told->text);
        free(told->text);
    }
    report->count = 0;
    return report->code == ERR_NOMEM ? err_set(err, ERR_NOMEM, "out of memory") : report->code;
}

/* Optimal string alignment distance: insertions, deletions, replacements, swaps of neighbours. */
static unsigned
conf_report_distance(const char *a, size_t an, const char *b, size_t bn)
{
    unsigned rows[3][CONF_WORD_BYTES + 1];
    unsigned *before = rows[0], *above = rows[1], *row = rows[2];

    for (size_t j = 0; j <= bn; j++)
        above[j] = (unsigned)j;
    for (size_t i = 1; i <= an; i++) {
        unsigned *spare = before;

        row[0] = (unsigned)i;
        for (size_t j = 1; j <= bn; j++) {
            unsigned best = above[j - 1] + (a[i - 1] != b[j - 1]);
            if (above[j] + 1 < best)
                best = above[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            row[j] = best;
        }
        before = above;
        above = row;
        row = spare;
    }
    return above[bn];
}

const char *
conf_report_find(const char *words, const char *word, char *out, size_t size)
{
    size_t word_n = strlen(word);
    const char *best = NULL;
    size_t best_n = 0;
    unsigned best_distance = 0;

    if (word_n == 0 || word_n > CONF_WORD_BYTES)
        return NULL;
    while (*words) {
        size_t n = strcspn(words, "|");

        if (n <= CONF_WORD_BYTES) {
            unsigned distance = conf_report_distance(word, word_n, words, n);
            if (!best || distance < best_distance) {
                best = words;
                best_n = n;
                best_distance = distance;
            }
        }
        words += n + (words[n] == '|');
    }
    /* A third of the letters may be wrong; beyond that it is guessing. */
    if (!best || best_distance > (word_n > best_n ? word_n : best_n) / 3 + 1 ||
        best_distance >= word_n)
        return NULL;
    snprintf(out, size, "%.*s", (int)best_n, best);
    return out;
}
