/*
 * Certificates that were parsed lately, by their octets.
 *
 * Parsing costs sixteen times the verification of an RSA signature, most of it the decoder of the
 * public key, which takes locks that all threads share. The certificates of those who write to us
 * are the same ones again and again, and their authorities' even more so: they are parsed once, and
 * every message holds a reference.
 *
 * A table of fixed size, sets of a few places each, the least recently used of a set goes. A
 * stranger who sends us new certificates pushes out others, which are parsed again: time, never a
 * wrong answer, since every octet is compared. What is larger than any usual certificate is not
 * kept, so the memory is bounded: PKI_INTERN_PLACES times a few times PKI_INTERN_BYTES.
 *
 * Threads: any. One lock per set, held while octets are compared and pointers move.
 */
#ifndef PKI_INTERN_H
#define PKI_INTERN_H

#include "pki/certificate.h"

enum { PKI_INTERN_PLACES = 2048, PKI_INTERN_BYTES = 4096 };

/* As pki_certificate_parse; *out may be shared with others. */
ERR_CHECKED enum err_code pki_intern_get(struct span der, struct pki_certificate **out,
                                         struct err *err);

/* Forgets all: for tests that count memory, and the end of a process. */
void pki_intern_reset(void);

#endif
