/* An address list as the tests of mime/address read it: out of a copy of its exact size. */
#ifndef TESTS_UNIT_MIME_ADDRESSES_H
#define TESTS_UNIT_MIME_ADDRESSES_H

#include "pieces.h"

#include "mime/address.h"

enum {
    GRP = MIME_ADDRESS_GROUP,
    SYN = MIME_ADDRESS_SYNTAX,
    OBS = MIME_ADDRESS_OBSOLETE,
    EMP = MIME_ADDRESS_EMPTY,
};

static inline struct mime_addresses *
parsed(struct span field)
{
    struct err err = ERR_INIT;
    struct mime_addresses *a = NULL;
    struct span copy = exact(field);
    assert_int_equal(mime_address_parse(copy, MIME_ADDRESS_LIMIT, &a, &err), ERR_OK);
    exact_free(copy);
    return a;
}

#endif
