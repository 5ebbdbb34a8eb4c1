/*
 * One connection to one LDAP server: TLS, bind, and a deadline over everything that libldap does.
 *                                                                       RFC 4511, RFC 4513
 *
 * The socket is connected by us, guarded (directory/guard.h), and then handed to libldap, whose own
 * time-outs do not hold in a TLS handshake, in StartTLS, and in the middle of a message. Every call
 * of libldap happens between open (or resume) and suspend, under a deadline.
 *
 * Certificates of servers are always checked, with the host name. Referrals are off, ldap.conf and
 * ~/.ldaprc are not read. SASL is EXTERNAL alone.
 *
 * Holds the password only in the account, wiped when that is freed. Threads: a connection belongs
 * to one at a time.
 */
#ifndef DIRECTORY_LDAP_CONNECTION_H
#define DIRECTORY_LDAP_CONNECTION_H

#include <ldap.h>

#include "conf/conf.h"
#include "directory/guard.h"
#include "directory/server.h"

enum { DIRECTORY_LDAP_MESSAGE_BYTES = 64 << 20 }; /* of one message of a server */

enum directory_ldap_bind {
    DIRECTORY_LDAP_BIND_ANONYMOUS,
    DIRECTORY_LDAP_BIND_SIMPLE,
    DIRECTORY_LDAP_BIND_EXTERNAL
};

/* As whom we ask, and whom we believe. A copy of its own. */
struct directory_ldap_account {
    enum directory_ldap_bind bind;
    char *dn, *password;
    bool starttls;
    char *ca_file, *certificate, *key; /* "" none */
};

/* Reads the password file. ERR_PERM: an empty password, an unsafe file; ERR_TEMP, ERR_NOMEM. */
ERR_CHECKED enum err_code directory_ldap_account_init(struct directory_ldap_account *account,
                                                      const struct conf_directory *conf,
                                                      struct err *err);
void directory_ldap_account_deinit(struct directory_ldap_account *account);

struct directory_ldap_connection {
    LDAP *ldap;
    struct directory_guard *guard; /* borrowed */
    struct directory_guard_watch watch;
    size_t server;    /* index in the pool's list */
    int64_t since_ms; /* given back; of the pool */
    bool was_used;    /* has answered before: a failure may be its age */
};

struct directory_ldap_connection_args {
    const struct directory_server *server;
    const struct directory_ldap_account *account;
    struct directory_guard *guard;
    int64_t deadline_ms;
};

/* How far it came: for the doctor. */
enum directory_ldap_step {
    DIRECTORY_LDAP_STEP_CONNECT,
    DIRECTORY_LDAP_STEP_TLS,
    DIRECTORY_LDAP_STEP_BIND,
    DIRECTORY_LDAP_STEP_SEARCH,
};

/* Connected, TLS up, bound, and under the deadline. ERR_TEMP: not, and why; *step (may be NULL)
 * says where it ended. */
ERR_CHECKED enum err_code
directory_ldap_connection_new(const struct directory_ldap_connection_args *args,
                              struct directory_ldap_connection **out,
                              enum directory_ldap_step *step, struct err *err);
void directory_ldap_connection_free(struct directory_ldap_connection **connection);

/* Puts an idle connection under a deadline. ERR_TEMP: it is no use any more. */
ERR_CHECKED enum err_code
directory_ldap_connection_resume(struct directory_ldap_connection *connection, int64_t deadline_ms,
                                 struct err *err);
/* Takes the deadline off. False: it struck, the connection is dead. */
bool directory_ldap_connection_suspend(struct directory_ldap_connection *connection);

/* ERR_TEMP with what libldap and the server say about `code`. */
enum err_code directory_ldap_connection_error(struct directory_ldap_connection *connection,
                                              int code, const char *what, struct err *err);

#endif
