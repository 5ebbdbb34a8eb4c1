#include "pki/trust.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "pki/crypto.h"
#include "pki/file.h"
#include "pki/inheritance.h"
#include "pki/path_hooks.h"
#include "pki/verdict.h"

enum { ANCHORS_MAX = 1000, INTERMEDIATES_MAX = 10000 };

/* What a file looked like when it was loaded. */
struct stamp {
    char *path;
    struct timespec changed;
    off_t size;
    ino_t inode;
};

struct stamps {
    struct stamp *list;
    size_t count, cap;
};

struct pki_trust {
    atomic_uint references;
    char *name;
    X509_STORE *store;
    struct pki_path_library library; /* its own functions, which our hooks call */
    struct pki_certificates anchors, intermediates;
    struct pki_revocation_set *revocation;
    struct pki_verdicts *verdicts;
    char **crl_paths;     /* files and folders, NULL-terminated */
    struct stamps stamps; /* of every file there */
};

static enum err_code
stamp_add(struct stamps *stamps, const char *path, struct err *err)
{
    struct stat st;
    struct stamp *stamp;

    if (stamps->count == stamps->cap) {
        size_t cap = stamps->cap ? 2 * stamps->cap : 16;
        struct stamp *list = realloc(stamps->list, cap * sizeof *list);
        if (!list)
            return err_set(err, ERR_NOMEM, "no memory for a list of files");
        stamps->list = list;
        stamps->cap = cap;
    }
    stamp = &stamps->list[stamps->count];
    *stamp = (struct stamp){ .path = strdup(path) };
    if (!stamp->path)
        return err_set(err, ERR_NOMEM, "no memory for a list of files");
    stamps->count++;
    /* A file that is gone has the stamp of nothing, which is a difference too. */
    if (stat(path, &st) == 0) {
        stamp->changed = st.st_mtim;
        stamp->size = st.st_size;
        stamp->inode = st.st_ino;
    }
    return ERR_OK;
}

static void
stamps_free(struct stamps *stamps)
{
    for (size_t i = 0; i < stamps->count; i++)
        free(stamps->list[i].path);
    free(stamps->list);
    *stamps = (struct stamps){ .list = NULL };
}

static enum err_code
stamps_load(struct stamps *stamps, const char *const *paths, struct err *err)
{
    enum err_code code = ERR_OK;

    for (; code == ERR_OK && paths && *paths; paths++) {
        struct pki_file_names names = { .list = NULL };
        struct stat st;
        if (stat(*paths, &st) != 0 || !S_ISDIR(st.st_mode)) {
            code = stamp_add(stamps, *paths, err);
            continue;
        }
        code = pki_file_names_load(*paths, 0, &names, err);
        for (size_t i = 0; code == ERR_OK && i < names.count; i++)
            code = stamp_add(stamps, names.list[i], err);
        pki_file_names_free(&names);
    }
    return code;
}

static bool
stamps_are_equal(const struct stamps *a, const struct stamps *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        const struct stamp *x = &a->list[i], *y = &b->list[i];
        if (strcmp(x->path, y->path) != 0 || x->changed.tv_sec != y->changed.tv_sec ||
            x->changed.tv_nsec != y->changed.tv_nsec || x->size != y->size || x->inode != y->inode)
            return false;
    }
    return true;
}

static enum err_code
paths_copy(const char *const *paths, char ***out, struct err *err)
{
    size_t count = 0;

    while (paths && paths[count])
        count++;
    *out = calloc(count + 1, sizeof **out);
    for (size_t i = 0; *out && i < count; i++) {
        if (!((*out)[i] = strdup(paths[i])))
            return err_set(err, ERR_NOMEM, "no memory for a trust set");
    }
    return *out ? ERR_OK : err_set(err, ERR_NOMEM, "no memory for a trust set");
}

static enum err_code
certificates_load(struct pki_certificates *into, const char *const *paths, struct err *err)
{
    enum err_code code = ERR_OK;

    for (; code == ERR_OK && paths && *paths; paths++)
        code = pki_certificates_load(into, *paths, err);
    return code;
}

static enum err_code
store_new(struct pki_trust *trust, struct err *err)
{
    trust->store = X509_STORE_new();
    if (!trust->store)
        return pki_crypto_fail(err, ERR_NOMEM, "no memory for a trust set");
    for (size_t i = 0; i < trust->anchors.count; i++) {
        if (!X509_STORE_add_cert(trust->store, pki_certificate_get0_x509(trust->anchors.list[i])))
            return pki_crypto_fail(err, ERR_NOMEM, "a trust anchor cannot be added");
    }
    return pki_path_hooks_set(trust->store, &trust->library, err);
}

/* Intermediates whose keys have the parameters of their issuers. */
static enum err_code
heirs_set(struct pki_trust *trust, struct err *err)
{
    const struct pki_certificates *const more[] = { &trust->anchors, NULL };

    return pki_inheritance_set(&trust->intermediates, more, err);
}

static enum err_code
trust_load(struct pki_trust *trust, const struct pki_trust_args *args, struct err *err)
{
    enum err_code code;

    trust->anchors.limit = ANCHORS_MAX;
    trust->intermediates.limit = INTERMEDIATES_MAX;
    trust->name = strdup(args->name ? args->name : "");
    if (!trust->name)
        return err_set(err, ERR_NOMEM, "no memory for a trust set");
    if ((code = certificates_load(&trust->anchors, args->anchors, err)) ||
        (code = certificates_load(&trust->intermediates, args->intermediates, err)) ||
        (code = heirs_set(trust, err)) || (code = pki_revocation_new(&trust->revocation, err)) ||
        (code = paths_copy(args->crls, &trust->crl_paths, err)) ||
        /* The stamps first: what changes while the CRLs are read is loaded again. */
        (code = stamps_load(&trust->stamps, args->crls, err)))
        return code;
    for (const char *const *path = args->crls; code == ERR_OK && path && *path; path++)
        code = pki_revocation_load(trust->revocation, *path, err);
    if (code == ERR_OK && trust->anchors.count == 0)
        code = err_set(err, ERR_PERM, "there is no trust anchor");
    return code == ERR_OK ? store_new(trust, err) : code;
}

enum err_code
pki_trust_load(const struct pki_trust_args *args, struct pki_trust **out, struct err *err)
{
    struct pki_trust *trust = calloc(1, sizeof *trust);
    enum err_code code;

    *out = NULL;
    if (!trust)
        return err_set(err, ERR_NOMEM, "no memory for a trust set");
    atomic_init(&trust->references, 1);
    pki_crypto_reset();
    trust->verdicts = pki_verdicts_new();
    code = trust->verdicts ? trust_load(trust, args, err)
                           : err_set(err, ERR_NOMEM, "no memory for a trust set");
    if (code == ERR_OK) {
        *out = trust;
        trust = NULL;
    } else if (args->name) {
        code = err_prefix(err, "trust set %s", args->name);
    }
    pki_trust_free(&trust);
    pki_crypto_reset();
    return code;
}

struct pki_trust *
pki_trust_add1(struct pki_trust *trust)
{
    if (trust)
        atomic_fetch_add_explicit(&trust->references, 1, memory_order_relaxed);
    return trust;
}

void
pki_trust_free(struct pki_trust **trust)
{
    struct pki_trust *t = *trust;

    *trust = NULL;
    if (!t || atomic_fetch_sub_explicit(&t->references, 1, memory_order_acq_rel) != 1)
        return;
    X509_STORE_free(t->store);
    pki_certificates_free(&t->anchors);
    pki_certificates_free(&t->intermediates);
    pki_revocation_free(&t->revocation);
    pki_verdicts_free(&t->verdicts);
    for (char **path = t->crl_paths; path && *path; path++)
        free(*path);
    free(t->crl_paths);
    stamps_free(&t->stamps);
    free(t->name);
    free(t);
}

size_t
pki_trust_anchor_count(const struct pki_trust *trust)
{
    return trust->anchors.count;
}

size_t
pki_trust_crl_count(const struct pki_trust *trust)
{
    return pki_revocation_count(trust->revocation);
}

bool
pki_trust_has_crls(const struct pki_trust *trust)
{
    return trust->crl_paths && trust->crl_paths[0];
}

bool
pki_trust_is_stale(const struct pki_trust *trust)
{
    struct stamps now = { .list = NULL };
    struct err ignored = ERR_INIT;
    bool stale = stamps_load(&now, (const char *const *)trust->crl_paths, &ignored) != ERR_OK ||
                 !stamps_are_equal(&trust->stamps, &now);

    stamps_free(&now);
    return stale;
}

X509_STORE *
pki_trust_get0_store(const struct pki_trust *trust)
{
    return trust->store;
}

struct pki_verdicts *
pki_trust_get0_verdicts(const struct pki_trust *trust)
{
    return trust->verdicts;
}

const struct pki_path_library *
pki_trust_get0_library(const struct pki_trust *trust)
{
    return &trust->library;
}

const struct pki_revocation_set *
pki_trust_get0_revocation(const struct pki_trust *trust)
{
    return trust->revocation;
}

const struct pki_certificates *
pki_trust_get0_anchors(const struct pki_trust *trust)
{
    return &trust->anchors;
}

const struct pki_certificates *
pki_trust_get0_intermediates(const struct pki_trust *trust)
{
    return &trust->intermediates;
}
