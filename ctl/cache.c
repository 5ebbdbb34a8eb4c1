/*
 * smimectl cache: what the daemon has fetched for trust.                    milter/control_cache.h
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/command.h"
#include "ctl/context.h"
#include "ctl/control.h"
#include "pki/reason.h"

enum { VALUE_BYTES = 8192, NAME_BYTES = 32 };

/* ---- the daemon's flat objects -----------------------------------------------------------------
 */

/* One value: a string without its quotes and escapes, or the word as it stands. False: the end. */
static bool
take_value(struct span *rest, char out[VALUE_BYTES])
{
    bool quoted = rest->n > 0 && rest->p[0] == '"';
    size_t i = quoted, n = 0;

    for (; i < rest->n && n < VALUE_BYTES - 1; i++) {
        unsigned char c = rest->p[i];
        if (quoted ? c == '"' : c == ',' || c == '}')
            break;
        if (quoted && c == '\\' && i + 1 < rest->n)
            c = rest->p[++i];
        out[n++] = (char)c;
    }
    out[n] = '\0';
    *rest = span_from(*rest, i + quoted);
    return i > 0;
}

/* `"name": value`, and whatever stands before and between. False: the object ends. */
static bool
take_member(struct span *rest, char name[NAME_BYTES], char value[VALUE_BYTES])
{
    char text[VALUE_BYTES];

    while (rest->n > 0 && (rest->p[0] == ',' || rest->p[0] == ' ' || rest->p[0] == '{'))
        *rest = span_from(*rest, 1);
    if (rest->n == 0 || rest->p[0] != '"' || !take_value(rest, text))
        return false;
    snprintf(name, NAME_BYTES, "%.31s", text);
    while (rest->n > 0 && (rest->p[0] == ':' || rest->p[0] == ' '))
        *rest = span_from(*rest, 1);
    return take_value(rest, value);
}

/* ---- show --------------------------------------------------------------------------------------
 */

struct entry {
    char kind[NAME_BYTES], source[NAME_BYTES], reason[64];
    char name[VALUE_BYTES], text[VALUE_BYTES];
    long long fetched, this_update, next_update, refresh, bytes, hits, used, failing_since;
};

static void
set_member(struct entry *entry, const char *name, const char *value)
{
    const struct {
        const char *name;
        long long *into;
    } numbers[] = {
        { "fetched", &entry->fetched },
        { "this_update", &entry->this_update },
        { "next_update", &entry->next_update },
        { "refresh", &entry->refresh },
        { "bytes", &entry->bytes },
        { "hits", &entry->hits },
        { "used", &entry->used },
        { "failing_since", &entry->failing_since },
    };
    const struct {
        const char *name;
        char *into;
        size_t size;
    } texts[] = {
        { "kind", entry->kind, sizeof entry->kind },
        { "source", entry->source, sizeof entry->source },
        { "reason", entry->reason, sizeof entry->reason },
        { "name", entry->name, sizeof entry->name },
        { "text", entry->text, sizeof entry->text },
    };

    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (strcmp(name, numbers[i].name) == 0)
            *numbers[i].into = strtoll(value, NULL, 10);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (strcmp(name, texts[i].name) == 0)
            snprintf(texts[i].into, texts[i].size, "%s", strcmp(value, "null") ? value : "");
}

static void
print_age(const char *before, long long seconds)
{
    const char *unit = seconds < 120 ? "s" : seconds < 7200 ? "min" : seconds < 172800 ? "h" : "d";
    long long size = seconds < 120 ? 1 : seconds < 7200 ? 60 : seconds < 172800 ? 3600 : 86400;

    printf("%s%lld %s", before, seconds / size, unit);
}

static void
print_entry(const struct entry *entry, long long now)
{
    char when[PKI_TIME_SIZE];

    printf("%s ", entry->kind);
    ctl_print(entry->name);
    if (entry->source[0]) {
        printf("\n    %s", entry->source);
        print_age(", age ", now - entry->fetched);
        if (entry->next_update)
            printf(", %s %s", entry->next_update > now ? "next update" : "OUT OF DATE since",
                   pki_time_format((time_t)entry->next_update, when));
        if (entry->refresh && !entry->failing_since)
            printf(", renewed at %s", pki_time_format((time_t)entry->refresh, when));
    } else {
        printf("\n    nothing is held");
    }
    printf("\n    %lld octets, %lld hits", entry->bytes, entry->hits);
    print_age(", last used ", now - entry->used);
    puts(" ago");
    if (!entry->failing_since)
        return;
    printf("    FAILING since %s: ", pki_time_format((time_t)entry->failing_since, when));
    ctl_print(entry->reason);
    fputs(": ", stdout);
    ctl_print(entry->text);
    putchar('\n');
}

/* {"ok": true, "now": N, "entries": [{...}, ...], "left_out": N} */
static void
print_show(struct span answer)
{
    static const char list[] = "\"entries\": [";
    const unsigned char *at = memmem(answer.p, answer.n, list, sizeof list - 1);
    char name[NAME_BYTES], value[VALUE_BYTES];
    struct span rest = answer, head;
    long long now = 0, left_out = 0;
    size_t count = 0;

    if (!at)
        return;
    head = span_of(answer.p, (size_t)(at - answer.p));
    while (take_member(&head, name, value))
        now = strcmp(name, "now") == 0 ? strtoll(value, NULL, 10) : now;
    rest = span_from(answer, (size_t)(at - answer.p) + sizeof list - 1);
    while (rest.n > 0 && rest.p[0] != ']') {
        struct entry *entry = calloc(1, sizeof *entry);
        if (!entry)
            return;
        while (take_member(&rest, name, value))
            set_member(entry, name, value);
        print_entry(entry, now);
        free(entry);
        count++;
        while (rest.n > 0 && rest.p[0] != '{' && rest.p[0] != ']')
            rest = span_from(rest, 1);
    }
    rest = span_from(rest, 1);
    if (take_member(&rest, name, value))
        left_out = strtoll(value, NULL, 10);
    printf("%zu entries", count);
    if (left_out)
        printf(", and %lld that were not used for longer", left_out);
    putchar('\n');
}

/* ---- the command -------------------------------------------------------------------------------
 */

/* Takes the first word that is no option out of the line; NULL: there is none. */
static const char *
take_word(int *argc, char **argv)
{
    for (int i = 1; i < *argc; i++) {
        const char *word = argv[i];
        if (strcmp(word, "-c") == 0 || strcmp(word, "--config") == 0 ||
            strcmp(word, "--socket") == 0) {
            i++;
        } else if (word[0] != '-') {
            memmove(argv + i, argv + i + 1, (size_t)(*argc - i) * sizeof *argv);
            --*argc;
            return word;
        }
    }
    return NULL;
}

static int
ask(const char *socket, const char *line, bool show, bool json)
{
    struct buf answer = BUF_INIT(CTL_CONTROL_ANSWER);
    struct err err = ERR_INIT;
    int code = CTL_EXIT_YES;

    if (ctl_control_get(socket, line, &answer, &err) != ERR_OK) {
        code = ctl_fail(&err);
    } else {
        if (show && !json && ctl_control_is_ok(buf_span(&answer)))
            print_show(buf_span(&answer));
        else
            ctl_control_print(buf_span(&answer), json, stdout);
        code = ctl_control_is_ok(buf_span(&answer)) ? CTL_EXIT_YES : CTL_EXIT_NO;
    }
    buf_free(&answer);
    return code;
}

int
ctl_cache(int argc, char **argv)
{
    struct ctl_common common = { .config = NULL };
    const char *what = take_word(&argc, argv), *socket = NULL;
    bool shared = false;
    const struct ctl_option table[] = { CTL_COMMON_OPTIONS(common),
                                        { "socket", 0, CTL_OPTION_VALUE, &socket },
                                        { "shared", 0, CTL_OPTION_FLAG, &shared },
                                        { .name = NULL } };
    bool flush = what && strcmp(what, "flush") == 0, show = what && strcmp(what, "show") == 0;
    struct ctl_options options = { .table = table,
                                   .takes = flush ? CTL_OPERAND_MAYBE : CTL_OPERAND_NONE };
    struct conf *conf = NULL;
    char line[CTL_CONTROL_LINE];
    int code = CTL_EXIT_YES;

    if (!flush && !show && (!what || strcmp(what, "stats") != 0)) {
        ctl_say("cache stats, cache show or cache flush [--shared] [URL]");
        return CTL_EXIT_USAGE;
    }
    if (!ctl_options_parse(&options, argc, argv))
        return CTL_EXIT_USAGE;
    snprintf(line, sizeof line, "cache %s%s%s%s", what, shared ? " shared" : "",
             options.operand ? " " : "", options.operand ? options.operand : "");
    if (shared && !flush) {
        ctl_say("--shared goes with cache flush alone");
        code = CTL_EXIT_USAGE;
    }
    if (code == CTL_EXIT_YES && !socket)
        code = ctl_context_load_conf(&common, &conf);
    if (code == CTL_EXIT_YES)
        code = ask(socket ? socket : conf->global.control_socket, line, show, common.json);
    conf_free(&conf);
    ctl_options_free(&options);
    return code;
}
