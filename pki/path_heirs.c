#include "pki/path_heirs.h"

#include "pki/inheritance.h"

static bool
has_heirs(const struct pki_path_args *args)
{
    for (size_t i = 0; args->untrusted && i < args->untrusted->count; i++) {
        if (pki_inheritance_is_open(args->untrusted->list[i]))
            return true;
    }
    return pki_inheritance_is_open(args->leaf);
}

enum err_code
pki_path_heirs_load(struct pki_path_heirs *heirs, struct pki_path_args *args, struct err *err)
{
    const struct pki_certificates *const more[] = { pki_trust_get0_anchors(args->trust),
                                                    pki_trust_get0_intermediates(args->trust),
                                                    NULL };
    enum err_code code;

    *heirs = (struct pki_path_heirs){ .all = { .limit = SIZE_MAX } };
    if (!has_heirs(args))
        return ERR_OK;
    code = pki_certificates_add1(&heirs->all, (struct pki_certificate *)args->leaf, err);
    for (size_t i = 0; code == ERR_OK && args->untrusted && i < args->untrusted->count; i++)
        code = pki_certificates_add1(&heirs->all, args->untrusted->list[i], err);
    if (code == ERR_OK)
        code = pki_inheritance_set(&heirs->all, more, err);
    if (code != ERR_OK)
        return code;
    heirs->untrusted =
        (struct pki_certificates){ .list = heirs->all.list + 1, .count = heirs->all.count - 1 };
    args->leaf = heirs->all.list[0];
    args->untrusted = &heirs->untrusted;
    return ERR_OK;
}

void
pki_path_heirs_free(struct pki_path_heirs *heirs)
{
    pki_certificates_free(&heirs->all);
}
