#include "ctl/message.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/context.h"
#include "mime/address.h"
#include "flow/entity.h"

enum { MESSAGE_PIECE = 65536 };

static enum err_code
message_open(const char *path, int *fd, struct err *err)
{
    *fd = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (*fd >= 0)
        return ERR_OK;
    if (errno == ENOENT)
        return err_set(err, ERR_NOTFOUND, "there is no file %s", path);
    if (errno == EACCES)
        return err_set(err, ERR_PERM, "%s may not be read by this user", path);
    return err_set_errno(err, errno, "cannot open %s", path);
}

static enum err_code
message_read(int fd, const char *path, struct flow_raw *raw, unsigned char *piece, struct err *err)
{
    enum err_code code = ERR_OK;

    while (code == ERR_OK) {
        ssize_t n = read(fd, piece, MESSAGE_PIECE);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set_errno(err, errno, "cannot read %s", path);
        if (n == 0)
            return flow_raw_finish(raw, err);
        code = flow_raw_write(raw, span_of(piece, (size_t)n), err);
    }
    return code;
}

enum err_code
ctl_message_copy(const char *path, flow_raw_header_fn *header, flow_raw_body_fn *body,
                 void *context, struct err *err)
{
    const struct flow_raw_args args = {
        .limit_header_bytes = CTL_MESSAGE_HEADER, .header = header, .body = body, .context = context
    };
    unsigned char *piece = malloc(MESSAGE_PIECE);
    struct flow_raw *raw = NULL;
    int fd = -1;
    enum err_code code;

    code = piece ? message_open(path, &fd, err) : err_set(err, ERR_NOMEM, "no memory for %s", path);
    if (code == ERR_OK)
        code = flow_raw_new(&args, &raw, err);
    if (code == ERR_OK)
        code = message_read(fd, path, raw, piece, err);
    flow_raw_free(&raw);
    if (fd > STDIN_FILENO)
        close(fd);
    if (piece)
        explicit_bzero(piece, MESSAGE_PIECE);
    free(piece);
    return code;
}

enum err_code
ctl_message_spool_new(struct spool **out, struct err *err)
{
    return spool_new(&(struct spool_args){ .folder = ctl_context_scratch(),
                                           .memory_bytes = CTL_MESSAGE_MEMORY,
                                           .limit_bytes = UINT64_MAX },
                     out, err);
}

enum err_code
ctl_message_header_dup(const struct mime_header *header, struct mime_header **out, struct err *err)
{
    enum err_code code =
        mime_header_new(CTL_MESSAGE_HEADER * 2, MIME_HEADER_LIMIT_FIELDS, out, err);

    for (size_t i = 0; code == ERR_OK && i < mime_header_count(header); i++) {
        struct mime_header_field field = mime_header_get(header, i);

        code = mime_header_set(*out, field.name, field.value, err);
    }
    if (code != ERR_OK)
        mime_header_free(out);
    return code;
}

static enum err_code
message_take_header(void *context, const struct mime_header *header, struct err *err)
{
    struct ctl_message *message = context;
    enum err_code code = ctl_message_header_dup(header, &message->header, err);

    if (code == ERR_OK)
        code = flow_entity_format_header(header, &message->entity_header, err);
    if (code == ERR_OK)
        code = mime_scan_write(message->scan, buf_span(&message->entity_header), err);
    return code;
}

static enum err_code
message_take_body(void *context, struct span piece, struct err *err)
{
    struct ctl_message *message = context;
    enum err_code code = mime_scan_write(message->scan, piece, err);

    return code == ERR_OK ? spool_write(message->spool, piece, err) : code;
}

enum err_code
ctl_message_load(const char *path, struct ctl_message *message, struct err *err)
{
    enum err_code code;

    *message = (struct ctl_message){ .header = NULL };
    buf_init(&message->entity_header, CTL_MESSAGE_HEADER * 2);
    code = ctl_message_spool_new(&message->spool, err);
    if (code == ERR_OK)
        code = mime_scan_new(&message->scan, err);
    if (code == ERR_OK)
        code = ctl_message_copy(path, message_take_header, message_take_body, message, err);
    if (code == ERR_OK)
        code = mime_scan_finish(message->scan, err);
    if (code == ERR_OK)
        code = spool_finish(message->spool, err);
    if (code != ERR_OK)
        ctl_message_free(message);
    return code;
}

void
ctl_message_free(struct ctl_message *message)
{
    mime_header_free(&message->header);
    mime_scan_free(&message->scan);
    spool_free(&message->spool);
    buf_free(&message->entity_header);
}

/* ---- edits -------------------------------------------------------------------------------------
 */

/* The fields as a list that can be cut and pasted; pieces are borrowed from header and edits. */
struct fields {
    struct mime_header_field *list;
    bool *spaced; /* the value brings its own leading space */
    size_t count;
};

static void
fields_delete(struct fields *fields, const char *name, unsigned nth)
{
    for (size_t i = 0; i < fields->count; i++) {
        if (!span_equal_nocase(fields->list[i].name, name) || --nth > 0)
            continue;
        fields->count--;
        memmove(&fields->list[i], &fields->list[i + 1], (fields->count - i) * sizeof *fields->list);
        memmove(&fields->spaced[i], &fields->spaced[i + 1], fields->count - i);
        return;
    }
}

static void
fields_insert(struct fields *fields, const struct flow_edit *edit)
{
    size_t at = edit->index < fields->count ? edit->index : fields->count;

    memmove(&fields->list[at + 1], &fields->list[at], (fields->count - at) * sizeof *fields->list);
    memmove(&fields->spaced[at + 1], &fields->spaced[at], fields->count - at);
    fields->list[at] =
        (struct mime_header_field){ .name = span_str(edit->name), .value = span_str(edit->value) };
    fields->spaced[at] = false;
    fields->count++;
}

static void
fields_change(struct fields *fields, const struct flow_edit *edit)
{
    unsigned nth = edit->index;

    for (size_t i = 0; i < fields->count; i++) {
        if (!span_equal_nocase(fields->list[i].name, edit->name) || --nth > 0)
            continue;
        fields->list[i].name = span_str(edit->name);
        fields->list[i].value = span_str(edit->value);
        fields->spaced[i] = true;
        return;
    }
}

static enum err_code
fields_format(const struct fields *fields, struct buf *out, struct err *err)
{
    struct mime_header *edited = NULL;
    struct buf value = BUF_INIT(CTL_MESSAGE_HEADER * 2);
    enum err_code code =
        mime_header_new(CTL_MESSAGE_HEADER * 2, MIME_HEADER_LIMIT_FIELDS * 2, &edited, err);

    for (size_t i = 0; code == ERR_OK && i < fields->count; i++) {
        buf_reset(&value);
        if (!fields->spaced[i])
            code = buf_append_byte(&value, ' ', err);
        if (code == ERR_OK)
            code = buf_append(&value, fields->list[i].value, err);
        if (code == ERR_OK)
            code = mime_header_set(edited, fields->list[i].name, buf_span(&value), err);
    }
    if (code == ERR_OK)
        code = mime_header_format(edited, out, err);
    if (code == ERR_OK)
        code = buf_append_str(out, "\r\n", err);
    mime_header_free(&edited);
    buf_free(&value);
    return code;
}

enum err_code
ctl_message_format_edited(const struct mime_header *header, const struct flow_edits *edits,
                          struct buf *out, struct err *err)
{
    size_t count = mime_header_count(header), room = count + edits->count + 1;
    struct fields fields = { .list = calloc(room, sizeof *fields.list),
                             .spaced = calloc(room, sizeof *fields.spaced) };
    enum err_code code = ERR_OK;

    if (!fields.list || !fields.spaced)
        code = err_set(err, ERR_NOMEM, "no memory for the header section");
    for (size_t i = 0; code == ERR_OK && i < count; i++) {
        fields.list[fields.count] = mime_header_get(header, i);
        fields.spaced[fields.count++] = true;
    }
    for (size_t i = 0; code == ERR_OK && i < edits->count; i++) {
        const struct flow_edit *edit = &edits->list[i];

        if (edit->kind == FLOW_EDIT_DELETE_HEADER)
            fields_delete(&fields, edit->name, edit->index);
        else if (edit->kind == FLOW_EDIT_INSERT_HEADER)
            fields_insert(&fields, edit);
        else if (edit->kind == FLOW_EDIT_CHANGE_HEADER)
            fields_change(&fields, edit);
    }
    if (code == ERR_OK)
        code = fields_format(&fields, out, err);
    free(fields.list);
    free(fields.spaced);
    return code;
}

enum err_code
ctl_message_addresses(const struct mime_header *header, const char *name,
                      ctl_message_address_fn *each, void *context, struct err *err)
{
    struct mime_header_field field;
    enum err_code code = ERR_OK;

    for (size_t nth = 0; code == ERR_OK && mime_header_find(header, name, nth, &field); nth++) {
        struct mime_addresses *addresses = NULL;

        code = mime_address_parse(field.value, MIME_ADDRESS_LIMIT, &addresses, err);
        for (size_t i = 0; code == ERR_OK && i < mime_address_count(addresses); i++) {
            char formatted[MIME_ADDRESS_SIZE];
            struct err ignored = ERR_INIT;

            enum err_code found =
                mime_address_format(span_str(mime_address_get(addresses, i)), formatted, &ignored);

            if (found == ERR_OK)
                code = each(context, formatted, err);
            else if (found == ERR_NOMEM)
                code = err_set(err, found, "%s", ignored.text);
        }
        mime_address_free(&addresses);
    }
    return code;
}
