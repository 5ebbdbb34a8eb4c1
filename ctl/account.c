#include "ctl/account.h"

#include <string.h>

#include "ctl/certificate.h"
#include "ctl/command.h"
#include "pki/reason.h"
#include "util/clock.h"

void
ctl_account_json(struct ctl_json *json, const char *name, const struct pki_path_result *result)
{
    ctl_json_open(json, name, '[');
    for (size_t i = 0; i < result->count; i++) {
        const struct pki_path_step *step = &result->steps[i];

        ctl_json_open(json, NULL, '{');
        ctl_certificate_json(json, step->certificate);
        ctl_json_text(json, "source", step->source);
        ctl_json_text(json, "revocation", step->revocation);
        ctl_json_text(json, "method", step->method);
        ctl_json_text(json, "from", step->origin);
        ctl_json_time(json, "fetched", step->fetched_at);
        ctl_json_time(json, "this_update", step->this_update);
        ctl_json_time(json, "next_update", step->next_update);
        ctl_json_bool(json, "stale", step->stale);
        ctl_json_bool(json, "accepted", step->accepted);
        ctl_json_text(json, "reason", step->reason);
        ctl_json_text(json, "text", step->text[0] ? step->text : NULL);
        ctl_json_close(json);
    }
    ctl_json_close(json);
}

/* "3 h ago" */
static void
print_age(time_t then)
{
    static const struct {
        const char *unit;
        long long seconds;
    } units[] = { { "d", 86400 }, { "h", 3600 }, { "min", 60 }, { "s", 1 } };
    long long age = (long long)clock_now_s() - (long long)then;
    size_t i = 0;

    while (i + 1 < sizeof units / sizeof *units && age < 2 * units[i].seconds)
        i++;
    if (age < 0)
        fputs("in the future", stdout);
    else
        printf("%lld %s ago", age / units[i].seconds, units[i].unit);
}

static void
print_evidence(const struct pki_path_step *step)
{
    char when[PKI_TIME_SIZE];

    printf(" by %s", strcmp(step->method, "crl") == 0 ? "CRL" : "OCSP");
    if (step->origin)
        printf(" from %s", step->origin);
    if (step->fetched_at) {
        fputs(" (fetched ", stdout);
        print_age(step->fetched_at);
        putchar(')');
    }
    if (step->this_update)
        printf(", of %s", pki_time_format(step->this_update, when));
    if (step->next_update)
        printf(", next %s", pki_time_format(step->next_update, when));
}

static void
print_step(size_t i, const struct pki_path_step *step, bool whole)
{
    printf("%s%zu: ", whole ? "" : "      ", i);
    ctl_print(pki_certificate_get(step->certificate)->subject);
    fputs(", from ", stdout);
    ctl_print(step->source);
    putchar('\n');
    if (whole)
        ctl_certificate_print(step->certificate);
    if (strcmp(step->revocation, "anchor") == 0)
        return;
    printf("%srevocation: %s", whole ? "    " : "         ", step->revocation);
    if (step->method)
        print_evidence(step);
    if (step->stale)
        fputs(", STALE", stdout);
    if (strcmp(step->reason, "ok") != 0)
        printf(" (%s)", step->reason);
    if (step->text[0]) {
        fputs(": ", stdout);
        ctl_print(step->text);
    }
    if (step->accepted)
        fputs("; accepted (prefer)", stdout);
    putchar('\n');
}

void
ctl_account_print(const struct pki_path_result *result, bool whole)
{
    for (size_t i = 0; i < result->count; i++)
        print_step(i, &result->steps[i], whole);
}
