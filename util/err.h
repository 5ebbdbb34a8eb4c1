/*
 * Errors as values.
 *
 * Every fallible function returns an enum err_code and takes a `struct err *` last. The struct is
 * caller-owned and of fixed size: nothing is allocated and nothing is logged where an error
 * happens. It is filled once, at the lowest place that knows why; outer layers may prefix it,
 * never replace it.
 *
 * The codes answer one question for the mail flow: what do we tell the peer?
 *   ERR_NOTFOUND  asked, and the answer is no. Policy decides (550, unsigned, ...).
 *   ERR_TEMP      could not ask. Always 451, never plaintext.
 *   ERR_PERM      the input is wrong and will be wrong next time.
 *   ERR_LIMIT     the input exceeds a bound; the text names the bound.
 *   ERR_NOMEM     memory or disk is exhausted. 451.
 *   ERR_BUG       a fact about our own code did not hold. 451, and an operator reads the log.
 *
 * Threads: a struct err belongs to one thread.
 */
#ifndef UTIL_ERR_H
#define UTIL_ERR_H

enum err_code {
    ERR_OK = 0,
    ERR_NOTFOUND,
    ERR_TEMP,
    ERR_PERM,
    ERR_LIMIT,
    ERR_NOMEM,
    ERR_BUG,
};

enum { ERR_TEXT_SIZE = 512 };

struct err {
    enum err_code code;
    const char *reason; /* a static reason word for logs ("cert-expired"), or NULL */
    char text[ERR_TEXT_SIZE];
};

#define ERR_INIT       \
    {                  \
        .code = ERR_OK \
    }

#define ERR_CHECKED __attribute__((warn_unused_result))

/* Forgets whatever `err` held. */
void err_reset(struct err *err);

/* Fills `err` (NULL is allowed) and returns `code`. The first text wins: an err that is already
 * filled keeps its code and text, and that code is returned. */
enum err_code err_set(struct err *err, enum err_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Like err_set, with a reason word: a string literal, kept by pointer. */
enum err_code err_set_reason(struct err *err, enum err_code code, const char *reason,
                             const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Puts "prefix: " before the text and returns the code that `err` holds. */
enum err_code err_prefix(struct err *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* ERR_TEMP with ": strerror(error_number)" appended; ENOMEM and ENOSPC become ERR_NOMEM. */
enum err_code err_set_errno(struct err *err, int error_number, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The code's name in lower case: "ok", "notfound", "temp", ... */
const char *err_code_name(enum err_code code);

#endif
