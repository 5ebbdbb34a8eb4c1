#include "make.h"

#include <string.h>

#include "mime/parameter.h"
#include "smime/detect.h"

/* ---- an EnvelopedData by hand, with places to break it ---- */

struct enveloped {
    struct make type, version, originator, recipients, encrypted, behind, wrapper_extra;
};

static struct make
nothing(void)
{
    return make_raw("", 0);
}

static struct make
make_algorithm(struct make oid, struct make parameters)
{
    return make_tlv(0x30, make_join(2, oid, parameters));
}

static struct make
make_ktri(size_t key_bytes)
{
    struct make name = make_tlv(0x30, make_join(2, make_tlv(0x30, nothing()), make_integer(9)));
    struct make algorithm = make_algorithm(MAKE_OID(OID_RSA), make_tlv(0x05, nothing()));
    return make_tlv(0x30, make_join(4, make_integer(0), name, algorithm,
                                    make_tlv(0x04, make_fill(0x5a, key_bytes))));
}

static struct make
make_kari(void)
{
    struct make originator = make_tlv(0xa0, make_tlv(0xa1, make_tlv(0x03, make_fill(4, 66))));
    struct make key = make_tlv(0x30, make_join(2, make_tlv(0xa0, make_tlv(0x04, make_fill(1, 20))),
                                               make_tlv(0x04, make_fill(2, 40))));
    return make_tlv(0xa1,
                    make_join(4, make_integer(3), originator,
                              make_algorithm(MAKE_OID(OID_RSA), nothing()), make_tlv(0x30, key)));
}

static struct make
make_cbc(void)
{
    return make_algorithm(MAKE_OID(OID_AES256_CBC), make_tlv(0x04, make_fill(3, 16)));
}

static struct make
make_encrypted(struct make algorithm, struct make content)
{
    return make_tlv(0x30, make_join(3, MAKE_OID(OID_DATA), algorithm, content));
}

static struct enveloped
usual(void)
{
    return (struct enveloped){
        .type = MAKE_OID(OID_ENVELOPED),
        .version = make_integer(0),
        .originator = nothing(),
        .recipients = make_tlv(0x31, make_join(2, make_ktri(256), make_kari())),
        .encrypted = make_encrypted(make_cbc(), make_tlv(0x80, make_fill('c', 48))),
        .behind = nothing(),
        .wrapper_extra = nothing(),
    };
}

static void
swap(struct make *place, struct make with)
{
    free(place->p);
    *place = with;
}

static struct make
finish(struct enveloped *e, bool indefinite)
{
    struct make (*wrap)(unsigned char, struct make) = indefinite ? make_indefinite : make_tlv;
    struct make body =
        wrap(0x30, make_join(5, e->version, e->originator, e->recipients, e->encrypted, e->behind));
    struct make wrapper = wrap(0xa0, make_join(2, body, e->wrapper_extra));
    return wrap(0x30, make_join(2, e->type, wrapper));
}

static struct smime_detect_result
detect(const struct make *made, size_t size)
{
    struct smime_detect *detector = NULL;
    struct err err = ERR_INIT;
    assert_int_equal(smime_detect_new(&detector, &err), ERR_OK);
    for (size_t at = 0; at < made->n; at += size) {
        size_t n = made->n - at < size ? made->n - at : size;
        struct make piece = make_raw(made->p + at, n);
        assert_int_equal(smime_detect_write(detector, span_of(piece.p, n), &err), ERR_OK);
        free(piece.p);
    }
    assert_int_equal(smime_detect_finish(detector, &err), ERR_OK);
    struct smime_detect_result result = *smime_detect_get(detector);
    assert_true(result.complete == (result.why == NULL));
    smime_detect_free(&detector);
    smime_detect_free(&detector);
    return result;
}

static void
expect(struct make made, enum smime_content content, bool complete)
{
    for (size_t i = 0; i < MAKE_PIECES; i++) {
        struct smime_detect_result result = detect(&made, make_pieces[i]);
        if (result.complete != complete)
            print_error("why: %s\n", result.why ? result.why : "-");
        assert_int_equal(result.complete, complete);
        assert_int_equal(result.content, content);
    }
    free(made.p);
}

static void
refuse_enveloped(struct enveloped e)
{
    expect(finish(&e, false), SMIME_CONTENT_ENVELOPED, false);
}

static void
detect_knows_enveloped_data_in_both_length_forms(void **state)
{
    (void)state;
    for (int indefinite = 0; indefinite < 2; indefinite++) {
        struct enveloped e = usual();
        struct make made = finish(&e, indefinite);
        struct smime_detect_result result = detect(&made, 64);
        assert_int_equal(result.recipients, 2);
        assert_string_equal(result.cipher, "2.16.840.1.101.3.4.1.42");
        expect(made, SMIME_CONTENT_ENVELOPED, true);
    }
    struct enveloped e = usual();
    struct make pieces = make_join(3, make_tlv(0x04, make_fill('c', 40)),
                                   make_indefinite(0x24, make_tlv(0x04, make_fill('c', 7))),
                                   make_tlv(0x04, make_fill('c', 1)));
    swap(&e.encrypted, make_encrypted(make_cbc(), make_indefinite(0xa0, pieces)));
    expect(finish(&e, true), SMIME_CONTENT_ENVELOPED, true);
}

static struct make
auth_enveloped(struct make mac)
{
    struct enveloped e = usual();
    struct make parameters =
        make_tlv(0x30, make_join(2, make_tlv(0x04, make_fill(1, 12)), make_integer(16)));
    swap(&e.type, MAKE_OID(OID_AUTHENVELOPED));
    swap(&e.encrypted, make_encrypted(make_algorithm(MAKE_OID(OID_AES256_GCM), parameters),
                                      make_tlv(0x80, make_fill('c', 5))));
    swap(&e.behind, mac);
    return finish(&e, false);
}

static void
detect_knows_auth_enveloped_data_and_wants_its_mac(void **state)
{
    (void)state;
    expect(auth_enveloped(make_tlv(0x04, make_fill(7, 16))), SMIME_CONTENT_AUTHENVELOPED, true);
    expect(auth_enveloped(make_join(2, make_tlv(0xa1, make_tlv(0x30, nothing())),
                                    make_tlv(0x04, make_fill(7, 16)))),
           SMIME_CONTENT_AUTHENVELOPED, true);
    expect(auth_enveloped(nothing()), SMIME_CONTENT_AUTHENVELOPED, false);
    expect(auth_enveloped(make_tlv(0x04, make_fill(7, 2))), SMIME_CONTENT_AUTHENVELOPED, false);
    struct enveloped e = usual(); /* CBC without any authentication */
    swap(&e.type, MAKE_OID(OID_AUTHENVELOPED));
    swap(&e.behind, make_tlv(0x04, make_fill(7, 16)));
    expect(finish(&e, false), SMIME_CONTENT_AUTHENVELOPED, false);
}

static void
detect_refuses_enveloped_data_without_recipients(void **state)
{
    (void)state;
    struct enveloped e = usual();
    swap(&e.recipients, make_tlv(0x31, nothing()));
    refuse_enveloped(e);
}

static void
detect_refuses_text_dressed_as_recipient(void **state)
{
    (void)state;
    struct enveloped e = usual();
    swap(&e.recipients, make_tlv(0x31, make_tlv(0x30, make_fill('0', 48))));
    refuse_enveloped(e);
    e = usual();
    swap(&e.recipients, make_tlv(0x31, make_ktri(4))); /* no wrapped key is that short */
    refuse_enveloped(e);
    e = usual();
    swap(&e.recipients, make_tlv(0x31, make_tlv(0x04, make_fill('k', 256))));
    refuse_enveloped(e);
    e = usual();
    swap(&e.recipients, make_ktri(256)); /* no SET around it */
    refuse_enveloped(e);
}

static void
detect_refuses_missing_or_empty_encrypted_content(void **state)
{
    (void)state;
    struct enveloped e = usual();
    swap(&e.encrypted, make_encrypted(make_cbc(), nothing()));
    refuse_enveloped(e);
    e = usual();
    swap(&e.encrypted, make_encrypted(make_cbc(), make_tlv(0x80, nothing())));
    refuse_enveloped(e);
    e = usual();
    swap(&e.encrypted, make_encrypted(make_cbc(), make_indefinite(0xa0, nothing())));
    refuse_enveloped(e);
    e = usual(); /* 47 octets are no whole number of AES blocks: text, most likely */
    swap(&e.encrypted, make_encrypted(make_cbc(), make_tlv(0x80, make_fill('c', 47))));
    refuse_enveloped(e);
    e = usual(); /* SEQUENCEs where only octet strings may be */
    swap(&e.encrypted, make_encrypted(make_cbc(), make_tlv(0xa0, make_tlv(0x30, make_fill(5, 0)))));
    refuse_enveloped(e);
}

static void
detect_refuses_unknown_or_null_content_encryption(void **state)
{
    (void)state;
    struct enveloped e = usual();
    swap(&e.encrypted, make_encrypted(make_algorithm(MAKE_OID(0x2a, 3, 4), nothing()),
                                      make_tlv(0x80, make_fill('c', 48))));
    refuse_enveloped(e);
    e = usual(); /* RC2 (40 bits, often) hides nothing */
    swap(&e.encrypted,
         make_encrypted(
             make_algorithm(MAKE_OID(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 3, 2), nothing()),
             make_tlv(0x80, make_fill('c', 48))));
    refuse_enveloped(e);
    e = usual();
    swap(&e.encrypted,
         make_encrypted(make_tlv(0x30, nothing()), make_tlv(0x80, make_fill('c', 48))));
    refuse_enveloped(e);
}

static void
detect_refuses_text_behind_or_beside_the_object(void **state)
{
    (void)state;
    struct enveloped e = usual();
    expect(make_join(2, finish(&e, false), make_fill('x', 20)), SMIME_CONTENT_ENVELOPED, false);
    e = usual();
    expect(make_join(2, finish(&e, true), make_fill(0, 2)), SMIME_CONTENT_ENVELOPED, false);
    e = usual();
    swap(&e.behind, make_tlv(0x04, make_fill('x', 20)));
    refuse_enveloped(e);
    e = usual();
    swap(&e.wrapper_extra, make_tlv(0x04, make_fill('x', 20)));
    refuse_enveloped(e);
    e = usual();
    swap(&e.version, make_tlv(0x02, make_fill('x', 20)));
    refuse_enveloped(e);
    e = usual();
    swap(&e.originator, make_tlv(0x0c, make_fill('x', 20)));
    refuse_enveloped(e);
}

static void
detect_refuses_data_named_enveloped(void **state)
{
    (void)state;
    struct make made =
        make_tlv(0x30, make_join(2, MAKE_OID(OID_ENVELOPED),
                                 make_tlv(0xa0, make_tlv(0x04, make_fill('t', 40)))));
    expect(made, SMIME_CONTENT_ENVELOPED, false);
    expect(make_fill('t', 40), SMIME_CONTENT_UNKNOWN, false);
    expect(make_raw("", 0), SMIME_CONTENT_UNKNOWN, false);
    expect(make_tlv(0x30, make_join(2, MAKE_OID(OID_DATA),
                                    make_tlv(0xa0, make_tlv(0x04, make_fill('t', 40))))),
           SMIME_CONTENT_OTHER, true);
}

static void
detect_refuses_every_truncation(void **state)
{
    (void)state;
    for (int indefinite = 0; indefinite < 2; indefinite++) {
        struct enveloped e = usual();
        struct make made = finish(&e, indefinite);
        for (size_t n = 0; n < made.n; n++) {
            struct make cut = make_raw(made.p, n);
            assert_false(detect(&cut, 4096).complete);
            free(cut.p);
        }
        free(made.p);
    }
}

static struct make
signed_data(struct make content, struct make signers)
{
    struct make encapsulated = make_tlv(0x30, make_join(2, MAKE_OID(OID_DATA), content));
    struct make body = make_tlv(0x30, make_join(5, make_integer(1), make_tlv(0x31, nothing()),
                                                encapsulated, make_tlv(0xa0, nothing()), signers));
    return make_tlv(0x30, make_join(2, MAKE_OID(OID_SIGNED), make_tlv(0xa0, body)));
}

static void
detect_tells_signed_from_certificates_only(void **state)
{
    (void)state;
    struct make content = make_tlv(0xa0, make_tlv(0x04, make_fill('m', 9)));
    struct make signer = make_tlv(0x31, make_signer());
    struct make made = signed_data(content, signer);
    assert_int_equal(detect(&made, 3).signers, 1);
    expect(made, SMIME_CONTENT_SIGNED, true);
    expect(signed_data(nothing(), make_tlv(0x31, nothing())), SMIME_CONTENT_CERTS_ONLY, true);
    /* what only looks like a signer */
    expect(signed_data(make_tlv(0xa0, make_tlv(0x04, make_fill('m', 9))),
                       make_tlv(0x31, make_tlv(0x30, make_integer(1)))),
           SMIME_CONTENT_SIGNED, false);
    /* a detached signature is no message */
    expect(signed_data(nothing(), make_tlv(0x31, make_signer())), SMIME_CONTENT_SIGNED, false);
    expect(signed_data(nothing(), nothing()), SMIME_CONTENT_SIGNED, false);
}

static void
detect_holds_little_for_a_large_object(void **state)
{
    (void)state;
    struct enveloped e = usual();
    swap(&e.encrypted,
         make_encrypted(make_cbc(), make_tlv(0x80, make_fill('c', 16 * 1024 * 1024))));
    struct make made = finish(&e, false);
    assert_true(detect(&made, 65535).complete);
    free(made.p);
}

static enum smime_claim
claim(const char *text)
{
    struct mime_parameters *parameters = NULL;
    struct err err = ERR_INIT;
    assert_int_equal(mime_parameter_parse(span_str(text), &parameters, &err), ERR_OK);
    enum smime_claim found = smime_detect_claim(parameters);
    mime_parameter_free(&parameters);
    return found;
}

static void
detect_claim_reads_media_type_and_protocol_only(void **state)
{
    (void)state;
    assert_int_equal(smime_detect_claim(NULL), SMIME_CLAIM_NONE);
    assert_int_equal(
        claim("multipart/signed; protocol=\"application/pkcs7-signature\"; boundary=x"),
        SMIME_CLAIM_CLEAR_SIGNED);
    assert_int_equal(claim("Multipart/SIGNED; PROTOCOL=Application/x-pkcs7-Signature; boundary=x"),
                     SMIME_CLAIM_CLEAR_SIGNED);
    assert_int_equal(claim("multipart/signed; boundary=x"), SMIME_CLAIM_NONE);
    assert_int_equal(claim("multipart/signed; protocol=\"application/pgp-signature\""),
                     SMIME_CLAIM_PGP_SIGNED);
    assert_int_equal(claim("multipart/encrypted; protocol=\"application/pgp-encrypted\""),
                     SMIME_CLAIM_PGP_ENCRYPTED);
    assert_int_equal(claim("application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m"),
                     SMIME_CLAIM_CMS);
    assert_int_equal(claim("application/x-pkcs7-mime"), SMIME_CLAIM_CMS);
    assert_int_equal(claim("application/octet-stream; name=smime.p7m"), SMIME_CLAIM_NONE);
    assert_int_equal(claim("text/plain; name=\"application/pkcs7-mime\""), SMIME_CLAIM_NONE);
    assert_int_equal(claim("text/plain; protocol=\"application/pkcs7-signature\""),
                     SMIME_CLAIM_NONE);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(detect_knows_enveloped_data_in_both_length_forms),
        cmocka_unit_test(detect_knows_auth_enveloped_data_and_wants_its_mac),
        cmocka_unit_test(detect_refuses_enveloped_data_without_recipients),
        cmocka_unit_test(detect_refuses_text_dressed_as_recipient),
        cmocka_unit_test(detect_refuses_missing_or_empty_encrypted_content),
        cmocka_unit_test(detect_refuses_unknown_or_null_content_encryption),
        cmocka_unit_test(detect_refuses_text_behind_or_beside_the_object),
        cmocka_unit_test(detect_refuses_data_named_enveloped),
        cmocka_unit_test(detect_refuses_every_truncation),
        cmocka_unit_test(detect_tells_signed_from_certificates_only),
        cmocka_unit_test(detect_holds_little_for_a_large_object),
        cmocka_unit_test(detect_claim_reads_media_type_and_protocol_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
