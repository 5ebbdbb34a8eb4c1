/*
 * Whether the owner of an address lets a person send as him: send_as_attributes, such as Exchange's
 * publicDelegates.
 *
 * Threads: no state.
 */
#ifndef DIRECTORY_SEND_AS_H
#define DIRECTORY_SEND_AS_H

#include "directory/directory.h"
#include "directory/record.h"
#include "directory/schema.h"

/* Does a value of the owner's attributes name the person, by distinguished name or address? */
bool directory_send_as_check(const struct directory_schema *schema,
                             const struct directory_attributes *owner,
                             const struct directory_entry *person);

#endif
