/* A real slapd with people, groups, and what an attacker would write, for the tests of the LDAP
 * backend. */
#ifndef TESTS_UNIT_DIRECTORY_LDAP_WORLD_H
#define TESTS_UNIT_DIRECTORY_LDAP_WORLD_H

#include "tests/unit/directory/ldap_server.h"

enum {
    PEOPLE = 1700,
    SLACK_MS = 2000 /* of a busy machine; without a deadline each of these waits is endless */
};

static struct slapd slapd;
static struct testca ca;

/* ---- the world ------------------------------------------------------------------------------- */

static inline void
append(struct buf *text, const char *more)
{
    assert_int_equal(buf_append_str(text, more, NULL), ERR_OK);
}

static inline void
append_binary(struct buf *text, const char *attribute, const unsigned char *bytes, int n)
{
    struct err err = ERR_INIT;
    assert_true(n > 0);
    assert_int_equal(buf_appendf(text, &err, "%s:: ", attribute), ERR_OK);
    assert_int_equal(mime_base64_format(span_of(bytes, (size_t)n), text, &err), ERR_OK);
    append(text, "\n");
}

static inline void
append_certificate(struct buf *text, const char *attribute, X509 *x509)
{
    unsigned char *der = NULL;
    int n = i2d_X509(x509, &der);
    append_binary(text, attribute, der, n);
    OPENSSL_free(der);
}

static inline void
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

static inline void
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

static inline int
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

static inline int
world_down(void **state)
{
    (void)state;
    slapd_stop(&slapd);
    testca_free(&ca);
    testca_folder_free(&scratch);
    return 0;
}

static inline struct directory *
made(const struct conf_directory *conf)
{
    struct directory *directory = NULL;
    struct err err = ERR_INIT;
    if (directory_new(conf, &directory, &err) != ERR_OK)
        fail_msg("%s", err.text);
    return directory;
}

static inline struct directory *
made_for(const char *schema, char *one, char *two)
{
    char *servers[] = { one, two, NULL };
    struct conf_directory conf = conf_of(schema, servers);
    return made(&conf);
}

static inline struct directory *
usual(const char *schema)
{
    return made_for(schema, server_name("ldap://", slapd.port), NULL);
}

static inline int64_t
soon(void)
{
    return clock_monotonic_ms() + 10000;
}

static inline struct directory_entry *
found(struct directory *directory, const char *address)
{
    struct err err = ERR_INIT;
    struct directory_entry *entry = NULL;
    if (directory_find_address(directory, address, soon(), &entry, &err) != ERR_OK)
        fail_msg("%s", err.text);
    return entry;
}

static inline enum err_code
ask(struct directory *directory, const char *address, int64_t within_ms, struct err *err)
{
    struct directory_entry *entry = NULL;
    err_reset(err);
    enum err_code code =
        directory_find_address(directory, address, clock_monotonic_ms() + within_ms, &entry, err);
    directory_entry_free(&entry);
    return code;
}

static inline struct directory_counts
counts_of(struct directory *directory)
{
    struct directory_counts counts;
    directory_get_counts(directory, &counts);
    return counts;
}

/* A server with the same people and other limits. */
static inline void
small_start(struct slapd *small, const char *name, const char *limits)
{
    struct buf text = BUF_INIT(1 << 24);
    append_world(&text);
    slapd_init(small, name, buf_str(&text), NULL, limits);
    buf_free(&text);
}

enum { MEMBERS = 3700, RANGE = 1500 };
static bool empty_first, wrong_range;

/* A group whose members come by 1500, as Active Directory has it. */
static inline void
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

#endif
