"""The table, and the goals beside what was measured. The floor of a kind of work is the CPU of a bare milter with the same
traffic that does the raw primitives that the work cannot do without; beside it stands what the two add up to where each was
measured alone. Two contestants are compared round for round, and the median of what the rounds gave counts."""

import statistics


def linear(primitives, name, octets):
    """Microseconds for that many octets, from the figures at 4 KiB and at 1 MiB."""
    small, large = primitives[f"{name} 4k"]["us"], primitives[f"{name} 1m"]["us"]
    slope = (large - small) / ((1 << 20) - 4096)
    return small + slope * (octets - 4096)


def needs(work, octets, replaced):
    """What one message needs of the raw primitives, how often or how many octets. Signed and encrypted mail travels as base64
    of what was encrypted; one RecipientInfo more than recipients, for the sender can read what he sent."""
    inner, found = round(replaced * 57 / 78), {}
    if work in ("sign", "both", "gcm"):
        found |= {"sign": 1, "sha256": octets}
    if work in ("both", "gcm") or work.startswith("encrypt"):
        found |= {"wrap": 1 + (int(work.split()[1]) if work.startswith("encrypt") else 1),
                  "aes256-gcm" if work == "gcm" else "aes256-cbc": inner, "base64": inner}
    if work == "decrypt":
        inner = round(octets * 57 / 78)
        found |= {"unwrap": 1, "verify": 6, "sha256": inner, "aes256-cbc-open": inner, "unbase64": inner}
    if work.startswith("verify"):
        found |= {"verify": 6 if octets < 1 << 20 else 1, "sha256": octets}
    return found


def raw(primitives, work, key, octets, replaced):
    """The microseconds of that, each primitive measured alone."""
    kinds = {"sign": key, "verify": key, "wrap": "rsa2048", "unwrap": "rsa2048"}
    return sum(amount * primitives[f"{name} {kinds[name]}"]["us"] if name in kinds
               else linear(primitives, name, amount)
               for name, amount in needs(work, octets, replaced).items())


# name of the contest: the highest ratio to the floor
GOALS = {"sign 4k rsa2048": 1.25, "sign 4k p256": 1.8, "both 4k rsa2048": 1.4, "sign 25m rsa2048": 1.3,
         "both 25m rsa2048": 1.3, "verify 4k rsa2048": 1.0, "verify 25m rsa2048": 1.3}


def compare(contest, one, other, key, other_key=None):
    """(first quartile, median, third quartile) of `one` against `other`, both of the same round."""
    pairs = zip(contest[one]["rounds"][key], contest[other]["rounds"][other_key or key])
    ratios = sorted(a / b for a, b in pairs)
    return tuple(statistics.quantiles(ratios, n=4, method="inclusive")) if len(ratios) > 1 else (ratios[0],) * 3


def floors(result):
    """name: (floor, quartiles of the ratio, goal or None, what the parts of the floor add up to where each was measured
    alone)"""
    contest, primitives = result["ratios"], result.get("primitives")
    found = {}
    for name, figures in contest.items():
        if f"floor {name}" not in contest:
            continue
        added = 0
        if primitives:
            work, key = name.rpartition(" ")[0].rpartition(" ")[0], name.rpartition(" ")[2]
            added = contest[f"bare {name}"]["cpu_us"] + raw(primitives, work, key, figures["body"], figures["replaced"])
        found[name] = (contest[f"floor {name}"]["cpu_us"], compare(contest, name, f"floor {name}", "cpu_us"),
                       GOALS.get(name), added)
    return found


def goals_of_contest(result):
    contest, sign = result["ratios"], "sign 4k rsa2048"
    for name, (_, ratios, goal, added) in floors(result).items():
        if goal:
            yield f"CPU of {name} against the floor", ratios[1], "at most", goal
            if added:
                yield f"CPU of {name} against the floor added up", contest[name]["cpu_us"] / added, "at most", goal
    yield "CPU of pass against a bare accepting milter", \
        compare(contest, "pass 4k rsa2048", "accept 4k", "cpu_us")[1], "at most", 1.5
    if "verify 4k large CRL" in contest:
        yield "CPU of verify 4k, CRL of 1,000,000 against small", \
            compare(contest, "verify 4k large CRL", "verify 4k rsa2048", "cpu_us")[1], "at most", 1.1
    yield "rate of sign 4k against OpenDKIM", compare(contest, sign, "opendkim sign 4k", "rate")[1], "at least", 3.2
    yield "rate of the floor of sign 4k against OpenDKIM", \
        compare(contest, f"floor {sign}", "opendkim sign 4k", "rate")[1], "", ""
    yield "rate of sign 4k against openssl cms", compare(contest, sign, "openssl cms sign 4k", "rate")[1], "at least", 10
    yield "rate of the floor of sign 4k against openssl cms", \
        compare(contest, f"floor {sign}", "openssl cms sign 4k", "rate")[1], "", ""
    yield "p99 of sign 4k against p50", compare(contest, sign, sign, "p99_us", "p50_us")[1], "at most", 3


def goals(result):
    """(what, measured, relation, goal); without a goal: for comparison"""
    if "ratios" in result:
        yield from goals_of_contest(result)
    primitives = result.get("primitives", {})
    for name, least in (("sign rsa2048", 1.8), ("verify rsa2048", 1.7)):
        if f"threads {name}" in primitives:
            yield f"two threads against one, {name}", 2 / primitives[f"threads {name}"]["ratio"], "at least", least
    for name, most in (("path of three, CRL of 1000000 against small", 1.1), ("crl 1000000 resident against its DER", 1.5)):
        if name in primitives:
            yield name, primitives[name]["ratio"], "at most", most
    for name, figures in result.get("memory", {}).items():
        yield f"MiB above idle, {name}", figures["above_kib"] / 1024, "at most", 160
    if "slow" in result:
        yield "p99 beside 100 of 1,000 connections that wait for a directory, against without", \
            result["slow"]["beside 100 that wait"]["p99_us"] / result["slow"]["alone"]["p99_us"], "at most", 2
    mta = result.get("postfix")
    if mta:
        yield "rate through Postfix against OpenDKIM", mta["smimed 4"]["rate"] / mta["opendkim 4"]["rate"], "at least", 1
        yield "rate on inet against Unix socket, 1 connection", mta["smimed inet 1"]["rate"] / mta["smimed 1"]["rate"], \
            "at least", 0.5


def table(out, head, rows):
    rows = [head] + [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    for number, row in enumerate(rows):
        cells = [cell.ljust(width) if i == 0 else cell.rjust(width) for i, (cell, width) in enumerate(zip(row, widths))]
        out.write("| " + " | ".join(cells) + " |\n")
        if number == 0:
            out.write("|" + "|".join("-" * (width + 2) for width in widths) + "|\n")
    out.write("\n")


def write(result, out):
    machine = result["machine"]
    out.write(f"{machine['time']}, {machine['processors']} x {machine['processor']}, {machine['openssl']}, "
              f"load {machine['load'][0]:.1f}{', quick' if result['quick'] else ''}\n\n")
    if "primitives" in result:
        table(out, ["primitive or module", "us", "ratio"],
              [[name, f"{f['us']:.1f}" if "us" in f else "", f"{f['ratio']:.2f}" if "ratio" in f else ""]
               for name, f in result["primitives"].items()])
    if "ratios" in result:
        known = floors(result)
        rows = []
        for name, f in result["ratios"].items():
            if name.startswith(("floor ", "bare ")):
                continue
            floor, ratios, _, added = known.get(name, (0, None, None, 0))
            rows.append([name, f"{f['rate']:.0f}", f"{f['cpu_us']:.0f}", f"{floor:.0f}" if floor else "",
                         f"{added:.0f}" if added else "", f"{ratios[1]:.2f}" if ratios else "",
                         f"{ratios[0]:.2f} to {ratios[2]:.2f}" if ratios else "",
                         f"{f['p50_us']:.0f}", f"{f['p99_us']:.0f}"])
        table(out, ["4 connections", "messages/s", "CPU us", "floor us", "added us", "ratio", "half of the rounds", "p50 us",
                    "p99 us"], rows)
    if "grid" in result:
        table(out, ["work size connections", "messages/s", "CPU us", "p50 us", "p99 us", "peak MiB"],
              [[name, f"{f['rate']:.1f}", f"{f['cpu_us']:.0f}", f"{f['p50_us']:.0f}", f"{f['p99_us']:.0f}",
                f"{f['peak_kib'] / 1024:.0f}"] for name, f in result["grid"].items()])
    if "memory" in result:
        table(out, ["memory", "idle MiB", "peak MiB", "above", "after MiB", "lost", "threads"],
              [[name, *(f"{f[k] / 1024:.0f}" for k in ("idle_kib", "peak_kib", "above_kib", "after_kib")), f["lost"],
                f["threads"]] for name, f in result["memory"].items()])
    if "postfix" in result:
        table(out, ["through Postfix, sessions", "messages/s"],
              [[name, f"{f['rate']:.0f}"] for name, f in result["postfix"].items() if "rate" in f])
    if "slow" in result:
        table(out, ["900 connections, half of the capacity", "messages/s", "p50 us", "p99 us"],
              [[name, f"{f['rate']:.0f}", f"{f.get('p50_us', 0):.0f}", f"{f.get('p99_us', 0):.0f}"]
               for name, f in result["slow"].items()])
    if "counts" in result:
        table(out, ["instructions of one message", "count"],
              [[name, f"{f['instructions']:,}"] for name, f in result["counts"].items()])
    table(out, ["goal", "measured", "", "goal "],
          [[what, f"{measured:.2f}", relation, f"{goal}"] for what, measured, relation, goal in goals(result)])
