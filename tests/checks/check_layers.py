#!/usr/bin/env python3
"""The layers: which folder may include which, and which outside library lives where. Rules: docs/LAYERS."""

import pathlib
import re
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]


def rules():
    """docs/LAYERS: `folder: folders it may include` and `<header prefix>: folders that may include it`."""
    floors, libraries = {}, []
    for line in (TOP / "docs/LAYERS").read_text().splitlines():
        line = line.split("#")[0].strip()
        if not line:
            continue
        name, allowed = line.split(":", 1)
        if name.startswith("<"):
            libraries.append((name.strip("<>"), allowed.split()))
        else:
            floors[name.strip()] = allowed.split()
    return floors, libraries


def offences(path, floors, libraries):
    folder = path.relative_to(TOP).parts[0]
    stem = str(path.relative_to(TOP).with_suffix(""))
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        ours = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
        if ours:
            target = ours.group(1)
            if "/" not in target:
                yield f"{path}:{number}: include \"folder/file.h\", not \"{target}\""
                continue
            home = target.split("/")[0]
            if home != folder and home not in floors[folder]:
                yield f"{path}:{number}: {folder}/ may not include {home}/ (docs/LAYERS)"
            if not (TOP / target).exists() and not target.endswith(".inc"):
                yield f"{path}:{number}: there is no {target}"
        theirs = re.match(r"\s*#\s*include\s+<([^>]+)>", line)
        if theirs:
            for prefix, homes in libraries:
                if theirs.group(1).startswith(prefix) and folder not in homes and \
                        not any(stem == home or stem.startswith(home + "/") for home in homes):
                    yield f"{path}:{number}: <{prefix}> has its home in {' '.join(homes)} (docs/LAYERS)"


def main():
    floors, libraries = rules()
    found = []
    for folder in floors:
        for path in sorted((TOP / folder).glob("*.[ch]")):
            found += offences(path, floors, libraries)
    print("1..3")
    for offence in found:
        print(f"# {offence}")
    print(f"{'not ok' if found else 'ok'} 1 - every include keeps to the layers")
    long = [f"{p.relative_to(TOP)}: {n} lines" for f in floors for p in (TOP / f).glob("*.[ch]")
            if (n := len(p.read_text(errors="replace").splitlines())) > 600]
    for line in long:
        print(f"# {line}")
    print(f"{'not ok' if long else 'ok'} 2 - no file is longer than 600 lines")
    wiping = {folder: [p.name for p in (TOP / folder).glob("*.c") if re.search(r"^WIPE_EVERY_FREE$", p.read_text(), re.M)]
              for folder in floors}
    wrong = [f"{folder}: {names}" for folder, names in wiping.items() if len(names) != (folder in ("milter", "ctl"))]
    for line in wrong:
        print(f"# {line}")
    print(f"{'not ok' if wrong else 'ok'} 3 - exactly one file of each program, and no library, wipes what is freed")
    return 1 if found or long or wrong else 0


if __name__ == "__main__":
    sys.exit(main())
