/*
 * A bounded walker over BER, pushed piece by piece.              X.690 8.1, RFC 5652 3 and 5.2
 *
 * CMS objects come in definite and in indefinite length, with octet strings cut into thousands of
 * constructed pieces, and as large as a mail. OpenSSL's decoder wants the whole object in memory
 * and parses before anybody could count. This walker sees every identifier and length once, as the
 * bytes pass, holds a stack of fixed size and nothing else, and refuses what no decoder should have
 * to see: lengths beyond their parent, end-of-contents where none is due, nesting beyond a bound,
 * bytes behind the root.
 *
 * What the elements mean is not known here: smime/structure holds the grammar of CMS.
 * Belongs to one thread. Malformed input is ERR_PERM "malformed-cms" and sticks.
 */
#ifndef SMIME_BER_H
#define SMIME_BER_H

#include <stdbool.h>
#include <stdint.h>

#include "util/err.h"
#include "util/span.h"

enum {
    SMIME_BER_DEPTH = 40,  /* open elements at once; a certificate in a message needs about 20 */
    SMIME_BER_HEADER = 14, /* longest identifier (5) and length (9) octets we read */
};

/* Identifier octets of the elements that CMS is made of. */
enum smime_ber_identifier {
    SMIME_BER_INTEGER = 0x02,
    SMIME_BER_OCTETS = 0x04,
    SMIME_BER_OID = 0x06,
    SMIME_BER_OCTETS_CONSTRUCTED = 0x24,
    SMIME_BER_SEQUENCE = 0x30,
    SMIME_BER_SET = 0x31,
    SMIME_BER_CONTEXT = 0x80, /* [0], primitive; + n: [n] */
    SMIME_BER_CONTEXT_CONSTRUCTED = 0xa0
};

struct smime_ber_item {
    unsigned char identifier; /* first identifier octet: class, constructed bit, tag */
    bool constructed;
    bool indefinite;
    bool whole;      /* `begin` may set it on a constructed element of definite length: its contents
                        then come as data and are not walked */
    uint64_t length; /* of the contents; 0 when indefinite */
    unsigned depth;  /* 0: the root */
    struct span header; /* identifier and length octets as they came; valid in `begin` only */
};

/* Each may refuse by returning an error, which sticks. `piece` is borrowed for the call. */
struct smime_ber_events {
    enum err_code (*begin)(void *context, struct smime_ber_item *item, struct err *err);
    enum err_code (*data)(void *context, const struct smime_ber_item *item, struct span piece,
                          struct err *err);
    enum err_code (*end)(void *context, const struct smime_ber_item *item, struct err *err);
};

struct smime_ber;

/* `events` and `context` are borrowed until free. */
ERR_CHECKED enum err_code smime_ber_new(const struct smime_ber_events *events, void *context,
                                        struct smime_ber **out, struct err *err);
ERR_CHECKED enum err_code smime_ber_write(struct smime_ber *walker, struct span piece,
                                          struct err *err);

/* ERR_PERM if the root element is not complete. */
ERR_CHECKED enum err_code smime_ber_finish(struct smime_ber *walker, struct err *err);
void smime_ber_free(struct smime_ber **walker);

/* What was wrong with the bytes, a static text; NULL while nothing is. */
const char *smime_ber_why(const struct smime_ber *walker);

/* One element of a byte string that is in memory, of definite length: the small fields that a
 * grammar cut out. */
struct smime_ber_element {
    unsigned char identifier;
    struct span contents;
    struct span whole; /* identifier, length, contents */
};

/* Takes the first element off `rest`. ERR_NOTFOUND at the end of the bytes, ERR_PERM
 * "malformed-cms" for what is not a definite-length element with a one-octet identifier that fits.
 */
ERR_CHECKED enum err_code smime_ber_get(struct span *rest, struct smime_ber_element *out,
                                        struct err *err);

/* The identifier and length octets of a definite-length element, into `out`; the count is returned.
 */
size_t smime_ber_format(unsigned char identifier, uint64_t length,
                        unsigned char out[SMIME_BER_HEADER]);

#endif
