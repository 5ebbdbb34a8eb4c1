#include "util/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

void
err_reset(struct err *err)
{
    if (!err)
        return;
    err->code = ERR_OK;
    err->reason = NULL;
    err->text[0] = '\0';
}

/* True when `err` can take the text; false keeps what it already holds. */
static bool
err_is_open(const struct err *err)
{
    return err && err->code == ERR_OK;
}

static enum err_code __attribute__((format(printf, 4, 0)))
err_fill(struct err *err, enum err_code code, const char *reason, const char *format, va_list args)
{
    if (!err_is_open(err))
        return err ? err->code : code;
    err->code = code;
    err->reason = reason;
    vsnprintf(err->text, sizeof err->text, format, args);
    return code;
}

enum err_code
err_set(struct err *err, enum err_code code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    code = err_fill(err, code, NULL, format, args);
    va_end(args);
    return code;
}

enum err_code
err_set_reason(struct err *err, enum err_code code, const char *reason, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    code = err_fill(err, code, reason, format, args);
    va_end(args);
    return code;
}

enum err_code
err_prefix(struct err *err, const char *format, ...)
{
    char old[ERR_TEXT_SIZE];
    va_list args;
    int n;

    if (!err)
        return ERR_BUG;
    memcpy(old, err->text, sizeof old);
    va_start(args, format);
    n = vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    /* The innermost text says why: a prefix that would push all of it out is dropped. */
    if (n < 0 || (size_t)n > sizeof err->text / 2) {
        memcpy(err->text, old, sizeof old);
        return err->code;
    }
    snprintf(err->text + n, sizeof err->text - (size_t)n, ": %.*s",
             (int)(sizeof err->text - (size_t)n - 3), old);
    return err->code;
}

enum err_code
err_set_errno(struct err *err, int error_number, const char *format, ...)
{
    enum err_code code = ERR_TEMP;
    char words[128];
    va_list args;
    size_t n;

    if (error_number == ENOMEM || error_number == ENOSPC || error_number == EDQUOT)
        code = ERR_NOMEM;
    if (!err_is_open(err))
        return err ? err->code : code;
    va_start(args, format);
    code = err_fill(err, code, NULL, format, args);
    va_end(args);
    n = strlen(err->text);
    snprintf(err->text + n, sizeof err->text - n, ": %s",
             strerror_r(error_number, words, sizeof words));
    return code;
}

const char *
err_code_name(enum err_code code)
{
    switch (code) {
    case ERR_OK:
        return "ok";
    case ERR_NOTFOUND:
        return "notfound";
    case ERR_TEMP:
        return "temp";
    case ERR_PERM:
        return "perm";
    case ERR_LIMIT:
        return "limit";
    case ERR_NOMEM:
        return "nomem";
    case ERR_BUG:
        return "bug";
    }
    return "bug";
}
