#include "pki/revocation.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "pki/crl.h"
#include "pki/crypto.h"
#include "pki/der.h"
#include "pki/file.h"

enum { NAMES_MAX = 16, CANDIDATES_MAX = 1000 };

/* Sorted by issuer name, so that a look-up among thousands costs a binary search. */
struct pki_revocation_set {
    STACK_OF(X509_CRL) * crls;
};

enum err_code
pki_revocation_new(struct pki_revocation_set **out, struct err *err)
{
    *out = calloc(1, sizeof **out);
    if (*out && ((*out)->crls = sk_X509_CRL_new_null()))
        return ERR_OK;
    pki_revocation_free(out);
    return err_set(err, ERR_NOMEM, "no memory for CRLs");
}

void
pki_revocation_free(struct pki_revocation_set **set)
{
    if (*set) {
        sk_X509_CRL_pop_free((*set)->crls, X509_CRL_free);
        free(*set);
    }
    *set = NULL;
}

size_t
pki_revocation_count(const struct pki_revocation_set *set)
{
    return (size_t)sk_X509_CRL_num(set->crls);
}

/* Where the CRLs of an issuer begin, or where they would. */
static int
place_find(const struct pki_revocation_set *set, const X509_NAME *issuer)
{
    int low = 0, high = sk_X509_CRL_num(set->crls);

    while (low < high) {
        int middle = low + (high - low) / 2;
        if (X509_NAME_cmp(X509_CRL_get_issuer(sk_X509_CRL_value(set->crls, middle)), issuer) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool
is_of(const struct pki_revocation_set *set, int i, const X509_NAME *issuer)
{
    return i < sk_X509_CRL_num(set->crls) &&
           X509_NAME_cmp(X509_CRL_get_issuer(sk_X509_CRL_value(set->crls, i)), issuer) == 0;
}

enum err_code
pki_revocation_add1(struct pki_revocation_set *set, X509_CRL *crl, struct err *err)
{
    const X509_NAME *issuer = X509_CRL_get_issuer(crl);
    int i = place_find(set, issuer);

    if (sk_X509_CRL_num(set->crls) >= PKI_REVOCATION_CRLS)
        return err_set(err, ERR_LIMIT, "more than %d CRLs", PKI_REVOCATION_CRLS);
    for (; is_of(set, i, issuer); i++) {
        if (pki_crl_is(sk_X509_CRL_value(set->crls, i), crl))
            return ERR_OK;
    }
    if (!X509_CRL_up_ref(crl))
        return pki_crypto_fail(err, ERR_NOMEM, "no memory for a CRL");
    if (!sk_X509_CRL_insert(set->crls, crl, i)) {
        X509_CRL_free(crl);
        return pki_crypto_fail(err, ERR_NOMEM, "no memory for a CRL");
    }
    return ERR_OK;
}

/* A reference to the CRL is given up here, whatever becomes of it. */
static enum err_code
crl_keep(struct pki_revocation_set *set, X509_CRL *crl, struct err *err)
{
    enum err_code code = pki_revocation_add1(set, crl, err);

    X509_CRL_free(crl);
    return code;
}

static enum err_code
der_parse(struct pki_revocation_set *set, struct span der, struct err *err)
{
    X509_CRL *crl;
    enum err_code code = pki_crl_parse(der, &crl, err);

    return code == ERR_OK ? crl_keep(set, crl, err) : code;
}

static enum err_code
pem_parse(struct pki_revocation_set *set, struct span bytes, struct err *err)
{
    BIO *bio = BIO_new_mem_buf(bytes.p, (int)bytes.n);
    bool found = false;
    enum err_code code = ERR_OK;

    if (!bio)
        return pki_crypto_fail(err, ERR_NOMEM, "no memory for PEM");
    while (code == ERR_OK) {
        char *name = NULL, *header = NULL;
        unsigned char *der = NULL;
        long n = 0;
        if (!PEM_read_bio(bio, &name, &header, &der, &n)) {
            if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
                code = pki_crypto_fail(err, ERR_PERM, "malformed PEM");
            else if (!found)
                code = err_set(err, ERR_PERM, "PEM without a CRL");
            break;
        }
        if (strcmp(name, PEM_STRING_X509_CRL) == 0) {
            found = true;
            code = der_parse(set, span_of(der, (size_t)n), err);
        }
        OPENSSL_free(name);
        OPENSSL_free(header);
        OPENSSL_free(der);
    }
    BIO_free(bio);
    pki_crypto_reset();
    return code;
}

static bool
is_der(struct span bytes)
{
    return bytes.n > 0 && bytes.p[0] == PKI_DER_SEQUENCE;
}

enum err_code
pki_revocation_parse(struct pki_revocation_set *set, struct span bytes, struct err *err)
{
    enum err_code code;

    pki_crypto_reset();
    if (bytes.n == 0)
        return err_set(err, ERR_PERM, "no CRL: nothing there");
    if (bytes.n > PKI_REVOCATION_CRL_BYTES)
        return err_set(err, ERR_LIMIT, "a CRL of more than %d octets", PKI_REVOCATION_CRL_BYTES);
    code = is_der(bytes) ? der_parse(set, bytes, err) : pem_parse(set, bytes, err);
    pki_crypto_reset();
    return code;
}

/* The octets of a DER file become those of the CRL: a large one is in memory once. */
static enum err_code
bytes_load(struct pki_revocation_set *set, struct buf *bytes, struct err *err)
{
    X509_CRL *crl;
    enum err_code code;

    if (!is_der(buf_span(bytes)))
        return pki_revocation_parse(set, buf_span(bytes), err);
    code = pki_crl_parse_take(bytes, &crl, err);
    return code == ERR_OK ? crl_keep(set, crl, err) : code;
}

static enum err_code
file_load(struct pki_revocation_set *set, const char *path, struct err *err)
{
    struct buf bytes = BUF_INIT(PKI_REVOCATION_CRL_BYTES);
    enum err_code code = pki_file_load(path, &bytes, err);

    if (code == ERR_OK && (code = bytes_load(set, &bytes, err)))
        code = err_prefix(err, "%s", path);
    buf_free(&bytes);
    return code;
}

enum err_code
pki_revocation_load(struct pki_revocation_set *set, const char *path, struct err *err)
{
    struct pki_file_names names = { .list = NULL };
    struct stat st;
    enum err_code code = ERR_OK;

    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        code = pki_file_names_load(path, 0, &names, err);
    else
        code = file_load(set, path, err);
    for (size_t i = 0; code == ERR_OK && i < names.count; i++)
        code = file_load(set, names.list[i], err);
    pki_file_names_free(&names);
    return code;
}

static bool
same_extension(const X509_CRL *a, const X509_CRL *b, int nid)
{
    int i = X509_CRL_get_ext_by_NID(a, nid, -1), j = X509_CRL_get_ext_by_NID(b, nid, -1);

    if (i < 0 || j < 0)
        return i < 0 && j < 0;
    return ASN1_OCTET_STRING_cmp(X509_EXTENSION_get_data(X509_CRL_get_ext(a, i)),
                                 X509_EXTENSION_get_data(X509_CRL_get_ext(b, j))) == 0;
}

/* The key that signed is part of the scope: during a roll-over an authority issues by both. */
static bool
same_scope(const X509_CRL *a, const X509_CRL *b)
{
    return same_extension(a, b, NID_issuing_distribution_point) &&
           same_extension(a, b, NID_authority_key_identifier) &&
           X509_NAME_cmp(X509_CRL_get_issuer(a), X509_CRL_get_issuer(b)) == 0;
}

/* Was `a` issued after `b`? */
static bool
is_newer(const X509_CRL *a, const X509_CRL *b)
{
    return ASN1_TIME_compare(X509_CRL_get0_lastUpdate(a), X509_CRL_get0_lastUpdate(b)) > 0;
}

/* Of two CRLs of one scope the newer one, but what the key above signed goes before what it did
 * not: during a roll-over without key identifiers nothing else tells whose they are, and a forged
 * one must not hide the one that we hold. */
static bool
is_better(X509_CRL *crl, X509_CRL *have, X509 *signer)
{
    if (signer && X509_NAME_cmp(X509_get_subject_name(signer), X509_CRL_get_issuer(crl)) == 0) {
        bool ours = pki_crl_is_signed_by(crl, signer);
        if (ours != pki_crl_is_signed_by(have, signer))
            return ours;
    }
    return is_newer(crl, have);
}

static bool
insert(STACK_OF(X509_CRL) * list, X509_CRL *crl, int at)
{
    if (!X509_CRL_up_ref(crl))
        return false;
    if (sk_X509_CRL_insert(list, crl, at) > 0)
        return true;
    X509_CRL_free(crl);
    return false;
}

/* Takes `crl` among the candidates unless a newer one of its scope is there already. Deltas are all
 * kept, newest first: the library takes the first that fits the complete CRL. */
static bool
offer(STACK_OF(X509_CRL) * list, X509_CRL *crl, const struct pki_revocation_question *question)
{
    bool delta = pki_crl_is_delta(crl);
    time_t at = question->at;
    int i;

    if (sk_X509_CRL_num(list) >= CANDIDATES_MAX)
        return true;
    if (X509_cmp_time(X509_CRL_get0_lastUpdate(crl), &at) > 0)
        return true;
    for (i = 0; i < sk_X509_CRL_num(list); i++) {
        X509_CRL *have = sk_X509_CRL_value(list, i);
        if (delta && pki_crl_is_delta(have) && is_newer(crl, have))
            break;
        if (delta || pki_crl_is_delta(have) || !same_scope(crl, have))
            continue;
        if (is_better(crl, have, question->signer)) {
            if (!X509_CRL_up_ref(crl))
                return false;
            X509_CRL_free(have);
            sk_X509_CRL_set(list, i, crl);
        }
        return true;
    }
    return insert(list, crl, delta ? i : 0);
}

/* The names under which a CRL about the certificate may have been issued. Returns their number. */
static size_t
names_find(const struct pki_revocation_question *question, const CRL_DIST_POINTS *points,
           const X509_NAME **names)
{
    size_t count = 0;

    names[count++] = question->issuer;
    for (int i = 0; points && i < sk_DIST_POINT_num(points); i++) {
        const DIST_POINT *point = sk_DIST_POINT_value(points, i);
        for (int j = 0; j < sk_GENERAL_NAME_num(point->CRLissuer) && count < NAMES_MAX; j++) {
            const GENERAL_NAME *name = sk_GENERAL_NAME_value(point->CRLissuer, j);
            if (name->type == GEN_DIRNAME)
                names[count++] = name->d.directoryName;
        }
    }
    return count;
}

static bool
offer_listed(STACK_OF(X509_CRL) * list, const STACK_OF(X509_CRL) * more, const X509_NAME *name,
             const struct pki_revocation_question *question)
{
    for (int i = 0; more && i < sk_X509_CRL_num(more); i++) {
        X509_CRL *crl = sk_X509_CRL_value(more, i);
        if (X509_NAME_cmp(X509_CRL_get_issuer(crl), name) == 0 && !offer(list, crl, question))
            return false;
    }
    return true;
}

static bool
offer_named(STACK_OF(X509_CRL) * list, const struct pki_revocation_set *set,
            const struct pki_revocation_question *question, const X509_NAME *name)
{
    for (int i = place_find(set, name); is_of(set, i, name); i++) {
        if (!offer(list, sk_X509_CRL_value(set->crls, i), question))
            return false;
    }
    for (size_t i = 0; i < sizeof question->more / sizeof *question->more; i++) {
        if (!offer_listed(list, question->more[i], name, question))
            return false;
    }
    return true;
}

static bool
revokes(const X509_CRL *crl, const X509 *certificate)
{
    struct pki_crl_entry entry;
    struct err ignored = ERR_INIT;

    return certificate && pki_crl_find(crl, certificate, &entry, &ignored) == ERR_OK;
}

/* May a CRL of the message speak, beside those that are candidates without it? */
static bool
message_counts(const STACK_OF(X509_CRL) * held, X509_CRL *crl,
               const struct pki_revocation_question *question)
{
    if (question->message_alone || revokes(crl, question->certificate))
        return true;
    for (int i = 0; i < sk_X509_CRL_num(held); i++) {
        const X509_CRL *have = sk_X509_CRL_value(held, i);
        if (!pki_crl_is_delta(have) && same_scope(crl, have) &&
            pki_crl_next_update(have) >= question->at)
            return true;
    }
    return false;
}

static bool
offer_message(STACK_OF(X509_CRL) * list, const struct pki_revocation_question *question,
              const X509_NAME *const *names, size_t name_count)
{
    STACK_OF(X509_CRL) *held = sk_X509_CRL_dup(list);
    bool done = held != NULL;

    for (int i = 0; done && i < sk_X509_CRL_num(question->message); i++) {
        X509_CRL *crl = sk_X509_CRL_value(question->message, i);
        bool named = false;
        for (size_t n = 0; n < name_count; n++)
            named |= X509_NAME_cmp(X509_CRL_get_issuer(crl), names[n]) == 0;
        if (named && message_counts(held, crl, question))
            done = offer(list, crl, question);
    }
    sk_X509_CRL_free(held);
    return done;
}

STACK_OF(X509_CRL) * pki_revocation_find(const struct pki_revocation_set *set,
                                         const struct pki_revocation_question *question)
{
    const X509_NAME *names[NAMES_MAX];
    STACK_OF(X509_CRL) *list = sk_X509_CRL_new_null();
    CRL_DIST_POINTS *points = NULL;
    size_t count;
    bool done;

    if (question->certificate)
        points = X509_get_ext_d2i(question->certificate, NID_crl_distribution_points, NULL, NULL);
    count = names_find(question, points, names);
    done = list != NULL;
    for (size_t i = 0; done && i < count; i++)
        done = offer_named(list, set, question, names[i]);
    if (done && question->message)
        done = offer_message(list, question, names, count);
    if (!done) {
        sk_X509_CRL_pop_free(list, X509_CRL_free);
        list = NULL;
    }
    CRL_DIST_POINTS_free(points);
    pki_crypto_reset();
    return list;
}
