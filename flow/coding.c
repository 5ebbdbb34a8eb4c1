#include "flow/coding.h"

#include "mime/base64.h"
#include "mime/qp.h"

enum {
    CODING_DOUBTFUL = MIME_PARAMETER_DUPLICATE | MIME_PARAMETER_SYNTAX | MIME_PARAMETER_COMMENT |
                      MIME_PARAMETER_CONTINUATION | MIME_PARAMETER_EIGHTBIT
};

/* Readers that know no comments and no white space between the tokens take the type for another
 * one. */
static bool
coding_is_one_word(struct span value)
{
    struct span word = span_trim(span_of(value.p, span_find(value, ';')));

    for (size_t i = 0; i < word.n; i++) {
        if (word.p[i] == ' ' || word.p[i] == '\t' || word.p[i] == '\r' || word.p[i] == '\n')
            return false;
    }
    return true;
}

/* A boundary in another spelling than its own is one that half of the readers do not find. */
static bool
coding_is_respelt(const struct mime_parameters *parameters)
{
    return strcmp(mime_parameter_type(parameters), "multipart") == 0 &&
           (mime_parameter_flags(parameters) & (MIME_PARAMETER_EXTENDED | MIME_PARAMETER_ESCAPE));
}

enum err_code
flow_coding_parse_field(const struct mime_header *header, const char *name,
                        struct mime_parameters **out, const char **doubt, struct err *err)
{
    struct mime_header_field field;
    struct err found = ERR_INIT;
    enum err_code code;

    *out = NULL;
    if (!mime_header_find(header, name, 0, &field))
        return ERR_OK;
    if (mime_header_find_count(header, name) > 1)
        *doubt = "a Content field comes twice";
    code = mime_parameter_parse(field.value, out, &found);
    if (code == ERR_LIMIT || code == ERR_PERM) {
        *doubt = "a Content field is beyond every bound";
        return ERR_OK;
    }
    if (code != ERR_OK)
        return err_set(err, code, "%s", found.text);
    if ((mime_parameter_flags(*out) & CODING_DOUBTFUL) || !coding_is_one_word(field.value) ||
        coding_is_respelt(*out))
        *doubt = "readers understand a Content field differently";
    return ERR_OK;
}

enum err_code
flow_coding_find(const struct mime_header *header, enum flow_coding *coding, const char **doubt,
                 struct err *err)
{
    static const struct {
        const char *name;
        enum flow_coding coding;
    } names[] = {
        { "base64", FLOW_CODING_BASE64 },   { "quoted-printable", FLOW_CODING_QP },
        { "7bit", FLOW_CODING_IDENTITY },   { "8bit", FLOW_CODING_IDENTITY },
        { "binary", FLOW_CODING_IDENTITY },
    };
    struct mime_parameters *encoding = NULL;
    enum err_code code;
    size_t i;

    *coding = FLOW_CODING_IDENTITY;
    code = flow_coding_parse_field(header, "Content-Transfer-Encoding", &encoding, doubt, err);
    if (code != ERR_OK || !encoding)
        return code;
    *coding = FLOW_CODING_UNKNOWN;
    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(mime_parameter_value(encoding), names[i].name) == 0)
            *coding = names[i].coding;
    }
    mime_parameter_free(&encoding);
    return ERR_OK;
}

static enum err_code
coding_discard(void *context, struct span piece, struct err *err)
{
    (void)context;
    (void)piece;
    (void)err;
    return ERR_OK;
}

enum err_code
flow_coding_find_signature(struct span fields, bool *is_signature, enum flow_coding *coding,
                           const char **doubt, struct err *err)
{
    struct mime_header *header = NULL;
    struct mime_parameters *type = NULL;
    const char *value;
    enum err_code code;

    code = mime_header_new(FLOW_CODING_LIMIT_SIGNATURE, MIME_HEADER_LIMIT_FIELDS, &header, err);
    if (code == ERR_OK)
        code = mime_header_parse(header, fields, err);
    if (code == ERR_OK)
        code = flow_coding_parse_field(header, "Content-Type", &type, doubt, err);
    if (code == ERR_OK)
        code = flow_coding_find(header, coding, doubt, err);
    value = type ? mime_parameter_value(type) : "";
    *is_signature = strcmp(value, "application/pkcs7-signature") == 0 ||
                    strcmp(value, "application/x-pkcs7-signature") == 0;
    mime_parameter_free(&type);
    mime_header_free(&header);
    return code;
}

enum err_code
flow_coding_decoder_new(enum flow_coding coding, uint64_t *irregular, struct stage *next,
                        struct stage **out, struct err *err)
{
    enum err_code code = ERR_OK;

    switch (coding) {
    case FLOW_CODING_BASE64:
        code = mime_base64_decode_new(irregular, next, out, err);
        break;
    case FLOW_CODING_QP:
        code = mime_qp_decode_new(irregular, next, out, err);
        break;
    case FLOW_CODING_IDENTITY:
        *out = next;
        break;
    case FLOW_CODING_UNKNOWN:
        stage_free(&next);
        return stage_sink_new(coding_discard, NULL, out, err);
    }
    if (code != ERR_OK)
        stage_free(&next);
    return code;
}
