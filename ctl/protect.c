#include "ctl/protect.h"

#include <stdio.h>
#include <unistd.h>

#include "ctl/command.h"
#include "flow/protect.h"
#include "util/clock.h"

/* Pieces of the base64 stage are small; a system call for each would cost more than the
 * cryptography. */
enum { PROTECT_PIECE = 65536 };

static enum err_code
protect_write(struct flow_protect *protect, const struct ctl_message *message,
              const struct flow_edits *edits, struct err *err)
{
    struct buf header = BUF_INIT(CTL_MESSAGE_HEADER * 3);
    struct stage *file = NULL, *sink = NULL;
    enum err_code code;

    code = ctl_message_format_edited(message->header, edits, &header, err);
    if (code == ERR_OK)
        code = stage_fd_new(STDOUT_FILENO, &file, err);
    if (code == ERR_OK) {
        code = stage_gather_new(PROTECT_PIECE, file, &sink, err);
        file = code == ERR_OK ? NULL : file;
    }
    if (code == ERR_OK)
        code = stage_write(sink, buf_span(&header), err);
    if (code == ERR_OK) {
        code = flow_protect_write(protect, sink, err);
        sink = NULL;
    }
    stage_free(&sink);
    stage_free(&file);
    buf_free(&header);
    return code;
}

enum err_code
ctl_protect_write(const struct ctl_protect_args *args, struct err *err)
{
    const struct mime_scan_facts *facts = mime_scan_get(args->message->scan);
    struct policy_copy copy = {
        .sign = args->sign,
        .encrypt = args->encrypt,
        .opaque = args->opaque,
        .sign_rule = args->rule,
        .encrypt_rule = args->rule,
        .algorithms = { .digest = args->rule->digest,
                        .rsa_signature = args->rule->rsa_signature,
                        .cipher = args->rule->cipher,
                        .key_transport = args->rule->key_transport },
    };
    struct flow_protect *protect = NULL;
    struct flow_edits edits = { .list = NULL };
    enum err_code code;

    if (args->sign && !args->opaque && facts->only_opaque) {
        ctl_say("signed opaque: %s", facts->why ? facts->why : "clear-signed it would not survive");
        copy.opaque = true;
    }
    code = flow_protect_new(
        &(struct flow_protect_args){ .copy = &copy,
                                     .scan = args->message->scan,
                                     .spool = args->message->spool,
                                     .entity_header = buf_span(&args->message->entity_header),
                                     .key = args->key,
                                     .own = args->own,
                                     .signing_time = clock_now_s(),
                                     .recipients = args->recipients,
                                     .count = args->count },
        &protect, err);
    if (code == ERR_OK)
        code = flow_protect_edits(protect, args->message->header, &edits, err);
    if (code == ERR_OK)
        code = protect_write(protect, args->message, &edits, err);
    flow_edits_free(&edits);
    flow_protect_free(&protect);
    return code;
}
