/* One row of the space of facts that the decision about an outbound message is tested over, and
 * what must hold of every decision. */
#ifndef TESTS_UNIT_POLICY_OUTBOUND_ROW_H
#define TESTS_UNIT_POLICY_OUTBOUND_ROW_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/outbound.h"
#include "policy/rule.h"

/* One row of a space of facts: up to three recipients, each with a rule of its own. */
struct row {
    struct conf conf;
    struct conf_rule rules[3];
    struct policy_recipient recipients[3];
    struct policy_outbound_facts facts;
    struct policy_outbound_needs needs;
    struct policy_outbound_decision out;
    size_t order[3];
    struct policy_copy got; /* the one copy; nothing where there is none */
};

static const char *const addresses[] = { "anna@partner.example", "bert@other.example",
                                         "cora@third.example" };

static inline void
row_init(struct row *row, size_t count)
{
    memset(row, 0, sizeof *row);
    for (size_t i = 0; i < count; i++) {
        row->rules[i] = *policy_rule_builtin();
        row->rules[i].sign_as = (char *)"office@our.example";
        row->recipients[i] = (struct policy_recipient){ .address = addresses[i],
                                                        .rule = &row->rules[i],
                                                        .in_header = true };
    }
    row->facts = (struct policy_outbound_facts){
        .conf = &row->conf,
        .recipients = row->recipients,
        .count = count,
        .from = "me@our.example",
        .envelope_sender = "me@our.example",
    };
}

static inline void
row_set_certificate(struct policy_recipient *recipient, int known)
{
    recipient->certificate = (enum policy_known)known;
    recipient->reason = known == POLICY_YES  ? "ok"
                        : known == POLICY_NO ? "cert-expired"
                                             : "revocation-unknown";
    recipient->text = known == POLICY_YES ? "" : "the certificate is no good today";
}

static inline void
row_set_escrow(struct row *row, enum policy_known known, const char *text)
{
    for (size_t i = 0; i < row->facts.count; i++) {
        row->recipients[i].escrow = known;
        row->recipients[i].escrow_text = text;
    }
}

static inline void
row_set_domain(struct row *row, enum policy_known known)
{
    for (size_t i = 0; i < row->facts.count; i++)
        row->recipients[i].domain_signing = known;
}

static inline void
row_decide(struct row *row)
{
    policy_outbound_decide(&row->facts, row->order, &row->out);
    row->got = (struct policy_copy){ .count = 0 };
    assert_true(row->out.plan.copy_count <= 1);
    assert_int_equal(row->out.plan.returned_count, 0);
    if (row->out.plan.copy_count == 0)
        return;
    row->got = row->out.plan.copies[0];
    assert_int_equal(row->got.count, row->facts.count);
    assert_int_equal(row->got.sign, row->got.sign_rule != NULL);
    assert_int_equal(row->got.encrypt, row->got.encrypt_rule != NULL);
}

static inline bool
row_is_encrypted(const struct row *row, const struct conf_rule *rule)
{
    return row->facts.already_encrypted || (row->facts.pgp_encrypted && rule->pgp_is_encrypted);
}

/* What the oracle below knows of a row, found by plain counting. */
struct counts {
    bool off, never, possible, always, sign, unknown, missing, hidden, sealed, lacks;
    int strictest;
};

static inline void
row_count(const struct row *row, struct counts *c)
{
    bool open = false;

    *c = (struct counts){ .strictest = -1 };
    for (size_t i = 0; i < row->facts.count; i++) {
        const struct policy_recipient *recipient = &row->recipients[i];
        const struct conf_rule *rule = recipient->rule;
        bool encrypted = row_is_encrypted(row, rule);

        c->unknown |= recipient->certificate == POLICY_UNKNOWN;
        c->missing |= recipient->certificate == POLICY_NO;
        c->hidden |= row->facts.count > 1 && !recipient->in_header;
        if (!rule->smime) {
            c->off = true;
            continue;
        }
        open |= !encrypted;
        c->never |= rule->encrypt == CONF_ENCRYPT_NEVER;
        c->possible |= rule->encrypt == CONF_ENCRYPT_IF_POSSIBLE && !encrypted;
        c->always |= rule->encrypt == CONF_ENCRYPT_ALWAYS && !encrypted;
        c->lacks |= rule->encrypt == CONF_ENCRYPT_ALWAYS && !encrypted &&
                    (recipient->certificate == POLICY_NO || recipient->escrow == POLICY_NO);
        if (rule->sign == CONF_SIGN_ALWAYS && !encrypted) {
            static const int order[] = { 2, 0, 1 }; /* refuse, unsigned, domain */
            int strictness = order[rule->no_signing_certificate];

            c->sign = true;
            c->strictest = strictness > c->strictest ? strictness : c->strictest;
        }
    }
    c->sealed = row->facts.already_encrypted || (row->facts.pgp_encrypted && !open);
    c->sign = c->sign && !row->facts.already_signed && !c->sealed;
    c->unknown |= row->recipients[0].escrow == POLICY_UNKNOWN;
    c->missing |= row->recipients[0].escrow == POLICY_NO;
}

static inline void
check_form(const struct policy_outbound_decision *out)
{
    size_t n = strlen(out->text);

    assert_non_null(out->rule);
    assert_non_null(out->reason);
    assert_true(n < sizeof out->text);
    assert_null(strpbrk(out->text, "\r\n\t"));
    switch (out->action) {
    case POLICY_PASS:
        assert_int_equal(out->code, 0);
        assert_false(out->plan.copies[0].sign || out->plan.copies[0].encrypt);
        break;
    case POLICY_PROTECT:
        assert_int_equal(out->code, 0);
        assert_true(out->plan.copies[0].sign || out->plan.copies[0].encrypt);
        break;
    case POLICY_REFUSE:
        assert_int_equal(out->code, 550);
        assert_string_equal(out->enhanced, "5.7.1");
        assert_true(n > 20);
        break;
    case POLICY_DEFER:
        assert_int_equal(out->code, 451);
        assert_string_equal(out->enhanced, "4.7.1");
        assert_true(n > 20);
        break;
    }
    if (out->action == POLICY_REFUSE || out->action == POLICY_DEFER)
        assert_int_equal(out->plan.copy_count, 0);
}

/* What must hold of every decision that lets a message out. */
static inline void
check_leaves(const struct row *row, const struct counts *c)
{
    const struct policy_copy *out = &row->got;

    for (size_t i = 0; i < row->facts.count; i++) {
        const struct conf_rule *rule = row->recipients[i].rule;

        if (rule->smime && rule->encrypt == CONF_ENCRYPT_ALWAYS)
            assert_true(out->encrypt || row_is_encrypted(row, rule));
        if (out->encrypt) {
            assert_true(rule->smime);
            assert_int_not_equal(rule->encrypt, CONF_ENCRYPT_NEVER);
            assert_int_equal(row->recipients[i].certificate, POLICY_YES);
        }
    }
    if (out->encrypt) {
        assert_int_equal(row->recipients[0].escrow, POLICY_YES);
        assert_false(c->hidden);
        assert_false(row->facts.already_encrypted);
        assert_non_null(out->encrypt_rule);
    }
    if (out->sign) {
        assert_true(c->sign);
        assert_false(c->off);
        assert_non_null(out->sign_rule);
        if (row->facts.signing != POLICY_YES) {
            assert_true(out->domain_signature);
            assert_int_equal(row->facts.signing, POLICY_NO);
            assert_int_equal(row->recipients[0].domain_signing, POLICY_YES);
            assert_int_equal(c->strictest, 1);
        }
        assert_int_equal(out->opaque,
                         row->facts.only_opaque || out->sign_rule->sign_format == CONF_SIGN_OPAQUE);
    } else if (c->sign) {
        /* One exempt or careless recipient never turns signing off for the others. */
        assert_int_equal(row->facts.signing, POLICY_NO);
        assert_int_equal(c->strictest, 0);
    }
}

/* The rules of the house, written a second time and the other way round: from the facts to what the
 * answer has to be. Identity is not part of these rows. */
static inline void
check_row(struct row *row)
{
    const struct policy_outbound_decision *out = &row->out;
    struct counts c;
    bool conflict, encrypting;

    policy_outbound_needs(&row->facts, &row->needs);
    row_decide(row);
    row_count(row, &c);
    check_form(out);

    conflict = (c.always && (c.off || c.never)) || (c.sign && c.off);
    encrypting = (c.always || c.possible) && !c.off && !c.never;
    assert_int_equal(row->needs.certificates, encrypting);
    assert_int_equal(row->needs.signing, c.sign && !conflict);

    if (out->action == POLICY_PASS || out->action == POLICY_PROTECT)
        check_leaves(row, &c);
    if (conflict) {
        assert_int_equal(out->action, POLICY_REFUSE);
        assert_string_equal(out->reason, "copies-needed");
        assert_non_null(strstr(out->text, "separately"));
        return;
    }
    if ((encrypting && c.unknown) || (c.sign && row->facts.signing == POLICY_UNKNOWN) ||
        (c.sign && row->facts.signing == POLICY_NO && c.strictest == 1 &&
         row->recipients[0].domain_signing == POLICY_UNKNOWN)) {
        assert_int_equal(out->action, POLICY_DEFER);
        return;
    }
    assert_int_not_equal(out->action, POLICY_DEFER);
    if (encrypting && c.lacks) {
        assert_int_equal(out->action, POLICY_REFUSE);
        assert_string_not_equal(out->reason, "copies-needed");
        return;
    }
    if (c.sign && row->facts.signing == POLICY_NO &&
        (c.strictest == 2 ||
         (c.strictest == 1 && row->recipients[0].domain_signing == POLICY_NO))) {
        assert_int_equal(out->action, POLICY_REFUSE);
        assert_non_null(strstr(out->text, "me@our.example"));
        return;
    }
    if (encrypting && ((c.always && c.missing) || (!c.missing && c.hidden))) {
        assert_int_equal(out->action, POLICY_REFUSE);
        assert_string_equal(out->reason, "copies-needed");
        return;
    }
    assert_int_not_equal(out->action, POLICY_REFUSE);
    assert_int_equal(row->got.encrypt, encrypting && !c.missing);
}

#endif
