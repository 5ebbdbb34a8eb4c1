/*
 * What sign and encrypt have in common: a message, a decision, the daemon's own chain
 * (flow/protect), and the new message on stdout.
 *
 * Threads: one.
 */
#ifndef CTL_PROTECT_H
#define CTL_PROTECT_H

#include "ctl/message.h"
#include "pki/keyring.h"
#include "policy/outbound.h"

struct ctl_protect_args {
    const struct ctl_message *message;
    const struct conf_rule *rule; /* digest, cipher, ... */
    bool sign, encrypt, opaque;
    const struct pki_key *key;         /* sign */
    const struct pki_certificate *own; /* sign: the signer's encryption certificate, or NULL */
    struct pki_certificate *const *recipients;
    size_t count;
};

/* Nothing is written before everything that can be refused was tried. */
ERR_CHECKED enum err_code ctl_protect_write(const struct ctl_protect_args *args, struct err *err);

#endif
