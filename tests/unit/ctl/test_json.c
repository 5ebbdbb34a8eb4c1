#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/json.h"

/* What a writer that got this one string wrote. Returned: free(). */
static char *
written(struct span value)
{
    unsigned char *exact = malloc(value.n ? value.n : 1);
    struct ctl_json json;
    char *out = NULL;
    size_t n = 0;
    FILE *file = open_memstream(&out, &n);

    assert_non_null(exact);
    assert_non_null(file);
    memcpy(exact, value.p, value.n);
    ctl_json_init(&json, file);
    ctl_json_span(&json, NULL, span_of(exact, value.n));
    fclose(file);
    free(exact);
    return out;
}

static void
text_is_escaped_and_what_is_no_utf8_is_replaced(void **state)
{
    static const struct {
        const char *in;
        size_t n;
        const char *out;
    } rows[] = {
        { "", 0, "\"\"" },
        { "plain", 5, "\"plain\"" },
        { "\"\\/", 3, "\"\\\"\\\\/\"" },
        { "a\0b", 3, "\"a\\u0000b\"" },
        { "\n\r\t\x1b\x7f", 5, "\"\\u000a\\u000d\\u0009\\u001b\\u007f\"" },
        { "\xC3\xA9", 2, "\"\xC3\xA9\"" },
        { "\xE2\x82\xAC", 3, "\"\xE2\x82\xAC\"" },
        { "\xF0\x9F\x98\x80", 4, "\"\xF0\x9F\x98\x80\"" },
        { "\xF4\x8F\xBF\xBF", 4, "\"\xF4\x8F\xBF\xBF\"" },
        { "\xEE\x80\x80", 3, "\"\xEE\x80\x80\"" },
        /* cut short, at the end of the buffer */
        { "\xC3", 1, "\"\\ufffd\"" },
        { "\xE2\x82", 2, "\"\\ufffd\\ufffd\"" },
        { "\xF0\x9F\x98", 3, "\"\\ufffd\\ufffd\\ufffd\"" },
        /* overlong, surrogate, beyond the last character, stray */
        { "\xC0\xAF", 2, "\"\\ufffd\\ufffd\"" },
        { "\xE0\x9F\xBF", 3, "\"\\ufffd\\ufffd\\ufffd\"" },
        { "\xF0\x8F\xBF\xBF", 4, "\"\\ufffd\\ufffd\\ufffd\\ufffd\"" },
        { "\xED\xA0\x80", 3, "\"\\ufffd\\ufffd\\ufffd\"" },
        { "\xF4\x90\x80\x80", 4, "\"\\ufffd\\ufffd\\ufffd\\ufffd\"" },
        { "\xFFz\x80", 3, "\"\\ufffdz\\ufffd\"" },
        { "\xC3\"", 2, "\"\\ufffd\\\"\"" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char *out = written(span_of(rows[i].in, rows[i].n));

        assert_string_equal(out, rows[i].out);
        free(out);
    }
}

static void
objects_and_arrays_nest_with_their_commas(void **state)
{
    struct ctl_json json;
    char *out = NULL;
    size_t n = 0;
    FILE *file = open_memstream(&out, &n);

    (void)state;
    ctl_json_init(&json, file);
    ctl_json_open(&json, NULL, '{');
    ctl_json_text(&json, "a", "b");
    ctl_json_open(&json, "list", '[');
    ctl_json_number(&json, NULL, -5);
    ctl_json_bool(&json, NULL, true);
    ctl_json_open(&json, NULL, '{');
    ctl_json_close(&json);
    ctl_json_close(&json);
    ctl_json_text(&json, "none", NULL);
    ctl_json_time(&json, "when", 1700000000);
    ctl_json_time(&json, "never", 0);
    ctl_json_bool(&json, "no", false);
    ctl_json_close(&json);
    fclose(file);
    assert_string_equal(out,
                        "{\"a\": \"b\", \"list\": [-5, true, {}], \"none\": null, "
                        "\"when\": \"2023-11-14T22:13:20Z\", \"never\": null, \"no\": false}\n");
    free(out);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_escaped_and_what_is_no_utf8_is_replaced),
        cmocka_unit_test(objects_and_arrays_nest_with_their_commas),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
