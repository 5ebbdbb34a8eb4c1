/*
 * What was learnt from mail that verified: certificates, capabilities and the encryption
 * certificate that a person prefers, by address.                       RFC
 * 8551 2.5.2, 2.5.3, 2.7.1; RFC 8550 2.3
 *
 * Only a caller that holds the verdict pass may add, and for the one address that the verdict is
 * about: nothing unverified is ever stored. What is in here is a candidate all the same, judged
 * again (path, revocation, usage) each time it is used.
 *
 * A certificate with another key than those that are accepted for an address is a key change: taken
 * at once, or held until somebody approves it (smimectl certs approve), as configured. Who can send
 * one message that verifies, by a CA that we trust, would otherwise read everything that is written
 * to that address from then on.
 *
 * With a certificate the intermediates are kept over which its path held; they are candidates for
 * building it again, never anchors.
 *
 * Capabilities count by the signing time of the message that told them: an older message that is
 * sent again never takes stronger ciphers away.
 *
 * Holds a SQLite file (util/database); DER, times, counts. Bounded: `limit` certificates in all and
 * DIRECTORY_HARVEST_PER_ADDRESS for one address; the one that was not seen for longest goes first.
 * What somebody removed stays away: it is remembered as removed.
 *
 * Reference counted. Whoever only asks does not make the file: what is not there yet holds nothing,
 * and is opened when it has come. Writing and asking through two objects of one file keeps those
 * who ask from waiting for the disk.
 *
 * Threads: any; calls on one object wait for each other.
 */
#ifndef DIRECTORY_HARVEST_H
#define DIRECTORY_HARVEST_H

#include "pki/certificate.h"

enum {
    DIRECTORY_HARVEST_PER_ADDRESS = 10,
    DIRECTORY_HARVEST_CAPABILITIES = 4096, /* octets of SMIMECapabilities that are kept */
    DIRECTORY_HARVEST_CHAIN = 10,          /* intermediates of one certificate */
    DIRECTORY_HARVEST_CHAIN_BYTES = 32 * 1024,
};

struct directory_harvest;

enum directory_harvest_change { DIRECTORY_HARVEST_ACCEPT, DIRECTORY_HARVEST_HOLD };

struct directory_harvest_args {
    const char *path;
    enum directory_harvest_change change; /* of keys */
    uint64_t limit;                       /* certificates in all; 0: 1,000,000 */
    bool create;                          /* make the file when it is not there */
};

/* ERR_PERM: not ours, or written by a newer smimed (reason "database-newer"); ERR_TEMP. */
ERR_CHECKED enum err_code directory_harvest_open(const struct directory_harvest_args *args,
                                                 struct directory_harvest **out, struct err *err);
struct directory_harvest *directory_harvest_add1(struct directory_harvest *harvest);
void directory_harvest_close(struct directory_harvest **harvest); /* one reference */

enum directory_harvest_state {
    DIRECTORY_HARVEST_ACCEPTED,
    DIRECTORY_HARVEST_HELD,   /* waits for approval */
    DIRECTORY_HARVEST_REMOVED /* by hand: not taken again */
};

struct directory_harvest_news {
    const char *address;                 /* formatted; the one that the verdict is about */
    struct pki_certificate *certificate; /* good for encryption, and for that address */
    /* The intermediates over which its path held, leaf's issuer first, no root: what must be there
     * to build it again. NULL or empty: none. More than DIRECTORY_HARVEST_CHAIN in number or octets
     * are not kept at all, since a part of a path builds nothing. */
    const struct pki_certificates *chain;
    struct span capabilities; /* DER of SMIMECapabilities; n 0: none told */
    time_t signed_at;         /* signingTime; 0: none, capabilities are not kept */
    time_t now;
};

/* ERR_OK: *state says what became of the certificate; *is_new: it was not known before. */
ERR_CHECKED enum err_code directory_harvest_add(struct directory_harvest *harvest,
                                                const struct directory_harvest_news *news,
                                                enum directory_harvest_state *state, bool *is_new,
                                                struct err *err);

/* The accepted certificates of an address, last seen first, appended to `out`; the intermediates
 * that were kept with them appended to `chain` (NULL: not wanted). ERR_NOTFOUND: none. ERR_TEMP:
 * could not ask. */
ERR_CHECKED enum err_code directory_harvest_find(struct directory_harvest *harvest,
                                                 const char *address, struct pki_certificates *out,
                                                 struct pki_certificates *chain, struct err *err);

/* The newest capabilities, appended to `out`, and when they were told. */
ERR_CHECKED enum err_code directory_harvest_get_capabilities(struct directory_harvest *harvest,
                                                             const char *address, struct buf *out,
                                                             time_t *signed_at, struct err *err);

/* ---- smimectl certs ----------------------------------------------------------------------------
 */

struct directory_harvest_row {
    const char *address;
    const char *fingerprint; /* SHA-256, lower-case hex */
    struct span der;
    enum directory_harvest_state state;
    time_t first_seen, last_seen;
    uint64_t count;                       /* messages */
    const struct pki_certificates *chain; /* the intermediates that were kept with it */
    time_t decided_at;                    /* when somebody approved or removed it; 0: nobody did */
};

/* Rows in the order of their addresses, those of `address` alone where it is not NULL; borrowed for
 * the call. Another code than ERR_OK ends it and is returned. `each` must not call the harvest. */
typedef enum err_code
directory_harvest_row_fn(void *context, const struct directory_harvest_row *row, struct err *err);
ERR_CHECKED enum err_code directory_harvest_each(struct directory_harvest *harvest,
                                                 const char *address,
                                                 directory_harvest_row_fn *each, void *context,
                                                 struct err *err);

/* Sets the state of one certificate of an address; `fingerprint` may be shortened to 8 digits or
 * more where that is unambiguous. ERR_NOTFOUND; ERR_PERM: ambiguous, or not hexadecimal. */
ERR_CHECKED enum err_code directory_harvest_set(struct directory_harvest *harvest,
                                                const char *address, const char *fingerprint,
                                                enum directory_harvest_state state,
                                                struct err *err);

#endif
