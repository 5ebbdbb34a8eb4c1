#!/usr/bin/env python3
"""The cache in Redis: what it saves, and what somebody who can write into it, stop it or fill it can do. He costs time,
never a verdict, and mail flows."""

import contextlib
import hashlib
import hmac
import os
import re
import socket
import threading
import time

from harness import main, wait_until
from trustca import DAY, HOUR, now
from trustnet import Ocsp
from trustservers import Clock, Redis
from trustworld import Shared, World

CLOSERS = []
WORLD = []
MAGIC, HEAD = b"smimed1\n", 60  # docs of the seal: magic, twenty digits of time, HMAC-SHA-256


def world():
    if not WORLD:
        WORLD.append(World("cache"))
        CLOSERS.append(WORLD[0].close)
    return WORLD[0]


class People:
    """Five messages whose verdicts need every kind of key: CRLs, OCSP answers, issuers; three good, two revoked."""

    def __init__(self, w, label):
        self.w = w
        self.ca, self.below = w.issuer(f"{label} sub"), w.issuer(f"{label} asked")
        self.ocsp = Ocsp(w.http, f"/ocsp-{label.replace(' ', '-')}", self.below)
        crl, ocsp = {"crl": ()}, {"crl": None, "ocsp": [self.ocsp.url]}
        self.people = {}
        for name, ca, how, result in (("listed", self.ca, crl, "pass"), ("fetched", self.ca, crl, "pass"),
                                      ("good", self.below, ocsp, "pass"), ("bad", self.ca, crl, "fail"),
                                      ("worse", self.below, ocsp, "fail")):
            address = f"{name}@partner.example"
            self.people[name] = (w.person(ca, address, **how), address, result, ca)
        self.ocsp.statuses[self.people["good"][0].serial] = "good"
        self.ocsp.statuses[self.people["worse"][0].serial] = ("revoked", now() - DAY)
        self.ca.revoke(self.people["bad"][0])
        w.publish(self.ca)
        self.messages = {name: (w.sign(person, *([] if name == "fetched" else [ca.certificate]), sender=address), result)
                         for name, (person, address, result, ca) in self.people.items()}

    def check(self, gateway, what):
        """What is wrong, as text."""
        found = []
        for name, (message, result) in self.messages.items():
            verdict = gateway.receive(message)
            if verdict.result != result or (result == "fail" and verdict.reason != "revoked"):
                found.append(f"{what}, {name}: expected {result}, got {verdict}")
            if verdict.seconds > 3:
                found.append(f"{what}, {name}: took {verdict.seconds:.1f} s")
        return found


def values(redis):
    with redis.client() as client:
        return {key: client("GET", key) for key in client("KEYS", "smimed:v:*")}


# ---- what it saves -----------------------------------------------------------------------------


def test_a_second_node_asks_the_shared_cache_and_no_server():
    w = world()
    redis, shared = Redis(w.scratch, "redis-second"), Shared(w)
    people = People(w, "second")
    with w.gateway(**shared.parameters(redis)) as first:
        assert not people.check(first, "first"), first.text()
        wait_until(lambda: len(redis.keys("smimed:v:*")) >= 5, 10, "values of CRLs, OCSP answers and issuers in Redis")
        w.http.forget()
        with w.gateway(name="second", **shared.parameters(redis)) as second:
            problems = people.check(second, "second")
            assert not problems and w.http.count() == 0, (problems, w.http.asked)
        assert all(v.startswith(MAGIC) for v in values(redis).values())
        for key in redis.keys():
            assert 0 < redis.command("PTTL", key), key
        # Another key file is another fleet.
        with w.gateway(name="foreign", **Shared(w, "foreign").parameters(redis)) as foreign:
            problems = people.check(foreign, "foreign")
            assert not problems and w.http.count() > 0, problems
    redis.stop()


def test_memory_is_the_default_and_none_works():
    w = world()
    people = People(w, "memory")
    for parameters in ({}, {"cache": "memory"}, {"cache": "none"}):
        with w.gateway(**parameters) as gateway:
            problems = people.check(gateway, str(parameters))
            w.http.forget()
            problems += people.check(gateway, f"{parameters} again")
            assert not problems and w.http.count() == 0, (problems, w.http.asked)


# ---- poison ------------------------------------------------------------------------------------


def sealed(key, name, fetched, content):
    """A value as the gateways write it, with whatever key."""
    stamp = b"%020d" % fetched
    mac = hmac.new(key, name + b"\0" + stamp + content, hashlib.sha256).digest()
    return MAGIC + stamp + mac + content


def poisons(was):
    """{name: function of (key, value) that gives what to write}; what somebody without the key file can make."""
    names = sorted(was)
    turned = {name: was[names[(i + 1) % len(names)]] for i, name in enumerate(names)}
    tomorrow = int(time.time()) + 86400
    return {
        "garbage": lambda k, v: os.urandom(len(v)),
        "nothing": lambda k, v: b"",
        "cut short": lambda k, v: v[:len(v) - 7],
        "head alone": lambda k, v: v[:HEAD],
        "one bit": lambda k, v: v[:HEAD + 9] + bytes([v[HEAD + 9] ^ 4]) + v[HEAD + 10:],
        "moved from another key": lambda k, v: turned[k],
        "sealed with another key": lambda k, v: sealed(b"k" * 48, k, int(time.time()), v[HEAD:]),
        "bare, without a seal": lambda k, v: v[HEAD:],
        "from the future": lambda k, v: MAGIC + b"%020d" % tomorrow + v[28:],
        "younger than it is": lambda k, v: MAGIC + b"%020d" % (int(v[8:28]) + 60) + v[28:],
        "a list": None,
        "100 MB": lambda k, v: v[:HEAD] + bytes(100 << 20),
    }


def test_poison_in_every_key_changes_no_verdict():
    w = world()
    redis, shared = Redis(w.scratch, "redis-poison"), Shared(w, "poison")
    people = People(w, "poison")
    with w.gateway(**shared.parameters(redis)) as gateway:
        assert not people.check(gateway, "before"), gateway.text()
        wait_until(lambda: len(redis.keys("smimed:v:*")) >= 5, 10, "values in Redis")
    was = values(redis)
    kinds = {re.sub(rb"[0-9a-fA-F]{16,}.*", b"", key) for key in was}
    print(f"# {len(was)} keys: {b' '.join(sorted(kinds)).decode()}")
    assert len(kinds) >= 3, kinds
    problems = []
    for name, make in poisons(was).items():
        with redis.client() as client:
            client("FLUSHALL")
            for key, value in was.items():
                if make:
                    client("SET", key, make(key, value))
                else:
                    client("RPUSH", key, "a", "b")
        w.http.forget()
        with w.gateway(**shared.parameters(redis)) as gateway:
            problems += people.check(gateway, name)
            if w.http.count() == 0:
                problems.append(f"{name}: was believed: no server was asked")
            if gateway.status("VmHWM") > 600 << 10:
                problems.append(f"{name}: {gateway.status('VmHWM') >> 10} MB")
            refused = gateway.warnings("shared cache is ignored")
            if name != "nothing" and not refused:
                problems.append(f"{name}: the log does not say so")
            if len(refused) > 3:
                problems.append(f"{name}: the log says so {len(refused)} times")
            # What was fetched instead is there again for the others.
            wait_until(lambda: all(v and v.startswith(MAGIC) for v in (redis.command("GETRANGE", k, 0, 7)
                       if redis.command("TYPE", k) == b"string" else None for k in was)), 5, f"healed values after {name}")
    redis.stop()
    assert not problems, "\n".join(problems)


def test_claims_of_a_stranger_hold_nobody_up():
    w = world()
    redis, shared = Redis(w.scratch, "redis-claims"), Shared(w, "claims")
    people = People(w, "claims")
    with w.gateway(**shared.parameters(redis)) as gateway:
        assert not people.check(gateway, "before"), gateway.text()
        wait_until(lambda: len(redis.keys("smimed:v:*")) >= 5, 10, "values in Redis")
    names = [key.replace(b"smimed:v:", b"smimed:c:", 1) for key in redis.keys("smimed:v:*")]
    with redis.client() as client:
        client("FLUSHALL")
        for name in names:
            client("SET", name, b"x" * 32)  # for ever
    with w.gateway(**shared.parameters(redis)) as gateway:
        for name, (message, result) in people.messages.items():
            verdict = gateway.receive(message)
            assert verdict.result == result and verdict.seconds < 5, (name, verdict)
            print(f"# {name}: {verdict.seconds:.2f} s")
    redis.stop()


def test_an_older_sealed_list_is_not_believed_past_half_of_its_life():
    w = world()
    clock = Clock(w.scratch, "clock-older")
    redis, shared = Redis(w.scratch, "redis-older"), Shared(w, "older")
    sub = w.issuer("older")
    w.publish(w.root, "/root.crl", next_=30 * DAY)
    bob = w.person(sub)
    message = w.sign(bob, sub.certificate)
    parameters = shared.parameters(redis, crl_life="30d")
    with w.gateway(environment=clock.environment, **parameters) as gateway:
        assert gateway.receive(message).result == "pass", gateway.text()
        wait_until(lambda: len(redis.keys("smimed:v:*")) >= 2, 10, "values in Redis")
    old = values(redis)
    sub.revoke(bob)
    w.publish(sub, next_=30 * DAY)
    redis.command("FLUSHALL")
    with w.gateway(environment=clock.environment, **parameters) as gateway:
        assert gateway.receive(message).reason == "revoked", gateway.text()
    # Four of the seven days of the old list are over; the thief puts it back.
    clock.move(4 * DAY)
    with redis.client() as client:
        for key, value in old.items():
            client("SET", key, value)
    with w.gateway(environment=clock.environment, **parameters) as gateway:
        verdict = gateway.receive(message)
        assert verdict.result == "fail" and verdict.reason == "revoked", verdict
    # A node that knows better is not talked out of it, at any age.
    clock.move(HOUR * 0)
    redis.command("FLUSHALL")
    with w.gateway(environment=clock.environment, **parameters) as gateway:
        assert gateway.receive(message).reason == "revoked", gateway.text()
        with redis.client() as client:
            for key, value in old.items():
                client("SET", key, value)
        for days in (1, 2, 3):
            clock.move(days * DAY)
            verdict = gateway.receive(message)
            assert verdict.reason == "revoked", (days, verdict)
    redis.stop()


# ---- Redis that is ill -------------------------------------------------------------------------


@contextlib.contextmanager
def traffic(w, gateway, count=4):
    """Messages that need something new each, for as long as the block lasts; yields the list of verdicts."""
    verdicts, stop = [], threading.Event()
    people = [w.person(w.issuer(f"flow {i}")) for i in range(count)]
    messages = [w.sign(p) for p in people]

    def run_one():
        for i in range(10000):
            if stop.is_set():
                return
            verdicts.append(gateway.receive(messages[i % count]))
    thread = threading.Thread(target=run_one, daemon=True)
    thread.start()
    try:
        yield verdicts
    finally:
        stop.set()
        thread.join(60)


def complaints(gateway):
    """Log lines that complain about Redis."""
    return [line for line in gateway.text().splitlines()
            if re.search(r"\b(Redis|redis|shared cache)\b", line) and " dir=" not in line]


def test_redis_that_is_absent_restarts_or_hangs_stops_no_mail():
    w = world()
    redis, shared = Redis(w.scratch, "redis-ill", start=False), Shared(w, "ill")
    problems = []
    with w.gateway(**shared.parameters(redis)) as gateway:
        def burst(what, n=12, seconds=2.0, **how):
            for i in range(n):
                verdict = gateway.receive(w.sign(w.person(w.issuer("burst"))))
                if verdict.result != "pass":
                    problems.append(f"{what} {i}: {verdict}")
                if verdict.seconds > seconds:
                    problems.append(f"{what} {i}: took {verdict.seconds:.1f} s")
        burst("absent at start")
        said = len(complaints(gateway))
        if not 1 <= said <= 3:
            problems.append(f"absent: the log says so {said} times: {complaints(gateway)}")
        redis.start()
        wait_until(lambda: burst("come up", 1) or redis.keys("smimed:v:*"), 40, "value in Redis after it came up")
        redis.kill()
        burst("killed", 4)
        redis.start()
        wait_until(lambda: burst("restarted", 1) or redis.keys("smimed:v:*"), 40, "value in Redis after it restarted")
        redis.pause()
        begin = time.monotonic()
        burst("stopped process", 12, seconds=4.0)
        if time.monotonic() - begin > 12:
            problems.append(f"a stopped Redis cost {time.monotonic() - begin:.1f} s for 12 messages")
        redis.resume()
        said = len(complaints(gateway))
        if said > 12:
            problems.append(f"the log complains {said} times: {complaints(gateway)}")
        if not any(re.search(r"\d+ (times|more|failures)|repeated|count", line) for line in complaints(gateway)):
            print("# no count yet:", *complaints(gateway), sep="\n# ")
    redis.stop()
    assert not problems, "\n".join(problems)


def test_redis_that_loads_is_full_or_refuses_us():
    w = world()
    shared = Shared(w, "full")
    full = Redis(w.scratch, "redis-full", options=["maxmemory 1", "maxmemory-policy noeviction"])
    readonly = Redis(w.scratch, "redis-readonly", replica_of=full.port)
    strange = Redis(w.scratch, "redis-strange")
    strange.command("ACL", "SETUSER", "gateway", "-get", "-eval")
    loading = Loading(w.scratch, "redis-loading")
    wrong = Shared(w, "wrong password")
    wrong.password.write_text("not this\n")
    problems = []
    for what, redis, secrets in (("full", full, shared), ("read-only", readonly, shared), ("no rights", strange, shared),
                                 ("wrong password", strange, wrong), ("loading", loading, shared)):
        people = People(w, f"ill {what}")
        with w.gateway(**secrets.parameters(redis)) as gateway:
            problems += people.check(gateway, what)
            problems += people.check(gateway, f"{what} again")
            said = complaints(gateway)
            if not 1 <= len(said) <= 4:
                problems.append(f"{what}: the log says so {len(said)} times: {said}")
    for redis in (readonly, full, strange):
        redis.stop()
    assert not problems, "\n".join(problems)


class Loading:
    """A Redis that says LOADING to everything, as one does that reads a large file at its start."""

    def __init__(self, scratch, name):
        self.socket = scratch.folder(name) / "sock"
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.socket))
        self.listener.listen(16)
        self.listener.settimeout(0.1)
        self.closed = False
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()
        scratch.add(self.close)

    def close(self):
        self.closed = True
        self.thread.join()
        self.listener.close()

    def _accept(self):
        while not self.closed:
            with contextlib.suppress(TimeoutError):
                peer, _ = self.listener.accept()
                peer.settimeout(None)
                threading.Thread(target=self._talk, args=(peer,), daemon=True).start()

    def _talk(self, peer):
        with contextlib.suppress(OSError), peer:
            while peer.recv(65536):
                peer.sendall(b"-LOADING Redis is loading the dataset in memory\r\n")


if __name__ == "__main__":
    main(globals())
