"""What a slow directory does to those who do not need it: a thousand connections, a hundred of which wait for it.

The others send at half of the measured capacity, once beside a hundred connections that do nothing and once beside a hundred that
wait; the p99 of both is compared. The directory is a server that answers every search after a time."""

import json
import socketserver
import subprocess
import threading
import time

from world import TOOLS, Gateway, work_options

DELAY_S, SECONDS, OTHERS, WAITING = 2.0, 5.0, 900, 100

CONFIG = """
sender_identity = off
directory "slow" {{
    servers = ldap://127.0.0.1:{port}
    base = "dc=slow,dc=example"
    schema = openldap
    starttls = no
}}
rule "slow" {{
    direction = out
    recipient = *@slow.example
    sign = never
    encrypt = always
}}
"""


def element(octets):
    """The first BER element of the octets: its identifier, its contents, the rest. None: not all there yet."""
    if len(octets) < 2:
        return None
    size, begin = octets[1], 2
    if size & 0x80:
        begin += size & 0x7f
        size = int.from_bytes(octets[2:begin], "big")
    if len(octets) < begin + size:
        return None
    return octets[0], octets[begin:begin + size], octets[begin + size:]


class Session(socketserver.BaseRequestHandler):
    """One LDAP connection: binds succeed at once, searches find nothing, later (RFC 4511 4.2, 4.5)."""

    def handle(self):
        held = b""
        while True:
            while (one := element(held)) is not None:
                held = one[2]
                _, number, rest = element(one[1])
                operation = rest[0]
                if operation == 0x60:
                    self.answer(number, 0x61)
                elif operation == 0x63:
                    threading.Timer(DELAY_S, self.answer, (number, 0x65)).start()
                elif operation == 0x42:
                    return
            piece = self.request.recv(65536)
            if not piece:
                return
            held += piece

    def answer(self, number, operation):
        message = bytes([2, len(number)]) + number + bytes([operation, 7, 10, 1, 0, 4, 0, 4, 0])
        try:
            self.request.sendall(bytes([0x30, len(message)]) + message)
        except OSError:
            pass


class Directory(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True


def waiting(gateway):
    """A hundred connections, each of whose messages needs what the directory alone knows."""
    options = {"c": WAITING, "d": SECONDS + 2, "F": "rsa2048@example.org", "T": "n#@slow.example"}
    command = [str(TOOLS / "mload"), "-s", gateway.milter]
    for name, value in options.items():
        command += [f"-{name}", str(value)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def measure(scratch, users, messages):
    server = Directory(("127.0.0.1", 0), Session)
    scratch.add(server.shutdown)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    gateway = Gateway(scratch, users, name="smimed-slow", config=CONFIG.format(port=server.server_address[1]))
    options = work_options("sign", "4k", messages)
    gateway.load(messages=1, **options)  # whose directory answer is kept from here on
    capacity = gateway.load(connections=4, seconds=SECONDS / 2, **options)
    found = {"capacity": capacity}
    for name, slow in (("alone", False), ("beside 100 that wait", True)):
        other = waiting(gateway) if slow else None
        time.sleep(1)
        found[name] = gateway.load(connections=OTHERS, seconds=SECONDS, offered=capacity["rate"] / 2, **options)
        if found[name]["lost"]:
            raise RuntimeError(f"slow directory, {name}: {found[name]}")
        if other:
            found["those that wait"] = json.loads(other.communicate()[0])
            if found["those that wait"]["p50_us"] < DELAY_S * 1e6:
                raise RuntimeError(f"nobody waited for the slow directory: {found['those that wait']}")
    gateway.stop()
    return found
