#include "smime/signer.h"

#include <openssl/crypto.h>
#include <openssl/x509.h>

#include "util/buf.h"
#include "pki/crypto.h"
#include "pki/signature.h"
#include "smime/algorithm.h"
#include "smime/attribute.h"
#include "smime/ber.h"
#include "smime/identifier.h"

enum {
    /* Certificates of one issuer and serial number, or of one key identifier, that are tried: more
     * than one is somebody's trick or somebody's mistake. */
    LIMIT_CANDIDATES = 4
};

/* Takes the next element off `rest`, which must be there and have this identifier. */
static bool
get_as(struct span *rest, unsigned char identifier, struct smime_ber_element *out)
{
    return smime_ber_get(rest, out, NULL) == ERR_OK && out->identifier == identifier;
}

static int
find_nid(struct span algorithm)
{
    const unsigned char *p = algorithm.p;
    X509_ALGOR *parsed = d2i_X509_ALGOR(NULL, &p, (long)algorithm.n);
    int nid = parsed != NULL ? OBJ_obj2nid(parsed->algorithm) : NID_undef;
    X509_ALGOR_free(parsed);
    pki_crypto_reset();
    return nid;
}

enum err_code
smime_signer_parse(struct span element, struct smime_signer_info *out, struct err *err)
{
    struct smime_ber_element signer, version, identifier, digest, next;
    *out = (struct smime_signer_info){ .digest_nid = NID_undef };
    if (!get_as(&element, SMIME_BER_SEQUENCE, &signer) || element.n != 0)
        goto malformed;
    struct span inside = signer.contents;
    if (!get_as(&inside, SMIME_BER_INTEGER, &version) ||
        smime_ber_get(&inside, &identifier, NULL) != ERR_OK ||
        (identifier.identifier != SMIME_BER_SEQUENCE &&
         identifier.identifier != SMIME_BER_CONTEXT) ||
        !get_as(&inside, SMIME_BER_SEQUENCE, &digest) ||
        smime_ber_get(&inside, &next, NULL) != ERR_OK)
        goto malformed;
    out->identifier = identifier.whole;
    out->digest_nid = find_nid(digest.whole);
    if (next.identifier == SMIME_BER_CONTEXT_CONSTRUCTED) {
        out->attributes = next.contents;
        if (smime_ber_get(&inside, &next, NULL) != ERR_OK)
            goto malformed;
    }
    if (next.identifier != SMIME_BER_SEQUENCE)
        goto malformed;
    out->signature_algorithm = next.whole;
    out->signature_nid = find_nid(next.whole);
    if (!get_as(&inside, SMIME_BER_OCTETS, &next))
        goto malformed;
    out->signature = next.contents;
    /* unsignedAttrs: whatever they say, nobody signed it */
    if (inside.n != 0 &&
        (!get_as(&inside, SMIME_BER_CONTEXT_CONSTRUCTED + 1, &next) || inside.n != 0))
        goto malformed;
    return ERR_OK;
malformed:
    return err_set_reason(err, ERR_PERM, "malformed-cms", "CMS: a SignerInfo cannot be read");
}

/*
 * A signature over content without attributes and one over attributes are made by the same call.
 * Whoever takes the DER of the attributes of a genuine signature as content, and leaves the
 * attributes out, has a "valid" signature on it. No entity of mail looks like that.
 */
static bool
looks_like_attributes(const struct smime_hash *content)
{
    unsigned char header[SMIME_BER_HEADER];
    for (uint64_t octets = 1; octets <= 5; octets++) {
        if (content->bytes <= octets + 1)
            break;
        size_t n = smime_ber_format(SMIME_BER_SET, content->bytes - octets - 1, header);
        if (n == octets + 1 && memcmp(content->head, header, n) == 0)
            return true;
    }
    return false;
}

struct work {
    const struct smime_signer_info *info;
    const struct smime_hash *content;
    struct smime_attributes attributes;
    struct buf signed_bytes; /* DER of signedAttrs as SET, or empty */
    unsigned char digest[EVP_MAX_MD_SIZE];
    struct span signed_digest;
};

/* RFC 5652 5.4: what is signed is the attributes with the tag of a SET instead of [0]. */
static enum err_code
load_attributes(struct work *work, struct err *err)
{
    unsigned char header[SMIME_BER_HEADER];
    struct span attributes = work->info->attributes;
    size_t n = smime_ber_format(SMIME_BER_SET, attributes.n, header);
    enum err_code code = buf_append(&work->signed_bytes, span_of(header, n), err);
    if (code == ERR_OK)
        code = buf_append(&work->signed_bytes, attributes, err);
    if (code != ERR_OK)
        return code;
    unsigned digest_n = 0;
    if (!EVP_Digest(work->signed_bytes.p, work->signed_bytes.n, work->digest, &digest_n,
                    EVP_get_digestbynid(work->info->digest_nid), NULL))
        return pki_crypto_fail(err, ERR_BUG, "hashing failed");
    work->signed_digest = span_of(work->digest, digest_n);
    return ERR_OK;
}

static const unsigned char oid_data[] = { 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01 };

/* Everything about the attributes that needs no key. NULL: nothing is wrong; else the reason. */
static const char *
judge_attributes(struct work *work)
{
    struct span digest = smime_hash_get(work->content, work->info->digest_nid);
    struct err ignored = ERR_INIT;
    if (smime_attribute_parse(work->info->attributes, &work->attributes, &ignored) != ERR_OK)
        return "malformed-attributes";
    if (!span_equal(work->attributes.content_type, span_of(oid_data, sizeof(oid_data))))
        return "content-type-mismatch";
    if (work->attributes.message_digest.n != digest.n ||
        CRYPTO_memcmp(work->attributes.message_digest.p, digest.p, digest.n) != 0)
        return "digest-mismatch";
    return NULL;
}

static void
set_state(struct smime_signer *out, enum smime_signature_state state, const char *reason)
{
    out->state = state;
    out->reason = reason;
}

/* One certificate that the SignerInfo may mean. */
static void
try_certificate(const struct work *work, const struct pki_certificate *certificate,
                struct smime_signer *out)
{
    EVP_PKEY *key = X509_get0_pubkey(pki_certificate_get0_x509(certificate));
    if (key == NULL) {
        set_state(out, SMIME_SIGNATURE_UNSUPPORTED, "unsupported-algorithm");
        return;
    }
    if (!smime_attribute_check(&work->attributes, certificate)) {
        set_state(out, SMIME_SIGNATURE_BAD, "wrong-certificate");
        return;
    }
    const struct pki_signature_args args = {
        .algorithm = work->info->signature_algorithm,
        .digest_nid = work->info->digest_nid,
        .key = key,
        .contexts = pki_certificate_get0_contexts(certificate),
        .signature = work->info->signature,
        .digest = work->signed_digest,
        .signed_bytes = buf_span(&work->signed_bytes),
    };
    const char *reason;
    switch (pki_signature_check(&args, &reason)) {
    case PKI_SIGNATURE_OK:
        set_state(out, SMIME_SIGNATURE_OK, reason);
        return;
    case PKI_SIGNATURE_BAD:
        set_state(out, SMIME_SIGNATURE_BAD, reason);
        return;
    case PKI_SIGNATURE_UNSUPPORTED:
        break;
    }
    set_state(out, SMIME_SIGNATURE_UNSUPPORTED, reason);
}

/* Keeps the certificate whose key made the signature; else the first that fits the name. */
static void
search(const struct work *work, const struct pki_certificates *list, size_t *tried,
       struct smime_signer *out)
{
    for (size_t i = 0; list != NULL && i < list->count; i++) {
        if (out->state == SMIME_SIGNATURE_OK || *tried == LIMIT_CANDIDATES)
            return;
        if (!smime_identifier_is(work->info->identifier, list->list[i]))
            continue;
        struct smime_signer found = *out;
        try_certificate(work, list->list[i], &found);
        if (*tried == 0 || found.state == SMIME_SIGNATURE_OK) {
            pki_certificate_free(&out->certificate);
            *out = found;
            out->certificate = pki_certificate_add1(list->list[i]);
        }
        ++*tried;
    }
}

/* What he says about writing to him: signed, so it is his word. */
static enum err_code
load_wishes(const struct work *work, const struct pki_certificates *certificates,
            struct smime_signer *out, struct err *err)
{
    struct span told = work->attributes.capabilities;

    out->capabilities = (struct buf)BUF_INIT(SMIME_VERIFY_LIMIT_CAPABILITIES);
    out->prefers = work->attributes.preference.p != NULL;
    for (size_t i = 0; out->prefers && out->encryption == NULL && i < certificates->count; i++)
        if (smime_attribute_prefers(&work->attributes, certificates->list[i]))
            out->encryption = pki_certificate_add1(certificates->list[i]);
    if (told.n == 0 || told.n > SMIME_VERIFY_LIMIT_CAPABILITIES)
        return ERR_OK;
    return buf_append(&out->capabilities, told, err);
}

static enum err_code
check(struct work *work, const struct pki_certificates *certificates,
      const struct pki_certificates *extra, struct smime_signer *out, struct err *err)
{
    const char *wrong = NULL;
    size_t tried = 0;
    work->signed_digest = smime_hash_get(work->content, work->info->digest_nid);
    bool hashed = work->signed_digest.p != NULL;
    if (hashed && work->info->attributes.p != NULL) {
        wrong = judge_attributes(work);
        out->signing_time = work->attributes.signing_time;
        enum err_code code = load_attributes(work, err);
        if (code != ERR_OK)
            return code;
    } else if (hashed && looks_like_attributes(work->content)) {
        wrong = "malformed-attributes";
    }
    set_state(out, SMIME_SIGNATURE_NO_SIGNER, "no-signer");
    search(work, certificates, &tried, out);
    search(work, extra, &tried, out);
    /* What was altered is forged whoever signed; what could not be hashed cannot be judged. */
    if (!hashed)
        set_state(out, SMIME_SIGNATURE_UNSUPPORTED, "unsupported-algorithm");
    else if (wrong != NULL && out->state != SMIME_SIGNATURE_UNSUPPORTED)
        set_state(out, SMIME_SIGNATURE_BAD, wrong);
    return out->state == SMIME_SIGNATURE_OK ? load_wishes(work, certificates, out, err) : ERR_OK;
}

enum err_code
smime_signer_check(const struct smime_signer_info *info, const struct smime_hash *content,
                   const struct pki_certificates *certificates,
                   const struct pki_certificates *extra, struct smime_signer *out, struct err *err)
{
    struct work work = { .info = info,
                         .content = content,
                         .signed_bytes = BUF_INIT(SMIME_VERIFY_LIMIT_SIGNATURE + 16) };
    *out = (struct smime_signer){ .digest_nid = info->digest_nid };
    enum err_code code = check(&work, certificates, extra, out, err);
    if (code == ERR_OK)
        smime_algorithm_check(info->digest_nid, info->signature_nid, out->certificate,
                              &out->algorithm);
    buf_free(&work.signed_bytes);
    pki_crypto_reset();
    return code;
}
