#!/usr/bin/env python3
"""A day of an administrator: keys that arrive, log lines that are read, questions that are asked, disks that fill up."""

import base64
import json
import os
import re
import subprocess
import time

import harness
from harness import (PATIENCE, TOP, Authority, Postfix, Scratch, Sink, Skip, Smimed, main, need_root, openssl_decrypt,
                     openssl_verify, run, smimectl, submit, trust_config, wait_until)

RULES = """
rule "pgp" {
    direction = out
    recipient = pgp@remote.test
    sign = never
    encrypt = always
    pgp_is_encrypted = yes
}
rule "seal" {
    direction = out
    recipient = bob@remote.test
    sign = always
    encrypt = always
}
rule "sign" {
    direction = out
    sign = always
}
rule "in" {
    direction = in
}
"""


def mail(sender, recipient, subject="x", body=b"hello\r\n", fields=b""):
    return (f"From: <{sender}>\r\nTo: <{recipient}>\r\nSubject: {subject}\r\nMessage-ID: <{time.time()}@example.test>\r\n"
            .encode() + fields + b"\r\n" + body)


class World:
    """smimed with alice's key, bob's certificate in an LDIF file, and a Postfix with two doors; made once."""

    made = None

    def __init__(self):
        need_root()
        self.scratch = scratch = Scratch("operation")
        CLOSERS.append(scratch.close)
        self.ca = Authority(scratch)
        self.alice, self.bob = self.ca.user("alice@example.test"), self.ca.user("bob@remote.test")
        der = run("openssl", "x509", "-in", self.bob[1], "-outform", "DER").stdout
        (scratch.path / "people.ldif").write_text(
            "version: 1\n\ndn: cn=Bob\nobjectClass: inetOrgPerson\ncn: Bob\nmail: bob@remote.test\n"
            f"userCertificate;binary:: {base64.b64encode(der).decode()}\n")
        self.dropped = scratch.folder("dropped", 0o700)
        self.rest = (trust_config(self.ca) + f'directory "people" {{\n    ldif = "{scratch.path}/people.ldif"\n}}\n' + RULES)
        self.smimed = Smimed(scratch, self.text(), start=False)
        self.ca.install_pair(self.smimed.keys, *self.alice)
        self.smimed.start()
        self.sink = Sink(scratch)
        self.postfix = Postfix(scratch, self.sink.port, self.smimed.milter,
                               {"out": {}, "in": {"milter_macro_daemon_name": "INBOUND"}})

    def text(self, more=""):
        return (f'sender_identity = off\ninbound_daemons = INBOUND\nimport_interval = 1s\nimport_folder = "{self.dropped}"\n'
                + more + self.rest)

    def reload(self, more=""):
        self.smimed.configure(self.text(more))
        done = smimectl("reload", "-c", self.smimed.file)
        assert done.returncode == 0, done

    def submit(self, text, sender="alice@example.test", recipient="dave@remote.test", door="out", **options):
        return submit(self.postfix.ports[door], sender, [recipient], text, **options)

    def deliver(self, text, *arguments, **options):
        code, answer = self.submit(text, *arguments, **options)
        assert code == 250, answer
        return self.sink.take()[0][2]

    @classmethod
    def get(cls):
        if not cls.made:
            cls.made = cls()
        return cls.made


CLOSERS = []


# ---- keys that arrive ----------------------------------------------------------------------------


def test_a_pkcs12_with_a_history_that_is_dropped_signs_the_next_message_and_opens_old_ones():
    world = World.get()
    old_span = (harness.now() - harness.datetime.timedelta(days=700), harness.now() - harness.datetime.timedelta(days=10))
    old = world.ca.user("carol@example.test", "carol-old", valid=old_span)
    new = world.ca.user("carol@example.test", "carol-new")
    text = mail("carol@example.test", "dave@remote.test")
    code, answer = world.submit(text, "carol@example.test")
    assert code == 550 and "carol@example.test" in answer, answer
    both = world.scratch.path / "both.pem"
    both.write_bytes(b"".join(p.read_bytes() for p in (*new, *old, world.ca.cert)))
    p12 = world.scratch.path / "carol.p12"
    # openssl pkcs12 takes one key: two bags of keys are two files, dropped together.
    for name, pair in (("carol", new), ("carol-history", old)):
        (world.dropped / f"{name}.password").write_text("enrolled\n")
        (world.dropped / f"{name}.password").chmod(0o600)
        run("openssl", "pkcs12", "-export", "-inkey", pair[0], "-in", pair[1], "-certfile", both, "-passout",
            "pass:enrolled", "-out", p12)
        p12.chmod(0o600)
        os.rename(p12, world.dropped / f"{name}.p12")
    begin = world.smimed.process.pid

    def rows():
        found = json.loads(smimectl("keys", "--json", "-c", world.smimed.file, check=True).stdout)
        return [row for row in found if "carol@example.test" in row["addresses"]]
    wait_until(lambda: len(rows()) == 2, 30, f"both pairs ({world.smimed.text()[-2000:]})")
    wait_until(lambda: world.submit(text, "carol@example.test")[0] == 250, 20, "a message that is signed")
    signed = world.sink.take()[0][2]
    signer = world.scratch.path / "signer.pem"
    openssl_verify(signed, world.ca.root, world.ca.cert, extra=("-signer", signer))
    serials = [run("openssl", "x509", "-in", c, "-noout", "-serial").stdout for c in (signer, new[1])]
    assert serials[0] == serials[1], "signed with the newest"
    assert world.smimed.process.pid == begin and world.smimed.process.poll() is None
    # What was encrypted to the former certificate is still read.
    sealed = run("openssl", "cms", "-encrypt", "-aes256", "-from", "x@remote.test", "-to", "carol@example.test",
                 "-subject", "old", old[1], stdin=b"\r\nfrom the archive\r\n").stdout
    opened = smimectl("decrypt", "-c", world.smimed.file, "-", stdin=sealed)
    assert opened.returncode == 0 and b"from the archive" in opened.stdout, opened
    listed = smimectl("keys", "-c", world.smimed.file, check=True).stdout.decode()
    assert listed.count("carol@example.test  ") == 2 and "expired" in listed, listed


# ---- what is asked and what is logged ------------------------------------------------------------


def test_explain_says_what_the_outcome_line_says():
    world = World.get()
    signed = run("openssl", "cms", "-sign", "-signer", world.bob[1], "-inkey", world.bob[0], "-certfile", world.ca.cert,
                 "-crlfeol", "-from", "bob@remote.test", "-to", "alice@example.test", "-subject", "in",
                 stdin=b"Content-Type: text/plain\r\n\r\nhello\r\n").stdout.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    cases = (
        ("out", "alice@example.test", "dave@remote.test", mail("alice@example.test", "dave@remote.test"), "ok"),
        ("out", "alice@example.test", "bob@remote.test", mail("alice@example.test", "bob@remote.test"), "ok"),
        ("out", "nobody@example.test", "dave@remote.test", mail("nobody@example.test", "dave@remote.test"), "refused"),
        ("in", "bob@remote.test", "alice@example.test", signed, "ok"),
        ("in", "bob@remote.test", "alice@example.test", signed.replace(b"hello", b"HELLO"), "ok"))
    for door, sender, recipient, text, result in cases:
        before = len(world.smimed.outcomes())
        code, answer = world.submit(text, sender, recipient, door)
        said = world.smimed.wait_outcomes(before + 1)[-1]
        assert said["result"] == result and said["dir"] == door, said
        if code == 250:
            world.sink.take()
        daemon = ("--daemon", "INBOUND") if door == "in" else ()
        done = smimectl("explain", "--json", "-c", world.smimed.file, "--from", sender, "--rcpt", recipient, "--client",
                        "127.0.0.1", *daemon, "-", stdin=text)
        told = json.loads(done.stdout)
        assert (told["answer"] == "accept") == (code == 250), (told, answer)
        assert done.returncode == (0 if code == 250 else 1), done
        if code != 250:
            assert str(told["code"]) == str(code) and " ".join(told["text"].split()) in " ".join(answer.split()), (told, answer)
        lines = json.dumps(told["lines"])
        for field in ("rule", "reason"):
            if field in said:
                assert said[field] in lines, (field, said, lines)
        if "smime" in said:
            values = [edit["value"] for edit in told["edits"] if edit["name"] == "Authentication-Results"]
            assert len(values) == 1 and f"smime={said['smime']}" in values[0], told


def test_json_log_lines_are_objects_with_the_fields_of_the_text_form():
    world = World.get()
    world.deliver(mail("alice@example.test", "dave@remote.test"))
    text_form = world.smimed.wait_outcomes(1)[-1]
    start = len(world.smimed.text())
    world.reload("log_form = json\n")
    try:
        world.deliver(mail("alice@example.test", "dave@remote.test", 'a "quote" \\ and more'))
        world.submit(mail('no"bo\\dy@example.test', "dave@remote.test"), "nobody@example.test")

        def objects():
            lines = world.smimed.text()[start:].splitlines()
            return [json.loads(line) for line in lines if line.startswith("{")]
        wait_until(lambda: sum("result" in o for o in objects()) >= 2, 20, "two outcomes as JSON")
        rows = [o for o in objects() if "result" in o]
        missing = {name for name in text_form if name not in rows[0]} - {"from", "client"}
        assert not missing, (missing, rows[0])
        for row in rows:
            assert {"time", "level", "id", "dir", "result"} <= set(row) and {"from", "sender"} & set(row), row
        assert rows[0]["result"] == "ok" and rows[0]["size"] > 0 and rows[1]["result"] == "refused", rows
    finally:
        world.reload()


# ---- mail of other kinds -------------------------------------------------------------------------


def test_smtputf8_sender_and_recipient():
    world = World.get()
    sender, recipient = "jürgen@example.test", "名前@remote.test"
    pair = world.ca.user(sender, "juergen", eku=None, san="@alt\nextendedKeyUsage=emailProtection\n[alt]\n"
                         f"otherName=1.3.6.1.5.5.7.8.9;FORMAT:UTF8,UTF8:{sender}")
    world.ca.install_pair(world.smimed.keys, *pair)
    world.reload()
    before = len(world.smimed.outcomes())
    delivered = world.deliver(mail(sender, recipient, "Grüße", "Grüße\r\n".encode()), sender, recipient,
                              mail_options=" SMTPUTF8 BODY=8BITMIME")
    openssl_verify(delivered, world.ca.root, world.ca.cert)
    assert f"<{recipient}>".encode() in delivered.partition(b"\r\n\r\n")[0]
    said = world.smimed.wait_outcomes(before + 1)[-1]
    assert said["action"] == "sign" and said["result"] == "ok", said


def test_pgp_mime_passes_an_encrypt_rule_only_where_the_rule_says_so():
    world = World.get()
    fields = (b'MIME-Version: 1.0\r\nContent-Type: multipart/encrypted; protocol="application/pgp-encrypted"; boundary=b\r\n')
    armor = (b"-----BEGIN PGP MESSAGE-----\r\n\r\n" + base64.b64encode(b"\xc1\x05\x03KEYS\xd2\x20\x01" + os.urandom(31)) + b"\r\n"
             b"-----END PGP MESSAGE-----\r\n")
    body = (b"--b\r\nContent-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n\r\n--b\r\n"
            b"Content-Type: application/octet-stream\r\n\r\n" + armor + b"\r\n--b--\r\n")
    delivered = world.deliver(mail("alice@example.test", "pgp@remote.test", body=body, fields=fields), "alice@example.test",
                              "pgp@remote.test")
    assert delivered.endswith(b"\r\n\r\n" + body) and b"pkcs7" not in delivered, delivered
    claims = mail("alice@example.test", "pgp@remote.test", body=body.replace(armor, b"in plain\r\n"), fields=fields)
    code, answer = world.submit(claims, "alice@example.test", "pgp@remote.test")
    assert code == 550, answer
    sealed = world.deliver(mail("alice@example.test", "bob@remote.test", body=body, fields=fields), "alice@example.test",
                           "bob@remote.test")
    assert b"multipart/encrypted" in openssl_verify(openssl_decrypt(sealed, *world.bob), world.ca.root, world.ca.cert)


def test_local_submission_is_outbound_and_signed():
    world = World.get()
    done = subprocess.run(["/usr/sbin/sendmail", "-C", str(world.postfix.config), "-f", "alice@example.test",
                           "dave@remote.test"], input=mail("alice@example.test", "dave@remote.test").replace(b"\r\n", b"\n"),
                          capture_output=True, timeout=60 * PATIENCE,
                          env={**os.environ, "MAIL_CONFIG": str(world.postfix.config)}, check=False)
    if done.returncode != 0:
        raise Skip(f"postdrop does not serve another configuration: {done.stderr[:200]}")
    run("postkick", "-c", world.postfix.config, "public", "pickup", "W", check=False)
    openssl_verify(world.sink.take(1, 90)[0][2], world.ca.root, world.ca.cert)
    assert world.smimed.outcomes()[-1]["dir"] == "out", world.smimed.outcomes()[-1]


# ---- the night -----------------------------------------------------------------------------------


def test_a_full_spool_disk_defers_and_the_retry_goes_out():
    world = World.get()
    disk = world.scratch.folder("disk")
    if run("mount", "-t", "tmpfs", "-o", "size=1m,mode=0700", "tmpfs", disk, check=False).returncode != 0:
        raise Skip("no tmpfs can be mounted here")
    try:
        spool = f'spool_folder = "{disk}"\n'
        world.reload(spool)
        large = mail("alice@example.test", "dave@remote.test", body=b"0123456789abcde\r\n" * (3 << 16))
        code, answer = world.submit(large)
        assert code == 451 and "4.3.0" in answer, answer
        assert world.sink.messages == []
        assert re.search(r"result=(deferred|tempfail|error|failed)", world.smimed.text()), world.smimed.text()[-1000:]
        world.deliver(mail("alice@example.test", "dave@remote.test"))  # small ones need no disk
    finally:
        world.reload()
        run("umount", "-l", disk)
    assert b"multipart/signed" in world.deliver(large)


# ---- what is written about smimectl --------------------------------------------------------------


def test_the_manual_and_the_help_name_the_same_options():
    helped = smimectl("help", check=True).stdout.decode()
    manual = (TOP / "docs/smimectl.8").read_text()
    options = set(re.findall(r"Fl -([a-z-]+)", manual))
    commands = re.findall(r"^    ([a-z]+) ", helped, re.M)
    told = set()
    for command in commands:
        assert re.search(rf"Cm {command}\b", manual), f"{command} is not in the manual"
        told |= set(re.findall(r"--([a-z-]+)", smimectl("help", command, check=True).stdout.decode()))
    assert told - options == set() and options - told <= {"config", "help", "version"}, (told ^ options)


def test_check_finds_what_the_start_would_find():
    """A configuration whose files are broken is not called good."""
    with Scratch("check") as scratch:
        ca = Authority(scratch)
        smimed = Smimed(scratch, trust_config(ca) + RULES, start=False)
        done = smimectl("check", smimed.file)
        assert done.returncode == 0, done
        junk = ca.anchors / "junk.pem"
        junk.write_text("this is no certificate\n")
        done = smimectl("check", smimed.file)
        assert done.returncode == 2 and b"junk.pem" in done.stdout + done.stderr, done
        junk.unlink()
        ldif = scratch.path / "broken.ldif"
        ldif.write_text("dn: cn=x\nmail no colon\n")
        smimed.configure(trust_config(ca) + f'directory "d" {{\n    ldif = "{ldif}"\n}}\n' + RULES)
        done = smimectl("check", smimed.file)
        assert done.returncode != 0 and b"broken.ldif" in done.stdout + done.stderr, done


def test_debug_lines_for_one_address():
    """log_debug_for an address: that message is explained in the log, no other is."""
    with Scratch("debug") as scratch:
        ca = Authority(scratch)
        smimed = Smimed(scratch, "sender_identity = off\nlog_debug_for = alice@example.test\n" + trust_config(ca) + RULES,
                        start=False)
        for name in ("alice", "dora"):
            ca.install_pair(smimed.keys, *ca.user(f"{name}@example.test", name))
        smimed.start()
        sink = Sink(scratch)
        postfix = Postfix(scratch, sink.port, smimed.milter)
        for name in ("dora", "alice"):
            sender = f"{name}@example.test"
            code, text = submit(postfix.port, sender, ["x@remote.test"], mail(sender, "x@remote.test"))
            assert code == 250, text
        outcomes = smimed.wait_outcomes(2)
        lines = [line for line in smimed.text().splitlines() if " result=" not in line and "rule" in line]
        assert lines, smimed.text()
        assert len(outcomes) == 2
        ids = {line.split(":")[0].split()[-1] for line in lines}
        alices = [line for line in smimed.text().splitlines() if " result=" in line and "from=alice@" in line]
        assert len(ids) == 1 and alices[0].startswith(ids.pop()), smimed.text()


if __name__ == "__main__":
    main(globals())
