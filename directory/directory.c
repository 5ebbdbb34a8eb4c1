#include "directory/directory.h"

#include <stdlib.h>

void
directory_entry_free(struct directory_entry **entry)
{
    struct directory_entry *e;

    if (!entry || !*entry)
        return;
    e = *entry;
    free(e->dn);
    free(e->primary);
    for (size_t i = 0; e->addresses && e->addresses[i]; i++)
        free(e->addresses[i]);
    free(e->addresses);
    pki_certificates_free(&e->certificates);
    free(e);
    *entry = NULL;
}

enum err_code
directory_new(const struct conf_directory *conf, struct directory **out, struct err *err)
{
    *out = NULL;
    if (directory_ldif_new(conf, out, err) != ERR_OK)
        return err_prefix(err, "directory \"%s\"", conf->name);
    return ERR_OK;
}

void
directory_free(struct directory **directory)
{
    if (!directory || !*directory)
        return;
    (*directory)->ops->free(*directory);
    *directory = NULL;
}

/* An answer without an entry, or an error beside one, would be taken for "found" somewhere above.
 */
static enum err_code
directory_answer(const struct directory *directory, enum err_code code,
                 struct directory_entry **out, struct err *err)
{
    if (code == ERR_OK && *out)
        return ERR_OK;
    directory_entry_free(out);
    if (code == ERR_OK)
        code = err_set(err, ERR_BUG, "the backend answered without an entry");
    if (code != ERR_NOTFOUND)
        err_prefix(err, "directory \"%s\"", directory->name);
    return code;
}

enum err_code
directory_find_address(struct directory *directory, const char *address,
                       struct directory_entry **out, struct err *err)
{
    *out = NULL;
    return directory_answer(directory, directory->ops->find_address(directory, address, out, err),
                            out, err);
}

enum err_code
directory_find_login(struct directory *directory, const char *login, struct directory_entry **out,
                     struct err *err)
{
    *out = NULL;
    return directory_answer(directory, directory->ops->find_login(directory, login, out, err), out,
                            err);
}
