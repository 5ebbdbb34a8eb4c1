/*
 * What one recipient gets of a message: encrypted, signed, as it came, nothing; by his own rule,
 * the sender's choice and what is known of him. Pure, no memory; private to policy/.
 *
 * With a listener for copies (resubmit_server) each recipient is treated by his own rule alone.
 * Without one, everybody has to get the same, and the wishes are joined:
 *
 *   - if one must get it encrypted, all do, where all can (a certificate, no rule against it);
 *   - if-possible means: if all can; else nobody gets it encrypted because of it;
 *   - if one gets it signed, all do, by the rule that is strictest about a missing certificate,
 *     but nobody whose rule says smime = no.
 *
 * Who cannot be joined is treated by his own rule, and the plan has more than one copy.
 */
#ifndef POLICY_TREATMENT_H
#define POLICY_TREATMENT_H

#include "policy/outbound.h"

/* What all recipients say together. Made by policy_treatment_init; `facts` is borrowed. */
struct policy_treatments {
    const struct policy_outbound_facts *facts;
    bool joined;                      /* one copy for all */
    bool encrypt_all, encrypt_none;   /* joined */
    bool considers;                   /* joined: encryption, as far as rules can tell */
    const struct conf_rule *sign_all; /* joined: whose signature everybody gets; NULL: nobody */
    size_t sign_index;                /* the recipient whose rule that is */
    bool sign_demanded;
    /* The first recipient whose rule says so, whatever is known; NULL: none. */
    const struct policy_recipient *protect;  /* smime = yes */
    const struct policy_recipient *off;      /* smime = no */
    const struct policy_recipient *sign_for; /* a signature, and there is none yet */
    const struct policy_recipient *wants;    /* encryption, and it is not there yet */
    const struct policy_recipient *must;     /* and he gets it so, or what no_certificate says */
    const struct policy_recipient *always;   /* and nothing else will do */
    const struct policy_recipient *in_place; /* and a signature in its place would do */
    const struct policy_recipient *never;    /* encrypt = never */
};

enum policy_treatment_end {
    POLICY_TREATMENT_COPY,
    POLICY_TREATMENT_RETURN,
    POLICY_TREATMENT_REFUSE,         /* must be encrypted, no valid certificate */
    POLICY_TREATMENT_REFUSE_ESCROW,  /* must be encrypted, an additional recipient has none */
    POLICY_TREATMENT_REFUSE_SIGNING, /* must be signed, the sender has none */
    POLICY_TREATMENT_REFUSE_GROUP,   /* its members cannot take its place */
    POLICY_TREATMENT_DEFER,          /* his certificate could not be asked for */
    POLICY_TREATMENT_DEFER_ESCROW,
    POLICY_TREATMENT_DEFER_GROUP, /* who is in it could not be asked for */
    POLICY_TREATMENT_DEFER_SIGNING
};

struct policy_treatment {
    enum policy_treatment_end end; /* what encryption says before what signing says */
    bool encrypt, must;            /* must: he gets it encrypted, or what no_certificate says */
    bool sign, opaque, domain_signature;
    bool hidden; /* encrypted, and the header does not name him */
    const struct conf_rule *encrypt_rule, *sign_rule; /* NULL: not encrypted, no wish for it */
};

void policy_treatment_init(const struct policy_outbound_facts *facts,
                           struct policy_treatments *out);

void policy_treatment_get(const struct policy_treatments *all, size_t index,
                          struct policy_treatment *out);

/* Can he read nothing at or above his rule's cipher_floor? Then his certificate is of no use. */
bool policy_treatment_is_below_floor(const struct policy_recipient *recipient);

/* Why he cannot be encrypted to: his own word, or "algorithm-floor". */
const char *policy_treatment_reason(const struct policy_recipient *recipient);

/* Does the message as it came already satisfy this rule's wish for encryption? */
bool policy_treatment_is_encrypted(const struct policy_outbound_facts *facts,
                                   const struct conf_rule *rule);

/* Is it sealed for every recipient who has a say, so that a signature around it would only hide
 * what its author made? PGP counts where every rule says so. */
bool policy_treatment_is_sealed(const struct policy_outbound_facts *facts);

#endif
