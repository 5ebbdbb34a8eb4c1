#include "pki/pointer.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/x509v3.h>

#include "pki/der.h"

enum {
    TAG_URI = 0x86,       /* GeneralName: uniformResourceIdentifier [6] */
    TAG_NAME = 0xa0,      /* DistributionPoint: distributionPoint [0], explicit */
    TAG_FULL_NAME = 0xa0, /* DistributionPointName: fullName [0] */
    TAG_REASONS = 0x81,
    TAG_CRL_ISSUER = 0xa2,
    REASONS_COUNT = 9, /* unused(0) to aACompromise(8) */
};

/* ---- URLs --------------------------------------------------------------------------------------
 */

static bool
scheme_is_known(struct span url)
{
    static const char *const schemes[] = { "http://", "https://", "ldap://" };

    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        if (span_starts_nocase(url, schemes[i]))
            return true;
    }
    return false;
}

static void
url_add(struct pki_pointer_urls *urls, struct span url)
{
    if (url.n > PKI_POINTER_URL_BYTES || urls->count == PKI_POINTER_URLS || !scheme_is_known(url))
        return;
    for (size_t i = 0; i < urls->count; i++) {
        if (span_equal(urls->list[i], url))
            return;
    }
    urls->list[urls->count++] = url;
}

/* The URIs among GeneralNames. */
static void
names_parse(struct span names, struct pki_pointer_urls *urls)
{
    struct err ignored = ERR_INIT;
    struct pki_der name;

    while (pki_der_get(&names, &name, &ignored) == ERR_OK) {
        if (name.tag == TAG_URI)
            url_add(urls, name.content);
    }
}

/* ---- distribution points -----------------------------------------------------------------------
 */

/* A BIT STRING, its first octet the number of unused bits. What is named beyond the reasons that
 * there are is nothing. */
static unsigned
reasons_parse(struct span bits)
{
    unsigned reasons = 0;

    for (unsigned n = 1; n < REASONS_COUNT; n++) {
        size_t octet = 1 + n / 8;
        if (octet < bits.n && (bits.p[octet] & (0x80U >> n % 8)))
            reasons |= 1U << n;
    }
    return reasons;
}

/* False: it covers no reason, so there is nothing that its CRL could say. */
static bool
point_parse(struct span content, struct pki_pointer_point *point)
{
    struct err ignored = ERR_INIT;
    struct pki_der field, name;

    *point = (struct pki_pointer_point){ .reasons = 0 };
    while (pki_der_get(&content, &field, &ignored) == ERR_OK) {
        struct span rest = field.content;
        if (field.tag == TAG_NAME && pki_der_find(&rest, TAG_FULL_NAME, &name, &ignored) == ERR_OK)
            names_parse(name.content, &point->urls);
        else if (field.tag == TAG_REASONS && (point->reasons = reasons_parse(field.content)) == 0)
            return false;
        else if (field.tag == TAG_CRL_ISSUER)
            point->indirect = true;
        err_reset(&ignored);
    }
    return true;
}

static void
points_parse(struct span list, struct pki_pointers *pointers)
{
    struct err ignored = ERR_INIT;
    struct pki_der point;

    while (pointers->point_count < PKI_POINTER_POINTS &&
           pki_der_find(&list, PKI_DER_SEQUENCE, &point, &ignored) == ERR_OK) {
        if (point_parse(point.content, &pointers->points[pointers->point_count]))
            pointers->point_count++;
    }
}

/* freshestCRL has the same syntax; which point it was does not matter. */
static void
freshest_parse(struct span list, struct pki_pointers *pointers)
{
    struct err ignored = ERR_INIT;
    struct pki_pointer_point point;
    struct pki_der one;

    while (pki_der_find(&list, PKI_DER_SEQUENCE, &one, &ignored) == ERR_OK) {
        if (!point_parse(one.content, &point))
            continue;
        for (size_t i = 0; i < point.urls.count; i++)
            url_add(&pointers->freshest, point.urls.list[i]);
    }
}

/* ---- authority information access --------------------------------------------------------------
 */

static void
access_parse(struct span list, struct pki_pointers *pointers)
{
    static const unsigned char ocsp[] = { 0x2b, 6, 1, 5, 5, 7, 0x30, 1 };
    static const unsigned char issuers[] = { 0x2b, 6, 1, 5, 5, 7, 0x30, 2 };
    struct err ignored = ERR_INIT;
    struct pki_der one, method, location;

    while (pki_der_find(&list, PKI_DER_SEQUENCE, &one, &ignored) == ERR_OK) {
        struct span rest = one.content;
        if (pki_der_find(&rest, PKI_DER_OID, &method, &ignored) ||
            pki_der_find(&rest, TAG_URI, &location, &ignored))
            err_reset(&ignored);
        else if (span_equal(method.content, span_of(ocsp, sizeof ocsp)))
            url_add(&pointers->ocsp, location.content);
        else if (span_equal(method.content, span_of(issuers, sizeof issuers)))
            url_add(&pointers->issuers, location.content);
    }
}

/* ---- extensions --------------------------------------------------------------------------------
 */

static const struct {
    int nid;
    void (*parse)(struct span, struct pki_pointers *);
} readers[] = {
    { NID_crl_distribution_points, points_parse },
    { NID_freshest_crl, freshest_parse },
    { NID_info_access, access_parse },
};
enum { READERS = sizeof readers / sizeof *readers };

/* The elements of the SEQUENCE that is the extension's value; empty where there is none, where it
 * stands there twice (the readers would differ), or where it is not DER. */
static struct span
extension_find(const STACK_OF(X509_EXTENSION) * extensions, int nid)
{
    int at = X509v3_get_ext_by_NID(extensions, nid, -1);
    struct err ignored = ERR_INIT;
    const ASN1_OCTET_STRING *value;
    struct pki_der e;
    struct span rest;

    if (at < 0 || X509v3_get_ext_by_NID(extensions, nid, at) >= 0)
        return span_of(NULL, 0);
    value = X509_EXTENSION_get_data(X509v3_get_ext(extensions, at));
    rest = span_of(ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value));
    if (pki_der_check(rest, &ignored) || pki_der_find(&rest, PKI_DER_SEQUENCE, &e, &ignored))
        return span_of(NULL, 0);
    return e.content;
}

static enum err_code
extensions_parse(const STACK_OF(X509_EXTENSION) * extensions, struct pki_pointers **out,
                 struct err *err)
{
    struct pki_pointers *pointers = calloc(1, sizeof *pointers);
    struct span found[READERS];
    unsigned char *copy;
    size_t n = 0;

    *out = NULL;
    for (size_t i = 0; i < READERS; i++) {
        found[i] = extension_find(extensions, readers[i].nid);
        n += found[i].n;
    }
    copy = malloc(n + 1);
    if (!pointers || !copy) {
        free(pointers);
        free(copy);
        return err_set(err, ERR_NOMEM, "no memory for the URLs of a certificate");
    }
    pointers->private_ = copy;
    for (size_t i = 0; i < READERS; i++) {
        if (found[i].n == 0)
            continue;
        memcpy(copy, found[i].p, found[i].n);
        readers[i].parse(span_of(copy, found[i].n), pointers);
        copy += found[i].n;
    }
    pointers->nocheck = X509v3_get_ext_by_NID(extensions, NID_id_pkix_OCSP_noCheck, -1) >= 0;
    *out = pointers;
    return ERR_OK;
}

enum err_code
pki_pointers_parse(const X509 *x509, struct pki_pointers **out, struct err *err)
{
    return extensions_parse(X509_get0_extensions(x509), out, err);
}

enum err_code
pki_pointers_parse_crl(const X509_CRL *crl, struct pki_pointers **out, struct err *err)
{
    return extensions_parse(X509_CRL_get0_extensions(crl), out, err);
}

bool
pki_pointers_name_status(const struct pki_pointers *pointers)
{
    for (size_t i = 0; i < pointers->point_count; i++) {
        if (pointers->points[i].urls.count > 0)
            return true;
    }
    return pointers->ocsp.count > 0;
}

void
pki_pointers_free(struct pki_pointers **pointers)
{
    if (*pointers) {
        free((*pointers)->private_);
        free(*pointers);
    }
    *pointers = NULL;
}
