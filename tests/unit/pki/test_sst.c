/* Serialized stores of Windows, made by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "pki/sst.h"
#include "tests/unit/testca.h"

enum { STORE_MAX = 1 << 22 };

static struct testca root, ca;

static int
setup(void **state)
{
    (void)state;
    testca_init(&root, "Store Root");
    testca_init_below(&ca, &root, "Store CA", NULL);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    testca_free(&ca);
    testca_free(&root);
    return 0;
}

static void
number_put(struct buf *out, uint32_t number)
{
    struct err err = ERR_INIT;

    for (int i = 0; i < 4; i++)
        assert_int_equal(buf_append_byte(out, (unsigned char)(number >> 8 * i), &err), ERR_OK);
}

static void
element_put(struct buf *out, uint32_t id, uint32_t encoding, struct span value)
{
    struct err err = ERR_INIT;

    number_put(out, id);
    number_put(out, encoding);
    number_put(out, (uint32_t)value.n);
    assert_int_equal(buf_append(out, value, &err), ERR_OK);
}

static void
header_put(struct buf *out)
{
    struct err err = ERR_INIT;

    buf_reset(out);
    number_put(out, 0);
    assert_int_equal(buf_append_str(out, "CERT", &err), ERR_OK);
}

static void
certificate_put(struct buf *out, X509 *x509, uint32_t encoding)
{
    unsigned char *der = NULL;
    int n = i2d_X509(x509, &der);

    element_put(out, 3, 1, span_of("a hash of twenty oct", 20));
    element_put(out, 11, 1, span_of("n\0a\0m\0e\0\0", 10));
    element_put(out, 32, encoding, span_of(der, (size_t)n));
    OPENSSL_free(der);
}

static void
store_put(struct buf *out)
{
    header_put(out);
    certificate_put(out, root.x509, 1);
    certificate_put(out, ca.x509, 0x10001);
    element_put(out, 33, 1, span_of("a CRL", 5));
    element_put(out, 0, 0, span_of(NULL, 0));
}

static enum err_code
parse_copy(struct span bytes, size_t *count, struct err *err)
{
    struct pki_certificates list = { .list = NULL };
    unsigned char *copy = malloc(bytes.n ? bytes.n : 1);
    enum err_code code;

    if (bytes.n > 0)
        memcpy(copy, bytes.p, bytes.n);
    err_reset(err);
    code = pki_certificates_parse(&list, span_of(copy, bytes.n), err);
    assert_true((code != ERR_OK) == (err->text[0] != '\0'));
    assert_int_equal(ERR_peek_error(), 0);
    *count = list.count;
    free(copy);
    pki_certificates_free(&list);
    return code;
}

static void
certificates_are_read_and_properties_and_crls_passed_over(void **state)
{
    (void)state;
    struct buf store = BUF_INIT(STORE_MAX);
    struct err err = ERR_INIT;
    size_t count;

    store_put(&store);
    if (parse_copy(buf_span(&store), &count, &err) != ERR_OK)
        fail_msg("%s", err.text);
    assert_int_equal(count, 2);
    buf_free(&store);
}

static void
a_folder_may_hold_stores_beside_other_forms(void **state)
{
    (void)state;
    struct buf store = BUF_INIT(STORE_MAX);
    struct pki_certificates list = { .list = NULL };
    struct err err = ERR_INIT;
    char *folder = testca_folder();
    char path[300];
    FILE *file;

    store_put(&store);
    testca_pem(folder, "one.pem", 0644, NULL, root.x509, NULL, NULL);
    snprintf(path, sizeof path, "%s/export.sst", folder);
    file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(store.p, 1, store.n, file), store.n);
    assert_int_equal(fclose(file), 0);
    if (pki_certificates_load(&list, folder, &err) != ERR_OK)
        fail_msg("%s", err.text);
    assert_int_equal(list.count, 3);
    pki_certificates_free(&list);
    testca_folder_free(&folder);
    buf_free(&store);
}

static void
a_store_that_is_cut_off_anywhere_is_refused(void **state)
{
    (void)state;
    struct buf store = BUF_INIT(STORE_MAX);
    struct err err = ERR_INIT;
    size_t count;

    store_put(&store);
    for (size_t n = 0; n < store.n; n++)
        assert_int_equal(parse_copy(span_of(store.p, n), &count, &err), ERR_PERM);
    assert_int_equal(buf_append_byte(&store, 0, &err), ERR_OK);
    assert_int_equal(parse_copy(buf_span(&store), &count, &err), ERR_PERM);
    buf_free(&store);
}

static void
lengths_that_lie_versions_encodings_and_rubbish_are_refused(void **state)
{
    (void)state;
    struct buf store = BUF_INIT(STORE_MAX);
    struct err err = ERR_INIT;
    size_t count;

    header_put(&store); /* empty */
    element_put(&store, 0, 0, span_of(NULL, 0));
    assert_int_equal(parse_copy(buf_span(&store), &count, &err), ERR_PERM);
    assert_non_null(strstr(err.text, "without a certificate"));
    store_put(&store);
    memset(store.p + 8 + 8, 0xff, 4); /* 4 GiB - 1 */
    assert_int_equal(parse_copy(buf_span(&store), &count, &err), ERR_PERM);
    store_put(&store);
    store.p[0] = 1; /* another version */
    assert_int_equal(parse_copy(buf_span(&store), &count, &err), ERR_PERM);
    header_put(&store);
    certificate_put(&store, root.x509, 2);
    element_put(&store, 0, 0, span_of(NULL, 0));
    assert_int_equal(parse_copy(buf_span(&store), &count, &err), ERR_PERM);
    assert_non_null(strstr(err.text, "X.509"));
    header_put(&store);
    element_put(&store, 32, 1, span_of("not DER", 7));
    element_put(&store, 0, 0, span_of(NULL, 0));
    assert_int_equal(parse_copy(buf_span(&store), &count, &err), ERR_PERM);
    header_put(&store);
    certificate_put(&store, root.x509, 1);
    element_put(&store, 0, 0, span_of("x", 1));
    assert_int_equal(parse_copy(buf_span(&store), &count, &err), ERR_PERM);
    buf_free(&store);
}

static void
the_number_of_elements_is_bounded(void **state)
{
    (void)state;
    struct buf store = BUF_INIT(STORE_MAX);
    struct err err = ERR_INIT;
    size_t count;

    header_put(&store);
    for (int i = 0; i < PKI_SST_ELEMENTS; i++)
        element_put(&store, 3, 1, span_of(NULL, 0));
    element_put(&store, 0, 0, span_of(NULL, 0));
    assert_int_equal(parse_copy(buf_span(&store), &count, &err), ERR_LIMIT);
    buf_free(&store);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(certificates_are_read_and_properties_and_crls_passed_over),
        cmocka_unit_test(a_folder_may_hold_stores_beside_other_forms),
        cmocka_unit_test(a_store_that_is_cut_off_anywhere_is_refused),
        cmocka_unit_test(lengths_that_lie_versions_encodings_and_rubbish_are_refused),
        cmocka_unit_test(the_number_of_elements_is_bounded),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
