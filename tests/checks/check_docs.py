#!/usr/bin/env python3
"""The documents: links lead somewhere, man pages are well-formed, every parameter and reason word is documented, and nothing
that was taken from elsewhere or left unfinished is in the tree."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("SMIMED_BUILD", TOP / "build/out"))


def broken_links():
    for page in [TOP / "README.md", *sorted((TOP / "docs").glob("*.md"))]:
        for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
            if "://" not in target and not (page.parent / target).exists():
                yield f"{page.name}: {target} is not there"
    text = (TOP / "README.md").read_text() + (TOP / "docs/security.md").read_text() + (TOP / "docs/architecture.md").read_text()
    for path in set(re.findall(r"tests/[a-z0-9_/]+\.py", text)):
        if not (TOP / path).exists():
            yield f"{path} is named and not there"


def man_pages():
    pages = sorted((TOP / "docs").glob("*.[58]"))
    if len(pages) < 3:
        yield f"three man pages are expected, there are {[p.name for p in pages]}"
    if not shutil.which("mandoc"):
        return
    for page in pages:
        done = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", page], capture_output=True, check=False)
        for line in done.stdout.decode().splitlines():
            if "referenced manual not found" not in line:
                yield line


def parameters():
    """Sample and manual are what the table prints, and name every parameter."""
    for what, where in (("sample", "conf/smimed.conf"), ("manual", "docs/smimed.conf.5")):
        printed = subprocess.run([BUILD / "tests/checks/print_conf", what], capture_output=True, check=True).stdout
        if printed != (TOP / where).read_bytes():
            yield f"{where} is not what the table prints: make docs"
    table = re.findall(r"^CONF_(?:GLOBAL|RULE|TRUST|DIRECTORY)\((\w+),", (TOP / "conf/params.def").read_text(), re.M)
    if len(table) < 50:
        yield f"only {len(table)} parameters were found in the table"
    for where in ("docs/smimed.conf.5", "conf/smimed.conf"):
        path = TOP / where
        text = path.read_text() if path.exists() else ""
        for name in table:
            if not re.search(rf"\b{name}\b", text):
                yield f"{where}: {name} is missing"


def reasons():
    words = set(re.findall(r'"([a-z]+(?:-[a-z]+)+)"', (TOP / "pki/reason.def").read_text()))
    text = (TOP / "docs/operations.md").read_text()
    for word in sorted(words):
        if word not in text:
            yield f"docs/operations.md: the reason word {word} is missing"


# Words with a hyphen that are no reasons: media types, encodings, why a direction was chosen, names of explanations.
OTHER_WORDS = {"built-in", "company-confidential", "domain-signing", "enveloped-data", "inbound-daemon",
               "internal-network", "outbound-daemon", "protected-headers", "quoted-printable", "sender-copy", "signed-data"}
# Where a reason is said: as a word of an error, as a field, as what an entity is doubted or given up for.
SAID = (r'err_set_reason\([^;"]*,\s*"([a-z-]+)"', r'\breason\w*\s*=\s*(?:[^;"]*\?\s*)?"([a-z-]+)"',
        r'_(?:doubt|break)\([^;"]*"([a-z-]+)"')


def said_reasons():
    """Every reason word of the sources is in the tables of operations.md or log-fields.md, as `word`."""
    text = (TOP / "docs/operations.md").read_text() + (TOP / "docs/log-fields.md").read_text()
    documented = set(re.findall(r"`([a-z-]+)`", text))
    total = set()
    for folder in ("policy", "smime", "flow", "directory", "pki"):
        for path in sorted((TOP / folder).glob("*.c")):
            source = path.read_text()
            words = {word for pattern in SAID for word in re.findall(pattern, source)}
            if folder in ("policy", "smime", "flow"):
                words |= set(re.findall(r'"([a-z]+(?:-[a-z]+)+)"', source)) - OTHER_WORDS
            total |= words
            for word in sorted(words - documented):
                yield f"{path.relative_to(TOP)}: the reason word {word} is neither in operations.md nor in log-fields.md"
    for word in ("epilogue", "deadline", "too-large", "no-key", "untrusted"):
        if word not in total:
            yield f"this check does not find {word} in the sources any more: look at its patterns"


def unfinished():
    pattern = re.compile(r"\b(TODO|FIXME|XXX|HACK|unimplemented)\b")
    for folder in ("util", "conf", "mime", "cache", "policy", "pki", "smime", "directory", "flow", "milter", "ctl", "docs"):
        for path in sorted((TOP / folder).rglob("*")):
            if path.is_file() and path.suffix in (".c", ".h", ".def", ".md", ".5", ".8", ".conf"):
                for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
                    if pattern.search(line):
                        yield f"{path.relative_to(TOP)}:{number}: {line.strip()}"


def main():
    checks = [("links and named tests exist", broken_links), ("man pages are well-formed", man_pages),
              ("every parameter is in the manual and in the sample", parameters),
              ("every reason word is documented", reasons),
              ("every reason that the code says is documented", said_reasons),
              ("nothing is unfinished by its own words", unfinished)]
    print(f"1..{len(checks)}")
    failed = 0
    for number, (name, check) in enumerate(checks, 1):
        found = list(check())
        failed += bool(found)
        for line in found[:60]:
            print(f"# {line}")
        print(f"{'not ok' if found else 'ok'} {number} - {name}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
