#!/usr/bin/env python3
"""Recipients and senders out of a real slapd, through Postfix: certificates, primary SMTP addresses, outages, stalled servers,
fail-over, old answers; and what doctor, stats and lookup say about it."""

import contextlib
import datetime
import json
import os
import pathlib
import signal
import socket
import subprocess
import threading
import time

from directories import Organisation, Slapd
from harness import (Authority, Postfix, Scratch, Sink, Smimed, free_port, main, openssl_decrypt, smimectl, submit, trust_config,
                     wait_until)

RULE = 'rule "all" {\n    sign = always\n    encrypt = always\n}\n'


class Silent:
    """Accepts connections and never says a word: a TLS handshake that stalls."""

    def __init__(self, scratch):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.peers = []
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        scratch.add(self.close)

    def _run(self):
        with contextlib.suppress(OSError):
            while True:
                self.peers.append(self.listener.accept()[0])

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for peer in self.peers:
            peer.close()


class Company(Organisation):
    """With attributes beyond what every organisation has: {name: [lines of LDIF]}."""

    def __init__(self):
        super().__init__()
        self.more = {}

    def ldif(self):
        blocks = super().ldif().split("\n\n")
        for name, lines in self.more.items():
            at = next(i for i, block in enumerate(blocks) if f"dn: {self.dn(name)}\n" in block)
            blocks[at] = blocks[at].rstrip("\n") + "\n" + "\n".join(lines)
        return "\n\n".join(blocks) + "\n"


class World:
    """Alice writes to Bob, who has a second address and an expired certificate beside his valid one."""

    def __init__(self, scratch, directory=None, extra=""):
        self.ca = ca = Authority(scratch)
        self.sink = Sink(scratch)
        self.keys = {name: ca.user(f"{name}@corp.example", name) for name in ("alice", "bob")}
        past = [datetime.datetime(year, 1, 1) for year in (2020, 2021)]
        old = ca.user("bob@corp.example", "bob-old", valid=past)
        company = Company()
        for name in ("alice", "bob"):
            company.person(name, f"{name}@corp.example", self.keys[name][1])
        company.person("nobody", "nobody@corp.example")
        company.more = {"alice": ["mail: al@corp.example"],
                        "bob": ["mail: robert@corp.example", f"userCertificate;binary:: {company.der(old[1])}"]}
        self.slapd = Slapd(scratch, company)
        config = directory(self.slapd) if directory else self.slapd.config(extra=extra)
        self.smimed = Smimed(scratch, config + RULE + trust_config(ca), start=False)
        ca.install_pair(self.smimed.keys, *self.keys["alice"])
        self.smimed.start()
        self.postfix = Postfix(scratch, self.sink.port, self.smimed.milter)

    def restart(self):
        path = self.slapd.path
        self.slapd.process = subprocess.Popen(
            ["/usr/sbin/slapd", "-d", "0", "-h", f"ldap://127.0.0.1:{self.slapd.port}", "-f", path / "slapd.conf"],
            stdin=subprocess.DEVNULL, stdout=open(path / "log", "ab"), stderr=subprocess.STDOUT)
        wait_until(self.slapd._answers, 20, "slapd")

    def send(self, to, sender="alice@corp.example", header=None):
        text = (f"From: {header or sender}\r\nTo: {to}\r\nSubject: test\r\n\r\nHello.\r\n").encode()
        return submit(self.postfix.port, sender, [to], text)

    def stats(self):
        done = smimectl("stats", "--json", "-c", self.smimed.file)
        return json.loads(done.stdout)


def test_a_recipient_is_found_and_only_his_valid_certificate_is_used():
    with Scratch("ldap") as scratch:
        world = World(scratch)
        code, text = world.send("bob@corp.example")
        assert code == 250, text
        _, _, octets = world.sink.take()[0]
        assert b"Hello." in openssl_decrypt(octets, *world.keys["bob"])
        # Another name of the same person: the directory says who he is.
        code, text = world.send("robert@corp.example")
        assert code == 250, text
        _, recipients, octets = world.sink.take()[0]
        assert "robert@corp.example" in recipients[0]
        assert b"Hello." in openssl_decrypt(octets, *world.keys["bob"])
        code, text = world.send("nobody@corp.example")
        assert code == 550 and "nobody@corp.example" in text, text
        code, text = world.send("stranger@corp.example")
        assert code == 550 and "stranger@corp.example" in text, text
        done = smimectl("lookup", "-c", world.smimed.file, "bob@corp.example")
        shown = done.stdout.decode()
        assert done.returncode == 0 and "directory:people" in shown and "cert-expired" in shown, shown
        stats = world.stats()
        assert stats["directory.people.connects"] >= 1 and stats["directory.people.failures"] == 0, stats
        waits = stats["directory.people.waits"]
        assert world.send("bob@corp.example")[0] == 250
        after = world.stats()
        assert after["directory.people.waits"] == waits and after["directory.people.hits"] > stats["directory.people.hits"], after


def test_a_sender_is_who_the_directory_says_and_writes_by_his_primary_address():
    with Scratch("ldap") as scratch:
        world = World(scratch)
        assert world.send("bob@corp.example")[0] == 250
        code, text = world.send("bob@corp.example", sender="al@corp.example")
        assert code == 550, (code, text)
        line = world.smimed.wait_outcomes(2)[-1]
        assert line["result"] == "refused", line


def test_a_directory_that_is_down_is_451_and_nothing_leaves_and_then_it_goes_on():
    with Scratch("ldap") as scratch:
        world = World(scratch, extra="    life = 0s\n")
        assert world.send("bob@corp.example")[0] == 250
        world.sink.take()
        world.slapd.stop()
        start = time.monotonic()
        code, text = world.send("bob@corp.example")
        assert code == 451 and time.monotonic() - start < 10, (code, text)
        line = world.smimed.wait_outcomes(2)[-1]
        assert line["result"] == "deferred", line
        world.restart()
        wait_until(lambda: world.send("bob@corp.example")[0] == 250, 40, "the circuit to close")
        octets = world.sink.take()[0][2]
        assert b"Hello." in openssl_decrypt(octets, *world.keys["bob"])


def test_a_server_that_stalls_in_its_handshake_is_451_in_time():
    with Scratch("ldap") as scratch:
        silent = Silent(scratch)
        for form in (f"ldaps://127.0.0.1:{silent.port}", f"127.0.0.1:{silent.port}"):  # TLS at once, StartTLS
            with Scratch("ldap") as inner:
                world = World(inner, directory=lambda slapd: (
                    f'directory "people" {{\n    servers = {form}\n    base = "{slapd.base}"\n    schema = openldap\n'
                    '    connect_timeout = 1s\n}\n'))
                start = time.monotonic()
                code, text = world.send("bob@corp.example")
                assert code == 451 and time.monotonic() - start < 15, (code, text)
                assert world.smimed.wait_outcomes(1)[-1]["result"] == "deferred"


def test_the_next_server_answers_for_one_that_is_dead_or_stalls():
    with Scratch("ldap") as scratch:
        silent = Silent(scratch)
        dead = free_port()
        world = World(scratch, directory=lambda slapd: (
            f'directory "people" {{\n    servers = 127.0.0.1:{dead}, ldaps://127.0.0.1:{silent.port}, 127.0.0.1:{slapd.port}\n'
            f'    base = "{slapd.base}"\n    schema = openldap\n    starttls = no\n    connect_timeout = 1s\n    life = 0s\n}}\n'))
        assert world.send("bob@corp.example")[0] == 250
        start = time.monotonic()
        assert world.send("bob@corp.example")[0] == 250
        assert time.monotonic() - start < 5
        assert "is not asked for" in world.smimed.text()


def test_old_answers_are_used_where_that_was_asked_for_and_logged():
    with Scratch("ldap") as scratch:
        world = World(scratch, extra="    life = 1s\n    negative_life = 1s\n    stale = 1h\n")
        assert world.send("bob@corp.example")[0] == 250
        world.slapd.stop()

        def used():
            code, text = world.send("bob@corp.example")
            assert code == 250, text
            return "stale" in world.smimed.text()
        wait_until(used, 30, "an old answer")
        # Who was never asked for has no old answer.
        code, text = world.send("carol@corp.example")
        assert code == 451, text


def test_a_daemon_survives_a_directory_that_is_stopped_in_the_middle():
    with Scratch("ldap") as scratch:
        world = World(scratch, extra="    life = 0s\n    request_timeout = 1s\n")
        assert world.send("bob@corp.example")[0] == 250
        process = pathlib.Path(f"/proc/{world.slapd.process.pid}")
        os.kill(world.slapd.process.pid, signal.SIGSTOP)
        try:
            # A thread that runs when the signal is sent may still answer.
            wait_until(lambda: all(") T " in stat.read_text() for stat in process.glob("task/*/stat")), 10, "slapd stopped")
            start = time.monotonic()
            code, text = world.send("bob@corp.example")
            assert code == 451 and time.monotonic() - start < 15, (code, text)
        finally:
            os.kill(world.slapd.process.pid, signal.SIGCONT)
        wait_until(lambda: world.send("bob@corp.example")[0] == 250, 40, "the circuit to close")


def test_doctor_asks_each_server_as_the_daemon_does():
    with Scratch("ldap") as scratch:
        dead = free_port()
        world = World(scratch, directory=lambda slapd: (
            f'directory "people" {{\n    servers = ldap://127.0.0.1:{slapd.port}, 127.0.0.1:{dead}\n'
            f'    base = "{slapd.base}"\n    schema = openldap\n    starttls = no\n}}\n'
            f'directory "typo" {{\n    servers = ldap://127.0.0.1:{slapd.port}\n'
            f'    base = "ou=typo,{slapd.base}"\n    schema = openldap\n    starttls = no\n}}\n'
            f'directory "tls" {{\n    servers = ldap://127.0.0.1:{slapd.port}\n'
            f'    base = "{slapd.base}"\n    schema = openldap\n}}\n'))
        done = smimectl("doctor", "--json", "-c", world.smimed.file)
        found = {}
        for one in json.loads(done.stdout)["checks"]:
            found.setdefault(one["check"], []).append((one["level"], one["text"]))
        assert [level for level, _ in found["directory.people"]] == ["OK", "FAIL"], found["directory.people"]
        assert "connected, bound" in found["directory.people"][0][1]
        assert [level for level, _ in found["directory.typo"]] == ["FAIL"], found["directory.typo"]
        assert "typo" in found["directory.typo"][0][1]
        assert [level for level, _ in found["directory.tls"]] == ["FAIL"], found["directory.tls"]
        assert "StartTLS" in found["directory.tls"][0][1], found["directory.tls"]
        assert done.returncode == 1


if __name__ == "__main__":
    main(globals())
