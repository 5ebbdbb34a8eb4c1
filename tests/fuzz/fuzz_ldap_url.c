/* ldap:// URLs of certificates and of groups: what is taken out of one is text without NUL, within
 * its length, and the same each time. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "directory/url.h"

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
    struct directory_url one = { .base = NULL }, two = { .base = NULL };
    struct err err = ERR_INIT, again = ERR_INIT;
    enum err_code code = directory_url_parse(span_of(data, size), &one, &err);

    require(code == ERR_OK || code == ERR_PERM || code == ERR_LIMIT);
    require(directory_url_parse(span_of(data, size), &two, &again) == code);
    if (code == ERR_OK) {
        require(one.base && one.attribute && one.filter);
        require(strlen(one.base) <= size && strlen(one.attribute) <= size);
        require(strlen(one.filter) <= size || strcmp(one.filter, "(objectClass=*)") == 0);
        require(strcmp(one.base, two.base) == 0 && strcmp(one.filter, two.filter) == 0);
        require(one.scope <= DIRECTORY_SCOPE_SUB);
    }
    directory_url_free(&one);
    directory_url_free(&two);
    return 0;
}
