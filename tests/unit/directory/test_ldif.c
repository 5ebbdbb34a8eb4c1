#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <pthread.h>

#include <cmocka.h>

#include "directory/directory.h"
#include "mime/base64.h"
#include "tests/unit/testca.h"
#include "util/buf.h"

static char *login_attributes[] = { (char *)"uid", (char *)"mail", (char *)"userPrincipalName",
                                    NULL };
static char *address_attributes[] = { (char *)"mail", (char *)"proxyAddresses", NULL };

static enum err_code
load_mode(const char *text, mode_t mode, struct directory **out, struct err *err)
{
    char *folder = testca_folder();
    char path[4096];
    testca_file(folder, "people.ldif", mode, text, strlen(text));
    snprintf(path, sizeof path, "%s/people.ldif", folder);
    const struct conf_directory conf = {
        .name = (char *)"local",
        .ldif = path,
        .login_attributes = login_attributes,
        .address_attributes = address_attributes,
    };
    enum err_code code = directory_new(&conf, out, err);
    testca_folder_free(&folder);
    return code;
}

static struct directory *
loaded(const char *text)
{
    struct err err = ERR_INIT;
    struct directory *directory = NULL;
    if (load_mode(text, 0640, &directory, &err) != ERR_OK)
        fail_msg("%s", err.text);
    return directory;
}

static struct directory_entry *
found(struct directory *directory, const char *address)
{
    struct err err = ERR_INIT;
    struct directory_entry *entry = NULL;
    if (directory_find_address(directory, address, INT64_MAX, &entry, &err) != ERR_OK)
        fail_msg("%s", err.text);
    return entry;
}

static void
assert_dn(struct directory *directory, const char *address, const char *dn)
{
    struct directory_entry *entry = found(directory, address);
    assert_string_equal(entry->dn, dn);
    directory_entry_free(&entry);
}

static void
assert_login(struct directory *directory, const char *login, enum err_code wanted, const char *dn)
{
    struct err err = ERR_INIT;
    struct directory_entry *entry = NULL;
    enum err_code code = directory_find_login(directory, login, INT64_MAX, &entry, &err);
    assert_int_equal(code, wanted);
    if (dn)
        assert_string_equal(entry->dn, dn);
    else
        assert_null(entry);
    directory_entry_free(&entry);
}

static void
people_contacts_and_groups_are_found_by_any_address(void **state)
{
    (void)state;
    struct directory *d = loaded("dn: o=corp\nobjectClass: organization\no: corp\n\n"
                                 "dn: cn=Alice\nobjectClass: top\nobjectClass: inetOrgPerson\n"
                                 "mail: alice@Corp.example\nmail: a.doe@corp.example\n\n"
                                 "dn: cn=Bob\nobjectClass: person\nobjectClass: contact\n"
                                 "mail: bob@corp.example\n\n"
                                 "dn: cn=Staff\nobjectClass: GROUPOFNAMES\n"
                                 "mail: staff@corp.example\nmember: cn=Alice\n");
    struct directory_entry *e = found(d, "a.doe@corp.example");
    assert_int_equal(e->kind, DIRECTORY_USER);
    assert_string_equal(e->dn, "cn=Alice");
    assert_string_equal(e->primary, "alice@corp.example");
    assert_string_equal(e->addresses[0], "alice@corp.example");
    assert_string_equal(e->addresses[1], "a.doe@corp.example");
    assert_null(e->addresses[2]);
    assert_int_equal(e->certificates.count, 0);
    directory_entry_free(&e);
    e = found(d, "bob@corp.example");
    assert_int_equal(e->kind, DIRECTORY_CONTACT);
    directory_entry_free(&e);
    e = found(d, "staff@corp.example");
    assert_int_equal(e->kind, DIRECTORY_GROUP);
    directory_entry_free(&e);
    assert_dn(d, "ALICE@corp.example", "cn=Alice");
    directory_free(&d);
}

static void
who_is_not_there_is_an_answer(void **state)
{
    (void)state;
    const char *const absent[] = { "x@corp.example",      "",   "alice@corp.exampl",
                                   "alice@corp.examplee", "zz", "*" };
    struct directory *d = loaded("dn: cn=Alice\nmail: alice@corp.example\n");
    for (size_t i = 0; i < sizeof absent / sizeof absent[0]; i++) {
        struct err err = ERR_INIT;
        struct directory_entry *e = NULL;
        assert_int_equal(directory_find_address(d, absent[i], INT64_MAX, &e, &err), ERR_NOTFOUND);
        assert_null(e);
        err_reset(&err);
        assert_int_equal(directory_find_login(d, absent[i], INT64_MAX, &e, &err), ERR_NOTFOUND);
    }
    directory_free(&d);
    d = loaded("");
    assert_login(d, "alice", ERR_NOTFOUND, NULL);
    directory_free(&d);
}

static void
the_primary_address_is_the_upper_case_smtp_value(void **state)
{
    (void)state;
    struct directory *d =
        loaded("dn: cn=A\nproxyAddresses: smtp:old@x.example\nproxyAddresses: X400:c=de;s=a\n"
               "proxyAddresses: sip:a@x.example\nproxyAddresses: SMTP:Main@x.example\n"
               "proxyAddresses: SMTP:second@x.example\nproxyAddresses: plain@x.example\n"
               "mail: mail@x.example\nmail: Main@x.example\n");
    const char *const wanted[] = { "Main@x.example",   "mail@x.example",  "old@x.example",
                                   "second@x.example", "plain@x.example", NULL };
    struct directory_entry *e = found(d, "old@x.example");
    assert_string_equal(e->primary, wanted[0]);
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        if (wanted[i])
            assert_string_equal(e->addresses[i], wanted[i]);
        else
            assert_null(e->addresses[i]);
    }
    directory_entry_free(&e);
    directory_free(&d);
}

static void
without_an_upper_case_smtp_value_the_first_mail_is_primary(void **state)
{
    (void)state;
    struct directory *d = loaded("dn: cn=A\nproxyAddresses: smtp:p@x.example\nmail: m@x.example\n");
    struct directory_entry *e = found(d, "p@x.example");
    assert_string_equal(e->primary, "m@x.example");
    directory_entry_free(&e);
    directory_free(&d);
}

static void
an_address_of_several_belongs_to_the_user_first(void **state)
{
    (void)state;
    struct directory *d = loaded("dn: cn=G\nobjectClass: group\nmail: s@x.example\n\n"
                                 "dn: cn=C\nobjectClass: contact\nmail: s@x.example\n"
                                 "mail: t@x.example\n\n"
                                 "dn: cn=U\nobjectClass: user\nmail: S@x.example\n\n"
                                 "dn: cn=H\nobjectClass: group\nmail: t@x.example\n\n"
                                 "dn: cn=V\nobjectClass: user\nmail: s@x.example\n");
    assert_dn(d, "s@x.example", "cn=U");
    assert_dn(d, "t@x.example", "cn=C");
    directory_free(&d);
}

static void
a_login_finds_users_only_and_never_one_of_two(void **state)
{
    (void)state;
    struct directory *d =
        loaded("dn: cn=A\nobjectClass: person\nuid: alice\nmail: alice@x.example\n"
               "userPrincipalName: Alice@corp\n\n"
               "dn: cn=C\nobjectClass: contact\nuid: carol\nmail: carol@x.example\n\n"
               "dn: cn=T1\nuid: twin\nmail: t1@x.example\n\n"
               "dn: cn=T2\nuid: Twin\nmail: t2@x.example\n\n"
               "dn: cn=N\nuid: nomail\n\n"
               "dn: cn=S\nuid: self@x.example\nmail: self@x.example\n");
    assert_login(d, "alice", ERR_OK, "cn=A");
    assert_login(d, "ALICE", ERR_OK, "cn=A");
    assert_login(d, "alice@corp", ERR_OK, "cn=A");
    assert_login(d, "alice@x.example", ERR_OK, "cn=A");
    assert_login(d, "carol", ERR_NOTFOUND, NULL);
    assert_login(d, "twin", ERR_PERM, NULL);
    assert_login(d, "self@x.example", ERR_OK, "cn=S");
    assert_login(d, "alic", ERR_NOTFOUND, NULL);
    struct err err = ERR_INIT;
    struct directory_entry *e = NULL;
    assert_int_equal(directory_find_login(d, "nomail", INT64_MAX, &e, &err), ERR_OK);
    assert_null(e->primary);
    assert_null(e->addresses[0]);
    directory_entry_free(&e);
    directory_free(&d);
}

static const char groups[] =
    "dn: cn=Alice,ou=People,o=Corp\nobjectClass: inetOrgPerson\nuid: alice\n"
    "mail: alice@x.example\nou: Sales\n\n"
    "dn: cn=Bob\\, Jr.,ou=People,o=Corp\nobjectClass: inetOrgPerson\nuid: bob\nou: Sales\n\n"
    "dn: cn=Ext,ou=People,o=Corp\nobjectClass: contact\nmail: ext@y.example\n\n"
    "dn: cn=All,ou=Groups,o=Corp\nobjectClass: groupOfNames\nmail: all@x.example\n"
    "publicDelegates: CN=alice, ou=people, o=corp\n"
    "member: CN=alice,OU=people,O=corp\nmember: cn=gone,o=corp\n\n"
    "dn: cn=Unique,ou=Groups,o=Corp\nobjectClass: groupOfUniqueNames\n"
    "uniqueMember: cn=Alice,ou=People,o=Corp#'0101'B\n\n"
    "dn: cn=Dyn,ou=Groups,o=Corp\nobjectClass: groupOfURLs\nmail: dyn@x.example\n"
    "memberURL: ldap:///ou=People,o=Corp??one?(ou=sales)\n\n"
    "dn: cn=root,o=Corp\nobjectClass: nisMailAlias\ncn: root\nrfc822MailMember: alice\n"
    "rfc822MailMember: ext@y.example\n";

static void
members_of_every_kind_of_group_are_told(void **state)
{
    (void)state;
    struct directory *d = loaded(groups);
    struct directory_entry *e = found(d, "all@x.example");
    assert_string_equal(e->member_dns[0], "CN=alice,OU=people,O=corp");
    assert_string_equal(e->member_dns[1], "cn=gone,o=corp");
    assert_null(e->member_dns[2]);
    assert_null(e->member_urls);
    directory_entry_free(&e);
    e = found(d, "dyn@x.example");
    assert_string_equal(e->member_urls[0], "ldap:///ou=People,o=Corp??one?(ou=sales)");
    assert_null(e->member_dns);
    directory_entry_free(&e);
    e = found(d, "root");
    assert_int_equal(e->kind, DIRECTORY_GROUP);
    assert_string_equal(e->member_addresses[0], "alice");
    assert_string_equal(e->member_addresses[1], "ext@y.example");
    directory_entry_free(&e);
    /* A name of an alias that is no alias is a login. */
    assert_dn(d, "alice", "cn=Alice,ou=People,o=Corp");
    assert_login(d, "root", ERR_NOTFOUND, NULL);
    directory_free(&d);
}

static void
entries_are_found_by_their_names_however_written(void **state)
{
    (void)state;
    static const char *const dns[] = { "CN=alice,OU=people,O=corp", "cn=gone,o=corp",
                                       "cn=bob\\2c jr., ou=people,o=corp", "no name",
                                       "cn=unique,ou=groups,o=corp" };
    struct err err = ERR_INIT;
    struct directory *d = loaded(groups);
    struct directory_entries entries;
    assert_int_equal(
        directory_find_dns(
            d, &(struct directory_questions){ .list = dns, .count = 5, .deadline_ms = INT64_MAX },
            &entries, &err),
        ERR_OK);
    assert_int_equal(entries.count, 5);
    assert_string_equal(entries.list[0]->primary, "alice@x.example");
    assert_null(entries.list[1]);
    /* A member without address is there. */
    assert_non_null(entries.list[2]);
    assert_null(entries.list[2]->primary);
    assert_null(entries.list[3]);
    assert_string_equal(entries.list[4]->member_dns[0], "cn=Alice,ou=People,o=Corp");
    directory_entries_free(&entries);
    directory_free(&d);
}

static enum err_code
ask_url(struct directory *d, const char *url, size_t limit, struct directory_entries *entries)
{
    struct err err = ERR_INIT;
    return directory_find_urls(
        d, &(struct directory_questions){ .list = &url, .count = 1, .deadline_ms = INT64_MAX },
        limit, entries, &err);
}

static void
a_member_url_finds_what_its_filter_says(void **state)
{
    (void)state;
    struct directory *d = loaded(groups);
    struct directory_entries entries;
    const struct {
        const char *url;
        size_t wanted;
    } cases[] = {
        { "ldap:///ou=People,o=Corp??one?(ou=sales)", 2 },
        { "ldap:///OU=people, O=corp??sub?(%26(ou=sales)(mail=*))", 1 },
        { "ldap:///o=Corp??one?(ou=sales)", 0 },
        { "ldap:///o=Corp??sub?(objectClass=*)", 7 },
        { "ldap:///cn=Alice,ou=People,o=Corp??base", 1 },
        { "ldap:///cn=Alice,ou=People,o=Corp", 1 },
        { "ldap:///??sub?(uid=bob)", 1 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(ask_url(d, cases[i].url, 100, &entries), ERR_OK);
        if (entries.count != cases[i].wanted)
            fail_msg("%s: %zu", cases[i].url, entries.count);
        directory_entries_free(&entries);
    }
    assert_int_equal(ask_url(d, cases[0].url, 1, &entries), ERR_LIMIT);
    assert_int_equal(ask_url(d, "http:///x", 1, &entries), ERR_PERM);
    assert_int_equal(ask_url(d, "ldap:///o=corp??sub?(a>=b)", 1, &entries), ERR_PERM);
    assert_int_equal(ask_url(d, "ldap:///nothing", 1, &entries), ERR_PERM);
    directory_free(&d);
}

static void
who_may_send_as_is_what_the_owner_or_the_filter_says(void **state)
{
    (void)state;
    static char *delegates[] = { (char *)"publicDelegates", NULL };
    struct err err = ERR_INIT;
    char *folder = testca_folder();
    char path[4096];
    testca_file(folder, "people.ldif", 0600, groups, strlen(groups));
    snprintf(path, sizeof path, "%s/people.ldif", folder);
    struct conf_directory conf = {
        .name = (char *)"local",
        .ldif = path,
        .login_attributes = login_attributes,
        .address_attributes = address_attributes,
        .send_as_attributes = delegates,
    };
    struct directory *d = NULL;
    assert_int_equal(directory_new(&conf, &d, &err), ERR_OK);
    struct directory_entry *alice = found(d, "alice@x.example"), *ext = found(d, "ext@y.example");
    assert_int_equal(directory_find_send_as(d, alice, "all@x.example", INT64_MAX, &err), ERR_OK);
    assert_int_equal(directory_find_send_as(d, ext, "all@x.example", INT64_MAX, &err),
                     ERR_NOTFOUND);
    err_reset(&err);
    assert_int_equal(directory_find_send_as(d, alice, "ext@y.example", INT64_MAX, &err),
                     ERR_NOTFOUND);
    err_reset(&err);
    directory_free(&d);
    conf.send_as_attributes = NULL;
    conf.send_as_filter = (char *)"(&(mail=%a)(member=%d))";
    assert_int_equal(directory_new(&conf, &d, &err), ERR_OK);
    /* The filter compares octets: the owner has to write the name as it is. */
    assert_int_equal(directory_find_send_as(d, alice, "all@x.example", INT64_MAX, &err), ERR_OK);
    assert_int_equal(directory_find_send_as(d, ext, "all@x.example", INT64_MAX, &err),
                     ERR_NOTFOUND);
    err_reset(&err);
    assert_int_equal(directory_find_send_as(d, alice, "*", INT64_MAX, &err), ERR_NOTFOUND);
    directory_entry_free(&alice);
    directory_entry_free(&ext);
    directory_free(&d);
    testca_folder_free(&folder);
}

static void
append_der(struct buf *text, const char *attribute, X509 *x509)
{
    struct err err = ERR_INIT;
    unsigned char *der = NULL;
    int n = i2d_X509(x509, &der);
    TESTCA_MUST(n > 0);
    assert_int_equal(buf_appendf(text, &err, "%s:: ", attribute), ERR_OK);
    assert_int_equal(mime_base64_format(span_of(der, (size_t)n), text, &err), ERR_OK);
    assert_int_equal(buf_append_byte(text, '\n', &err), ERR_OK);
    OPENSSL_free(der);
}

static void
certificates_come_in_every_form_and_bad_ones_are_counted(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    struct testca ca;
    struct testca_leaf one, two, three;
    struct buf text = BUF_INIT(1 << 16);
    testca_init(&ca, "LDIF Root");
    testca_issue(&ca, &(struct testca_args){ .cn = "1", .key_type = TESTCA_P256 }, &one);
    testca_issue(&ca, &(struct testca_args){ .cn = "2", .key_type = TESTCA_P256 }, &two);
    testca_issue(&ca, &(struct testca_args){ .cn = "3", .key_type = TESTCA_P256 }, &three);
    assert_int_equal(buf_append_str(&text, "dn: cn=A\nmail: a@x.example\n", &err), ERR_OK);
    append_der(&text, "userCertificate;binary", one.x509);
    append_der(&text, "userCertificate", two.x509);
    append_der(&text, "userSMIMECertificate", three.x509);
    assert_int_equal(
        buf_append_str(&text, "userCertificate;binary:: AAAA\nuserCertificate:\n", &err), ERR_OK);
    struct directory *d = loaded(buf_str(&text));
    struct directory_entry *first = found(d, "a@x.example"), *second = found(d, "a@x.example");
    assert_int_equal(first->certificates.count, 3);
    assert_int_equal(first->bad_certificates, 2);
    X509 *const wanted[] = { three.x509, one.x509, two.x509 };
    for (size_t i = 0; i < 3; i++) {
        X509 *x509 = pki_certificate_get0_x509(first->certificates.list[i]);
        assert_int_equal(X509_cmp(x509, wanted[i]), 0);
        /* Parsed once, shared. */
        assert_ptr_equal(x509, pki_certificate_get0_x509(second->certificates.list[i]));
    }
    /* What was handed out outlives the directory. */
    directory_free(&d);
    assert_string_equal(first->primary, "a@x.example");
    assert_int_equal(X509_cmp(pki_certificate_get0_x509(first->certificates.list[0]), three.x509),
                     0);
    directory_entry_free(&first);
    directory_entry_free(&second);
    buf_free(&text);
    testca_leaf_free(&one);
    testca_leaf_free(&two);
    testca_leaf_free(&three);
    testca_free(&ca);
}

static void
a_bad_file_is_refused_with_name_and_line(void **state)
{
    (void)state;
    const struct {
        const char *text, *wanted;
        enum err_code code;
    } cases[] = {
        { "dn: a\nmail: nobody\n", "people.ldif:2: mail: \"nobody\" is not a mail address",
          ERR_PERM },
        { "dn: a\nuid: a\nmail: a@b \n", ":3: mail: \"a@b \" is not", ERR_PERM },
        { "dn: a\nmail:\n", ":2: mail: \"\" is not", ERR_PERM },
        { "dn: a\nmail:: YUBiCg==\n", ":2: mail: \"a@b\\x0A\" is not", ERR_PERM },
        { "dn: a\nproxyAddresses: SMTP:x\n", ":2: proxyaddresses: \"x\" is not", ERR_PERM },
        { "dn: a\nproxyAddresses: x\n", ":2: proxyaddresses: \"x\" is not", ERR_PERM },
        { "dn: a\nmail: SMTP:a@b\n", ":2: mail: \"SMTP:a@b\" is not", ERR_PERM },
        { "dn: a\nmail:< file:///etc/passwd\n", ":2: a value from a URL", ERR_PERM },
        { "mail: a@b\n", ":1: a record does not begin with 'dn'", ERR_PERM },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err err = ERR_INIT;
        struct directory *d = NULL;
        enum err_code code = load_mode(cases[i].text, 0600, &d, &err);
        if (code != cases[i].code || !strstr(err.text, cases[i].wanted)) {
            print_message("%s\nfound %d %s\n", cases[i].text, code, err.text);
            fail();
        }
        assert_null(d);
    }
}

static void
an_unsafe_or_missing_file_is_refused(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    struct directory *d = NULL;
    assert_int_equal(load_mode("", 0666, &d, &err), ERR_PERM);
    assert_non_null(strstr(err.text, "not safe"));
    assert_null(d);
    err_reset(&err);
    const struct conf_directory conf = {
        .name = (char *)"local",
        .ldif = (char *)"/nonexistent/people.ldif",
        .login_attributes = login_attributes,
        .address_attributes = address_attributes,
    };
    /* Not there: then we do not know who is there. */
    assert_int_equal(directory_new(&conf, &d, &err), ERR_TEMP);
    assert_non_null(strstr(err.text, "directory \"local\""));
    assert_null(d);
}

static void
more_addresses_or_certificates_than_the_bound_are_refused(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    struct directory *d = NULL;
    struct buf text = BUF_INIT(1 << 20);
    assert_int_equal(buf_append_str(&text, "dn: a\n", &err), ERR_OK);
    for (int i = 0; i < DIRECTORY_LIMIT_ADDRESSES; i++)
        assert_int_equal(buf_appendf(&text, &err, "mail: a%d@x\n", i), ERR_OK);
    d = loaded(buf_str(&text));
    directory_free(&d);
    assert_int_equal(buf_append_str(&text, "mail: one@more\n", &err), ERR_OK);
    assert_int_equal(load_mode(buf_str(&text), 0600, &d, &err), ERR_LIMIT);
    assert_non_null(strstr(err.text, ":1002: more than 1000 addresses"));

    err_reset(&err);
    buf_reset(&text);
    assert_int_equal(buf_append_str(&text, "dn: a\nmail: a@x\n", &err), ERR_OK);
    for (int i = 0; i <= DIRECTORY_LIMIT_CERTIFICATES; i++)
        assert_int_equal(buf_append_str(&text, "userCertificate: x\n", &err), ERR_OK);
    assert_int_equal(load_mode(buf_str(&text), 0600, &d, &err), ERR_LIMIT);
    assert_non_null(strstr(err.text, "more than 200 certificates"));
    buf_free(&text);
}

static void
thousands_of_people_are_found_one_by_one(void **state)
{
    (void)state;
    enum { N = 20000 };
    struct err err = ERR_INIT;
    struct buf text = BUF_INIT(1 << 22);
    for (int i = 0; i < N; i++)
        assert_int_equal(buf_appendf(&text, &err, "dn: cn=%d\nuid: u%d\nmail: m%d@x.example\n\n", i,
                                     i, i * 7919 % N),
                         ERR_OK);
    struct directory *d = loaded(buf_str(&text));
    for (int i = 0; i < N; i += 37) {
        char dn[32], name[32];
        snprintf(dn, sizeof dn, "cn=%d", i);
        snprintf(name, sizeof name, "u%d", i);
        assert_login(d, name, ERR_OK, dn);
        snprintf(name, sizeof name, "m%d@x.example", i * 7919 % N);
        assert_dn(d, name, dn);
    }
    directory_free(&d);
    buf_free(&text);
}

static void *
ask(void *context)
{
    for (int i = 0; i < 200; i++) {
        struct err err = ERR_INIT;
        struct directory_entry *entry = NULL;
        if (directory_find_address(context, "a@x.example", INT64_MAX, &entry, &err) != ERR_OK ||
            entry->bad_certificates != 1 || entry->certificates.count != 1)
            return context;
        directory_entry_free(&entry);
    }
    return NULL;
}

static void
threads_may_ask_at_once(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    struct testca ca;
    struct buf text = BUF_INIT(1 << 16);
    pthread_t threads[4];
    testca_init(&ca, "LDIF Root");
    assert_int_equal(
        buf_append_str(&text, "dn: cn=A\nmail: a@x.example\nuserCertificate: x\n", &err), ERR_OK);
    append_der(&text, "userCertificate", ca.x509);
    struct directory *d = loaded(buf_str(&text));
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask, d), 0);
    for (int i = 0; i < 4; i++) {
        void *bad = d;
        assert_int_equal(pthread_join(threads[i], &bad), 0);
        assert_null(bad);
    }
    directory_free(&d);
    buf_free(&text);
    testca_free(&ca);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(people_contacts_and_groups_are_found_by_any_address),
        cmocka_unit_test(who_is_not_there_is_an_answer),
        cmocka_unit_test(the_primary_address_is_the_upper_case_smtp_value),
        cmocka_unit_test(without_an_upper_case_smtp_value_the_first_mail_is_primary),
        cmocka_unit_test(an_address_of_several_belongs_to_the_user_first),
        cmocka_unit_test(a_login_finds_users_only_and_never_one_of_two),
        cmocka_unit_test(members_of_every_kind_of_group_are_told),
        cmocka_unit_test(entries_are_found_by_their_names_however_written),
        cmocka_unit_test(a_member_url_finds_what_its_filter_says),
        cmocka_unit_test(who_may_send_as_is_what_the_owner_or_the_filter_says),
        cmocka_unit_test(certificates_come_in_every_form_and_bad_ones_are_counted),
        cmocka_unit_test(a_bad_file_is_refused_with_name_and_line),
        cmocka_unit_test(an_unsafe_or_missing_file_is_refused),
        cmocka_unit_test(more_addresses_or_certificates_than_the_bound_are_refused),
        cmocka_unit_test(thousands_of_people_are_found_one_by_one),
        cmocka_unit_test(threads_may_ask_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
