/*
 * Kinds of mail, and what a setting for a kind changes. Pure.       RFC 5546, RFC 3464, 8098, 3834
 *
 * A kind is what the message says of itself, and anybody can say it. So a kind never lifts what
 * must be encrypted: encrypt = always, default-on that the sender did not change, encryption that
 * he chose, must_encrypt of a recipient. There it changes nothing at all.
 */
#ifndef POLICY_KIND_H
#define POLICY_KIND_H

#include <stdbool.h>

#include "conf/conf.h"
#include "policy/choice.h"

/* Bits, in the order of the words of `content`. */
enum policy_content {
    POLICY_CONTENT_CALENDAR = 1 << 0,  /* text/calendar with a method */
    POLICY_CONTENT_TNEF = 1 << 1,      /* application/ms-tnef, winmail.dat */
    POLICY_CONTENT_SIGNED = 1 << 2,    /* S/MIME, by structure */
    POLICY_CONTENT_ENCRYPTED = 1 << 3, /* the same */
    POLICY_CONTENT_PGP = 1 << 4,       /* PGP/MIME encrypted, by structure */
    POLICY_CONTENT_REPORT = 1 << 5,    /* multipart/report */
    POLICY_CONTENT_LIST = 1 << 6,      /* a post of a mailing list */
    POLICY_CONTENT_AUTOMATIC = 1 << 7, /* Auto-Submitted, a report, the null sender */
    POLICY_CONTENT_NULL = 1 << 8,      /* the null sender; no word of `content` */
};

/* The bit of a word of `content`; 0: there is no such word. */
unsigned policy_kind_content(const char *word);

/* "calendar, automatic"; "none of the kinds". Returns `out`. */
enum { POLICY_KIND_SIZE = 120 };
char *policy_kind_format(unsigned content, char out[POLICY_KIND_SIZE]);

/* The kind that decides ("calendar", "tnef", "report", "list", "automatic": the first of these),
 * for people; NULL: none. */
const char *policy_kind_name(unsigned content);

/* Changes `rule` as its setting for the kind says. False: it changes nothing. */
bool policy_kind_apply(unsigned content, const struct policy_choice *choice,
                       struct conf_rule *rule);

#endif
