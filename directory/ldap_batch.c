#include "directory/ldap_batch.h"

#include <stdlib.h>

#include "util/clock.h"

enum {
    LIMIT_PER_QUESTION = 20, /* entries with one address */
    LIMIT_RESERVE = 500,
    LIMIT_SEARCHES = 2000, /* of one call; each has up to 500 questions */
};

static enum err_code
out_of_memory(struct err *err)
{
    return err_set(err, ERR_NOMEM, "no memory for an answer of a directory");
}

/* ---- servers --------------------------------------------------------------------------------- */

static enum directory_ldap_verdict
judge(enum err_code code, bool is_broken, bool was_aged)
{
    if (code == ERR_OK)
        return DIRECTORY_LDAP_VERDICT_GOOD;
    if (!is_broken)
        return DIRECTORY_LDAP_VERDICT_DROP;
    return was_aged ? DIRECTORY_LDAP_VERDICT_AGED : DIRECTORY_LDAP_VERDICT_FAILED;
}

/* One connection. *again: another one may do better. */
static enum err_code
run_once(const struct directory_ldap_batch *batch, struct directory_ldap_search *searches,
         size_t count, unsigned *tried, bool *may_age, bool *again, struct err *err)
{
    struct directory_ldap_connection *connection = NULL;
    unsigned before = *tried;
    bool is_broken = false;
    enum err_code code =
        directory_ldap_pool_take(batch->pool, batch->deadline_ms, tried, &connection, err);
    *again = *tried != before;
    batch->counts->failures += *again;
    if (code != ERR_OK)
        return code;
    bool is_fresh = !connection->was_used;
    batch->counts->connects += is_fresh;
    const struct directory_ldap_run run = {
        .connection = connection,
        .attributes = batch->attributes,
        .page_size = batch->page_size,
        .deadline_ms = batch->deadline_ms,
        .round_ms = batch->request_ms,
        .counts = batch->counts,
    };
    size_t server = connection->server;
    int64_t start_ms = clock_monotonic_ms();
    code = directory_ldap_search_run(&run, searches, count, &is_broken, err);
    /* A kept connection that ends at once had ended before; one that is silent has a server that
     * is. */
    bool was_aged =
        !is_fresh && *may_age && clock_monotonic_ms() - start_ms < batch->request_ms / 2;
    enum directory_ldap_verdict verdict = judge(code, is_broken, was_aged);
    directory_ldap_pool_give(batch->pool, &connection, verdict, err);
    *again = code == ERR_TEMP && is_broken;
    if (verdict == DIRECTORY_LDAP_VERDICT_FAILED) {
        *tried |= 1u << server;
        batch->counts->failures++;
        err_prefix(err, "%s", directory_ldap_pool_get(batch->pool, server)->name);
    } else if (verdict == DIRECTORY_LDAP_VERDICT_AGED) {
        *may_age = false;
    }
    return code;
}

enum err_code
directory_ldap_batch_run(const struct directory_ldap_batch *batch,
                         struct directory_ldap_search *searches, size_t count, struct err *err)
{
    unsigned tried = 0;
    bool again = true, may_age = true;
    struct err last = ERR_INIT;
    enum err_code code = ERR_TEMP;
    while (again) {
        struct err mine = ERR_INIT;
        if (clock_monotonic_ms() >= batch->deadline_ms) {
            err_set(&last, ERR_TEMP, "no time left");
            break;
        }
        code = run_once(batch, searches, count, &tried, &may_age, &again, &mine);
        if (code == ERR_OK)
            return ERR_OK;
        /* No server is left: what the last one said is the better reason. */
        if (code == ERR_NOTFOUND && last.code != ERR_OK)
            break;
        last = mine;
    }
    code = last.code == ERR_NOTFOUND ? ERR_TEMP : last.code;
    return err_set_reason(err, code, code == ERR_TEMP ? "directory-unreachable" : NULL, "%s",
                          last.text);
}

/* ---- people ---------------------------------------------------------------------------------- */

void
directory_people_free(struct directory_people *people)
{
    for (size_t i = 0; i < people->count; i++)
        directory_person_free(&people->list[i]);
    free(people->list);
    *people = (struct directory_people){ .list = NULL };
}

enum err_code
directory_people_append(struct directory_people *people, const struct directory_schema *schema,
                        const struct directory_ldap_search *search, struct err *err)
{
    enum err_code code = ERR_OK;
    for (size_t i = 0; code == ERR_OK && i < search->count; i++) {
        const struct directory_ldap_found *found = &search->list[i];
        const struct directory_record record = {
            .dn = found->dn,
            .list = found->attributes.list,
            .count = found->attributes.count,
        };
        if (people->count == people->cap) {
            size_t cap = people->cap ? 2 * people->cap : 16;
            struct directory_person **list =
                realloc(people->list, cap * sizeof(struct directory_person *));
            if (!list)
                return out_of_memory(err);
            people->list = list;
            people->cap = cap;
        }
        code = directory_person_new(schema, &record, &people->list[people->count], err);
        people->count += code == ERR_OK;
    }
    return code;
}

/* ---- batches --------------------------------------------------------------------------------- */

/* Consecutive questions that make one search. */
struct piece {
    size_t from, count;
    char *filter;
};

struct pieces {
    struct piece *list;
    size_t count, cap;
};

static void
pieces_free(struct pieces *pieces)
{
    for (size_t i = 0; i < pieces->count; i++)
        free(pieces->list[i].filter);
    free(pieces->list);
    *pieces = (struct pieces){ .list = NULL };
}

struct ask {
    const struct directory_ldap_batch *batch;
    directory_ldap_question_fn *one;
    const char *const *questions;
    struct err *err;
};

/* Cuts `count` questions from `from` into pieces. */
static enum err_code
cut(const struct ask *ask, size_t from, size_t count, struct pieces *pieces)
{
    enum err_code code = ERR_OK;
    while (code == ERR_OK && count > 0) {
        struct piece piece = { .from = from };
        if (pieces->count == LIMIT_SEARCHES)
            return err_set(ask->err, ERR_LIMIT, "too many questions to a directory at once");
        if (pieces->count == pieces->cap) {
            size_t cap = pieces->cap ? 2 * pieces->cap : 4;
            struct piece *list = realloc(pieces->list, cap * sizeof *list);
            if (!list)
                return out_of_memory(ask->err);
            pieces->list = list;
            pieces->cap = cap;
        }
        code = directory_ldap_question_format(ask->batch->schema, ask->one, ask->questions + from,
                                              count, &piece.count, &piece.filter, ask->err);
        if (code == ERR_OK)
            pieces->list[pieces->count++] = piece;
        from += piece.count;
        count -= piece.count;
    }
    return code;
}

enum err_code
directory_ldap_batch_check(const struct directory_ldap_batch *batch,
                           const struct directory_ldap_search *search, struct err *err)
{
    if (search->is_referred && !batch->schema->ignores_references)
        return err_set_reason(err, ERR_TEMP, "directory-unreachable",
                              "the server refers to another one for a part of %.200s, and no "
                              "reference is followed",
                              search->base);
    return ERR_OK;
}

/* Takes what a piece found, or cuts it in two. */
static enum err_code
take_piece(const struct ask *ask, const struct piece *piece,
           const struct directory_ldap_search *search, struct directory_people *people,
           struct pieces *next)
{
    enum err_code code;
    switch (search->outcome) {
    case DIRECTORY_LDAP_ANSWERED:
        code = directory_ldap_batch_check(ask->batch, search, ask->err);
        return code == ERR_OK
                   ? directory_people_append(people, ask->batch->schema, search, ask->err)
                   : code;
    case DIRECTORY_LDAP_NO_OBJECT:
        return err_set_reason(ask->err, ERR_TEMP, "directory-unreachable",
                              "the base \"%.200s\" is not in the directory", ask->batch->base);
    default:
        break;
    }
    if (piece->count == 1)
        return err_set(ask->err, ERR_LIMIT, "too many entries for %.200s",
                       ask->questions[piece->from]);
    size_t half = piece->count / 2;
    code = cut(ask, piece->from, half, next);
    return code == ERR_OK ? cut(ask, piece->from + half, piece->count - half, next) : code;
}

static enum err_code
run_pieces(const struct ask *ask, const struct pieces *pieces, struct directory_people *people,
           struct pieces *next)
{
    struct directory_ldap_search *searches = calloc(pieces->count, sizeof *searches);
    if (!searches)
        return out_of_memory(ask->err);
    for (size_t i = 0; i < pieces->count; i++)
        searches[i] = (struct directory_ldap_search){
            .base = ask->batch->base,
            .filter = pieces->list[i].filter,
            .scope = DIRECTORY_SCOPE_SUB,
            .can_halve = pieces->list[i].count > 1,
            .limit = pieces->list[i].count * LIMIT_PER_QUESTION + LIMIT_RESERVE,
        };
    enum err_code code = directory_ldap_batch_run(ask->batch, searches, pieces->count, ask->err);
    for (size_t i = 0; code == ERR_OK && i < pieces->count; i++)
        code = take_piece(ask, &pieces->list[i], &searches[i], people, next);
    for (size_t i = 0; i < pieces->count; i++)
        directory_ldap_search_reset(&searches[i]);
    free(searches);
    return code;
}

enum err_code
directory_ldap_batch_ask(const struct directory_ldap_batch *batch, directory_ldap_question_fn *one,
                         const char *const *questions, size_t count,
                         struct directory_people *people, struct err *err)
{
    const struct ask ask = { .batch = batch, .one = one, .questions = questions, .err = err };
    struct pieces pieces = { .list = NULL };
    enum err_code code = cut(&ask, 0, count, &pieces);
    while (code == ERR_OK && pieces.count > 0) {
        struct pieces next = { .list = NULL };
        code = run_pieces(&ask, &pieces, people, &next);
        pieces_free(&pieces);
        pieces = next;
    }
    pieces_free(&pieces);
    return code;
}
