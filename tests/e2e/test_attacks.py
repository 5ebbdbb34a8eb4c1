#!/usr/bin/env python3
"""Hostile mail through one smimed and one Postfix: nothing leaves in plain that must be sealed, nothing passes that must
not, and every message gets one answer and one outcome line.

Two tables, in and out. What a row expects is what a reader of the delivered octets is told, never what smimed logs.
"""

import base64
import hashlib
import os
import re

from harness import (Authority, Postfix, Scratch, Sink, Smimed, Smtp, main, openssl_decrypt, run, trust_config, wait_until)

SECRET = b"the canary sings in the mine"
TEXT = b"Content-Type: text/plain\r\n\r\nHello alice, this is bob.\r\n"
OTHER = b"Content-Type: text/plain\r\n\r\nPay mallory one million.\r\n"
LIMIT_GROWTH_KB = 96 * 1024

RULES = """
inbound_daemons = INBOUND
sender_identity = enforce
rule "in" {
    direction = in
}
rule "plain" {
    recipient = *@plain.example
    smime = no
}
rule "signed" {
    recipient = *@sign.example
    sign = always
    encrypt = never
}
rule "seal" {
    sign = never
    encrypt = always
}
"""


# ---- DER, just enough to take a SignedData apart and to build worse ones --------------------------------------------


def tlv(tag, *contents):
    content = b"".join(contents)
    size = len(content)
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag]) + (bytes([size]) if size < 128 else bytes([0x80 | len(octets)]) + octets) + content


def oid(text):
    first, second, *rest = (int(n) for n in text.split("."))
    out = bytes([first * 40 + second])
    for number in rest:
        piece = bytes([number & 127])
        while number := number >> 7:
            piece = bytes([128 | number & 127]) + piece
        out += piece
    return tlv(6, out)


def children(der):
    """The elements of DER octets, whole."""
    found = []
    while der:
        head = 2
        size = der[1]
        if size & 128:
            head += size & 127
            size = int.from_bytes(der[2:head], "big")
        found.append(der[:head + size])
        der = der[head + size:]
    return found


def inside(element):
    return element[2 + (element[1] & 127 if element[1] & 128 else 0):]


DATA, SIGNED, ENVELOPED = (oid(f"1.2.840.113549.1.7.{n}") for n in (1, 2, 3))
SHA256 = tlv(0x30, oid("2.16.840.1.101.3.4.2.1"))
RSA = tlv(0x30, oid("1.2.840.113549.1.1.1"), b"\5\0")
AES = tlv(0x30, oid("2.16.840.1.101.3.4.1.42"), tlv(4, b"\0" * 16))


def content_info(kind, *content):
    return tlv(0x30, kind, tlv(0xA0, *content))


def signed_data(certificates, infos, content=None, extra=b"", kind=DATA):
    inner = kind + (tlv(0xA0, tlv(4, content)) if content is not None else b"")
    return content_info(SIGNED, tlv(0x30, b"\2\1\1", tlv(0x31, SHA256), tlv(0x30, inner), tlv(0xA0, *certificates), extra,
                                    tlv(0x31, *infos)))


def attribute(name, *values):
    return tlv(0x30, oid(f"1.2.840.113549.1.9.{name}"), tlv(0x31, *values))


class Person:
    """A key and a certificate that sign whatever they are told to."""

    def __init__(self, pair):
        self.key, self.cert = pair
        self.der = run("openssl", "x509", "-in", self.cert, "-outform", "DER").stdout
        fields = children(inside(inside_tbs(self.der)))
        fields = fields[1:] if fields[0][0] == 0xA0 else fields
        self.identifier = tlv(0x30, fields[2], fields[0])

    def raw(self, octets):
        return run("openssl", "dgst", "-sha256", "-sign", self.key, stdin=octets).stdout

    def attributes(self, content, digest=None, kind=DATA, more=()):
        digest = digest or hashlib.sha256(content).digest()
        return b"".join(sorted([attribute(3, kind), attribute(4, tlv(4, digest)), *more]))

    def info(self, content, attributes=None, signature=None):
        """A SignerInfo; attributes b"" signs the content itself."""
        attributes = self.attributes(content) if attributes is None else attributes
        signature = signature or self.raw(tlv(0x31, attributes) if attributes else content)
        return tlv(0x30, b"\2\1\1", self.identifier, SHA256, tlv(0xA0, attributes) if attributes else b"", RSA,
                   tlv(4, signature))


def inside_tbs(certificate):
    return children(inside(certificate))[0]


def lines(octets):
    return base64.encodebytes(octets).replace(b"\n", b"\r\n")


# ---- the setting ----------------------------------------------------------------------------------------------------


class Setting:
    def __init__(self, scratch):
        self.ca = ca = Authority(scratch)
        self.scratch = scratch
        self.alice = ca.user("alice@example.org", "alice")
        self.bob_pair = ca.user("bob@partner.example", "bob")
        self.bob, self.mallory = Person(self.bob_pair), Person(ca.user("mallory@partner.example", "mallory"))
        self.sub = run("openssl", "x509", "-in", ca.cert, "-outform", "DER").stdout
        self.below = self.issue_with_lines()
        folder = scratch.folder("certificates")
        (folder / "bob.pem").write_bytes(self.bob_pair[1].read_bytes())
        self.sink = Sink(scratch)
        self.smimed = Smimed(scratch, f'certificate_folders = "{folder}"\n' + RULES + trust_config(ca), start=False)
        ca.install_pair(self.smimed.keys, *self.alice)
        self.smimed.start()
        self.postfix = Postfix(scratch, self.sink.port, self.smimed.milter,
                               {"out": {}, "in": {"milter_macro_daemon_name": "INBOUND"}, "bare": {"smtpd_milters": ""}},
                               main="local_header_rewrite_clients =\nalways_add_missing_headers = no\n"
                                    f"mydestination = plain.example\nlocal_transport = smtp:[127.0.0.1]:{self.sink.port}\n"
                                    "smtpd_recipient_overshoot_limit = 2000\n")
        self.idle = self.smimed.status("VmRSS")
        self.sent = 0

    def issue_with_lines(self):
        """A leaf below a CA whose name tries to write header fields; (person, DER of that CA)."""
        ca = self.ca
        evil = "/O=Test/OU=x\r\nAuthentication-Results: mx.test; smime=pass/CN=\r\n\r\nbody) \" \\\\ \x01\x7f ; smime=pass"
        sub_key, sub, key, cert = (ca.path / n for n in ("evil.key", "evil.pem", "below.key", "below.pem"))
        ca._key(sub_key, "rsa:2048")
        ca._issue(sub_key, evil, sub, ca.root, ca.root_key,
                  ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign", "subjectKeyIdentifier=hash"])
        ca._key(key, "rsa:2048")
        ca._issue(key, evil, cert, sub, sub_key, ["keyUsage=critical,digitalSignature", "extendedKeyUsage=emailProtection",
                                                  "subjectAltName=email:bob@partner.example"])
        run("openssl", "ca", "-gencrl", "-config", ca.path / "crl-sub/ca.cnf", "-crldays", "30", "-cert", sub, "-keyfile", sub_key,
            "-out", ca.crls / "evil.pem")
        return Person((key, cert)), run("openssl", "x509", "-in", sub, "-outform", "DER").stdout

    def weird(self, name, **options):
        return Person(self.ca.user("bob@partner.example", name, **options))

    def send(self, service, sender, recipients, message, mark):
        """(code, text, delivered or b"")."""
        with self.sink.lock:
            self.sink.messages.clear()
        mark = b"X-Mark: " + mark.encode() + b"\r\n"
        client = Smtp(self.postfix.ports[service])
        code, text = client.send(sender, recipients, mark + message)
        client.close()
        self.sent += code != 501  # Postfix' own answer to RCPT
        return code, text, self.sink.find(mark, 20)[2] if code == 250 else b""

    def alive(self, where):
        assert self.smimed.process.poll() is None, f"{where}: smimed ended: {self.smimed.text()[-3000:]}"
        if os.environ.get("SAN"):
            return  # a sanitizer keeps freed memory on purpose
        grown = self.smimed.status("VmRSS") - self.idle
        assert grown < LIMIT_GROWTH_KB, f"{where}: {grown} KB more than idle"


HERE = {}


def setting():
    if not HERE:
        scratch = Scratch("attacks")
        CLOSERS.append(scratch.close)
        HERE["it"] = Setting(scratch)
    return HERE["it"]


CLOSERS = []


# ---- inbound --------------------------------------------------------------------------------------------------------

FROM_BOB = b"From: Bob <bob@partner.example>\r\n"
TYPE = b'Content-Type: multipart/signed; protocol="application/pkcs7-signature"; micalg=sha-256; boundary="b0"\r\n'
PART = b"Content-Type: application/pkcs7-signature; name=smime.p7s\r\nContent-Transfer-Encoding: base64\r\n\r\n"


def clear(content, der, sender=FROM_BOB, kind=TYPE, before=b"", after=b"", part=PART, encoded=None, end=b"\r\n--b0--\r\n"):
    return (sender + b"To: alice@example.org\r\nMIME-Version: 1.0\r\n" + kind + b"\r\n" + before + b"--b0\r\n" + content
            + b"\r\n--b0\r\n" + part + (lines(der).rstrip() if encoded is None else encoded) + end + after)


def opaque(der, sender=FROM_BOB, kind=b"application/pkcs7-mime; smime-type=signed-data; name=smime.p7m", coding=b"base64",
           encoded=None):
    return (sender + b"To: alice@example.org\r\nMIME-Version: 1.0\r\nContent-Type: " + kind
            + b"\r\nContent-Transfer-Encoding: " + coding + b"\r\n\r\n" + (lines(der) if encoded is None else encoded))


def from_games(bob, mallory, chain):
    good = signed_data([bob.der, *chain], [bob.info(TEXT)])
    evil = signed_data([mallory.der, *chain], [mallory.info(TEXT)])

    def fields(*values, der=good):
        return clear(TEXT, der, sender=b"".join(v + b"\r\n" for v in values))

    bob_field = b"From: bob@partner.example"
    return {
        "two From fields": (fields(bob_field, b"From: mallory@evil.test"), "permerror"),
        "two From fields, the second with a blank before the colon": (fields(bob_field, b"From : m@evil.test"), "permerror"),
        "two From fields in different case": (fields(b"FROM: m@evil.test", b"from: bob@partner.example"), "permerror"),
        "no From at all": (fields(b"Sender: bob@partner.example"), "permerror"),
        "an empty From": (fields(b"From: "), "permerror"),
        "two mailboxes": (fields(bob_field + b", mallory@evil.test"), "neutral"),
        "a group": (fields(b"From: friends: bob@partner.example;"), "neutral"),
        "a folded From": (fields(b"From:\r\n bob@partner.example"), "pass"),
        "a From that goes on behind a fold": (fields(b"From: bob@partner.example\r\n , m@evil.test"), "neutral"),
        "an encoded word as address": (fields(b"From: =?us-ascii?q?bob=40partner.example?="), "neutral"),
        "the address in a comment": (fields(b"From: m@evil.test (bob@partner.example)"), "fail"),
        "the address as display name": (fields(b'From: "bob@partner.example" <m@evil.test>'), "fail"),
        "a bare address before the real one": (fields(b"From: bob@partner.example <m@evil.test>"), "neutral"),
        "an address behind the angle": (fields(b"From: <bob@partner.example> m@evil.test"), "neutral"),
        "a source route": (fields(b"From: <@evil.test:bob@partner.example>"), "neutral"),
        "two angles": (fields(b"From: <bob@partner.example> <m@evil.test>"), "neutral"),
        "an unclosed quote": (fields(b'From: "bob@partner.example <m@evil.test>'), "neutral"),
        "an unclosed comment": (fields(b"From: bob@partner.example (m@evil.test"), "neutral"),
        # Postfix delivers nothing that stands behind a NUL in a header line.
        "a NUL behind the signer's address": (fields(b"From: bob@partner.example\0, m@evil.test"), "pass"),
        "a NUL before it": (fields(b"From: \0bob@partner.example"), "permerror"),
        "a quoted local part that reads like it": (fields(b'From: "bob@partner.example"@evil.test'), "fail"),
        "8-bit octets around it": (fields(b"From: \xff\xfebob@partner.example"), "neutral"),
        "a full-width at sign": (fields("From: bob\uff20partner.example".encode()), "neutral"),
        "a domain of look-alike letters": (fields("From: bob@p\u0430rtner.example".encode()), "fail"),
        "another's valid certificate": (fields(bob_field, der=evil), "fail"),
        "90 KB of From": (fields(b"From: " + b",\r\n ".join([b"bob@partner.example"] * 4200)), "neutral"),
        "1,000 nested comments in From": (fields(b"From: bob@partner.example " + b"(" * 900 + b")" * 900),
                                          "pass"),
    }


def structures(bob, chain):
    good = signed_data([bob.der, *chain], [bob.info(TEXT)])
    duplicate = TYPE + b"CONTENT-type: text/html\r\n"
    bogus = clear(OTHER, good)
    whole = clear(TEXT, good)
    deep = TEXT
    for depth in range(60):
        deep = b'Content-Type: multipart/mixed; boundary="d%d"\r\n\r\n--d%d\r\n' % (depth, depth) + deep + b"\r\n--d%d--" % depth
    many = b'Content-Type: multipart/mixed; boundary="m"\r\n' + b"\r\n--m\r\n\r\nx" * 1001 + b"\r\n--m--"

    def kind(text):
        return clear(TEXT, good, kind=b"Content-Type: " + text + b"\r\n")

    return {
        "control: clear-signed": (whole, "pass"),
        "a signature of another text": (bogus, "fail"),
        "two Content-Type fields": (clear(TEXT, good, kind=duplicate), "neutral"),
        "two Content-Type fields, text first": (clear(TEXT, good, kind=b"Content-Type: text/plain\r\n" + TYPE), ""),
        "two boundaries": (kind(TYPE[14:].strip() + b'; boundary="other"'), "neutral"),
        "boundary in pieces beside boundary": (kind(TYPE[14:].strip() + b'; boundary*0="ot"; boundary*1="her"'),
                                               "neutral"),
        "no boundary": (kind(b"multipart/signed; protocol=application/pkcs7-signature"), "permerror"),
        "an empty boundary": (kind(b'multipart/signed; protocol="application/pkcs7-signature"; boundary=""'), "permerror"),
        "a boundary of 900 characters": (kind(b'multipart/signed; protocol="application/pkcs7-signature"; boundary="'
                                              + b"b" * 900 + b'"'), "permerror"),
        "a Content-Type with NUL": (kind(b"multipart/signed\0; protocol=x; boundary=b0"), ""),
        "a Content-Type of 200 KB": (kind(TYPE[14:].strip() + b";\r\n x=y" * 25000), ""),
        "multipart/signed in base64": (clear(TEXT, good, kind=TYPE + b"Content-Transfer-Encoding: base64\r\n"), "neutral"),
        "two transfer encodings": (clear(TEXT, good, kind=TYPE + b"Content-Transfer-Encoding: 7bit\r\n"
                                         b"content-transfer-ENCODING:\r\n base64\r\n"), "neutral"),
        "text behind the end": (clear(TEXT, good, after=b"Pay mallory.\r\n"), "neutral"),
        "a second multipart behind the end": (clear(TEXT, good, after=whole.partition(b"\r\n\r\n")[2]), "neutral"),
        "never closed": (clear(TEXT, good, end=b"\r\n"), "permerror"),
        "three parts": (clear(TEXT, good, end=b"\r\n--b0\r\n" + OTHER + b"\r\n--b0--\r\n"), "permerror"),
        "one part": (FROM_BOB + TYPE + b"\r\n--b0\r\n" + TEXT + b"\r\n--b0--\r\n", "permerror"),
        "the signature first": (FROM_BOB + TYPE + b"\r\n--b0\r\n" + PART + lines(good).rstrip() + b"\r\n--b0\r\n" + TEXT
                                + b"\r\n--b0--\r\n", "permerror"),
        "a boundary line with a tail": (clear(TEXT + b"--b0x\r\n", signed_data([bob.der, *chain], [bob.info(TEXT + b"--b0x\r\n")])),
                                        "neutral"),
        "a bare CR before dashes": (clear(TEXT + b"a\r--b0\rb", signed_data([bob.der, *chain], [bob.info(TEXT + b"a\r--b0\rb")])),
                                    "fail"),
        "micalg names another digest": (kind(TYPE[14:].strip().replace(b"sha-256", b"sha-512")), "neutral"),
        "micalg names nothing known": (kind(TYPE[14:].strip().replace(b"sha-256", b"rot13")), "pass"),
        "micalg of 60 KB": (kind(TYPE[14:].strip().replace(b"sha-256", b'"' + b"sha-1," * 10000 + b'"')),
                            "permerror"),
        "signed inside mixed": (FROM_BOB + b'Content-Type: multipart/mixed; boundary="o"\r\n\r\n--o\r\n' + TYPE + b"\r\n"
                                + whole.partition(b"\r\n\r\n")[2] + b"\r\n--o--\r\n", ""),
        "signed inside message/rfc822": (FROM_BOB + b"Content-Type: message/rfc822\r\n\r\n" + whole, ""),
        "signed inside signed": (clear(TYPE.replace(b"b0", b"i0") + b"\r\n" + bogus.partition(b"\r\n\r\n")[2].replace(b"b0", b"i0"),
                                       good), "fail"),
        "the signature named like one, of type text": (clear(TEXT, good, part=PART.replace(b"application/pkcs7-signature",
                                                                                           b"text/plain")), "permerror"),
        "PGP announced": (kind(TYPE[14:].strip().replace(b"pkcs7", b"pgp")), ""),
        "depth 60 inside what is signed": (clear(deep, signed_data([bob.der, *chain], [bob.info(deep)])), "pass"),
        "1,001 parts inside what is signed": (clear(many, signed_data([bob.der, *chain], [bob.info(many)])), "pass"),
        "a signature in quoted-printable": (clear(TEXT, good, part=PART.replace(b"base64", b"quoted-printable"),
                                                  encoded=b"=\r\n".join(re.findall(rb".{1,72}", b"".join(
                                                      b"=%02X" % c for c in good)))), "pass"),
        "a signature in an unknown encoding": (clear(TEXT, good, part=PART.replace(b"base64", b"x-uuencode")), "permerror"),
        "a signature of 3 MiB": (clear(TEXT, good + b"\0" * (3 << 20)), "permerror"),
        "base64 that is none": (clear(TEXT, good, encoded=b"!!!!\r\n" * 20), "permerror"),
        "a part header of 100,000 fields": (clear(TEXT, good, part=b"X: y\r\n" * 100000 + PART), "permerror"),
        "an empty signature": (clear(TEXT, b"", encoded=b""), "permerror"),
        "CMS whose parameter says enveloped": (opaque(signed_data([bob.der, *chain], [bob.info(TEXT)], TEXT),
                                                      kind=b"application/pkcs7-mime; smime-type=enveloped-data"), "pass"),
        "control: opaque-signed": (opaque(signed_data([bob.der, *chain], [bob.info(TEXT)], TEXT)), "pass"),
        "opaque with garbage in its base64": (opaque(b"", encoded=lines(signed_data([bob.der, *chain], [bob.info(TEXT)], TEXT))
                                                     .replace(b"\r\n", b"\r\n!*!\r\n", 1)), "neutral"),
        "opaque with plain text behind": (opaque(b"", encoded=lines(signed_data([bob.der, *chain], [bob.info(TEXT)], TEXT))
                                                 + b"\r\nPay mallory one million.\r\n"), "neutral"),
        "opaque and octets behind the object": (
            opaque(signed_data([bob.der, *chain], [bob.info(TEXT)], TEXT) + b"more"), "permerror"),
        "a claim and nothing behind it": (opaque(b"", encoded=b""), "permerror"),
        "the header of an object and 2^62 octets": (opaque(b"\x30\x88\x40" + b"\0" * 7 + b"\6\1\1"), "permerror"),
        "100,000 open elements": (opaque(b"\x30\x80" * 100000), "permerror"),
        "100,000 primitive pieces": (opaque(content_info(SIGNED, tlv(0x30, b"\2\1\1", tlv(0x31, SHA256), tlv(0x30, DATA, tlv(
            0xA0, b"\x24\x80" + b"\4\0" * 100000 + b"\0\0"))))), "permerror"),
    }


def objects(it, chain):
    bob, mallory = it.bob, it.mallory
    stranger = Person(Authority(it.scratch, "stranger").user("bob@partner.example", "stranger"))
    info = bob.info(TEXT)
    broken = bytearray(info)
    broken[-1] ^= 1
    attributes = bob.attributes(TEXT)
    as_set = tlv(0x31, attributes)
    twice = bob.attributes(TEXT, more=(attribute(4, tlv(4, b"\0" * 32)),))
    two_values = b"".join(sorted([attribute(3, DATA), attribute(4, tlv(4, hashlib.sha256(TEXT).digest()), tlv(4, b"\0" * 32))]))
    crl = tlv(0xA1, run("openssl", "crl", "-in", it.ca.crls / "sub.pem", "-outform", "DER").stdout * 500)

    def times(text):
        return bob.attributes(TEXT, more=(attribute(5, tlv(0x18 if len(text) > 13 else 0x17, text)),))

    def one(*infos, certificates=None, content=None, **more):
        return signed_data(certificates if certificates is not None else [bob.der, *chain], infos, content, **more)

    def tell(der):
        return clear(TEXT, der)

    return {
        "another text inside the detached signature": (clear(OTHER, one(info, content=TEXT)), "permerror"),
        "the same text inside the detached signature": (tell(one(info, content=TEXT)), "permerror"),
        "opaque without content": (opaque(one(info)), "permerror"),
        "no SignerInfo": (tell(one()), "permerror"),
        "no certificate": (tell(one(info, certificates=[])), "permerror"),
        "the certificate of somebody else": (tell(one(info, certificates=[mallory.der])), "permerror"),
        "two good signers, one of them From": (tell(one(info, mallory.info(TEXT), certificates=[bob.der, mallory.der, *chain])),
                                               "pass"),
        "two good signers in the other order": (tell(one(mallory.info(TEXT), info, certificates=[mallory.der, bob.der, *chain])),
                                                "pass"),
        "a good and a broken signature": (tell(one(info, bytes(broken))), "fail"),
        "a good one and one of another text": (tell(one(info, mallory.info(OTHER), certificates=[bob.der, mallory.der, *chain])),
                                               "fail"),
        "a good one and one without certificate": (tell(one(info, mallory.info(TEXT))), "permerror"),
        "17 signers": (tell(one(*[info] * 17)), "permerror"),
        "1,000 signers": (tell(one(*[info] * 1000)), "permerror"),
        "a signer of an unknown CA": (tell(one(stranger.info(TEXT), certificates=[stranger.der])), "fail"),
        "10,000 certificates": (tell(one(info, certificates=[tlv(0x30, b"\5\0" * 30)] * 9900 + [bob.der])), "permerror"),
        "101 true certificates": (tell(one(info, certificates=[bob.der] + [it.sub] * 100)), "permerror"),
        "99 copies of the intermediate": (tell(one(info, certificates=[bob.der] + [it.sub] * 99)), "pass"),
        "a certificate that is none": (tell(one(info, certificates=[tlv(0x30, b"\5\0"), bob.der, *chain])), "pass"),
        "500 CRLs": (tell(one(info, extra=crl)), "permerror"),
        "attributes shown as content": (clear(as_set, one(bob.info(as_set, b"", bob.raw(as_set)))), "fail"),
        "no attributes": (tell(one(bob.info(TEXT, b""))), "pass"),
        "messageDigest twice": (tell(one(bob.info(TEXT, twice))), "fail"),
        "messageDigest with two values": (tell(one(bob.info(TEXT, two_values))), "fail"),
        "no messageDigest": (tell(one(bob.info(TEXT, attribute(3, DATA)))), "fail"),
        "no contentType": (tell(one(bob.info(TEXT, attribute(4, tlv(4, hashlib.sha256(TEXT).digest()))))), "fail"),
        "another contentType": (tell(one(bob.info(TEXT, bob.attributes(TEXT, kind=SIGNED)))), "fail"),
        "attributes out of order": (tell(one(bob.info(TEXT, b"".join(reversed(children(attributes)))))), "pass"),
        "the content type is not data": (opaque(one(bob.info(TEXT), content=TEXT, kind=ENVELOPED)), "permerror"),
        "signed in 2049": (tell(one(bob.info(TEXT, times(b"490101000000Z")))), "pass"),
        "signed in the year 0": (tell(one(bob.info(TEXT, times(b"00000101000000Z")))), "pass"),
        "signed at no time": (tell(one(bob.info(TEXT, times(b"not a time!!")))), "pass"),
        "an empty signature value": (tell(one(tlv(0x30, *children(inside(info))[:-1], tlv(4)))), "permerror"),
        "a signature value of zeros": (tell(one(tlv(0x30, *children(inside(info))[:-1], tlv(4, b"\0" * 256)))), "fail"),
        "a signature value of 500 KB": (
            tell(one(tlv(0x30, *children(inside(info))[:-1], tlv(4, b"x" * 500000)))), "permerror"),
        "10,000 attributes": (tell(one(bob.info(TEXT, attributes + attribute(99, tlv(4, b"x")) * 10000))), "fail"),
        "certificates only": (opaque(one(), kind=b"application/pkcs7-mime; smime-type=certs-only"), "permerror"),
    }


def certificates(it, chain):
    """Leaves that a careful CA would not issue, and names that would write lines of their own."""
    def san(*names):
        return "DER:" + ":".join(f"{c:02X}" for c in tlv(0x30, *(tlv(0x81, n) for n in names)))

    def signed(person, more=()):
        return clear(TEXT, signed_data([person.der, *more, *chain], [person.info(TEXT)]))

    def leaf(name, *names, **options):
        return signed(it.weird(name, san=san(*names), **options) if names else it.weird(name, **options))

    below, sub_der = it.below
    issuing = Person((it.ca.key, it.ca.cert))
    return {
        "an address with a blank behind": (leaf("w1", b"bob@partner.example "), "fail"),
        "an address with a line break": (leaf("w2", b"bob@partner.example\r\nX-Injected: yes"), "fail"),
        "an address with NUL and more": (leaf("w3", b"bob@partner.example\0.evil.test"), "fail"),
        "an address in angles": (leaf("w4", b"<bob@partner.example>"), "fail"),
        "two addresses in one": (leaf("w5", b"mallory@evil.test,bob@partner.example"), "fail"),
        "a domain for an address": (leaf("w6", b"partner.example"), "fail"),
        "an address of 60 KB": (leaf("w7", b"b" * 60000 + b"@partner.example"), "fail"),
        "a wildcard for an address": (leaf("w8", b"*@partner.example"), "fail"),
        "a good address among 500": (leaf("w9", *[b"x%d@evil.test" % i for i in range(499)], b"bob@partner.example"),
                                     "pass"),
        "a broken address beside the good one": (leaf("w10", b"\r\n\0", b"bob@partner.example"), "pass"),
        "key usage for encryption only": (leaf("u1", usage="keyEncipherment"), "fail"),
        "key usage of a CA": (leaf("u2", usage="keyCertSign"), "fail"),
        "a certificate of a web server": (leaf("u3", eku="serverAuth"), "fail"),
        "a key of 1024 bits": (leaf("u4", kind="rsa:1024"), "policy"),
        "a CA that signs mail itself": (signed(issuing), "fail"),
        "an issuer whose name holds lines": (signed(below, [sub_der]), "pass"),
        "the same with another From":
            (signed(below, [sub_der]).replace(FROM_BOB, b"From: smime=pass;smime@evil.test\r\n"), "neutral"),
        "a From that reads like a result": (signed(below, [sub_der]).replace(FROM_BOB, b"From: smime=pass@evil.test\r\n"), "fail"),
    }


def results_of(message):
    head = re.sub(rb"\r\n[ \t]+", b" ", message.partition(b"\r\n\r\n")[0])
    return [line for line in head.split(b"\r\n") if line.lower().startswith(b"authentication-results")]


def judge(it, name, message, wanted):
    code, text, delivered = it.send("in", "bob@partner.example", ["alice@example.org"], message, name.replace(" ", "-"))
    assert code == 250, f"{name}: {code} {text}"
    found = results_of(delivered)
    assert len(found) <= 1, f"{name}: {found}"
    word = re.search(rb"smime=(\w+)", found[0]).group(1).decode() if found else ""
    assert word == wanted, f"{name}: {found}, expected {wanted}"
    head = delivered.partition(b"\r\n\r\n")[0]
    assert b"\r\nX-Injected" not in head and b"\0" not in head, f"{name}: {head}"
    if os.environ.get("SMIMED_SHOW"):
        print("#", name, word, found[0][:200] if found else "")
    for field in found:
        assert word == "pass" or b"smime=pass" not in field, f"{name}: {field}"
        assert all(c in b"\t" or 32 <= c < 127 for c in field) and len(field) < 1500, f"{name}: {field}"


def run_inbound(table):
    it = setting()
    wrong = []
    for name, (message, wanted) in table.items():
        try:
            judge(it, name, message, wanted)
        except AssertionError as error:
            wrong.append(str(error)[:600])
        it.alive(name)
    assert not wrong, "\n".join(wrong)


def test_no_game_with_from_lends_a_signature():
    it = setting()
    run_inbound(from_games(it.bob, it.mallory, [it.sub]))


def test_no_structure_passes_what_was_not_signed():
    it = setting()
    run_inbound(structures(it.bob, [it.sub]))


def test_no_cms_object_passes_that_must_not():
    it = setting()
    run_inbound(objects(it, [it.sub]))


def test_no_certificate_lends_an_address_or_writes_a_line():
    it = setting()
    run_inbound(certificates(it, [it.sub]))


def test_no_forged_result_stays():
    it = setting()
    forged = {
        "NUL first": b"Authentication-Results: \0 mx.test; smime=pass",
        "NUL inside": b"Authentication-Results: mx\0.test; smime=pass",
        "empty segment": b"Authentication-Results: ; mx.test; smime=pass",
        "version before": b"Authentication-Results: 1 mx.test; smime=pass",
        "tab before the colon": b"Authentication-Results\t: mx.test; smime=pass",
        "folded name": b"Authentication-Results:\r\n\t(a\r\n (b) c)\r\n mx.test;\r\n smime=pass",
        "8-bit octets around": b"Authentication-Results: \xc2\xa0mx.test; smime=pass",
        "vertical tab": b"Authentication-Results: \x0bmx.test; smime=pass",
        "quoted with escapes": b'Authentication-Results: "m\\x.te\\st"; smime=pass',
        "full stop of another script": "Authentication-Results: mx\u3002test; smime=pass".encode(),
        "60 KB before": b"Authentication-Results: " + b"(" + b"x" * 900 + b"\r\n " * 50 + b") mx.test; smime=pass",
        "900 of them": b"\r\n".join([b"Authentication-Results: mx.test; smime=pass"] * 900),
    }
    wrong = []
    for name, fields in forged.items():
        code, text, delivered = it.send("in", "x@evil.test", ["alice@example.org"],
                                        fields + b"\r\nFrom: x@evil.test\r\nSubject: s\r\n\r\nbody\r\n", name.replace(" ", "-"))
        assert code == 250, f"{name}: {code} {text}"
        left = [f for f in results_of(delivered) if b"smime=pass" in f]
        if left:
            wrong.append(f"{name}: {left[:2]}")
        it.alive(name)
    assert not wrong, "\n".join(wrong)


# ---- outbound -------------------------------------------------------------------------------------------------------

HEAD = b"From: alice@example.org\r\nTo: bob@partner.example\r\n"


def disguised(real):
    """Messages that must not leave in plain; what a row says may be a reply code or "sealed"."""
    b64 = lines(real)
    p7m = b"Content-Type: application/pkcs7-mime; smime-type=enveloped-data\r\n"
    coding = b"Content-Transfer-Encoding: base64\r\n"
    plain = b"\r\n" + SECRET + b"\r\n"
    nested = b"Content-Type: text/plain\r\n\r\n" + SECRET
    for depth in range(51):
        nested = b'Content-Type: multipart/mixed; boundary="d%d"\r\n\r\n--d%d\r\n' % (depth, depth) + nested \
            + b"\r\n--d%d--" % depth
    trailer = content_info(ENVELOPED, tlv(0x30, b"\2\1\0", tlv(0x31), tlv(0x30, DATA, AES, tlv(0x80, SECRET))))
    return {
        "EnvelopedData and text behind an empty line": HEAD + p7m + coding + b"\r\n" + b64 + plain,
        "EnvelopedData and text before": HEAD + p7m + coding + plain + b64,
        "EnvelopedData behind padding": HEAD + p7m + coding + b"\r\n" + b64.rstrip() + b"====" + SECRET + b"\r\n",
        "EnvelopedData with comments in its base64":
            HEAD + p7m + coding + b"\r\n" + b64.replace(b"\r\n", b"\r\n(" + SECRET + b")\r\n", 1),
        "EnvelopedData in 8bit, text really": HEAD + p7m + b"Content-Transfer-Encoding: 8bit\r\n" + plain,
        "two transfer encodings": HEAD + p7m + coding + b"content-transfer-encoding: 7bit\r\n" + plain,
        "two transfer encodings, one folded":
            HEAD + p7m + b"Content-Transfer-Encoding:\r\n 7bit\r\n" + coding + b"\r\n" + b64 + plain,
        "two Content-Types in two cases": HEAD + p7m + b"CONTENT-TYPE: text/plain\r\n" + coding + plain,
        "a Content-Type with a blank before the colon": HEAD + b"Content-Type : text/plain\r\n" + p7m + coding + plain,
        "a Content-Type with NUL": HEAD + p7m[:-2] + b"\0x\r\n" + coding + plain,
        "a smime-type twice": HEAD + p7m[:-2] + b"; smime-type=signed-data\r\n" + coding + plain,
        "no recipients at all": HEAD + p7m + coding + b"\r\n" + lines(trailer),
        "a true object in a preamble": HEAD + b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n' + b64 + b"\r\n--b\r\n" + plain
            + b"\r\n--b--\r\n",
        "the second object is true": HEAD + p7m + coding + b"\r\n" + lines(trailer) + b64,
        "an object cut in the middle": HEAD + p7m + coding + b"\r\n" + lines(real[:-40] + SECRET),
        "x-pkcs7-mime with an unknown encoding": HEAD + p7m.replace(b"pkcs7", b"x-pkcs7") + b"Content-Transfer-Encoding: x-none\r\n"
            + plain,
        "message/rfc822 around a true object": HEAD + b"Content-Type: message/rfc822\r\n\r\nSubject: " + SECRET + b"\r\n" + p7m
            + coding + b"\r\n" + b64,
        "quoted-printable that decodes to text": HEAD + p7m + b"Content-Transfer-Encoding: quoted-printable\r\n" + plain,
        "an S/MIME field that is not ours": HEAD + b"X-SMIME-Encrypted: yes\r\nX-Smimed: done\r\n" + plain,
        "headers in the body": HEAD + b"\r\n" + p7m + coding + b"\r\n" + b64 + plain,
        "a header that never ends": HEAD + p7m + coding + b"X-Long: " + b"y" * 70000 + b"\r\n" + plain,
        "2,100 header fields": HEAD + b"X: y\r\n" * 2100 + plain,
        "1,500 header fields": HEAD + b"X: y\r\n" * 1500 + plain,
        "1,200 KB of header": HEAD + b"".join(b"X-%d: " % i + b"y" * 950 + b"\r\n" for i in range(1250)) + plain,
        "51 multiparts inside each other": HEAD + nested + b"\r\n",
        "1,001 parts": HEAD + b'Content-Type: multipart/mixed; boundary="b"\r\n' + b"\r\n--b\r\n\r\n" + SECRET
            + b"\r\n--b\r\n\r\nx" * 1001 + b"\r\n--b--\r\n",
        "a To of 90 KB": HEAD.replace(b"To: ", b"To: " + b"".join(b"x%d@a.example,\r\n " % i for i in range(4900))) + plain,
        "90,000 addresses in To": HEAD + (b"To: " + b"a@b.example,\r\n " * 4500 + b"a@b.example\r\n") * 14 + plain,
        "45,000 groups in To": HEAD + b"To: " + b"g:;,\r\n " * 45000 + b"g:;\r\n" + plain,
        "8-bit octets in header and body": HEAD + b"Subject: \xe4\xf6\xfc\xff\r\n\r\n\xff\xfe\r\n" + SECRET + b"\r\n",
        "NUL in header and body": HEAD + b"Subject: a\0b\r\n\r\n\0" + SECRET + b"\0\r\n",
        "a line of 300,000 octets": HEAD + b"\r\n" + b"x" * 300000 + SECRET + b"\r\n",
        "bare CR and bare LF": HEAD + b"\r\na\rb\nc\r" + SECRET + b"\r\n",
        "no header but From": b"From: alice@example.org\r\n\r\n" + SECRET + b"\r\n",
        "lines of dots": HEAD + b"\r\n" + b".\r\n..\r\n" * 50 + SECRET + b"\r\n",
        "MIME-Version three times": HEAD + b"MIME-Version: 1.0\r\nmime-version: 2.0\r\nMIME-Version : (x) 1.0\r\n" + plain,
        "900 Content fields": HEAD + b"".join(b"Content-X%d: %b\r\n" % (i, SECRET) for i in range(900)) + plain,
        "a Content-Type of 100 KB": HEAD + b"Content-Type: text/plain" + b";\r\n x=y" * 14000 + b"\r\n" + plain,
    }


def hides(delivered):
    flat = delivered.replace(b"\r\n", b"")
    return not any(text in flat for text in (SECRET, *(base64.b64encode(b"x" * i + SECRET)[(i + 2) // 3 * 4:-4] for i in range(3))))


def test_nothing_that_must_be_sealed_leaves_in_plain():
    it = setting()
    other = it.ca.user("other@elsewhere.example", "other")
    real = run("openssl", "cms", "-encrypt", "-aes256", "-outform", "DER", other[1],
               stdin=b"Content-Type: text/plain\r\n\r\nx\r\n").stdout
    wrong = []
    for name, message in disguised(real).items():
        code, text, delivered = it.send("out", "alice@example.org", ["bob@partner.example"], message, name.replace(" ", "-"))
        it.alive(name)
        if os.environ.get("SMIMED_SHOW"):
            print("#", name, code, text.strip()[:150])
        if code != 250:
            if code not in (550, 552, 554):
                wrong.append(f"{name}: {code} {text}")
            continue
        if not hides(delivered):
            wrong.append(f"{name}: left in plain")
            continue
        try:
            inner = openssl_decrypt(delivered, *it.bob_pair)
        except AssertionError as error:
            wrong.append(f"{name}: cannot be read by its recipient: {str(error)[:200]}")
            continue
        if name not in ("an object cut in the middle", "no recipients at all", "the second object is true") and not any(
                text in inner.replace(b"=\r\n", b"").replace(b"\r\n", b"") for text in (SECRET, base64.b64encode(SECRET)[:24])):
            wrong.append(f"{name}: the text is lost: {inner[:200]}")
    assert not wrong, "\n".join(wrong)


def test_no_envelope_gets_around_a_rule():
    """(sender, recipients, header) -> reply; whatever is accepted is sealed."""
    it = setting()
    plain = b"\r\n" + SECRET + b"\r\n"
    bob, alice = "bob@partner.example", "alice@example.org"
    rows = {
        "no From": (alice, [bob], b"To: bob@partner.example\r\n", 550),
        "two From": (alice, [bob], HEAD + b"From: ceo@example.org\r\n", 550),
        "two From, one with a blank": (alice, [bob], HEAD + b"From : ceo@example.org\r\n", 550),
        "a group in From": (alice, [bob], b"From: x:alice@example.org;\r\n", 550),
        "another From": (alice, [bob], b"From: ceo@example.org\r\n", 550),
        "From as encoded word": (alice, [bob], b"From: =?us-ascii?q?alice=40example.org?=\r\n", 550),
        "From goes on behind a fold": (alice, [bob], b"From: alice@example.org\r\n\t, ceo@example.org\r\n", 550),
        "the null sender": ("", [bob], HEAD, 250),
        "the null sender without From": ("", [bob], b"To: bob@partner.example\r\n", 550),
        "a recipient in capitals": (alice, ["BOB@PARTNER.EXAMPLE"], HEAD, 250),
        "a quoted recipient": (alice, ['"bob"@partner.example'], HEAD, 250),
        "a recipient with a full stop behind": (alice, ["bob@partner.example."], HEAD, (250, 501, 550)),
        "a percent hack": (alice, ["bob%partner.example@relay.example"], HEAD, 550),
        "a quoted recipient with a blank": (alice, ['"bob x"@partner.example'], HEAD, (550, 501)),
        "a quoted recipient of another domain": (alice, ['"bob@partner.example"@evil.test'], HEAD, 550),
        "a source route": (alice, ["@evil.test:bob@partner.example"], HEAD, 553),
        "a bang path": (alice, ["evil!bob@partner.example"], HEAD, (550, 501)),
        "a recipient without certificate": (alice, [bob, "x@nowhere.example"], HEAD, 550),
        "one that may get it in plain beside one that may not": (alice, ["x@plain.example", bob], HEAD, 550),
        "the same in the other order": (alice, [bob, "x@plain.example"], HEAD, 550),
        "one to be signed beside one to be sealed": (alice, ["x@sign.example", bob], HEAD, 550),
        "a domain that only ends like the exempt one": (alice, ["x@evilplain.example"], HEAD, 550),
        "an exempt domain in quotes": (alice, ['"x@plain.example"@evil.test'], HEAD, 553),
        "a local part that names the exempt domain": (alice, ["x%@plain.example@evil.test"], HEAD, 553),
        # Postfix takes its own domain off these and sends to what is left.
        "a percent hack through the exempt domain": (alice, ["bob%partner.example@plain.example"], HEAD, 553),
        "quotes through the exempt domain": (alice, ['"bob@partner.example"@plain.example'], HEAD, 553),
        "a bang path through the exempt domain": (alice, ["partner.example!bob@plain.example"], HEAD, 553),
        "two hacks through the exempt domain": (alice, ['"x%plain.example%bob@partner.example"@plain.example'], HEAD, 553),
        "nothing but percent signs": (alice, ["a%" * 60 + "b@plain.example"], HEAD, 553),
        "the exempt domain, routed to itself": (alice, ["x%plain.example@plain.example"], HEAD, 250),
        "the same recipient 300 times": (alice, [bob] * 300, HEAD, 250),
        "1,000 recipients, one not certified": (alice, [bob] * 999 + ["x@nowhere.example"], HEAD, 550),
        "a sender with quotes": ('"alice"@example.org', [bob], HEAD, 250),
        "a sender with a line feed escaped": ('"a\\x0ab"@example.org', [bob], HEAD, 550),
        "hidden recipients": (alice, [bob, alice], HEAD, 550),
    }
    wrong = []
    for name, (sender, recipients, header, wanted) in rows.items():
        code, text, delivered = it.send("out", sender, recipients, header + plain, name.replace(" ", "-").replace(",", ""))
        it.alive(name)
        if os.environ.get("SMIMED_SHOW"):
            print("#", name, code, text.strip()[:150])
        if code not in (wanted if isinstance(wanted, tuple) else (wanted,)):
            wrong.append(f"{name}: {code} {text}, expected {wanted}")
        if code == 250 and not hides(delivered) and "itself" not in name:
            wrong.append(f"{name}: left in plain")
        if "\n" in text.strip() and code not in (250,):
            wrong.append(f"{name}: a reply of several lines: {text!r}")
    assert not wrong, "\n".join(wrong)


def test_addresses_with_utf8_and_control_characters():
    it = setting()
    it.sink.messages.clear()
    client = Smtp(it.postfix.ports["out"])
    for name, sender, recipient in (
            ("full-width at", "alice@example.org", "bob\uff20partner.example@plain.example.evil.test"),
            ("full stop of another script", "alice@example.org", "x@evil\u3002plain.example"),
            ("soft hyphen", "alice@example.org", "x@pl\u00adain.example"),
            ("upper half", "\u00e4lice@example.org", "b\u00f6b@partner.example"),
            ("terminal escape", "alice@example.org", '"\x1b[31mbob"@partner.example'),
            ("delete and bell", "alice@example.org", '"\x07\x7f"@partner.example')):
        code, _ = client.command(f"MAIL FROM:<{sender}> SMTPUTF8")
        if code == 250:
            code, _ = client.command(f"RCPT TO:<{recipient}>".encode())
        if code == 250:
            code, text = client.command("DATA")
            client.socket.sendall(HEAD + b"X-Mark: utf8\r\n\r\n" + SECRET + b"\r\n.\r\n")
            code, text = client.read()
            it.sent += 1
            assert code in (550, 553, 250), f"{name}: {code} {text}"
        client.command("RSET")
    client.close()
    it.alive("addresses")
    # U+00AD is nothing in a domain, to Postfix as to us.
    assert all(hides(m[2]) or m[1][0] == "RCPT TO:<x@pl\u00adain.example>" for m in it.sink.messages), it.sink.messages
    text = it.smimed.log.read_bytes()
    assert not re.search(rb"[\x00-\x08\x0b-\x1f\x7f]", text), "control characters in the log"


def test_sessions_that_break_off():
    it = setting()
    port = it.postfix.ports["out"]
    before = len(it.smimed.outcomes())
    # Several messages in one connection, RSET in the middle, and everything at once.
    client = Smtp(port)
    message = HEAD + b"X-Mark: pipelined\r\n\r\n" + SECRET + b"\r\n.\r\n"
    for _ in range(5):
        client.socket.sendall(b"MAIL FROM:<alice@example.org>\r\nRCPT TO:<bob@partner.example>\r\nRSET\r\n"
                              b"MAIL FROM:<alice@example.org>\r\nRCPT TO:<bob@partner.example>\r\nDATA\r\n")
        codes = [client.read()[0] for _ in range(6)]
        assert codes == [250, 250, 250, 250, 250, 354], codes
        client.socket.sendall(message)
        assert client.read()[0] == 250
    client.close()
    it.sent += 5
    wait_until(lambda: len(it.smimed.outcomes()) >= before + 5, 10, "five outcomes")
    # DATA that ends in the middle of header, of body, and at once.
    for rest in (b"", b"From: alice@exam", HEAD + b"\r\n" + SECRET * 1000):
        client = Smtp(port)
        client.command("MAIL FROM:<alice@example.org>")
        client.command("RCPT TO:<bob@partner.example>")
        assert client.command("DATA")[0] == 354
        client.socket.sendall(rest)
        client.file.close()
        client.socket.close()
    # An empty message, and one of nothing but a header.
    for body in (b"", b".", HEAD.rstrip()):
        client = Smtp(port)
        code, text = client.send("alice@example.org", ["bob@partner.example"], body)
        assert code in (250, 550), f"{body}: {code} {text}"
        client.close()
        it.sent += 1
    it.alive("sessions")
    assert all(hides(m[2]) for m in it.sink.messages if b"X-Mark: pipelined" in m[2])


def test_every_message_has_one_outcome_line():
    it = setting()
    # Those that broke off end as aborted, when Postfix gets to it.
    finished = [o for o in it.smimed.outcomes() if o["result"] != "aborted"]
    assert len(finished) == it.sent, (len(finished), it.sent)
    assert all(o["dir"] in ("in", "out") and o["result"] in ("ok", "refused") for o in finished), finished
    assert all(len(line) < 20000 for line in it.smimed.text().splitlines())
    it.alive("the end")
    assert it.smimed.stop() == 0, it.smimed.text()[-2000:]


if __name__ == "__main__":
    os.umask(0o022)
    main(globals())
