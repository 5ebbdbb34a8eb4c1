#include "policy/sender.h"

#include <string.h>

#include "mime/address.h"
#include "policy/text.h"

static void
sender_refuse(struct policy_sender_answer *out, const char *reason)
{
    out->identity = POLICY_IDENTITY_REFUSED;
    out->reason = reason;
}

static bool
sender_is(const struct policy_sender_facts *facts, const char *a, const char *b)
{
    return mime_address_is(span_str(a), span_str(b), facts->fold_local);
}

/* Does the message itself name one sender, the same in header and envelope? True: it does. */
static bool
sender_check_message(const struct policy_sender_facts *facts, struct policy_sender_answer *out,
                     struct policy_text *text)
{
    if (facts->from_fields == 0 || (facts->from_mailboxes == 0 && !facts->from_irregular)) {
        sender_refuse(out, "from-missing");
        policy_text_write(text, "the message has no From address; set one and send again");
        return false;
    }
    if (facts->from_fields > 1 || facts->from_mailboxes > 1) {
        sender_refuse(out, "from-several");
        policy_text_write(text, "the message names more than one From address; name exactly one");
        return false;
    }
    if (facts->from_irregular || facts->from == NULL || facts->from[0] == '\0') {
        sender_refuse(out, "from-syntax");
        policy_text_write(text, "the From field is not one well-formed address; correct it");
        return false;
    }
    /* The null sender is automatic mail (RFC 5321 4.5.5): only From speaks. */
    if (facts->envelope_sender[0] != '\0' &&
        !sender_is(facts, facts->from, facts->envelope_sender)) {
        sender_refuse(out, "from-not-sender");
        policy_text_write(text, "From ");
        policy_text_write_short(text, facts->from, 80);
        policy_text_write(text, " and the envelope sender ");
        policy_text_write_short(text, facts->envelope_sender, 80);
        policy_text_write(text, " differ; send from one address");
        return false;
    }
    return true;
}

/* The person is known: is From his primary address? */
static void
sender_check_person(const struct policy_sender_facts *facts, struct policy_sender_answer *out,
                    struct policy_text *text)
{
    if (facts->primary != NULL && sender_is(facts, facts->from, facts->primary))
        return;
    for (size_t i = 0; facts->addresses != NULL && facts->addresses[i] != NULL; i++) {
        if (!sender_is(facts, facts->from, facts->addresses[i]))
            continue;
        sender_refuse(out, "secondary-address");
        policy_text_write_short(text, facts->from, 80);
        policy_text_write(text, " is not your primary address; send from ");
        /* Told to the person himself only: without a login anybody could ask for it. */
        if (facts->login != NULL && facts->primary != NULL)
            policy_text_write_short(text, facts->primary, 80);
        else
            policy_text_write(text, "the primary one");
        return;
    }
    sender_refuse(out, "not-your-address");
    policy_text_write_short(text, facts->from, 80);
    policy_text_write(text, " is not your address; send from your own primary address");
}

void
policy_sender_decide(const struct policy_sender_facts *facts, struct policy_sender_answer *out)
{
    struct policy_text text;

    *out = (struct policy_sender_answer){ .identity = POLICY_IDENTITY_OK, .reason = "ok" };
    policy_text_init(&text, out->text, sizeof out->text);
    if (!sender_check_message(facts, out, &text) || !facts->directory)
        return;

    switch (facts->person) {
    case POLICY_YES:
        sender_check_person(facts, out, &text);
        return;
    case POLICY_NO:
        /* A trusted host's automatic mail (a bounce of MAILER-DAEMON) names nobody of the
         * directory. It claims no more than any mail of that host could, and is signed only with a
         * key for its own From address. */
        if (facts->login == NULL && facts->envelope_sender[0] == '\0')
            return;
        sender_refuse(out, "sender-unknown");
        policy_text_write_short(&text, facts->login != NULL ? "your login" : facts->envelope_sender,
                                80);
        policy_text_write(&text, " is not known in the directory; ask your administrator");
        return;
    case POLICY_UNKNOWN:
        break;
    }
    out->identity = POLICY_IDENTITY_UNKNOWN;
    out->reason = "directory-unreachable";
    policy_text_write(&text, "the directory cannot be asked who the sender is; try again later");
}
