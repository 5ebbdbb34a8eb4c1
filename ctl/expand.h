/*
 * Who is in a distribution group, as smimectl expand prints it, for other commands.
 *
 * Threads: one.
 */
#ifndef CTL_EXPAND_H
#define CTL_EXPAND_H

#include "flow/services.h"

/* The tree and the counts, if `address` (formatted) is a group; else nothing. What cannot be found
 * out is printed, too. */
void ctl_expand_show(struct flow_services *services, const char *address, const char *trust);

#endif
