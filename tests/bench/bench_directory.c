/*
 * What it costs to find out about people in a directory: one recipient and a group of 10,000 in
 * five levels, cold and warm, out of a real slapd on loopback, through the resolver that messages
 * use: questions, answers, certificates parsed, judged with their path and CRL. Wall time, because
 * most of it is waiting, and how often the server was waited for.
 */
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "flow/resolve.h"
#include "mime/base64.h"
#include "tests/bench/bench.h"
#include "tests/unit/testca.h"
#include "util/clock.h"

enum { PEOPLE = 10000, LEVELS = 5, ROUNDS = 3, SINGLES = 200 };

static struct testca ca;
static char *folder;
static unsigned port;
static pid_t slapd;

/* ---- the server --------------------------------------------------------------------------------
 */

static pid_t
spawn(char *const argv[])
{
    pid_t pid = fork();

    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (!freopen("/dev/null", "r", stdin) || !freopen("/dev/null", "w", stderr))
            _exit(126);
        execv(argv[0], argv);
        _exit(127);
    }
    BENCH_MUST(pid > 0);
    return pid;
}

static bool
port_answers(void)
{
    const struct sockaddr_in address = { .sin_family = AF_INET,
                                         .sin_port = htons((uint16_t)port),
                                         .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    bool answers = connect(fd, (const struct sockaddr *)&address, sizeof address) == 0;

    close(fd);
    return answers;
}

static unsigned
free_port(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    BENCH_MUST(bind(fd, (struct sockaddr *)&address, n) == 0);
    BENCH_MUST(getsockname(fd, (struct sockaddr *)&address, &n) == 0);
    close(fd);
    return ntohs(address.sin_port);
}

static void
write_person(FILE *out, int number)
{
    struct testca_leaf leaf;
    struct buf text = BUF_INIT(65536);
    struct err err = ERR_INIT;
    unsigned char *der = NULL;
    char san[80];
    int n;

    snprintf(san, sizeof san, "email:p%d@corp.example", number);
    testca_issue(&ca,
                 &(struct testca_args){ .cn = "Member",
                                        .san = san,
                                        .key_usage = "critical,keyEncipherment",
                                        .ext_key_usage = "emailProtection" },
                 &leaf);
    n = i2d_X509(leaf.x509, &der);
    BENCH_MUST(n > 0 && mime_base64_format(span_of(der, (size_t)n), &text, &err) == ERR_OK);
    fprintf(out,
            "dn: uid=p%d,dc=corp\nobjectClass: inetOrgPerson\nuid: p%d\ncn: p\nsn: p\n"
            "mail: p%d@corp.example\nuserCertificate;binary:: %s\n\n",
            number, number, number, buf_str(&text));
    OPENSSL_free(der);
    buf_free(&text);
    testca_leaf_free(&leaf);
}

/* Everybody is in one of five groups, and each group but the last holds the next one. */
static void
write_entries(void)
{
    char path[300];
    FILE *out;

    snprintf(path, sizeof path, "%s/people.ldif", folder);
    out = fopen(path, "w");
    BENCH_MUST(out);
    fprintf(out,
            "dn: dc=corp\nobjectClass: dcObject\nobjectClass: organization\ndc: corp\no: c\n\n");
    for (int i = 0; i < PEOPLE; i++)
        write_person(out, i);
    for (int level = 0; level < LEVELS; level++) {
        fprintf(out,
                "dn: cn=g%d,dc=corp\nobjectClass: groupOfNames\nobjectClass: extensibleObject\n"
                "cn: g%d\nmail: g%d@corp.example\n",
                level, level, level);
        for (int i = level; i < PEOPLE; i += LEVELS)
            fprintf(out, "member: uid=p%d,dc=corp\n", i);
        if (level + 1 < LEVELS)
            fprintf(out, "member: cn=g%d,dc=corp\n", level + 1);
        fprintf(out, "\n");
    }
    BENCH_MUST(fclose(out) == 0);
}

static void
start_slapd(void)
{
    char conf[300], ldif[300], url[60];
    char *add[] = {
        (char *)"/usr/sbin/slapadd", (char *)"-q", (char *)"-f", conf, (char *)"-l", ldif, NULL
    };
    char *run[] = { (char *)"/usr/sbin/slapd",
                    (char *)"-d",
                    (char *)"0",
                    (char *)"-f",
                    conf,
                    (char *)"-h",
                    url,
                    NULL };
    int status = 0;
    FILE *out;

    port = free_port();
    snprintf(conf, sizeof conf, "%s/slapd.conf", folder);
    snprintf(ldif, sizeof ldif, "%s/people.ldif", folder);
    snprintf(url, sizeof url, "ldap://127.0.0.1:%u", port);
    out = fopen(conf, "w");
    BENCH_MUST(out);
    fprintf(out,
            "include /etc/ldap/schema/core.schema\ninclude /etc/ldap/schema/cosine.schema\n"
            "include /etc/ldap/schema/inetorgperson.schema\nmodulepath /usr/lib/ldap\n"
            "moduleload back_mdb\nsizelimit unlimited\ndatabase mdb\nmaxsize 1073741824\n"
            "suffix \"dc=corp\"\ndirectory %s/db\nindex objectClass,mail,uid eq\n"
            "access to * by * read\n",
            folder);
    BENCH_MUST(fclose(out) == 0);
    BENCH_MUST(waitpid(spawn(add), &status, 0) > 0 && WIFEXITED(status) && !WEXITSTATUS(status));
    slapd = spawn(run);
    for (int i = 0; i < 1000 && !port_answers(); i++)
        nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
    BENCH_MUST(port_answers());
}

/* ---- asking ------------------------------------------------------------------------------------
 */

static void
complain(void *context, const char *file, unsigned line, unsigned column, const char *text)
{
    (void)context;
    fprintf(stderr, "%s:%u:%u: %s\n", file, line, column, text);
}

static struct flow_services *
services_new(void)
{
    struct flow_services *services = NULL;
    struct conf *conf = NULL;
    struct err err = ERR_INIT;
    char *text = NULL;

    BENCH_MUST(asprintf(&text,
                        "hostname = bench.example\nkeys_folder = %s/keys\nstate_folder = %s\n"
                        "spool_folder = %s\ngroup_members = 15000\ngroup_depth = 5\n"
                        "group_timeout = 120s\nfacts_timeout = 120s\neom_timeout = 240s\n"
                        "trust \"default\" {\n anchors = %s/ca.pem\n crls = %s/ca.crl\n}\n"
                        "directory \"bench\" {\n servers = ldap://127.0.0.1:%u\n starttls = no\n"
                        " base = dc=corp\n schema = openldap\n request_timeout = 60s\n}\n"
                        "rule \"all\" {\n encrypt = always\n}\n",
                        folder, folder, folder, folder, folder, port) > 0);
    if (conf_parse("bench", text, complain, NULL, &conf, &err) != ERR_OK ||
        flow_services_new(conf, NULL, NULL, &services, &err) != ERR_OK) {
        fprintf(stderr, "bench_directory: %s\n", err.text);
        exit(1);
    }
    conf_free(&conf);
    free(text);
    return services;
}

static size_t
waits_of(const struct flow_services *services)
{
    struct directory_counts counts;
    const char *name;

    directory_lookup_get_counts(services->lookup, 0, &name, &counts);
    return (size_t)counts.waits;
}

static double
now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* CPU that this process, and the server, have used. */
static double
own_cpu_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static double
server_cpu_us(void)
{
    unsigned long user = 0, system = 0;
    char path[60], line[1000] = "";
    const char *end;
    FILE *in;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)slapd);
    in = fopen(path, "r");
    BENCH_MUST(in && fgets(line, sizeof line, in));
    fclose(in);
    end = strrchr(line, ')');
    BENCH_MUST(end && sscanf(end + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
                             &system) == 2);
    return (double)(user + system) * 1e6 / (double)sysconf(_SC_CLK_TCK);
}

/* Microseconds of one question, as a message asks it; *count people have a valid certificate. */
static double
ask_us(struct flow_services *services, const char *address, size_t *count)
{
    const struct flow_finding_question question = { .address = address,
                                                    .trust = "default",
                                                    .sender = "" };
    struct flow_resolve_ticket *ticket = NULL;
    const struct flow_finding *finding = NULL;
    struct err err = ERR_INIT;
    double begin = now_s(), us;

    BENCH_MUST(flow_resolve_start(services, &question, &ticket, &err) == ERR_OK);
    BENCH_MUST(flow_resolve_wait(ticket, clock_monotonic_ms() + 600000, &finding, &err) == ERR_OK);
    us = (now_s() - begin) * 1e6;
    *count = finding->known == POLICY_YES;
    for (size_t i = 0; i < finding->member_count; i++)
        *count += finding->members[i].finding->known == POLICY_YES;
    flow_resolve_free_ticket(&ticket);
    return us;
}

struct figure {
    double us[SINGLES], own, server;
    int count;
    size_t waits;
};

static void
figure_begin(struct figure *figure, const struct flow_services *services)
{
    figure->own -= own_cpu_us();
    figure->server -= server_cpu_us();
    figure->waits -= waits_of(services);
}

static void
figure_end(struct figure *figure, const struct flow_services *services)
{
    figure->own += own_cpu_us();
    figure->server += server_cpu_us();
    figure->waits += waits_of(services);
}

/* Wall time is the median; CPU and waits are those of one question on average. */
static void
print(const char *name, struct figure *figure)
{
    qsort(figure->us, (size_t)figure->count, sizeof figure->us[0], bench_compare);
    printf("{\"name\": \"%s\", \"us\": %.1f, \"cpu_us\": %.1f, \"server_cpu_us\": %.1f, "
           "\"waits\": %zu}\n",
           name, figure->us[figure->count / 2], figure->own / figure->count,
           figure->server / figure->count, figure->waits / (size_t)figure->count);
    fflush(stdout);
}

/* The connection is there; the answer is not. Then it is. */
static void
bench_recipient(void)
{
    struct flow_services *services = services_new();
    struct figure figures[2] = { { .count = SINGLES }, { .count = SINGLES } };
    char address[80];
    size_t found;

    (void)ask_us(services, "p0@corp.example", &found);
    BENCH_MUST(found == 1);
    for (int warm = 0; warm < 2; warm++) {
        figure_begin(&figures[warm], services);
        for (int i = 0; i < SINGLES; i++) {
            snprintf(address, sizeof address, "p%d@corp.example", i + 1);
            figures[warm].us[i] = ask_us(services, address, &found);
            BENCH_MUST(found == 1);
        }
        figure_end(&figures[warm], services);
    }
    print("directory recipient cold", &figures[0]);
    print("directory recipient warm", &figures[1]);
    flow_services_free(&services);
}

static void
bench_group(void)
{
    int rounds = bench_is_quick() ? 1 : ROUNDS;
    struct figure figures[2] = { { .count = rounds }, { .count = rounds } };
    size_t found;

    for (int i = 0; i < rounds; i++) {
        struct flow_services *services = services_new();

        (void)ask_us(services, "nobody@corp.example", &found);
        for (int warm = 0; warm < 2; warm++) {
            figure_begin(&figures[warm], services);
            figures[warm].us[i] = ask_us(services, "g0@corp.example", &found);
            BENCH_MUST(found == PEOPLE);
            figure_end(&figures[warm], services);
        }
        flow_services_free(&services);
    }
    print("directory group of 10000 cold", &figures[0]);
    print("directory group of 10000 warm", &figures[1]);
}

int
main(void)
{
    struct err err = ERR_INIT;
    X509_CRL *crl;
    char path[300];

    if (access("/usr/sbin/slapd", X_OK) != 0) {
        fprintf(stderr, "bench_directory: slapd is not installed\n");
        return 0;
    }
    folder = testca_folder();
    testca_init(&ca, "Bench Root");
    testca_pem(folder, "ca.pem", 0644, NULL, ca.x509, NULL, NULL);
    crl = testca_crl(&ca, NULL);
    testca_crl_file(folder, "ca.crl", crl);
    X509_CRL_free(crl);
    snprintf(path, sizeof path, "%s/db", folder);
    BENCH_MUST(mkdir(path, 0700) == 0);
    snprintf(path, sizeof path, "%s/keys", folder);
    BENCH_MUST(mkdir(path, 0700) == 0);
    write_entries();
    start_slapd();
    BENCH_MUST(flow_resolve_init(4, 1000, &err) == ERR_OK);
    bench_recipient();
    bench_group();
    flow_resolve_deinit();
    kill(slapd, SIGTERM);
    waitpid(slapd, NULL, 0);
    testca_folder_free(&folder);
    testca_free(&ca);
    return 0;
}
