/*
 * What inbound mail that verified teaches us about its sender.      RFC 8551 2.5.2, 2.5.3, 2.5.3.1
 *
 * A message with the verdict pass names, by encryptionKeyPreference or by its own certificate, what
 * its sender wants to be encrypted to, and by SMIMECapabilities how. That is kept for the one
 * address that the verdict is about (directory/harvest), and nothing else ever is: another verdict
 * teaches nothing; a certificate beside the signer's must lead to an anchor of every trust set that
 * judged the signer, carry the address, and be good for encryption. Where somebody prefers a
 * certificate that did not come along, nothing is kept.
 *
 * With it go the intermediates of the message over which its path held: where no file and no AIA
 * has them, nobody could build the path again. Not those that did not take part, and never a root.
 *
 * Nothing is written while the message waits: the milter asks after it has answered, a thread of
 * our own writes. A database that is locked, full or broken costs a log line and what would have
 * been learnt.
 *
 * Threads: any; the database that is written to belongs to the one thread of the pool.
 */
#ifndef FLOW_HARVEST_H
#define FLOW_HARVEST_H

#include "conf/conf.h"
#include "directory/harvest.h"

struct flow_harvest; /* of a snapshot */
struct flow_message;

enum { FLOW_HARVEST_QUEUE = 256, FLOW_HARVEST_LIMIT_BYTES = 128 * 1024 /* of one message */ };

/* The thread that writes. Before it was made nothing is kept (smimectl never makes it). deinit
 * waits for what is being written. */
ERR_CHECKED enum err_code flow_harvest_init(struct err *err);
void flow_harvest_deinit(void);

/* The harvest of a configuration, for asking (flow_harvest_get). It makes no file. ERR_PERM
 * ("database-newer" among them), ERR_TEMP. */
ERR_CHECKED enum err_code flow_harvest_new(const struct conf_global *global,
                                           struct flow_harvest **out, struct err *err);
void flow_harvest_free(struct flow_harvest **harvest);
struct directory_harvest *flow_harvest_get(struct flow_harvest *harvest); /* borrowed */

/* state_folder/harvest.db. Returned: free(). NULL: no memory. */
char *flow_harvest_format_path(const struct conf_global *global);

/* A message that was let through: what it teaches, if it does and harvest is on, is given to the
 * thread. Never fails: what cannot be kept is logged. */
void flow_harvest_add(struct flow_message *message);

#endif
