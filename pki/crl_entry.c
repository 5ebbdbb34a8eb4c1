#include "pki/crl_entry.h"

#include <string.h>

#include "pki/der.h"

enum {
    TAG_BOOLEAN = 0x01,
    TAG_INTEGER = 0x02,
    TAG_ENUMERATED = 0x0a,
    TAG_UTC_TIME = 0x17,
    TAG_GENERALIZED_TIME = 0x18
};

/* 2.5.29.21 and 2.5.29.29 */
static const unsigned char oid_reason[] = { 0x55, 0x1d, 0x15 };
static const unsigned char oid_issuer[] = { 0x55, 0x1d, 0x1d };

/* X.690 8.3.2: the first nine bits are neither all zero nor all one. */
static bool
integer_is_shortest(struct span content)
{
    if (content.n < 2)
        return content.n == 1;
    return !(content.p[0] == 0x00 && content.p[1] < 0x80) &&
           !(content.p[0] == 0xff && content.p[1] >= 0x80);
}

bool
pki_crl_entry_parse(struct span *rest, struct pki_crl_entry_parts *out)
{
    struct pki_der entry, part;

    if (!pki_der_next(rest, &entry) || entry.tag != PKI_DER_SEQUENCE)
        return false;
    if (!pki_der_next(&entry.content, &part) || part.tag != TAG_INTEGER ||
        !integer_is_shortest(part.content))
        return false;
    out->serial = part.content;
    if (!pki_der_next(&entry.content, &part) ||
        (part.tag != TAG_UTC_TIME && part.tag != TAG_GENERALIZED_TIME))
        return false;
    out->date = part.whole;
    out->has_extensions = entry.content.n > 0;
    if (!out->has_extensions)
        return true;
    if (!pki_der_next(&entry.content, &part) || part.tag != PKI_DER_SEQUENCE)
        return false;
    out->extensions = part.content;
    return entry.content.n == 0;
}

static bool
is_oid(struct span content, const unsigned char *oid, size_t n)
{
    return content.n == n && memcmp(content.p, oid, n) == 0;
}

/* The reasons have one octet (5.3.1). */
static void
reason_parse(struct span value, struct pki_crl_entry_extras *out)
{
    struct pki_der reason;

    if (out->reason >= 0)
        out->fault = "an entry gives its reason twice";
    else if (!pki_der_next(&value, &reason) || value.n > 0 || reason.tag != TAG_ENUMERATED ||
             reason.content.n != 1 || reason.content.p[0] > 0x7f)
        out->fault = "an entry has a malformed reasonCode";
    else
        out->reason = reason.content.p[0];
}

static bool
extension_parse(struct span content, struct pki_crl_entry_extras *out)
{
    struct pki_der oid, value;
    bool critical = false;

    if (!pki_der_next(&content, &oid) || oid.tag != PKI_DER_OID || !pki_der_next(&content, &value))
        return false;
    if (value.tag == TAG_BOOLEAN) {
        if (value.content.n != 1)
            return false;
        critical = value.content.p[0] != 0;
        if (!pki_der_next(&content, &value))
            return false;
    }
    if (value.tag != PKI_DER_OCTET_STRING || content.n > 0)
        return false;
    if (is_oid(oid.content, oid_issuer, sizeof oid_issuer)) {
        if (out->issuers.p)
            out->fault = "an entry names its issuer twice";
        out->issuers = value.content;
        return true;
    }
    if (critical)
        out->fault = "an entry has a critical extension that is not known";
    if (is_oid(oid.content, oid_reason, sizeof oid_reason))
        reason_parse(value.content, out);
    return true;
}

bool
pki_crl_entry_parse_extras(struct span extensions, struct pki_crl_entry_extras *out)
{
    struct pki_der extension;

    *out = (struct pki_crl_entry_extras){ .reason = -1 };
    while (extensions.n > 0) {
        if (!pki_der_next(&extensions, &extension) || extension.tag != PKI_DER_SEQUENCE ||
            !extension_parse(extension.content, out))
            return false;
    }
    return true;
}

struct span
pki_crl_entry_serial(struct span from)
{
    struct pki_der entry = { .tag = 0 }, serial = { .tag = 0 };

    (void)(pki_der_next(&from, &entry) && pki_der_next(&entry.content, &serial));
    return serial.content;
}

void
pki_crl_entry_get(struct span from, struct pki_crl_found *out)
{
    struct pki_crl_entry_parts entry = { .has_extensions = false };
    struct pki_crl_entry_extras extras = { .reason = -1 };

    (void)!pki_crl_entry_parse(&from, &entry);
    if (entry.has_extensions)
        (void)!pki_crl_entry_parse_extras(entry.extensions, &extras);
    *out = (struct pki_crl_found){ .date = entry.date, .reason = extras.reason };
}
