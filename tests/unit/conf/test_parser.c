#include "tests/unit/conf/complaints.h"

#include <netinet/in.h>

#include "util/buf.h"

static void
values_of_every_type_arrive_in_their_fields(void **state)
{
    struct conf *conf = conf_of("\xef\xbb\xbf# with a byte order mark\r\n"
                                "socket = inet:8891@127.0.0.1\r\n"
                                "socket_mode=0600\r\n"
                                "  hostname =mail.example.com\n"
                                "log_debug_for = a#b # a comment, but not within a word\n"
                                "max_messages = 7 # a comment\n"
                                "eom_timeout = 1500ms\n"
                                "expiry_warning = 0\n"
                                "milter_timeout = 2h\n"
                                "max_bytes = 25MiB\n"
                                "authenticated_is_outbound = no\n"
                                "log = stderr\n"
                                "internal_networks = 192.0.2.0/24,2001:db8::/32,\n"
                                "    # a comment between\n"
                                "\n"
                                "    127.0.0.1\n"
                                "outbound_daemons = \"two words\", plain \"a\\\"b\\\\c\"\n"
                                "inbound_daemons = \"\"\n"
                                "local_domains = example.com b\xc3\xbc"
                                "cher.example");

    (void)state;
    assert_string_equal(conf->global.socket, "inet:8891@127.0.0.1");
    assert_int_equal(conf->global.socket_mode, 0600);
    assert_string_equal(conf->global.log_debug_for, "a#b");
    assert_int_equal(conf->global.max_messages, 7);
    assert_int_equal(conf->global.eom_timeout, 1500);
    assert_int_equal(conf->global.expiry_warning, 0);
    assert_int_equal(conf->global.milter_timeout, 7200000);
    assert_int_equal(conf->global.max_bytes, 25 << 20);
    assert_false(conf->global.authenticated_is_outbound);
    assert_int_equal(conf->global.log, CONF_LOG_STDERR);
    assert_int_equal(conf->global.internal_networks.count, 3);
    assert_int_equal(conf->global.internal_networks.list[1].family, AF_INET6);
    assert_int_equal(conf->global.internal_networks.list[1].prefix, 32);
    assert_int_equal(conf->global.internal_networks.list[2].family, AF_INET);
    assert_int_equal(conf->global.internal_networks.list[2].prefix, 32);
    assert_string_equal(conf->global.outbound_daemons[0], "two words");
    assert_string_equal(conf->global.outbound_daemons[1], "plain");
    assert_string_equal(conf->global.outbound_daemons[2], "a\"b\\c");
    assert_null(conf->global.outbound_daemons[3]);
    assert_null(conf->global.inbound_daemons[0]);
    assert_string_equal(conf->global.local_domains[1], "b\xc3\xbc"
                                                       "cher.example");
    conf_free(&conf);
    assert_null(conf);
}

static void
defaults_are_those_of_the_table(void **state)
{
    struct conf *conf = NULL;
    struct err err = ERR_INIT;

    (void)state;
    assert_int_equal(conf_load(NULL, NULL, NULL, &conf, &err), ERR_OK);
    assert_string_equal(conf->global.socket, "unix:/run/smimed/milter.sock");
    assert_int_equal(conf->global.spool_memory, 262144);
    assert_int_equal(conf->global.eom_timeout, 20000);
    assert_string_equal(conf->global.user, "");
    assert_string_equal(conf->global.outbound_daemons[0], "ORIGINATING");
    assert_null(conf->global.local_domains[0]);
    assert_int_equal(conf->global.internal_networks.count, 2);
    assert_int_equal(conf->global.internal_networks.list[0].address[0], 127);
    assert_int_equal(conf->global.internal_networks.list[0].prefix, 8);
    assert_true(conf->global.authenticated_is_outbound);
    assert_int_equal(conf->global.sender_identity, CONF_IDENTITY_ENFORCE);
    assert_int_equal(conf->global.revocation_inbound, CONF_REVOCATION_REQUIRE);
    assert_int_equal(conf->global.log, CONF_LOG_SYSLOG);
    assert_string_equal(conf->global.log_facility, "mail");
    assert_int_equal(conf->rule_count + conf->trust_count + conf->directory_count, 0);
    conf_free(&conf);
}

static void
sections_hold_their_values(void **state)
{
    struct conf *conf =
        conf_of("rule \"b\" {\n  sign = never\n}\n" TRUST "rule a { on_temperror = defer }\n"
                "rule \"c\" {\n"
                "  sender = <>, *, @example.com .example.com \"*@*.x\"\n"
                "  no_signing_certificate = domain\n"
                "  sign_as = gw@example.com }\n"
                "directory \"d\" { ldif = /ldif }\n");

    (void)state;
    assert_int_equal(conf->rule_count, 3);
    assert_string_equal(conf->rules[0].name, "b");
    assert_int_equal(conf->rules[0].sign, CONF_SIGN_NEVER);
    assert_string_equal(conf->rules[0].trust, "default");
    assert_string_equal(conf->rules[1].name, "a");
    assert_int_equal(conf->rules[1].sign, CONF_SIGN_ALWAYS);
    assert_int_equal(conf->rules[1].on_temperror, CONF_ON_TEMPERROR_DEFER);
    assert_string_equal(conf->rules[1].sender[0], "*");
    assert_string_equal(conf->rules[2].sender[0], "<>");
    assert_string_equal(conf->rules[2].sender[4], "*@*.x");
    assert_null(conf->rules[2].sender[5]);
    assert_string_equal(conf->rules[2].sign_as, "gw@example.com");
    assert_int_equal(conf->trust_count, 1);
    assert_string_equal(conf->trusts[0].anchors[0], "/anchors");
    assert_int_equal(conf->directory_count, 1);
    assert_string_equal(conf->directories[0].ldif, "/ldif");
    assert_string_equal(conf->directories[0].schema, "plain");
    conf_free(&conf);
}

static void
unknown_name_is_told_with_the_nearest(void **state)
{
    (void)state;
    check_complaints("sokcet = x\nxyzzy = 1\n",
                     "f:1:1: unknown parameter \"sokcet\"; did you mean \"socket\"?\n"
                     "f:2:1: unknown parameter \"xyzzy\"; smimed.conf(5) lists those there are\n");
    check_complaints(TRUST "rule \"x\" {\n  singn = never\n}\n",
                     "f:3:3: unknown parameter \"singn\" in rule \"x\"; did you mean \"sign\"?\n");
}

static void
name_in_the_wrong_place_is_told_where_it_belongs(void **state)
{
    (void)state;
    check_complaints(
        "encrypt = always\nencript = always\n" TRUST "rule x {\nsocket = /x\n}\nrule = x\n",
        "f:1:1: unknown parameter \"encrypt\"; it belongs into a section rule \"...\" { }\n"
        "f:2:1: unknown parameter \"encript\"; did you mean \"encrypt\", which belongs into a "
        "section rule \"...\" { }?\n"
        "f:5:1: unknown parameter \"socket\" in rule \"x\"; it belongs to the top, outside of "
        "sections\n"
        "f:7:1: \"rule\" opens a section; write rule \"name\" { ... }\n");
}

static void
duplicate_is_told_with_the_first_place(void **state)
{
    (void)state;
    check_complaints("log = syslog\n\nlog = syslog\n",
                     "f:3:1: \"log\" was given before at f:1; give it once\n");
}

static void
number_out_of_range_is_told_with_its_bounds(void **state)
{
    (void)state;
    check_complaints(
        "max_messages = 0\nmax_connections = 100001\neom_timeout = 999ms\n"
        "spool_memory = 2GiB\nmax_recipients = 99999999999999999999999999\n"
        "max_bytes = 99999999999999TiB\nsocket_mode = 01777\n",
        "f:1:16: max_messages = 0 is out of range; from 1 to 100000\n"
        "f:2:19: max_connections = 100001 is out of range; from 1 to 100000\n"
        "f:3:15: eom_timeout = 999ms is out of range; from 1s to 250s\n"
        "f:4:16: spool_memory = 2GiB is out of range; from 4KiB to 1GiB\n"
        "f:5:18: max_recipients = 99999999999999999999999999 is out of range; from 1 to "
        "100000\n"
        "f:6:13: max_bytes = 99999999999999TiB is out of range; from 1MiB to 1TiB\n"
        "f:7:15: socket_mode = 01777 is out of range; from 0000 to 0777\n");
}

static void
unit_that_is_missing_or_unknown_is_told(void **state)
{
    (void)state;
    check_complaints(
        "eom_timeout = 20\nmax_bytes = 1000000\nmilter_timeout = 2hours\nmax_header = 1MB\n",
        "f:1:15: eom_timeout = 20: the unit is missing; one of ms, s, m, h, d\n"
        "f:2:13: max_bytes = 1000000: the unit is missing; one of B, KiB, MiB, GiB, TiB\n"
        "f:3:18: milter_timeout = 2hours: \"hours\" is no unit here; one of ms, s, m, h, d\n"
        "f:4:14: max_header = 1MB: \"MB\" is no unit here; one of B, KiB, MiB, GiB, TiB\n");
}

static void
number_that_is_none_is_told(void **state)
{
    (void)state;
    check_complaints(
        "max_messages = many\nmax_crypto = -1\nlog_recipients = 3x\neom_timeout = s\n"
        "socket_mode = 0888\n",
        "f:1:16: max_messages = many is not a number; it wants a number\n"
        "f:2:14: max_crypto = -1 is not a number; it wants a number\n"
        "f:3:18: log_recipients = 3x is not a number; it wants a number\n"
        "f:4:15: eom_timeout = s is not a number; it wants a duration such as 500ms, 15s, 10m, "
        "4h, 5d\n"
        "f:5:15: socket_mode = 0888 is not a number; it wants octal permissions such as 0660\n");
    check_complaints("socket_mode = 660\n",
                     "f:1:15: socket_mode = 660: permissions begin with a 0; such as 0660\n");
}

static void
word_that_is_none_is_told_with_the_words(void **state)
{
    (void)state;
    check_complaints(
        "log = sylog\nlog_form = xml\nresult_none = true\nlog_facility = kern\n" TRUST
        "rule x { sign = Always }\n",
        "f:1:7: log = sylog: no such word; did you mean syslog? One of stderr|syslog\n"
        "f:2:12: log_form = xml: no such word; one of text|json\n"
        "f:3:15: result_none = true: no such word; one of yes|no\n"
        "f:4:16: log_facility = kern: no such word; one of "
        "mail|daemon|user|auth|local0|local1|local2|local3|local4|local5|local6|local7\n"
        "f:6:17: sign = Always: no such word; did you mean always? One of "
        "always|never|default-on|default-off\n");
}

static void
section_that_is_not_closed_is_told_where_it_began(void **state)
{
    (void)state;
    check_complaints(
        TRUST "rule \"a\" {\n sign = never\nrule \"b\" {\n sign = never\n",
        "f:2:1: section rule \"a\" is not closed; \"}\" is missing before line 4\n"
        "f:4:1: section rule \"b\" is not closed; \"}\" is missing before the end of the file\n");
}

static void
brace_that_closes_nothing_is_told(void **state)
{
    (void)state;
    check_complaints("log = syslog\n}\n", "f:2:1: \"}\" closes nothing; no section is open\n");
}

static void
quote_that_is_not_closed_is_told_where_it_began(void **state)
{
    (void)state;
    check_complaints(
        "hostname = \"mail\nlog = syslog\nhostname = \"a\\n\"\n",
        "f:1:12: the quote is not closed; a string ends with \" on the same line\n"
        "f:3:14: unknown escape; in quotes a backslash stands before a quote or another "
        "backslash\n");
}

static void
section_name_is_given_once(void **state)
{
    (void)state;
    check_complaints(TRUST "rule x { }\nrule \"x\" {\n sign = sometimes\n}\n" TRUST,
                     "f:3:6: there is a rule \"x\" already at f:2; names are given once\n"
                     "f:4:9: sign = sometimes: no such word; one of "
                     "always|never|default-on|default-off\n"
                     "f:6:7: there is a trust \"default\" already at f:1; names are given once\n");
    /* Different kinds may share a name. */
    check_complaints(TRUST "rule default { }\n", "");
}

static void
section_without_name_or_brace_is_told(void **state)
{
    char text[200];

    (void)state;
    check_complaints("rule {\n sign = 7\n}\nrule x\nrule x y\n",
                     "f:1:1: section rule has no name; write rule \"name\" {\n"
                     "f:4:1: \"{\" is missing; write rule \"name\" {\n"
                     "f:5:1: \"{\" is missing; write rule \"name\" {\n");
    check_complaints(
        "rul \"x\" {\n sign = 7\n}\nfoo { }\n",
        "f:1:1: unknown section \"rul\"; did you mean \"rule\"?\n"
        "f:4:1: unknown section \"foo\"; there are rule, user, domain, defaults, trust "
        "and directory\n");
    check_complaints("rule \"\" { }\n", "f:1:6: the name of a section has 1 to 64 octets\n");
    snprintf(text, sizeof text, "rule %065d { }\n", 0);
    check_complaints(text, "f:1:6: the name of a section has 1 to 64 octets\n");
}

static void
path_must_be_absolute(void **state)
{
    (void)state;
    check_complaints(
        "spool_folder = spool\ntrust default { anchors = /a, b }\nuser = \"\"\n"
        "state_folder = \"\"\n",
        "f:1:16: spool_folder = spool: the path must be absolute; begin it with /\n"
        "f:2:31: anchors = b: the path must be absolute; begin it with /\n"
        "f:4:16: state_folder may not be empty; it wants the absolute path of a folder closed to "
        "others\n");
}

static void
network_that_is_none_is_told(void **state)
{
    (void)state;
    check_complaints(
        "internal_networks = 10.0.0.1/8 10.0.0.0/8 foo 10.0.0.0/33\n",
        "f:1:21: internal_networks = 10.0.0.1/8: bits are set behind the prefix of 8; such as "
        "192.0.2.0/24 or 2001:db8::/32\n"
        "f:1:43: internal_networks = foo: not an IP address; such as 192.0.2.0/24 or "
        "2001:db8::/32\n"
        "f:1:47: internal_networks = 10.0.0.0/33: the prefix length must be a number from 0 to 32; "
        "such as 192.0.2.0/24 or 2001:db8::/32\n");
}

static void
socket_that_is_none_is_told(void **state)
{
    static const struct {
        const char *socket, *complaint;
    } cases[] = {
        { "/run/x", "no socket; write unix:/path, inet:port@host or inet6:port@host" },
        { "unix:x", "the path after unix: must begin with /" },
        { "inet:8891",
          "a port from 1 to 65535 and @host must follow; such as inet:8891@127.0.0.1" },
        { "inet:0@x", "a port from 1 to 65535 and @host must follow; such as inet:8891@127.0.0.1" },
        { "inet:65536@x",
          "a port from 1 to 65535 and @host must follow; such as inet:8891@127.0.0.1" },
        { "inet:smtp@x",
          "a port from 1 to 65535 and @host must follow; such as inet:8891@127.0.0.1" },
        { "inet6:25@", "the host after @ is missing or wrong" },
        { "inet:25@a@b", "the host after @ is missing or wrong" },
        { "unix:/"
          "0000000000111111111122222222223333333333444444444455555555556666666666777777777788888888"
          "8899999"
          "9999912345678",
          "the path of a Unix socket has at most 107 octets" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[300], expected[600];

        snprintf(text, sizeof text, "socket = %s\n", cases[i].socket);
        snprintf(expected, sizeof expected, "f:1:10: socket = %s: %s\n", cases[i].socket,
                 cases[i].complaint);
        check_complaints(text, expected);
    }
    check_complaints("socket = unix:/run/a\ncontrol_socket = /x\n", "");
    check_complaints("socket = inet6:8891@::1\n", "");
}

static void
address_pattern_domain_and_host_that_are_none_are_told(void **state)
{
    (void)state;
    check_complaints(
        TRUST "rule x {\n sender = example.com, \"A <a@b>\", a@, a@b@c, *\n sign_as = gateway\n"
              " encrypt_also = a@b, @b\n}\nlocal_domains = @example.com\n"
              "authserv_id = \"a b\"\nhostname = a..b\n",
        "f:3:11: sender = example.com: no address pattern; such as user@example.com, @example.com "
        "or .example.com\n"
        "f:3:24: sender = A <a@b>: no address pattern; write it without <> and names\n"
        "f:3:35: sender = a@: no address pattern; the domain after @ is wrong\n"
        "f:3:39: sender = a@b@c: no address pattern; the domain after @ is wrong\n"
        "f:4:12: sign_as = gateway: no address; such as user@example.com\n"
        "f:5:22: encrypt_also = @b: no address; such as user@example.com\n"
        "f:7:17: local_domains = @example.com: no host or domain name; such as "
        "mail.example.com\n"
        "f:8:15: authserv_id = a b: no host or domain name; such as mail.example.com\n"
        "f:9:12: hostname = a..b: no host or domain name; such as mail.example.com\n");
}

static void
line_that_is_no_statement_is_told(void **state)
{
    (void)state;
    check_complaints(
        "log syslog\nlog\n= 5\n\"log\" = syslog\n{\nlog =\nuser = a b\nmax_crypto = 1,,2\n"
        "max_crypto = { }\n",
        "f:1:1: \"=\" is missing after \"log\"\n"
        "f:2:1: \"=\" is missing after \"log\"\n"
        "f:3:1: a parameter or a section must begin here\n"
        "f:4:1: a parameter or a section must begin here\n"
        "f:5:1: a parameter or a section must begin here\n"
        "f:6:1: the value of \"log\" is missing; it wants a word\n"
        "f:7:10: user takes one value; put a value with blanks into double quotes\n"
        "f:8:16: nothing stands before this comma\n"
        "f:8:17: max_crypto takes one value; put a value with blanks into double quotes\n"
        "f:9:14: \"{\" is not expected in a value; put it into double quotes\n");
}

static void
octets_that_are_no_text_are_told(void **state)
{
    (void)state;
    check_complaints("hostname = a\xff"
                     "b\nhostname = a\rb\n# \x1b[2J\nlog = syslog\n",
                     "f:1:13: octet 0xFF is not UTF-8; save the file as UTF-8\n"
                     "f:2:13: control character 0x0D; remove it\n"
                     "f:3:3: control character 0x1B; remove it\n");
    check_complaints("# \xc3\xa4\xc3\xb6 \x80\n",
                     "f:1:6: octet 0x80 is not UTF-8; save the file as UTF-8\n");
    check_complaints("\xff\xfel\n", "f:1:1: the file is UTF-16; save it as UTF-8\n");
}

static void
column_counts_characters(void **state)
{
    (void)state;
    check_complaints("outbound_daemons = \"\xc3\xa4\xe2\x82\xac\" , , x\n",
                     "f:1:27: nothing stands before this comma\n");
}

static void
include_is_refused_in_memory_and_in_sections(void **state)
{
    (void)state;
    check_complaints("include \"/etc/passwd\"\n", "f:1:1: include is not possible here\n");
    check_complaints(TRUST "rule x {\n include \"x\"\n}\n",
                     "f:3:2: include stands outside of sections only\n");
}

static void
complaints_end_after_a_bound(void **state)
{
    struct buf text = BUF_INIT(1 << 20);
    struct complaints *all = calloc(1, sizeof *all);
    struct conf *conf = NULL;

    (void)state;
    for (int i = 0; i < 500; i++)
        assert_int_equal(buf_append_str(&text, "nonsense\n", NULL), ERR_OK);
    assert_int_equal(conf_parse("f", buf_str(&text), complaints_add, all, &conf, NULL), ERR_PERM);
    assert_int_equal(all->count, 101);
    assert_non_null(strstr(all->text, "f:101:1: more than 100 errors; the rest is not shown\n"));
    buf_free(&text);
    free(all);
}

static void
sections_words_and_lists_are_bounded(void **state)
{
    struct buf text = BUF_INIT(1 << 20);
    char expected[200];

    (void)state;
    for (int i = 0; i < 101; i++)
        assert_int_equal(buf_appendf(&text, NULL, "trust t%d { anchors = /a }\n", i), ERR_OK);
    check_complaints(buf_str(&text), "f:101:7: more than 100 sections trust\n");
    buf_reset(&text);
    assert_int_equal(buf_append_str(&text, "hostname = ", NULL), ERR_OK);
    for (int i = 0; i < 9000; i++)
        assert_int_equal(buf_append_byte(&text, 'x', NULL), ERR_OK);
    check_complaints(buf_str(&text),
                     "f:1:12: longer than 8192 octets; is a quote or a blank missing?\n");
    buf_reset(&text);
    assert_int_equal(buf_append_str(&text, "outbound_daemons = ", NULL), ERR_OK);
    for (int i = 0; i < 10001; i++)
        assert_int_equal(buf_append_str(&text, "x ", NULL), ERR_OK);
    snprintf(expected, sizeof expected, "f:1:20: outbound_daemons has more than 10000 values\n");
    check_complaints(buf_str(&text), expected);
    buf_free(&text);
}

static void
complaint_shows_no_control_characters_of_the_file(void **state)
{
    (void)state;
    check_complaints("\xc2\x9b = 1\n",
                     "f:1:1: unknown parameter \"\\xC2\\x9B\"; smimed.conf(5) lists those "
                     "there are\n");
}

static void
nobody_need_listen(void **state)
{
    struct conf *conf = NULL;
    struct err err = ERR_INIT;

    (void)state;
    assert_int_equal(conf_parse("f", "a = 1\nb = 2\n", NULL, NULL, &conf, &err), ERR_PERM);
    assert_memory_equal(err.text, "f:1:1: unknown parameter \"a\"", 28);
    assert_int_equal(conf_parse("f", "a = 1\n", NULL, NULL, &conf, NULL), ERR_PERM);
    assert_null(conf);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_of_every_type_arrive_in_their_fields),
        cmocka_unit_test(defaults_are_those_of_the_table),
        cmocka_unit_test(sections_hold_their_values),
        cmocka_unit_test(unknown_name_is_told_with_the_nearest),
        cmocka_unit_test(name_in_the_wrong_place_is_told_where_it_belongs),
        cmocka_unit_test(duplicate_is_told_with_the_first_place),
        cmocka_unit_test(number_out_of_range_is_told_with_its_bounds),
        cmocka_unit_test(unit_that_is_missing_or_unknown_is_told),
        cmocka_unit_test(number_that_is_none_is_told),
        cmocka_unit_test(word_that_is_none_is_told_with_the_words),
        cmocka_unit_test(section_that_is_not_closed_is_told_where_it_began),
        cmocka_unit_test(brace_that_closes_nothing_is_told),
        cmocka_unit_test(quote_that_is_not_closed_is_told_where_it_began),
        cmocka_unit_test(section_name_is_given_once),
        cmocka_unit_test(section_without_name_or_brace_is_told),
        cmocka_unit_test(path_must_be_absolute),
        cmocka_unit_test(network_that_is_none_is_told),
        cmocka_unit_test(socket_that_is_none_is_told),
        cmocka_unit_test(address_pattern_domain_and_host_that_are_none_are_told),
        cmocka_unit_test(line_that_is_no_statement_is_told),
        cmocka_unit_test(octets_that_are_no_text_are_told),
        cmocka_unit_test(column_counts_characters),
        cmocka_unit_test(include_is_refused_in_memory_and_in_sections),
        cmocka_unit_test(complaints_end_after_a_bound),
        cmocka_unit_test(sections_words_and_lists_are_bounded),
        cmocka_unit_test(complaint_shows_no_control_characters_of_the_file),
        cmocka_unit_test(nobody_need_listen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
