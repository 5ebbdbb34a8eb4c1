#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/option.h"

/* The command line of a test: words until NULL; what the options became. */
struct line {
    bool flag;
    const char *value;
    long long count;
    struct ctl_list list, more;
    struct ctl_option table[6];
    struct ctl_options options;
};

static bool
parse(struct line *line, enum ctl_operand takes, const char *const *words)
{
    char *argv[32];
    int argc = 0;

    argv[argc++] = (char *)"command";
    while (words[argc - 1]) {
        argv[argc] = (char *)words[argc - 1];
        argc++;
    }
    argv[argc] = NULL;
    *line = (struct line){ .count = -1 };
    line->table[0] = (struct ctl_option){ "flag", 'f', CTL_OPTION_FLAG, &line->flag };
    line->table[1] = (struct ctl_option){ "value", 'v', CTL_OPTION_VALUE, &line->value };
    line->table[2] = (struct ctl_option){ "count", 0, CTL_OPTION_COUNT, &line->count };
    line->table[3] = (struct ctl_option){ "list", 0, CTL_OPTION_LIST, &line->list };
    line->table[4] = (struct ctl_option){ "more", 0, CTL_OPTION_LIST, &line->more };
    line->options = (struct ctl_options){ .table = line->table, .takes = takes };
    return ctl_options_parse(&line->options, argc, argv);
}

#define WORDS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void
each_kind_is_read_in_each_spelling(void **state)
{
    struct line line;

    (void)state;
    assert_true(parse(&line, CTL_OPERAND_FILE,
                      WORDS("--flag", "--value", "x", "--count=12", "--list=a", "file")));
    assert_true(line.flag);
    assert_string_equal(line.value, "x");
    assert_int_equal(line.count, 12);
    /* "file" stands behind the list, is the last word, and the operand is missing. */
    assert_int_equal(line.list.count, 1);
    assert_string_equal(line.options.operand, "file");
    ctl_options_free(&line.options);

    assert_true(parse(&line, CTL_OPERAND_NONE, WORDS("-f", "-v", "-", "--value=", "--count", "0")));
    assert_string_equal(line.value, "");
    assert_int_equal(line.count, 0);
    ctl_options_free(&line.options);
}

static void
list_takes_all_words_up_to_the_next_option(void **state)
{
    struct line line;

    (void)state;
    assert_true(parse(&line, CTL_OPERAND_FILE,
                      WORDS("file", "--list", "a", "b", "c", "--more", "d", "--list", "e")));
    assert_int_equal(line.list.count, 4);
    assert_string_equal(line.list.list[2], "c");
    assert_string_equal(line.list.list[3], "e");
    assert_null(line.list.list[4]);
    assert_int_equal(line.more.count, 1);
    assert_string_equal(line.options.operand, "file");
    ctl_options_free(&line.options);
}

static void
last_word_is_the_operand_when_there_is_no_other(void **state)
{
    struct line line;

    (void)state;
    assert_true(parse(&line, CTL_OPERAND_FILE, WORDS("--list", "a", "b")));
    assert_int_equal(line.list.count, 1);
    assert_null(line.list.list[1]);
    assert_string_equal(line.options.operand, "b");
    ctl_options_free(&line.options);

    /* The only word of an option stays its own: the message comes from stdin. */
    assert_true(parse(&line, CTL_OPERAND_FILE, WORDS("--list", "a", "--list", "b")));
    assert_int_equal(line.list.count, 2);
    assert_string_equal(line.options.operand, "-");
    ctl_options_free(&line.options);

    assert_true(parse(&line, CTL_OPERAND_FILE, WORDS("--list", "a", "b", "--", "c")));
    assert_int_equal(line.list.count, 2);
    assert_string_equal(line.options.operand, "c");
    ctl_options_free(&line.options);

    /* Where it may be missing, only what can be read is taken for it. */
    assert_true(parse(&line, CTL_OPERAND_MAYBE, WORDS("--list", "a@b", "c@d")));
    assert_int_equal(line.list.count, 2);
    assert_null(line.options.operand);
    ctl_options_free(&line.options);
    assert_true(parse(&line, CTL_OPERAND_MAYBE, WORDS("--list", "a@b", "/dev/null")));
    assert_int_equal(line.list.count, 1);
    assert_string_equal(line.options.operand, "/dev/null");
    ctl_options_free(&line.options);
    assert_true(parse(&line, CTL_OPERAND_MAYBE, WORDS("--list", "a@b", "-")));
    assert_string_equal(line.options.operand, "-");
    ctl_options_free(&line.options);
}

static void
what_fits_nothing_is_refused(void **state)
{
    static const char *const lines[][4] = {
        { "--nothing" },     { "-x" },
        { "--value" },       { "--flag=yes" },
        { "--count", "-1" }, { "--count", "1x" },
        { "--count", "" },   { "--count=99999999999999999999" },
        { "one", "two" },    { "--list" },
        { "---flag" },       { "-flag" },
    };
    struct line line;

    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        assert_false(parse(&line, CTL_OPERAND_FILE, lines[i]));
        ctl_options_free(&line.options);
    }
    assert_false(parse(&line, CTL_OPERAND_NONE, WORDS("word")));
    ctl_options_free(&line.options);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_is_read_in_each_spelling),
        cmocka_unit_test(list_takes_all_words_up_to_the_next_option),
        cmocka_unit_test(last_word_is_the_operand_when_there_is_no_other),
        cmocka_unit_test(what_fits_nothing_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
