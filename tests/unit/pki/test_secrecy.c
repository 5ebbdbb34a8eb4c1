/*
 * Where a private key lies in memory. A key is made by another process, so that it was never in
 * ours, loaded, and then our whole memory is searched for its numbers in every form that the
 * library keeps them in. The pattern that is searched for is held masked, or the search would find
 * itself.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/core_names.h>

#include "pki/crypto.h"
#include "pki/keyring.h"
#include "tests/unit/testca.h"
#include "util/wipe.h"

WIPE_EVERY_FREE

enum { FACTOR_BYTES = 128, PROBE_BYTES = 32, MASK = 0x5a, FORMS = 2 };

static char *folder;
static char key_path[300], certificate_path[300];
/* The middle of a prime factor: as DER and files have it, and as the library's big numbers do. */
static unsigned char masked[FORMS][PROBE_BYTES];

static int
setup(void **state)
{
    char command[1024];

    (void)state;
    folder = testca_folder();
    snprintf(key_path, sizeof key_path, "%s/key.pem", folder);
    snprintf(certificate_path, sizeof certificate_path, "%s/cert.pem", folder);
    snprintf(command, sizeof command,
             "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=S -keyout %s -out %s -days 30 "
             "-addext subjectAltName=email:s@example.org 2>/dev/null",
             key_path, certificate_path);
    assert_int_equal(system(command), 0);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    testca_folder_free(&folder);
    return 0;
}

/* Their allocator keeps what is freed, and their shadow is terabytes to search. */
static void
skip_under_sanitizers(void)
{
    if (WIPE_IS_OFF) {
        print_message("built with a sanitizer: skipped\n");
        skip();
    }
}

static void
probe_take(EVP_PKEY *key)
{
    unsigned char factor[FACTOR_BYTES];
    BIGNUM *p = BN_secure_new();

    assert_true(EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_FACTOR1, &p));
    assert_int_equal(BN_bn2binpad(p, factor, FACTOR_BYTES), FACTOR_BYTES);
    for (size_t i = 0; i < PROBE_BYTES; i++) {
        masked[0][i] = factor[32 + i] ^ MASK;
        masked[1][PROBE_BYTES - 1 - i] = factor[32 + i] ^ MASK;
    }
    explicit_bzero(factor, sizeof factor);
    BN_clear_free(p);
}

static bool
is_probe(const unsigned char *at, size_t form)
{
    for (size_t i = 0; i < PROBE_BYTES; i++) {
        if ((at[i] ^ MASK) != masked[form][i])
            return false;
    }
    return true;
}

/* How often the number stands in writable memory, in the secure heap and outside of it. The stack
 * of this thread below us is left out: it holds what callers no longer own, not what the heap
 * forgot. */
static void
memory_search(size_t *secure, size_t *outside)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512], mode[8], name[256];
    unsigned long from, to;

    *secure = *outside = 0;
    assert_non_null(maps);
    while (fgets(line, sizeof line, maps)) {
        name[0] = '\0';
        if (sscanf(line, "%lx-%lx %7s %*s %*s %*s %255s", &from, &to, mode, name) < 3 ||
            mode[0] != 'r' || mode[1] != 'w' || strcmp(name, "[stack]") == 0)
            continue;
        for (const unsigned char *p = (const unsigned char *)from;
             p + PROBE_BYTES <= (const unsigned char *)to; p++) {
            for (size_t form = 0; form < FORMS; form++) {
                if (!is_probe(p, form))
                    continue;
                if (CRYPTO_secure_allocated(p))
                    ++*secure;
                else
                    ++*outside;
            }
        }
    }
    fclose(maps);
}

static struct pki_keyring *
load(void)
{
    struct pki_keyring *keyring = NULL;
    struct err err = ERR_INIT;

    if (pki_keyring_load_pair(key_path, certificate_path, NULL, &keyring, &err) != ERR_OK)
        fail_msg("%s", err.text);
    return keyring;
}

static void
sign_once(EVP_PKEY *key)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    unsigned char signature[512];
    size_t n = sizeof signature;

    assert_true(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) > 0);
    assert_true(EVP_DigestSign(ctx, signature, &n, (const unsigned char *)"x", 1) > 0);
    EVP_MD_CTX_free(ctx);
}

static void
a_key_lies_in_the_secure_heap_alone_and_is_gone_when_freed(void **state)
{
    (void)state;
    size_t secure, outside;

    skip_under_sanitizers();
    struct pki_keyring *keyring = load();
    probe_take(pki_keyring_get(keyring, 0)->pkey);
    memory_search(&secure, &outside);
    assert_int_equal(secure, 1);
    assert_int_equal(outside, 0);
    /* A signature leaves the Montgomery form of the factor in the ordinary heap (pki/crypto.h) ...
     */
    sign_once(pki_keyring_get(keyring, 0)->pkey);
    memory_search(&secure, &outside);
    assert_int_equal(secure, 1);
    assert_true(outside <= 1);
    /* ... as long as the key lives. */
    pki_keyring_free(&keyring);
    memory_search(&secure, &outside);
    assert_int_equal(secure, 0);
    assert_int_equal(outside, 0);
}

static void
an_import_leaves_nothing_behind(void **state)
{
    (void)state;
    char command[1024], p12[300], password[300];
    struct pki_import_args args = { .file = p12, .password_file = password, .folder = folder };
    struct pki_keyring *keyring = NULL;
    struct err err = ERR_INIT;
    size_t secure, outside, count;

    skip_under_sanitizers();
    snprintf(p12, sizeof p12, "%s/x.p12", folder);
    snprintf(password, sizeof password, "%s/x.password", folder);
    snprintf(command, sizeof command,
             "openssl pkcs12 -export -inkey %s -in %s -passout pass:secret -out %s", key_path,
             certificate_path, p12);
    assert_int_equal(system(command), 0);
    testca_file(folder, "x.password", 0600, "secret", 6);
    unlink(key_path);
    unlink(certificate_path);
    if (pki_keyring_import(&args, &count, &err) != ERR_OK)
        fail_msg("%s", err.text);
    assert_int_equal(pki_keyring_load(folder, NULL, NULL, &keyring, &err), ERR_OK);
    assert_int_equal(pki_keyring_count(keyring), 1);
    probe_take(pki_keyring_get(keyring, 0)->pkey);
    memory_search(&secure, &outside);
    assert_int_equal(secure, 1);
    assert_int_equal(outside, 0);
    pki_keyring_free(&keyring);
}

static void
the_search_finds_what_is_there(void **state)
{
    (void)state;
    size_t secure, outside;
    unsigned char *copy;

    skip_under_sanitizers();
    copy = malloc(PROBE_BYTES);
    for (size_t i = 0; i < PROBE_BYTES; i++) {
        masked[0][i] = (unsigned char)(i * 7 + 1);
        copy[i] = masked[0][i] ^ MASK;
    }
    memory_search(&secure, &outside);
    assert_int_equal(outside, 1);
    explicit_bzero(copy, PROBE_BYTES);
    free(copy);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    static const struct CMUnitTest tests[] = {
        TEST(a_key_lies_in_the_secure_heap_alone_and_is_gone_when_freed),
        TEST(an_import_leaves_nothing_behind),
        cmocka_unit_test(the_search_finds_what_is_there),
    };
    struct err err = ERR_INIT;

    if (pki_crypto_init(10, &err) != ERR_OK) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
