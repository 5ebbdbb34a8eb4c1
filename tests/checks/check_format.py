#!/usr/bin/env python3
"""The form of the sources: clang-format has nothing to change, no line is too long, no tab, no trailing blank."""

import pathlib
import shutil
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]
FOLDERS = ("util", "conf", "mime", "cache", "policy", "pki", "smime", "directory", "flow", "milter", "ctl", "tests")


def main():
    sources = sorted(p for f in FOLDERS for p in (TOP / f).rglob("*.[ch]"))
    print("1..2")
    offences = []
    if shutil.which("clang-format"):
        done = subprocess.run(["clang-format", "--dry-run", "-Werror", *map(str, sources)], capture_output=True,
                              check=False, cwd=TOP)
        offences = [line for line in done.stderr.decode().splitlines() if "error:" in line or "warning:" in line]
        for line in offences[:40]:
            print(f"# {line}")
        print(f"{'not ok' if offences else 'ok'} 1 - clang-format has nothing to change")
    else:
        print("ok 1 - clang-format has nothing to change # SKIP clang-format is not installed")
    blemishes = []
    for path in sources + sorted(TOP.glob("tests/**/*.py")) + sorted(TOP.glob("docs/*")):
        if not path.is_file():
            continue
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            where = f"{path.relative_to(TOP)}:{number}"
            if line != line.rstrip():
                blemishes.append(f"{where}: blank at the end of the line")
            if "\t" in line and path.suffix in (".c", ".h", ".py"):
                blemishes.append(f"{where}: a tab")
            if len(line) > (100 if path.suffix in (".c", ".h") else 132) and path.suffix in (".c", ".h", ".py"):
                blemishes.append(f"{where}: {len(line)} columns")
    for line in blemishes[:40]:
        print(f"# {line}")
    print(f"{'not ok' if blemishes else 'ok'} 2 - no tab, no blank at the end, no line over 100 columns (Python: 132)")
    return 1 if offences or blemishes else 0


if __name__ == "__main__":
    sys.exit(main())
