/*
 * Certificates of one question whose keys have the parameters of their issuers (pki/inheritance),
 * made whole before the library sees them. Private to pki/.
 */
#ifndef PKI_PATH_HEIRS_H
#define PKI_PATH_HEIRS_H

#include "pki/path.h"

struct pki_path_heirs {
    struct pki_certificates all;       /* leaf, then untrusted; empty where nobody inherits */
    struct pki_certificates untrusted; /* the rest of them: borrowed */
};

/* Puts whole certificates in the place of `args`' leaf and untrusted ones, if there are heirs among
 * them. Free it in any case, after the last use of `args`. */
ERR_CHECKED enum err_code pki_path_heirs_load(struct pki_path_heirs *heirs,
                                              struct pki_path_args *args, struct err *err);
void pki_path_heirs_free(struct pki_path_heirs *heirs);

#endif
