#!/usr/bin/env python3
"""smimed between a real Postfix and whatever can go wrong: killed at every callback, reloaded, spent, looked into."""

import json
import os
import pathlib
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "scenario"))

from harness import (PATIENCE, Authority, Postfix, Scratch, Sink, Skip, Smimed, Smtp, main, need_root,  # noqa: E402
                     openssl_verify, run, submit, trust_config, wait_until)
from milter_client import CONTINUE, Milter, body_of, reply_text  # noqa: E402

SANITIZED = bool(os.environ.get("SAN"))


def message(subject="x", body=b"hello\r\n"):
    return (b"From: <alice@example.test>\r\nTo: <bob@remote.test>\r\nSubject: " + subject.encode()
            + b"\r\nMessage-ID: <" + subject.encode() + b"@example.test>\r\n\r\n" + body)


def config(authority, more=""):
    return (more + "sender_identity = off\nrevocation_outbound = off\nrevocation_inbound = off\n" + trust_config(authority)
            + 'rule "out" {\n    direction = out\n    sign = always\n}\n')


class World:
    """A CA, smimed with alice's key, a sink, and a Postfix, whose milter may be a proxy before smimed."""

    def __init__(self, scratch, more="", proxy=False, **postfix):
        need_root()
        self.authority = Authority(scratch)
        self.key, self.cert = self.authority.user("alice@example.test")
        self.smimed = Smimed(scratch, config(self.authority, more), start=False)
        self.authority.install_pair(self.smimed.keys, self.key, self.cert)
        self.smimed.start()
        self.sink = Sink(scratch)
        self.proxy = Proxy(scratch, self.smimed) if proxy else None
        self.postfix = Postfix(scratch, self.sink.port, f"unix:{self.proxy.path}" if proxy else self.smimed.milter,
                               **postfix)

    def submit(self, text):
        return submit(self.postfix.port, "alice@example.test", ["bob@remote.test"], text)

    def control(self, line):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(30 * PATIENCE)
            s.connect(str(self.smimed.control))
            s.sendall(line + b"\n")
            answer = b""
            while not answer.endswith(b"\n"):
                answer += s.recv(65536)
        return json.loads(answer)

    def check_signed(self, octets):
        assert b"multipart/signed" in octets, octets[:500]
        openssl_verify(octets, self.authority.root)


# ---- killed at every callback --------------------------------------------------------------------


class Proxy:
    """Stands between Postfix and smimed and counts the packets of the milter protocol, both ways. At packet
    `kill_at` it kills smimed: a packet to smimed is delivered first when `late`, a packet from smimed never."""

    def __init__(self, scratch, smimed):
        self.smimed = smimed
        self.path = scratch.path / "proxy.sock"
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        self.path.chmod(0o666)
        self.listener.listen(16)
        self.lock = threading.Lock()
        self.count, self.kill_at, self.late, self.seen, self.open = 0, 0, False, [], 0
        scratch.add(self.listener.close)
        threading.Thread(target=self._accept, daemon=True).start()

    def arm(self, kill_at, late=False):
        wait_until(lambda: self.open == 0, 20, "the end of the connection before")
        with self.lock:
            self.count, self.kill_at, self.late, self.seen = 0, kill_at, late, []

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        server = socket.socket(socket.AF_UNIX)
        with self.lock:
            self.open += 1
        try:
            server.connect(str(self.smimed.socket))
            pending = {client: b"", server: b""}
            while True:
                for source in select.select([client, server], [], [])[0]:
                    data = source.recv(65536)
                    if not data:
                        return
                    pending[source] += data
                    target, sent = (server, "to") if source is client else (client, "from")
                    while len(pending[source]) >= 4:
                        length = 4 + struct.unpack(">I", pending[source][:4])[0]
                        if len(pending[source]) < length:
                            break
                        packet, pending[source] = pending[source][:length], pending[source][length:]
                        if not self._pass(sent, packet, target):
                            return
        except OSError:
            pass
        finally:
            client.close()
            server.close()
            with self.lock:
                self.open -= 1

    def _pass(self, sent, packet, target):
        with self.lock:
            self.count += 1
            self.seen.append((sent, packet[4:5].decode("latin1")))
            die = self.count == self.kill_at
            if die and sent == "to" and self.late:
                target.sendall(packet)
                time.sleep(0.01)
            if die:
                self.smimed.process.kill()
                self.smimed.process.wait()
                return False
        target.sendall(packet)
        return True


def test_smimed_killed_at_every_packet_loses_and_leaks_nothing():
    with Scratch("kill") as scratch:
        world = World(scratch, proxy=True)
        body = b"".join(b"%06d the quick brown fox\r\n" % i for i in range(6000))  # three body pieces
        for i in range(2):
            world.proxy.arm(0)
            code, text = world.submit(message(f"warm-up{i}", body))
            assert code == 250, text
            world.check_signed(world.sink.take()[0][2])
        # What one message is, both ways, up to smimed's last word.
        packets = list(world.proxy.seen)
        end = packets.index(("to", "E"))
        total = packets.index(("from", "c"), end) + 1
        assert total > 25 and ("from", "b") in packets[end:total], packets
        for kill_at in range(1, total + 1):
            direction, kind = packets[kill_at - 1]
            for late in ((False, True) if direction == "to" and not SANITIZED else (False,)):
                name = f"k{kill_at}{'late' if late else ''}"
                world.proxy.arm(kill_at, late)
                where = f"packet {kill_at} of {total} ({direction} smimed, {kind!r}{', delivered' if late else ''})"
                try:
                    code, text = world.submit(message(name, body))
                except ConnectionError:
                    code, text = 421, ""
                dead = world.smimed.process is None or world.smimed.process.poll() is not None
                assert dead and world.proxy.seen[-1] == packets[kill_at - 1], f"{where}: {world.proxy.seen}"
                assert 400 <= code <= 499, f"{where}: {code} {text}"
                assert world.sink.messages == [], f"{where}: something went out: {world.sink.messages}"
                # A queue file of a transaction that was given up goes away on its own; it is never complete.
                wait_until(lambda: not world.postfix.queue(), 10, f"empty queue after {where}")
                world.proxy.arm(0)
                world.smimed.process = None
                world.smimed.start()
                code, text = world.submit(message(name, body))  # as the client would try again
                assert code == 250, f"{where}: then {text}"
                got = world.sink.take()
                assert len(got) == 1 and name.encode() in got[0][2], where
                assert b"multipart/signed" in got[0][2], where
        world.check_signed(got[0][2])
        time.sleep(0.5)
        assert world.sink.messages == [] and world.postfix.queue() == []


def test_smimed_dead_at_local_submission_keeps_the_mail_until_it_is_back():
    with Scratch("local") as scratch:
        world = World(scratch)
        world.smimed.kill()
        sendmail = subprocess.run(["/usr/sbin/sendmail", "-C", str(world.postfix.config), "-f", "alice@example.test",
                                   "bob@remote.test"], input=message("waits").replace(b"\r\n", b"\n"),
                                  capture_output=True, timeout=60 * PATIENCE,
                                  env={**os.environ, "MAIL_CONFIG": str(world.postfix.config)})
        if sendmail.returncode != 0:
            raise Skip("this Postfix's postdrop does not serve another configuration: "
                       + sendmail.stderr.decode(errors="replace")[:200])
        time.sleep(3)
        assert world.sink.messages == [], "it went out without smimed"
        world.smimed.start()
        # pickup would look again after a minute by itself.
        kick = ["postkick", "-c", world.postfix.config, "public", "pickup", "W"]
        wait_until(lambda: run(*kick, check=False) and world.sink.messages, 90, "the message that waited")
        world.check_signed(world.sink.take()[0][2])


# ---- several messages, reload, budgets -----------------------------------------------------------


def test_several_messages_in_one_smtp_connection():
    with Scratch("several") as scratch:
        world = World(scratch)
        client = Smtp(world.postfix.port)
        for i in range(5):
            code, text = client.send("alice@example.test", ["bob@remote.test"], message(f"m{i}"))
            assert code == 250, text
            # One that is refused for its sender, and one that the client gives up.
            code, text = client.send("nobody@example.test", ["bob@remote.test"],
                                     message(f"r{i}").replace(b"alice@", b"nobody@"))
            assert code == 550 and "nobody@example.test" in text, (code, text)
            assert client.command("MAIL FROM:<alice@example.test>")[0] == 250
            assert client.command("RCPT TO:<bob@remote.test>")[0] == 250
            assert client.command("RSET")[0] == 250
        client.close()
        for _, _, octets in world.sink.take(5):
            world.check_signed(octets)
        assert world.sink.messages == []
        found = world.control(b"stats")
        assert found["delivered"] == 5 and found["refused"] == 5, found


def test_reload_is_atomic_and_a_broken_one_changes_nothing():
    with Scratch("reload") as scratch:
        world = World(scratch)
        good = world.smimed.file.read_text()
        slow = Smtp(world.postfix.port)  # begins before, ends after
        assert slow.command("MAIL FROM:<alice@example.test>")[0] == 250
        assert slow.command("RCPT TO:<bob@remote.test>")[0] == 250
        world.smimed.file.write_text(good + "gibberish = 7\n")
        answer = world.control(b"reload")
        assert not answer["ok"] and "gibberish" in answer["error"], answer
        assert "gibberish" in world.smimed.text()
        assert world.submit(message("after-broken"))[0] == 250
        world.check_signed(world.sink.take()[0][2])
        world.smimed.file.write_text(good.replace("sign = always", "smime = no"))
        assert world.control(b"reload")["ok"]
        assert world.submit(message("plain"))[0] == 250
        assert b"multipart/signed" not in world.sink.take()[0][2]
        assert slow.command("DATA")[0] == 354
        slow.socket.sendall(message("slow") + b".\r\n")
        assert slow.read()[0] == 250
        slow.close()
        world.check_signed(world.sink.take()[0][2])


def test_what_is_beyond_a_budget_is_told_to_come_back():
    with Scratch("budget") as scratch:
        world = World(scratch, more="max_messages = 2\nmax_connections = 3\n")
        first, second, third, fourth = (Smtp(world.postfix.port) for _ in range(4))
        for client in (first, second):
            assert client.command("MAIL FROM:<alice@example.test>")[0] == 250
        code, text = third.command("MAIL FROM:<alice@example.test>")
        assert code == 451 and text.startswith("451 4.3.2"), text
        code, text = fourth.command("MAIL FROM:<alice@example.test>")
        assert code == 451 and text.startswith("451 4.3.2"), text
        # A RSET would not do: Postfix does not flush what it tells its milters of it.
        first.close()
        wait_until(lambda: world.control(b"stats")["in_flight"] == 1, 10, "the end of the first")
        code, text = third.send("alice@example.test", ["bob@remote.test"], message("third"))
        assert code == 250, text
        world.check_signed(world.sink.take()[0][2])
        for client in (second, third, fourth):
            client.close()
        wait_until(lambda: world.control(b"stats")["connections"] == 0, 20, "the end of all connections")
        assert world.submit(message("later"))[0] == 250
        world.sink.take()


# ---- memory --------------------------------------------------------------------------------------


def daemon(scratch, more="", kind="rsa:2048"):
    need_root()
    authority = Authority(scratch)
    key, cert = authority.user("alice@example.test", kind=kind)
    smimed = Smimed(scratch, config(authority, more), start=False)
    pair = authority.install_pair(smimed.keys, key, cert)
    smimed.start()
    return authority, smimed, key, pair


def send_direct(client, text, queue_id="QID"):
    answer, edits = client.message("alice@example.test", ["bob@remote.test"], text, queue_id=queue_id)
    assert answer[0] == CONTINUE, reply_text(answer)
    return body_of(edits)


def connect(smimed):
    client = Milter(smimed.socket, timeout=120 * PATIENCE).negotiate()
    client.connect(address="127.0.0.1")
    return client


def test_memory_is_flat_over_two_thousand_messages():
    if SANITIZED:
        raise Skip("a sanitizer keeps freed memory on purpose")
    with Scratch("flat") as scratch:
        _, smimed, _, _ = daemon(scratch)
        text = message("flat", b"line of text\r\n" * 2000)

        def send(count):
            # Several connections, some closed in the middle, as an MTA has them.
            for i in range(count // 20):
                client = connect(smimed)
                for k in range(20):
                    assert b"smime.p7s" in send_direct(client, text, f"Q{i}.{k}")
                client.mail("alice@example.test")
                client.close(quietly=i % 2 == 0)

        send(400)
        before = smimed.status("VmRSS")
        send(2000)
        after = smimed.status("VmRSS")
        assert after - before < 2048, f"{before} kB became {after} kB"


def memory_of(pid):
    """(mapping line, octets) of everything readable."""
    with open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
            match = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+)", line)
            if not match or "r" not in match.group(3) or line.endswith(("[vvar]", "[vsyscall]")):
                continue
            begin, end = int(match.group(1), 16), int(match.group(2), 16)
            try:
                memory.seek(begin)
                yield line, memory.read(end - begin)
            except (OSError, ValueError):
                continue


def find_in_memory(pid, needles):
    found = []
    for line, octets in memory_of(pid):
        for name, needle in needles.items():
            if needle in octets:
                found.append((name, line))
    return found


def primes_of(key):
    """p and q of an RSA key in the three orders of octets that memory may hold them in."""
    text = run("openssl", "rsa", "-in", key, "-noout", "-text").stdout.decode()
    needles = {}
    for name in ("prime1", "prime2", "privateExponent"):
        digits = re.search(name + r":\s*((?:[0-9a-f]{2}(?::|\s)\s*)+)", text).group(1)
        number = bytes.fromhex(re.sub(r"[^0-9a-f]", "", digits)).lstrip(b"\0")
        # Half of it is enough to know it again, and to be sure.
        needles[name + " big-endian"] = number[:48]
        needles[name + " as limbs"] = number[::-1][:48]
    return needles


def test_plaintext_is_not_in_the_memory_of_the_daemon_afterwards():
    if SANITIZED:
        raise Skip("a sanitizer keeps freed memory on purpose")
    with Scratch("canary") as scratch:
        _, smimed, _, _ = daemon(scratch)
        canary = b"Canary-7f3a9c51e2-of-plaintext"
        client = connect(smimed)
        parts = (b"--b\r\nContent-Type: text/plain\r\n\r\n" + canary + b"\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n"
                 b"Content-Transfer-Encoding: 8bit\r\n\r\n\xc3\xa4 " + canary + b"\r\n--b--\r\n")
        multipart = (b"From: <alice@example.test>\r\nSubject: s\r\nMIME-Version: 1.0\r\n"
                     b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + parts)
        for i in range(50):
            assert canary in send_direct(client, message(f"c{i}", canary + b"\r\n" + b"x" * (i * 997) + canary))
            send_direct(client, multipart)
        # The last buffers of libmilter's are not ours to wipe: other mail passes over them, as it does in life.
        client.close()
        for _ in range(3):
            client = connect(smimed)
            for _ in range(20):
                send_direct(client, message("other", b"something else\r\n" * 9000))
            client.close()
        time.sleep(0.2)
        found = find_in_memory(smimed.process.pid, {"canary": canary})
        assert not found, found
        # The test can see what is there: the name of the key's file is.
        assert find_in_memory(smimed.process.pid, {"path": str(smimed.keys).encode()})


def test_a_key_that_was_taken_away_is_nowhere_in_memory():
    if SANITIZED:
        raise Skip("a sanitizer keeps freed memory on purpose")
    with Scratch("key") as scratch:
        authority, smimed, key, pair = daemon(scratch)
        needles = primes_of(key)
        client = connect(smimed)
        for i in range(50):
            send_direct(client, message(f"k{i}"))
        # While it is in use, it is in the secure heap (left out of core files, locked); the library's Montgomery
        # form of p and q lives in the ordinary heap as long as the key does.
        found = find_in_memory(smimed.process.pid, needles)
        assert any("as limbs" in name for name, _ in found), "the test does not find a key that is there"
        # The file as it was read, PEM or DER, is not.
        assert not [f for f in found if "big-endian" in f[0]], found
        pem = [line for line in pathlib.Path(key).read_text().splitlines() if "-----" not in line]
        assert not find_in_memory(smimed.process.pid, {"pem": pem[3].encode(), "pem2": pem[10].encode()})
        pair.unlink()
        other_key, other_cert = authority.user("carol@example.test")
        authority.install_pair(smimed.keys, other_key, other_cert)
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(str(smimed.control))
            s.sendall(b"reload\n")
            assert b'"ok": true' in s.recv(4096)
        answer, _ = client.message("alice@example.test", ["bob@remote.test"], message("gone"))
        assert answer[0] != CONTINUE
        client.close()
        found = find_in_memory(smimed.process.pid, needles)
        assert not found, found


def test_a_core_signal_leaves_no_core_and_nobody_may_look():
    with Scratch("core") as scratch:
        _, smimed, _, _ = daemon(scratch)
        limits = pathlib.Path(f"/proc/{smimed.process.pid}/limits").read_text()
        assert re.search(r"Max core file size\s+0\s+0", limits), limits
        # Not dumpable: its files in /proc belong to root whoever it runs as, and a core is never written.
        for number in (signal.SIGSEGV, signal.SIGABRT, signal.SIGQUIT):
            if smimed.process is None:
                smimed.start()
            folder = os.readlink(f"/proc/{smimed.process.pid}/cwd")
            before = set(os.listdir(folder))
            pid = smimed.process.pid
            os.kill(pid, number)
            _, status = os.waitpid(pid, 0)
            smimed.process = None
            assert not os.WCOREDUMP(status), number
            if os.WIFSIGNALED(status):
                assert os.WTERMSIG(status) == number
            new = [name for name in set(os.listdir(folder)) - before if "core" in name]
            assert not new, new


if __name__ == "__main__":
    main(globals())
