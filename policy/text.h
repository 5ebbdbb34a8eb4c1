/*
 * One line of text with a maximum, for replies that people read: who, why, what to do.
 *
 * Parts of it come from outside (addresses, reasons of certificates): control characters become
 * '?', so that no part can begin a line of its own in an SMTP reply, and what does not fit is cut
 * with "..." at a character, never inside one. Holds nothing; the memory is the caller's. Any
 * thread.
 */
#ifndef POLICY_TEXT_H
#define POLICY_TEXT_H

#include <stddef.h>

struct policy_text {
    char *out;   /* always NUL-terminated */
    size_t size; /* of `out`, at least 8 */
    size_t n;
};

void policy_text_init(struct policy_text *text, char *out, size_t size);

/* Appends `part` (NULL: nothing). */
void policy_text_write(struct policy_text *text, const char *part);

/* Appends `part`, or as much of it as `limit` octets hold, "..." included. */
void policy_text_write_short(struct policy_text *text, const char *part, size_t limit);

/* A number in decimal. */
void policy_text_write_count(struct policy_text *text, size_t count);

/* Octets that still fit. */
size_t policy_text_left(const struct policy_text *text);

#endif
