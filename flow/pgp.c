#include "flow/pgp.h"

#include <string.h>

#include "mime/base64.h"

enum {
    PGP_LIMIT_LINE = 998,
    PGP_LIMIT_HEADERS = 20, /* fields of a part, lines of an armour header */
    PGP_BOUNDARY_SIZE = 72
};

/* Where in the multipart a line stands. */
enum pgp_place {
    PGP_PREAMBLE,
    PGP_CONTROL_HEADER,
    PGP_CONTROL,
    PGP_MESSAGE_HEADER,
    PGP_BEFORE_ARMOUR,
    PGP_ARMOUR_HEADER,
    PGP_ARMOUR,
    PGP_AFTER_ARMOUR,
    PGP_EPILOGUE
};

/* Where in the packets an octet stands. RFC 9580 4.2 */
enum packet_place {
    PACKET_TAG,
    PACKET_LENGTH, /* first octet of a new-format length */
    PACKET_OCTETS, /* further octets of a length */
    PACKET_BODY,
    PACKET_TO_END /* old format without a length: the rest */
};

struct packets {
    enum packet_place place;
    unsigned tag;
    unsigned length_octets;
    bool partial;
    uint64_t left;
    bool keys; /* a session key packet was there */
    bool data; /* the encrypted data */
    bool refused;
};

struct pgp {
    enum pgp_place place;
    char boundary[PGP_BOUNDARY_SIZE];
    unsigned char line[PGP_LIMIT_LINE + 2];
    size_t length;
    unsigned headers;
    bool refused;
    bool checksum;
    struct packets packets;
    struct stage *armour; /* base64 decoder into the packet walker */
    uint64_t irregular;
};

/* ---- packets -----------------------------------------------------------------------------------
 */

static void
packets_tag(struct packets *packets, unsigned char c)
{
    enum {
        PKESK = 1,
        SKESK = 3,
        ENCRYPTED = 9,
        MARKER = 10,
        ENCRYPTED_MDC = 18,
        ENCRYPTED_AEAD = 20
    };

    if (!(c & 0x80) || packets->data) {
        packets->refused = true;
        return;
    }
    packets->tag = c & 0x40 ? c & 0x3f : (c & 0x3f) >> 2;
    packets->partial = false;
    packets->left = 0;
    if (packets->tag == PKESK || packets->tag == SKESK)
        packets->keys = true;
    else if (packets->tag == ENCRYPTED || packets->tag == ENCRYPTED_MDC ||
             packets->tag == ENCRYPTED_AEAD)
        packets->data = true;
    else if (packets->tag != MARKER)
        packets->refused = true;
    if (c & 0x40) {
        packets->place = PACKET_LENGTH;
        return;
    }
    packets->length_octets = 1u << (c & 3);
    packets->place = (c & 3) == 3 ? PACKET_TO_END : PACKET_OCTETS;
}

static void
packets_body(struct packets *packets)
{
    if (packets->left > 0)
        packets->place = PACKET_BODY;
    else
        packets->place = packets->partial ? PACKET_LENGTH : PACKET_TAG;
}

static void
packets_length(struct packets *packets, unsigned char c)
{
    packets->partial = false;
    packets->left = 0;
    if (c < 192) {
        packets->left = c;
        packets_body(packets);
    } else if (c < 224) {
        packets->left = c - 192u;
        packets->length_octets = 1;
        packets->tag |= 0x100; /* the two-octet form adds 192 */
        packets->place = PACKET_OCTETS;
    } else if (c < 255) {
        packets->partial = true;
        packets->left = 1u << (c & 0x1f);
        packets->place = PACKET_BODY;
    } else {
        packets->length_octets = 4;
        packets->place = PACKET_OCTETS;
    }
}

static void
packets_octet(struct packets *packets, unsigned char c)
{
    packets->left = packets->left << 8 | c;
    if (--packets->length_octets > 0)
        return;
    if (packets->tag & 0x100) {
        packets->left += 192;
        packets->tag &= 0xff;
    }
    packets_body(packets);
}

static enum err_code
packets_write(void *context, struct span piece, struct err *err)
{
    struct packets *packets = context;
    size_t i = 0;

    (void)err;
    while (i < piece.n && !packets->refused) {
        if (packets->place == PACKET_TO_END)
            return ERR_OK;
        if (packets->place == PACKET_BODY) {
            size_t part = packets->left < piece.n - i ? (size_t)packets->left : piece.n - i;

            packets->left -= part;
            i += part;
            packets_body(packets);
            continue;
        }
        if (packets->place == PACKET_TAG)
            packets_tag(packets, piece.p[i]);
        else if (packets->place == PACKET_LENGTH)
            packets_length(packets, piece.p[i]);
        else
            packets_octet(packets, piece.p[i]);
        i++;
    }
    return ERR_OK;
}

/* ---- lines -------------------------------------------------------------------------------------
 */

static bool
pgp_is_boundary(const struct pgp *pgp, struct span line, bool *closing)
{
    size_t n = strlen(pgp->boundary);

    if (line.n < n + 2 || memcmp(line.p, "--", 2) != 0 || memcmp(line.p + 2, pgp->boundary, n) != 0)
        return false;
    *closing = line.n == n + 4 && memcmp(line.p + n + 2, "--", 2) == 0;
    return *closing || line.n == n + 2;
}

static enum err_code
pgp_armour_line(struct pgp *pgp, struct span line, struct err *err)
{
    if (span_equal(line, span_str("-----END PGP MESSAGE-----"))) {
        pgp->place = PGP_AFTER_ARMOUR;
        return stage_finish(pgp->armour, err);
    }
    if (pgp->checksum || line.n == 0 || line.n > 80) {
        pgp->refused = true;
        return ERR_OK;
    }
    if (line.n == 5 && line.p[0] == '=') { /* the CRC-24 of RFC 9580 6.1.1 */
        pgp->checksum = true;
        return ERR_OK;
    }
    return stage_write(pgp->armour, line, err);
}

static void
pgp_boundary_line(struct pgp *pgp, bool closing)
{
    pgp->headers = 0;
    if (pgp->place == PGP_PREAMBLE && !closing)
        pgp->place = PGP_CONTROL_HEADER;
    else if (pgp->place == PGP_CONTROL && !closing)
        pgp->place = PGP_MESSAGE_HEADER;
    else if (pgp->place == PGP_AFTER_ARMOUR && closing)
        pgp->place = PGP_EPILOGUE;
    else
        pgp->refused = true;
}

static enum err_code
pgp_line(struct pgp *pgp, struct span line, struct err *err)
{
    struct span text = span_trim(line);
    bool closing = false;

    if (pgp_is_boundary(pgp, text, &closing)) {
        pgp_boundary_line(pgp, closing);
        return ERR_OK;
    }
    switch (pgp->place) {
    case PGP_PREAMBLE:
    case PGP_AFTER_ARMOUR:
    case PGP_EPILOGUE:
        pgp->refused = text.n > 0;
        break;
    case PGP_CONTROL_HEADER:
    case PGP_MESSAGE_HEADER:
        /* An encoded part could say anything behind the armour that is looked for. */
        if (text.n == 0)
            pgp->place = pgp->place == PGP_CONTROL_HEADER ? PGP_CONTROL : PGP_BEFORE_ARMOUR;
        else if (++pgp->headers > PGP_LIMIT_HEADERS ||
                 (span_starts_nocase(text, "Content-Transfer-Encoding:") &&
                  !span_equal_nocase(span_trim(span_from(text, 26)), "7bit") &&
                  !span_equal_nocase(span_trim(span_from(text, 26)), "8bit")))
            pgp->refused = true;
        break;
    case PGP_CONTROL:
        pgp->refused = text.n > 0 && !span_equal_nocase(text, "Version: 1");
        break;
    case PGP_BEFORE_ARMOUR:
        if (span_equal(text, span_str("-----BEGIN PGP MESSAGE-----")))
            pgp->place = PGP_ARMOUR_HEADER;
        else
            pgp->refused = text.n > 0;
        break;
    case PGP_ARMOUR_HEADER:
        if (text.n == 0)
            pgp->place = PGP_ARMOUR;
        else if (++pgp->headers > PGP_LIMIT_HEADERS || span_find(text, ':') == text.n)
            pgp->refused = true;
        break;
    case PGP_ARMOUR:
        return pgp_armour_line(pgp, text, err);
    }
    return ERR_OK;
}

static enum err_code
pgp_write(void *context, struct span piece, struct err *err)
{
    struct pgp *pgp = context;
    enum err_code code = ERR_OK;
    size_t i;

    for (i = 0; i < piece.n && !pgp->refused && code == ERR_OK; i++) {
        if (piece.p[i] == '\n') {
            code = pgp_line(pgp, span_of(pgp->line, pgp->length), err);
            pgp->length = 0;
        } else if (pgp->length >= PGP_LIMIT_LINE) {
            pgp->refused = true;
        } else {
            pgp->line[pgp->length++] = piece.p[i];
        }
    }
    return code;
}

enum err_code
flow_pgp_check(struct span boundary, const struct spool *spool, bool *encrypted, struct err *err)
{
    struct pgp pgp = { .place = PGP_PREAMBLE };
    struct stage *lines = NULL, *walker = NULL;
    enum err_code code;

    *encrypted = false;
    if (!boundary.p || boundary.n == 0 || boundary.n >= PGP_BOUNDARY_SIZE ||
        memchr(boundary.p, 0, boundary.n))
        return ERR_OK;
    memcpy(pgp.boundary, boundary.p, boundary.n);
    code = stage_sink_new(packets_write, &pgp.packets, &walker, err);
    if (code == ERR_OK)
        code = mime_base64_decode_new(&pgp.irregular, walker, &pgp.armour, err);
    if (code != ERR_OK)
        stage_free(&walker);
    if (code == ERR_OK)
        code = stage_sink_new(pgp_write, &pgp, &lines, err);
    if (code == ERR_OK)
        code = spool_copy(spool, lines, err);
    if (code == ERR_OK && pgp.length > 0 && !pgp.refused)
        code = pgp_line(&pgp, span_of(pgp.line, pgp.length), err);
    if (code == ERR_OK)
        *encrypted = !pgp.refused && pgp.place == PGP_EPILOGUE && pgp.irregular == 0 &&
                     !pgp.packets.refused && pgp.packets.keys && pgp.packets.data &&
                     (pgp.packets.place == PACKET_TAG || pgp.packets.place == PACKET_TO_END);
    stage_free(&lines);
    stage_free(&pgp.armour);
    return code;
}
