#!/usr/bin/env python3
"""Rules through Postfix: by sender group, header, size and content; settings of users, domains and all; who must be encrypted
to; kinds of mail. What is delivered is looked at by openssl."""

import base64
import email
import email.policy
import signal

from directories import File, Organisation, Slapd
from harness import (Authority, Postfix, Scratch, Sink, Smimed, main, openssl_decrypt, openssl_verify, smimectl, submit,
                     trust_config)

ALICE, CAROL, BOB, ERIN = "alice@corp.example", "carol@corp.example", "bob@partner.example", "erin@partner.example"


def mail(sender=ALICE, to=BOB, fields="", body="Hello.\r\n"):
    return f"From: {sender}\r\nTo: {to}\r\n{fields}Subject: test\r\n\r\n{body}".encode()


class Setting:
    """Alice (of the legal department, in a group in a group) and Carol write to Bob and Erin, partners with certificates."""

    def __init__(self, scratch, rules, globals_="", backend=File, directory=""):
        self.scratch, self.ca, self.sink = scratch, Authority(scratch), Sink(scratch)
        self.people = {a: self.ca.user(a, a.partition("@")[0]) for a in (ALICE, CAROL, BOB, ERIN)}
        company = Organisation()
        for address in (ALICE, CAROL):
            company.person(address.partition("@")[0], address)
        company.group("inner", None, ["alice"])
        company.group("legal", "legal@corp.example", ["inner"])
        company.group("staff", "staff@corp.example", ["alice", "carol"])
        self.base = company.base
        self.directory = backend(scratch, company)
        self.people_config = self.directory.config(**({"extra": directory} if directory else {}))
        certificates = scratch.folder("certificates")
        for address in (BOB, ERIN):
            (certificates / f"{address}.pem").write_bytes(self.people[address][1].read_bytes())
        self.head = f'certificate_folders = "{certificates}"\n'
        self.smimed = Smimed(scratch, self.config(rules, globals_), start=False)
        for address in (ALICE, CAROL):
            self.ca.install_pair(self.smimed.keys, *self.people[address])
        self.smimed.start()
        self.postfix = Postfix(scratch, self.sink.port, self.smimed.milter)
        self.count = 0

    def config(self, rules, globals_=""):
        return self.head + globals_ + "\n" + self.people_config + rules + trust_config(self.ca)

    def change(self, rules, globals_=""):
        self.smimed.stop()
        self.smimed.configure(self.config(rules, globals_))
        self.smimed.start()
        self.count = len(self.smimed.outcomes())

    def send(self, message, *to, sender=ALICE):
        """(what became of it, the delivered message or the reply, the outcome)."""
        code, text = submit(self.postfix.port, sender, list(to) or [BOB], message)
        self.count += 1
        outcome = self.smimed.wait_outcomes(self.count)[-1]
        if code == 250:
            return outcome["action"], self.sink.take()[0][2], outcome
        assert not self.sink.messages
        return f"{code} {outcome['reason']}", text, outcome

    def decrypted(self, message, who=BOB):
        return openssl_decrypt(message, *self.people[who])


PLAIN = "    sign = never\n    encrypt = never\n"
REST = 'rule "rest" {\n    direction = out\n' + PLAIN + "}\n"


def rule(name, conditions, does="    sign = never\n    encrypt = always\n"):
    return f'rule "{name}" {{\n    direction = out\n    {conditions}\n{does}}}\n'


def test_sender_groups_nested_by_address_and_by_name():
    with Scratch("rules") as scratch:
        it = Setting(scratch, REST)
        for group in ("legal@corp.example", f'"cn=legal,{it.base}"'):
            it.change(rule("legal", f"sender_group = {group}") + REST)
            for sender, wanted, name in ((ALICE, "encrypt", "legal"), (CAROL, "pass", "rest")):
                got, delivered, outcome = it.send(mail(sender), sender=sender)
                assert (got, outcome["rule"]) == (wanted, name), (group, sender, got, delivered, outcome)
                if wanted == "encrypt":
                    assert b"Hello." not in delivered and b"Hello." in it.decrypted(delivered)
                else:
                    assert b"Hello." in delivered


def test_a_group_that_cannot_be_asked_or_is_not_there_is_never_the_next_rule():
    with Scratch("rules") as scratch:
        it = Setting(scratch, rule("legal", "recipient = *@partner.example\n    sender_group = legal@corp.example") + REST,
                     "sender_identity = off\nresolve_life = 0s\nfacts_timeout = 3s\n", backend=Slapd,
                     directory="    life = 0s\n    request_timeout = 1s\n")
        assert it.send(mail())[0] == "encrypt"
        assert it.send(mail(CAROL), sender=CAROL)[0] == "pass"
        it.directory.process.send_signal(signal.SIGSTOP)
        try:
            for sender in (ALICE, CAROL):
                got, text, _ = it.send(mail(sender), sender=sender)
                assert got.startswith("451") and "group" in text, (got, text)
            # Where the group does not matter, nobody asks for it.
            got, _, outcome = it.send(mail(to="dave@elsewhere.example"), "dave@elsewhere.example")
            assert got == "pass" and int(outcome["wait_ms"]) < 1000, (got, outcome)
        finally:
            it.directory.process.send_signal(signal.SIGCONT)
    with Scratch("rules") as scratch:
        it = Setting(scratch, rule("gone", "sender_group = nobody@corp.example") + REST, "sender_identity = off\n")
        got, text, _ = it.send(mail())
        assert got == "451 group-not-found" and "nobody@corp.example" in text, (got, text)


def test_header_size_and_patterns_decide():
    rules = (rule("secret", 'header = "X-Class: *geheim*", "X-Label: c3"') + rule("sub", "recipient = *.partner.example")
             + rule("big", "size_over = 20KiB") + REST)
    cases = [
        ("X-Class: streng geheim!\r\n", "Hello.\r\n", BOB, "secret"),
        ("X-Class: =?utf-8?q?STRENG=20GEHEIM?=\r\n", "Hello.\r\n", BOB, "secret"),
        ("X-Class: =?utf-8?b?c3RyZW5nIGdl?=\r\n =?utf-8?b?aGVpbQ==?=\r\n", "Hello.\r\n", BOB, "secret"),
        ("X-Class: offen\r\nx-label: C3\r\n", "Hello.\r\n", BOB, "secret"),
        ("X-Class: offen\r\nX-Class: geheim\r\n", "Hello.\r\n", BOB, "secret"),
        ("X-Label: c33\r\n", "Hello.\r\n", BOB, "rest"),
        ("X-Class: geh\r\n eim\r\n", "Hello.\r\n", BOB, "rest"),
        ("", "x" * 70 + "\r\n", BOB, "rest"),
        ("", ("x" * 70 + "\r\n") * 400, BOB, "big"),
        ("", "Hello.\r\n", "who@a.b.partner.example", "sub"),
    ]
    with Scratch("rules") as scratch:
        it = Setting(scratch, rules, "sender_identity = off\n")
        for fields, body, to, name in cases:
            got, delivered, outcome = it.send(mail(fields=fields, to=to, body=body), to)
            assert outcome["rule"] == name, (fields, got, outcome)
            assert got == ("pass" if name == "rest" else "550 no-certificate" if name == "sub" else "encrypt"), (fields, got)
            if got == "encrypt":
                assert body[:6].encode() in it.decrypted(delivered)
        # Hostile: a thousand fields, a megabyte of what nearly matches, broken encoded words.
        for fields in ("X-Class: " + "=?utf-8?b?Z2Vo" * 3000 + "\r\n", "".join(f"X-Class: geh{i:020}\r\n" for i in range(900)),
                       "X-Class: " + "\r\n ".join(["gehei"] * 9000) + "\r\n"):
            got, _, outcome = it.send(mail(fields=fields))
            assert outcome["rule"] == "big" and int(outcome["wait_ms"]) < 2000, (fields[:60], got, outcome)
        # The one that counts is behind nine hundred others.
        fields = "".join(f"X-Class: geh{i}\r\n" for i in range(900)) + "X-Class: geheim\r\n"
        assert it.send(mail(fields=fields))[2]["rule"] == "secret"


CALENDAR = ('MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=b\r\n',
            '--b\r\nContent-Type: text/plain\r\n\r\nHello.\r\n'
            '--b\r\nContent-Type: text/calendar; method=REQUEST; charset=utf-8\r\n\r\n'
            'BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nEND:VCALENDAR\r\n--b--\r\n')
ICS = (CALENDAR[0], CALENDAR[1].replace("; method=REQUEST", ""))
TNEF = ('MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n',
        '--b\r\nContent-Type: text/plain\r\n\r\nHello.\r\n--b\r\nContent-Type: application/octet-stream; name="WinMail.dat"\r\n'
        'Content-Transfer-Encoding: base64\r\n\r\neJ8+Ig==\r\n--b--\r\n')
REPORT = ('MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\r\n',
          '--b\r\nContent-Type: text/plain\r\n\r\nHello.\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n'
          'Reporting-MTA: dns; mx.corp.example\r\n\r\nFinal-Recipient: rfc822; x@y.example\r\nAction: failed\r\n'
          'Status: 5.1.1\r\n--b--\r\n')
TEXT = ("", "Hello.\r\n")
LIST = ("List-Id: <l.corp.example>\r\n", "Hello.\r\n")
REPLY = ("Auto-Submitted: auto-replied\r\n", "Hello.\r\n")


def test_content_decides_at_the_end_of_the_message():
    """An exemption by content stands before encryption for all, and only what is of that content leaves by it."""
    rules = rule("calendar", "content = calendar", PLAIN) + rule("tnef", "content = tnef", PLAIN) + rule("all", "sender = *")
    with Scratch("rules") as scratch:
        it = Setting(scratch, rules)
        for (fields, body), name in ((CALENDAR, "calendar"), (ICS, "all"), (TNEF, "tnef"), (TEXT, "all"), (REPORT, "all")):
            got, delivered, outcome = it.send(mail(fields=fields, body=body))
            assert outcome["rule"] == name and got == ("encrypt" if name == "all" else "pass"), (fields, got, delivered, outcome)
            if name == "all":
                assert b"Hello." not in delivered and b"Hello." in it.decrypted(delivered)
        # What claims to be encrypted and is not is no way out.
        it.change(rule("sealed", "content = encrypted", PLAIN) + rule("all", "sender = *"))
        fake = "MIME-Version: 1.0\r\nContent-Type: application/pkcs7-mime; smime-type=enveloped-data\r\n"
        got, delivered, outcome = it.send(mail(fields=fake, body="Hello.\r\n"))
        assert (got, outcome["rule"]) == ("encrypt", "all"), (got, delivered, outcome)
        sealed = it.decrypted  # a real one: made by ourselves, sent again
        _, delivered, _ = it.send(mail())
        head, _, body = delivered.partition(b"\r\n\r\n")
        keep = [line for line in head.decode().split("\r\n")
                if line.lower().startswith(("mime-version", "content-", "\t", " "))]
        fields = "".join(line + "\r\n" for line in keep if not line[0].isspace() or "smime" in line or "name" in line)
        got, delivered, outcome = it.send(mail(fields=fields, body=body.decode()))
        assert (got, outcome["rule"]) == ("pass", "sealed"), (got, outcome, fields)
        assert b"Hello." in sealed(delivered)


def test_sections_give_what_rules_leave_open():
    sections = ('user "carol@corp.example" {\n    sign = never\n}\n'
                'domain "corp.example" {\n    sign = always\n    digest = sha512\n}\n'
                'defaults {\n    sign = never\n    cipher = aes128-cbc\n}\n'
                f'user "{ERIN}" {{\n    must_encrypt = yes\n}}\n')
    open_rule = 'rule "open" {\n    direction = out\n    recipient = *@partner.example\n}\n'
    with Scratch("rules") as scratch:
        it = Setting(scratch, open_rule + sections)
        got, delivered, outcome = it.send(mail())
        assert (got, outcome["rule"], outcome["digest"]) == ("sign", "open", "sha512"), (got, outcome)
        assert b"Hello." in openssl_verify(delivered, it.ca.root, it.ca.cert)
        assert it.send(mail(CAROL), sender=CAROL)[0] == "pass"
        # No rule matches: the built-in one, and the sections.
        assert it.send(mail(to="dave@elsewhere.example"), "dave@elsewhere.example")[0] == "sign"
        # Erin must be encrypted to, whoever writes, and whatever the rule says.
        got, delivered, outcome = it.send(mail(CAROL, to=ERIN), ERIN, sender=CAROL)
        assert (got, outcome["alg"]) == ("encrypt", "aes128-cbc"), (got, outcome)
        assert b"Hello." in it.decrypted(delivered, ERIN)
        it.change('rule "off" {\n    direction = out\n    smime = no\n}\n' + sections)
        got, delivered, _ = it.send(mail(CAROL, to=ERIN), ERIN, sender=CAROL)
        assert got == "encrypt" and b"Hello." in it.decrypted(delivered, ERIN), (got, delivered)
        assert it.send(mail(CAROL), sender=CAROL)[0] == "pass"
        # explain says where each value comes from.
        path = scratch.path / "m"
        path.write_bytes(mail(to=ERIN))
        it.change(open_rule + sections)
        text = smimectl("explain", "--config", it.smimed.file, "--from", ALICE, "--rcpt", ERIN, path).stdout.decode()
        for line in ('setting: sign = always (domain "corp.example")', 'setting: digest = sha512 (domain "corp.example")',
                     "setting: cipher = aes128-cbc (defaults)", f"must encrypt: {ERIN}: a section user or domain says so"):
            assert line in text, (line, text)
        text = smimectl("dump", "--config", it.smimed.file).stdout.decode()
        assert "sha512" in text and "must_encrypt" in text, text


def test_another_spelling_of_a_recipient_is_no_way_around_his_rule():
    # Postfix delivers to <bob@partner.example.> as to <bob@partner.example>: it once left in plain.
    spellings = ("bob@partner.example.", "Bob@PARTNER.example", '"bob"@partner.example')
    must = 'domain "partner.example" {\n    must_encrypt = yes\n}\n'
    with Scratch("rules") as scratch:
        it = Setting(scratch, rule("always", "recipient = @partner.example") + REST, "sender_identity = off\n")
        for rules in (rule("always", "recipient = @partner.example") + REST, REST + must):
            it.change(rules, "sender_identity = off\n")
            for to in spellings:
                got, delivered, outcome = it.send(mail(), to)
                assert got == "encrypt" and b"Hello." in it.decrypted(delivered), (to, got, delivered, outcome)
            for to in ("bob%partner.example@corp.example", '"bob@partner.example"@corp.example'):
                got, text, _ = it.send(mail(), to)
                assert got == "553 routed-recipient", (to, got, text)
        # What Postfix reads as bob's address, and no rule of ours: all of these once left in plain.
        it.change(REST + f'user "{BOB}" {{\n    must_encrypt = yes\n}}\n', "sender_identity = off\n")
        for to in ("@evil.example:bob@partner.example", "bob @partner.example", "bob(x)@partner.example", "bob@partner.example(x)",
                   "b\\ob@partner.example", "<bob@partner.example>", '"Bob" <bob@partner.example>', "x:bob@partner.example;",
                   "bob@partner.example\t", "bob"):
            got, text, _ = it.send(mail(), to)
            assert got == "553 recipient-syntax", (to, got, text)


def test_kinds_of_mail():
    kinds = "    calendar = sign\n    tnef = pass\n    report = pass\n    list = sign\n    automatic = pass\n"
    with Scratch("rules") as scratch:
        it = Setting(scratch, rule("possible", "sender = *", "    sign = always\n    encrypt = if-possible\n" + kinds))
        table = [(TEXT, "sign+encrypt", None), (CALENDAR, "sign", "calendar"), (ICS, "sign+encrypt", None),
                 (TNEF, "pass", "tnef"), (REPORT, "pass", "report"), (LIST, "sign", "list"), (REPLY, "pass", "automatic")]
        for (fields, body), wanted, kind in table:
            got, delivered, outcome = it.send(mail(fields=fields, body=body))
            assert (got, outcome.get("kind")) == (wanted, kind), (fields, got, delivered, outcome)
            if wanted == "sign":
                assert b"Hello." in openssl_verify(delivered, it.ca.root, it.ca.cert)
        # A choice of the sender is not lifted by a kind ...
        got, delivered, _ = it.send(mail(fields="X-SMIME: encrypt\r\n" + CALENDAR[0], body=CALENDAR[1]))
        assert got == "sign+encrypt", got
        # ... and what must be encrypted is, whatever kind it says it is: by rule, and by recipient.
        it.change(rule("always", "sender = *", "    sign = never\n    encrypt = always\n" + kinds))
        for fields, body in (CALENDAR, TNEF, REPORT, LIST, REPLY):
            got, delivered, outcome = it.send(mail(fields=fields, body=body))
            assert got == "encrypt" and b"Hello." in it.decrypted(delivered), (fields, got, delivered)
        it.change(rule("never", "sender = *", PLAIN + kinds) + f'user "{BOB}" {{\n    must_encrypt = yes\n}}\n')
        for fields, body in (CALENDAR, TNEF, REPORT, LIST, REPLY):
            got, delivered, outcome = it.send(mail(fields=fields, body=body))
            assert got == "encrypt" and b"Hello." in it.decrypted(delivered), (fields, got, delivered)


def test_a_bounce_is_not_lost_for_want_of_a_key():
    with Scratch("rules") as scratch:
        it = Setting(scratch, rule("sign", "sender = *", "    sign = always\n"))
        bounce = mail("mailer-daemon@corp.example", fields=REPORT[0], body=REPORT[1])
        got, delivered, outcome = it.send(bounce, sender="")
        assert (got, outcome["kind"]) == ("pass", "report"), (got, delivered, outcome)
        it.change(rule("sign", "sender = *", "    sign = always\n    report = protect\n"))
        got, text, outcome = it.send(bounce, sender="")
        assert got.startswith("550"), (got, text)
        # A signed message that is sent again is left as it is.
        got, delivered, outcome = it.send(mail())
        assert got == "sign"
        head, _, body = delivered.partition(b"\r\n\r\n")
        message = email.message_from_bytes(delivered, policy=email.policy.SMTP)
        fields = "".join(f"{name}: {' '.join(message[name].split())}\r\n" for name in ("MIME-Version", "Content-Type"))
        got, again, outcome = it.send(mail(fields=fields, body=body.decode()))
        assert (got, outcome["reason"]) == ("pass", "already-signed"), (got, outcome)
        assert b"Hello." in openssl_verify(again, it.ca.root, it.ca.cert)


if __name__ == "__main__":
    main(globals())
