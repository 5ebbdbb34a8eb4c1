/*
 * The configuration as the rest of the house sees it: plain structs, made from conf/params.def.
 *
 * A loaded configuration is immutable and reference counted; a message keeps the one it started
 * with, and a reload makes a new one. Values that the file does not give have their default; where
 * each came from is kept for `smimectl dump`.
 *
 * The file, UTF-8: `name = value` lines; sections `rule "name" { ... }`, `trust "name" { ... }`,
 * `directory "name" { ... }`, `user "address" { ... }`, `domain "example.org" { ... }`, `defaults {
 * ... }`; comments from # on; lists separated by blanks or commas, going on
 * after a comma at the end of a line, emptied by ""; values with blanks, commas or braces in double
 * quotes (a backslash before a quote or a backslash); `include "file"` or a pattern (files in order
 * of their names; relative to the folder of the file that says it; five deep). Every error is
 * reported, with file:line:column and a hint.
 *
 * Threads: any, once loaded.
 */
#ifndef CONF_CONF_H
#define CONF_CONF_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "util/err.h"
#include "util/network.h"

struct conf_networks {
    struct network *list;
    size_t count;
};

/* NULL-terminated, never NULL. */
typedef char **conf_list;

/* The struct fields, by type (see params.def). Expanded below for each section. */
#define CONF_FIELD_BOOL(f) bool f;
#define CONF_FIELD_COUNT(f) uint64_t f;
#define CONF_FIELD_DURATION(f) int64_t f; /* ms */
#define CONF_FIELD_SIZE(f) uint64_t f;    /* octets */
#define CONF_FIELD_STRING(f) char *f;     /* "" when empty, never NULL */
#define CONF_FIELD_WORD(f) char *f;
#define CONF_FIELD_HOST(f) char *f;
#define CONF_FIELD_USER(f) char *f;
#define CONF_FIELD_GROUP(f) char *f;
#define CONF_FIELD_PATH(f) char *f;
#define CONF_FIELD_FILE(f) char *f;
#define CONF_FIELD_FILE_SECRET(f) char *f;
#define CONF_FIELD_FOLDER_PRIVATE(f) char *f;
#define CONF_FIELD_FOLDER_DROP(f) char *f;
#define CONF_FIELD_SOCKET(f) char *f;
#define CONF_FIELD_ADDRESS(f) char *f;
#define CONF_FIELD_MODE(f) unsigned f;
#define CONF_FIELD_LIST(f) conf_list f;
#define CONF_FIELD_PATHS(f) conf_list f;
#define CONF_FIELD_PATTERNS(f) conf_list f;
#define CONF_FIELD_ADDRESSES(f) conf_list f;
#define CONF_FIELD_DOMAINS(f) conf_list f;
#define CONF_FIELD_WORDS(f) conf_list f;
#define CONF_FIELD_HEADERS(f) conf_list f;
#define CONF_FIELD_NETWORKS(f) struct conf_networks f;
#define CONF_FIELD_ENUM(f) int f; /* index of the word in params.def */

/* The words of ENUM parameters, in the order of params.def. */
enum conf_sender_identity { CONF_IDENTITY_ENFORCE, CONF_IDENTITY_LOG, CONF_IDENTITY_OFF };
enum conf_secondary { CONF_SECONDARY_REFUSE, CONF_SECONDARY_REWRITE, CONF_SECONDARY_ALLOW };
enum conf_trusted_hosts {
    CONF_TRUSTED_HOSTS_RESOLVE,
    CONF_TRUSTED_HOSTS_REFUSE,
    CONF_TRUSTED_HOSTS_ALLOW
};
enum conf_null_sender { CONF_NULL_SENDER_ALLOW, CONF_NULL_SENDER_KNOWN, CONF_NULL_SENDER_REFUSE };
enum conf_automatic { CONF_AUTOMATIC_CHECK, CONF_AUTOMATIC_ALLOW };
enum conf_display_name { CONF_DISPLAY_NAME_REFUSE, CONF_DISPLAY_NAME_ALLOW };
enum conf_revocation { CONF_REVOCATION_REQUIRE, CONF_REVOCATION_PREFER, CONF_REVOCATION_OFF };
enum conf_cache { CONF_CACHE_MEMORY, CONF_CACHE_REDIS, CONF_CACHE_NONE };
enum conf_revocation_methods {
    CONF_METHODS_CRL_OCSP,
    CONF_METHODS_OCSP_CRL,
    CONF_METHODS_CRL,
    CONF_METHODS_OCSP
};
enum conf_log { CONF_LOG_STDERR, CONF_LOG_SYSLOG };
enum conf_log_form { CONF_LOG_TEXT, CONF_LOG_JSON };
enum conf_direction { CONF_DIRECTION_ANY, CONF_DIRECTION_OUT, CONF_DIRECTION_IN };
enum conf_sign { CONF_SIGN_ALWAYS, CONF_SIGN_NEVER, CONF_SIGN_DEFAULT_ON, CONF_SIGN_DEFAULT_OFF };
enum conf_encrypt {
    CONF_ENCRYPT_NEVER,
    CONF_ENCRYPT_IF_POSSIBLE,
    CONF_ENCRYPT_ALWAYS,
    CONF_ENCRYPT_DEFAULT_ON,
    CONF_ENCRYPT_DEFAULT_OFF
};
enum conf_forbidden_choice { CONF_FORBIDDEN_REFUSE, CONF_FORBIDDEN_IGNORE };
enum conf_groups { CONF_GROUPS_KEEP, CONF_GROUPS_REPLACE };
enum conf_group_fallback { CONF_GROUP_FALLBACK_REFUSE, CONF_GROUP_FALLBACK_REPLACE };
enum conf_unknown_member { CONF_UNKNOWN_MEMBER_REFUSE, CONF_UNKNOWN_MEMBER_SKIP };
enum conf_sign_format { CONF_SIGN_CLEAR, CONF_SIGN_OPAQUE };
enum conf_no_signing { CONF_NO_SIGNING_REFUSE, CONF_NO_SIGNING_UNSIGNED, CONF_NO_SIGNING_DOMAIN };
enum conf_harvest_change { CONF_HARVEST_CHANGE_ACCEPT, CONF_HARVEST_CHANGE_HOLD };
enum conf_no_certificate {
    CONF_NO_CERTIFICATE_REFUSE,
    CONF_NO_CERTIFICATE_RETURN,
    CONF_NO_CERTIFICATE_SIGN,
    CONF_NO_CERTIFICATE_PLAIN
};
enum conf_algorithms { CONF_ALGORITHMS_LEARNT, CONF_ALGORITHMS_RULE };
enum conf_kind_of_mail { CONF_KIND_PROTECT, CONF_KIND_SIGN, CONF_KIND_PASS, CONF_KIND_UNSIGNED };
enum conf_on_poison { CONF_ON_POISON_QUARANTINE, CONF_ON_POISON_DEFER, CONF_ON_POISON_REFUSE };
enum conf_require {
    CONF_REQUIRE_NONE,
    CONF_REQUIRE_SIGNED,
    CONF_REQUIRE_ENCRYPTED,
    CONF_REQUIRE_BOTH
};
enum conf_on { CONF_ON_MARK, CONF_ON_QUARANTINE, CONF_ON_REJECT };
enum conf_decrypt_unsigned { CONF_DECRYPT_UNSIGNED_REFUSE, CONF_DECRYPT_UNSIGNED_MARK };
enum conf_protected_headers { CONF_PROTECTED_IGNORE, CONF_PROTECTED_RESTORE };
enum conf_on_temperror { CONF_ON_TEMPERROR_DEFER = 2 }; /* in the place of reject */

struct conf_global {
#define CONF_GLOBAL(field, type, ...) CONF_FIELD_##type(field)
#include "conf/params.def"
};

struct conf_rule {
    char *name;        /* of the section; unique */
    const bool *given; /* private to conf/ */
#define CONF_MATCH(field, type, ...) CONF_FIELD_##type(field)
#include "conf/params.def"
#define CONF_RULE(field, type, ...) CONF_FIELD_##type(field)
#include "conf/params.def"
};

/* A section user, domain or defaults: settings for rules that leave them open. What the section
 * does not give is not there, whatever its field says: conf_scope_merge reads them. */
struct conf_scope {
    char *name; /* the address or the domain; "" of defaults */
    const bool *given;
#define CONF_SCOPE(field, type, ...) CONF_FIELD_##type(field)
#include "conf/params.def"
#define CONF_RULE(field, type, ...) CONF_FIELD_##type(field)
#include "conf/params.def"
};

struct conf_trust {
    char *name;
#define CONF_TRUST(field, type, ...) CONF_FIELD_##type(field)
#include "conf/params.def"
};

struct conf_directory {
    char *name;
#define CONF_DIRECTORY(field, type, ...) CONF_FIELD_##type(field)
#include "conf/params.def"
};

struct conf {
    struct conf_global global;
    struct conf_rule
        *rules; /* in file order; the built-in rule (all defaults, sign never) is not in it */
    size_t rule_count;
    struct conf_trust *trusts;
    size_t trust_count;
    struct conf_directory *directories;
    size_t directory_count;
    struct conf_scope *users, *domains; /* as they stand; conf_scope_find looks them up */
    size_t user_count, domain_count;
    struct conf_scope *defaults; /* one or none */
    size_t defaults_count;
    /* The rest is private to conf/ (reference count, origins). */
    struct conf_private *private;
};

/* Told about every error: "file:line:column: text; hint". */
typedef void conf_complaint_fn(void *context, const char *file, unsigned line, unsigned column,
                               const char *text);

/* Reads and checks the whole configuration. ERR_PERM after at least one complaint; ERR_NOTFOUND if
 * `path` is not there (no complaint); ERR_TEMP if it cannot be read. err holds the first complaint,
 * with its place. Never connects anywhere, but says when a folder, file, user or group that the
 * file names does not exist or is not safe. `path` NULL: defaults only, and nothing of the system
 * is looked at. `complain` may be NULL. */
ERR_CHECKED enum err_code conf_load(const char *path, conf_complaint_fn *complain, void *context,
                                    struct conf **out, struct err *err);

/* The same from memory; `name` stands for the file in messages. Nothing of the system is looked at:
 * a path need not exist, and `include` is refused. */
ERR_CHECKED enum err_code conf_parse(const char *name, const char *text,
                                     conf_complaint_fn *complain, void *context, struct conf **out,
                                     struct err *err);

/* One more reference to the same configuration, returned: conf_free. */
struct conf *conf_add1(struct conf *conf);

/* Gives one reference back; the last one frees. */
void conf_free(struct conf **conf);

/* Calls `each` for every parameter of every section in file order: section ("" or `rule "x"`),
 * name, value as it would be written, and where from ("default" or "file:line"). No parameter holds
 * a secret: passwords and keys are named by file. All borrowed for the call. */
typedef void conf_each_fn(void *context, const char *section, const char *name, const char *value,
                          const char *from);
void conf_each(const struct conf *conf, conf_each_fn *each, void *context);

/* The annotated sample file (every parameter, commented out, at its default) and the parameter part
 * of smimed.conf(5) (mdoc), both from the table. */
void conf_format_sample(FILE *out);
void conf_format_mdoc(FILE *out);

#endif
