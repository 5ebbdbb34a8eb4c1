#include "smime/hash.h"

#include <openssl/objects.h>

#include "pki/crypto.h"
#include "smime/algorithm.h"

void
smime_hash_init(struct smime_hash *hash)
{
    *hash = (struct smime_hash){ .count = 0 };
}

void
smime_hash_deinit(struct smime_hash *hash)
{
    for (size_t i = 0; i < hash->count; i++)
        EVP_MD_CTX_free(hash->list[i].context);
    smime_hash_init(hash);
}

/* The three that everybody uses are fetched once; the others are looked up. */
static const EVP_MD *
find_md(int nid)
{
    switch (nid) {
    case NID_sha256:
        return smime_digest_get(SMIME_DIGEST_SHA256);
    case NID_sha384:
        return smime_digest_get(SMIME_DIGEST_SHA384);
    case NID_sha512:
        return smime_digest_get(SMIME_DIGEST_SHA512);
    default:
        return EVP_get_digestbynid(nid);
    }
}

enum err_code
smime_hash_new(struct smime_hash *hash, int nid, struct err *err)
{
    for (size_t i = 0; i < hash->count; i++)
        if (hash->list[i].nid == nid)
            return ERR_OK;
    const EVP_MD *md = find_md(nid);
    if (md == NULL)
        return ERR_NOTFOUND;
    if (hash->count == SMIME_HASH_LIMIT)
        return err_set(err, ERR_LIMIT, "more than %d digests in one message", SMIME_HASH_LIMIT);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (context == NULL)
        return err_set(err, ERR_NOMEM, "no memory for a digest");
    if (!EVP_DigestInit_ex(context, md, NULL)) {
        EVP_MD_CTX_free(context); /* of the legacy provider: not there */
        pki_crypto_reset();
        return ERR_NOTFOUND;
    }
    hash->list[hash->count].nid = nid;
    hash->list[hash->count].context = context;
    hash->count++;
    return ERR_OK;
}

enum err_code
smime_hash_write(struct smime_hash *hash, struct span piece, struct err *err)
{
    if (hash->finished)
        return err_set(err, ERR_BUG, "content after its end");
    for (size_t i = 0; i < piece.n && hash->bytes + i < SMIME_HASH_HEAD; i++)
        hash->head[hash->bytes + i] = piece.p[i];
    hash->bytes += piece.n;
    for (size_t i = 0; i < hash->count; i++)
        if (!EVP_DigestUpdate(hash->list[i].context, piece.p, piece.n))
            return pki_crypto_fail(err, ERR_BUG, "hashing failed");
    return ERR_OK;
}

enum err_code
smime_hash_finish(struct smime_hash *hash, struct err *err)
{
    if (hash->finished)
        return err_set(err, ERR_BUG, "a digest was finished twice");
    hash->finished = true;
    for (size_t i = 0; i < hash->count; i++) {
        if (!EVP_DigestFinal_ex(hash->list[i].context, hash->list[i].value, &hash->list[i].value_n))
            return pki_crypto_fail(err, ERR_BUG, "hashing failed");
        EVP_MD_CTX_free(hash->list[i].context);
        hash->list[i].context = NULL;
    }
    return ERR_OK;
}

struct span
smime_hash_get(const struct smime_hash *hash, int nid)
{
    for (size_t i = 0; i < hash->count; i++)
        if (hash->list[i].nid == nid && hash->list[i].context == NULL)
            return span_of(hash->list[i].value, hash->list[i].value_n);
    return span_of(NULL, 0);
}

/* Names without hyphens and without the "rsa-" of the oldest mail programs. */
static const struct {
    const char *name;
    int nid;
} names[] = {
    { "sha256", NID_sha256 }, { "sha384", NID_sha384 }, { "sha512", NID_sha512 },
    { "sha224", NID_sha224 }, { "sha1", NID_sha1 },     { "md5", NID_md5 },
};

static int
find_name(struct span token)
{
    char plain[16];
    size_t n = 0;
    if (span_starts_nocase(token, "rsa-"))
        token = span_from(token, 4);
    for (size_t i = 0; i < token.n; i++) {
        if (token.p[i] == '-')
            continue;
        if (n == sizeof(plain) - 1)
            return NID_undef;
        plain[n++] = (char)token.p[i];
    }
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (span_equal_nocase(span_of(plain, n), names[i].name))
            return names[i].nid;
    return NID_undef;
}

enum err_code
smime_hash_parse(struct smime_hash *hash, struct span micalg, bool *announced, struct err *err)
{
    static const int accepted[] = { NID_sha256, NID_sha384, NID_sha512 };
    enum err_code code = ERR_OK;
    *announced = micalg.p != NULL;
    while (micalg.p != NULL && micalg.n > 0) {
        size_t n = span_find(micalg, ',');
        int nid = find_name(span_trim(span_of(micalg.p, n)));
        code = nid == NID_undef ? ERR_NOTFOUND : smime_hash_new(hash, nid, err);
        if (code == ERR_NOTFOUND)
            *announced = false;
        else if (code != ERR_OK)
            return code;
        micalg = span_from(micalg, n + 1);
    }
    if (*announced && hash->count > 0)
        return ERR_OK;
    *announced = false;
    for (size_t i = 0; i < sizeof(accepted) / sizeof(accepted[0]); i++) {
        code = smime_hash_new(hash, accepted[i], err);
        if (code != ERR_OK)
            return err_set(err, code == ERR_NOTFOUND ? ERR_BUG : code, "a digest is missing");
    }
    return ERR_OK;
}
