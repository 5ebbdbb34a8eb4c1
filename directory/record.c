#include "directory/record.h"

#include <stdlib.h>

#include "mime/base64.h"
#include "mime/local.h"
#include "util/buf.h"

enum { LINE_LIMIT = DIRECTORY_RECORD_LIMIT_VALUE / 3 * 4 + 4096 };

struct reader {
    const char *file;
    struct span text;
    size_t at;
    unsigned next_line; /* number of the line at `at` */
    unsigned line;      /* of the logical line in `logical` */
    struct buf logical; /* unfolded, without line break */
    struct buf value;   /* decoded base64 */
    size_t records;

    bool is_open; /* a record has begun */
    char *dn;
    unsigned dn_line;
    struct directory_attribute *list;
    char **blocks; /* what each attribute's name and value live in */
    size_t count;
    size_t cap;

    directory_record_fn *each;
    void *context;
};

static enum err_code
complain(const struct reader *reader, struct err *err, const char *text)
{
    return err_set(err, ERR_PERM, "%.200s:%u: %s", reader->file, reader->line, text);
}

static enum err_code
complain_limit(const struct reader *reader, struct err *err, const char *what, unsigned limit)
{
    return err_set(err, ERR_LIMIT, "%.200s:%u: more than %u %s", reader->file, reader->line, limit,
                   what);
}

/* ---- logical lines --------------------------------------------------------------------------- */

static struct span
take_physical(struct reader *reader)
{
    struct span rest = span_from(reader->text, reader->at);
    size_t n = span_find(rest, '\n');
    reader->at += n + (n < rest.n);
    reader->next_line++;
    if (n > 0 && n < rest.n && rest.p[n - 1] == '\r')
        n--;
    return span_of(rest.p, n);
}

static bool
at_continuation(const struct reader *reader)
{
    return reader->at < reader->text.n && reader->text.p[reader->at] == ' ';
}

/* Unfolds into `logical`. Comments are passed over, with their continuations. */
static enum err_code
take_line(struct reader *reader, bool *is_comment, struct err *err)
{
    reader->line = reader->next_line;
    struct span line = take_physical(reader);
    enum err_code code = ERR_OK;
    *is_comment = line.n > 0 && line.p[0] == '#';
    if (line.n > 0 && line.p[0] == ' ')
        return complain(reader, err, "a line begins with a space and continues nothing");
    buf_reset(&reader->logical);
    if (line.n == 0)
        return ERR_OK;
    for (;;) {
        if (!*is_comment) {
            if (line.n > LINE_LIMIT - reader->logical.n)
                return complain_limit(reader, err, "octets in a value",
                                      DIRECTORY_RECORD_LIMIT_VALUE);
            code = buf_append(&reader->logical, line, err);
        }
        if (code != ERR_OK || !at_continuation(reader))
            return code;
        line = span_from(take_physical(reader), 1);
    }
}

/* ---- attributes ------------------------------------------------------------------------------ */

/* AttributeDescription of RFC 2849: a name or an OID, and options. In place to lower case. */
static bool
lower_name(unsigned char *name, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char c = name[i];
        if (c >= 'A' && c <= 'Z')
            name[i] = c = (unsigned char)(c + ('a' - 'A'));
        bool is_alnum = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (!is_alnum && c != '.' && c != ';' && c != '_' && (c != '-' || i == 0))
            return false;
    }
    return n > 0 && n < 256;
}

/* Splits the logical line; the value is borrowed from the reader's buffers. */
static enum err_code
split_line(struct reader *reader, struct span *name, struct span *value, struct err *err)
{
    struct span line = buf_span(&reader->logical);
    size_t colon = span_find(line, ':');
    if (colon == line.n)
        return complain(reader, err, "a line without ':'");
    if (!lower_name(reader->logical.p, colon))
        return complain(reader, err, "not the name of an attribute before ':'");
    *name = span_of(line.p, colon);
    *value = span_from(line, colon + 1);
    bool is_base64 = value->n > 0 && value->p[0] == ':';
    if (value->n > 0 && value->p[0] == '<')
        return complain(reader, err, "a value from a URL (':<') is not read");
    if (is_base64)
        *value = span_from(*value, 1);
    while (value->n > 0 && value->p[0] == ' ')
        *value = span_from(*value, 1);
    if (is_base64) {
        struct err mine = ERR_INIT;
        buf_reset(&reader->value);
        enum err_code code = mime_base64_parse(*value, &reader->value, &mine);
        if (code == ERR_PERM)
            return complain(reader, err, "not base64 behind '::'");
        if (code == ERR_NOMEM)
            return err_set(err, code, "%s", mine.text);
        *value = buf_span(&reader->value);
        if (code == ERR_OK)
            return ERR_OK;
    } else if ((value->n > 0 && memchr(value->p, '\0', value->n)) ||
               (value->n > 0 && memchr(value->p, '\r', value->n)) || !mime_local_is_utf8(*value)) {
        return complain(reader, err, "a plain value with NUL, CR or bytes that are not UTF-8");
    }
    if (is_base64 || value->n > DIRECTORY_RECORD_LIMIT_VALUE)
        return complain_limit(reader, err, "octets in a value", DIRECTORY_RECORD_LIMIT_VALUE);
    return ERR_OK;
}

static enum err_code
make_room(struct reader *reader, struct err *err)
{
    if (reader->count < reader->cap)
        return ERR_OK;
    size_t cap = reader->cap ? reader->cap * 2 : 32;
    struct directory_attribute *list = realloc(reader->list, cap * sizeof *list);
    if (list)
        reader->list = list;
    char **blocks = list ? realloc(reader->blocks, cap * sizeof *blocks) : NULL;
    if (!blocks)
        return err_set(err, ERR_NOMEM, "no memory for a directory record");
    reader->blocks = blocks;
    reader->cap = cap;
    return ERR_OK;
}

static enum err_code
append_attribute(struct reader *reader, struct span name, struct span value, struct err *err)
{
    if (reader->count == DIRECTORY_RECORD_LIMIT_VALUES)
        return complain_limit(reader, err, "values in a record", DIRECTORY_RECORD_LIMIT_VALUES);
    enum err_code code = make_room(reader, err);
    char *block = code == ERR_OK ? malloc(name.n + value.n + 2) : NULL;
    if (!block)
        return err_set(err, ERR_NOMEM, "no memory for a directory record");
    memcpy(block, name.p, name.n);
    block[name.n] = '\0';
    if (value.n > 0)
        memcpy(block + name.n + 1, value.p, value.n);
    block[name.n + 1 + value.n] = '\0';
    reader->blocks[reader->count] = block;
    reader->list[reader->count++] = (struct directory_attribute){
        .name = block,
        .value = span_of(block + name.n + 1, value.n),
        .line = reader->line,
    };
    return ERR_OK;
}

/* ---- records --------------------------------------------------------------------------------- */

static void
drop_record(struct reader *reader)
{
    for (size_t i = 0; i < reader->count; i++)
        free(reader->blocks[i]);
    free(reader->dn);
    reader->dn = NULL;
    reader->count = 0;
    reader->is_open = false;
}

static enum err_code
end_record(struct reader *reader, struct err *err)
{
    if (!reader->is_open)
        return ERR_OK;
    struct directory_record record = {
        .file = reader->file,
        .dn = reader->dn,
        .line = reader->dn_line,
        .list = reader->list,
        .count = reader->count,
    };
    enum err_code code = reader->each(reader->context, &record, err);
    drop_record(reader);
    return code;
}

static enum err_code
begin_record(struct reader *reader, struct span name, struct span value, struct err *err)
{
    if (reader->records == 0 && span_equal(name, span_str("version"))) {
        if (!span_equal(value, span_str("1")))
            return complain(reader, err, "LDIF of another version than 1");
        return ERR_OK;
    }
    if (!span_equal(name, span_str("dn")))
        return complain(
            reader, err,
            "a record does not begin with 'dn' (ldapsearch writes clean LDIF with -LLL)");
    if (reader->records == DIRECTORY_RECORD_LIMIT_RECORDS)
        return complain_limit(reader, err, "records", DIRECTORY_RECORD_LIMIT_RECORDS);
    if (!mime_local_is_utf8(value) || (value.n > 0 && memchr(value.p, '\0', value.n)))
        return complain(reader, err, "a dn that is not UTF-8");
    reader->dn = span_dup(value);
    if (!reader->dn)
        return err_set(err, ERR_NOMEM, "no memory for a directory record");
    reader->records++;
    reader->dn_line = reader->line;
    reader->is_open = true;
    return ERR_OK;
}

static enum err_code
take_attribute(struct reader *reader, struct err *err)
{
    struct span name, value;
    enum err_code code = split_line(reader, &name, &value, err);
    if (code != ERR_OK)
        return code;
    if (!reader->is_open)
        return begin_record(reader, name, value, err);
    if (span_equal(name, span_str("dn")))
        return complain(reader, err, "a second 'dn' in a record: an empty line is missing");
    if (span_equal(name, span_str("changetype")) || span_equal(name, span_str("control")))
        return complain(reader, err, "a change record: only content is read");
    return append_attribute(reader, name, value, err);
}

enum err_code
directory_record_parse(const char *file, struct span text, directory_record_fn *each, void *context,
                       struct err *err)
{
    struct reader reader = {
        .file = file,
        .text = text,
        .next_line = 1,
        .each = each,
        .context = context,
    };
    enum err_code code = ERR_OK;
    buf_init(&reader.logical, LINE_LIMIT);
    buf_init(&reader.value, DIRECTORY_RECORD_LIMIT_VALUE);
    if (text.n > DIRECTORY_RECORD_LIMIT_FILE)
        code = err_set(err, ERR_LIMIT, "%.200s: more than %d octets", file,
                       DIRECTORY_RECORD_LIMIT_FILE);
    if (text.n >= 3 && memcmp(text.p, "\xef\xbb\xbf", 3) == 0)
        reader.at = 3;
    while (code == ERR_OK && reader.at < text.n) {
        bool is_comment;
        code = take_line(&reader, &is_comment, err);
        if (code != ERR_OK || is_comment)
            continue;
        code = reader.logical.n == 0 ? end_record(&reader, err) : take_attribute(&reader, err);
    }
    if (code == ERR_OK)
        code = end_record(&reader, err);
    drop_record(&reader);
    free(reader.list);
    free(reader.blocks);
    buf_free(&reader.logical);
    buf_free(&reader.value);
    return code;
}

/* ---- copies ---------------------------------------------------------------------------------- */

enum err_code
directory_attributes_copy(const struct directory_record *record, size_t limit_bytes,
                          struct directory_attributes *out, struct err *err)
{
    *out = (struct directory_attributes){ .list = calloc(record->count + 1, sizeof *out->list) };
    if (!out->list)
        return err_set(err, ERR_NOMEM, "no memory for a directory record");
    for (size_t i = 0; i < record->count; i++) {
        const struct directory_attribute *from = &record->list[i];
        size_t n = strlen(from->name) + 1;
        if (from->value.n > limit_bytes)
            continue;
        char *block = malloc(n + from->value.n + 1);
        if (!block) {
            directory_attributes_free(out);
            return err_set(err, ERR_NOMEM, "no memory for a directory record");
        }
        memcpy(block, from->name, n);
        if (from->value.n > 0)
            memcpy(block + n, from->value.p, from->value.n);
        block[n + from->value.n] = '\0';
        out->list[out->count++] = (struct directory_attribute){
            .name = block, .value = span_of(block + n, from->value.n), .line = from->line
        };
    }
    return ERR_OK;
}

void
directory_attributes_free(struct directory_attributes *attributes)
{
    for (size_t i = 0; i < attributes->count; i++)
        free((void *)attributes->list[i].name);
    free(attributes->list);
    *attributes = (struct directory_attributes){ .list = NULL };
}
