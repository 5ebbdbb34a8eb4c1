"""The network side of the test CAs: an HTTP server on loopback that counts requests and misbehaves per path, OCSP
responders, and a tripwire."""

import base64
import contextlib
import select
import socket
import struct
import threading
import time
import urllib.parse

import trustca
from harness import free_port, run, stop_process, wait_until
from trustca import HOUR, now


class Request:
    def __init__(self, method, target, fields, body):
        self.method, self.target, self.fields, self.body = method, target, fields, body


# What a path can do. Each is called with the connected socket, the request, and the server.


def body(content, kind="application/octet-stream", status="200 OK", fields=()):
    """An ordinary answer. `content` may be a function of the request."""
    def answer(peer, request, server):
        octets = content(request) if callable(content) else content
        head = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(octets)}", "Connection: close", *fields]
        peer.sendall("\r\n".join(head).encode() + b"\r\n\r\n" + octets)
    return answer


def status(text):
    return body(b"no\n", "text/plain", text)


def redirect(to, code="302 Found"):
    return body(b"", status=code, fields=[f"Location: {to}"])


def slow(content, pause=1.0):
    """One octet at a time, for as long as the peer listens."""
    def answer(peer, request, server):
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(content))
        for i in range(len(content)):
            if server.wait(pause, peer):
                return
            peer.sendall(content[i:i + 1])
    return answer


def reset(content, after=None):
    """Breaks the connection (RST) in the middle of the body."""
    def answer(peer, request, server):
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(content) + content[:after or len(content) // 2])
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return answer


def huge(octets=200 << 20, chunked=True):
    """As many octets as asked for, announced or not."""
    def answer(peer, request, server):
        piece = b"\0" * 65536
        peer.sendall(b"HTTP/1.1 200 OK\r\n" + (b"Transfer-Encoding: chunked\r\n\r\n" if chunked
                                               else b"Content-Length: %d\r\n\r\n" % octets))
        for _ in range(octets // len(piece)):
            peer.sendall((b"10000\r\n" + piece + b"\r\n") if chunked else piece)
            server.sent += len(piece)
        if chunked:
            peer.sendall(b"0\r\n\r\n")
    return answer


def hang():
    """Takes the request and never answers."""
    def answer(peer, request, server):
        server.wait(3600, peer)
    return answer


def late(answer, seconds):
    """The same answer, later."""
    def wait(peer, request, server):
        server.wait(seconds, peer)
        answer(peer, request, server)
    return wait


class Http:
    """`paths[path]` answers; requests are counted by path (`asked`, `answered`), and connections in all."""

    def __init__(self, scratch, host="127.0.0.1", port=0, family=socket.AF_INET):
        self.paths, self.asked, self.answered, self.connections, self.sent = {}, {}, {}, 0, 0
        self.requests = []
        self.lock = threading.Lock()
        self.blackhole = False  # everything is taken and nothing answered
        self.closing = threading.Event()
        self.listener = socket.socket(family)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((host, port))
        self.listener.listen(256)
        self.listener.settimeout(0.1)
        self.port = self.listener.getsockname()[1]
        self.base = f"http://{host}:{self.port}"
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()
        scratch.add(self.close)

    def close(self):
        self.closing.set()
        self.thread.join()

    def wait(self, seconds, peer):
        """True when the server closes or the peer is gone before the time is over."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.closing.wait(min(0.05, max(0, end - time.monotonic()))):
                return True
            readable, _, _ = select.select([peer], [], [], 0)
            if readable:
                with contextlib.suppress(OSError):
                    if peer.recv(1, socket.MSG_PEEK):
                        continue
                return True
        return False

    def put(self, path, answer):
        self.paths[path] = answer if callable(answer) else body(answer)
        return self.base + path

    def count(self, path=None):
        with self.lock:
            return self.asked.get(path, 0) if path else sum(self.asked.values())

    def forget(self):
        with self.lock:
            self.asked, self.requests = {}, []

    def _accept(self):
        while not self.closing.is_set():
            try:
                peer, _ = self.listener.accept()
            except TimeoutError:
                continue
            with self.lock:
                self.connections += 1
            peer.settimeout(30)
            threading.Thread(target=self._talk, args=(peer,), daemon=True).start()
        self.listener.close()

    def _talk(self, peer):
        with contextlib.suppress(OSError, ValueError), peer:
            request = self._read(peer)
            if not request:
                return
            path = request.target.split("?")[0]
            with self.lock:
                known = next((p for p in sorted(self.paths, key=len, reverse=True) if path == p or (
                    p.endswith("/*") and path.startswith(p[:-1]))), None)
                self.asked[known or path] = self.asked.get(known or path, 0) + 1
                self.requests.append(request)
                answer = hang() if self.blackhole else self.paths.get(known, status("404 Not Found"))
            answer(peer, request, self)
            with self.lock:
                self.answered[path] = self.answered.get(path, 0) + 1
            if peer.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8) == struct.pack("ii", 1, 0):
                return
            with contextlib.suppress(OSError):
                peer.shutdown(socket.SHUT_WR)

    @staticmethod
    def _read(peer):
        data = b""
        while b"\r\n\r\n" not in data:
            piece = peer.recv(65536)
            if not piece or len(data) > 1 << 20:
                return None
            data += piece
        head, _, rest = data.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        fields = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:])}
        while len(rest) < int(fields.get("content-length", 0)):
            rest += peer.recv(65536)
        method, target = lines[0].split(" ")[:2]
        return Request(method, target, fields, rest)


def dead_url(path="/dead.crl"):
    """A URL of a port that nobody listens on."""
    return f"http://127.0.0.1:{free_port()}{path}"


# ---- OCSP --------------------------------------------------------------------------------------


class Ocsp:
    """A responder below a path of an Http server. `say(cert_id, serial)` gives the SingleResponses; the rest is in fields
    that a test may set: `signer`, `certificates`, `produced`, `extensions`, `nonce`."""

    def __init__(self, http, path, ca, known=None):
        self.ca, self.signer, self.certificates = ca, ca.key, []
        self.statuses = known if known is not None else {}  # serial: "good" | "unknown" | ("revoked", moment)
        self.say, self.produced, self.extensions, self.nonce = None, None, [], True
        self.life = HOUR
        self.this = None
        self.url = http.put(path, body(self.respond, "application/ocsp-response"))
        http.paths[path + "/*"] = http.paths[path]
        self.path, self.http = path, http

    @property
    def count(self):
        return self.http.count(self.path) + self.http.count(self.path + "/*")

    def respond(self, request):
        if request.method == "POST":
            der = request.body
        else:
            der = base64.b64decode(urllib.parse.unquote(request.target[len(self.path) + 1:]))
        ids, serial, nonce = trustca.ocsp_request_parts(der)
        if self.say:
            singles = self.say(ids[0], serial)
            if isinstance(singles, bytes):
                return singles
        else:
            this = self.this or now() - HOUR / 60
            singles = [trustca.single(ids[0], self.statuses.get(serial, "unknown"), this, this + self.life)]
        extensions = [*self.extensions, *([nonce] if nonce and self.nonce else [])]
        return trustca.ocsp_response(self.signer, singles, self.produced, extensions, self.certificates)


class OpensslOcsp:
    """`openssl ocsp` as the responder, with the index of an authority: a delegated signer, as most have it."""

    def __init__(self, scratch, ca, key, good=(), revoked=()):
        import subprocess
        folder = scratch.folder(f"openssl-ocsp-{ca.common.replace(' ', '-')}")
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        lines = [f"V\t400101000000Z\t\t{c.serial:06X}\tunknown\t/CN=x\n" for c in good]
        lines += [f"R\t400101000000Z\t250101000000Z,keyCompromise\t{c.serial:06X}\tunknown\t/CN=x\n" for c in revoked]
        (folder / "index.txt").write_text("".join(lines))
        (folder / "ca.pem").write_bytes(ca.certificate.pem)
        (folder / "signer.pem").write_bytes(ca.ocsp_signer(key).pem)
        self.log = folder / "log"
        self.process = subprocess.Popen(
            ["openssl", "ocsp", "-index", folder / "index.txt", "-CA", folder / "ca.pem", "-rsigner", folder / "signer.pem",
             "-rkey", key.path, "-port", str(self.port), "-nmin", "60", "-text", "-out", self.log],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=open(folder / "stderr", "wb"))
        scratch.add(lambda: stop_process(self.process))
        # A connection that asks nothing would keep it busy: it says itself when it is ready.
        wait_until(lambda: b"waiting for OCSP client" in (folder / "stderr").read_bytes(), 20, "openssl ocsp")

    def ask(self, issuer_pem, cert_pem):
        return run("openssl", "ocsp", "-issuer", issuer_pem, "-cert", cert_pem, "-url", self.url, "-noverify",
                   "-timeout", "10", check=False)


# ---- the tripwire ------------------------------------------------------------------------------


class Tripwire:
    """Listeners that nobody may ever connect to. `touched` says who came and what was asked."""

    def __init__(self, scratch, addresses):
        self.touched = []
        self.closed = False
        self.listeners = []
        for host, port in addresses:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            listener = socket.socket(family)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind((host, port))
            listener.listen(64)
            self.listeners.append(listener)
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()
        scratch.add(self.close)

    def close(self):
        self.closed = True
        self.thread.join()
        for listener in self.listeners:
            listener.close()

    def _watch(self):
        while not self.closed:
            ready, _, _ = select.select(self.listeners, [], [], 0.1)
            for listener in ready:
                peer, _ = listener.accept()
                with peer, contextlib.suppress(OSError):
                    peer.settimeout(2)
                    self.touched.append((listener.getsockname()[:2], peer.recv(4096).split(b"\r\n")[0]))
                    peer.sendall(b"HTTP/1.1 404 no\r\nContent-Length: 0\r\n\r\n")
