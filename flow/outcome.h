/*
 * The outcome of a message: one line, from one table of fields.
 *
 * Field names are an interface: operators filter by them, docs/log-fields.md lists them, a test
 * compares the two. A field without a value is not written.
 */
#ifndef FLOW_OUTCOME_H
#define FLOW_OUTCOME_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct flow_message;

enum { FLOW_OUTCOME_DETAIL = 512 };

/* Filled while the message goes through; words are static strings, NULL: no such field. */
struct flow_outcome {
    const char *action;   /* "pass", "sign", "encrypt", "sign+encrypt", "verify", "decrypt",
                             "refuse", "defer", "quarantine" */
    const char *rule;     /* borrowed from the configuration */
    const char *result;   /* "ok", "refused", "deferred", "aborted", "failed" */
    const char *reason;   /* reason word */
    const char *smime;    /* inbound: the word of Authentication-Results */
    const char *note;     /* "opaque", when a clear signature was wanted and could not be;
                             "no-copy-for-sender" */
    const char *identity; /* reason word of the sender's identity when it is not "ok" */
    const char *person;   /* primary address of who really sent it; borrowed from the message */
    char dry_run[450];    /* sender_identity = log: what would have been done */
    const char *cipher, *digest, *format;
    const char *decrypt; /* inbound: "yes", "no": it was to be decrypted, and was or was not */
    char signer[300]; /* inbound: identifier of the signer; outbound: address that signed when not
                         From */
    char detail[FLOW_OUTCOME_DETAIL]; /* our own errors, for the operator */
    size_t certificates;              /* RecipientInfos written, of all copies */
    size_t resubmitted;               /* recipients whose copy the MTA has taken by SMTP */
    size_t returned;                  /* recipients of whom the sender was told by a letter */
    char copy_ids[600];               /* queue-ids of copies, from the MTA's replies */
    size_t forged;                    /* forged result fields removed */
    size_t cached;                    /* statuses of the signer's path that were held */
    uint64_t size, output_size;
    int64_t wait_ms, crypto_ms;
    bool has_certificates, has_cached, has_output, has_wait, has_crypto;
    bool logged;
};

/* Writes the line. */
void flow_outcome_log(struct flow_message *message);

/* "name\tmeaning" of every field, for the documentation and its test. */
void flow_outcome_format_fields(FILE *out);

#endif
