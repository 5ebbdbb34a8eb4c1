#include "ctl/option.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "ctl/command.h"

enum { OPTION_LIMIT_WORDS = 100000 };

/* Where the parser stands: the list that takes the words, and which word came last. */
struct parse {
    struct ctl_options *options;
    const char *command;
    struct ctl_list *open; /* NULL: no list option is open */
    size_t words;          /* that `open` has taken since its option */
};

static bool
option_list_add(struct ctl_list *list, const char *word)
{
    const char **grown;

    if (list->count >= OPTION_LIMIT_WORDS)
        return false;
    grown = realloc(list->list, (list->count + 2) * sizeof *grown);
    if (!grown)
        return false;
    list->list = grown;
    grown[list->count++] = word;
    grown[list->count] = NULL;
    return true;
}

static const struct ctl_option *
option_find(const struct ctl_options *options, const char *name, size_t n, bool is_long)
{
    for (const struct ctl_option *o = options->table; o && o->name; o++) {
        if (is_long ? strlen(o->name) == n && memcmp(o->name, name, n) == 0
                    : n == 1 && o->letter && o->letter == name[0])
            return o;
    }
    return NULL;
}

static bool
option_set(struct parse *parse, const struct ctl_option *option, const char *value)
{
    long long number;
    char *end = NULL;

    switch (option->kind) {
    case CTL_OPTION_FLAG:
        break;
    case CTL_OPTION_VALUE:
        *(const char **)option->into = value;
        return true;
    case CTL_OPTION_COUNT:
        errno = 0;
        number = strtoll(value, &end, 10);
        if (errno || end == value || *end || number < 0) {
            ctl_say("%s: --%s needs a number, not \"%s\"", parse->command, option->name, value);
            return false;
        }
        *(long long *)option->into = number;
        return true;
    case CTL_OPTION_LIST:
        parse->open = option->into;
        parse->words = 1;
        if (option_list_add(parse->open, value))
            return true;
        ctl_say("%s: too many words behind --%s", parse->command, option->name);
        return false;
    }
    return false;
}

static bool
option_word(struct parse *parse, const char *word)
{
    if (parse->open && option_list_add(parse->open, word)) {
        parse->words++;
        return true;
    }
    if (parse->options->takes != CTL_OPERAND_NONE && !parse->options->operand) {
        parse->options->operand = word;
        return true;
    }
    ctl_say("%s: \"%s\" is one word too many; try: smimectl help %s", parse->command, word,
            parse->command);
    return false;
}

/* The option at argv[i]; returns the index of the last word it took, or 0. */
static int
option_parse_one(struct parse *parse, int argc, char **argv, int i)
{
    bool is_long = argv[i][1] == '-';
    const char *name = argv[i] + (is_long ? 2 : 1);
    const char *equals = is_long ? strchr(name, '=') : NULL;
    size_t n = equals ? (size_t)(equals - name) : strlen(name);
    const struct ctl_option *option = option_find(parse->options, name, n, is_long);

    parse->open = NULL;
    if (!option) {
        ctl_say("%s: there is no option %s; try: smimectl help %s", parse->command, argv[i],
                parse->command);
        return 0;
    }
    if (option->kind == CTL_OPTION_FLAG) {
        if (equals) {
            ctl_say("%s: --%s takes no value", parse->command, option->name);
            return 0;
        }
        *(bool *)option->into = true;
        return i;
    }
    if (equals)
        return option_set(parse, option, equals + 1) ? i : 0;
    if (i + 1 >= argc) {
        ctl_say("%s: --%s needs a value", parse->command, option->name);
        return 0;
    }
    return option_set(parse, option, argv[i + 1]) ? i + 1 : 0;
}

/* No operand so far: is the last word of an open list meant to be it? */
static void
option_find_operand(struct parse *parse)
{
    struct ctl_options *options = parse->options;
    struct stat st;
    const char *word;

    if (options->takes == CTL_OPERAND_NONE || options->operand)
        return;
    if (parse->open && parse->words > 1) {
        word = parse->open->list[parse->open->count - 1];
        if (options->takes == CTL_OPERAND_FILE || strcmp(word, "-") == 0 || stat(word, &st) == 0) {
            options->operand = word;
            parse->open->list[--parse->open->count] = NULL;
        }
    }
    if (!options->operand && options->takes == CTL_OPERAND_FILE)
        options->operand = "-";
}

bool
ctl_options_parse(struct ctl_options *options, int argc, char **argv)
{
    struct parse parse = { .options = options, .command = argv[0] };
    bool ended = false;

    for (int i = 1; i < argc; i++) {
        if (!ended && strcmp(argv[i], "--") == 0) {
            ended = true;
            parse.open = NULL;
        } else if (!ended && argv[i][0] == '-' && argv[i][1]) {
            i = option_parse_one(&parse, argc, argv, i);
            if (i == 0)
                return false;
        } else if (!option_word(&parse, argv[i])) {
            return false;
        }
    }
    option_find_operand(&parse);
    return true;
}

void
ctl_options_free(struct ctl_options *options)
{
    for (const struct ctl_option *o = options->table; o && o->name; o++) {
        if (o->kind == CTL_OPTION_LIST) {
            struct ctl_list *list = o->into;

            free(list->list);
            *list = (struct ctl_list){ .list = NULL };
        }
    }
}
