#include "flow/unreachable.h"

#include <stdio.h>
#include <string.h>

#include "flow/outbound.h"
#include "flow/state.h"
#include "util/log.h"

/* An address is 1000 octets at most, and a line of the log 8192 with what was escaped. */
enum { UNREACHABLE_PER_LINE = 10, UNREACHABLE_LINE = 3000, UNREACHABLE_WORD = 64 };

/* Why he cannot be encrypted to; NULL: he can, or nobody asked. */
static const char *
unreachable_why(const struct flow_message *message, size_t index)
{
    const struct flow_facts *facts = &message->outbound->facts;

    return facts->needs.certificates ? policy_outbound_lacks(&facts->policy, index) : NULL;
}

size_t
flow_unreachable_count(const struct flow_message *message)
{
    size_t count = 0;

    if (!message->outbound || !message->outbound->decided)
        return 0;
    for (size_t i = 0; i < message->outbound->facts.policy.count; i++)
        count += unreachable_why(message, i) != NULL;
    return count;
}

static void
unreachable_write(const struct flow_message *message, const char *list, size_t first, size_t last,
                  size_t total)
{
    char numbers[64], of[24];
    const struct log_field fields[] = {
        { .name = "unreachable", .value = list },
        { .name = "numbers", .value = numbers },
        { .name = "of", .value = of, .is_number = true },
    };

    snprintf(numbers, sizeof numbers, "%zu-%zu", first, last);
    snprintf(of, sizeof of, "%zu", total);
    log_fields(LOG_LEVEL_INFO, message->id[0] ? message->id : NULL, fields,
               sizeof fields / sizeof fields[0]);
}

void
flow_unreachable_log(const struct flow_message *message)
{
    size_t total = flow_unreachable_count(message), said = 0, first = 1, used = 0;
    char list[UNREACHABLE_LINE];

    for (size_t i = 0; said < total; i++) {
        const char *why = unreachable_why(message, i);
        const char *address = message->outbound->facts.recipients[i].address;
        size_t need = strlen(address) + UNREACHABLE_WORD;

        if (!why)
            continue;
        if (said > 0 && (said + 1 - first == UNREACHABLE_PER_LINE || used + need > sizeof list)) {
            unreachable_write(message, list, first, said, total);
            first = said + 1;
            used = 0;
        }
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s:%.40s",
                                 said + 1 > first ? "," : "", address, why);
        said++;
    }
    if (total > 0)
        unreachable_write(message, list, first, said, total);
}
