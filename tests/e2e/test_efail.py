#!/usr/bin/env python3
"""EFAIL: whatever is done to an encrypted message on its way, no octet of its text gets out.

The text holds a canary: random words, of which no piece of eight octets may appear in what is delivered, in a reply, in the log
of smimed or of Postfix, or in a file of the gateway's folders. Messages go through a real Postfix, with debug lines on."""

import base64
import os
import pathlib
import random
import re

from harness import Authority, Postfix, Scratch, Sink, Smimed, Smtp, main, run, trust_config

BLOCK = 16
PIECE = 8

RULES = """
inbound_daemons = INBOUND
decrypt_rate = 1000000
decrypt_rate_each = 1000000
log_debug = yes
spool_memory = 4KiB
rule "in" {
    direction = in
    decrypt = yes
    layers_header = yes
}
"""


def canary():
    """Words that occur nowhere else."""
    rng = random.Random(4711)
    letters = "bcdfghjkmnpqrstvwxz"
    return "\r\n".join("".join(rng.choice(letters) for _ in range(60)) for _ in range(12)).encode() + b"\r\n"


CANARY = canary()
PIECES = {CANARY[i:i + PIECE] for i in range(len(CANARY) - PIECE + 1)
          if CANARY[i:i + PIECE].isalpha()}
TEXT = b"Content-Type: text/plain; charset=us-ascii\r\n\r\n" + CANARY


def leak(octets):
    """A piece of the canary in there, as it is, in base64 at any offset, or in hexadecimal; None."""
    found = next((octets[i:i + PIECE] for i in range(len(octets) - PIECE + 1) if octets[i:i + PIECE] in PIECES), None)
    if found:
        return found
    for run_of in re.findall(rb"(?:[A-Za-z0-9+/]{16,}\r?\n?)+", octets):
        digits = re.sub(rb"\s", b"", run_of)
        for shift in range(4):
            part = digits[shift:]
            decoded = base64.b64decode(part[:len(part) // 4 * 4])
            found = next((decoded[i:i + PIECE] for i in range(len(decoded) - PIECE + 1) if decoded[i:i + PIECE] in PIECES), None)
            if found:
                return found
    return None


class Setting:
    def __init__(self, scratch):
        self.ca = Authority(scratch)
        self.bob = self.ca.user("bob@partner.example", "bob")
        self.alice = self.ca.user("alice@example.org", "alice")
        self.sink = Sink(scratch)
        self.smimed = Smimed(scratch, RULES + trust_config(self.ca), start=False)
        self.ca.install_pair(self.smimed.keys, *self.alice)
        self.smimed.start()
        self.postfix = Postfix(scratch, self.sink.port, self.smimed.milter, {"in": {"milter_macro_daemon_name": "INBOUND"}})
        self.client = Smtp(self.postfix.port)
        self.replies = []

    def seal(self, entity, *options):
        return run("openssl", "cms", "-encrypt", "-binary", "-outform", "DER", *options, self.alice[1], stdin=entity).stdout

    def sign(self, *options):
        signed = run("openssl", "cms", "-sign", "-binary", "-signer", self.bob[1], "-inkey", self.bob[0], "-certfile", self.ca.cert,
                     *options, stdin=TEXT).stdout
        return signed.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")

    def send(self, der):
        message = (b"From: bob@partner.example\r\nTo: alice@example.org\r\nSubject: x\r\nMIME-Version: 1.0\r\n"
                   b"Content-Type: application/pkcs7-mime; smime-type=enveloped-data\r\n"
                   b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(der).replace(b"\n", b"\r\n"))
        code, text = self.client.send("bob@partner.example", ["alice@example.org"], message)
        self.replies.append(text)
        assert code == 250, text

    def files(self):
        """Every file that the gateway or the MTA has, deleted ones that are still open included."""
        for folder in (self.smimed.path, self.postfix.path):
            for path in folder.rglob("*"):
                if path.is_file():
                    yield path, path.read_bytes()
        for link in pathlib.Path(f"/proc/{self.smimed.process.pid}/fd").iterdir():
            try:
                if "(deleted)" in os.readlink(link):
                    yield link, link.read_bytes()
            except OSError:
                continue

    def check(self, count, what):
        """All that came out of `count` messages."""
        taken = self.sink.take(count, 120)
        for _, _, octets in taken:
            found = leak(octets)
            assert not found, f"{what}: {found} in a delivered message:\n{octets[:3000]}"
            assert b"smime=none (not-decrypted" in octets, f"{what}: no mark:\n{octets[:800]}"
        for text in self.replies:
            assert not leak(text.encode()), f"{what}: in a reply"
            # One answer for all of them but for the queue-id.
        assert len({re.sub(r"queued as \w+", "", text) for text in self.replies}) == 1, set(self.replies)
        # One header for all of them but for what the MTA writes about the transport.
        heads = {re.sub(rb"(?m)^Received:.*\r\n(?:[ \t].*\r\n)*", b"", octets.partition(b"\r\n\r\n")[0]) for _, _, octets in taken}
        heads = {re.sub(rb"(?m)^(?:Message-Id|Date):.*(?:\r\n|$)", b"", head) for head in heads}
        assert len(heads) == 1, heads
        for path, octets in self.files():
            assert not leak(octets), f"{what}: in {path}"
        assert not list(pathlib.Path(self.smimed.path).rglob("core*"))
        self.replies = []


def content_of(der):
    """Offset and length of the encrypted content of an object in definite length: the last element, before the tag if any."""
    parsed = run("openssl", "asn1parse", "-inform", "DER", "-i", stdin=der).stdout.decode()
    found = None
    for line in parsed.splitlines():
        match = re.match(r"\s*(\d+):d=(\d+)\s+hl=(\d+)\s+l=\s*(\d+) prim:\s+cont \[ 0 \]", line)
        if match and int(match.group(4)) > 100:
            found = int(match.group(1)) + int(match.group(3)), int(match.group(4))
    assert found, parsed
    return found


def test_the_control_is_decrypted_and_the_search_finds_it():
    """A search that finds nothing anywhere would prove nothing."""
    assert leak(b"x" + CANARY[3:20] + b"y") and leak(base64.b64encode(b"ab" + CANARY[:40])) and not leak(b"nothing at all" * 50)
    with Scratch("efail") as scratch:
        it = Setting(scratch)
        for der in (it.seal(it.sign(), "-aes256"), it.seal(TEXT, "-aes-256-gcm")):
            it.send(der)
            assert leak(it.sink.take()[0][2]), "the message itself did not arrive"
        # And nothing of it stays behind.
        for path, octets in it.files():
            if "postfix/queue" not in str(path):
                assert not leak(octets), path


def flip_every_block(it, der, what):
    offset, length = content_of(der)
    # The initialisation vector is the last OCTET STRING of 16 before the content.
    iv = der.rindex(b"\x04\x10", 0, offset) + 2
    places = [iv] + [offset + i for i in range(0, length, BLOCK)]
    for at in places:
        for bit in (0x01, 0x80):
            bad = bytearray(der)
            bad[at + 5] ^= bit
            it.send(bytes(bad))
    it.check(2 * len(places), what)
    return len(places)


def test_every_block_of_cbc_flipped_with_a_signature_inside():
    with Scratch("efail") as scratch:
        it = Setting(scratch)
        blocks = flip_every_block(it, it.seal(it.sign("-nodetach", "-nocerts"), "-aes256"), "opaque")
        print(f"# opaque: {blocks} blocks")


def test_every_block_of_cbc_flipped_without_a_signature():
    with Scratch("efail") as scratch:
        it = Setting(scratch)
        print(f"# text: {flip_every_block(it, it.seal(TEXT, '-aes128'), 'text')} blocks")


def test_every_block_of_cbc_flipped_around_a_clear_signature():
    with Scratch("efail") as scratch:
        it = Setting(scratch)
        der = it.seal(it.sign("-nocerts"), "-aes256")
        offset, length = content_of(der)
        iv = der.rindex(b"\x04\x10", 0, offset) + 2
        sent = opened = 0
        for at in [iv] + [offset + i for i in range(0, length, BLOCK)]:
            bad = bytearray(der)
            bad[at + 5] ^= 0x01
            it.send(bytes(bad))
            sent += 1
        for _, _, octets in it.sink.take(sent, 120):
            # A block of what no signature covers, the header of the entity or of its parts, may change unseen. Then it is either
            # not opened, or it is opened, and the text that was signed is as it was: with its canary whole.
            if b"not-decrypted" in octets:
                assert not leak(octets), octets[:2000]
            else:
                opened += 1
                assert CANARY in octets and b"smime=neutral" not in octets, octets[:2000]
        print(f"# clear-signed: {sent} blocks, {opened} of them where no signature is")


def test_gcm_altered_and_truncated():
    with Scratch("efail") as scratch:
        it = Setting(scratch)
        for entity in (TEXT, it.sign()):
            der = it.seal(entity, "-aes-256-gcm")
            offset, length = content_of(der)
            places = {"start": offset, "second block": offset + BLOCK, "middle": offset + length // 2, "end": offset + length - 1,
                      "tag": len(der) - 1, "tag's start": len(der) - BLOCK}
            for at in places.values():
                bad = bytearray(der)
                bad[at] ^= 0x20
                it.send(bytes(bad))
            # Cut short, with lengths that fit again.
            for octets in (1, BLOCK, length // 2):
                it.send(cut(der, offset, length, octets))
            it.check(len(places) + 3, "gcm")


def cut(der, offset, length, octets):
    """The object without the last octets of its content; the lengths of all elements around are made to fit."""
    rest = bytearray(der[:offset + length - octets] + der[offset + length:])

    def shrink(at, end):
        """Elements from `at` to `end` that hold the content get shorter."""
        while at < end:
            size, head = rest[at + 1], 2
            if size & 0x80:
                count = size & 0x7f
                size, head = int.from_bytes(der[at + 2:at + 2 + count], "big"), 2 + count
            inside = at + head
            if inside <= offset < inside + size and inside + size >= offset + length:
                new = size - octets
                if head > 2:
                    rest[at + 2:at + head] = new.to_bytes(head - 2, "big")
                else:
                    rest[at + 1] = new
                if inside != offset:
                    shrink(inside, inside + size)
                return
            at = inside + size

    shrink(0, len(der))
    return bytes(rest)


def test_large_messages_leave_nothing_in_the_spool():
    """Beyond spool_memory everything lies in files."""
    with Scratch("efail") as scratch:
        it = Setting(scratch)
        padding = b"Content-Type: text/plain\r\n\r\n" + CANARY + b"0123456789 abcdefghi\r\n" * 20000 + CANARY
        der = it.seal(padding, "-aes-256-gcm")
        for at in (-1, -100, len(der) // 2):
            bad = bytearray(der)
            bad[at] ^= 1
            it.send(bytes(bad))
        it.check(3, "large gcm")
        der = it.seal(padding, "-aes256")
        for at in (-20, len(der) // 2):
            bad = bytearray(der)
            bad[at] ^= 1
            it.send(bytes(bad))
        it.check(2, "large cbc")


if __name__ == "__main__":
    main(globals())
