#!/usr/bin/env python3
"""What we write is read by openssl, GnuPG (gpgsm) and NSS (cmsutil), and what they write is read by us.

Their known limits are expected results, listed in LIMITS: when one of them learns to read something, the row fails and is
taken out."""

import base64
import json
import os
import re
import shutil
import subprocess

from harness import Authority, Scratch, Skip, main, openssl_decrypt, openssl_verify, run, smimectl

TEXT = b"The quick brown fox, in a text of two lines.\r\nAnd an umlaut: =C3=BC.\r\n"
ENTITY = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + TEXT
MESSAGE = (b"From: Alice <alice@example.org>\r\nTo: bob@partner.example\r\nSubject: interoperability\r\n"
           b"MIME-Version: 1.0\r\n" + ENTITY)

# (reader, what we wrote): it cannot read it, for this reason.
LIMITS = {
    ("gpgsm", "aes256-gcm"): "gpgsm 2.2 knows no AuthEnvelopedData",
    ("gpgsm", "oaep"): "gpgsm 2.2 knows no RSAES-OAEP",
    ("nss", "aes256-gcm"): "NSS's cmsutil knows no AuthEnvelopedData",
    ("nss", "oaep"): "NSS's cmsutil does not decrypt RSAES-OAEP",
}


def split_message(message):
    head, _, body = message.partition(b"\r\n\r\n")
    return re.sub(rb"\r\n[ \t]+", b" ", head), body


def cms_of(message):
    """The DER of an application/pkcs7-mime message."""
    head, body = split_message(message)
    assert b"pkcs7-mime" in head.lower(), head
    return base64.b64decode(body)


def parts_of(message):
    """(signed octets, DER of the signature) of a multipart/signed message."""
    head, body = split_message(message)
    boundary = re.search(rb'boundary="?([^";\r\n]+)"?', head).group(1)
    pieces = (b"\r\n" + body).split(b"\r\n--" + boundary)
    return pieces[1][2:], base64.b64decode(pieces[2].partition(b"\r\n\r\n")[2])


class Nss:
    name = "nss"

    def __init__(self, scratch, ca, people):
        if not shutil.which("cmsutil") or not shutil.which("certutil"):
            raise Skip("NSS's tools are not installed")
        self.db = "sql:" + str(scratch.folder("nss"))
        self.path = scratch.folder("nss-files")
        run("certutil", "-N", "-d", self.db, "--empty-password")
        for name, trust, cert in (("root", "C,C,C", ca.root), ("sub", ",,", ca.cert)):
            run("certutil", "-A", "-d", self.db, "-n", name, "-t", trust, "-i", cert, "-a")
        for name, (key, cert) in people.items():
            p12 = self.path / f"{name}.p12"
            run("openssl", "pkcs12", "-export", "-inkey", key, "-in", cert, "-name", name, "-passout", "pass:x", "-out", p12)
            run("pk12util", "-d", self.db, "-i", p12, "-W", "x", "-K", "")

    def _file(self, name, octets):
        path = self.path / name
        path.write_bytes(octets)
        return path

    def verify(self, message):
        if b"multipart/signed" in split_message(message)[0]:
            content, signature = parts_of(message)
            run("cmsutil", "-D", "-d", self.db, "-c", self._file("content", content), "-i", self._file("sig", signature),
                "-o", self.path / "out")
            return content
        run("cmsutil", "-D", "-d", self.db, "-i", self._file("cms", cms_of(message)), "-o", self.path / "out")
        return (self.path / "out").read_bytes()

    def decrypt(self, message):
        run("cmsutil", "-D", "-d", self.db, "-i", self._file("cms", cms_of(message)), "-o", self.path / "out")
        return (self.path / "out").read_bytes()

    def sign(self, content, detached):
        run("cmsutil", "-S", "-d", self.db, "-N", "alice", "-G", "-H", "SHA256", *(["-T"] if detached else []), "-i",
            self._file("in", content), "-o", self.path / "out")
        return (self.path / "out").read_bytes()

    def encrypt(self, content):
        run("cmsutil", "-E", "-d", self.db, "-r", "bob@partner.example", "-i", self._file("in", content), "-o",
            self.path / "out")
        return (self.path / "out").read_bytes()


class Gpgsm:
    name = "gpgsm"

    def __init__(self, scratch, ca, people):
        if not shutil.which("gpgsm"):
            raise Skip("gpgsm is not installed")
        self.home = scratch.folder("gnupg", 0o700)
        self.path = scratch.folder("gnupg-files")
        (self.home / "gpgsm.conf").write_text("disable-crl-checks\ndisable-dirmngr\nbatch\nyes\nno-tty\n"
                                              "pinentry-mode loopback\npassphrase-fd 0\n")
        (self.home / "gpg-agent.conf").write_text("allow-loopback-pinentry\n")
        fingerprint = run("openssl", "x509", "-in", ca.root, "-noout", "-fingerprint", "-sha1").stdout.decode()
        (self.home / "trustlist.txt").write_text(fingerprint.strip().split("=")[1] + " S relax\n")
        scratch.add(lambda: run("gpgconf", "--homedir", self.home, "--kill", "all", check=False))
        for cert in (ca.root, ca.cert):
            self._run("--import", cert)
        for name, (key, cert) in people.items():
            p12 = self.path / f"{name}.p12"
            self._import(key, cert, p12)

    def _run(self, *arguments, check=True):
        return run("gpgsm", "--homedir", self.home, *arguments, stdin=b"x\n" * 8, check=check)

    def _import(self, key, cert, p12):
        """gpgsm 2.2 fails to decrypt some PKCS#12 files, by chance of their salt: it gets a new one then."""
        for attempt in range(5):
            run("openssl", "pkcs12", "-export", "-inkey", key, "-in", cert, "-passout", "pass:x", "-keypbe", "PBE-SHA1-3DES",
                "-certpbe", "PBE-SHA1-3DES", "-macalg", "sha1", "-out", p12)
            done = self._run("--import", p12, check=attempt == 4)
            if done.returncode == 0:
                return

    def _file(self, name, octets):
        path = self.path / name
        path.write_bytes(octets)
        return path

    def verify(self, message):
        if b"multipart/signed" in split_message(message)[0]:
            content, signature = parts_of(message)
            self._run("--verify", self._file("sig", signature), self._file("content", content))
            return content
        out = self.path / "out"
        out.unlink(missing_ok=True)
        self._run("--output", out, "--verify", self._file("cms", cms_of(message)))
        return out.read_bytes()

    def decrypt(self, message):
        out = self.path / "out"
        out.unlink(missing_ok=True)
        self._run("--output", out, "--decrypt", self._file("cms", cms_of(message)))
        return out.read_bytes()

    def sign(self, content, detached):
        out = self.path / "out"
        out.unlink(missing_ok=True)
        self._run("--output", out, *(["--detach-sign"] if detached else ["--sign"]), "--local-user", "alice@example.org",
                  self._file("in", content))
        return out.read_bytes()

    def encrypt(self, content):
        out = self.path / "out"
        out.unlink(missing_ok=True)
        self._run("--output", out, "--encrypt", "--recipient", "bob@partner.example", self._file("in", content))
        return out.read_bytes()


class Openssl:
    name = "openssl"

    def __init__(self, scratch, ca, people):
        self.ca, self.people = ca, people
        self.path = scratch.folder("openssl")

    def verify(self, message):
        return openssl_verify(message, self.ca.root, self.ca.cert)

    def decrypt(self, message):
        return openssl_decrypt(message, self.people["bob"][0], self.people["bob"][1])

    def sign(self, content, detached):
        key, cert = self.people["alice"]
        return run("openssl", "cms", "-sign", "-binary", "-signer", cert, "-inkey", key, "-certfile", self.ca.cert, "-md",
                   "sha256", "-outform", "DER", *([] if detached else ["-nodetach"]), stdin=content).stdout

    def encrypt(self, content):
        return run("openssl", "cms", "-encrypt", "-binary", "-aes256", "-outform", "DER", self.people["bob"][1],
                   stdin=content).stdout


class Setting:
    def __init__(self, scratch):
        self.ca = Authority(scratch)
        self.people = {"alice": self.ca.user("alice@example.org", "alice"),
                       "bob": self.ca.user("bob@partner.example", "bob")}
        self.message = scratch.path / "message"
        self.message.write_bytes(MESSAGE)
        self.scratch = scratch

    def peers(self):
        return [kind(self.scratch, self.ca, self.people) for kind in (Openssl, Gpgsm, Nss)]

    def sign(self, *options):
        key, cert = self.people["alice"]
        return smimectl("sign", "--key", key, "--cert", cert, "--chain", self.ca.cert, *options, self.message, check=True).stdout

    def encrypt(self, *options):
        return smimectl("encrypt", "--to-cert", self.people["bob"][1], *options, self.message, check=True).stdout

    def verify(self, message):
        done = smimectl("verify", "--json", "--anchors", self.ca.anchors, "--untrusted", self.ca.cert, "--crl", self.ca.crls,
                        "-", stdin=message)
        return done.returncode, json.loads(done.stdout)


def crlf(octets):
    return octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def reads(peer, what, action):
    """Runs a peer's reading; a listed limit must still be one."""
    limit = LIMITS.get((peer.name, what))
    try:
        content = action()
    except (AssertionError, subprocess.TimeoutExpired) as error:
        assert limit, f"{peer.name} does not read {what}: {error}"
        return None
    assert not limit, f"{peer.name} reads {what} now: take it out of LIMITS"
    return content


def test_peers_verify_what_we_sign():
    with Scratch("interop") as scratch:
        it = Setting(scratch)
        for peer in it.peers():
            for what, options in (("clear", []), ("opaque", ["--opaque"]), ("sha512", ["--digest", "sha512"]),
                                  ("pss", ["--pss"])):
                content = reads(peer, what, lambda: peer.verify(it.sign(*options)))
                assert content is None or TEXT in crlf(content), f"{peer.name} {what}: {content!r}"


def test_peers_decrypt_what_we_encrypt():
    with Scratch("interop") as scratch:
        it = Setting(scratch)
        for peer in it.peers():
            for what, options in (("aes256-cbc", []), ("aes128-cbc", ["--cipher", "aes128-cbc"]),
                                  ("aes256-gcm", ["--cipher", "aes256-gcm"]), ("oaep", ["--oaep"])):
                content = reads(peer, what, lambda: peer.decrypt(it.encrypt(*options)))
                assert content is None or TEXT in crlf(content), f"{peer.name} {what}: {content!r}"


def test_peers_read_elliptic_curves_of_ours():
    with Scratch("interop") as scratch:
        it = Setting(scratch)
        it.people = {"alice": it.ca.user("alice@example.org", "alice-ec", kind="ec:P-256", usage="digitalSignature"),
                     "bob": it.ca.user("bob@partner.example", "bob-ec", kind="ec:P-256", usage="keyAgreement")}
        peer = Openssl(scratch, it.ca, it.people)
        assert TEXT in crlf(peer.verify(it.sign()))
        assert TEXT in crlf(peer.decrypt(it.encrypt()))


def as_clear_signed(content, signature):
    text = base64.encodebytes(signature).replace(b"\n", b"\r\n")
    return (b"From: alice@example.org\r\nTo: bob@partner.example\r\nMIME-Version: 1.0\r\nContent-Type: multipart/signed;"
            b' protocol="application/pkcs7-signature"; micalg=sha-256; boundary="frontier"\r\n\r\n--frontier\r\n' + content
            + b"\r\n--frontier\r\nContent-Type: application/pkcs7-signature; name=smime.p7s\r\n"
            b"Content-Transfer-Encoding: base64\r\n\r\n" + text + b"--frontier--\r\n")


def as_cms(octets, kind):
    return (b"From: alice@example.org\r\nTo: bob@partner.example\r\nMIME-Version: 1.0\r\nContent-Type: application/pkcs7-mime;"
            b" smime-type=" + kind + b"; name=smime.p7m\r\nContent-Transfer-Encoding: base64\r\n\r\n"
            + base64.encodebytes(octets).replace(b"\n", b"\r\n"))


def test_we_verify_what_peers_sign():
    with Scratch("interop") as scratch:
        it = Setting(scratch)
        for peer in it.peers():
            for detached in (True, False):
                octets = peer.sign(ENTITY, detached)
                message = as_clear_signed(ENTITY, octets) if detached else as_cms(octets, b"signed-data")
                code, result = it.verify(message)
                assert (code, result["result"]) == (0, "pass"), f"{peer.name} detached={detached}: {result}"
                tampered = (message.replace(b"quick brown", b"quick green") if detached
                            else as_cms(octets.replace(b"quick brown", b"quick green"), b"signed-data"))
                assert tampered != message, peer.name
                code, result = it.verify(tampered)
                assert (code, result["result"]) == (1, "fail"), f"{peer.name} detached={detached}: {result}"


def test_we_decrypt_what_peers_encrypt():
    with Scratch("interop") as scratch:
        it = Setting(scratch)
        key, cert = it.people["bob"]
        for peer in it.peers():
            message = as_cms(peer.encrypt(ENTITY), b"enveloped-data")
            done = smimectl("decrypt", "--key", key, "--cert", cert, "-", stdin=message)
            assert done.returncode == 0 and TEXT in crlf(done.stdout), f"{peer.name}: {done.returncode} {done.stderr}"
            other_key, other_cert = it.people["alice"]
            done = smimectl("decrypt", "--key", other_key, "--cert", other_cert, "-", stdin=message)
            assert done.returncode == 1 and done.stdout == b"", f"{peer.name}: the wrong key: {done.returncode}"


if __name__ == "__main__":
    os.umask(0o077)
    main(globals())
