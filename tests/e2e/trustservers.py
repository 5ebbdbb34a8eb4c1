"""Real servers for the tests of trust, private ones on loopback: Redis with passwords and an ACL user, Sentinels, slapd with
CRLs in it, and a clock for smimed. Each is ended by its process id."""

import base64
import contextlib
import datetime
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess

from harness import TOP, Skip, free_port, now, run, stop_process, wait_until

USER, PASSWORD, ADMIN = "gateway", "a pass word of the gateway", "administrator"
RIGHTS = "+get +set +del +eval +getrange +select +info"


class Clock:
    """The time as smimed sees it: real time and an offset that the test moves (moved_clock.c). Deadlines go by the monotonic
    clock, which stays real."""

    def __init__(self, scratch, name="clock"):
        if os.environ.get("SAN"):
            raise Skip("a sanitizer wants to be the first library")
        library = scratch.path / f"{name}.so"
        run("gcc", "-std=c11", "-D_GNU_SOURCE", "-O2", "-shared", "-fPIC", "-o", library, TOP / "tests/e2e/moved_clock.c")
        self.file = scratch.path / name
        self.move(datetime.timedelta())
        self.environment = {"LD_PRELOAD": str(library), "MOVED_CLOCK": str(self.file)}

    def move(self, offset):
        """To real time plus `offset`, from the next question on."""
        self.offset = offset
        with open(self.file, "r+b" if self.file.exists() else "wb") as file:
            file.write(struct.pack("=q", int(offset.total_seconds())))

    def now(self):
        return now() + self.offset


# ---- Redis -------------------------------------------------------------------------------------


class Resp:
    """A client of Redis: whoever it is that writes into it. An error reply is raised as RuntimeError."""

    def __init__(self, address, password=ADMIN, user="default"):
        if isinstance(address, int):
            self.socket = socket.create_connection(("127.0.0.1", address), timeout=30)
        else:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(30)
            self.socket.connect(str(address))
        self.file = self.socket.makefile("rb")
        if password:
            self("AUTH", user, password)

    def __call__(self, *words):
        words = [w if isinstance(w, bytes) else str(w).encode() for w in words]
        self.socket.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words))
        return self._answer()

    def _answer(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("Redis hung up")
        kind, text = line[:1], line[1:-2]
        if kind == b"-":
            raise RuntimeError(text.decode())
        if kind in (b"$", b"*") and text == b"-1":
            return None
        if kind == b"$":
            return self.file.read(int(text) + 2)[:-2]
        if kind == b"*":
            return [self._answer() for _ in range(int(text))]
        return int(text) if kind == b":" else text

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.socket.close()


class Redis:
    """A redis-server that keeps nothing on disk; a Unix socket and a port, an administrator and the user of the gateway."""

    def __init__(self, scratch, name="redis", start=True, options=(), replica_of=None):
        if not shutil.which("redis-server"):
            raise Skip("redis-server is not installed")
        self.path = scratch.folder(name)
        self.port, self.socket = free_port(), self.path / "sock"
        self.process = None
        self.file = self.path / "redis.conf"
        lines = [f"bind 127.0.0.1", f"port {self.port}", f"unixsocket {self.socket}", 'save ""', f"dir {self.path}",
                 f"logfile {self.path}/log", f"requirepass {ADMIN}", f"masterauth {ADMIN}", "repl-diskless-sync-delay 0",
                 f'user {USER} on ">{PASSWORD}" ~smimed:* {RIGHTS}', *options]
        if replica_of:
            lines.append(f"replicaof 127.0.0.1 {replica_of}")
        self.file.write_text("\n".join(lines) + "\n")
        scratch.add(self.stop)
        if start:
            self.start()

    def start(self):
        self.process = subprocess.Popen(["redis-server", self.file], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.STDOUT)
        wait_until(self._answers, 20, "Redis")

    def _answers(self):
        if self.process.poll() is not None:
            raise AssertionError("Redis ended: " + (self.path / "log").read_text())
        with contextlib.suppress(OSError, ConnectionError, RuntimeError):
            with self.client() as client:
                return client("PING") == b"PONG"
        return False

    def client(self):
        return Resp(self.port)

    def command(self, *words):
        with self.client() as client:
            return client(*words)

    def keys(self, pattern="smimed:*"):
        return sorted(self.command("KEYS", pattern))

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process = None
        with contextlib.suppress(FileNotFoundError):
            self.socket.unlink()

    def stop(self):
        if self.process:
            self.process.send_signal(signal.SIGCONT)
            stop_process(self.process)
            self.process = None


class Sentinels:
    """Three Sentinels that watch a Redis and choose another master when it is gone."""

    def __init__(self, scratch, master, name="fleet", count=3):
        self.name, self.ports, self.processes = name, [], []
        for i in range(count):
            path = scratch.folder(f"sentinel-{i}")
            port = free_port()
            file = path / "sentinel.conf"
            file.write_text(f"bind 127.0.0.1\nport {port}\ndir {path}\nlogfile {path}/log\n"
                            f"sentinel monitor {name} 127.0.0.1 {master.port} 2\nsentinel auth-pass {name} {ADMIN}\n"
                            f"sentinel down-after-milliseconds {name} 500\nsentinel failover-timeout {name} 3000\n"
                            f"sentinel parallel-syncs {name} 1\n")
            process = subprocess.Popen(["redis-server", file, "--sentinel"], stdin=subprocess.DEVNULL,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
            scratch.add(lambda process=process: stop_process(process))
            self.ports.append(port)
            self.processes.append(process)
        for port in self.ports:
            wait_until(lambda port=port: self._knows(port, count), 30, "Sentinel that knows the others and the replica")

    def _knows(self, port, count):
        with contextlib.suppress(OSError, ConnectionError, RuntimeError):
            with Resp(port, password=None) as client:
                answer = client("SENTINEL", "MASTER", self.name)
                known = dict(zip(answer[::2], answer[1::2]))
                return int(known[b"num-other-sentinels"]) == count - 1 and int(known[b"num-slaves"]) >= 1
        return False

    def master(self):
        with Resp(self.ports[0], password=None) as client:
            return int(client("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.name)[1])


# ---- a directory with CRLs -------------------------------------------------------------------------


class Slapd:
    """slapd with entries that hold CRLs and certificates of CAs, as Active Directory's configuration partition does."""

    BASE = "dc=trust,dc=test"

    def __init__(self, scratch, name="slapd"):
        if not shutil.which("slapd"):
            raise Skip("slapd is not installed")
        self.path = scratch.folder(name)
        (self.path / "db").mkdir()
        self.port = free_port()
        self.url = f"ldap://127.0.0.1:{self.port}"
        self.entries = {}
        self.process = None
        modules = next(p for p in ("/usr/lib/ldap",) if pathlib.Path(p).is_dir())
        self.file = self.path / "slapd.conf"
        self.file.write_text("".join(f"include /etc/ldap/schema/{s}.schema\n" for s in ("core", "cosine", "inetorgperson"))
                             + f"pidfile {self.path}/pid\nmodulepath {modules}\nmoduleload back_mdb\n"
                             f"database mdb\nmaxsize 268435456\nsuffix \"{self.BASE}\"\nrootdn \"cn=admin,{self.BASE}\"\n"
                             f"rootpw secret\ndirectory {self.path}/db\naccess to * by * read\n")
        scratch.add(self.stop)

    def put(self, common, crl=None, ca=None):
        """An entry cn=COMMON; returns the ldap:/// URL of what it holds."""
        dn = f"cn={common},{self.BASE}"
        kind = ["cRLDistributionPoint"] if crl else ["applicationProcess", "pkiCA"]
        lines = [f"dn: {dn}", *(f"objectClass: {k}" for k in kind), f"cn: {common}"]
        lines += [f"{attribute};binary:: {base64.b64encode(value).decode()}" for attribute, value in (
            ("certificateRevocationList", crl), ("cACertificate", ca)) if value]
        self.entries[dn] = "\n".join(lines) + "\n"
        attribute = "certificateRevocationList" if crl else "cACertificate"
        return f"ldap:///{dn.replace(' ', '%20')}?{attribute};binary?base?objectClass=*"

    def start(self):
        ldif = self.path / "entries.ldif"
        ldif.write_text(f"dn: {self.BASE}\nobjectClass: dcObject\nobjectClass: organization\ndc: trust\no: trust\n\n"
                        + "\n".join(self.entries.values()))
        run("slapadd", "-q", "-f", self.file, "-l", ldif)
        self.process = subprocess.Popen(["slapd", "-d", "0", "-h", self.url, "-f", self.file], stdin=subprocess.DEVNULL,
                                        stdout=open(self.path / "log", "wb"), stderr=subprocess.STDOUT)
        wait_until(self._answers, 20, "slapd")

    def _answers(self):
        if self.process.poll() is not None:
            raise AssertionError("slapd ended: " + (self.path / "log").read_text(errors="replace"))
        with contextlib.suppress(OSError):
            with socket.create_connection(("127.0.0.1", self.port), timeout=5):
                return True
        return False

    def stop(self):
        if self.process:
            stop_process(self.process)
            self.process = None
