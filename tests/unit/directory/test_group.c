#include "tests/unit/directory/fake.h"

#include "directory/group.h"

enum { GROUPS = 12, PEOPLE = 5000 };

struct question {
    struct fake *fakes[2];
    struct directory *list[2];
    struct directory_group_args args;
    struct directory_group *group;
    struct err err;
};

static void
setup(struct question *question)
{
    *question = (struct question){ .args = { .directories = question->list,
                                             .directory_count = 1,
                                             .depth = 5,
                                             .members = PEOPLE,
                                             .timeout_ms = 15000 } };
    for (int i = 0; i < 2; i++) {
        question->fakes[i] = fake_new(i == 0 ? "one" : "two");
        question->fakes[i]->head.ops = &fake_ops;
        question->list[i] = &question->fakes[i]->head;
    }
}

static void
teardown(struct question *question)
{
    directory_group_free(&question->group);
    for (int i = 0; i < 2; i++)
        directory_free(&question->list[i]);
}

static enum err_code
expand(struct question *question, const char *dn)
{
    const struct fake_entry *root = fake_find(question->fakes[0], dn);

    assert_non_null(root);
    err_reset(&question->err);
    directory_group_free(&question->group);
    return directory_group_expand(&question->args, fake_entry_new(root), &question->group,
                                  &question->err);
}

static const struct directory_node *
find_member(const struct question *question, const char *address)
{
    const struct directory_node *found = NULL;

    for (size_t i = 0; i < question->group->member_count; i++) {
        const struct directory_node *node = &question->group->nodes[question->group->members[i]];

        if (strcmp(node->address, address) != 0)
            continue;
        assert_null(found); /* each once */
        found = node;
    }
    return found;
}

static void
assert_refused(const struct question *question, enum err_code code, const char *reason,
               const char *name)
{
    assert_int_equal(question->err.code, code);
    assert_string_equal(question->err.reason, reason);
    if (!strstr(question->err.text, name))
        fail_msg("\"%s\" does not name %s", question->err.text, name);
    if (question->group)
        assert_int_equal(question->group->member_count, 0);
}

/* ---- the large one -----------------------------------------------------------------------------
 */

static void
group_dn(int index, char *out)
{
    snprintf(out, FAKE_NAME, "cn=group %d,ou=groups,dc=corp", index);
}

/* Twelve groups, one in the other; people in all of them, one in ten in the next group too; the
 * last group holds the first one, the sixth the third. */
static void
make_large(struct question *question, size_t people)
{
    struct fake *fake = question->fakes[0];
    char group[FAKE_NAME], other[FAKE_NAME], dn[FAKE_NAME], address[FAKE_NAME];

    for (int i = 0; i < GROUPS; i++) {
        group_dn(i, group);
        snprintf(address, sizeof address, "group%d@corp.example", i);
        fake_add(fake, DIRECTORY_GROUP, group, i == 4 ? NULL : address);
    }
    for (size_t i = 0; i < people; i++) {
        snprintf(dn, sizeof dn, "uid=p%zu,ou=people,dc=corp", i);
        snprintf(address, sizeof address, "p%zu@corp.example", i);
        fake_add(fake, DIRECTORY_USER, dn, address);
        group_dn((int)(i % GROUPS), group);
        fake_member(fake, group, dn);
        if (i % 10 == 0) {
            group_dn((int)((i + 1) % GROUPS), other);
            snprintf(dn, sizeof dn, "UID=P%zu, ou=People,  DC=corp", i); /* the same, otherwise */
            fake_member(fake, other, dn);
        }
    }
    for (int i = 0; i < GROUPS; i++) {
        group_dn(i, group);
        group_dn((i + 1) % GROUPS, other);
        fake_member(fake, group, other);
    }
    group_dn(5, group);
    group_dn(2, other);
    fake_member(fake, group, other);
}

static void
five_thousand_members_of_nested_groups_are_found_each_once(void **state)
{
    struct question question;
    char address[FAKE_NAME];
    int64_t start;
    bool *seen = calloc(PEOPLE, sizeof *seen);

    (void)state;
    setup(&question);
    make_large(&question, PEOPLE);
    question.args.depth = GROUPS;
    start = clock_monotonic_ms();
    assert_int_equal(expand(&question, "cn=group 0,ou=groups,dc=corp"), ERR_OK);
    print_message("%d members in %d groups: %zu waits, largest question %zu, %lld ms\n", PEOPLE,
                  GROUPS, question.fakes[0]->waits, question.fakes[0]->largest,
                  (long long)(clock_monotonic_ms() - start));
    assert_int_equal(question.group->member_count, PEOPLE);
    assert_int_equal(question.group->group_count, GROUPS);
    assert_int_equal(question.group->depth, GROUPS);
    for (size_t i = 0; i < PEOPLE; i++) {
        const struct directory_node *node = &question.group->nodes[question.group->members[i]];
        size_t index = strtoul(node->address + 1, NULL, 10);

        assert_true(index < PEOPLE);
        assert_false(seen[index]);
        seen[index] = true;
        snprintf(address, sizeof address, "p%zu@corp.example", index);
        assert_string_equal(node->address, address);
    }
    assert_true(question.fakes[0]->waits <= 3 * GROUPS + PEOPLE / 500);
    free(seen);
    teardown(&question);
}

/* Entries are shared with what directories remember: an expansion that emptied one left its members
 * out of the next message to a group that holds it. */
static void
an_expansion_changes_no_entry(void **state)
{
    struct question question;
    struct directory_entry *root, *shared;
    size_t count = 0;

    (void)state;
    setup(&question);
    make_large(&question, 60);
    question.args.depth = GROUPS;
    root = fake_entry_new(fake_find(question.fakes[0], "cn=group 0,ou=groups,dc=corp"));
    assert_non_null(root);
    shared = directory_entry_add1(root);
    while (shared->member_dns && shared->member_dns[count])
        count++;
    assert_true(count > 0);
    assert_int_equal(directory_group_expand(&question.args, root, &question.group, &question.err),
                     ERR_OK);
    assert_non_null(shared->member_dns);
    for (size_t i = 0; i < count; i++)
        assert_non_null(shared->member_dns[i]);
    directory_entry_free(&shared);
    teardown(&question);
}

static void
nesting_beyond_the_limit_is_refused_and_names_the_group(void **state)
{
    struct question question;

    (void)state;
    setup(&question);
    make_large(&question, 100);
    assert_int_equal(expand(&question, "cn=group 0,ou=groups,dc=corp"), ERR_LIMIT);
    assert_refused(&question, ERR_LIMIT, "group-too-deep", "group0@corp.example");
    assert_non_null(strstr(question.err.text, "5 levels (group_depth)"));
    assert_non_null(strstr(question.err.text, "group5@corp.example is in level 6"));
    /* The tree is there to be looked at; the group beyond is known not to be expanded. */
    assert_true(question.group->nodes[0].expanded);
    assert_false(question.group->nodes[question.group->count - 1].expanded);
    /* A cycle is not depth. */
    question.args.depth = GROUPS;
    assert_int_equal(expand(&question, "cn=group 7,ou=groups,dc=corp"), ERR_OK);
    assert_int_equal(question.group->member_count, 100);
    teardown(&question);
}

static void
more_members_than_allowed_are_refused_and_nobody_is_asked_about_far_too_many(void **state)
{
    struct question question;
    size_t waits;

    (void)state;
    setup(&question);
    make_large(&question, 120);
    question.args.depth = GROUPS;
    question.args.members = 119;
    assert_int_equal(expand(&question, "cn=group 0,ou=groups,dc=corp"), ERR_LIMIT);
    assert_refused(&question, ERR_LIMIT, "group-too-large", "group0@corp.example");
    assert_non_null(strstr(question.err.text, "119"));
    question.args.members = 120;
    assert_int_equal(expand(&question, "cn=group 0,ou=groups,dc=corp"), ERR_OK);
    assert_int_equal(question.group->member_count, 120);

    fake_add(question.fakes[0], DIRECTORY_GROUP, "cn=huge,dc=corp", "huge@corp.example");
    for (int i = 0; i < 3000; i++) {
        char dn[FAKE_NAME];

        snprintf(dn, sizeof dn, "uid=h%d,dc=corp", i);
        fake_member(question.fakes[0], "cn=huge,dc=corp", dn);
    }
    waits = question.fakes[0]->waits;
    assert_int_equal(expand(&question, "cn=huge,dc=corp"), ERR_LIMIT);
    assert_refused(&question, ERR_LIMIT, "group-too-large", "huge@corp.example");
    assert_int_equal(question.fakes[0]->waits, waits);
    teardown(&question);
}

/* ---- kinds of members --------------------------------------------------------------------------
 */

static void
make_mixed(struct question *question)
{
    struct fake *fake = question->fakes[0];

    fake_add(fake, DIRECTORY_GROUP, "cn=all,dc=corp", "all@corp.example");
    fake_add(fake, DIRECTORY_USER, "uid=ann,dc=corp", "ann@corp.example");
    fake_add(fake, DIRECTORY_USER, "uid=mute,dc=corp", NULL);
    fake_add(fake, DIRECTORY_CONTACT, "cn=ann at home,dc=corp", "ann@corp.example");
    fake_add(fake, DIRECTORY_CONTACT, "cn=partner,dc=corp", "pat@partner.example");
    fake_add(fake, DIRECTORY_GROUP, "cn=nameless,dc=corp", NULL);
    snprintf(fake_add(fake, DIRECTORY_USER, "uid=dyn,dc=corp", "dyn@corp.example")->url, FAKE_NAME,
             "ldap:///dc=corp??sub?(ou=dynamic)");
    snprintf(fake_add(fake, DIRECTORY_GROUP, "cn=alias,dc=corp", "alias@corp.example")->name,
             FAKE_NAME, "staff");
    fake_member(fake, "cn=all,dc=corp", "cn=ann at home,dc=corp");
    fake_member(fake, "cn=all,dc=corp", "UID=ann,DC=corp");
    fake_member(fake, "cn=all,dc=corp", "uid=mute,dc=corp");
    fake_member(fake, "cn=all,dc=corp", "cn=partner,dc=corp");
    fake_member(fake, "cn=all,dc=corp", "cn=nameless,dc=corp");
    fake_member(fake, "cn=all,dc=corp", "Guest@Outside.example");
    fake_member(fake, "cn=all,dc=corp", "staff");
    fake_member(fake, "cn=nameless,dc=corp", "ldap:///dc=corp??sub?(ou=dynamic)");
    fake_member(fake, "cn=nameless,dc=corp", "cn=all,dc=corp");
    fake_member(fake, "cn=alias,dc=corp", "ann@corp.example");
    fake_member(fake, "cn=alias,dc=corp", "guest@outside.example");
    fake_member(fake, "cn=alias,dc=corp", "far@two.example");
}

static void
every_kind_of_member_is_told_apart(void **state)
{
    struct question question;

    (void)state;
    setup(&question);
    make_mixed(&question);
    question.args.directory_count = 2;
    fake_add(question.fakes[1], DIRECTORY_GROUP, "cn=far,dc=two", "far@two.example");
    fake_add(question.fakes[1], DIRECTORY_USER, "uid=zoe,dc=two", "zoe@two.example");
    fake_member(question.fakes[1], "cn=far,dc=two", "uid=zoe,dc=two");
    assert_int_equal(expand(&question, "cn=all,dc=corp"), ERR_OK);
    assert_int_equal(question.group->member_count, 5);
    assert_int_equal(find_member(&question, "ann@corp.example")->kind, DIRECTORY_NODE_USER);
    assert_int_equal(find_member(&question, "pat@partner.example")->kind, DIRECTORY_NODE_CONTACT);
    assert_int_equal(find_member(&question, "dyn@corp.example")->kind, DIRECTORY_NODE_USER);
    assert_int_equal(find_member(&question, "Guest@outside.example")->kind,
                     DIRECTORY_NODE_EXTERNAL);
    assert_int_equal(find_member(&question, "zoe@two.example")->directory, 1);
    assert_int_equal(question.group->without_address, 1);
    assert_int_equal(question.group->unknown, 0);
    assert_int_equal(question.group->group_count, 4);
    assert_string_equal(directory_group_name(question.group), "all@corp.example");
    /* Names and tree outlive the entries. */
    directory_group_reset_entries(question.group);
    assert_non_null(find_member(&question, "dyn@corp.example"));
    assert_int_equal(question.group->nodes[0].child_count, 7);
    teardown(&question);
}

static void
a_member_that_nobody_knows_refuses_the_group_unless_it_may_be_skipped(void **state)
{
    static const char *const strangers[] = { "uid=gone,dc=corp", "nobody-here", "no dn and = no",
                                             "broken@@address" };
    struct question question;

    (void)state;
    for (size_t i = 0; i < sizeof strangers / sizeof strangers[0]; i++) {
        setup(&question);
        make_mixed(&question);
        fake_member(question.fakes[0], "cn=alias,dc=corp", strangers[i]);
        assert_int_equal(expand(&question, "cn=all,dc=corp"), ERR_PERM);
        assert_refused(&question, ERR_PERM, "group-member-unknown", strangers[i]);
        assert_non_null(strstr(question.err.text, "all@corp.example"));
        question.args.skip_unknown = true;
        assert_int_equal(expand(&question, "cn=all,dc=corp"), ERR_OK);
        assert_int_equal(question.group->unknown, 1);
        assert_int_equal(question.group->member_count, 5);
        teardown(&question);
    }
}

static void
a_group_without_anybody_has_no_members(void **state)
{
    struct question question;

    (void)state;
    setup(&question);
    fake_add(question.fakes[0], DIRECTORY_GROUP, "cn=empty,dc=corp", NULL);
    fake_member(question.fakes[0], "cn=empty,dc=corp", "cn=empty,dc=corp");
    assert_int_equal(expand(&question, "cn=empty,dc=corp"), ERR_OK);
    assert_int_equal(question.group->member_count, 0);
    assert_int_equal(question.group->count, 1);
    assert_string_equal(directory_group_name(question.group), "cn=empty,dc=corp");
    teardown(&question);
}

/* ---- directories that do not answer ------------------------------------------------------------
 */

static void
could_not_ask_is_told_from_too_slow_and_never_a_part_of_a_list(void **state)
{
    struct question question;

    (void)state;
    setup(&question);
    make_large(&question, 60);
    question.args.depth = GROUPS;
    for (size_t call = 1; call <= GROUPS; call++) {
        question.fakes[0]->code = ERR_TEMP;
        question.fakes[0]->fail_at = call;
        question.fakes[0]->calls[0] = question.fakes[0]->calls[1] = 0;
        assert_int_equal(expand(&question, "cn=group 0,ou=groups,dc=corp"), ERR_TEMP);
        assert_refused(&question, ERR_TEMP, "directory-unreachable", "group0@corp.example");
    }
    question.fakes[0]->fail_at = 3;
    question.fakes[0]->calls[0] = 0;
    question.fakes[0]->is_slow = true;
    question.args.timeout_ms = 30;
    assert_int_equal(expand(&question, "cn=group 0,ou=groups,dc=corp"), ERR_TEMP);
    assert_refused(&question, ERR_TEMP, "group-timeout", "group0@corp.example");
    assert_non_null(strstr(question.err.text, "30 ms (group_timeout)"));
    teardown(&question);
}

static void
a_url_that_cannot_be_asked_refuses_the_group(void **state)
{
    struct question question;

    (void)state;
    setup(&question);
    make_mixed(&question);
    fake_member(question.fakes[0], "cn=alias,dc=corp", "ldap:///malformed");
    assert_int_equal(expand(&question, "cn=all,dc=corp"), ERR_PERM);
    assert_refused(&question, ERR_PERM, "group-malformed", "all@corp.example");
    teardown(&question);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(five_thousand_members_of_nested_groups_are_found_each_once),
        cmocka_unit_test(an_expansion_changes_no_entry),
        cmocka_unit_test(nesting_beyond_the_limit_is_refused_and_names_the_group),
        cmocka_unit_test(
            more_members_than_allowed_are_refused_and_nobody_is_asked_about_far_too_many),
        cmocka_unit_test(every_kind_of_member_is_told_apart),
        cmocka_unit_test(a_member_that_nobody_knows_refuses_the_group_unless_it_may_be_skipped),
        cmocka_unit_test(a_group_without_anybody_has_no_members),
        cmocka_unit_test(could_not_ask_is_told_from_too_slow_and_never_a_part_of_a_list),
        cmocka_unit_test(a_url_that_cannot_be_asked_refuses_the_group),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
