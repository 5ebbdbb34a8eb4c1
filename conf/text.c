/*
 * The form of one word by its type: what can be judged without looking at the system.
 */
#include <string.h>
#include <sys/un.h>

#include "conf/value.h"

static bool
conf_text_refuse(const struct conf_param *param, const struct conf_word *word, const char *hint,
                 struct conf_report *report)
{
    conf_report_set(report, &word->at, "%s = %s: %s", param->name,
                    *word->text ? word->text : "\"\"", hint);
    return false;
}

/* Letters, digits, '.', '-', '_' and everything that is not ASCII (internationalised names). */
static bool
conf_text_is_host(const char *text, size_t n)
{
    if (n == 0 || n > 255 || text[0] == '.' || text[0] == '-')
        return false;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        if (!(c >= 0x80 || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
              (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.'))
            return false;
        if (c == '.' && i + 1 < n && text[i + 1] == '.')
            return false;
    }
    return true;
}

static bool
conf_text_is_address(const char *text)
{
    const char *at = strrchr(text, '@');

    return at && at != text && at - text <= 255 && strpbrk(text, " \t<>") == NULL &&
           conf_text_is_host(at + 1, strlen(at + 1));
}

/* "*", "<>", "user@dom", "@dom", "*@*.dom", ".dom": one '@' at most, and no display name. A bare
 * "dom" is nearly always meant to be "@dom" and would match nothing. */
static bool
conf_text_check_pattern(const struct conf_param *param, const struct conf_word *word,
                        struct conf_report *report)
{
    const char *text = word->text;
    const char *at = strchr(text, '@');

    if (strcmp(text, "*") == 0 || strcmp(text, "<>") == 0)
        return true;
    if (strpbrk(text, " \t<>"))
        return conf_text_refuse(param, word, "no address pattern; write it without <> and names",
                                report);
    if (!at && text[0] != '.' && strncmp(text, "*.", 2) != 0)
        return conf_text_refuse(
            param, word,
            "no address pattern; such as user@example.com, @example.com or .example.com", report);
    if (at && (at[1] == '\0' || (strchr(at + 1, '@') && text[0] != '"')))
        return conf_text_refuse(param, word, "no address pattern; the domain after @ is wrong",
                                report);
    return true;
}

static bool
conf_text_check_socket(const struct conf_param *param, const struct conf_word *word,
                       struct conf_report *report)
{
    const char *text = word->text;
    unsigned long port = 0;
    const char *p;

    if (strncmp(text, "unix:", 5) == 0) {
        if (text[5] != '/')
            return conf_text_refuse(param, word, "the path after unix: must begin with /", report);
        if (strlen(text + 5) >= sizeof((struct sockaddr_un *)NULL)->sun_path)
            return conf_text_refuse(param, word, "the path of a Unix socket has at most 107 octets",
                                    report);
        return true;
    }
    if (strncmp(text, "inet:", 5) != 0 && strncmp(text, "inet6:", 6) != 0)
        return conf_text_refuse(
            param, word, "no socket; write unix:/path, inet:port@host or inet6:port@host", report);
    for (p = strchr(text, ':') + 1; *p >= '0' && *p <= '9' && port <= 65535; p++)
        port = port * 10 + (unsigned long)(*p - '0');
    if (port == 0 || port > 65535 || *p != '@')
        return conf_text_refuse(param, word,
                                "a port from 1 to 65535 and @host must follow; such as "
                                "inet:8891@127.0.0.1",
                                report);
    /* An address without its host would listen on every interface: say so, if it is meant. */
    if (p[1] == '\0' || strpbrk(p + 1, " @/"))
        return conf_text_refuse(param, word, "the host after @ is missing or wrong", report);
    return true;
}

static bool
conf_text_check_path(const struct conf_param *param, const struct conf_word *word,
                     struct conf_report *report)
{
    if (word->text[0] != '/')
        return conf_text_refuse(param, word, "the path must be absolute; begin it with /", report);
    if (strlen(word->text) > 1024)
        return conf_text_refuse(param, word, "the path is longer than 1024 octets", report);
    return true;
}

static bool
conf_text_check_word(const struct conf_param *param, const struct conf_word *word,
                     struct conf_report *report)
{
    size_t n = strlen(word->text);
    char near[64];

    for (const char *p = param->words; *p; p += strcspn(p, "|"), p += *p == '|')
        if (strcspn(p, "|") == n && memcmp(p, word->text, n) == 0)
            return true;
    if (conf_report_find(param->words, word->text, near, sizeof near))
        conf_report_set(report, &word->at, "%s = %s: no such word; did you mean %s? One of %s",
                        param->name, word->text, near, param->words);
    else
        conf_report_set(report, &word->at, "%s = %s: no such word; one of %s", param->name,
                        word->text, param->words);
    return false;
}

/* "Name: pattern". A field name has no blanks (RFC 5322 2.2); the pattern is short, since it is
 * looked for in what strangers write. */
static bool
conf_text_check_header(const struct conf_param *param, const struct conf_word *word,
                       struct conf_report *report)
{
    const char *text = word->text, *colon = strchr(text, ':');
    const char *pattern = colon ? colon + 1 + strspn(colon + 1, " ") : NULL;

    if (!colon || colon == text || !*pattern)
        return conf_text_refuse(param, word, "no header field; such as \"X-Class: secret*\"",
                                report);
    for (const char *p = text; p < colon; p++)
        if (*p <= ' ' || *p > '~')
            return conf_text_refuse(param, word, "a field name has letters, digits and hyphens",
                                    report);
    for (const char *p = pattern; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            return conf_text_refuse(param, word, "a control character", report);
    return strlen(text) <= 300 || conf_text_refuse(param, word, "longer than 300 octets", report);
}

bool
conf_text_check(const struct conf_param *param, const struct conf_word *word,
                struct conf_report *report)
{
    const char *text = word->text;

    if (strlen(text) > 4096)
        return conf_text_refuse(param, word, "longer than 4096 octets", report);
    switch (param->type) {
    case CONF_TYPE_WORD:
    case CONF_TYPE_WORDS:
    case CONF_TYPE_ENUM:
        return conf_text_check_word(param, word, report);
    case CONF_TYPE_HOST:
    case CONF_TYPE_DOMAINS:
        return conf_text_is_host(text, strlen(text)) ||
               conf_text_refuse(param, word, "no host or domain name; such as mail.example.com",
                                report);
    case CONF_TYPE_PATH:
    case CONF_TYPE_FILE:
    case CONF_TYPE_FILE_SECRET:
    case CONF_TYPE_FOLDER_PRIVATE:
    case CONF_TYPE_FOLDER_DROP:
    case CONF_TYPE_PATHS:
        return conf_text_check_path(param, word, report);
    case CONF_TYPE_SOCKET:
        return conf_text_check_socket(param, word, report);
    case CONF_TYPE_ADDRESS:
    case CONF_TYPE_ADDRESSES:
        return conf_text_is_address(text) ||
               conf_text_refuse(param, word, "no address; such as user@example.com", report);
    case CONF_TYPE_HEADERS:
        return conf_text_check_header(param, word, report);
    case CONF_TYPE_PATTERNS:
        return conf_text_check_pattern(param, word, report);
    default:
        return true;
    }
}
