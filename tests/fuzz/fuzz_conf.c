/* The configuration parser: any octets, in memory. What it accepts must be writable again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"

static void
look(void *context, const char *file, unsigned line, unsigned column, const char *text)
{
    size_t *sum = context;

    /* A complaint is one line of printable text with a place. */
    if (line == 0 || column == 0 || strpbrk(text, "\r\n\033") || strlen(text) < 3)
        abort();
    *sum += strlen(file) + strlen(text);
}

static void
see(void *context, const char *section, const char *name, const char *value, const char *from)
{
    size_t *sum = context;

    *sum += strlen(section) + strlen(name) + strlen(value) + strlen(from);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err = ERR_INIT;
    struct conf *conf = NULL;
    char *text = malloc(size + 1);
    enum err_code rc;
    size_t sum = 0;

    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    rc = conf_parse("fuzz", text, look, &sum, &conf, &err);
    /* Either a configuration, or at least one complaint. */
    if ((rc == ERR_OK) != (conf != NULL) || (rc != ERR_OK && (sum == 0 || err.code != rc)))
        abort();
    if (conf)
        conf_each(conf, see, &sum);
    conf_free(&conf);
    free(text);
    return 0;
}
