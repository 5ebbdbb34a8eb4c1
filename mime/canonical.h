/*
 * The canonical form: what is hashed.                                    RFC
 * 8551 3.1.1, 3.1.2, 3.1.3
 *
 * A stage that is given the same bytes as the scanner (header section, empty line, body) and writes
 * an entity that survives every hop unchanged: CRLF line ends, 7-bit, no line above 998 (what is
 * re-encoded: 76), no trailing white space, "From " or lone dot that a hop could touch. Leaves that
 * need it are re-encoded (quoted-printable for text, base64 for the rest), inside message/rfc822
 * too, and their Content-Transfer-Encoding field is replaced; everything else keeps its bytes.
 * Every decoded leaf keeps its octets.
 */
#ifndef MIME_CANONICAL_H
#define MIME_CANONICAL_H

#include "mime/scan.h"
#include "util/stage.h"

enum mime_canonical_mode {
    MIME_CANONICAL_TRANSPORT, /* clear-signed: 7-bit safe */
    MIME_CANONICAL_OPAQUE, /* inside CMS: bytes as they are, line ends CRLF where they are text */
};

/* `scan` is finished and borrowed until the stage is freed; `next` is taken. In TRANSPORT mode the
 * scan must not say only_opaque (ERR_PERM). */
ERR_CHECKED enum err_code mime_canonical_new(const struct mime_scan *scan,
                                             enum mime_canonical_mode mode, struct stage *next,
                                             struct stage **out, struct err *err);

#endif
