#include "pki/crl_entries.h"

#include <stdlib.h>
#include <string.h>

#include "pki/crypto.h"
#include "pki/crl_entry.h"
#include "pki/der.h"

#define NO_ISSUER UINT32_MAX

/* One name of an issuer while the list is read; the chains hang on a table by hash. */
struct name {
    struct span der;
    uint32_t next; /* index + 1 */
};

enum { NAME_BUCKETS = 1024 };

struct reader {
    struct pki_crl_entries *entries;
    struct name names[PKI_CRL_ENTRIES_ISSUERS];
    uint32_t buckets[NAME_BUCKETS]; /* index + 1, 0: none */
    size_t segment_cap;
    struct err *err;
};

static uint32_t
bucket_of(struct span der)
{
    uint32_t hash = 2166136261U; /* FNV-1a */

    for (size_t i = 0; i < der.n; i++)
        hash = (hash ^ der.p[i]) * 16777619U;
    return hash % NAME_BUCKETS;
}

/* The number of this certificateIssuer, which is parsed when it is seen for the first time. */
static enum err_code
issuer_find(struct reader *reader, struct span der, uint32_t *out)
{
    struct pki_crl_entries *entries = reader->entries;
    uint32_t *bucket = &reader->buckets[bucket_of(der)], i;
    const unsigned char *p = der.p;
    GENERAL_NAMES *parsed;

    for (i = *bucket; i > 0; i = reader->names[i - 1].next) {
        if (span_equal(reader->names[i - 1].der, der)) {
            *out = i - 1;
            return ERR_OK;
        }
    }
    if (entries->issuer_count >= PKI_CRL_ENTRIES_ISSUERS ||
        der.n > PKI_CRL_ENTRIES_ISSUER_BYTES - entries->issuer_bytes)
        return err_set(reader->err, ERR_LIMIT,
                       "a CRL about more than %d issuers, or %d octets of them",
                       PKI_CRL_ENTRIES_ISSUERS, PKI_CRL_ENTRIES_ISSUER_BYTES);
    if (!entries->issuers &&
        !(entries->issuers = calloc(PKI_CRL_ENTRIES_ISSUERS, sizeof *entries->issuers)))
        return err_set(reader->err, ERR_NOMEM, "no memory for the issuers of a CRL");
    parsed = d2i_GENERAL_NAMES(NULL, &p, (long)der.n);
    if (!parsed && pki_crypto_is_short())
        return err_set(reader->err, ERR_NOMEM, "no memory for the issuers of a CRL");
    if (!parsed || p != der.p + der.n)
        entries->fault = "an entry has a malformed certificateIssuer";
    pki_crypto_reset();
    /* A malformed one names nobody; the fault is told before any entry is believed. */
    entries->issuer_bytes += der.n;
    i = (uint32_t)entries->issuer_count++;
    entries->issuers[i] = parsed;
    reader->names[i] = (struct name){ .der = der, .next = *bucket };
    *bucket = i + 1;
    *out = i;
    return ERR_OK;
}

static enum err_code
segment_add(struct reader *reader, size_t at, uint32_t issuer)
{
    enum { FIRST_CAP = 16 };
    struct pki_crl_entries *entries = reader->entries;

    if (entries->segment_count > 0 &&
        entries->segments[entries->segment_count - 1].issuer == issuer)
        return ERR_OK;
    if (entries->segment_count == reader->segment_cap) {
        size_t cap = reader->segment_cap ? 2 * reader->segment_cap : FIRST_CAP;
        struct pki_crl_segment *more = realloc(entries->segments, cap * sizeof *more);
        if (!more)
            return err_set(reader->err, ERR_NOMEM, "no memory for the issuers of a CRL");
        entries->segments = more;
        reader->segment_cap = cap;
    }
    entries->segments[entries->segment_count++] =
        (struct pki_crl_segment){ .at = (uint32_t)at, .issuer = issuer };
    return ERR_OK;
}

static enum err_code
entry_check(struct reader *reader, const struct pki_crl_entry_parts *entry, size_t at)
{
    struct pki_crl_entries *entries = reader->entries;
    struct pki_crl_entry_extras extras = { .reason = -1 };
    uint32_t issuer = NO_ISSUER;
    enum err_code code;

    if (entry->serial.n > PKI_CRL_ENTRIES_SERIAL_BYTES)
        return err_set(reader->err, ERR_LIMIT, "a CRL with a serial number of more than %d octets",
                       PKI_CRL_ENTRIES_SERIAL_BYTES);
    if (++entries->total > PKI_CRL_ENTRIES_MAX)
        return err_set(reader->err, ERR_LIMIT, "a CRL of more than %d entries",
                       PKI_CRL_ENTRIES_MAX);
    if (entry->serial.n > entries->serial_max)
        entries->serial_max = entry->serial.n;
    if (!entry->has_extensions)
        return ERR_OK;
    entries->extended = true;
    if (!pki_crl_entry_parse_extras(entry->extensions, &extras))
        return err_set(reader->err, ERR_PERM, "not a CRL in DER: malformed extensions of an entry");
    if (extras.fault)
        entries->fault = extras.fault;
    if (!extras.issuers.p)
        return ERR_OK;
    if ((code = issuer_find(reader, extras.issuers, &issuer)) != ERR_OK)
        return code;
    return segment_add(reader, at, issuer);
}

static enum err_code
entries_check(struct pki_crl_entries *entries, struct err *err)
{
    struct reader *reader = calloc(1, sizeof *reader);
    struct span rest = entries->list;
    struct pki_crl_entry_parts entry;
    enum err_code code = ERR_OK;

    if (!reader)
        return err_set(err, ERR_NOMEM, "no memory for a CRL");
    reader->entries = entries;
    reader->err = err;
    while (code == ERR_OK && rest.n > 0) {
        size_t at = (size_t)(rest.p - entries->list.p);
        if (pki_crl_entry_parse(&rest, &entry))
            code = entry_check(reader, &entry, at);
        else
            code = err_set(err, ERR_PERM, "not a CRL in DER: malformed entry");
    }
    free(reader);
    if (entries->segment_count > 0) {
        struct pki_crl_segment *fit =
            realloc(entries->segments, entries->segment_count * sizeof *fit);
        entries->segments = fit ? fit : entries->segments;
    }
    return code;
}

/* The number of the name that rules at `at`, or NO_ISSUER: the CRL's own. */
static uint32_t
issuer_at(const struct pki_crl_entries *entries, uint32_t at)
{
    size_t low = 0, high = entries->segment_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (entries->segments[middle].at <= at)
            low = middle + 1;
        else
            high = middle;
    }
    return low == 0 ? NO_ISSUER : entries->segments[low - 1].issuer;
}

/* The first octets of a serial number, so that sorting seldom has to look into the DER. */
struct key {
    uint64_t prefix;
    uint32_t at;
};

static struct span
serial_at(const struct pki_crl_entries *entries, uint32_t at)
{
    return pki_crl_entry_serial(span_from(entries->list, at));
}

/* Any order will do; this one asks for the length first. */
static int
serial_compare(struct span a, struct span b)
{
    if (a.n != b.n)
        return a.n < b.n ? -1 : 1;
    return memcmp(a.p, b.p, a.n);
}

static int
place_compare(const struct pki_crl_entries *entries, uint32_t a, uint32_t b)
{
    int order = serial_compare(serial_at(entries, a), serial_at(entries, b));
    uint32_t x, y;

    if (order != 0 || entries->segment_count == 0)
        return order;
    x = issuer_at(entries, a);
    y = issuer_at(entries, b);
    return x == y ? 0 : x < y ? -1 : 1;
}

static int
key_compare(const void *a, const void *b, void *context)
{
    const struct key *x = a, *y = b;
    int order;

    if (x->prefix != y->prefix)
        return x->prefix < y->prefix ? -1 : 1;
    order = place_compare(context, x->at, y->at);
    return order ? order : x->at < y->at ? -1 : x->at > y->at;
}

static uint64_t
prefix_of(struct span serial)
{
    uint64_t prefix = serial.n; /* at most 255 */

    for (size_t i = 0; i < sizeof prefix - 1; i++)
        prefix = prefix << 8 | (i < serial.n ? serial.p[i] : 0U);
    return prefix;
}

static bool
is_removed(const struct pki_crl_entries *entries, uint32_t at)
{
    struct pki_crl_found found;

    pki_crl_entry_get(span_from(entries->list, at), &found);
    return found.reason == CRL_REASON_REMOVE_FROM_CRL;
}

/* Writes the index. Of the same number of the same issuer one entry is left, so that whoever writes
 * a million of them makes no look-up slow. */
static void
index_write(struct pki_crl_entries *entries, const struct key *keys)
{
    size_t kept = 0, last = 0;

    for (size_t i = 0; i < entries->count; i++) {
        bool again = kept > 0 && keys[last].prefix == keys[i].prefix &&
                     place_compare(entries, keys[last].at, keys[i].at) == 0;
        if (again && !is_removed(entries, keys[last].at))
            continue;
        kept += !again;
        entries->index[kept - 1] = keys[i].at;
        last = i;
    }
    entries->count = kept;
}

static enum err_code
index_sort(struct pki_crl_entries *entries, struct err *err)
{
    struct key *keys = malloc(entries->count * sizeof *keys);
    uint32_t *fit;

    if (!keys)
        return err_set(err, ERR_NOMEM, "no memory to sort a CRL");
    for (size_t i = 0; i < entries->count; i++) {
        uint32_t at = entries->index[i];
        keys[i] = (struct key){ .prefix = prefix_of(serial_at(entries, at)), .at = at };
    }
    qsort_r(keys, entries->count, sizeof *keys, key_compare, entries);
    index_write(entries, keys);
    free(keys);
    if (entries->count < entries->total &&
        (fit = realloc(entries->index, entries->count * sizeof *fit)))
        entries->index = fit;
    return ERR_OK;
}

static enum err_code
index_new(struct pki_crl_entries *entries, struct err *err)
{
    struct span rest = entries->list;
    struct pki_der entry;
    bool sorted = true;

    if (entries->total == 0)
        return ERR_OK;
    entries->index = malloc(entries->total * sizeof *entries->index);
    if (!entries->index)
        return err_set(err, ERR_NOMEM, "no memory for the index of a CRL");
    while (pki_der_next(&rest, &entry)) {
        uint32_t at = (uint32_t)(entry.whole.p - entries->list.p);
        sorted = sorted && (entries->count == 0 ||
                            place_compare(entries, entries->index[entries->count - 1], at) < 0);
        entries->index[entries->count++] = at;
    }
    return sorted ? ERR_OK : index_sort(entries, err);
}

enum err_code
pki_crl_entries_parse(struct pki_crl_entries *entries, struct span list, struct err *err)
{
    enum err_code code;

    *entries = (struct pki_crl_entries){ .list = list };
    code = entries_check(entries, err);
    return code == ERR_OK ? index_new(entries, err) : code;
}

void
pki_crl_entries_free(struct pki_crl_entries *entries)
{
    for (size_t i = 0; i < entries->issuer_count; i++)
        GENERAL_NAMES_free(entries->issuers[i]);
    free(entries->issuers);
    free(entries->segments);
    free(entries->index);
    *entries = (struct pki_crl_entries){ .count = 0 };
}

size_t
pki_crl_entries_bytes(const struct pki_crl_entries *entries)
{
    enum { PARSED = 10 }; /* a parsed name takes some ten times its octets */

    return entries->count * sizeof *entries->index +
           entries->segment_count * sizeof *entries->segments + PARSED * entries->issuer_bytes;
}

bool
pki_crl_entries_is_named(const GENERAL_NAMES *names, const X509_NAME *issuer)
{
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type == GEN_DIRNAME && X509_NAME_cmp(name->d.directoryName, issuer) == 0)
            return true;
    }
    return false;
}

static bool
is_about(const struct pki_crl_entries *entries, uint32_t at, const X509_NAME *issuer,
         const X509_NAME *crl_issuer)
{
    uint32_t ruling = issuer_at(entries, at);

    if (ruling == NO_ISSUER)
        return !issuer || X509_NAME_cmp(issuer, crl_issuer) == 0;
    return pki_crl_entries_is_named(entries->issuers[ruling], issuer ? issuer : crl_issuer);
}

/* Where the entries of a serial number begin in the index. */
static size_t
place_find(const struct pki_crl_entries *entries, struct span serial)
{
    size_t low = 0, high = entries->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (serial_compare(serial_at(entries, entries->index[middle]), serial) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool
pki_crl_entries_find(const struct pki_crl_entries *entries, const ASN1_INTEGER *serial,
                     const X509_NAME *issuer, const X509_NAME *crl_issuer,
                     struct pki_crl_found *out)
{
    unsigned char der[PKI_CRL_ENTRIES_SERIAL_BYTES + 4], *p = der;
    int n = i2d_ASN1_INTEGER(serial, NULL);
    struct span rest;
    struct pki_der number;
    bool found = false;

    /* What is longer than every number of the list is none of them. */
    if (n <= 0 || (size_t)n > sizeof der || entries->count == 0)
        return false;
    n = i2d_ASN1_INTEGER(serial, &p);
    rest = span_of(der, n > 0 ? (size_t)n : 0);
    if (!pki_der_next(&rest, &number) || number.content.n > entries->serial_max)
        return false;
    for (size_t i = place_find(entries, number.content); i < entries->count; i++) {
        uint32_t at = entries->index[i];
        if (!span_equal(serial_at(entries, at), number.content))
            break;
        if (!is_about(entries, at, issuer, crl_issuer))
            continue;
        pki_crl_entry_get(span_from(entries->list, at), out);
        found = true;
        if (out->reason != CRL_REASON_REMOVE_FROM_CRL)
            break;
    }
    return found;
}
