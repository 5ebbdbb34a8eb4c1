/* Encoded words and shown addresses: decoding never grows a text, and what is found is an address
 * or stands there. */
#include <stdint.h>
#include <stdlib.h>

#include "mime/address.h"
#include "mime/shown.h"
#include "mime/word.h"

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
    struct err err = ERR_INIT;
    struct buf text = BUF_INIT(size + 1);
    struct mime_shown shown;
    unsigned flags = 0;

    require(mime_word_decode(span_of(data, size), &text, &flags, &err) == ERR_OK);
    require(text.n <= size);
    require(memchr(buf_str(&text), '\n', text.n) == NULL);
    require(flags != MIME_WORD_UNREADABLE);
    buf_reset(&text);
    bool removed = false;
    require(mime_word_remove(span_of(data, size), "[x]", &text, &removed, &err) == ERR_OK);
    require(removed ? text.n < size : span_equal(buf_span(&text), span_of(data, size)));
    buf_free(&text);
    require(mime_shown_load(span_of(data, size), &shown, &err) == ERR_OK);
    require(shown.count <= MIME_SHOWN_LIMIT && shown.list[shown.count] == NULL);
    for (size_t i = 0; i < shown.count; i++)
        require(strchr(shown.list[i], '@') != NULL);
    mime_shown_free(&shown);
    return 0;
}
