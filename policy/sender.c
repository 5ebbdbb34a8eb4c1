#include "policy/sender.h"

#include <string.h>

#include "mime/address.h"
#include "policy/text.h"

/* What is known while the decision is made. */
struct sender {
    const struct policy_sender_facts *facts;
    struct policy_sender_answer *out;
    struct policy_text text;
    enum policy_witness witness;
};

/* What an address is to the person. */
enum owned { OWNED_PRIMARY, OWNED_SECONDARY, OWNED_NOT };

enum { ADDRESS_SHOWN = 80 }; /* octets of an address in a reply */

/* ---- answers -----------------------------------------------------------------------------------
 */

static bool
sender_is_anonymous(const struct sender *sender)
{
    return sender->facts->login == NULL;
}

/* "`address` says; advice". Without a login there is one text for everything that would tell who is
 * in the directory. */
static bool
sender_refuse(struct sender *sender, const char *reason, const char *address, const char *says)
{
    sender->out->identity = POLICY_IDENTITY_REFUSED;
    sender->out->reason = reason;
    policy_text_write_short(&sender->text, address, ADDRESS_SHOWN);
    policy_text_write(&sender->text, says);
    return false;
}

static bool
sender_refuse_person(struct sender *sender, const char *reason, const char *address,
                     const char *says)
{
    if (sender_is_anonymous(sender))
        return sender_refuse(sender, reason, NULL,
                             "the sender is not accepted without a login: From and envelope sender "
                             "have to be the same primary address of one of our users; correct "
                             "them, or log in");
    sender_refuse(sender, reason, address, says);
    if (sender->facts->primary != NULL) {
        policy_text_write(&sender->text, "; send as ");
        policy_text_write_short(&sender->text, sender->facts->primary, ADDRESS_SHOWN);
    } else {
        policy_text_write(&sender->text, "; ask your administrator");
    }
    return false;
}

static bool
sender_defer(struct sender *sender)
{
    sender->out->identity = POLICY_IDENTITY_UNKNOWN;
    sender->out->reason = "directory-unreachable";
    policy_text_write(&sender->text,
                      "the directory cannot be asked who the sender is; try again later");
    return false;
}

/* ---- addresses ---------------------------------------------------------------------------------
 */

static const char *
sender_from(const struct policy_sender_facts *facts)
{
    return facts->field[POLICY_SENDER_FROM].address;
}

static bool
sender_is(const struct policy_sender_facts *facts, const char *a, const char *b)
{
    return a != NULL && b != NULL &&
           mime_address_is(span_str(a), span_str(b), facts->conf->fold_local_part);
}

static enum owned
sender_owns(const struct policy_sender_facts *facts, const char *address)
{
    if (sender_is(facts, address, facts->primary))
        return OWNED_PRIMARY;
    for (size_t i = 0; facts->addresses != NULL && facts->addresses[i] != NULL; i++) {
        if (sender_is(facts, address, facts->addresses[i]))
            return OWNED_SECONDARY;
    }
    return OWNED_NOT;
}

static bool
sender_is_ascii(const char *address)
{
    for (; *address != '\0'; address++) {
        if ((unsigned char)*address >= 0x80)
            return false;
    }
    return true;
}

/* Where the message is in ASCII throughout, nobody has said that it may become internationalised
 * (RFC 6531 3.2): its next hop might not take it. */
static bool
sender_may_rewrite(const struct policy_sender_facts *facts)
{
    return !facts->too_long &&
           (sender_is_ascii(facts->primary) || !sender_is_ascii(sender_from(facts)) ||
            !sender_is_ascii(facts->envelope_sender));
}

/* A secondary address stands in `place`. */
static bool
sender_check_secondary(struct sender *sender, enum policy_sender_place place, const char *address)
{
    struct policy_sender_answer *out = sender->out;
    int what = sender->facts->conf->secondary_address;

    if (what == CONF_SECONDARY_ALLOW) {
        out->reason = "secondary-allowed";
        if (place == POLICY_SENDER_FROM)
            out->carries = sender->facts->primary;
        return true;
    }
    if (what == CONF_SECONDARY_REWRITE && sender_may_rewrite(sender->facts)) {
        out->reason = "secondary-rewritten";
        out->rewrite |= 1U << place;
        return true;
    }
    return sender_refuse_person(sender, "secondary-address", address,
                                " is not your primary address");
}

/* ---- the message itself ------------------------------------------------------------------------
 */

static bool
sender_check_from(struct sender *sender)
{
    const struct policy_sender_field *from = &sender->facts->field[POLICY_SENDER_FROM];

    if (from->fields == 0 || (from->mailboxes == 0 && !from->irregular))
        return sender_refuse(sender, "from-missing", NULL,
                             "the message has no From address; set one and send again");
    if (from->fields > 1 || from->mailboxes > 1)
        return sender_refuse(sender, "from-several", NULL,
                             "the message names more than one From address; name exactly one");
    if (from->irregular || from->address == NULL || from->address[0] == '\0')
        return sender_refuse(sender, "from-syntax", NULL,
                             "the From field is not one well-formed address; correct it");
    return true;
}

/* RFC 5322 3.6.2: Sender has one mailbox. Resent fields come in blocks, and several are no error.
 */
static bool
sender_check_fields(struct sender *sender)
{
    static const char *const says[POLICY_SENDER_FIELDS] = {
        [POLICY_SENDER_SENDER] = "the Sender field is not one well-formed address; correct it",
        [POLICY_SENDER_RESENT_FROM] =
            "the Resent-From field is not one well-formed address; correct it",
        [POLICY_SENDER_RESENT_SENDER] =
            "the Resent-Sender field is not one well-formed address; correct it",
    };

    for (int i = POLICY_SENDER_SENDER; i < POLICY_SENDER_FIELDS; i++) {
        const struct policy_sender_field *field = &sender->facts->field[i];
        bool several = i == POLICY_SENDER_SENDER && field->fields > 1;

        if (field->fields > 0 && (several || field->irregular || field->mailboxes != 1 ||
                                  field->address == NULL || field->address[0] == '\0'))
            return sender_refuse(sender,
                                 i == POLICY_SENDER_SENDER ? "sender-syntax" : "resent-syntax",
                                 NULL, says[i]);
    }
    return true;
}

/* A name that shows another address is what most people take for the sender. */
static bool
sender_check_shown(struct sender *sender)
{
    const struct policy_sender_facts *facts = sender->facts;

    if (facts->conf->identity_display_name != CONF_DISPLAY_NAME_REFUSE)
        return true;
    if (facts->unreadable)
        return sender_refuse(sender, "from-shows-another", NULL,
                             "the name in From is written in a character set that cannot be "
                             "checked; write it in UTF-8");
    for (size_t i = 0; facts->shown != NULL && facts->shown[i] != NULL; i++) {
        if (sender_is(facts, facts->shown[i], sender_from(facts)) ||
            (facts->person == POLICY_YES && !sender_is_anonymous(sender) &&
             sender_owns(facts, facts->shown[i]) != OWNED_NOT))
            continue;
        return sender_refuse(sender, "from-shows-another", NULL,
                             "the name in From shows an address that is not the sender's; take it "
                             "out");
    }
    return true;
}

/* Nobody can be asked: one address in all places. */
static bool
sender_check_alone(struct sender *sender)
{
    const struct policy_sender_facts *facts = sender->facts;
    const char *from = sender_from(facts);

    /* The null sender is automatic mail (RFC 5321 4.5.5): only From speaks. */
    if (facts->envelope_sender[0] != '\0' && !sender_is(facts, from, facts->envelope_sender)) {
        sender_refuse(sender, "from-not-sender", NULL, "From ");
        policy_text_write_short(&sender->text, from, ADDRESS_SHOWN);
        policy_text_write(&sender->text, " and the envelope sender ");
        policy_text_write_short(&sender->text, facts->envelope_sender, ADDRESS_SHOWN);
        policy_text_write(&sender->text, " differ; send from one address");
        return false;
    }
    for (int i = POLICY_SENDER_SENDER; i < POLICY_SENDER_FIELDS; i++) {
        if (facts->field[i].fields > 0 && !sender_is(facts, from, facts->field[i].address))
            return sender_refuse(
                sender, i == POLICY_SENDER_SENDER ? "sender-not-yours" : "resent-not-yours",
                facts->field[i].address,
                " is named as who sent the message, and is not the address of "
                "From; leave that field out");
    }
    return sender_check_shown(sender);
}

/* ---- the person --------------------------------------------------------------------------------
 */

/* From is not his: may he send as its owner? */
static bool
sender_check_owner(struct sender *sender)
{
    const struct policy_sender_facts *facts = sender->facts;
    const char *from = sender_from(facts);

    if (facts->send_as == POLICY_UNKNOWN ||
        (facts->send_as == POLICY_YES && facts->owner_primary == POLICY_UNKNOWN))
        return sender_defer(sender);
    if (facts->send_as != POLICY_YES)
        return sender_refuse_person(sender,
                                    sender->witness == POLICY_WITNESS_LOGIN ? "not-your-address"
                                                                            : "from-not-sender",
                                    from, " is not your address");
    /* Whose primary address it should be is not told, and nothing of another person is rewritten.
     */
    if (facts->owner_primary != POLICY_YES &&
        facts->conf->secondary_address != CONF_SECONDARY_ALLOW)
        return sender_refuse(sender, "secondary-address", sender_is_anonymous(sender) ? NULL : from,
                             sender_is_anonymous(sender)
                                 ? "From has to be a primary address; correct it"
                                 : " is not a primary address; send as the primary one");
    sender->out->send_as = true;
    sender->out->reason = "send-as";
    return true;
}

static bool
sender_check_author(struct sender *sender)
{
    const char *from = sender_from(sender->facts);

    switch (sender_owns(sender->facts, from)) {
    case OWNED_PRIMARY:
        return true;
    case OWNED_SECONDARY:
        return sender_check_secondary(sender, POLICY_SENDER_FROM, from);
    case OWNED_NOT:
        break;
    }
    return sender_check_owner(sender);
}

/* An address in another place than From: his, or that of From. */
static bool
sender_check_place(struct sender *sender, enum policy_sender_place place, const char *address,
                   const char *reason, const char *says)
{
    switch (sender_owns(sender->facts, address)) {
    case OWNED_PRIMARY:
        return true;
    case OWNED_SECONDARY:
        return sender_check_secondary(sender, place, address);
    case OWNED_NOT:
        break;
    }
    /* Whoever may send as the owner of From may do so in the envelope too. */
    if (sender->out->send_as && sender_is(sender->facts, address, sender_from(sender->facts)))
        return true;
    return sender_refuse_person(sender, reason, address, says);
}

static bool
sender_check_places(struct sender *sender)
{
    const struct policy_sender_facts *facts = sender->facts;

    if (facts->envelope_sender[0] != '\0' &&
        !sender_check_place(sender, POLICY_SENDER_ENVELOPE, facts->envelope_sender,
                            "envelope-not-yours", " (the envelope sender) is not your address"))
        return false;
    for (int i = POLICY_SENDER_SENDER; i < POLICY_SENDER_FIELDS; i++) {
        bool resent = i != POLICY_SENDER_SENDER;

        if (facts->field[i].fields > 0 &&
            !sender_check_place(sender, (enum policy_sender_place)i, facts->field[i].address,
                                resent ? "resent-not-yours" : "sender-not-yours",
                                resent ? " (who sent it on) is not your address"
                                       : " (the Sender field) is not your address"))
            return false;
    }
    return true;
}

static bool
sender_check_person(struct sender *sender)
{
    if (sender->facts->primary == NULL)
        return sender_refuse_person(sender, "no-primary-address", NULL,
                                    "the directory has no primary address for you");
    /* Nobody stands for it but From: the host has the word on envelope and Sender. */
    return sender_check_author(sender) &&
           (sender->witness == POLICY_WITNESS_NOBODY || sender_check_places(sender)) &&
           sender_check_shown(sender);
}

/* Nobody of the directory. A trusted host's automatic mail (a bounce of MAILER-DAEMON) names such a
 * one. It claims no more than any mail of that host could, and is signed only with a key for its
 * own From address; which rule holds for it is not From's to say (policy/rule). */
static bool
sender_check_nobody(struct sender *sender)
{
    const struct policy_sender_facts *facts = sender->facts;
    bool null_sender = facts->envelope_sender[0] == '\0';

    if (sender->witness == POLICY_WITNESS_NOBODY &&
        !(null_sender && facts->conf->identity_null_sender == CONF_NULL_SENDER_KNOWN)) {
        sender->out->reason = "nobody-vouches";
        return sender_check_shown(sender);
    }
    return sender_refuse_person(sender, "sender-unknown", NULL,
                                "your login is not known in the directory");
}

/* May it come without a login at all? */
static bool
sender_check_host(struct sender *sender)
{
    const struct policy_sender_facts *facts = sender->facts;

    if (!sender_is_anonymous(sender))
        return true;
    if (facts->envelope_sender[0] == '\0')
        return facts->conf->identity_null_sender != CONF_NULL_SENDER_REFUSE ||
               sender_refuse(sender, "null-sender", NULL,
                             "the null sender is not accepted without a login; log in");
    return facts->conf->identity_trusted_hosts != CONF_TRUSTED_HOSTS_REFUSE ||
           sender_refuse(sender, "not-authenticated", NULL,
                         "mail is not accepted without a login; log in");
}

/* ---- the interface -----------------------------------------------------------------------------
 */

enum policy_witness
policy_sender_witness(const struct policy_sender_facts *facts)
{
    if (facts->login != NULL)
        return POLICY_WITNESS_LOGIN;
    if (facts->envelope_sender[0] == '\0' ||
        facts->conf->identity_trusted_hosts == CONF_TRUSTED_HOSTS_ALLOW ||
        (facts->automatic && facts->conf->identity_automatic == CONF_AUTOMATIC_ALLOW))
        return POLICY_WITNESS_NOBODY;
    return POLICY_WITNESS_ENVELOPE;
}

bool
policy_sender_asks_owner(const struct policy_sender_facts *facts)
{
    return facts->directory && facts->person == POLICY_YES && facts->primary != NULL &&
           sender_from(facts) != NULL && sender_owns(facts, sender_from(facts)) == OWNED_NOT &&
           policy_sender_witness(facts) != POLICY_WITNESS_NOBODY;
}

static bool
sender_check(struct sender *sender)
{
    if (!sender_check_from(sender) || !sender_check_fields(sender) || !sender_check_host(sender))
        return false;
    if (!sender->facts->directory)
        return sender_check_alone(sender);
    switch (sender->facts->person) {
    case POLICY_YES:
        return sender_check_person(sender);
    case POLICY_NO:
        return sender_check_nobody(sender);
    case POLICY_UNKNOWN:
        break;
    }
    return sender_defer(sender);
}

void
policy_sender_decide(const struct policy_sender_facts *facts, struct policy_sender_answer *out)
{
    struct sender sender = { .facts = facts, .out = out, .witness = policy_sender_witness(facts) };

    *out = (struct policy_sender_answer){ .identity = POLICY_IDENTITY_OK, .reason = "ok" };
    policy_text_init(&sender.text, out->text, sizeof out->text);
    if (sender_check(&sender))
        return;
    out->rewrite = 0;
    out->send_as = false;
    out->carries = NULL;
}
