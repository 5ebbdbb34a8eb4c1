"""Attack and control messages of inbound mail, made with a CA of our own, and what must become of each.

A case says which attack it is (topic), the message, and what is expected: the word, the reason word and the sentence of the
verdict. The bytes of Authentication-Results follow from these by a formatter of this file's own (`field`), the outcome line
too. The tables of test_attacks.py, which say the word alone, get their reasons here.
"""

import base64
import dataclasses
import datetime
import re

from harness import Authority, now, run
from test_attacks import (AES, DATA, ENVELOPED, FROM_BOB, OTHER, PART, SHA256, SIGNED, TEXT, TYPE, Person, attribute,
                          certificates, clear, content_info, from_games, lines, objects, oid, opaque, signed_data, structures,
                          tlv)

BOB = "bob@partner.example"
DAY = datetime.timedelta(days=1)

# What people are told of a reason, word for word.
TEXTS = {
    "digest-mismatch": "the content was changed after it was signed",
    "bad-signature": "the signature does not fit the signed content",
    "content-type-mismatch": "the signature was made for another type of content",
    "malformed-attributes": "what the signature covers beside the content cannot be read",
    "wrong-certificate": "the signature names another certificate than its signer's",
    "no-signer": "the signer's certificate is not in the message",
    "malformed-cms": "the signature cannot be read",
    "not-signed-data": "the CMS object holds no signature",
    "certs-only": "the CMS object holds certificates and no signature",
    "wrong-content-type": "what is signed is not a message",
    "not-detached": "the signature carries content of its own beside the text",
    "too-many-signers": "there are more signers than are looked at",
    "too-large": "the signature or the signed object is larger than what is looked at",
    "micalg-mismatch": "another digest was used than the header announces",
    "from-missing": "the message names no sender",
    "from-several": "the message names more than one sender",
    "from-syntax": "the From field is not one well-formed address",
    "no-boundary": "multipart/signed without a usable boundary",
    "wrong-parts": "multipart/signed needs exactly two parts",
    "no-signature-part": "the second part of multipart/signed is no S/MIME signature",
    "not-closed": "multipart/signed is cut off",
    "epilogue": "there is text behind the signed part",
    "preamble": "there is text before the signed part",
    "unknown-encoding": "the transfer encoding of the message is not known",
    "ambiguous-structure": "mail programs may see another text than the signed one",
    "from-differs": "the protected header names another sender than the message",
    "ambiguous-header": "mail programs may understand the header differently",
    "ambiguous-encoding": "mail programs may decode the message differently",
}


@dataclasses.dataclass
class Case:
    name: str
    topic: str
    message: bytes
    result: str  # the word; "none": no field is written
    reason: str = ""
    text: str = None  # None: that of the reason; a pattern where it begins with ^
    signer: Person = None  # of a pass
    identifier: str = BOB

    @property
    def is_control(self):
        return self.result == "pass"


# ---- what is expected, byte for byte --------------------------------------------------------------------------------


def fold(text, column):
    """A comment of words, folded before a line would be longer than 76 columns (a tab is 8)."""
    out, column = "(", column + 1
    words = [re.sub(r"[()\\]|[^\x21-\x7e]", "?", w).replace(";", ",").replace("=", ":") for w in text.split()]
    for i, word in enumerate(words):
        if i and column + 1 + len(word) > 76:
            out, column = out + "\n\t", 8
        elif i:
            out, column = out + " ", column + 1
        out, column = out + word, column + len(word)
    return out + ")"


def sentence(case):
    if case.text is not None:
        return case.text
    if case.reason == "identity-mismatch":
        return f"the certificate is not for {case.identifier}"
    return TEXTS.get(case.reason, "")


def field(case, text=None):
    """The value of Authentication-Results as the MTA gets it."""
    text = sentence(case) if text is None else text
    comment = "ok" if case.result == "pass" else f"{case.reason}: {text}" if text else case.reason
    method = f"smime={case.result}"
    out = f" mx.test;\n\t{method} " + fold(comment, 8 + len(method) + 1)
    if case.result == "pass":
        said = run("openssl", "x509", "-in", case.signer.cert, "-noout", "-serial", "-issuer", "-nameopt",
                   "RFC2253").stdout.decode().splitlines()
        serial, issuer = said[0].split("=", 1)[1], said[1].split("=", 1)[1]
        out += f"\n\tbody.smime-identifier={case.identifier}\n\tbody.smime-serial={serial}"
        if re.fullmatch(r"[A-Za-z0-9 ,=.]*", issuer):
            out += f'\n\tbody.smime-issuer="{issuer}"'
        else:
            out = None  # a name that needs escapes: the word and the identifier are looked at
    return out.encode() if out else None


# ---- new messages, by the attacks of the list -----------------------------------------------------------------------


class Makers:
    def __init__(self, it):
        self.it, self.ca, self.bob, self.mallory, self.chain = it, it.ca, it.bob, it.mallory, [it.sub]
        self.cases = []
        self.made = 0

    def add(self, topic, name, message, result, reason="", **more):
        if result == "pass":
            more.setdefault("signer", self.bob)
        self.cases.append(Case(name, topic, message, result, reason, **more))

    def object(self, person=None, text=TEXT, content=None, info=None, **more):
        person = person or self.bob
        return signed_data([person.der, *self.chain], [info or person.info(text)], content, **more)

    def leaf(self, address=BOB, **options):
        self.made += 1
        return Person(self.ca.user(address, f"corpus{self.made}", **options))


def embedded(m):
    """Content inside a detached signature; content that is not data; certificates alone; parameters that lie."""
    kind = b"application/pkcs7-mime; smime-type="
    good = m.object(content=TEXT)
    add = m.add
    add("embedded", "an empty content in the detached signature", clear(TEXT, m.object(content=b"")), "permerror",
        "not-detached")
    add("embedded", "the embedded text is signed, the shown one is not", clear(OTHER, m.object(text=TEXT, content=TEXT)),
        "permerror", "not-detached")
    pieces = content_info(SIGNED, tlv(0x30, b"\2\1\1", tlv(0x31, SHA256), tlv(0x30, DATA, tlv(0xA0, tlv(
        0x24, tlv(4, TEXT[:9]), tlv(4, TEXT[9:])))), tlv(0xA0, m.bob.der, *m.chain), tlv(0x31, m.bob.info(TEXT))))
    add("embedded", "embedded in pieces", clear(OTHER, pieces), "permerror", "not-detached")
    add("embedded", "control: opaque in pieces", opaque(pieces), "pass")
    for name, number in (("a time stamp", "1.2.840.113549.1.9.16.1.4"), ("a receipt", "1.2.840.113549.1.9.16.1.1"),
                         ("compressed data", "1.2.840.113549.1.9.16.1.9"), ("signed data", "1.2.840.113549.1.7.2"),
                         ("an unknown type", "1.3.6.1.4.1.99999.1")):
        other = m.object(info=m.bob.info(TEXT, m.bob.attributes(TEXT, kind=oid(number))), content=TEXT, kind=oid(number))
        add("type", f"{name} that is signed, opaque", opaque(other), "permerror", "wrong-content-type")
        add("type", f"{name} that is signed, detached",
            clear(TEXT, m.object(info=m.bob.info(TEXT, m.bob.attributes(TEXT, kind=oid(number))), kind=oid(number))),
            "permerror", "wrong-content-type")
    add("type", "eContentType data, signed as a receipt",
        clear(TEXT, m.object(info=m.bob.info(TEXT, m.bob.attributes(TEXT, kind=oid("1.2.840.113549.1.9.16.1.1"))))), "fail",
        "content-type-mismatch")
    for lie in (b"certs-only", b"compressed-data", b"signed-receipt", b"enveloped-data", b"authEnveloped-data", b"nonsense"):
        add("lie", f"smime-type says {lie.decode()}", opaque(good, kind=kind + lie), "pass")
    add("lie", "no smime-type", opaque(good, kind=b"application/pkcs7-mime"), "pass")
    add("lie", "the old media type", opaque(good, kind=b"application/x-pkcs7-mime; name=smime.p7m"), "pass")
    add("lie", "named as an image", opaque(good, kind=kind + b"signed-data; name=cat.png"), "pass")
    add("lie", "signed-data that is an empty envelope",
        opaque(content_info(ENVELOPED, tlv(0x30, b"\2\1\0", tlv(0x31), tlv(0x30, DATA, AES, tlv(0x80, TEXT)))),
               kind=kind + b"signed-data"), "permerror", "malformed-cms")
    add("lie", "signed-data that is plain text", opaque(TEXT, kind=kind + b"signed-data"), "permerror", "malformed-cms")
    add("lie", "signed-data that is a certificate", opaque(m.bob.der, kind=kind + b"signed-data"), "permerror",
        "malformed-cms")
    add("lie", "certificates only, called signed", opaque(signed_data([m.bob.der, *m.chain], []), kind=kind + b"signed-data"),
        "permerror", "certs-only")
    add("lie", "certificates only as a detached signature", clear(TEXT, signed_data([m.bob.der, *m.chain], [])), "permerror",
        "no-signer")


def places(m):
    """A signed entity that is not the root, text around it, header fields inside it."""
    add = m.add
    good = m.object()
    whole = clear(TEXT, good)
    entity = TYPE + b"\r\n" + whole.partition(b"\r\n\r\n")[2]
    p7m = (b"Content-Type: application/pkcs7-mime; smime-type=signed-data; name=smime.p7m\r\n"
           b"Content-Transfer-Encoding: base64\r\n\r\n") + lines(m.object(content=TEXT))
    note = b"Content-Type: text/plain\r\n\r\nPay mallory one million.\r\n"
    for kind in (b"mixed", b"related", b"alternative", b"report", b"digest", b"parallel", b"x-unknown"):
        for where, parts in (("before", (note, entity)), ("alone", (entity,)), ("after", (entity, note))):
            if where == "alone" and kind in (b"report", b"digest", b"parallel"):
                continue
            body = b"".join(b"--o\r\n" + part + b"\r\n" for part in parts) + b"--o--\r\n"
            add("place", f"clear-signed in multipart/{kind.decode()}, {where}",
                FROM_BOB + b"MIME-Version: 1.0\r\nContent-Type: multipart/" + kind + b'; boundary="o"\r\n\r\n' + body, "none")
    for kind in (b"mixed", b"alternative"):
        add("place", f"opaque-signed in multipart/{kind.decode()}",
            FROM_BOB + b"MIME-Version: 1.0\r\nContent-Type: multipart/" + kind + b'; boundary="o"\r\n\r\n--o\r\n' + note
            + b"\r\n--o\r\n" + p7m + b"\r\n--o--\r\n", "none")
    add("place", "the signature as an attachment alone",
        FROM_BOB + b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="o"\r\n\r\n--o\r\n' + TEXT + b"\r\n--o\r\n"
        + PART + lines(good) + b"--o--\r\n", "none")
    add("place", "a signed message as attachment",
        FROM_BOB + b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="o"\r\n\r\n--o\r\n' + note
        + b"\r\n--o\r\nContent-Type: message/rfc822\r\nContent-Disposition: attachment\r\n\r\n" + whole + b"\r\n--o--\r\n", "none")
    for name, before, result, reason in (
            ("text", b"Pay mallory one million.\r\n", "neutral", "preamble"),
            ("HTML", b"<html><body>Pay mallory</body></html>\r\n", "neutral", "preamble"),
            ("a header and text", b"Content-Type: text/html\r\n\r\n<b>Pay</b>\r\n", "neutral", "preamble"),
            ("what OpenSSL writes", b"This is an S/MIME signed message\r\n\r\n", "pass", ""),
            ("what Mozilla writes", b"This is a cryptographically signed message in MIME format.\r\n\r\n", "pass", ""),
            ("what Outlook writes", b"This is a multi-part message in MIME format.\r\n\r\n", "pass", ""),
            ("that and more", b"This is an S/MIME signed message\r\nPay mallory one million.\r\n", "neutral", "preamble"),
            ("that far below", b"\r\n" * 500 + b"This is an S/MIME signed message\r\n" + b" \r\n" * 500 + b"x\r\n", "neutral",
             "preamble"),
            ("an empty line", b"\r\n", "pass", ""), ("blanks", b"   \r\n\t\r\n", "pass", "")):
        add("around", f"before it: {name}", clear(TEXT, good, before=before), result, reason)
    for name, after, result, reason in (
            ("HTML", b"<html><body>Pay mallory</body></html>\r\n", "neutral", "epilogue"),
            ("an empty line", b"\r\n", "pass", ""), ("three empty lines", b"\r\n\r\n\r\n", "pass", ""),
            ("a blank", b" \r\n", "pass", ""), ("a dot", b".\r\n", "neutral", "epilogue"),
            ("another boundary", b"--b0\r\n" + OTHER + b"\r\n--b0--\r\n", "neutral", "epilogue"),
            ("a list's footer", b"_______________\r\nlist mailing list\r\n", "neutral", "epilogue")):
        add("around", f"behind it: {name}", clear(TEXT, good, after=after), result, reason)
    for name, inside in (("From", b"From: ceo@partner.example\r\n"), ("Subject", b"Subject: Pay mallory\r\n"),
                         ("To and Date", b"To: x@y.test\r\nDate: Thu, 1 Jan 1970 00:00:00 +0000\r\n")):
        text = inside + TEXT
        add("inside", f"header fields inside: {name}", clear(text, m.object(text=text)), "pass")
    text = b"From: bob@partner.example\r\n" + TEXT
    add("inside", "From inside is the signer's, outside another's",
        clear(text, m.object(text=text), sender=b"From: ceo@partner.example\r\n"), "fail", "identity-mismatch",
        identifier="ceo@partner.example")
    text = b"From: bob@partner.example\r\n" + TEXT
    add("inside", "mallory signs From of bob inside", clear(text, m.object(m.mallory, text=text)), "fail", "identity-mismatch")
    text = b'Content-Type: text/plain; hp="clear"\r\nFrom: ceo@partner.example\r\nSubject: s\r\n\r\nHello.\r\n'
    add("inside", "protected header with another From, outer From another's",
        clear(text, m.object(text=text), sender=b"From: ceo@partner.example\r\n"), "fail", "identity-mismatch",
        identifier="ceo@partner.example")
    for name, type_, result, reason in (("hp", b'hp="clear"', "neutral", "from-differs"),
                                        ("the draft", b'protected-headers="v1"', "neutral", "from-differs"),
                                        ("no announcement", b"charset=us-ascii", "pass", "")):
        text = b"Content-Type: text/plain; " + type_ + b"\r\nFrom: ceo@partner.example\r\n\r\nHello.\r\n"
        add("inside", f"the signer's own From outside, another's inside: {name}", clear(text, m.object(text=text)), result, reason)
    text = b'Content-Type: text/plain; hp="clear"\r\nFrom: Bob <BOB@partner.EXAMPLE>\r\n\r\nHello.\r\n'
    add("inside", "the same From inside, in other letters", clear(text, m.object(text=text)), "pass")
    text = b"Content-Type: message/rfc822\r\n\r\nFrom: bob@partner.example\r\nSubject: s\r\n\r\nHello.\r\n"
    add("inside", "a whole message inside, outer From another's",
        clear(text, m.object(text=text), sender=b"From: m@evil.test\r\n"), "fail", "identity-mismatch", identifier="m@evil.test")


def people(m):
    """From, Sender and Reply-To; addresses in certificates."""
    add = m.add
    good = m.object()

    def sender(*fields):
        return b"".join(f + b"\r\n" for f in fields)

    bob = b"From: bob@partner.example"
    evil = b"From: m@evil.test"
    for name, fields, result, reason, who in (
            ("Sender is the signer, From is not", (evil, b"Sender: bob@partner.example"), "fail", "identity-mismatch",
                "m@evil.test"),
            ("Reply-To is the signer, From is not", (evil, b"Reply-To: bob@partner.example"), "fail", "identity-mismatch",
             "m@evil.test"),
            ("Resent-From is the signer, From is not", (b"Resent-From: bob@partner.example", evil), "fail", "identity-mismatch",
             "m@evil.test"),
            ("a field named X-From", (b"X-From: bob@partner.example", evil), "fail", "identity-mismatch", "m@evil.test"),
            ("From of the signer, another Sender", (bob, b"Sender: m@evil.test"), "pass", "", BOB),
            ("From of the signer, answers go elsewhere", (bob, b"Reply-To: m@evil.test"), "pass", "", BOB),
            ("From of the signer, resent by another", (b"Resent-From: m@evil.test", b"Resent-Sender: m@evil.test", bob), "pass", "",
             BOB),
            ("Date far in the future", (bob, b"Date: Fri, 01 Jan 2100 00:00:00 +0000"), "pass", "", BOB),
            ("Date far in the past", (bob, b"Date: Thu, 01 Jan 1970 00:00:00 +0000"), "pass", "", BOB),
            ("the signer's address as an encoded name", (b"From: =?utf-8?q?bob=40partner=2Eexample?= <m@evil.test>",), "fail",
             "identity-mismatch", "m@evil.test"),
            ("an encoded name with an address and a line break",
             (b"From: =?utf-8?q?bob=40partner=2Eexample=3E=0D=0A?= <m@evil.test>",), "fail", "identity-mismatch", "m@evil.test"),
            ("an encoded word in the local part", (b"From: =?utf-8?q?bob?=@partner.example",), "neutral", "from-syntax", BOB),
            ("the signer's address in another case", (b"From: BOB@PARTNER.EXAMPLE",), "pass", "", "BOB@partner.example"),
            ("a dot behind the domain", (b"From: bob@partner.example.",), "neutral", "from-syntax", BOB),
            ("blanks around the at sign", (b"From: bob @ partner.example",), "neutral", "from-syntax", BOB),
            ("a comment inside the address", (b"From: bob(x)@(y)partner.example",), "neutral", "from-syntax", BOB),
            ("the domain as a literal", (b"From: bob@[192.0.2.1]",), "fail", "identity-mismatch", "bob@[192.0.2.1]"),
            ("a subdomain", (b"From: bob@mail.partner.example",), "fail", "identity-mismatch", "bob@mail.partner.example"),
            ("a longer local part", (b"From: bob+x@partner.example",), "fail", "identity-mismatch", "bob+x@partner.example"),
            ("a percent hack", (b"From: bob%partner.example@evil.test",), "fail", "identity-mismatch",
                "bob%partner.example@evil.test"),
            ("two at signs", (b"From: bob@partner.example@evil.test",), "neutral", "from-syntax", BOB),
            ("a comma behind", (b"From: bob@partner.example,",), "neutral", "from-syntax", BOB),
            ("an empty group beside", (b"From: bob@partner.example, nobody:;",), "neutral", "from-syntax", BOB),
            ("only a name", (b"From: Bob",), "neutral", "from-syntax", BOB),
            ("empty angles", (b"From: Bob <>",), "neutral", "from-syntax", BOB),
            ("a blank before the closing angle", (b"From: Bob <bob@partner.example >",), "neutral", "from-syntax", BOB),
            ("a fold inside the angles", (b"From: Bob <bob@partner.example\r\n >",), "neutral", "from-syntax", BOB),
            ("a bare CR in a header field", (bob, b"X-Y: a\rFrom: m@evil.test"), "neutral", "ambiguous-header", BOB),
            ("a field name with an octet of 8 bits", (bob, b"X\xff: y"), "neutral", "ambiguous-header", BOB),
            ("three From fields", (bob, bob, bob), "permerror", "from-several", BOB),
            ("the same From twice", (bob, bob), "permerror", "from-several", BOB)):
        add("from", name, clear(TEXT, good, sender=sender(*fields)), result, reason, identifier=who)

    def san(*names):
        return "DER:" + ":".join(f"{c:02X}" for c in tlv(0x30, *names))

    def mail(octets):
        return tlv(0x81, octets)

    upn = tlv(0xA0, oid("1.3.6.1.4.1.311.20.2.3"), tlv(0xA0, tlv(0x0C, b"bob@partner.example")))
    for name, names in (("a tab before", [mail(b"\tbob@partner.example")]), ("a line feed behind",
        [mail(b"bob@partner.example\n")]),
                        ("a NUL before", [mail(b"\0bob@partner.example")]), ("mailto before it",
                            [mail(b"mailto:bob@partner.example")]),
                        ("a name before it", [mail(b"Bob <bob@partner.example>")]), ("a comment",
                            [mail(b"bob@partner.example(x)")]),
                        ("a dot behind", [mail(b"bob@partner.example.")]), ("two at signs",
                            [mail(b"bob@partner.example@evil.test")]),
                        ("a UPN", [upn, mail(b"m@evil.test")]), ("a UPN alone", [upn]),
                        ("a DNS name", [tlv(0x82, b"bob@partner.example"), mail(b"m@evil.test")]),
                        ("a URI", [tlv(0x86, b"mailto:bob@partner.example"), mail(b"m@evil.test")]),
                        ("an empty address", [mail(b"")]), ("the local part alone", [mail(b"bob")]),
                        ("a subdomain", [mail(b"bob@mail.partner.example")]), ("8-bit octets", [mail(b"b\xf6b@partner.example")])):
        person = m.leaf(san=san(*names))
        add("certificate", f"address in the certificate: {name}", clear(TEXT, m.object(person)), "fail", "identity-mismatch")
    for name, names in (("three of them", [mail(b"a@x.test"), mail(b"bob@partner.example"), mail(b"c@x.test")]),
                        ("another case", [mail(b"Bob@Partner.Example")]), ("twice", [mail(b"bob@partner.example")] * 2),
                        ("beside a UPN of another", [tlv(0xA0, oid("1.3.6.1.4.1.311.20.2.3"), tlv(0xA0, tlv(0x0C, b"m@evil.test"))),
                                                     mail(b"bob@partner.example")])):
        person = m.leaf(san=san(*names))
        add("certificate", f"control: address in the certificate: {name}", clear(TEXT, m.object(person)), "pass", signer=person)
    cn = Person(m.ca.user("m@evil.test", "bob@partner.example"))
    add("certificate", "CN is an address", clear(TEXT, m.object(cn)), "fail", "identity-mismatch")
    expired = m.leaf(valid=(now() - 30 * DAY, now() - DAY))
    add("certificate", "expired yesterday", clear(TEXT, m.object(expired)), "fail", "cert-expired",
        text=f"^the certificate (has )?expired on {(now() - DAY):%Y-%m-%d}")
    early = m.leaf(valid=(now() + DAY, now() + 30 * DAY))
    add("certificate", "valid from tomorrow", clear(TEXT, m.object(early)), "fail", "cert-not-yet-valid",
        text=f"^the certificate is (not )?valid .*{(now() + DAY):%Y-%m-%d}")
    add("certificate", "expired, and signed for another", clear(TEXT, m.object(expired), sender=b"From: m@evil.test\r\n"), "fail",
        "cert-expired", text="^the certificate .*expired")
    add("signer", "mallory's valid signature in bob's name", clear(TEXT, m.object(m.mallory)), "fail", "identity-mismatch")
    mixed = signed_data([m.bob.der, *m.chain], [m.mallory.info(TEXT)])
    add("signer", "mallory's signature with bob's certificate alone", clear(TEXT, mixed), "permerror", "no-signer")
    swapped = m.bob.info(TEXT, signature=m.mallory.raw(tlv(0x31, m.bob.attributes(TEXT))))
    add("signer", "mallory's signature value under bob's name", clear(TEXT, m.object(info=swapped)), "fail", "bad-signature")
    for name, stamp in (("ten years ago", b"160101000000Z"), ("in 2049", b"491231235959Z")):
        info = m.bob.info(TEXT, m.bob.attributes(TEXT, more=[attribute(5, tlv(0x17, stamp))]))
        add("time", f"signingTime {name}", clear(TEXT, m.object(info=info)), "pass")


def parsers(m):
    """MIME that parsers read differently."""
    add = m.add
    good = m.object()

    def kind(text):
        return clear(TEXT, good, kind=b"Content-Type: " + text + b"\r\n")

    base = b'multipart/signed; protocol="application/pkcs7-signature"; micalg=sha-256; '
    for name, text, result, reason in (
            ("boundary without quotes", base + b"boundary=b0", "pass", ""),
            ("BOUNDARY in capitals", base + b"BOUNDARY=b0", "pass", ""),
            ("blanks around the equals sign", base + b'boundary = "b0"', "pass", ""),
            ("a comment in the type", b"multipart/signed (text/plain); " + base[18:] + b"boundary=b0", "neutral",
             "ambiguous-header"),
            ("a comment that holds a boundary", base + b'(boundary="zz") boundary=b0', "neutral", "ambiguous-header"),
            ("an escaped character in the boundary", base + b'boundary="b\\0"', "neutral", "ambiguous-header"),
            ("the boundary in pieces", base + b'boundary*0=b; boundary*1=0', "neutral", "ambiguous-header"),
            ("the boundary encoded", base + b"boundary*=us-ascii''b0", "neutral", "ambiguous-header"),
            ("an encoded word as boundary", base + b'boundary="=?us-ascii?q?b0?="', "permerror", "wrong-parts"),
            ("the boundary twice, the same", base + b"boundary=b0; boundary=b0", "neutral", "ambiguous-header"),
            ("a blank at the boundary's end", base + b'boundary="b0 "', "permerror", "no-boundary"),
            ("an unclosed quote", base + b'boundary="b0', "neutral", "ambiguous-header"),
            ("a semicolon too many", base + b";; boundary=b0;", "pass", ""),
            ("no semicolon before the boundary", base[:-2] + b' boundary="b0"', "permerror", "no-boundary"),
            ("the type in capitals", b"MULTIPART/SIGNED; " + base[18:] + b"boundary=b0", "pass", ""),
            ("a blank in the type", b"multipart / signed; " + base[18:] + b"boundary=b0", "neutral", "ambiguous-header"),
            ("protocol of the old name", base.replace(b"pkcs7", b"x-pkcs7") + b"boundary=b0", "pass", ""),
            ("no protocol", b"multipart/signed; micalg=sha-256; boundary=b0", "none", ""),
            ("protocol twice, one PGP", base + b'protocol="application/pgp-signature"; boundary=b0', "neutral", "ambiguous-header"),
            ("a charset parameter in UTF-7", base + b"charset=utf-7; boundary=b0", "pass", ""),
            ("the longest boundary", base + b'boundary="' + b"b" * 70 + b'"', "permerror", "wrong-parts"),
            ("a tab as the only blank", base.replace(b" ", b"\t") + b"boundary=b0", "pass", ""),
            ("another type behind a comma", b"multipart/signed, text/html; " + base[18:] + b"boundary=b0", "none", "")):
        add("parser", f"Content-Type: {name}", kind(text), result, reason)
    for name, field_ in (("text/plain behind it", b"Content-Type: text/plain\r\n"), ("the same again", TYPE),
                         ("in other letters", b"content-TYPE: text/html\r\n"), ("with a blank before the colon",
                             b"Content-Type : text/html\r\n"),
                         ("empty", b"Content-Type:\r\n")):
        add("parser", f"two Content-Types, the second {name}", clear(TEXT, good, kind=TYPE + field_), "neutral", "ambiguous-header")
    for name, field_, result, reason in (
            ("7bit", b"7bit", "pass", ""), ("8bit", b"8bit", "pass", ""), ("binary", b"binary", "pass", ""),
            ("quoted-printable", b"quoted-printable", "neutral", "ambiguous-encoding"),
            ("base64 behind a comment", b"(7bit) base64", "neutral", "ambiguous-header"),
            ("an unknown word", b"x-evil", "neutral", "ambiguous-encoding"), ("empty", b"", "neutral", "ambiguous-encoding")):
        add("parser", f"the multipart's encoding is {name}",
            clear(TEXT, good, kind=TYPE + b"Content-Transfer-Encoding: " + field_ + b"\r\n"), result, reason)
    for name, text, result, reason in (
            ("no empty line behind the part's header", b"Content-Type: text/plain\r\nHello.\r\n", "pass", ""),
            ("a boundary of another in it", b"Content-Type: text/plain\r\n\r\nx\r\n--other\r\nmore\r\n", "pass", ""),
            ("a longer boundary in it", b"Content-Type: text/plain\r\n\r\nx\r\n--b00\r\nmore\r\n", "neutral",
                "ambiguous-structure"),
            ("a boundary behind a blank", b"Content-Type: text/plain\r\n\r\nx\r\n --b0\r\nmore\r\n", "pass", ""),
            ("a boundary in capitals", b"Content-Type: text/plain\r\n\r\nx\r\n--B0\r\nmore\r\n", "pass", ""),
            ("one dash only", b"Content-Type: text/plain\r\n\r\nx\r\n-b0\r\nmore\r\n", "pass", ""),
            ("an empty part", b"", "pass", ""), ("no header at all", b"\r\nHello.\r\n", "pass", ""),
            ("two Content-Types in it", b"Content-Type: text/plain\r\nContent-Type: text/html\r\n\r\n<b>x</b>\r\n", "pass", ""),
            ("a multipart without end in it", b'Content-Type: multipart/mixed; boundary="i"\r\n\r\n--i\r\n\r\nx\r\n', "pass", ""),
            ("a multipart with the same boundary in it", b'Content-Type: multipart/mixed; boundary="b0"\r\n\r\nx\r\n', "neutral",
             "ambiguous-structure"),
            ("8-bit octets",
                b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGr\xc3\xbc\xc3\x9fe\r\n",
             "pass", ""),
            ("a line of 5,000 octets", b"Content-Type: text/plain\r\n\r\n" + b"x" * 5000 + b"\r\n", "pass", "")):
        add("parser", f"the signed part: {name}", clear(text, m.object(text=text)), result, reason)
    flat = clear(TEXT, good)
    head, _, body = flat.partition(b"\r\n\r\n")
    for name, message, result, reason in (
            ("blanks behind a boundary", flat.replace(b"--b0\r\n", b"--b0  \r\n"), "pass", ""),
            ("a tab behind the last boundary", flat.replace(b"--b0--\r\n", b"--b0--\t\r\n"), "pass", ""),
            ("text behind a boundary", flat.replace(b"\r\n--b0\r\n" + PART, b"\r\n--b0 x\r\n" + PART), "permerror", "wrong-parts"),
            ("the end without a line end", flat.rstrip(b"\r\n"), "pass", ""),
            ("the last boundary twice", flat + b"--b0--\r\n", "neutral", "epilogue"),
            ("an empty line before the signature's header", flat.replace(PART, b"\r\n" + PART), "permerror", "no-signature-part"),
            ("a dot-stuffed line", flat.replace(b"Hello", b".Hello"), "fail", "digest-mismatch"),
            ("one octet more", flat.replace(b"bob.\r\n", b"bob. \r\n"), "fail", "digest-mismatch"),
            ("one octet less", flat.replace(b"bob.\r\n", b"bob\r\n"), "fail", "digest-mismatch"),
            ("a line end more", flat.replace(b"bob.\r\n", b"bob.\r\n\r\n"), "fail", "digest-mismatch"),
            ("bare line feeds", head + b"\r\n\r\n" + body.replace(TEXT, TEXT.replace(b"\r\n", b"\n")), "fail", "digest-mismatch"),
            ("the header's case changed", flat.replace(b"Content-Type: text/plain", b"content-type: text/plain"), "fail",
             "digest-mismatch"),
            ("the parts exchanged by a third", flat.replace(b"--b0\r\n" + PART,
                b"--b0\r\n" + OTHER + b"\r\n--b0\r\n" + PART), "permerror",
             "wrong-parts")):
        add("parser", f"the multipart: {name}", message, result, reason)
    for name, part, result, reason in (
            ("as an attachment", PART.replace(b"name=smime.p7s", b"name=smime.p7s\r\nContent-Disposition: attachment"), "pass", ""),
            ("of the old type", PART.replace(b"pkcs7-signature", b"x-pkcs7-signature"), "pass", ""),
            ("of type octet-stream", PART.replace(b"pkcs7-signature", b"octet-stream"), "permerror", "no-signature-part"),
            ("of type pkcs7-mime", PART.replace(b"pkcs7-signature", b"pkcs7-mime"), "permerror", "no-signature-part"),
            ("with two types", b"Content-Type: text/plain\r\n" + PART, "permerror", "no-signature-part"),
            ("with two encodings", b"Content-Transfer-Encoding: 7bit\r\n" + PART, "permerror", "malformed-cms"),
            ("without an encoding", PART.replace(b"Content-Transfer-Encoding: base64\r\n", b""), "permerror", "malformed-cms")):
        add("parser", f"the signature part {name}", clear(TEXT, good, part=part), result, reason)
    p7m = lines(m.object(content=TEXT))
    for name, encoded, result, reason in (
            ("with a comment line", b"(hello)\r\n" + p7m, "permerror", "malformed-cms"),
            ("with blanks between", p7m.replace(b"\r\n", b" \r\n"), "pass", ""),
            ("in one line", base64.b64encode(m.object(content=TEXT)) + b"\r\n", "pass", ""),
            ("twice", p7m + p7m, "neutral", "ambiguous-encoding")):
        add("parser", f"opaque, base64 {name}", opaque(b"", encoded=encoded), result, reason)
    add("parser", "opaque in quoted-printable", opaque(b"", coding=b"quoted-printable", encoded=b"=\r\n".join(
        re.findall(rb".{1,72}", b"".join(b"=%02X" % c for c in m.object(content=TEXT))))), "pass")
    add("parser", "opaque in binary with an unknown encoding", opaque(b"", coding=b"x-evil", encoded=p7m), "permerror",
        "unknown-encoding")


def new_cases(it):
    makers = Makers(it)
    for make in (embedded, places, people, parsers):
        make(makers)
    return makers.cases


# ---- the tables of test_attacks -------------------------------------------------------------------------------------

# Reasons (and sentences) of what they say by the word alone.
OLD = {
    ("from", "two From fields"): ("from-several",),
    ("from", "two From fields, the second with a blank before the colon"): ("from-several",),
    ("from", "two From fields in different case"): ("from-several",),
    ("from", "no From at all"): ("from-missing",),
    ("from", "an empty From"): ("from-missing",),
    ("from", "two mailboxes"): ("from-several",),
    ("from", "a group"): ("from-syntax",),
    ("from", "a From that goes on behind a fold"): ("from-several",),
    ("from", "an encoded word as address"): ("from-syntax",),
    ("from", "the address in a comment"): ("identity-mismatch", {"identifier": "m@evil.test"}),
    ("from", "the address as display name"): ("identity-mismatch", {"identifier": "m@evil.test"}),
    ("from", "a bare address before the real one"): ("from-syntax",),
    ("from", "an address behind the angle"): ("from-syntax",),
    ("from", "a source route"): ("from-syntax",),
    ("from", "two angles"): ("from-syntax",),
    ("from", "an unclosed quote"): ("from-syntax",),
    ("from", "an unclosed comment"): ("from-syntax",),
    ("from", "a NUL before it"): ("from-missing",),
    ("from", "a quoted local part that reads like it"): ("identity-mismatch", {"identifier": "\"bob@partner.example\"@evil.test"}),
    ("from", "8-bit octets around it"): ("from-syntax",),
    ("from", "a full-width at sign"): ("from-syntax",),
    ("from", "a domain of look-alike letters"): ("identity-mismatch", {"identifier": "bob@xn--prtner-3nf.example"}),
    ("from", "another's valid certificate"): ("identity-mismatch",),
    ("structure", "a signature of another text"): ("digest-mismatch",),
    ("structure", "two Content-Type fields"): ("ambiguous-header",),
    ("structure", "two boundaries"): ("ambiguous-header",),
    ("structure", "boundary in pieces beside boundary"): ("ambiguous-header",),
    ("structure", "no boundary"): ("no-boundary",),
    ("structure", "an empty boundary"): ("no-boundary",),
    ("structure", "a boundary of 900 characters"): ("no-boundary",),
    ("structure", "multipart/signed in base64"): ("ambiguous-encoding",),
    ("structure", "two transfer encodings"): ("ambiguous-header",),
    ("structure", "text behind the end"): ("epilogue",),
    ("structure", "a second multipart behind the end"): ("epilogue",),
    ("structure", "never closed"): ("not-closed",),
    ("structure", "three parts"): ("wrong-parts",),
    ("structure", "one part"): ("wrong-parts",),
    ("structure", "the signature first"): ("no-signature-part",),
    ("structure", "a boundary line with a tail"): ("ambiguous-structure",),
    ("structure", "a bare CR before dashes"): ("ambiguous-structure", {"result": "neutral"}),
    ("structure", "micalg names another digest"): ("micalg-mismatch",),
    ("structure", "signed inside signed"): ("digest-mismatch",),
    ("structure", "the signature named like one, of type text"): ("no-signature-part",),
    ("structure", "a signature in an unknown encoding"): ("malformed-cms",),
    ("structure", "a signature of 3 MiB"): ("too-large",),
    ("structure", "base64 that is none"): ("malformed-cms",),
    ("structure", "a part header of 100,000 fields"): ("too-large",),
    ("structure", "an empty signature"): ("malformed-cms",),
    ("structure", "opaque with garbage in its base64"): ("ambiguous-encoding",),
    ("structure", "opaque with plain text behind"): ("ambiguous-encoding",),
    ("structure", "opaque and octets behind the object"): ("malformed-cms",),
    ("structure", "a claim and nothing behind it"): ("malformed-cms",),
    ("structure", "the header of an object and 2^62 octets"): ("malformed-cms",),
    ("structure", "100,000 open elements"): ("malformed-cms",),
    ("structure", "100,000 primitive pieces"): ("malformed-cms",),
    ("object", "another text inside the detached signature"): ("not-detached",),
    ("object", "the same text inside the detached signature"): ("not-detached",),
    ("object", "opaque without content"): ("malformed-cms",),
    ("object", "no SignerInfo"): ("no-signer",),
    ("object", "no certificate"): ("no-signer",),
    ("object", "the certificate of somebody else"): ("no-signer",),
    ("object", "a good and a broken signature"): ("bad-signature",),
    ("object", "a good one and one of another text"): ("digest-mismatch",),
    ("object", "a good one and one without certificate"): ("no-signer",),
    ("object", "17 signers"): ("too-many-signers",),
    ("object", "1,000 signers"): ("too-many-signers",),
    ("object", "a signer of an unknown CA"): ("untrusted", {"text": "^."}),
    ("object", "10,000 certificates"): ("too-large",),
    ("object", "101 true certificates"): ("too-large",),
    ("object", "500 CRLs"): ("too-large",),
    ("object", "attributes shown as content"): ("malformed-attributes",),
    ("object", "messageDigest twice"): ("malformed-attributes",),
    ("object", "messageDigest with two values"): ("malformed-attributes",),
    ("object", "no messageDigest"): ("malformed-attributes",),
    ("object", "no contentType"): ("malformed-attributes",),
    ("object", "another contentType"): ("content-type-mismatch",),
    ("object", "the content type is not data"): ("wrong-content-type",),
    ("object", "an empty signature value"): ("malformed-cms",),
    ("object", "a signature value of zeros"): ("bad-signature",),
    ("object", "a signature value of 500 KB"): ("malformed-cms",),
    ("object", "10,000 attributes"): ("malformed-attributes",),
    ("object", "certificates only"): ("certs-only",),
    ("leaf", "an address with a blank behind"): ("identity-mismatch",),
    ("leaf", "an address with a line break"): ("identity-mismatch",),
    ("leaf", "an address with NUL and more"): ("identity-mismatch",),
    ("leaf", "an address in angles"): ("identity-mismatch",),
    ("leaf", "two addresses in one"): ("identity-mismatch",),
    ("leaf", "a domain for an address"): ("identity-mismatch",),
    ("leaf", "an address of 60 KB"): ("identity-mismatch",),
    ("leaf", "a wildcard for an address"): ("identity-mismatch",),
    ("leaf", "key usage for encryption only"): ("cert-wrong-usage", {"text": "^."}),
    ("leaf", "key usage of a CA"): ("cert-wrong-usage", {"text": "^."}),
    ("leaf", "a certificate of a web server"): ("cert-wrong-usage", {"text": "^."}),
    ("leaf", "a key of 1024 bits"): ("cert-weak-key", {"text": "^."}),
    ("leaf", "a CA that signs mail itself"): ("cert-is-ca", {"text": "the certificate belongs to a certification authority"}),
    ("leaf", "the same with another From"): ("from-syntax",),
    ("leaf", "a From that reads like a result"): ("identity-mismatch", {"identifier": "smime=pass@evil.test"}),
}


def old_cases(it):
    tables = {"from": from_games(it.bob, it.mallory, [it.sub]), "structure": structures(it.bob, [it.sub]),
              "object": objects(it, [it.sub]), "leaf": certificates(it, [it.sub])}
    leaves = {name: Person((it.ca.path / f"{file}.key", it.ca.path / f"{file}.pem")) for name, file in (
        ("a good address among 500", "w9"), ("a broken address beside the good one", "w10"))}
    leaves["an issuer whose name holds lines"] = it.below[0]
    found = []
    for topic, table in tables.items():
        for name, (message, word) in table.items():
            reason, *more = OLD.get((topic, name), ("",))
            # Postfix cuts a longer field before it hands it on: these go through it in test_attacks.py.
            if max(map(len, re.split(rb"\r\n(?![ \t])", message.partition(b"\r\n\r\n")[0]))) > 60000:
                continue
            known = {"result": word or "none", "signer": leaves.get(name, it.bob), **(more[0] if more else {})}
            found.append(Case(f"{topic}: {name}", topic, message, reason=reason, **known))
    return found
