/*
 * What an expansion has seen: names (DNs, addresses) and the nodes that they lead to.
 *
 * Private to directory/group. A name gets its slot when it is first met, and its node when somebody
 * has answered; several names of one entry lead to one node. DNs are compared in the form of
 * directory/dn, and are names within one directory; addresses are names everywhere, without regard
 * to ASCII case, as directories compare them.
 *
 * One thread.
 */
#ifndef DIRECTORY_GROUP_TABLE_H
#define DIRECTORY_GROUP_TABLE_H

#include "directory/group.h"

enum { DIRECTORY_GROUP_NOBODY = -1 };

struct directory_group_slot {
    ptrdiff_t node; /* DIRECTORY_GROUP_NOBODY: not answered yet */
    bool is_name;   /* a DN by the grammar, or an address: something to ask for */
};

struct directory_group_table {
    struct directory_group *group; /* borrowed: nodes are added to it */
    struct directory_group_entry *slots;
};

void directory_group_table_deinit(struct directory_group_table *table);

/* Slots; *is_new: the name was not met before. Borrowed until deinit. */
ERR_CHECKED enum err_code directory_group_table_get_dn(struct directory_group_table *table,
                                                       size_t directory, const char *dn,
                                                       struct directory_group_slot **out,
                                                       bool *is_new, struct err *err);
/* `kind` keeps names of different meaning apart ('a' a member's name, 'm' a chosen member). */
ERR_CHECKED enum err_code directory_group_table_get_address(struct directory_group_table *table,
                                                            char kind, const char *address,
                                                            struct directory_group_slot **out,
                                                            bool *is_new, struct err *err);

/* A node without entry, below `parent`; *out is its number. */
ERR_CHECKED enum err_code directory_group_table_add(struct directory_group_table *table,
                                                    enum directory_node_kind kind, const char *name,
                                                    ptrdiff_t parent, ptrdiff_t *out,
                                                    struct err *err);

/* The node of an entry, a new one unless its DN was met before. `*entry` is taken, whatever
 * happens. `parent` DIRECTORY_GROUP_NOBODY: the root. */
ERR_CHECKED enum err_code directory_group_table_add_entry(struct directory_group_table *table,
                                                          struct directory_entry **entry,
                                                          size_t directory, ptrdiff_t parent,
                                                          ptrdiff_t *out, struct err *err);

/* Draws an edge, once. */
ERR_CHECKED enum err_code directory_group_table_add_child(struct directory_group_table *table,
                                                          size_t parent, size_t child,
                                                          struct err *err);

#endif
