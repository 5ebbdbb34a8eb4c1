"""The world of the tests of trust: one PKI, its servers, and smimed between them. See trustca.py, trustnet.py and
trustservers.py for the parts.

One World serves a module; each test makes authorities of its own in it (`issuer`), so that no test finds what another
fetched, and a smimed of its own (`gateway`), which reaches loopback because its configuration says so."""

import base64
import contextlib
import datetime
import itertools
import os
import pathlib
import re
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "scenario"))

from harness import PATIENCE, Scratch, Smimed, run, wait_until  # noqa: E402
from milter_client import CONTINUE, INSHEADER, REPLYCODE, TEMPFAIL, Milter, reply_text  # noqa: E402
from trustca import Ca, Key, aia, cdp, with_crls  # noqa: E402
from trustnet import Http, body  # noqa: E402
from trustservers import PASSWORD, USER  # noqa: E402

TEXT = b"Content-Type: text/plain; charset=us-ascii\r\n\r\nHello alice, this is bob.\r\n"
CRL_TYPE, CERT_TYPE = "application/pkix-crl", "application/pkix-cert"
RULES = """
rule "in" {
    direction = in
}
rule "out" {
    direction = out
    recipient = *@partner.example
    sign = never
    encrypt = always
}
"""
DEFAULTS = {"sender_identity": "off", "inbound_daemons": "INBOUND", "fetch_allow_networks": "127.0.0.0/8",
            "fetch_any_port": "yes", "fetch_timeout": "2s", "fetch_connect_timeout": "1s", "facts_timeout": "4s",
            "refresh_interval": "1s"}


class World:
    def __init__(self, name="trust"):
        self.scratch = Scratch(name)
        self.folder = self.scratch.folder("pki")
        self.http = Http(self.scratch)
        self.keys = itertools.cycle([Key(self.folder / f"key-{i}") for i in range(4)])
        self.numbers = itertools.count(1)
        self.root = Ca(self.folder, "root")
        self.anchors = self.scratch.folder("anchors")
        (self.anchors / "root.pem").write_bytes(self.root.certificate.pem)
        self.http.put("/root.cer", body(self.root.certificate.der, CERT_TYPE))
        self.publish(self.root, "/root.crl")

    def close(self):
        self.scratch.close()

    # ---- authorities and people ----

    def publish(self, ca, path=None, **more):
        """Puts a CRL of `ca` where its certificates point to; returns its octets."""
        path = path or f"/{ca.common.replace(' ', '-')}.crl"
        crl = ca.crl(**more)
        self.http.put(path, body(crl, CRL_TYPE))
        return crl

    def url(self, ca, ending="crl"):
        return f"{self.http.base}/{ca.common.replace(' ', '-')}.{ending}"

    def issuer(self, label, parent=None, publish=True, extensions=None, **more):
        """An authority below `parent` (the root), with certificate and CRL on the HTTP server."""
        parent = parent or self.root
        ca = Ca(self.folder, f"{label} {next(self.numbers)}", parent, key=next(self.keys), extensions=[
            cdp(self.url(parent)), aia([self.url(parent, "cer")])] if extensions is None else extensions, **more)
        self.http.put(f"/{ca.common.replace(' ', '-')}.cer", body(ca.certificate.der, CERT_TYPE))
        if publish:
            self.publish(ca)
        return ca

    def person(self, ca, address="bob@partner.example", crl=(), issuers=(), ocsp=(), extensions=(), key=None, **more):
        """A leaf that points to the CRL of its issuer and to its certificate, unless told otherwise (None: to none)."""
        crl = [self.url(ca)] if crl == () else crl or []
        issuers = [self.url(ca, "cer")] if issuers == () else issuers or []
        pointers = [cdp(*crl)] if crl else []
        pointers += [aia(issuers, ocsp)] if issuers or ocsp else []
        return ca.user(address, key or next(self.keys), [*pointers, *extensions], **more)

    # ---- messages ----

    def sign(self, person, *certificates, sender="bob@partner.example", crls=(), text=TEXT):
        """A clear-signed message with the signer's certificate, `certificates` and `crls`."""
        number = next(self.numbers)
        leaf, rest = self.folder / f"leaf-{number}.pem", self.folder / f"rest-{number}.pem"
        leaf.write_bytes(person.pem)
        rest.write_bytes(b"".join(c.pem for c in certificates))
        content = text.replace(b"Hello", b"Hello %d" % number)
        signature = run("openssl", "cms", "-sign", "-binary", "-signer", leaf, "-inkey", person.key.path, "-md", "sha256",
                        "-outform", "DER", *(["-certfile", rest] if certificates else []), stdin=content).stdout
        if crls:
            signature = with_crls(signature, *crls)
        return (b"From: " + sender.encode() + b"\r\nTo: alice@example.org\r\nSubject: s\r\nMIME-Version: 1.0\r\n"
                b'Content-Type: multipart/signed; protocol="application/pkcs7-signature"; micalg=sha-256;'
                b' boundary="frontier"\r\n\r\n--frontier\r\n' + content + b"\r\n--frontier\r\n"
                b"Content-Type: application/pkcs7-signature; name=smime.p7s\r\nContent-Transfer-Encoding: base64\r\n\r\n"
                + base64.encodebytes(signature).replace(b"\n", b"\r\n") + b"--frontier--\r\n")

    # ---- smimed ----

    @contextlib.contextmanager
    def gateway(self, config="", rules=RULES, trust=None, recipients=(), environment=None, **parameters):
        """A running smimed that ends with the block. `recipients`: certificates it may encrypt to; `parameters` win over
        DEFAULTS, None takes one out."""
        with Scratch("gateway") as scratch:
            gateway = Gateway(self, scratch, config, rules=rules, trust=trust, recipients=recipients, environment=environment,
                              **parameters)
            yield gateway
            # A clean end: also what a sanitizer has to say at last.
            code = gateway.stop()
            assert code == 0, f"smimed ended with {code}: {gateway.text()[-6000:]}"


class Verdict:
    """What became of one message: `result` and `reason` as the outcome line has them, `code` and `text` of the reply."""

    def __init__(self, answer, edits, outcome, seconds):
        self.outcome, self.seconds = outcome, seconds
        fields = [d[4:].split(b"\0")[1].decode() for c, d in edits if c == INSHEADER and
                  d[4:].lower().startswith(b"authentication-results")]
        self.field = fields[0] if fields else ""
        found = re.search(r"smime=(\w+)", self.field)
        self.result = found.group(1) if found else ""
        self.reason = outcome.get("reason", "ok")
        self.wait_ms = int(outcome.get("wait_ms", 0)) if outcome.get("dir") == "out" else int(outcome.get(
            "wait_ms", outcome.get("crypto_ms", 0)))
        self.text = reply_text(answer) if answer[0] == REPLYCODE else ""
        self.code = int(self.text[:3]) if self.text else 451 if answer[0] == TEMPFAIL else 250

    def __repr__(self):
        return f"{self.result or self.code} ({self.reason}) in {self.seconds:.2f} s: {self.text or self.field} {self.outcome}"


class Gateway(Smimed):
    def __init__(self, world, scratch, config="", rules=RULES, trust=None, recipients=(), environment=None, name="smimed",
                 start=True, **parameters):
        self.world, self.scratch = world, scratch
        self.ids = itertools.count(1)
        folder = scratch.folder(f"{name}-certificates")
        for i, certificate in enumerate(recipients):
            (folder / f"{i}.pem").write_bytes(certificate.pem)
        lines = [f"{k} = {v}\n" for k, v in {**DEFAULTS, **parameters}.items() if v is not None]
        lines.append(f'certificate_folders = "{folder}"\n')
        trust = trust or f'trust "default" {{\n    anchors = "{world.anchors}"\n}}\n'
        super().__init__(scratch, "".join(lines) + config + trust + rules, name=name, environment=environment, start=start)

    def outcome(self, queue_id):
        def look():
            for line in self.text().splitlines():
                if f"{queue_id}: dir=" in line:
                    return {k: v.strip('"') for k, v in re.findall(r'(\w+)=("(?:[^"\\]|\\.)*"|\S*)', line)}
            return None
        return wait_until(look, 20, f"outcome line of {queue_id}")

    def _talk(self, sender, recipient, message, inbound):
        queue_id = f"Q{id(self) % 100000}N{next(self.ids)}"
        begin = time.monotonic()
        client = Milter(self.socket, timeout=60 * PATIENCE)
        try:
            client.negotiate()
            answer = client.connect(address="192.0.2.1" if inbound else "127.0.0.1",
                                    macros={"{daemon_name}": "INBOUND"} if inbound else None)
            assert answer[0] == CONTINUE, answer
            answer, edits = client.message(sender, [recipient], message, queue_id=queue_id)
        finally:
            client.close()
        return Verdict(answer, edits, self.outcome(queue_id), time.monotonic() - begin)

    def receive(self, message, sender="bob@partner.example"):
        """Inbound: the verdict about a signed message."""
        return self._talk(sender, "alice@example.org", message, inbound=True)

    def send(self, recipient="bob@partner.example"):
        """Outbound: what becomes of a message that has to be encrypted to `recipient`."""
        return self._talk("alice@example.org", recipient, b"From: alice@example.org\r\nTo: " + recipient.encode()
                          + b"\r\nSubject: s\r\n\r\nHello.\r\n", inbound=False)

    def warnings(self, word):
        """The log lines that hold `word`."""
        return [line for line in self.text().splitlines() if word in line]


def minutes(n):
    return datetime.timedelta(minutes=n)


class Shared:
    """The parameters of a cache in Redis: key file and password file are made in the world's scratch folder."""

    def __init__(self, world, name="cache"):
        folder = world.scratch.folder(f"{name}-secrets", 0o700)
        self.key, self.password = folder / "key", folder / "password"
        self.key.write_bytes(os.urandom(48))
        self.password.write_text(PASSWORD + "\n")
        for file in (self.key, self.password):
            file.chmod(0o600)

    def parameters(self, redis=None, sentinels=None, **more):
        where = {"redis_server": f'"unix:{redis.socket}"'} if redis else {
            "redis_sentinels": " ".join(f"127.0.0.1:{p}" for p in sentinels.ports), "redis_master": sentinels.name}
        return {"cache": "redis", "cache_key_file": f'"{self.key}"', "redis_user": USER,
                "redis_password_file": f'"{self.password}"', "redis_timeout": "500ms", **where, **more}
