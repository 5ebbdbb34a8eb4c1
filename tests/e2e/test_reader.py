#!/usr/bin/env python3
"""What the reader sees of a verdict: tags in Subject, X-SMIME fields, a signature that is taken off; and mail of partners that has
to be signed or encrypted. All by rule, and nothing of it can be forged by who sends the mail."""

import email
import email.policy
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "scenario"))
from harness import (Authority, Postfix, Scratch, Sink, Smimed, datetime, main, now, run, submit, trust_config)
from milter_client import CHGHEADER, CONTINUE, INSHEADER, QUARANTINE, REPLBODY, REPLYCODE, Milter
from test_attacks import FROM_BOB, Person, clear, opaque, signed_data

TEXT = b"Content-Type: text/plain; charset=us-ascii\r\nSubject: inside\r\n\r\nHello alice, this is bob.\r\n.\r\n"
RULES = """
inbound_daemons = INBOUND
rule "tagged" {
    direction = in
    recipient = tagged@example.org
    tag_pass = "[signed]"
    tag_fail = "[FORGED]"
    tag_none = "[unsigned]"
    tag_neutral = "[?]"
    tag_permerror = "[broken]"
    result_fields = yes
}
rule "strip" {
    direction = in
    recipient = strip@example.org, strip2@example.org
    strip_signature = yes
}
rule "partner signs" {
    direction = in
    sender = *@partner.example
    recipient = must@example.org
    require = signed
}
rule "partner encrypts" {
    direction = in
    sender = *@partner.example
    recipient = sealed@example.org
    require = encrypted
    on_require = quarantine
}
rule "partner does both" {
    direction = in
    sender = *@partner.example
    recipient = both@example.org
    require = both
}
rule "in" {
    direction = in
}
"""


class Setting:
    def __init__(self, scratch):
        self.ca = Authority(scratch)
        self.bob = Person(self.ca.user("bob@partner.example", "bob"))
        self.sub = run("openssl", "x509", "-in", self.ca.cert, "-outform", "DER").stdout
        self.smimed = Smimed(scratch, RULES + trust_config(self.ca))

    def signed(self, text=TEXT, person=None, **options):
        person = person or self.bob
        return clear(text, signed_data([person.der, self.sub], [person.info(text)]), **options)

    def deliver(self, message, *recipients, sender="bob@partner.example"):
        """The message as it would be delivered, by the edits of the milter; (answer, octets)."""
        milter = Milter(self.smimed.socket).negotiate()
        milter.connect(macros={"{daemon_name}": "INBOUND"})
        answer, edits = milter.message(sender, recipients, message)
        milter.close()
        if answer[0] != CONTINUE:
            return answer[1].rstrip(b"\0").decode(), None
        head, _, body = message.partition(b"\r\n\r\n")
        fields = [[f.partition(b":")[0], f.partition(b":")[2]] for f in re.split(rb"\r\n(?![ \t])", head)]
        held = ""
        replaced = b""
        for command, data in edits:
            if command == QUARANTINE:
                held = data.rstrip(b"\0").decode()
            elif command == REPLBODY:
                replaced += data
            elif command == INSHEADER:
                at = int.from_bytes(data[:4], "big")
                name, value, _ = data[4:].split(b"\0")
                fields.insert(at, [name, value])
            elif command == CHGHEADER:
                index = int.from_bytes(data[:4], "big")
                name, value, _ = data[4:].split(b"\0")
                found = [i for i, f in enumerate(fields) if f[0].strip().lower() == name.lower()][index - 1]
                if value:
                    fields[found][1] = value
                else:
                    del fields[found]
        if any(command == REPLBODY for command, _ in edits):
            body = replaced
        out = b"".join(n + b":" + v.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") + b"\r\n" for n, v in fields) + b"\r\n" + body
        return held, out


def parsed(octets):
    return email.message_from_bytes(octets, policy=email.policy.default)


def test_tags_say_the_verdict_and_nobody_writes_them_himself():
    with Scratch("reader") as scratch:
        it = Setting(scratch)
        forged = ("[signed] hello", "[SIGNED]hello", "[si[signed]gned] hello", "=?utf-8?q?=5Bsigned=5D_hello?=",
                  "=?utf-8?b?W3NpZ25lZF0gaGVsbG8=?=", "[signed] [signed] hello", "[FORGED] hello", "[unsigned][signed] hello")
        for subject in forged:
            message = b"Subject: " + subject.encode() + b"\r\nFrom: bob@partner.example\r\n\r\nplain\r\n"
            _, delivered = it.deliver(message, "tagged@example.org")
            shown = parsed(delivered)["Subject"]
            assert shown.lower().replace(" ", "") == "[unsigned]hello", (subject, shown)
        for pieces in ("=?utf-8?q?[sig?= =?utf-8?q?ned]?= hello", "=?utf-8?b?W3NpZw==?=\r\n =?utf-8?q?ned=5D?= hello"):
            _, delivered = it.deliver(b"Subject: " + pieces.encode() + b"\r\nFrom: bob@partner.example\r\n\r\nplain\r\n",
                                      "tagged@example.org")
            shown = parsed(delivered)["Subject"]
            assert shown.startswith("[unsigned] ") and "[signed]" not in shown, shown
        cases = {
            "pass": (it.signed(), "[signed] s"),
            "fail": (it.signed().replace(b"this is bob", b"this is BOB"), "[FORGED] s"),
            "neutral": (it.signed(after=b"more\r\n"), "[?] s"),
            "permerror": (it.signed(end=b"\r\n"), "[broken] s"),
        }
        for word, (message, wanted) in cases.items():
            _, delivered = it.deliver(b"Subject: s\r\n" + message, "tagged@example.org")
            assert parsed(delivered)["Subject"] == wanted, (word, parsed(delivered)["Subject"])
            assert parsed(delivered)["X-SMIME-Result"] == word
        # No Subject at all, and another recipient, whose rule has no tags.
        _, delivered = it.deliver(it.signed(), "tagged@example.org")
        assert parsed(delivered)["Subject"].strip() == "[signed]", delivered
        _, delivered = it.deliver(b"Subject: [signed] s\r\n" + it.signed(), "alice@example.org")
        assert parsed(delivered)["Subject"] == "[signed] s", delivered


def test_fields_say_why_in_plain_language_and_forged_ones_go():
    with Scratch("reader") as scratch:
        it = Setting(scratch)
        forged = (b"X-SMIME-Result: pass\r\nx-smime-reason: Trust me.\r\nX-SMIME-Signer: ceo@partner.example\r\n"
                  b"X-SMIME-Anything: x\r\nX-SMIME-Layer: 1; clear-signed; pass (ok); counts\r\n")
        _, delivered = it.deliver(forged + it.signed(), "tagged@example.org")
        message = parsed(delivered)
        assert message.get_all("X-SMIME-Result") == ["pass"], delivered
        assert message.get_all("X-SMIME-Signer") == ["bob@partner.example"], delivered
        assert message.get_all("X-SMIME-Reason") == ["Signed by bob@partner.example."], message.items()
        assert "X-SMIME-Anything" not in message and "X-SMIME-Layer" not in message, message.items()
        assert message.items()[0][0] == "Authentication-Results", message.items()
        for recipient in ("alice@example.org", "tagged@example.org"):
            _, delivered = it.deliver(forged + b"From: bob@partner.example\r\n\r\nplain\r\n", recipient)
            message = parsed(delivered)
            assert message.get("X-SMIME-Result") == (None if recipient.startswith("alice") else "none"), message.items()
            assert "X-SMIME-Signer" not in message and b"Trust me" not in delivered, message.items()
        last = now() - datetime.timedelta(days=2)
        expired = Person(it.ca.user("bob@partner.example", "expired", valid=(last - datetime.timedelta(days=9), last)))
        _, delivered = it.deliver(it.signed(person=expired), "tagged@example.org")
        assert re.fullmatch(rf"The sender's certificate (has )?expired on {last:%Y-%m-%d}.*\.",
            parsed(delivered)["X-SMIME-Reason"]), \
            parsed(delivered)["X-SMIME-Reason"]
        for message, sentence in ((it.signed().replace(b"is bob", b"is BOB"), "The content was changed after it was signed."),
                                  (it.signed(sender=b"From: ceo@partner.example\r\n"),
                                   "The sender's certificate is not for ceo@partner.example."),
                                  (it.signed(after=b"more\r\n"), "There is text behind the signed part.")):
            _, delivered = it.deliver(message, "tagged@example.org")
            assert parsed(delivered)["X-SMIME-Reason"] == sentence, parsed(delivered)["X-SMIME-Reason"]


def test_a_verified_signature_is_taken_off_and_no_other():
    with Scratch("reader") as scratch:
        it = Setting(scratch)
        body = TEXT.partition(b"\r\n\r\n")[2]
        multi = (b'Content-Type: multipart/mixed; boundary="in"\r\nContent-Language: de\r\n\r\n--in\r\n\r\none\r\n--in\r\n'
                 b"Content-Type: text/html\r\n\r\n<p>two</p>\r\n--in--\r\n")
        for number, text in enumerate((TEXT, multi)):
            whole = signed_data([it.bob.der, it.sub], [it.bob.info(text)], text)
            for message in (it.signed(text), opaque(whole)):
                before = len(it.smimed.outcomes())
                _, delivered = it.deliver(b"Subject: s\r\n" + message, "strip@example.org", "strip2@example.org")
                shown = parsed(delivered)
                assert delivered.partition(b"\r\n\r\n")[2] == text.partition(b"\r\n\r\n")[2], delivered
                assert shown.get_content_type() == ("text/plain", "multipart/mixed")[number], shown.items()
                assert shown.get_all("Subject") == ["s"] and len(shown.get_all("Content-Type")) == 1, shown.items()
                assert "smime=pass" in shown["Authentication-Results"] and "bob@partner.example" in shown["Authentication-Results"]
                assert it.smimed.wait_outcomes(before + 1)[-1]["note"] == "signature-removed"
        assert b"p7s" not in delivered and body not in delivered
        kept = {
            "altered": it.signed().replace(b"is bob", b"is BOB"),
            "ambiguous": it.signed(after=b"more\r\n"),
            "another's": it.signed(sender=b"From: ceo@partner.example\r\n"),
            "not signed": b"From: bob@partner.example\r\n\r\nplain\r\n",
            "a header inside that would write one outside":
                it.signed(b"Content-Type: text/plain\r\nContent-Evil: a\0b\r\n\r\nx\r\n"),
        }
        for name, message in kept.items():
            _, delivered = it.deliver(message, "strip@example.org")
            assert delivered.partition(b"\r\n\r\n")[2] == message.partition(b"\r\n\r\n")[2], name
        # One recipient wants it as it was signed: all of them get it so.
        _, delivered = it.deliver(it.signed(), "strip@example.org", "alice@example.org")
        assert delivered.endswith(it.signed().partition(b"\r\n\r\n")[2]), delivered


def encrypted(it, content=TEXT):
    """A message that nobody here can open."""
    _, cert = it.ca.user("alice@example.org")
    der = run("openssl", "cms", "-encrypt", "-binary", "-aes256", "-outform", "DER", cert, stdin=content).stdout
    return opaque(der, kind=b"application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m")


def test_partners_have_to_sign_or_encrypt():
    with Scratch("reader") as scratch:
        it = Setting(scratch)
        plain = b"From: bob@partner.example\r\nTo: alice@example.org\r\n\r\nplain\r\n"
        sealed = encrypted(it)
        altered = it.signed().replace(b"is bob", b"is BOB")
        signed_words, sealed_words = "mail of this sender has to be signed", "mail of this sender has to be encrypted"
        table = [
            ("must", "signed", it.signed(), None), ("must", "plain", plain, signed_words), ("must", "altered", altered,
                signed_words),
            ("must", "sealed, and not opened here", sealed, signed_words),
            ("must", "ambiguous", it.signed(after=b"x\r\n"), signed_words),
            ("must", "of another", plain.replace(b"bob@partner", b"x@elsewhere"), None),
            ("both", "sealed, and not opened here", sealed, signed_words), ("both", "signed", it.signed(), sealed_words),
            ("both", "plain", plain, sealed_words),
        ]
        # Not one usable From: what it shows decides, or this would be the way around.
        for name, field in (("two fields", b"From: bob@partner.example\r\nFrom: x@elsewhere.example\r\n"),
                            ("two mailboxes", b"From: x@elsewhere.example, bob@partner.example\r\n"),
                            ("a group", b"From: friends: bob@PARTNER.example;\r\n"),
                            ("broken", b"From: <bob@partner.example> <x@elsewhere.example>\r\n")):
            table.append(("must", name, field + b"\r\nplain\r\n", signed_words))
        table.append(("must", "two others", b"From: a@elsewhere.example, b@elsewhere.example\r\n\r\nplain\r\n", None))
        for recipient, name, message, words in table:
            said, delivered = it.deliver(message, f"{recipient}@example.org", sender="x@elsewhere.example")
            if words is None:
                assert delivered is not None, (recipient, name, said)
            else:
                assert delivered is None and said.startswith("550 5.7.1") and words in said, (recipient, name, said)
        for name, message, held in (("sealed", sealed, False), ("plain", plain, True), ("signed", it.signed(), True)):
            said, delivered = it.deliver(message, "sealed@example.org")
            assert delivered is not None and bool(said) == held and ("encryption-required" in said) == held, (name, said)
        reasons = {o.get("reason") for o in it.smimed.wait_outcomes(len(table) + 3) if o["result"] == "refused"}
        assert reasons == {"signature-required", "encryption-required"}, reasons


def test_what_cannot_be_judged_yet_waits():
    with Scratch("reader") as scratch:
        it = Setting(scratch)
        for path in it.ca.crls.iterdir():
            path.unlink()
        it.smimed.stop()
        it.smimed.start()
        said, delivered = it.deliver(it.signed(), "must@example.org")
        assert delivered is None and said.startswith("451 4.7.1"), said
        said, delivered = it.deliver(it.signed(), "alice@example.org")
        assert b"smime=temperror" in delivered, delivered


def test_through_postfix():
    with Scratch("reader") as scratch:
        it = Setting(scratch)
        sink = Sink(scratch)
        postfix = Postfix(scratch, sink.port, it.smimed.milter, {"in": {"milter_macro_daemon_name": "INBOUND"}},
                          main="local_header_rewrite_clients =\nalways_add_missing_headers = no\n")
        send = (lambda message, to: submit(postfix.port, "bob@partner.example", [to], message))
        assert send(b"X-SMIME-Result: pass\r\nSubject: [signed] s\r\n" + it.signed(), "tagged@example.org")[0] == 250
        message = parsed(sink.take()[0][2])
        assert message["Subject"] == "[signed] s" and message.get_all("X-SMIME-Result") == ["pass"], message.items()
        assert send(b"Subject: s\r\n" + it.signed(), "strip@example.org")[0] == 250
        delivered = sink.take()[0][2]
        assert delivered.endswith(b"\r\n\r\n" + TEXT.partition(b"\r\n\r\n")[2]) and b"smime=pass" in delivered, delivered
        code, text = send(b"From: bob@partner.example\r\n\r\nplain\r\n", "must@example.org")
        assert code == 550 and "has to be signed" in text, text


if __name__ == "__main__":
    main(globals())
