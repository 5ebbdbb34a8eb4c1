#!/usr/bin/env python3
"""What a sender may choose: a header field, words in Subject, Sensitivity; what the rule makes of it, and what is delivered."""

import email
import email.policy

from harness import main, openssl_decrypt, openssl_verify, Scratch, smimectl
from test_outbound import Setting

RULES = ('rule "must" {\n    direction = out\n    recipient = erin@partner.example\n    sign = never\n    encrypt = always\n}\n'
         'rule "may" {\n    direction = out\n    recipient = *@partner.example\n    sign = default-off\n'
         '    encrypt = default-off\n}\n'
         'rule "on" {\n    direction = out\n    recipient = *@on.example\n    sign = default-on\n    encrypt = never\n}\n'
         'rule "fixed" {\n    direction = out\n    recipient = *@fixed.example\n    sign = default-off\n    encrypt = never\n'
         '    sender_may_change = no\n    forbidden_choice = ignore\n}\n')
BOB, ERIN = "bob@partner.example", "erin@partner.example"


def mail(to, fields="", subject="test"):
    return f"From: alice@example.org\r\nTo: {to}\r\n{fields}Subject: {subject}\r\n\r\nHello.\r\n".encode()


class Table:
    def __init__(self, it):
        self.it, self.count = it, 0

    def send(self, to, fields="", subject="test"):
        code, text = self.it.send(mail(to, fields, subject), *[to])
        self.count += 1
        outcome = self.it.smimed.wait_outcomes(self.count)[-1]
        return code, text, outcome, self.it.sink.take()[0][2] if code == 250 else None

    def kind(self, to, fields="", subject="test"):
        """("sign", "encrypt", ... or the code, its reason), and the delivered message."""
        code, text, outcome, delivered = self.send(to, fields, subject)
        return (outcome["action"] if code == 250 else f"{code} {outcome['reason']}"), delivered, text, outcome


def test_choices_are_followed_refused_or_ignored():
    cases = [
        # (recipient, fields, subject, what becomes of it, Subject as delivered)
        (BOB, "", "test", "pass", "test"),
        (BOB, "X-SMIME: sign\r\n", "test", "sign", "test"),
        (BOB, "X-SMIME: encrypt\r\n", "test", "encrypt", "test"),
        (BOB, "x-smime: Sign,\r\n Encrypt\r\n", "test", "sign+encrypt", "test"),
        (BOB, "X-SMIME: sign\r\nX-SMIME: encrypt\r\n", "test", "sign+encrypt", "test"),
        (BOB, "X-SMIME: plain\r\n", "test", "pass", "test"),
        (BOB, "", "[encrypt] Quarter", "encrypt", "Quarter"),
        (BOB, "", "Re: [SIGN] [Encrypt] Quarter", "sign+encrypt", "Re: Quarter"),
        (BOB, "", "=?utf-8?q?[encrypt]_Gr=C3=BC=C3=9Fe?=", "encrypt", "Grüße"),
        (BOB, "", "=?utf-8?b?W2VuY3J5cHRdIEdyw7zDn2U=?=", "encrypt", "Grüße"),
        (BOB, "X-SMIME: encript\r\n", "test", "550 choice-unclear", None),
        (BOB, "X-SMIME: encrypt, plain\r\n", "test", "550 choice-unclear", None),
        (BOB, "X-SMIME: encrypt\r\n", "[plain] test", "550 choice-unclear", None),
        ("nobody@partner.example", "", "[encrypt] test", "550 no-certificate", None),
        ("nobody@partner.example", "", "test", "pass", "test"),
        (ERIN, "", "test", "encrypt", "test"),
        (ERIN, "X-SMIME: plain\r\n", "test", "550 choice-forbidden", None),
        (ERIN, "", "[plain] test", "550 choice-forbidden", None),
        (ERIN, "", "[sign] test", "550 choice-forbidden", None),
        ("dave@on.example", "", "test", "sign", "test"),
        ("dave@on.example", "", "[plain] test", "pass", "test"),
        ("dave@on.example", "X-SMIME: encrypt\r\n", "test", "550 choice-forbidden", None),
        ("dave@fixed.example", "X-SMIME: sign, encrypt\r\n", "[plain] test", "pass", "test"),
        ("dave@elsewhere.example", "", "[encrypt] test", "550 choice-forbidden", None),
        ("dave@elsewhere.example", "Sensitivity: Company-Confidential\r\n", "test", "pass", "test"),
    ]
    with Scratch("choice") as scratch:
        it = Setting(scratch, RULES)
        table = Table(it)
        for to, fields, subject, wanted, left in cases:
            got, delivered, text, outcome = table.kind(to, fields, subject)
            assert got == wanted, f"{to} {fields!r} {subject!r}: {got}: {text}"
            if delivered is None:
                continue
            message = email.message_from_bytes(delivered, policy=email.policy.default)
            assert "X-SMIME" not in message, message.items()
            assert message["Subject"] == left, (subject, message["Subject"])
            assert (b"Hello." in delivered) == ("encrypt" not in wanted), (to, fields, subject)
            if wanted == "encrypt":
                assert b"Hello." in openssl_decrypt(delivered, *(it.bob if to == BOB else it.erin))
            if wanted == "sign":
                assert b"Hello." in openssl_verify(delivered, it.ca.root, it.ca.cert)
        # The reply says what was chosen and for whom it may not be.
        _, _, text, outcome = table.kind(ERIN, "", "[plain] test")
        assert "you chose that the message be plain, and mail to erin@partner.example may not be" in text, text
        assert outcome["choice"] == "plain", outcome
        # Who must get it encrypted outranks the choice made for others.
        code, text = it.send(mail(f"{BOB}, {ERIN}", "X-SMIME: plain\r\n"), BOB, ERIN)
        assert code == 550 and ERIN in text, text


def test_sensitivity_chooses_where_it_is_configured():
    with Scratch("choice") as scratch:
        it = Setting(scratch, RULES, 'choice_sensitivity = yes\nchoice_headers = ""\nsubject_encrypt = "secret:"\n')
        table = Table(it)
        for fields, subject, wanted, left in (("Sensitivity: company-confidential\r\n", "test", "encrypt", "test"),
                                              ("Sensitivity: personal\r\n", "test", "pass", "test"),
                                              ("X-SMIME: encrypt\r\n", "test", "pass", "test"),
                                              ("", "[encrypt] test", "pass", "[encrypt] test"),
                                              ("", "Secret: test", "encrypt", "test")):
            got, delivered, text, _ = table.kind(BOB, fields, subject)
            assert got == wanted, f"{fields!r} {subject!r}: {got}: {text}"
            assert email.message_from_bytes(delivered)["Subject"] == left
            assert (b"X-SMIME" in delivered) == ("X-SMIME" in fields)


def test_explain_names_the_choice():
    with Scratch("choice") as scratch:
        it = Setting(scratch, RULES)
        path = scratch.path / "m"
        path.write_bytes(mail(BOB, "X-SMIME: sign\r\n", "[encrypt] x"))
        done = smimectl("explain", "--config", it.smimed.file, "--from", "alice@example.org", "--rcpt", BOB, path)
        text = done.stdout.decode()
        assert done.returncode == 0 and "choice: sign encrypt" in text, text
        assert "edit: delete-header X-SMIME" in text and "edit: change-header Subject:" in text, text


if __name__ == "__main__":
    main(globals())
