/*
 * The configuration as the rest of the house sees it: plain structs, made from conf/params.def.
 *
 * A loaded configuration is immutable and reference counted; a message keeps the one it started with, and
 * a reload makes a new one. Values that the file does not give have their default; where each came
 * from is kept for `smimectl dump`.
 *
 * The file: `name = value` lines, sections `rule "name" { ... }`, `trust "name" { ... }`, `directory "name" {
 * ... }`; `#` comments; lists separated by spaces or commas; strings with spaces in double quotes
 * (\" and \\); `include "file"` or "folder/*.conf" (depth 5). Unknown name, duplicate, out of range, missing unit,
 * unclosed section: an error with file:line:column and a hint; all errors are reported, not the first.
 *
 * Threads: any, once loaded.
 */
#ifndef CONF_CONF_H
#define CONF_CONF_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/err.h"

struct conf_network {
    int family; /* AF_INET or AF_INET6 */
    unsigned char address[16];
    unsigned prefix;
};

struct conf_networks {
    struct conf_network *list;
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
#define CONF_FIELD_PATH(f) char *f;
#define CONF_FIELD_SOCKET(f) char *f;
#define CONF_FIELD_ADDRESS(f) char *f;
#define CONF_FIELD_MODE(f) unsigned f;
#define CONF_FIELD_LIST(f) conf_list f;
#define CONF_FIELD_PATHS(f) conf_list f;
#define CONF_FIELD_PATTERNS(f) conf_list f;
#define CONF_FIELD_NETWORKS(f) struct conf_networks f;
#define CONF_FIELD_ENUM(f) int f; /* index of the word in params.def */

/* The words of ENUM parameters, in the order of params.def. */
enum conf_sender_identity { CONF_IDENTITY_ENFORCE, CONF_IDENTITY_LOG, CONF_IDENTITY_OFF };
enum conf_revocation { CONF_REVOCATION_REQUIRE, CONF_REVOCATION_PREFER, CONF_REVOCATION_OFF };
enum conf_log { CONF_LOG_STDERR, CONF_LOG_SYSLOG };
enum conf_log_form { CONF_LOG_TEXT, CONF_LOG_JSON };
enum conf_direction { CONF_DIRECTION_ANY, CONF_DIRECTION_OUT, CONF_DIRECTION_IN };
enum conf_sign { CONF_SIGN_ALWAYS, CONF_SIGN_NEVER };
enum conf_encrypt { CONF_ENCRYPT_NEVER, CONF_ENCRYPT_IF_POSSIBLE, CONF_ENCRYPT_ALWAYS };
enum conf_sign_format { CONF_SIGN_CLEAR, CONF_SIGN_OPAQUE };
enum conf_no_signing { CONF_NO_SIGNING_REFUSE, CONF_NO_SIGNING_UNSIGNED, CONF_NO_SIGNING_DOMAIN };
enum conf_on { CONF_ON_MARK, CONF_ON_QUARANTINE, CONF_ON_REJECT };          /* on_temperror: DEFER is 2 */

struct conf_global {
#define CONF_GLOBAL(field, type, ...) CONF_FIELD_##type(field)
#include "conf/params.def"
};

struct conf_rule {
    char *name; /* of the section; unique */
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
    struct conf_rule *rules; /* in file order; the built-in rule (all defaults, sign never) is not in it */
    size_t rule_count;
    struct conf_trust *trusts;
    size_t trust_count;
    struct conf_directory *directories;
    size_t directory_count;
    /* The rest is private to conf/conf.c (reference count, origins). */
    struct conf_private *private;
};

/* Told about every error: "file:line:column: text; hint". */
typedef void conf_complaint_fn(void *context, const char *file, unsigned line, unsigned column,
                               const char *text);

/* Reads and checks the whole configuration. ERR_PERM after at least one complaint; ERR_NOTFOUND if
 * `path` is not there; err holds the first complaint. Never connects anywhere, but says when a folder, file
 * or user that a parameter names does not exist (as a complaint). `path` NULL: defaults only. */
ERR_CHECKED enum err_code conf_load(const char *path, conf_complaint_fn *complain, void *context,
                                    struct conf **out, struct err *err);

/* The same from memory; `name` stands for the file in messages. */
ERR_CHECKED enum err_code conf_parse(const char *name, const char *text, conf_complaint_fn *complain,
                                     void *context, struct conf **out, struct err *err);
struct conf *conf_add1(struct conf *conf);
void conf_free(struct conf **conf);

/* Calls `each` for every parameter of every section in file order: section ("" or `rule "x"`), name, value as
 * it would be written (secrets masked), and where from ("default" or "file:line"). */
typedef void conf_each_fn(void *context, const char *section, const char *name, const char *value,
                          const char *from);
void conf_each(const struct conf *conf, conf_each_fn *each, void *context);

/* The sample file and the parameter part of smimed.conf(5), from the table. */
#include <stdio.h>
void conf_format_sample(FILE *out);
void conf_format_mdoc(FILE *out);

#endif
