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
#include "util/buf.h"

enum directory_kind { DIRECTORY_USER, DIRECTORY_CONTACT, DIRECTORY_GROUP };

enum {
    DIRECTORY_LIMIT_ADDRESSES = 1000,
    DIRECTORY_LIMIT_CERTIFICATES = 200,
    DIRECTORY_LIMIT_MEMBERS = 100000, /* of one group, in one attribute */
    DIRECTORY_LIMIT_BATCH = 500,      /* questions of one search; backends cut larger ones */
};

/* Immutable once it was handed out: shared and counted. */
struct directory_entry {
    _Atomic unsigned others; /* references beside the first one; private */
    enum directory_kind kind;
    char *dn;
    char *primary;    /* primary SMTP address in mime_address_format: the "SMTP:" value of
                         proxyAddresses, else the first mail value; NULL: none */
    char **addresses; /* all of them, formatted, primary first; NULL-terminated */
    struct pki_certificates
        certificates;        /* userSMIMECertificate, userCertificate[;binary]; unjudged */
    size_t bad_certificates; /* values that could not be parsed */
    size_t question;         /* find_urls: the first of the questions that found it */
    /* Of a group, complete (ranges are followed): NULL-terminated, or NULL. */
    char **member_dns;       /* member, uniqueMember (without its UID) */
    char **member_addresses; /* rfc822MailMember: an address, or a name of the same directory */
    char **member_urls;      /* memberURL: ldap:///base??scope?filter */
};

struct directory_entry *directory_entry_add1(struct directory_entry *entry);
void directory_entry_free(struct directory_entry **entry);

struct directory;

/* Several questions of one kind at once: pipelined and batched by the backend, one wait for all. */
struct directory_questions {
    const char *const *list;
    size_t count;
    int64_t deadline_ms; /* of clock_monotonic_ms; then ERR_TEMP */
};

/* `list[i]` answers question i, NULL: not there. Freed with directory_entries_free. */
struct directory_entries {
    struct directory_entry **list;
    size_t count, cap;
};
void directory_entries_free(struct directory_entries *entries);
/* For backends: `entry` (NULL: not there) is taken on success. */
ERR_CHECKED enum err_code directory_entries_append(struct directory_entries *entries,
                                                   struct directory_entry *entry, struct err *err);

/* Since it was made. */
struct directory_counts {
    uint64_t waits;    /* for servers; requests that are waited for together count once */
    uint64_t searches; /* sent */
    uint64_t entries;  /* received */
    uint64_t connects; /* connections made */
    uint64_t failures; /* of servers */
    uint64_t hits, misses, stale; /* answers kept, asked for, used beyond their life */
};

struct directory_ops {
    const char *name; /* "ldif", "ldap" */
    /* `list` holds formatted addresses, or names without '@' as rfc822MailMember has them: the cn
     * of a nisMailAlias, else a login. Several entries with one address: user before contact before
     * group. ERR_OK with NULLs for those that are not there; ERR_TEMP: could not ask, and
     * nothing is answered. */
    enum err_code (*find_addresses)(struct directory *directory,
                                    const struct directory_questions *questions,
                                    struct directory_entries *out, struct err *err);
    /* By distinguished name. */
    enum err_code (*find_dns)(struct directory *directory,
                              const struct directory_questions *questions,
                              struct directory_entries *out, struct err *err);
    /* Everything that the memberURLs find, in one list without NULLs. ERR_PERM: not a URL that we
     * ask (its host is ignored). ERR_LIMIT: more than `limit` entries. */
    enum err_code (*find_urls)(struct directory *directory,
                               const struct directory_questions *questions, size_t limit,
                               struct directory_entries *out, struct err *err);
    enum err_code (*find_login)(struct directory *directory, const char *login, int64_t deadline_ms,
                                struct directory_entry **out, struct err *err);
    /* May `person` send as `address` (an attribute of the owner that names him, or a filter)?
     * ERR_OK: yes, ERR_NOTFOUND: no, ERR_TEMP. */
    enum err_code (*find_send_as)(struct directory *directory, const struct directory_entry *person,
                                  const char *address, int64_t deadline_ms, struct err *err);
    /* The value of an attribute at a distinguished name, for ldap:/// URLs of CRLs and issuers;
     * NULL: the backend has none. Appends to `out`. ERR_OK, ERR_NOTFOUND, ERR_TEMP, ERR_PERM (not a
     * URL that we ask). */
    enum err_code (*get_url)(struct directory *directory, struct span url, int64_t deadline_ms,
                             struct buf *out, struct err *err);
    void (*get_counts)(struct directory *directory, struct directory_counts *out); /* or NULL */
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

/* As the operations above; the answers are checked to be whole. */
ERR_CHECKED enum err_code directory_find_addresses(struct directory *directory,
                                                   const struct directory_questions *questions,
                                                   struct directory_entries *out, struct err *err);
ERR_CHECKED enum err_code directory_find_dns(struct directory *directory,
                                             const struct directory_questions *questions,
                                             struct directory_entries *out, struct err *err);
ERR_CHECKED enum err_code directory_find_urls(struct directory *directory,
                                              const struct directory_questions *questions,
                                              size_t limit, struct directory_entries *out,
                                              struct err *err);
/* One address: ERR_OK, ERR_NOTFOUND, ERR_TEMP. */
ERR_CHECKED enum err_code directory_find_address(struct directory *directory, const char *address,
                                                 int64_t deadline_ms, struct directory_entry **out,
                                                 struct err *err);
ERR_CHECKED enum err_code directory_find_login(struct directory *directory, const char *login,
                                               int64_t deadline_ms, struct directory_entry **out,
                                               struct err *err);
ERR_CHECKED enum err_code directory_find_send_as(struct directory *directory,
                                                 const struct directory_entry *person,
                                                 const char *address, int64_t deadline_ms,
                                                 struct err *err);

ERR_CHECKED enum err_code directory_get_url(struct directory *directory, struct span url,
                                            int64_t deadline_ms, struct buf *out, struct err *err);
void directory_get_counts(struct directory *directory, struct directory_counts *out);

/* Backend constructors. */
ERR_CHECKED enum err_code directory_ldif_new(const struct conf_directory *conf,
                                             struct directory **out, struct err *err);
ERR_CHECKED enum err_code directory_ldap_new(const struct conf_directory *conf,
                                             struct directory **out, struct err *err);

#endif
