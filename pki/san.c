#include "pki/san.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/x509v3.h>

#include "mime/address.h"
#include "pki/crypto.h"

static enum err_code
san_add(struct pki_san *san, struct span address, struct err *err)
{
    char formatted[MIME_ADDRESS_SIZE];
    struct err ignored = ERR_INIT;
    enum err_code code = mime_address_format(address, formatted, &ignored);
    char **list;

    if (code == ERR_NOMEM)
        return err_set(err, code, "%s", ignored.text);
    if (code != ERR_OK) {
        san->bad = true;
        return ERR_OK;
    }
    if (san->count >= PKI_SAN_LIMIT)
        return err_set(err, ERR_LIMIT, "more than %d addresses in a certificate", PKI_SAN_LIMIT);
    list = realloc(san->list, (san->count + 2) * sizeof *list);
    if (!list)
        return err_set(err, ERR_NOMEM, "no memory for the addresses of a certificate");
    san->list = list;
    list[san->count] = strdup(formatted);
    if (!list[san->count])
        return err_set(err, ERR_NOMEM, "no memory for the addresses of a certificate");
    list[++san->count] = NULL;
    return ERR_OK;
}

/* Visible ASCII only: neither NUL nor control characters nor white space nor octets above 126. */
static bool
is_visible_ascii(struct span s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] <= 0x20 || s.p[i] >= 0x7f)
            return false;
    }
    return s.n > 0;
}

/* White space, controls and invisible format characters beyond ASCII, and whatever is not UTF-8.
 * Written against look-alikes: U+00A0 or U+200B at the end of a local part. */
static bool
has_bad_utf8(struct span s)
{
    const unsigned char *p = s.p;
    size_t left = s.n;

    while (left > 0) {
        unsigned long c;
        int used = UTF8_getc(p, (int)left, &c);
        if (used <= 0)
            return true;
        if (c <= 0x20 || (c >= 0x7f && c <= 0xa0) || c == 0xad || c == 0x1680 || c == 0x180e ||
            (c >= 0x2000 && c <= 0x200f) || (c >= 0x2028 && c <= 0x202f) ||
            (c >= 0x205f && c <= 0x206f) || c == 0x3000 || c == 0xfeff ||
            (c >= 0xd800 && c <= 0xdfff) || (c >= 0xfff9 && c <= 0xffff))
            return true;
        p += used;
        left -= (size_t)used;
    }
    return false;
}

/* RFC 9598 3: a local part that is not ASCII (an ASCII one must be an rfc822Name, where name
 * constraints see it), and a domain of lower-case LDH labels and A-labels. */
static bool
is_utf8_mailbox(struct span s)
{
    bool local_is_ascii = true;
    size_t at = s.n;

    if (s.n == 0 || has_bad_utf8(s))
        return false;
    while (at > 0 && s.p[at - 1] != '@')
        at--;
    if (at == 0)
        return false;
    for (size_t i = 0; i + 1 < at; i++)
        local_is_ascii = local_is_ascii && s.p[i] < 0x80;
    for (size_t i = at; i < s.n; i++) {
        unsigned char c = s.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.'))
            return false;
    }
    return !local_is_ascii;
}

static enum err_code
name_parse(const GENERAL_NAME *name, struct pki_san *out, struct err *err)
{
    struct span s;

    if (name->type == GEN_EMAIL) {
        s = span_of(ASN1_STRING_get0_data(name->d.rfc822Name),
                    (size_t)ASN1_STRING_length(name->d.rfc822Name));
        if (is_visible_ascii(s))
            return san_add(out, s, err);
        out->bad = true;
        return ERR_OK;
    }
    if (name->type == GEN_OTHERNAME &&
        OBJ_obj2nid(name->d.otherName->type_id) == NID_id_on_SmtpUTF8Mailbox) {
        const ASN1_TYPE *value = name->d.otherName->value;
        if (value && value->type == V_ASN1_UTF8STRING) {
            s = span_of(ASN1_STRING_get0_data(value->value.utf8string),
                        (size_t)ASN1_STRING_length(value->value.utf8string));
            if (is_utf8_mailbox(s))
                return san_add(out, s, err);
        }
        out->bad = true;
    }
    return ERR_OK;
}

enum err_code
pki_san_parse(const X509 *x509, struct pki_san *out, struct err *err)
{
    int critical = 0;
    GENERAL_NAMES *names = X509_get_ext_d2i(x509, NID_subject_alt_name, &critical, NULL);
    enum err_code code = ERR_OK;

    if (!names) {
        if (pki_crypto_is_short())
            return err_set(err, ERR_NOMEM, "no memory for the addresses of a certificate");
        /* -1: there is none. Two of them, or one that cannot be read: no address at all. */
        if (critical != -1)
            out->bad = true;
        return ERR_OK;
    }
    for (int i = 0; code == ERR_OK && i < sk_GENERAL_NAME_num(names); i++)
        code = name_parse(sk_GENERAL_NAME_value(names, i), out, err);
    GENERAL_NAMES_free(names);
    pki_crypto_reset();
    return code;
}

enum err_code
pki_san_parse_subject(const X509 *x509, struct pki_san *out, struct err *err)
{
    const X509_NAME *subject = X509_get_subject_name(x509);
    enum err_code code = ERR_OK;
    int at = -1;

    while (code == ERR_OK &&
           (at = X509_NAME_get_index_by_NID(subject, NID_pkcs9_emailAddress, at)) >= 0) {
        const ASN1_STRING *value = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
        struct span s = span_of(ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value));
        /* The standard type is IA5String; in two-octet strings ASCII is full of NULs. */
        if (is_visible_ascii(s))
            code = san_add(out, s, err);
        else
            out->bad = true;
    }
    pki_crypto_reset();
    return code;
}

void
pki_san_free(struct pki_san *san)
{
    for (size_t i = 0; i < san->count; i++)
        free(san->list[i]);
    free(san->list);
    *san = (struct pki_san){ .list = NULL };
}
