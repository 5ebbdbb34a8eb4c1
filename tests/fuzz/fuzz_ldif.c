/* LDIF: every record and value is a string inside its bounds, and errors name a line of the file.
 */
#include <stdint.h>
#include <stdlib.h>

#include "directory/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
    unsigned line;
    size_t octets;
};

static void
require(bool fact)
{
    if (!fact)
        abort();
}

static enum err_code
check(void *context, const struct directory_record *record, struct err *err)
{
    struct seen *seen = context;
    (void)err;
    require(record->line > seen->line);
    seen->line = record->line;
    seen->octets += strlen(record->dn);
    for (size_t i = 0; i < record->count; i++) {
        const struct directory_attribute *a = &record->list[i];
        size_t n = strlen(a->name);
        require(n > 0 && a->line > seen->line && a->value.p[a->value.n] == '\0');
        require(strspn(a->name, "abcdefghijklmnopqrstuvwxyz0123456789.;_-") == n);
        seen->line = a->line;
        seen->octets += n + a->value.n;
    }
    return ERR_OK;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err = ERR_INIT;
    struct seen seen = { 0 };
    enum err_code code = directory_record_parse("f", span_of(data, size), check, &seen, &err);
    require(code == ERR_OK || code == ERR_PERM || code == ERR_LIMIT);
    require(code == ERR_OK ||
            (strncmp(err.text, "f:", 2) == 0 && strtoul(err.text + 2, NULL, 10) > 0));
    require(seen.octets <= size);
    return 0;
}
