#!/usr/bin/env python3
"""The runner of `make check`: unit tests, scenario and end-to-end tests, and the checks of the tree.

Every test program speaks TAP (cmocka does with CMOCKA_MESSAGE_OUTPUT=TAP). As many run at a time as there are processors, the
longest first; beside them, one after the other, those that mostly wait. A program that ends without its plan fulfilled, by a
signal, or beyond its time is a failure. The last line is the count.

    run.py BUILD [PART...]     parts: unit scenario e2e checks; threads: the e2e modules in which many threads meet
"""

import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import time

TOP = pathlib.Path(__file__).resolve().parent.parent
SECONDS = float(os.environ.get("SMIMED_TEST_SECONDS", "900"))
# For the thread sanitizer: the others send one message after the other.
THREADS = ("bypass", "copies", "groups", "harvest", "inbound", "ldap", "milter", "notices", "operation", "outbound", "poison",
           "trust_cache", "trust_fleet", "trust_ocsp")
# Folders of unit tests in which there is one thread: the thread sanitizer has nothing to look at.
UNTHREADED = ("conf", "mime", "policy", "smime")
# What is killed is looked at from outside, where the sanitizers see nothing more: without them alone.
PLAIN = ("e2e/test_copies_crash",)
# A tenth to a third of their time is work; the rest they wait for intervals, time-outs and Postfix.
WAITING = ("e2e/test_mime_corpus", "e2e/test_notices", "e2e/test_copies", "e2e/test_ldap", "e2e/test_doctor", "e2e/test_rcpt",
           "unit/pki/test_refresh", "unit/pki/test_evidence_shared", "unit/pki/test_evidence_poison",
           "unit/directory/test_ldap_failure", "unit/cache/test_sentinel")
# What takes longest comes first, so that nothing long is left for one worker at the end.
LONG = ("e2e/test_decrypt", "e2e/test_groups", "e2e/test_differential", "e2e/test_memory", "e2e/test_harvest", "e2e/test_outbound",
        "e2e/test_explain", "e2e/test_identity", "e2e/test_rules", "e2e/test_efail", "e2e/test_attack_corpus", "e2e/test_milter",
        "scenario/test_milter", "e2e/test_trust_fleet", "e2e/test_algorithms", "e2e/test_attacks", "unit/flow/test_corpus",
        "unit/smime/test_many")
LINE = re.compile(r"^(ok|not ok)\b\s*\d*\s*-?\s*(.*)$")


def chosen(build, parts, sanitizer):
    """(name, command) of what is run, the longest first, and the names of what is left to the build without sanitizers."""
    kept, left = [], []
    for name, command in programs(build, parts):
        single = sanitizer == "thread" and name.startswith("unit/") and name.split("/")[1] in UNTHREADED
        if single or (sanitizer and name in PLAIN):
            left.append(name)
        else:
            kept.append((name, command))
    order = {name: place for place, name in enumerate(WAITING + LONG)}
    return sorted(kept, key=lambda one: order.get(one[0], len(order))), left


def programs(build, parts):
    if "checks" in parts:
        for path in sorted((TOP / "tests/checks").glob("check_*.py")):
            yield path.stem, [sys.executable, str(path)]
    if "unit" in parts:
        for source in sorted((TOP / "tests/unit").glob("*/test_*.c")):
            name = source.relative_to(TOP / "tests").with_suffix("")
            yield str(name), [str(build / "tests" / name)]
    if "scenario" in parts:
        for path in sorted((TOP / "tests/scenario").glob("test_*.py")):
            yield f"scenario/{path.stem}", [sys.executable, str(path)]
    if "e2e" in parts or "threads" in parts:
        for path in sorted((TOP / "tests/e2e").glob("test_*.py")):
            if "e2e" not in parts and path.stem.removeprefix("test_") not in THREADS:
                continue
            yield f"e2e/{path.stem}", [sys.executable, str(path)]


def run(name, command, environment):
    begin = time.monotonic()
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=SECONDS, env=environment, cwd=TOP)
        output, code = done.stdout.decode(errors="replace"), done.returncode
    except subprocess.TimeoutExpired as late:
        output, code = (late.stdout or b"").decode(errors="replace"), f"no end after {SECONDS:.0f} s"
    except OSError as error:
        output, code = "", str(error)
    planned, passed, failed, skipped = 0, [], [], []
    for line in output.splitlines():
        plan = re.match(r"^1\.\.(\d+)", line)
        if plan:
            planned += int(plan.group(1))
            continue
        match = LINE.match(line)
        if not match:
            continue
        if "# SKIP" in match.group(2):
            skipped.append(match.group(2))
        elif match.group(1) == "ok":
            passed.append(match.group(2))
        else:
            failed.append(match.group(2))
    seen = len(passed) + len(failed) + len(skipped)
    if code != 0 and not failed:
        failed.append(f"{name}: ended with {code}")
    elif seen < planned or planned == 0:
        failed.append(f"{name}: {seen} of {planned} tests ran")
    return name, passed, failed, skipped, output, time.monotonic() - begin


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    parts = sys.argv[2:] or ["checks", "unit", "scenario", "e2e"]
    environment = dict(os.environ, SMIMED_BUILD=str(build), CMOCKA_MESSAGE_OUTPUT="TAP", PYTHONDONTWRITEBYTECODE="1",
                       LC_ALL="C.UTF-8")
    environment.setdefault("ASAN_OPTIONS", "detect_leaks=1:abort_on_error=0:detect_stack_use_after_return=1")
    environment.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
    environment.setdefault("TSAN_OPTIONS", f"suppressions={TOP}/tests/tsan.supp:second_deadlock_stack=1")
    environment.setdefault("LSAN_OPTIONS", f"suppressions={TOP}/tests/lsan.supp:print_suppressions=0")
    total = {"passed": 0, "failed": 0, "skipped": 0}
    todo, left = chosen(build, parts, os.environ.get("SAN", ""))
    if left:
        print(f"left to the build without sanitizers: {' '.join(left)}")
    failures = []
    workers = max(2, len(os.sched_getaffinity(0)))
    with (concurrent.futures.ThreadPoolExecutor(max_workers=workers) as pool,
          concurrent.futures.ThreadPoolExecutor(max_workers=1) as aside):
        begun = [(aside if name in WAITING else pool).submit(run, name, command, environment) for name, command in todo]
        for done in concurrent.futures.as_completed(begun):
            name, passed, failed, skipped, output, seconds = done.result()
            total["passed"] += len(passed)
            total["failed"] += len(failed)
            total["skipped"] += len(skipped)
            word = "FAILED" if failed else "ok"
            note = f", {len(skipped)} skipped" if skipped else ""
            print(f"{word:6} {name}: {len(passed)} passed, {len(failed)} failed{note} ({seconds:.1f} s)", flush=True)
            for reason in skipped:
                print(f"         skipped: {reason}")
            if failed:
                failures += [f"{name}: {test}" for test in failed]
                print("\n".join(f"    | {line}" for line in output.splitlines()[-150:]), flush=True)
    for failure in failures:
        print(f"FAILED {failure}")
    print(f"{total['passed']} passed, {total['failed']} failed, {total['skipped']} skipped")
    return 1 if total["failed"] or not total["passed"] else 0


if __name__ == "__main__":
    sys.exit(main())
