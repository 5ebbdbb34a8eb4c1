/*
 * What the library's verification errors mean in our words. Private to pki/.
 */
#ifndef PKI_PATH_REASON_H
#define PKI_PATH_REASON_H

#include "pki/reason.h"

struct pki_path_failure;

/* The reason for X509_V_ERR_... `code` at `depth` (0: the leaf). Unknown codes are path-invalid:
 * what we do not understand is not trusted. */
enum pki_reason pki_path_reason_find(int code, int depth);

/* The answer to tell: reason and a sentence that names the certificate. */
void pki_path_reason_set(struct pki_answer *out, const struct pki_path_failure *failure);

#endif
