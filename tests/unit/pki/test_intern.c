#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>

#include "../testca.h"
#include "pki/intern.h"

static struct testca ca;

static int
setup(void **state)
{
    (void)state;
    testca_init(&ca, "Intern Root");
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    pki_intern_reset();
    testca_free(&ca);
    return 0;
}

/* The DER of a new certificate; free(). */
static struct span
new_der(const char *cn)
{
    struct testca_leaf leaf;
    unsigned char *der = NULL;
    testca_issue(&ca, &(struct testca_args){ .cn = cn, .san = "email:a@example.org" }, &leaf);
    int n = i2d_X509(leaf.x509, &der);
    assert_true(n > 0);
    unsigned char *copy = malloc((size_t)n);
    assert_non_null(copy);
    memcpy(copy, der, (size_t)n);
    OPENSSL_free(der);
    testca_leaf_free(&leaf);
    return span_of(copy, (size_t)n);
}

static struct pki_certificate *
get(struct span der)
{
    struct pki_certificate *one = NULL;
    struct err err = ERR_INIT;
    assert_int_equal(pki_intern_get(der, &one, &err), ERR_OK);
    assert_non_null(one);
    return one;
}

static void
the_same_octets_are_the_same_object(void **state)
{
    (void)state;
    struct span a = new_der("A"), b = new_der("B");
    struct pki_certificate *first = get(a), *again = get(a), *other = get(b);
    assert_ptr_equal(first, again);
    assert_ptr_not_equal(first, other);
    assert_true(span_equal(pki_certificate_der(first), a));
    pki_certificate_free(&first);
    pki_certificate_free(&again);
    again = get(a);
    assert_true(span_equal(pki_certificate_der(again), a));
    pki_certificate_free(&again);
    pki_certificate_free(&other);
    free((void *)(uintptr_t)a.p);
    free((void *)(uintptr_t)b.p);
}

static void
one_changed_octet_is_another_certificate(void **state)
{
    (void)state;
    struct span a = new_der("A");
    struct pki_certificate *first = get(a), *other = NULL;
    struct err err = ERR_INIT;
    unsigned char *changed = malloc(a.n);
    assert_non_null(changed);
    memcpy(changed, a.p, a.n);
    changed[a.n - 1] ^= 1; /* the signature's last octet: still a certificate */
    assert_int_equal(pki_intern_get(span_of(changed, a.n), &other, &err), ERR_OK);
    assert_ptr_not_equal(first, other);
    pki_certificate_free(&other);
    assert_int_not_equal(pki_intern_get(span_of(changed, a.n - 1), &other, &err), ERR_OK);
    assert_null(other);
    pki_certificate_free(&first);
    free(changed);
    free((void *)(uintptr_t)a.p);
}

static void
what_was_pushed_out_lives_as_long_as_it_is_held(void **state)
{
    (void)state;
    struct span a = new_der("A");
    struct pki_certificate *first = get(a);
    pki_intern_reset();
    assert_true(span_equal(pki_certificate_der(first), a));
    struct pki_certificate *again = get(a);
    assert_ptr_not_equal(first, again);
    pki_certificate_free(&first);
    pki_certificate_free(&again);
    free((void *)(uintptr_t)a.p);
}

enum { THREADS = 4, SEVERAL = 12, ROUNDS = 400 };

static struct span several[SEVERAL];

static void *
run_thread(void *context)
{
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct span der = several[(i * 7 + *(unsigned *)context) % SEVERAL];
        struct pki_certificate *one = NULL;
        struct err err = ERR_INIT;
        if (pki_intern_get(der, &one, &err) != ERR_OK || !span_equal(pki_certificate_der(one), der))
            return (void *)1;
        if (i % 50 == 0)
            pki_intern_reset();
        pki_certificate_free(&one);
    }
    return NULL;
}

static void
threads_share_without_harm(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    unsigned numbers[THREADS];
    for (size_t i = 0; i < SEVERAL; i++)
        several[i] = new_der("Several");
    for (unsigned i = 0; i < THREADS; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, run_thread, &numbers[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        void *result = NULL;
        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_null(result);
    }
    for (size_t i = 0; i < SEVERAL; i++)
        free((void *)(uintptr_t)several[i].p);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_octets_are_the_same_object),
        cmocka_unit_test(one_changed_octet_is_another_certificate),
        cmocka_unit_test(what_was_pushed_out_lives_as_long_as_it_is_held),
        cmocka_unit_test(threads_share_without_harm),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
