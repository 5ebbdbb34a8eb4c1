/*
 * pki_keyring_import: a PKCS#12 file becomes files of the keyring, one for each pair. Which
 * certificate belongs to which key is decided by the public key: localKeyID is a hint that tools
 * lose, repeat or invent when they write histories.
 */
#include "pki/keyring.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mime/address.h"
#include "pki/crypto.h"
#include "pki/file.h"
#include "pki/keyfile.h"
#include "pki/pkcs12.h"

enum {
    PASSWORD_BYTES = 1024,
    PEM_BYTES = 256 * 1024,
    FOLDER_NAME_BYTES = 200, /* NAME_MAX is 255 */
    FINGERPRINT_DIGITS = 16
};

/* At import every address counts; which one is used later is policy. */
static const struct pki_leaf_policy any_address = { .subject_address = true, .fold_local = true };

static enum err_code
password_load(const struct pki_import_args *args, struct buf *out, struct err *err)
{
    struct stat st;
    int fd = -1;
    enum err_code code =
        pki_file_find(args->password_file, PASSWORD_BYTES, args->guarded, &fd, &st, err);
    char piece[PASSWORD_BYTES + 1];
    ssize_t n;

    if (code != ERR_OK)
        return code;
    n = read(fd, piece, sizeof piece);
    if (n < 0)
        code = err_set_errno(err, errno, "%s", args->password_file);
    close(fd);
    if (code == ERR_OK) {
        struct span line = span_of(piece, (size_t)n);
        line.n = span_find(line, '\n');
        if (line.n > 0 && line.p[line.n - 1] == '\r')
            line.n--;
        if (line.n == 0)
            code = err_set(err, ERR_PERM, "%s: the password is empty", args->password_file);
        else if (span_find(line, '\0') < line.n)
            code = err_set(err, ERR_PERM, "%s: a NUL in the password", args->password_file);
        else
            code = buf_append(out, line, err);
    }
    explicit_bzero(piece, sizeof piece);
    return code;
}

/* The address as the name of a folder: in lower case, and no way out of the keyring. */
static enum err_code
folder_name_format(const struct pki_certificate *certificate, const char *wanted, char *out,
                   struct err *err)
{
    const struct pki_certificate_facts *facts = pki_certificate_get(certificate);
    const char *address = "no-address";
    size_t n;

    if (wanted && pki_certificate_has_address(certificate, wanted, &any_address))
        address = wanted;
    else if (facts->addresses[0])
        address = facts->addresses[0];
    else if (facts->subject_addresses[0])
        address = facts->subject_addresses[0];
    n = strlen(address);
    if (n > FOLDER_NAME_BYTES || address[0] == '.' || strchr(address, '/'))
        return err_set(err, ERR_PERM, "the address %.80s cannot be the name of a folder", address);
    for (size_t i = 0; i <= n; i++)
        out[i] =
            (char)(address[i] >= 'A' && address[i] <= 'Z' ? address[i] - 'A' + 'a' : address[i]);
    return ERR_OK;
}

static enum err_code
pair_write(const struct pki_import_args *args, EVP_PKEY *key, struct pki_certificate *certificate,
           const struct pki_certificates *pool, bool *made, struct err *err)
{
    char name[FOLDER_NAME_BYTES + 1], path[PATH_MAX];
    struct pki_certificates chain = { .list = NULL };
    struct buf pem = BUF_INIT(PEM_BYTES);
    enum err_code code;
    int n;

    if ((code = folder_name_format(certificate, args->address, name, err)) != ERR_OK)
        return code;
    n = snprintf(path, sizeof path, "%s/%s", args->folder, name);
    if (n < 0 || (size_t)n + FINGERPRINT_DIGITS + sizeof "/.pem" > sizeof path)
        return err_set(err, ERR_PERM, "%s: the path is too long", args->folder);
    if ((code = pki_file_folder_new(path, err)) ||
        (code = pki_keyfile_find_chain(certificate, pool, &chain, err)) ||
        (code = pki_keyfile_format(key, certificate, &chain, &pem, err)))
        goto out;
    snprintf(path + n, sizeof path - (size_t)n, "/%.*s.pem", FINGERPRINT_DIGITS,
             pki_certificate_get(certificate)->fingerprint);
    code = pki_file_write(path, buf_span(&pem), made, err);
out:
    buf_free(&pem);
    pki_certificates_free(&chain);
    return code;
}

static bool
names_somebody(const struct pki_pkcs12 *p12, const char *address)
{
    for (size_t i = 0; i < p12->certificates.count; i++) {
        if (pki_certificate_has_address(p12->certificates.list[i], address, &any_address))
            return true;
    }
    return false;
}

static enum err_code
pairs_write(const struct pki_import_args *args, const struct pki_pkcs12 *p12, size_t *count,
            struct err *err)
{
    size_t pairs = 0;
    enum err_code code = ERR_OK;

    if (args->address && !names_somebody(p12, args->address))
        return err_set_reason(err, ERR_PERM, "cert-wrong-address",
                              "none of its certificates is for %s", args->address);
    for (size_t i = 0; i < p12->count; i++) {
        for (size_t j = 0; code == ERR_OK && j < p12->certificates.count; j++) {
            bool made = false;
            if (!pki_keyfile_is_pair(p12->keys[i], p12->certificates.list[j]))
                continue;
            pairs++;
            code = pair_write(args, p12->keys[i], p12->certificates.list[j], &p12->certificates,
                              &made, err);
            *count += made;
        }
    }
    if (code == ERR_OK && pairs == 0)
        code = err_set(err, ERR_PERM, "no private key in it belongs to a certificate in it");
    return code;
}

enum err_code
pki_keyring_import(const struct pki_import_args *args, size_t *count, struct err *err)
{
    struct buf bytes = BUF_INIT(PKI_PKCS12_LIMIT_BYTES), password = BUF_INIT(PASSWORD_BYTES + 1);
    struct pki_pkcs12 p12 = { .count = 0 };
    enum err_code code;

    *count = 0;
    if ((code = pki_file_load(args->file, &bytes, err)) ||
        (code = password_load(args, &password, err)))
        goto out;
    if ((code = pki_pkcs12_parse(buf_span(&bytes), buf_str(&password), &p12, err)) ||
        (code = pairs_write(args, &p12, count, err)))
        code = err_prefix(err, "%s", args->file);
out:
    pki_pkcs12_free(&p12);
    buf_free(&password);
    buf_free(&bytes);
    return code;
}
