#!/usr/bin/env python3
"""smimectl explain is the same function as the daemon: over the cases of the end-to-end tests, outbound and inbound, what it says
of a message (dir, action, rule, nrcpt, certs, alg, result, reason) is what the daemon's outcome line says."""

import json

import test_choice
import test_groups
import test_identity
import test_outbound
import test_rules
import test_inbound as receiving
from harness import Scratch, Smtp, main, smimectl, submit

FIELDS = ("dir", "action", "rule", "nrcpt", "certs", "alg", "result", "reason")


class Comparison:
    """Messages that go through the daemon and through explain."""

    def __init__(self, scratch, setting, login=None, options=()):
        self.scratch, self.setting, self.options, self.count = scratch, setting, options, 0
        self.differ, self.seen = [], len(setting.smimed.outcomes())

    def add(self, what, code, message, sender, recipients):
        self.count += 1
        self.seen += 1
        outcome = self.setting.smimed.wait_outcomes(self.seen)[-1]
        # What is held is not delivered.
        if code == 250 and outcome["action"] != "quarantine":
            self.setting.sink.take()
        path = self.scratch.path / "explained.eml"
        path.write_bytes(message)
        options = list(self.options) or ["--client", "127.0.0.1"]
        if "login" in outcome:
            options += ["--login", outcome["login"]]
        done = smimectl("explain", "--config", self.setting.smimed.file, "--from", sender,
                        *[word for recipient in recipients for word in ("--rcpt", recipient)], *options, "--json", path)
        assert done.stdout, (what, done.stderr)
        told = json.loads(done.stdout)
        found = told["outcome"]
        differ = {name: (outcome.get(name), found.get(name)) for name in FIELDS if outcome.get(name) != found.get(name)}
        if differ or done.returncode != {2: 0, 5: 1, 4: 3}[code // 100]:
            self.differ.append(f"{what}: daemon and explain: {differ} (exit {done.returncode}, {code})")
        return told

    def finish(self):
        print(f"# {self.count} messages")
        assert not self.differ, "\n".join(self.differ)


def send(comparison, message, *recipients, sender="alice@example.org", port=None):
    code, _ = submit(port or comparison.setting.postfix.port, sender, list(recipients), message)
    return comparison.add((message[:70], recipients), code, message, sender, recipients)


def test_rules_formats_and_certificates():
    partner = [f"{name}@partner.example" for name in ("bob", "erin", "expired", "future", "usage", "revoked", "nobody")]
    people = [(one,) for one in partner + ["dave@elsewhere.example"]]
    people += [("bob@partner.example", "erin@partner.example"), ("bob@partner.example", "nobody@partner.example"),
               ("bob@partner.example", "off@partner.example"), ("bob@partner.example", "dave@elsewhere.example"),
               ("user%partner.example@example.org",)]
    with Scratch("explain") as scratch:
        for rules, extra in ((test_outbound.NEVER + test_outbound.SEAL + test_outbound.SIGN, ""),
                             (test_outbound.SEAL.replace("encrypt = always", "encrypt = if-possible\n    cipher = aes256-gcm"), ""),
                             (test_outbound.SEAL.replace("encrypt = always", "encrypt = always\n    no_certificate = plain\n"
                                                         "    encrypt_also = erin@partner.example"), "bypass_max = 1h\n")):
            with Scratch("explain") as inner:
                it = test_outbound.Setting(inner, rules, extra)
                compare = Comparison(scratch, it)
                for to in people:
                    told = send(compare, test_outbound.mail(to=to), *to)
                    assert [line for line in told["lines"] if line["topic"] == "rule"], told
                send(compare, test_outbound.mail(to=("bob@partner.example",)), "bob@partner.example", "erin@partner.example")
                send(compare, test_outbound.mail("old@example.org"), "dave@elsewhere.example", sender="old@example.org")
                send(compare, test_outbound.mail("stranger@example.org"), "dave@elsewhere.example", sender="stranger@example.org")
                if extra:
                    assert smimectl("bypass", "--for", "1h", "--config", it.smimed.file).returncode == 0
                    for to in people[:3]:
                        send(compare, test_outbound.mail(to=to), *to)
                compare.finish()


def test_recipients_who_are_refused_at_rcpt():
    rules = test_outbound.SEAL.replace("encrypt = always", "encrypt = always\n    no_certificate_at_rcpt = yes")
    bob, nobody = "bob@partner.example", "nobody@partner.example"
    with Scratch("explain") as scratch:
        it = test_outbound.Setting(scratch, rules)
        compare = Comparison(scratch, it)
        client = Smtp(it.postfix.port)
        assert client.command("MAIL FROM:<alice@example.org>")[0] == 250
        assert [client.command(f"RCPT TO:<{to}>")[0] for to in (bob, nobody)] == [250, 550]
        assert client.command("DATA")[0] == 354
        message = test_outbound.mail(to=(bob, nobody))
        client.socket.sendall(message + b"\r\n.\r\n")
        code, _ = client.read()
        told = compare.add("at rcpt", code, message, "alice@example.org", (bob, nobody))
        assert [one["recipient"] for one in told["refused"]] == [nobody], told["refused"]
        compare.finish()


def test_choices():
    with Scratch("explain") as scratch:
        it = test_outbound.Setting(scratch, test_choice.RULES)
        compare = Comparison(scratch, it)
        for to in (test_choice.BOB, test_choice.ERIN, "nobody@partner.example", "dave@on.example", "dave@fixed.example"):
            for fields in ("", "X-SMIME: sign\r\n", "X-SMIME: encrypt\r\n", "X-SMIME: plain\r\n", "X-SMIME: encript\r\n"):
                send(compare, test_choice.mail(to, fields), to)
            send(compare, test_choice.mail(to, subject="[encrypt] x"), to)
        compare.finish()


def test_senders():
    with Scratch("explain") as scratch:
        world = test_identity.World(scratch, "secondary_address = rewrite\n")
        compare = Comparison(scratch, world)
        world.seen = 0
        for name, login, envelope, header, *_ in test_identity.CASES:
            options = " SMTPUTF8" if not (header.isascii() and envelope.isascii()) else ""
            code, _, outcome, delivered = world.send(login, envelope, header, options=options)
            if code == 250:
                world.sink.messages.append(delivered)  # the comparison takes it
            message = f"{header}\r\nTo: dave@elsewhere.example\r\nSubject: test\r\n\r\nHello.\r\n".encode()
            compare.add(name, code, message, envelope, ["dave@elsewhere.example"])
        compare.finish()


def test_groups_and_what_becomes_of_them():
    with Scratch("explain") as scratch:
        always = 'rule "all" {\n    direction = out\n    sign = always\n    encrypt = always\n'
        for rules in (always + "}\n", always + "    groups = replace\n}\n",
                      always + "    group_fallback = replace\n    no_certificate = return\n}\n", test_groups.MUST):
            with Scratch("explain") as inner:
                it = test_groups.Setting(inner, rules, "group_depth = 2\n")
                compare = Comparison(scratch, it)
                for to in ("team@corp.example", "mixed@corp.example", "staff@corp.example", "unique@corp.example",
                           "dynamic@corp.example", "d1@corp.example", "bob@corp.example"):
                    message = test_groups.mail(to)
                    code, _ = submit(it.postfix.port, "alice@corp.example", [to], message)
                    compare.add(to, code, message, "alice@corp.example", [to])
                    it.sink.messages.clear()
                compare.finish()


def test_kinds_sections_and_conditions():
    rules = (test_rules.rule("secret", 'header = "X-Class: secret"') + test_rules.rule("big", "size_over = 20KiB")
             + test_rules.rule("legal", "sender_group = legal@corp.example\n    content = tnef")
             + test_rules.rule("rest", "sender = *", "    sign = always\n    encrypt = if-possible\n    calendar = sign\n"
                               "    report = pass\n")
             + 'user "carol@corp.example" {\n    cipher = aes128-gcm\n}\n'
             + f'user "{test_rules.ERIN}" {{\n    must_encrypt = yes\n}}\n')
    kinds = (test_rules.TEXT, test_rules.CALENDAR, test_rules.TNEF, test_rules.REPORT, test_rules.LIST, test_rules.REPLY,
             ("X-Class: secret\r\n", "x\r\n"), ("", ("x" * 70 + "\r\n") * 400))
    with Scratch("explain") as scratch:
        it = test_rules.Setting(scratch, rules)
        compare = Comparison(scratch, it)
        for sender in (test_rules.ALICE, test_rules.CAROL):
            for to in (test_rules.BOB, test_rules.ERIN, "dave@elsewhere.example"):
                for fields, body in kinds:
                    send(compare, test_rules.mail(sender, to, fields, body), to, sender=sender)
        compare.finish()


def test_inbound():
    with Scratch("explain") as scratch:
        it = receiving.Setting(scratch)
        compare = Comparison(scratch, it, options=["--client", "192.0.2.1", "--daemon", "INBOUND"])
        good = it.sign()
        expired = it.ca.user("old@partner.example", "old")
        it.ca.revoke(expired[1])
        messages = [good, good.replace(b"this is bob", b"this is BOB"), good.replace(b"bob@partner", b"eve@partner"),
                    b"From: x@y.example\r\nTo: alice@example.org\r\nSubject: s\r\n\r\nHello.\r\n",
                    good.replace(b"MII", b"XII", 1), it.sign(options=("-nodetach",)), good + b"more\r\n",
                    b"Authentication-Results: mx.test; smime=pass\r\n" + good]
        for message in messages:
            for to in ("alice@example.org", "reject@example.org", "hold@example.org"):
                code, _ = submit(it.postfix.ports["in"], "bob@partner.example", [to], message)
                compare.add((message[:60], to), code, message, "bob@partner.example", [to])
        compare.finish()


if __name__ == "__main__":
    main(globals())
