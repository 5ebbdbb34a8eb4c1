#include <pthread.h>

#include "tests/unit/flow/world.h"

static struct world world;

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

static enum err_code
load(const char *text, struct flow_services **out, struct err *err)
{
    struct conf *conf = NULL;
    enum err_code code;

    *out = NULL;
    assert_int_equal(conf_parse("test", text, world_conf_complain, NULL, &conf, err), ERR_OK);
    code = flow_services_new(conf, world_complain, NULL, out, err);
    conf_free(&conf);
    return code;
}

static void
names_default_to_the_host_and_the_host_to_the_system(void **state)
{
    struct flow_services *services;
    struct err err = ERR_INIT;
    char host[300] = "", text[600];

    (void)state;
    snprintf(text, sizeof text, "keys_folder = %s/keys\n", world.folder);
    assert_int_equal(load(text, &services, &err), ERR_OK);
    gethostname(host, sizeof host - 1);
    assert_string_equal(services->hostname, host);
    assert_string_equal(services->authserv_id, host);
    flow_services_free(&services);
    snprintf(text, sizeof text,
             "keys_folder = %s/keys\nhostname = mx.example.org\nauthserv_id = example.org\n",
             world.folder);
    assert_int_equal(load(text, &services, &err), ERR_OK);
    assert_string_equal(services->hostname, "mx.example.org");
    assert_string_equal(services->authserv_id, "example.org");
    flow_services_free(&services);
}

static void
a_trust_set_is_found_by_its_name(void **state)
{
    (void)state;
    world_configure(&world, "");
    assert_non_null(flow_services_trust(world.services, "default"));
    assert_null(flow_services_trust(world.services, "other"));
    assert_int_equal(pki_keyring_count(world.services->keyring), 2);
    assert_int_equal(world.services->leaf_policy.rsa_bits_min, 2048);
    assert_true(world.services->leaf_policy.fold_local);
}

static void
what_cannot_be_loaded_is_an_error_that_names_it(void **state)
{
    struct flow_services *services;
    struct err err = ERR_INIT;
    char text[900];

    (void)state;
    assert_int_not_equal(load("keys_folder = /nonexistent/keys\n", &services, &err), ERR_OK);
    assert_null(services);
    assert_non_null(strstr(err.text, "/nonexistent/keys"));
    err_reset(&err);
    snprintf(text, sizeof text,
             "keys_folder = %s/keys\ntrust \"partners\" { anchors = /nonexistent/anchors }\n",
             world.folder);
    assert_int_not_equal(load(text, &services, &err), ERR_OK);
    assert_null(services);
    assert_non_null(strstr(err.text, "partners"));
    err_reset(&err);
    snprintf(text, sizeof text,
             "keys_folder = %s/keys\ndirectory \"people\" { ldif = /nonexistent.ldif }\n",
             world.folder);
    assert_int_not_equal(load(text, &services, &err), ERR_OK);
    assert_null(services);
    assert_non_null(strstr(err.text, "people"));
}

static void
a_key_that_others_can_read_is_a_complaint(void **state)
{
    char path[300];

    (void)state;
    snprintf(path, sizeof path, "%s/keys/gate.pem", world.folder);
    assert_int_equal(chmod(path, 0644), 0);
    world_configure(&world, "");
    assert_int_equal(pki_keyring_count(world.services->keyring), 1);
    assert_int_equal(chmod(path, 0600), 0);
}

static void *
take_and_give_back(void *context)
{
    (void)context;
    for (int i = 0; i < 5000; i++) {
        struct flow_services *services = flow_services_get1();

        assert_non_null(services);
        assert_string_equal(services->hostname, "mx.example.org");
        flow_services_free(&services);
    }
    return NULL;
}

static void
a_swap_never_hurts_who_holds_the_old_one(void **state)
{
    struct flow_services *held;
    pthread_t threads[2];

    (void)state;
    assert_null(flow_services_get1());
    world_configure(&world, "");
    flow_services_swap(flow_services_add1(world.services));
    held = flow_services_get1();
    assert_ptr_equal(held, world.services);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, take_and_give_back, NULL), 0);
    for (int i = 0; i < 20; i++) {
        world_configure(&world, "");
        flow_services_swap(flow_services_add1(world.services));
    }
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_ptr_not_equal(held, world.services);
    assert_non_null(flow_services_trust(held, "default"));
    flow_services_free(&held);
    flow_services_free(&held);
    flow_services_free(NULL);
    flow_services_swap(NULL);
    assert_null(flow_services_get1());
}

/* What took minutes to fetch is not thrown away because a rule was changed. */
static void
evidence_outlives_a_reload_unless_its_parameters_change(void **state)
{
    struct flow_services *first, *second;
    struct pki_evidence *evidence;
    char base[400], text[1200], path[300];
    struct err err = ERR_INIT;
    FILE *file;

    (void)state;
    snprintf(path, sizeof path, "%s/cache.key", world.folder);
    file = fopen(path, "w");
    assert_non_null(file);
    fputs("0123456789abcdef0123456789abcdef", file);
    fclose(file);
    assert_int_equal(chmod(path, 0600), 0);
    snprintf(base, sizeof base, "keys_folder = %s/keys\n", world.folder);
    assert_int_equal(load(base, &first, &err), ERR_OK);
    evidence = first->evidence;
    assert_non_null(evidence);
    flow_services_swap(first);

    /* Others, and those of one message, are no reason. */
    snprintf(text, sizeof text,
             "%slog_recipients = 3\nfetch_per_message = 5\nrule \"r\" { smime = no }\n", base);
    assert_int_equal(load(text, &second, &err), ERR_OK);
    assert_ptr_equal(second->evidence, evidence);
    flow_services_swap(second);
    snprintf(text, sizeof text, "%scrl_life = 1d\n", base);
    assert_int_equal(load(text, &second, &err), ERR_OK);
    assert_ptr_not_equal(second->evidence, evidence);
    flow_services_free(&second);

    snprintf(text, sizeof text,
             "%scache = redis\nredis_server = unix:/nonexistent\ncache_key_file = %s\n", base,
             path);
    assert_int_equal(load(text, &first, &err), ERR_OK); /* Redis may be absent */
    evidence = first->evidence;
    flow_services_swap(first);
    assert_int_equal(load(text, &second, &err), ERR_OK);
    assert_ptr_equal(second->evidence, evidence);
    flow_services_free(&second);
    file = fopen(path, "w"); /* another key in the same file */
    fputs("fedcba9876543210fedcba9876543210!", file);
    fclose(file);
    assert_int_equal(load(text, &second, &err), ERR_OK);
    assert_ptr_not_equal(second->evidence, evidence);
    flow_services_free(&second);
    assert_int_equal(chmod(path, 0644), 0);
    file = fopen(path, "a");
    fputs("more", file);
    fclose(file);
    assert_int_equal(load(text, &second, &err), ERR_PERM);
    assert_non_null(strstr(err.text, path));
    flow_services_swap(NULL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_default_to_the_host_and_the_host_to_the_system),
        cmocka_unit_test(a_trust_set_is_found_by_its_name),
        cmocka_unit_test(what_cannot_be_loaded_is_an_error_that_names_it),
        cmocka_unit_test(a_key_that_others_can_read_is_a_complaint),
        cmocka_unit_test(a_swap_never_hurts_who_holds_the_old_one),
        cmocka_unit_test(evidence_outlives_a_reload_unless_its_parameters_change),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
