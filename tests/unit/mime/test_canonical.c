#include "canonical.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>

#include "mime/line.h"

#define MULTI "Content-Type: multipart/mixed; boundary=b\r\n\r\n"

static void
assert_canonical(enum mime_canonical_mode mode, struct span in, struct span wanted)
{
    for (size_t i = 0; i < PIECES_N; i++) {
        struct mime_scan *scan = NULL;
        struct buf out = BUF_INIT(1 << 24);
        struct err err = ERR_INIT;
        assert_int_equal(scan_pieces(in, PIECES[i], &scan, &err), ERR_OK);
        assert_int_equal(canonical_pieces(scan, mode, in, PIECES[PIECES_N - 1 - i], &out, &err),
                         ERR_OK);
        assert_span(buf_span(&out), wanted);
        mime_scan_free(&scan);
        buf_free(&out);
    }
}

static void
assert_transport(const char *in, const char *wanted)
{
    assert_canonical(MIME_CANONICAL_TRANSPORT, span_str(in), span_str(wanted));
}

static void
safe_mail_is_passed_byte_for_byte(void **state)
{
    (void)state;
    const char *mail = MULTI "preamble \r\n--b \r\nA:\tx \r\n\r\ntext\r\n--b\r\n\r\n\r\n--b--";
    assert_transport(mail, mail);
    assert_transport("\r\n", "\r\n");
}

static void
text_without_any_field_gets_an_encoding_and_no_charset(void **state)
{
    (void)state;
    assert_transport("\r\ngr\xc3\xbc\xc3\x9f Gott, liebe Leute \r\n",
                     "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
                     "gr=C3=BC=C3=9F Gott, liebe Leute=20\r\n");
}

static void
one_field_is_replaced_in_its_place_and_others_keep_their_bytes(void **state)
{
    (void)state;
    assert_transport("Content-Type:  text/plain;\r\n\tcharset=\"utf-8\" \r\n"
                     "content-transfer-ENCODING:\r\n 8bit\r\nContent-Language: de\r\n\r\n.\r\n",
                     "Content-Type:  text/plain;\r\n\tcharset=\"utf-8\" \r\n"
                     "Content-Transfer-Encoding: quoted-printable\r\nContent-Language: de\r\n\r\n"
                     "=2E\r\n");
}

static void
only_the_leaf_that_needs_it_is_encoded(void **state)
{
    (void)state;
    assert_transport(
        MULTI "pre\r\n--b\r\n\r\nFrom me\r\n--b\r\nContent-Type: image/x\r\n"
              "Content-Transfer-Encoding: binary\r\n\r\n\xff\xfe\r\n--b\r\n\r\nsafe\r\n"
              "--b--\r\nepi",
        MULTI "pre\r\n--b\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=46rom "
              "me\r\n--b\r\nContent-Type: image/x\r\nContent-Transfer-Encoding: base64"
              "\r\n\r\n//4=\r\n\r\n--b\r\n\r\nsafe\r\n--b--\r\nepi");
}

static void
inner_messages_are_made_safe_and_get_mime_version(void **state)
{
    (void)state;
    assert_transport("Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
                     "Subject: x \r\n\r\ntrailing \r\n",
                     "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 7bit\r\n\r\n"
                     "Subject: x \r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: "
                     "quoted-printable\r\n\r\ntrailing=20\r\n");
    assert_transport("Content-Type: message/rfc822\r\n\r\nmime-version: 1.0\r\n"
                     "Content-Transfer-Encoding: 8bit\r\n\r\nx \r\n",
                     "Content-Type: message/rfc822\r\n\r\nmime-version: 1.0\r\n"
                     "Content-Transfer-Encoding: quoted-printable\r\n\r\nx=20\r\n");
}

static void
a_label_that_promises_8bit_becomes_7bit(void **state)
{
    (void)state;
    assert_transport("Content-Transfer-Encoding: 8bit\r\n" MULTI
                     "--b\r\nContent-Transfer-Encoding: binary\r\n\r\nx\r\n--b--\r\n",
                     "Content-Transfer-Encoding: 7bit\r\n" MULTI
                     "--b\r\nContent-Transfer-Encoding: 7bit\r\n\r\nx\r\n--b--\r\n");
}

static void
encoded_leaves_with_unsafe_lines_are_encoded_anew(void **state)
{
    (void)state;
    assert_transport("Content-Transfer-Encoding: base64\r\n\r\nAAAA \r\n AA==\r\n",
                     "Content-Transfer-Encoding: base64\r\n\r\nAAAAAA==\r\n");
    assert_transport("Content-Transfer-Encoding: quoted-printable\r\n\r\n.\r\na=0Ab=\r\nc\r\n",
                     "Content-Transfer-Encoding: base64\r\n\r\nLg0KYQpiYw0K\r\n");
}

static void
octets_of_binary_leaves_are_no_line_ends(void **state)
{
    (void)state;
    assert_transport(
        "Content-Transfer-Encoding: binary\r\nContent-Type: text/plain\r\n\r\na\nb\r\n",
        "Content-Transfer-Encoding: base64\r\nContent-Type: text/plain\r\n\r\n"
        "YQpiDQo=\r\n");
    assert_transport("Content-Type: application/x\r\n\r\n\xff\n",
                     "Content-Type: application/x\r\n"
                     "Content-Transfer-Encoding: base64\r\n\r\n/w0K\r\n");
}

static void
bare_lf_becomes_crlf_everywhere(void **state)
{
    (void)state;
    assert_transport("Content-Type: multipart/mixed; boundary=b\n\np\n--b\n\nx\n\n--b--\nepi\n",
                     MULTI "p\r\n--b\r\n\r\nx\r\n\r\n--b--\r\nepi\r\n");
    assert_transport("\na\n\xc3\xa4 und noch viel Text\n",
                     "Content-Transfer-Encoding: quoted-printable\r\n\r\na\r\n=C3=A4 und noch viel "
                     "Text\r\n");
}

static void
inside_cms_bytes_stay_but_for_line_ends(void **state)
{
    (void)state;
    struct span in = LITERAL("Content-Type: multipart/mixed; boundary=b\n\n--b\n"
                             "Content-Transfer-Encoding: 8bit\n\n\xff\0 \rx\n.\n--b\r\n"
                             "Content-Transfer-Encoding: binary\r\n\r\na\nb\r\nc\n--b--");
    struct span wanted =
        LITERAL(MULTI "--b\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xff\0 \rx\r\n."
                      "\r\n--b\r\nContent-Transfer-Encoding: binary\r\n\r\na\nb\r\nc"
                      "\r\n--b--");
    struct span crlf = LITERAL("\r\n\xff\0 \r.\r\nFrom x \r\n");
    assert_canonical(MIME_CANONICAL_OPAQUE, in, wanted);
    assert_canonical(MIME_CANONICAL_OPAQUE, crlf, crlf);
}

static void
a_message_that_can_only_be_opaque_is_refused_for_transport(void **state)
{
    (void)state;
    struct span in = LITERAL(MULTI "\xff\r\n--b\r\n\r\nx\r\n--b--\r\n");
    struct mime_scan *scan = NULL;
    struct buf out = BUF_INIT(1 << 16);
    struct err err = ERR_INIT;
    assert_int_equal(scan_pieces(in, 4096, &scan, &err), ERR_OK);
    assert_int_equal(canonical_pieces(scan, MIME_CANONICAL_TRANSPORT, in, 4096, &out, &err),
                     ERR_PERM);
    assert_non_null(strstr(err.text, "between the parts"));
    assert_int_equal(canonical_pieces(scan, MIME_CANONICAL_OPAQUE, in, 4096, &out, &err), ERR_OK);
    assert_span(buf_span(&out), in);
    mime_scan_free(&scan);
    buf_free(&out);
}

static enum err_code
refuse(void *context, struct span piece, struct err *err)
{
    uint64_t *room = context;
    if (piece.n > *room)
        return err_set(err, ERR_TEMP, "the sink is full");
    *room -= piece.n;
    return ERR_OK;
}

static void
an_error_behind_comes_back_from_every_place(void **state)
{
    (void)state;
    struct span in =
        span_str(MULTI "pre\n--b\r\n\r\nFrom me\r\n--b\r\nContent-Type: image/x\r\n\r\n"
                       "\xff\xfe\r\n--b\r\n\r\nsafe\r\n--b--\r\nepi");
    struct mime_scan *scan = NULL;
    struct err err = ERR_INIT;
    struct buf whole = BUF_INIT(1 << 16);
    assert_int_equal(scan_pieces(in, 4096, &scan, &err), ERR_OK);
    assert_int_equal(canonical_pieces(scan, MIME_CANONICAL_TRANSPORT, in, 7, &whole, &err), ERR_OK);
    for (uint64_t room = 0; room < whole.n; room++) {
        struct stage *sink = NULL, *stage = NULL;
        uint64_t left = room;
        assert_int_equal(stage_sink_new(refuse, &left, &sink, &err), ERR_OK);
        assert_int_equal(mime_canonical_new(scan, MIME_CANONICAL_TRANSPORT, sink, &stage, &err),
                         ERR_OK);
        assert_int_equal(feed(stage, in, 7), ERR_TEMP);
        stage_free(&stage);
    }
    mime_scan_free(&scan);
    buf_free(&whole);
}

/* ---- messages of other people ------------------------------------------------------------------
 */

struct totals {
    int clear, opaque, refused;
};

/* What a mail system hands on: the Content-* fields, an empty line, the body, with CRLF. */
static void
load_entity(const char *path, struct buf *entity)
{
    static char bytes[1 << 20];
    struct err err = ERR_INIT;
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t n = fread(bytes, 1, sizeof bytes, file), at = 0;
    fclose(file);
    assert_true(n < sizeof bytes);
    bool in_header = true, keep = false;
    while (at < n) {
        struct span line = span_of(bytes + at, n - at);
        size_t end = span_find(line, '\n');
        bool has_break = end < line.n;
        line.n = end;
        at += end + has_break;
        if (line.n > 0 && line.p[line.n - 1] == '\r')
            line.n--;
        if (in_header && line.n > 0) {
            if (line.p[0] != ' ' && line.p[0] != '\t')
                keep = span_starts_nocase(line, "content-");
            if (!keep)
                continue;
        } else {
            in_header = false;
        }
        assert_int_equal(buf_append(entity, line, &err), ERR_OK);
        if (has_break)
            assert_int_equal(buf_append_str(entity, "\r\n", &err), ERR_OK);
    }
    if (in_header)
        assert_int_equal(buf_append_str(entity, "\r\n", &err), ERR_OK);
}

static void
assert_survives_every_hop(const char *path, struct span out)
{
    struct mime_line line = { 0 };
    mime_line_write(&line, out);
    mime_line_finish(&line);
    if (line.eightbit > 0 || line.nul > 0 || line.long_line || line.from || line.dot ||
        mime_line_has_bare_cr(&line) || mime_line_has_bare_lf(&line))
        fail_msg("%s: not safe after canonical form", path);
}

static void
check_message(const char *path, struct totals *totals)
{
    struct buf entity = BUF_INIT(1 << 21), first = BUF_INIT(1 << 22), again = BUF_INIT(1 << 22);
    struct mime_scan *scan = NULL;
    struct err err = ERR_INIT;

    load_entity(path, &entity);
    if (scan_pieces(buf_span(&entity), 4096, &scan, &err) != ERR_OK) {
        print_message("refused: %s: %s\n", path, err.text);
        totals->refused++;
        goto out;
    }
    assert_int_equal(
        canonical_pieces(scan, MIME_CANONICAL_OPAQUE, buf_span(&entity), 64, &first, &err), ERR_OK);
    assert_span(buf_span(&first), buf_span(&entity));
    if (mime_scan_get(scan)->only_opaque) {
        assert_non_null(mime_scan_get(scan)->why);
        totals->opaque++;
        goto out;
    }
    totals->clear++;
    for (size_t i = 0; i < PIECES_N; i++) {
        buf_reset(&again);
        assert_int_equal(canonical_pieces(scan, MIME_CANONICAL_TRANSPORT, buf_span(&entity),
                                          PIECES[i], &again, &err),
                         ERR_OK);
        if (i == 0) {
            buf_reset(&first);
            assert_int_equal(buf_append(&first, buf_span(&again), &err), ERR_OK);
        }
        assert_span(buf_span(&again), buf_span(&first));
    }
    assert_survives_every_hop(path, buf_span(&first));
    /* Idempotent: what is canonical needs nothing more. */
    mime_scan_free(&scan);
    assert_int_equal(scan_pieces(buf_span(&first), 7, &scan, &err), ERR_OK);
    assert_false(mime_scan_get(scan)->needs_encoding || mime_scan_get(scan)->needs_label ||
                 mime_scan_get(scan)->only_opaque);
out:
    mime_scan_free(&scan);
    buf_free(&entity);
    buf_free(&first);
    buf_free(&again);
}

static void
check_folder(const char *path, struct totals *totals)
{
    DIR *folder = opendir(path);
    struct dirent *entry;
    assert_non_null(folder);
    while ((entry = readdir(folder))) {
        char inner[4096];
        struct stat st;
        if (entry->d_name[0] == '.')
            continue;
        snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
        assert_int_equal(stat(inner, &st), 0);
        if (S_ISDIR(st.st_mode))
            check_folder(inner, totals);
        else
            check_message(inner, totals);
    }
    closedir(folder);
}

static void
the_corpus_of_hostile_messages_survives_every_hop(void **state)
{
    (void)state;
    const char *corpora = getenv("SMIMED_CORPORA");
    struct totals totals = { 0 };
    char path[4096];
    if (!corpora || !*corpora) {
        print_message("SMIMED_CORPORA is not set\n");
        skip();
    }
    snprintf(path, sizeof path, "%s/mime", corpora);
    check_folder(path, &totals);
    print_message("%d clear, %d only opaque, %d refused\n", totals.clear, totals.opaque,
                  totals.refused);
    assert_int_equal(totals.clear + totals.opaque + totals.refused, 291);
    assert_int_equal(totals.refused, 0);
    assert_true(totals.clear >= 240);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(safe_mail_is_passed_byte_for_byte),
        cmocka_unit_test(text_without_any_field_gets_an_encoding_and_no_charset),
        cmocka_unit_test(one_field_is_replaced_in_its_place_and_others_keep_their_bytes),
        cmocka_unit_test(only_the_leaf_that_needs_it_is_encoded),
        cmocka_unit_test(inner_messages_are_made_safe_and_get_mime_version),
        cmocka_unit_test(a_label_that_promises_8bit_becomes_7bit),
        cmocka_unit_test(encoded_leaves_with_unsafe_lines_are_encoded_anew),
        cmocka_unit_test(octets_of_binary_leaves_are_no_line_ends),
        cmocka_unit_test(bare_lf_becomes_crlf_everywhere),
        cmocka_unit_test(inside_cms_bytes_stay_but_for_line_ends),
        cmocka_unit_test(a_message_that_can_only_be_opaque_is_refused_for_transport),
        cmocka_unit_test(an_error_behind_comes_back_from_every_place),
        cmocka_unit_test(the_corpus_of_hostile_messages_survives_every_hop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
