#!/usr/bin/env python3
"""Where we say pass, other parsers must see the same signed octets and the same sender.

Ours (smimectl verify --json), Python's email package and GMime read the same messages: all of the corpus `mime`, each signed
by a key of our own, and mutants of signed messages, some thousand by a fixed seed. Only what we pass is asked of the others: a
message that we do not pass may be read as anybody likes. GMime runs as a process of its own with limits, since hostile mail
crashes it; where it does, it has no say.
"""

import concurrent.futures
import email.feedparser
import email.utils
import hashlib
import json
import os
import random
import re
import shutil
import subprocess
import tempfile

from harness import CORPORA, TOP, Authority, Scratch, Skip, corpus, main, run, smimectl
from test_attacks import FROM_BOB, PART, Person, attribute, clear, lines, signed_data

MUTANTS = int(os.environ.get("SMIMED_MUTANTS", "3000"))


# ---- Python's email package, with places ----------------------------------------------------------------------------


class Counted(email.feedparser.BufferedSubFile):
    """Knows how many characters were read."""

    def __init__(self):
        super().__init__()
        self.place = 0

    def readline(self):
        line = super().readline()
        if line is not email.feedparser.NeedMoreData:
            self.place += len(line)
        return line

    def unreadline(self, line):
        self.place -= len(line)
        super().unreadline(line)


class Placed(email.feedparser.FeedParser):
    """Notes where each entity begins and ends."""

    def __init__(self):
        self.places = {}
        super().__init__()
        self._input = Counted()

    def _new_message(self):
        super()._new_message()
        self.places[id(self._cur)] = [self._input.place, None, self._cur]

    def _pop_message(self):
        message = super()._pop_message()
        self.places[id(message)][1] = self._input.place
        return message


def python_view(message):
    """(media type, number of parts, mailboxes, octets of part one)."""
    parser = Placed()
    text = message.decode("ascii", "surrogateescape")
    parser.feed(text)
    root = parser.close()
    parts = root.get_payload() if root.is_multipart() else []
    first = None
    if parts and isinstance(parts, list):
        begin, end, _ = parser.places[id(parts[0])]
        # The line end before a delimiter belongs to the delimiter.
        first = re.sub(r"(?:\r\n|\r|\n)\Z", "", text[begin:end]).encode("ascii", "surrogateescape")
    addresses = [address.lower() for _, address in email.utils.getaddresses(root.get_all("from", []))]
    return root.get_content_type(), len(parts), addresses, first


# ---- GMime ----------------------------------------------------------------------------------------------------------


class GMime:
    """The program, started again when it has fallen."""

    def __init__(self, scratch):
        if not shutil.which("pkg-config") or run("pkg-config", "--exists", "gmime-3.0", check=False).returncode:
            raise Skip("libgmime-3.0-dev is not installed (tests/deps.sh check)")
        flags = run("pkg-config", "--cflags", "--libs", "gmime-3.0").stdout.decode().split()
        self.program = scratch.path / "gmime_parts"
        run("gcc", "-O1", "-o", self.program, TOP / "tests/e2e/gmime_parts.c", *flags)
        self.process, self.falls = None, 0
        scratch.add(self.stop)

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def view(self, message):
        if not self.process:
            self.process = subprocess.Popen([self.program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            self.process.stdin.write(b"%d\n" % len(message) + message)
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = b""
        if not line:
            self.falls += 1
            self.stop()
            return None
        kind, count, leaf, begin, end, second, *addresses = line.decode(errors="replace").rstrip("\n").split(" ")
        return kind.lower(), int(count), leaf == "1", int(begin), int(end), int(second), [a.lower() for a in addresses]


# ---- comparing ------------------------------------------------------------------------------------------------------


def differences(message, ours, gmime):
    """What the others see otherwise, in a message that we pass."""
    body = message.index(b"\r\n\r\n") + 4
    begin = body + ours["signed_offset"]
    signed = message[begin:begin + ours["signed_octets"]]
    kind, count, addresses, first = python_view(message)
    found = []
    if (kind, count) != ("multipart/signed", 2):
        found.append(f"Python: {kind} of {count} parts")
    elif first != signed:
        found.append(f"Python: another part one: {first[:80]!r}... of {len(first)}, ours {signed[:80]!r}... of {len(signed)}")
    if addresses != [ours["from"].lower()]:
        found.append(f"Python: From is {addresses}, ours {ours['from']}")
    seen = gmime.view(message)
    if seen is None:
        return found
    kind, count, leaf, first, last, second, addresses = seen
    end = begin + len(signed)
    if (kind, count) != ("multipart/signed", 2):
        found.append(f"GMime: {kind} of {count} parts")
    # GMime drops what is no header field, so it is asked for places: what it shows as part one lies within what was
    # signed, a leaf ends where that ends, and nothing of it is in part two.
    # To a leaf of a multipart that is not closed it gives the line end that belongs to our delimiter.
    elif 0 <= first < last and (first < begin or last > end + (0 if leaf else 2) or (leaf and last != end)) or 0 <= second < end:
        found.append(f"GMime: part one at {first} to {last}, part two at {second}; ours {begin} to {end}")
    if addresses != [ours["from"].lower()]:
        found.append(f"GMime: From is {addresses}, ours {ours['from']}")
    return found


class Judge:
    def __init__(self, scratch):
        self.ca = ca = Authority(scratch)
        self.bob = Person(ca.user("bob@partner.example", "bob", kind="rsa:2048"))
        self.chain = [run("openssl", "x509", "-in", ca.cert, "-outform", "DER").stdout]
        self.folder = scratch.folder("messages")
        self.gmime = GMime(scratch)
        self.arguments = ["verify", "--json", "--anchors", ca.anchors, "--untrusted", ca.intermediates, "--crl", ca.crls,
            "--offline"]

    def sign(self, content):
        return signed_data([self.bob.der, *self.chain], [self.bob.info(content)])

    def ours(self, numbered):
        number, message = numbered
        path = self.folder / f"m{number}"
        path.write_bytes(message)
        done = smimectl(*self.arguments, path)
        path.unlink()
        return json.loads(done.stdout)

    def judge(self, messages):
        """(name, octets) each: how many pass, and what differs."""
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            verdicts = list(pool.map(self.ours, enumerate(m for _, m in messages)))
        passed, wrong = 0, []
        for (name, message), ours in zip(messages, verdicts):
            if ours["result"] != "pass":
                continue
            passed += 1
            for difference in differences(message, ours, self.gmime):
                wrong.append((name, difference, message))
        return passed, wrong


def report(wrong):
    folder = os.environ.get("SMIMED_KEEP") and tempfile.mkdtemp(prefix="differential-")
    for number, (_, _, message) in enumerate(wrong):
        if folder:
            open(f"{folder}/{number}", "wb").write(message)
    return "\n".join(f"{name}: {difference}" for name, difference, _ in wrong[:40]) + (f"\nkept in {folder}" if folder else "")


def canonical(octets):
    """CRLF, and nothing that no wire carries."""
    return re.sub(rb"\r\n|\r|\n", b"\r\n", octets)


def test_the_corpus_signed_is_seen_alike():
    files = sorted(path for path in corpus("mime").rglob("*") if path.is_file() and path.suffix not in (".md", ".txt", ".json"))
    with Scratch("differential") as scratch:
        judge = Judge(scratch)
        messages = []
        for path in files:
            content = canonical(path.read_bytes())
            if len(content) > 2 << 20:
                continue
            boundary = hashlib.sha256(content).hexdigest()[:24].encode()
            kind = (b'Content-Type: multipart/signed; protocol="application/pkcs7-signature"; micalg=sha-256;\r\n boundary="'
                    + boundary + b'"\r\n')
            wrapped = b"Content-Type: message/rfc822\r\n\r\n" + content
            for name, entity in (("as it is", content), ("inside message/rfc822", wrapped)):
                messages.append((f"{path.name} {name}", FROM_BOB + b"To: alice@example.org\r\nMIME-Version: 1.0\r\n" + kind
                                 + b"\r\n--" + boundary + b"\r\n" + entity + b"\r\n--" + boundary + b"\r\n" + PART
                                 + lines(judge.sign(entity)).rstrip() + b"\r\n--" + boundary + b"--\r\n"))
        passed, wrong = judge.judge(messages)
        print(f"# {len(files)} files, {len(messages)} messages, {passed} pass; GMime fell {judge.gmime.falls} times")
        assert passed > len(messages) // 2, passed
        assert not wrong, f"{len(wrong)} differences\n" + report(wrong)


# ---- mutants --------------------------------------------------------------------------------------------------------

CONTENTS = (
    b"Content-Type: text/plain\r\n\r\nHello.\r\n",
    b"Content-Type: text/plain\r\n\r\nHello\r\n\r\n\r\n",
    b"\r\nno header\r\n",
    b'Content-Type: multipart/mixed; boundary="in"\r\n\r\n--in\r\n\r\none\r\n--in\r\n'
    b"Content-Type: text/html\r\n\r\n<p>two</p>\r\n--in--\r\n",
    b'Content-Type: multipart/alternative; boundary="b"\r\n\r\n--b\r\n\r\none\r\n--b--\r\n',
    b'Content-Type: multipart/mixed; boundary="b00"\r\n\r\n--b00\r\n\r\none\r\n--b00--\r\n',
    b"Content-Type: message/rfc822\r\n\r\nFrom: x@y.test\r\nSubject: in\r\n\r\nbody\r\n",
)
SPRINKLES = (b"\r\n", b"\n", b"\r", b" ", b"\t", b"--b0", b"--b0--", b"\r\n--b0\r\n", b"\r\n--b0--\r\n", b"--", b"b0", b"\r\n\r\n",
             b"Content-Type: text/plain\r\n", b'Content-Type: multipart/mixed; boundary="zz"\r\n', b"--zz\r\n", b"\0",
                 b"\xff", b";",
             b'"', b"\\", b"(", b")", b"=", b"*0=", b"boundary=zz; ", b"From: m@evil.test\r\n", b", m@evil.test", b"<m@evil.test>",
             b"=?utf-8?q?x?=", b":", b"@", b"--in\r\n", b"\r\n ", b"From \r\n", b"\x0b", b"\x0c", b"\xe2\x80\xa8", b"\x1c")


def places_of(message, before):
    """Where a mutation is worth something: line starts and ends, and anywhere outside of the base64."""
    return [m.start() for m in re.finditer(rb"\r\n|[;=\"/<>@: ]|--", message[:before])] + [len(message), len(message) - 2]


def mutate(chance, message, signature_at):
    """One to three changes; nothing inside of the signature's octets."""
    for _ in range(chance.randint(1, 3)):
        places = places_of(message, signature_at)
        at = chance.choice(places)
        what = chance.randrange(6)
        if what < 3:
            message = message[:at] + chance.choice(SPRINKLES) + message[at:]
            signature_at += 0 if at > signature_at else 0
        elif what == 3:
            message = message[:at] + message[at + chance.randint(1, 4):]
        elif what == 4:  # a header line twice, or another place
            head, _, rest = message.partition(b"\r\n\r\n")
            fields = head.split(b"\r\n")
            one = chance.choice(fields)
            fields.insert(chance.randrange(len(fields) + 1), one.swapcase() if chance.randrange(2) else one)
            message = b"\r\n".join(fields) + b"\r\n\r\n" + rest
        else:
            end = min(len(message), at + chance.randint(1, 30))
            message = message[:end] + message[at:end] + message[end:]
    return message


def test_mutants_that_pass_are_seen_alike():
    chance = random.Random(20261128)
    with Scratch("differential") as scratch:
        judge = Judge(scratch)
        bases = []
        for content in CONTENTS:
            for signed in (content, content + b"more\r\n"):
                bases.append(clear(signed, judge.sign(signed)))
        # What stands in part one may be anything that bob signs, look-alikes of the delimiter too.
        for piece in SPRINKLES:
            signed = CONTENTS[0] + piece + b"tail\r\n"
            bases.append(clear(signed, judge.sign(signed)))
            signed = piece + CONTENTS[0]
            bases.append(clear(signed, judge.sign(signed)))
        messages = [(f"base {i}", base) for i, base in enumerate(bases)]
        while len(messages) < MUTANTS + len(bases):
            base = chance.choice(bases)
            messages.append((f"mutant {len(messages)}", mutate(chance, base, base.rindex(PART))))
        # The wire has no bare line feed: an MTA makes a line end of it, in front of every filter and reader.
        messages = [(name, re.sub(rb"(?<!\r)\n", b"\r\n", m)) for name, m in messages]
        messages = [(name, m) for name, m in messages if b"\r\n\r\n" in m]
        passed, wrong = judge.judge(messages)
        print(f"# {len(messages)} messages, {passed} pass; GMime fell {judge.gmime.falls} times")
        assert passed > len(messages) // 20, passed
        assert not wrong, f"{len(wrong)} differences\n" + report(wrong)


if __name__ == "__main__":
    main(globals())
