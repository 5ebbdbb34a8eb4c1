/*
 * The questions of one level of an expansion: gathered from all of its groups, asked together.
 *
 * Private to directory/group. DNs and URLs go to the directory of the group that names them, one
 * question of the backend for all; addresses to the directories in order, each for those that the
 * one before did not know. One thread.
 */
#ifndef DIRECTORY_GROUP_ROUND_H
#define DIRECTORY_GROUP_ROUND_H

#include "directory/group_table.h"

struct directory_group_questions {
    struct directory_group_question *list;
    size_t count, cap;
};

struct directory_group_round {
    const struct directory_group_args *args; /* borrowed */
    struct directory_group_table table;
    int64_t deadline_ms;
    struct directory_group_questions dns, addresses, urls;
    struct directory_group_edge *edges;
    size_t edge_count, edge_cap;
};

/* What group `node` names. */
ERR_CHECKED enum err_code directory_group_round_add(struct directory_group_round *round,
                                                    size_t node, struct err *err);

/* Asks, makes nodes of the answers, draws the edges; the round is empty then. */
ERR_CHECKED enum err_code directory_group_round_ask(struct directory_group_round *round,
                                                    struct err *err);
void directory_group_round_deinit(struct directory_group_round *round);

/* group-too-large. */
enum err_code directory_group_round_fail_size(const struct directory_group_round *round,
                                              struct err *err);

#endif
