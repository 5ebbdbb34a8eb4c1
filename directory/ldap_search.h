/*
 * Searches over one connection, many at once: sent together, waited for together, in rounds.
 *                                                       RFC 4511 4.5, RFC 2696;
 * MS-ADTS 3.1.1.3.1.3.3
 *
 * A round sends everything that can be asked now (at most a window of it unanswered: servers end
 * sessions that ask more, slapd beyond 100) and collects every answer. What an answer makes
 * necessary (the next page, the rest of a ranged attribute) is the next round. A round is one wait,
 * and it is counted: that is the price of a network, not the number of searches.
 *
 * A server that stops at its size limit has not answered: what it sent is thrown away, and the
 * search is marked TOO_MANY (its owner halves it), or read in pages if it cannot be halved. Pages
 * go one search after the other, since slapd keeps one cookie for a connection.
 *
 * Entries are copies. Bounded: entries of a search, members of an entry, octets of a message.
 *
 * Threads: one, with the connection.
 */
#ifndef DIRECTORY_LDAP_SEARCH_H
#define DIRECTORY_LDAP_SEARCH_H

#include "directory/ldap_connection.h"
#include "directory/record.h"
#include "directory/url.h"

enum { DIRECTORY_LDAP_WINDOW = 50 };

enum directory_ldap_outcome {
    DIRECTORY_LDAP_UNKNOWN,   /* not answered yet */
    DIRECTORY_LDAP_ANSWERED,  /* whole */
    DIRECTORY_LDAP_NO_OBJECT, /* the base is not there, or is no name */
    DIRECTORY_LDAP_TOO_MANY,  /* the server's size limit; nothing is kept */
    DIRECTORY_LDAP_OVER,      /* more than `limit` entries; nothing is kept */
};

struct directory_ldap_found {
    char *dn;
    struct directory_attributes attributes; /* complete, without ranges */
};

struct directory_ldap_search {
    const char *base, *filter; /* borrowed */
    enum directory_scope scope;
    bool can_halve; /* the owner halves it; else pages are read */
    size_t limit;   /* entries */
    /* The answer. */
    enum directory_ldap_outcome outcome;
    bool is_referred; /* a part of it is said to be on another server */
    struct directory_ldap_found *list;
    size_t count, cap;
};

void directory_ldap_search_reset(struct directory_ldap_search *search); /* without its answer */

struct directory_ldap_counts {
    _Atomic uint64_t waits, searches, entries, connects, failures;
};

struct directory_ldap_run {
    struct directory_ldap_connection *connection;
    char *const *attributes; /* asked for; NULL-terminated */
    size_t page_size;
    int64_t deadline_ms;
    int64_t round_ms; /* longest time for the answers of one round */
    struct directory_ldap_counts *counts;
};

/* ERR_OK: every outcome is set. Else the connection is not to be used again, since answers may
 * still come. ERR_TEMP: no answer; *is_broken: the server failed, and another one may do better.
 * ERR_LIMIT: an entry with more members than DIRECTORY_LIMIT_MEMBERS. ERR_PERM: a filter that is
 * none. ERR_NOMEM. */
ERR_CHECKED enum err_code directory_ldap_search_run(const struct directory_ldap_run *run,
                                                    struct directory_ldap_search *searches,
                                                    size_t count, bool *is_broken, struct err *err);

#endif
