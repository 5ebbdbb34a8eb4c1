/*
 * A small world for tests that push whole messages through flow/message.h: an authority, users with
 * keys, a configuration, and `openssl cms` as the judge, which shares no code with us.
 *
 *     world_init(&world, "rule \"all\" { sign = always }");
 *     struct letter letter = { .sender = "alice@example.org", .to = { "bob@example.net" },
 *                              .header = "From: alice@example.org\r\n...", .body = "text\r\n" };
 *     struct delivery delivery;
 *     world_send(&world, &letter, &delivery);
 *     ... delivery.answer, delivery.message (as it leaves) ...
 *     delivery_free(&delivery);
 *     world_free(&world);
 *
 * Users: alice (signs, encrypts; ours), bob and carol (certificates known), dave (none), erin
 * (expired), frank (revoked), gate@example.org (the domain's key), vault@example.org (escrow).
 */
#ifndef TESTS_UNIT_FLOW_WORLD_H
#define TESTS_UNIT_FLOW_WORLD_H

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "flow/message.h"
#include "flow/raw.h"
#include "tests/unit/testca.h"
#include "util/clock.h"
#include "util/log.h"

enum { WORLD_LIMIT = 64 * 1024 * 1024, WORLD_RECIPIENTS = 8 };

struct world {
    char *folder;
    struct testca root, sub, silent, stranger;
    struct testca_leaf alice, bob, carol, erin, frank, gate, vault, mallory, zed;
    struct flow_services *services;
};

struct letter {
    const char *sender; /* envelope */
    const char *to[WORLD_RECIPIENTS];
    const char *login;
    const char *daemon;                     /* {daemon_name} */
    const char *said[1 + WORLD_RECIPIENTS]; /* parameters of MAIL, then of each RCPT; NULL: none */
    const char *header;                     /* raw fields with CRLF, without the empty line */
    const char *body;
    size_t body_n;                                /* 0: strlen(body) */
    size_t piece;                                 /* 0: 4096 */
    bool dry;                                     /* copies are not written */
    bool inbound;                                 /* from outside */
    int64_t deadline_ms;                          /* from now; 0: a minute */
    void (*meddle)(struct flow_message *message); /* between facts and decision; NULL: nobody */
};

struct delivery {
    struct flow_answer answer;
    struct buf message; /* header and body as they leave */
    struct buf body;
    char explain[20000];
    bool replaced, skipped;
    char quarantine[300];
    char envelope[20000]; /* "-gone +come " of the recipients */
    char sender[300];     /* the envelope sender that was put in its place; "" none */
    size_t edits;
};

static inline void
world_user(struct world *world, struct testca *ca, const char *name, const char *address,
           const struct testca_args *more, struct testca_leaf *out)
{
    struct testca_args args = more ? *more : (struct testca_args){ .cn = NULL };
    char san[300], file[100];

    snprintf(san, sizeof san, "email:%s", address);
    args.cn = name;
    args.san = san;
    args.key_usage = args.key_usage ? args.key_usage : "critical,digitalSignature,keyEncipherment";
    args.ext_key_usage = "emailProtection";
    testca_issue(ca, &args, out);
    snprintf(file, sizeof file, "%s.pem", name);
    testca_pem(world->folder, file, 0600, out->key, out->x509, NULL, NULL);
    snprintf(file, sizeof file, "known/%s.crt", name);
    testca_pem(world->folder, file, 0644, NULL, out->x509, NULL, NULL);
}

/* Keys of ours: alice, gate. Certificates that are known of the others are in known/. */
static inline void
world_make(struct world *world)
{
    static const char *const folders[] = { "keys", "known", "anchors", "crls", "spool" };
    struct testca_args old = { .not_before = time(NULL) - 900000, .not_after = time(NULL) - 86400 };
    char path[300];
    X509 *revoked[2] = { NULL, NULL };
    X509_CRL *crl;

    log_init(&(struct log_args){ .sink = LOG_SINK_NONE });
    *world = (struct world){ .folder = testca_folder() };
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", world->folder, folders[i]);
        TESTCA_MUST(mkdir(path, 0700) == 0);
    }
    testca_init(&world->root, "World Root");
    testca_init_below(&world->sub, &world->root, "World Issuing CA", NULL);
    testca_init_below(&world->silent, &world->root, "World Silent CA", NULL);
    testca_init(&world->stranger, "Stranger Root");
    world_user(world, &world->sub, "alice", "alice@example.org", NULL, &world->alice);
    world_user(world, &world->sub, "gate", "gate@example.org",
               &(struct testca_args){ .key_index = 1 }, &world->gate);
    world_user(world, &world->sub, "bob", "bob@example.net",
               &(struct testca_args){ .key_index = 2 }, &world->bob);
    world_user(world, &world->sub, "carol", "carol@example.net",
               &(struct testca_args){ .key_type = TESTCA_P256,
                                      .key_usage = "critical,digitalSignature,keyAgreement" },
               &world->carol);
    world_user(world, &world->sub, "vault", "vault@example.org",
               &(struct testca_args){ .key_index = 3 }, &world->vault);
    world_user(world, &world->sub, "erin", "erin@example.net", &old, &world->erin);
    world_user(world, &world->sub, "frank", "frank@example.net", NULL, &world->frank);
    world_user(world, &world->stranger, "mallory", "alice@example.org", NULL, &world->mallory);
    world_user(world, &world->silent, "zed", "zed@example.org", NULL, &world->zed);
    snprintf(path, sizeof path, "%s/known/mallory.crt", world->folder);
    TESTCA_MUST(unlink(path) == 0);
    testca_pem(world->folder, "keys/alice.pem", 0600, world->alice.key, world->alice.x509,
               world->sub.x509, NULL);
    testca_pem(world->folder, "keys/gate.pem", 0600, world->gate.key, world->gate.x509,
               world->sub.x509, NULL);
    testca_pem(world->folder, "anchors/root.pem", 0644, NULL, world->root.x509, NULL, NULL);
    testca_pem(world->folder, "sub.pem", 0644, NULL, world->sub.x509, world->silent.x509, NULL);
    revoked[0] = world->frank.x509;
    crl = testca_crl(&world->sub, &(struct testca_crl_args){ .revoked = revoked, .number = 1 });
    testca_crl_file(world->folder, "crls/sub.crl", crl);
    X509_CRL_free(crl);
    crl = testca_crl(&world->root, NULL);
    testca_crl_file(world->folder, "crls/root.crl", crl);
    X509_CRL_free(crl);
}

static inline void
world_complain(void *context, const char *text)
{
    (void)context;
    fprintf(stderr, "complaint: %s\n", text);
}

static inline void
world_conf_complain(void *context, const char *file, unsigned line, unsigned column,
                    const char *text)
{
    (void)context;
    fprintf(stderr, "%s:%u:%u: %s\n", file, line, column, text);
}

/* (Re)loads the services with `rules` behind what every test needs. */
static inline void
world_configure(struct world *world, const char *rules)
{
    struct conf *conf = NULL;
    struct err err = ERR_INIT;
    char *text = NULL;

    TESTCA_MUST(asprintf(&text,
                         "hostname = mx.example.org\n"
                         "keys_folder = %s/keys\nspool_folder = %s/spool\n"
                         "state_folder = %s\ncertificate_folders = %s/known\n"
                         "trust \"default\" {\n anchors = %s/anchors\n intermediates = %s/sub.pem\n"
                         " crls = %s/crls\n}\n%s\n",
                         world->folder, world->folder, world->folder, world->folder, world->folder,
                         world->folder, world->folder, rules) > 0);
    flow_services_free(&world->services);
    if (conf_parse("test", text, world_conf_complain, NULL, &conf, &err) != ERR_OK ||
        flow_services_new(conf, world_complain, NULL, &world->services, &err) != ERR_OK) {
        fprintf(stderr, "configuration: %s\n", err.text);
        abort();
    }
    conf_free(&conf);
    free(text);
}

static inline void
world_free(struct world *world)
{
    struct testca_leaf *const leaves[] = { &world->alice, &world->bob,     &world->carol,
                                           &world->erin,  &world->frank,   &world->gate,
                                           &world->vault, &world->mallory, &world->zed };

    flow_services_free(&world->services);
    for (size_t i = 0; i < sizeof leaves / sizeof leaves[0]; i++)
        testca_leaf_free(leaves[i]);
    testca_free(&world->root);
    testca_free(&world->sub);
    testca_free(&world->silent);
    testca_free(&world->stranger);
    testca_folder_free(&world->folder);
}

/* ---- what an MTA does with the edits -----------------------------------------------------------
 */

struct world_field {
    char *name, *value;
};

struct world_header {
    struct world_field list[3000];
    size_t count;
};

static inline enum err_code
world_take_header(void *context, const struct mime_header *header, struct err *err)
{
    struct world_header *out = context;

    (void)err;
    for (size_t i = 0; i < mime_header_count(header); i++) {
        struct mime_header_field field = mime_header_get(header, i);
        out->list[out->count].name = span_dup(field.name);
        out->list[out->count].value = span_dup(field.value);
        TESTCA_MUST(out->list[out->count].name && out->list[out->count].value);
        out->count++;
    }
    return ERR_OK;
}

static inline enum err_code
world_take_body(void *context, struct span piece, struct err *err)
{
    (void)context;
    (void)piece;
    (void)err;
    return ERR_OK;
}

static inline void
world_parse_header(const char *text, struct world_header *out)
{
    struct flow_raw_args args = { .limit_header_bytes = WORLD_LIMIT,
                                  .header = world_take_header,
                                  .body = world_take_body,
                                  .context = out };
    struct flow_raw *raw = NULL;
    struct err err = ERR_INIT;

    out->count = 0;
    TESTCA_MUST(flow_raw_new(&args, &raw, &err) == ERR_OK);
    TESTCA_MUST(flow_raw_write(raw, span_str(text), &err) == ERR_OK);
    TESTCA_MUST(flow_raw_finish(raw, &err) == ERR_OK);
    flow_raw_free(&raw);
}

static inline void
world_delete_field(struct world_header *header, const char *name, unsigned index)
{
    for (size_t i = 0; i < header->count; i++) {
        if (strcasecmp(header->list[i].name, name) != 0 || --index > 0)
            continue;
        free(header->list[i].name);
        free(header->list[i].value);
        memmove(header->list + i, header->list + i + 1,
                (header->count - i - 1) * sizeof header->list[0]);
        header->count--;
        return;
    }
    fprintf(stderr, "an edit deletes %s, which is not there\n", name);
    abort();
}

static inline void
world_insert_field(struct world_header *header, const struct flow_edit *edit)
{
    size_t at = edit->index < header->count ? edit->index : header->count;

    memmove(header->list + at + 1, header->list + at,
            (header->count - at) * sizeof header->list[0]);
    header->list[at].name = strdup(edit->name);
    TESTCA_MUST(asprintf(&header->list[at].value, " %s", edit->value) > 0);
    header->count++;
}

/* "Name: value" of a changed field has to be there before, once or more. */
static inline void
world_change_field(struct world_header *header, const struct flow_edit *edit)
{
    unsigned index = edit->index;

    for (size_t i = 0; i < header->count; i++) {
        if (strcasecmp(header->list[i].name, edit->name) != 0 || --index > 0)
            continue;
        free(header->list[i].value);
        header->list[i].value = strdup(edit->value);
        return;
    }
    fprintf(stderr, "an edit changes %s, which is not there\n", edit->name);
    abort();
}

static inline void
world_edit(struct flow_message *message, struct world_header *header, struct delivery *out)
{
    const struct flow_edits *edits = flow_message_edits(message);
    struct err err = ERR_INIT;

    out->edits = edits->count;
    for (size_t i = 0; i < edits->count; i++) {
        const struct flow_edit *edit = &edits->list[i];
        struct stage *sink = NULL;

        switch (edit->kind) {
        case FLOW_EDIT_DELETE_HEADER:
            world_delete_field(header, edit->name, edit->index);
            break;
        case FLOW_EDIT_INSERT_HEADER:
            assert_null(strchr(edit->value, '\r'));
            world_insert_field(header, edit);
            break;
        case FLOW_EDIT_ADD_RECIPIENT:
        case FLOW_EDIT_DELETE_RECIPIENT:
            assert_true(strlen(out->envelope) + strlen(edit->value) + 3 < sizeof out->envelope);
            strcat(out->envelope, edit->kind == FLOW_EDIT_ADD_RECIPIENT ? "+" : "-");
            strcat(out->envelope, edit->value);
            strcat(out->envelope, " ");
            break;
        case FLOW_EDIT_CHANGE_HEADER:
            world_change_field(header, edit);
            break;
        case FLOW_EDIT_CHANGE_SENDER:
            snprintf(out->sender, sizeof out->sender, "%s", edit->value);
            break;
        case FLOW_EDIT_QUARANTINE:
            snprintf(out->quarantine, sizeof out->quarantine, "%s", edit->value);
            break;
        case FLOW_EDIT_REPLACE_BODY:
            out->replaced = true;
            buf_reset(&out->body);
            assert_int_equal(stage_buf_new(&out->body, &sink, &err), ERR_OK);
            if (flow_message_write_body(message, sink, &err) != ERR_OK)
                fail_msg("body: %s", err.text);
            break;
        }
    }
}

static inline void
world_explain(void *context, const char *topic, const char *text)
{
    struct delivery *out = context;
    size_t n = strlen(out->explain);

    snprintf(out->explain + n, sizeof out->explain - n, "%s: %s\n", topic, text);
}

/* What the milter does between connect and end of message. True: it got to its end. */
static inline bool
world_push(struct flow_message *message, const struct letter *letter,
           const struct world_header *header, struct delivery *out)
{
    size_t n = letter->body_n ? letter->body_n : strlen(letter->body);
    size_t piece = letter->piece ? letter->piece : 4096;
    bool skip = false;

#define WORLD_GO_ON                                                        \
    if (out->answer.kind == FLOW_REFUSE || out->answer.kind == FLOW_DEFER) \
        return false;
    flow_message_sender(message, letter->sender, &out->answer);
    WORLD_GO_ON
    flow_message_set_parameters(message, (char *[]){ (char *)letter->said[0], NULL }, &out->answer);
    WORLD_GO_ON
    for (size_t i = 0; i < WORLD_RECIPIENTS && letter->to[i]; i++) {
        flow_message_recipient(message, letter->to[i], &out->answer);
        WORLD_GO_ON
        flow_message_set_parameters(message, (char *[]){ (char *)letter->said[i + 1], NULL },
                                    &out->answer);
        WORLD_GO_ON
    }
    for (size_t i = 0; i < header->count; i++) {
        flow_message_header(message, span_str(header->list[i].name),
                            span_str(header->list[i].value), &out->answer);
        WORLD_GO_ON
    }
    flow_message_eoh(message, &out->answer);
    WORLD_GO_ON
    skip = out->answer.kind == FLOW_ACCEPT_REST;
    for (size_t at = 0; at < n && !skip; at += piece) {
        size_t take = n - at < piece ? n - at : piece;
        unsigned char *copy = malloc(take);

        memcpy(copy, letter->body + at, take);
        flow_message_write(message, span_of(copy, take), &out->answer);
        free(copy);
        WORLD_GO_ON
        skip = out->answer.kind == FLOW_ACCEPT_REST;
    }
    out->skipped = skip;
    if (letter->meddle) {
        flow_message_load(message, clock_monotonic_ms() + 60000, &out->answer);
        WORLD_GO_ON
        letter->meddle(message);
    }
    flow_message_finish(message,
                        clock_monotonic_ms() + (letter->deadline_ms ? letter->deadline_ms : 60000),
                        &out->answer);
    if (out->answer.kind == FLOW_COPIES && !letter->dry)
        flow_message_write_copies(
            message, clock_monotonic_ms() + (letter->deadline_ms ? letter->deadline_ms : 60000),
            &out->answer);
    return true;
}

static inline void
world_format(const struct world_header *header, struct delivery *out)
{
    struct err err = ERR_INIT;
    enum err_code code = ERR_OK;

    for (size_t i = 0; code == ERR_OK && i < header->count; i++) {
        code = buf_appendf(&out->message, &err, "%s:", header->list[i].name);
        for (const char *c = header->list[i].value; code == ERR_OK && *c; c++) {
            if (*c == '\n' && (c == header->list[i].value || c[-1] != '\r'))
                code = buf_append_str(&out->message, "\r", &err);
            if (code == ERR_OK)
                code = buf_append_byte(&out->message, (unsigned char)*c, &err);
        }
        if (code == ERR_OK)
            code = buf_append_str(&out->message, "\r\n", &err);
    }
    if (code == ERR_OK)
        code = buf_append_str(&out->message, "\r\n", &err);
    if (code == ERR_OK)
        code = buf_append(&out->message, buf_span(&out->body), &err);
    assert_int_equal(code, ERR_OK);
}

static inline void
world_send(struct world *world, const struct letter *letter, struct delivery *out)
{
    struct sockaddr_in outside = { .sin_family = AF_INET };
    struct flow_client client = { .login = letter->login, .daemon_name = letter->daemon };
    struct world_header *header = calloc(1, sizeof *header);
    struct flow_message *message = NULL;
    struct err err = ERR_INIT;

    *out = (struct delivery){ .edits = 0 };
    buf_init(&out->message, WORLD_LIMIT);
    buf_init(&out->body, WORLD_LIMIT);
    inet_pton(AF_INET, letter->inbound ? "203.0.113.5" : "127.0.0.1", &outside.sin_addr);
    client.address = (struct sockaddr *)&outside;
    assert_int_equal(
        buf_append(&out->body,
                   span_of(letter->body, letter->body_n ? letter->body_n : strlen(letter->body)),
                   &err),
        ERR_OK);
    world_parse_header(letter->header, header);
    assert_int_equal(flow_message_new(world->services, &client, &message, &err), ERR_OK);
    flow_message_set_id(message, "TEST1");
    (void)world_push(message, letter, header, out);
    if (out->answer.kind != FLOW_COPIES)
        world_edit(message, header, out);
    world_format(header, out);
    flow_message_explain(message, world_explain, out);
    flow_message_log(message);
    flow_message_free(&message);
    for (size_t i = 0; i < header->count; i++) {
        free(header->list[i].name);
        free(header->list[i].value);
    }
    free(header);
}

static inline void
delivery_free(struct delivery *delivery)
{
    buf_free(&delivery->message);
    buf_free(&delivery->body);
}

/* ---- the judge ---------------------------------------------------------------------------------
 */

static inline void
world_write(const struct world *world, const char *name, struct span bytes)
{
    testca_file(world->folder, name, 0600, bytes.p, bytes.n);
}

/* Content of a file of the world; freed by the caller. */
static inline char *
world_read(const struct world *world, const char *name, size_t *n)
{
    char path[512], *text;
    struct stat status;
    FILE *in;
    size_t size;

    snprintf(path, sizeof path, "%s/%s", world->folder, name);
    in = fopen(path, "r");
    assert_non_null(in);
    assert_int_equal(fstat(fileno(in), &status), 0);
    text = malloc((size_t)status.st_size + 1);
    size = fread(text, 1, (size_t)status.st_size, in);
    text[size] = 0;
    fclose(in);
    if (n)
        *n = size;
    return text;
}

/* Runs a command in the world's folder; its output goes to the file log. */
static inline bool world_run(const struct world *world, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static inline bool
world_run(const struct world *world, const char *format, ...)
{
    char command[1500], whole[2000];
    va_list args;

    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    snprintf(whole, sizeof whole, "cd '%s' && { %s; } >log 2>&1", world->folder, command);
    return system(whole) == 0;
}

#endif
