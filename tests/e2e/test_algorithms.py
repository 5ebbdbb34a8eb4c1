#!/usr/bin/env python3
"""Every algorithm that a rule can choose, with openssl, gpgsm, NSS (cmsutil) and Bouncy Castle: what we write is read by
them, and what they write is read by us.

Their known limits are expected results, listed in LIMITS: when one of them learns to read or write something, the row
fails and is taken out. What a peer cannot be told to write is not in its table."""

import base64
import os
import pathlib
import shutil
import subprocess
import sys

from harness import Authority, Scratch, Skip, main, run, smimectl
from test_interop import (ENTITY, TEXT, MESSAGE, Gpgsm, Nss, Openssl, as_clear_signed, as_cms, cms_of, crlf, parts_of,
                          split_message)

HERE = pathlib.Path(__file__).resolve().parent
JARS = [f"/usr/share/java/{name}.jar" for name in ("bcprov", "bcpkix", "bcutil")]
CIPHERS = ("aes128-cbc", "aes256-cbc", "aes128-gcm", "aes256-gcm")
CURVES = ("P-256", "P-384")


def limits():
    """(peer, direction, what): why not."""
    found = {}
    for cipher in CIPHERS:
        for peer, program in (("gpgsm", "gpgsm 2.2"), ("nss", "NSS's cmsutil")):
            if "gcm" in cipher:
                found[peer, "decrypts", f"{cipher} pkcs1"] = f"{program} knows no AuthEnvelopedData"
            found[peer, "decrypts", f"{cipher} oaep"] = f"{program} does not decrypt RSAES-OAEP"
        for curve in CURVES:
            what = f"{cipher} ecdh {curve}"
            found["gpgsm", "decrypts", what] = "gpgsm 2.2 crashes when an EC key is imported"
            if "cbc" in cipher:
                found["gpgsm", "encrypts", what] = "gpgsm 2.2 wants keyEncipherment in an EC certificate, too"
            found["nss", "decrypts", what] = "NSS's cmsutil does not read KeyAgreeRecipientInfo as OpenSSL writes it"
            found["nss", "encrypts", what] = "NSS's cmsutil does not encrypt to EC keys"
    for curve, digest in (("P-256", "sha256"), ("P-384", "sha384")):
        found["gpgsm", "signs", f"{digest}-ecdsa-{curve}"] = "gpgsm 2.2 crashes when an EC key is imported"
    return found


LIMITS = limits()


class BouncyCastle:
    name = "bouncy-castle"

    def __init__(self, scratch, ca, people):
        if not shutil.which("javac") or not all(os.path.exists(jar) for jar in JARS):
            raise Skip("Bouncy Castle (libbcmail-java) or a Java compiler is not installed")
        self.path = scratch.folder("bouncy-castle")
        classes = ":".join(JARS)
        run("javac", "-d", self.path, "-cp", classes, HERE / "BouncyCastle.java")
        self.process = subprocess.Popen(["java", "-cp", f"{self.path}:{classes}", "BouncyCastle"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        scratch.add(self._stop)
        self.people = people

    def _stop(self):
        self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _ask(self, *words):
        self.process.stdin.write(" ".join(str(word) for word in words) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        assert answer == "ok", f"{words[0]}: {answer}"

    def _file(self, name, octets):
        path = self.path / name
        path.write_bytes(octets)
        return path

    def _der(self, name, what):
        key, cert = self.people[name]
        path = self.path / f"{key.stem}.{what}"
        if not path.exists() and what == "key":
            run("openssl", "pkcs8", "-topk8", "-nocrypt", "-in", key, "-outform", "DER", "-out", path)
        elif not path.exists():
            run("openssl", "x509", "-in", cert, "-outform", "DER", "-out", path)
        return path

    def verify(self, message):
        out = self.path / "out"
        if b"multipart/signed" in split_message(message)[0]:
            content, signature = parts_of(message)
            self._ask("verify", self._file("sig", signature), self._file("content", content), out)
        else:
            self._ask("verify", self._file("cms", cms_of(message)), "-", out)
        return out.read_bytes()

    def decrypt(self, message):
        out = self.path / "out"
        out.unlink(missing_ok=True)
        self._ask("decrypt", self._file("cms", cms_of(message)), self._der("bob", "key"), out)
        return out.read_bytes()

    def sign_with(self, what):
        digest, scheme = what.split("-", 1)
        name = {"pkcs1": "RSA", "pss": "RSAandMGF1"}.get(scheme, "ECDSA")
        out = self.path / "out"
        self._ask("sign", self._der("alice", "key"), self._der("alice", "cert"), f"{digest.upper()}with{name}", "detached",
                  self._file("in", ENTITY), out)
        return out.read_bytes()

    def encrypt_with(self, cipher, transport):
        out = self.path / "out"
        self._ask("encrypt", self._der("bob", "cert"), cipher.upper().replace("-", "_"), transport, self._file("in", ENTITY), out)
        return out.read_bytes()


class OpensslPeer(Openssl):
    def sign_with(self, what):
        digest, scheme = what.split("-", 1)
        key, cert = self.people["alice"]
        pss = ["-keyopt", "rsa_padding_mode:pss", "-keyopt", "rsa_pss_saltlen:digest"] if scheme == "pss" else []
        return run("openssl", "cms", "-sign", "-binary", "-signer", cert, "-inkey", key, "-certfile", self.ca.cert, "-md",
                   digest, *pss, "-outform", "DER", stdin=ENTITY).stdout

    def encrypt_with(self, cipher, transport):
        name = cipher.replace("aes128", "aes-128").replace("aes256", "aes-256")
        options = {"oaep": ["-keyopt", "rsa_padding_mode:oaep", "-keyopt", "rsa_oaep_md:sha256", "-keyopt", "rsa_mgf1_md:sha256"],
                   "ecdh": ["-keyopt", "ecdh_kdf_md:sha256"]}.get(transport, [])
        return run("openssl", "cms", "-encrypt", "-binary", f"-{name}", "-outform", "DER", "-recip", self.people["bob"][1],
                   *options, stdin=ENTITY).stdout


class GpgsmPeer(Gpgsm):
    def _import(self, key, cert, p12):
        """An EC key in PKCS#12 crashes gpgsm 2.2: of these it has the certificates, and verifies and encrypts."""
        if b"id-ecPublicKey" in run("openssl", "x509", "-in", cert, "-noout", "-text").stdout:
            self._run("--import", cert)
        else:
            super()._import(key, cert, p12)

    def sign_with(self, what):
        digest, scheme = what.split("-", 1)
        assert scheme != "pss", "cannot be told to"
        out = self.path / "out"
        out.unlink(missing_ok=True)
        self._run("--output", out, "--digest-algo", digest.upper(), "--detach-sign", "--local-user", "alice@example.org",
                  self._file("in", ENTITY))
        return out.read_bytes()

    def encrypt_with(self, cipher, transport):
        assert cipher.endswith("cbc") and transport != "oaep", "cannot be told to"
        out = self.path / "out"
        out.unlink(missing_ok=True)
        self._run("--output", out, "--cipher-algo", cipher[:-4].upper(), "--encrypt", "--recipient", "bob@partner.example",
                  self._file("in", ENTITY))
        return out.read_bytes()


class NssPeer(Nss):
    def sign_with(self, what):
        digest, scheme = what.split("-", 1)
        assert scheme != "pss", "cannot be told to"
        run("cmsutil", "-S", "-d", self.db, "-N", "alice", "-G", "-H", digest.upper(), "-T", "-i", self._file("in", ENTITY),
            "-o", self.path / "out")
        return (self.path / "out").read_bytes()

    def encrypt_with(self, cipher, transport):
        assert cipher == "aes128-cbc" and transport != "oaep", "cannot be told to"
        return self.encrypt(ENTITY)


PEERS = {kind.name: kind for kind in (OpensslPeer, GpgsmPeer, NssPeer, BouncyCastle)}
# What the command line of a peer has no option for.
CANNOT_WRITE = {
    "gpgsm": lambda what: "gcm" in what or "oaep" in what or "pss" in what,
    "nss": lambda what: "pss" in what or ("sha" not in what and "aes128-cbc pkcs1" not in what and "aes128-cbc ecdh" not in what),
}


class Family:
    """One kind of key: people, messages, and the peers that can have them."""

    def __init__(self, scratch, kind):
        rsa = kind == "rsa:2048"
        self.kind, self.scratch = kind, scratch
        self.ca = Authority(scratch)
        self.people = {"alice": self.ca.user("alice@example.org", "alice", kind=kind,
                                             usage="digitalSignature,keyEncipherment" if rsa else "digitalSignature"),
                       "bob": self.ca.user("bob@partner.example", "bob", kind=kind,
                                           usage="keyEncipherment" if rsa else "keyAgreement")}
        self.message = scratch.path / "message"
        self.message.write_bytes(MESSAGE)
        self.failed = []

    def sign(self, *options):
        key, cert = self.people["alice"]
        return smimectl("sign", "--key", key, "--cert", cert, "--chain", self.ca.cert, *options, self.message, check=True).stdout

    def encrypt(self, *options):
        return smimectl("encrypt", "--to-cert", self.people["bob"][1], *options, self.message, check=True).stdout

    def peer(self, name):
        """None: it cannot even have the keys, which is a limit as well."""
        made = []
        self.row(name, "keys", self.kind, lambda: made.append(PEERS[name](self.scratch, self.ca, self.people)) or TEXT)
        return made[0] if made else None

    def row(self, name, direction, what, action):
        limit = LIMITS.get((name, direction, what))
        try:
            content = action()
            good = TEXT in crlf(content)
            why = "" if good else f"something else comes out: {content[:80]!r}"
        except (AssertionError, subprocess.TimeoutExpired) as error:
            good, why = False, str(error).strip().replace("\n", " ")[-300:]
        print(f"# {name} {direction} {what}: {'yes' if good else 'NO'}{' (' + limit + ')' if limit else ''}", flush=True)
        if good and limit:
            self.failed.append(f"{name} {direction} {what} works now: take it out of LIMITS")
        elif not good and not limit:
            self.failed.append(f"{name} {direction} {what}: {why}")

    def we_read(self, digest, octets):
        if digest:
            message = as_clear_signed(ENTITY, octets).replace(b"sha-256", digest.replace("sha", "sha-").encode())
            done = smimectl("verify", "--anchors", self.ca.anchors, "--untrusted", self.ca.cert, "--crl", self.ca.crls, "-",
                            stdin=message)
            assert done.returncode == 0, done.stdout + done.stderr
            return ENTITY
        key, cert = self.people["bob"]
        done = smimectl("decrypt", "--key", key, "--cert", cert, "-", stdin=as_cms(octets, b"enveloped-data"))
        assert done.returncode == 0, done.stderr
        return done.stdout

    def run(self, name, signatures, transports):
        peer = self.peer(name)
        if not peer:
            return
        writes = lambda what: name not in CANNOT_WRITE or not CANNOT_WRITE[name](what)
        for what, options in signatures:
            message = self.sign(*options)
            self.row(name, "verifies", what, lambda: peer.verify(message))
            self.row(name, "verifies", f"{what} opaque", lambda: peer.verify(self.sign("--opaque", *options)))
            if writes(what):
                self.row(name, "signs", what, lambda: self.we_read(what[:6], peer.sign_with(what)))
        for transport, options in transports:
            for cipher in CIPHERS:
                what = f"{cipher} {transport} {self.kind[3:]}" if transport == "ecdh" else f"{cipher} {transport}"
                self.row(name, "decrypts", what, lambda: peer.decrypt(self.encrypt("--cipher", cipher, *options)))
                if writes(what):
                    self.row(name, "encrypts", what, lambda: self.we_read(None, peer.encrypt_with(cipher, transport)))


def both(name):
    with Scratch("algorithms") as scratch:
        it = Family(scratch, "rsa:2048")
        it.run(name, [(f"{digest}-{scheme}", ["--digest", digest, *(["--pss"] if scheme == "pss" else [])])
                      for digest in ("sha256", "sha384", "sha512") for scheme in ("pkcs1", "pss")],
               [("pkcs1", []), ("oaep", ["--oaep"])])
        failed = it.failed
    for curve, digest in (("P-256", "sha256"), ("P-384", "sha384")):
        with Scratch("algorithms") as scratch:
            it = Family(scratch, f"ec:{curve}")
            it.run(name, [(f"{digest}-ecdsa-{curve}", [])], [("ecdh", [])])
            failed += it.failed
    assert not failed, "\n".join(failed)


def test_openssl():
    both("openssl")


def test_gpgsm():
    both("gpgsm")


def test_nss():
    both("nss")


def test_bouncy_castle():
    both("bouncy-castle")


if __name__ == "__main__":
    os.umask(0o077)
    main(globals())
