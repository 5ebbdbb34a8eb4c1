/* "value; name=value": every string is inside its bounds, every parameter is found by its name. */
#include <stdint.h>
#include <stdlib.h>

#include "mime/parameter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool fact)
{
    if (!fact)
        abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err = ERR_INIT;
    struct mime_parameters *p = NULL;
    enum err_code code = mime_parameter_parse(span_of(data, size), &p, &err);
    require(code == ERR_OK || code == ERR_LIMIT);
    if (code != ERR_OK)
        return 0;
    size_t total = strlen(mime_parameter_value(p));
    require(total <= size);
    require(strlen(mime_parameter_type(p)) + strlen(mime_parameter_subtype(p)) <= total);
    for (size_t i = 0; i < mime_parameter_count(p); i++) {
        const char *name = mime_parameter_name(p, i);
        struct span value = mime_parameter_get(p, i);
        struct span found = mime_parameter_find(p, name);
        require(name[0] != '\0' && value.p && value.p[value.n] == '\0');
        require(found.p == value.p && found.n == value.n);
        for (size_t k = 0; name[k]; k++)
            require(name[k] < 'A' || name[k] > 'Z');
        total += strlen(name) + value.n;
    }
    require(total <= size);
    mime_parameter_free(&p);
    return 0;
}
