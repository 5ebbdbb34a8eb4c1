#include "flow/notice_template.h"

#include <string.h>

#include "mime/local.h"
#include "util/file.h"

static const char subject_field[] = "Subject: ";

static unsigned
line_of(const struct flow_notice_template *template, const unsigned char *at)
{
    unsigned line = 1;

    for (const unsigned char *p = template->bytes.p; p < at; p++)
        line += *p == '\n';
    return line;
}

static enum err_code
part_add(struct flow_notice_template *template, struct span text, int name, struct err *err)
{
    if (text.n == 0)
        return ERR_OK;
    if (template->count == FLOW_NOTICE_TEMPLATE_PARTS)
        return err_set(err, ERR_PERM, "more than %d pieces", FLOW_NOTICE_TEMPLATE_PARTS);
    template->parts[template->count++] = (struct flow_notice_part){ .text = text, .name = name };
    return ERR_OK;
}

static int
name_find(const char *const *names, struct span name)
{
    for (int i = 0; names[i]; i++) {
        if (names[i][0] && span_equal(name, span_str(names[i])))
            return i;
    }
    return -1;
}

static enum err_code
text_parse(struct flow_notice_template *template, struct span text, const char *const *names,
           struct err *err)
{
    while (text.n > 0) {
        size_t open = span_find(text, '{'), close;
        struct span name;
        int index;

        if (part_add(template, span_of(text.p, open), -1, err) != ERR_OK)
            return err->code;
        text = span_from(text, open);
        if (text.n == 0)
            break;
        close = span_find(text, '}');
        name = span_of(text.p + 1, close > 0 ? close - 1 : 0);
        index = close < text.n ? name_find(names, name) : -1;
        if (index < 0)
            return err_set(err, ERR_PERM, "line %u: there is no value {%.*s}",
                           line_of(template, text.p), (int)(name.n < 30 ? name.n : 30),
                           (const char *)name.p);
        if (part_add(template, name, index, err) != ERR_OK)
            return err->code;
        text = span_from(text, close + 1);
    }
    return ERR_OK;
}

static enum err_code
template_parse(struct flow_notice_template *template, const char *const *names, struct err *err)
{
    struct span bytes = buf_span(&template->bytes), subject;
    size_t end = span_find(bytes, '\n');

    for (size_t i = 0; i < bytes.n; i++) {
        if (bytes.p[i] != '\n' && bytes.p[i] != '\t' && (bytes.p[i] < ' ' || bytes.p[i] == 0x7f))
            return err_set(err, ERR_PERM, "line %u: a control character (lines end in LF)",
                           line_of(template, bytes.p + i));
    }
    if (!mime_local_is_utf8(bytes))
        return err_set(err, ERR_PERM, "it is not UTF-8");
    subject = span_of(bytes.p, end);
    if (!span_starts_nocase(subject, subject_field) || end + 1 >= bytes.n ||
        bytes.p[end + 1] != '\n')
        return err_set(err, ERR_PERM, "line 1: \"%s...\" and an empty line are expected",
                       subject_field);
    if (text_parse(template, span_from(subject, strlen(subject_field)), names, err) != ERR_OK)
        return err->code;
    template->subject_count = template->count;
    return text_parse(template, span_from(bytes, end + 2), names, err);
}

enum err_code
flow_notice_template_load(const char *path, size_t limit_bytes, const char *const *names,
                          struct flow_notice_template *out, struct err *err)
{
    const struct file_read_args args = { .limit_bytes = limit_bytes, .forbidden_mode = 0002 };
    enum err_code code;

    *out = (struct flow_notice_template){ .count = 0 };
    buf_init(&out->bytes, limit_bytes);
    code = file_read(path, &args, &out->bytes, err);
    if (code == ERR_OK && template_parse(out, names, err) != ERR_OK)
        code = err_prefix(err, "%.200s", path);
    return code;
}

void
flow_notice_template_free(struct flow_notice_template *template)
{
    buf_free(&template->bytes);
    template->count = 0;
}

enum err_code
flow_notice_template_format(const struct flow_notice_template *template, bool subject,
                            const char *const *values, struct buf *out, struct err *err)
{
    size_t i = subject ? 0 : template->subject_count;
    size_t end = subject ? template->subject_count : template->count;
    enum err_code code = ERR_OK;

    for (; code == ERR_OK && i < end; i++) {
        const struct flow_notice_part *part = &template->parts[i];

        code = buf_append(out, part->name < 0 ? part->text : span_str(values[part->name]), err);
    }
    return code;
}
