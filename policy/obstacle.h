/*
 * What stands in the way of a message: an answer that is not there yet (451), a certificate that
 * somebody lacks (550), copies that cannot be made. Pure; private to policy/.
 *
 * What could not be asked comes first, so that the retry hears everything at once. Each function
 * returns true when it refused or deferred.
 */
#ifndef POLICY_OBSTACLE_H
#define POLICY_OBSTACLE_H

#include "policy/outbound.h"
#include "policy/treatment.h"

/* What some recipient's treatment says. */
bool policy_obstacle_find(const struct policy_treatments *all,
                          struct policy_outbound_decision *out);

/* Makes the plan, or says why there is none. */
bool policy_obstacle_plan(const struct policy_treatments *all, size_t *order,
                          struct policy_outbound_decision *out);

#endif
