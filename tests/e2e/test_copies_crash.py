#!/usr/bin/env python3
"""smimed is killed at every step of a three-way split, and the client sends again until the message is taken.

Two proxies make the steps: one between smimed and Postfix' listener for copies, one between Postfix and smimed's own socket.
Each stops the conversation at a chosen line or packet; then smimed gets SIGKILL, is started anew, and the client, who has heard
451 or nothing, sends the same message again. What arrives at the last hop is counted for each recipient. Outside the two windows
that docs/architecture.md names it is one copy; inside them one or two; never none.

SMIMED_CRASH_RUNS (300): how many. SMIMED_CRASH_WORKERS (4): instances of smimed side by side, on one Postfix."""

import collections
import contextlib
import os
import queue
import random
import re
import threading
import time

from harness import Authority, PATIENCE, Postfix, Scratch, Sink, Smimed, Smtp, TOP, main, submit, trust_config, wait_until
from milter_proxy import MilterProxy
from proxy import Proxy

RUNS = int(os.environ.get("SMIMED_CRASH_RUNS", "300"))
WORKERS = int(os.environ.get("SMIMED_CRASH_WORKERS", "4"))
# bob stays in the milter's transaction; dave's copy goes first by SMTP, then pia's.
PEOPLE = ("bob@partner.example", "dave@elsewhere.example", "pia@plain.example")
RULES = """rule "seal" { direction = out
 recipient = *@partner.example
 sign = always
 encrypt = always
}
rule "plain" { direction = out
 recipient = *@plain.example
 smime = no
}
rule "sign" { direction = out
 sign = always
}
"""

Step = collections.namedtuple("Step", "name place verb connection after windows delay")


def steps():
    """Every place to stop at, and which recipients may have two copies then."""
    found = []
    for connection in (1, 2):
        person = PEOPLE[connection]
        for verb in ("EHLO", "MAIL", "RCPT", "DATA", "."):
            for after in (False, True):
                windows = {person} if verb == "." and after else set()
                found.append(Step(f"copy {connection} {'after' if after else 'before'} {verb}", "smtp", verb, connection, after,
                                  windows, 0))
        # Between the 250 and the note: QUIT is said just before it.
        for delay in (0, 0.0005, 0.001, 0.002, 0.005):
            found.append(Step(f"copy {connection} {delay * 1000:.1f} ms after QUIT", "smtp", "QUIT", connection, False, {person},
                              delay))
    for command, name in ((b"m", "a field changed"), (b"i", "a field inserted"), (b"b", "the body"), (b"-", "a recipient deleted"),
                          (b"c", "the last answer")):
        found.append(Step(f"transaction before {name}", "milter", command, 0, False, set(), 0))
        found.append(Step(f"transaction after {name}", "milter", command, 0, True, {PEOPLE[0]} if command == b"c" else set(),
                          0))
    for _ in range(5):
        found.append(Step("any time", "time", None, 0, False, set(PEOPLE), 0))
    return found


class Worker:
    """One smimed with its proxies and its two listeners of Postfix."""

    def __init__(self, scratch, number):
        self.number = number
        self.smimed = Smimed(scratch, "", name=f"smimed{number}", start=False)
        self.door = MilterProxy(scratch, scratch.path / f"door{number}.sock", self.smimed.socket)

    def services(self):
        return {f"out{self.number}": {"smtpd_milters": f"unix:{self.door.path}"},
                f"copies{self.number}": {"smtpd_milters": self.smimed.milter, "milter_macro_daemon_name": "smimed-copies",
                                         "local_header_rewrite_clients": ""}}

    def begin(self, scratch, postfix, ca, certificates, alice):
        self.port = postfix.ports[f"out{self.number}"]
        self.proxy = Proxy(scratch, postfix.ports[f"copies{self.number}"])
        self.smimed.configure(f'certificate_folders = "{certificates}"\nresubmit_server = "inet:{self.proxy.port}@127.0.0.1"\n'
                              f'notices_folder = "{TOP}/conf/notices"\nsender_identity = off\n' + RULES + trust_config(ca))
        ca.install_pair(self.smimed.keys, *alice)
        self.smimed.start()

    def attempt(self, message, end, gone):
        """One transaction. end: set when it is over. With `gone`, the client leaves without reading the last answer when that
        event comes. The code, or 0 where there was none."""
        code = 0
        with contextlib.suppress(OSError, ConnectionError, ValueError):
            if not gone:
                code = submit(self.port, "alice@example.org", PEOPLE, message)[0]
            else:
                client = Smtp(self.port)
                for line in ("MAIL FROM:<alice@example.org>", *(f"RCPT TO:<{x}>" for x in PEOPLE), "DATA"):
                    client.command(line)
                client.socket.sendall(message + b".\r\n")
                gone.wait(20 * PATIENCE)
                client.socket.close()
        end.set()
        return code

    def run(self, step, message, random_delay):
        """Sends until it is taken, with one kill on the way."""
        stopper = {"smtp": self.proxy, "milter": self.door, "time": None}[step.place]
        if step.place == "smtp":
            self.proxy.stall(step.verb, step.connection, step.after)
        elif step.place == "milter":
            self.door.stall(step.verb, step.after)
        end, code = threading.Event(), []
        gone = stopper.reached if step.place == "milter" and step.verb == b"c" and step.after else None
        client = threading.Thread(target=lambda: code.append(self.attempt(message, end, gone)), daemon=True)
        client.start()
        if stopper:
            if not stopper.reached.wait(20 * PATIENCE):
                raise AssertionError(f"{step.name}: was never reached; {self.smimed.text()[-1500:]}")
            time.sleep(step.delay)
        else:
            time.sleep(random_delay)
        self.smimed.kill()
        self.proxy.stall(None)
        self.door.stall(None)
        self.proxy.drop()
        self.door.drop()
        end.wait(60 * PATIENCE)
        client.join(60 * PATIENCE)
        self.smimed.start()
        attempts = 1
        while not code or code[-1] != 250 or gone:
            gone = None
            attempts += 1
            if attempts > 20:
                raise AssertionError(f"{step.name}: not taken after {attempts} attempts, {code}; {self.smimed.text()[-1500:]}")
            code.append(self.attempt(message, end, None))
            if code[-1] != 250:
                time.sleep(0.05)


def work(worker, jobs, failures):
    while not failures:
        try:
            number, step, delay = jobs.get_nowait()
        except queue.Empty:
            return
        message = (f"From: alice@example.org\r\nTo: {', '.join(PEOPLE)}\r\nMessage-ID: <run-{number}-@example.org>\r\n"
                   f"Subject: run\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\nrun {number}\r\n").encode()
        try:
            worker.run(step, message, delay)
        except Exception as error:  # any: the other workers stop, and the test says which step it was
            failures.append(f"run {number}, {step.name}: {error!r}")


def counted(sink):
    """{(run, recipient): copies}"""
    counts = collections.Counter()
    with sink.lock:
        for _, people, octets in sink.messages:
            run_number = re.search(rb"<run-(\d+)-@", octets)
            for line in people:
                counts[int(run_number.group(1)), re.search(r"<(.*?)>", line).group(1)] += 1
    return counts


def test_everybody_gets_his_copy_whenever_smimed_is_killed():
    with Scratch("crash") as scratch:
        ca, sink = Authority(scratch), Sink(scratch)
        alice, bob = ca.user("alice@example.org", "alice"), ca.user("bob@partner.example", "bob")
        certificates = scratch.folder("certificates")
        for name, (_, cert) in (("alice", alice), ("bob", bob)):
            (certificates / f"{name}.pem").write_bytes(cert.read_bytes())
        workers = [Worker(scratch, n) for n in range(WORKERS)]
        services = {name: options for worker in workers for name, options in worker.services().items()}
        postfix = Postfix(scratch, sink.port, workers[0].smimed.milter, services=services)
        for worker in workers:
            worker.begin(scratch, postfix, ca, certificates, alice)
        every, dice, jobs, failures = steps(), random.Random(5), queue.Queue(), []
        for number in range(RUNS):
            jobs.put((number, every[number % len(every)], dice.uniform(0.0, 0.06)))
        threads = [threading.Thread(target=work, args=(worker, jobs, failures)) for worker in workers]
        begin = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures, failures
        # What is still in the queue has to arrive; nothing else is waited for.
        wait_until(lambda: not [x for x in postfix.queue() if x[0] not in ("corrupt",)], 60, "empty queue")
        counts = counted(sink)
        twice = collections.Counter()
        for number in range(RUNS):
            step = every[number % len(every)]
            for person in PEOPLE:
                copies = counts[number, person]
                assert copies >= 1, f"run {number}, {step.name}: {person} got nothing"
                assert copies <= (2 if person in step.windows else 1), f"run {number}, {step.name}: {person} got {copies}"
                twice[step.name] += copies - 1
        inside = [n for n in range(RUNS) if every[n % len(every)].windows]
        print(f"# {RUNS} runs at {len({s.name for s in every})} steps, {time.monotonic() - begin:.0f} s; "
              f"{RUNS - len(inside)} outside the windows: one copy each; {len(inside)} inside: "
              f"{sum(twice.values())} copies repeated, none lost")
        for name, count in sorted(twice.items()):
            if count:
                print(f"#   {name}: {count} repeated")
        # The windows are there: a test that never sees one does not look where it says.
        assert RUNS < len(every) or sum(twice.values()) > 0


if __name__ == "__main__":
    main(globals())
