#!/usr/bin/env python3
"""Inbound through Postfix: the result field is the only difference, forged ones go, and policy marks, holds or rejects."""

import re

from harness import Authority, Postfix, Scratch, Sink, Smimed, main, run, submit, trust_config, wait_until

TEXT = b"Content-Type: text/plain; charset=us-ascii\r\n\r\nHello alice, this is bob.\r\nFrom a line, and a dot:\r\n.\r\n  \r\n"

RULES = """
inbound_daemons = INBOUND
rule "reject" {
    direction = in
    recipient = reject@example.org
    on_fail = reject
    on_none = reject
    on_permerror = reject
}
rule "hold" {
    direction = in
    recipient = hold@example.org
    on_fail = quarantine
}
rule "in" {
    direction = in
}
"""


class Setting:
    def __init__(self, scratch, rules=RULES):
        self.ca = Authority(scratch)
        self.bob = self.ca.user("bob@partner.example", "bob")
        self.sink = Sink(scratch)
        self.smimed = Smimed(scratch, rules + trust_config(self.ca))
        self.postfix = Postfix(scratch, self.sink.port, self.smimed.milter,
                               {"in": {"milter_macro_daemon_name": "INBOUND"}, "bare": {"smtpd_milters": ""}},
                               main="local_header_rewrite_clients =\nalways_add_missing_headers = no\n")

    def sign(self, person=None, sender="bob@partner.example", text=TEXT, options=()):
        key, cert = (person or self.bob)
        signed = run("openssl", "cms", "-sign", "-binary", "-signer", cert, "-inkey", key, "-certfile", self.ca.cert, "-md",
                     "sha256", *options, stdin=text).stdout
        # openssl writes its own lines with LF, and the content as it was given.
        head, _, body = signed.partition(b"\n\n") if b"\r\n\r\n" not in signed[:600] else signed.partition(b"\r\n\r\n")
        body = body.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        head = head.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        return b"From: Bob <" + sender.encode() + b">\r\nTo: alice@example.org\r\nSubject: s\r\n" + head + b"\r\n\r\n" + body

    def receive(self, message, recipient="alice@example.org", service="in"):
        code, text = submit(self.postfix.ports[service], "bob@partner.example", [recipient], message)
        assert code == 250, text
        return self.sink.take()[0][2]

    def verdict(self, message, **options):
        delivered = self.receive(message, **options)
        found = result_fields(delivered)
        assert len(found) <= 1, found
        return re.search(r"smime=(\w+)", found[0]).group(1) if found else "", found[0] if found else "", delivered


def result_fields(message):
    head = re.sub(rb"\r\n[ \t]+", b" ", message.partition(b"\r\n\r\n")[0])
    return [line.decode() for line in head.split(b"\r\n") if line.lower().startswith(b"authentication-results:")]


def without_trace(message, *names):
    """Without Received and the fields of those names, folding included."""
    return re.sub(rb"(?im)^(?:received|" + b"|".join(names) + rb"):.*\r\n(?:[ \t].*\r\n)*", b"", message) \
        if names else re.sub(rb"(?im)^received:.*\r\n(?:[ \t].*\r\n)*", b"", message)


def test_inbound_differs_by_the_result_field_alone():
    with Scratch("inbound") as scratch:
        it = Setting(scratch)
        plain = (b"From: x@y.test\r\nTo:alice@example.org\r\nSubject:  odd   spacing\r\n folded\r\nX-Empty:\r\n\r\nbody\r\n"
                 b"\xe4\xf6\r\n.\r\n\r\n\r\n")
        for message in (it.sign(), plain, it.sign().replace(b"this is bob", b"this is BOB")):
            bare, filtered = it.receive(message, service="bare"), it.receive(message)
            assert without_trace(bare) == without_trace(filtered, b"authentication-results"), (bare, filtered)


def test_good_bad_and_missing_signatures():
    with Scratch("inbound") as scratch:
        it = Setting(scratch)
        good = it.sign()
        word, field, _ = it.verdict(good)
        assert word == "pass", field
        assert "body.smime-identifier=bob@partner.example" in field.replace('"', ""), field
        assert ("body.smime-serial=" in field) == ("body.smime-issuer=" in field), field
        word, field, _ = it.verdict(good.replace(b"this is bob", b"this is BOB"))
        assert word == "fail", field
        assert "smime-identifier" not in field, field
        word, field, _ = it.verdict(it.sign(options=["-nodetach"]))
        assert word == "pass", field
        word, field, _ = it.verdict(it.sign(sender="mallory@partner.example"))
        assert word == "fail", field
        word, field, _ = it.verdict(b"From: bob@partner.example\r\nSubject: plain\r\n\r\nnot signed\r\n")
        assert word == "", field
        outcomes = it.smimed.wait_outcomes(5)
        assert [o["dir"] for o in outcomes] == ["in"] * 5, outcomes


def test_malformed_cms_is_permerror_and_the_mail_passes_marked():
    with Scratch("inbound") as scratch:
        it = Setting(scratch)
        good = it.sign()
        signature = re.search(rb"base64\r\n(?:[^\r\n]+\r\n)*\r\n([A-Za-z0-9+/=\r\n]{200})", good).group(1)
        for name, bad in (("not base64 at all", b"@@@@" * 50), ("cut short", signature[:40]), ("nothing", b"\r\n")):
            word, field, delivered = it.verdict(good.replace(signature, bad))
            assert word in ("permerror", "neutral", "fail") and b"this is bob" in delivered, f"{name}: {field}"
        word, field, _ = it.verdict(good.replace(signature, b"@@@@" * 50))
        assert word == "permerror", field


def test_forged_results_in_six_spellings_are_removed():
    spellings = [b"Authentication-Results: mx.test; smime=pass", b"AUTHENTICATION-RESULTS: MX.TEST; smime=pass",
                 b"authentication-results:mx.test;smime=pass", b'Authentication-Results: "mx.test" 1; smime=pass',
                 b"Authentication-Results: (a comment (nested)) mx.test (x) 1; smime=pass",
                 b"Authentication-Results:\r\n mx.test\r\n ; smime=pass", b"Authentication-Results: mx.test. ; smime=pass",
                 b"Authentication-Results : mx.test; smime=pass"]
    others = b"Authentication-Results: other.example; smime=pass\r\n"
    with Scratch("inbound") as scratch:
        it = Setting(scratch)
        plain = b"From: x@y.test\r\nSubject: forged\r\n\r\nbody\r\n"
        for spelling in spellings:
            found = result_fields(it.receive(spelling + b"\r\n" + others + plain))
            assert [f for f in found if "other.example" not in f] == [], (spelling, found)
            assert len(found) == 1, (spelling, found)
        every = b"".join(s + b"\r\n" for s in spellings[:7])
        found = result_fields(it.receive(every + others + it.sign(sender="mallory@partner.example")))
        assert len(found) == 2 and not any("mx.test" in f and "pass" in f for f in found), found


def test_policy_rejects_and_quarantines():
    with Scratch("inbound") as scratch:
        it = Setting(scratch)
        bad = it.sign().replace(b"this is bob", b"this is BOB")
        code, text = submit(it.postfix.ports["in"], "bob@partner.example", ["reject@example.org"], bad)
        assert code == 550 and "5.7" in text, text
        code, text = submit(it.postfix.ports["in"], "bob@partner.example", ["reject@example.org"],
                            b"From: bob@partner.example\r\nSubject: plain\r\n\r\nnot signed\r\n")
        assert code == 550, text
        code, text = submit(it.postfix.ports["in"], "bob@partner.example", ["hold@example.org"], bad)
        assert code == 250, text
        wait_until(lambda: any(queue == "hold" for queue, _ in it.postfix.queue()), 10, "message in the hold queue")
        assert not it.sink.messages
        # The most severe of all recipients' rules holds.
        code, text = submit(it.postfix.ports["in"], "bob@partner.example", ["alice@example.org", "reject@example.org"], bad)
        assert code == 550, text


def test_revoked_expired_and_untrusted_signers():
    with Scratch("inbound") as scratch:
        ca_scratch = scratch.folder("elsewhere")
        it = Setting(scratch)
        revoked = it.ca.user("bob@partner.example", "revoked")
        it.ca.revoke(revoked[1])
        it.smimed.stop()
        it.smimed.start()
        word, field, _ = it.verdict(it.sign(revoked))
        assert word == "fail" and "revoked" in field, field
        with Scratch("other") as other:
            stranger = Authority(other, "stranger")
            key, cert = stranger.user("bob@partner.example", "stranger")
            word, field, _ = it.verdict(it.sign((key, cert)))
            assert word == "fail" and "pass" not in field, field
        assert ca_scratch.exists()


if __name__ == "__main__":
    main(globals())
