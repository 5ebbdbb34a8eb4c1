/*
 * What the tests of outbound messages share: their letters, and openssl as the judge of what left.
 */
#ifndef TESTS_UNIT_FLOW_LETTERS_H
#define TESTS_UNIT_FLOW_LETTERS_H

#include "tests/unit/flow/world.h"

static struct world world;

static const char plain_header[] = "Received: from x by y;\r\n Mon, 1 Jan 2026 00:00:00 +0000\r\n"
                                   "From: Alice <alice@example.org>\r\n"
                                   "To: bob@example.net\r\n"
                                   "Subject: a test\r\n";
static const char mime_header_text[] = "mime-version: 1.0\r\n"
                                       "From: Alice <alice@example.org>\r\n"
                                       "CONTENT-type: text/plain;\r\n charset=utf-8\r\n"
                                       "To: bob@example.net, carol@example.net\r\n"
                                       "Content-Transfer-Encoding: 8bit\r\n"
                                       "Subject: a test\r\n"
                                       "MIME-Version: 1.0\r\n"
                                       "Content-Language: de\r\n";
static const char umlauts[] = "Gr\xc3\xbc\xc3\x9f"
                              "e,\r\n\r\nFrom here on  \r\n.\r\nend\r\n";

static inline int
setup(void **state)
{
    (void)state;
    world_make(&world);
    return 0;
}

static inline int
teardown(void **state)
{
    (void)state;
    world_free(&world);
    return 0;
}

static inline struct letter
letter_to_bob(void)
{
    return (struct letter){ .sender = "<alice@example.org>",
                            .to = { "<bob@example.net>" },
                            .header = plain_header,
                            .body = "hello\r\n" };
}

static inline const char *
outer_header(const struct delivery *delivery)
{
    static char header[20000];
    const char *end = strstr(buf_str(&delivery->message), "\r\n\r\n");

    assert_non_null(end);
    snprintf(header, sizeof header, "%.*s\r\n", (int)(end - buf_str(&delivery->message)),
             buf_str(&delivery->message));
    return header;
}

static inline size_t
count_fields(const char *header, const char *prefix)
{
    size_t count = 0;

    for (const char *line = header; line && *line; line = strchr(line, '\n')) {
        line += *line == '\n';
        count += strncasecmp(line, prefix, strlen(prefix)) == 0;
    }
    return count;
}

/* openssl's word on a signed message: the content that was signed, freed by the caller. */
static inline char *
verified_content(const char *file)
{
    if (!world_run(&world,
                   "openssl cms -verify -in %s -CAfile anchors/root.pem -certfile sub.pem "
                   "-out content",
                   file))
        fail_msg("openssl does not verify: %s", world_read(&world, "log", NULL));
    return world_read(&world, "content", NULL);
}

static inline void
decrypt_as(const char *name, const char *in, const char *out)
{
    if (!world_run(&world,
                   "openssl cms -decrypt -binary -in %s -recip %s.pem -inkey %s.pem -out %s", in,
                   name, name, out))
        fail_msg("%s cannot decrypt: %s", name, world_read(&world, "log", NULL));
}

static inline bool
can_decrypt(const char *name, const char *in)
{
    return world_run(&world,
                     "openssl cms -decrypt -binary -in %s -recip %s.pem -inkey %s.pem -out nothing",
                     in, name, name);
}

static inline void
assert_reply(const struct delivery *delivery, int code, const char *enhanced, const char *text)
{
    if (delivery->answer.code != code || strcmp(delivery->answer.enhanced, enhanced) != 0 ||
        !strstr(delivery->answer.text, text))
        fail_msg("reply %d %s %s\n%s", delivery->answer.code, delivery->answer.enhanced,
                 delivery->answer.text, delivery->explain);
    assert_int_equal(delivery->edits, 0);
    assert_false(delivery->replaced);
}

static inline void
assert_delivered(const struct delivery *delivery)
{
    if (delivery->answer.kind != FLOW_CONTINUE)
        fail_msg("reply %d %s %s\n%s", delivery->answer.code, delivery->answer.enhanced,
                 delivery->answer.text, delivery->explain);
}

#endif
