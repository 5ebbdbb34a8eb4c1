#include "flow/identity.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flow/automatic.h"
#include "flow/finding.h"
#include "flow/route.h"
#include "flow/state.h"

static const char *const identity_names[POLICY_SENDER_FIELDS] = {
    [POLICY_SENDER_FROM] = "From",
    [POLICY_SENDER_SENDER] = "Sender",
    [POLICY_SENDER_RESENT_FROM] = "Resent-From",
    [POLICY_SENDER_RESENT_SENDER] = "Resent-Sender",
};

/* RFC 5322 2.1.1, without the line break. */
enum { IDENTITY_LINE = 998 };

/* ---- at the end of the header ------------------------------------------------------------------
 */

static enum err_code
identity_load_field(struct flow_message *message, enum policy_sender_place place, struct err *err)
{
    struct flow_from *field = &message->identity.field[place];
    bool topmost = place == POLICY_SENDER_RESENT_FROM || place == POLICY_SENDER_RESENT_SENDER;
    enum err_code code =
        flow_from_load_field(message->header, identity_names[place], topmost, field, err);

    message->identity.facts.field[place] = (struct policy_sender_field){
        .fields = field->fields,
        .mailboxes = field->mailboxes,
        .irregular = field->irregular,
        .address = field->address[0] ? field->address : NULL,
    };
    return code;
}

/* A From that cannot be read shows nothing that matters: it is refused for that. */
static enum err_code
identity_load_shown(struct flow_message *message, struct err *err)
{
    struct flow_identity *identity = &message->identity;
    struct mime_header_field field;
    struct err found = ERR_INIT;
    enum err_code code;

    if (!message->from.address[0] || !mime_header_find(message->header, "From", 0, &field))
        return ERR_OK;
    code = mime_shown_load(field.value, &identity->shown, &found);
    identity->facts.shown = (const char *const *)identity->shown.list;
    identity->facts.unreadable = identity->shown.unreadable || code == ERR_LIMIT;
    return code == ERR_OK || code == ERR_LIMIT ? ERR_OK : err_set(err, code, "%s", found.text);
}

enum err_code
flow_identity_new(struct flow_message *message, struct err *err)
{
    struct flow_identity *identity = &message->identity;
    struct policy_sender_facts *facts = &identity->facts;
    enum err_code code = ERR_OK;

    if (message->direction != CONF_DIRECTION_OUT)
        return ERR_OK;
    *facts = (struct policy_sender_facts){
        .conf = &message->conf->global,
        .envelope_sender = message->sender,
        .login = message->login,
        .directory = directory_lookup_directory_count(message->services->lookup) > 0,
        .person = POLICY_NO,
        .send_as = POLICY_NO,
        .owner_primary = POLICY_NO,
    };
    for (int place = 0; code == ERR_OK && place < POLICY_SENDER_FIELDS; place++)
        code = identity_load_field(message, (enum policy_sender_place)place, err);
    if (code == ERR_OK)
        code = identity_load_shown(message, err);
    if (code == ERR_OK)
        code = flow_automatic_find(message->header, &facts->automatic, err);
    identity->unvouched = facts->directory &&
                          facts->conf->sender_identity == CONF_IDENTITY_ENFORCE &&
                          policy_sender_witness(facts) == POLICY_WITNESS_NOBODY;
    return code;
}

bool
flow_identity_may_rewrite(const struct flow_message *message)
{
    const struct policy_sender_facts *facts = &message->identity.facts;

    return facts->conf && facts->directory &&
           facts->conf->sender_identity == CONF_IDENTITY_ENFORCE &&
           facts->conf->secondary_address == CONF_SECONDARY_REWRITE;
}

void
flow_identity_free(struct flow_identity *identity)
{
    mime_shown_free(&identity->shown);
    directory_entry_free(&identity->person);
    *identity = (struct flow_identity){ .asked = false };
}

/* ---- who is it ---------------------------------------------------------------------------------
 */

/* One of the three answers; what is our own failure is an error. */
static enum err_code
identity_answer(enum err_code code, const struct err *asked, enum policy_known *known,
                struct err *err)
{
    if (code == ERR_NOMEM || code == ERR_BUG)
        return err_set(err, code, "%s", asked->text);
    *known = code == ERR_OK ? POLICY_YES : code == ERR_NOTFOUND ? POLICY_NO : POLICY_UNKNOWN;
    return ERR_OK;
}

/* Whom the witness names. A contact is somebody of another house, and a group is nobody: neither
 * sends mail of ours. */
static enum err_code
identity_load_person(struct flow_message *message, int64_t deadline_ms, struct err *err)
{
    struct flow_identity *identity = &message->identity;
    struct policy_sender_facts *facts = &identity->facts;
    const char *address = policy_sender_witness(facts) == POLICY_WITNESS_NOBODY
                              ? message->from.address
                              : message->sender;
    struct err asked = ERR_INIT;
    enum err_code code;

    if (!facts->login && !address[0])
        return ERR_OK;
    code = directory_lookup_person(message->services->lookup, facts->login ? NULL : address,
                                   facts->login, deadline_ms, &identity->person, &asked);
    if (code == ERR_OK && identity->person->kind != DIRECTORY_USER) {
        directory_entry_free(&identity->person);
        code = ERR_NOTFOUND;
    }
    code = identity_answer(code, &asked, &facts->person, err);
    if (identity->person) {
        facts->primary = identity->person->primary;
        facts->addresses = (const char *const *)identity->person->addresses;
    }
    return code;
}

/* May he send as From, and is that its owner's primary address? An address that a filter allows and
 * nobody has is not another name of anybody. */
static enum err_code
identity_load_owner(struct flow_message *message, int64_t deadline_ms, struct err *err)
{
    struct policy_sender_facts *facts = &message->identity.facts;
    struct directory_lookup *lookup = message->services->lookup;
    const char *from = message->from.address;
    struct directory_entry *owner = NULL;
    struct err asked = ERR_INIT;
    enum err_code code =
        directory_lookup_send_as(lookup, message->identity.person, from, deadline_ms, &asked);

    code = identity_answer(code, &asked, &facts->send_as, err);
    if (code != ERR_OK || facts->send_as != POLICY_YES)
        return code;
    err_reset(&asked);
    code = directory_lookup_person(lookup, from, NULL, deadline_ms, &owner, &asked);
    code = identity_answer(code, &asked, &facts->owner_primary, err);
    if (owner)
        facts->owner_primary =
            owner->primary && mime_address_is(span_str(from), span_str(owner->primary),
                                              facts->conf->fold_local_part)
                ? POLICY_YES
                : POLICY_NO;
    else if (facts->owner_primary == POLICY_NO)
        facts->owner_primary = POLICY_YES;
    directory_entry_free(&owner);
    return code;
}

/* ---- another address into a field --------------------------------------------------------------
 */

/* The value of the field with the primary address in the place of the one that stands there: names,
 * comments and folding stay. ERR_LIMIT: a line would become too long. */
static enum err_code
identity_format(const struct flow_message *message, enum policy_sender_place place, struct buf *out,
                struct err *err)
{
    const struct mime_address_place at = message->identity.field[place].place;
    struct mime_header_field field;
    size_t line = strlen(identity_names[place]) + 1;
    enum err_code code;

    if (!mime_header_find(message->header, identity_names[place], 0, &field) ||
        at.end > field.value.n || at.begin >= at.end)
        return err_set(err, ERR_BUG, "the field %s changed", identity_names[place]);
    code = buf_append(out, span_of(field.value.p, at.begin), err);
    if (code == ERR_OK)
        code = buf_append_str(out, message->identity.facts.primary, err);
    if (code == ERR_OK)
        code = buf_append(out, span_from(field.value, at.end), err);
    for (size_t i = 0; code == ERR_OK && i < out->n; i++) {
        line = out->p[i] == '\n' ? 0 : line + 1;
        if (line > IDENTITY_LINE)
            code = err_set(err, ERR_LIMIT, "a line of %s would be too long", identity_names[place]);
    }
    return code;
}

/* Would every field with a secondary address still have lines that pass? */
static enum err_code
identity_check_lines(struct flow_message *message, struct err *err)
{
    struct policy_sender_facts *facts = &message->identity.facts;

    for (int place = 0; place < POLICY_SENDER_FIELDS && facts->primary; place++) {
        struct buf value = BUF_INIT(message->conf->global.max_header + MIME_ADDRESS_SIZE);
        struct err found = ERR_INIT;
        enum err_code code = ERR_OK;

        if (facts->field[place].address)
            code = identity_format(message, (enum policy_sender_place)place, &value, &found);
        buf_free(&value);
        if (code == ERR_LIMIT)
            facts->too_long = true;
        else if (code != ERR_OK)
            return err_set(err, code, "%s", found.text);
    }
    return ERR_OK;
}

enum err_code
flow_identity_load(struct flow_message *message, int64_t deadline_ms, struct err *err)
{
    struct flow_identity *identity = &message->identity;
    struct policy_sender_facts *facts = &identity->facts;
    enum err_code code = ERR_OK;

    if (facts->directory)
        code = identity_load_person(message, deadline_ms, err);
    if (code == ERR_OK && policy_sender_asks_owner(facts))
        code = identity_load_owner(message, deadline_ms, err);
    if (code == ERR_OK)
        code = identity_check_lines(message, err);
    if (code != ERR_OK)
        return code;
    policy_sender_decide(facts, &identity->answer);
    identity->asked = true;
    return ERR_OK;
}

/* ---- what follows ------------------------------------------------------------------------------
 */

static enum err_code
identity_add_field(struct flow_message *message, enum policy_sender_place place, struct err *err)
{
    struct buf value = BUF_INIT(message->conf->global.max_header + MIME_ADDRESS_SIZE);
    enum err_code code = identity_format(message, place, &value, err);

    if (code == ERR_OK)
        code = flow_edits_add(&message->edits, FLOW_EDIT_CHANGE_HEADER, identity_names[place],
                              buf_str(&value), 1, err);
    buf_free(&value);
    return code;
}

static enum err_code
identity_set_sender(struct flow_message *message, const char *primary, struct err *err)
{
    char *sender = strdup(primary);
    enum err_code code;

    if (!sender)
        return err_set(err, ERR_NOMEM, "memory for the envelope sender");
    code = flow_edits_add(&message->edits, FLOW_EDIT_CHANGE_SENDER, NULL, primary, 0, err);
    free(message->sender);
    message->sender = sender;
    message->identity.facts.envelope_sender = sender;
    return code;
}

enum err_code
flow_identity_write(struct flow_message *message, struct err *err)
{
    struct flow_identity *identity = &message->identity;
    unsigned rewrite = identity->answer.rewrite;
    const char *primary = identity->facts.primary;
    enum err_code code = ERR_OK;

    if (rewrite == 0 || message->conf->global.sender_identity != CONF_IDENTITY_ENFORCE)
        return ERR_OK;
    snprintf(identity->was, sizeof(identity->was), "%s",
             rewrite & 1U << POLICY_SENDER_FROM ? message->from.address : message->sender);
    for (int place = 0; code == ERR_OK && place < POLICY_SENDER_FIELDS; place++) {
        if (rewrite & 1U << place)
            code = identity_add_field(message, (enum policy_sender_place)place, err);
    }
    if (code == ERR_OK && rewrite & 1U << POLICY_SENDER_ENVELOPE)
        code = identity_set_sender(message, primary, err);
    if (code != ERR_OK || !(rewrite & 1U << POLICY_SENDER_FROM))
        return code;
    snprintf(message->from.address, sizeof(message->from.address), "%s", primary);
    code = flow_rules_find_all(message, err);
    return code == ERR_OK ? flow_route_check(message, err) : code;
}

/* ---- which key ---------------------------------------------------------------------------------
 */

/* The newest valid key whose certificate carries `address` too; NULL: none. */
static const struct directory_candidate *
identity_find_carrying(const struct flow_message *message, const struct flow_finding *keys,
                       const char *address)
{
    const struct pki_leaf_policy *policy = &message->services->leaf_policy;
    const struct directory_candidate *best = NULL;

    for (size_t i = 0; i < keys->lookup.count; i++) {
        const struct directory_candidate *one = &keys->lookup.list[i];

        if (one->answer.status != PKI_STATUS_OK || !one->key ||
            !pki_certificate_has_address(one->certificate, address, policy))
            continue;
        if (!best || pki_certificate_get(one->certificate)->not_before >
                         pki_certificate_get(best->certificate)->not_before)
            best = one;
    }
    return best;
}

const struct directory_candidate *
flow_identity_get_signer(const struct flow_message *message, const struct flow_finding *keys,
                         const char **reason, const char **text)
{
    const struct policy_sender_answer *answer = &message->identity.answer;
    const struct directory_candidate *signer = keys ? keys->lookup.selected : NULL;

    if (!signer || message->conf->global.sender_identity != CONF_IDENTITY_ENFORCE)
        return signer;
    if (answer->send_as && !message->conf->global.send_as_signs) {
        *reason = "send-as";
        *text = "who sends as another does not sign as him";
        return NULL;
    }
    if (!answer->carries)
        return signer;
    signer = identity_find_carrying(message, keys, answer->carries);
    if (!signer) {
        *reason = "cert-wrong-address";
        *text = "no certificate carries that and the primary address";
    }
    return signer;
}
