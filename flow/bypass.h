/*
 * The administrator's switch for an emergency (smimectl bypass): until a time, nothing is signed
 * and nothing is verified. What must be encrypted is encrypted or refused all the same
 * (policy/rule), and result fields that forge ours are still removed.
 *
 * It is kept in the file "bypass" of state_folder (mode 0600, written whole and synced), so that it
 * survives a restart, and ends by itself. A clock that is wrong does not prolong it: what would
 * last longer than bypass_max from now is off.
 *
 * Threads: any; one atomic number.
 */
#ifndef FLOW_BYPASS_H
#define FLOW_BYPASS_H

#include <stdbool.h>
#include <time.h>

#include "conf/conf.h"

/* Reads the file: at the start of the daemon, and by smimectl explain. None: off. ERR_PERM,
 * ERR_TEMP: it cannot be read; then it is off. */
ERR_CHECKED enum err_code flow_bypass_load(const struct conf_global *global, struct err *err);

/* On for that long from now; 0: off. ERR_LIMIT: longer than bypass_max. Else as file_write; then
 * nothing has changed. */
ERR_CHECKED enum err_code flow_bypass_set(const struct conf_global *global, int64_t for_ms,
                                          struct err *err);

/* When it ends; 0: it is off. */
time_t flow_bypass_get(void);

#endif
