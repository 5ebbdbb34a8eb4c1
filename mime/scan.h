/*
 * What an entity is made of, learnt while it passes.                        RFC 2045, 2046, 6532
 *
 * The scanner is given the entity (its header section, the empty line, its body) in pieces of any
 * size and notes what matters for protecting it: structure, kinds of parts, 8-bit bytes, long
 * lines, NUL, bare CR, and for each leaf how it must be encoded to survive every hop. Its memory is
 * a small record per part (at most MIME_SCAN_LIMIT_PARTS, depth MIME_SCAN_LIMIT_DEPTH); it holds no
 * content. mime/canonical then runs over the same bytes with these records.
 */
#ifndef MIME_SCAN_H
#define MIME_SCAN_H

#include <stdint.h>

#include "util/err.h"
#include "util/span.h"

/* Bounds that mime/entity keeps. */
enum {
    MIME_SCAN_LIMIT_PARTS = 1000,
    MIME_SCAN_LIMIT_DEPTH = 50,
    MIME_SCAN_LIMIT_HEADER = 64 * 1024
};

struct mime_scan;

struct mime_scan_facts {
    uint64_t size;  /* octets seen */
    uint32_t parts; /* leaves and containers */
    uint32_t depth;
    bool eightbit;        /* any byte above 127 in a body */
    bool eightbit_header; /* any byte above 127 in the header section of a part or of the root */
    bool nul;
    bool bare_cr;
    bool bare_lf;        /* expected from smimectl input only */
    bool long_line;      /* a line above 998 octets */
    bool needs_encoding; /* at least one leaf must be re-encoded */
    bool needs_label;    /* at least one "8bit" or "binary" must become "7bit" */
    bool calendar;       /* a text/calendar leaf with a method: a meeting request (RFC 6047) */
    bool tnef;           /* application/ms-tnef, or a part named winmail.dat */
    bool report;         /* the root is multipart/report (DSN, MDN) */
    bool malformed;      /* structure that parsers read differently */
    /* Structure cannot be made 7-bit safe without changing what it says (8-bit in a part's header
     * or boundary, an encoded multipart, ...): such an entity can only be signed opaque. `why` says
     * what. */
    bool only_opaque;
    const char *why; /* static text or NULL */
};

ERR_CHECKED enum err_code mime_scan_new(struct mime_scan **out, struct err *err);
void mime_scan_free(struct mime_scan **scan);

/* ERR_LIMIT when a bound above is exceeded: the message is then refused with that text. */
ERR_CHECKED enum err_code mime_scan_write(struct mime_scan *scan, struct span piece,
                                          struct err *err);
ERR_CHECKED enum err_code mime_scan_finish(struct mime_scan *scan, struct err *err);

/* Valid after finish; borrowed from the scan. */
const struct mime_scan_facts *mime_scan_get(const struct mime_scan *scan);

/* What mime/canonical does to a part on its way through hops that are not 8-bit clean. */
enum mime_scan_action {
    MIME_SCAN_KEEP,   /* every byte as it is */
    MIME_SCAN_LABEL,  /* "8bit" or "binary" becomes "7bit": Postfix converts by the label alone */
    MIME_SCAN_QP,     /* encode */
    MIME_SCAN_BASE64, /* encode */
    MIME_SCAN_WRAP,   /* base64 already: break its lines anew */
    MIME_SCAN_RECODE, /* quoted-printable already: decode, encode as base64 */
};

/* Of part `index` (mime/entity numbers them). Valid after finish. */
enum mime_scan_action mime_scan_find(const struct mime_scan *scan, uint32_t index);

#endif
