#!/usr/bin/env python3
"""Copies that differ, through a real Postfix with its listener for copies: who gets which, and what stands in the octets
that were delivered, read by `openssl cms`."""

import base64
import json
import pathlib
import re
import tempfile
import threading
import time

from harness import (Authority, PATIENCE, Postfix, Scratch, Sink, Smimed, Smtp, TOP, main, openssl_decrypt, openssl_verify, run,
                     smimectl, submit, trust_config, wait_until)
from proxy import Proxy

# What conf/postfix.example says about the listener.
LISTENER = {"milter_macro_daemon_name": "smimed-copies", "smtpd_client_restrictions": "permit_mynetworks,reject",
            "smtpd_recipient_restrictions": "permit_mynetworks,reject", "local_header_rewrite_clients": "",
            "receive_override_options": "no_header_body_checks"}


def mail(to=("bob@partner.example",), text=b"Hello.\r\n", fields=(), sender="alice@example.org"):
    mail.number += 1
    return (b"From: " + sender.encode() + b"\r\nTo: " + ", ".join(to).encode()
            + b"\r\nMessage-ID: <%d@example.org>\r\nSubject: test\r\n" % mail.number
            + b"".join(f + b"\r\n" for f in fields) + b"\r\n" + text)


mail.number = 0


def rule(name, recipient, *lines):
    return f'rule "{name}" {{\n    direction = out\n    recipient = {recipient}\n' + "".join(f"    {x}\n" for x in lines) + "}\n"


SEAL = rule("seal", "*@partner.example", "sign = always", "encrypt = always")
SIGN = rule("sign", "*", "sign = always")
PLAIN = rule("plain", "*@plain.example", "smime = no")


class Setting:
    """alice sends; bob, carol, dan, vault and the group team (bob, carol) have certificates; the rest has none."""

    def __init__(self, scratch, rules, extra="", listener=None, proxied=False, more=""):
        self.ca = ca = Authority(scratch)
        self.sink = Sink(scratch)
        certificates = scratch.folder("certificates")
        self.people = {name: ca.user(f"{name}@{domain}", name) for name, domain in (
            ("alice", "example.org"), ("bob", "partner.example"), ("carol", "partner.example"), ("dan", "partner.example"),
            ("vault", "example.org"))}
        for name, (_, cert) in self.people.items():
            (certificates / f"{name}.pem").write_bytes(cert.read_bytes())
        ldif = scratch.path / "people.ldif"
        ldif.write_text("".join(f"dn: cn={n},dc=x\nobjectClass: inetOrgPerson\ncn: {n}\nmail: {n}@partner.example\n\n"
                                for n in ("bob", "carol", "dan"))
                        + "dn: cn=alice,dc=x\nobjectClass: inetOrgPerson\ncn: alice\nmail: alice@example.org\n"
                          "proxyAddresses: SMTP:alice@example.org\n\n"
                          "dn: cn=team,dc=x\nobjectClass: groupOfNames\ncn: team\nmail: team@partner.example\n"
                          "member: cn=bob,dc=x\nmember: cn=carol,dc=x\n" + more)
        self.smimed = Smimed(scratch, "", start=False)
        self.postfix = Postfix(scratch, self.sink.port, self.smimed.milter,
                               services={"out": {}, "copies": listener or LISTENER})
        self.copies_port = self.postfix.ports["copies"]
        self.proxy = Proxy(scratch, self.copies_port) if proxied else None
        self.smimed.configure(
            f'certificate_folders = "{certificates}"\nresubmit_server = "inet:{self.server_port()}@127.0.0.1"\n'
            f'notices_folder = "{TOP}/conf/notices"\n{extra}\n'
            f'directory "people" {{\n    ldif = "{ldif}"\n}}\n' + rules + trust_config(ca))
        ca.install_pair(self.smimed.keys, *self.people["alice"])
        self.smimed.start()

    def server_port(self):
        return self.proxy.port if self.proxy else self.copies_port

    def send(self, message, *recipients, sender="alice@example.org", **options):
        return submit(self.postfix.port, sender, recipients, message, **options)

    def deliver(self, message, *recipients, count, **options):
        """What arrives: {recipient: octets}; each recipient is in one message only, and there are `count` of them."""
        code, text = self.send(message, *recipients, **options)
        assert code == 250, text
        arrived = {}
        for _, people, octets in self.sink.take(count):
            for line in people:
                address = re.search(r"<(.*?)>", line).group(1)
                assert address not in arrived, f"{address} got it twice"
                arrived[address] = octets
                assert b"x-smimed-mark" not in octets.lower(), octets
        assert not self.sink.messages
        return arrived

    def serial(self, name):
        text = run("openssl", "x509", "-in", self.people[name][1], "-noout", "-serial").stdout.decode()
        return int(text.strip().split("=")[1], 16)

    def serials(self, *names):
        return sorted(self.serial(name) for name in names)

    def open(self, name, message):
        return openssl_decrypt(message, *self.people[name])

    def check_signed(self, entity):
        return openssl_verify(entity, self.ca.root)


def cms(message):
    """`openssl cms -cmsout -print` of a delivered message."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "m")
        path.write_bytes(message)
        return run("openssl", "cms", "-cmsout", "-print", "-noout", "-in", path).stdout.decode(errors="replace")


def recipient_infos(message):
    """The serial numbers in the RecipientInfos of an encrypted message."""
    text = cms(message)
    assert "nvelopedData" in text, text[:400]
    return sorted(int(number, 0) for number in re.findall(r"serialNumber: (\S+)", text))


def is_encrypted(message):
    return b"enveloped-data" in message.split(b"\r\n\r\n")[0]


def is_signed(message):
    return b"multipart/signed" in message.split(b"\r\n\r\n")[0]


def test_one_recipient_needs_no_copies():
    with Scratch("copies") as scratch:
        it = Setting(scratch, SEAL + SIGN)
        got = it.deliver(mail(), "bob@partner.example", count=1)
        assert recipient_infos(got["bob@partner.example"]) == it.serials("alice", "bob")
        it.check_signed(it.open("bob", got["bob@partner.example"]))
        line = it.smimed.wait_outcomes(1)[-1]
        assert line["action"] == "sign+encrypt" and "copies" not in line, line


def test_two_with_different_algorithms():
    with Scratch("copies") as scratch:
        it = Setting(scratch, rule("gcm", "carol@partner.example", "sign = always", "encrypt = always", "cipher = aes256-gcm",
                                   "key_transport = oaep", "algorithms = rule") + SEAL + SIGN)
        got = it.deliver(mail(("bob@partner.example", "carol@partner.example")), "bob@partner.example",
                         "carol@partner.example", count=2)
        bob, carol = cms(got["bob@partner.example"]), cms(got["carol@partner.example"])
        assert "aes-256-cbc" in bob and "rsaEncryption" in bob and "pkcs7-envelopedData" in bob
        assert "aes-256-gcm" in carol and "rsaesOaep" in carol and "authEnvelopedData" in carol
        assert recipient_infos(got["bob@partner.example"]) == it.serials("alice", "bob")
        assert recipient_infos(got["carol@partner.example"]) == it.serials("alice", "carol")
        it.check_signed(it.open("bob", got["bob@partner.example"]))
        line = next(x for x in it.smimed.outcomes() if x["dir"] == "out")
        assert line["copies"] == "2" and line["resubmitted"] == "1" and line["action"] == "copies", line
        # The queue-id is the one under which Postfix has it.
        wait_until(lambda: line["copy_ids"].strip('"') in it.postfix.text(), 10, f"{line} in what its log service has written")
        assert [x["dir"] for x in it.smimed.outcomes()].count("copy") == 1


def test_one_without_a_certificate():
    """Refused, returned, sent signed, sent plain."""
    with Scratch("copies") as scratch:
        extra = {name: rule("no-" + name, f"{name}@partner.example", "sign = always", "encrypt = always",
                            f"no_certificate = {name}") for name in ("refuse", "return", "sign", "plain")}
        it = Setting(scratch, "".join(extra.values()) + SEAL + SIGN)
        to = ("bob@partner.example",)
        code, text = it.send(mail(to), "bob@partner.example", "refuse@partner.example")
        assert code == 550 and "refuse@partner.example" in text, text

        got = it.deliver(mail(to), "bob@partner.example", "return@partner.example", count=2)
        assert set(got) == {"bob@partner.example", "alice@example.org"}, set(got)
        assert recipient_infos(got["bob@partner.example"]) == it.serials("alice", "bob")
        letter = got["alice@example.org"]
        assert b"return@partner.example" in letter and b"Auto-Submitted: auto-generated" in letter, letter

        got = it.deliver(mail(to), "bob@partner.example", "sign@partner.example", count=2)
        assert recipient_infos(got["bob@partner.example"]) == it.serials("alice", "bob")
        assert is_signed(got["sign@partner.example"])
        it.check_signed(got["sign@partner.example"])

        message = mail(to)
        got = it.deliver(message, "bob@partner.example", "plain@partner.example", count=2)
        assert recipient_infos(got["bob@partner.example"]) == it.serials("alice", "bob")
        assert b"Hello." not in got["bob@partner.example"]
        assert b"Hello." in got["plain@partner.example"]


def test_two_bcc():
    with Scratch("copies") as scratch:
        it = Setting(scratch, SEAL + SIGN)
        got = it.deliver(mail(fields=[b"Bcc: carol@partner.example, dan@partner.example"]), "bob@partner.example",
                         "carol@partner.example", "dan@partner.example", count=3)
        for name in ("bob", "carol", "dan"):
            octets = got[f"{name}@partner.example"]
            assert recipient_infos(octets) == it.serials("alice", name), name
            # Received says for whom a copy of one recipient is; nothing else may name anybody who is hidden.
            rest = re.sub(rb"(?m)^Received:.*\r\n(?:[ \t].*\r\n)*", b"", octets).lower()
            inner = it.open(name, octets).lower()
            for other in (b"carol@", b"dan@"):
                assert other not in rest + inner, (name, other)
                assert other in octets.lower() if other == name.encode() + b"@" else other not in octets.lower(), (name, other)


def test_group_and_a_bcc_member_of_it():
    with Scratch("copies") as scratch:
        it = Setting(scratch, SEAL + SIGN)
        got = it.deliver(mail(("team@partner.example",)), "team@partner.example", "carol@partner.example", count=1)
        # The header names carol, through her group: one copy serves both.
        assert set(got) == {"team@partner.example", "carol@partner.example"}
        assert recipient_infos(got["team@partner.example"]) == it.serials("alice", "bob", "carol")
        got = it.deliver(mail(("team@partner.example",)), "team@partner.example", "dan@partner.example", count=2)
        assert recipient_infos(got["team@partner.example"]) == it.serials("alice", "bob", "carol")
        assert recipient_infos(got["dan@partner.example"]) == it.serials("alice", "dan")


def is_shown_to_nobody(it, name, octets, hidden):
    """None of `hidden` stands in what `name` got, sealed or opened. Received says what one recipient was written to: his group."""
    assert recipient_infos(octets) == it.serials("alice", name), name
    rest = re.sub(rb"(?m)^Received:.*\r\n(?:[ \t].*\r\n)*", b"", octets)
    for text, others in ((octets, {*hidden} - {name, "team"}), (rest, hidden), (it.open(name, octets), hidden)):
        for other in others:
            assert other.encode() + b"@" not in text.lower(), (name, other)


def test_a_group_in_bcc():
    """Kept it would show its members to each other; replaced each has a copy of his own."""
    with Scratch("copies") as scratch:
        it = Setting(scratch, SEAL + SIGN)
        code, text = it.send(mail(("dan@partner.example",)), "dan@partner.example", "team@partner.example")
        assert code == 550 and "members of team@partner.example" in text and "group_fallback" in text, text
        assert not it.sink.messages
    for line in ("group_fallback = replace", "groups = replace"):
        with Scratch("copies") as scratch:
            it = Setting(scratch, rule("seal", "*@partner.example", "sign = always", "encrypt = always", line) + SIGN)
            got = it.deliver(mail(("dan@partner.example",)), "dan@partner.example", "team@partner.example", count=3)
            assert set(got) == {f"{x}@partner.example" for x in ("bob", "carol", "dan")}, set(got)
            for name in ("bob", "carol", "dan"):
                is_shown_to_nobody(it, name, got[f"{name}@partner.example"], ("bob", "carol", "team"))
            # Alone, and beside a member of it whom the header names.
            got = it.deliver(b"From: alice@example.org\r\nMessage-ID: <%d@example.org>\r\n\r\nhidden\r\n" % time.time_ns(),
                             "team@partner.example", count=2)
            for name in ("bob", "carol"):
                is_shown_to_nobody(it, name, got[f"{name}@partner.example"], ("bob", "carol", "team"))
            got = it.deliver(mail(("bob@partner.example",)), "bob@partner.example", "team@partner.example", count=2)
            assert recipient_infos(got["bob@partner.example"]) == it.serials("alice", "bob")
            is_shown_to_nobody(it, "carol", got["carol@partner.example"], ("carol", "team"))
            # The header names it: kept, or replaced, one copy.
            got = it.deliver(mail(("team@partner.example",)), "team@partner.example", count=1)
            assert len(got) == (1 if "fallback" in line else 2), set(got)
            assert recipient_infos(next(iter(got.values()))) == it.serials("alice", "bob", "carol")


def test_bcc_only():
    with Scratch("copies") as scratch:
        it = Setting(scratch, SEAL + SIGN)
        message = b"From: alice@example.org\r\nMessage-ID: <only@example.org>\r\n\r\nhidden\r\n"
        got = it.deliver(message, "bob@partner.example", count=1)
        assert recipient_infos(got["bob@partner.example"]) == it.serials("alice", "bob")
        got = it.deliver(message, "bob@partner.example", "carol@partner.example", count=2)
        for name in ("bob", "carol"):
            assert recipient_infos(got[f"{name}@partner.example"]) == it.serials("alice", name)


def test_escrow():
    with Scratch("copies") as scratch:
        it = Setting(scratch, rule("seal", "*@partner.example", "sign = always", "encrypt = always",
                                   "encrypt_also = vault@example.org") + SIGN)
        got = it.deliver(mail(), "bob@partner.example", "carol@partner.example", "dave@elsewhere.example", count=3)
        assert recipient_infos(got["bob@partner.example"]) == it.serials("alice", "bob", "vault")
        assert recipient_infos(got["carol@partner.example"]) == it.serials("alice", "carol", "vault")
        assert is_signed(got["dave@elsewhere.example"])
        it.open("vault", got["carol@partner.example"])


def test_calendar():
    """A meeting request keeps its type and its octets in each kind of copy."""
    with Scratch("copies") as scratch:
        it = Setting(scratch, SEAL + PLAIN + SIGN)
        text = b"BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT\r\nSUMMARY:Meet\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
        got = it.deliver(mail(text=text, fields=[b"MIME-Version: 1.0", b"Content-Type: text/calendar; method=REQUEST"]),
                         "bob@partner.example", "dave@elsewhere.example", "pia@plain.example", count=3)
        assert recipient_infos(got["bob@partner.example"]) == it.serials("alice", "bob")
        for entity in (it.check_signed(it.open("bob", got["bob@partner.example"])),
                       it.check_signed(got["dave@elsewhere.example"]), got["pia@plain.example"]):
            assert b"text/calendar; method=REQUEST" in entity and entity.endswith(text), entity


def test_null_sender():
    with Scratch("copies") as scratch:
        it = Setting(scratch, rule("return", "return@partner.example", "sign = always", "encrypt = always",
                                   "no_certificate = return") + SEAL + PLAIN + SIGN)
        got = it.deliver(mail(), "bob@partner.example", "pia@plain.example", count=2, sender="")
        assert recipient_infos(got["bob@partner.example"]) == it.serials("alice", "bob")
        assert b"Hello." in got["pia@plain.example"]
        # Nobody could be told by a letter: then by the reply.
        code, text = it.send(mail(), "bob@partner.example", "return@partner.example", sender="")
        assert code == 550 and "return@partner.example" in text, text
        assert not it.sink.messages


def test_already_signed_and_already_encrypted():
    with Scratch("copies") as scratch:
        it = Setting(scratch, SEAL + SIGN)
        key, cert = it.people["alice"]
        folder = scratch.folder("made")
        (folder / "in").write_bytes(b"Content-Type: text/plain\r\n\r\nsigned by me\r\n")
        run("openssl", "cms", "-sign", "-in", folder / "in", "-signer", cert, "-inkey", key, "-certfile", it.ca.cert,
            "-out", folder / "signed")
        made = (folder / "signed").read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        message = b"From: alice@example.org\r\nTo: bob@partner.example\r\nMessage-ID: <made@example.org>\r\n" + made
        got = it.deliver(message, "bob@partner.example", "dave@elsewhere.example", count=2)
        # As it came: one signature, the author's own; around it one layer of encryption, no second signature.
        assert got["dave@elsewhere.example"].endswith(made.split(b"\r\n\r\n", 1)[1]), got["dave@elsewhere.example"]
        assert recipient_infos(got["bob@partner.example"]) == it.serials("alice", "bob")
        assert b"signed by me" in it.check_signed(it.open("bob", got["bob@partner.example"]))
        assert it.open("bob", got["bob@partner.example"]).count(b"multipart/signed") == 1

        run("openssl", "cms", "-encrypt", "-aes256", "-in", folder / "in", "-out", folder / "sealed",
            it.people["bob"][1], it.people["carol"][1])
        sealed = (folder / "sealed").read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        message = (b"From: alice@example.org\r\nTo: bob@partner.example, carol@partner.example\r\n"
                   b"Message-ID: <sealed@example.org>\r\n" + sealed)
        got = it.deliver(message, "bob@partner.example", "carol@partner.example", count=1)
        assert recipient_infos(got["bob@partner.example"]) == it.serials("bob", "carol")


def test_the_listener_takes_nothing_else_than_copies_once():
    with Scratch("copies") as scratch:
        it = Setting(scratch, SEAL + SIGN, proxied=True)
        to = ("bob@partner.example", "dave@elsewhere.example")
        it.deliver(mail(to), *to, count=2)
        sent = next(x for x in it.proxy.recorded if b"X-Smimed-Mark" in x)
        content = sent.split(b"DATA\r\n", 1)[1].split(b"\r\n.\r\n")[0] + b"\r\n"
        content = content.replace(b"\r\n..", b"\r\n.")
        recipients = re.findall(rb"RCPT TO:<(.*?)>", sent)
        mark = re.match(rb"X-Smimed-Mark: (.*?\r\n .*?)\r\n", content).group(1)

        def listener(message, sender="alice@example.org", people=tuple(x.decode() for x in recipients)):
            return submit(it.copies_port, sender, people, message)

        code, text = listener(content)
        assert code == 550 and "5.7.1" in text and "used before" in text, text
        code, text = listener(mail(to))
        assert code == 550 and "5.7.1" in text and "no mark" in text, text
        code, text = listener(b"X-Smimed-Mark: " + b"v1 " + b"0" * 32 + b" " + base64.b64encode(b"smimed1\n" + b"0" * 84)
                              + b"\r\n" + mail(to))
        assert code == 550 and "5.7.1" in text, text
        code, text = listener(b"X-Smimed-Mark: " + mark + b"\r\n" + mail(to))
        assert code == 550 and "5.7.1" in text, text
        assert not it.sink.messages and it.smimed.text().count("mail on the listener for copies was refused") >= 1
        # Elsewhere a forged one is taken away, and one of ours, which nobody should have, defers.
        got = it.deliver(b"X-Smimed-Mark: v1 abc\r\n" + mail(), "bob@partner.example", count=1)
        assert is_encrypted(got["bob@partner.example"])
        code, text = it.send(b"X-Smimed-Mark: " + mark + b"\r\n" + mail(), "bob@partner.example")
        assert code == 451, text


def test_the_smallest_budgets_are_enough():
    """The message whose copies pass holds its place, its slot and its octets meanwhile."""
    with Scratch("copies") as scratch:
        it = Setting(scratch, SEAL + SIGN, extra="max_messages = 1\nmax_connections = 1\nmax_crypto = 1\nmax_bytes = 1MiB\n"
                                                 "spool_memory = 4KiB\n")
        to = ("bob@partner.example", "carol@partner.example", "dave@elsewhere.example")
        text = b"x" * 70 + b"\r\n"
        got = it.deliver(mail(to[:1], text=text * 10000), *to, count=3)
        assert recipient_infos(got["carol@partner.example"]) == it.serials("alice", "carol")
        assert it.check_signed(got["dave@elsewhere.example"]).endswith(text * 10000)


def test_a_listener_without_its_name_neither_loops_nor_sends():
    with Scratch("copies") as scratch:
        it = Setting(scratch, SEAL + SIGN, listener={"local_header_rewrite_clients": ""})
        code, text = it.send(mail(), "bob@partner.example", "dave@elsewhere.example")
        assert code == 451, text
        assert "milter_macro_daemon_name=smimed-copies" in it.smimed.text(), it.smimed.text()
        assert not it.sink.messages


def test_a_listener_that_hangs_keeps_nobody_else_waiting():
    with Scratch("copies") as scratch:
        it = Setting(scratch, SEAL + SIGN, extra="max_crypto = 1\n", proxied=True)
        it.proxy.stall("EHLO")
        answers = []
        waiting = threading.Thread(target=lambda: answers.append(it.send(mail(), "bob@partner.example", "dave@elsewhere.example")))
        waiting.start()
        assert it.proxy.reached.wait(20 * PATIENCE)
        begin = time.monotonic()
        got = it.deliver(mail(), "bob@partner.example", count=1)
        assert is_encrypted(got["bob@partner.example"]) and time.monotonic() - begin < 8 * PATIENCE
        assert not answers
        it.proxy.drop()
        waiting.join()
        assert answers[0][0] == 451, answers


def doctor(it):
    """{check: [(level, text), ...]} of what smimectl doctor says about copies."""
    done = smimectl("doctor", "--json", "-c", it.smimed.file, "--postfix", it.postfix.config)
    checks = {}
    for one in json.loads(done.stdout)["checks"]:
        if one["check"].startswith("copies"):
            checks.setdefault(one["check"], []).append((one["level"], one["text"]))
    return checks


def test_the_doctor_tries_the_listener():
    with Scratch("copies") as scratch:
        it = Setting(scratch, SEAL + SIGN)
        checks = doctor(it)
        assert {name: [level for level, _ in found] for name, found in checks.items()} == {
            "copies.listener": ["OK"], "copies.mark": ["OK"], "copies.outside": ["OK"]}, checks
        assert not it.sink.messages
        it.smimed.stop()
        assert doctor(it)["copies.listener"][0][0] == "FAIL"
    with Scratch("copies") as scratch:
        # A listener without its name takes the probe, which policy lets pass as mail of ours.
        it = Setting(scratch, SEAL + rule("off", "*", "smime = no"), listener={"smtpd_discard_ehlo_keywords": "dsn"})
        checks = doctor(it)
        assert checks["copies.mark"][0][0] == "FAIL" and checks["copies.listener"][0][0] == "WARN", checks
        assert b"a probe of smimectl doctor" in it.sink.take()[0][2]
    with Scratch("copies") as scratch:
        it = Setting(scratch, SEAL + SIGN)
        it.postfix.close()
        assert doctor(it)["copies.listener"][0][0] == "FAIL"


def test_check_says_what_needs_a_listener():
    with Scratch("copies") as scratch:
        ca = Authority(scratch)
        returns = rule("return", "*@partner.example", "sign = always", "encrypt = always", "no_certificate = return")
        smimed = Smimed(scratch, returns + SIGN + trust_config(ca), start=False)
        done = smimectl("check", "-c", smimed.file)
        assert done.returncode == 0 and b"no_certificate" in done.stderr and b'"sign"' in done.stderr, done
        smimed.configure('resubmit_server = "inet:10027@127.0.0.1"\n' + returns + SIGN + trust_config(ca))
        done = smimectl("check", "-c", smimed.file)
        assert done.returncode == 0 and b"no_certificate" not in done.stderr and b"resubmit_server" not in done.stderr, done
        smimed.configure(SEAL + trust_config(ca))
        assert b"resubmit_server" not in smimectl("check", "-c", smimed.file).stderr
        for line, word in (('resubmit_daemon = ""', b"resubmit_daemon may not be empty"),
                           ("resubmit_daemon = ORIGINATING", b"outbound_daemons")):
            smimed.configure(f'resubmit_server = "inet:10027@127.0.0.1"\n{line}\n' + SIGN + trust_config(ca))
            done = smimectl("check", "-c", smimed.file)
            assert done.returncode == 2 and word in done.stdout, done


def test_a_recipient_whom_postfix_refuses():
    with Scratch("copies") as scratch:
        refuse = {"smtpd_recipient_restrictions":
                  "check_recipient_access inline:{{late@elsewhere.example = 450 4.2.1 later} {gone@elsewhere.example = 550 5.1.1 "
                  "nobody of that name}},permit_mynetworks,reject"}
        it = Setting(scratch, SEAL + PLAIN + SIGN, listener=dict(LISTENER, **refuse))
        # bob stays in the transaction, being first; nothing has left when Postfix refuses the other.
        code, text = it.send(mail(), "bob@partner.example", "gone@elsewhere.example")
        assert code == 550 and "nobody of that name" in text and "gone@elsewhere.example" in text, text
        code, text = it.send(mail(), "bob@partner.example", "late@elsewhere.example")
        assert code == 451, text
        assert not it.sink.messages
        # pia's copy leaves before: alice is told by a letter.
        got = it.deliver(mail(), "bob@partner.example", "pia@plain.example", "gone@elsewhere.example", count=3)
        assert set(got) == {"bob@partner.example", "pia@plain.example", "alice@example.org"}, set(got)
        assert b"gone@elsewhere.example" in got["alice@example.org"] and b"nobody of that name" in got["alice@example.org"]


def test_postfix_keeps_what_the_envelope_said():
    """NOTIFY, ORCPT, ENVID, RET, BODY of the message are those of its copies."""
    with Scratch("copies") as scratch:
        it = Setting(scratch, SEAL + PLAIN + SIGN, proxied=True)
        client = Smtp(it.postfix.port)
        assert client.command("MAIL FROM:<alice@example.org> BODY=8BITMIME RET=HDRS ENVID=q1")[0] == 250
        assert client.command("RCPT TO:<bob@partner.example> NOTIFY=NEVER")[0] == 250
        assert client.command("RCPT TO:<pia@plain.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;P@plain.example")[0] == 250
        assert client.command("DATA")[0] == 354
        code, text = client.command(mail(text="ä\r\n".encode(), fields=[
            b"MIME-Version: 1.0", b"Content-Type: text/plain; charset=utf-8", b"Content-Transfer-Encoding: 8bit"]) + b".")
        client.close()
        assert code == 250, text
        said = it.proxy.recorded[0]
        assert b"MAIL FROM:<alice@example.org> BODY=8BITMIME RET=HDRS ENVID=q1\r\n" in said, said
        assert b"RCPT TO:<pia@plain.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;P@plain.example\r\n" in said, said


def test_without_a_journal_or_a_listener_mail_waits():
    with Scratch("copies") as scratch:
        it = Setting(scratch, SEAL + SIGN, proxied=True)
        journal = it.smimed.path / "state/journal.db"
        journal.mkdir()
        message = mail()
        code, text = it.send(message, "bob@partner.example", "dave@elsewhere.example")
        assert code == 451 and not it.sink.messages, text
        journal.rmdir()
        it.proxy.stall("EHLO")
        code, text = it.send(message, "bob@partner.example", "dave@elsewhere.example")
        assert code == 451 and not it.sink.messages, text
        it.proxy.stall(None)
        it.deliver(message, "bob@partner.example", "dave@elsewhere.example", count=2)
        # The same again, as from a client that did not hear the answer: only what is in the transaction.
        it.deliver(message, "bob@partner.example", "dave@elsewhere.example", count=1)


if __name__ == "__main__":
    main(globals())
