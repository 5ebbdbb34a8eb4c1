#include "mime/part.h"

#include <strings.h>

#include "mime/boundary.h"
#include "mime/header.h"
#include "mime/line.h"

enum { PART_LIMIT_FIELDS = 2000 };

/* The Content-Type of a composite part must be beyond doubt: two readers that find two boundaries
 * in it see two different messages. */
enum {
    PART_DOUBTFUL = MIME_PARAMETER_DUPLICATE | MIME_PARAMETER_SYNTAX | MIME_PARAMETER_CONTINUATION |
                    MIME_PARAMETER_COMMENT | MIME_PARAMETER_EIGHTBIT | MIME_PARAMETER_EXTENDED
};

bool
mime_part_is_field(struct span line, bool *is_obsolete)
{
    size_t n = 0, name_n;

    *is_obsolete = false;
    if (line.n > MIME_LINE_LIMIT_BYTES)
        line.n = MIME_LINE_LIMIT_BYTES;
    while (n < line.n && line.p[n] > ' ' && line.p[n] < 0x7f && line.p[n] != ':')
        n++;
    name_n = n;
    while (n < line.n && (line.p[n] == ' ' || line.p[n] == '\t'))
        n++;
    if (name_n == 0 || n == line.n || line.p[n] != ':')
        return false;
    *is_obsolete = n > name_n;
    return true;
}

/* ---- Content-Transfer-Encoding -----------------------------------------------------------------
 */

static enum mime_entity_encoding
part_encoding(const char *value)
{
    static const struct {
        const char *name;
        enum mime_entity_encoding encoding;
    } known[] = {
        { "7bit", MIME_ENTITY_7BIT },     { "8bit", MIME_ENTITY_8BIT },
        { "binary", MIME_ENTITY_BINARY }, { "quoted-printable", MIME_ENTITY_QP },
        { "base64", MIME_ENTITY_BASE64 },
    };
    size_t i;

    for (i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcasecmp(value, known[i].name) == 0)
            return known[i].encoding;
    }
    return MIME_ENTITY_OTHER;
}

/* Some readers compare the whole value with the name, others take the first word of it. */
static enum err_code
part_load_one_encoding(struct span value, struct mime_entity_part *part, struct err *err)
{
    struct mime_parameters *parameters = NULL;
    enum err_code code = mime_parameter_parse(value, &parameters, err);
    enum mime_entity_encoding encoding;
    const char *word;

    if (code != ERR_OK)
        return code;
    word = mime_parameter_value(parameters);
    encoding = part_encoding(word);
    while (value.n > 0 && (value.p[0] == ' ' || value.p[0] == '\t'))
        value = span_from(value, 1);
    if (encoding == MIME_ENTITY_7BIT || encoding == MIME_ENTITY_8BIT ||
        encoding == MIME_ENTITY_BINARY)
        value = span_trim(value);
    part->encoding_odd |= !span_equal_nocase(value, word);
    part->encoding_8bit |= encoding == MIME_ENTITY_8BIT || encoding == MIME_ENTITY_BINARY;
    part->encoding = encoding;
    mime_parameter_free(&parameters);
    return ERR_OK;
}

static enum err_code
part_load_encoding(const struct mime_header *header, struct mime_entity_part *part, struct err *err)
{
    size_t i = mime_header_find_count(header, "Content-Transfer-Encoding");
    struct mime_header_field field;
    enum err_code code = ERR_OK;

    part->encoding = MIME_ENTITY_7BIT;
    part->encoding_odd = i > 1;
    part->encoding_8bit = false;
    while (i-- > 0 && code == ERR_OK) { /* backwards: the first one stays */
        if (mime_header_find(header, "Content-Transfer-Encoding", i, &field))
            code = part_load_one_encoding(field.value, part, err);
    }
    return code;
}

/* ---- Content-Type ------------------------------------------------------------------------------
 */

static bool
part_mentions(struct span value, const char *word)
{
    size_t i;

    for (i = 0; i < value.n; i++) {
        if (span_starts_nocase(span_from(value, i), word))
            return true;
    }
    return false;
}

/* Without quotes a boundary with a space or a special in it ends at different places. */
static bool
part_is_token(struct span text)
{
    size_t i;

    for (i = 0; i < text.n; i++) {
        if (text.p[i] <= ' ' || text.p[i] >= 0x7f || strchr("()<>@,;\\\"[]", text.p[i]))
            return false;
    }
    return true;
}

static void
part_judge_multipart(struct mime_entity_part *part, struct mime_part_facts *facts)
{
    struct span boundary = mime_parameter_find(facts->type, "boundary");
    unsigned flags = mime_parameter_flags(facts->type);

    while (boundary.n > 0 &&
           (boundary.p[boundary.n - 1] == ' ' || boundary.p[boundary.n - 1] == '\t'))
        boundary.n--;
    facts->is_digest = strcmp(mime_parameter_value(facts->type), "multipart/digest") == 0;
    if (!boundary.p || !mime_boundary_is_usable(boundary)) {
        facts->doubt = "a multipart without a usable boundary parameter";
        part->is_composite = true;
        return;
    }
    part->kind = MIME_ENTITY_MULTIPART;
    facts->boundary = boundary;
    if ((flags & MIME_PARAMETER_UNQUOTED) && !part_is_token(boundary))
        facts->doubt = "a boundary parameter without the quotes it needs";
    if (part->encoding > MIME_ENTITY_BINARY)
        facts->doubt = "a multipart with a transfer encoding (RFC 2045 6.4)";
}

static void
part_judge_type(struct span value, struct mime_entity_part *part, struct mime_part_facts *facts)
{
    const char *type = mime_parameter_value(facts->type);
    bool is_message = strncmp(type, "message/", 8) == 0;

    if (strncmp(type, "multipart/", 10) == 0) {
        part_judge_multipart(part, facts);
    } else if (is_message) {
        if ((strcmp(type + 8, "rfc822") == 0 || strcmp(type + 8, "global") == 0) &&
            part->encoding <= MIME_ENTITY_BINARY)
            part->kind = MIME_ENTITY_MESSAGE;
        else
            part->is_composite = true;
    } else {
        part->is_text = strncmp(type, "text/", 5) == 0 || !strchr(type, '/');
        if (part_mentions(value, "multipart/") || part_mentions(value, "message/"))
            facts->doubt = "a Content-Type that some readers take for a composite one";
        return;
    }
    if (!facts->doubt && (mime_parameter_flags(facts->type) & PART_DOUBTFUL))
        facts->doubt = "a multipart or message with a Content-Type that readers differ about";
}

enum err_code
mime_part_load(struct span section, bool in_digest, struct mime_entity_part *part,
               struct mime_part_facts *facts, struct err *err)
{
    struct mime_header *header = NULL;
    struct mime_header_field field;
    enum err_code code;

    *facts = (struct mime_part_facts){ .type = NULL };
    part->kind = MIME_ENTITY_LEAF;
    part->is_text = part->is_composite = false;
    code = mime_header_new(MIME_ENTITY_LIMIT_HEADER, PART_LIMIT_FIELDS, &header, err);
    if (code == ERR_OK)
        code = mime_header_parse(header, section, err);
    if (code == ERR_OK)
        code = part_load_encoding(header, part, err);
    if (code != ERR_OK)
        goto out;
    part->has_mime_version = mime_header_find_count(header, "MIME-Version") > 0;
    if (!mime_header_find(header, "Content-Type", 0, &field)) {
        if (in_digest && part->encoding <= MIME_ENTITY_BINARY)
            part->kind = MIME_ENTITY_MESSAGE;
        part->is_composite = in_digest && part->kind == MIME_ENTITY_LEAF;
        part->is_text = !in_digest;
        goto out;
    }
    code = mime_parameter_parse(field.value, &facts->type, err);
    if (code != ERR_OK)
        goto out;
    part_judge_type(field.value, part, facts);
    if (mime_header_find_count(header, "Content-Type") > 1)
        facts->doubt = "more than one Content-Type in a header section";
out:
    mime_header_free(&header);
    return code;
}

void
mime_part_free(struct mime_part_facts *facts)
{
    mime_parameter_free(&facts->type);
    facts->boundary = span_of(NULL, 0);
}
