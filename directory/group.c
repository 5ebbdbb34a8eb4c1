/*
 * How one level passes: every member that its groups name is looked up in the table of what was
 * seen; what is new there becomes a question. The questions of the level are asked in at most three
 * rounds (DNs, addresses, URLs; one wait each), the answers become nodes, and the groups among them
 * are the next level. Edges are drawn last, when every name of the level has its node.
 */
#include "directory/group.h"

#include <stdlib.h>
#include <string.h>

#include "directory/group_round.h"
#include "util/clock.h"

static enum err_code
no_memory(struct err *err)
{
    return err_set(err, ERR_NOMEM, "no memory to expand a group");
}

const char *
directory_group_name(const struct directory_group *group)
{
    return group->nodes[0].address ? group->nodes[0].address : group->nodes[0].name;
}

struct expansion {
    struct directory_group_round round;
    size_t *level; /* nodes: the groups whose members are asked for */
    size_t level_count;
};

/* ---- a level ----------------------------------------------------------------------------------
 */

/* The groups that came in with the answers, from node `first` on, are the next level. */
static enum err_code
next_level(struct expansion *expansion, size_t first, struct err *err)
{
    struct directory_group *group = expansion->round.table.group;

    for (size_t i = 0; i < expansion->level_count; i++)
        group->nodes[expansion->level[i]].expanded = true;
    free(expansion->level);
    expansion->level_count = 0;
    expansion->level = calloc(group->count - first + 1, sizeof *expansion->level);
    if (!expansion->level)
        return no_memory(err);
    for (size_t i = first; i < group->count; i++) {
        if (group->nodes[i].kind == DIRECTORY_NODE_GROUP)
            expansion->level[expansion->level_count++] = i;
    }
    return ERR_OK;
}

static enum err_code
check_depth(const struct expansion *expansion, struct err *err)
{
    const struct directory_group *group = expansion->round.table.group;
    const struct directory_node *node = &group->nodes[expansion->level[0]];
    unsigned limit = expansion->round.args->depth;

    if (node->depth <= limit)
        return ERR_OK;
    return err_set_reason(err, ERR_LIMIT, "group-too-deep",
                          "the group %.150s is nested deeper than %u levels (group_depth): %.150s "
                          "is in level %u",
                          directory_group_name(group), limit,
                          node->address ? node->address : node->name, node->depth);
}

static enum err_code
expand_level(struct expansion *expansion, struct err *err)
{
    size_t first = expansion->round.table.group->count;
    enum err_code code = check_depth(expansion, err);

    for (size_t i = 0; code == ERR_OK && i < expansion->level_count; i++)
        code = directory_group_round_add(&expansion->round, expansion->level[i], err);
    if (code == ERR_OK)
        code = directory_group_round_ask(&expansion->round, err);
    return code == ERR_OK ? next_level(expansion, first, err) : code;
}

/* ---- the members ------------------------------------------------------------------------------
 */

static void
count_nodes(struct directory_group *group)
{
    for (size_t i = 0; i < group->count; i++) {
        const struct directory_node *node = &group->nodes[i];

        group->group_count += node->kind == DIRECTORY_NODE_GROUP;
        group->unknown += node->kind == DIRECTORY_NODE_UNKNOWN;
        group->without_address += !node->address && node->kind < DIRECTORY_NODE_GROUP;
        if (node->kind == DIRECTORY_NODE_GROUP && node->depth > group->depth)
            group->depth = node->depth;
    }
}

/* Every address once, users before contacts before externals. */
static enum err_code
choose_members(struct expansion *expansion, struct err *err)
{
    static const enum directory_node_kind kinds[] = { DIRECTORY_NODE_USER, DIRECTORY_NODE_CONTACT,
                                                      DIRECTORY_NODE_EXTERNAL };
    struct directory_group *group = expansion->round.table.group;

    group->members = calloc(group->count, sizeof *group->members);
    if (!group->members)
        return no_memory(err);
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        for (size_t i = 0; i < group->count; i++) {
            struct directory_node *node = &group->nodes[i];
            struct directory_group_slot *slot = NULL;
            bool is_new = false;

            if (node->kind != kinds[k] || !node->address)
                continue;
            if (directory_group_table_get_address(&expansion->round.table, 'm', node->address,
                                                  &slot, &is_new, err) != ERR_OK)
                return err->code;
            if (!is_new)
                continue;
            node->is_member = true;
            group->members[group->member_count++] = i;
        }
    }
    if (group->member_count > expansion->round.args->members)
        return directory_group_round_fail_size(&expansion->round, err);
    return ERR_OK;
}

static enum err_code
check_unknown(const struct expansion *expansion, struct err *err)
{
    const struct directory_group *group = expansion->round.table.group;

    if (group->unknown == 0 || expansion->round.args->skip_unknown)
        return ERR_OK;
    for (size_t i = 0; i < group->count; i++) {
        if (group->nodes[i].kind == DIRECTORY_NODE_UNKNOWN)
            return err_set_reason(err, ERR_PERM, "group-member-unknown",
                                  "the group %.150s has members that no directory knows (%zu): "
                                  "%.150s%s",
                                  directory_group_name(group), group->unknown, group->nodes[i].name,
                                  group->unknown > 1 ? ", ..." : "");
    }
    return ERR_OK;
}

/* ---- the object -------------------------------------------------------------------------------
 */

static enum err_code
expand(struct expansion *expansion, struct directory_entry **entry, struct err *err)
{
    ptrdiff_t root = DIRECTORY_GROUP_NOBODY;
    enum err_code code = directory_group_table_add_entry(
        &expansion->round.table, entry, expansion->round.args->directory, root, &root, err);

    if (code != ERR_OK)
        return code;
    expansion->level = calloc(1, sizeof *expansion->level);
    expansion->level_count = 1;
    if (!expansion->level)
        return no_memory(err);
    while (code == ERR_OK && expansion->level_count > 0)
        code = expand_level(expansion, err);
    count_nodes(expansion->round.table.group);
    if (code == ERR_OK)
        code = check_unknown(expansion, err);
    if (code == ERR_OK)
        code = choose_members(expansion, err);
    return code;
}

enum err_code
directory_group_expand(const struct directory_group_args *args, struct directory_entry *entry,
                       struct directory_group **out, struct err *err)
{
    struct directory_group *group = calloc(1, sizeof *group);
    struct expansion expansion = { .round = { .args = args,
                                              .table = { .group = group },
                                              .deadline_ms =
                                                  clock_monotonic_ms() + args->timeout_ms } };
    enum err_code code = group ? expand(&expansion, &entry, err) : no_memory(err);

    *out = NULL;
    if (group && code != ERR_OK)
        group->member_count = 0;
    if (group && group->count > 0) {
        *out = group;
        group = NULL;
    }
    directory_group_free(&group);
    directory_entry_free(&entry);
    directory_group_round_deinit(&expansion.round);
    free(expansion.level);
    return code;
}

void
directory_group_reset_entries(struct directory_group *group)
{
    for (size_t i = 0; i < group->count; i++)
        directory_entry_free(&group->nodes[i].entry);
}

void
directory_group_free(struct directory_group **group)
{
    struct directory_group *g = group ? *group : NULL;

    if (!g)
        return;
    *group = NULL;
    directory_group_reset_entries(g);
    for (size_t i = 0; i < g->count; i++) {
        free(g->nodes[i].children);
        free(g->nodes[i].address);
        free(g->nodes[i].name);
    }
    free(g->nodes);
    free(g->members);
    free(g);
}
