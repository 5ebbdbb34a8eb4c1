"""DER, written and read: just what the tests of trust need to make certificates, CRLs and OCSP responses that the openssl
command would not make (X.690)."""

import datetime

SEQUENCE, SET, BOOLEAN, INTEGER, BITS, OCTETS, NULL, OID, ENUM, UTF8, IA5 = (
    0x30, 0x31, 1, 2, 3, 4, 5, 6, 10, 12, 22)
UTC_TIME, GENERALIZED_TIME = 23, 24


def tlv(tag, *parts):
    content = b"".join(parts)
    n = len(content)
    if n < 128:
        return bytes([tag, n]) + content
    size = n.to_bytes((n.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(size)]) + size + content


def sequence(*parts):
    return tlv(SEQUENCE, *parts)


def context(number, *parts, constructed=True):
    return tlv(0x80 | number | (0x20 if constructed else 0), *parts)


def integer(value, tag=INTEGER):
    return tlv(tag, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def octets(content):
    return tlv(OCTETS, content)


def bits(content, unused=0):
    return tlv(BITS, bytes([unused]), content)


def named_bits(*numbers):
    """A named BIT STRING with those bits set and no trailing zeros."""
    if not numbers:
        return bits(b"")
    size = max(numbers) // 8 + 1
    value = bytearray(size)
    for n in numbers:
        value[n // 8] |= 0x80 >> (n % 8)
    return bits(bytes(value), 7 - max(numbers) % 8)


def oid(text):
    numbers = [int(n) for n in text.split(".")]
    out = b""
    for n in [numbers[0] * 40 + numbers[1], *numbers[2:]]:
        piece = bytes([n & 0x7f])
        while n > 0x7f:
            n >>= 7
            piece = bytes([n & 0x7f | 0x80]) + piece
        out += piece
    return tlv(OID, out)


def time(moment):
    """RFC 5280 4.1.2.5: UTCTime up to 2049."""
    if moment.year < 2050:
        return tlv(UTC_TIME, moment.strftime("%y%m%d%H%M%SZ").encode())
    return generalized(moment)


def generalized(moment):
    return tlv(GENERALIZED_TIME, moment.strftime("%Y%m%d%H%M%SZ").encode())


def read(data, at=0):
    """(tag, content, offset behind it) of the element at `at`; lengths are definite."""
    tag, n, at = data[at], data[at + 1], at + 2
    if n & 0x80:
        count = n & 0x7f
        n, at = int.from_bytes(data[at:at + count], "big"), at + count
    if at + n > len(data):
        raise ValueError("cut short")
    return tag, data[at:at + n], at + n


def elements(content):
    """[(tag, content, whole)] of a constructed element's content."""
    found, at = [], 0
    while at < len(content):
        tag, inner, end = read(content, at)
        found.append((tag, inner, content[at:end]))
        at = end
    return found


def utc(seconds):
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
