#!/usr/bin/env python3
"""The emergency switch: nothing is signed or verified for a while, what must be encrypted is; it is logged, bounded, and survives
reload, restart and a kill."""

import json
import os

from harness import Scratch, main, openssl_decrypt, openssl_verify, run, smimectl, submit, wait_until
from test_outbound import Setting

OUT = "    direction = out\n    sign = always\n"
RULES = (f'rule "must" {{\n{OUT}    recipient = bob@partner.example\n    encrypt = always\n}}\n'
         f'rule "possible" {{\n{OUT}    recipient = *@possible.example\n    encrypt = if-possible\n}}\n'
         f'rule "choice" {{\n{OUT}    recipient = *@partner.example\n    encrypt = default-off\n}}\n'
         'rule "out" {\n    direction = out\n    sign = always\n}\n'
         'rule "in" {\n    direction = in\n    on_none = reject\n}\n'
         'domain "strict.example" {\n    must_encrypt = yes\n}\n')
BOB, ERIN, DAVE = "bob@partner.example", "erin@partner.example", "dave@elsewhere.example"


def mail(to, sender="alice@example.org", fields=""):
    return f"From: {sender}\r\nTo: {to}\r\n{fields}Subject: test\r\n\r\nHello.\r\n".encode()


class Table:
    def __init__(self, it):
        self.it, self.count = it, 0

    def send(self, to, **options):
        code, text = self.it.send(mail(to, **options), to, sender=options.get("sender", "alice@example.org"))
        self.count += 1
        outcome = self.it.smimed.wait_outcomes(self.count)[-1]
        if code == 250:
            return outcome["action"], self.it.sink.take()[0][2], outcome
        return f"{code} {outcome['reason']}", text, outcome


def ctl(it, *arguments):
    done = smimectl(*arguments, "--config", it.smimed.file, "--json")
    return done.returncode, json.loads(done.stdout) if done.stdout.strip() else {}


def check_on(it, table):
    assert ctl(it, "bypass")[1]["bypass"] is True
    # Nothing is signed, and nobody is refused for want of a key.
    for sender in ("alice@example.org", "old@example.org"):
        got, delivered, outcome = table.send(DAVE, sender=sender)
        assert got == "pass" and outcome["bypass"] == "yes", (sender, got, delivered, outcome)
        assert b"Hello." in delivered and b"multipart/signed" not in delivered
    # What must be encrypted is: by rule, by choice, by recipient; or it is refused as always.
    got, delivered, outcome = table.send(BOB)
    assert got == "encrypt" and outcome["bypass"] == "yes", (got, delivered, outcome)
    assert b"Hello." not in delivered and b"Hello." in openssl_decrypt(delivered, *it.bob)
    got, delivered, _ = table.send(ERIN, fields="X-SMIME: sign, encrypt\r\n")
    assert got == "encrypt" and b"Hello." in openssl_decrypt(delivered, *it.erin), (got, delivered)
    got, text, outcome = table.send("who@strict.example")
    assert got == "550 no-certificate" and outcome["bypass"] == "yes", (got, text)
    # What is only opportunistic is left out.
    got, _, _ = table.send("x@possible.example")
    assert got == "pass", got


def test_bypass_ends_signing_and_lifts_no_encryption():
    with Scratch("bypass") as scratch:
        it = Setting(scratch, RULES, "sender_identity = off\nbypass_max = 3h\nauthserv_id = mx.test\n")
        table = Table(it)
        assert ctl(it, "bypass") == (0, {"ok": True, "bypass": False})
        got, delivered, outcome = table.send(DAVE)
        assert got == "sign" and "bypass" not in outcome
        openssl_verify(delivered, it.ca.root, it.ca.cert)

        code, answer = ctl(it, "bypass", "--for", "4h")
        assert code == 1 and "bypass_max" in answer["error"], answer
        assert smimectl("bypass", "--for", "soon", "--config", it.smimed.file).returncode == 2
        assert smimectl("bypass", "--for", "25h", "--config", it.smimed.file).returncode == 2
        code, answer = ctl(it, "bypass", "--for", "2h")
        assert code == 0 and answer["bypass"] and 7190 <= answer["left_s"] <= 7200, answer
        state = it.smimed.file.parent / "state" / "bypass"
        state = next(iter(scratch.path.rglob("bypass")), state)
        assert oct(state.stat().st_mode & 0o777) == "0o600", state
        wait_until(lambda: f"user {os.getuid()} switched signing and verifying off until" in it.smimed.text(), 5, "the log line")
        check_on(it, table)

        # reload, restart, kill
        assert smimectl("reload", "--config", it.smimed.file).returncode == 0
        check_on(it, table)
        it.smimed.stop()
        it.smimed.start()
        table.count = len(it.smimed.outcomes())
        check_on(it, table)
        it.smimed.kill()
        it.smimed.start()
        table.count = len(it.smimed.outcomes())
        check_on(it, table)
        for command in ("stats", "health"):
            code, answer = ctl(it, command)
            assert code == 0 and 6000 < answer["bypass_left_s"] <= 7200, (command, answer)

        # explain says the same.
        path = scratch.path / "m"
        path.write_bytes(mail(DAVE))
        text = smimectl("explain", "--config", it.smimed.file, "--from", "alice@example.org", "--rcpt", DAVE, path).stdout.decode()
        assert "bypass: signing and verifying are switched off" in text and "decision: pass" in text, text

        code, answer = ctl(it, "bypass", "--off")
        assert code == 0 and answer["bypass"] is False
        assert table.send(DAVE)[0] == "sign"
        assert ctl(it, "stats")[1]["bypass_left_s"] == 0
        # It ends by itself.
        ctl(it, "bypass", "--for", "2s")
        assert table.send(DAVE)[0] == "pass"
        wait_until(lambda: ctl(it, "bypass")[1]["bypass"] is False, 10, "the end of bypass")
        assert table.send(DAVE)[0] == "sign"


def test_inbound_passes_without_a_verdict_and_without_forged_results():
    with Scratch("bypass") as scratch:
        it = Setting(scratch, RULES, "sender_identity = off\nauthserv_id = mx.test\ninternal_networks = 10.0.0.0/8\n")
        table = Table(it)
        forged = "Authentication-Results: mx.test; smime=pass body.smime-identifier=x@y.example\r\n"
        got, text, outcome = table.send(DAVE, fields=forged)
        assert got.startswith("550"), (got, text)
        ctl(it, "bypass", "--for", "1h")
        got, delivered, outcome = table.send(DAVE, fields=forged)
        assert got == "pass" and outcome["bypass"] == "yes" and outcome["forged"] == "1", (got, delivered, outcome)
        assert b"smime=pass" not in delivered


def test_only_root_and_the_daemon_may_switch():
    with Scratch("bypass") as scratch:
        it = Setting(scratch, RULES, "sender_identity = off\n")
        if os.getuid() != 0:
            return
        socket = next(line.split("=", 1)[1].strip().strip('"') for line in it.smimed.file.read_text().splitlines()
                      if line.startswith("control_socket"))
        for folder in [scratch.path, *scratch.path.parents][:1]:
            folder.chmod(0o755)
        os.chmod(socket, 0o666)
        probe = ("import socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n"
                 "s.sendall(sys.argv[2].encode()+b'\\n')\nprint(s.makefile().readline())")

        def ask(line):
            return json.loads(run("setpriv", "--reuid", "65534", "--clear-groups", "/usr/bin/python3", "-c", probe, socket,
                                  line).stdout)
        assert ask("bypass") == {"ok": True, "bypass": False}
        for line in ("bypass 60", "bypass off"):
            answer = ask(line)
            assert not answer["ok"] and "only root" in answer["error"], answer
        for line in ("bypass 0", "bypass -1", "bypass 99999999999", "bypass x", "bypass 60 60", "bypassed"):
            answer = ctl_line(socket, line)
            assert not answer["ok"], (line, answer)


def ctl_line(path, line):
    import socket
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(path)
        peer.sendall(line.encode() + b"\n")
        return json.loads(peer.makefile().readline())


if __name__ == "__main__":
    main(globals())
