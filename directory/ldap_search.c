#include "directory/ldap_search.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "directory/directory.h"
#include "util/clock.h"

/* One request: a search, or the rest of a ranged attribute of one of its entries. */
struct job {
    size_t search;
    size_t entry;    /* of the search; SIZE_MAX: the search itself */
    char *attribute; /* "member;range=1500-*" */
    size_t from;     /* the first value that is asked for */
    bool is_paged;
    struct berval cookie; /* of the next page */
    int id;               /* of the message; 0: not sent */
    bool is_ready;        /* to be sent in this round */
    bool is_done;
};

struct engine {
    const struct directory_ldap_run *run;
    struct directory_ldap_search *searches;
    struct job *jobs;
    size_t count, cap;
    size_t sent, outstanding;
    int64_t round_deadline_ms;
    bool is_broken;
    struct err *err;
};

static enum err_code
out_of_memory(struct err *err)
{
    return err_set(err, ERR_NOMEM, "no memory for an answer of a directory");
}

static enum err_code
broken(struct engine *engine, int code, const char *what)
{
    engine->is_broken = true;
    return directory_ldap_connection_error(engine->run->connection, code, what, engine->err);
}

static void
found_free(struct directory_ldap_found *found)
{
    free(found->dn);
    directory_attributes_free(&found->attributes);
}

void
directory_ldap_search_reset(struct directory_ldap_search *search)
{
    for (size_t i = 0; i < search->count; i++)
        found_free(&search->list[i]);
    free(search->list);
    search->list = NULL;
    search->count = search->cap = 0;
    search->outcome = DIRECTORY_LDAP_UNKNOWN;
    search->is_referred = false;
}

static enum err_code
append_job(struct engine *engine, const struct job *job)
{
    if (engine->count == engine->cap) {
        size_t cap = engine->cap ? 2 * engine->cap : 16;
        struct job *jobs = realloc(engine->jobs, cap * sizeof *jobs);
        if (!jobs)
            return out_of_memory(engine->err);
        engine->jobs = jobs;
        engine->cap = cap;
    }
    engine->jobs[engine->count++] = *job;
    return ERR_OK;
}

/* ---- sending --------------------------------------------------------------------------------- */

static const int scopes[] = {
    [DIRECTORY_SCOPE_BASE] = LDAP_SCOPE_BASE,
    [DIRECTORY_SCOPE_ONE] = LDAP_SCOPE_ONELEVEL,
    [DIRECTORY_SCOPE_SUB] = LDAP_SCOPE_SUBTREE,
};

static enum err_code
send_job(struct engine *engine, struct job *job)
{
    const struct directory_ldap_run *run = engine->run;
    const struct directory_ldap_search *search = &engine->searches[job->search];
    bool is_range = job->entry != SIZE_MAX;
    char *one[] = { job->attribute, NULL };
    LDAPControl *page = NULL, *controls[] = { NULL, NULL };
    int64_t left_ms = engine->round_deadline_ms - clock_monotonic_ms();
    struct timeval limit = { .tv_sec = left_ms > 0 ? left_ms / 1000 + 1 : 1 };
    if (left_ms <= 0) {
        engine->is_broken = true;
        return err_set(engine->err, ERR_TEMP, "no time left to ask");
    }
    if (job->is_paged) {
        int code = ldap_create_page_control(run->connection->ldap, (ber_int_t)run->page_size,
                                            job->cookie.bv_val ? &job->cookie : NULL, 0, &page);
        if (code != LDAP_SUCCESS)
            return broken(engine, code, "no paging");
        controls[0] = page;
    }
    int code = ldap_search_ext(run->connection->ldap,
                               is_range ? search->list[job->entry].dn : search->base,
                               is_range ? LDAP_SCOPE_BASE : scopes[search->scope],
                               is_range ? "(objectClass=*)" : search->filter,
                               is_range ? one : (char **)(uintptr_t)run->attributes, 0, controls,
                               NULL, &limit, LDAP_NO_LIMIT, &job->id);
    if (page)
        ldap_control_free(page);
    if (code == LDAP_FILTER_ERROR)
        return err_set(engine->err, ERR_PERM, "a search whose filter is none");
    if (code != LDAP_SUCCESS)
        return broken(engine, code, "cannot ask");
    engine->outstanding++;
    run->counts->searches++;
    return ERR_OK;
}

/* Sends on until the window is full. */
static enum err_code
send_ready(struct engine *engine)
{
    enum err_code code = ERR_OK;
    for (; code == ERR_OK && engine->sent < engine->count; engine->sent++) {
        struct job *job = &engine->jobs[engine->sent];
        if (!job->is_ready || job->is_done)
            continue;
        if (engine->outstanding == DIRECTORY_LDAP_WINDOW)
            break;
        code = send_job(engine, job);
    }
    return code;
}

/* ---- entries --------------------------------------------------------------------------------- */

/* "member;range=0-1499": where it begins and ends; *last is SIZE_MAX for "*". False: no range. */
static bool
parse_range(const char *name, size_t *type_length, size_t *first, size_t *last)
{
    const char *option = strcasestr(name, ";range=");
    unsigned long from, to;
    char star;
    int end = 0;
    if (!option)
        return false;
    *type_length = (size_t)(option - name);
    if (sscanf(option + 7, "%9lu-%9lu%n", &from, &to, &end) == 2 && end > 0) {
        *first = from;
        *last = to;
        return true;
    }
    if (sscanf(option + 7, "%9lu-%c", &from, &star) == 2 && star == '*') {
        *first = from;
        *last = SIZE_MAX;
        return true;
    }
    return false;
}

static size_t
count_type(const struct directory_attributes *attributes, const char *type, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < attributes->count; i++) {
        const char *name = attributes->list[i].name;
        count += strncasecmp(name, type, n) == 0 && (name[n] == '\0' || name[n] == ';');
    }
    return count;
}

static size_t
count_values(const struct berval *values)
{
    size_t count = 0;
    while (values && values[count].bv_val)
        count++;
    return count;
}

/* Appends values under the name `name` (n octets). */
static enum err_code
append_values(struct engine *engine, struct directory_attributes *to, const char *name, size_t n,
              const struct berval *values)
{
    size_t more = count_values(values);
    if (to->count + more > DIRECTORY_LIMIT_MEMBERS + 1000)
        return err_set(engine->err, ERR_LIMIT, "an entry with more than %d members",
                       DIRECTORY_LIMIT_MEMBERS);
    struct directory_attribute *list = realloc(to->list, (to->count + more + 1) * sizeof *list);
    if (!list)
        return out_of_memory(engine->err);
    to->list = list;
    for (size_t i = 0; i < more; i++) {
        size_t length = values[i].bv_len;
        char *block = malloc(n + 1 + length + 1);
        if (!block)
            return out_of_memory(engine->err);
        memcpy(block, name, n);
        block[n] = '\0';
        if (length > 0)
            memcpy(block + n + 1, values[i].bv_val, length);
        block[n + 1 + length] = '\0';
        list[to->count++] =
            (struct directory_attribute){ .name = block, .value = span_of(block + n + 1, length) };
    }
    return ERR_OK;
}

static enum err_code
append_range_job(struct engine *engine, size_t search, size_t entry, const char *name, size_t n,
                 size_t from)
{
    char text[400];
    struct job job = { .search = search, .entry = entry, .from = from };
    if (from > DIRECTORY_LIMIT_MEMBERS)
        return err_set(engine->err, ERR_LIMIT, "an entry with more than %d members",
                       DIRECTORY_LIMIT_MEMBERS);
    snprintf(text, sizeof text, "%.*s;range=%zu-*", (int)n, name, from);
    job.attribute = strdup(text);
    if (!job.attribute)
        return out_of_memory(engine->err);
    enum err_code code = append_job(engine, &job);
    if (code != ERR_OK)
        free(job.attribute);
    return code;
}

/* One attribute of an entry. Active Directory sends "member" without values beside
 * "member;range=0-1499", before or behind it. */
static enum err_code
take_attribute(struct engine *engine, struct job *job, size_t entry, const char *name,
               const struct berval *values)
{
    struct directory_ldap_search *search = &engine->searches[job->search];
    struct directory_attributes *to = &search->list[entry].attributes;
    size_t n = strlen(name), first = 0, last = SIZE_MAX;
    bool is_range = parse_range(name, &n, &first, &last);
    size_t count = count_values(values);
    if (n > 255)
        return ERR_OK;
    if (!is_range)
        return append_values(engine, to, name, n, values);
    size_t wanted = job->entry == SIZE_MAX ? 0 : job->from;
    if (first != wanted || count_type(to, name, n) != wanted || (last != SIZE_MAX && count == 0) ||
        (last != SIZE_MAX && last - first + 1 != count)) {
        engine->is_broken = true;
        return err_set(engine->err, ERR_TEMP, "a range of values that is not the one asked for");
    }
    size_t search_index = job->search; /* `job` moves when another one is appended */
    enum err_code code = append_values(engine, to, name, n, values);
    if (code == ERR_OK && last != SIZE_MAX)
        code = append_range_job(engine, search_index, entry, name, n, last + 1);
    return code;
}

/* A new entry of a search, still without attributes. */
static enum err_code
append_found(struct engine *engine, struct directory_ldap_search *search, struct berval dn)
{
    char *copy = span_dup(span_of(dn.bv_val, dn.bv_len));
    if (!copy && memchr(dn.bv_val, '\0', dn.bv_len))
        return broken(engine, LDAP_DECODING_ERROR, "an entry without a name");
    if (copy && search->count == search->cap) {
        size_t cap = search->cap ? 2 * search->cap : 4;
        struct directory_ldap_found *list = realloc(search->list, cap * sizeof *list);
        if (list) {
            search->list = list;
            search->cap = cap;
        }
    }
    if (!copy || search->count == search->cap) {
        free(copy);
        return out_of_memory(engine->err);
    }
    search->list[search->count++] = (struct directory_ldap_found){ .dn = copy };
    engine->run->counts->entries++;
    return ERR_OK;
}

/* In the order of the message, and not by name: RFC 4511 4.1.7 forbids an attribute that comes
 * twice, and slapd sends one if its database was loaded so; asked by name, libldap gives the first
 * one twice. */
static enum err_code
take_attributes(struct engine *engine, size_t at, size_t entry, LDAPMessage *message,
                BerElement *position)
{
    LDAP *ldap = engine->run->connection->ldap;
    enum err_code code = ERR_OK;
    struct berval name, *values;
    char text[300];
    while (code == ERR_OK) {
        values = NULL;
        if (ldap_get_attribute_ber(ldap, message, position, &name, &values) != LDAP_SUCCESS)
            return broken(engine, LDAP_DECODING_ERROR, "an entry that cannot be read");
        if (!name.bv_val)
            break;
        if (name.bv_len < sizeof text && !memchr(name.bv_val, '\0', name.bv_len)) {
            memcpy(text, name.bv_val, name.bv_len);
            text[name.bv_len] = '\0';
            code = take_attribute(engine, &engine->jobs[at], entry, text, values);
        }
        ber_memfree(values);
    }
    return code;
}

static enum err_code
take_entry(struct engine *engine, size_t at, LDAPMessage *message)
{
    struct job *job = &engine->jobs[at];
    struct directory_ldap_search *search = &engine->searches[job->search];
    size_t entry = job->entry;
    BerElement *position = NULL;
    struct berval dn;
    if (search->outcome == DIRECTORY_LDAP_OVER)
        return ERR_OK;
    if (entry == SIZE_MAX) {
        if (search->count == search->limit) {
            directory_ldap_search_reset(search);
            search->outcome = DIRECTORY_LDAP_OVER;
            (void)ldap_abandon_ext(engine->run->connection->ldap, job->id, NULL, NULL);
            job->is_done = true;
            engine->outstanding--;
            return ERR_OK;
        }
    }
    if (ldap_get_dn_ber(engine->run->connection->ldap, message, &position, &dn) != LDAP_SUCCESS)
        return broken(engine, LDAP_DECODING_ERROR, "an entry without a name");
    enum err_code code = ERR_OK;
    if (entry == SIZE_MAX) {
        entry = search->count;
        code = append_found(engine, search, dn);
    }
    if (code == ERR_OK)
        code = take_attributes(engine, at, entry, message, position);
    ber_free(position, 0);
    return code;
}

/* ---- results --------------------------------------------------------------------------------- */

/* The cookie of the next page into the job; empty: that was the last. */
static enum err_code
take_cookie(struct engine *engine, struct job *job, LDAPControl **controls)
{
    LDAPControl *control = ldap_control_find(LDAP_CONTROL_PAGEDRESULTS, controls, NULL);
    ber_int_t estimate = 0;
    ber_memfree(job->cookie.bv_val);
    job->cookie = (struct berval){ .bv_val = NULL };
    if (!control)
        return ERR_OK; /* the server knows no pages, and that was all of it */
    int code = ldap_parse_pageresponse_control(engine->run->connection->ldap, control, &estimate,
                                               &job->cookie);
    if (code != LDAP_SUCCESS)
        return broken(engine, code, "a page without its cookie");
    return ERR_OK;
}

static enum err_code
judge_result(struct engine *engine, struct job *job, int result, LDAPControl **controls)
{
    struct directory_ldap_search *search = &engine->searches[job->search];
    bool is_range = job->entry != SIZE_MAX;
    job->is_done = true;
    switch (result) {
    case LDAP_SUCCESS:
        if (job->is_paged && !is_range) {
            enum err_code code = take_cookie(engine, job, controls);
            if (code != ERR_OK)
                return code;
            if (job->cookie.bv_len > 0) {
                job->is_done = job->is_ready = false;
                return ERR_OK;
            }
        }
        if (!is_range)
            search->outcome = DIRECTORY_LDAP_ANSWERED;
        return ERR_OK;
    case LDAP_NO_SUCH_OBJECT:
    case LDAP_INVALID_DN_SYNTAX:
        if (is_range)
            return err_set(engine->err, ERR_TEMP, "an entry went away while it was read");
        search->outcome = DIRECTORY_LDAP_NO_OBJECT;
        return ERR_OK;
    case LDAP_SIZELIMIT_EXCEEDED:
    case LDAP_ADMINLIMIT_EXCEEDED:
        if (is_range || job->is_paged)
            return directory_ldap_connection_error(engine->run->connection, result,
                                                   "a limit of the server on one answer",
                                                   engine->err);
        directory_ldap_search_reset(search);
        if (search->can_halve) {
            search->outcome = DIRECTORY_LDAP_TOO_MANY;
            return ERR_OK;
        }
        job->is_paged = true;
        job->is_done = job->is_ready = false;
        return ERR_OK;
    case LDAP_BUSY:
    case LDAP_UNAVAILABLE:
    case LDAP_TIMELIMIT_EXCEEDED:
    case LDAP_OPERATIONS_ERROR: /* what Active Directory says to who did not bind */
    case LDAP_OTHER:
        return broken(engine, result, "the server cannot answer");
    default:
        /* Also referral: the server says that another one would know. */
        return directory_ldap_connection_error(engine->run->connection, result,
                                               "the server does not answer", engine->err);
    }
}

static enum err_code
take_result(struct engine *engine, size_t at, LDAPMessage *message)
{
    struct job *job = &engine->jobs[at];
    LDAP *ldap = engine->run->connection->ldap;
    LDAPControl **controls = NULL;
    int result = LDAP_OTHER;
    int code = ldap_parse_result(ldap, message, &result, NULL, NULL, NULL, &controls, 0);
    engine->outstanding--;
    job->id = 0;
    if (code != LDAP_SUCCESS)
        return broken(engine, code, "an answer that cannot be read");
    enum err_code rc = judge_result(engine, job, result, controls);
    if (controls)
        ldap_controls_free(controls);
    return rc;
}

static size_t
find_job(const struct engine *engine, int id)
{
    for (size_t i = 0; i < engine->count; i++) {
        if (engine->jobs[i].id == id && !engine->jobs[i].is_done)
            return i;
    }
    return SIZE_MAX;
}

static enum err_code
take_message(struct engine *engine, LDAPMessage *message)
{
    size_t at = find_job(engine, ldap_msgid(message));
    if (at == SIZE_MAX) {
        /* Of an abandoned search; or unasked, which is a notice of disconnection. */
        if (ldap_msgid(message) == 0)
            return broken(engine, LDAP_SERVER_DOWN, "the server ends the connection");
        return ERR_OK;
    }
    switch (ldap_msgtype(message)) {
    case LDAP_RES_SEARCH_ENTRY:
        return take_entry(engine, at, message);
    case LDAP_RES_SEARCH_REFERENCE:
        engine->searches[engine->jobs[at].search].is_referred = true;
        return ERR_OK;
    case LDAP_RES_SEARCH_RESULT:
        return take_result(engine, at, message);
    default:
        return ERR_OK; /* intermediate responses */
    }
}

static enum err_code
receive(struct engine *engine)
{
    LDAP *ldap = engine->run->connection->ldap;
    LDAPMessage *message = NULL;
    int64_t left_ms = engine->round_deadline_ms - clock_monotonic_ms();
    struct timeval limit = { .tv_sec = left_ms / 1000, .tv_usec = left_ms % 1000 * 1000 };
    int type = left_ms > 0 ? ldap_result(ldap, LDAP_RES_ANY, LDAP_MSG_ONE, &limit, &message) : 0;
    if (type == 0) {
        engine->is_broken = true;
        return err_set(engine->err, ERR_TEMP, "no answer in time");
    }
    if (type < 0) {
        int code = LDAP_SERVER_DOWN;
        (void)ldap_get_option(ldap, LDAP_OPT_RESULT_CODE, &code);
        return broken(engine, code == LDAP_SUCCESS ? LDAP_SERVER_DOWN : code, "no answer");
    }
    enum err_code code = take_message(engine, message);
    ldap_msgfree(message);
    return code;
}

/* ---- rounds ---------------------------------------------------------------------------------- */

/* What can be asked now: everything, but one search in pages at a time. False: nothing is left. */
static bool
begin_round(struct engine *engine)
{
    bool has_pages = false, has_any = false;
    for (size_t i = 0; i < engine->count; i++) {
        struct job *job = &engine->jobs[i];
        if (job->is_done)
            continue;
        job->is_ready = !job->is_paged || !has_pages;
        has_pages |= job->is_paged;
        has_any |= job->is_ready;
    }
    engine->sent = 0;
    return has_any;
}

static enum err_code
run_rounds(struct engine *engine)
{
    enum err_code code = ERR_OK;
    while (code == ERR_OK && begin_round(engine)) {
        const struct directory_ldap_run *run = engine->run;
        size_t end = engine->count;
        int64_t round_ms = clock_monotonic_ms() + run->round_ms;
        engine->round_deadline_ms = round_ms < run->deadline_ms ? round_ms : run->deadline_ms;
        run->counts->waits++;
        code = directory_guard_set(run->connection->guard, &run->connection->watch,
                                   engine->round_deadline_ms, engine->err);
        if (code == ERR_OK)
            code = send_ready(engine);
        while (code == ERR_OK && engine->outstanding > 0) {
            code = receive(engine);
            if (code == ERR_OK && engine->sent < end)
                code = send_ready(engine);
        }
    }
    return code;
}

enum err_code
directory_ldap_search_run(const struct directory_ldap_run *run,
                          struct directory_ldap_search *searches, size_t count, bool *is_broken,
                          struct err *err)
{
    struct engine engine = { .run = run, .searches = searches, .err = err };
    enum err_code code = ERR_OK;
    for (size_t i = 0; code == ERR_OK && i < count; i++) {
        directory_ldap_search_reset(&searches[i]);
        code = append_job(&engine, &(struct job){ .search = i, .entry = SIZE_MAX });
    }
    if (code == ERR_OK)
        code = run_rounds(&engine);
    *is_broken = engine.is_broken;
    for (size_t i = 0; i < engine.count; i++) {
        free(engine.jobs[i].attribute);
        ber_memfree(engine.jobs[i].cookie.bv_val);
    }
    free(engine.jobs);
    return code;
}
