#include "util/random.h"

#include <errno.h>
#include <sys/random.h>

enum err_code
random_get(void *out, size_t size, struct err *err)
{
    unsigned char *p = out;

    while (size > 0) {
        ssize_t n = getrandom(p, size, 0);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return err_set_errno(err, n ? errno : EIO, "getrandom");
        p += n;
        size -= (size_t)n;
    }
    return ERR_OK;
}

enum err_code
random_get_hex(char *out, size_t octets, struct err *err)
{
    static const char digits[] = "0123456789abcdef";
    unsigned char *raw = (unsigned char *)out + octets;
    enum err_code rc;

    out[0] = '\0';
    if (octets == 0)
        return ERR_OK;
    /* The octets stand in the second half of `out` and are spread from the front: two digits never
     * overtake the octet they come from. */
    rc = random_get(raw, octets, err);
    if (rc != ERR_OK)
        return rc;
    for (size_t i = 0; i < octets; i++) {
        unsigned char octet = raw[i];

        out[2 * i] = digits[octet >> 4];
        out[2 * i + 1] = digits[octet & 15];
    }
    out[2 * octets] = '\0';
    return ERR_OK;
}
