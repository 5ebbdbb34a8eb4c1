#include "pki/fetch_url.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define PKI_FETCH_URL_REFUSED "fetch-refused-url"

static bool
url_is_digit(unsigned char c)
{
    return c >= '0' && c <= '9';
}

static bool
url_is_hex(unsigned char c)
{
    return url_is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* Visible ASCII without what some parsers read as a slash, an end or a quotation. A fragment is
 * never sent, so a certificate has no honest use for it. */
static bool
url_is_plain(struct span text)
{
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] <= 0x20 || text.p[i] >= 0x7f || strchr("\\#\"<>^`{|}", text.p[i]))
            return false;
    return true;
}

/* Labels of letters, digits, hyphen and (seen in the wild) underscore; no last dot, since "name."
 * and "name" are one host with two spellings. An IDN must come as A-label (RFC 5280 7.4). */
static bool
url_is_name(const char *host)
{
    size_t label = 0;

    for (const char *p = host; *p; p++) {
        unsigned char c = (unsigned char)*p;
        if (c == '.') {
            if (label == 0 || p[-1] == '-')
                return false;
            label = 0;
            continue;
        }
        if (!url_is_digit(c) && !(c >= 'a' && c <= 'z') && c != '-' && c != '_')
            return false;
        if ((c == '-' && label == 0) || ++label > 63)
            return false;
    }
    return label > 0 && host[strlen(host) - 1] != '-';
}

/* Would a resolver take the name for a number? Its last label decides: 1, 0x7f, 0177. */
static bool
url_is_number(const char *host)
{
    const char *last = strrchr(host, '.');
    size_t digits;

    last = last ? last + 1 : host;
    if (last[0] == '0' && last[1] == 'x') {
        for (last += 2; url_is_hex((unsigned char)*last);)
            last++;
        return *last == '\0';
    }
    for (digits = 0; url_is_digit((unsigned char)last[digits]);)
        digits++;
    return digits > 0 && last[digits] == '\0';
}

static bool
url_is_localhost(const char *host)
{
    size_t n = strlen(host);

    return strcmp(host, "localhost") == 0 || (n > 10 && strcmp(host + n - 10, ".localhost") == 0);
}

static enum err_code
url_parse_port(struct span text, bool any_port, struct pki_fetch_url *out, struct err *err)
{
    if (text.n > 0) {
        out->port = 0;
        if (text.p[0] != ':' || text.n < 2 || text.n > 6)
            return err_set_reason(err, ERR_TEMP, PKI_FETCH_URL_REFUSED, "the port is malformed");
        for (size_t i = 1; i < text.n; i++) {
            if (!url_is_digit(text.p[i]))
                return err_set_reason(err, ERR_TEMP, PKI_FETCH_URL_REFUSED,
                                      "the port is not a number");
            out->port = out->port * 10 + (text.p[i] - '0');
        }
        if (out->port == 0 || out->port > 65535)
            return err_set_reason(err, ERR_TEMP, PKI_FETCH_URL_REFUSED, "there is no such port");
    }
    if (!any_port && out->port != 80 && out->port != 443)
        return err_set_reason(err, ERR_TEMP, PKI_FETCH_URL_REFUSED,
                              "port %u: only 80 and 443 are asked", out->port);
    return ERR_OK;
}

static enum err_code
url_parse_ipv6(struct span text, struct pki_fetch_url *out, struct err *err)
{
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)(void *)&out->address;
    char literal[INET6_ADDRSTRLEN] = "";

    if (text.n < sizeof literal)
        memcpy(literal, text.p, text.n);
    /* inet_pton takes no zone (fe80::1%eth0): good, it would choose the interface. */
    if (inet_pton(AF_INET6, literal, &in6->sin6_addr) != 1)
        return err_set_reason(err, ERR_TEMP, PKI_FETCH_URL_REFUSED,
                              "what stands in brackets is not an IPv6 address");
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons((uint16_t)out->port);
    inet_ntop(AF_INET6, &in6->sin6_addr, out->host, sizeof out->host);
    return ERR_OK;
}

static enum err_code
url_parse_name(struct span text, struct pki_fetch_url *out, struct err *err)
{
    struct sockaddr_in *in = (struct sockaddr_in *)(void *)&out->address;

    if (text.n == 0 || text.n > PKI_FETCH_HOST_BYTES)
        return err_set_reason(err, ERR_TEMP, PKI_FETCH_URL_REFUSED, "no host, or one too long");
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = text.p[i];
        out->host[i] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
    }
    out->host[text.n] = '\0';
    if (!url_is_name(out->host))
        return err_set_reason(err, ERR_TEMP, PKI_FETCH_URL_REFUSED, "the host is not a name");
    if (url_is_number(out->host)) {
        if (inet_pton(AF_INET, out->host, &in->sin_addr) != 1)
            return err_set_reason(err, ERR_TEMP, PKI_FETCH_URL_REFUSED,
                                  "the host is a number, but not an IPv4 address in four parts");
        in->sin_family = AF_INET;
    } else if (url_is_localhost(out->host)) {
        in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        in->sin_family = AF_INET;
    }
    if (in->sin_family == AF_INET)
        in->sin_port = htons((uint16_t)out->port);
    return ERR_OK;
}

static size_t
url_find_end(struct span text)
{
    size_t i = 0;

    while (i < text.n && text.p[i] != '/' && text.p[i] != '?')
        i++;
    return i;
}

enum err_code
pki_fetch_url_parse(struct span text, bool any_port, struct pki_fetch_url *out, struct err *err)
{
    struct span authority, host, port, rest;
    enum err_code code;
    bool ipv6;
    int n;

    memset(out, 0, sizeof *out);
    if (text.n == 0 || text.n > PKI_FETCH_URL_BYTES)
        return err_set_reason(err, ERR_TEMP, PKI_FETCH_URL_REFUSED,
                              "a URL has 1 to %d octets, this one %zu", PKI_FETCH_URL_BYTES,
                              text.n);
    if (!url_is_plain(text))
        return err_set_reason(err, ERR_TEMP, PKI_FETCH_URL_REFUSED,
                              "an octet that no URL may have");
    out->https = span_starts_nocase(text, "https://");
    if (!out->https && !span_starts_nocase(text, "http://"))
        return err_set_reason(err, ERR_TEMP, PKI_FETCH_URL_REFUSED, "neither http nor https");
    out->port = out->https ? 443 : 80;
    authority = span_from(text, out->https ? 8 : 7);
    rest = span_from(authority, url_find_end(authority));
    authority.n -= rest.n;
    if (span_find(authority, '@') < authority.n)
        return err_set_reason(err, ERR_TEMP, PKI_FETCH_URL_REFUSED, "a user name or password");
    ipv6 = authority.n > 0 && authority.p[0] == '[';
    if (ipv6 && span_find(authority, ']') == authority.n)
        return err_set_reason(err, ERR_TEMP, PKI_FETCH_URL_REFUSED, "a bracket is not closed");
    host = span_of(authority.p, span_find(authority, ipv6 ? ']' : ':'));
    port = span_from(authority, host.n + ipv6);
    if ((code = url_parse_port(port, any_port, out, err)) != ERR_OK)
        return code;
    code = ipv6 ? url_parse_ipv6(span_from(host, 1), out, err) : url_parse_name(host, out, err);
    if (code != ERR_OK)
        return code;
    n = snprintf(out->text, sizeof out->text, "%s://%s%s%s:%u%s%.*s", out->https ? "https" : "http",
                 ipv6 ? "[" : "", out->host, ipv6 ? "]" : "", out->port,
                 rest.n > 0 && rest.p[0] == '/' ? "" : "/", SPAN_ARG(rest));
    if (n < 0 || (size_t)n >= sizeof out->text)
        return err_set_reason(err, ERR_TEMP, PKI_FETCH_URL_REFUSED, "the URL is too long");
    return ERR_OK;
}
