/*
 * A list of searches, answered by whichever server can; and entries matched to questions.
 *
 * Threads: any; what is passed belongs to the caller.
 */
#ifndef DIRECTORY_LDAP_BATCH_H
#define DIRECTORY_LDAP_BATCH_H

#include "directory/ldap_pool.h"
#include "directory/ldap_question.h"
#include "directory/ldap_search.h"
#include "directory/person.h"

struct directory_ldap_batch {
    struct directory_ldap_pool *pool;
    const struct directory_schema *schema;
    const char *base;
    char *const *attributes;
    size_t page_size;
    int64_t request_ms;
    int64_t deadline_ms;
    struct directory_ldap_counts *counts;
};

/* Asks one server after the other until one has answered everything. ERR_TEMP: none did in time;
 * the rest as directory_ldap_search_run. */
ERR_CHECKED enum err_code directory_ldap_batch_run(const struct directory_ldap_batch *batch,
                                                   struct directory_ldap_search *searches,
                                                   size_t count, struct err *err);

struct directory_people {
    struct directory_person **list;
    size_t count, cap;
};
void directory_people_free(struct directory_people *people);

/* Appends the entries of a search as people. */
ERR_CHECKED enum err_code directory_people_append(struct directory_people *people,
                                                  const struct directory_schema *schema,
                                                  const struct directory_ldap_search *search,
                                                  struct err *err);

/* Searches `one` for all questions below the base, in batches, halved where the server's size limit
 * strikes, and appends everything that was found. ERR_TEMP also: the base is not there, or a
 * reference counts (schema); ERR_LIMIT: one question alone finds too much. */
ERR_CHECKED enum err_code directory_ldap_batch_ask(const struct directory_ldap_batch *batch,
                                                   directory_ldap_question_fn *one,
                                                   const char *const *questions, size_t count,
                                                   struct directory_people *people,
                                                   struct err *err);

/* What a finished search says that is no answer: ERR_TEMP for a reference to another server. */
enum err_code directory_ldap_batch_check(const struct directory_ldap_batch *batch,
                                         const struct directory_ldap_search *search,
                                         struct err *err);

#endif
