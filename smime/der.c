#include "smime/der.h"

#include <stdlib.h>

enum err_code
smime_der_end(struct buf *out, size_t at, unsigned char identifier, struct err *err)
{
    unsigned char header[SMIME_BER_HEADER];
    size_t n = out->n - at, header_n = smime_ber_format(identifier, n, header);
    enum err_code code = buf_append(out, span_of(header, header_n), err);

    if (code != ERR_OK)
        return code;
    memmove(out->p + at + header_n, out->p + at, n);
    memcpy(out->p + at, header, header_n);
    return ERR_OK;
}

/* As octet strings, the shorter one padded with zeros at its end; no element ends in what could
 * make that a tie. */
static int
compare(const void *a, const void *b)
{
    const struct span *x = a, *y = b;
    size_t n = x->n < y->n ? x->n : y->n;
    int order = memcmp(x->p, y->p, n);

    return order != 0 ? order : (x->n > y->n) - (x->n < y->n);
}

/* The elements since `at`, in order, into `sorted`. */
static enum err_code
sort(const struct buf *out, size_t at, struct buf *sorted, struct err *err)
{
    struct span rest = span_of(out->p + at, out->n - at), list[SMIME_DER_SET];
    struct smime_ber_element element;
    enum err_code code = ERR_OK;
    size_t count = 0;

    while (code == ERR_OK && rest.n > 0) {
        code = smime_ber_get(&rest, &element, err);
        if (code == ERR_OK && count == SMIME_DER_SET)
            code = err_set(err, ERR_LIMIT, "a set of more than %d elements", SMIME_DER_SET);
        if (code == ERR_OK)
            list[count++] = element.whole;
    }
    if (code == ERR_OK)
        qsort(list, count, sizeof(*list), compare);
    for (size_t i = 0; i < count && code == ERR_OK; i++)
        code = buf_append(sorted, list[i], err);
    return code;
}

enum err_code
smime_der_end_set(struct buf *out, size_t at, unsigned char identifier, struct err *err)
{
    struct buf sorted = BUF_INIT(out->limit_bytes);
    enum err_code code = sort(out, at, &sorted, err);

    if (code == ERR_OK && sorted.n > 0)
        memcpy(out->p + at, sorted.p, sorted.n);
    buf_free(&sorted);
    return code == ERR_OK ? smime_der_end(out, at, identifier, err) : code;
}

enum err_code
smime_der_append(struct buf *out, unsigned char identifier, struct span contents, struct err *err)
{
    size_t at = smime_der_begin(out);
    enum err_code code = buf_append(out, contents, err);

    return code == ERR_OK ? smime_der_end(out, at, identifier, err) : code;
}
