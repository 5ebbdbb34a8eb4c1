/* URLs of certificates: what is taken is written anew in a form that is its own, holds one host and
 * nothing that another parser could read as something else. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "pki/fetch_url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool fact)
{
    if (!fact)
        abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char name[] = "abcdefghijklmnopqrstuvwxyz0123456789-_.:";
    struct pki_fetch_url one, two;
    struct err err = ERR_INIT;
    const char *authority;

    if (pki_fetch_url_parse(span_of(data, size), true, &one, &err) != ERR_OK) {
        require(err.code == ERR_TEMP && strcmp(err.reason, "fetch-refused-url") == 0);
        return 0;
    }
    require(one.port >= 1 && one.port <= 65535);
    require(one.host[0] && strspn(one.host, name) == strlen(one.host));
    authority = strstr(one.text, "://") + 3;
    require(strncmp(authority + (*authority == '['), one.host, strlen(one.host)) == 0);
    require(strcspn(authority, "@\\") >= strcspn(authority, "/"));
    /* The port is written out, so the longest are longer than what may come in. */
    if (strlen(one.text) <= PKI_FETCH_URL_BYTES) {
        require(pki_fetch_url_parse(span_str(one.text), true, &two, &err) == ERR_OK);
        require(strcmp(one.text, two.text) == 0 && one.port == two.port);
        require(memcmp(&one.address, &two.address, sizeof one.address) == 0);
    }
    return 0;
}
