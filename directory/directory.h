/*
 * Who people are: one question per address.            RFC 4519, RFC 4523, RFC 2798; MS
 * proxyAddresses
 *
 * A directory answers: who has this address, or this login; what is the primary SMTP address; is it
 * a user, a contact or a group; which certificates are there. Answers are found (ERR_OK), not there
 * (ERR_NOTFOUND) or could not ask (ERR_TEMP), and nobody mixes them up.
 *
 * The vtable exists because there are two real backends: ldif (a file, the embedded default) and
 * ldap.
 *
 * Threads: any.
 */
#ifndef DIRECTORY_DIRECTORY_H
#define DIRECTORY_DIRECTORY_H

#include "conf/conf.h"
#include "pki/certificate.h"

enum directory_kind { DIRECTORY_USER, DIRECTORY_CONTACT, DIRECTORY_GROUP };

enum { DIRECTORY_LIMIT_ADDRESSES = 1000, DIRECTORY_LIMIT_CERTIFICATES = 200 };

struct directory_entry {
    enum directory_kind kind;
    char *dn;
    char *primary;    /* primary SMTP address in mime_address_format: the "SMTP:" value of
                         proxyAddresses, else the    first mail value; NULL: none */
    char **addresses; /* all of them, formatted, primary first; NULL-terminated */
    struct pki_certificates
        certificates;        /* userSMIMECertificate, userCertificate[;binary]; unjudged */
    size_t bad_certificates; /* values that could not be parsed */
};

void directory_entry_free(struct directory_entry **entry);

struct directory;

struct directory_ops {
    const char *name; /* "ldif", "ldap" */
    /* `address` is formatted. Several entries with that address: user before contact before group.
     * *out is returned: directory_entry_free. */
    enum err_code (*find_address)(struct directory *directory, const char *address,
                                  struct directory_entry **out, struct err *err);
    enum err_code (*find_login)(struct directory *directory, const char *login,
                                struct directory_entry **out, struct err *err);
    void (*free)(struct directory *directory);
};

/* The head of a backend's own struct (first member). */
struct directory {
    const struct directory_ops *ops;
    char *name; /* of the section: directory "name" */
};

/* Makes the backend that the section asks for. */
ERR_CHECKED enum err_code directory_new(const struct conf_directory *conf, struct directory **out,
                                        struct err *err);
void directory_free(struct directory **directory);

ERR_CHECKED enum err_code directory_find_address(struct directory *directory, const char *address,
                                                 struct directory_entry **out, struct err *err);
ERR_CHECKED enum err_code directory_find_login(struct directory *directory, const char *login,
                                               struct directory_entry **out, struct err *err);

/* Backend constructors. */
ERR_CHECKED enum err_code directory_ldif_new(const struct conf_directory *conf,
                                             struct directory **out, struct err *err);

#endif
