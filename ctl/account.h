/*
 * The account of a path for people and programs: each certificate, where it came from, its
 * revocation status, by which method and from where that is known, and how old it is.
 *
 * Threads: one.
 */
#ifndef CTL_ACCOUNT_H
#define CTL_ACCOUNT_H

#include "ctl/json.h"
#include "pki/path.h"

/* A member `name` of the open object: a list of objects, leaf first, each with the members of
 * ctl/certificate.h and source, revocation, method, from, fetched, this_update, next_update, stale,
 * accepted, reason, text. */
void ctl_account_json(struct ctl_json *json, const char *name,
                      const struct pki_path_result *result);

/* Lines for people; `whole`: with all that ctl/certificate.h says of each certificate. */
void ctl_account_print(const struct pki_path_result *result, bool whole);

#endif
