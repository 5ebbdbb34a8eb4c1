/*
 * SMIMECapabilities: what a signer says that he can read.        RFC 8551 2.5.2, RFC 3565 4, RFC
 * 3560 5
 *
 * Only what we could use is kept, as sets: content encryption and key transport. A list that names
 * no content encryption at all (some name digests alone) says nothing about it. What it says is a
 * stranger's word about himself: it chooses among what our rules allow, never more. Parameters of
 * content encryption are not looked at; RSAES-OAEP counts with SHA-256 alone, which is what we
 * write.
 *
 * Any thread; nothing is kept.
 */
#ifndef SMIME_CAPABILITY_H
#define SMIME_CAPABILITY_H

#include <stdbool.h>

#include "smime/algorithm.h"
#include "util/err.h"
#include "util/span.h"

enum { SMIME_CAPABILITY_LIMIT = 200 }; /* entries of a list */

struct smime_capabilities {
    bool ciphers_known;  /* it names some content encryption, one of ours or another */
    unsigned ciphers;    /* 1u << enum smime_cipher */
    unsigned transports; /* 1u << enum smime_transport; 0: it names none */
};

/* `der`: the SEQUENCE. ERR_PERM "malformed-attributes": it is none, or it has too many entries;
 * then *out says that nothing is known. */
ERR_CHECKED enum err_code smime_capability_parse(struct span der, struct smime_capabilities *out,
                                                 struct err *err);

#endif
