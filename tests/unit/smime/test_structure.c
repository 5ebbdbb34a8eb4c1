#include "make.h"

#include <string.h>

#include "smime/structure.h"

/* What came out: fields as hex of their first octets and length, content as it is. */
struct seen {
    struct buf fields, content;
    enum err_code field_says;
};

static enum err_code
on_field(void *context, enum smime_field field, struct span element, struct err *err)
{
    struct seen *seen = context;
    if (seen->field_says != ERR_OK)
        return err_set(err, seen->field_says, "as told");
    /* whatever came in: one element of definite length */
    struct span rest = element;
    struct smime_ber_element one;
    assert_int_equal(smime_ber_get(&rest, &one, err), ERR_OK);
    assert_int_equal(rest.n, 0);
    return buf_appendf(&seen->fields, err, "%d:%02x:%zu ", (int)field, one.identifier, element.n);
}

static enum err_code
on_content(void *context, struct span piece, struct err *err)
{
    return buf_append(&((struct seen *)context)->content, piece, err);
}

static enum err_code
read(const struct make *made, size_t size, struct seen *seen, size_t limit,
     struct smime_structure_result *result)
{
    const struct smime_structure_args args = { .wanted = ~0u,
                                               .field_limit_bytes = limit,
                                               .field = on_field,
                                               .content = on_content,
                                               .context = seen };
    struct smime_structure *structure = NULL;
    struct err err = ERR_INIT;
    assert_int_equal(smime_structure_new(&args, &structure, &err), ERR_OK);
    enum err_code code = ERR_OK;
    for (size_t at = 0; at < made->n && code == ERR_OK; at += size) {
        size_t n = made->n - at < size ? made->n - at : size;
        struct make piece = make_raw(made->p + at, n);
        code = smime_structure_write(structure, span_of(piece.p, n), &err);
        free(piece.p);
    }
    if (code == ERR_OK)
        code = smime_structure_finish(structure, &err);
    *result = *smime_structure_get(structure);
    smime_structure_free(&structure);
    smime_structure_free(&structure);
    return code;
}

static struct make
signed_data(void)
{
    struct make certificate = make_tlv(0x30, make_tlv(0x04, make_fill(1, 200)));
    struct make crl = make_tlv(0x30, make_fill(5, 0));
    struct make signer = make_signer();
    struct make body = make_tlv(
        0x30,
        make_join(6, make_integer(1), make_tlv(0x31, make_raw("", 0)),
                  make_tlv(0x30, make_join(2, MAKE_OID(OID_DATA),
                                           make_tlv(0xa0, make_tlv(0x04, make_raw("hello", 5))))),
                  make_tlv(0xa0, certificate), make_tlv(0xa1, crl), make_tlv(0x31, signer)));
    return make_tlv(0x30, make_join(2, MAKE_OID(OID_SIGNED), make_tlv(0xa0, body)));
}

static void
structure_cuts_the_same_fields_out_of_both_length_forms(void **state)
{
    (void)state;
    struct make der = signed_data();
    struct make ber = make_ber(span_of(der.p, der.n));
    const struct make *const forms[] = { &der, &ber };
    for (size_t form = 0; form < 2; form++) {
        for (size_t i = 0; i < MAKE_PIECES; i++) {
            struct seen seen = { .fields = BUF_INIT(4096), .content = BUF_INIT(4096) };
            struct smime_structure_result result;
            assert_int_equal(read(forms[form], make_pieces[i], &seen, 4096, &result), ERR_OK);
            assert_true(result.complete && result.has_content);
            assert_int_equal(result.content, SMIME_CONTENT_SIGNED);
            assert_int_equal(result.certificates, 1);
            assert_int_equal(result.crls, 1);
            assert_int_equal(result.signers, 1);
            assert_int_equal(result.content_bytes, 5);
            assert_string_equal(buf_str(&seen.content), "hello");
            assert_string_equal(buf_str(&seen.fields),
                                "1:06:11 2:02:3 3:31:2 5:06:11 9:30:206 10:30:2 11:30:98 ");
            buf_free(&seen.fields);
            buf_free(&seen.content);
        }
    }
    free(der.p);
    free(ber.p);
}

static void
structure_bounds_a_field(void **state)
{
    (void)state;
    struct make der = signed_data();
    struct seen seen = { .fields = BUF_INIT(4096), .content = BUF_INIT(4096) };
    struct smime_structure_result result;
    assert_int_equal(read(&der, 64, &seen, 205, &result), ERR_LIMIT);
    assert_false(result.complete);
    buf_free(&seen.fields);
    buf_free(&seen.content);
    free(der.p);
}

static void
structure_keeps_what_a_consumer_says(void **state)
{
    (void)state;
    struct make der = signed_data();
    struct seen seen = { .fields = BUF_INIT(4096),
                         .content = BUF_INIT(4096),
                         .field_says = ERR_NOMEM };
    struct smime_structure_result result;
    assert_int_equal(read(&der, 64, &seen, 4096, &result), ERR_NOMEM);
    buf_free(&seen.fields);
    buf_free(&seen.content);
    free(der.p);
}

static void
structure_does_not_take_foreign_content_for_octets(void **state)
{
    (void)state;
    /* PKCS#7 1.5: a SEQUENCE as content */
    struct make body = make_tlv(
        0x30, make_join(4, make_integer(1), make_tlv(0x31, make_raw("", 0)),
                        make_tlv(0x30, make_join(2, MAKE_OID(0x2a, 3, 4),
                                                 make_tlv(0xa0, make_tlv(0x30, make_integer(5))))),
                        make_tlv(0x31, make_signer())));
    struct make der = make_tlv(0x30, make_join(2, MAKE_OID(OID_SIGNED), make_tlv(0xa0, body)));
    struct seen seen = { .fields = BUF_INIT(4096), .content = BUF_INIT(4096) };
    struct smime_structure_result result;
    assert_int_equal(read(&der, 1, &seen, 4096, &result), ERR_OK);
    assert_false(result.has_content);
    assert_int_equal(seen.content.n, 0);
    buf_free(&seen.fields);
    buf_free(&seen.content);
    free(der.p);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(structure_cuts_the_same_fields_out_of_both_length_forms),
        cmocka_unit_test(structure_bounds_a_field),
        cmocka_unit_test(structure_keeps_what_a_consumer_says),
        cmocka_unit_test(structure_does_not_take_foreign_content_for_octets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
