#include "conf/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/log.h"

enum { CONF_WORD_BYTES = 48, CONF_TEXT_BYTES = 768 };

void
conf_report_set_nomem(struct conf_report *report)
{
    if (report->code == ERR_NOMEM)
        return;
    report->code = ERR_NOMEM;
    err_reset(report->err);
    (void)err_set(report->err, ERR_NOMEM, "out of memory");
}

void
conf_report_set(struct conf_report *report, const struct conf_origin *at, const char *format, ...)
{
    char raw[CONF_TEXT_BYTES], text[CONF_TEXT_BYTES];
    va_list args;

    if (report->code == ERR_NOMEM || report->count > CONF_REPORT_LIMIT)
        return;
    va_start(args, format);
    vsnprintf(raw, sizeof raw, format, args);
    va_end(args);
    if (report->count++ == CONF_REPORT_LIMIT)
        snprintf(raw, sizeof raw, "more than %d errors; the rest is not shown", CONF_REPORT_LIMIT);
    /* The text quotes the file, which may hold anything. */
    log_escape(span_str(raw), text, sizeof text);
    if (report->code == ERR_OK)
        report->code =
            err_set(report->err, ERR_PERM, "%s:%u:%u: %s", at->file, at->line, at->column, text);
    report->code = ERR_PERM;
    if (report->complain)
        report->complain(report->context, at->file, at->line, at->column, text);
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
