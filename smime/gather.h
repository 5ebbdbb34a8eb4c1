/*
 * The fields of one SignedData, cut out and counted before anything is decoded.       RFC 5652 5.1
 *
 * Holds the raw certificates, CRLs and SignerInfos, all together at most
 * SMIME_VERIFY_LIMIT_SIGNATURE octets. Belongs to one thread.
 */
#ifndef SMIME_GATHER_H
#define SMIME_GATHER_H

#include "util/buf.h"
#include "smime/signer.h"
#include "smime/structure.h"
#include "smime/verify.h"

enum {
    SMIME_GATHER_ITEMS =
        SMIME_VERIFY_LIMIT_SIGNERS + SMIME_VERIFY_LIMIT_CERTIFICATES + SMIME_VERIFY_LIMIT_CRLS
};

struct smime_gather {
    struct smime_structure *structure;
    struct buf bytes;
    struct {
        enum smime_field field;
        size_t at, n; /* in `bytes` */
    } items[SMIME_GATHER_ITEMS];
    size_t count;
    bool is_data; /* eContentType is id-data */
    const char *reason;
};

ERR_CHECKED enum err_code smime_gather_init(struct smime_gather *gather, struct err *err);
void smime_gather_deinit(struct smime_gather *gather);

/* ERR_PERM and ERR_LIMIT are about the object; smime_gather_reason says which word that is. */
ERR_CHECKED enum err_code smime_gather_write(struct smime_gather *gather, struct span piece,
                                             struct err *err);
ERR_CHECKED enum err_code smime_gather_finish(struct smime_gather *gather, struct err *err);

/* After finish or failure: "ok", "malformed-cms", "not-signed-data", "too-many-signers",
 * "too-large". */
const char *smime_gather_reason(const struct smime_gather *gather);

/* After a finish that went well: certificates and CRLs decoded into `result`, and its reason: "ok",
 * or what is wrong with the shape. `infos` (SMIME_VERIFY_LIMIT_SIGNERS of them) get the
 * SignerInfos, which borrow until deinit. */
ERR_CHECKED enum err_code smime_gather_load(const struct smime_gather *gather, bool opaque,
                                            struct smime_signer_info *infos, size_t *count,
                                            struct smime_verify_result *result, struct err *err);

#endif
