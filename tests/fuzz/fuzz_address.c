/* Addresses: what is parsed can be parsed again alone, what is formatted is its own form. The first
 * line is also a pattern for the rest. */
#include <stdint.h>
#include <stdlib.h>

#include "mime/address.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool fact)
{
    if (!fact)
        abort();
}

static void
check_form(struct span address)
{
    struct err err = ERR_INIT;
    char one[MIME_ADDRESS_SIZE], two[MIME_ADDRESS_SIZE];
    enum err_code code = mime_address_format(address, one, &err);
    require(code == ERR_OK || code == ERR_PERM);
    if (code != ERR_OK)
        return;
    require(mime_address_format(span_str(one), two, &err) == ERR_OK);
    require(strcmp(one, two) == 0);
    require(mime_address_is(address, span_str(one), false));
    require(mime_address_match("*@*", one, &err) == ERR_OK);
    for (const char *c = one; *c; c++)
        require((unsigned char)*c >= ' ' && *c != '<' && *c != '>');
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err = ERR_INIT;
    struct mime_addresses *a = NULL, *b = NULL;
    struct span input = span_of(data, size);
    enum err_code code = mime_address_parse(input, 100, &a, &err);
    require(code == ERR_OK || code == ERR_LIMIT);
    for (size_t i = 0; code == ERR_OK && i < mime_address_count(a); i++) {
        const char *address = mime_address_get(a, i);
        check_form(span_str(address));
        struct mime_address_place place = mime_address_find_place(a, i);
        require(place.begin < place.end && place.end <= size);
        require(mime_address_parse(span_str(address), 1, &b, &err) == ERR_OK);
        require(mime_address_count(b) == 1 && mime_address_flags(b) == 0);
        require(strcmp(mime_address_get(b, 0), address) == 0);
        mime_address_free(&b);
    }
    mime_address_free(&a);

    size_t line = span_find(input, '\n');
    struct span rest = span_from(input, line + 1);
    check_form(input);
    check_form(rest);
    char *pattern = span_dup(span_of(input.p, line)), *address = span_dup(rest);
    if (pattern && address)
        require(mime_address_match(pattern, address, &err) != ERR_NOMEM);
    free(pattern);
    free(address);
    return 0;
}
