#include "flow/names.h"

#include <stdlib.h>
#include <string.h>

#include "flow/state.h"

static enum pki_revocation
names_mode(int word)
{
    switch ((enum conf_revocation)word) {
    case CONF_REVOCATION_PREFER:
        return PKI_REVOCATION_PREFER;
    case CONF_REVOCATION_OFF:
        return PKI_REVOCATION_OFF;
    case CONF_REVOCATION_REQUIRE:
        break;
    }
    return PKI_REVOCATION_REQUIRE;
}

static enum pki_revocation_methods
names_methods(int word)
{
    switch ((enum conf_revocation_methods)word) {
    case CONF_METHODS_OCSP_CRL:
        return PKI_REVOCATION_OCSP_CRL;
    case CONF_METHODS_CRL:
        return PKI_REVOCATION_CRL;
    case CONF_METHODS_OCSP:
        return PKI_REVOCATION_OCSP;
    case CONF_METHODS_CRL_OCSP:
        break;
    }
    return PKI_REVOCATION_CRL_OCSP;
}

/* Up to a year (params.def), so it fits. */
static unsigned
names_seconds(int64_t duration_ms)
{
    return (unsigned)(duration_ms / 1000);
}

struct pki_revocation_rules
flow_names_revocation(const struct conf_global *global, enum conf_direction direction)
{
    bool inbound = direction == CONF_DIRECTION_IN;

    return (struct pki_revocation_rules){
        .mode = names_mode(inbound ? global->revocation_inbound : global->revocation_outbound),
        .methods = names_methods(global->revocation_methods),
        .stale_s = names_seconds(inbound ? global->revocation_stale_inbound
                                         : global->revocation_stale_outbound),
        .giveup_s = names_seconds(global->revocation_giveup),
        .crl_max_age_s = names_seconds(global->crl_max_age),
        .ocsp_max_age_s = names_seconds(global->ocsp_max_age),
    };
}

void
flow_names_budget_init(struct pki_fetch_budget *budget, const struct conf_global *global)
{
    pki_fetch_budget_init(budget, (unsigned)global->facts_timeout,
                          (unsigned)global->fetch_per_message, global->fetch_bytes_per_message);
}

/* The remaining words stand in the same order in params.def and in smime/algorithm.h. */
enum smime_digest
flow_names_digest(int word)
{
    return word == 1 ? SMIME_DIGEST_SHA384 : word == 2 ? SMIME_DIGEST_SHA512 : SMIME_DIGEST_SHA256;
}

enum smime_signature
flow_names_signature(int word)
{
    return word == 1 ? SMIME_SIGNATURE_PSS : SMIME_SIGNATURE_PKCS1;
}

enum smime_cipher
flow_names_cipher(int word)
{
    switch (word) {
    case 0:
        return SMIME_CIPHER_AES128_CBC;
    case 2:
        return SMIME_CIPHER_AES128_GCM;
    case 3:
        return SMIME_CIPHER_AES256_GCM;
    default:
        return SMIME_CIPHER_AES256_CBC;
    }
}

enum smime_transport
flow_names_transport(int word)
{
    return word == 1 ? SMIME_TRANSPORT_OAEP : SMIME_TRANSPORT_PKCS1;
}

struct policy_capabilities
flow_names_capabilities(const struct smime_capabilities *told)
{
    struct policy_capabilities said = { .known = told->ciphers_known };

    for (int word = 0; word < 4; word++) {
        if (told->ciphers & 1u << flow_names_cipher(word))
            said.ciphers |= 1u << word;
    }
    for (int word = 0; word < 2; word++) {
        if (told->transports & 1u << flow_names_transport(word))
            said.transports |= 1u << word;
    }
    return said;
}

/* ---- who is named in the header ----------------------------------------------------------------
 */

/* Formatted addresses, sorted: a To field with thousands of mailboxes and as many recipients must
 * not cost a product of the two. */
struct names {
    char **list;
    size_t count;
};

static void
names_fold(char *address, bool fold_local)
{
    if (!fold_local)
        return;
    for (; *address; address++) {
        if (*address >= 'A' && *address <= 'Z')
            *address += 32;
    }
}

static int
names_compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static enum err_code
names_add(struct names *names, const struct mime_addresses *addresses, bool fold_local,
          struct err *err)
{
    size_t more = mime_address_count(addresses), i;
    char formatted[MIME_ADDRESS_SIZE];
    char **list;

    if (more == 0)
        return ERR_OK;
    list = realloc(names->list, (names->count + more) * sizeof(*list));
    if (!list)
        return err_set(err, ERR_NOMEM, "memory for the addresses of the header");
    names->list = list;
    for (i = 0; i < more; i++) {
        struct err found = ERR_INIT;
        enum err_code code =
            mime_address_format(span_str(mime_address_get(addresses, i)), formatted, &found);

        if (code == ERR_PERM || code == ERR_LIMIT)
            continue;
        if (code != ERR_OK)
            return err_set(err, code, "%s", found.text);
        names_fold(formatted, fold_local);
        list[names->count] = strdup(formatted);
        if (!list[names->count])
            return err_set(err, ERR_NOMEM, "memory for the addresses of the header");
        names->count++;
    }
    return ERR_OK;
}

static enum err_code
names_add_field(struct names *names, const struct flow_message *message, const char *name,
                struct err *err)
{
    size_t fields = mime_header_find_count(message->header, name), i;
    enum err_code code = ERR_OK;

    for (i = 0; code == ERR_OK && i < fields; i++) {
        struct mime_addresses *addresses = NULL;
        struct mime_header_field field;

        if (!mime_header_find(message->header, name, i, &field))
            continue;
        code = mime_address_parse(field.value, MIME_ADDRESS_LIMIT, &addresses, err);
        if (code == ERR_OK)
            code = names_add(names, addresses, message->conf->global.fold_local_part, err);
        else if (code == ERR_LIMIT) {
            err_reset(err);
            code = ERR_OK;
        }
        mime_address_free(&addresses);
    }
    return code;
}

enum err_code
flow_names_load_visible(struct flow_message *message, struct err *err)
{
    static const char *const fields[] = { "To", "Cc", "Resent-To", "Resent-Cc" };
    bool fold_local = message->conf->global.fold_local_part;
    struct names names = { 0 };
    enum err_code code = ERR_OK;
    size_t i;

    for (i = 0; code == ERR_OK && i < sizeof(fields) / sizeof(fields[0]); i++)
        code = names_add_field(&names, message, fields[i], err);
    if (code == ERR_OK && names.count > 0)
        qsort(names.list, names.count, sizeof(*names.list), names_compare);
    for (i = 0; code == ERR_OK && i < message->count; i++) {
        struct flow_recipient *recipient = &message->recipients[i];
        char *folded = strdup(recipient->address);

        if (!folded) {
            code = err_set(err, ERR_NOMEM, "memory for the addresses of the header");
            break;
        }
        names_fold(folded, fold_local);
        recipient->in_header = names.count > 0 && bsearch(&folded, names.list, names.count,
                                                          sizeof(*names.list), names_compare);
        free(folded);
    }
    for (i = 0; i < names.count; i++)
        free(names.list[i]);
    free(names.list);
    return code;
}
