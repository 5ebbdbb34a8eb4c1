/*
 * Random octets from the kernel (getrandom), for boundaries, message identifiers and marks. Keys
 * and nonces of cryptography come from the library that uses them.
 *
 * No state; any thread.
 */
#ifndef UTIL_RANDOM_H
#define UTIL_RANDOM_H

#include <stddef.h>

#include "util/err.h"

/* `size` octets into `out`. */
ERR_CHECKED enum err_code random_get(void *out, size_t size, struct err *err);

/* `octets` random octets as lower-case hexadecimal digits and a NUL: `out` has 2 * octets + 1. */
ERR_CHECKED enum err_code random_get_hex(char *out, size_t octets, struct err *err);

#endif
