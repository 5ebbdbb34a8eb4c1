/*
 * The grammar of CMS as tables: what may stand where.   RFC 5652 3, 5.1, 6.1, 6.2; RFC 5083 2.1
 *
 * A role is one place in the grammar; its rows say what may stand in it. Most roles are sequences
 * (rows in order, some optional), some are choices (any row, again and again). smime/structure
 * walks them. Constant tables: any thread.
 */
#ifndef SMIME_GRAMMAR_H
#define SMIME_GRAMMAR_H

#include "smime/structure.h"

enum smime_role {
    SMIME_ROLE_ANY, /* whatever is well-formed BER */
    SMIME_ROLE_ROOT,
    SMIME_ROLE_CONTENT_INFO,
    SMIME_ROLE_WRAPPER, /* [0] EXPLICIT of the ContentInfo */
    SMIME_ROLE_SIGNED,
    SMIME_ROLE_ENCAPSULATED,
    SMIME_ROLE_ENCAPSULATED_WRAPPER,
    SMIME_ROLE_OCTETS, /* pieces of the content */
    SMIME_ROLE_PIECES, /* pieces of another octet string */
    SMIME_ROLE_CERTIFICATES,
    SMIME_ROLE_CRLS,
    SMIME_ROLE_SIGNERS,
    SMIME_ROLE_SIGNER,
    SMIME_ROLE_ENVELOPED,
    SMIME_ROLE_AUTHENVELOPED,
    SMIME_ROLE_RECIPIENTS,
    SMIME_ROLE_KEY_TRANSPORT,
    SMIME_ROLE_ISSUER_AND_SERIAL,
    SMIME_ROLE_KEY_AGREEMENT,
    SMIME_ROLE_AGREED_KEYS,
    SMIME_ROLE_KEK,
    SMIME_ROLE_PASSWORD,
    SMIME_ROLE_OTHER_RECIPIENT,
    SMIME_ROLE_ENCRYPTED,
    SMIME_ROLE_ALGORITHM,
    SMIME_ROLE_COUNT
};

enum {
    SMIME_GRAMMAR_ANY = 0xff, /* as an identifier: any element */
    SMIME_GRAMMAR_ROWS = 7,
    SMIME_GRAMMAR_OID = 32 /* octets of an object identifier */
};

enum smime_row_flag {
    SMIME_ROW_OPTIONAL = 1,
    SMIME_ROW_CONTENT = 2, /* its octets are the content */
    SMIME_ROW_WHOLE = 4    /* not walked: parsed by its own reader when it is wanted */
};
struct smime_row {
    unsigned char identifier; /* 0: behind the last row */
    unsigned char or_else;    /* a second identifier, or 0 */
    unsigned char flags;
    unsigned char role;  /* of what is inside, when constructed */
    unsigned char field; /* enum smime_field */
    uint32_t min, max;   /* octets of a primitive; max 0: any number */
};

struct smime_grammar {
    const char *unexpected, *missing; /* static texts */
    bool choice;                      /* rows in any order and number */
    unsigned char min;                /* choice: at least that many */
    struct smime_row rows[SMIME_GRAMMAR_ROWS];
};

/* Never NULL. Borrowed for ever. */
const struct smime_grammar *smime_grammar_get(enum smime_role role);

/* What the OID of a ContentInfo (contents octets) makes of its content: the role of the content's
 * children and, by `content`, its kind. */
enum smime_role smime_grammar_find(struct span oid, enum smime_content *content);

#endif
