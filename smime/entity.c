#include "smime/entity.h"

#include <stdio.h>
#include <string.h>

static enum err_code
format_field(const char *name, const char *value, struct buf *out, struct err *err)
{
    if (value[0] == '\0')
        return ERR_OK;
    enum err_code code = buf_append_str(out, name, err);
    if (code == ERR_OK)
        code = buf_append_str(out, ": ", err);
    if (code == ERR_OK)
        code = buf_append_str(out, value, err);
    return code == ERR_OK ? buf_append_str(out, "\r\n", err) : code;
}

enum err_code
smime_entity_header_format(const struct smime_entity_header *header, struct buf *out,
                           struct err *err)
{
    enum err_code code = format_field("Content-Type", header->content_type, out, err);
    if (code == ERR_OK)
        code = format_field("Content-Transfer-Encoding", header->transfer_encoding, out, err);
    if (code == ERR_OK)
        code = format_field("Content-Disposition", header->disposition, out, err);
    if (code == ERR_OK)
        code = format_field("Content-Description", header->description, out, err);
    return code;
}

void
smime_entity_set_clear(struct smime_entity_header *header, enum smime_digest digest,
                       const char *boundary)
{
    *header = (struct smime_entity_header){ .transfer_encoding = "" };
    snprintf(header->content_type, sizeof(header->content_type),
             "multipart/signed; protocol=\"application/pkcs7-signature\";\r\n"
             " micalg=%s;\r\n"
             " boundary=\"%.70s\"",
             smime_micalg(digest), boundary);
}

void
smime_entity_set_cms(struct smime_entity_header *header, const char *smime_type,
                     const char *description)
{
    *header = (struct smime_entity_header){
        .transfer_encoding = "base64",
        .disposition = "attachment; filename=\"smime.p7m\"",
    };
    snprintf(header->content_type, sizeof(header->content_type),
             "application/pkcs7-mime; smime-type=%s;\r\n"
             " name=\"smime.p7m\"",
             smime_type);
    snprintf(header->description, sizeof(header->description), "%s", description);
}

void
smime_entity_set_signature(struct smime_entity_header *header)
{
    *header = (struct smime_entity_header){
        .content_type = "application/pkcs7-signature;\r\n name=\"smime.p7s\"",
        .transfer_encoding = "base64",
        .disposition = "attachment; filename=\"smime.p7s\"",
        .description = "S/MIME Cryptographic Signature",
    };
}
