"""A proxy between Postfix and the socket of smimed: it stops at a chosen packet of smimed's answer to the end of a message."""

import contextlib
import os
import socket
import struct
import threading

from proxy import Listener


class MilterProxy(Listener):
    """Listens on `path` and forwards to the socket of smimed. With `stall(command)` the first packet of smimed's that has
    this command letter (b"i" a field, b"b" the body, b"-" a recipient, b"c" go on) after the end of the message is not passed
    on, or with `after` what follows it is not."""

    def __init__(self, scratch, path, target):
        self.path, self.target = str(path), str(target)
        self.stalled = None  # (command, after)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self.path)
        os.chmod(path, 0o666)
        listener.listen(64)
        super().__init__(scratch, listener)

    def stall(self, command, after=False):
        with self.lock:
            self.stalled = (command, after) if command else None
            self.reached.clear()

    def talk(self, mta, number):
        ours = socket.socket(socket.AF_UNIX)
        try:
            ours.connect(self.target)
        except OSError:
            mta.close()
            return
        with self.lock:
            self.sockets += [mta, ours]
        state = {"end": False}
        threading.Thread(target=self._forward, args=(mta, ours, state, False), daemon=True).start()
        self._forward(ours, mta, state, True)

    def _is_stalled(self, command, after):
        with self.lock:
            return self.stalled == (command, after)

    def _forward(self, source, target, state, answers):
        with contextlib.suppress(OSError, struct.error), source.makefile("rb") as packets:
            while True:
                head = packets.read(4)
                body = packets.read(struct.unpack(">I", head)[0])
                command = body[:1]
                if not answers:
                    state["end"] = state["end"] or command == b"E"
                    if command in (b"M", b"A"):
                        state["end"] = False
                elif state["end"] and self._is_stalled(command, False):
                    self.reached.set()
                    return
                target.sendall(head + body)
                if answers and state["end"] and self._is_stalled(command, True):
                    self.reached.set()
                    return
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)
