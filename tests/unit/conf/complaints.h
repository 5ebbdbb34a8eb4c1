/*
 * For the tests of this folder: what a configuration is told about, as lines "file:line:column:
 * text".
 */
#ifndef TESTS_UNIT_CONF_COMPLAINTS_H
#define TESTS_UNIT_CONF_COMPLAINTS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "conf/conf.h"

struct complaints {
    char text[65536];
    unsigned count;
};

static inline void
complaints_add(void *context, const char *file, unsigned line, unsigned column, const char *text)
{
    struct complaints *all = context;
    size_t n = strlen(all->text);

    snprintf(all->text + n, sizeof all->text - n, "%s:%u:%u: %s\n", file, line, column, text);
    all->count++;
}

/* A trust set, so that a rule is not told that it lacks one. */
#define TRUST "trust \"default\" { anchors = /anchors }\n"

/* Parses `text` from an exact-size block; the complaints must be `expected`, to the letter. */
static inline void
check_complaints(const char *text, const char *expected)
{
    struct complaints *all = calloc(1, sizeof *all);
    struct conf *conf = NULL;
    struct err err = ERR_INIT;
    char *copy = strdup(text);
    enum err_code rc = conf_parse("f", copy, complaints_add, all, &conf, &err);

    assert_string_equal(all->text, expected);
    assert_int_equal(rc, *expected ? ERR_PERM : ERR_OK);
    if (*expected) {
        assert_null(conf);
        assert_int_equal(err.code, ERR_PERM);
        assert_memory_equal(err.text, expected,
                            strcspn(expected, "\n") < 500 ? strcspn(expected, "\n") : 500);
    }
    conf_free(&conf);
    free(copy);
    free(all);
}

/* Parses what must be right. */
static inline struct conf *
conf_of(const char *text)
{
    struct complaints *all = calloc(1, sizeof *all);
    struct conf *conf = NULL;
    struct err err = ERR_INIT;
    char *copy = strdup(text);

    if (conf_parse("f", copy, complaints_add, all, &conf, &err) != ERR_OK)
        print_message("%s", all->text);
    assert_non_null(conf);
    assert_int_equal(all->count, 0);
    free(copy);
    free(all);
    return conf;
}

#endif
