/*
 * From questions to search filters: many addresses or names in one OR filter, every value escaped.
 *                                                                              RFC 4515
 *
 * Threads: no state.
 */
#ifndef DIRECTORY_LDAP_QUESTION_H
#define DIRECTORY_LDAP_QUESTION_H

#include "directory/directory.h"
#include "directory/schema.h"
#include "util/buf.h"

/* slapd ends an anonymous session at a request of 256 KiB. */
enum { DIRECTORY_LDAP_FILTER_BYTES = 100 * 1024 };

/* Appends a filter for one question. */
typedef enum err_code directory_ldap_question_fn(const struct directory_schema *schema,
                                                 const char *question, struct buf *out,
                                                 struct err *err);

/* An address; or, without '@', the name of an alias or a login. */
enum err_code directory_ldap_question_address(const struct directory_schema *schema,
                                              const char *address, struct buf *out,
                                              struct err *err);
enum err_code directory_ldap_question_dn(const struct directory_schema *schema, const char *dn,
                                         struct buf *out, struct err *err);
enum err_code directory_ldap_question_login(const struct directory_schema *schema,
                                            const char *login, struct buf *out, struct err *err);

/* "(|...)" of as many of the `count` questions as fit (at least one, at most
 * DIRECTORY_LIMIT_BATCH); *taken says how many. The filter is returned: free(). ERR_LIMIT: one
 * question is too long. */
ERR_CHECKED enum err_code directory_ldap_question_format(const struct directory_schema *schema,
                                                         directory_ldap_question_fn *one,
                                                         const char *const *questions, size_t count,
                                                         size_t *taken, char **out,
                                                         struct err *err);

#endif
