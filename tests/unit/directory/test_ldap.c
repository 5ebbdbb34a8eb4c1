#include "tests/unit/directory/ldap_server.h"

enum {
    PEOPLE = 1700,
    SLACK_MS = 2000 /* of a busy machine; without a deadline each of these waits is endless */
};

static struct slapd slapd;
static struct testca ca;

/* ---- the world ------------------------------------------------------------------------------- */

static void
append(struct buf *text, const char *more)
{
    assert_int_equal(buf_append_str(text, more, NULL), ERR_OK);
}

static void
append_binary(struct buf *text, const char *attribute, const unsigned char *bytes, int n)
{
    struct err err = ERR_INIT;
    assert_true(n > 0);
    assert_int_equal(buf_appendf(text, &err, "%s:: ", attribute), ERR_OK);
    assert_int_equal(mime_base64_format(span_of(bytes, (size_t)n), text, &err), ERR_OK);
    append(text, "\n");
}

static void
append_certificate(struct buf *text, const char *attribute, X509 *x509)
{
    unsigned char *der = NULL;
    int n = i2d_X509(x509, &der);
    append_binary(text, attribute, der, n);
    OPENSSL_free(der);
}

static void
append_pkcs7(struct buf *text, X509 *x509)
{
    PKCS7 *pkcs7 = PKCS7_new();
    unsigned char *der = NULL;
    TESTCA_MUST(pkcs7 && PKCS7_set_type(pkcs7, NID_pkcs7_signed) &&
                PKCS7_content_new(pkcs7, NID_pkcs7_data) && PKCS7_add_certificate(pkcs7, x509));
    int n = i2d_PKCS7(pkcs7, &der);
    append_binary(text, "userSMIMECertificate", der, n);
    OPENSSL_free(der);
    PKCS7_free(pkcs7);
}

static const char fixed[] =
    "dn: o=corp\nobjectClass: organization\no: corp\n\n"
    "dn: ou=people,o=corp\nobjectClass: organizationalUnit\nou: people\n\n"
    "dn: ou=many,o=corp\nobjectClass: organizationalUnit\nou: many\n\n"
    "dn: cn=bind,o=corp\nobjectClass: inetOrgPerson\ncn: bind\nsn: b\nuserPassword: geheim\n\n"
    "dn: cn=victim,ou=people,o=corp\nobjectClass: inetOrgPerson\nobjectClass: exchange\n"
    "cn: victim\nsn: v\nuid: victim\nmail: victim@x.example\nproxyAddresses: SMTP:Vic@x.example\n"
    "proxyAddresses: smtp:old@x.example\nproxyAddresses: X400:c=de\n\n"
    "dn: cn=shared user,ou=people,o=corp\nobjectClass: inetOrgPerson\ncn: shared user\nsn: s\n"
    "mail: shared@x.example\n\n"
    "dn: cn=shared contact,ou=people,o=corp\nobjectClass: contact\ncn: shared contact\n"
    "mail: shared@x.example\nmail: half@x.example\n\n"
    "dn: cn=a shared group,ou=people,o=corp\nobjectClass: groupOfNames\nobjectClass: exchange\n"
    "cn: a shared group\nmail: shared@x.example\nmail: half@x.example\n"
    "member: cn=victim,ou=people,o=corp\nmember: cn=gone,o=corp\n\n"
    "dn: cn=Lee\\, Ann,ou=people,o=corp\nobjectClass: inetOrgPerson\ncn: Lee, Ann\nsn: l\n"
    "uid: twin\nmail: ann@x.example\n\n"
    "dn: cn=twin,ou=people,o=corp\nobjectClass: inetOrgPerson\ncn: twin\nsn: t\nuid: twin\n"
    "mail: not an address\n\n"
    "dn: cn=unique,ou=people,o=corp\nobjectClass: groupOfUniqueNames\nobjectClass: exchange\n"
    "cn: unique\nmail: unique@x.example\nuniqueMember: cn=victim,ou=people,o=corp#'01'B\n\n"
    "dn: cn=dynamic,ou=people,o=corp\nobjectClass: groupOfURLs\nobjectClass: exchange\n"
    "cn: dynamic\nmail: dynamic@x.example\nmemberURL: ldap:///ou=many,o=corp??sub?(mail=*)\n\n"
    "dn: cn=postmaster,ou=people,o=corp\nobjectClass: nisMailAlias\ncn: postmaster\n"
    "rfc822MailMember: victim\nrfc822MailMember: ext@y.example\n\n"
    "dn: cn=boss,ou=people,o=corp\nobjectClass: inetOrgPerson\nobjectClass: exchange\ncn: boss\n"
    "sn: b\nuid: boss\nmail: boss@x.example\npublicDelegates: cn=victim,ou=people,o=corp\n\n";

static void
append_world(struct buf *text)
{
    struct testca_leaf one, two, three;
    append(text, fixed);
    testca_issue(&ca, &(struct testca_args){ .cn = "1", .key_type = TESTCA_P256 }, &one);
    testca_issue(&ca, &(struct testca_args){ .cn = "2", .key_type = TESTCA_P256 }, &two);
    testca_issue(&ca, &(struct testca_args){ .cn = "3", .key_type = TESTCA_P256 }, &three);
    append(text, "dn: cn=certs,ou=people,o=corp\nobjectClass: inetOrgPerson\ncn: certs\nsn: c\n"
                 "mail: certs@x.example\n");
    append_certificate(text, "userCertificate;binary", one.x509);
    append_certificate(text, "userCertificate;binary", two.x509);
    append_pkcs7(text, three.x509);
    append(text, "\n");
    X509_CRL *crl = testca_crl(&ca, NULL);
    unsigned char *der = NULL;
    int n = i2d_X509_CRL(crl, &der);
    append(text, "dn: cn=ca,o=corp\nobjectClass: pkiCA\nobjectClass: applicationProcess\ncn: ca\n");
    append_binary(text, "certificateRevocationList;binary", der, n);
    append_certificate(text, "cACertificate;binary", ca.x509);
    append_certificate(text, "cACertificate;binary", one.x509);
    append(text, "\n");
    OPENSSL_free(der);
    X509_CRL_free(crl);
    for (int i = 0; i < PEOPLE; i++)
        assert_int_equal(buf_appendf(text, NULL,
                                     "dn: cn=m%d,ou=many,o=corp\nobjectClass: inetOrgPerson\n"
                                     "cn: m%d\nsn: m\nuid: u%d\nmail: m%d@x.example\n\n",
                                     i, i, i, i),
                         ERR_OK);
    testca_leaf_free(&one);
    testca_leaf_free(&two);
    testca_leaf_free(&three);
}

static const char usual_limits[] = "sizelimit unlimited\n";

static int
world_up(void **state)
{
    (void)state;
    struct buf text = BUF_INIT(1 << 24);
    struct testca_leaf server, other, client;
    scratch = testca_folder();
    testca_init(&ca, "LDAP Root");
    testca_issue(&ca,
                 &(struct testca_args){ .cn = "127.0.0.1",
                                        .san = "IP:127.0.0.1",
                                        .key_usage = "digitalSignature,keyEncipherment" },
                 &server);
    testca_issue(&ca, &(struct testca_args){ .cn = "client", .key_index = 1 }, &client);
    testca_issue(NULL, &(struct testca_args){ .cn = "Other Root", .basic = "critical,CA:TRUE" },
                 &other);
    testca_pem(scratch, "ca.pem", 0644, NULL, ca.x509, NULL, NULL);
    testca_pem(scratch, "other.pem", 0644, NULL, other.x509, NULL, NULL);
    testca_pem(scratch, "server.pem", 0644, NULL, server.x509, NULL, NULL);
    testca_pem(scratch, "server.key", 0600, server.key, NULL, NULL, NULL);
    testca_pem(scratch, "client.pem", 0644, NULL, client.x509, NULL, NULL);
    testca_pem(scratch, "client.key", 0600, client.key, NULL, NULL, NULL);
    testca_file(scratch, "password", 0600, "geheim\n", 7);
    testca_file(scratch, "wrong", 0600, "falsch", 6);
    testca_file(scratch, "empty", 0600, "\n", 1);
    append_world(&text);
    slapd_init(
        &slapd, "main", buf_str(&text),
        "authz-regexp \"^gidNumber=.*,cn=peercred,cn=external,cn=auth$\" \"cn=bind,o=corp\"\n"
        "authz-regexp \"^cn=client,o=testca$\" \"cn=bind,o=corp\"\n",
        usual_limits);
    buf_free(&text);
    testca_leaf_free(&server);
    testca_leaf_free(&other);
    testca_leaf_free(&client);
    return 0;
}

static int
world_down(void **state)
{
    (void)state;
    slapd_stop(&slapd);
    testca_free(&ca);
    testca_folder_free(&scratch);
    return 0;
}

static struct directory *
made(const struct conf_directory *conf)
{
    struct directory *directory = NULL;
    struct err err = ERR_INIT;
    if (directory_new(conf, &directory, &err) != ERR_OK)
        fail_msg("%s", err.text);
    return directory;
}

static struct directory *
made_for(const char *schema, char *one, char *two)
{
    char *servers[] = { one, two, NULL };
    struct conf_directory conf = conf_of(schema, servers);
    return made(&conf);
}

static struct directory *
usual(const char *schema)
{
    return made_for(schema, server_name("ldap://", slapd.port), NULL);
}

static int64_t
soon(void)
{
    return clock_monotonic_ms() + 10000;
}

static struct directory_entry *
found(struct directory *directory, const char *address)
{
    struct err err = ERR_INIT;
    struct directory_entry *entry = NULL;
    if (directory_find_address(directory, address, soon(), &entry, &err) != ERR_OK)
        fail_msg("%s", err.text);
    return entry;
}

static enum err_code
ask(struct directory *directory, const char *address, int64_t within_ms, struct err *err)
{
    struct directory_entry *entry = NULL;
    err_reset(err);
    enum err_code code =
        directory_find_address(directory, address, clock_monotonic_ms() + within_ms, &entry, err);
    directory_entry_free(&entry);
    return code;
}

static struct directory_counts
counts_of(struct directory *directory)
{
    struct directory_counts counts;
    directory_get_counts(directory, &counts);
    return counts;
}

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

/* ---- many ------------------------------------------------------------------------------------ */

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

/* A server with the same people and other limits. */
static void
small_start(struct slapd *small, const char *name, const char *limits)
{
    struct buf text = BUF_INIT(1 << 24);
    append_world(&text);
    slapd_init(small, name, buf_str(&text), NULL, limits);
    buf_free(&text);
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

enum { MEMBERS = 3700, RANGE = 1500 };
static bool empty_first, wrong_range;

/* A group whose members come by 1500, as Active Directory has it. */
static void
talk_ranges(int id, const char *base, const char *attribute, BerElement *out)
{
    size_t from = 0;
    char name[64];
    (void)base;
    const char *range = strstr(attribute, ";range=");
    if (range)
        from = strtoul(range + 7, NULL, 10);
    size_t to = from + RANGE < MEMBERS ? from + RANGE : MEMBERS;
    if (to == MEMBERS)
        snprintf(name, sizeof name, "member;range=%zu-*", from);
    else
        snprintf(name, sizeof name, "member;range=%zu-%zu", from, to - 1);
    ber_printf(out, "{it{s{", id, LDAP_RES_SEARCH_ENTRY, "cn=big,o=corp");
    if (!range) {
        put_attribute(out, "objectClass", "group");
        put_attribute(out, "mail", "big@x.example");
    }
    if (empty_first && !range)
        put_attribute(out, "member", NULL);
    put_members(out, name, from + (wrong_range && range ? 1 : 0),
                to + (wrong_range && range ? -1 : 0));
    if (!empty_first && !range)
        put_attribute(out, "member", NULL);
    ber_printf(out, "}}}");
}

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

/* ---- what goes wrong ------------------------------------------------------------------------- */

static void
a_server_that_misbehaves_is_asked_no_longer_than_the_deadline(void **state)
{
    (void)state;
    const struct {
        const char *name, *scheme;
        enum liar_way way;
        bool starttls;
        int64_t within_ms, least_ms;
    } cases[] = {
        { "silent", "ldap://", LIAR_SILENT, false, 700, 600 },
        { "silent in LDAPS", "ldaps://", LIAR_SILENT, false, 700, 600 },
        { "silent at StartTLS", "ldap://", LIAR_SILENT, true, 700, 600 },
        { "StartTLS and then silent", "ldap://", LIAR_STARTTLS, true, 700, 600 },
        { "silent, longer than to connect", "ldaps://", LIAR_SILENT, false, 5000, 900 },
        { "resets", "ldap://", LIAR_RESETS, false, 5000, 0 },
        { "resets in LDAPS", "ldaps://", LIAR_RESETS, false, 5000, 0 },
        { "half of an answer", "ldap://", LIAR_HALF, false, 700, 600 },
        { "drips", "ldap://", LIAR_DRIPS, false, 700, 600 },
        { "busy", "ldap://", LIAR_BUSY, false, 5000, 0 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct liar liar;
        struct err err = ERR_INIT;
        liar_start(&liar, cases[i].way, NULL);
        char *servers[] = { server_name(cases[i].scheme, liar.port), NULL };
        struct conf_directory conf = conf_of("openldap", servers);
        conf.starttls = cases[i].starttls;
        conf.connect_timeout = 1000;
        struct directory *d = made(&conf);
        int64_t start_ms = clock_monotonic_ms();
        enum err_code code = ask(d, "a@x.example", cases[i].within_ms, &err);
        int64_t took_ms = clock_monotonic_ms() - start_ms;
        if (code != ERR_TEMP || took_ms > cases[i].within_ms + SLACK_MS ||
            took_ms < cases[i].least_ms)
            fail_msg("%s: %d in %lld ms: %s", cases[i].name, code, (long long)took_ms, err.text);
        directory_free(&d);
        liar_stop(&liar);
    }
}

static void
a_server_that_is_killed_between_bind_and_search_costs_a_new_connection(void **state)
{
    (void)state;
    struct slapd mortal;
    struct err err = ERR_INIT;
    small_start(&mortal, "mortal", usual_limits);
    struct directory *d = made_for("openldap", server_name("ldap://", mortal.port), NULL);
    assert_int_equal(ask(d, "victim@x.example", 5000, &err), ERR_OK);
    slapd_stop(&mortal);
    int64_t start_ms = clock_monotonic_ms();
    assert_int_equal(ask(d, "victim@x.example", 5000, &err), ERR_TEMP);
    assert_true(clock_monotonic_ms() - start_ms < 1000 + SLACK_MS);
    slapd_start(&mortal);
    assert_int_equal(ask(d, "victim@x.example", 5000, &err), ERR_OK);
    assert_int_equal(ask(d, "nobody@x.example", 5000, &err), ERR_NOTFOUND);
    assert_int_equal(counts_of(d).connects, 2);
    /* Killed and back before anybody asks: nobody notices. */
    slapd_stop(&mortal);
    slapd_start(&mortal);
    uint64_t failures = counts_of(d).failures;
    assert_int_equal(ask(d, "victim@x.example", 5000, &err), ERR_OK);
    assert_int_equal(counts_of(d).failures, failures);
    directory_free(&d);
    slapd_stop(&mortal);
}

static void
the_next_server_is_asked_and_the_dead_one_is_left_alone(void **state)
{
    (void)state;
    struct liar liar;
    struct err err = ERR_INIT;
    liar_start(&liar, LIAR_SILENT, NULL);
    char *two[] = { server_name("ldaps://", liar.port), server_name("ldap://", slapd.port), NULL };
    struct conf_directory stalling = conf_of("openldap", two);
    stalling.connect_timeout = 1000;
    struct directory *d = made(&stalling);
    int64_t start_ms = clock_monotonic_ms();
    assert_int_equal(ask(d, "victim@x.example", 8000, &err), ERR_OK);
    int64_t took_ms = clock_monotonic_ms() - start_ms;
    assert_true(took_ms >= 900 && took_ms < 3000 + SLACK_MS);
    /* The circuit of the first one is open: it costs nothing, but for one probe on a machine that
     * takes a second for this. */
    unsigned accepted = liar.accepted;
    for (int i = 0; i < 5; i++)
        assert_int_equal(ask(d, "nobody@x.example", 8000, &err), ERR_NOTFOUND);
    assert_true(liar.accepted <= accepted + 1);
    directory_free(&d);
    liar_stop(&liar);
    /* A dead port first, busy ones too. */
    liar_start(&liar, LIAR_BUSY, NULL);
    char *servers[] = { server_name("ldap://", 1), server_name("ldap://", liar.port),
                        server_name("ldap://", slapd.port), NULL };
    struct conf_directory conf = conf_of("openldap", servers);
    d = made(&conf);
    assert_int_equal(ask(d, "victim@x.example", 8000, &err), ERR_OK);
    assert_int_equal(counts_of(d).failures, 2);
    directory_free(&d);
    liar_stop(&liar);
}

static void
a_circuit_opens_after_failures_and_closes_after_a_probe(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    struct slapd late = slapd;
    struct liar liar;
    (void)late;
    liar_start(&liar, LIAR_BUSY, NULL);
    struct directory *d = made_for("openldap", server_name("ldap://", liar.port), NULL);
    for (int i = 0; i < 3; i++)
        assert_int_equal(ask(d, "a@x.example", 5000, &err), ERR_TEMP);
    unsigned asked = liar.searches;
    assert_int_equal(ask(d, "a@x.example", 5000, &err), ERR_TEMP);
    assert_int_equal(liar.searches, asked);
    assert_non_null(strstr(err.text, "no server is left"));
    /* After a second one question probes, and all is well again. */
    liar.way = LIAR_TALKS;
    liar.talk = talk_ranges;
    wrong_range = false;
    int64_t until_ms = clock_monotonic_ms() + 5000;
    enum err_code code = ERR_TEMP;
    while (code != ERR_OK && clock_monotonic_ms() < until_ms) {
        code = ask(d, "big@x.example", 5000, &err);
        if (code != ERR_OK)
            pause_ms(50);
    }
    assert_int_equal(code, ERR_OK);
    directory_free(&d);
    liar_stop(&liar);
}

static void
nothing_is_connected_before_it_is_asked(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    struct directory *d = made_for("openldap", server_name("ldap://", 1), NULL);
    assert_int_equal(ask(d, "a@x.example", 5000, &err), ERR_TEMP);
    assert_string_equal(err.reason, "directory-unreachable");
    directory_free(&d);
}

/* ---- threads --------------------------------------------------------------------------------- */

static void *
ask_often(void *context)
{
    for (int i = 0; i < 60; i++) {
        char address[64];
        struct err err = ERR_INIT;
        snprintf(address, sizeof address, "m%d@x.example", i * 13 % PEOPLE);
        if (ask(context, address, 20000, &err) != ERR_OK ||
            ask(context, "no@x.example", 20000, &err) != ERR_NOTFOUND)
            return context;
    }
    return NULL;
}

static void
threads_share_the_connections(void **state)
{
    (void)state;
    pthread_t threads[10];
    char *servers[] = { server_name("ldaps://", slapd.tls_port), NULL };
    struct conf_directory conf = conf_of("openldap", servers);
    struct directory *d = made(&conf);
    for (int i = 0; i < 10; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_often, d), 0);
    for (int i = 0; i < 10; i++) {
        void *bad = d;
        assert_int_equal(pthread_join(threads[i], &bad), 0);
        assert_null(bad);
    }
    assert_true(counts_of(d).connects <= 4);
    directory_free(&d);
}

/* ---- the doctor ------------------------------------------------------------------------------ */

static unsigned good_servers, bad_servers;
static enum directory_ldap_step last_step;

static void
count_finding(void *context, const struct directory_ldap_finding *finding)
{
    (void)context;
    good_servers += finding->is_good;
    bad_servers += !finding->is_good;
    last_step = finding->step;
}

static void
the_doctor_finds_where_each_server_ends(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    char other[300];
    char *servers[] = { server_name("ldap://", slapd.port), server_name("ldap://", 1), NULL };
    struct conf_directory conf = conf_of("openldap", servers);
    assert_int_equal(directory_ldap_check(&conf, count_finding, NULL, &err), ERR_OK);
    assert_int_equal(good_servers, 1);
    assert_int_equal(bad_servers, 1);
    assert_int_equal(last_step, DIRECTORY_LDAP_STEP_CONNECT);
    servers[0] = server_name("ldaps://", slapd.tls_port);
    servers[1] = NULL;
    snprintf(other, sizeof other, "%s/other.pem", scratch);
    conf.tls_ca_file = other;
    assert_int_equal(directory_ldap_check(&conf, count_finding, NULL, &err), ERR_OK);
    assert_int_equal(last_step, DIRECTORY_LDAP_STEP_TLS);
    conf = conf_of("openldap", servers);
    conf.base = (char *)"ou=typo,o=corp";
    assert_int_equal(directory_ldap_check(&conf, count_finding, NULL, &err), ERR_OK);
    assert_int_equal(last_step, DIRECTORY_LDAP_STEP_SEARCH);
    assert_int_equal(good_servers, 1);
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
        cmocka_unit_test(many_questions_are_few_searches_and_one_wait),
        cmocka_unit_test(a_size_limit_halves_the_batch_and_loses_nobody),
        cmocka_unit_test(a_large_answer_is_read_in_pages_or_is_none),
        cmocka_unit_test(a_reference_to_another_server_is_not_an_answer),
        cmocka_unit_test(a_base_that_is_not_there_is_not_an_answer),
        cmocka_unit_test(ranged_members_are_followed_to_the_end_in_both_orders),
        cmocka_unit_test(the_certificate_of_a_server_is_checked),
        cmocka_unit_test(a_bind_is_what_the_configuration_says),
        cmocka_unit_test(starttls_that_the_server_cannot_do_ends_the_connection),
        cmocka_unit_test(a_server_that_misbehaves_is_asked_no_longer_than_the_deadline),
        cmocka_unit_test(a_server_that_is_killed_between_bind_and_search_costs_a_new_connection),
        cmocka_unit_test(the_next_server_is_asked_and_the_dead_one_is_left_alone),
        cmocka_unit_test(a_circuit_opens_after_failures_and_closes_after_a_probe),
        cmocka_unit_test(nothing_is_connected_before_it_is_asked),
        cmocka_unit_test(threads_share_the_connections),
        cmocka_unit_test(the_doctor_finds_where_each_server_ends),
    };
    signal(SIGPIPE, SIG_IGN); /* as both programs do */
    return cmocka_run_group_tests(tests, world_up, world_down);
}
