#include "pki/pkcs12.h"

#include <string.h>

#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/provider.h>

#include "pki/crypto.h"

enum { SAFES_MAX = 200, BAG_DEPTH = 4 };

/* The work of one file. */
struct reading {
    struct pki_pkcs12 *out;
    const char *password;
    OSSL_LIB_CTX *library;
    OSSL_PROVIDER *standard, *legacy;
    long iterations; /* so far */
};

static enum err_code
iterations_check(struct reading *reading, const ASN1_INTEGER *count, struct err *err)
{
    int64_t n = 1;

    if (count && (!ASN1_INTEGER_get_int64(&n, count) || n < 1 || n > PKI_PKCS12_ITERATIONS))
        return err_set(err, ERR_LIMIT, "PKCS#12: an iteration count outside 1 to %d",
                       PKI_PKCS12_ITERATIONS);
    reading->iterations += (long)n;
    if (reading->iterations > PKI_PKCS12_ITERATIONS_ALL)
        return err_set(err, ERR_LIMIT, "PKCS#12: more than %d iterations in all",
                       PKI_PKCS12_ITERATIONS_ALL);
    return ERR_OK;
}

static enum err_code
pbes2_check(struct reading *reading, const ASN1_STRING *parameter, struct err *err)
{
    PBE2PARAM *pbe2 = ASN1_item_unpack(parameter, ASN1_ITEM_rptr(PBE2PARAM));
    PBKDF2PARAM *kdf = NULL;
    const ASN1_OBJECT *oid = NULL;
    const void *value = NULL;
    int type = V_ASN1_UNDEF;
    enum err_code code;

    if (pbe2 && pbe2->keyfunc)
        X509_ALGOR_get0(&oid, &type, &value, pbe2->keyfunc);
    /* scrypt's cost lies in three numbers of the file; nobody's enrolment system writes it. */
    if (oid && OBJ_obj2nid(oid) == NID_id_pbkdf2 && type == V_ASN1_SEQUENCE)
        kdf = ASN1_item_unpack(value, ASN1_ITEM_rptr(PBKDF2PARAM));
    code = kdf ? iterations_check(reading, kdf->iter, err)
               : pki_crypto_fail(err, ERR_PERM, "PKCS#12: a key derivation other than PBKDF2");
    PBKDF2PARAM_free(kdf);
    PBE2PARAM_free(pbe2);
    return code;
}

/* Before anything is decrypted: which algorithm, and how much work? */
static enum err_code
algorithm_check(struct reading *reading, const X509_ALGOR *algorithm, struct err *err)
{
    const ASN1_OBJECT *oid = NULL;
    const void *value = NULL;
    int type = V_ASN1_UNDEF;
    PBEPARAM *pbe;
    enum err_code code;

    if (algorithm)
        X509_ALGOR_get0(&oid, &type, &value, algorithm);
    if (!oid || type != V_ASN1_SEQUENCE)
        return err_set(err, ERR_PERM, "PKCS#12: an encryption without parameters");
    switch (OBJ_obj2nid(oid)) {
    case NID_pbes2:
        return pbes2_check(reading, value, err);
    case NID_pbe_WithSHA1And128BitRC4:
    case NID_pbe_WithSHA1And40BitRC4:
    case NID_pbe_WithSHA1And3_Key_TripleDES_CBC:
    case NID_pbe_WithSHA1And2_Key_TripleDES_CBC:
    case NID_pbe_WithSHA1And128BitRC2_CBC:
    case NID_pbe_WithSHA1And40BitRC2_CBC:
        break;
    default:
        return err_set(err, ERR_PERM, "PKCS#12: an encryption that is not known");
    }
    pbe = ASN1_item_unpack(value, ASN1_ITEM_rptr(PBEPARAM));
    code = pbe ? iterations_check(reading, pbe->iter, err)
               : pki_crypto_fail(err, ERR_PERM, "PKCS#12: malformed encryption parameters");
    PBEPARAM_free(pbe);
    return code;
}

static enum err_code
key_add(struct reading *reading, const PKCS8_PRIV_KEY_INFO *info, struct err *err)
{
    EVP_PKEY *key;

    if (reading->out->count >= PKI_PKCS12_KEYS)
        return err_set(err, ERR_LIMIT, "PKCS#12: more than %d keys", PKI_PKCS12_KEYS);
    /* Made outside of the context of this call, which does not live as long as the key. */
    key = EVP_PKCS82PKEY(info);
    if (!key)
        return pki_crypto_fail(err, ERR_PERM, "PKCS#12: a private key cannot be read");
    reading->out->keys[reading->out->count++] = key;
    return ERR_OK;
}

static enum err_code
shrouded_parse(struct reading *reading, const PKCS12_SAFEBAG *bag, struct err *err)
{
    const X509_SIG *shrouded = PKCS12_SAFEBAG_get0_pkcs8(bag);
    const X509_ALGOR *algorithm = NULL;
    PKCS8_PRIV_KEY_INFO *info;
    enum err_code code;

    if (shrouded)
        X509_SIG_get0(shrouded, &algorithm, NULL);
    if ((code = algorithm_check(reading, algorithm, err)) != ERR_OK)
        return code;
    info = PKCS12_decrypt_skey_ex(bag, reading->password, (int)strlen(reading->password),
                                  reading->library, NULL);
    if (!info)
        return pki_crypto_fail(err, ERR_PERM, "PKCS#12: a private key cannot be decrypted");
    code = key_add(reading, info, err);
    PKCS8_PRIV_KEY_INFO_free(info);
    return code;
}

static enum err_code
certificate_parse(struct reading *reading, const PKCS12_SAFEBAG *bag, struct err *err)
{
    X509 *x509;
    unsigned char *der = NULL;
    struct pki_certificate *certificate = NULL;
    enum err_code code;
    int n;

    if (PKCS12_SAFEBAG_get_bag_nid(bag) != NID_x509Certificate)
        return ERR_OK;
    x509 = PKCS12_SAFEBAG_get1_cert(bag);
    n = x509 ? i2d_X509(x509, &der) : -1;
    X509_free(x509);
    if (n <= 0)
        return pki_crypto_fail(err, ERR_PERM, "PKCS#12: a certificate cannot be read");
    code = pki_certificate_parse(span_of(der, (size_t)n), &certificate, err);
    if (code == ERR_OK)
        code = pki_certificates_add1(&reading->out->certificates, certificate, err);
    pki_certificate_free(&certificate);
    OPENSSL_free(der);
    return code;
}

static enum err_code
bags_parse(struct reading *reading, const STACK_OF(PKCS12_SAFEBAG) * bags, unsigned depth,
           struct err *err)
{
    enum err_code code = ERR_OK;

    for (int i = 0; code == ERR_OK && i < sk_PKCS12_SAFEBAG_num(bags); i++) {
        const PKCS12_SAFEBAG *bag = sk_PKCS12_SAFEBAG_value(bags, i);
        switch (PKCS12_SAFEBAG_get_nid(bag)) {
        case NID_keyBag:
            code = key_add(reading, PKCS12_SAFEBAG_get0_p8inf(bag), err);
            break;
        case NID_pkcs8ShroudedKeyBag:
            code = shrouded_parse(reading, bag, err);
            break;
        case NID_certBag:
            code = certificate_parse(reading, bag, err);
            break;
        case NID_safeContentsBag:
            if (depth + 1 >= BAG_DEPTH)
                return err_set(err, ERR_LIMIT, "PKCS#12: bags nested more than %d deep", BAG_DEPTH);
            code = bags_parse(reading, PKCS12_SAFEBAG_get0_safes(bag), depth + 1, err);
            break;
        default: /* CRLs and secrets of others */
            break;
        }
    }
    return code;
}

static enum err_code
safe_parse(struct reading *reading, PKCS7 *safe, struct err *err)
{
    STACK_OF(PKCS12_SAFEBAG) *bags = NULL;
    enum err_code code = ERR_OK;

    if (PKCS7_type_is_data(safe)) {
        bags = PKCS12_unpack_p7data(safe);
    } else if (PKCS7_type_is_encrypted(safe) && safe->d.encrypted && safe->d.encrypted->enc_data) {
        code = algorithm_check(reading, safe->d.encrypted->enc_data->algorithm, err);
        if (code == ERR_OK)
            bags = PKCS12_unpack_p7encdata(safe, reading->password, (int)strlen(reading->password));
    } else {
        return err_set(err, ERR_PERM, "PKCS#12: a content that is protected by no password");
    }
    if (code == ERR_OK && !bags)
        code = pki_crypto_fail(err, ERR_PERM, "PKCS#12: a content cannot be read");
    if (code == ERR_OK)
        code = bags_parse(reading, bags, 0, err);
    sk_PKCS12_SAFEBAG_pop_free(bags, PKCS12_SAFEBAG_free);
    return code;
}

static enum err_code
mac_check(struct reading *reading, PKCS12 *p12, struct err *err)
{
    const ASN1_INTEGER *iterations = NULL;
    enum err_code code;

    if (!PKCS12_mac_present(p12))
        return err_set(err, ERR_PERM,
                       "PKCS#12: there is no MAC, so nobody can tell what was changed in it");
    PKCS12_get0_mac(NULL, NULL, NULL, &iterations, p12);
    if ((code = iterations_check(reading, iterations, err)) != ERR_OK)
        return code;
    if (PKCS12_verify_mac(p12, reading->password, (int)strlen(reading->password)))
        return ERR_OK;
    return pki_crypto_fail(err, ERR_PERM, "PKCS#12: the password is wrong or the file is damaged");
}

static enum err_code
p12_parse(struct reading *reading, struct span der, struct err *err)
{
    const unsigned char *p = der.p;
    PKCS12 *p12 = PKCS12_init_ex(NID_pkcs7_data, reading->library, NULL);
    STACK_OF(PKCS7) *safes = NULL;
    enum err_code code;

    /* Into an object of our library context; on failure the library frees it. */
    if (!p12)
        return pki_crypto_fail(err, ERR_NOMEM, "no memory for PKCS#12");
    if (!d2i_PKCS12(&p12, &p, (long)der.n)) {
        PKCS12_free(p12);
        return pki_crypto_fail(err, ERR_PERM, "not PKCS#12");
    }
    if ((code = mac_check(reading, p12, err)) != ERR_OK)
        goto out;
    safes = PKCS12_unpack_authsafes(p12);
    if (!safes)
        code = pki_crypto_fail(err, ERR_PERM, "PKCS#12: the content cannot be read");
    else if (sk_PKCS7_num(safes) > SAFES_MAX)
        code = err_set(err, ERR_LIMIT, "PKCS#12: more than %d contents", SAFES_MAX);
    for (int i = 0; code == ERR_OK && i < sk_PKCS7_num(safes); i++)
        code = safe_parse(reading, sk_PKCS7_value(safes, i), err);
out:
    sk_PKCS7_pop_free(safes, PKCS7_free);
    PKCS12_free(p12);
    return code;
}

static enum err_code
pem_parse(struct reading *reading, struct span bytes, struct err *err)
{
    BIO *bio = BIO_new_mem_buf(bytes.p, (int)bytes.n);
    char *name = NULL, *header = NULL;
    unsigned char *der = NULL;
    long n = 0;
    enum err_code code;

    if (!bio || !PEM_read_bio(bio, &name, &header, &der, &n) || strcmp(name, "PKCS12") != 0)
        code = pki_crypto_fail(err, ERR_PERM, "neither DER nor PEM of PKCS#12");
    else
        code = p12_parse(reading, span_of(der, (size_t)n), err);
    OPENSSL_free(name);
    OPENSSL_free(header);
    OPENSSL_free(der);
    BIO_free(bio);
    return code;
}

static enum err_code
library_new(struct reading *reading, struct err *err)
{
    reading->library = OSSL_LIB_CTX_new();
    if (!reading->library)
        return pki_crypto_fail(err, ERR_NOMEM, "no memory for a library context");
    reading->standard = OSSL_PROVIDER_load(reading->library, "default");
    if (!reading->standard)
        return pki_crypto_fail(err, ERR_TEMP, "OpenSSL's default provider cannot be loaded");
    /* Without it, new files are read all the same. */
    reading->legacy = OSSL_PROVIDER_load(reading->library, "legacy");
    pki_crypto_reset();
    return ERR_OK;
}

static void
library_free(struct reading *reading)
{
    if (reading->legacy)
        OSSL_PROVIDER_unload(reading->legacy);
    if (reading->standard)
        OSSL_PROVIDER_unload(reading->standard);
    OSSL_LIB_CTX_free(reading->library);
}

enum err_code
pki_pkcs12_parse(struct span bytes, const char *password, struct pki_pkcs12 *out, struct err *err)
{
    struct reading reading = { .out = out, .password = password };
    enum err_code code;

    *out = (struct pki_pkcs12){ .certificates.limit = PKI_PKCS12_CERTIFICATES };
    pki_crypto_reset();
    if (!password || !password[0])
        return err_set(err, ERR_PERM, "PKCS#12: an empty password protects nothing");
    if (bytes.n == 0)
        return err_set(err, ERR_PERM, "not PKCS#12: nothing there");
    if (bytes.n > PKI_PKCS12_LIMIT_BYTES)
        return err_set(err, ERR_LIMIT, "PKCS#12 of more than %d octets", PKI_PKCS12_LIMIT_BYTES);
    code = library_new(&reading, err);
    if (code == ERR_OK)
        code =
            bytes.p[0] == 0x30 ? p12_parse(&reading, bytes, err) : pem_parse(&reading, bytes, err);
    library_free(&reading);
    pki_crypto_reset();
    if (code != ERR_OK)
        pki_pkcs12_free(out);
    return code;
}

void
pki_pkcs12_free(struct pki_pkcs12 *pkcs12)
{
    for (size_t i = 0; i < pkcs12->count; i++)
        EVP_PKEY_free(pkcs12->keys[i]);
    pkcs12->count = 0;
    pki_certificates_free(&pkcs12->certificates);
}
