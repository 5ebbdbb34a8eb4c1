#include "tests/unit/conf/complaints.h"

#include <ctype.h>
#include <unistd.h>

#include "conf/table.h"
#include "conf/value.h"

static char *
text_of(void (*format)(FILE *))
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);

    assert_non_null(out);
    format(out);
    assert_int_equal(fclose(out), 0);
    return text;
}

static char *
read_whole(const char *name)
{
    static const char *const tops[] = { ".", "..", "../..", "../../..", "../../../.." };
    char path[256];
    FILE *in = NULL;
    char *text = calloc(1, 1 << 20);

    for (size_t i = 0; !in && i < sizeof tops / sizeof tops[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", tops[i], name);
        in = fopen(path, "r");
    }
    if (!in) {
        free(text);
        return NULL;
    }
    assert_true(fread(text, 1, (1 << 20) - 1, in) > 0);
    fclose(in);
    return text;
}

/* Takes the # away from every parameter, section and brace; prose has a blank behind its #. */
static void
uncomment(char *text)
{
    char *to = text;

    for (char *line = text; *line;) {
        char *end = strchr(line, '\n') + 1;
        char *sign = line + strspn(line, " ");

        if (*sign == '#' && (isalpha((unsigned char)sign[1]) || sign[1] == '}'))
            *sign = ' ';
        memmove(to, line, (size_t)(end - line));
        to += end - line;
        line = end;
    }
    *to = '\0';
}

struct counter {
    unsigned given, total;
};

static void
count_given(void *context, const char *section, const char *name, const char *value,
            const char *from)
{
    struct counter *counter = context;

    (void)section;
    (void)name;
    (void)value;
    counter->total++;
    counter->given += strcmp(from, "default") != 0;
}

static void
sample_without_its_signs_gives_every_parameter(void **state)
{
    char *text = text_of(conf_format_sample);
    struct counter counter = { .total = 0 };
    struct conf *conf;

    (void)state;
    uncomment(text);
    /* A directory has to be a file or servers. */
    memcpy(strstr(text, "ldif = \"\""), "ldif = /f", strlen("ldif = /f"));
    conf = conf_of(text);
    assert_int_equal(conf->rule_count, 1);
    assert_int_equal(conf->trust_count, 1);
    assert_int_equal(conf->directory_count, 1);
    conf_each(conf, count_given, &counter);
    assert_true(counter.total > 60);
    assert_int_equal(counter.given, counter.total);
    conf_free(&conf);
    free(text);
}

static void
sample_as_it_is_changes_nothing(void **state)
{
    char *text = text_of(conf_format_sample);
    struct counter counter = { .total = 0 };
    struct conf *conf = conf_of(text);

    (void)state;
    conf_each(conf, count_given, &counter);
    assert_int_equal(counter.given, 0);
    assert_int_equal(conf->rule_count, 0);
    conf_free(&conf);
    free(text);
}

static void
sample_has_no_long_lines(void **state)
{
    char *text = text_of(conf_format_sample), *save = NULL;

    (void)state;
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        assert_true(strlen(line) <= 100);
    free(text);
}

/* conf/smimed.conf is made from the table:
 * when this fails, a parameter was changed and the file was not made again. */
static void
sample_in_the_tree_is_that_of_the_table(void **state)
{
    char *file = read_whole("conf/smimed.conf");
    char *text = text_of(conf_format_sample);

    (void)state;
    if (!file) {
        free(text);
        print_message("conf/smimed.conf is not below this folder\n");
        skip();
    }
    assert_string_equal(file, text);
    free(file);
    free(text);
}

static void
minimal_example_is_a_configuration(void **state)
{
    char *file = read_whole("conf/smimed-minimal.conf.example");
    struct conf *conf;

    (void)state;
    if (!file) {
        print_message("conf/smimed-minimal.conf.example is not below this folder\n");
        skip();
    }
    conf = conf_of(file);
    assert_int_equal(conf->rule_count, 1);
    assert_int_equal(conf->rules[0].sign, CONF_SIGN_ALWAYS);
    assert_int_equal(conf->rules[0].encrypt, CONF_ENCRYPT_IF_POSSIBLE);
    conf_free(&conf);
    free(file);
}

static void
every_default_of_the_table_parses_and_is_written_back(void **state)
{
    (void)state;
    for (int kind = 0; kind < CONF_KINDS; kind++) {
        const struct conf_table *table = conf_table_get((enum conf_kind)kind);
        void *base = calloc(1, table->size);

        for (size_t i = 0; i < table->count; i++) {
            const struct conf_param *param = &table->params[i];
            struct buf out = BUF_INIT(4096);
            const char *expected;

            if (!param->name)
                continue;
            expected = *param->preset ? param->preset : "\"\"";
            assert_true(conf_value_init(param, base));
            assert_int_equal(conf_value_format(param, base, &out, NULL), ERR_OK);
            if (strcmp(expected, CONF_REQUIRED) == 0)
                expected = "\"\"";
            assert_string_equal(buf_str(&out), expected);
            buf_free(&out);
        }
        for (size_t i = 0; i < table->count; i++)
            if (table->params[i].name)
                conf_value_free(&table->params[i], base);
        free(base);
    }
}

static void
every_row_of_the_table_is_sound(void **state)
{
    (void)state;
    for (int kind = 0; kind < CONF_KINDS; kind++) {
        const struct conf_table *table = conf_table_get((enum conf_kind)kind);

        for (size_t i = 0; i < table->count; i++) {
            const struct conf_param *param = &table->params[i];
            bool word = param->type == CONF_TYPE_ENUM || param->type == CONF_TYPE_WORD ||
                        param->type == CONF_TYPE_WORDS;

            assert_true(strlen(param->meaning) > 2);
            if (!param->name)
                continue;
            /* Once in its table, with a sentence. */
            assert_ptr_equal(conf_table_find(table, param->name), param);
            assert_int_equal(param->meaning[strlen(param->meaning) - 1], '.');
            assert_int_equal(strchr(param->words, '|') != NULL, word);
            if (param->type == CONF_TYPE_COUNT || param->type == CONF_TYPE_DURATION ||
                param->type == CONF_TYPE_SIZE || param->type == CONF_TYPE_MODE)
                assert_true(param->min < param->max);
            else
                assert_true(param->min == 0 && param->max == 0);
            assert_true(strlen(conf_value_name(param->type)) > 0);
        }
    }
}

static void
manual_names_every_parameter_with_its_default(void **state)
{
    char *text = text_of(conf_format_mdoc), *copy = strdup(text), *save = NULL;

    (void)state;
    for (int kind = 0; kind < CONF_KINDS; kind++) {
        const struct conf_table *table = conf_table_get((enum conf_kind)kind);

        for (size_t i = 0; i < table->count; i++) {
            char item[64];

            if (!table->params[i].name)
                continue;
            snprintf(item, sizeof item, ".It Ic %s\n", table->params[i].name);
            assert_non_null(strstr(text, item));
        }
    }
    assert_non_null(strstr(text, ".Ql unix:/run/smimed/milter.sock .\n"));
    assert_non_null(strstr(text, "From 1s to 250s.\n"));
    for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        assert_true(strlen(line) <= 80);
        /* A request is one of those we use: no text begins with a dot. */
        if (line[0] == '.')
            assert_true(strncmp(line, ".It Ic ", 7) == 0 || strncmp(line, ".Ql ", 4) == 0 ||
                        strncmp(line, ".Ss ", 4) == 0 || strncmp(line, ".Bl ", 4) == 0 ||
                        strcmp(line, ".El") == 0);
        assert_true(line[0] != '\'');
    }
    free(copy);
    free(text);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sample_without_its_signs_gives_every_parameter),
        cmocka_unit_test(sample_as_it_is_changes_nothing),
        cmocka_unit_test(sample_has_no_long_lines),
        cmocka_unit_test(sample_in_the_tree_is_that_of_the_table),
        cmocka_unit_test(minimal_example_is_a_configuration),
        cmocka_unit_test(every_default_of_the_table_parses_and_is_written_back),
        cmocka_unit_test(every_row_of_the_table_is_sound),
        cmocka_unit_test(manual_names_every_parameter_with_its_default),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
