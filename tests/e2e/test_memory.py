#!/usr/bin/env python3
"""Memory does not depend on the size of a message: resident memory at most 32 MiB above idle."""

import hashlib
import os
import pathlib
import resource
import subprocess
import threading
import time

from harness import (SMIMECTL, Authority, Postfix, Scratch, Sink, Skip, Smimed, Smtp, main, run, trust_config)

MIB = 1024 * 1024
BOUND_KIB = 32 * 1024
SANITIZED = bool(os.environ.get("SAN"))


def write_message(path, octets, sender="alice@example.org", recipient="bob@partner.example"):
    """A message of text lines, `octets` long, written piece by piece."""
    line = b"All work and no play makes a long message of many lines, each of seventy-six.\r\n"
    with open(path, "wb") as out:
        out.write(f"From: {sender}\r\nTo: {recipient}\r\nSubject: large\r\nMIME-Version: 1.0\r\n"
                  "Content-Type: text/plain; charset=us-ascii\r\n\r\n".encode())
        block = line * (MIB // len(line))
        left = octets
        while left > 0:
            out.write(block)  # whole lines: a little more than was asked for
            left -= len(block)
        out.write(b"\r\n")


def peak(command, source, target):
    """Runs a command from file to file; peak resident memory of that process in KiB."""
    with open(source, "rb") as given, open(target, "wb") as taken:
        process = subprocess.Popen([str(c) for c in command], stdin=given, stdout=taken, stderr=subprocess.PIPE)
        errors = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, f"{command[1]}: {process.returncode} {errors[-2000:]}"
    return usage.ru_maxrss


def idle():
    """What smimectl takes when it does next to nothing of the same kind."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    process = subprocess.Popen([str(SMIMECTL), "--help"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, _, usage = os.wait4(process.pid, 0)
    process.returncode = 0
    return min(usage.ru_maxrss, before or usage.ru_maxrss)


def test_one_gibibyte_signed_and_encrypted_by_smimectl():
    if SANITIZED:
        raise Skip("a sanitizer's memory is not ours")
    if not SMIMECTL.exists():
        raise Skip("smimectl is not built")
    with Scratch("memory") as scratch:
        if os.statvfs(scratch.path).f_bavail * os.statvfs(scratch.path).f_frsize < 8 << 30:
            raise Skip("less than 8 GiB of disk")
        ca = Authority(scratch)
        alice, bob = ca.user("alice@example.org", "alice"), ca.user("bob@partner.example", "bob")
        message, signed, sealed = (scratch.path / name for name in ("message", "signed", "sealed"))
        write_message(message, 1024 * MIB)
        rest = idle()
        sign = [SMIMECTL, "sign", "--key", alice[0], "--cert", alice[1], "--chain", ca.cert]
        used = {"clear": peak([*sign, "-"], message, signed)}
        os.unlink(message)
        used["encrypt"] = peak([SMIMECTL, "encrypt", "--to-cert", bob[1], "-"], signed, sealed)
        os.unlink(sealed)
        used["verify"] = peak([SMIMECTL, "verify", "--anchors", ca.anchors, "--untrusted", ca.cert, "--crl", ca.crls, "-"],
                              signed, scratch.path / "verdict")
        os.unlink(signed)
        write_message(message, 1024 * MIB)
        used["opaque"] = peak([*sign, "--opaque", "-"], message, sealed)
        print(f"# peak KiB, idle {rest}: {used}")
        for what, size in used.items():
            assert size <= rest + BOUND_KIB, f"{what}: {size} KiB, idle {rest}"


def test_two_hundred_mebibytes_through_the_milter():
    if SANITIZED:
        raise Skip("a sanitizer's memory is not ours")
    with Scratch("memory") as scratch:
        ca = Authority(scratch)
        alice, bob = ca.user("alice@example.org", "alice"), ca.user("bob@partner.example", "bob")
        certificates = scratch.folder("certificates")
        (certificates / "bob.pem").write_bytes(bob[1].read_bytes())
        sink = Sink(scratch)
        smimed = Smimed(scratch, f'certificate_folders = "{certificates}"\nrule "both" {{\n    direction = out\n    sign = always\n'
                        '    encrypt = always\n}\n' + trust_config(ca), start=False)
        ca.install_pair(smimed.keys, *alice)
        smimed.start()
        postfix = Postfix(scratch, sink.port, smimed.milter)
        message = scratch.path / "message"
        write_message(message, 200 * MIB)
        # One small message first: what is fetched once belongs to idle.
        small = b"From: alice@example.org\r\nTo: bob@partner.example\r\n\r\nsmall\r\n"
        client = Smtp(postfix.port)
        assert client.send("alice@example.org", ["bob@partner.example"], small)[0] == 250
        sink.take()
        smimed.reset_peak()
        rest = smimed.status("VmRSS")
        begin = time.monotonic()
        code, text = client.send("alice@example.org", ["bob@partner.example"], message.read_bytes())
        client.close()
        assert code == 250, text
        used = smimed.status("VmHWM")
        print(f"# 200 MiB signed and encrypted: idle {rest} KiB, peak {used} KiB, {time.monotonic() - begin:.1f} s")
        assert used <= rest + BOUND_KIB, f"{used} KiB, idle {rest}"
        delivered = sink.take(seconds=120)[0][2]
        sealed = scratch.path / "sealed"
        sealed.write_bytes(delivered)
        del delivered
        inner, content = scratch.path / "inner", scratch.path / "content"
        run("openssl", "cms", "-decrypt", "-in", sealed, "-inkey", bob[0], "-recip", bob[1], "-out", inner)
        os.unlink(sealed)
        run("openssl", "cms", "-verify", "-in", inner, "-CAfile", ca.root, "-certfile", ca.cert, "-purpose", "any", "-out", content)
        got = content.read_bytes().partition(b"\r\n\r\n")[2]
        sent = message.read_bytes().partition(b"\r\n\r\n")[2]
        assert hashlib.sha256(got).digest() == hashlib.sha256(sent).digest(), (len(got), len(sent), got[-200:], sent[-200:])


if __name__ == "__main__":
    assert threading.active_count() == 1 and pathlib.Path("/proc/self/status").exists()
    main(globals())
