#include "milter/control_cache.h"

#include <string.h>

#include "milter/control_json.h"
#include "util/clock.h"

struct number {
    const char *name;
    int64_t value;
};

static enum err_code
append_numbers(struct buf *out, const struct number *list, size_t count, struct err *err)
{
    for (size_t i = 0; i < count; i++)
        if (milter_control_append_number(out, list[i].name, list[i].value, err))
            return err->code;
    return ERR_OK;
}

#define APPEND(out, err, list) append_numbers(out, list, sizeof(list) / sizeof *(list), err)

enum err_code
milter_control_cache_append_stats(struct pki_evidence *evidence, struct buf *out, struct err *err)
{
    struct pki_evidence_stats stats;

    pki_evidence_get_stats(evidence, &stats);
    const struct number list[] = {
        { "cache_entries", (int64_t)stats.entries },   { "cache_failing", (int64_t)stats.failing },
        { "cache_bytes", (int64_t)stats.held_bytes },  { "cache_hits", (int64_t)stats.hits },
        { "cache_misses", (int64_t)stats.misses },     { "cache_waited", (int64_t)stats.waited },
        { "fetches", (int64_t)stats.fetch.exchanges },
    };
    return APPEND(out, err, list);
}

static enum err_code
format_stats(struct pki_evidence *evidence, struct buf *out, struct err *err)
{
    struct pki_evidence_stats s;

    pki_evidence_get_stats(evidence, &s);
    const struct number list[] = {
        { "entries", (int64_t)s.entries },
        { "failing", (int64_t)s.failing },
        { "bytes", (int64_t)s.held_bytes },
        { "hits", (int64_t)s.hits },
        { "misses", (int64_t)s.misses },
        { "waited", (int64_t)s.waited },
        { "refreshed", (int64_t)s.refreshed },
        { "failed", (int64_t)s.failed },
        { "evicted", (int64_t)s.evicted },
        { "fetch_requests", (int64_t)s.fetch.exchanges },
        { "fetch_bytes", (int64_t)s.fetch.bytes },
        { "fetch_found", (int64_t)s.fetch.found },
        { "fetch_not_there", (int64_t)s.fetch.not_there },
        { "fetch_failed", (int64_t)s.fetch.failed },
        { "fetch_refused", (int64_t)s.fetch.refused },
        { "shared_hits", (int64_t)s.shared.hits },
        { "shared_misses", (int64_t)s.shared.misses },
        { "shared_errors", (int64_t)s.shared.errors },
        { "shared_refused", (int64_t)s.shared.refused },
        { "shared_stored", (int64_t)s.shared.stored },
        { "shared_kept", (int64_t)s.shared.kept },
        { "shared_entries", (int64_t)s.shared.entries },
        { "shared_bytes", (int64_t)s.shared.held_bytes },
    };
    if (buf_append_str(out, "{\"ok\": true", err) || APPEND(out, err, list))
        return err->code;
    return buf_append_str(out, "}\n", err);
}

/* ---- show --------------------------------------------------------------------------------------
 */

/* Room for one entry with the longest name, and for the end. */
enum { ENTRY_BYTES = 65536 };

struct show {
    struct buf *out;
    struct err *err;
    size_t count, left_out;
};

static enum err_code
append_entry(struct buf *out, const struct pki_evidence_entry *entry, struct err *err)
{
    const struct number list[] = {
        { "fetched", (int64_t)entry->fetched_at },
        { "this_update", (int64_t)entry->this_update },
        { "next_update", (int64_t)entry->next_update },
        { "refresh", (int64_t)entry->refresh_at },
        { "bytes", (int64_t)entry->bytes },
        { "hits", (int64_t)entry->hits },
        { "used", (int64_t)entry->used_at },
        { "failing_since", (int64_t)entry->failing_since },
    };

    if (buf_appendf(out, err, "{\"kind\": \"%s\"", pki_evidence_kind_name(entry->kind)) ||
        buf_append_str(out, ", \"name\": ", err) ||
        milter_control_append_escaped(out, entry->name, err) ||
        milter_control_append_text(out, "source", entry->source, err) || APPEND(out, err, list) ||
        milter_control_append_text(out, "reason", entry->reason, err) ||
        milter_control_append_text(out, "text", entry->reason ? entry->text : NULL, err))
        return err->code;
    return buf_append_byte(out, '}', err);
}

static bool
show_entry(void *context, const struct pki_evidence_entry *entry)
{
    struct show *show = context;

    if (show->count >= MILTER_CONTROL_CACHE_ENTRIES ||
        show->out->n + ENTRY_BYTES > show->out->limit_bytes) {
        show->left_out++;
        return true;
    }
    if (show->count++ > 0 && buf_append_str(show->out, ", ", show->err))
        return false;
    return append_entry(show->out, entry, show->err) == ERR_OK;
}

static enum err_code
format_show(struct pki_evidence *evidence, struct buf *out, struct err *err)
{
    struct show show = { .out = out, .err = err };

    if (buf_appendf(out, err, "{\"ok\": true, \"now\": %lld, \"entries\": [",
                    (long long)clock_now_s()))
        return err->code;
    pki_evidence_each(evidence, show_entry, &show);
    if (err->code)
        return err->code;
    return buf_appendf(out, err, "], \"left_out\": %zu}\n", show.left_out);
}

/* ---- flush -------------------------------------------------------------------------------------
 */

static enum err_code
format_flush(struct pki_evidence *evidence, const char *rest, struct buf *out, struct err *err)
{
    static const char shared[] = " shared";
    bool shared_too = strncmp(rest, shared, sizeof shared - 1) == 0 &&
                      (rest[sizeof shared - 1] == ' ' || rest[sizeof shared - 1] == '\0');
    struct err why = ERR_INIT;
    size_t count = 0;

    if (shared_too)
        rest += sizeof shared - 1;
    if (*rest == ' ')
        rest++;
    if (pki_evidence_flush(evidence, span_str(rest), shared_too, &count, &why) != ERR_OK) {
        /* Of this process it is gone all the same. */
        if (buf_appendf(out, err, "{\"ok\": false, \"flushed\": %zu", count) ||
            milter_control_append_text(out, "error", why.text, err))
            return err->code;
        return buf_append_str(out, "}\n", err);
    }
    return buf_appendf(out, err, "{\"ok\": true, \"flushed\": %zu}\n", count);
}

enum err_code
milter_control_cache_format(struct pki_evidence *evidence, const char *command, struct buf *out,
                            struct err *err)
{
    if (strcmp(command, "stats") == 0)
        return format_stats(evidence, out, err);
    if (strcmp(command, "show") == 0)
        return format_show(evidence, out, err);
    if (strncmp(command, "flush", 5) == 0 && (command[5] == ' ' || command[5] == '\0'))
        return format_flush(evidence, command + 5, out, err);
    return err_set(err, ERR_NOTFOUND, "there are cache stats, cache show and cache flush");
}
