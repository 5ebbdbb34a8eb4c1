/*
 * The trust that verify and path work with: from the command line (--anchors ...) or a set of the
 * configuration, and the inputs of RFC 5280 6.1.1.
 *
 * Threads: one.
 */
#ifndef CTL_TRUST_H
#define CTL_TRUST_H

#include "ctl/context.h"
#include "pki/path.h"

struct ctl_trust {
    /* Set by the options. */
    struct ctl_list anchors, untrusted_paths, crls, policies;
    long long at;           /* 0: now */
    const char *revocation; /* word, or NULL */
    const char *name;       /* of a set of the configuration, or NULL */
    bool offline;           /* nobody is asked: no network, no shared cache */
    bool explicit_policy, inhibit_policy_mapping, inhibit_any_policy, allow_weak;
    /* Set by load. */
    struct flow_services *services; /* NULL without a configuration */
    struct pki_trust *own;          /* of the command line */
    const struct pki_trust *trust;  /* NULL: there are no anchors, nothing is trusted */
    struct pki_certificates untrusted;
    struct pki_revocation_rules rules; /* of inbound mail; without a configuration the defaults */
    struct pki_evidence *evidence;     /* a reference */
    struct pki_fetch_budget budget;    /* what may be asked for one question */
};

#define CTL_TRUST_OPTIONS(t)                                                                       \
    { "anchors", 0, CTL_OPTION_LIST, &(t).anchors },                                               \
        { "untrusted", 0, CTL_OPTION_LIST, &(t).untrusted_paths },                                 \
        { "crl", 0, CTL_OPTION_LIST, &(t).crls }, { "policy", 0, CTL_OPTION_LIST, &(t).policies }, \
        { "at", 0, CTL_OPTION_COUNT, &(t).at }, { "offline", 0, CTL_OPTION_FLAG, &(t).offline },   \
        { "revocation", 0, CTL_OPTION_VALUE, &(t).revocation },                                    \
        { "trust", 0, CTL_OPTION_VALUE, &(t).name },                                               \
        { "allow-weak", 0, CTL_OPTION_FLAG, &(t).allow_weak },                                     \
        { "explicit-policy", 0, CTL_OPTION_FLAG, &(t).explicit_policy },                           \
        { "inhibit-policy-mapping", 0, CTL_OPTION_FLAG, &(t).inhibit_policy_mapping },             \
    {                                                                                              \
        "inhibit-any-policy", 0, CTL_OPTION_FLAG, &(t).inhibit_any_policy                          \
    }

/* Sets the clock (--at) and loads what the options name: with --anchors alone the command line,
 * else the configuration where there is one. Returns the exit code to end with; CTL_EXIT_YES is "go
 * on". */
int ctl_trust_load(struct ctl_trust *trust, const struct ctl_common *common);
void ctl_trust_free(struct ctl_trust *trust);

#endif
