#include "ctl/command.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "util/log.h"

enum { COMMAND_LINE = 4096 };

void
ctl_say(const char *format, ...)
{
    char raw[COMMAND_LINE], line[2 * COMMAND_LINE];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(raw, sizeof raw, format, arguments);
    va_end(arguments);
    fprintf(stderr, "smimectl: %s\n", log_escape(span_str(raw), line, sizeof line));
}

int
ctl_fail(const struct err *err)
{
    ctl_say("%s", err->text[0] ? err->text : err_code_name(err->code));
    switch (err->code) {
    case ERR_NOTFOUND:
    case ERR_PERM:
    case ERR_LIMIT:
        return CTL_EXIT_NO;
    case ERR_OK:
    case ERR_TEMP:
    case ERR_NOMEM:
    case ERR_BUG:
        break;
    }
    return CTL_EXIT_TEMP;
}

void
ctl_print(const char *text)
{
    char line[COMMAND_LINE];

    fputs(log_escape(span_str(text), line, sizeof line), stdout);
}

int
ctl_finish(int code)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    ctl_say("the result could not be written");
    return CTL_EXIT_TEMP;
}
