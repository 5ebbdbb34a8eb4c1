#include "directory/group_round.h"

#include <stdlib.h>
#include <string.h>

#include "mime/address.h"
#include "util/clock.h"

/* Groups, and people without an address, beside twice as many people as a group may have. */
enum { ROUND_EXTRA_NODES = 1000 };

struct directory_group_question {
    char *text;
    struct directory_group_slot *slot; /* NULL: a URL */
    size_t parent;                     /* the first group that names it */
    size_t directory;                  /* of that group */
};

struct directory_group_edge {
    size_t parent;
    struct directory_group_slot *slot;
};

/* A part of a list of questions, as a backend takes it. */
struct part {
    const char **texts;
    struct directory_group_question **questions;
    size_t count;
};

static enum err_code
no_memory(struct err *err)
{
    return err_set(err, ERR_NOMEM, "no memory to expand a group");
}

enum err_code
directory_group_round_fail_size(const struct directory_group_round *round, struct err *err)
{
    return err_set_reason(err, ERR_LIMIT, "group-too-large",
                          "the group %.200s has more than %zu members (group_members)",
                          directory_group_name(round->table.group), round->args->members);
}

/* What a question that failed means for the group. */
static enum err_code
round_fail(const struct directory_group_round *round, const struct err *asked, struct err *err)
{
    const char *name = directory_group_name(round->table.group);

    if (asked->code == ERR_TEMP && clock_monotonic_ms() >= round->deadline_ms)
        return err_set_reason(err, ERR_TEMP, "group-timeout",
                              "the group %.200s could not be expanded within %lld ms "
                              "(group_timeout)",
                              name, (long long)round->args->timeout_ms);
    if (asked->code == ERR_TEMP)
        return err_set_reason(err, ERR_TEMP,
                              asked->reason ? asked->reason : "directory-unreachable",
                              "the group %.150s cannot be expanded: %.250s", name, asked->text);
    if (asked->code == ERR_PERM || asked->code == ERR_LIMIT)
        return err_set_reason(err, asked->code, "group-malformed",
                              "the group %.150s cannot be expanded: %.250s", name, asked->text);
    return err_set_reason(err, asked->code, asked->reason, "%s", asked->text);
}

/* ---- gathering --------------------------------------------------------------------------------
 */

static enum err_code
questions_add(struct directory_group_questions *questions,
              const struct directory_group_question *one, struct err *err)
{
    if (questions->count == questions->cap) {
        size_t cap = questions->cap ? 2 * questions->cap : 16;
        struct directory_group_question *list = realloc(questions->list, cap * sizeof *list);

        if (!list)
            return no_memory(err);
        questions->list = list;
        questions->cap = cap;
    }
    questions->list[questions->count] = *one;
    questions->list[questions->count].text = strdup(one->text);
    if (!questions->list[questions->count].text)
        return no_memory(err);
    questions->count++;
    return ERR_OK;
}

static void
questions_reset(struct directory_group_questions *questions)
{
    for (size_t i = 0; i < questions->count; i++)
        free(questions->list[i].text);
    free(questions->list);
    *questions = (struct directory_group_questions){ .list = NULL };
}

static enum err_code
edge_add(struct directory_group_round *round, size_t parent, struct directory_group_slot *slot,
         struct err *err)
{
    if (round->edge_count == round->edge_cap) {
        size_t cap = round->edge_cap ? 2 * round->edge_cap : 64;
        struct directory_group_edge *edges = realloc(round->edges, cap * sizeof *edges);

        if (!edges)
            return no_memory(err);
        round->edges = edges;
        round->edge_cap = cap;
    }
    round->edges[round->edge_count++] = (struct directory_group_edge){ parent, slot };
    return ERR_OK;
}

static enum err_code
add_dn(struct directory_group_round *round, char *text, size_t parent, struct err *err)
{
    size_t directory = round->table.group->nodes[parent].directory;
    struct directory_group_slot *slot = NULL;
    bool is_new = false;
    enum err_code code =
        directory_group_table_get_dn(&round->table, directory, text, &slot, &is_new, err);

    if (code == ERR_OK)
        code = edge_add(round, parent, slot, err);
    if (code == ERR_OK && is_new)
        code = questions_add(
            &round->dns, &(struct directory_group_question){ text, slot, parent, directory }, err);
    return code;
}

/* An address in the form that addresses are compared in; a name without '@' as it is. */
static enum err_code
add_address(struct directory_group_round *round, char *text, size_t parent, struct err *err)
{
    struct directory_group_slot *slot = NULL;
    char formatted[MIME_ADDRESS_SIZE];
    struct err mine = ERR_INIT;
    bool is_new = false, is_name = true;
    enum err_code code = ERR_OK;

    if (strchr(text, '@')) {
        code = mime_address_format(span_str(text), formatted, &mine);
        is_name = code == ERR_OK;
        if (is_name)
            text = formatted;
        else if (code != ERR_PERM && code != ERR_LIMIT)
            return err_set(err, code, "%s", mine.text);
    }
    code = directory_group_table_get_address(&round->table, 'a', text, &slot, &is_new, err);
    if (code == ERR_OK)
        code = edge_add(round, parent, slot, err);
    if (code != ERR_OK || !is_new)
        return code;
    slot->is_name = is_name;
    return questions_add(&round->addresses,
                         &(struct directory_group_question){ text, slot, parent, 0 }, err);
}

enum err_code
directory_group_round_add(struct directory_group_round *round, size_t node, struct err *err)
{
    const struct directory_entry *entry = round->table.group->nodes[node].entry;
    size_t directory = round->table.group->nodes[node].directory;
    enum err_code code = ERR_OK;

    for (char **one = entry->member_dns; code == ERR_OK && one && *one; one++)
        code = add_dn(round, *one, node, err);
    for (char **one = entry->member_addresses; code == ERR_OK && one && *one; one++)
        code = add_address(round, *one, node, err);
    for (char **one = entry->member_urls; code == ERR_OK && one && *one; one++)
        code = questions_add(
            &round->urls, &(struct directory_group_question){ *one, NULL, node, directory }, err);
    return code;
}

/* ---- asking -----------------------------------------------------------------------------------
 */

static void
part_free(struct part *part)
{
    free(part->texts);
    free(part->questions);
}

/* Those of the list that have no answer yet; `directory` SIZE_MAX: of any group. */
static enum err_code
part_new(struct directory_group_questions *questions, size_t directory, struct part *out,
         struct err *err)
{
    *out = (struct part){ .texts = calloc(questions->count + 1, sizeof *out->texts),
                          .questions = calloc(questions->count + 1, sizeof *out->questions) };
    if (!out->texts || !out->questions) {
        part_free(out);
        return no_memory(err);
    }
    for (size_t i = 0; i < questions->count; i++) {
        struct directory_group_question *one = &questions->list[i];

        if ((directory != SIZE_MAX && one->directory != directory) ||
            (one->slot && (one->slot->node >= 0 || !one->slot->is_name)))
            continue;
        out->texts[out->count] = one->text;
        out->questions[out->count++] = one;
    }
    return ERR_OK;
}

typedef enum err_code find_fn(struct directory *directory,
                              const struct directory_questions *questions,
                              struct directory_entries *out, struct err *err);

/* DNs or addresses: answers come in the order of the questions. */
static enum err_code
ask_names(struct directory_group_round *round, struct part *part, find_fn *find, size_t directory,
          struct err *err)
{
    const struct directory_questions questions = { .list = part->texts,
                                                   .count = part->count,
                                                   .deadline_ms = round->deadline_ms };
    struct directory_entries found = { .list = NULL };
    struct err asked = ERR_INIT;
    enum err_code code = ERR_OK;

    if (part->count > 0 &&
        find(round->args->directories[directory], &questions, &found, &asked) != ERR_OK)
        code = round_fail(round, &asked, err);
    for (size_t i = 0; code == ERR_OK && i < found.count && i < part->count; i++) {
        struct directory_group_question *one = part->questions[i];

        if (found.list[i])
            code = directory_group_table_add_entry(&round->table, &found.list[i], directory,
                                                   (ptrdiff_t)one->parent, &one->slot->node, err);
    }
    directory_entries_free(&found);
    return code;
}

/* URLs: an entry says which of them found it. */
static enum err_code
ask_urls(struct directory_group_round *round, struct part *part, size_t directory, size_t limit,
         struct err *err)
{
    const struct directory_questions questions = { .list = part->texts,
                                                   .count = part->count,
                                                   .deadline_ms = round->deadline_ms };
    struct directory_entries found = { .list = NULL };
    struct err asked = ERR_INIT;
    enum err_code code = ERR_OK;

    if (part->count > 0)
        code = directory_find_urls(round->args->directories[directory], &questions, limit, &found,
                                   &asked);
    if (code == ERR_LIMIT)
        code = directory_group_round_fail_size(round, err);
    else if (code != ERR_OK)
        code = round_fail(round, &asked, err);
    for (size_t i = 0; code == ERR_OK && i < found.count; i++) {
        ptrdiff_t node = DIRECTORY_GROUP_NOBODY;
        size_t parent;

        if (!found.list[i])
            continue;
        parent = part->questions[found.list[i]->question % part->count]->parent;
        code = directory_group_table_add_entry(&round->table, &found.list[i], directory,
                                               (ptrdiff_t)parent, &node, err);
        if (code == ERR_OK)
            code = directory_group_table_add_child(&round->table, parent, (size_t)node, err);
    }
    directory_entries_free(&found);
    return code;
}

/* Nobody had an answer: an address is somebody outside, anything else is nobody. */
static enum err_code
settle(struct directory_group_round *round, struct directory_group_questions *questions,
       bool addresses, struct err *err)
{
    for (size_t i = 0; i < questions->count; i++) {
        struct directory_group_question *one = &questions->list[i];
        bool external = addresses && one->slot->is_name && strchr(one->text, '@');
        struct directory_node *node;

        if (one->slot->node >= 0)
            continue;
        if (directory_group_table_add(
                &round->table, external ? DIRECTORY_NODE_EXTERNAL : DIRECTORY_NODE_UNKNOWN,
                one->text, (ptrdiff_t)one->parent, &one->slot->node, err) != ERR_OK)
            return err->code;
        node = &round->table.group->nodes[one->slot->node];
        if (external && !(node->address = strdup(node->name)))
            return no_memory(err);
    }
    return ERR_OK;
}

static enum err_code
ask_all_names(struct directory_group_round *round, struct err *err)
{
    enum err_code code = ERR_OK;
    struct part part;

    for (size_t i = 0; code == ERR_OK && i < round->args->directory_count; i++) {
        code = part_new(&round->dns, i, &part, err);
        if (code != ERR_OK)
            break;
        code = ask_names(round, &part, directory_find_dns, i, err);
        part_free(&part);
    }
    for (size_t i = 0; code == ERR_OK && i < round->args->directory_count; i++) {
        code = part_new(&round->addresses, SIZE_MAX, &part, err);
        if (code != ERR_OK)
            break;
        code = ask_names(round, &part, directory_find_addresses, i, err);
        part_free(&part);
    }
    if (code == ERR_OK)
        code = settle(round, &round->dns, false, err);
    if (code == ERR_OK)
        code = settle(round, &round->addresses, true, err);
    return code;
}

static enum err_code
ask_all_urls(struct directory_group_round *round, size_t bound, struct err *err)
{
    enum err_code code = ERR_OK;
    struct part part;

    for (size_t i = 0; code == ERR_OK && i < round->args->directory_count; i++) {
        size_t count = round->table.group->count;

        code = part_new(&round->urls, i, &part, err);
        if (code != ERR_OK)
            break;
        code = ask_urls(round, &part, i, bound > count ? bound - count : 1, err);
        part_free(&part);
    }
    return code;
}

enum err_code
directory_group_round_ask(struct directory_group_round *round, struct err *err)
{
    size_t bound = 2 * round->args->members + ROUND_EXTRA_NODES;
    enum err_code code = ERR_OK;

    /* Nobody is asked about what would be too much anyway. */
    if (round->table.group->count + round->dns.count + round->addresses.count > bound)
        code = directory_group_round_fail_size(round, err);
    if (code == ERR_OK)
        code = ask_all_names(round, err);
    if (code == ERR_OK)
        code = ask_all_urls(round, bound, err);
    if (code == ERR_OK && round->table.group->count > bound)
        code = directory_group_round_fail_size(round, err);
    for (size_t i = 0; code == ERR_OK && i < round->edge_count; i++)
        code = directory_group_table_add_child(&round->table, round->edges[i].parent,
                                               (size_t)round->edges[i].slot->node, err);
    round->edge_count = 0;
    questions_reset(&round->dns);
    questions_reset(&round->addresses);
    questions_reset(&round->urls);
    return code;
}

void
directory_group_round_deinit(struct directory_group_round *round)
{
    questions_reset(&round->dns);
    questions_reset(&round->addresses);
    questions_reset(&round->urls);
    free(round->edges);
    directory_group_table_deinit(&round->table);
}
