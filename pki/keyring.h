/*
 * Keys and certificates of our own users, from files.                     RFC 7292, RFC 5958
 *
 * A keyring is an immutable, shared snapshot of the folder `keys`: each *.pem file below it (one
 * level of subfolders, one per address or as the administrator likes) holds a private key, its
 * certificate and, after it, its chain. Per address any number of pairs: separate signing and
 * encryption certificates, histories. Files that others can read are refused, each named. Keys live
 * in OpenSSL's secure heap and are wiped.
 *
 * Threads: any.
 */
#ifndef PKI_KEYRING_H
#define PKI_KEYRING_H

#include "pki/certificate.h"
#include "pki/context.h"

struct pki_keyring;

struct pki_key {
    EVP_PKEY *pkey;                      /* borrowed from the keyring */
    struct pki_certificate *certificate; /* borrowed */
    struct pki_certificates chain; /* issuers without the root, leaf's issuer first; borrowed */
    const char *file;              /* where it came from */
    struct pki_contexts *contexts; /* of pkey, prepared (pki/context.h); NULL: none are kept */
};

enum { PKI_KEY_LIST = 32 };

struct pki_key_list {
    const struct pki_key *list[PKI_KEY_LIST]; /* borrowed from the keyring */
    size_t count;
};

/* Told about every file that was left out: unsafe mode, unparsable, key and certificate do not fit.
 */
typedef void pki_keyring_complaint_fn(void *context, const char *file, const char *text);

/* ERR_TEMP if the folder cannot be read, ERR_PERM if others can write into it. `folder` NULL gives
 * an empty keyring. */
ERR_CHECKED enum err_code pki_keyring_load(const char *folder, pki_keyring_complaint_fn *complain,
                                           void *context, struct pki_keyring **out,
                                           struct err *err);
struct pki_keyring *pki_keyring_add1(struct pki_keyring *keyring);
void pki_keyring_free(struct pki_keyring **keyring);

size_t pki_keyring_count(const struct pki_keyring *keyring);
const struct pki_key *pki_keyring_get(const struct pki_keyring *keyring,
                                      size_t index); /* borrowed */

struct pki_keyring_question {
    const char *address;
    enum pki_use use;
    time_t now;
    const struct pki_leaf_policy *policy;
};

/* The best pair for an address: right usage, valid now, newest notBefore. ERR_NOTFOUND: none; `why`
 * then holds the reason of the best candidate (or "no-certificate" when there is no candidate at
 * all). *out is borrowed from the keyring. */
ERR_CHECKED enum err_code pki_keyring_find(const struct pki_keyring *keyring,
                                           const struct pki_keyring_question *question,
                                           const struct pki_key **out, struct pki_answer *why,
                                           struct err *err);

/* The pairs that mail for the address may be encrypted to, whatever their age and strength: expired
 * and weak keys still open old mail. Not those whose certificate is for signing alone. The
 * newest first, at most PKI_KEY_LIST. ERR_PERM: no address. None is ERR_OK and a count of 0. */
ERR_CHECKED enum err_code pki_keyring_find_history(const struct pki_keyring *keyring,
                                                   const char *address,
                                                   const struct pki_leaf_policy *policy,
                                                   struct pki_key_list *out, struct err *err);

/* Reads one pair from PEM files (smimectl --key/--cert/--chain); either of the last two may be NULL
 * when the key's file holds them. Their modes are not looked at: somebody named them on a command
 * line. ERR_NOTFOUND: no such file; ERR_PERM: unreadable, or key and certificate do not belong
 * together. Returned: pki_keyring_free. */
ERR_CHECKED enum err_code pki_keyring_load_pair(const char *key_file, const char *certificate_file,
                                                const char *chain_file, struct pki_keyring **out,
                                                struct err *err);

struct pki_import_args {
    const char *file;          /* a PKCS#12 file, at most 1 MiB */
    const char *password_file; /* its first line; an empty password is ERR_PERM */
    const char *folder;        /* the keyring's folder */
    const char *address;       /* NULL: from each certificate. Else one of them must carry it */
    bool guarded;              /* refuse a password file that others can read (unattended import) */
};

/* Reads keys, certificates and histories of a PKCS#12 (old RC2-40 and 3DES ones too, in a library
 * context of their own) and writes one 0600 file per pair into folder/ADDRESS/, written whole or
 * not at all. What is already there is left alone. *count: pairs written. */
ERR_CHECKED enum err_code pki_keyring_import(const struct pki_import_args *args, size_t *count,
                                             struct err *err);

/* One round over a folder where an enrolment system drops NAME.p12 with NAME.password (or one
 * password file for all, NULL otherwise): imports, then moves to done/ or failed/. A file that is
 * still growing (mtime within 2 s) is left for the next round. *count: pairs written. Complaints as
 * above. */
ERR_CHECKED enum err_code pki_keyring_import_folder(const char *watched, const char *password_file,
                                                    const char *folder,
                                                    pki_keyring_complaint_fn *complain,
                                                    void *context, size_t *count, struct err *err);

#endif
