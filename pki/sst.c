#include "pki/sst.h"

#include <stdint.h>

enum {
    HEADER_BYTES = 8,
    ELEMENT_BYTES = 12,
    ELEMENT_END = 0,
    ELEMENT_CERTIFICATE = 32,
    ENCODING_MASK = 0xffff, /* the upper half names the encoding of messages */
    ENCODING_X509 = 1,
};

static uint32_t
number_get(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

bool
pki_sst_is(struct span bytes)
{
    static const unsigned char header[HEADER_BYTES] = { 0, 0, 0, 0, 'C', 'E', 'R', 'T' };

    return bytes.n >= HEADER_BYTES && memcmp(bytes.p, header, HEADER_BYTES) == 0;
}

enum err_code
pki_sst_init(struct pki_sst *sst, struct span bytes, struct err *err)
{
    *sst = (struct pki_sst){ .count = 0 };
    if (!pki_sst_is(bytes))
        return err_set(err, ERR_PERM, "not a serialized certificate store");
    sst->rest = span_from(bytes, HEADER_BYTES);
    return ERR_OK;
}

enum err_code
pki_sst_get(struct pki_sst *sst, struct span *der, struct err *err)
{
    for (;;) {
        struct span s = sst->rest;
        uint32_t id, encoding, length;
        if (s.n < ELEMENT_BYTES)
            return err_set(err, ERR_PERM, "the serialized certificate store is cut off");
        if (++sst->count > PKI_SST_ELEMENTS)
            return err_set(err, ERR_LIMIT,
                           "a serialized certificate store of more than %d elements",
                           PKI_SST_ELEMENTS);
        id = number_get(s.p);
        encoding = number_get(s.p + 4);
        length = number_get(s.p + 8);
        if (length > s.n - ELEMENT_BYTES)
            return err_set(err, ERR_PERM, "the serialized certificate store is cut off");
        if (id == ELEMENT_END) {
            if (length != 0 || s.n != ELEMENT_BYTES)
                return err_set(err, ERR_PERM,
                               "octets follow the end of the serialized certificate store");
            return err_set(err, ERR_NOTFOUND, "no more certificates in the store");
        }
        sst->rest = span_from(s, ELEMENT_BYTES + (size_t)length);
        if (id != ELEMENT_CERTIFICATE)
            continue;
        if ((encoding & ENCODING_MASK) != ENCODING_X509)
            return err_set(err, ERR_PERM,
                           "the serialized certificate store has a certificate that is not X.509");
        *der = span_of(s.p + ELEMENT_BYTES, length);
        return ERR_OK;
    }
}
