#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "flow/outcome.h"

/* The rows of the table in the manual that name a field, in their order, as the code would print
 * them. */
static char *
documented_fields(void)
{
    FILE *in = fopen("docs/log-fields.md", "r");
    char *text = NULL, line[2000], name[100];
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    bool in_table = false;

    assert_non_null(in);
    assert_non_null(out);
    while (fgets(line, sizeof(line), in)) {
        char *meaning, *end;

        if (strcmp(line, "| field | meaning |\n") == 0)
            in_table = true;
        else if (in_table && line[0] != '|')
            break;
        if (!in_table || sscanf(line, "| `%99[a-z_]` |", name) != 1)
            continue;
        meaning = strstr(line + 2, "| ") + 2;
        end = strrchr(meaning, '|');
        assert_non_null(end);
        fprintf(out, "%s\t%.*s\n", name, (int)(end - meaning - 1), meaning);
    }
    fclose(in);
    fclose(out);
    return text;
}

static void
the_manual_lists_every_field_as_it_is(void **state)
{
    char *documented = documented_fields(), *actual = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&actual, &size);

    (void)state;
    assert_non_null(out);
    flow_outcome_format_fields(out);
    fclose(out);
    assert_true(size > 500);
    assert_string_equal(documented, actual);
    free(documented);
    free(actual);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_manual_lists_every_field_as_it_is),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
