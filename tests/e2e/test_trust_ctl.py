#!/usr/bin/env python3
"""smimectl about trust: path and verify with and without the network, at another time, with files; the account of a path; the
cache of a running gateway."""

import json
import re
import time

from harness import main, smimectl, wait_until
from trustca import DAY, now, pem
from trustnet import Ocsp, dead_url
from trustworld import World

CLOSERS = []
WORLD = []


def world():
    if not WORLD:
        WORLD.append(World("ctl"))
        CLOSERS.append(WORLD[0].close)
    return WORLD[0]


def file(w, name, octets):
    path = w.folder / name
    path.write_bytes(octets)
    return path


def path_of(*words):
    done = smimectl(*words)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_path_asks_the_network_and_tells_where_everything_came_from():
    w = world()
    sub = w.issuer("account")
    ocsp = Ocsp(w.http, "/ocsp-account", sub)
    bob = w.person(sub, crl=None, ocsp=[ocsp.url])
    ocsp.statuses[bob.serial] = "good"
    leaf = file(w, "account.pem", bob.pem)
    with w.gateway(start=False) as gateway:
        code, found = path_of("-c", gateway.file, "path", "--json", leaf)
        assert code == 0 and found["result"] == "ok", found
        steps = found["path"]
        assert [s["revocation"] for s in steps] == ["good", "good", "anchor"], steps
        assert steps[1]["source"] == "network" and steps[2]["source"] == "anchor", steps
        text = smimectl("-c", gateway.file, "path", leaf).stdout.decode()
        for word in ("network", "ocsp", "crl", "anchor"):
            assert re.search(word, text, re.I), (word, text)
        # Offline there is no issuer, and nobody is asked.
        w.http.forget()
        code, found = path_of("-c", gateway.file, "path", "--json", "--offline", leaf)
        assert code in (1, 3) and w.http.count() == 0, (code, found)
        # With files there is no need to.
        code, found = path_of("-c", gateway.file, "path", "--json", "--offline", "--untrusted", file(w, "account-sub.pem",
                              sub.certificate.pem), "--", leaf)
        assert code == 3 and w.http.count() == 0, (code, found)


def test_path_with_files_alone():
    w = world()
    sub = w.issuer("files")
    good, bad = w.person(sub, crl=[dead_url()]), w.person(sub, crl=[dead_url()])
    sub.revoke(bad)
    crls = file(w, "files.crl", pem(sub.crl(), "X509 CRL") + pem(w.root.crl(), "X509 CRL"))
    base = ("path", "--json", "--offline", "--anchors", w.anchors, "--untrusted", file(w, "files-sub.pem", sub.certificate.pem))
    begin = time.monotonic()
    for person, code, reason in ((good, 0, "ok"), (bad, 1, "revoked")):
        got, found = path_of(*base, "--crl", crls, "--", file(w, "files-leaf.pem", person.pem))
        assert got == code and found["reason"] == reason, found
    # Eight days later the lists have run out; three years later the certificate has.
    later = int((now() + 8 * DAY).timestamp()), int((now() + 1000 * DAY).timestamp())
    for at, reason in zip(later, (("crl-expired",), ("cert-expired", "issuer-expired"))):
        got, found = path_of(*base, "--crl", crls, "--at", str(at), "--", file(w, "files-leaf.pem", good.pem))
        assert found["reason"] in reason, found
    # What is not given is not known, and no network means no wait.
    got, found = path_of(*base, "--", file(w, "files-leaf.pem", good.pem))
    assert got == 3, found
    assert time.monotonic() - begin < 5


def test_verify_online_and_offline():
    w = world()
    sub = w.issuer("verify")
    bob, bad = w.person(sub), w.person(sub)
    sub.revoke(bad)
    w.publish(sub)
    message, revoked = file(w, "good.eml", w.sign(bob)), file(w, "bad.eml", w.sign(bad))
    with w.gateway(start=False) as gateway:
        code, found = path_of("-c", gateway.file, "verify", "--json", message)
        assert code == 0 and found["result"] == "pass" and found["path"] == "ok", found
        code, found = path_of("-c", gateway.file, "verify", "--json", revoked)
        assert code == 1 and found["result"] == "fail" and found["reason"] == "revoked", found
        w.http.forget()
        code, found = path_of("-c", gateway.file, "verify", "--json", "--offline", message)
        assert code in (1, 3) and w.http.count() == 0, (code, found)
        code, found = path_of("-c", gateway.file, "verify", "--json", "--offline", "--revocation", "off", "--untrusted",
                              file(w, "verify-sub.pem", sub.certificate.pem), "--", message)
        assert code == 0 and w.http.count() == 0, (code, found)


def test_the_cache_of_a_running_gateway_is_shown_and_flushed():
    w = world()
    sub = w.issuer("shown")
    ocsp = Ocsp(w.http, "/ocsp-shown", sub)
    bob = w.person(sub)
    carol = w.person(sub, "carol@partner.example", crl=None, ocsp=[ocsp.url])
    ocsp.statuses[carol.serial] = "good"
    with w.gateway() as gateway:
        for _ in range(3):
            assert gateway.receive(w.sign(bob)).result == "pass", gateway.text()
        assert gateway.receive(w.sign(carol, sender="carol@partner.example")).result == "pass", gateway.text()

        def cache(*words):
            done = smimectl("-c", gateway.file, "cache", *words)
            assert done.returncode == 0, done
            return done.stdout.decode()
        shown = cache("show")
        for word in (w.url(sub), w.url(w.root), w.url(sub, "cer"), "network", "crl", "ocsp"):
            assert word in shown, (word, shown)
        entries = {e["name"]: e for e in json.loads(cache("show", "--json"))["entries"]}
        crl = entries[w.url(sub)]
        assert crl["kind"] == "crl" and crl["source"] == "network" and crl["hits"] >= 2 and crl["bytes"] > 100, crl
        assert crl["this_update"] < crl["fetched"] < crl["refresh"] < crl["next_update"], crl
        stats = json.loads(cache("stats", "--json"))
        assert stats["entries"] == len(entries) == 4 and stats["fetch_requests"] == 4 and stats["hits"] >= 4, stats
        requests = w.http.count(f"/{sub.common.replace(' ', '-')}.crl")
        cache("flush", w.url(sub))
        assert gateway.receive(w.sign(bob)).result == "pass", gateway.text()
        assert w.http.count(f"/{sub.common.replace(' ', '-')}.crl") == requests + 1, w.http.asked
        # What is parsed goes; with --shared the octets behind it too: then everything is asked anew.
        for words, least in ((("flush",), 2), (("flush", "--shared"), 3)):
            cache(*words)
            w.http.forget()
            assert gateway.receive(w.sign(bob)).result == "pass", gateway.text()
            assert w.http.count() >= least, (words, w.http.asked)
        wait_until(lambda: "network" in cache("show"), 10, "entries after the flush")


if __name__ == "__main__":
    main(globals())
