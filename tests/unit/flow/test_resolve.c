#include <pthread.h>
#include <time.h>

#include "flow/resolve.h"
#include "tests/unit/flow/world.h"

/*
 * A directory behind a gate: it answers when the test lets it. bob@example.net is there with his
 * certificate, team@example.net is a group of him and 0@example.net; nobody else is.
 */
struct gate {
    struct directory head;
    pthread_mutex_t lock;
    pthread_cond_t moved;
    bool closed, fails;
    size_t calls, inside, questions, largest;
    struct pki_certificate *certificate;
};

static struct world world;
static struct gate *gate; /* of the lookup; freed with it */

static void
gate_set(bool closed, bool fails)
{
    pthread_mutex_lock(&gate->lock);
    gate->closed = closed;
    gate->fails = fails;
    pthread_cond_broadcast(&gate->moved);
    pthread_mutex_unlock(&gate->lock);
}

static void
gate_wait_inside(size_t count)
{
    pthread_mutex_lock(&gate->lock);
    while (gate->inside < count)
        pthread_cond_wait(&gate->moved, &gate->lock);
    pthread_mutex_unlock(&gate->lock);
}

static size_t
gate_calls(void)
{
    size_t calls;

    pthread_mutex_lock(&gate->lock);
    calls = gate->calls;
    pthread_mutex_unlock(&gate->lock);
    return calls;
}

static struct directory_entry *
entry_new(struct gate *from, const char *address, struct err *err)
{
    struct directory_entry *entry = calloc(1, sizeof *entry);

    entry->dn = strdup(address[0] == 'b' ? "uid=bob" : "cn=team");
    entry->primary = strdup(address);
    entry->addresses = calloc(2, sizeof *entry->addresses);
    entry->addresses[0] = strdup(address);
    if (address[0] == 'b') {
        assert_int_equal(pki_certificates_add1(&entry->certificates, from->certificate, err),
                         ERR_OK);
        return entry;
    }
    entry->kind = DIRECTORY_GROUP;
    entry->member_addresses = calloc(3, sizeof *entry->member_addresses);
    entry->member_addresses[0] = strdup("bob@example.net");
    entry->member_addresses[1] = strdup("0@example.net");
    return entry;
}

static enum err_code
gate_find_addresses(struct directory *directory, const struct directory_questions *questions,
                    struct directory_entries *out, struct err *err)
{
    struct gate *mine = (struct gate *)directory;
    enum err_code code = ERR_OK;
    bool fails;

    pthread_mutex_lock(&mine->lock);
    mine->calls++;
    mine->inside++;
    mine->questions += questions->count;
    if (questions->count > mine->largest)
        mine->largest = questions->count;
    pthread_cond_broadcast(&mine->moved);
    while (mine->closed)
        pthread_cond_wait(&mine->moved, &mine->lock);
    mine->inside--;
    fails = mine->fails;
    pthread_mutex_unlock(&mine->lock);
    if (fails)
        return err_set(err, ERR_TEMP, "the server is away");
    for (size_t i = 0; code == ERR_OK && i < questions->count; i++) {
        const char *address = questions->list[i];
        bool there =
            strcmp(address, "bob@example.net") == 0 || strcmp(address, "team@example.net") == 0;

        code = directory_entries_append(out, there ? entry_new(mine, address, err) : NULL, err);
    }
    return code;
}

static void
gate_free(struct directory *directory)
{
    struct gate *mine = (struct gate *)directory;

    pki_certificate_free(&mine->certificate);
    free(mine->head.name);
    free(mine);
}

static const struct directory_ops gate_ops = { .name = "gate",
                                               .find_addresses = gate_find_addresses,
                                               .free = gate_free };

/* Services whose only directory is a gate, with `globals`; and a pool. */
static void
begin(const char *globals, unsigned threads, size_t queue)
{
    struct directory *directory;
    struct directory_lookup_sources sources = { .directories = &directory, .directory_count = 1 };
    char text[500], path[300];
    struct err err = ERR_INIT;
    unsigned char *der = NULL;
    int n = i2d_X509(world.bob.x509, &der);

    snprintf(path, sizeof path, "%s/known/bob.crt", world.folder);
    (void)unlink(path);
    snprintf(text, sizeof text, "%s\nrule \"all\" {\n encrypt = always\n}", globals);
    world_configure(&world, text);
    gate = calloc(1, sizeof *gate);
    gate->head.ops = &gate_ops;
    gate->head.name = strdup("gate");
    pthread_mutex_init(&gate->lock, NULL);
    pthread_cond_init(&gate->moved, NULL);
    assert_int_equal(pki_certificate_parse(span_of(der, (size_t)n), &gate->certificate, &err),
                     ERR_OK);
    OPENSSL_free(der);
    directory = &gate->head;
    directory_lookup_free(&world.services->lookup);
    assert_int_equal(directory_lookup_new(&sources, &world.services->lookup, &err), ERR_OK);
    if (threads > 0)
        assert_int_equal(flow_resolve_init(threads, queue, &err), ERR_OK);
}

static void
end(void)
{
    flow_resolve_deinit();
    flow_services_free(&world.services);
}

static struct flow_resolve_ticket *
start(const char *address)
{
    struct flow_finding_question question = { .address = address,
                                              .trust = "default",
                                              .sender = "alice@example.org" };
    struct flow_resolve_ticket *ticket = NULL;
    struct err err = ERR_INIT;

    if (flow_resolve_start(world.services, &question, &ticket, &err) != ERR_OK)
        fail_msg("start: %s", err.text);
    assert_true(flow_resolve_is(ticket, &question));
    return ticket;
}

static const struct flow_finding *
wait_for(struct flow_resolve_ticket *ticket)
{
    const struct flow_finding *finding = NULL;
    struct err err = ERR_INIT;

    if (flow_resolve_wait(ticket, clock_monotonic_ms() + 30000, &finding, &err) != ERR_OK)
        fail_msg("wait: %s", err.text);
    return finding;
}

/* Asks and gives the ticket back; what was known of him. */
static enum policy_known
ask(const char *address)
{
    struct flow_resolve_ticket *ticket = start(address);
    enum policy_known known = wait_for(ticket)->known;

    flow_resolve_free_ticket(&ticket);
    return known;
}

static struct flow_resolve_facts
facts(void)
{
    struct flow_resolve_facts out;

    flow_resolve_get(world.services->resolve, &out);
    return out;
}

static void
wait_kept(size_t count)
{
    int64_t deadline_ms = clock_monotonic_ms() + 30000;

    while (facts().kept < count && clock_monotonic_ms() < deadline_ms)
        sched_yield();
    assert_int_equal(facts().kept, count);
}

/* ---- one job, many messages --------------------------------------------------------------------
 */

static void
messages_that_ask_the_same_share_one_question(void **state)
{
    struct flow_resolve_ticket *tickets[20];
    const struct flow_finding *first;

    (void)state;
    begin("", 4, 100);
    gate_set(true, false);
    for (int i = 0; i < 20; i++)
        tickets[i] = start("bob@example.net");
    gate_wait_inside(1);
    gate_set(false, false);
    first = wait_for(tickets[0]);
    assert_int_equal(first->known, POLICY_YES);
    assert_non_null(first->lookup.selected);
    for (int i = 0; i < 20; i++) {
        assert_ptr_equal(wait_for(tickets[i]), first);
        flow_resolve_free_ticket(&tickets[i]);
    }
    assert_int_equal(gate_calls(), 1);
    assert_int_equal(facts().shared, 19);
    assert_int_equal(ask("bob@example.net"), POLICY_YES);
    assert_int_equal(gate_calls(), 1);
    assert_int_equal(facts().hits, 1);
    end();
}

static void
what_is_late_is_could_not_ask_and_the_retry_finds_it_done(void **state)
{
    struct flow_resolve_ticket *ticket;
    const struct flow_finding *finding = NULL;
    struct err err = ERR_INIT;

    (void)state;
    begin("", 2, 100);
    gate_set(true, false);
    ticket = start("bob@example.net");
    assert_int_equal(flow_resolve_wait(ticket, clock_monotonic_ms() + 20, &finding, &err),
                     ERR_TEMP);
    assert_string_equal(err.reason, "deadline");
    assert_null(finding);
    flow_resolve_free_ticket(&ticket);
    gate_set(false, false);
    wait_kept(1);
    assert_int_equal(ask("bob@example.net"), POLICY_YES);
    assert_int_equal(gate_calls(), 1);
    end();
}

static void
nobody_is_asked_for_a_message_that_was_aborted(void **state)
{
    struct flow_resolve_ticket *first, *aborted, *late;
    const struct flow_finding *finding = NULL;
    struct err err = ERR_INIT;

    (void)state;
    begin("", 1, 100);
    gate_set(true, false);
    first = start("0@example.net");
    gate_wait_inside(1);
    aborted = start("1@example.net");
    late = start("2@example.net");
    assert_int_equal(flow_resolve_wait(late, clock_monotonic_ms() + 5, &finding, &err), ERR_TEMP);
    flow_resolve_free_ticket(&aborted);
    flow_resolve_free_ticket(&late);
    gate_set(false, false);
    assert_int_equal(wait_for(first)->known, POLICY_NO);
    flow_resolve_free_ticket(&first);
    wait_kept(2);
    assert_int_equal(facts().dropped, 1);
    assert_int_equal(gate_calls(), 2);
    assert_int_equal(ask("1@example.net"), POLICY_NO);
    assert_int_equal(gate_calls(), 3);
    end();
}

static void
questions_that_wait_are_put_together(void **state)
{
    struct flow_resolve_ticket *tickets[41];
    char address[40];

    (void)state;
    begin("", 1, 100);
    gate_set(true, false);
    for (int i = 0; i < 41; i++) {
        snprintf(address, sizeof address, "%d@example.net", i);
        tickets[i] = start(address);
        if (i == 0)
            gate_wait_inside(1);
    }
    gate_set(false, false);
    for (int i = 0; i < 41; i++) {
        assert_int_equal(wait_for(tickets[i])->known, POLICY_NO);
        flow_resolve_free_ticket(&tickets[i]);
    }
    assert_int_equal(gate_calls(), 2);
    assert_int_equal(gate->largest, 40);
    assert_int_equal(facts().batches, 1);
    end();
}

static void
more_than_may_wait_is_refused_and_said(void **state)
{
    struct flow_finding_question question = { .trust = "default", .sender = "" };
    struct flow_resolve_ticket *tickets[4], *ticket = NULL;
    struct err err = ERR_INIT;

    (void)state;
    begin("", 1, 3);
    gate_set(true, false);
    for (int i = 0; i < 4; i++) {
        char address[40];

        snprintf(address, sizeof address, "%d@example.net", i);
        tickets[i] = start(address);
        if (i == 0)
            gate_wait_inside(1);
    }
    question.address = "9@example.net";
    assert_int_equal(flow_resolve_start(world.services, &question, &ticket, &err), ERR_LIMIT);
    assert_string_equal(err.reason, "busy");
    assert_null(ticket);
    gate_set(false, false);
    for (int i = 0; i < 4; i++) {
        (void)wait_for(tickets[i]);
        flow_resolve_free_ticket(&tickets[i]);
    }
    assert_int_equal(ask("9@example.net"), POLICY_NO);
    end();
}

/* ---- what is kept ------------------------------------------------------------------------------
 */

static void
a_bounded_number_of_people_is_kept_the_last_used_longest(void **state)
{
    (void)state;
    begin("resolve_cache = 6", 0, 0);
    assert_int_equal(ask("bob@example.net"), POLICY_YES);
    assert_int_equal(ask("1@example.net"), POLICY_NO);
    assert_int_equal(ask("2@example.net"), POLICY_NO);
    assert_int_equal(gate_calls(), 3);
    assert_int_equal(ask("bob@example.net"), POLICY_YES);
    assert_int_equal(gate_calls(), 3);
    /* A group weighs as much as its members. */
    assert_int_equal(ask("team@example.net"), POLICY_NO);
    assert_true(facts().weight <= 6);
    assert_int_equal(ask("3@example.net"), POLICY_NO);
    assert_true(facts().weight <= 6);
    size_t calls = gate_calls();
    assert_int_equal(ask("bob@example.net"), POLICY_YES);
    assert_int_equal(gate_calls(), calls);
    assert_int_equal(ask("1@example.net"), POLICY_NO);
    assert_int_equal(gate_calls(), calls + 1);
    end();
}

static void
no_is_forgotten_sooner_than_yes_and_nothing_outlives_a_certificate(void **state)
{
    int64_t end_ms;
    size_t calls;

    (void)state;
    begin("resolve_life = 10m\nresolve_life_negative = 60ms", 0, 0);
    assert_int_equal(ask("bob@example.net"), POLICY_YES);
    assert_int_equal(ask("1@example.net"), POLICY_NO);
    end_ms = clock_monotonic_ms() + 5000;
    while (gate_calls() == 2 && clock_monotonic_ms() < end_ms)
        assert_int_equal(ask("1@example.net"), POLICY_NO);
    assert_int_equal(gate_calls(), 3);
    assert_int_equal(ask("bob@example.net"), POLICY_YES);
    assert_int_equal(gate_calls(), 3);
    end();
    /* The CRL of the issuing CA runs out in a second: so does what rests on it. */
    begin("resolve_life = 10m", 0, 0);
    {
        struct flow_resolve_ticket *ticket = start("bob@example.net");
        time_t until = wait_for(ticket)->until;

        assert_true(until > time(NULL));
        flow_resolve_free_ticket(&ticket);
        end();
        begin("resolve_life = 10m", 0, 0);
        clock_set_s(until - 1);
    }
    assert_int_equal(ask("bob@example.net"), POLICY_YES);
    assert_int_equal(ask("bob@example.net"), POLICY_YES);
    assert_int_equal(gate_calls(), 1);
    calls = gate_calls();
    end_ms = clock_monotonic_ms() + 5000;
    while (gate_calls() == calls && clock_monotonic_ms() < end_ms)
        (void)ask("bob@example.net");
    assert_int_equal(gate_calls(), 2);
    clock_set_s(0);
    end();
    begin("resolve_life = 0", 0, 0);
    (void)ask("bob@example.net");
    (void)ask("bob@example.net");
    assert_int_equal(gate_calls(), 2);
    end();
}

static void
what_could_not_be_asked_is_not_kept(void **state)
{
    int64_t end_ms = clock_monotonic_ms() + 5000;

    (void)state;
    begin("resolve_life = 20ms", 0, 0);
    assert_int_equal(ask("bob@example.net"), POLICY_YES);
    gate_set(false, true);
    while (gate_calls() == 1 && clock_monotonic_ms() < end_ms)
        (void)ask("bob@example.net");
    assert_int_equal(ask("bob@example.net"), POLICY_UNKNOWN);
    assert_int_equal(ask("1@example.net"), POLICY_UNKNOWN);
    gate_set(false, false);
    assert_int_equal(ask("1@example.net"), POLICY_NO);
    assert_int_equal(ask("bob@example.net"), POLICY_YES);
    end();
}

static void
a_group_is_found_with_its_members_and_each_ones_certificate(void **state)
{
    struct flow_resolve_ticket *ticket;
    const struct flow_finding *finding;

    (void)state;
    begin("", 2, 10);
    ticket = start("team@example.net");
    finding = wait_for(ticket);
    assert_int_equal(finding->known, POLICY_NO);
    assert_non_null(finding->group);
    assert_int_equal(finding->group_err.code, ERR_OK);
    assert_int_equal(finding->member_count, 2);
    assert_string_equal(finding->members[0].address, "bob@example.net");
    assert_int_equal(finding->members[0].finding->known, POLICY_YES);
    assert_int_equal(finding->members[1].finding->known, POLICY_NO);
    assert_true(finding->negative);
    /* One for the group, one for its level. */
    assert_int_equal(gate_calls(), 2);
    flow_resolve_free_ticket(&ticket);
    end();
}

/* ---- ends --------------------------------------------------------------------------------------
 */

static void
a_snapshot_that_is_replaced_goes_with_its_last_question(void **state)
{
    struct flow_resolve_ticket *ticket;
    struct flow_services *old;

    (void)state;
    begin("", 2, 10);
    gate_set(true, false);
    ticket = start("bob@example.net");
    gate_wait_inside(1);
    flow_resolve_free_ticket(&ticket);
    old = world.services;
    world.services = NULL;
    flow_services_free(&old);
    gate_set(false, false);
    end(); /* joins the thread: the sanitizer looks whether anything is left */
}

static void *
ask_many(void *context)
{
    unsigned seed = (unsigned)(uintptr_t)context;
    char address[40];

    for (int i = 0; i < 300; i++) {
        struct flow_resolve_ticket *ticket;
        const struct flow_finding *finding = NULL;
        struct err err = ERR_INIT;
        int n = rand_r(&seed) % 30;

        snprintf(address, sizeof address, "%d@example.net", n);
        ticket = start(n == 0 ? "bob@example.net" : n == 1 ? "team@example.net" : address);
        if (rand_r(&seed) % 3 > 0 &&
            flow_resolve_wait(ticket, clock_monotonic_ms() + 30000, &finding, &err) == ERR_OK)
            assert_int_equal(finding->known, n == 0 ? POLICY_YES : POLICY_NO);
        flow_resolve_free_ticket(&ticket);
    }
    return NULL;
}

static void
many_threads_ask_share_abort_and_evict(void **state)
{
    pthread_t threads[8];

    (void)state;
    begin("resolve_cache = 12\nresolve_life = 2ms\nresolve_life_negative = 1ms", 4, 5000);
    for (uintptr_t i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_many, (void *)(i + 1)), 0);
    for (int i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
    assert_true(facts().weight <= 12);
    end();
}

static int
setup(void **state)
{
    (void)state;
    world_make(&world);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    world_free(&world);
    return 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_that_ask_the_same_share_one_question),
        cmocka_unit_test(what_is_late_is_could_not_ask_and_the_retry_finds_it_done),
        cmocka_unit_test(nobody_is_asked_for_a_message_that_was_aborted),
        cmocka_unit_test(questions_that_wait_are_put_together),
        cmocka_unit_test(more_than_may_wait_is_refused_and_said),
        cmocka_unit_test(a_bounded_number_of_people_is_kept_the_last_used_longest),
        cmocka_unit_test(no_is_forgotten_sooner_than_yes_and_nothing_outlives_a_certificate),
        cmocka_unit_test(what_could_not_be_asked_is_not_kept),
        cmocka_unit_test(a_group_is_found_with_its_members_and_each_ones_certificate),
        cmocka_unit_test(a_snapshot_that_is_replaced_goes_with_its_last_question),
        cmocka_unit_test(many_threads_ask_share_abort_and_evict),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
