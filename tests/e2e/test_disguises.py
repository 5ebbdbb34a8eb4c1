#!/usr/bin/env python3
"""Mail that only looks signed or encrypted does not get around a rule: a disguise leaves encrypted, or not at all."""

import base64
import os

from harness import (Authority, Postfix, Scratch, Sink, Smimed, main, openssl_decrypt, openssl_verify, run, submit,
                     trust_config)

SECRET = b"the secret plan of the canary"


def head(*fields):
    return b"".join(f + b"\r\n" for f in (b"From: alice@example.org", b"To: bob@partner.example", b"Subject: disguise",
                                          b"MIME-Version: 1.0") + fields) + b"\r\n"


def tlv(tag, content):
    size = len(content)
    length = bytes([size]) if size < 128 else bytes([0x82, size >> 8, size & 255])
    return bytes([tag]) + length + content


ENVELOPED = tlv(6, bytes.fromhex("2a864886f70d010703"))
DATA = tlv(6, bytes.fromhex("2a864886f70d010701"))
AES = tlv(0x30, tlv(6, bytes.fromhex("60864801650304012a")) + tlv(4, b"\0" * 16))


def content_info(kind, content):
    return tlv(0x30, kind + tlv(0xA0, content))


def cms(octets, kind=b"enveloped-data"):
    return head(b"Content-Type: application/pkcs7-mime; smime-type=" + kind + b"; name=smime.p7m",
                b"Content-Transfer-Encoding: base64") + base64.encodebytes(octets).replace(b"\n", b"\r\n")


def disguises(real):
    """Name -> message; `real` is a true EnvelopedData (DER) for somebody else."""
    b64 = base64.encodebytes(real).replace(b"\n", b"\r\n")
    no_recipients = content_info(ENVELOPED, tlv(0x30, tlv(2, b"\0") + tlv(0x31, b"")
                                                + tlv(0x30, DATA + AES + tlv(0x80, SECRET))))
    fake_recipient = content_info(ENVELOPED, tlv(0x30, tlv(2, b"\0") + tlv(0x31, tlv(0x30, tlv(2, b"\0")))
                                                 + tlv(0x30, DATA + AES + tlv(0x80, SECRET))))
    no_content = content_info(ENVELOPED, tlv(0x30, tlv(2, b"\0") + tlv(0x31, tlv(0x30, tlv(2, b"\0")))
                                             + tlv(0x30, DATA + AES)) + tlv(4, SECRET))
    return {
        "a media type and nothing behind it":
            head(b"Content-Type: application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m") + SECRET + b"\r\n",
        "base64 of plain text":
            cms(SECRET),
        "EnvelopedData without a recipient":
            cms(no_recipients),
        "EnvelopedData with a recipient that is none":
            cms(fake_recipient),
        "EnvelopedData without content, and text behind":
            cms(no_content),
        "true EnvelopedData, and text behind its end":
            cms(real + SECRET),
        "signed-data that says enveloped-data":
            cms(content_info(tlv(6, bytes.fromhex("2a864886f70d010702")), tlv(0x30, SECRET))),
        "true EnvelopedData as an attachment beside text":
            head(b'Content-Type: multipart/mixed; boundary="b"') + b"--b\r\nContent-Type: text/plain\r\n\r\n" + SECRET
            + b"\r\n--b\r\nContent-Type: application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m\r\n"
            b"Content-Transfer-Encoding: base64\r\n\r\n" + b64 + b"--b--\r\n",
        "multipart/encrypted of PGP without a rule for it":
            head(b'Content-Type: multipart/encrypted; protocol="application/pgp-encrypted"; boundary="b"')
            + b"--b\r\nContent-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n\r\n--b\r\n"
            b"Content-Type: application/octet-stream\r\n\r\n" + SECRET + b"\r\n--b--\r\n",
        "multipart/signed around plain text, unsigned":
            head(b'Content-Type: multipart/signed; protocol="application/pkcs7-signature"; micalg=sha-256; boundary="b"')
            + b"--b\r\nContent-Type: text/plain\r\n\r\n" + SECRET
            + b"\r\n--b\r\nContent-Type: application/pkcs7-signature\r\nContent-Transfer-Encoding: base64\r\n\r\n"
            b"AAAA\r\n--b--\r\n",
        "two Content-Type fields, the second true":
            head(b"Content-Type: text/plain", b"Content-Type: application/pkcs7-mime; smime-type=enveloped-data")
            + SECRET + b"\r\n",
        "a Content-Type in a comment and a file name":
            head(b'Content-Type: text/plain (application/pkcs7-mime; smime-type=enveloped-data); name="smime.p7m"')
            + SECRET + b"\r\n",
        "the word in the subject and in a field of its own":
            head(b"X-Encrypted: application/pkcs7-mime enveloped-data", b"Content-Type: text/plain") + SECRET + b"\r\n",
        "true EnvelopedData in quoted-printable, text in the preamble of a multipart":
            head(b'Content-Type: multipart/mixed; boundary="b"') + SECRET
            + b"\r\n--b\r\nContent-Type: application/pkcs7-mime; smime-type=enveloped-data\r\n"
            b"Content-Transfer-Encoding: base64\r\n\r\n" + b64 + b"--b--\r\n",
    }


class Setting:
    def __init__(self, scratch):
        self.ca = Authority(scratch)
        self.bob = self.ca.user("bob@partner.example", "bob")
        self.other = self.ca.user("other@elsewhere.example", "other")
        self.alice = self.ca.user("alice@example.org", "alice")
        certificates = scratch.folder("certificates")
        (certificates / "bob.pem").write_bytes(self.bob[1].read_bytes())
        self.sink = Sink(scratch)
        self.smimed = Smimed(scratch, f'certificate_folders = "{certificates}"\nsender_identity = off\n' """
rule "seal" {
    direction = out
    recipient = bob@partner.example
    sign = never
    encrypt = always
}
rule "sign" {
    direction = out
    recipient = *@sign.example
    sign = always
}
""" + trust_config(self.ca), start=False)
        self.ca.install_pair(self.smimed.keys, *self.alice)
        self.smimed.start()
        self.postfix = Postfix(scratch, self.sink.port, self.smimed.milter)
        self.real = run("openssl", "cms", "-encrypt", "-aes256", "-outform", "DER", self.other[1],
                        stdin=b"Content-Type: text/plain\r\n\r\nreally encrypted\r\n").stdout


def test_no_disguise_gets_around_encrypt_always():
    with Scratch("disguise") as scratch:
        it = Setting(scratch)
        for name, message in disguises(it.real).items():
            code, text = submit(it.postfix.port, "alice@example.org", ["bob@partner.example"], message)
            if code != 250:
                assert code == 550, f"{name}: {code} {text}"
                continue
            delivered = it.sink.take()[0][2]
            assert SECRET not in delivered, f"{name}: left in plain"
            assert base64.b64encode(SECRET)[:24] not in delivered.replace(b"\r\n", b""), f"{name}: left in base64"
            inner = openssl_decrypt(delivered, *it.bob)
            assert b"Content-Type" in inner, f"{name}: {inner!r}"


def test_what_is_really_encrypted_passes_unchanged():
    with Scratch("disguise") as scratch:
        it = Setting(scratch)
        message = cms(it.real)
        code, text = submit(it.postfix.port, "alice@example.org", ["bob@partner.example"], message)
        assert code == 250, text
        delivered = it.sink.take()[0][2]
        assert delivered.endswith(message.partition(b"\r\n\r\n")[2]), delivered


def test_what_only_looks_signed_is_signed_and_what_is_signed_is_not_signed_again():
    with Scratch("disguise") as scratch:
        it = Setting(scratch)
        fake = disguises(it.real)["multipart/signed around plain text, unsigned"].replace(b"bob@partner.example", b"x@sign.example")
        code, text = submit(it.postfix.port, "alice@example.org", ["x@sign.example"], fake)
        assert code == 250, text
        delivered = it.sink.take()[0][2]
        assert SECRET in openssl_verify(delivered, it.ca.root, it.ca.cert)
        signed = run("openssl", "cms", "-sign", "-signer", it.other[1], "-inkey", it.other[0], "-certfile", it.ca.cert, "-crlfeol",
                     stdin=b"Content-Type: text/plain\r\n\r\nsigned before\r\n").stdout
        signed = b"From: alice@example.org\r\nTo: x@sign.example\r\n" + signed.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        code, text = submit(it.postfix.port, "alice@example.org", ["x@sign.example"], signed)
        assert code == 250, text
        delivered = it.sink.take()[0][2]
        assert delivered.count(b"pkcs7-signature") == signed.count(b"pkcs7-signature"), delivered
        # Signed mail is still encrypted where the rule says so.
        code, text = submit(it.postfix.port, "alice@example.org", ["bob@partner.example"],
                            signed.replace(b"x@sign.example", b"bob@partner.example"))
        assert code == 250, text
        inner = openssl_decrypt(it.sink.take()[0][2], *it.bob)
        assert b"signed before" in openssl_verify(inner, it.ca.root, it.ca.cert)


if __name__ == "__main__":
    os.umask(0o022)
    main(globals())
