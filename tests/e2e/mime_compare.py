#!/usr/bin/env python3
"""Do two entities say the same? Asked of Python's email package, which is not smimed's code.

compare(original, result) returns a list of differences, empty when there is none. Compared are, part by part: media
type, all parameters, the number of parts, every other header field of every part (of the root: Content-* only, since
the others stay outside of what is protected), and the decoded octets of every leaf.

What is NOT a difference, and nothing else:
  - Content-Transfer-Encoding, and a MIME-Version field that was added to the header of an inner message;
  - folding of header fields;
  - LF for CRLF in a leaf that is text or neither binary nor base64: line ends there are CRLF on every wire;
  - one line break at the very end of the last leaf, where the entity ends without a delimiter.

Command line: mime_compare.py ORIGINAL RESULT; prints the differences, exit 1 if there are any.
"""

import email
import email.policy
import re
import sys


def unfolded(value):
    return re.sub(r"\r?\n(?=[ \t])", "", str(value)).strip()


def fields(part, is_root):
    """Header fields that must not change, in order."""
    found = []
    for name, value in part.raw_items():
        lower = name.lower()
        if lower in ("content-transfer-encoding", "mime-version") or (is_root and not lower.startswith("content-")):
            continue
        found.append((lower, unfolded(value)))
    return found


def octets(part):
    """The decoded octets of a leaf; None where Python finds none."""
    return part.get_payload(decode=True)


def is_line_oriented(part):
    encoding = str(part.get("content-transfer-encoding", "7bit")).strip().lower()
    return part.get_content_maintype() == "text" or encoding not in ("binary", "base64")


def crlf(data):
    return re.sub(rb"(?<!\r)\n", b"\r\n", data)


def shown(data):
    return repr(data[:60]) + ("..." if len(data) > 60 else "")


def compare_leaf(where, one, two, at_end):
    a, b = octets(one), octets(two)
    if a is None or b is None:
        return [] if a is b else [f"{where}: one side has no octets"]
    if is_line_oriented(one):
        a, b = crlf(a), crlf(b)
    if at_end:
        a, b = (re.sub(rb"\r?\n\Z", b"", side) for side in (a, b))
    if a == b:
        return []
    at = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
    return [f"{where}: {len(a)} octets became {len(b)}; from {at}: {shown(a[at:])} became {shown(b[at:])}"]


def compare_part(where, one, two, is_root, at_end):
    found = []
    if one.get_content_type() != two.get_content_type():
        found.append(f"{where}: {one.get_content_type()} became {two.get_content_type()}")
    if one.get_params() != two.get_params():
        found.append(f"{where}: parameters {one.get_params()} became {two.get_params()}")
    if fields(one, is_root) != fields(two, is_root):
        found.append(f"{where}: fields {fields(one, is_root)} became {fields(two, is_root)}")
    if one.is_multipart() != two.is_multipart():
        return found + [f"{where}: parts became text or text became parts"]
    if not one.is_multipart():
        return found + compare_leaf(where, one, two, at_end)
    ones, twos = one.get_payload(), two.get_payload()
    if len(ones) != len(twos):
        return found + [f"{where}: {len(ones)} parts became {len(twos)}"]
    for number, (a, b) in enumerate(zip(ones, twos), 1):
        found += compare_part(f"{where}.{number}", a, b, False, at_end and number == len(ones))
    return found


def compare(original, result):
    one, two = (email.message_from_bytes(side, policy=email.policy.compat32) for side in (original, result))
    return compare_part("root", one, two, True, True)


def command():
    if len(sys.argv) != 3:
        sys.exit("usage: mime_compare.py ORIGINAL RESULT")
    sides = []
    for path in sys.argv[1:]:
        with open(path, "rb") as file:
            sides.append(file.read())
    differences = compare(*sides)
    print("\n".join(differences) or "equal")
    sys.exit(1 if differences else 0)


if __name__ == "__main__":
    command()
