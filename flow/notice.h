/*
 * Letters to senders: a certificate expires, a new one has arrived, recipients were left out,
 * a message was refused.                                     RFC 5322, RFC 2047, RFC 3834, RFC 3464
 *
 * The words are plain-text templates that an administrator can change or translate (conf/notices):
 * UTF-8, the first line "Subject: ...", an empty line, the text. {name} stands for a value; which
 * names there are is fixed per kind, and a template with another one is refused when it is loaded,
 * not when a letter is due. What is put in comes from strangers (subjects, reasons): control
 * characters are taken out, it is cut, and it can never become a header field.
 *
 * Letters carry Auto-Submitted: auto-generated and the null envelope sender, so that nothing
 * answers them; and flow_notice_may_answer says to which mail none is written: automatic mail,
 * lists, the null sender. A letter answers a letter of a person, or none.
 *
 * Threads: templates are immutable once loaded; any.
 */
#ifndef FLOW_NOTICE_H
#define FLOW_NOTICE_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include "mime/header.h"
#include "util/buf.h"

enum flow_notice_kind {
    FLOW_NOTICE_EXPIRES, /* {address} {serial} {date} {days} {host} */
    FLOW_NOTICE_ARRIVED, /* {address} {serial} {date} {host} */
    FLOW_NOTICE_REMOVED, /* {recipients} {subject} {message_id} {queue_id} {host} */
    FLOW_NOTICE_REFUSED, /* the same */
    FLOW_NOTICE_KINDS,
};

enum {
    FLOW_NOTICE_TEMPLATE_BYTES = 65536,
    FLOW_NOTICE_VALUE_BYTES = 300, /* of one value but the list of recipients */
    FLOW_NOTICE_BYTES = 4 * 1024 * 1024,
};

struct flow_notices;

/* Reads the four files of `folder` ("expires.txt", ...). ERR_PERM with "file:line:" for what cannot
 * be a template, ERR_NOTFOUND for a file that is not there, ERR_TEMP. */
ERR_CHECKED enum err_code flow_notice_load(const char *folder, struct flow_notices **out,
                                           struct err *err);
void flow_notice_free(struct flow_notices **notices);

struct flow_notice_recipient {
    const char *address;
    const char *reason; /* a sentence */
};

/* Everything is borrowed for the call; what is NULL is written as nothing. */
struct flow_notice {
    enum flow_notice_kind kind;
    const char *from, *to; /* addresses, formatted */
    const char *host;
    const char *address, *serial, *date, *days;
    const char *subject, *message_id, *queue_id;
    const struct flow_notice_recipient *recipients;
    size_t count;
    const char
        *reference; /* Message-ID that it is about, with its brackets, for In-Reply-To; NULL */
    time_t now;
};

/* The whole letter, CRLF lines, 7-bit. ERR_LIMIT, ERR_NOMEM, ERR_PERM: an address that cannot stand
 * in a header. */
ERR_CHECKED enum err_code flow_notice_format(const struct flow_notices *notices,
                                             const struct flow_notice *notice, struct buf *out,
                                             struct err *err);

/* May a letter be written to the sender of this message? RFC 3834 2. */
bool flow_notice_may_answer(const char *envelope_sender, const struct mime_header *header);

#endif
