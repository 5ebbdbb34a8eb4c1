/*
 * One parameter's value: from words of the file into the field of its struct, and back into text.
 * No state; any thread.
 */
#ifndef CONF_VALUE_H
#define CONF_VALUE_H

#include "conf/report.h"
#include "util/buf.h"

enum { CONF_VALUE_LIST_LIMIT = 10000 };

struct conf_word {
    char *text;
    struct conf_origin at;
};

struct conf_words {
    struct conf_word *list;
    size_t count;
};

/* Puts the value into its field of `base`, whose old value is freed. At least one word. False after
 * a complaint: the old value stays. */
bool conf_value_parse(const struct conf_param *param, const struct conf_words *words, void *base,
                      struct conf_report *report);

/* The default into a fresh struct. False: memory is exhausted (a default that does not parse is a
 * fault of the table, which a test finds). */
bool conf_value_init(const struct conf_param *param, void *base);
void conf_value_free(const struct conf_param *param, void *base);

/* The value of `from` into the field of `to`, a parameter of the same type: strings and lists are
 * borrowed. */
void conf_value_copy(const struct conf_param *from, const void *from_base,
                     const struct conf_param *to, void *to_base);

/* As it would be written in the file. */
ERR_CHECKED enum err_code conf_value_format(const struct conf_param *param, const void *base,
                                            struct buf *out, struct err *err);

/* A number of a COUNT, DURATION, SIZE or MODE as it would be written: "15s", "64KiB". Returns
 * `out`. */
enum { CONF_NUMBER_SIZE = 32 };
char *conf_number_format(enum conf_type type, uint64_t value, char *out);

/* What a value of this type looks like, for manual and hints: "yes or no", "a duration such as
 * 15s". */
const char *conf_value_name(enum conf_type type);

/* The checks of one word; false after a complaint (which does not happen with report NULL). */
bool conf_number_parse(const struct conf_param *param, const struct conf_word *word, uint64_t *out,
                       struct conf_report *report);
bool conf_text_check(const struct conf_param *param, const struct conf_word *word,
                     struct conf_report *report);

/* How the field is kept. */
bool conf_type_is_string(enum conf_type type);
bool conf_type_is_list(enum conf_type type); /* of strings */

#endif
