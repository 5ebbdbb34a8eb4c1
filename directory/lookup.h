/*
 * Certificates for an address: every candidate judged before one is chosen.      RFC 8550 2.3, 4
 *
 * Sources in the order of the configuration (lookup_order): our own keyring (colleagues), the
 * certificate folders, what was harvested from mail, each directory.
 * Every candidate is judged: leaf rules for the use and the address, then path and revocation. The
 * best of the first source that has a valid one wins (valid, newest). The reasons of the others are
 * kept for `smimectl lookup` and for the reply. When nothing is valid, a source that could not be
 * asked, or a candidate whose revocation could not be asked, makes the answer ERR_TEMP: never "no
 * certificate".
 *
 * A directory vouches that an address is another name of a person: a certificate of his primary
 * SMTP address, in the directory or held here, is then good for mail to that address too.
 *
 * Threads: any; the snapshot is immutable.
 */
#ifndef DIRECTORY_LOOKUP_H
#define DIRECTORY_LOOKUP_H

#include "directory/group.h"
#include "directory/harvest.h"
#include "pki/keyring.h"
#include "pki/path.h"

struct directory_lookup; /* the sources, shared and counted */

struct directory_lookup_sources {
    struct pki_keyring *keyring;            /* a reference is added */
    const char *const *certificate_folders; /* loaded here; NULL-terminated or NULL */
    struct directory_harvest *harvest;      /* a reference is added; may be NULL */
    struct directory *const *directories;   /* taken on success */
    size_t directory_count;
    const char *const *order; /* "keys", "files", "harvested", "directories", or "directory-first"
                                 alone, which is directories keys files harvested; what is left out
                                 is not asked for recipients; NULL or empty: as above */
};

ERR_CHECKED enum err_code directory_lookup_new(const struct directory_lookup_sources *sources,
                                               struct directory_lookup **out, struct err *err);
struct directory_lookup *directory_lookup_add1(struct directory_lookup *lookup);
void directory_lookup_free(struct directory_lookup **lookup);

/* What the directories said about an address: those before `directory` that they do not know it
 * (or, `temp`, that one of them could not be asked), that one the entry. */
struct directory_found {
    struct directory_entry *entry; /* NULL: nowhere */
    size_t directory;              /* of the entry; nowhere: their number */
    bool temp;
    char text[200]; /* of temp */
    bool unasked;   /* none was asked, and none is to be: the sources before them alone */
};

struct directory_lookup_question {
    const char *address;           /* formatted */
    const struct pki_trust *trust; /* NULL: no path is asked for (only without a trust set in the
                                      configuration of smimectl's stand-alone commands) */
    struct pki_revocation_rules revocation;
    struct pki_evidence *evidence;   /* as in pki/path.h, and so is the budget; borrowed */
    struct pki_fetch_budget *budget; /* NULL: nobody is asked */
    const struct pki_leaf_policy *policy;
    time_t now;
    int64_t deadline_ms;                 /* of clock_monotonic_ms, for directories */
    const struct directory_found *found; /* asked before; NULL: ask */
    bool all; /* ask and judge every source, also behind the one that has an answer
                 (smimectl lookup); the mail flow stops there */
};

struct directory_candidate {
    struct pki_certificate *certificate; /* a reference */
    const struct pki_key *key; /* signing: the pair; else NULL; borrowed from the keyring */
    char source[128];          /* "keys", "files:/path", "harvested", "directory:name" */
    struct pki_answer answer;
    bool selected;
    time_t until; /* valid: what that rests on (certificates, CRLs) holds until then */
};

enum { DIRECTORY_LIMIT_CANDIDATES = 200 };

struct directory_lookup_result {
    struct directory_candidate *list;
    size_t count;
    const struct directory_candidate *selected; /* NULL: none */
    struct pki_answer answer; /* when none: the reason to tell people; "no-certificate" */
    /* What the recipient's own mail said he can decrypt, the newest that is known: the DER of
     * SMIMECapabilities (RFC 8551 2.5.2), whichever source the certificate came from. n 0: nothing
     * is known. */
    struct buf capabilities;
};

/* The encryption certificate of a recipient. ERR_OK, ERR_NOTFOUND (answer says why), ERR_TEMP
 * (could not ask). */
ERR_CHECKED enum err_code
directory_lookup_certificate(struct directory_lookup *lookup,
                             const struct directory_lookup_question *question,
                             struct directory_lookup_result *result, struct err *err);

/* The signing pair of a sender, the same way, out of the keyring alone. */
ERR_CHECKED enum err_code directory_lookup_key(struct directory_lookup *lookup,
                                               const struct directory_lookup_question *question,
                                               struct directory_lookup_result *result,
                                               struct err *err);
void directory_lookup_result_free(struct directory_lookup_result *result);

/* Who has this address or login, over all directories in order. As directory_find_*. */
ERR_CHECKED enum err_code directory_lookup_person(struct directory_lookup *lookup,
                                                  const char *address, const char *login,
                                                  int64_t deadline_ms, struct directory_entry **out,
                                                  struct err *err);
/* May `person` send as `address`? Yes if one directory says so; ERR_NOTFOUND if all say no. As
 * directory_find_send_as. */
ERR_CHECKED enum err_code directory_lookup_send_as(struct directory_lookup *lookup,
                                                   const struct directory_entry *person,
                                                   const char *address, int64_t deadline_ms,
                                                   struct err *err);
size_t directory_lookup_directory_count(const struct directory_lookup *lookup);

/* Is there a certificate for `address` in the keyring, in a certificate folder or among the
 * harvested (unjudged), and are those asked before the directories? May read the disk. */
bool directory_lookup_holds(const struct directory_lookup *lookup, const char *address);

/* Who has these addresses, over all directories in order, each asked once for all of them that none
 * before it knows. Fills out[0] to out[count - 1], entries returned (directory_entry_free); "could
 * not ask" is part of the answer. ERR_NOMEM, ERR_BUG. */
ERR_CHECKED enum err_code directory_lookup_find(struct directory_lookup *lookup,
                                                const char *const *addresses, size_t count,
                                                int64_t deadline_ms, struct directory_found *out,
                                                struct err *err);

/* The entry of a distinguished name, from the first directory that has it. ERR_OK, ERR_NOTFOUND,
 * ERR_TEMP (one could not be asked and none has it). The entry is returned. */
ERR_CHECKED enum err_code directory_lookup_find_dn(struct directory_lookup *lookup, const char *dn,
                                                   int64_t deadline_ms, struct directory_found *out,
                                                   struct err *err);

/* directory_group_expand over the directories of the lookup (directories, directory_count of `args`
 * are filled in). */
ERR_CHECKED enum err_code directory_lookup_expand(struct directory_lookup *lookup,
                                                  const struct directory_group_args *args,
                                                  struct directory_entry *entry,
                                                  struct directory_group **out, struct err *err);

/* The value at an ldap:/// URL, from the first directory that has it, whatever host the URL names;
 * as pki_evidence_ldap_fn. ERR_NOTFOUND, ERR_TEMP (one could not be asked and none has it),
 * ERR_PERM. */
ERR_CHECKED enum err_code directory_lookup_get_url(struct directory_lookup *lookup, struct span url,
                                                   int64_t deadline_ms, struct buf *out,
                                                   struct err *err);

/* Counters of directory `index` (below directory_count); *name is borrowed. */
void directory_lookup_get_counts(const struct directory_lookup *lookup, size_t index,
                                 const char **name, struct directory_counts *out);

#endif
