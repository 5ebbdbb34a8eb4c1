/*
 * Hand-made BER for tests: elements of definite and indefinite length, and the pieces that every
 * streaming test cuts its input into. Every function aborts on failure.
 */
#ifndef TESTS_UNIT_SMIME_MAKE_H
#define TESTS_UNIT_SMIME_MAKE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "util/buf.h"
#include "smime/ber.h"

enum { MAKE_LIMIT = 64 * 1024 * 1024 };

static const size_t make_pieces[] = { 1, 2, 3, 7, 64, 4096, 65535 };
enum { MAKE_PIECES = sizeof(make_pieces) / sizeof(make_pieces[0]) };

#define MAKE_OID(...)       \
    make_tlv(SMIME_BER_OID, \
             make_raw((unsigned char[]){ __VA_ARGS__ }, sizeof((unsigned char[]){ __VA_ARGS__ })))
#define OID_DATA 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01
#define OID_SIGNED 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02
#define OID_ENVELOPED 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x03
#define OID_AUTHENVELOPED 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x01, 0x17
#define OID_RSA 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01
#define OID_AES256_CBC 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2a
#define OID_AES256_GCM 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2e

/* A heap block of exactly its size, so that sanitizers see every over-read. Consumed by the
 * functions below. */
struct make {
    unsigned char *p;
    size_t n;
};

static inline struct make
make_raw(const void *p, size_t n)
{
    struct make made = { .p = malloc(n > 0 ? n : 1), .n = n };
    assert_non_null(made.p);
    if (n > 0)
        memcpy(made.p, p, n);
    return made;
}

static inline struct make
make_fill(unsigned char byte, size_t n)
{
    struct make made = { .p = malloc(n > 0 ? n : 1), .n = n };
    assert_non_null(made.p);
    memset(made.p, byte, n);
    return made;
}

static inline struct make
make_join(size_t count, ...)
{
    struct make made = { .p = malloc(1) };
    va_list list;
    va_start(list, count);
    while (count-- > 0) {
        struct make one = va_arg(list, struct make);
        made.p = realloc(made.p, made.n + one.n + 1);
        assert_non_null(made.p);
        memcpy(made.p + made.n, one.p, one.n);
        made.n += one.n;
        free(one.p);
    }
    va_end(list);
    made.p = realloc(made.p, made.n > 0 ? made.n : 1);
    return made;
}

static inline struct make
make_tlv(unsigned char identifier, struct make contents)
{
    unsigned char header[SMIME_BER_HEADER];
    size_t n = smime_ber_format(identifier, contents.n, header);
    return make_join(2, make_raw(header, n), contents);
}

static inline struct make
make_indefinite(unsigned char identifier, struct make contents)
{
    const unsigned char header[] = { identifier, 0x80 }, end[] = { 0, 0 };
    return make_join(3, make_raw(header, 2), contents, make_raw(end, 2));
}

static inline struct make
make_integer(unsigned char value)
{
    return make_tlv(SMIME_BER_INTEGER, make_raw(&value, 1));
}

/* A SignerInfo by its shape; nobody could verify it. */
static inline struct make
make_signer(void)
{
    struct make name =
        make_tlv(SMIME_BER_SEQUENCE,
                 make_join(2, make_tlv(SMIME_BER_SEQUENCE, make_raw("", 0)), make_integer(9)));
    return make_tlv(SMIME_BER_SEQUENCE,
                    make_join(5, make_integer(1), name,
                              make_tlv(SMIME_BER_SEQUENCE, MAKE_OID(0x2a, 3, 4)),
                              make_tlv(SMIME_BER_SEQUENCE, MAKE_OID(OID_RSA)),
                              make_tlv(SMIME_BER_OCTETS, make_fill(7, 64))));
}

/* The same DER in its most talkative BER: every constructed element of indefinite length, every
 * octet string in pieces. `der` is borrowed. */
static inline struct make
make_ber(struct span der)
{
    struct make made = make_raw("", 0);
    struct smime_ber_element element;
    while (smime_ber_get(&der, &element, NULL) == ERR_OK) {
        struct make one;
        size_t half = element.contents.n / 2;
        if ((element.identifier & 0x20) != 0)
            one = make_indefinite(element.identifier, make_ber(element.contents));
        else if (element.identifier == SMIME_BER_OCTETS && half > 0)
            one = make_indefinite(
                SMIME_BER_OCTETS_CONSTRUCTED,
                make_join(2, make_tlv(SMIME_BER_OCTETS, make_raw(element.contents.p, half)),
                          make_tlv(SMIME_BER_OCTETS, make_raw(element.contents.p + half,
                                                              element.contents.n - half))));
        else
            one = make_raw(element.whole.p, element.whole.n);
        made = make_join(2, made, one);
    }
    assert_int_equal(der.n, 0);
    return made;
}

#endif
