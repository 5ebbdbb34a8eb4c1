/*
 * What the files of the LDAP backend share.
 *
 * Threads: immutable but for the pool and the counts, which guard themselves.
 */
#ifndef DIRECTORY_LDAP_PRIVATE_H
#define DIRECTORY_LDAP_PRIVATE_H

#include "directory/ldap.h"
#include "directory/ldap_batch.h"

struct directory_ldap {
    struct directory head;
    struct directory_schema *schema;
    struct directory_ldap_pool *pool;
    char *base;
    char *base_form;   /* as directory_dn_format writes it */
    char **attributes; /* of an entry */
    size_t page_size;
    int64_t request_ms;
    struct directory_ldap_counts counts;
};

/* A batch for the backend's own base and attributes. */
struct directory_ldap_batch directory_ldap_batch_of(struct directory_ldap *ldap,
                                                    int64_t deadline_ms);

/* Operations of the backend (directory/directory.h). */
enum err_code directory_ldap_find_dns(struct directory *directory,
                                      const struct directory_questions *questions,
                                      struct directory_entries *out, struct err *err);
enum err_code directory_ldap_find_send_as(struct directory *directory,
                                          const struct directory_entry *person, const char *address,
                                          int64_t deadline_ms, struct err *err);
enum err_code directory_ldap_get_url(struct directory *directory, struct span text,
                                     int64_t deadline_ms, struct buf *out, struct err *err);

/* ---- questions and people -------------------------------------------------------------------- */

/* A question with the best person so far. */
struct directory_ldap_slot {
    const char *text;
    size_t question;
    struct directory_person *best; /* borrowed */
};

/* Sorts by text. */
void directory_ldap_slots_init(struct directory_ldap_slot *slots, size_t count);
/* `person` answers to `text`: user before contact before group, and then by name, so that the
 * answer does not depend on the order in which a server finds; an alias is what its name means
 * first. */
void directory_ldap_slots_set(struct directory_ldap_slot *slots, size_t count, const char *text,
                              struct directory_person *person);
/* Answers in the order of the questions: best[i] (NULL: not there) to question i. */
ERR_CHECKED enum err_code directory_ldap_answer(struct directory_person *const *best, size_t count,
                                                struct directory_entries *out, struct err *err);

#endif
