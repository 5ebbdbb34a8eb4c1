#include "conf/value.h"

#include <stdlib.h>
#include <string.h>

#include "util/network.h"

bool
conf_type_is_string(enum conf_type type)
{
    return type >= CONF_TYPE_STRING && type <= CONF_TYPE_ADDRESS;
}

bool
conf_type_is_list(enum conf_type type)
{
    return type >= CONF_TYPE_LIST && type <= CONF_TYPE_HEADERS;
}

const char *
conf_value_name(enum conf_type type)
{
    static const char *const names[] = {
        [CONF_TYPE_GROUP_TITLE] = "",
        [CONF_TYPE_BOOL] = "yes or no",
        [CONF_TYPE_COUNT] = "a number",
        [CONF_TYPE_DURATION] = "a duration such as 500ms, 15s, 10m, 4h, 5d",
        [CONF_TYPE_SIZE] = "a size such as 64KiB, 25MiB, 1GiB",
        [CONF_TYPE_MODE] = "octal permissions such as 0660",
        [CONF_TYPE_ENUM] = "a word",
        [CONF_TYPE_STRING] = "text",
        [CONF_TYPE_WORD] = "a word",
        [CONF_TYPE_HOST] = "a host name",
        [CONF_TYPE_USER] = "a user of this system",
        [CONF_TYPE_GROUP] = "a group of this system",
        [CONF_TYPE_PATH] = "an absolute path",
        [CONF_TYPE_FILE] = "the absolute path of a file",
        [CONF_TYPE_FILE_SECRET] = "the absolute path of a file that others cannot read",
        [CONF_TYPE_FOLDER_PRIVATE] = "the absolute path of a folder closed to others",
        [CONF_TYPE_FOLDER_DROP] = "the absolute path of a folder closed to others",
        [CONF_TYPE_SOCKET] = "unix:/path, inet:port@host or inet6:port@host",
        [CONF_TYPE_ADDRESS] = "an address",
        [CONF_TYPE_LIST] = "a list of words",
        [CONF_TYPE_PATHS] = "a list of absolute paths",
        [CONF_TYPE_PATTERNS] = "a list of address patterns",
        [CONF_TYPE_ADDRESSES] = "a list of addresses",
        [CONF_TYPE_DOMAINS] = "a list of domains",
        [CONF_TYPE_WORDS] = "a list of words",
        [CONF_TYPE_HEADERS] = "a list of header fields such as \"Name: pattern\"",
        [CONF_TYPE_NETWORKS] = "a list of networks such as 192.0.2.0/24, 2001:db8::/32",
    };
    return names[type];
}

static void *
conf_value_field(const struct conf_param *param, void *base)
{
    return (char *)base + param->offset;
}

static void
conf_list_free(conf_list list)
{
    for (size_t i = 0; list && list[i]; i++)
        free(list[i]);
    free(list);
}

void
conf_value_free(const struct conf_param *param, void *base)
{
    void *field = conf_value_field(param, base);

    if (conf_type_is_string(param->type)) {
        free(*(char **)field);
        *(char **)field = NULL;
    } else if (conf_type_is_list(param->type)) {
        conf_list_free(*(conf_list *)field);
        *(conf_list *)field = NULL;
    } else if (param->type == CONF_TYPE_NETWORKS) {
        free(((struct conf_networks *)field)->list);
        *(struct conf_networks *)field = (struct conf_networks){ .list = NULL };
    }
}

void
conf_value_copy(const struct conf_param *from, const void *from_base, const struct conf_param *to,
                void *to_base)
{
    const void *field = (const char *)from_base + from->offset;
    void *copy = conf_value_field(to, to_base);

    if (conf_type_is_string(from->type) || conf_type_is_list(from->type))
        memcpy(copy, field, sizeof(char *));
    else if (from->type == CONF_TYPE_BOOL)
        memcpy(copy, field, sizeof(bool));
    else if (from->type == CONF_TYPE_ENUM || from->type == CONF_TYPE_MODE)
        memcpy(copy, field, sizeof(int));
    else if (from->type == CONF_TYPE_NETWORKS)
        memcpy(copy, field, sizeof(struct conf_networks));
    else
        memcpy(copy, field, sizeof(uint64_t));
}

static int
conf_word_index(const char *words, const char *word)
{
    size_t n = strlen(word);
    int index = 0;

    for (; *words; index++) {
        size_t length = strcspn(words, "|");
        if (length == n && memcmp(words, word, n) == 0)
            return index;
        words += length + (words[length] == '|');
    }
    return 0;
}

static bool
conf_value_parse_bool(const struct conf_param *param, const struct conf_word *word, bool *out,
                      struct conf_report *report)
{
    if (strcmp(word->text, "yes") == 0 || strcmp(word->text, "no") == 0) {
        *out = word->text[0] == 'y';
        return true;
    }
    conf_report_set(report, &word->at, "%s = %s: no such word; one of yes|no", param->name,
                    word->text);
    return false;
}

static bool
conf_value_parse_networks(const struct conf_param *param, const struct conf_words *words,
                          struct conf_networks *out, struct conf_report *report)
{
    struct conf_networks networks = { .list = calloc(words->count + 1, sizeof *networks.list) };
    bool good = true;

    if (!networks.list) {
        conf_report_set_nomem(report);
        return false;
    }
    for (size_t i = 0; i < words->count; i++) {
        struct err err = ERR_INIT;

        if (network_parse(words->list[i].text, &networks.list[i], &err) != ERR_OK) {
            conf_report_set(report, &words->list[i].at,
                            "%s = %s: %s; such as 192.0.2.0/24 or 2001:db8::/32", param->name,
                            words->list[i].text, err.text);
            good = false;
        }
    }
    networks.count = words->count;
    if (!good) {
        free(networks.list);
        return false;
    }
    free(out->list);
    *out = networks;
    return true;
}

static bool
conf_value_parse_list(const struct conf_param *param, const struct conf_words *words,
                      conf_list *out, struct conf_report *report)
{
    conf_list list = calloc(words->count + 1, sizeof *list);
    bool good = list != NULL;

    if (!list)
        conf_report_set_nomem(report);
    for (size_t i = 0; list && i < words->count; i++) {
        if (!conf_text_check(param, &words->list[i], report)) {
            good = false;
        } else if (good) {
            list[i] = strdup(words->list[i].text);
            if (!list[i]) {
                conf_report_set_nomem(report);
                good = false;
            }
        }
    }
    if (!good) {
        conf_list_free(list);
        return false;
    }
    conf_list_free(*out);
    *out = list;
    return true;
}

static bool
conf_value_parse_string(const struct conf_param *param, const struct conf_word *word, char **out,
                        struct conf_report *report)
{
    char *copy;

    if (*word->text && !conf_text_check(param, word, report))
        return false;
    copy = strdup(word->text);
    if (!copy) {
        conf_report_set_nomem(report);
        return false;
    }
    free(*out);
    *out = copy;
    return true;
}

static bool
conf_value_parse_number(const struct conf_param *param, const struct conf_word *word, void *field,
                        struct conf_report *report)
{
    uint64_t value = 0;

    if (!conf_number_parse(param, word, &value, report))
        return false;
    if (param->type == CONF_TYPE_MODE)
        *(unsigned *)field = (unsigned)value;
    else if (param->type == CONF_TYPE_DURATION)
        *(int64_t *)field = (int64_t)value;
    else
        *(uint64_t *)field = value;
    return true;
}

/* How many words there may be, and whether the one may be "". */
static bool
conf_value_check_count(const struct conf_param *param, const struct conf_words *words,
                       struct conf_report *report)
{
    bool many = conf_type_is_list(param->type) || param->type == CONF_TYPE_NETWORKS;
    bool optional = conf_type_is_string(param->type) ? param->preset[0] == '\0'
                                                     : strcmp(param->preset, CONF_REQUIRED) != 0;

    if (!many && words->count > 1) {
        conf_report_set(report, &words->list[1].at,
                        "%s takes one value; put a value with blanks into double quotes",
                        param->name);
        return false;
    }
    if (words->count > CONF_VALUE_LIST_LIMIT) {
        conf_report_set(report, &words->list[0].at, "%s has more than %d values", param->name,
                        CONF_VALUE_LIST_LIMIT);
        return false;
    }
    for (size_t i = 0; i < words->count; i++) {
        bool alone = words->count == 1 && (many || conf_type_is_string(param->type));
        if (words->list[i].text[0] == '\0' && !(alone && optional)) {
            conf_report_set(report, &words->list[i].at, "%s may not be empty; it wants %s",
                            param->name, conf_value_name(param->type));
            return false;
        }
    }
    return true;
}

bool
conf_value_parse(const struct conf_param *param, const struct conf_words *words, void *base,
                 struct conf_report *report)
{
    static const struct conf_words none = { .count = 0 };
    void *field = conf_value_field(param, base);
    const struct conf_word *word = &words->list[0];

    if (!conf_value_check_count(param, words, report))
        return false;
    /* name = "" empties a list. */
    if (word->text[0] == '\0' && !conf_type_is_string(param->type))
        words = &none;
    if (conf_type_is_string(param->type))
        return conf_value_parse_string(param, word, field, report);
    if (conf_type_is_list(param->type))
        return conf_value_parse_list(param, words, field, report);
    if (param->type == CONF_TYPE_NETWORKS)
        return conf_value_parse_networks(param, words, field, report);
    if (param->type == CONF_TYPE_BOOL)
        return conf_value_parse_bool(param, word, field, report);
    if (param->type == CONF_TYPE_ENUM) {
        if (!conf_text_check(param, word, report))
            return false;
        *(int *)field = conf_word_index(param->words, word->text);
        return true;
    }
    return conf_value_parse_number(param, word, field, report);
}

/* The default as words: it holds no quotes. */
static bool
conf_value_split(const char *preset, char *copy, struct conf_word *list, size_t *count)
{
    char *save = NULL;

    *count = 0;
    memcpy(copy, preset, strlen(preset) + 1);
    for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save))
        list[(*count)++] = (struct conf_word){ .text = word };
    return *count > 0;
}

bool
conf_value_init(const struct conf_param *param, void *base)
{
    const char *preset = strcmp(param->preset, CONF_REQUIRED) == 0 ? "" : param->preset;
    struct conf_word *list = NULL;
    struct conf_words words = { .count = 1 };
    char *copy = NULL;
    bool good = false;

    /* A copy of n octets holds at most n words. */
    copy = malloc(strlen(preset) + 1);
    list = calloc(strlen(preset) + 1, sizeof *list);
    if (!copy || !list)
        goto out;
    if (!conf_value_split(preset, copy, list, &words.count)) {
        /* "" as the default: nothing is checked, REQUIRED must be given anyway. */
        words.count = 1;
        list[0].text = copy;
        copy[0] = '\0';
    }
    words.list = list;
    if (copy[0] == '\0' && conf_type_is_string(param->type))
        good = conf_value_parse_string(param, &list[0], conf_value_field(param, base), NULL);
    else if (copy[0] == '\0') {
        words.count = 0;
        good = param->type == CONF_TYPE_NETWORKS ||
               conf_value_parse_list(param, &words, conf_value_field(param, base), NULL);
    } else {
        good = conf_value_parse(param, &words, base, NULL);
    }
out:
    free(list);
    free(copy);
    return good;
}
