/*
 * Messages that nobody on this project wrote, each file with its outcome. The corpora are found by
 * the variable SMIMED_CORPORA; without it everything here is skipped.
 */
#include "fixture.h"

#include <dirent.h>

#include <openssl/pkcs12.h>
#include <openssl/provider.h>

#include "mime/parameter.h"
#include "smime/decrypt.h"
#include "smime/verify.h"

static const char *corpora;

/* ---- files ---- */

static void
load(const char *name, struct buf *out)
{
    fixture_load(corpora, name, out);
}

/* Line ends as they arrive through an MTA: CRLF. What has them already (AS2, binary) is left alone.
 */
static void
load_message(const char *name, struct buf *out)
{
    struct err err = ERR_INIT;
    struct buf raw = BUF_INIT(MAKE_LIMIT);
    load(name, &raw);
    const unsigned char *crlf = memmem(raw.p, raw.n, "\r\n\r\n", 4);
    const unsigned char *lf = memmem(raw.p, raw.n, "\n\n", 2);
    if (crlf != NULL && (lf == NULL || crlf < lf)) {
        FIXTURE_MUST(buf_append(out, buf_span(&raw), &err));
        buf_free(&raw);
        return;
    }
    for (size_t i = 0; i < raw.n; i++) {
        if (raw.p[i] == '\n' && (i == 0 || raw.p[i - 1] != '\r'))
            FIXTURE_MUST(buf_append_byte(out, '\r', &err));
        FIXTURE_MUST(buf_append_byte(out, raw.p[i], &err));
    }
    buf_free(&raw);
}

static size_t
find_body(const struct buf *message)
{
    const char *end = strstr(buf_str(message), "\r\n\r\n");
    return end != NULL ? (size_t)(end + 4 - buf_str(message)) : message->n;
}

/* The value of a field of the first header section (appended, still folded). */
static void
find_field(const struct buf *message, const char *name, struct buf *out)
{
    struct err err = ERR_INIT;
    const char *line = buf_str(message), *end = buf_str(message) + find_body(message);
    while (line < end) {
        const char *next = strstr(line, "\r\n") + 2;
        while (next < end && (*next == ' ' || *next == '\t'))
            next = strstr(next, "\r\n") + 2;
        if (strncasecmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ':') {
            const char *value = line + strlen(name) + 1;
            FIXTURE_MUST(buf_append(out, span_of(value, (size_t)(next - 2 - value)), &err));
            return;
        }
        line = next;
    }
}

static void
decode(struct span text, struct buf *out)
{
    struct err err = ERR_INIT;
    struct stage *sink = NULL, *decoder = NULL;
    FIXTURE_MUST(stage_buf_new(out, &sink, &err));
    FIXTURE_MUST(mime_base64_decode_new(NULL, sink, &decoder, &err));
    FIXTURE_MUST(stage_write(decoder, text, &err));
    FIXTURE_MUST(stage_finish(decoder, &err));
    stage_free(&decoder);
}

/* The CMS octets of a file: *.bin and *.p7m are DER, messages are base64 behind their header
 * section. */
static void
load_cms(const char *name, struct buf *out)
{
    const char *end = strrchr(name, '.');
    if (strcmp(end, ".bin") == 0 || strcmp(end, ".p7m") == 0) {
        load(name, out);
        return;
    }
    struct buf message = BUF_INIT(MAKE_LIMIT);
    load_message(name, &message);
    size_t at = find_body(&message);
    decode(span_of(message.p + at, message.n - at), out);
    buf_free(&message);
}

/* ---- signatures ---- */

enum form { CLEAR, OPAQUE, DETACHED };

struct signed_row {
    const char *name;
    enum form form;
    const char *content;     /* DETACHED: the file that was signed */
    const char *certificate; /* one more certificate to find signers in */
    const char *reason;      /* of the result */
    size_t signers;
    struct {
        enum smime_signature_state state;
        const char *algorithm; /* word of our allow-list */
    } expected[2];
};

#define GOOD                     \
    {                            \
        SMIME_SIGNATURE_OK, "ok" \
    }
#define WEAK                                 \
    {                                        \
        SMIME_SIGNATURE_OK, "weak-algorithm" \
    }
#define UNSUPPORTED(algorithm)                 \
    {                                          \
        SMIME_SIGNATURE_UNSUPPORTED, algorithm \
    }

static const struct signed_row signed_rows[] = {
#include "corpus_signed.def"
};

static struct span
span_between(const unsigned char *from, struct span all)
{
    return span_of(from, (size_t)(all.p + all.n - from));
}

static const unsigned char *
find(struct span where, const char *what, size_t n)
{
    const unsigned char *found = memmem(where.p, where.n, what, n);
    assert_non_null(found);
    return found;
}

static const unsigned char *
behind(struct span all, const unsigned char *from, const char *what)
{
    return find(span_between(from, all), what, strlen(what)) + strlen(what);
}

static void
verify_clear(const struct signed_row *row, struct pki_certificates *extra,
             struct smime_verify_result *result)
{
    struct err err = ERR_INIT;
    struct buf message = BUF_INIT(MAKE_LIMIT), type = BUF_INIT(MAKE_LIMIT);
    struct buf der = BUF_INIT(MAKE_LIMIT);
    struct mime_parameters *parameters = NULL;
    struct smime_verify *verifier = NULL;
    char line[200];
    load_message(row->name, &message);
    find_field(&message, "Content-Type", &type);
    FIXTURE_MUST(mime_parameter_parse(buf_span(&type), &parameters, &err));
    struct span boundary = mime_parameter_find(parameters, "boundary");
    assert_non_null(boundary.p);
    snprintf(line, sizeof(line), "\r\n--%.*s", SPAN_ARG(boundary));
    size_t line_n = strlen(line);
    struct span all = buf_span(&message);
    const unsigned char *first = find(span_from(all, find_body(&message) - 2), line, line_n);
    const unsigned char *begin = behind(all, first + 2, "\r\n");
    const unsigned char *end = find(span_between(begin, all), line, line_n);
    const unsigned char *part = behind(all, end, "\r\n\r\n");
    const unsigned char *last = find(span_between(part, all), line, line_n);
    struct span signature = span_of(part, (size_t)(last - part));
    if (memmem(end, (size_t)(part - end), "base64", 6) != NULL)
        decode(signature, &der);
    else
        FIXTURE_MUST(buf_append(&der, signature, &err));
    const struct smime_verify_args args = { .micalg = mime_parameter_find(parameters, "micalg"),
                                            .extra = extra };
    FIXTURE_MUST(smime_verify_new(&args, &verifier, &err));
    FIXTURE_MUST(smime_verify_write(verifier, span_of(begin, (size_t)(end - begin)), &err));
    FIXTURE_MUST(smime_verify_finish(verifier, buf_span(&der), result, &err));
    smime_verify_free(&verifier);
    mime_parameter_free(&parameters);
    buf_free(&der);
    buf_free(&type);
    buf_free(&message);
}

static void
verify_detached(const struct signed_row *row, struct pki_certificates *extra,
                struct smime_verify_result *result)
{
    struct err err = ERR_INIT;
    struct buf text = BUF_INIT(MAKE_LIMIT), der = BUF_INIT(MAKE_LIMIT);
    struct smime_verify *verifier = NULL;
    const struct smime_verify_args args = { .micalg = span_str("sha1,sha-256,sha-512"),
                                            .extra = extra };
    load_cms(row->name, &der);
    if (row->content[0] == '=')
        FIXTURE_MUST(buf_append_str(&text, row->content + 1, &err));
    else
        load(row->content, &text);
    FIXTURE_MUST(smime_verify_new(&args, &verifier, &err));
    FIXTURE_MUST(smime_verify_write(verifier, buf_span(&text), &err));
    FIXTURE_MUST(smime_verify_finish(verifier, buf_span(&der), result, &err));
    smime_verify_free(&verifier);
    buf_free(&der);
    buf_free(&text);
}

static void
verify_opaque(const struct signed_row *row, struct pki_certificates *extra,
              struct smime_verify_result *result)
{
    struct err err = ERR_INIT;
    struct buf cms = BUF_INIT(MAKE_LIMIT);
    load_cms(row->name, &cms);
    struct spool *spool = fixture_spool(buf_span(&cms));
    const struct smime_verify_opaque_args args = { .spool = spool,
                                                   .limit_bytes = MAKE_LIMIT,
                                                   .extra = extra };
    FIXTURE_MUST(smime_verify_opaque(&args, result, &err));
    spool_free(&spool);
    buf_free(&cms);
}

static bool
is_as_expected(const struct signed_row *row, const struct smime_verify_result *result)
{
    if (strcmp(row->reason, result->reason) != 0 || row->signers != result->count)
        return false;
    for (size_t i = 0; i < row->signers; i++)
        if (row->expected[i].state != result->signers[i].state ||
            strcmp(row->expected[i].algorithm, result->signers[i].algorithm.reason) != 0)
            return false;
    return true;
}

static void
print_result(const char *name, const struct smime_verify_result *result)
{
    print_message("%s: %s\n", name, result->reason);
    for (size_t i = 0; i < result->count; i++)
        print_message("    state %d %s, %s %s\n", (int)result->signers[i].state,
                      result->signers[i].reason, result->signers[i].algorithm.reason,
                      result->signers[i].algorithm.text);
}

static void
corpus_signatures_end_as_listed(void **state)
{
    (void)state;
    size_t wrong = 0;
    if (corpora == NULL)
        skip();
    for (size_t i = 0; i < sizeof(signed_rows) / sizeof(signed_rows[0]); i++) {
        const struct signed_row *row = &signed_rows[i];
        struct smime_verify_result result;
        struct pki_certificates extra = { .count = 0 };
        struct err err = ERR_INIT;
        char path[512];
        if (row->certificate != NULL) {
            snprintf(path, sizeof(path), "%s/%s", corpora, row->certificate);
            FIXTURE_MUST(pki_certificates_load(&extra, path, &err));
        }
        if (row->form == CLEAR)
            verify_clear(row, &extra, &result);
        else if (row->form == DETACHED)
            verify_detached(row, &extra, &result);
        else
            verify_opaque(row, &extra, &result);
        if (!is_as_expected(row, &result)) {
            print_result(row->name, &result);
            wrong++;
        }
        smime_verify_result_free(&result);
        pki_certificates_free(&extra);
    }
    assert_int_equal(wrong, 0);
}

/* 224 messages whose paths are good and bad; their signatures are all good. */
static void
corpus_pkits_signatures_all_hold(void **state)
{
    (void)state;
    char path[512], name[512];
    size_t count = 0, wrong = 0;
    if (corpora == NULL)
        skip();
    snprintf(path, sizeof(path), "%s/pkits/smime", corpora);
    DIR *folder = opendir(path);
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        struct smime_verify_result result;
        if (strstr(entry->d_name, ".eml") == NULL)
            continue;
        snprintf(name, sizeof(name), "pkits/smime/%s", entry->d_name);
        const struct signed_row row = { .name = name, .form = CLEAR };
        verify_clear(&row, NULL, &result);
        /* Signed4.1.5, 4.1.6: DSA keys that inherit their parameters, which the library cannot do.
         */
        bool dsa = result.count == 1 && result.signers[0].state == SMIME_SIGNATURE_UNSUPPORTED &&
                   strstr(entry->d_name, "DSA") != NULL;
        if (strcmp(result.reason, "ok") != 0 || result.count != 1 ||
            (result.signers[0].state != SMIME_SIGNATURE_OK && !dsa)) {
            print_result(name, &result);
            wrong++;
        }
        count++;
        smime_verify_result_free(&result);
    }
    closedir(folder);
    assert_int_equal(wrong, 0);
    assert_int_equal(count, 224);
}

/* ---- encryption ---- */

struct encrypted_row {
    const char *name;
    const char *key,
        *certificate; /* files; a certificate that is NULL: the key file is a PKCS#12 */
    enum err_code code;
    const char *reason; /* of the error, or the cipher */
    const char *plain;  /* file with the exact plaintext, "=text", or NULL */
};

static const struct encrypted_row encrypted_rows[] = {
#include "corpus_encrypted.def"
};

static EVP_PKEY *
load_key(const char *name)
{
    struct buf bytes = BUF_INIT(MAKE_LIMIT);
    load(name, &bytes);
    const unsigned char *p = bytes.p;
    EVP_PKEY *key = d2i_AutoPrivateKey(NULL, &p, (long)bytes.n);
    if (key == NULL) {
        BIO *bio = BIO_new_mem_buf(bytes.p, (int)bytes.n);
        key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
        BIO_free(bio);
    }
    ERR_clear_error();
    TESTCA_MUST(key != NULL);
    buf_free(&bytes);
    return key;
}

/* Every key and certificate of a PKCS#12 (PEM around it is taken off), as far as they fit together.
 */
static size_t
load_p12(const char *name, struct pki_key *keys, size_t limit)
{
    struct buf text = BUF_INIT(MAKE_LIMIT), der = BUF_INIT(MAKE_LIMIT);
    load(name, &text);
    char *begin = strstr((char *)text.p, "-----\n"), *end = strstr((char *)text.p, "-----END");
    TESTCA_MUST(begin != NULL && end != NULL);
    decode(span_of(begin + 6, (size_t)(end - begin - 6)), &der);
    const unsigned char *p = der.p;
    PKCS12 *p12 = d2i_PKCS12(NULL, &p, (long)der.n);
    EVP_PKEY *key = NULL;
    X509 *x509 = NULL;
    STACK_OF(X509) *more = NULL;
    TESTCA_MUST(p12 != NULL && PKCS12_parse(p12, "bob", &key, &x509, &more));
    size_t count = 0;
    for (int i = -1; i < (more != NULL ? sk_X509_num(more) : 0) && count < limit; i++) {
        X509 *one = i < 0 ? x509 : sk_X509_value(more, i);
        if (X509_check_private_key(one, key) == 1) {
            EVP_PKEY_up_ref(key);
            keys[count++] = (struct pki_key){ .pkey = key, .certificate = testca_certificate(one) };
        }
    }
    ERR_clear_error();
    EVP_PKEY_free(key);
    X509_free(x509);
    sk_X509_pop_free(more, X509_free);
    PKCS12_free(p12);
    buf_free(&der);
    buf_free(&text);
    return count;
}

static struct pki_certificate *
load_certificate(const char *name)
{
    struct err err = ERR_INIT;
    struct pki_certificates list = { .count = 0 };
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", corpora, name);
    FIXTURE_MUST(pki_certificates_load(&list, path, &err));
    struct pki_certificate *one = pki_certificate_add1(list.list[0]);
    pki_certificates_free(&list);
    return one;
}

/* The files with the inner bytes were stored with LF: every CR LF of ours must be an LF there, and
 * nothing else may differ. */
static bool
is_same_text(const struct buf *stored, const struct buf *plain)
{
    size_t at = 0;
    for (size_t i = 0; i < plain->n; i++) {
        if (plain->p[i] == '\r' && i + 1 < plain->n && plain->p[i + 1] == '\n' &&
            (at >= stored->n || stored->p[at] != '\r'))
            continue;
        if (at >= stored->n || stored->p[at++] != plain->p[i])
            return false;
    }
    return at == stored->n;
}

static bool
is_plain(const struct encrypted_row *row, const struct buf *plain)
{
    if (row->plain == NULL)
        return true;
    if (row->plain[0] == '=')
        return strcmp(buf_str(plain), row->plain + 1) == 0;
    struct buf expected = BUF_INIT(MAKE_LIMIT);
    load(row->plain, &expected);
    bool same = is_same_text(&expected, plain);
    buf_free(&expected);
    return same;
}

static bool
decrypt_row(const struct encrypted_row *row)
{
    struct pki_key keys[4];
    const struct pki_key *list[4];
    size_t count = 1;
    if (row->certificate == NULL) {
        count = load_p12(row->key, keys, 4);
    } else {
        keys[0] = (struct pki_key){ .pkey = load_key(row->key),
                                    .certificate = load_certificate(row->certificate) };
    }
    for (size_t i = 0; i < count; i++)
        list[i] = &keys[i];
    struct buf cms = BUF_INIT(MAKE_LIMIT), plain = BUF_INIT(MAKE_LIMIT);
    struct stage *sink = NULL;
    struct err err = ERR_INIT;
    struct smime_decrypt_result result;
    load_cms(row->name, &cms);
    struct spool *spool = fixture_spool(buf_span(&cms));
    const struct smime_decrypt_args args = { .spool = spool, .keys = list, .count = count };
    FIXTURE_MUST(stage_buf_new(&plain, &sink, &err));
    enum err_code code = smime_decrypt(&args, sink, &result, &err);
    const char *word = code == ERR_OK ? result.cipher : err.reason;
    bool good = code == row->code && word != NULL && strcmp(word, row->reason) == 0 &&
                (code != ERR_OK || is_plain(row, &plain));
    if (!good)
        print_message("%s: code %d %s, %s: %s\n", row->name, (int)code, word, err.text,
                      buf_str(&plain));
    stage_free(&sink);
    spool_free(&spool);
    buf_free(&cms);
    buf_free(&plain);
    for (size_t i = 0; i < count; i++) {
        EVP_PKEY_free(keys[i].pkey);
        pki_certificate_free(&keys[i].certificate);
    }
    return good;
}

static void
corpus_encrypted_objects_end_as_listed(void **state)
{
    (void)state;
    size_t wrong = 0;
    if (corpora == NULL)
        skip();
    for (size_t i = 0; i < sizeof(encrypted_rows) / sizeof(encrypted_rows[0]); i++)
        wrong += decrypt_row(&encrypted_rows[i]) ? 0 : 1;
    assert_int_equal(wrong, 0);
}

/* ---- the identities of RFC 9216 ---- */

static struct pki_keyring *
load_pair(const char *who, const char *use)
{
    struct err err = ERR_INIT;
    struct pki_keyring *ring = NULL;
    char key[512], certificate[512];
    snprintf(key, sizeof(key), "%s/rfc9216/%s.%s.key.pem", corpora, who, use);
    snprintf(certificate, sizeof(certificate), "%s/rfc9216/%s.%s.crt.pem", corpora, who, use);
    FIXTURE_MUST(pki_keyring_load_pair(key, certificate, NULL, &ring, &err));
    return ring;
}

static void
corpus_rfc9216_rsa_identities_sign_and_encrypt(void **state)
{
    (void)state;
    static const char *const people[] = { "alice", "bob" };
    if (corpora == NULL)
        skip();
    for (size_t i = 0; i < 2; i++) {
        struct pki_keyring *sign = load_pair(people[i], "sign");
        struct pki_keyring *open = load_pair(people[i], "encrypt");
        const struct pki_key *key = pki_keyring_get(open, 0);
        struct pki_certificate *const to[] = { key->certificate };
        struct buf signed_message = BUF_INIT(MAKE_LIMIT), message = BUF_INIT(MAKE_LIMIT);
        struct buf cms = BUF_INIT(MAKE_LIMIT), plain = BUF_INIT(MAKE_LIMIT);
        struct stage *sink = NULL;
        struct err err = ERR_INIT;
        struct smime_decrypt_result result;
        const struct smime_sign_args signing = { .key = pki_keyring_get(sign, 0),
                                                 .encryption = key->certificate,
                                                 .signing_time = 1790000000 };
        const struct smime_encrypt_args encrypting = { .recipients = to,
                                                       .count = 1,
                                                       .cipher = SMIME_CIPHER_AES256_GCM };
        fixture_sign(&signing, span_str(FIXTURE_ENTITY), 64, &signed_message);
        fixture_encrypt(&encrypting, buf_span(&signed_message), 64, &message);
        fixture_decode(&message, &cms);
        struct spool *spool = fixture_spool(buf_span(&cms));
        const struct smime_decrypt_args args = { .spool = spool, .keys = &key, .count = 1 };
        FIXTURE_MUST(stage_buf_new(&plain, &sink, &err));
        FIXTURE_MUST(smime_decrypt(&args, sink, &result, &err));
        assert_string_equal(buf_str(&plain), buf_str(&signed_message));
        stage_free(&sink);
        spool_free(&spool);
        buf_free(&plain);
        buf_free(&cms);
        buf_free(&message);
        buf_free(&signed_message);
        pki_keyring_free(&sign);
        pki_keyring_free(&open);
    }
}

static void
corpus_rfc9216_curve25519_identities_are_unsupported_for_writing(void **state)
{
    (void)state;
    static const char *const people[] = { "carlos", "dana" };
    if (corpora == NULL)
        skip();
    for (size_t i = 0; i < 2; i++) {
        struct pki_keyring *sign = load_pair(people[i], "sign");
        struct pki_keyring *open = load_pair(people[i], "encrypt");
        struct pki_certificate *const to[] = { pki_keyring_get(open, 0)->certificate };
        struct buf body = BUF_INIT(MAKE_LIMIT);
        struct stage *sink = NULL, *stage = NULL;
        struct smime_entity_header header;
        struct err err = ERR_INIT;
        const struct smime_sign_args signing = { .key = pki_keyring_get(sign, 0) };
        const struct smime_encrypt_args encrypting = { .recipients = to, .count = 1 };
        FIXTURE_MUST(stage_buf_new(&body, &sink, &err));
        assert_int_equal(smime_sign_new(&signing, sink, &stage, &header, &err), ERR_PERM);
        assert_string_equal(err.reason, "unsupported-algorithm");
        err_reset(&err);
        assert_int_equal(smime_encrypt_new(&encrypting, sink, &stage, &header, &err), ERR_PERM);
        assert_string_equal(err.reason, "unsupported-algorithm");
        stage_free(&sink);
        buf_free(&body);
        pki_keyring_free(&sign);
        pki_keyring_free(&open);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(corpus_signatures_end_as_listed),
        cmocka_unit_test(corpus_pkits_signatures_all_hold),
        cmocka_unit_test(corpus_encrypted_objects_end_as_listed),
        cmocka_unit_test(corpus_rfc9216_rsa_identities_sign_and_encrypt),
        cmocka_unit_test(corpus_rfc9216_curve25519_identities_are_unsupported_for_writing),
    };
    corpora = getenv("SMIMED_CORPORA");
    if (corpora == NULL)
        print_message("SMIMED_CORPORA is not set: skipped\n");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
