#!/usr/bin/env python3
"""Decryption through Postfix: messages of openssl and gpgsm, key histories, several recipients, rules, and large ones."""

import contextlib
import datetime
import hashlib
import os
import re
import shutil
import subprocess
import time

from harness import (Authority, Postfix, Scratch, Sink, Skip, Smimed, Smtp, main, now, run, smimectl, submit,
                     trust_config)

MIB = 1024 * 1024
SANITIZED = bool(os.environ.get("SAN"))
TEXT = (b"Content-Type: text/plain; charset=us-ascii\r\n\r\nThe password is correct-horse-battery-staple.\r\n.\r\n"
        b"From a line, and a dot.\r\n")

RULES = """
inbound_daemons = INBOUND
decrypt_rate = 1000000
decrypt_rate_each = 1000000
rule "not" {
    direction = in
    recipient = not@example.org
}
rule "in" {
    direction = in
    decrypt = yes
    layers_header = yes
}
"""


def wire(octets):
    return octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


class Setting:
    """A gateway with keys of alice (RSA), olga (P-256), dora (an expired key and a new one), and not (a rule without)."""

    def __init__(self, scratch, rules=RULES, more=""):
        self.scratch = scratch
        self.ca = Authority(scratch)
        self.bob = self.ca.user("bob@partner.example", "bob")
        self.sink = Sink(scratch)
        self.smimed = Smimed(scratch, more + rules + trust_config(self.ca), start=False)
        old = now() - datetime.timedelta(days=700), now() - datetime.timedelta(days=10)
        self.people = {
            "alice": self.ca.user("alice@example.org", "alice"),
            "olga": self.ca.user("olga@example.org", "olga", kind="ec:P-256", usage="keyAgreement"),
            "dora-old": self.ca.user("dora@example.org", "dora-old", valid=old),
            "dora-new": self.ca.user("dora@example.org", "dora-new"),
            "not": self.ca.user("not@example.org", "not"),
        }
        for pair in self.people.values():
            self.ca.install_pair(self.smimed.keys, *pair)
        self.stranger = self.ca.user("stranger@example.org", "stranger")
        self.smimed.start()
        self.postfix = Postfix(scratch, self.sink.port, self.smimed.milter, {"in": {"milter_macro_daemon_name": "INBOUND"}})

    def sign(self, text=TEXT, options=()):
        return wire(run("openssl", "cms", "-sign", "-binary", "-signer", self.bob[1], "-inkey", self.bob[0], "-certfile",
                        self.ca.cert, "-md", "sha256", *options, stdin=text).stdout)

    def encrypt(self, entity, *options, to=("alice",)):
        certificates = [self.people[name][1] if name in self.people else self.stranger[1] for name in to]
        return wire(run("openssl", "cms", "-encrypt", "-binary", *options, *certificates, stdin=entity).stdout)

    def message(self, entity, to="alice@example.org"):
        return b"From: Bob <bob@partner.example>\r\nTo: " + to.encode() + b"\r\nSubject: outside\r\n" + entity

    def receive(self, message, *recipients):
        code, text = submit(self.postfix.port, "bob@partner.example", recipients or ["alice@example.org"], message)
        assert code == 250, text
        return self.sink.take()[0][2]


def field(message, name):
    head = re.sub(rb"\r\n[ \t]+", b" ", message.partition(b"\r\n\r\n")[0])
    return [line.split(b":", 1)[1].strip().decode() for line in head.split(b"\r\n")
            if line.lower().startswith(name.lower().encode() + b":")]


def test_algorithms_and_recipient_forms_of_openssl():
    with Scratch("decrypt") as scratch:
        it = Setting(scratch)
        signed = it.sign()
        alice = it.people["alice"][1]
        cases = [(cipher, "alice", ()) for cipher in ("-aes128", "-aes192", "-aes256", "-des3", "-aes-128-gcm", "-aes-256-gcm")]
        cases += [("-aes256", "alice", ("-keyid",)), ("-aes-256-gcm", "alice", ("-stream",)),
                  ("-aes256", "alice", ("-recip", alice, "-keyopt", "rsa_padding_mode:oaep", "-keyopt", "rsa_oaep_md:sha256")),
                  ("-aes256", "olga", ()), ("-aes-256-gcm", "olga", ("-keyid",)),
                  ("-aes128", "dora-old", ()), ("-aes128", "dora-new", ())]
        for cipher, who, options in cases:
            to = () if "-recip" in options else (who,)
            address = who.split("-")[0] + "@example.org"
            got = it.receive(it.message(it.encrypt(signed, cipher, *options, to=to), address), address)
            assert b"correct-horse" in got and b"pkcs7-mime" not in got, (cipher, who, options, got[:1500])
            assert "smime=pass" in field(got, "Authentication-Results")[0], (cipher, who, got[:600])
            # What was inside arrives octet by octet, and still verifies for whoever looks.
            assert got.endswith(signed.partition(b"\r\n\r\n")[2]), (got, signed)
            assert field(got, "Subject") == ["outside"]
        outcomes = it.smimed.wait_outcomes(len(cases))
        assert {o["action"] for o in outcomes} == {"decrypt"} and {o["decrypt"] for o in outcomes} == {"yes"}, outcomes


def test_rules_and_several_recipients():
    with Scratch("decrypt") as scratch:
        it = Setting(scratch)
        both = it.encrypt(TEXT, "-aes-256-gcm", to=("alice", "dora-new", "not"))
        one = it.encrypt(TEXT, "-aes-256-gcm", to=("alice",))
        assert b"correct-horse" in it.receive(it.message(both), "alice@example.org", "dora@example.org")
        for message, recipients in ((both, ("alice@example.org", "not@example.org")), (both, ("not@example.org",)),
                                    (one, ("alice@example.org", "dora@example.org")),
                                    (one, ("alice@example.org", "nobody@example.org"))):
            got = it.receive(it.message(message), *recipients)
            assert b"correct-horse" not in got and got.endswith(message.partition(b"\r\n\r\n")[2]), recipients
        # Without a signature, CBC stays closed.
        got = it.receive(it.message(it.encrypt(TEXT, "-aes256")))
        assert b"correct-horse" not in got
        assert field(got, "Authentication-Results")[0].startswith("mx.test; smime=none (not-decrypted"), got[:500]
        # Beside other parts nothing is opened.
        mixed = (b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n<img src='http://x/\r\n--b\r\n"
                 + one + b"\r\n--b--\r\n")
        got = it.receive(it.message(mixed))
        assert b"correct-horse" not in got and not field(got, "Authentication-Results"), got[:500]


def test_layers_are_told_and_forged_fields_are_not_believed():
    with Scratch("decrypt") as scratch:
        it = Setting(scratch)
        forged = b"Authentication-Results: mx.test; smime=pass\r\nX-SMIME-Layer: 1; all fine\r\nSubject: inside\r\n"
        got = it.receive(it.message(b"X-SMIME-Layer: 9; forged\r\n" + it.encrypt(forged + TEXT, "-aes-256-gcm")))
        assert field(got, "Authentication-Results")[0].startswith("mx.test; smime=none (decrypted"), got[:500]
        assert len(field(got, "Authentication-Results")) == 1 and field(got, "Subject") == ["outside"], got[:800]
        assert field(got, "X-SMIME-Layer") == ["1; auth-enveloped; opened"], got[:800]
        triple = it.sign(it.encrypt(it.sign(), "-aes256"))
        got = it.receive(it.message(triple))
        assert field(got, "X-SMIME-Layer") == ["1; clear-signed; pass (ok); counts", "2; enveloped; sealed"], got[:800]
        assert got.endswith(triple.partition(b"\r\n\r\n")[2])


def test_gpgsm_message():
    if not shutil.which("gpgsm"):
        raise Skip("gpgsm is not installed")
    with Scratch("decrypt") as scratch:
        it = Setting(scratch)
        home = scratch.folder("gnupg", 0o700)
        (home / "gpgsm.conf").write_text("disable-crl-checks\ndisable-policy-checks\n")
        gpgsm = ["gpgsm", "--homedir", str(home), "--batch", "--no-tty"]
        fingerprint = run("openssl", "x509", "-in", it.ca.root, "-noout", "-fingerprint", "-sha1").stdout.decode()
        (home / "trustlist.txt").write_text(fingerprint.strip().split("=")[1] + " S\n")
        try:
            for cert in (it.ca.root, it.ca.cert, it.people["alice"][1]):
                run(*gpgsm, "--import", cert, check=False)
            sealed = run(*gpgsm, "--base64", "--encrypt", "-r", "alice@example.org", stdin=it.sign()).stdout
        finally:
            subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], capture_output=True)
        body = b"\r\n".join(line for line in sealed.splitlines() if not line.startswith(b"-----")) + b"\r\n"
        entity = (b"MIME-Version: 1.0\r\nContent-Type: application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m\r\n"
                  b"Content-Transfer-Encoding: base64\r\n\r\n" + body)
        got = it.receive(it.message(entity))
        assert b"correct-horse" in got and "smime=pass" in field(got, "Authentication-Results")[0], got[:800]


def write_lines(path, octets):
    line = b"All work and no play makes a long message of many lines, each of seventy-six.\r\n"
    with open(path, "wb") as out:
        out.write(b"Content-Type: text/plain; charset=us-ascii\r\n\r\n")
        block = line * (MIB // len(line))
        while out.tell() < octets:
            out.write(block)


class CountingSink(Sink):
    """Keeps of each message a digest of its body alone."""

    def _talk(self, peer):
        with contextlib.suppress(OSError), peer, peer.makefile("rb") as lines:
            peer.sendall(b"220 sink ESMTP\r\n")
            for line in lines:
                verb = line[:4].upper()
                if verb == b"EHLO":
                    peer.sendall(b"250-sink\r\n250-SIZE 0\r\n250 8BITMIME\r\n")
                elif verb == b"DATA":
                    peer.sendall(b"354 go\r\n")
                    head, digest, size, body = [], hashlib.sha256(), 0, False
                    for text in lines:
                        if text == b".\r\n":
                            break
                        text = text[1:] if text.startswith(b".") else text
                        if body:
                            digest.update(text)
                            size += len(text)
                        else:
                            head.append(text)
                            body = text == b"\r\n"
                    with self.lock:
                        self.messages.append((b"".join(head), size, digest.hexdigest()))
                    peer.sendall(b"250 kept\r\n")
                elif verb == b"QUIT":
                    peer.sendall(b"221 bye\r\n")
                    return
                else:
                    peer.sendall(b"250 ok\r\n")


def send_file(port, head, path, recipient):
    """A message out of a file, piece by piece."""
    client = Smtp(port)
    try:
        for command in ("MAIL FROM:<bob@partner.example>", f"RCPT TO:<{recipient}>", "DATA"):
            code, text = client.command(command)
            assert code in (250, 354), text
        client.socket.settimeout(600)
        client.socket.sendall(head)
        with open(path, "rb") as lines:
            while True:
                piece = lines.read(MIB)
                if not piece:
                    break
                client.socket.sendall(piece)
        client.socket.sendall(b".\r\n")
        return client.read()
    finally:
        client.close()


def large(scratch, octets, bound_kib, seal):
    if os.statvfs(scratch.path).f_bavail * os.statvfs(scratch.path).f_frsize < 9 * octets:
        raise Skip("too little room on the disk")
    it = Setting(scratch, more="max_message = 8GiB\neom_timeout = 250s\n")
    it.sink.close()
    sink = CountingSink(scratch)
    it.postfix.command("postconf", "-e", f"relayhost=[127.0.0.1]:{sink.port}")
    it.postfix.command("postfix", "reload")
    # What is done once belongs to idle.
    code, text = submit(it.postfix.port, "bob@partner.example", ["alice@example.org"],
                        it.message(it.encrypt(TEXT, "-aes-256-gcm")))
    assert code == 250, text
    sink.wait(1)
    text, sealed = scratch.path / "text", scratch.path / "sealed"
    write_lines(text, octets)
    with open(text, "rb") as lines:
        head, _, rest = lines.read(200).partition(b"\r\n\r\n")
        digest = hashlib.sha256(rest)
        while True:
            piece = lines.read(MIB)
            if not piece:
                break
            digest.update(piece)
    seal(it, text, sealed)
    it.smimed.reset_peak()
    rest = it.smimed.status("VmRSS")
    begin = time.monotonic()
    code, answer = send_file(it.postfix.port, it.message(b""), sealed, "alice@example.org")
    assert code == 250, answer
    used = it.smimed.status("VmHWM")
    sent = time.monotonic() - begin
    head, size, got = sink.wait(2, 300)[1]
    print(f"# {octets >> 20} MiB: idle {rest} KiB, peak {used} KiB, {sent:.1f} s, {size >> 20} MiB delivered")
    assert used <= rest + bound_kib, f"{used} KiB, idle {rest}"
    return head, got == digest.hexdigest()


def test_one_gibibyte_encrypted_is_decrypted_in_constant_memory():
    if SANITIZED:
        raise Skip("a sanitizer's memory is not ours")
    with Scratch("decrypt") as scratch:
        def seal(it, text, sealed):
            run("sh", "-c", f"openssl cms -encrypt -stream -binary -aes-256-gcm -in {text} {it.people['alice'][1]} | "
                            f"sed 's/\\r*$/\\r/' > {sealed}")

        head, same = large(scratch, 1024 * MIB, 32 * 1024, seal)
        assert same and b"smime=none (decrypted" in head, head


def test_two_hundred_megabytes_clear_signed_verify_in_constant_memory():
    if SANITIZED:
        raise Skip("a sanitizer's memory is not ours")
    with Scratch("decrypt") as scratch:
        def seal(it, text, sealed):
            done = smimectl("sign", "--key", it.bob[0], "--cert", it.bob[1], "--chain", it.ca.cert, text)
            assert done.returncode == 0, done.stderr
            sealed.write_bytes(wire(done.stdout))

        head, _ = large(scratch, 200 * 1000 * 1000, 8 * 1024, seal)
        assert b"smime=pass" in head, head


if __name__ == "__main__":
    main(globals())
