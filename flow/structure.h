/*
 * What an outbound entity really is, whatever it says: "already signed" and "already encrypted" by
 * structure. RFC 8551 3.10, RFC 1847, RFC 3156 A parameter, a file name or a media type would let
 * anybody pass plaintext by a rule that says encrypt. What counts: the one Content-Type that every
 * reader sees the same way, a transfer encoding without a stray byte (plaintext behind the padding
 * of base64 is how one would smuggle it), and a CMS object that is well-formed to its end. Anything
 * else is plain and gets protected.
 *
 * Reads the spool once, in pieces; keeps the signature part of a multipart/signed (2 MiB at most).
 */
#ifndef FLOW_STRUCTURE_H
#define FLOW_STRUCTURE_H

#include "mime/header.h"
#include "smime/detect.h"
#include "util/spool.h"

struct flow_structure {
    enum smime_claim claim;
    bool signed_already;    /* multipart/signed or SignedData, with a signer */
    bool encrypted_already; /* EnvelopedData or AuthEnvelopedData, complete */
    bool pgp_encrypted;     /* PGP/MIME, nothing beside the armour */
    const char *why; /* why a claim does not count; static; NULL when it counts or none was made */
};

/* From the header alone: what must be looked for? */
ERR_CHECKED enum err_code flow_structure_claim(const struct mime_header *header,
                                               enum smime_claim *claim, struct err *err);

/* `spool` is finished. Errors are our own (memory, disk). */
ERR_CHECKED enum err_code flow_structure_load(const struct mime_header *header,
                                              const struct spool *spool, struct flow_structure *out,
                                              struct err *err);

#endif
