/*
 * Who is behind a distribution group.        RFC 4519 (groupOfNames, groupOfUniqueNames), MS
 * Exchange, nisMailAlias, memberURL (dynamic groups)
 *
 * Breadth first, a level at a time: all members of all groups of a level are asked for at once, by
 * DN, by address, by URL, so that waits grow with the depth of nesting and hardly with the number
 * of members. What was seen is not asked for again: a cycle ends, a shared member is one member.
 *
 * Limits are refusals. A list that stops at a limit is a list in which somebody is missing, and a
 * missing member is one who gets what he cannot read, or nothing. So `members` is whole or empty.
 *
 * How a member may look, and what becomes of him:
 *   - a user or contact with an address: a member, by his primary SMTP address
 *   - a group: its members; whether it has an address does not matter
 *   - an address that no directory knows (an external contact of nisMailAlias): a member
 *   - an entry without an address: no mail reaches him; he is counted and shown, no member
 *   - a DN or a name that nobody is: a member of whom nothing is known; group-member-unknown unless
 *     the caller leaves such members out
 *   - several entries with one address: one member; the user before the contact
 *
 * Holds every entry that was found, with its certificates. One thread; the result is immutable.
 */
#ifndef DIRECTORY_GROUP_H
#define DIRECTORY_GROUP_H

#include "directory/directory.h"

enum directory_node_kind {
    DIRECTORY_NODE_USER,
    DIRECTORY_NODE_CONTACT,
    DIRECTORY_NODE_GROUP,
    DIRECTORY_NODE_EXTERNAL, /* an address, and no entry */
    DIRECTORY_NODE_UNKNOWN   /* a DN or a name, and no entry */
};

struct directory_node {
    enum directory_node_kind kind;
    char *name;                    /* DN, address or name, for people; never NULL */
    char *address;                 /* primary SMTP address, or the external one; NULL: none */
    struct directory_entry *entry; /* NULL: external, unknown. Of groups: without member lists */
    size_t directory;              /* the entry is of that one of the list */
    unsigned depth;                /* of the group it was first found in, plus 1; the root is 1 */
    bool expanded;                 /* a group whose members are known */
    size_t *children;              /* of a group: nodes, in the order of the entry */
    size_t child_count;
    bool is_member; /* receives mail, and is in `members` */
};

struct directory_group {
    struct directory_node *nodes; /* nodes[0] is the group itself */
    size_t count, cap;
    size_t *members; /* nodes that receive mail, each address once; only after ERR_OK */
    size_t member_count;
    size_t group_count;     /* the root included */
    size_t without_address; /* people whom no mail reaches */
    size_t unknown;         /* DNs and names that nobody is */
    unsigned depth;         /* of the deepest group */
};

struct directory_group_args {
    struct directory *const *directories; /* addresses are asked for in this order; DNs and URLs in
                                             the directory of their group */
    size_t directory_count;
    size_t directory; /* where the group was found */
    unsigned depth;   /* of nesting; 1: no group in a group */
    size_t members;
    int64_t timeout_ms;
    bool skip_unknown; /* leave out whom no directory knows */
};

/* `entry` (a group) is taken, whatever happens. *out is returned (directory_group_free) also with
 * an error, as far as it came, for people to look at: without members. ERR_LIMIT with reason
 * group-too-deep, group-too-large; ERR_PERM with group-member-unknown, group-malformed; ERR_TEMP
 * with group-timeout or directory-unreachable. Every text names the group and the limit. */
ERR_CHECKED enum err_code directory_group_expand(const struct directory_group_args *args,
                                                 struct directory_entry *entry,
                                                 struct directory_group **out, struct err *err);
void directory_group_free(struct directory_group **group);

/* Gives back the entries, which hold certificates and take most of the room; names, addresses and
 * the tree stay. */
void directory_group_reset_entries(struct directory_group *group);

/* What to call it in a reply: its address, else its DN. Borrowed. */
const char *directory_group_name(const struct directory_group *group);

#endif
