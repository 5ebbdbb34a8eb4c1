#!/usr/bin/env python3
"""`make bench`: everything that is compared, measured in one run; docs/performance.md says what the figures mean.

    run.py [PART...]        primitives ratios grid memory postfix slow counts; all of them when none is named

Nothing here fails because something is slow: figures are printed and written to build/bench.json beside the goals, and
a person judges. Comparisons are interleaved (every contestant once per round) and the median of the rounds counts, so
that what else the machine does falls on all of them alike.
"""

import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time

import counts
import mta
import report
import slow
from world import BUILD, SIZES, TOOLS, TOP, Gateway, Messages, Scratch, Users, bare, large_crls, opendkim, pipe, work_options

QUICK = os.environ.get("BENCH") == "quick"
ROUNDS = 5 if QUICK else 11
SECONDS = 0.3 if QUICK else 0.5
CONNECTIONS = (1, 4, 16, 64)
WORKS = ("sign", "both", "gcm", "encrypt 1", "encrypt 10", "encrypt 100", "verify", "verify opaque", "decrypt", "pass")
PARTS = ("primitives", "ratios", "grid", "memory", "postfix", "slow", "counts")


def machine():
    text = open("/proc/cpuinfo", encoding="utf-8").read()
    model = re.search(r"^model name\s*:\s*(.*)$", text, re.M)
    return {"processor": model.group(1) if model else "unknown", "processors": os.cpu_count(),
            "kernel": platform.release(), "load": os.getloadavg(),
            "openssl": subprocess.run(["openssl", "version"], capture_output=True, check=False).stdout.decode().strip(),
            "time": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())}


def primitives():
    """What the programs bench_*.c print, by their names."""
    found = {}
    for source in sorted((TOP / "tests/bench").glob("bench_*.c")):
        done = subprocess.run([TOOLS / source.stem], stdout=subprocess.PIPE, check=False, timeout=1200)
        if done.returncode:
            print(f"# {source.stem} ended with {done.returncode}", file=sys.stderr)
        for line in done.stdout.decode().splitlines():
            if line.startswith("{"):
                figures = json.loads(line)
                found[figures.pop("name")] = {**figures, "program": source.stem}
    return found


class Contest:
    """Contestants that run one after the other, round for round, each second round backwards: what the machine does
    beside them changes within seconds and falls on neighbours alike, so that figures are compared within a round."""

    def __init__(self):
        self.entries = {}

    def add(self, name, contestant, **options):
        self.entries[name] = (contestant, options, [])

    def run(self, rounds=ROUNDS):
        """name: medians, and beside them what each round gave."""
        for number in range(rounds):
            for name, (contestant, options, results) in list(self.entries.items())[:: -1 if number % 2 else 1]:
                results.append(contestant.load(**options))
                if results[-1]["lost"]:
                    print(f"# {name}: {results[-1]['lost']} messages were not accepted", file=sys.stderr)
        return {name: {**median(results), "rounds": {key: [r[key] for r in results] for key in KEPT}}
                for name, (_, _, results) in self.entries.items()}


KEPT = ("cpu_us", "rate", "p50_us", "p99_us")


def median(results):
    return {key: statistics.median(r[key] for r in results) for key in results[0]}


def amount(size, connections, each={"1m": 8, "25m": 2}):
    """How much is sent: for a time, or, where one message takes long, a number of them."""
    if SIZES[size] >= 1 << 20:
        return {"messages": max(connections, 4) * (1 if QUICK else each[size])}
    return {"seconds": SECONDS}


def primitive_work(users, key, work, octets, replaced):
    """What the bare filter is told to do for one message."""
    amounts = ",".join(f"{name}={amount}" for name, amount in report.needs(work, octets, replaced).items())
    return f"key={users.senders[key][0]},rsa={users.senders['rsa2048'][0]}{',' if amounts else ''}{amounts}"


def ratios(scratch, users, messages, gateway):
    """What the goals speak of: smimed, the floor with the same traffic, and the peers, at 4 connections. Each kind of work
    has its own contest, so that what is compared runs within seconds of each other."""
    works = [("sign", "4k", "rsa2048"), ("sign", "4k", "rsa3072"), ("sign", "4k", "p256"), ("both", "4k", "rsa2048"),
             ("gcm", "4k", "p256"), ("verify", "4k", "rsa2048"), ("verify opaque", "4k", "rsa2048"),
             ("verify", "4k", "p256"), ("decrypt", "4k", "rsa2048"), ("encrypt 1", "4k", "rsa2048"),
             ("encrypt 10", "4k", "rsa2048"), ("pass", "4k", "rsa2048"), ("sign", "25m", "rsa2048"),
             ("encrypt 100", "4k", "rsa2048"),
             ("both", "25m", "rsa2048"), ("verify", "25m", "rsa2048"), ("decrypt", "25m", "rsa2048")]
    seeing_all, found = bare(scratch, "accept+"), {}
    for work, size, key in works:
        contest = Contest()
        options = {"connections": 4, **amount(size, 4), **work_options(work, size, messages, key)}
        once = gateway.load(messages=1, **work_options(work, size, messages, key))
        name = f"{work} {size} {key}"
        contest.add(name, gateway, **options)
        replaced, octets = int(once["replaced"]), int(once["body"])
        needed = primitive_work(users, key, work, octets, replaced)
        contest.add(f"floor {name}", bare(scratch, "replace+", replaced, needed), **options)
        contest.add(f"bare {name}", bare(scratch, "replace+", replaced) if replaced else seeing_all, **options)
        add_peers(contest, scratch, users, name, options)
        found |= contest.run()
    return found


def add_peers(contest, scratch, users, name, options):
    """Those that a kind of work is compared with beside its floor."""
    if name == "sign 4k rsa2048":
        contest.add("opendkim sign 4k", opendkim(scratch, users), **options)
        contest.add("openssl cms sign 4k", pipe(scratch, users), **options)
    if name == "verify 4k rsa2048" and not QUICK:
        large = Gateway(scratch, users, name="smimed-large", crls=large_crls(scratch, users))
        contest.add("verify 4k large CRL", large, **options)
    if name == "pass 4k rsa2048":
        contest.add("accept 4k", bare(scratch, "accept"), **options)


GRID = {"1m": 4, "25m": 1}


def grid(messages, gateway):
    """Every kind of work at every size and number of connections, once."""
    found = {}
    for work in WORKS:
        for size in ("4k", "1m") if QUICK else SIZES:
            for connections in (4, 64) if QUICK else CONNECTIONS:
                options = {"connections": connections, **amount(size, connections, GRID)}
                found[f"{work} {size} {connections}"] = gateway.load(**options, **work_options(work, size, messages))
    for key in ("rsa3072", "p256"):
        for work in ("sign", "verify"):
            for connections in CONNECTIONS:
                found[f"{work} 4k {key} {connections}"] = gateway.load(
                    connections=connections, seconds=SECONDS, **work_options(work, "4k", messages, key))
    return found


def memory(scratch, users, messages):
    """Many large messages at once, many small ones, and what is left when they are gone."""
    found = {}
    for name, work, size, connections in (("64 x 25 MiB sign", "sign", "25m", 64), ("64 x 25 MiB both", "both", "25m", 64),
                                          ("64 x 25 MiB verify", "verify", "25m", 64),
                                          ("64 x 25 MiB verify opaque", "verify opaque", "25m", 64),
                                          ("256 x 4 KiB sign", "sign", "4k", 256)):
        gateway = Gateway(scratch, users, name="smimed-" + name.replace(" ", "-"))
        options = work_options(work, size, messages)
        gateway.load(messages=2, **{**options, **({"body": 4096} if "body" in options else {})})
        idle = gateway.status("VmRSS")
        result = gateway.load(connections=connections, messages=connections * (1 if size == "25m" else 20), **options)
        time.sleep(2)
        found[name] = {"idle_kib": idle, "peak_kib": result["peak_kib"], "after_kib": gateway.status("VmRSS"),
                       "above_kib": result["peak_kib"] - idle, "lost": result["lost"], "rate": result["rate"],
                       "threads": result["threads"]}
        gateway.stop()
    return found


def main():
    parts = sys.argv[1:] or [part for part in PARTS if not QUICK or part not in ("counts",)]
    result = {"machine": machine(), "quick": QUICK}
    begin = time.monotonic()
    with Scratch("bench") as scratch:
        users = Users(scratch)
        messages = Messages(scratch, users)
        gateway = Gateway(scratch, users)
        steps = {"primitives": primitives,
                 "ratios": lambda: ratios(scratch, users, messages, gateway),
                 "grid": lambda: grid(messages, gateway),
                 "memory": lambda: memory(scratch, users, messages),
                 "postfix": lambda: mta.measure(scratch, users, gateway, QUICK),
                 "slow": lambda: slow.measure(scratch, users, messages),
                 "counts": lambda: counts.measure(scratch, users, messages)}
        for part in PARTS:
            if part in parts:
                print(f"# {part} ({time.monotonic() - begin:.0f} s)", file=sys.stderr, flush=True)
                result[part] = steps[part]()
    result["seconds"] = round(time.monotonic() - begin, 1)
    target = BUILD.parent / "bench.json"
    target.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")
    report.write(result, sys.stdout)
    print(f"\n{target}, {result['seconds']:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
