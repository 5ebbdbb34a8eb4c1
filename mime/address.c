#include "mime/address.h"

#include <stdlib.h>
#include <strings.h>

#include <idn2.h>

#include "mime/local.h"

enum {
    LABEL_MAX = 63,   /* RFC 1035 2.3.4 */
    DOMAIN_MAX = 253, /* the same, as text without the final dot */
    LOCAL_MAX = 512,  /* eight times RFC 5321 4.5.3.1.1: old systems are generous */
    PATTERN_MAX = 1024,
};

/* ---- domains --------------------------------------------------------------------------------- */

static char
lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

/* Letters, digits, hyphens and, since it is seen, the underscore; labels of 1 to 63. */
static bool
is_hostname(const char *domain)
{
    size_t n = strlen(domain);
    size_t label = 0;
    if (n == 0 || n > DOMAIN_MAX)
        return false;
    for (size_t i = 0; i < n; i++) {
        char c = domain[i];
        if (c == '.') {
            if (label == 0 || domain[i - 1] == '-')
                return false;
            label = 0;
            continue;
        }
        bool is_alnum = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (!is_alnum && c != '_' && (c != '-' || label == 0))
            return false;
        if (++label > LABEL_MAX)
            return false;
    }
    return label > 0 && domain[n - 1] != '-';
}

/* "[192.0.2.1]", "[IPv6:...]": compared as text. */
static bool
is_literal(const char *domain)
{
    size_t n = strlen(domain);
    if (n < 3 || n > DOMAIN_MAX || domain[0] != '[' || domain[n - 1] != ']')
        return false;
    for (size_t i = 1; i + 1 < n; i++) {
        if (domain[i] <= ' ' || domain[i] >= 0x7f || strchr("[]\\<>@", domain[i]))
            return false;
    }
    return true;
}

static enum err_code
format_ascii_domain(struct span domain, char out[DOMAIN_MAX + 1])
{
    if (domain.n > DOMAIN_MAX)
        return ERR_PERM;
    for (size_t i = 0; i < domain.n; i++)
        out[i] = lower((char)domain.p[i]);
    out[domain.n] = '\0';
    return (out[0] == '[' ? is_literal(out) : is_hostname(out)) ? ERR_OK : ERR_PERM;
}

/* Lower case, and A-labels for what is not ASCII. RFC 5891 5, with the mapping of UTS 46 (that is
 * what resolvers and MTAs do). ERR_PERM: not a domain. ERR_NOMEM can happen only where it is not
 * ASCII: were it taken for "not a domain", a rule would stop matching and its mail leave plain. */
static enum err_code
format_domain(struct span domain, char out[DOMAIN_MAX + 1])
{
    char copy[PATTERN_MAX + 1];
    char *mapped = NULL;

    if (domain.n == 0 || domain.n > PATTERN_MAX || memchr(domain.p, '\0', domain.n))
        return ERR_PERM;
    if (mime_local_is_ascii(domain))
        return format_ascii_domain(domain, out);
    if (!mime_local_is_utf8(domain))
        return ERR_PERM;
    memcpy(copy, domain.p, domain.n);
    copy[domain.n] = '\0';
    int rc = idn2_to_ascii_8z(copy, &mapped, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
    if (rc != IDN2_OK)
        return rc == IDN2_MALLOC ? ERR_NOMEM : ERR_PERM;
    enum err_code code = format_ascii_domain(span_str(mapped), out);
    idn2_free(mapped);
    return code;
}

/* ---- one address ----------------------------------------------------------------------------- */

/* "content"@...: resolves escapes. Returns the length up to behind the closing quote, 0 if bad. */
static size_t
take_quoted(struct span address, unsigned char *content, size_t *content_n)
{
    for (size_t i = 1; i < address.n; i++) {
        unsigned char c = address.p[i];
        if (c == '"')
            return i + 1;
        if (c == '\\') {
            if (++i == address.n)
                return 0;
            c = address.p[i];
        }
        if (*content_n == LOCAL_MAX)
            return 0;
        content[(*content_n)++] = c;
    }
    return 0;
}

/* local@...: no special characters, but dots wherever they are, as some systems have them. */
static size_t
take_atoms(struct span address, unsigned char *content, size_t *content_n)
{
    for (size_t i = 0; i < address.n; i++) {
        unsigned char c = address.p[i];
        if (c == '@')
            return i;
        if ((c != '.' && !mime_local_is_atext(c)) || *content_n == LOCAL_MAX)
            return 0;
        content[(*content_n)++] = c;
    }
    return 0;
}

/* As mime_address_format, without words. */
static enum err_code
format(struct span address, char out[MIME_ADDRESS_SIZE])
{
    unsigned char content[LOCAL_MAX];
    char local[2 * LOCAL_MAX + 3];
    char domain[DOMAIN_MAX + 1];
    size_t content_n = 0;

    if (address.n == 0 || address.n > PATTERN_MAX || memchr(address.p, '<', address.n) ||
        memchr(address.p, '>', address.n))
        return ERR_PERM;
    size_t at = address.p[0] == '"' ? take_quoted(address, content, &content_n)
                                    : take_atoms(address, content, &content_n);
    if (at == 0 || at >= address.n || address.p[at] != '@')
        return ERR_PERM;
    size_t local_n = mime_local_format(span_of(content, content_n), local, sizeof local);
    if (local_n == 0)
        return ERR_PERM;
    enum err_code code = format_domain(span_from(address, at + 1), domain);
    if (code != ERR_OK)
        return code;
    size_t domain_n = strlen(domain);
    if (local_n + 1 + domain_n >= MIME_ADDRESS_SIZE)
        return ERR_PERM;
    memcpy(out, local, local_n);
    out[local_n] = '@';
    memcpy(out + local_n + 1, domain, domain_n + 1);
    return ERR_OK;
}

enum err_code
mime_address_format(struct span address, char *out, struct err *err)
{
    enum err_code code = format(address, out);

    if (code == ERR_OK)
        return ERR_OK;
    out[0] = '\0';
    return err_set(err, code,
                   code == ERR_NOMEM ? "no memory for an address" : "not a mail address");
}

/* Of a formatted address: the domain holds no '@'. */
static const char *
domain_of(const char *address)
{
    return strrchr(address, '@') + 1;
}

bool
mime_address_is(struct span a, struct span b, bool fold_local)
{
    char one[MIME_ADDRESS_SIZE];
    char two[MIME_ADDRESS_SIZE];
    if (format(a, one) != ERR_OK)
        return false;
    if (span_equal(a, b))
        return true;
    if (format(b, two) != ERR_OK || strcmp(domain_of(one), domain_of(two)) != 0)
        return false;
    size_t n = (size_t)(domain_of(one) - one);
    if (n != (size_t)(domain_of(two) - two))
        return false;
    for (size_t i = 0; i < n; i++) {
        bool same = fold_local ? lower(one[i]) == lower(two[i]) : one[i] == two[i];
        if (!same)
            return false;
    }
    return true;
}

/* ---- patterns -------------------------------------------------------------------------------- */

/* Length of the UTF-8 character at `p`. */
static size_t
step(const unsigned char *p, size_t n)
{
    size_t i = 1;
    while (i < n && (p[i] & 0xc0) == 0x80)
        i++;
    return i;
}

/* '*' and '?', ASCII case folded. Only the last '*' is ever tried again, so the time is at most the
 * product of both lengths, and both are bounded. */
static bool
matches(struct span pattern, struct span text)
{
    size_t p = 0, t = 0;
    size_t star = pattern.n; /* behind the last '*', and where its text ends */
    size_t star_text = 0;
    bool has_star = false;
    while (t < text.n) {
        char c = p < pattern.n ? (char)pattern.p[p] : '\0';
        if (p < pattern.n && c == '*') {
            has_star = true;
            star = ++p;
            star_text = t;
        } else if (p < pattern.n && c == '?') {
            p++;
            t += step(text.p + t, text.n - t);
        } else if (p < pattern.n && lower(c) == lower((char)text.p[t])) {
            p++;
            t++;
        } else if (has_star) {
            p = star;
            star_text += step(text.p + star_text, text.n - star_text);
            t = star_text;
        } else {
            return false;
        }
    }
    while (p < pattern.n && pattern.p[p] == '*')
        p++;
    return p == pattern.n;
}

/* The domain of a pattern, label by label: A-labels where there is no wildcard in the label. */
static enum err_code
format_pattern_domain(struct span domain, char *out, size_t size)
{
    size_t out_n = 0;
    for (;;) {
        size_t n = span_find(domain, '.');
        struct span label = span_of(domain.p, n);
        char mapped[DOMAIN_MAX + 1];
        if (!mime_local_is_ascii(label)) {
            bool wild = span_find(label, '*') < label.n || span_find(label, '?') < label.n;
            enum err_code code = wild ? ERR_PERM : format_domain(label, mapped);
            if (code != ERR_OK)
                return code;
            label = span_str(mapped);
        }
        if (out_n + label.n + 2 > size)
            return ERR_PERM;
        memcpy(out + out_n, label.p, label.n);
        out_n += label.n;
        if (n == domain.n)
            break;
        out[out_n++] = '.';
        domain = span_from(domain, n + 1);
    }
    out[out_n] = '\0';
    return ERR_OK;
}

/* A pattern in the parts it is compared by. ".dom" is "*@*.dom", "@dom" is "*@dom". */
struct pattern {
    struct span local; /* points to `normal`, or to "*" */
    char normal[PATTERN_MAX];
    char domain[PATTERN_MAX + 1];
};

static enum err_code
parse_pattern(const char *text, struct pattern *out)
{
    const char *at = strrchr(text, '@');
    const char *domain = at ? at + 1 : text;
    size_t prefix = !at && domain[0] == '.';

    if (strlen(text) > PATTERN_MAX)
        return ERR_PERM;
    out->local = span_str("*");
    if (at && at > text) {
        struct span local = span_of(text, (size_t)(at - text));

        local.n = mime_local_normalise(local, out->normal, sizeof out->normal);
        if (local.n == 0)
            return ERR_PERM;
        out->local = span_of(out->normal, local.n);
    }
    if (!at && domain[0] != '.' && strncmp(domain, "*.", 2) != 0)
        return ERR_PERM;
    out->domain[0] = '*';
    return format_pattern_domain(span_str(domain), out->domain + prefix,
                                 sizeof out->domain - prefix);
}

/* As mime_address_match, without words; ERR_PERM and ERR_NOTFOUND both mean no. Most patterns are
 * of another domain, and an ASCII domain needs no other form to see that. */
static enum err_code
match(const char *text, const char *address)
{
    char formatted[MIME_ADDRESS_SIZE];
    struct pattern pattern;
    const char *host = strrchr(address, '@');

    if (strcmp(text, "*") == 0)
        return ERR_OK;
    if (!host)
        return ERR_PERM;
    enum err_code code = parse_pattern(text, &pattern);
    if (code != ERR_OK)
        return code;
    if (mime_local_is_ascii(span_str(host + 1)) &&
        !matches(span_str(pattern.domain), span_str(host + 1)))
        return ERR_NOTFOUND;
    code = format(span_str(address), formatted);
    if (code != ERR_OK)
        return code;
    host = domain_of(formatted);
    bool same = matches(span_str(pattern.domain), span_str(host)) &&
                matches(pattern.local, span_of(formatted, (size_t)(host - 1 - formatted)));
    return same ? ERR_OK : ERR_NOTFOUND;
}

enum err_code
mime_address_match(const char *pattern, const char *address, struct err *err)
{
    enum err_code code = match(pattern, address);

    if (code == ERR_NOMEM)
        return err_set(err, code, "no memory to compare an address");
    return code == ERR_OK ? ERR_OK : ERR_NOTFOUND;
}
