#include "fixture.h"

#include <malloc.h>

#include "mime/base64.h"
#include "smime/detect.h"
#include "util/clock.h"

/*
 * A message for all members of a large group: 5,000 RecipientInfos. What it holds in memory is
 * bounded by their number, 8 KiB each, and not by the message; all of them leave.
 */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MEMORY_IS_COUNTED 0
#else
#define MEMORY_IS_COUNTED 1
#endif

enum { PEOPLE = 5000, PER_RECIPIENT = 8 * 1024, PIECES = 64, PIECE = 65536 };

static struct pki_certificate *people[PEOPLE + 1];
static struct testca ca;

static int
setup(void **state)
{
    (void)state;
    testca_init(&ca, "Many Root");
    for (int i = 0; i < PEOPLE; i++) {
        struct testca_leaf leaf;
        char san[60];

        snprintf(san, sizeof san, "email:p%d@corp.example", i);
        testca_issue(&ca,
                     &(struct testca_args){ .cn = "Member",
                                            .san = san,
                                            .key_type = i % 10 ? TESTCA_RSA2048 : TESTCA_P256,
                                            .key_usage = i % 10 ? "critical,keyEncipherment"
                                                                : "critical,keyAgreement",
                                            .ext_key_usage = "emailProtection" },
                     &leaf);
        people[i] = testca_certificate(leaf.x509);
        testca_leaf_free(&leaf);
    }
    people[PEOPLE] = people[0]; /* somebody is there twice */
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    for (int i = 0; i < PEOPLE; i++)
        pki_certificate_free(&people[i]);
    testca_free(&ca);
    return 0;
}

static enum err_code
look(void *context, struct span piece, struct err *err)
{
    return smime_detect_write(context, piece, err);
}

static size_t
held(void)
{
    return mallinfo2().uordblks;
}

static void
five_thousand_people_get_one_recipient_info_each_in_bounded_memory(void **state)
{
    const struct smime_encrypt_args args = { .recipients = people,
                                             .count = PEOPLE + 1,
                                             .cipher = SMIME_CIPHER_AES256_CBC };
    struct stage *sink = NULL, *decode = NULL, *encrypt = NULL;
    struct smime_entity_header header;
    struct smime_detect *detect = NULL;
    struct err err = ERR_INIT;
    unsigned char *piece = calloc(1, PIECE);
    size_t before, made, peak = 0;
    int64_t start_ms = clock_monotonic_ms();

    (void)state;
    memset(piece, 'x', PIECE);
    assert_int_equal(smime_detect_new(&detect, &err), ERR_OK);
    assert_int_equal(stage_sink_new(look, detect, &sink, &err), ERR_OK);
    assert_int_equal(mime_base64_decode_new(NULL, sink, &decode, &err), ERR_OK);
    before = held();
    if (smime_encrypt_new(&args, decode, &encrypt, &header, &err) != ERR_OK)
        fail_msg("%s", err.text);
    made = held() - before;
    for (int i = 0; i < PIECES; i++) {
        assert_int_equal(stage_write(encrypt, span_of(piece, PIECE), &err), ERR_OK);
        if (held() > peak)
            peak = held();
    }
    assert_int_equal(stage_finish(encrypt, &err), ERR_OK);
    stage_free(&encrypt);
    assert_int_equal(smime_detect_finish(detect, &err), ERR_OK);
    assert_true(smime_detect_get(detect)->complete);
    assert_int_equal(smime_detect_get(detect)->content, SMIME_CONTENT_ENVELOPED);
    assert_int_equal(smime_detect_get(detect)->recipients, PEOPLE);
    print_message("%d RecipientInfos, 4 MiB: %zu octets each when made, %zu at the peak, %lld ms\n",
                  PEOPLE, made / PEOPLE, (peak - before) / PEOPLE,
                  (long long)(clock_monotonic_ms() - start_ms));
    if (MEMORY_IS_COUNTED)
        assert_true(peak - before <= (size_t)PEOPLE * PER_RECIPIENT);
    smime_detect_free(&detect);
    free(piece);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(five_thousand_people_get_one_recipient_info_each_in_bounded_memory),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
