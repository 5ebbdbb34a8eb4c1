"""A proxy between smimed and the MTA's listener for copies: it records what is said, and stops at a chosen step."""

import contextlib
import socket
import threading


class Listener:
    """A socket; each connection is talked with in a thread of its own (`talk`, with its number), and all can be dropped."""

    def __init__(self, scratch, listener):
        self.reached = threading.Event()  # the chosen step
        self.sockets = []
        self.count = 0
        self.lock = threading.Lock()
        self.closed = False
        self.listener = listener
        self.listener.settimeout(0.1)
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()
        scratch.add(self.close)

    def drop(self):
        """Ends every connection."""
        with self.lock:
            sockets, self.sockets = self.sockets, []
        for one in sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self):
        self.closed = True
        self.drop()
        self.thread.join()

    def _accept(self):
        while not self.closed:
            try:
                peer, _ = self.listener.accept()
            except TimeoutError:
                continue
            peer.settimeout(None)
            with self.lock:
                self.count += 1
                number = self.count
            threading.Thread(target=self.talk, args=(peer, number), daemon=True).start()
        self.listener.close()


class Proxy(Listener):
    """Forwards to `port` on loopback. `recorded`: what the client said, a connection each. With `stall(verb)`, the line of the
    client that begins with it is not passed on ("." is the end of the content), or with `after` its reply is not. `on_end` is
    called when the reply to the end of a content has come, before it is passed on."""

    def __init__(self, scratch, port):
        self.target = port
        self.recorded = []
        self.stalled = None  # (verb, number of the connection from now or 0, after)
        self.on_end = None
        super().__init__(scratch, socket.create_server(("127.0.0.1", 0), backlog=64))
        self.port = self.listener.getsockname()[1]

    def stall(self, verb, connection=0, after=False):
        with self.lock:
            self.stalled = (verb.encode(), connection, after) if verb else None
            self.count = 0
            self.reached.clear()

    def _is_stalled(self, line, number, after):
        with self.lock:
            if not self.stalled:
                return False
            verb, connection, late = self.stalled
            here = line.rstrip(b"\r\n") == b"." if verb == b"." else line.upper().startswith(verb)
            return here and late == after and connection in (0, number)

    def _stop(self):
        self.reached.set()

    def _reply(self, answers, client):
        """Passes one reply on; the whole of it."""
        text = b""
        while True:
            line = answers.readline()
            text += line
            if not line or line[3:4] != b"-":
                return text

    def talk(self, client, number):
        said = []
        with contextlib.suppress(OSError), client, socket.create_connection(("127.0.0.1", self.target)) as server:
            with self.lock:
                self.sockets += [client, server]
                index = len(self.recorded)
                self.recorded.append(b"")
            lines, answers = client.makefile("rb"), server.makefile("rb")
            client.sendall(self._reply(answers, client))
            content = False
            for line in lines:
                said.append(line)
                self.recorded[index] = b"".join(said)
                end = line == b".\r\n"
                if (not content or end) and self._is_stalled(line, number, False):
                    self._stop()
                    lines.read()  # until somebody ends it
                    return
                server.sendall(line)
                if content and not end:
                    continue
                reply = self._reply(answers, client)
                content = reply.startswith(b"354")
                if self._is_stalled(line, number, True):
                    self._stop()
                    lines.read()
                    return
                if end and self.on_end:
                    self.on_end()
                client.sendall(reply)
                if line.startswith(b"QUIT"):
                    return
