#include "directory/send_as.h"

#include <stdlib.h>

#include "directory/dn.h"
#include "mime/address.h"

static bool
names_person(struct span value, const struct directory_entry *person)
{
    char *text = span_dup(value), *one = text ? directory_dn_get(text) : NULL,
         *two = one ? directory_dn_get(person->dn) : NULL;
    bool is_named = one && two && one[0] && strcmp(one, two) == 0;
    for (size_t i = 0; !is_named && text && person->addresses[i]; i++)
        is_named = mime_address_is(value, span_str(person->addresses[i]), true);
    free(text);
    free(one);
    free(two);
    return is_named;
}

bool
directory_send_as_check(const struct directory_schema *schema,
                        const struct directory_attributes *owner,
                        const struct directory_entry *person)
{
    for (char **type = schema->send_as_attributes; *type; type++) {
        for (size_t i = 0; i < owner->count; i++) {
            const struct directory_attribute *one = &owner->list[i];
            struct span name = span_of(one->name, strcspn(one->name, ";"));
            if (span_equal_nocase(name, *type) && names_person(one->value, person))
                return true;
        }
    }
    return false;
}
