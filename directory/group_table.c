#include "directory/group_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "directory/dn.h"

/* Running out of memory is an error like any other, not the end of the process. */
#define HASH_NONFATAL_OOM 1
#define uthash_nonfatal_oom(entry) ((entry)->broken = true)
#include <uthash.h>

enum { TABLE_KEY = DIRECTORY_DN_LIMIT + 64 };

struct directory_group_entry {
    struct directory_group_slot slot;
    bool broken; /* the table could not take it */
    UT_hash_handle hh;
    char key[];
};

static enum err_code
no_memory(struct err *err)
{
    return err_set(err, ERR_NOMEM, "no memory to expand a group");
}

void
directory_group_table_deinit(struct directory_group_table *table)
{
    struct directory_group_entry *entry, *next;

    HASH_ITER(hh, table->slots, entry, next)
    {
        HASH_DEL(table->slots, entry);
        free(entry);
    }
}

static enum err_code
table_get(struct directory_group_table *table, const char *key, struct directory_group_slot **out,
          bool *is_new, struct err *err)
{
    struct directory_group_entry *entry;
    size_t n = strlen(key);

    HASH_FIND(hh, table->slots, key, n, entry);
    *is_new = !entry;
    if (!entry) {
        entry = calloc(1, sizeof *entry + n + 1);
        if (!entry)
            return no_memory(err);
        entry->slot =
            (struct directory_group_slot){ .node = DIRECTORY_GROUP_NOBODY, .is_name = true };
        memcpy(entry->key, key, n + 1);
        HASH_ADD(hh, table->slots, key, n, entry);
        if (entry->broken) {
            free(entry);
            return no_memory(err);
        }
    }
    *out = &entry->slot;
    return ERR_OK;
}

static void
table_key(char kind, size_t directory, struct span text, char *out)
{
    size_t n = (size_t)snprintf(out, TABLE_KEY, "%c%zu:", kind, directory);

    for (size_t i = 0; i < text.n && n < TABLE_KEY - 1; i++, n++)
        out[n] =
            text.p[i] >= 'A' && text.p[i] <= 'Z' ? (char)(text.p[i] - 'A' + 'a') : (char)text.p[i];
    out[n] = '\0';
}

enum err_code
directory_group_table_get_dn(struct directory_group_table *table, size_t directory, const char *dn,
                             struct directory_group_slot **out, bool *is_new, struct err *err)
{
    struct buf form = BUF_INIT(DIRECTORY_DN_LIMIT);
    struct err mine = ERR_INIT;
    enum err_code code = directory_dn_format(span_str(dn), &form, &mine);
    bool is_name = code == ERR_OK;
    char key[TABLE_KEY];

    if (code == ERR_OK || code == ERR_PERM || code == ERR_LIMIT) {
        /* What is no DN by the grammar is known by its own octets, and nobody is asked for it. */
        table_key(is_name ? 'd' : 'r', directory, is_name ? buf_span(&form) : span_str(dn), key);
        code = table_get(table, key, out, is_new, err);
    } else {
        code = err_set(err, code, "%s", mine.text);
    }
    if (code == ERR_OK)
        (*out)->is_name = is_name;
    buf_free(&form);
    return code;
}

enum err_code
directory_group_table_get_address(struct directory_group_table *table, char kind,
                                  const char *address, struct directory_group_slot **out,
                                  bool *is_new, struct err *err)
{
    char key[TABLE_KEY];

    table_key(kind, 0, span_str(address), key);
    return table_get(table, key, out, is_new, err);
}

/* ---- nodes ------------------------------------------------------------------------------------
 */

enum err_code
directory_group_table_add(struct directory_group_table *table, enum directory_node_kind kind,
                          const char *name, ptrdiff_t parent, ptrdiff_t *out, struct err *err)
{
    struct directory_group *group = table->group;
    struct directory_node *nodes;
    char *copy;

    if (group->count == group->cap) {
        size_t cap = group->cap ? 2 * group->cap : 16;

        nodes = realloc(group->nodes, cap * sizeof *nodes);
        if (!nodes)
            return no_memory(err);
        group->nodes = nodes;
        group->cap = cap;
    }
    copy = strdup(name);
    if (!copy)
        return no_memory(err);
    group->nodes[group->count] = (struct directory_node){
        .kind = kind, .name = copy, .depth = parent < 0 ? 1 : group->nodes[parent].depth + 1
    };
    *out = (ptrdiff_t)group->count++;
    return ERR_OK;
}

static enum directory_node_kind
kind_of(const struct directory_entry *entry)
{
    switch (entry->kind) {
    case DIRECTORY_GROUP:
        return DIRECTORY_NODE_GROUP;
    case DIRECTORY_CONTACT:
        return DIRECTORY_NODE_CONTACT;
    case DIRECTORY_USER:
        break;
    }
    return DIRECTORY_NODE_USER;
}

enum err_code
directory_group_table_add_entry(struct directory_group_table *table, struct directory_entry **entry,
                                size_t directory, ptrdiff_t parent, ptrdiff_t *out, struct err *err)
{
    struct directory_group_slot *slot = NULL;
    struct directory_node *node;
    bool is_new = false;
    enum err_code code =
        directory_group_table_get_dn(table, directory, (*entry)->dn, &slot, &is_new, err);

    if (code == ERR_OK && slot->node == DIRECTORY_GROUP_NOBODY) {
        code = directory_group_table_add(table, kind_of(*entry), (*entry)->dn, parent, &slot->node,
                                         err);
        if (code == ERR_OK) {
            node = &table->group->nodes[slot->node];
            node->entry = *entry;
            node->directory = directory;
            node->address = node->entry->primary ? strdup(node->entry->primary) : NULL;
            if (node->entry->primary && !node->address)
                code = no_memory(err);
            *entry = NULL;
        }
    }
    if (code == ERR_OK)
        *out = slot->node;
    directory_entry_free(entry);
    return code;
}

enum err_code
directory_group_table_add_child(struct directory_group_table *table, size_t parent, size_t child,
                                struct err *err)
{
    struct directory_node *node = &table->group->nodes[parent];

    /* Doubles at powers of two. */
    if ((node->child_count & (node->child_count - 1)) == 0) {
        size_t cap = node->child_count ? 2 * node->child_count : 1;
        size_t *grown = realloc(node->children, cap * sizeof *grown);

        if (!grown)
            return no_memory(err);
        node->children = grown;
    }
    node->children[node->child_count++] = child;
    return ERR_OK;
}
