#!/usr/bin/env python3
"""Hostile certificates choose the URLs that a gateway asks. In a network of its own (a network namespace with loopback
alone, every refused network on it, a DNS server that lies) nothing refused is ever touched, in whatever way the URL is
written, through DNS or by redirect; and with the network allowed by configuration the same tripwire rings."""

import contextlib
import ctypes
import fcntl
import os
import pathlib
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading

from harness import Skip, main, wait_until
from trustca import aia, cdp, freshest
from trustnet import Http, Tripwire, redirect
from trustworld import World

CLOSERS = []
INSIDE = "SMIMED_TEST_NAMESPACE"
PUBLIC = "1.2.3.4"       # one host that may be asked; on loopback, since this network ends here
V4 = ["127.0.0.1", "127.9.9.9", "10.1.2.3", "100.64.0.7", "169.254.169.254", "172.16.0.9", "192.0.0.8", "192.168.1.1", "198.18.0.1"]
V6 = ["::1", "fd00::7", "fe80::7", "64:ff9b::a00:1", "2002:a01:203::1"]
PORT = 8080              # besides 80 and 443


class Dns:
    """A name server on loopback whose names lead where they should not."""

    def __init__(self, names):
        self.names, self.asked, self.closed = names, [], False
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 53))
        self.socket.settimeout(0.1)
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def close(self):
        self.closed = True
        self.thread.join()
        self.socket.close()

    def _serve(self):
        while not self.closed:
            with contextlib.suppress(TimeoutError, ValueError, IndexError):
                query, peer = self.socket.recvfrom(4096)
                self.socket.sendto(self._answer(query), peer)

    def _answer(self, query):
        at, labels = 12, []
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode("latin-1").lower())
            at += 1 + query[at]
        question, kind = query[12:at + 5], struct.unpack(">H", query[at + 1:at + 3])[0]
        name = ".".join(labels)
        self.asked.append((name, kind))
        found = self.names.get(name)
        found = found(sum(1 for n, k in self.asked if (n, k) == (name, kind))) if callable(found) else found or []
        family, size = {1: (socket.AF_INET, 4), 28: (socket.AF_INET6, 16)}.get(kind, (None, 0))
        records = [socket.inet_pton(family, a) for a in found if family and (":" in a) == (size == 16)]
        head = query[:2] + struct.pack(">HHHHH", 0x8580 if name in self.names else 0x8583, 1, len(records), 0, 0)
        return head + question + b"".join(b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 0, size) + r for r in records)


NAMES = {
    "loop.trust.test": ["127.0.0.1"], "other.trust.test": ["127.9.9.9"], "private.trust.test": ["10.1.2.3"],
    "metadata.trust.test": ["169.254.169.254"], "six.trust.test": ["::1"], "mapped.trust.test": ["::ffff:127.0.0.1"],
    "local.trust.test": ["fd00::7"], "nat64.trust.test": ["64:ff9b::a00:1"], "zero.trust.test": ["0.0.0.0"],
    # Another answer each time: what was judged is what must be asked.
    "rebind.trust.test": lambda n: [PUBLIC] if n % 2 else ["127.0.0.1"],
    "public.trust.test": [PUBLIC],
}


def shapes():
    """{name: URL}: every way to say "this machine" or "the network behind it"."""
    hosts = {
        "literal": "127.0.0.1", "short": "127.1", "number": "2130706433", "hexadecimal": "0x7f000001",
        "hex parts": "0x7f.0x0.0x0.0x1",
        "octal": "0177.0.0.1", "octal long": "00000177.00000000.1", "mixed": "0x7f.1", "zero": "0.0.0.0", "zero short": "0",
        "other 127": "127.9.9.9", "dot behind": "127.0.0.1.", "localhost": "localhost", "LOCALHOST": "LOCALHOST.",
        "sub of localhost": "x.localhost", "full width": "１２７.０.０.１", "circled": "①②⑦.⓪.⓪.①", "ideographic dot": "127。0。0。1",
        "escaped": "%31%32%37.0.0.1", "ten": "10.1.2.3", "shared": "100.64.0.7", "metadata": "169.254.169.254",
        "172": "172.16.0.9", "192.0.0": "192.0.0.8", "192.168": "192.168.1.1", "benchmark": "198.18.0.1",
        "::1": "[::1]", "long ::1": "[0000:0000:0000:0000:0000:0000:0000:0001]", "mapped": "[::ffff:127.0.0.1]",
        "mapped hex": "[::ffff:7f00:1]", "compatible": "[::127.0.0.1]", "nat64": "[64:ff9b::a00:1]", "unique local": "[fd00::7]",
        "link local": "[fe80::7%25lo]", "6to4": "[2002:a01:203::1]", "unspecified": "[::]",
    }
    urls = {name: f"http://{host}/x" for name, host in hosts.items()}
    urls.update({f"port {name}": f"http://{hosts[name]}:{PORT}/x" for name in ("literal", "mapped", "localhost", "::1")})
    urls.update({
        "https": "https://127.0.0.1/x", "userinfo": f"http://{PUBLIC}@127.0.0.1/x", "two colons": "http://127.0.0.1:80:80/x",
        "userinfo long": f"http://{PUBLIC}:80@127.0.0.1:80/x", "userinfo behind": f"http://127.0.0.1@{PUBLIC}/x",
        "backslash": f"http://{PUBLIC}\\@127.0.0.1/x", "hash": f"http://127.0.0.1#@{PUBLIC}/x",
        "slashes": "http:///127.0.0.1/x", "no slashes": "http:127.0.0.1/x", "blank": "http://127.0.0.1 /x",
        "newline": "http://127.0.0.1\r\nHost: y/x", "tab": "http://127.0.0.1\t/x", "NUL": "http://127.0.0.1\0.test/x",
        "upper": "HTTP://127.0.0.1/x", "ftp": "ftp://127.0.0.1:80/x", "gopher": "gopher://127.0.0.1:80/_x",
        "file": "file:///etc/passwd", "dict": "dict://127.0.0.1:80/x", "tftp": "tftp://127.0.0.1/x",
        "ldap host": "ldap://127.0.0.1:80/cn=x?certificateRevocationList", "smb": "smb://127.0.0.1/x", "relative": "/x",
        "scheme-less": "//127.0.0.1/x", "data": "data:,x", "telnet": "telnet://127.0.0.1:80",
    })
    urls.update({f"DNS {name.split('.')[0]}": f"http://{name}/x" for name in NAMES if name != "public.trust.test"})
    return urls


# ---- the network of its own ----------------------------------------------------------------------


def enter():
    """Runs this program again in namespaces of its own; what it prints is what we print."""
    if os.geteuid() != 0 or not shutil.which("unshare"):
        return False
    if subprocess.run(["unshare", "--net", "--mount", "true"], capture_output=True, check=False).returncode:
        return False
    done = subprocess.run(["unshare", "--net", "--mount", sys.executable, *sys.argv], check=False,
                          env=dict(os.environ, **{INSIDE: "1"}))
    sys.exit(done.returncode)


def network_up():
    with socket.socket() as s:
        fcntl.ioctl(s, 0x8914, struct.pack("16sH14x", b"lo", 0x1 | 0x40))  # SIOCSIFFLAGS: up, running
        for i, address in enumerate([*V4[1:], PUBLIC]):
            request = struct.pack("16sHH4s8x", b"lo:%d" % (i + 1), socket.AF_INET, 0, socket.inet_aton(address))
            fcntl.ioctl(s, 0x8916, request)  # SIOCSIFADDR
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as s:
        index = socket.if_nametoindex("lo")
        for address in V6[1:]:
            with contextlib.suppress(OSError):
                fcntl.ioctl(s, 0x8916, socket.inet_pton(socket.AF_INET6, address) + struct.pack("=Ii", 128, index))


def resolver_here():
    """Names are asked of our server alone: other files in the place of those in /etc, in this mount namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mount(b"none", b"/", None, 0x4000 | 0x40000, None)  # MS_REC | MS_PRIVATE
    folder = pathlib.Path(tempfile.mkdtemp(prefix="smimed-dns-", dir="/tmp"))
    CLOSERS.append(lambda: shutil.rmtree(folder, ignore_errors=True))
    files = {"resolv.conf": "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n", "nsswitch.conf": "hosts: files dns\n",
             "hosts": "127.0.0.1 localhost\n"}
    for name, text in files.items():
        (folder / name).write_text(text)
        target = os.path.realpath(f"/etc/{name}")
        if libc.mount(str(folder / name).encode(), target.encode(), None, 0x1000, None):  # MS_BIND
            raise Skip(f"cannot mount {target}")


class Stage:
    made = None

    def __init__(self):
        network_up()
        resolver_here()
        self.world = World("tripwire")
        CLOSERS.append(self.world.close)
        self.dns = Dns(NAMES)
        CLOSERS.insert(0, self.dns.close)
        addresses = [(a, p) for a in V4 for p in (80, 443, PORT)]
        for address in V6:
            with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as s:
                s.bind((address, 0) if not address.startswith("fe80") else (address, 0, 0, socket.if_nametoindex("lo")))
                addresses += [(address, p) for p in (80, 443, PORT)] if not address.startswith("fe80") else []
        self.tripwire = Tripwire(self.world.scratch, addresses)
        print(f"# the tripwire has {len(addresses)} addresses")
        # The world's own lists are on the public host: that one may be asked.
        self.public = Http(self.world.scratch, PUBLIC, 80)
        self.public.paths = self.world.http.paths
        self.world.http.base = self.public.base
        self.world.publish(self.world.root, "/root.crl")
        self.issuer = self.world.issuer("open to all")

    def asking_for_status(self, url):
        """A message that makes a gateway ask for a CRL, a delta and OCSP."""
        w, ca = self.world, self.issuer
        return w.sign(ca.user("bob@partner.example", next(w.keys), [cdp(url), freshest(url), aia([url], [url])]), ca.certificate)

    def asking_for_issuer(self, url):
        w, ca = self.world, self.issuer
        return w.sign(ca.user("bob@partner.example", next(w.keys), [cdp(w.url(ca)), aia([url])]))

    def messages(self, url):
        return [self.asking_for_status(url), self.asking_for_issuer(url)]


def stage():
    if not os.environ.get(INSIDE):
        raise Skip("needs root and namespaces: a network of its own")
    Stage.made = Stage.made or Stage()
    return Stage.made


SETTINGS = {"fetch_allow_networks": None, "fetch_timeout": "1s", "fetch_connect_timeout": "1s"}


def test_the_public_host_is_asked():
    it = stage()
    w = it.world
    with w.gateway(**SETTINGS) as gateway:
        assert gateway.receive(w.sign(w.person(it.issuer))).result == "pass", gateway.text()
        by_name = w.person(it.issuer, crl=[w.url(it.issuer).replace(PUBLIC, "public.trust.test")])
        assert gateway.receive(w.sign(by_name)).result == "pass", gateway.text()
    assert not it.tripwire.touched, it.tripwire.touched


def test_no_shape_of_url_touches_the_tripwire():
    it = stage()
    urls = shapes()
    problems = []
    messages = {name: it.messages(url) for name, url in urls.items()}
    for any_port in ("yes", "no"):
        with it.world.gateway(fetch_any_port=any_port, **SETTINGS) as gateway:
            for name, url in urls.items():
                it.tripwire.touched.clear()
                for message in messages[name]:
                    verdict = gateway.receive(message)
                    if verdict.result not in ("temperror", "fail", "policy"):
                        problems.append(f"{name}: {verdict}")
                if it.tripwire.touched:
                    problems.append(f"{name} {url!r}: {it.tripwire.touched}")
    print(f"# {len(urls)} shapes, each asked for CRL, delta, OCSP and issuer")
    assert len(urls) >= 40 and not problems, "\n".join(problems)


def test_no_redirect_leads_to_the_tripwire():
    it = stage()
    problems = []
    urls = {name: url for name, url in shapes().items() if "\r" not in url and "\0" not in url}
    with it.world.gateway(**SETTINGS) as gateway:
        for i, (name, url) in enumerate(urls.items()):
            it.tripwire.touched.clear()
            code = ("301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent")[i % 5]
            it.public.put(f"/r{i}", redirect(url, code))
            it.public.put(f"/rr{i}", redirect(f"http://public.trust.test/r{i}", code))
            # The status by one redirect, the issuer by two.
            for message in (it.asking_for_status(f"{it.public.base}/r{i}"), it.asking_for_issuer(f"{it.public.base}/rr{i}")):
                verdict = gateway.receive(message)
                if verdict.result not in ("temperror", "fail", "policy"):
                    problems.append(f"{name}: {verdict}")
            if it.tripwire.touched:
                problems.append(f"{name} {url!r}: {it.tripwire.touched}")
            if not it.public.count(f"/r{i}"):
                problems.append(f"{name}: the redirect was not asked")
    assert not problems, "\n".join(problems)


def test_the_tripwire_rings_where_the_network_is_allowed():
    it = stage()
    it.tripwire.touched.clear()
    with it.world.gateway(**{**SETTINGS, "fetch_allow_networks": "127.0.0.0/8"}) as gateway:
        for url in ("http://127.0.0.1/x", f"http://127.9.9.9:{PORT}/x", "http://loop.trust.test/x"):
            before = len(it.tripwire.touched)
            for message in it.messages(url):
                gateway.receive(message)
            wait_until(lambda: len(it.tripwire.touched) > before, 10, f"touch by {url}")
    # An exception is for what it names, not for its neighbours.
    it.tripwire.touched.clear()
    with it.world.gateway(**{**SETTINGS, "fetch_allow_networks": "127.9.9.9/32"}) as gateway:
        for url in ("http://127.0.0.1/x", "http://10.1.2.3/x", "http://loop.trust.test/x", "http://[::1]/x"):
            for message in it.messages(url):
                gateway.receive(message)
    assert not it.tripwire.touched, it.tripwire.touched


if __name__ == "__main__":
    if not os.environ.get(INSIDE):
        enter()
    main(globals())
