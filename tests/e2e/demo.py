#!/usr/bin/env python3
"""`make demo`: the main job on embedded defaults, step by step; `--run` keeps the instance in the foreground.

A throw-away CA, an LDIF file as the directory, PEM and PKCS#12 files as keys, a private Postfix and an SMTP sink, all
in one scratch folder and on loopback. Everything is taken away at the end. Exit 0: every step did what it says.
"""

import base64
import os
import signal
import sys
import textwrap
import time

import harness
from harness import Authority, Postfix, Scratch, Sink, Smimed, openssl_decrypt, openssl_verify, run, smimectl, submit

BOLD, DIM, PLAIN = ("\033[1m", "\033[2m", "\033[0m") if sys.stdout.isatty() else ("", "", "")


def title(text):
    print(f"\n{BOLD}== {text}{PLAIN}")


def say(text):
    print(textwrap.fill(text, 100))


def show(message, lines=34):
    """The message as it was delivered; long base64 is cut for the eye."""
    printed = run_of_base64 = 0
    for line in message.decode(errors="replace").splitlines():
        looks = len(line) >= 60 and all(c.isalnum() or c in "+/=" for c in line)
        run_of_base64 = run_of_base64 + 1 if looks else 0
        if run_of_base64 > 2:
            if run_of_base64 == 3:
                print(f"    {DIM}| ... base64 ...{PLAIN}")
            continue
        print(f"    {DIM}|{PLAIN} {line}")
        printed += 1
        if printed >= lines:
            print(f"    {DIM}| ...{PLAIN}")
            return


def step(condition, text):
    if not condition:
        raise SystemExit(f"FAILED: {text}")
    print(f"    ok: {text}")


class Instance:
    """The demo's smimed, Postfix and people."""

    def __init__(self, scratch):
        self.ca = Authority(scratch)
        self.alice = self.ca.user("alice@example.org", "alice")
        self.bob = self.ca.user("bob@partner.example", "bob")
        self.carol = self.ca.user("carol@example.org", "carol")
        self.sink = Sink(scratch)
        path = scratch.path
        ldif = path / "people.ldif"
        certificate = run("openssl", "x509", "-in", self.bob[1], "-outform", "DER").stdout
        ldif.write_text("version: 1\n\n"
                        "dn: uid=alice,dc=example,dc=org\nobjectClass: inetOrgPerson\nuid: alice\ncn: Alice\n"
                        "mail: alice@example.org\nproxyAddresses: SMTP:alice@example.org\n"
                        "proxyAddresses: smtp:a.liddell@example.org\n\n"
                        "dn: cn=Bob,ou=contacts,dc=example,dc=org\nobjectClass: inetOrgPerson\ncn: Bob\n"
                        "mail: bob@partner.example\n"
                        f"userCertificate;binary:: {base64.b64encode(certificate).decode()}\n")
        self.smimed = Smimed(scratch, f"""
trust "default" {{
    anchors = "{self.ca.anchors}"
    intermediates = "{self.ca.intermediates}"
    crls = "{self.ca.crls}"
}}
directory "people" {{
    ldif = "{ldif}"
}}
inbound_daemons = INBOUND
rule "both" {{
    direction = out
    recipient = *@partner.example
    sign = always
    encrypt = always
}}
rule "encrypt" {{
    direction = out
    recipient = carol@example.org
    sign = never
    encrypt = always
}}
rule "sign" {{
    direction = out
    sign = always
}}
rule "in" {{
    direction = in
}}
""", start=False)
        # Alice's keys come as PKCS#12, as an enrolment system gives them; Carol's as PEM.
        p12, password = path / "alice.p12", path / "alice.password"
        password.write_text("looking-glass\n")
        password.chmod(0o600)
        run("openssl", "pkcs12", "-export", "-inkey", self.alice[0], "-in", self.alice[1], "-certfile", self.ca.cert,
            "-passout", f"file:{password}", "-out", p12)
        p12.chmod(0o600)
        title("Keys: alice's PKCS#12 is imported, carol's PEM is put into the keys folder")
        done = smimectl("import", "-c", self.smimed.file, "--password-file", password, p12)
        print(textwrap.indent((done.stdout + done.stderr).decode().strip(), "    "))
        step(done.returncode == 0, "smimectl import")
        self.ca.install_pair(self.smimed.keys, *self.carol)
        self.smimed.start()
        self.postfix = Postfix(scratch, self.sink.port, self.smimed.milter,
                               {"out": {}, "in": {"milter_macro_daemon_name": "INBOUND"}})


def mail(sender, recipient, subject, text):
    return (f"From: {sender}\r\nTo: {recipient}\r\nSubject: {subject}\r\nDate: {time.strftime('%a, %d %b %Y %T +0000')}\r\n"
            f"Message-ID: <{time.time()}@example.org>\r\nMIME-Version: 1.0\r\n"
            f"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{text}\r\n").encode()


def outbound(it):
    title("Outbound 1: alice writes to dave; the rule says sign")
    code, answer = submit(it.postfix.ports["out"], "alice@example.org", ["dave@elsewhere.example"],
                          mail("Alice <alice@example.org>", "dave@elsewhere.example", "Signed",
                               "Grüße: eight-bit text becomes quoted-printable before it is signed.\r\nFrom here on."))
    step(code == 250, f"Postfix took it: {answer.strip()}")
    signed = it.sink.take()[0][2]
    show(signed)
    content = openssl_verify(signed, it.ca.root, it.ca.cert)
    step(b"Gr=C3=BC=C3=9Fe" in content, "openssl cms -verify: the signature is good")

    title("Outbound 2: alice writes to carol; the rule says encrypt")
    code, answer = submit(it.postfix.ports["out"], "alice@example.org", ["carol@example.org"],
                          mail("alice@example.org", "carol@example.org", "Encrypted", "For carol's eyes."))
    step(code == 250, f"Postfix took it: {answer.strip()}")
    encrypted = it.sink.take()[0][2]
    show(encrypted)
    step(b"For carol's eyes." in openssl_decrypt(encrypted, *it.carol), "openssl cms -decrypt with carol's key reads it")
    step(b"For carol's eyes." in openssl_decrypt(encrypted, *it.alice), "and alice can read her own copy")

    title("Outbound 3: alice writes to bob, whose certificate is in the directory: signed, then encrypted")
    code, answer = submit(it.postfix.ports["out"], "alice@example.org", ["bob@partner.example"],
                          mail("alice@example.org", "bob@partner.example", "Both", "Signed and sealed."))
    step(code == 250, f"Postfix took it: {answer.strip()}")
    both = it.sink.take()[0][2]
    show(both)
    inner = openssl_decrypt(both, *it.bob)
    step(b"multipart/signed" in inner, "openssl cms -decrypt with bob's key finds a signed entity")
    step(b"Signed and sealed." in openssl_verify(inner, it.ca.root, it.ca.cert), "openssl cms -verify: the signature is good")

    title("Outbound 4: eve@partner.example has no certificate, and the rule says encrypt: refused, never sent plain")
    code, answer = submit(it.postfix.ports["out"], "alice@example.org", ["eve@partner.example"],
                          mail("alice@example.org", "eve@partner.example", "Secret", "Never in plain."))
    print(textwrap.indent(textwrap.fill(answer.strip(), 96), "    "))
    step(code == 550 and not it.sink.messages, "refused with a reply that says who, why and what to do")

    title("Outbound 5: mallory is nobody the directory knows: his mail is refused, not sent unsigned")
    code, answer = submit(it.postfix.ports["out"], "mallory@example.org", ["dave@elsewhere.example"],
                          mail("mallory@example.org", "dave@elsewhere.example", "Unsigned", "No signature."))
    print(textwrap.indent(textwrap.fill(answer.strip(), 96), "    "))
    step(code == 550, "refused with a reply that says why")
    return signed


def inbound(it):
    title("Inbound 1: bob signed with openssl; smimed verifies and says so")
    text = b"Content-Type: text/plain\r\n\r\nHello alice, this is bob.\r\n"
    signed = run("openssl", "cms", "-sign", "-signer", it.bob[1], "-inkey", it.bob[0], "-certfile", it.ca.cert, "-md",
                 "sha256", "-crlfeol", "-from", "bob@partner.example", "-to", "alice@example.org", "-subject", "Hello",
                 stdin=text).stdout.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    code, _ = submit(it.postfix.ports["in"], "bob@partner.example", ["alice@example.org"], signed)
    step(code == 250, "Postfix took it")
    message = it.sink.take()[0][2]
    show(message, 16)
    step(b"smime=pass" in message, "Authentication-Results says pass")

    title("Inbound 2: the same message, one word changed on the way, and a forged result on top")
    forged = b"Authentication-Results: mx.test; smime=pass\r\n" + signed.replace(b"this is bob", b"this is BOB")
    code, _ = submit(it.postfix.ports["in"], "bob@partner.example", ["alice@example.org"], forged)
    step(code == 250, "Postfix took it")
    message = it.sink.take()[0][2]
    show(message, 16)
    step(b"smime=fail" in message and b"smime=pass" not in message, "Authentication-Results says fail, the forged field is gone")


def main():
    if os.geteuid() != 0:
        raise SystemExit("the private Postfix needs root: run this with sudo")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    begin = time.monotonic()
    with Scratch("demo") as scratch:
        title(f"A throw-away CA, three people, smimed and a private Postfix in {scratch.path}")
        try:
            it = Instance(scratch)
        except harness.Skip as missing:
            raise SystemExit(f"cannot run: {missing}") from missing
        say(f"smimed listens on {it.smimed.socket}; Postfix takes our users' mail on 127.0.0.1:{it.postfix.ports['out']} and the "
            f"world's on 127.0.0.1:{it.postfix.ports['in']}, and delivers to a sink.")
        if "--run" in sys.argv:
            say(f"configuration: {it.smimed.file}  log: {it.smimed.log}")
            say(f"try:  swaks --server 127.0.0.1:{it.postfix.ports['out']} --from alice@example.org --to carol@example.org")
            say(f"      {harness.SMIMECTL} lookup -c {it.smimed.file} bob@partner.example")
            print("Ctrl-C ends it.")
            seen = logged = 0
            try:
                while it.smimed.process.poll() is None:
                    for _, recipients, message in it.sink.messages[seen:]:
                        title(f"delivered to {' '.join(recipients)}")
                        show(message)
                        seen += 1
                    text = it.smimed.text()
                    print(text[logged:], end="", flush=True)
                    logged = len(text)
                    time.sleep(0.3)
            except KeyboardInterrupt:
                print()
            return
        outbound(it)
        inbound(it)
        title("The outcome lines of smimed's log: one per message")
        time.sleep(0.2)
        for line in it.smimed.text().splitlines():
            if " result=" in line:
                print(textwrap.indent(textwrap.fill(line, 110, subsequent_indent="    "), "    "))
        step(len(it.smimed.outcomes()) == 7, "seven messages, seven outcome lines")
    print(f"\n{BOLD}All of it worked{PLAIN}, in {time.monotonic() - begin:.0f} s; the scratch folder is gone.")


if __name__ == "__main__":
    main()
