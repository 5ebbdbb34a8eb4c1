#include "ctl/command.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "ctl/json.h"
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

static int
command_exit(enum err_code code)
{
    switch (code) {
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

int
ctl_fail(const struct err *err)
{
    const char *text = err->text[0] ? err->text : err_code_name(err->code);

    if (err->reason)
        ctl_say("%s (%s)", text, err->reason);
    else
        ctl_say("%s", text);
    return command_exit(err->code);
}

int
ctl_fail_as(const struct err *err, bool as_json)
{
    struct ctl_json json;

    if (!as_json)
        return ctl_fail(err);
    ctl_json_init(&json, stderr);
    ctl_json_open(&json, NULL, '{');
    ctl_json_text(&json, "result", "error");
    ctl_json_text(&json, "reason", err->reason ? err->reason : err_code_name(err->code));
    ctl_json_text(&json, "text", err->text);
    ctl_json_close(&json);
    return command_exit(err->code);
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
