/* Whole messages through the mail flow with everything on that opens them: decryption, layers,
 * lifted and protected fields, a signature that is taken off. The seeds are encrypted to the keys
 * of fuzz_decrypt, and signed with them by people whom the trust set knows.
 *
 * What becomes of a message does not depend on how its body was cut; and where it was not opened,
 * no word of what is inside the seeds is in any edit, in the new body or in the outcome. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "conf/conf.h"
#include "decrypt_keys.h"
#include "flow/message.h"
#include "flow/raw.h"
#include "flow/services.h"
#include "util/clock.h"
#include "util/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { NOW = 1800000000, HEAD_BYTES = 4096, OUT_BYTES = 1 << 20 };

static const char canary[] = "c4n4ry";
static char folder[] = "/tmp/smimed-fuzz-XXXXXX";
static struct flow_services *services;

static const char rules[] =
    "hostname = mx.fuzz.example\ndecrypt_rate = 1000000\ndecrypt_rate_each = 1000000\n"
    "revocation_inbound = off\nkeys_folder = %s/keys\nspool_folder = %s\nstate_folder = %s\n"
    "trust \"default\" {\n anchors = %s/anchors\n}\n"
    "rule \"rsa\" {\n direction = in\n recipient = rsa@fuzz.example\n decrypt = yes\n"
    " decrypt_unsigned = mark\n decrypt_octet_stream = yes\n decrypt_in_signed = yes\n"
    " layers_header = yes\n protected_headers = restore\n strip_signature = yes\n"
    " tag_pass = \"[ok]\"\n tag_none = \"[-]\"\n}\n"
    "rule \"ec\" {\n direction = in\n recipient = ec@fuzz.example\n decrypt = yes\n"
    " protected_headers = restore\n tag_permerror = \"[?]\"\n}\n";

static void
require(bool fact)
{
    if (!fact)
        abort();
}

/* ---- the setting, once per process -------------------------------------------------------------
 */

static void
remove_folder(void)
{
    static const char *const names[] = {
        "keys/rsa.pem", "keys/ec.pem", "anchors/rsa.pem", "anchors/ec.pem", "keys", "anchors", ""
    };
    char path[200];

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        (void)remove(path);
    }
}

static void
write_pem(const char *where, const char *name, EVP_PKEY *key, X509 *x509)
{
    char path[200];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s/%s.pem", folder, where, name);
    file = fopen(path, "w");
    require(file && chmod(path, 0600) == 0);
    require(!key || PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) == 1);
    require(PEM_write_X509(file, x509) == 1 && fclose(file) == 0);
}

/* The certificate beside the seeds' key is an authority's; a person of the same key, serial and
 * issuer below it has the key in our keyring. */
static void
make_user(const char *name, struct span key_der, struct span der)
{
    const unsigned char *key_at = key_der.p, *at = der.p;
    EVP_PKEY *key = d2i_AutoPrivateKey(NULL, &key_at, (long)key_der.n);
    X509 *authority = d2i_X509(NULL, &at, (long)der.n), *x509 = X509_new();
    X509_NAME *subject = X509_NAME_new();
    X509_EXTENSION *extension;
    char san[100];

    require(key && authority && x509 && subject);
    snprintf(san, sizeof san, "email:%s@fuzz.example", name);
    require(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                                       (const unsigned char *)"fuzz person", -1, -1, 0) == 1);
    require(X509_set_version(x509, 2) == 1 && X509_set_subject_name(x509, subject) == 1 &&
            X509_set_issuer_name(x509, X509_get_subject_name(authority)) == 1 &&
            X509_set_serialNumber(x509, X509_get_serialNumber(authority)) == 1 &&
            X509_set1_notBefore(x509, X509_get0_notBefore(authority)) == 1 &&
            X509_set1_notAfter(x509, X509_get0_notAfter(authority)) == 1 &&
            X509_set_pubkey(x509, key) == 1);
    extension = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, san);
    require(extension && X509_add_ext(x509, extension, -1) == 1);
    X509_EXTENSION_free(extension);
    require(X509_sign(x509, key, EVP_sha256()) > 0);
    write_pem("keys", name, key, x509);
    write_pem("anchors", name, NULL, authority);
    X509_NAME_free(subject);
    X509_free(x509);
    X509_free(authority);
    EVP_PKEY_free(key);
}

static void
complain(void *context, const char *text)
{
    (void)context;
    fprintf(stderr, "%s\n", text);
}

static void
conf_complain(void *context, const char *file, unsigned line, unsigned column, const char *text)
{
    (void)context;
    fprintf(stderr, "%s:%u:%u: %s\n", file, line, column, text);
}

static void
make_setting(void)
{
    char text[2000], path[200];
    struct conf *conf = NULL;
    struct err err = ERR_INIT;

    log_init(&(struct log_args){ .sink = LOG_SINK_NONE });
    clock_set_s(NOW);
    require(mkdtemp(folder) != NULL && atexit(remove_folder) == 0);
    snprintf(path, sizeof path, "%s/keys", folder);
    require(mkdir(path, 0700) == 0);
    snprintf(path, sizeof path, "%s/anchors", folder);
    require(mkdir(path, 0700) == 0);
    make_user("rsa", span_of(rsa_key, sizeof rsa_key),
              span_of(rsa_certificate, sizeof rsa_certificate));
    make_user("ec", span_of(ec_key, sizeof ec_key), span_of(ec_certificate, sizeof ec_certificate));
    snprintf(text, sizeof text, rules, folder, folder, folder, folder);
    if (conf_parse("fuzz", text, conf_complain, NULL, &conf, &err) != ERR_OK ||
        flow_services_new(conf, complain, NULL, &services, &err) != ERR_OK) {
        fprintf(stderr, "%s\n", err.text);
        abort();
    }
    conf_free(&conf);
}

/* ---- one message -------------------------------------------------------------------------------
 */

struct run {
    struct flow_message *message;
    struct flow_answer answer;
    size_t piece;
    bool over;
    const char *recipient;
    struct buf out; /* all that leaves: edits, body, outcome */
    bool opened;
};

static void
put(struct run *run, const char *text)
{
    struct err err = ERR_INIT;

    require(buf_append(&run->out, span_str(text ? text : "-"), &err) == ERR_OK &&
            buf_append(&run->out, span_str("\n"), &err) == ERR_OK);
}

static bool
is_over(struct run *run)
{
    run->over |= run->answer.kind == FLOW_REFUSE || run->answer.kind == FLOW_DEFER;
    return run->over;
}

static enum err_code
on_header(void *context, const struct mime_header *header, struct err *err)
{
    struct run *run = context;

    (void)err;
    flow_message_sender(run->message, "<sender@fuzz.example>", &run->answer);
    if (!is_over(run))
        flow_message_recipient(run->message, run->recipient, &run->answer);
    for (size_t i = 0; i < mime_header_count(header) && !is_over(run); i++) {
        struct mime_header_field field = mime_header_get(header, i);

        flow_message_header(run->message, field.name, field.value, &run->answer);
    }
    if (!is_over(run))
        flow_message_eoh(run->message, &run->answer);
    run->over |= is_over(run);
    return ERR_OK;
}

static enum err_code
on_body(void *context, struct span piece, struct err *err)
{
    struct run *run = context;

    (void)err;
    for (size_t at = 0; at < piece.n && !is_over(run) && run->answer.kind != FLOW_ACCEPT_REST;
         at += run->piece) {
        size_t n = piece.n - at < run->piece ? piece.n - at : run->piece;
        unsigned char *copy = malloc(n);

        require(copy != NULL);
        memcpy(copy, piece.p + at, n);
        flow_message_write(run->message, span_of(copy, n), &run->answer);
        free(copy);
    }
    return ERR_OK;
}

static void
put_outcome(void *context, const char *name, const char *value, bool is_number)
{
    struct run *run = context;

    run->opened |= strcmp(name, "action") == 0 && strstr(value, "decrypt") != NULL;
    run->opened |= strcmp(name, "decrypt") == 0 && strcmp(value, "opened") == 0;
    if (!is_number) {
        put(run, name);
        put(run, value);
    }
}

static void
put_edits(struct run *run)
{
    const struct flow_edits *edits = flow_message_edits(run->message);

    for (size_t i = 0; edits && i < edits->count; i++) {
        const struct flow_edit *edit = &edits->list[i];
        struct stage *sink = NULL;
        struct err err = ERR_INIT;
        char kind[32];

        snprintf(kind, sizeof kind, "edit %d %u", (int)edit->kind, edit->index);
        put(run, kind);
        put(run, edit->name);
        put(run, edit->value);
        /* No value of ours begins another field; one that is only changed is as it came. */
        for (const char *c = edit->value; edit->kind != FLOW_EDIT_CHANGE_HEADER && c && *c; c++)
            require(*c != '\r' && (*c != '\n' || c[1] == ' ' || c[1] == '\t'));
        if (edit->kind != FLOW_EDIT_REPLACE_BODY)
            continue;
        require(stage_buf_new(&run->out, &sink, &err) == ERR_OK);
        require(flow_message_write_body(run->message, sink, &err) == ERR_OK);
    }
}

static void
run_message(struct run *run, struct span message, size_t piece)
{
    const struct sockaddr_in outside = { .sin_family = AF_INET, .sin_addr.s_addr = 0x057100cb };
    const struct flow_client client = { .address = (const struct sockaddr *)&outside };
    const struct flow_raw_args args = {
        .limit_header_bytes = 1 << 16, .header = on_header, .body = on_body, .context = run
    };
    struct flow_raw *raw = NULL;
    struct err err = ERR_INIT;
    enum err_code code;

    run->piece = piece;
    buf_init(&run->out, OUT_BYTES);
    require(flow_message_new(services, &client, &run->message, &err) == ERR_OK);
    flow_message_set_id(run->message, "FUZZ");
    require(flow_raw_new(&args, &raw, &err) == ERR_OK);
    code = flow_raw_write(raw, message, &err);
    if (code == ERR_OK)
        code = flow_raw_finish(raw, &err);
    require(code == ERR_OK || code == ERR_LIMIT);
    if (code == ERR_OK && !run->over) {
        flow_message_finish(run->message, clock_monotonic_ms() + 3600000, &run->answer);
        require(run->answer.kind == FLOW_CONTINUE || run->answer.kind == FLOW_REFUSE ||
                run->answer.kind == FLOW_DEFER);
        if (!is_over(run))
            put_edits(run);
    }
    put(run, run->over ? run->answer.text : "");
    flow_message_outcome(run->message, put_outcome, run);
    flow_message_log(run->message);
    flow_message_free(&run->message);
    flow_raw_free(&raw);
    require(ERR_peek_error() == 0);
}

static bool
has(struct span where, const char *what)
{
    return memmem(where.p, where.n, what, strlen(what)) != NULL;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span message = span_of(data, size);
    struct span head = span_of(data, size < HEAD_BYTES ? size : HEAD_BYTES);
    const char *recipient = has(head, "To: ec@") ? "<ec@fuzz.example>" : "<rsa@fuzz.example>";
    struct run whole = { .recipient = recipient }, cut = { .recipient = recipient };

    if (!services)
        make_setting();
    if (size > 1 << 16)
        return 0;
    run_message(&whole, message, 65535);
    run_message(&cut, message, 3);
    require(whole.over == cut.over && whole.opened == cut.opened &&
            whole.answer.kind == cut.answer.kind &&
            span_equal(buf_span(&whole.out), buf_span(&cut.out)));
    require(whole.opened || has(message, canary) || !has(buf_span(&whole.out), canary));
    buf_free(&whole.out);
    buf_free(&cut.out);
    return 0;
}
