#include "directory/schema.h"

#include <stdlib.h>
#include <string.h>

#include "directory/template.h"

#define WORDS(...) ((const char *const[]){ __VA_ARGS__, NULL })

struct preset {
    const char *name;
    const char *const *addresses, *const *logins;
    const char *dn_attribute;
    bool ignores_references;
};

/* proxyAddresses first: it knows which one is primary; take_names in directory/person.c lets an
 * upper-case "SMTP:" win wherever it stands. A directory file keeps mail first, as before there
 * were presets. Active Directory answers every search at the root of a domain with references to
 * its other partitions, which hold no people. */
static const struct preset presets[] = {
    { "plain", WORDS("mail", "proxyAddresses"), WORDS("uid", "mail", "userPrincipalName"), "",
      false },
    { "ad", WORDS("proxyAddresses", "mail"), WORDS("userPrincipalName", "sAMAccountName", "mail"),
      "distinguishedName", true },
    { "openldap", WORDS("mail"), WORDS("uid", "mail"), "entryDN", false },
};

static enum err_code
out_of_memory(struct err *err)
{
    return err_set(err, ERR_NOMEM, "no memory for a directory schema");
}

/* AttributeDescription (RFC 4512 2.5), so that a list of attributes is never a piece of a filter.
 */
static bool
is_attribute(const char *text)
{
    size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.;_");
    return n > 0 && n < 256 && text[n] == '\0' && text[0] != '-' && text[0] != ';';
}

static enum err_code
copy_list(char ***out, char *const *given, const char *const *preset, const char *what,
          struct err *err)
{
    const char *const *from = given && given[0] ? (const char *const *)given : preset;
    size_t count = 0;
    while (from && from[count])
        count++;
    if (count > DIRECTORY_SCHEMA_LIMIT)
        return err_set(err, ERR_PERM, "%s: more than %d", what, DIRECTORY_SCHEMA_LIMIT);
    char **list = *out = calloc(count + 1, sizeof *list);
    if (!list)
        return out_of_memory(err);
    for (size_t i = 0; i < count; i++) {
        if (!is_attribute(from[i]))
            return err_set(err, ERR_PERM, "%s: \"%.100s\" is not a name of LDAP", what, from[i]);
        list[i] = strdup(from[i]);
        if (!list[i])
            return out_of_memory(err);
    }
    return ERR_OK;
}

static enum err_code
copy_lists(struct directory_schema *schema, const struct conf_directory *conf,
           const struct preset *preset, struct err *err)
{
    const struct {
        char ***out;
        char *const *given;
        const char *const *preset;
        const char *what;
    } lists[] = {
        { &schema->address_attributes, conf->address_attributes, preset->addresses,
          "address_attributes" },
        { &schema->login_attributes, conf->login_attributes, preset->logins, "login_attributes" },
        { &schema->certificate_attributes, conf->certificate_attributes,
          WORDS("userSMIMECertificate", "userCertificate"), "certificate_attributes" },
        { &schema->member_attributes, conf->member_attributes, WORDS("member", "uniqueMember"),
          "member_attributes" },
        { &schema->member_address_attributes, conf->member_address_attributes,
          WORDS("rfc822MailMember"), "member_address_attributes" },
        { &schema->member_url_attributes, conf->member_url_attributes, WORDS("memberURL"),
          "member_url_attributes" },
        { &schema->group_classes, conf->group_classes,
          WORDS("group", "groupOfNames", "groupOfUniqueNames", "groupOfURLs", "nisMailAlias",
                "posixGroup", "groupOfEntries"),
          "group_classes" },
        { &schema->contact_classes, conf->contact_classes, WORDS("contact"), "contact_classes" },
        { &schema->send_as_attributes, conf->send_as_attributes,
          strcmp(preset->name, "ad") == 0 ? WORDS("publicDelegates") : NULL, "send_as_attributes" },
    };
    enum err_code code = ERR_OK;
    for (size_t i = 0; code == ERR_OK && i < sizeof lists / sizeof lists[0]; i++)
        code = copy_list(lists[i].out, lists[i].given, lists[i].preset, lists[i].what, err);
    return code;
}

static enum err_code
copy_filter(char **out, const char *given, const char *places, const char *what, struct err *err)
{
    struct err mine = ERR_INIT;
    *out = strdup(given ? given : "");
    if (!*out)
        return out_of_memory(err);
    if (**out && directory_template_check(*out, places, &mine) != ERR_OK)
        return err_set(err, mine.code, "%s: %s", what, mine.text);
    return ERR_OK;
}

static enum err_code
copy_rest(struct directory_schema *schema, const struct conf_directory *conf,
          const struct preset *preset, struct err *err)
{
    const char *dn =
        conf->dn_attribute && conf->dn_attribute[0] ? conf->dn_attribute : preset->dn_attribute;
    enum err_code code =
        copy_filter(&schema->address_filter, conf->address_filter, "au", "address_filter", err);
    if (code == ERR_OK)
        code = copy_filter(&schema->login_filter, conf->login_filter, "lu", "login_filter", err);
    if (code == ERR_OK)
        code = copy_filter(&schema->send_as_filter, conf->send_as_filter, "adpu", "send_as_filter",
                           err);
    if (code != ERR_OK)
        return code;
    if (strcmp(dn, "none") == 0)
        dn = "";
    if (dn[0] && !is_attribute(dn))
        return err_set(err, ERR_PERM, "dn_attribute: \"%.100s\" is not a name of LDAP", dn);
    schema->dn_attribute = strdup(dn);
    schema->ignores_references = preset->ignores_references;
    if (conf->references && strcmp(conf->references, "preset") != 0 && conf->references[0])
        schema->ignores_references = strcmp(conf->references, "ignore") == 0;
    return schema->dn_attribute ? ERR_OK : out_of_memory(err);
}

enum err_code
directory_schema_new(const struct conf_directory *conf, struct directory_schema **out,
                     struct err *err)
{
    struct directory_schema *schema = calloc(1, sizeof *schema);
    const struct preset *preset = &presets[0];
    *out = NULL;
    if (!schema)
        return out_of_memory(err);
    for (size_t i = 0; conf->schema && i < sizeof presets / sizeof presets[0]; i++) {
        if (strcmp(presets[i].name, conf->schema) == 0)
            preset = &presets[i];
    }
    enum err_code code = copy_lists(schema, conf, preset, err);
    if (code == ERR_OK)
        code = copy_rest(schema, conf, preset, err);
    if (code != ERR_OK)
        directory_schema_free(&schema);
    *out = schema;
    return code;
}

void
directory_schema_free(struct directory_schema **schema)
{
    if (!schema || !*schema)
        return;
    struct directory_schema *s = *schema;
    char **const lists[] = {
        s->address_attributes,        s->login_attributes,      s->certificate_attributes,
        s->member_attributes,         s->member_url_attributes, s->group_classes,
        s->member_address_attributes, s->contact_classes,       s->send_as_attributes,
    };
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        for (size_t k = 0; lists[i] && lists[i][k]; k++)
            free(lists[i][k]);
        free(lists[i]);
    }
    free(s->address_filter);
    free(s->login_filter);
    free(s->send_as_filter);
    free(s->dn_attribute);
    free(s);
    *schema = NULL;
}
