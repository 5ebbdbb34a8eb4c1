/*
 * An entry of a directory as its attributes say: kind, addresses, logins, members, and certificates
 * as bytes until somebody asks for them.         RFC 4519, RFC 4523, RFC 2798; MS proxyAddresses
 *
 * Parsing a certificate costs as much as all the rest of an entry; a file of 100,000 people would
 * take a quarter of a minute at every reload. So an entry's certificates are parsed when it is
 * first found, and kept.
 *
 * Threads: get needs the caller's lock; the rest is immutable.
 */
#ifndef DIRECTORY_PERSON_H
#define DIRECTORY_PERSON_H

#include "directory/directory.h"
#include "directory/record.h"
#include "directory/schema.h"

struct directory_person {
    enum directory_kind kind;
    char *dn;
    char **addresses; /* formatted, primary first */
    size_t address_count;
    char **logins; /* of users; of a nisMailAlias its cn */
    size_t login_count;
    bool is_alias;                                        /* a nisMailAlias */
    char **member_dns, **member_addresses, **member_urls; /* of groups */
    size_t member_dn_count, member_address_count, member_url_count;
    struct span *values; /* certificates as they stood there, userSMIMECertificate first */
    size_t value_count;
    bool parsed; /* `certificates` and `bad` are filled */
    struct pki_certificates certificates;
    size_t bad;
    size_t question; /* of find_urls: the one that found it */
};

/* Makes an entry of a record, which may have neither address nor login: a member without address is
 * not a member that is not there. ERR_PERM with "file:line:" for an address that is none,
 * ERR_LIMIT, ERR_NOMEM. */
ERR_CHECKED enum err_code directory_person_new(const struct directory_schema *schema,
                                               const struct directory_record *record,
                                               struct directory_person **out, struct err *err);
void directory_person_free(struct directory_person **person);

/* The entry as the directory hands it out, returned: directory_entry_free. */
ERR_CHECKED enum err_code directory_person_get(struct directory_person *person,
                                               struct directory_entry **out, struct err *err);

#endif
