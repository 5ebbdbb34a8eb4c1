#include "directory/server.h"

#include <stdio.h>
#include <stdlib.h>

#include "util/span.h"

enum { LIMIT_HOST = 255, LIMIT_SOCKET = 107 }; /* sockaddr_un */

static enum err_code
bad_server(const char *text, struct err *err)
{
    return err_set(err, ERR_PERM,
                   "\"%.200s\" is no directory server; write ldaps://host, ldap://host:389, "
                   "host:636, or ldapi:///path",
                   text);
}

static bool
take_prefix(struct span *rest, const char *prefix)
{
    if (!span_starts_nocase(*rest, prefix))
        return false;
    *rest = span_from(*rest, strlen(prefix));
    return true;
}

static int
hex_value(unsigned char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A path, plain or percent-encoded as a host is. */
static enum err_code
parse_socket(const char *text, struct span rest, struct directory_server *out, struct err *err)
{
    char path[LIMIT_SOCKET + 1];
    char encoded[3 * LIMIT_SOCKET + 1];
    size_t n = 0, m = 0;
    for (size_t i = 0; i < rest.n; i++) {
        unsigned char c = rest.p[i];
        if (c == '%') {
            if (rest.n - i < 3 || hex_value(rest.p[i + 1]) < 0 || hex_value(rest.p[i + 2]) < 0)
                return bad_server(text, err);
            c = (unsigned char)(hex_value(rest.p[i + 1]) * 16 + hex_value(rest.p[i + 2]));
            i += 2;
        }
        if (c < 0x21 || c >= 0x7f || n == LIMIT_SOCKET)
            return bad_server(text, err);
        path[n++] = (char)c;
        if (c == '/' || c == '%' || c == '?')
            m += (size_t)snprintf(encoded + m, sizeof encoded - m, "%%%02X", c);
        else
            encoded[m++] = (char)c;
    }
    path[n] = encoded[m] = '\0';
    if (path[0] != '/' || n < 2)
        return bad_server(text, err);
    out->socket = strdup(path);
    out->host = strdup("");
    if (!out->socket || !out->host)
        return err_set(err, ERR_NOMEM, "no memory for a directory server");
    snprintf(out->name, sizeof out->name, "ldapi://%s", encoded);
    return ERR_OK;
}

/* ":389" or nothing. */
static bool
parse_port(struct span text, unsigned *port)
{
    if (text.n == 0)
        return true;
    if (text.p[0] != ':' || text.n < 2 || text.n > 6)
        return false;
    *port = 0;
    for (size_t i = 1; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9')
            return false;
        *port = *port * 10 + (unsigned)(text.p[i] - '0');
    }
    return *port >= 1 && *port <= 65535;
}

/* Splits "[::1]:389" and "host:389". */
static bool
split_host(struct span rest, struct span *host, struct span *port)
{
    if (rest.n > 0 && rest.p[0] == '[') {
        size_t end = span_find(rest, ']');
        if (end == rest.n)
            return false;
        *host = span_of(rest.p + 1, end - 1);
        *port = span_from(rest, end + 1);
        for (size_t i = 0; i < host->n; i++) {
            if (hex_value(host->p[i]) < 0 && host->p[i] != ':' && host->p[i] != '.')
                return false;
        }
        return host->n > 1;
    }
    *host = span_of(rest.p, span_find(rest, ':'));
    *port = span_from(rest, host->n);
    for (size_t i = 0; i < host->n; i++) {
        unsigned char c = host->p[i];
        bool is_name = hex_value(c) >= 0 || (c >= 'g' && c <= 'z') || (c >= 'G' && c <= 'Z') ||
                       c == '.' || c == '-' || c == '_';
        if (!is_name)
            return false;
    }
    return host->n > 0 && host->n <= LIMIT_HOST && host->p[0] != '-' && host->p[0] != '.';
}

enum err_code
directory_server_parse(const char *text, struct directory_server *out, struct err *err)
{
    struct span rest = span_str(text), host, port;
    *out = (struct directory_server){ .port = 0 };
    if (take_prefix(&rest, "ldapi://")) {
        enum err_code code = parse_socket(text, rest, out, err);
        if (code != ERR_OK)
            directory_server_free(out);
        return code;
    }
    bool is_ldaps = take_prefix(&rest, "ldaps://");
    if (!is_ldaps)
        (void)take_prefix(&rest, "ldap://");
    if (rest.n > 0 && rest.p[rest.n - 1] == '/')
        rest.n--;
    if (!split_host(rest, &host, &port) || !parse_port(port, &out->port))
        return bad_server(text, err);
    if (port.n == 0)
        out->port = is_ldaps ? DIRECTORY_SERVER_PORT_TLS : DIRECTORY_SERVER_PORT;
    out->is_tls = is_ldaps || out->port == DIRECTORY_SERVER_PORT_TLS ||
                  out->port == DIRECTORY_SERVER_PORT_CATALOG_TLS;
    out->host = span_dup(host);
    if (!out->host)
        return err_set(err, ERR_NOMEM, "no memory for a directory server");
    bool is_v6 = strchr(out->host, ':') != NULL;
    snprintf(out->name, sizeof out->name, "%s://%s%s%s:%u", out->is_tls ? "ldaps" : "ldap",
             is_v6 ? "[" : "", out->host, is_v6 ? "]" : "", out->port);
    return ERR_OK;
}

void
directory_server_free(struct directory_server *server)
{
    free(server->host);
    free(server->socket);
    *server = (struct directory_server){ .port = 0 };
}
