/*
 * Numbers with units. A duration or a size without its unit is refused: eom_timeout = 20 would be
 * read as seconds by one and as milliseconds by another.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "conf/value.h"

struct conf_unit {
    const char *name;
    uint64_t factor;
};

/* From the largest to the smallest, as conf_number_format tries them. */
static const struct conf_unit conf_durations[] = {
    { "d", 86400000 }, { "h", 3600000 }, { "m", 60000 }, { "s", 1000 }, { "ms", 1 }, { NULL, 0 },
};
static const struct conf_unit conf_sizes[] = {
    { "TiB", UINT64_C(1) << 40 },
    { "GiB", UINT64_C(1) << 30 },
    { "MiB", UINT64_C(1) << 20 },
    { "KiB", UINT64_C(1) << 10 },
    { "B", 1 },
    { NULL, 0 },
};

static const struct conf_unit *
conf_number_units(enum conf_type type)
{
    return type == CONF_TYPE_DURATION ? conf_durations : type == CONF_TYPE_SIZE ? conf_sizes : NULL;
}

char *
conf_number_format(enum conf_type type, uint64_t value, char *out)
{
    const struct conf_unit *unit = conf_number_units(type);

    if (type == CONF_TYPE_MODE) {
        snprintf(out, CONF_NUMBER_SIZE, "%04" PRIo64, value);
    } else if (!unit || value == 0) {
        snprintf(out, CONF_NUMBER_SIZE, "%" PRIu64, value);
    } else {
        while (value % unit->factor != 0)
            unit++;
        snprintf(out, CONF_NUMBER_SIZE, "%" PRIu64 "%s", value / unit->factor, unit->name);
    }
    return out;
}

static void
conf_number_refuse_unit(const struct conf_param *param, const struct conf_word *word,
                        const char *unit, struct conf_report *report)
{
    const char *units =
        param->type == CONF_TYPE_DURATION ? "ms, s, m, h, d" : "B, KiB, MiB, GiB, TiB";

    if (*unit == '\0')
        conf_report_set(report, &word->at, "%s = %s: the unit is missing; one of %s", param->name,
                        word->text, units);
    else
        conf_report_set(report, &word->at, "%s = %s: \"%s\" is no unit here; one of %s",
                        param->name, word->text, unit, units);
}

static void
conf_number_refuse_range(const struct conf_param *param, const struct conf_word *word,
                         struct conf_report *report)
{
    char min[CONF_NUMBER_SIZE], max[CONF_NUMBER_SIZE];

    conf_report_set(report, &word->at, "%s = %s is out of range; from %s to %s", param->name,
                    word->text, conf_number_format(param->type, param->min, min),
                    conf_number_format(param->type, param->max, max));
}

/* Digits of `base` at the start of `text`; a number that does not fit is UINT64_MAX. */
static uint64_t
conf_number_digits(const char *text, unsigned base, const char **end)
{
    uint64_t value = 0;

    for (; *text >= '0' && *text < (char)('0' + base); text++) {
        unsigned digit = (unsigned)(*text - '0');
        value = value > (UINT64_MAX - digit) / base ? UINT64_MAX : value * base + digit;
    }
    *end = text;
    return value;
}

bool
conf_number_parse(const struct conf_param *param, const struct conf_word *word, uint64_t *out,
                  struct conf_report *report)
{
    const struct conf_unit *unit = conf_number_units(param->type);
    const char *end;
    uint64_t value = conf_number_digits(word->text, param->type == CONF_TYPE_MODE ? 8 : 10, &end);

    if (end == word->text || (!unit && *end)) {
        conf_report_set(report, &word->at, "%s = %s is not a number; it wants %s", param->name,
                        word->text, conf_value_name(param->type));
        return false;
    }
    /* 0660, not 660 which a reader may take for decimal. */
    if (param->type == CONF_TYPE_MODE && word->text[0] != '0') {
        conf_report_set(report, &word->at, "%s = %s: permissions begin with a 0; such as 0%s",
                        param->name, word->text, word->text);
        return false;
    }
    if (unit && !(value == 0 && *end == '\0')) {
        while (unit->name && strcmp(unit->name, end) != 0)
            unit++;
        if (!unit->name) {
            conf_number_refuse_unit(param, word, end, report);
            return false;
        }
        value = value > UINT64_MAX / unit->factor ? UINT64_MAX : value * unit->factor;
    }
    if (value < param->min || value > param->max) {
        conf_number_refuse_range(param, word, report);
        return false;
    }
    *out = value;
    return true;
}
