#include "directory/ldap_connection.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openldap.h>

#include "directory/resolve.h"
#include "util/clock.h"
#include "util/file.h"
#include "util/log.h"

enum { LIMIT_PASSWORD = 1024 };

/* libldap reads ldap.conf, ~/.ldaprc and LDAP* of the environment when it is first called, and what
 * stands there (another CA, TLS_REQCERT never, a SIZELIMIT) would become ours. It looks for this
 * variable; it is set before there are threads, since setenv(3) and getenv(3) do not mix. */
__attribute__((constructor)) static void
refuse_inherited_settings(void)
{
    (void)setenv("LDAPNOINIT", "1", 1);
}

/* ---- the account ----------------------------------------------------------------------------- */

static enum err_code
out_of_memory(struct err *err)
{
    return err_set(err, ERR_NOMEM, "no memory for a connection to a directory");
}

static enum err_code
read_password(const char *path, char **out, struct err *err)
{
    const struct file_read_args args = { .limit_bytes = LIMIT_PASSWORD, .forbidden_mode = 0027 };
    struct buf text = BUF_INIT(LIMIT_PASSWORD);
    struct err mine = ERR_INIT;
    enum err_code code = file_read(path, &args, &text, &mine);
    if (code == ERR_NOTFOUND)
        code = ERR_PERM;
    if (code != ERR_OK) {
        buf_free(&text);
        return err_set(err, code, "bind_password_file: %s", mine.text);
    }
    while (text.n > 0 && (text.p[text.n - 1] == '\n' || text.p[text.n - 1] == '\r'))
        text.n--;
    /* RFC 4513 5.1.2: a name and no password is an "unauthenticated" bind, which many servers
     * answer with success. */
    if (text.n == 0 || memchr(text.p, '\0', text.n))
        code = err_set(err, ERR_PERM, "bind_password_file: %.200s holds no password", path);
    else if (!(*out = span_dup(buf_span(&text))))
        code = out_of_memory(err);
    buf_free(&text);
    return code;
}

enum err_code
directory_ldap_account_init(struct directory_ldap_account *account,
                            const struct conf_directory *conf, struct err *err)
{
    *account = (struct directory_ldap_account){
        .starttls = conf->starttls,
        .dn = strdup(conf->bind_dn),
        .ca_file = strdup(conf->tls_ca_file),
        .certificate = strdup(conf->tls_certificate),
        .key = strdup(conf->tls_key),
    };
    enum err_code code = ERR_OK;
    if (!account->dn || !account->ca_file || !account->certificate || !account->key)
        code = out_of_memory(err);
    if (strcmp(conf->bind, "external") == 0)
        account->bind = DIRECTORY_LDAP_BIND_EXTERNAL;
    if (strcmp(conf->bind, "simple") == 0) {
        account->bind = DIRECTORY_LDAP_BIND_SIMPLE;
        if (code == ERR_OK && !account->dn[0])
            code = err_set(err, ERR_PERM, "bind = simple needs bind_dn");
        if (code == ERR_OK)
            code = read_password(conf->bind_password_file, &account->password, err);
    }
    if (code != ERR_OK)
        directory_ldap_account_deinit(account);
    return code;
}

void
directory_ldap_account_deinit(struct directory_ldap_account *account)
{
    if (account->password)
        explicit_bzero(account->password, strlen(account->password));
    free(account->password);
    free(account->dn);
    free(account->ca_file);
    free(account->certificate);
    free(account->key);
    *account = (struct directory_ldap_account){ .dn = NULL };
}

/* ---- errors ---------------------------------------------------------------------------------- */

enum err_code
directory_ldap_connection_error(struct directory_ldap_connection *connection, int code,
                                const char *what, struct err *err)
{
    char *diagnostic = NULL, shown[300];
    if (connection && connection->ldap)
        (void)ldap_get_option(connection->ldap, LDAP_OPT_DIAGNOSTIC_MESSAGE, &diagnostic);
    bool has_more = diagnostic && diagnostic[0];
    log_escape(span_str(has_more ? diagnostic : ""), shown, sizeof shown);
    ldap_memfree(diagnostic);
    return err_set(err, code == LDAP_NO_MEMORY ? ERR_NOMEM : ERR_TEMP, "%s: %s%s%s", what,
                   ldap_err2string(code), has_more ? ": " : "", shown);
}

/* ---- options and TLS ------------------------------------------------------------------------- */

static int
set_options(LDAP *ldap)
{
    const int version = LDAP_VERSION3, deref = LDAP_DEREF_NEVER;
    ber_len_t bytes = DIRECTORY_LDAP_MESSAGE_BYTES;
    Sockbuf *socket = NULL;
    int code = ldap_set_option(ldap, LDAP_OPT_PROTOCOL_VERSION, &version);
    if (code == LDAP_SUCCESS)
        code = ldap_set_option(ldap, LDAP_OPT_DEREF, &deref);
    if (code == LDAP_SUCCESS)
        code = ldap_set_option(ldap, LDAP_OPT_REFERRALS, LDAP_OPT_OFF);
    if (code == LDAP_SUCCESS)
        code = ldap_set_option(ldap, LDAP_OPT_RESTART, LDAP_OPT_ON);
    if (code == LDAP_SUCCESS)
        code = ldap_get_option(ldap, LDAP_OPT_SOCKBUF, &socket);
    if (code == LDAP_SUCCESS && ber_sockbuf_ctrl(socket, LBER_SB_OPT_SET_MAX_INCOMING, &bytes) < 0)
        code = LDAP_LOCAL_ERROR;
    return code;
}

static int
set_tls_options(LDAP *ldap, const struct directory_ldap_account *account)
{
    const int demand = LDAP_OPT_X_TLS_DEMAND, oldest = LDAP_OPT_X_TLS_PROTOCOL_TLS1_2, client = 0;
    int code = ldap_set_option(ldap, LDAP_OPT_X_TLS_REQUIRE_CERT, &demand);
    if (code == LDAP_SUCCESS)
        code = ldap_set_option(ldap, LDAP_OPT_X_TLS_PROTOCOL_MIN, &oldest);
    if (code == LDAP_SUCCESS && account->ca_file[0])
        code = ldap_set_option(ldap, LDAP_OPT_X_TLS_CACERTFILE, account->ca_file);
    if (code == LDAP_SUCCESS && account->certificate[0])
        code = ldap_set_option(ldap, LDAP_OPT_X_TLS_CERTFILE, account->certificate);
    if (code == LDAP_SUCCESS && account->key[0])
        code = ldap_set_option(ldap, LDAP_OPT_X_TLS_KEYFILE, account->key);
    if (code == LDAP_SUCCESS)
        code = ldap_set_option(ldap, LDAP_OPT_X_TLS_NEWCTX, &client);
    return code;
}

static enum err_code
start_tls(struct directory_ldap_connection *connection,
          const struct directory_ldap_connection_args *args, struct err *err)
{
    bool is_wanted = args->server->is_tls || (!args->server->socket && args->account->starttls);
    if (!is_wanted)
        return ERR_OK;
    int code = set_tls_options(connection->ldap, args->account);
    if (code != LDAP_SUCCESS)
        return directory_ldap_connection_error(connection, code, "TLS cannot be set up", err);
    if (args->server->is_tls) {
        code = ldap_install_tls(connection->ldap);
        if (code != LDAP_SUCCESS)
            return directory_ldap_connection_error(connection, code, "no TLS", err);
        return ERR_OK;
    }
    code = ldap_start_tls_s(connection->ldap, NULL, NULL);
    if (code != LDAP_SUCCESS)
        return directory_ldap_connection_error(connection, code, "no StartTLS", err);
    return ERR_OK;
}

/* ---- bind ------------------------------------------------------------------------------------ */

static enum err_code
bind_account(struct directory_ldap_connection *connection,
             const struct directory_ldap_connection_args *args, struct err *err)
{
    const struct directory_ldap_account *account = args->account;
    struct berval none = { .bv_val = (char *)"", .bv_len = 0 }, password = none;
    int code;
    if (account->bind == DIRECTORY_LDAP_BIND_SIMPLE)
        password =
            (struct berval){ .bv_val = account->password, .bv_len = strlen(account->password) };
    if (account->bind == DIRECTORY_LDAP_BIND_EXTERNAL)
        code = ldap_sasl_bind_s(connection->ldap, NULL, "EXTERNAL", &none, NULL, NULL, NULL);
    else
        code = ldap_sasl_bind_s(connection->ldap,
                                account->bind == DIRECTORY_LDAP_BIND_SIMPLE ? account->dn : "",
                                LDAP_SASL_SIMPLE, &password, NULL, NULL, NULL);
    if (code != LDAP_SUCCESS)
        return directory_ldap_connection_error(connection, code, "no bind", err);
    return ERR_OK;
}

/* ---- the object ------------------------------------------------------------------------------ */

static enum err_code
open_ldap(struct directory_ldap_connection *connection,
          const struct directory_ldap_connection_args *args, int *fd, struct err *err)
{
    int code = ldap_init_fd(*fd, args->server->socket ? LDAP_PROTO_IPC : LDAP_PROTO_TCP,
                            args->server->name, &connection->ldap);
    if (code != LDAP_SUCCESS)
        return directory_ldap_connection_error(NULL, code, "libldap refuses the connection", err);
    *fd = -1; /* libldap closes it */
    code = set_options(connection->ldap);
    if (code != LDAP_SUCCESS)
        return directory_ldap_connection_error(connection, code, "libldap refuses an option", err);
    return ERR_OK;
}

enum err_code
directory_ldap_connection_new(const struct directory_ldap_connection_args *args,
                              struct directory_ldap_connection **out,
                              enum directory_ldap_step *step, struct err *err)
{
    enum directory_ldap_step at = DIRECTORY_LDAP_STEP_CONNECT;
    struct directory_ldap_connection *connection = calloc(1, sizeof *connection);
    struct err mine = ERR_INIT;
    int fd = -1;
    *out = NULL;
    if (!connection)
        return out_of_memory(err);
    connection->watch.fd = -1;
    connection->guard = args->guard;
    enum err_code code = directory_resolve_connect(args->server, args->deadline_ms, &fd, &mine);
    if (code == ERR_OK)
        code = directory_guard_watch_init(&connection->watch, fd, &mine);
    if (code == ERR_OK)
        code = directory_guard_set(args->guard, &connection->watch, args->deadline_ms, &mine);
    if (code == ERR_OK)
        code = open_ldap(connection, args, &fd, &mine);
    at = code == ERR_OK ? DIRECTORY_LDAP_STEP_TLS : at;
    if (code == ERR_OK)
        code = start_tls(connection, args, &mine);
    if (code == ERR_OK) {
        at = DIRECTORY_LDAP_STEP_BIND;
        code = bind_account(connection, args, &mine);
    }
    if (fd >= 0)
        close(fd);
    if (step)
        *step = code == ERR_OK ? DIRECTORY_LDAP_STEP_SEARCH : at;
    if (code == ERR_OK) {
        *out = connection;
        return ERR_OK;
    }
    bool was_late = directory_guard_reset(args->guard, &connection->watch);
    directory_ldap_connection_free(&connection);
    static const char *const words[] = { "connect", "TLS", "bind" };
    if (was_late)
        return err_set(err, ERR_TEMP, "%s: no answer in time (%s)", args->server->name, words[at]);
    return err_set(err, code, "%s: %s", args->server->name, mine.text);
}

void
directory_ldap_connection_free(struct directory_ldap_connection **connection)
{
    if (!connection || !*connection)
        return;
    struct directory_ldap_connection *c = *connection;
    *connection = NULL;
    /* What is said at the end must not be waited for: closing a TLS session writes. A socket that
     * is shut takes nothing and never blocks, but it would raise no signal: libldap ignores EPIPE.
     */
    if (c->watch.fd >= 0) {
        struct err ignored = ERR_INIT;
        (void)!directory_guard_set(c->guard, &c->watch, clock_monotonic_ms() + 100, &ignored);
    }
    if (c->ldap)
        (void)ldap_unbind_ext(c->ldap, NULL, NULL);
    if (c->watch.fd >= 0)
        (void)directory_guard_reset(c->guard, &c->watch);
    directory_guard_watch_deinit(&c->watch);
    free(c);
}

enum err_code
directory_ldap_connection_resume(struct directory_ldap_connection *connection, int64_t deadline_ms,
                                 struct err *err)
{
    struct pollfd fds = { .fd = connection->watch.fd, .events = POLLIN };
    /* Whatever can be read on an idle connection is its end, or a notice of it (RFC 4511 4.4.1). */
    if (poll(&fds, 1, 0) != 0)
        return err_set(err, ERR_TEMP, "the server closed an idle connection");
    return directory_guard_set(connection->guard, &connection->watch, deadline_ms, err);
}

bool
directory_ldap_connection_suspend(struct directory_ldap_connection *connection)
{
    return !directory_guard_reset(connection->guard, &connection->watch);
}
