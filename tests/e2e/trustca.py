"""Certification authorities for the tests of trust: certificates, CRLs and OCSP responses of every shape, also of shapes
that no proper authority would make. Octets by der.py, signatures by the openssl command."""

import base64
import datetime
import hashlib
import tempfile

from der import (BOOLEAN, ENUM, IA5, NULL, SET, UTF8, bits, context, elements, generalized, integer, named_bits, octets, oid, read,
                 sequence, time, tlv)
from harness import now, run

DAY = datetime.timedelta(days=1)
HOUR = datetime.timedelta(hours=1)
ECDSA_SHA256 = sequence(oid("1.2.840.10045.4.3.2"))
RSA_SHA256 = sequence(oid("1.2.840.113549.1.1.11"), tlv(NULL))
USAGES = {"digitalSignature": 0, "nonRepudiation": 1, "keyEncipherment": 2, "keyAgreement": 4, "keyCertSign": 5, "cRLSign": 6}
PURPOSES = {"emailProtection": "1.3.6.1.5.5.7.3.4", "OCSPSigning": "1.3.6.1.5.5.7.3.9"}
REASONS = {"keyCompromise": 1, "cACompromise": 2, "superseded": 4, "certificateHold": 6, "removeFromCRL": 8}


class Key:
    """A key pair in a file; EC P-256 unless said otherwise, since making it costs nothing."""

    def __init__(self, path, kind="ec"):
        self.path, self.kind = path, kind
        options = (["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-pkeyopt", "ec_param_enc:named_curve"]
                   if kind == "ec" else ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"])
        run("openssl", "genpkey", *options, "-out", path)
        path.chmod(0o600)
        self.spki = run("openssl", "pkey", "-in", path, "-pubout", "-outform", "DER").stdout
        self.bits = elements(read(self.spki)[1])[1][1][1:]  # the BIT STRING without its count of unused bits
        self.id = hashlib.sha1(self.bits).digest()
        self.algorithm = ECDSA_SHA256 if kind == "ec" else RSA_SHA256

    def sign(self, tbs):
        """SEQUENCE { tbs, algorithm, signature }, as certificates, CRLs and OCSP responses are."""
        with tempfile.NamedTemporaryFile() as file:
            file.write(tbs)
            file.flush()
            signature = run("openssl", "dgst", "-sha256", "-sign", self.path, file.name).stdout
        return tbs, self.algorithm, bits(signature)


def name(common):
    def part(number, text):
        return tlv(SET, sequence(oid(number), tlv(UTF8, text.encode())))
    return sequence(part("2.5.4.10", "Trust tests"), part("2.5.4.3", common))


# ---- extensions --------------------------------------------------------------------------------


def extension(number, value, critical=False):
    return sequence(oid(number), tlv(BOOLEAN, b"\xff") if critical else b"", octets(value))


def uri(text):
    return context(6, text if isinstance(text, bytes) else text.encode(), constructed=False)


def points(number, urls, reasons=(), crl_issuer=None, together=False, critical=False):
    """CRL distribution points: each URL a point of its own, or all `together` in one."""
    more = (context(1, named_bits(*reasons)[2:], constructed=False) if reasons else b"") + (
        context(2, context(4, crl_issuer)) if crl_issuer else b"")
    groups = [urls] if together else [[u] for u in urls]
    return extension(number, sequence(*[sequence(context(0, context(0, *map(uri, group))), more) for group in groups]), critical)


def cdp(*urls, **more):
    return points("2.5.29.31", urls, **more)


def freshest(*urls):
    return points("2.5.29.46", urls)


def aia(issuers=(), ocsp=()):
    entries = [sequence(oid("1.3.6.1.5.5.7.48.2"), uri(u)) for u in issuers]
    entries += [sequence(oid("1.3.6.1.5.5.7.48.1"), uri(u)) for u in ocsp]
    return extension("1.3.6.1.5.5.7.1.1", sequence(*entries))


def nocheck():
    return extension("1.3.6.1.5.5.7.48.1.5", tlv(NULL))


def idp(*urls, only_users=False, only_cas=False, reasons=(), indirect=False, only_attributes=False):
    """issuingDistributionPoint, always critical."""
    flags = b"".join(context(n, b"\xff", constructed=False) for n, on in ((1, only_users), (2, only_cas)) if on)
    flags += context(3, named_bits(*reasons)[2:], constructed=False) if reasons else b""
    flags += b"".join(context(n, b"\xff", constructed=False) for n, on in ((4, indirect), (5, only_attributes)) if on)
    return extension("2.5.29.28", sequence(context(0, context(0, *map(uri, urls))) if urls else b"", flags), critical=True)


def delta_of(number):
    return extension("2.5.29.27", integer(number), critical=True)


# ---- authorities -------------------------------------------------------------------------------


class Certificate:
    def __init__(self, der, key, subject, serial):
        self.der, self.key, self.subject, self.serial = der, key, subject, serial

    @property
    def pem(self):
        return pem(self.der, "CERTIFICATE")


def pem(der, label):
    return f"-----BEGIN {label}-----\n".encode() + base64.encodebytes(der) + f"-----END {label}-----\n".encode()


class Ca:
    """An authority. `certificate` is the one its issuer gave it (or its own); more of the same key: `cross`."""

    serials = 1000

    def __init__(self, folder, common, issuer=None, key=None, **more):
        self.folder, self.common, self.subject = folder, common, name(common)
        self.key = key or Key(folder / f"{common.replace(' ', '-')}.key")
        self.revoked = []  # (serial, moment, reason or None)
        self.number = 1
        self.certificate = (issuer or self).issue_ca(self, **more)

    def issue(self, subject, key, extensions, first=None, last=None, serial=None):
        """A certificate with just those extensions and the key identifiers."""
        Ca.serials += 1
        serial = serial or Ca.serials
        moment = now()
        extensions = [*extensions, extension("2.5.29.14", octets(key.id)),
                      extension("2.5.29.35", sequence(context(0, self.key.id, constructed=False)))]
        tbs = sequence(context(0, integer(2)), integer(serial), self.key.algorithm, self.subject,
                       sequence(time(first or moment - DAY), time(last or moment + 730 * DAY)), subject, key.spki,
                       context(3, sequence(*extensions)))
        return Certificate(sequence(*self.key.sign(tbs)), key, subject, serial)

    def issue_ca(self, ca, extensions=(), usage=("keyCertSign", "cRLSign"), **more):
        return self.issue(ca.subject, ca.key, [
            extension("2.5.29.19", sequence(tlv(BOOLEAN, b"\xff")), critical=True),
            extension("2.5.29.15", named_bits(*(USAGES[u] for u in usage)), critical=True), *extensions], **more)

    def user(self, address, key, extensions=(), usage=("digitalSignature", "keyAgreement", "keyEncipherment"),
             purpose="emailProtection", common=None, **more):
        usage = [u for u in usage if not (u == "keyEncipherment" and key.kind == "ec") and not (
            u == "keyAgreement" and key.kind != "ec")]
        Ca.serials += 1
        named = [extension("2.5.29.17", sequence(context(1, address.encode(), constructed=False)))] if address else []
        return self.issue(name(common or f"{address} {Ca.serials}"), key, [
            extension("2.5.29.15", named_bits(*(USAGES[u] for u in usage)), critical=True),
            extension("2.5.29.37", sequence(oid(PURPOSES[purpose]))), *named, *extensions], **more)

    def revoke(self, certificate, at=None, reason="keyCompromise"):
        self.revoked.append((certificate.serial, at or now() - HOUR, reason))

    def crl(self, this=None, next_=None, extensions=(), revoked=None, number=None, key=None, base=None, odd=()):
        """A CRL as DER. `next_` a moment or a timedelta behind `this`; `base`: a delta CRL to that number. `odd`: "v1" (no
        version), "bare" (no extensions), "empty" (a list without entries), "open" (no nextUpdate)."""
        this = this or now() - datetime.timedelta(minutes=1)
        next_ = this + next_ if isinstance(next_, datetime.timedelta) else next_ or this + 7 * DAY
        key = key or self.key
        self.number = number or self.number + 1
        entries = [sequence(integer(serial), time(at), sequence(extension(
            "2.5.29.21", tlv(ENUM, bytes([REASONS[reason]])))) if reason else b"")
            for serial, at, reason in (self.revoked if revoked is None else revoked)]
        extensions = [*extensions, extension("2.5.29.35", sequence(context(0, key.id, constructed=False))),
                      extension("2.5.29.20", integer(self.number))]
        if base:
            extensions.append(delta_of(base))
        tbs = sequence(b"" if "v1" in odd else integer(1), key.algorithm, self.subject, time(this),
                       b"" if "open" in odd else time(next_), sequence(*entries) if entries or "empty" in odd else b"",
                       b"" if "bare" in odd else context(0, sequence(*extensions)))
        return sequence(*key.sign(tbs))

    # OCSP (RFC 6960 4.2.1)

    def ocsp_signer(self, key, extensions=None, **more):
        """A delegated responder's certificate."""
        return self.user(None, key, [nocheck()] if extensions is None else extensions, usage=("digitalSignature",),
                         purpose="OCSPSigning", common="responder", **more)


def single(cert_id, status, this=None, next_=None, extensions=()):
    """A SingleResponse: status "good", "unknown", or ("revoked", moment)."""
    this = this or now() - datetime.timedelta(minutes=1)
    if status == "good":
        word = context(0, constructed=False)
    elif status == "unknown":
        word = context(2, constructed=False)
    else:
        word = context(1, generalized(status[1]), context(0, tlv(ENUM, b"\1")))
    return sequence(cert_id, word, generalized(this), context(0, generalized(next_)) if next_ else b"",
                    context(1, sequence(*extensions)) if extensions else b"")


def ocsp_response(signer_key, singles, produced=None, extensions=(), certificates=()):
    """A successful OCSPResponse, signed by `signer_key` (byKey)."""
    data = sequence(context(2, octets(signer_key.id)), generalized(produced or now()), sequence(*singles),
                    context(1, sequence(*extensions)) if extensions else b"")
    certs = context(0, sequence(*certificates)) if certificates else b""
    basic = sequence(*signer_key.sign(data), certs)
    return sequence(tlv(ENUM, b"\0"), context(0, sequence(oid("1.3.6.1.5.5.7.48.1.1"), octets(basic))))


def ocsp_error(status):
    return sequence(tlv(ENUM, bytes([status])))


def ocsp_request_parts(der):
    """([CertID as DER], serial of the first, nonce extension as DER or None) of a request."""
    tbs = elements(read(elements(read(der)[1])[0][2])[1])
    requests = next(inner for tag, inner, _ in tbs if tag == 0x30)
    ids = [elements(inner)[0][2] for _, inner, _ in elements(requests)]
    serial = int.from_bytes(elements(read(ids[0])[1])[3][1], "big")
    nonce = None
    for tag, inner, _ in tbs:
        if tag == 0xa2:
            for _, parts, whole in elements(read(inner)[1]):
                if elements(parts)[0][2] == oid("1.3.6.1.5.5.7.48.1.2"):
                    nonce = whole
    return ids, serial, nonce


def p7c(*certificates):
    """A certs-only SignedData, as caIssuers URLs ending in .p7c give it (RFC 5280 4.2.2.1)."""
    data = sequence(integer(1), tlv(SET), sequence(oid("1.2.840.113549.1.7.1")), context(0, *certificates), tlv(SET))
    return sequence(oid("1.2.840.113549.1.7.2"), context(0, data))


def with_crls(signed, *crls):
    """A SignedData (DER) that carries CRLs too, which the openssl command cannot add."""
    kind, content = elements(read(signed)[1])
    parts = elements(read(content[1])[1])
    at = next(i for i, (tag, _, _) in enumerate(parts) if tag == 0xa0) + 1
    whole = [w for _, _, w in parts]
    return sequence(kind[2], context(0, sequence(*whole[:at], context(1, *crls), *whole[at:])))


IA5_STRING = IA5
