#include "make.h"

#include <string.h>

#include "smime/entity.h"

static void
format(const struct smime_entity_header *header, char *out, size_t size)
{
    struct buf text = BUF_INIT(4096);
    struct err err = ERR_INIT;
    assert_int_equal(smime_entity_header_format(header, &text, &err), ERR_OK);
    snprintf(out, size, "%s", buf_str(&text));
    buf_free(&text);
}

/* Outlook and Apple Mail: short lines, each parameter on a line of its own, continuation by one
 * space. */
static void
check_lines(const char *text)
{
    while (*text != '\0') {
        const char *end = strstr(text, "\r\n");
        assert_non_null(end);
        assert_true(end - text < 78);
        assert_true(text[0] != '\t');
        text = end + 2;
    }
}

static void
entity_fields_are_folded_at_parameters_and_short(void **state)
{
    (void)state;
    struct smime_entity_header header;
    char text[4096];
    char boundary[71];
    memset(boundary, 'b', 70);
    boundary[70] = '\0';
    smime_entity_set_clear(&header, SMIME_DIGEST_SHA512, boundary);
    format(&header, text, sizeof(text));
    assert_non_null(strstr(text, "micalg=sha-512;\r\n boundary=\"bbb"));
    assert_null(strstr(text, "Content-Transfer-Encoding"));
    smime_entity_set_clear(&header, SMIME_DIGEST_SHA256, "short");
    format(&header, text, sizeof(text));
    check_lines(text);
    static const char *const types[] = { "signed-data", "enveloped-data", "authEnveloped-data" };
    for (size_t i = 0; i < 3; i++) {
        smime_entity_set_cms(&header, types[i], "S/MIME Encrypted Message");
        format(&header, text, sizeof(text));
        check_lines(text);
        assert_non_null(strstr(text, types[i]));
        assert_non_null(strstr(text, "Content-Transfer-Encoding: base64\r\n"));
        assert_non_null(strstr(text, "filename=\"smime.p7m\"\r\n"));
    }
    smime_entity_set_signature(&header);
    format(&header, text, sizeof(text));
    check_lines(text);
    assert_non_null(strstr(text, "filename=\"smime.p7s\"\r\n"));
}

static void
entity_fields_that_are_empty_are_left_out(void **state)
{
    (void)state;
    const struct smime_entity_header header = { .content_type = "text/plain" };
    char text[4096];
    format(&header, text, sizeof(text));
    assert_string_equal(text, "Content-Type: text/plain\r\n");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entity_fields_are_folded_at_parameters_and_short),
        cmocka_unit_test(entity_fields_that_are_empty_are_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
