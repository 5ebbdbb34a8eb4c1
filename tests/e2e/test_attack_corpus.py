#!/usr/bin/env python3
"""The corpus of attack and control messages through the daemon: the word, the reason, the field octet for octet, the line.

No control fails, no attack passes. The same messages through a real Postfix: a part of them in test_attacks.py.
"""

import os
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "scenario"))
from attacks_corpus import BOB, Case, field, new_cases, old_cases, sentence
from harness import Authority, Scratch, Smimed, main, run, trust_config, wait_until
from milter_client import CONTINUE, INSHEADER, Milter
from test_attacks import Person, Setting

RULES = """
inbound_daemons = INBOUND
log_recipients = 1
rule "in" {
    direction = in
}
"""


class World:
    issue_with_lines, weird = Setting.issue_with_lines, Setting.weird

    def __init__(self, scratch):
        self.scratch, self.ca = scratch, Authority(scratch)
        self.bob, self.mallory = (Person(self.ca.user(f"{name}@partner.example", name)) for name in ("bob", "mallory"))
        self.sub = run("openssl", "x509", "-in", self.ca.cert, "-outform", "DER").stdout
        self.below = self.issue_with_lines()
        self.smimed = Smimed(scratch, RULES + trust_config(self.ca))

    def receive(self, message, queue_id):
        """The fields that are put in front, as the MTA gets them."""
        head, empty, body = message.partition(b"\r\n\r\n")
        # An MTA hands a header line on up to its first NUL.
        head = b"\r\n".join(line.partition(b"\0")[0] for line in head.split(b"\r\n"))
        milter = Milter(self.smimed.socket).negotiate()
        milter.connect(macros={"{daemon_name}": "INBOUND"})
        answer, edits = milter.message(BOB, ["alice@example.org"], head + empty + body, queue_id=queue_id)
        milter.close()
        assert answer[0] == CONTINUE, answer
        return [data[4:] for command, data in edits if command == INSHEADER]


def check_field(case, inserted):
    if case.result == "none":
        assert not inserted, inserted
        return
    (name, value, _), = [data.split(b"\0") for data in inserted]
    assert name == b"Authentication-Results", name
    text = sentence(case)
    if text.startswith("^"):
        plain = " ".join(value.decode().split())
        said = re.fullmatch(rf"mx\.test; smime={case.result} \({case.reason}: (.*)\)", plain)
        assert said and re.match(text, said.group(1)), value
        text = said.group(1)
    wanted = field(case, text)
    if wanted is None:
        assert value.startswith(f" mx.test;\n\tsmime=pass (ok)\n\tbody.smime-identifier={case.identifier}\n".encode()), value
    else:
        assert value == wanted, f"{value}\n  expected {wanted}"


def check_line(case, outcome):
    wanted = {"dir": "in", "action": "verify", "rule": "in", "smime": case.result, "result": "ok"}
    if case.result == "pass":
        wanted["signer"] = case.identifier
    elif case.result != "none":
        wanted["reason"] = case.reason
    assert wanted.items() <= outcome.items(), f"{outcome}\n  expected {wanted}"


def test_no_control_fails_and_no_attack_passes():
    with Scratch("corpus") as scratch:
        world = World(scratch)
        cases = new_cases(world) + old_cases(world)
        names = [case.name for case in cases]
        assert len(set(names)) == len(names), sorted(name for name in set(names) if names.count(name) > 1)
        wrong, fields = [], {}
        for number, case in enumerate(cases):
            fields[number] = world.receive(case.message, f"C{number}")
        wait_until(lambda: len(world.smimed.outcomes()) >= len(cases), 20, "all outcome lines")
        outcomes = {re.match(r"\w+", line).group(): dict(re.findall(r'(\w+)=("(?:[^"\\]|\\.)*"|\S+)', line))
                    for line in world.smimed.text().splitlines() if " dir=in " in line}
        for number, case in enumerate(cases):
            try:
                check_field(case, fields[number])
                check_line(case, outcomes[f"C{number}"])
            except (AssertionError, ValueError) as error:
                wrong.append(f"[{case.topic}] {case.name}: expected {case.result} {case.reason}; {error}\n"
                             f"  line {outcomes.get(f'C{number}')}"[:1200])
        for name in os.environ.get("SMIMED_SHOW", "").split(","):
            for number, case in enumerate(cases):
                if name and name in case.name:
                    print("#", case.name, fields[number], outcomes[f"C{number}"])
        controls = sum(case.is_control for case in cases)
        print(f"# {len(cases)} messages: {len(cases) - controls} attacks, {controls} controls")
        assert not wrong, f"{len(wrong)} of {len(cases)}\n" + "\n".join(wrong)
        assert len(cases) >= 120


if __name__ == "__main__":
    main(globals())
