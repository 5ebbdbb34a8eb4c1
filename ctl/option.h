/*
 * The command line of one command: a table of options, and one operand at most.
 *
 *     --name VALUE or --name=VALUE; -c VALUE for those with a letter; "--" ends the options.
 *
 * A list option (--anchors PATH...) takes all words up to the next option and may be repeated. So
 * that `verify --anchors ca.pem message.eml` says what it seems to say, the last word of the line
 * is the operand when the command has one and none was found elsewhere, unless it is the only word
 * of its option.
 *
 * Everything points into argv. Threads: one.
 */
#ifndef CTL_OPTION_H
#define CTL_OPTION_H

#include <stdbool.h>
#include <stddef.h>

struct ctl_list {
    const char **list; /* NULL-terminated, or NULL when it is empty */
    size_t count;
};

enum ctl_option_kind {
    CTL_OPTION_FLAG,  /* bool */
    CTL_OPTION_VALUE, /* const char * */
    CTL_OPTION_COUNT, /* long long, not negative */
    CTL_OPTION_LIST   /* struct ctl_list */
};

struct ctl_option {
    const char *name; /* without dashes; NULL ends the table */
    char letter;      /* 0: none */
    enum ctl_option_kind kind;
    void *into;
};

enum ctl_operand {
    CTL_OPERAND_NONE,
    CTL_OPERAND_MAYBE, /* a word of a list is taken for it only if it is "-" or a file that exists
                        */
    CTL_OPERAND_FILE   /* "-" when it is not given */
};

struct ctl_options {
    const struct ctl_option *table;
    enum ctl_operand takes;
    const char *operand; /* NULL: none */
};

/* False: something is wrong; it was said on stderr and the command ends with CTL_EXIT_USAGE. */
bool ctl_options_parse(struct ctl_options *options, int argc, char **argv);

/* Frees the lists. */
void ctl_options_free(struct ctl_options *options);

#endif
