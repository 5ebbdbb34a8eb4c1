#include "tests/unit/directory/ldap_world.h"

/* ---- answers --------------------------------------------------------------------------------- */

static void
people_are_found_with_their_primary_address(void **state)
{
    (void)state;
    struct directory *d = usual("ad");
    struct directory_entry *e = found(d, "old@x.example");
    assert_string_equal(e->dn, "cn=victim,ou=people,o=corp");
    assert_string_equal(e->primary, "Vic@x.example");
    assert_int_equal(e->kind, DIRECTORY_USER);
    assert_non_null(e->addresses[2]);
    assert_null(e->addresses[3]);
    directory_entry_free(&e);
    e = found(d, "VICTIM@x.example");
    assert_string_equal(e->primary, "Vic@x.example");
    directory_entry_free(&e);
    directory_free(&d);
    d = usual("openldap");
    e = found(d, "victim@x.example");
    assert_string_equal(e->primary, "victim@x.example");
    directory_entry_free(&e);
    struct err err = ERR_INIT;
    assert_int_equal(ask(d, "old@x.example", 5000, &err), ERR_NOTFOUND);
    assert_int_equal(ask(d, "nobody@x.example", 5000, &err), ERR_NOTFOUND);
    directory_free(&d);
}

static void
of_several_with_one_address_the_user_wins(void **state)
{
    (void)state;
    struct directory *d = usual("plain");
    struct directory_entry *e = found(d, "shared@x.example");
    assert_string_equal(e->dn, "cn=shared user,ou=people,o=corp");
    directory_entry_free(&e);
    e = found(d, "half@x.example");
    assert_string_equal(e->dn, "cn=shared contact,ou=people,o=corp");
    assert_int_equal(e->kind, DIRECTORY_CONTACT);
    directory_entry_free(&e);
    directory_free(&d);
}

static void
certificates_come_as_der_and_as_pkcs7(void **state)
{
    (void)state;
    struct directory *d = usual("openldap");
    struct directory_entry *e = found(d, "certs@x.example");
    assert_int_equal(e->certificates.count, 3);
    assert_int_equal(e->bad_certificates, 0);
    directory_entry_free(&e);
    directory_free(&d);
}

static void
groups_tell_their_members(void **state)
{
    (void)state;
    struct directory *d = usual("openldap");
    const char *const list[] = { "unique@x.example", "dynamic@x.example", "postmaster",
                                 "victim" /* a login */ };
    const struct directory_questions questions = { list, 4, soon() };
    struct directory_entries entries;
    struct err err = ERR_INIT;
    if (directory_find_addresses(d, &questions, &entries, &err) != ERR_OK)
        fail_msg("%s", err.text);
    assert_string_equal(entries.list[0]->member_dns[0], "cn=victim,ou=people,o=corp");
    assert_null(entries.list[0]->member_dns[1]);
    assert_string_equal(entries.list[1]->member_urls[0], "ldap:///ou=many,o=corp??sub?(mail=*)");
    assert_int_equal(entries.list[2]->kind, DIRECTORY_GROUP);
    assert_string_equal(entries.list[2]->member_addresses[0], "victim");
    assert_string_equal(entries.list[2]->member_addresses[1], "ext@y.example");
    assert_string_equal(entries.list[3]->dn, "cn=victim,ou=people,o=corp");
    directory_entries_free(&entries);
    directory_free(&d);
}

static void
names_are_found_however_they_are_written(void **state)
{
    (void)state;
    static const char *const schemas[] = { "openldap", "plain" };
    static const char *const list[] = { "CN=victim, OU=people,O=corp",
                                        "cn=gone,o=corp",
                                        "cn=Lee\\2c Ann,ou=people,o=corp",
                                        "no name",
                                        "cn=x,dc=elsewhere",
                                        "cn=a shared group,ou=people,o=corp",
                                        "cn=*,ou=people,o=corp",
                                        "" };
    for (size_t i = 0; i < 2; i++) {
        struct directory *d = usual(schemas[i]);
        struct directory_entries entries;
        struct err err = ERR_INIT;
        const struct directory_questions questions = { list, 8, soon() };
        if (directory_find_dns(d, &questions, &entries, &err) != ERR_OK)
            fail_msg("%s: %s", schemas[i], err.text);
        assert_int_equal(entries.count, 8);
        assert_string_equal(entries.list[0]->dn, "cn=victim,ou=people,o=corp");
        assert_null(entries.list[1]);
        assert_string_equal(entries.list[2]->primary, "ann@x.example");
        assert_null(entries.list[3]);
        assert_null(entries.list[4]);
        assert_int_equal(entries.list[5]->kind, DIRECTORY_GROUP);
        assert_null(entries.list[6]);
        assert_null(entries.list[7]);
        directory_entries_free(&entries);
        /* Those that an OR filter finds and those that it does not: two waits at most. */
        assert_true(counts_of(d).waits <= 2);
        directory_free(&d);
    }
}

static void
a_login_finds_one_user_or_nobody(void **state)
{
    (void)state;
    struct directory *d = usual("openldap");
    struct directory_entry *e = NULL;
    struct err err = ERR_INIT;
    assert_int_equal(directory_find_login(d, "VICTIM", soon(), &e, &err), ERR_OK);
    assert_string_equal(e->dn, "cn=victim,ou=people,o=corp");
    directory_entry_free(&e);
    assert_int_equal(directory_find_login(d, "twin", soon(), &e, &err), ERR_PERM);
    err_reset(&err);
    assert_int_equal(directory_find_login(d, "", soon(), &e, &err), ERR_NOTFOUND);
    err_reset(&err);
    /* A contact does not log in. */
    assert_int_equal(directory_find_login(d, "half@x.example", soon(), &e, &err), ERR_NOTFOUND);
    assert_null(e);
    directory_free(&d);
}

static void
what_a_mail_brings_is_never_a_piece_of_a_filter(void **state)
{
    (void)state;
    /* RFC 4515 3 and 4514 2.4, and what people try. Addresses reach us formatted, but whoever asks
     * with something else must not get more than he asked for either. */
    static const char *const hostile[] = {
        "*@x.example",
        "vic*@x.example",
        "*",
        "victim@x.example)(objectClass=*",
        "x)(|(mail=*))@x.example",
        "\\2a@x.example",
        "victim\\40x.example",
        "*)(uid=*))(|(uid=*",
        "\"*\"@x.example",
        "\"a)(b\"@x.example",
        "v\xc3\xaf"
        "ctim@x.example",
        "(@x.example",
        ")@x.example",
        "\\@x.example",
        "a\x01@x.example",
        "victim@x.example#",
        "&(@x",
        "!(a=b)@x",
        "cn=victim,ou=people,o=corp",
        "victim,ou=people@x.example",
        "victim+uid=x@x.example",
        "victim;x@x.example",
        "<victim>@x.example",
        "smtp:*@x.example",
        "%a@x.example",
    };
    static const char *const schemas[] = { "ad", "openldap", "plain" };
    for (size_t s = 0; s < 3; s++) {
        struct directory *d = usual(schemas[s]);
        for (size_t i = 0; i < sizeof hostile / sizeof hostile[0]; i++) {
            struct err err = ERR_INIT;
            struct directory_entry *e = NULL;
            if (ask(d, hostile[i], 5000, &err) != ERR_NOTFOUND)
                fail_msg("address %s: %d %s", hostile[i], err.code, err.text);
            err_reset(&err);
            if (directory_find_login(d, hostile[i], soon(), &e, &err) != ERR_NOTFOUND)
                fail_msg("login %s: %d %s", hostile[i], err.code, err.text);
        }
        /* All in one filter, with one that is there. */
        const char *list[sizeof hostile / sizeof hostile[0] + 1];
        memcpy(list, hostile, sizeof hostile);
        list[sizeof hostile / sizeof hostile[0]] = "victim@x.example";
        const struct directory_questions questions = { list, sizeof list / sizeof list[0], soon() };
        struct directory_entries entries;
        struct err err = ERR_INIT;
        assert_int_equal(directory_find_addresses(d, &questions, &entries, &err), ERR_OK);
        for (size_t i = 0; i + 1 < entries.count; i++)
            assert_null(entries.list[i]);
        assert_non_null(entries.list[entries.count - 1]);
        directory_entries_free(&entries);
        directory_free(&d);
    }
}

static void
who_may_send_as_somebody_is_asked_of_the_server(void **state)
{
    (void)state;
    struct directory *d = usual("ad");
    struct err err = ERR_INIT;
    struct directory_entry *victim = found(d, "victim@x.example"),
                           *boss = found(d, "boss@x.example");
    assert_int_equal(directory_find_send_as(d, victim, "boss@x.example", soon(), &err), ERR_OK);
    assert_int_equal(directory_find_send_as(d, boss, "victim@x.example", soon(), &err),
                     ERR_NOTFOUND);
    err_reset(&err);
    assert_int_equal(directory_find_send_as(d, victim, "*", soon(), &err), ERR_NOTFOUND);
    directory_free(&d);
    char *servers[] = { server_name("ldap://", slapd.port), NULL };
    struct conf_directory conf = conf_of("openldap", servers);
    conf.send_as_filter = (char *)"(&(mail=%a)(publicDelegates=%d))";
    d = made(&conf);
    err_reset(&err);
    assert_int_equal(directory_find_send_as(d, victim, "boss@x.example", soon(), &err), ERR_OK);
    assert_int_equal(directory_find_send_as(d, boss, "victim@x.example", soon(), &err),
                     ERR_NOTFOUND);
    err_reset(&err);
    assert_int_equal(directory_find_send_as(d, victim, "*", soon(), &err), ERR_NOTFOUND);
    directory_entry_free(&victim);
    directory_entry_free(&boss);
    directory_free(&d);
}

static void
crls_and_issuers_are_read_by_url_and_nothing_else_is(void **state)
{
    (void)state;
    struct directory *d = usual("openldap");
    struct buf out = BUF_INIT(1 << 20);
    struct err err = ERR_INIT;
    const char *p = "ldap://elsewhere.example/cn=ca,o=corp?certificateRevocationList;binary?base?"
                    "objectClass=pkiCA";
    if (directory_get_url(d, span_str(p), soon(), &out, &err) != ERR_OK)
        fail_msg("%s", err.text);
    const unsigned char *der = out.p;
    X509_CRL *crl = d2i_X509_CRL(NULL, &der, (long)out.n);
    assert_non_null(crl);
    X509_CRL_free(crl);
    buf_reset(&out);
    assert_int_equal(
        directory_get_url(d, span_str("ldap:///cn=ca,o=corp?cACertificate"), soon(), &out, &err),
        ERR_OK);
    struct pki_certificates both = { .list = NULL };
    assert_int_equal(pki_certificates_parse(&both, buf_span(&out), &err), ERR_OK);
    assert_int_equal(both.count, 2);
    pki_certificates_free(&both);
    assert_int_equal(directory_get_url(d,
                                       span_str("ldap:///cn=no,o=corp?certificateRevocationList"),
                                       soon(), &out, &err),
                     ERR_NOTFOUND);
    err_reset(&err);
    assert_int_equal(directory_get_url(d, span_str("ldap:///cn=ca,o=corp?authorityRevocationList"),
                                       soon(), &out, &err),
                     ERR_NOTFOUND);
    static const char *const bad[] = { "ldap:///cn=bind,o=corp?userPassword",
                                       "ldap:///o=corp?cACertificate?sub",
                                       "ldap:///?cACertificate",
                                       "ldap:///cn=ca,o=corp",
                                       "http://x/",
                                       "ldap:///cn=ca,o=corp?*" };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        err_reset(&err);
        if (directory_get_url(d, span_str(bad[i]), soon(), &out, &err) != ERR_PERM)
            fail_msg("%s", bad[i]);
    }
    buf_free(&out);
    directory_free(&d);
}

/* ---- TLS and bind ---------------------------------------------------------------------------- */

static void
the_certificate_of_a_server_is_checked(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    char other[300];
    snprintf(other, sizeof other, "%s/other.pem", scratch);
    for (int starttls = 0; starttls < 2; starttls++) {
        char *good =
            starttls ? server_name("ldap://", slapd.port) : server_name("ldaps://", slapd.tls_port);
        char *servers[] = { good, NULL };
        struct conf_directory conf = conf_of("openldap", servers);
        conf.starttls = starttls;
        struct directory *d = made(&conf);
        if (ask(d, "victim@x.example", 5000, &err) != ERR_OK)
            fail_msg("%s", err.text);
        directory_free(&d);
        conf.tls_ca_file = other;
        d = made(&conf);
        assert_int_equal(ask(d, "victim@x.example", 5000, &err), ERR_TEMP);
        directory_free(&d);
        /* The certificate is for another name. */
        char name[64];
        snprintf(name, sizeof name, "%slocalhost:%u", starttls ? "ldap://" : "ldaps://",
                 starttls ? slapd.port : slapd.tls_port);
        servers[0] = name;
        conf = conf_of("openldap", servers);
        conf.starttls = starttls;
        d = made(&conf);
        assert_int_equal(ask(d, "victim@x.example", 5000, &err), ERR_TEMP);
        directory_free(&d);
    }
}

static void
a_bind_is_what_the_configuration_says(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    struct slapd closed;
    char path[3][300], socket[300];
    struct buf text = BUF_INIT(1 << 24);
    append_world(&text);
    slapd_init(&closed, "closed", buf_str(&text),
               "authz-regexp \"gidNumber=.*cn=peercred,cn=external,cn=auth\" \"cn=bind,o=corp\"\n"
               "authz-regexp \"cn=client,o=testca\" \"cn=bind,o=corp\"\n",
               "access to attrs=userPassword by anonymous auth\n"
               "access to * by dn.base=\"cn=bind,o=corp\" read by anonymous auth\n");
    buf_free(&text);
    static const char *const files[] = { "password", "wrong", "empty" };
    for (int i = 0; i < 3; i++)
        snprintf(path[i], sizeof path[0], "%s/%s", scratch, files[i]);
    char *servers[] = { server_name("ldap://", closed.port), NULL };
    struct conf_directory conf = conf_of("openldap", servers);
    struct directory *d = made(&conf);
    /* Anonymous may not even see the base. */
    assert_int_equal(ask(d, "victim@x.example", 5000, &err), ERR_TEMP);
    directory_free(&d);
    conf.bind = (char *)"simple";
    conf.bind_dn = (char *)"cn=bind,o=corp";
    conf.bind_password_file = path[0];
    d = made(&conf);
    if (ask(d, "victim@x.example", 5000, &err) != ERR_OK)
        fail_msg("%s", err.text);
    directory_free(&d);
    conf.bind_password_file = path[1];
    d = made(&conf);
    assert_int_equal(ask(d, "victim@x.example", 5000, &err), ERR_TEMP);
    assert_non_null(strstr(err.text, "Invalid credentials"));
    directory_free(&d);
    conf.bind_password_file = path[2];
    err_reset(&err);
    assert_int_equal(directory_new(&conf, &d, &err), ERR_PERM);
    assert_non_null(strstr(err.text, "holds no password"));
    conf = conf_of("openldap", servers);
    conf.bind = (char *)"external";
    snprintf(socket, sizeof socket, "ldapi://%s/ldapi", scratch);
    servers[0] = socket;
    d = made(&conf);
    if (ask(d, "victim@x.example", 5000, &err) != ERR_OK)
        fail_msg("%s", err.text);
    directory_free(&d);
    /* By the certificate that we show. */
    snprintf(path[0], sizeof path[0], "%s/client.pem", scratch);
    snprintf(path[1], sizeof path[1], "%s/client.key", scratch);
    servers[0] = server_name("ldaps://", closed.tls_port);
    conf.tls_certificate = path[0];
    conf.tls_key = path[1];
    d = made(&conf);
    if (ask(d, "victim@x.example", 5000, &err) != ERR_OK)
        fail_msg("%s", err.text);
    directory_free(&d);
    slapd_stop(&closed);
}

static void
starttls_that_the_server_cannot_do_ends_the_connection(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    struct liar liar;
    liar_start(&liar, LIAR_TALKS, talk_ranges);
    char *servers[] = { server_name("ldap://", liar.port), NULL };
    struct conf_directory conf = conf_of("openldap", servers);
    conf.starttls = true;
    struct directory *d = made(&conf);
    assert_int_equal(ask(d, "big@x.example", 5000, &err), ERR_TEMP);
    assert_int_equal(liar.searches, 0);
    directory_free(&d);
    liar_stop(&liar);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(people_are_found_with_their_primary_address),
        cmocka_unit_test(of_several_with_one_address_the_user_wins),
        cmocka_unit_test(certificates_come_as_der_and_as_pkcs7),
        cmocka_unit_test(groups_tell_their_members),
        cmocka_unit_test(names_are_found_however_they_are_written),
        cmocka_unit_test(a_login_finds_one_user_or_nobody),
        cmocka_unit_test(what_a_mail_brings_is_never_a_piece_of_a_filter),
        cmocka_unit_test(who_may_send_as_somebody_is_asked_of_the_server),
        cmocka_unit_test(crls_and_issuers_are_read_by_url_and_nothing_else_is),
        cmocka_unit_test(the_certificate_of_a_server_is_checked),
        cmocka_unit_test(a_bind_is_what_the_configuration_says),
        cmocka_unit_test(starttls_that_the_server_cannot_do_ends_the_connection),
    };
    signal(SIGPIPE, SIG_IGN); /* as both programs do */
    return cmocka_run_group_tests(tests, world_up, world_down);
}
