#!/usr/bin/env python3
"""Two gateways on one Redis, a fail-over in the middle of traffic, and CA servers that are silent for three days."""

import concurrent.futures
import threading
import time

from harness import PATIENCE, main, wait_until
from trustca import DAY, HOUR, aia, cdp, now
from trustnet import Ocsp, body, late
from trustservers import Clock, Redis, Sentinels
from trustworld import CERT_TYPE, CRL_TYPE, Shared, World

CLOSERS = []
WORLD = []


def world():
    if not WORLD:
        WORLD.append(World("fleet"))
        CLOSERS.append(WORLD[0].close)
    return WORLD[0]


def test_two_gateways_64_messages_and_one_request():
    w = world()
    redis, shared = Redis(w.scratch, "redis-fleet"), Shared(w)
    sub = w.issuer("cold")
    name = sub.common.replace(" ", "-")
    paths = [f"/{name}.crl", f"/{name}.cer", "/cold-root.crl"]
    # The root's list under a name of this test's own, so that it is cold too; every answer takes a while.
    root_list = w.http.put(paths[2], late(body(w.root.crl(), CRL_TYPE), 0.3))
    sub.certificate = w.root.issue_ca(sub, [cdp(root_list), aia([w.url(w.root, "cer")])])
    w.http.put(paths[0], late(body(sub.crl(), CRL_TYPE), 0.3))
    w.http.put(paths[1], late(body(sub.certificate.der, CERT_TYPE), 0.3))
    people = [w.person(sub) for _ in range(8)]
    messages = [w.sign(people[i % 8]) for i in range(64)]
    with w.gateway(**shared.parameters(redis)) as one, w.gateway(name="two", **shared.parameters(redis)) as two:
        w.http.forget()
        with concurrent.futures.ThreadPoolExecutor(max_workers=64) as pool:
            verdicts = list(pool.map(lambda i: (one, two)[i % 2].receive(messages[i]), range(64)))
        bad = [v for v in verdicts if v.result != "pass"]
        assert not bad, (len(bad), bad[0])
        counts = {path: w.http.count(path) for path in paths}
        print(f"# requests: {counts}; slowest message {max(v.seconds for v in verdicts):.2f} s")
        assert set(counts.values()) == {1}, counts
    redis.stop()


def test_fail_over_in_the_middle_of_traffic():
    w = world()
    master = Redis(w.scratch, "redis-master")
    replicas = [Redis(w.scratch, f"redis-replica-{i}", replica_of=master.port) for i in range(2)]
    sentinels, shared = Sentinels(w.scratch, master), Shared(w, "sentinels")
    parameters = shared.parameters(sentinels=sentinels)
    # Always something new to fetch and to store: authorities are made before, and each is used a few times.
    people = [w.person(w.issuer(f"moving {i}")) for i in range(60)]
    messages = [w.sign(p) for p in people]
    with w.gateway(**parameters) as one, w.gateway(name="two", **parameters) as two:
        verdicts, stop, at = [], threading.Event(), {"next": 0}
        lock = threading.Lock()

        def run_one(gateway):
            while not stop.is_set():
                with lock:
                    i = at["next"]
                    at["next"] += 1
                verdicts.append((time.monotonic(), gateway.receive(messages[i // 4 % len(messages)])))
                stop.wait(0.15)
        threads = [threading.Thread(target=run_one, args=(g,), daemon=True) for g in (one, two) for _ in range(2)]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(master.keys("smimed:v:*")) >= 5 and len(verdicts) >= 20, 30, "values in the master")
        master.kill()
        killed = time.monotonic()
        wait_until(lambda: sentinels.master() != master.port, 30, "new master")
        new = next(r for r in replicas if r.port == sentinels.master())
        before = len(new.keys("smimed:v:*"))
        chosen = time.monotonic()
        # In use again: both gateways write there. The circuit breaker opens for a second or more.
        wait_until(lambda: len(new.keys("smimed:v:*")) > before or at["next"] // 4 >= len(messages), 30, "values in the new master")
        used = len(new.keys("smimed:v:*")) > before
        after = time.monotonic()
        stop.set()
        for thread in threads:
            thread.join(60 * PATIENCE)
        bad = [v for _, v in verdicts if v.result != "pass"]
        print(f"# {len(verdicts)} messages; new master after {chosen - killed:.1f} s, in use after {after - killed:.1f} s;"
              f" slowest message {max(v.seconds for _, v in verdicts):.2f} s")
        assert not bad, (len(bad), bad[0])
        assert used, "the new master was not used"
        assert max(v.seconds for _, v in verdicts) < 5 * PATIENCE
    for redis in (*replicas, master):
        redis.stop()


# ---- three days of silence -----------------------------------------------------------------------


LIFE = 48 * HOUR
GIVEUP = 4 * HOUR


def test_72_hours_without_any_server():
    w = world()
    clock = Clock(w.scratch)
    w.publish(w.root, "/root.crl", next_=30 * DAY)
    sub = w.issuer("dark", publish=False)
    good, bad = w.person(sub, "good@partner.example"), w.person(sub, "bad@partner.example")
    sub.revoke(bad)
    w.publish(sub, next_=LIFE)
    asked = w.issuer("dark ocsp")
    w.publish(asked, next_=30 * DAY)
    ocsp = Ocsp(w.http, "/ocsp-dark", asked)
    ocsp.life = LIFE
    status = w.person(asked, "status@partner.example", crl=None, ocsp=[ocsp.url])
    gone = w.person(asked, "gone@partner.example", crl=None, ocsp=[ocsp.url])
    ocsp.statuses.update({status.serial: "good", gone.serial: ("revoked", clock.now() - DAY)})
    messages = {"good": w.sign(good, sender="good@partner.example"), "bad": w.sign(bad, sender="bad@partner.example"),
                "status": w.sign(status, sender="status@partner.example"), "gone": w.sign(gone, sender="gone@partner.example")}
    everybody = [good, bad, status, gone]
    parameters = {"recipients": everybody, "environment": clock.environment, "crl_life": "30d", "ocsp_life": "30d",
                  "revocation_giveup": "4h", "fetch_timeout": "500ms", "fetch_connect_timeout": "200ms",
                  # What is known of recipients is kept by the clock that does not move.
                  "resolve_life": "0s"}
    problems, waits = [], []
    with w.gateway(**parameters) as strict, w.gateway(name="lenient", revocation_inbound="prefer", revocation_outbound="prefer",
                                                      revocation_stale_inbound="12h", revocation_stale_outbound="6h",
                                                      **parameters) as lenient:
        def look(hours, expected):
            """expected: {gateway: ({inbound results}, {reasons} or None, {outbound codes})} for good; revoked stays revoked."""
            for gateway, wanted in expected.items():
                for name in messages:
                    label = f"{'require' if gateway is strict else 'prefer'} at {hours} h, {name}"
                    inbound, outbound = gateway.receive(messages[name]), gateway.send(f"{name}@partner.example")
                    waits.extend((v.wait_ms, v.seconds, label) for v in (inbound, outbound))
                    results, reasons, codes = ({"fail"}, {"revoked"}, {550}) if name in ("bad", "gone") else wanted
                    if inbound.result not in results or (reasons and inbound.reason not in reasons) or outbound.code not in codes:
                        problems.append(f"{label}: expected {results} {reasons} {codes}, got {inbound}\n    and {outbound}")

        passes, expired = ({"pass"}, None, {250}), ({"temperror"}, {"crl-expired", "ocsp-expired"}, {451})
        over = ({"fail"}, {"revocation-unreachable"}, {550})
        look(0, {strict: passes, lenient: passes})
        waits.clear()
        w.http.blackhole = True
        try:
            for hours in (6, 23, 30, 47, 49, 51, 53, 56, 61, 72):
                clock.move(hours * HOUR)
                if hours == 30:
                    # Past half of the lists' life: both refreshers try, and find out before anybody has to know.
                    for gateway in (strict, lenient):
                        for url in (w.url(sub), ocsp.url):
                            wait_until(lambda: [x for x in gateway.warnings(url) if "failed" in x], 30, f"failure of {url}")
                past = hours - 48
                look(hours, {strict: passes if past < 0 else expired if past < 4 else over,
                             lenient: passes if past < 6 else ({"pass"}, None, {550}) if past < 12 else over})
        finally:
            w.http.blackhole = False
        slow = [entry for entry in waits if entry[0] > 300 or entry[1] > 1.0]
        print(f"# {len(waits)} messages in the dark; longest wait_ms {max(e[0] for e in waits)},"
              f" longest {max(e[1] for e in waits):.2f} s")
        if slow:
            problems.append(f"messages waited: {slow[:10]}")
        for gateway in (strict, lenient):
            if not gateway.warnings("has run out"):
                problems.append(f"the log does not say what is stale: {gateway.text()[-2000:]}")
        if not [x for x in lenient.warnings("smime=pass") if "the CRL has run out" in x]:
            problems.append(f"the log does not say what passes without a fresh status: {lenient.text()[-2000:]}")
        # Light again: what is asked for is fetched, and all is well.
        w.publish(sub, this=clock.now() - HOUR, next_=LIFE)
        ocsp.this = clock.now() - HOUR
        ocsp.produced = clock.now()
        clock.move(73 * HOUR)
        wait_until(lambda: strict.receive(messages["good"]).result == "pass", 30, "pass after the servers came back")
        wait_until(lambda: strict.receive(messages["status"]).result == "pass", 30, "OCSP pass after the servers came back")
    assert not problems, "\n".join(problems[:40])


def test_in_steady_state_the_refresher_asks_and_no_message_does():
    w = world()
    clock = Clock(w.scratch, "clock-steady")
    w.publish(w.root, "/root.crl", next_=60 * DAY)
    sub = w.issuer("steady", publish=False)
    bob = w.person(sub)
    message = w.sign(bob, sub.certificate)
    path = f"/{sub.common.replace(' ', '-')}.crl"
    w.publish(sub, next_=DAY)
    with w.gateway(environment=clock.environment, crl_life="30d") as gateway:
        assert gateway.receive(message).result == "pass", gateway.text()
        for step in range(1, 7):
            # A new list each half day; past half of a list's life it is fetched, before anybody has to wait for it.
            before, then = w.http.count(path), now() + step * 13 * HOUR
            w.http.put(path, late(body(sub.crl(this=then - HOUR / 60, next_=DAY), CRL_TYPE), 0.5))
            clock.move(step * 13 * HOUR)
            wait_until(lambda: w.http.count(path) > before, 20, f"refresh after {step * 13} h")
            verdict = gateway.receive(message)
            assert verdict.result == "pass" and verdict.seconds < 0.4 * PATIENCE, (step, verdict)
            wait_until(lambda: w.http.answered.get(path, 0) == w.http.count(path), 20, "end of the answer")
            wait_until(lambda: gateway.receive(message).result == "pass", 5, "pass")


if __name__ == "__main__":
    main(globals())
