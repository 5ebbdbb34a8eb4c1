#include "cache/redis.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <hiredis/hiredis.h>

#include "util/clock.h"

enum {
    CACHE_REDIS_PIECE_BYTES = 65536,
    CACHE_REDIS_LINE_BYTES = 4096, /* status, error, integer, lengths */
    CACHE_REDIS_LEAST_BYTES = 65536,
};

struct cache_redis {
    redisContext *context;
    redisReplyObjectFunctions functions;
    redisReply *reply; /* what the last answer points into */
    bool dead;
    unsigned char piece[CACHE_REDIS_PIECE_BYTES];
};

/* In place of hiredis' own: `*2147483647` from a poisoned server allocates nothing, and arrays in
 * arrays are in no answer that we ask for. NULL is an error that ends the connection. */
static void *
cache_redis_make_array(const redisReadTask *task, int count)
{
    redisReply *reply;

    if (task->parent || count < 0 || count > CACHE_REDIS_ELEMENTS)
        return NULL;
    reply = calloc(1, sizeof *reply);
    if (!reply)
        return NULL;
    reply->type = REDIS_REPLY_ARRAY;
    reply->element = calloc(CACHE_REDIS_ELEMENTS, sizeof(redisReply *));
    if (!reply->element) {
        free(reply);
        return NULL;
    }
    reply->elements = (size_t)count;
    return reply;
}

void
cache_redis_free(struct cache_redis **redis)
{
    if (!redis || !*redis)
        return;
    if ((*redis)->reply)
        freeReplyObject((*redis)->reply);
    if ((*redis)->context)
        redisFree((*redis)->context);
    free(*redis);
    *redis = NULL;
}

/* Every way in which a connection dies. */
static enum err_code
cache_redis_fail(struct cache_redis *redis, enum err_code code, struct err *err, const char *why)
{
    redis->dead = true;
    return err_set(err, code, "%.200s", why);
}

static enum err_code
cache_redis_wait(struct cache_redis *redis, short events, int64_t deadline_ms, struct err *err)
{
    struct pollfd fd = { .fd = redis->context->fd, .events = events };

    for (;;) {
        int64_t left_ms = deadline_ms - clock_monotonic_ms();
        int n;

        if (left_ms <= 0)
            return cache_redis_fail(redis, ERR_TEMP, err, "no answer in time");
        n = poll(&fd, 1, left_ms > 60000 ? 60000 : (int)left_ms);
        if (n > 0)
            return ERR_OK; /* an error or hang-up shows at the read or write */
        if (n < 0 && errno != EINTR)
            return cache_redis_fail(redis, ERR_TEMP, err, strerror(errno));
    }
}

static enum err_code
cache_redis_send(struct cache_redis *redis, struct span bytes, int64_t deadline_ms, struct err *err)
{
    while (bytes.n > 0) {
        ssize_t n = send(redis->context->fd, bytes.p, bytes.n, MSG_NOSIGNAL);

        if (n >= 0) {
            bytes = span_from(bytes, (size_t)n);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            enum err_code rc = cache_redis_wait(redis, POLLOUT, deadline_ms, err);
            if (rc != ERR_OK)
                return rc;
        } else if (errno != EINTR) {
            return cache_redis_fail(redis, ERR_TEMP, err, strerror(errno));
        }
    }
    return ERR_OK;
}

/* The length that a bulk string announces in its first line; 0 for anything else. The reader would
 * go on reading up to 512 MiB. */
static uint64_t
cache_redis_announced(const unsigned char *p, size_t n)
{
    uint64_t length = 0;

    if (n == 0 || p[0] != '$')
        return 0;
    for (size_t i = 1; i < n && i < 20 && p[i] >= '0' && p[i] <= '9'; i++)
        length = length * 10 + (uint64_t)(p[i] - '0');
    return length;
}

static enum err_code
cache_redis_receive(struct cache_redis *redis, const struct cache_redis_question *question,
                    struct err *err)
{
    redisReader *reader = redis->context->reader;
    size_t bound = question->limit_bytes + CACHE_REDIS_LINE_BYTES, total = 0;
    int64_t deadline_ms = question->deadline_ms;
    void *reply = NULL;

    if (bound < CACHE_REDIS_LEAST_BYTES)
        bound = CACHE_REDIS_LEAST_BYTES;
    while (!reply) {
        ssize_t n = recv(redis->context->fd, redis->piece, sizeof redis->piece, 0);

        if (n == 0)
            return cache_redis_fail(redis, ERR_TEMP, err, "the server closed the connection");
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            enum err_code rc = cache_redis_wait(redis, POLLIN, deadline_ms, err);
            if (rc != ERR_OK)
                return rc;
        }
        if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
            return cache_redis_fail(redis, ERR_TEMP, err, strerror(errno));
        if (n < 0)
            continue;
        if (total == 0) {
            uint64_t announced = cache_redis_announced(redis->piece, (size_t)n);

            if (announced > question->limit_bytes)
                return cache_redis_fail(redis, ERR_LIMIT, err, "the value is too long");
            deadline_ms += (int64_t)(announced / CACHE_REDIS_RATE);
        }
        total += (size_t)n;
        if (total > bound)
            return cache_redis_fail(redis, ERR_LIMIT, err, "the answer is too long");
        if (redisReaderFeed(reader, (const char *)redis->piece, (size_t)n) != REDIS_OK ||
            redisReaderGetReply(reader, &reply) != REDIS_OK)
            return cache_redis_fail(redis, ERR_TEMP, err, "the answer is not one of Redis");
        /* A drip of single octets does not pass the wait above when data is always there. */
        if (!reply && clock_monotonic_ms() > deadline_ms)
            return cache_redis_fail(redis, ERR_TEMP, err, "no whole answer in time");
    }
    redis->reply = reply;
    if (reader->pos != reader->len)
        return cache_redis_fail(redis, ERR_TEMP, err, "more than one answer to one question");
    return ERR_OK;
}

static struct span
cache_redis_text(const redisReply *reply)
{
    if (!reply || (reply->type != REDIS_REPLY_STRING && reply->type != REDIS_REPLY_STATUS &&
                   reply->type != REDIS_REPLY_ERROR))
        return span_of(NULL, 0);
    return span_of(reply->str, reply->len);
}

static enum err_code
cache_redis_read(struct cache_redis *redis, struct cache_redis_answer *answer, struct err *err)
{
    static const struct {
        int type;
        enum cache_redis_kind kind;
    } kinds[] = {
        { REDIS_REPLY_NIL, CACHE_REDIS_KIND_NIL },
        { REDIS_REPLY_STRING, CACHE_REDIS_KIND_STRING },
        { REDIS_REPLY_STATUS, CACHE_REDIS_KIND_STATUS },
        { REDIS_REPLY_INTEGER, CACHE_REDIS_KIND_INTEGER },
        { REDIS_REPLY_ERROR, CACHE_REDIS_KIND_ERROR },
        { REDIS_REPLY_ARRAY, CACHE_REDIS_KIND_ARRAY },
    };
    const redisReply *reply = redis->reply;

    *answer = (struct cache_redis_answer){ .kind = CACHE_REDIS_KIND_NIL };
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (kinds[i].type != reply->type)
            continue;
        answer->kind = kinds[i].kind;
        answer->text = cache_redis_text(reply);
        answer->integer = reply->type == REDIS_REPLY_INTEGER ? reply->integer : 0;
        answer->count = reply->type == REDIS_REPLY_ARRAY ? reply->elements : 0;
        for (size_t j = 0; j < answer->count; j++)
            answer->elements[j] = cache_redis_text(reply->element[j]);
        return ERR_OK;
    }
    return cache_redis_fail(redis, ERR_TEMP, err, "an answer of unknown type");
}

enum err_code
cache_redis_ask(struct cache_redis *redis, const struct cache_redis_question *question,
                struct cache_redis_answer *answer, struct err *err)
{
    const char *arguments[CACHE_REDIS_ARGUMENTS];
    size_t sizes[CACHE_REDIS_ARGUMENTS];
    struct cache_redis_question extended = *question;
    char *command = NULL;
    enum err_code rc;
    int n;

    if (redis->dead || question->count == 0 || question->count > CACHE_REDIS_ARGUMENTS)
        return cache_redis_fail(redis, ERR_BUG, err, "a dead connection or no command");
    if (redis->reply)
        freeReplyObject(redis->reply);
    redis->reply = NULL;
    for (size_t i = 0; i < question->count; i++) {
        arguments[i] = question->arguments[i].n ? (const char *)question->arguments[i].p : "";
        sizes[i] = question->arguments[i].n;
    }
    n = redisFormatCommandArgv(&command, (int)question->count, arguments, sizes);
    if (n < 0)
        return cache_redis_fail(redis, ERR_NOMEM, err, "out of memory");
    extended.deadline_ms += n / CACHE_REDIS_RATE;
    rc = cache_redis_send(redis, span_of(command, (size_t)n), extended.deadline_ms, err);
    explicit_bzero(command, (size_t)n); /* AUTH */
    redisFreeCommand(command);
    if (rc == ERR_OK)
        rc = cache_redis_receive(redis, &extended, err);
    if (rc == ERR_OK)
        rc = cache_redis_read(redis, answer, err);
    return rc;
}

bool
cache_redis_is_usable(const struct cache_redis *redis)
{
    struct pollfd fd = { .fd = redis->context->fd, .events = POLLIN };

    return !redis->dead && poll(&fd, 1, 0) == 0;
}

/* A command at the beginning, which must be answered by OK. */
static enum err_code
cache_redis_greet(struct cache_redis *redis, const struct span *arguments, size_t count,
                  int64_t deadline_ms, struct err *err)
{
    const struct cache_redis_question question = {
        .arguments = arguments,
        .count = count,
        .deadline_ms = deadline_ms,
    };
    struct cache_redis_answer answer;
    enum err_code rc = cache_redis_ask(redis, &question, &answer, err);

    if (rc == ERR_OK && answer.kind != CACHE_REDIS_KIND_STATUS) {
        redis->dead = true;
        rc = err_set(err, ERR_TEMP, "%s refused: %.*s", (const char *)arguments[0].p,
                     (int)(answer.text.n < 200 ? answer.text.n : 200),
                     answer.text.n ? (const char *)answer.text.p : "");
    }
    return rc == ERR_LIMIT ? ERR_TEMP : rc;
}

static enum err_code
cache_redis_login(struct cache_redis *redis, const struct cache_redis_server *server,
                  int64_t deadline_ms, struct err *err)
{
    enum err_code rc = ERR_OK;

    if (server->password) {
        struct span auth[3] = { span_str("AUTH"), span_str(server->user) };
        size_t n = server->user ? 2 : 1;

        auth[n++] = span_str(server->password);
        rc = cache_redis_greet(redis, auth, n, deadline_ms, err);
    }
    if (rc == ERR_OK && server->database) {
        struct span choose[2] = { span_str("SELECT") };
        char number[16];

        snprintf(number, sizeof number, "%u", server->database);
        choose[1] = span_str(number);
        rc = cache_redis_greet(redis, choose, 2, deadline_ms, err);
    }
    return rc;
}

/* The connection was begun; it is made when the socket can be written to and holds no error. */
static enum err_code
cache_redis_connected(struct cache_redis *redis, int64_t deadline_ms, struct err *err)
{
    redisContext *context = redis->context;
    int error = 0, one = 1;
    socklen_t size = sizeof error;
    enum err_code rc;

    if (context->err)
        return cache_redis_fail(redis, ERR_TEMP, err, context->errstr);
    (void)fcntl(context->fd, F_SETFD, FD_CLOEXEC);
    rc = cache_redis_wait(redis, POLLOUT, deadline_ms, err);
    if (rc != ERR_OK)
        return rc;
    if (getsockopt(context->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
        error = errno;
    if (error)
        return cache_redis_fail(redis, ERR_TEMP, err, strerror(error));
    /* Fails on a Unix socket, where there is nothing to switch off. */
    (void)setsockopt(context->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    redis->functions = *context->reader->fn;
    redis->functions.createArray = cache_redis_make_array;
    context->reader->fn = &redis->functions;
    return ERR_OK;
}

enum err_code
cache_redis_new(const struct cache_redis_server *server, int64_t deadline_ms,
                struct cache_redis **out, struct err *err)
{
    struct cache_redis *redis = calloc(1, sizeof *redis);
    enum err_code rc;

    if (!redis)
        return err_set(err, ERR_NOMEM, "out of memory");
    redis->context = server->socket ? redisConnectUnixNonBlock(server->socket)
                                    : redisConnectNonBlock(server->host, (int)server->port);
    rc = redis->context ? cache_redis_connected(redis, deadline_ms, err)
                        : err_set(err, ERR_NOMEM, "out of memory");
    if (rc == ERR_OK)
        rc = cache_redis_login(redis, server, deadline_ms, err);
    if (rc != ERR_OK) {
        cache_redis_free(&redis);
        return server->socket ? err_prefix(err, "Redis at %.100s", server->socket)
                              : err_prefix(err, "Redis at %.100s:%u", server->host, server->port);
    }
    *out = redis;
    return ERR_OK;
}
