"""Instructions of one message, counted by callgrind: the same number every time on the same build, so that a later change can
be compared exactly. The daemon runs twice, with few messages and with more of them; the difference is theirs alone.

valgrind hides the newest vector instructions from the program, so these are counts of the AVX2 paths."""

import os
import re
import subprocess

from world import SMIMED, Gateway, wait_until, work_options

FEW, MORE = 5, 25


class Counted(Gateway):
    """smimed below callgrind."""

    def start(self):
        self.out = self.path / "callgrind.out"
        self.process = subprocess.Popen(["valgrind", "--tool=callgrind", f"--callgrind-out-file={self.out}", str(SMIMED),
                                         "-f", "-c", str(self.file)], stdin=subprocess.DEVNULL,
                                        stdout=open(self.log, "ab"), stderr=subprocess.STDOUT,
                                        env=dict(os.environ, **self.environment))
        wait_until(self._answers, 120, f"smimed below callgrind ({self.text()[-2000:]})")

    def total(self):
        self.stop()
        return int(re.search(r"^(?:totals|summary): (\d+)", self.out.read_text(), re.M).group(1))


def instructions(scratch, users, messages, work, key, count):
    counted = Counted(scratch, users, name=f"counted-{work}-{key}-{count}".replace(" ", "-"))
    result = counted.load(messages=count, **work_options(work, "4k", messages, key))
    if result["lost"]:
        raise RuntimeError(f"{work}: {result}")
    return counted.total()


def measure(scratch, users, messages):
    found = {}
    for work, key in (("sign", "rsa2048"), ("sign", "p256"), ("both", "rsa2048"), ("verify", "rsa2048"), ("pass", "rsa2048")):
        few = instructions(scratch, users, messages, work, key, FEW)
        more = instructions(scratch, users, messages, work, key, MORE)
        found[f"{work} 4k {key}"] = {"instructions": (more - few) // (MORE - FEW)}
    return found
