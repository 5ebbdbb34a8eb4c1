/* The SMTP client against a peer that follows a script: it answers each command by the next line of
 * the script and keeps every octet that it was sent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <arpa/inet.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "flow/resubmit.h"
#include "util/clock.h"

/* "" closes the connection, "..." says nothing any more; the greeting comes first. */
struct peer {
    const char *const *script;
    int listener;
    pthread_t thread;
    char server[64];
    char got[262144];
    size_t n;
};

static bool
peer_say(int fd, const char *text)
{
    return send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text);
}

static void *
peer_run(void *context)
{
    struct peer *peer = context;
    const char *const *next = peer->script;
    int fd = accept(peer->listener, NULL, NULL);
    size_t answered = 0;
    bool in_data = false;
    char c;

    if (fd < 0)
        return NULL;
    if (*next && (*next)[0] && strcmp(*next, "...") != 0)
        peer_say(fd, *next);
    if (*next && !(*next)[0]) {
        close(fd);
        return NULL;
    }
    next++;
    while (peer->n + 1 < sizeof peer->got && recv(fd, &c, 1, 0) == 1) {
        const char *line = peer->got + answered;

        peer->got[peer->n++] = c;
        peer->got[peer->n] = '\0';
        if (c != '\n')
            continue;
        if (in_data && strcmp(line, ".\r\n") != 0) {
            answered = peer->n;
            continue;
        }
        answered = peer->n;
        if (!*next || !(*next)[0])
            break;
        if (strcmp(*next, "...") == 0)
            continue;
        in_data = strncmp(*next, "354", 3) == 0;
        peer_say(fd, *next++);
    }
    close(fd);
    return NULL;
}

static void
peer_init(struct peer *peer, const char *const *script)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof address;

    peer->script = script;
    peer->n = 0;
    peer->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(peer->listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(peer->listener, 1), 0);
    assert_int_equal(getsockname(peer->listener, (struct sockaddr *)&address, &size), 0);
    snprintf(peer->server, sizeof peer->server, "inet:%u@127.0.0.1", ntohs(address.sin_port));
    assert_int_equal(pthread_create(&peer->thread, NULL, peer_run, peer), 0);
}

static void
peer_deinit(struct peer *peer)
{
    shutdown(peer->listener, SHUT_RDWR);
    pthread_join(peer->thread, NULL);
    close(peer->listener);
}

static struct flow_resubmit_args
args_of(const struct peer *peer)
{
    return (struct flow_resubmit_args){
        .server = peer->server,
        .helo = "gate.example",
        .sender = "alice@corp.example",
        .deadline_ms = clock_monotonic_ms() + 20000,
    };
}

static const char hello[] =
    "250-peer\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-smtputf8\r\n250 DSN\r\n";

static struct peer peer;

static struct flow_resubmit *
opened(const struct flow_resubmit_args *args)
{
    struct flow_resubmit *resubmit = NULL;
    struct err err = ERR_INIT;

    if (flow_resubmit_new(args, &resubmit, NULL, &err) != ERR_OK)
        fail_msg("%s", err.text);
    return resubmit;
}

static void
a_copy_is_dot_stuffed_and_keeps_its_parameters_however_it_is_cut(void **state)
{
    static const char *const script[] = { "220 peer\r\n",     hello,        "250 2.1.0 Ok\r\n",
                                          "250 2.1.5 Ok\r\n", "354 go\r\n", "250 2.0.0 queued\r\n",
                                          "221 bye\r\n",      NULL };
    static const char message[] = "Subject: x\r\n\r\n.\r\n..two\r\nthree.\r\n.four\r\n\r\nlast";
    static const char wire[] =
        "Subject: x\r\n\r\n..\r\n...two\r\nthree.\r\n..four\r\n\r\nlast\r\n.\r\n";
    static const size_t cuts[] = { 1, 2, 3, 7, 64, 4096 };

    (void)state;
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        struct flow_resubmit_args args;
        struct flow_resubmit_reply reply;
        enum flow_resubmit_end end;
        struct flow_resubmit *resubmit;
        struct stage *sink = NULL;
        struct err err = ERR_INIT;
        const char *data;

        peer_init(&peer, script);
        args = args_of(&peer);
        args.parameters = "SIZE=1234 BODY=8BITMIME RET=HDRS ENVID=QQ314159 AUTH=<> X=y";
        args.is_8bit = args.is_utf8 = true;
        resubmit = opened(&args);
        assert_int_equal(flow_resubmit_add(resubmit, "bob@partner.example",
                                           "notify=SUCCESS,DELAY ORCPT=rfc822;Bob+40x FOO=bar",
                                           &reply, &err),
                         ERR_OK);
        assert_int_equal(reply.code, 250);
        assert_string_equal(reply.enhanced, "2.1.5");
        assert_int_equal(flow_resubmit_open(resubmit, &sink, &reply, &err), ERR_OK);
        for (size_t from = 0; from < sizeof message - 1; from += cuts[i]) {
            size_t n = sizeof message - 1 - from < cuts[i] ? sizeof message - 1 - from : cuts[i];
            assert_int_equal(stage_write(sink, span_of(message + from, n), &err), ERR_OK);
        }
        assert_int_equal(stage_finish(sink, &err), ERR_OK);
        assert_int_equal(flow_resubmit_close(resubmit, &end, &reply, &err), ERR_OK);
        assert_int_equal(end, FLOW_RESUBMIT_TAKEN);
        stage_free(&sink);
        flow_resubmit_free(&resubmit);
        peer_deinit(&peer);
        data = strstr(peer.got, "DATA\r\n");
        assert_non_null(data);
        assert_memory_equal(peer.got,
                            "EHLO gate.example\r\n"
                            "MAIL FROM:<alice@corp.example> BODY=8BITMIME SMTPUTF8 RET=HDRS "
                            "ENVID=QQ314159\r\n"
                            "RCPT TO:<bob@partner.example> notify=SUCCESS,DELAY "
                            "ORCPT=rfc822;Bob+40x\r\n",
                            (size_t)(data - peer.got));
        assert_memory_equal(data + 6, wire, sizeof wire - 1);
        assert_string_equal(data + 6 + sizeof wire - 1, "QUIT\r\n");
    }
}

static void
a_bare_newline_never_leaves(void **state)
{
    static const char *const script[] = { "220 peer\r\n", hello,        "250 Ok\r\n", "250 Ok\r\n",
                                          "354 go\r\n",   "250 Ok\r\n", NULL };
    static const char *const bad[] = { "a\n.\nMAIL FROM:<x>", "a\rb", "a\r\r\n", "\n", "a\n\r\n" };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        for (size_t cut = 1; cut < 4; cut++) {
            struct flow_resubmit_args args;
            struct flow_resubmit_reply reply;
            enum flow_resubmit_end end;
            struct flow_resubmit *resubmit;
            struct stage *sink = NULL;
            struct err err = ERR_INIT;
            enum err_code code = ERR_OK;

            peer_init(&peer, script);
            args = args_of(&peer);
            resubmit = opened(&args);
            assert_int_equal(flow_resubmit_add(resubmit, "bob@x.example", NULL, &reply, &err), 0);
            assert_int_equal(flow_resubmit_open(resubmit, &sink, &reply, &err), ERR_OK);
            for (size_t from = 0; code == ERR_OK && from < strlen(bad[i]); from += cut) {
                size_t left = strlen(bad[i]) - from;
                code = stage_write(sink, span_of(bad[i] + from, left < cut ? left : cut), &err);
            }
            if (code == ERR_OK)
                code = stage_finish(sink, &err);
            assert_int_equal(code, ERR_BUG);
            err_reset(&err);
            assert_int_equal(flow_resubmit_close(resubmit, &end, &reply, &err), ERR_BUG);
            assert_int_not_equal(end, FLOW_RESUBMIT_TAKEN);
            stage_free(&sink);
            flow_resubmit_free(&resubmit);
            peer_deinit(&peer);
            assert_null(strstr(peer.got, "\r\n.\r\n"));
        }
    }
}

static void
each_recipient_has_his_own_answer(void **state)
{
    static const char *const script[] = { "220 peer\r\n",
                                          hello,
                                          "250 Ok\r\n",
                                          "250 2.1.5 Ok\r\n",
                                          "550-5.1.1 no such\r\n550 5.1.1 person\r\n",
                                          "451 4.7.1 later\r\n",
                                          "421 4.3.2 closing\r\n",
                                          NULL };
    static const int codes[] = { 250, 550, 451 };
    struct flow_resubmit_args args;
    struct flow_resubmit_reply reply;
    struct flow_resubmit *resubmit;
    struct err err = ERR_INIT;

    (void)state;
    peer_init(&peer, script);
    args = args_of(&peer);
    resubmit = opened(&args);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(flow_resubmit_add(resubmit, "bob@x.example", NULL, &reply, &err), ERR_OK);
        assert_int_equal(reply.code, codes[i]);
        if (i == 1)
            assert_string_equal(reply.text, "5.1.1 no such 5.1.1 person");
    }
    /* 421 ends it for all. */
    assert_int_equal(flow_resubmit_add(resubmit, "eve@x.example", NULL, &reply, &err), ERR_TEMP);
    err_reset(&err);
    assert_int_equal(flow_resubmit_add(resubmit, "eve@x.example", NULL, &reply, &err), ERR_TEMP);
    flow_resubmit_free(&resubmit);
    peer_deinit(&peer);
}

/* Sends a small message to a peer that follows `script`; where it ended. */
static enum err_code
ending(const char *const *script, int64_t patience_ms, enum flow_resubmit_end *end,
       struct flow_resubmit_reply *reply)
{
    struct flow_resubmit_args args;
    struct flow_resubmit *resubmit = NULL;
    struct stage *sink = NULL;
    struct err err = ERR_INIT;

    *end = FLOW_RESUBMIT_REFUSED;
    peer_init(&peer, script);
    args = args_of(&peer);
    args.deadline_ms = clock_monotonic_ms() + patience_ms;
    if (flow_resubmit_new(&args, &resubmit, reply, &err) == ERR_OK &&
        flow_resubmit_add(resubmit, "bob@x.example", NULL, reply, &err) == ERR_OK &&
        reply->code == 250 && flow_resubmit_open(resubmit, &sink, reply, &err) == ERR_OK &&
        stage_write(sink, span_str("a: b\r\n\r\nx\r\n"), &err) == ERR_OK &&
        stage_finish(sink, &err) == ERR_OK)
        (void)!flow_resubmit_close(resubmit, end, reply, &err);
    stage_free(&sink);
    flow_resubmit_free(&resubmit);
    peer_deinit(&peer);
    return err.code;
}

static void
every_way_to_end_is_told_apart(void **state)
{
    static const char *const scripts[][8] = {
        { "220 a\r\n", hello, "250 a\r\n", "250 a\r\n", "354 a\r\n", "250 a\r\n", NULL },
        { "220 a\r\n", hello, "250 a\r\n", "250 a\r\n", "354 a\r\n", "550 5.7.1 no\r\n", NULL },
        { "220 a\r\n", hello, "250 a\r\n", "250 a\r\n", "354 a\r\n", "451 4.3.0 no\r\n", NULL },
        { "220 a\r\n", hello, "250 a\r\n", "250 a\r\n", "354 a\r\n", "", NULL },
        { "220 a\r\n", hello, "250 a\r\n", "250 a\r\n", "354 a\r\n", "...", NULL },
        { "220 a\r\n", hello, "250 a\r\n", "250 a\r\n", "354 a\r\n", "rubbish\r\n", NULL },
        { "220 a\r\n", hello, "250 a\r\n", "250 a\r\n", "", NULL },
        { "220 a\r\n", hello, "250 a\r\n", "250 a\r\n", "552 5.3.4 too much\r\n", NULL },
        { "220 a\r\n", hello, "", NULL },
        { "220 a\r\n", hello, "550 5.7.1 not you\r\n", NULL },
        { "220 a\r\n", "500 what\r\n", NULL },
        { "554 5.7.1 go away\r\n", NULL },
        { "421 4.3.2 busy\r\n", NULL },
        { "", NULL },
        { "...", NULL },
        { "SSH-2.0-OpenSSH\r\n", NULL },
    };
    static const struct {
        enum err_code code;
        enum flow_resubmit_end end;
        int reply;
    } expected[] = {
        { ERR_OK, FLOW_RESUBMIT_TAKEN, 250 },     { ERR_OK, FLOW_RESUBMIT_REFUSED, 550 },
        { ERR_OK, FLOW_RESUBMIT_REFUSED, 451 },   { ERR_OK, FLOW_RESUBMIT_LOST, 0 },
        { ERR_OK, FLOW_RESUBMIT_LOST, 0 },        { ERR_OK, FLOW_RESUBMIT_LOST, 0 },
        { ERR_TEMP, FLOW_RESUBMIT_REFUSED, 0 },   { ERR_PERM, FLOW_RESUBMIT_REFUSED, 552 },
        { ERR_TEMP, FLOW_RESUBMIT_REFUSED, 0 },   { ERR_PERM, FLOW_RESUBMIT_REFUSED, 550 },
        { ERR_TEMP, FLOW_RESUBMIT_REFUSED, 500 }, { ERR_TEMP, FLOW_RESUBMIT_REFUSED, 554 },
        { ERR_TEMP, FLOW_RESUBMIT_REFUSED, 421 }, { ERR_TEMP, FLOW_RESUBMIT_REFUSED, 0 },
        { ERR_TEMP, FLOW_RESUBMIT_REFUSED, 0 },   { ERR_TEMP, FLOW_RESUBMIT_REFUSED, 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        enum flow_resubmit_end end;
        struct flow_resubmit_reply reply = { .code = 0 };

        if (ending(scripts[i], 700, &end, &reply) != expected[i].code || end != expected[i].end ||
            reply.code != expected[i].reply)
            fail_msg("script %zu: end %d, reply %d %s", i, (int)end, reply.code, reply.text);
    }
}

static void
what_a_stranger_wrote_never_ends_a_command(void **state)
{
    static const char *const script[] = { "220 a\r\n", hello, "250 a\r\n", "250 a\r\n", NULL };
    static const char *const senders[] = { "a@x\r\nDATA", "a b@x", "a@x>", "a@x\t", "a@\x7f" };
    static const char *const parameters[] = { "RET=FULL\rX", "ENVID=a\nb", "ENVID=\t" };
    struct flow_resubmit *resubmit = NULL;

    (void)state;
    for (size_t i = 0; i < 5 + 3; i++) {
        struct flow_resubmit_args args;
        struct err err = ERR_INIT;

        peer_init(&peer, script);
        args = args_of(&peer);
        if (i < 5)
            args.sender = senders[i];
        else
            args.parameters = parameters[i - 5];
        assert_int_equal(flow_resubmit_new(&args, &resubmit, NULL, &err), ERR_PERM);
        peer_deinit(&peer);
        assert_string_equal(peer.got, "EHLO gate.example\r\n");
    }
}

static void
what_the_peer_cannot_carry_is_not_sent(void **state)
{
    static const char *const script[] = { "220 a\r\n", "250 peer\r\n", "250 a\r\n", "250 a\r\n",
                                          NULL };
    struct flow_resubmit *resubmit = NULL;
    struct flow_resubmit_reply reply;

    (void)state;
    for (int i = 0; i < 3; i++) {
        struct flow_resubmit_args args;
        struct err err = ERR_INIT;
        enum err_code code;

        peer_init(&peer, script);
        args = args_of(&peer);
        args.is_8bit = i == 0;
        args.is_utf8 = i == 1;
        args.parameters = "RET=FULL";
        code = flow_resubmit_new(&args, &resubmit, NULL, &err);
        assert_int_equal(code, i < 2 ? ERR_PERM : ERR_OK);
        if (code == ERR_OK)
            assert_int_equal(
                flow_resubmit_add(resubmit, "b@x.example", "NOTIFY=NEVER", &reply, &err), ERR_OK);
        flow_resubmit_free(&resubmit);
        peer_deinit(&peer);
    }
    assert_string_equal(peer.got, "EHLO gate.example\r\nMAIL FROM:<alice@corp.example>\r\n"
                                  "RCPT TO:<b@x.example>\r\n");
}

static void
a_reply_has_a_bound(void **state)
{
    static char many[FLOW_RESUBMIT_LINES * 16 + 64], lengthy[2 * FLOW_RESUBMIT_LINE_BYTES];
    const char *const scripts[][3] = { { "220 a\r\n", many, NULL }, { lengthy, NULL } };

    (void)state;
    for (int i = 0; i <= FLOW_RESUBMIT_LINES; i++)
        strcat(many, "250-more\r\n");
    strcat(many, "250 end\r\n");
    memset(lengthy, 'x', sizeof lengthy - 1);
    memcpy(lengthy, "220 ", 4);
    for (size_t i = 0; i < 2; i++) {
        enum flow_resubmit_end end;
        struct flow_resubmit_reply reply;

        assert_int_equal(ending(scripts[i], 5000, &end, &reply), ERR_TEMP);
    }
}

static void
a_server_that_is_not_there_is_temporary_and_one_that_is_none_is_not(void **state)
{
    static const struct {
        const char *server;
        enum err_code code;
    } rows[] = { { "inet:1@127.0.0.1", ERR_TEMP },
                 { "unix:/nonexistent/socket", ERR_TEMP },
                 { "inet:25", ERR_PERM },
                 { "smtp://x", ERR_PERM },
                 { "inet:999999999@127.0.0.1", ERR_PERM },
                 { "inet:@127.0.0.1", ERR_PERM } };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct flow_resubmit_args args = { .server = rows[i].server,
                                           .helo = "a",
                                           .sender = "",
                                           .deadline_ms = clock_monotonic_ms() + 5000 };
        struct flow_resubmit *resubmit = NULL;
        struct err err = ERR_INIT;

        if (flow_resubmit_new(&args, &resubmit, NULL, &err) != rows[i].code)
            fail_msg("%s: %d %s", rows[i].server, (int)err.code, err.text);
        assert_null(resubmit);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_copy_is_dot_stuffed_and_keeps_its_parameters_however_it_is_cut),
        cmocka_unit_test(a_bare_newline_never_leaves),
        cmocka_unit_test(each_recipient_has_his_own_answer),
        cmocka_unit_test(every_way_to_end_is_told_apart),
        cmocka_unit_test(what_a_stranger_wrote_never_ends_a_command),
        cmocka_unit_test(what_the_peer_cannot_carry_is_not_sent),
        cmocka_unit_test(a_reply_has_a_bound),
        cmocka_unit_test(a_server_that_is_not_there_is_temporary_and_one_that_is_none_is_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
