#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "policy/sender.h"

static const char *const his_addresses[] = { "me@our.example", "alias@our.example", NULL };

static const struct policy_sender_facts good = {
    .from_fields = 1,
    .from_mailboxes = 1,
    .from = "me@our.example",
    .envelope_sender = "me@our.example",
    .login = "me",
    .directory = true,
    .person = POLICY_YES,
    .primary = "me@our.example",
    .addresses = his_addresses,
    .fold_local = true,
};

static void
each_mismatch_is_refused_with_its_own_reason(void **state)
{
    struct policy_sender_facts f[21];
    struct policy_sender_answer out;
    size_t n = 0;

    for (size_t i = 0; i < 21; i++)
        f[i] = good;
    const struct {
        struct policy_sender_facts *facts;
        enum policy_identity identity;
        const char *reason;
    } rows[] = {
        { &f[0], POLICY_IDENTITY_OK, "ok" },
        { &f[1], POLICY_IDENTITY_REFUSED, "from-missing" },
        { &f[2], POLICY_IDENTITY_REFUSED, "from-missing" },
        { &f[3], POLICY_IDENTITY_REFUSED, "from-several" },
        { &f[4], POLICY_IDENTITY_REFUSED, "from-several" },
        { &f[5], POLICY_IDENTITY_REFUSED, "from-syntax" },
        { &f[6], POLICY_IDENTITY_REFUSED, "from-syntax" },
        { &f[7], POLICY_IDENTITY_REFUSED, "from-not-sender" },
        { &f[8], POLICY_IDENTITY_OK, "ok" },
        { &f[9], POLICY_IDENTITY_REFUSED, "secondary-address" },
        { &f[10], POLICY_IDENTITY_REFUSED, "not-your-address" },
        { &f[11], POLICY_IDENTITY_REFUSED, "sender-unknown" },
        { &f[12], POLICY_IDENTITY_REFUSED, "sender-unknown" },
        { &f[13], POLICY_IDENTITY_OK, "ok" },
        { &f[14], POLICY_IDENTITY_UNKNOWN, "directory-unreachable" },
        { &f[15], POLICY_IDENTITY_OK, "ok" },
        { &f[16], POLICY_IDENTITY_OK, "ok" },
        { &f[17], POLICY_IDENTITY_REFUSED, "not-your-address" },
        { &f[18], POLICY_IDENTITY_REFUSED, "from-not-sender" },
        { &f[19], POLICY_IDENTITY_REFUSED, "not-your-address" },
        { &f[20], POLICY_IDENTITY_REFUSED, "from-several" },
    };

    (void)state;
    f[1].from_fields = f[1].from_mailboxes = 0;
    f[1].from = NULL;
    f[2].from_mailboxes = 0;
    f[2].from = NULL;
    f[3].from_fields = 2;
    f[4].from_mailboxes = 2;
    f[5].from_irregular = true;
    f[6].from = NULL;
    f[7].envelope_sender = "other@our.example";
    f[8].envelope_sender = "";
    f[9].from = f[9].envelope_sender = "alias@our.example";
    f[10].from = f[10].envelope_sender = "boss@our.example";
    f[11].person = POLICY_NO;
    f[12].person = POLICY_NO;
    f[12].login = NULL;
    f[13].person = POLICY_NO; /* a bounce of a trusted host */
    f[13].login = NULL;
    f[13].envelope_sender = "";
    f[14].person = POLICY_UNKNOWN;
    f[15].directory = false; /* nobody to ask: the message itself has to do */
    f[15].person = POLICY_NO;
    f[16].from = "ME@our.example"; /* another spelling of the same mailbox */
    f[17].primary = NULL;
    f[17].addresses = NULL;
    f[18].from = "ME@our.example"; /* where case counts, it is another one */
    f[18].fold_local = false;
    f[19].envelope_sender = ""; /* null sender with a login: From still has to be his */
    f[19].from = "boss@our.example";
    f[20].from_fields = 2; /* two senders are refused whoever can be asked */
    f[20].person = POLICY_UNKNOWN;

    for (n = 0; n < sizeof rows / sizeof rows[0]; n++) {
        policy_sender_decide(rows[n].facts, &out);
        assert_string_equal(out.reason, rows[n].reason);
        assert_int_equal(out.identity, rows[n].identity);
        assert_int_equal(out.text[0] == '\0', out.identity == POLICY_IDENTITY_OK);
        assert_true(strlen(out.text) < sizeof out.text);
        assert_null(strpbrk(out.text, "\r\n"));
    }
}

/* A directory that cannot be asked never lets anybody in, and never refuses for good. */
static void
unreachable_directory_is_never_an_answer(void **state)
{
    (void)state;
    for (int n = 0; n < 16; n++) {
        struct policy_sender_facts facts = good;
        struct policy_sender_answer out;

        facts.person = POLICY_UNKNOWN;
        facts.login = n % 2 ? "me" : NULL;
        facts.envelope_sender = n / 2 % 2 ? "me@our.example" : "";
        facts.primary = n / 4 % 2 ? "me@our.example" : NULL;
        facts.addresses = n / 8 % 2 ? his_addresses : NULL;
        policy_sender_decide(&facts, &out);
        assert_int_equal(out.identity, POLICY_IDENTITY_UNKNOWN);
    }
}

static void
primary_address_is_told_only_to_who_is_logged_in(void **state)
{
    struct policy_sender_facts facts = good;
    struct policy_sender_answer out;

    (void)state;
    facts.from = facts.envelope_sender = "alias@our.example";
    policy_sender_decide(&facts, &out);
    assert_non_null(strstr(out.text, "me@our.example"));
    facts.login = NULL;
    policy_sender_decide(&facts, &out);
    assert_string_equal(out.reason, "secondary-address");
    assert_null(strstr(out.text, "me@our.example"));
}

static void
unknown_sender_is_named_by_what_named_him(void **state)
{
    struct policy_sender_facts facts = good;
    struct policy_sender_answer out;

    (void)state;
    facts.person = POLICY_NO;
    policy_sender_decide(&facts, &out);
    assert_string_equal(out.text,
                        "your login is not known in the directory; ask your administrator");
    facts.login = NULL;
    policy_sender_decide(&facts, &out);
    assert_string_equal(out.text,
                        "me@our.example is not known in the directory; ask your administrator");
}

static void
long_addresses_are_cut_and_the_advice_stays(void **state)
{
    struct policy_sender_facts facts = good;
    struct policy_sender_answer out;
    char address[1000];

    (void)state;
    memset(address, 'a', sizeof address - 1);
    memcpy(address + 900, "@our.example", 12);
    address[sizeof address - 1] = '\0';
    facts.from = address;
    policy_sender_decide(&facts, &out);
    assert_non_null(strstr(out.text, "..."));
    assert_non_null(strstr(out.text, "differ; send from one address"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_mismatch_is_refused_with_its_own_reason),
        cmocka_unit_test(unreachable_directory_is_never_an_answer),
        cmocka_unit_test(primary_address_is_told_only_to_who_is_logged_in),
        cmocka_unit_test(unknown_sender_is_named_by_what_named_him),
        cmocka_unit_test(long_addresses_are_cut_and_the_advice_stays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
