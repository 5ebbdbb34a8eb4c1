#include "pki/reason.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct row {
    const char *word;
    enum pki_status status;
    const char *meaning;
};

static const struct row rows[] = {
#define PKI_REASON(name, word, status, meaning) \
    [PKI_REASON_##name] = { word, PKI_STATUS_##status, meaning },
#include "pki/reason.def"
#undef PKI_REASON
};

const char *
pki_reason_word(enum pki_reason reason)
{
    return reason < PKI_REASON_COUNT ? rows[reason].word : "internal";
}

const char *
pki_reason_meaning(enum pki_reason reason)
{
    return reason < PKI_REASON_COUNT ? rows[reason].meaning : "";
}

enum pki_status
pki_reason_status(enum pki_reason reason)
{
    return reason < PKI_REASON_COUNT ? rows[reason].status : PKI_STATUS_TEMP;
}

enum pki_reason
pki_reason_find(const char *word)
{
    for (size_t i = 0; word && i < PKI_REASON_COUNT; i++) {
        if (strcmp(rows[i].word, word) == 0)
            return (enum pki_reason)i;
    }
    return PKI_REASON_COUNT;
}

void
pki_reason_set(struct pki_answer *out, enum pki_reason reason, const char *format, ...)
{
    va_list args;

    out->status = pki_reason_status(reason);
    out->reason = pki_reason_word(reason);
    va_start(args, format);
    vsnprintf(out->text, sizeof out->text, format, args);
    va_end(args);
}

char *
pki_time_format(time_t when, char *out)
{
    struct tm tm;

    if (!gmtime_r(&when, &tm) || strftime(out, PKI_TIME_SIZE, "%Y-%m-%d %H:%M UTC", &tm) == 0)
        snprintf(out, PKI_TIME_SIZE, "an impossible time");
    return out;
}
