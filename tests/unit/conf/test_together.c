/* What parameters ask of each other: what is missing, and what does not go together. */
#include "tests/unit/conf/complaints.h"

static void
required_parameter_that_is_missing_is_told(void **state)
{
    (void)state;
    check_complaints(
        "trust \"default\" {\n}\n\ndirectory d { login_attributes = uid }\n",
        "f:1:1: trust \"default\" lacks \"anchors\"; it wants a list of absolute paths\n"
        "f:4:1: directory \"d\" needs exactly one of ldif = /file and servers = ldaps://host\n");
    check_complaints("trust \"default\" { anchors = \"\" }\n",
                     "f:1:29: anchors may not be empty; it wants a list of absolute paths\n");
}

static void
directory_is_a_file_or_servers_that_can_be_asked(void **state)
{
    (void)state;
    check_complaints(
        "directory d { ldif = /f\nservers = a b\nbase = o=x }\n",
        "f:1:1: directory \"d\" needs exactly one of ldif = /file and servers = ldaps://host\n");
    check_complaints("directory d { servers = a }\n",
                     "f:1:15: directory \"d\" needs base, such as base = \"dc=example,dc=com\"\n");
    check_complaints("directory d { servers = a\nbase = \"o=x\"\nbind = simple\nbind_dn = cn=b }\n",
                     "f:3:1: directory \"d\": bind = simple needs bind_dn and "
                     "bind_password_file\n");
    check_complaints("directory d { servers = a\nbase = \"o=x\"\ntls_key = /k }\n",
                     "f:1:1: directory \"d\" needs tls_certificate and tls_key, or neither\n");
}

static void
rule_must_name_a_trust_set_that_is_there(void **state)
{
    (void)state;
    check_complaints(
        "rule x { }\n",
        "f:1:1: rule \"x\" needs trust \"default\", which is not there; add trust \"default\" { "
        "anchors = /path }\n");
    check_complaints(
        TRUST "rule x {\n  trust = partner\n}\nrule y {\n  trust = defualt\n}\n",
        "f:3:3: rule \"x\" needs trust \"partner\", which is not there; add trust \"partner\" { "
        "anchors = /path }\n"
        "f:6:3: rule \"y\" needs trust \"defualt\", which is not there; did you mean "
        "\"default\"?\n");
    /* What is not touched needs no trust; nor does a file without rules. */
    check_complaints("rule x { smime = no }\n", "");
    check_complaints("log = syslog\n", "");
}

static void
the_shared_cache_needs_its_key_and_its_server(void **state)
{
    (void)state;
    check_complaints(
        "cache = redis\n",
        "f:1:1: cache = redis needs cache_key_file; make it once with head -c 32 "
        "/dev/urandom, mode 0600, and copy it to all gateways\n"
        "f:1:1: cache = redis needs redis_server, or redis_sentinels and redis_master; "
        "such as redis_server = unix:/run/redis/redis.sock\n");
    check_complaints("cache = redis\ncache_key_file = /key\nredis_server = unix:/run/redis.sock\n",
                     "");
    check_complaints("cache = redis\ncache_key_file = /key\nredis_sentinels = 192.0.2.1:26379, "
                     "[2001:db8::2]:26379\nredis_master = mymaster\n",
                     "");
    check_complaints("redis_server = 192.0.2.1\n",
                     "f:1:1: redis_server = 192.0.2.1: a server is written host:port; such as "
                     "unix:/run/redis/redis.sock or 127.0.0.1:6379\n");
    check_complaints("redis_sentinels = 192.0.2.1\nredis_master = m\n",
                     "f:1:1: redis_sentinels = 192.0.2.1: a server is written host:port; such as "
                     "127.0.0.1:26379\n");
    check_complaints("redis_sentinels = a:1\nredis_server = b:1\n",
                     "f:1:1: redis_sentinels needs redis_master; the name of the master in "
                     "sentinel.conf, such as redis_master = mymaster\n"
                     "f:2:1: redis_server and redis_sentinels exclude each other; remove one of "
                     "them\n");
    check_complaints("redis_master = m\n",
                     "f:1:1: redis_master needs redis_sentinels; such as redis_sentinels = "
                     "192.0.2.1:26379, 192.0.2.2:26379, 192.0.2.3:26379\n");
    check_complaints("redis_user = u\n",
                     "f:1:1: redis_user needs redis_password_file; a file that only smimed can "
                     "read\n");
    check_complaints(
        "redis_prefix = "
        "0123456789012345678901234567890123456789012345678901234567890123x\n",
        "f:1:1: redis_prefix is longer than 64 octets; such as redis_prefix = smimed:\n");
}

static void
bounds_of_fetching_hang_together(void **state)
{
    (void)state;
    check_complaints("fetch_proxy = proxy.example.com:3128\n",
                     "f:1:1: fetch_proxy = proxy.example.com:3128 is not a proxy; such as "
                     "http://proxy.example.com:3128, https://... or socks5h://...\n");
    check_complaints("fetch_proxy_resolves = yes\n",
                     "f:1:1: fetch_proxy_resolves needs fetch_proxy; such as "
                     "fetch_proxy = http://proxy.example.com:3128\n");
    check_complaints("fetch_timeout = 2s\n", ""); /* the default of the other gives way */
    check_complaints("fetch_timeout = 2s\nfetch_connect_timeout = 3s\n",
                     "f:2:1: fetch_connect_timeout is longer than fetch_timeout, of which it is a "
                     "part; give less\n");
    check_complaints("eom_timeout = 5s\n", "");
    check_complaints("facts_timeout = 20s\n",
                     "f:1:1: facts_timeout must be shorter than eom_timeout, of which it is a "
                     "part; lower it, or raise eom_timeout\n");
    check_complaints("cache_memory = 100MiB\n",
                     "f:1:1: cache_memory must be at least twice fetch_max_crl, or one CRL takes "
                     "all others away; raise cache_memory or lower fetch_max_crl\n");
    check_complaints("cache_memory = 16MiB\nfetch_max_crl = 8MiB\n", "");
}

static void
signing_for_the_domain_needs_its_address(void **state)
{
    (void)state;
    check_complaints(
        TRUST "rule x {\n  no_signing_certificate = domain\n}\n",
        "f:3:3: rule \"x\": no_signing_certificate = domain needs sign_as; such as sign_as = "
        "gateway@example.com\n");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(required_parameter_that_is_missing_is_told),
        cmocka_unit_test(directory_is_a_file_or_servers_that_can_be_asked),
        cmocka_unit_test(rule_must_name_a_trust_set_that_is_there),
        cmocka_unit_test(the_shared_cache_needs_its_key_and_its_server),
        cmocka_unit_test(bounds_of_fetching_hang_together),
        cmocka_unit_test(signing_for_the_domain_needs_its_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
