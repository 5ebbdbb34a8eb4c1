/*
 * Servers for the tests of the LDAP backend: a real slapd of our own in a scratch folder, ended by
 * its pid, and false ones that stall, reset, or say what real ones of another make say. Included by
 * one test program.
 */
#ifndef TESTS_UNIT_DIRECTORY_LDAP_SERVER_H
#define TESTS_UNIT_DIRECTORY_LDAP_SERVER_H

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <netinet/in.h>

#include <cmocka.h>
#include <lber.h>

#include "directory/ldap.h"
#include "mime/base64.h"
#include "tests/unit/testca.h"
#include "util/clock.h"

static char *scratch;

static inline void
pause_ms(long ms)
{
    nanosleep(&(struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 }, NULL);
}

/* ---- slapd ----------------------------------------------------------------------------------- */

struct slapd {
    char folder[200];
    unsigned port, tls_port;
    pid_t pid;
};

static inline unsigned
free_port(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0 && bind(fd, (struct sockaddr *)&address, n) == 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &n), 0);
    close(fd);
    return ntohs(address.sin_port);
}

static inline pid_t
spawn(char *const argv[])
{
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        unsetenv("LD_PRELOAD");
        setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
        if (!freopen("/dev/null", "r", stdin) ||
            (!getenv("SLAPD_LOUD") &&
             (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr))))
            _exit(126);
        execvp(argv[0], argv);
        _exit(127);
    }
    assert_true(pid > 0);
    return pid;
}

static inline void
run(char *const argv[])
{
    int status = 0;
    pid_t pid = spawn(argv);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("%s ended with %d", argv[0], WEXITSTATUS(status));
}

static inline bool
port_answers(unsigned port)
{
    const struct sockaddr_in address = { .sin_family = AF_INET,
                                         .sin_port = htons((uint16_t)port),
                                         .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    bool answers = connect(fd, (const struct sockaddr *)&address, sizeof address) == 0;
    close(fd);
    return answers;
}

static inline void
slapd_start(struct slapd *slapd)
{
    char conf[300], hosts[600];
    snprintf(conf, sizeof conf, "%s/slapd.conf", slapd->folder);
    snprintf(hosts, sizeof hosts,
             "ldap://127.0.0.1:%u ldaps://127.0.0.1:%u ldapi://%%2ftmp%%2f%s%%2fldapi", slapd->port,
             slapd->tls_port, strrchr(scratch, '/') + 1);
    char *argv[] = { (char *)"slapd", (char *)"-f", conf,        (char *)"-h",
                     hosts,           (char *)"-d", (char *)"0", NULL };
    slapd->pid = spawn(argv);
    for (unsigned i = 0; i < 400 && !port_answers(slapd->port); i++)
        pause_ms(25);
    if (!port_answers(slapd->port))
        fail_msg("no slapd came up");
}

static inline void
slapd_stop(struct slapd *slapd)
{
    if (slapd->pid <= 0)
        return;
    kill(slapd->pid, SIGKILL);
    waitpid(slapd->pid, NULL, 0);
    slapd->pid = 0;
}

static const char slapd_schema[] =
    "attributetype ( 1.3.6.1.4.1.55555.1.1 NAME 'proxyAddresses' EQUALITY caseIgnoreMatch "
    "SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )\n"
    "attributetype ( 1.3.6.1.4.1.55555.1.2 NAME 'publicDelegates' SUP distinguishedName )\n"
    "attributetype ( 1.3.6.1.4.1.55555.1.3 NAME 'alias' EQUALITY caseIgnoreMatch "
    "SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )\n"
    "objectclass ( 1.3.6.1.4.1.55555.2.1 NAME 'exchange' SUP top AUXILIARY "
    "MAY ( proxyAddresses $ publicDelegates $ mail $ alias $ rfc822MailMember ) )\n"
    "objectclass ( 1.3.6.1.4.1.55555.2.2 NAME 'contact' SUP top STRUCTURAL MUST cn "
    "MAY ( mail $ sn $ userCertificate ) )\n";

/* Makes the folder and its database. `extra` stands in the global part of slapd.conf, `more` in
 * that of the database. */
static inline void
slapd_init(struct slapd *slapd, const char *name, const char *ldif, const char *extra,
           const char *more)
{
    char path[300], text[4096];
    int n;
    snprintf(slapd->folder, sizeof slapd->folder, "%s/%s", scratch, name);
    slapd->port = free_port();
    slapd->tls_port = free_port();
    slapd->pid = 0;
    assert_int_equal(mkdir(slapd->folder, 0700), 0);
    snprintf(path, sizeof path, "%s/db", slapd->folder);
    assert_int_equal(mkdir(path, 0700), 0);
    n = snprintf(text, sizeof text,
                 "include /etc/ldap/schema/core.schema\ninclude /etc/ldap/schema/cosine.schema\n"
                 "include /etc/ldap/schema/inetorgperson.schema\n"
                 "include /etc/ldap/schema/misc.schema\ninclude /etc/ldap/schema/dyngroup.schema\n"
                 "include %s/test.schema\n"
                 "modulepath /usr/lib/ldap\nmoduleload back_mdb\npidfile %s/pid\nthreads 4\n"
                 "TLSCACertificateFile %s/ca.pem\nTLSCertificateFile %s/server.pem\n"
                 "TLSCertificateKeyFile %s/server.key\nTLSVerifyClient allow\n%s\n"
                 "database mdb\nsuffix \"o=corp\"\nrootdn \"cn=root,o=corp\"\nrootpw secret\n"
                 "directory %s/db\nmaxsize 134217728\ndbnosync\n"
                 "index objectClass,mail,uid,cn,proxyAddresses,ou eq\n%s\n",
                 slapd->folder, slapd->folder, scratch, scratch, scratch, extra ? extra : "",
                 slapd->folder, more ? more : "");
    assert_true(n > 0 && (size_t)n < sizeof text);
    testca_file(slapd->folder, "slapd.conf", 0600, text, (size_t)n);
    testca_file(slapd->folder, "test.schema", 0600, slapd_schema, strlen(slapd_schema));
    testca_file(slapd->folder, "people.ldif", 0600, ldif, strlen(ldif));
    char conf[300], people[300];
    snprintf(conf, sizeof conf, "%s/slapd.conf", slapd->folder);
    snprintf(people, sizeof people, "%s/people.ldif", slapd->folder);
    char *argv[] = {
        (char *)"slapadd", (char *)"-q", (char *)"-f", conf, (char *)"-l", people, NULL
    };
    run(argv);
    slapd_start(slapd);
}

/* ---- false servers --------------------------------------------------------------------------- */

enum liar_way {
    LIAR_SILENT,   /* accepts and says nothing */
    LIAR_RESETS,   /* accepts and resets */
    LIAR_STARTTLS, /* "yes, start TLS", and then nothing */
    LIAR_HALF,     /* answers a bind, and half of the answer to a search */
    LIAR_DRIPS,    /* an octet of an answer every 100 ms */
    LIAR_TALKS,    /* answers searches by `talk` */
    LIAR_BUSY,     /* resultCode busy to every search */
    LIAR_REFERS,   /* resultCode referral to every search */
};

/* Answers a search by appending whole messages. */
typedef void liar_talk_fn(int id, const char *base, const char *attribute, BerElement *out);

struct liar {
    _Atomic enum liar_way way;
    liar_talk_fn *_Atomic talk;
    unsigned port;
    int listener;
    pthread_t thread;
    _Atomic bool ends;
    _Atomic unsigned accepted, searches;
};

static inline void
put_result(BerElement *out, int id, ber_tag_t tag, int code)
{
    ber_printf(out, "{it{ess}}", id, tag, code, "", "");
}

static inline void
put_attribute(BerElement *out, const char *name, const char *value)
{
    ber_printf(out, value ? "{s[s]}" : "{s[]}", name, value);
}

/* Members `from` to `to`, without the last. */
static inline void
put_members(BerElement *out, const char *name, size_t from, size_t to)
{
    ber_printf(out, "{s[", name);
    for (size_t i = from; i < to; i++) {
        char value[64];
        snprintf(value, sizeof value, "cn=member %zu,o=corp", i);
        ber_printf(out, "s", value);
    }
    ber_printf(out, "]}");
}

static inline bool
liar_send(int fd, BerElement *out, bool half, bool drips)
{
    struct berval bytes;
    bool is_good = true;
    assert_int_equal(ber_flatten2(out, &bytes, 0), 0);
    size_t n = half ? bytes.bv_len / 2 : bytes.bv_len;
    for (size_t at = 0; at < n && is_good;) {
        size_t piece = drips ? 1 : n - at;
        ssize_t sent = send(fd, bytes.bv_val + at, piece, MSG_NOSIGNAL);
        is_good = sent > 0;
        at += sent > 0 ? (size_t)sent : 0;
        if (drips)
            pause_ms(100);
    }
    return is_good;
}

/* One request. False: the end. */
static inline bool
liar_answer(struct liar *liar, int fd, Sockbuf *in)
{
    BerElement *request = ber_alloc_t(LBER_USE_DER), *out = ber_alloc_t(LBER_USE_DER);
    ber_len_t length;
    ber_int_t id = 0, scope, deref, size, time_, types;
    ber_tag_t tag = 0, inner;
    char *base = NULL, **attributes = NULL;
    bool goes_on = ber_get_next(in, &length, request) == LDAP_TAG_MESSAGE &&
                   ber_scanf(request, "it", &id, &tag) != LBER_ERROR;
    if (!goes_on || tag == LDAP_REQ_UNBIND) {
        goes_on = false;
    } else if (tag == LDAP_REQ_BIND) {
        put_result(out, id, LDAP_RES_BIND, LDAP_SUCCESS);
        goes_on = liar_send(fd, out, false, false);
    } else if (tag == LDAP_REQ_EXTENDED) {
        put_result(out, id, LDAP_RES_EXTENDED, LDAP_SUCCESS);
        goes_on = liar_send(fd, out, false, false);
    } else if (tag == LDAP_REQ_SEARCH) {
        liar->searches++;
        goes_on = ber_scanf(request, "{aeeiib", &base, &scope, &deref, &size, &time_, &types) !=
                      LBER_ERROR &&
                  (inner = ber_skip_tag(request, &length)) != LBER_ERROR &&
                  ber_skip_data(request, length) != (ber_slen_t)-1 &&
                  ber_scanf(request, "{v}", &attributes) != LBER_ERROR;
        assert_true(goes_on);
        if (liar->way == LIAR_TALKS)
            liar->talk(id, base, attributes && attributes[0] ? attributes[0] : "", out);
        put_result(out, id, LDAP_RES_SEARCH_RESULT,
                   liar->way == LIAR_BUSY     ? LDAP_BUSY
                   : liar->way == LIAR_REFERS ? LDAP_REFERRAL
                                              : LDAP_SUCCESS);
        goes_on = liar_send(fd, out, liar->way == LIAR_HALF, liar->way == LIAR_DRIPS);
        if (liar->way == LIAR_HALF)
            while (!liar->ends)
                pause_ms(10);
        ber_memfree(base);
        ber_memvfree((void **)attributes);
    }
    ber_free(request, 1);
    ber_free(out, 1);
    return goes_on;
}

static inline void
liar_talk(struct liar *liar, int fd)
{
    if (liar->way == LIAR_RESETS) {
        const struct linger now = { .l_onoff = 1, .l_linger = 0 };
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        return;
    }
    Sockbuf *in = ber_sockbuf_alloc();
    int own = dup(fd);
    ber_sockbuf_add_io(in, &ber_sockbuf_io_tcp, LBER_SBIOD_LEVEL_PROVIDER, &own);
    bool goes_on = true;
    while (goes_on && !liar->ends) {
        struct pollfd fds = { .fd = fd, .events = POLLIN };
        if (poll(&fds, 1, 20) == 0)
            continue;
        bool is_stalled = liar->way == LIAR_SILENT;
        if (is_stalled) {
            char octet;
            goes_on = recv(fd, &octet, 1, 0) > 0;
            continue;
        }
        goes_on = liar_answer(liar, fd, in);
        if (liar->way == LIAR_STARTTLS) {
            /* The ClientHello comes, and nobody answers it. */
            liar->way = LIAR_SILENT;
        }
    }
    ber_sockbuf_free(in);
}

static inline void *
liar_run(void *context)
{
    struct liar *liar = context;
    while (!liar->ends) {
        struct pollfd fds = { .fd = liar->listener, .events = POLLIN };
        if (poll(&fds, 1, 20) <= 0)
            continue;
        int fd = accept(liar->listener, NULL, NULL);
        if (fd < 0)
            continue;
        liar->accepted++;
        liar_talk(liar, fd);
        close(fd);
    }
    return NULL;
}

static inline void
liar_start(struct liar *liar, enum liar_way way, liar_talk_fn *talk)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof address;
    memset(liar, 0, sizeof *liar);
    liar->way = way;
    liar->talk = talk;
    liar->listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(liar->listener, (struct sockaddr *)&address, n), 0);
    assert_int_equal(listen(liar->listener, 16), 0);
    assert_int_equal(getsockname(liar->listener, (struct sockaddr *)&address, &n), 0);
    liar->port = ntohs(address.sin_port);
    assert_int_equal(pthread_create(&liar->thread, NULL, liar_run, liar), 0);
}

static inline void
liar_stop(struct liar *liar)
{
    liar->ends = true;
    pthread_join(liar->thread, NULL);
    close(liar->listener);
}

/* ---- directories ----------------------------------------------------------------------------- */

static inline struct conf_directory
conf_of(const char *schema, char **servers)
{
    static char ca[300];
    static char *none[] = { NULL };
    snprintf(ca, sizeof ca, "%s/ca.pem", scratch);
    return (struct conf_directory){
        .name = (char *)"corp",
        .servers = servers,
        .base = (char *)"o=corp",
        .schema = (char *)(uintptr_t)schema,
        .starttls = false,
        .tls_ca_file = ca,
        .tls_certificate = (char *)"",
        .tls_key = (char *)"",
        .bind = (char *)"anonymous",
        .bind_dn = (char *)"",
        .bind_password_file = (char *)"",
        .connections = 4,
        .connect_timeout = 10000,
        .request_timeout = 10000,
        .page_size = 100,
        .address_attributes = none,
    };
}

static inline char *
server_name(const char *scheme, unsigned port)
{
    static char names[16][64];
    static unsigned next;
    char *name = names[next++ % 16];
    snprintf(name, sizeof names[0], "%s127.0.0.1:%u", scheme, port);
    return name;
}

#endif
