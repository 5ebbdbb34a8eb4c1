#!/usr/bin/env python3
"""Every fuzz target runs over its seeds, and over the seed corpus where that is at hand."""

import os
import pathlib
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("SMIMED_BUILD", TOP / "build/out"))
# Each target reads all of the corpus fuzz-seeds: octets that are meant for another parser are hostile, too.
CORPUS = ["cms", "crl"]


def main():
    targets = sorted((TOP / "tests/fuzz").glob("fuzz_*.c"))
    print(f"1..{len(targets)}")
    failed = 0
    corpora = os.environ.get("SMIMED_CORPORA", "")
    for number, source in enumerate(targets, 1):
        name = source.stem[len("fuzz_"):]
        paths = [TOP / "tests/fuzz/seeds" / name]
        if corpora:
            paths += [pathlib.Path(corpora) / "fuzz-seeds" / c for c in CORPUS]
        paths = [str(p) for p in paths if p.is_dir()]
        done = subprocess.run([BUILD / "tests/fuzz" / f"{source.stem}-replay", *paths], capture_output=True,
                              timeout=600, check=False)
        good = done.returncode == 0
        failed += not good
        if not good:
            for line in (done.stdout + done.stderr).decode(errors="replace").splitlines()[-40:]:
                print(f"# {line}")
        print(f"{'ok' if good else 'not ok'} {number} - {name}: seeds run without a crash or leak")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
