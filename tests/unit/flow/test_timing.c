/*
 * All failures of decryption look alike: the answer and the edits octet by octet, and the time that
 * flow_message_finish takes, which is what the milter waits for. Times are compared among messages
 * of one form, CBC, GCM, or CBC around one signed content or another: which one it is, the sender
 * chose himself, and it is no secret of ours. Who changes octets of somebody's message must not
 * learn from what is done with the signature inside whether the padding was right.
 *
 * Messages of every class take turns in an order that is drawn anew for each round. From the times
 * of a pair of classes, processor time of the thread and wall time alike, the tenth that is slowest
 * of both together is left out (interrupts, other programs), and Welch's t says whether the rest
 * has one mean. `make timing` runs 10,000 rounds (SMIMED_TIMINGS) on a machine that does nothing
 * else and asks for |t| below 4.5. Beside other tests that measures the machine: the default is a
 * short run that asks for means within a quarter of each other, so that a class without its
 * operation with a key shows, and no finer. The answers are compared in every round of both.
 */
#include <math.h>

#include "flow/rate.h"
#include "flow/state.h"
#include "tests/unit/flow/world.h"

enum { CLASSES = 17, TEXT_OCTETS = 3000, ROUNDS = 150, WARM_UP = 20 };
static const double t_bound = 4.5, share_bound = 1.25;

static struct world world;
static struct testca_leaf twin; /* alice's issuer and serial number, another key */

struct kind {
    const char *name;
    char *header, *body;
    bool spent; /* the rate of the client is used up before each */
    enum { CBC, GCM, CBC_CHANGED, CBC_SIGNED } form;
    double *cpu, *wall;
};
static struct kind kinds[CLASSES + 1]; /* the last one fails in nothing */
static size_t kind_count;

/* ---- messages ----------------------------------------------------------------------------------
 */

static void
add_kind(const char *name, const unsigned char *der, size_t n, bool spent)
{
    struct kind *kind = &kinds[kind_count++];

    kind->name = name;
    kind->spent = spent;
    world_write(&world, "der", span_of(der, n));
    assert_true(world_run(&world, "base64 -w 76 der | sed 's/$/\\r/' > b64"));
    kind->body = world_read(&world, "b64", NULL);
    kind->header = strdup("From: Bob <bob@example.net>\r\nTo: alice@example.org\r\n"
                          "Subject: outside\r\nMIME-Version: 1.0\r\n"
                          "Content-Type: application/pkcs7-mime; smime-type=enveloped-data\r\n"
                          "Content-Transfer-Encoding: base64\r\n");
}

static unsigned char *
encrypt(const char *file, const char *options, size_t *n)
{
    if (!world_run(&world, "openssl cms -encrypt -binary -in %s -outform DER -out der %s", file,
                   options))
        fail_msg("%s", world_read(&world, "log", NULL));
    return (unsigned char *)world_read(&world, "der", n);
}

/* The encrypted content key: the first OCTET STRING of 256 octets. */
static unsigned char *
find_key(unsigned char *der, size_t n)
{
    static const unsigned char head[] = { 0x04, 0x82, 0x01, 0x00 };
    unsigned char *at = memmem(der, n, head, sizeof head);

    assert_non_null(at);
    return at + sizeof head;
}

/* `cek` for the public key of `to`, below alice's modulus. */
static void
wrap(EVP_PKEY *to, size_t cek_n, unsigned char out[256])
{
    unsigned char cek[32];
    size_t n;

    memset(cek, 0x5a, sizeof cek);
    do {
        EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(to, NULL);
        n = 256;
        TESTCA_MUST(EVP_PKEY_encrypt_init(context) > 0 &&
                    EVP_PKEY_encrypt(context, out, &n, cek, cek_n) > 0);
        EVP_PKEY_CTX_free(context);
    } while (out[0] > 0x70);
}

static void
make_gcm_kinds(void)
{
    size_t first = kind_count, n;
    unsigned char *der = encrypt("text", "-aes-256-gcm alice.pem", &n), *key;

    der[n - 1] ^= 1;
    add_kind("bad GCM tag", der, n, false);
    der[n - 1] ^= 1;
    key = find_key(der, n);
    wrap(twin.key, 32, key);
    add_kind("wrong key, GCM", der, n, false);
    memset(key, 0x3c, 256);
    add_kind("bad RSA padding, GCM", der, n, false);
    free(der);
    der = encrypt("text", "-aes-256-gcm bob.pem", &n);
    add_kind("no RecipientInfo, GCM", der, n, false);
    free(der);
    for (size_t i = first; i < kind_count; i++)
        kinds[i].form = GCM;
}

/* Two changes of one ciphertext that spoil the same block of what is behind the last boundary: one
 * leaves the padding right, the other does not. Whoever tries octets for a block of somebody's
 * message sends the two in turn. Between different contents times may differ: the sender chose. */
static void
make_altered_kinds(const char *file, const char *right, const char *wrong, int form)
{
    static const char open_by_openssl[] =
        "openssl cms -decrypt -inform DER -in der -recip alice.pem -inkey alice.pem -out opened";
    size_t first = kind_count, n;
    unsigned char *der;

    /* 64 to 79 octets behind the boundary, and 8 of padding. */
    if (!world_run(
            &world,
            "n=$(wc -c < %s) && { cat %s; printf '%%*s' $((64 + (24 - n %% 16) %% 16)) x; } > "
            "longer",
            file, file))
        fail_msg("%s", world_read(&world, "log", NULL));
    der = encrypt("longer", "-aes256 alice.pem", &n);
    der[n - 32] ^= 0x80;
    add_kind(right, der, n, false);
    assert_true(world_run(&world, open_by_openssl));
    der[n - 32] ^= 0x80;
    der[n - 17] ^= 0x80;
    add_kind(wrong, der, n, false);
    assert_false(world_run(&world, open_by_openssl));
    free(der);
    for (size_t i = first; i < kind_count; i++)
        kinds[i].form = form;
}

/* The signature is bob's, whom we trust; what is changed is one word of what he signed. */
static void
make_signed_kinds(void)
{
    size_t n;
    unsigned char *der;

    if (!world_run(&world,
                   "openssl cms -sign -binary -in text -signer bob.pem -inkey bob.pem "
                   "-certfile sub.pem -out signed && "
                   "sed 's/lazy dog/lazy cat/' signed > changed && ! cmp -s signed changed"))
        fail_msg("%s", world_read(&world, "log", NULL));
    make_altered_kinds("changed", "wrong signature inside", "wrong signature, padding",
                       CBC_CHANGED);
    make_altered_kinds("signed", "text after a signature", "text after, padding", CBC_SIGNED);
    der = encrypt("signed", "-aes256 alice.pem", &n);
    add_kind("nothing is wrong", der, n, false);
    free(der);
}

static void
make_kinds(void)
{
    static const unsigned char oid[] = { 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2a };
    unsigned char *der, *key;
    size_t n;

    /* The key of the content is what is wrong. */
    der = encrypt("text", "-aes256 alice.pem", &n);
    key = find_key(der, n);
    wrap(twin.key, 32, key);
    add_kind("wrong key", der, n, false);
    wrap(world.alice.key, 16, key);
    add_kind("wrong CEK length", der, n, false);
    memset(key, 0x3c, 256);
    add_kind("bad RSA padding", der, n, false);
    free(der);
    /* The content */
    der = encrypt("text", "-aes256 alice.pem", &n);
    add_kind("rate-limited", der, n, true);
    der[n - 17] ^= 0x80;
    add_kind("bad CBC padding", der, n, false);
    der[n - 17] ^= 0x80;
    add_kind("CBC without a signature", der, n, false);
    key = memmem(der, n, oid, sizeof oid);
    assert_non_null(key);
    key[8] = 0x7f;
    add_kind("unknown algorithm", der, n, false);
    free(der);
    der = encrypt("text", "-camellia256 alice.pem", &n);
    add_kind("unsupported algorithm", der, n, false);
    free(der);
    der = encrypt("text", "-aes256 bob.pem", &n);
    add_kind("no RecipientInfo", der, n, false);
    free(der);
    make_gcm_kinds();
    make_signed_kinds();
    assert_int_equal(kind_count, CLASSES + 1);
}

static int
setup(void **state)
{
    char *text = malloc(TEXT_OCTETS + 100);
    size_t n;

    (void)state;
    world_make(&world);
    long serial = world.sub.serial;
    world.sub.serial = ASN1_INTEGER_get(X509_get_serialNumber(world.alice.x509)) - 1;
    testca_issue(&world.sub, &(struct testca_args){ .cn = "alice", .key_index = 3 }, &twin);
    world.sub.serial = serial;
    n = (size_t)sprintf(text, "Content-Type: text/plain; charset=us-ascii\r\n\r\n");
    while (n < TEXT_OCTETS)
        n += (size_t)sprintf(text + n, "The quick brown fox jumps over the lazy dog, again.\r\n");
    world_write(&world, "text", span_of(text, n));
    free(text);
    world_configure(&world, "decrypt_rate = 1000000\ndecrypt_rate_each = 200000\n"
                            "rule \"d\" {\n direction = in\n decrypt = yes\n }\n");
    make_kinds();
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < kind_count; i++) {
        free(kinds[i].header);
        free(kinds[i].body);
        free(kinds[i].cpu);
        free(kinds[i].wall);
    }
    testca_leaf_free(&twin);
    world_free(&world);
    return 0;
}

/* ---- one message -------------------------------------------------------------------------------
 */

static double
clock_us(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static void
spend(const char *client)
{
    const char *const names[] = { client };
    const struct flow_rate_args args = {
        .total = 1000000000, .each = 200000, .names = names, .count = 1
    };

    while (flow_rate_check(world.services->decrypt_rate, &args))
        continue;
}

struct told {
    struct flow_answer answer;
    char edits[4000];
};

/* Everything that anybody outside can see of it. */
static void
tell(const struct flow_message *message, struct told *told)
{
    const struct flow_edits *edits = flow_message_edits(message);
    size_t n = 0;

    told->edits[0] = 0;
    for (size_t i = 0; i < edits->count; i++)
        n += (size_t)snprintf(told->edits + n, sizeof told->edits - n, "%d %u %s: %s\n",
                              (int)edits->list[i].kind, edits->list[i].index,
                              edits->list[i].name ? edits->list[i].name : "",
                              edits->list[i].value ? edits->list[i].value : "");
}

static void
measure(const struct kind *kind, const struct world_header *header, double *cpu, double *wall,
        struct told *told)
{
    struct sockaddr_in outside = { .sin_family = AF_INET };
    struct flow_client client = { .address = (struct sockaddr *)&outside };
    struct flow_message *message = NULL;
    struct err err = ERR_INIT;
    double wall_start, cpu_start;

    inet_pton(AF_INET, kind->spent ? "203.0.113.6" : "203.0.113.5", &outside.sin_addr);
    if (kind->spent)
        spend("[203.0.113.6]");
    assert_int_equal(flow_message_new(world.services, &client, &message, &err), ERR_OK);
    memset(told, 0, sizeof *told);
    flow_message_sender(message, "bob@example.net", &told->answer);
    flow_message_recipient(message, "alice@example.org", &told->answer);
    for (size_t i = 0; i < header->count; i++)
        flow_message_header(message, span_str(header->list[i].name),
                            span_str(header->list[i].value), &told->answer);
    flow_message_eoh(message, &told->answer);
    flow_message_write(message, span_str(kind->body), &told->answer);
    wall_start = clock_us(CLOCK_MONOTONIC);
    cpu_start = clock_us(CLOCK_THREAD_CPUTIME_ID);
    flow_message_finish(message, clock_monotonic_ms() + 60000, &told->answer);
    *cpu = clock_us(CLOCK_THREAD_CPUTIME_ID) - cpu_start;
    *wall = clock_us(CLOCK_MONOTONIC) - wall_start;
    tell(message, told);
    flow_message_free(&message);
}

/* ---- many --------------------------------------------------------------------------------------
 */

/* 0: the short run. */
static size_t
rounds_asked_for(void)
{
    const char *text = getenv("SMIMED_TIMINGS");

    return text && atol(text) > 0 ? (size_t)atol(text) : 0;
}

static void
shuffle(size_t order[CLASSES])
{
    for (size_t i = 0; i < CLASSES; i++)
        order[i] = i;
    for (size_t i = CLASSES - 1; i > 0; i--) {
        size_t j = (size_t)random() % (i + 1), swap = order[i];

        order[i] = order[j];
        order[j] = swap;
    }
}

static int
by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

/* The value that a tenth of both lists is above. */
static double
find_cut(const double *a, const double *b, size_t n)
{
    double *all = malloc(2 * n * sizeof *all), cut;

    memcpy(all, a, n * sizeof *all);
    memcpy(all + n, b, n * sizeof *all);
    qsort(all, 2 * n, sizeof *all, by_value);
    cut = all[2 * n * 9 / 10];
    free(all);
    return cut;
}

struct moments {
    double n, mean, variance;
};

static struct moments
find_moments(const double *list, size_t n, double cut)
{
    struct moments m = { .n = 0 };

    for (size_t i = 0; i < n; i++) {
        if (list[i] > cut)
            continue;
        double delta = list[i] - m.mean;
        m.n += 1;
        m.mean += delta / m.n;
        m.variance += delta * (list[i] - m.mean);
    }
    m.variance /= m.n > 1 ? m.n - 1 : 1;
    return m;
}

static double
welch(const double *a, const double *b, size_t n)
{
    double cut = find_cut(a, b, n);
    struct moments x = find_moments(a, n, cut), y = find_moments(b, n, cut);

    return (x.mean - y.mean) / sqrt(x.variance / x.n + y.variance / y.n);
}

static double
trimmed_mean(const double *list, size_t n)
{
    return find_moments(list, n, find_cut(list, list, n)).mean;
}

/* Is one of the two more than a quarter above the other? */
static bool
are_far(const double *a, const double *b, size_t n)
{
    double share = trimmed_mean(a, n) / trimmed_mean(b, n);

    return share > share_bound || share < 1 / share_bound;
}

/* The pairs that are apart. */
static size_t
compare(size_t n)
{
    bool is_short = rounds_asked_for() == 0;
    size_t apart = 0;

    for (size_t i = 0; i < CLASSES; i++) {
        double cut = find_cut(kinds[i].cpu, kinds[i].cpu, n);
        struct moments m = find_moments(kinds[i].cpu, n, cut);

        print_message("# %-24s %8.2f us (deviation %.2f)\n", kinds[i].name, m.mean,
                      sqrt(m.variance));
    }
    for (size_t i = 0; i < CLASSES; i++) {
        for (size_t j = i + 1; j < CLASSES; j++) {
            double cpu, wall;

            if (kinds[i].form != kinds[j].form)
                continue;
            cpu = welch(kinds[i].cpu, kinds[j].cpu, n);
            wall = welch(kinds[i].wall, kinds[j].wall, n);

            print_message("# t %6.2f cpu %6.2f wall  %s / %s\n", cpu, wall, kinds[i].name,
                          kinds[j].name);
            apart += is_short ? are_far(kinds[i].cpu, kinds[j].cpu, n)
                              : fabs(cpu) >= t_bound || fabs(wall) >= t_bound;
        }
    }
    return apart;
}

static void
failures_of_decryption_are_alike_in_answer_and_time(void **state)
{
    static struct world_header headers[CLASSES + 1];
    struct told first, told;
    size_t n = rounds_asked_for() ? rounds_asked_for() : ROUNDS, order[CLASSES];
    double cpu, wall;

    (void)state;
    srandom(1);
    for (size_t i = 0; i < CLASSES; i++) {
        kinds[i].cpu = calloc(n, sizeof *kinds[i].cpu);
        kinds[i].wall = calloc(n, sizeof *kinds[i].wall);
        world_parse_header(kinds[i].header, &headers[i]);
        for (size_t warm = 0; warm < WARM_UP; warm++)
            measure(&kinds[i], &headers[i], &cpu, &wall, i == 0 ? &first : &told);
    }
    assert_non_null(strstr(first.edits, "not-decrypted"));
    world_parse_header(kinds[CLASSES].header, &headers[CLASSES]);
    measure(&kinds[CLASSES], &headers[CLASSES], &cpu, &wall, &told);
    assert_non_null(strstr(told.edits, "smime=pass"));
    for (size_t round = 0; round < n; round++) {
        shuffle(order);
        for (size_t i = 0; i < CLASSES; i++) {
            struct kind *kind = &kinds[order[i]];

            measure(kind, &headers[order[i]], &kind->cpu[round], &kind->wall[round], &told);
            if (told.answer.kind != FLOW_CONTINUE || strcmp(told.edits, first.edits) != 0 ||
                memcmp(&told.answer, &first.answer, sizeof told.answer) != 0)
                fail_msg("%s: another answer: %s", kind->name, told.edits);
        }
    }
    assert_int_equal(compare(n), 0);
    for (size_t i = 0; i <= CLASSES; i++) {
        for (size_t j = 0; j < headers[i].count; j++) {
            free(headers[i].list[j].name);
            free(headers[i].list[j].value);
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failures_of_decryption_are_alike_in_answer_and_time),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
