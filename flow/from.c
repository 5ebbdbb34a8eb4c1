#include "flow/from.h"

#include <stdio.h>

/* More mailboxes than this in From are not counted: any number above one is refused. */
enum { FROM_LIMIT_MAILBOXES = 50 };

enum err_code
flow_from_load(const struct mime_header *header, struct flow_from *out, struct err *err)
{
    return flow_from_load_field(header, "From", false, out, err);
}

enum err_code
flow_from_load_field(const struct mime_header *header, const char *name, bool topmost,
                     struct flow_from *out, struct err *err)
{
    struct mime_addresses *addresses = NULL;
    struct mime_header_field field;
    struct err parse_err = ERR_INIT, format_err = ERR_INIT;
    enum err_code code;
    unsigned flags;

    *out = (struct flow_from){ .fields = mime_header_find_count(header, name) };
    if (!mime_header_find(header, name, 0, &field))
        return ERR_OK;
    code = mime_address_parse(field.value, FROM_LIMIT_MAILBOXES, &addresses, &parse_err);
    if (code == ERR_LIMIT) {
        out->mailboxes = FROM_LIMIT_MAILBOXES + 1;
        out->irregular = true;
        return ERR_OK;
    }
    if (code != ERR_OK)
        return err_set(err, code, "%s", parse_err.text);
    out->mailboxes = mime_address_count(addresses);
    flags = mime_address_flags(addresses);
    if (flags & (MIME_ADDRESS_GROUP | MIME_ADDRESS_SYNTAX | MIME_ADDRESS_OBSOLETE) ||
        (flags & MIME_ADDRESS_EMPTY && out->mailboxes > 0))
        out->irregular = true;
    code = ERR_OK;
    if ((out->fields == 1 || topmost) && out->mailboxes == 1 && !out->irregular) {
        code = mime_address_format(span_str(mime_address_get(addresses, 0)), out->address,
                                   &format_err);
        out->place = mime_address_find_place(addresses, 0);
    }
    mime_address_free(&addresses);
    if (code == ERR_OK)
        return ERR_OK;
    out->address[0] = 0;
    out->irregular = true;
    /* Out of memory is no property of the message. */
    return code == ERR_PERM || code == ERR_LIMIT ? ERR_OK
                                                 : err_set(err, code, "%s", format_err.text);
}
