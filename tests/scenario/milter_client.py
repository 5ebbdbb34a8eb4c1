"""An MTA's side of the milter protocol, octet for octet, so that tests can be an MTA that misbehaves.

Version 6, as Sendmail and Postfix speak it: each packet is a length (4 octets), a command (1) and data.
"""

import socket
import struct

OPTNEG, MACRO, CONNECT, HELO, MAIL, RCPT, DATA, HEADER, EOH, BODY, BODYEOB, ABORT, QUIT, QUIT_NC = (
    b"O", b"D", b"C", b"H", b"M", b"R", b"T", b"L", b"N", b"B", b"E", b"A", b"Q", b"K")
CONTINUE, REJECT, TEMPFAIL, REPLYCODE, SKIP, PROGRESS, ACCEPT, DISCARD = (
    b"c", b"r", b"t", b"y", b"s", b"p", b"a", b"d")
INSHEADER, CHGHEADER, REPLBODY, ADDRCPT, DELRCPT, QUARANTINE = b"i", b"m", b"b", b"+", b"-", b"q"

ACTIONS = 0x1ff      # all that Postfix offers
STEPS = 0x1fffff
STEP_SKIP, STEP_LEADING_SPACE = 0x400, 0x100000
# Steps that may be declared as not answered, and all flags of that kind.
UNANSWERED = {CONNECT: 0x1000, HELO: 0x2000, MAIL: 0x4000, RCPT: 0x8000, DATA: 0x10000, HEADER: 0x80, EOH: 0x40000,
              BODY: 0x80000}
STEPS_UNANSWERED = sum(UNANSWERED.values())


class Closed(Exception):
    """The filter hung up."""


class Milter:
    def __init__(self, path, timeout=60):
        is_inet = isinstance(path, tuple)
        self.socket = socket.socket(socket.AF_INET if is_inet else socket.AF_UNIX)
        self.socket.settimeout(timeout)
        self.socket.connect(path if is_inet else str(path))
        self.actions = self.steps = 0
        self.symbols = {}

    def send(self, command, data=b""):
        self.socket.sendall(struct.pack(">I", len(data) + 1) + command + data)

    def _exactly(self, count):
        data = b""
        while len(data) < count:
            piece = self.socket.recv(count - len(data))
            if not piece:
                raise Closed()
            data += piece
        return data

    def receive(self):
        length = struct.unpack(">I", self._exactly(4))[0]
        packet = self._exactly(length)
        return packet[:1], packet[1:]

    def ask(self, command, data=b""):
        """The answer; "continue" at once for a step that is not answered."""
        self.send(command, data)
        if command in UNANSWERED and self.steps & UNANSWERED[command]:
            return CONTINUE, b""
        return self.receive()

    def negotiate(self, actions=ACTIONS, steps=STEPS):
        command, data = self.ask(OPTNEG, struct.pack(">III", 6, actions, steps))
        assert command == OPTNEG, command
        _, self.actions, self.steps = struct.unpack(">III", data[:12])
        rest = data[12:]
        while rest:
            stage = struct.unpack(">I", rest[:4])[0]
            names, rest = rest[4:].split(b"\0", 1)
            self.symbols[stage] = names.decode().split()
        return self

    def macros(self, stage, values):
        data = b"".join(k.encode() + b"\0" + v.encode() + b"\0" for k, v in values.items())
        self.send(MACRO, stage + data)

    def connect(self, host="client.test", address="192.0.2.1", macros=None):
        self.macros(CONNECT, {"j": "mx.test", **(macros or {})})
        if address is None:
            return self.ask(CONNECT, host.encode() + b"\0U")
        family = b"6" if ":" in address else b"4"
        return self.ask(CONNECT, host.encode() + b"\0" + family + struct.pack(">H", 2525) + address.encode() + b"\0")

    def mail(self, sender, macros=None):
        self.macros(MAIL, macros or {})
        return self.ask(MAIL, f"<{sender}>".encode() + b"\0")

    def rcpt(self, recipient):
        self.macros(RCPT, {})
        return self.ask(RCPT, f"<{recipient}>".encode() + b"\0")

    def data(self, queue_id=None):
        self.macros(DATA, {"i": queue_id} if queue_id else {})
        return self.ask(DATA)

    def header(self, name, value):
        name = name if isinstance(name, bytes) else name.encode()
        value = value if isinstance(value, bytes) else value.encode()
        return self.ask(HEADER, name + b"\0" + value + b"\0")

    def eoh(self):
        return self.ask(EOH)

    def body(self, octets, piece=65535):
        """Sends a body in pieces; ends early at an answer that is not "continue"."""
        for i in range(0, len(octets), piece):
            answer = self.ask(BODY, octets[i:i + piece])
            if answer[0] != CONTINUE:
                return answer
        return CONTINUE, b""

    def eom(self):
        """(answer, edits): everything the filter sends up to its last word."""
        self.send(BODYEOB)
        edits = []
        while True:
            command, data = self.receive()
            if command in (CONTINUE, REJECT, TEMPFAIL, REPLYCODE, ACCEPT, DISCARD):
                return (command, data), edits
            edits.append((command, data))

    def message(self, sender, recipients, message, macros=None, queue_id="QID", piece=65535):
        """A whole transaction of a message in octets; (answer, edits) of the first that is not "continue"."""
        answer = self.mail(sender, macros)
        if answer[0] != CONTINUE:
            return answer, []
        for recipient in recipients:
            answer = self.rcpt(recipient)
            if answer[0] != CONTINUE:
                return answer, []
        answer = self.data(queue_id)
        head, _, body = message.partition(b"\r\n\r\n")
        for line in head.replace(b"\r\n ", b"\n ").replace(b"\r\n\t", b"\n\t").split(b"\r\n"):
            if answer[0] != CONTINUE:
                return answer, []
            name, _, value = line.partition(b":")
            answer = self.header(name, value)
        if answer[0] == CONTINUE:
            answer = self.eoh()
        if answer[0] == CONTINUE:
            answer = self.body(body, piece)
        if answer[0] not in (CONTINUE, SKIP):
            return answer, []
        return self.eom()

    def close(self, quietly=True):
        if quietly:
            try:
                self.send(QUIT)
            except OSError:
                pass
        self.socket.close()


def reply_text(answer):
    """The text of a reply: "451 4.3.2 ...", with libmilter's doubled percent signs undone."""
    return answer[1].rstrip(b"\0").decode(errors="replace").replace("%%", "%")


def body_of(edits):
    """The new body that the edits make, None when they leave it."""
    pieces = [data for command, data in edits if command == REPLBODY]
    return b"".join(pieces) if pieces else None
