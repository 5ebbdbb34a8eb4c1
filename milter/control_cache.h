/*
 * `cache ...` on the control socket: what was fetched for trust, shown and forgotten.
 *
 *     cache stats
 *     cache show                      at most MILTER_CONTROL_CACHE_ENTRIES, most recently used
 * first cache flush [shared] [URL]      URL, or the name of an OCSP answer, to the end of the line
 *
 * Threads: that of the control socket.
 */
#ifndef MILTER_CONTROL_CACHE_H
#define MILTER_CONTROL_CACHE_H

#include "pki/evidence.h"
#include "util/buf.h"
#include "util/err.h"

enum { MILTER_CONTROL_CACHE_ENTRIES = 2000 };

/* `command` is what stands behind "cache ". ERR_NOTFOUND: there is no such command. */
ERR_CHECKED enum err_code milter_control_cache_format(struct pki_evidence *evidence,
                                                      const char *command, struct buf *out,
                                                      struct err *err);

/* Members for `stats`: each begins with a comma. */
ERR_CHECKED enum err_code milter_control_cache_append_stats(struct pki_evidence *evidence,
                                                            struct buf *out, struct err *err);

#endif
