/* Many questions, large answers, ranges, and what of an answer is none. */
#include "tests/unit/directory/ldap_world.h"

static void
ask_many(struct directory *d, size_t count)
{
    static char names[PEOPLE][32];
    static const char *list[PEOPLE];
    struct directory_entries entries;
    struct err err = ERR_INIT;
    for (size_t i = 0; i < count; i++) {
        snprintf(names[i], sizeof names[0], i % 10 == 9 ? "no%zu@x.example" : "m%zu@x.example", i);
        list[i] = names[i];
    }
    const struct directory_questions questions = { list, count, soon() };
    if (directory_find_addresses(d, &questions, &entries, &err) != ERR_OK)
        fail_msg("%s", err.text);
    assert_int_equal(entries.count, count);
    for (size_t i = 0; i < count; i++) {
        if (i % 10 == 9)
            assert_null(entries.list[i]);
        else
            assert_string_equal(entries.list[i]->primary, names[i]);
    }
    directory_entries_free(&entries);
}

static void
many_questions_are_few_searches_and_one_wait(void **state)
{
    (void)state;
    struct directory *d = usual("openldap");
    ask_many(d, 1200);
    struct directory_counts counts = counts_of(d);
    assert_int_equal(counts.waits, 1);
    assert_int_equal(counts.searches, 3);
    assert_int_equal(counts.connects, 1);
    assert_int_equal(counts.entries, 1080);
    static char names[1200][48];
    static const char *list[1200];
    struct directory_entries entries;
    struct err err = ERR_INIT;
    for (size_t i = 0; i < 1200; i++) {
        snprintf(names[i], sizeof names[0], "CN=m%zu,OU=many,O=corp", i);
        list[i] = names[i];
    }
    const struct directory_questions questions = { list, 1200, soon() };
    assert_int_equal(directory_find_dns(d, &questions, &entries, &err), ERR_OK);
    for (size_t i = 0; i < 1200; i++)
        assert_non_null(entries.list[i]);
    directory_entries_free(&entries);
    assert_int_equal(counts_of(d).waits, 2);
    assert_int_equal(counts_of(d).searches, 6);
    /* One connection served it all. */
    assert_int_equal(counts_of(d).connects, 1);
    directory_free(&d);
    /* Without an attribute for names: a search for each, and all of them one wait. */
    d = usual("plain");
    assert_int_equal(directory_find_dns(d, &questions, &entries, &err), ERR_OK);
    for (size_t i = 0; i < 1200; i++)
        assert_non_null(entries.list[i]);
    directory_entries_free(&entries);
    assert_int_equal(counts_of(d).waits, 1);
    assert_int_equal(counts_of(d).searches, 1200);
    directory_free(&d);
}

static void
a_size_limit_halves_the_batch_and_loses_nobody(void **state)
{
    (void)state;
    struct slapd small;
    small_start(&small, "halves", "sizelimit 100\n");
    struct directory *d = made_for("openldap", server_name("ldap://", small.port), NULL);
    ask_many(d, 500);
    /* 500, 2 x 250, 4 x 125 with 112 of them there, 8 of 62 or 63. */
    assert_int_equal(counts_of(d).waits, 4);
    assert_int_equal(counts_of(d).searches, 15);
    directory_free(&d);
    slapd_stop(&small);
}

static void
find_many_url(struct directory *d, size_t limit, enum err_code wanted, size_t count)
{
    const char *list[] = { "ldap:///ou=many,o=corp??sub?(mail=*)",
                           "ldap:///OU=many,o=corp??one?(|(uid=u1)(uid=u2))",
                           "ldap:///ou=nowhere,o=corp??sub?(mail=*)" };
    const struct directory_questions questions = { list, 3, soon() };
    struct directory_entries entries;
    struct err err = ERR_INIT;
    enum err_code code = directory_find_urls(d, &questions, limit, &entries, &err);
    if (code != wanted || entries.count != count)
        fail_msg("%d %zu %s", code, entries.count, err.text);
    directory_entries_free(&entries);
}

static void
a_large_answer_is_read_in_pages_or_is_none(void **state)
{
    (void)state;
    struct slapd small;
    small_start(&small, "pages", "limits * size.soft=50 size.hard=50 size.prtotal=unlimited\n");
    struct directory *d = made_for("openldap", server_name("ldap://", small.port), NULL);
    find_many_url(d, 5000, ERR_OK, PEOPLE);
    /* The whole at once fails, then 17 pages of 100 (the server gives 50 at a time). */
    assert_true(counts_of(d).waits >= 18);
    find_many_url(d, PEOPLE, ERR_OK, PEOPLE);
    find_many_url(d, PEOPLE - 1, ERR_LIMIT, 0);
    directory_free(&d);
    slapd_stop(&small);
    /* A server that caps pages too has no answer, and a short one is none. */
    small_start(&small, "capped", "limits * size.soft=50 size.hard=50 size.prtotal=200\n");
    d = made_for("openldap", server_name("ldap://", small.port), NULL);
    find_many_url(d, 5000, ERR_TEMP, 0);
    directory_free(&d);
    slapd_stop(&small);
    d = usual("openldap");
    find_many_url(d, 5000, ERR_OK, PEOPLE);
    assert_int_equal(counts_of(d).waits, 1);
    directory_free(&d);
}

static void
a_reference_to_another_server_is_not_an_answer(void **state)
{
    (void)state;
    struct slapd other;
    struct buf text = BUF_INIT(1 << 24);
    struct err err = ERR_INIT;
    append_world(&text);
    append(&text, "dn: ou=away,o=corp\nobjectClass: referral\nobjectClass: extensibleObject\n"
                  "ou: away\nref: ldap://127.0.0.1:1/ou=away,o=corp\n\n");
    slapd_init(&other, "refers", buf_str(&text), NULL, usual_limits);
    buf_free(&text);
    struct directory *d = made_for("openldap", server_name("ldap://", other.port), NULL);
    assert_int_equal(ask(d, "nobody@x.example", 5000, &err), ERR_TEMP);
    assert_non_null(strstr(err.text, "refers to another"));
    directory_free(&d);
    /* Active Directory refers to its other partitions with every answer. */
    d = made_for("ad", server_name("ldap://", other.port), NULL);
    assert_int_equal(ask(d, "nobody@x.example", 5000, &err), ERR_NOTFOUND);
    assert_int_equal(ask(d, "victim@x.example", 5000, &err), ERR_OK);
    directory_free(&d);
    slapd_stop(&other);
    struct liar liar;
    liar_start(&liar, LIAR_REFERS, NULL);
    d = made_for("ad", server_name("ldap://", liar.port), NULL);
    assert_int_equal(ask(d, "nobody@x.example", 5000, &err), ERR_TEMP);
    directory_free(&d);
    liar_stop(&liar);
}

static void
a_base_that_is_not_there_is_not_an_answer(void **state)
{
    (void)state;
    char *servers[] = { server_name("ldap://", slapd.port), NULL };
    struct conf_directory conf = conf_of("openldap", servers);
    struct err err = ERR_INIT;
    conf.base = (char *)"ou=typo,o=corp";
    struct directory *d = made(&conf);
    assert_int_equal(ask(d, "victim@x.example", 5000, &err), ERR_TEMP);
    directory_free(&d);
}

/* ---- ranges ---------------------------------------------------------------------------------- */

static void
ranged_members_are_followed_to_the_end_in_both_orders(void **state)
{
    (void)state;
    struct liar liar;
    struct err err = ERR_INIT;
    liar_start(&liar, LIAR_TALKS, talk_ranges);
    for (int order = 0; order < 2; order++) {
        empty_first = order == 0;
        struct directory *d = made_for("ad", server_name("ldap://", liar.port), NULL);
        struct directory_entry *e = found(d, "big@x.example");
        size_t count = 0;
        for (; e->member_dns[count]; count++) {
            char wanted[64];
            snprintf(wanted, sizeof wanted, "cn=member %zu,o=corp", count);
            assert_string_equal(e->member_dns[count], wanted);
        }
        assert_int_equal(count, MEMBERS);
        assert_int_equal(counts_of(d).waits, 3);
        directory_entry_free(&e);
        directory_free(&d);
    }
    /* A range that holds other values than it says is no answer. */
    wrong_range = true;
    struct directory *d = made_for("ad", server_name("ldap://", liar.port), NULL);
    assert_int_equal(ask(d, "big@x.example", 5000, &err), ERR_TEMP);
    directory_free(&d);
    liar_stop(&liar);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_questions_are_few_searches_and_one_wait),
        cmocka_unit_test(a_size_limit_halves_the_batch_and_loses_nobody),
        cmocka_unit_test(a_large_answer_is_read_in_pages_or_is_none),
        cmocka_unit_test(a_reference_to_another_server_is_not_an_answer),
        cmocka_unit_test(a_base_that_is_not_there_is_not_an_answer),
        cmocka_unit_test(ranged_members_are_followed_to_the_end_in_both_orders),
    };
    signal(SIGPIPE, SIG_IGN); /* as both programs do */
    return cmocka_run_group_tests(tests, world_up, world_down);
}
