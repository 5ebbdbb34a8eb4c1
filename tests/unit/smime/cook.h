/*
 * Signatures made by the library, with what we would never write. Every function aborts on failure.
 */
#ifndef TESTS_UNIT_SMIME_COOK_H
#define TESTS_UNIT_SMIME_COOK_H

#include "fixture.h"

#include <openssl/cms.h>

static inline struct make
encode(CMS_ContentInfo *cms)
{
    unsigned char *der = NULL;
    int n = i2d_CMS_ContentInfo(cms, &der);
    TESTCA_MUST(n > 0);
    struct make made = make_raw(der, (size_t)n);
    OPENSSL_free(der);
    CMS_ContentInfo_free(cms);
    return made;
}

struct recipe {
    const struct user *user; /* who signs */
    unsigned flags;
    const EVP_MD *md;
    int add_twice;    /* NID of an attribute to add once more */
    const char *type; /* eContentType */
};

static inline struct make
cook(const struct recipe *recipe, struct span text)
{
    const struct user *user = recipe->user;
    unsigned flags = recipe->flags | CMS_BINARY | CMS_PARTIAL;
    BIO *bio = BIO_new_mem_buf(text.p, (int)text.n);
    CMS_ContentInfo *cms = CMS_sign(NULL, NULL, NULL, NULL, flags);
    TESTCA_MUST(cms != NULL);
    if (recipe->type != NULL)
        TESTCA_MUST(CMS_set1_eContentType(cms, OBJ_txt2obj(recipe->type, 1)));
    CMS_SignerInfo *signer = CMS_add1_signer(cms, user->leaf.x509, user->leaf.key,
                                             recipe->md != NULL ? recipe->md : EVP_sha256(), flags);
    TESTCA_MUST(signer != NULL);
    for (int i = 0; i < 2 && recipe->add_twice != 0; i++) {
        ASN1_TIME *time = ASN1_TIME_set(NULL, 1000000000 + i);
        TESTCA_MUST(CMS_signed_add1_attr_by_NID(signer, recipe->add_twice, time->type, time, -1));
        ASN1_TIME_free(time);
    }
    TESTCA_MUST(CMS_final(cms, bio, NULL, flags));
    BIO_free(bio);
    return encode(cms);
}

#endif
