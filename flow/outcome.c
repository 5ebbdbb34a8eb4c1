#include "flow/outcome.h"

#include <string.h>

#include "flow/outbound.h"
#include "flow/state.h"
#include "flow/unreachable.h"
#include "util/log.h"

/* Room for everything the table can print: the recipients take most of it. */
enum { OUTCOME_VALUE = 1200, OUTCOME_TO = 4096 };

/* A function per field: false leaves it out. `out` has OUTCOME_VALUE bytes. */
typedef bool outcome_fn(const struct flow_message *message, char *out);

static bool
outcome_word(const char *word, char *out)
{
    size_t n = word ? strlen(word) : 0;

    if (n == 0)
        return false;
    if (n >= OUTCOME_VALUE)
        n = OUTCOME_VALUE - 1;
    memcpy(out, word, n);
    out[n] = '\0';
    return true;
}

static bool
outcome_number(bool known, uint64_t number, char *out)
{
    char digits[20];
    size_t at = sizeof(digits), n;

    if (!known)
        return false;
    do
        digits[--at] = (char)('0' + number % 10);
    while (number /= 10);
    n = sizeof(digits) - at;
    memcpy(out, digits + at, n);
    out[n] = '\0';
    return true;
}

static bool
outcome_dir(const struct flow_message *message, char *out)
{
    if (message->is_arrival)
        return outcome_word("copy", out);
    return outcome_word(message->direction == CONF_DIRECTION_OUT ? "out" : "in", out);
}

static bool
outcome_action(const struct flow_message *message, char *out)
{
    return outcome_word(message->outcome.action, out);
}

static bool
outcome_rule(const struct flow_message *message, char *out)
{
    return outcome_word(message->outcome.rule, out);
}

static bool
outcome_from(const struct flow_message *message, char *out)
{
    return outcome_word(message->from.address, out);
}

static bool
outcome_sender(const struct flow_message *message, char *out)
{
    if (!message->sender || strcmp(message->sender, message->from.address) == 0)
        return false;
    return outcome_word(message->sender[0] ? message->sender : "<>", out);
}

static bool
outcome_login(const struct flow_message *message, char *out)
{
    return outcome_word(message->login, out);
}

static bool
outcome_client(const struct flow_message *message, char *out)
{
    return outcome_word(message->client, out);
}

static bool
outcome_nrcpt(const struct flow_message *message, char *out)
{
    return outcome_number(true, message->count, out);
}

static bool
outcome_certs(const struct flow_message *message, char *out)
{
    return outcome_number(message->outcome.has_certificates, message->outcome.certificates, out);
}

/* As many as fit and as log_recipients allows; the rest is counted. */
static bool
outcome_groups(const struct flow_message *message, char *out)
{
    size_t limit = (size_t)message->conf->global.log_recipients, used = 0, said = 0, rest = 0;

    out[0] = '\0';
    for (size_t i = 0; i < message->count; i++) {
        const struct flow_recipient *recipient = &message->recipients[i];
        const struct flow_finding *group = recipient->finding;

        if (!group || !group->group)
            continue;
        if (said == limit || used + strlen(recipient->address) + 80 > OUTCOME_VALUE) {
            rest++;
            continue;
        }
        used += (size_t)snprintf(out + used, OUTCOME_VALUE - used, "%s%s:%zu:%s",
                                 said > 0 ? "," : "", recipient->address, group->member_count,
                                 group->group_err.code != ERR_OK ? recipient->reason
                                 : recipient->replaced           ? "replaced"
                                                                 : "kept");
        said++;
    }
    if (rest > 0)
        snprintf(out + used, OUTCOME_VALUE - used, "%s+%zu", said > 0 ? "," : "", rest);
    return out[0] != '\0';
}

static bool
outcome_alg(const struct flow_message *message, char *out)
{
    return outcome_word(message->outcome.cipher, out);
}

static bool
outcome_digest(const struct flow_message *message, char *out)
{
    return outcome_word(message->outcome.digest, out);
}

static bool
outcome_format(const struct flow_message *message, char *out)
{
    return outcome_word(message->outcome.format, out);
}

static bool
outcome_signer(const struct flow_message *message, char *out)
{
    return outcome_word(message->outcome.signer, out);
}

static bool
outcome_smime(const struct flow_message *message, char *out)
{
    return outcome_word(message->outcome.smime, out);
}

static bool
outcome_decrypt(const struct flow_message *message, char *out)
{
    return outcome_word(message->outcome.decrypt, out);
}

static bool
outcome_forged(const struct flow_message *message, char *out)
{
    return outcome_number(message->outcome.forged > 0, message->outcome.forged, out);
}

static bool
outcome_identity(const struct flow_message *message, char *out)
{
    return outcome_word(message->outcome.identity, out);
}

static bool
outcome_person(const struct flow_message *message, char *out)
{
    const char *person = message->outcome.person;

    return person && strcmp(person, message->from.address) != 0 && outcome_word(person, out);
}

static bool
outcome_rewritten(const struct flow_message *message, char *out)
{
    return outcome_word(message->identity.was, out);
}

static bool
outcome_dry_run(const struct flow_message *message, char *out)
{
    return outcome_word(message->outcome.dry_run, out);
}

static bool
outcome_kind(const struct flow_message *message, char *out)
{
    return outcome_word(flow_rules_kind(message), out);
}

static bool
outcome_bypass(const struct flow_message *message, char *out)
{
    return outcome_word(message->bypass ? "yes" : NULL, out);
}

static bool
outcome_choice(const struct flow_message *message, char *out)
{
    const struct policy_choice *choice = &message->choice;

    if (!policy_choice_is_made(choice))
        return false;
    snprintf(out, OUTCOME_VALUE, "%s%s%s%s", choice->sign ? "sign," : "",
             choice->encrypt ? "encrypt," : "", choice->plain ? "plain," : "",
             choice->unclear ? "unclear," : "");
    out[strlen(out) - 1] = '\0';
    return true;
}

static bool
outcome_copies(const struct flow_message *message, char *out)
{
    size_t count = message->outbound && message->outbound->decided
                       ? message->outbound->decision.plan.copy_count
                       : 0;

    return outcome_number(count > 1, count, out);
}

static bool
outcome_unreachable(const struct flow_message *message, char *out)
{
    size_t count = flow_unreachable_count(message);

    return outcome_number(count > 0, count, out);
}

static bool
outcome_resubmitted(const struct flow_message *message, char *out)
{
    return outcome_number(message->outcome.resubmitted > 0, message->outcome.resubmitted, out);
}

static bool
outcome_copy_ids(const struct flow_message *message, char *out)
{
    return outcome_word(message->outcome.copy_ids, out);
}

static bool
outcome_returned(const struct flow_message *message, char *out)
{
    return outcome_number(message->outcome.returned > 0, message->outcome.returned, out);
}

static bool
outcome_size(const struct flow_message *message, char *out)
{
    return outcome_number(true, message->header_bytes + message->body_bytes, out);
}

static bool
outcome_osize(const struct flow_message *message, char *out)
{
    return outcome_number(message->outcome.has_output, message->outcome.output_size, out);
}

static bool
outcome_cached(const struct flow_message *message, char *out)
{
    return outcome_number(message->outcome.has_cached, message->outcome.cached, out);
}

static bool
outcome_wait_ms(const struct flow_message *message, char *out)
{
    return outcome_number(message->outcome.has_wait, (uint64_t)message->outcome.wait_ms, out);
}

static bool
outcome_crypto_ms(const struct flow_message *message, char *out)
{
    return outcome_number(message->outcome.has_crypto, (uint64_t)message->outcome.crypto_ms, out);
}

static bool
outcome_result(const struct flow_message *message, char *out)
{
    return outcome_word(message->outcome.result, out);
}

static bool
outcome_reason(const struct flow_message *message, char *out)
{
    const char *reason = message->outcome.reason;

    return reason && strcmp(reason, "ok") != 0 && outcome_word(reason, out);
}

static bool
outcome_code(const struct flow_message *message, char *out)
{
    if (!message->ended)
        return false;
    snprintf(out, OUTCOME_VALUE, "%d-%s", message->answer.code, message->answer.enhanced);
    return true;
}

static bool
outcome_note(const struct flow_message *message, char *out)
{
    return outcome_word(message->outcome.note, out);
}

static bool
outcome_detail(const struct flow_message *message, char *out)
{
    return outcome_word(message->outcome.detail, out);
}

/* The table. `to` stands in it for its place and its meaning; its value does not fit the others'
 * room. */
static const struct {
    const char *name;
    outcome_fn *value; /* NULL: to */
    bool is_number;
    const char *meaning;
} outcome_table[] = {
    { "dir", outcome_dir, false,
      "out (from us), in (to us), or copy (ours, on the listener for copies)" },
    { "action", outcome_action, false,
      "pass, sign, encrypt, sign+encrypt, copies (that differ), verify, decrypt, quarantine, "
      "refuse, "
      "defer" },
    { "rule", outcome_rule, false,
      "name of the rule that decided; built-in when no rule of the file matched" },
    { "from", outcome_from, false, "address of From, where there is exactly one" },
    { "sender", outcome_sender, false,
      "envelope sender where it is not the address of From; <> is the null sender" },
    { "login", outcome_login, false, "name that the client authenticated with" },
    { "client", outcome_client, false, "name and address of the client, or local" },
    { "nrcpt", outcome_nrcpt, true, "number of envelope recipients" },
    { "to", NULL, false,
      "envelope recipients, separated by commas; at most log_recipients, then the number of the "
      "rest" },
    { "certs", outcome_certs, true,
      "certificates that the message was encrypted to: recipients, sender, additional ones" },
    { "cached", outcome_cached, true,
      "inbound: certificates of the signer's path whose revocation status was held, so that nobody "
      "was asked about them" },
    { "groups", outcome_groups, false,
      "distribution groups among the recipients, separated by commas: address, number of members, "
      "and kept, replaced, or why they are not known; at most log_recipients, then the number of "
      "the rest" },
    { "alg", outcome_alg, false, "content encryption" },
    { "digest", outcome_digest, false, "digest of the signature that was made" },
    { "format", outcome_format, false, "clear or opaque: the form of that signature" },
    { "decrypt", outcome_decrypt, false,
      "inbound: the message was to be decrypted, and was (yes) or was not (no); why not is told to "
      "the debug log alone" },
    { "smime", outcome_smime, false, "the verdict, as in Authentication-Results" },
    { "signer", outcome_signer, false,
      "inbound: address in the signer's certificate; outbound: address that signed for the "
      "domain" },
    { "forged", outcome_forged, true, "Authentication-Results of our name that were removed" },
    { "identity", outcome_identity, false,
      "what was wrong with the sender's identity, or worth knowing: send-as, secondary-rewritten, "
      "secondary-allowed, nobody-vouches" },
    { "person", outcome_person, false,
      "primary address of the person who sent the message, where From shows another address" },
    { "rewritten", outcome_rewritten, false,
      "secondary address in whose place the primary one was put" },
    { "dry_run", outcome_dry_run, false,
      "sender_identity = log: the reply that would have been given, or the rewriting" },
    { "kind", outcome_kind, false,
      "outbound: the kind of mail whose setting holds: calendar, tnef, report, list, automatic" },
    { "bypass", outcome_bypass, false, "yes: signing and verifying are switched off" },
    { "choice", outcome_choice, false,
      "what the sender chose: sign, encrypt, plain; unclear when it cannot be told" },
    { "unreachable", outcome_unreachable, true,
      "recipients to whom it should go encrypted and cannot; who and why is in lines of their "
      "own" },
    { "copies", outcome_copies, true, "copies that differ, the one in the transaction included" },
    { "resubmitted", outcome_resubmitted, true,
      "recipients whose copy was handed to the MTA by SMTP now; not those of an earlier attempt" },
    { "copy_ids", outcome_copy_ids, false,
      "queue-ids under which the MTA took these copies, separated by commas" },
    { "returned", outcome_returned, true,
      "recipients who got nothing, and of whom the sender was told by a letter" },
    { "size", outcome_size, true,
      "octets of the message as received; less when the body did not matter and was not sent" },
    { "osize", outcome_osize, true, "octets of the body that was written" },
    { "wait_ms", outcome_wait_ms, true,
      "time for facts about sender and recipients: directory, keys, trust" },
    { "crypto_ms", outcome_crypto_ms, true,
      "time for signing and encrypting, the MTA's reading included, or for verification" },
    { "result", outcome_result, false,
      "ok, refused, deferred, failed (our answer did not reach the MTA), aborted" },
    { "reason", outcome_reason, false, "reason word; left out when it is ok" },
    { "code", outcome_code, false, "SMTP code and enhanced status code of a refusal" },
    { "note", outcome_note, false,
      "only-opaque: a clear signature was asked for and could not be made safely; "
      "no-copy-for-sender: the sender has no certificate and cannot read the copy; "
      "headers-restored, headers-differ: inbound, header fields that the sender protected say "
      "something else than those outside" },
    { "detail", outcome_detail, false, "what happened, in words" },
};

enum { OUTCOME_FIELDS = sizeof(outcome_table) / sizeof(outcome_table[0]) };

/* Addresses come from outside: log_fields escapes what they hold, and a comma inside one is quoted
 * in the address itself. */
static bool
outcome_to(const struct flow_message *message, char *out)
{
    size_t limit = (size_t)message->conf->global.log_recipients, used = 0, i;

    for (i = 0; i < message->count && i < limit; i++) {
        size_t need = strlen(message->recipients[i].address) + 1;

        if (used + need + 32 >= OUTCOME_TO)
            break;
        used += (size_t)snprintf(out + used, OUTCOME_TO - used, "%s%s", i > 0 ? "," : "",
                                 message->recipients[i].address);
    }
    if (i < message->count && limit > 0)
        snprintf(out + used, OUTCOME_TO - used, "%s+%zu", i > 0 ? "," : "", message->count - i);
    return message->count > 0 && limit > 0;
}

void
flow_message_outcome(const struct flow_message *message, flow_message_outcome_fn *each,
                     void *context)
{
    for (size_t i = 0; i < OUTCOME_FIELDS; i++) {
        char value[OUTCOME_TO] = "";

        if (outcome_table[i].value ? outcome_table[i].value(message, value)
                                   : outcome_to(message, value))
            each(context, outcome_table[i].name, value, outcome_table[i].is_number);
    }
}

void
flow_outcome_log(struct flow_message *message)
{
    struct log_field fields[OUTCOME_FIELDS];
    char values[OUTCOME_FIELDS][OUTCOME_VALUE];
    char to[OUTCOME_TO];
    size_t count = 0, i;

    for (i = 0; i < OUTCOME_FIELDS; i++) {
        char *value = outcome_table[i].value ? values[i] : to;

        if (outcome_table[i].value ? !outcome_table[i].value(message, value)
                                   : !outcome_to(message, value))
            continue;
        fields[count++] = (struct log_field){ .name = outcome_table[i].name,
                                              .value = value,
                                              .is_number = outcome_table[i].is_number };
    }
    log_fields(LOG_LEVEL_INFO, message->id[0] ? message->id : NULL, fields, count);
    flow_unreachable_log(message);
}

void
flow_outcome_format_fields(FILE *out)
{
    size_t i;

    for (i = 0; i < OUTCOME_FIELDS; i++)
        fprintf(out, "%s\t%s\n", outcome_table[i].name, outcome_table[i].meaning);
}
