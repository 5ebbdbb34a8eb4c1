#!/usr/bin/env python3
"""The daemon, seen by an MTA that keeps to the milter protocol and by one that does not."""

import contextlib
import json
import os
import pathlib
import signal
import socket
import stat
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from harness import (PATIENCE, SMIMED, Authority, Scratch, Skip, Smimed, free_port, main, need_root, run,  # noqa: E402
                     trust_config, wait_until)
from milter_client import (ABORT, BODYEOB, CONNECT, CONTINUE, DATA, EOH, HEADER, INSHEADER, QUIT_NC, REPLYCODE,  # noqa: E402
                           STEP_LEADING_SPACE, STEP_SKIP, STEPS, STEPS_UNANSWERED, UNANSWERED, Closed, Milter, body_of,
                           reply_text)

PLAIN = b"From: a@example.test\r\nTo: b@example.test\r\nSubject: x\r\n\r\nhello\r\n"
PASS = 'sender_identity = off\nrule "all" {\n    smime = no\n}\n'


def sign_config(authority, more=""):
    return (more + "sender_identity = off\nrevocation_outbound = off\nrevocation_inbound = off\n" + trust_config(authority)
            + 'rule "out" {\n    direction = out\n    sign = always\n}\n')


def start(scratch, config, **more):
    if os.geteuid() != 0:
        raise Skip("the harness runs smimed as root")
    return Smimed(scratch, config, **more)


def connect(smimed, address="127.0.0.1", **more):
    client = Milter(smimed.socket, timeout=60 * PATIENCE)
    client.negotiate()
    assert client.connect(address=address, **more)[0] == CONTINUE
    return client


def control(smimed, line):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(30 * PATIENCE)
        s.connect(str(smimed.control))
        s.sendall(line)
        answer = b""
        while True:
            piece = s.recv(65536)
            if not piece:
                break
            answer += piece
    return json.loads(answer) if answer else None


def stats(smimed):
    return control(smimed, b"stats\n")


# ---- the protocol ------------------------------------------------------------------------------


def test_negotiation_asks_for_what_is_needed_and_nothing_unsafe():
    with Scratch("milter") as scratch:
        client = connect(start(scratch, PASS))
        assert client.steps & STEP_SKIP and client.steps & STEP_LEADING_SPACE
        # A reply to a step that was declared without one breaks the conversation: only what can never refuse is, or
        # what can leave it to a later step (header and its end: the body). MAIL, RCPT and body are answered.
        unanswered = UNANSWERED[CONNECT] | UNANSWERED[DATA] | UNANSWERED[HEADER] | UNANSWERED[EOH]
        assert client.steps & STEPS_UNANSWERED == unanswered, hex(client.steps)
        # No callback, no step: MAIL to EOM are all wanted.
        assert client.steps & 0x7d == 0, hex(client.steps)
        assert "i" in client.symbols[2] and "{auth_authen}" in client.symbols[2]
        assert "i" in client.symbols[4] and "i" in client.symbols[5]


def test_every_step_is_answered_where_the_mta_or_the_socket_wants_it():
    with Scratch("milter") as scratch:
        smimed = start(scratch, PASS)
        # An MTA that knows nothing of steps without an answer.
        client = Milter(smimed.socket).negotiate(steps=STEPS & ~STEPS_UNANSWERED)
        assert client.steps & STEPS_UNANSWERED == 0, hex(client.steps)
        assert client.connect()[0] == CONTINUE
        for _ in range(2):
            assert client.message("a@example.test", ["b@example.test"], PLAIN)[0][0] == CONTINUE
        # On an inet socket nobody gets them: Nagle's algorithm would wait.
        port = free_port()
        inet = start(scratch, f'socket = "inet:{port}@127.0.0.1"\n' + PASS, name="inet")
        client = Milter(("127.0.0.1", port)).negotiate()
        assert client.steps & STEPS_UNANSWERED == 0, hex(client.steps)
        assert client.connect()[0] == CONTINUE
        assert client.message("a@example.test", ["b@example.test"], PLAIN)[0][0] == CONTINUE
        assert inet.process.poll() is None


def test_a_refusal_at_a_field_is_said_at_the_end_of_the_header():
    with Scratch("milter") as scratch:
        smimed = start(scratch, "max_header = 64KiB\n" + PASS)
        for steps in (STEPS, STEPS & ~STEPS_UNANSWERED):
            client = Milter(smimed.socket).negotiate(steps=steps)
            client.connect()
            head = b"".join(b"X-%d: %s\r\n" % (i, b"x" * 900) for i in range(100))
            answer, edits = client.message("a@example.test", ["b@example.test"], head + PLAIN)
            assert answer[0] == REPLYCODE and answer[1].startswith(b"552"), answer
            assert not edits
            # The connection goes on with the next message.
            assert client.message("a@example.test", ["b@example.test"], PLAIN)[0][0] == CONTINUE


def test_an_mta_that_offers_too_little_is_refused():
    with Scratch("milter") as scratch:
        smimed = start(scratch, PASS)
        for offer in ({"steps": STEPS & ~STEP_LEADING_SPACE}, {"steps": STEPS & ~STEP_SKIP}, {"actions": 0x3f},
                      {"actions": 0x1ff & ~0x2}):
            client = Milter(smimed.socket)
            try:
                client.negotiate(**offer)
                raise AssertionError(f"{offer} was accepted")
            except (Closed, ConnectionError):
                pass
        assert "milter_protocol = 6" in smimed.text()
        answer, _ = connect(smimed).message("a@example.test", ["b@example.test"], PLAIN)
        assert answer[0] == CONTINUE


def test_many_messages_go_over_one_connection():
    with Scratch("milter") as scratch:
        authority = Authority(scratch)
        smimed = start(scratch, sign_config(authority), start=False)
        authority.install_pair(smimed.keys, *authority.user("a@example.test"))
        smimed.start()
        client = connect(smimed)
        for i in range(10):
            answer, edits = client.message("a@example.test", ["b@example.test"], PLAIN, queue_id=f"Q{i}")
            assert answer[0] == CONTINUE, reply_text(answer)
            assert b"hello" in body_of(edits)
            assert any(c == INSHEADER and b"multipart/signed" in d for c, d in edits)
            # A refused one and an aborted one in between.
            answer, _ = client.message("nobody@example.test", ["b@example.test"],
                                       PLAIN.replace(b"a@example.test", b"nobody@example.test"))
            assert answer[0] == REPLYCODE and answer[1].startswith(b"550"), answer
            client.mail("a@example.test")
            client.rcpt("b@example.test")
            client.send(ABORT)
        wait_until(lambda: stats(smimed)["aborted"] == 10, 10, "the end of the last")
        found = stats(smimed)
        assert (found["delivered"], found["refused"]) == (10, 10), found
        outcomes = smimed.wait_outcomes(30)
        assert sum(o["result"] == "ok" for o in outcomes) == 10, outcomes
        assert sum(o["result"] == "aborted" for o in outcomes) == 10, outcomes


def test_mail_after_mail_without_abort_is_a_new_message():
    with Scratch("milter") as scratch:
        smimed = start(scratch, PASS)
        client = connect(smimed)
        assert client.mail("one@example.test")[0] == CONTINUE
        assert client.mail("two@example.test")[0] == CONTINUE
        assert client.rcpt("b@example.test")[0] == CONTINUE
        assert client.mail("three@example.test")[0] == CONTINUE
        wait_until(lambda: stats(smimed)["aborted"] == 2, 10, "two aborted messages")
        assert stats(smimed)["in_flight"] == 1


def test_a_connection_may_end_anywhere():
    with Scratch("milter") as scratch:
        smimed = start(scratch, PASS)

        def steps(client):
            yield lambda: client.negotiate()
            yield lambda: client.connect()
            yield lambda: client.mail("a@example.test")
            yield lambda: client.rcpt("b@example.test")
            yield lambda: client.data("Q")
            yield lambda: client.header("Subject", " x")
            yield lambda: client.eoh()
            yield lambda: client.body(b"hello\r\n")

        for last in range(9):
            for quietly in (True, False):
                client = Milter(smimed.socket)
                for i, step in enumerate(steps(client)):
                    if i == last:
                        break
                    step()
                client.close(quietly)
        wait_until(lambda: stats(smimed)["connections"] == 0, 10, "end of all connections")
        found = stats(smimed)
        assert found["in_flight"] == 0 and found["bytes"] == 0, found
        assert found["aborted"] == 12, found
        assert smimed.process.poll() is None


def test_a_connection_is_used_again_for_another_client():
    with Scratch("milter") as scratch:
        smimed = start(scratch, PASS)
        client = connect(smimed)
        assert client.message("a@example.test", ["b@example.test"], PLAIN)[0][0] == CONTINUE
        client.send(QUIT_NC)
        assert client.connect(host="second.test", address="192.0.2.2")[0] == CONTINUE
        assert client.message("a@example.test", ["b@example.test"], PLAIN)[0][0] == CONTINUE
        outcomes = smimed.wait_outcomes(2)
        assert [o["dir"] for o in outcomes] == ["out", "in"], outcomes


def test_garbage_instead_of_the_protocol_ends_the_connection_alone():
    with Scratch("milter") as scratch:
        smimed = start(scratch, PASS)
        good = connect(smimed)
        for garbage in (b"GET / HTTP/1.0\r\n\r\n", b"\0\0\0\1Z", b"\0\0\0\0", b"\xff\xff\xff\xffO", b"\0\0\0\5OAAAA",
                        b"\0\0\0\1E", b"\0\0\0\2B\0", os.urandom(4096)):
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(str(smimed.socket))
                s.settimeout(10 * PATIENCE)
                with contextlib.suppress(ConnectionError):
                    s.sendall(garbage)
                    s.shutdown(socket.SHUT_WR)
                    while s.recv(4096):
                        pass
        assert good.message("a@example.test", ["b@example.test"], PLAIN)[0][0] == CONTINUE
        assert smimed.process.poll() is None


def test_the_size_of_body_pieces_changes_nothing():
    with Scratch("milter") as scratch:
        authority = Authority(scratch)
        smimed = start(scratch, sign_config(authority), start=False)
        authority.install_pair(smimed.keys, *authority.user("a@example.test"))
        smimed.start()
        client = connect(smimed)
        body = b"".join(b"line %d with some text\r\n" % i for i in range(300))
        seen = set()
        for piece in (1, 2, 3, 7, 64, 4096, 65535):
            answer, edits = client.message("a@example.test", ["b@example.test"], PLAIN[:-7] + body, piece=piece)
            assert answer[0] == CONTINUE, reply_text(answer)
            text = body_of(edits)
            # All but the signature, which holds a time, and the boundary, which is random.
            boundary = text.split(b"\r\n--")[1].split(b"\r\n")[0] if b"\r\n--" in text else b""
            first = text.split(b"--" + boundary)[1] if boundary else text
            seen.add(first)
        assert len(seen) == 1, [s[:200] for s in seen]
        assert body in seen.pop()


def test_mail_that_is_not_ours_passes_with_no_edit():
    with Scratch("milter") as scratch:
        client = connect(start(scratch, PASS))
        for size in (0, 1, 100, 70000, 1 << 20):
            answer, edits = client.message("a@example.test", ["b@example.test"], PLAIN + b"y" * size)
            assert answer[0] == CONTINUE and edits == [], (answer, edits)


# ---- budgets -----------------------------------------------------------------------------------


def test_one_message_too_many_is_told_to_come_back():
    with Scratch("milter") as scratch:
        smimed = start(scratch, "max_messages = 1\n" + PASS)
        first, second = connect(smimed), connect(smimed)
        assert first.mail("a@example.test")[0] == CONTINUE
        answer = second.mail("a@example.test")
        assert answer[0] == REPLYCODE and reply_text(answer).startswith("451 4.3.2 "), answer
        assert first.rcpt("b@example.test")[0] == CONTINUE
        first.send(ABORT)
        wait_until(lambda: stats(smimed)["in_flight"] == 0, 10, "the end of the first")
        assert second.message("a@example.test", ["b@example.test"], PLAIN)[0][0] == CONTINUE
        assert stats(smimed)["busy"] == 1


def test_one_connection_too_many_is_told_so_at_mail():
    with Scratch("milter") as scratch:
        smimed = start(scratch, "max_connections = 2\n" + PASS)
        first, second = connect(smimed), connect(smimed)
        # On a Unix socket nobody waits for the answer to "connect": the daemon may not have heard it.
        wait_until(lambda: stats(smimed)["connections"] == 2, 10, "the first two")
        third = connect(smimed)
        answer = third.mail("a@example.test")
        assert answer[0] == REPLYCODE and reply_text(answer).startswith("451 4.3.2 "), answer
        assert second.message("a@example.test", ["b@example.test"], PLAIN)[0][0] == CONTINUE
        first.close()
        wait_until(lambda: stats(smimed)["connections"] == 1, 10, "the end of the first")
        fourth = connect(smimed)
        assert fourth.message("a@example.test", ["b@example.test"], PLAIN)[0][0] == CONTINUE
        third.close()
        second.close()
        fourth.close()
        wait_until(lambda: stats(smimed)["connections"] == 0, 10, "the end of all")


def test_octets_of_all_messages_together_are_bounded():
    with Scratch("milter") as scratch:
        authority = Authority(scratch)
        smimed = start(scratch, sign_config(authority, "max_bytes = 4MiB\n"), start=False)
        authority.install_pair(smimed.keys, *authority.user("a@example.test"))
        smimed.start()
        holder = connect(smimed)
        holder.mail("a@example.test")
        holder.rcpt("b@example.test")
        holder.data("HOLD")
        holder.header("From", " a@example.test")
        assert holder.eoh()[0] == CONTINUE
        assert holder.body(b"0123456789abcde\n" * (3 << 16))[0] == CONTINUE
        assert stats(smimed)["bytes"] >= 3 << 20
        answer, _ = connect(smimed).message("a@example.test", ["b@example.test"], PLAIN + b"z" * (2 << 20))
        assert answer[0] == REPLYCODE and reply_text(answer).startswith("451 4.3.2 "), answer
        small, _ = connect(smimed).message("a@example.test", ["b@example.test"], PLAIN)
        assert small[0] == CONTINUE, reply_text(small)
        answer, _ = holder.eom()
        assert answer[0] == CONTINUE, reply_text(answer)
        assert stats(smimed)["bytes"] == 0


def test_an_mta_that_stops_reading_does_not_stop_the_others():
    with Scratch("milter") as scratch:
        authority = Authority(scratch)
        smimed = start(scratch, sign_config(authority, "max_crypto = 1\neom_timeout = 2s\n"), start=False)
        authority.install_pair(smimed.keys, *authority.user("a@example.test"))
        smimed.start()
        stuck = connect(smimed)
        stuck.mail("a@example.test")
        stuck.rcpt("b@example.test")
        stuck.data("STUCK")
        stuck.header("From", " a@example.test")
        stuck.eoh()
        assert stuck.body(b"0123456789abcde\n" * (4 << 16))[0] == CONTINUE
        stuck.send(BODYEOB)  # and reads nothing of the answer
        wait_until(lambda: stats(smimed)["slots"] == 1, 10, "the message at its end")
        time.sleep(2.5 * PATIENCE)
        for _ in range(3):
            answer, edits = connect(smimed).message("a@example.test", ["b@example.test"], PLAIN)
            assert answer[0] == CONTINUE and body_of(edits), answer
        # The answer is read before the slot of that message is given back.
        wait_until(lambda: stats(smimed)["slots"] == 1, 10, "the slots of the others")
        stuck.socket.close()
        wait_until(lambda: stats(smimed)["slots"] == 0, 10, "the end of the stuck one")
        wait_until(lambda: stats(smimed)["failed"] == 1, 10, "the count of the stuck one")


# ---- signals, reload, control ------------------------------------------------------------------


def test_hangup_and_usr1_reload_and_term_stops():
    with Scratch("milter") as scratch:
        smimed = start(scratch, PASS)
        client = connect(smimed)
        assert stats(smimed)["generation"] == 1
        for count, number in enumerate([signal.SIGHUP, signal.SIGUSR1, signal.SIGHUP], 2):
            smimed.process.send_signal(number)
            wait_until(lambda count=count: stats(smimed)["generation"] == count, 10, f"generation {count}")
        for _ in range(500):  # a burst, so that libmilter's signal thread would get one
            smimed.process.send_signal(signal.SIGHUP)
        assert client.message("a@example.test", ["b@example.test"], PLAIN)[0][0] == CONTINUE
        process = smimed.process
        begin = time.monotonic()
        process.terminate()
        assert process.wait(20 * PATIENCE) == 0
        assert time.monotonic() - begin < 8 * PATIENCE
        assert not smimed.socket.exists() and not smimed.control.exists()


def test_a_broken_configuration_changes_nothing():
    with Scratch("milter") as scratch:
        smimed = start(scratch, PASS)
        smimed.configure("no_such_parameter = 1\n" + PASS)
        answer = control(smimed, b"reload\n")
        assert answer["ok"] is False and "no_such_parameter" in answer["error"], answer
        assert "no_such_parameter" in smimed.text() and str(smimed.file) in smimed.text()
        assert stats(smimed)["generation"] == 1
        assert control(smimed, b"health\n")["ok"] is False
        assert connect(smimed).message("a@example.test", ["b@example.test"], PLAIN)[0][0] == CONTINUE
        smimed.configure(PASS)
        answer = control(smimed, b"reload\n")
        assert answer["ok"] is True and answer["generation"] == 2, answer
        assert control(smimed, b"health\n")["ok"] is True


def test_a_message_keeps_the_configuration_it_began_with():
    with Scratch("milter") as scratch:
        authority = Authority(scratch)
        smimed = start(scratch, sign_config(authority), start=False)
        authority.install_pair(smimed.keys, *authority.user("a@example.test"))
        smimed.start()
        early = connect(smimed)
        early.mail("a@example.test")
        early.rcpt("b@example.test")
        smimed.configure(PASS)
        assert control(smimed, b"reload\n")["ok"]
        late = connect(smimed)
        answer, edits = late.message("a@example.test", ["b@example.test"], PLAIN)
        assert answer[0] == CONTINUE and edits == []
        early.data("EARLY")
        early.header("From", " a@example.test")
        early.eoh()
        early.body(b"hello\r\n")
        answer, edits = early.eom()
        assert answer[0] == CONTINUE and body_of(edits), (answer, edits)


def test_new_keys_are_seen_without_a_reload():
    with Scratch("milter") as scratch:
        authority = Authority(scratch)
        smimed = start(scratch, sign_config(authority, "import_interval = 1s\n"))
        client = connect(smimed)
        answer, _ = client.message("a@example.test", ["b@example.test"], PLAIN)
        assert answer[0] == REPLYCODE and b"a@example.test" in answer[1], answer
        authority.install_pair(smimed.keys, *authority.user("a@example.test"))
        wait_until(lambda: stats(smimed)["keys"] == 1, 20, "the new key")
        answer, edits = client.message("a@example.test", ["b@example.test"], PLAIN)
        assert answer[0] == CONTINUE and body_of(edits), answer


def test_a_broken_crl_leaves_the_old_ones_in_place():
    with Scratch("milter") as scratch:
        authority = Authority(scratch)
        smimed = start(scratch, sign_config(authority, "import_interval = 1s\n"), start=False)
        authority.install_pair(smimed.keys, *authority.user("a@example.test"))
        smimed.start()
        client = connect(smimed)
        (authority.crls / "broken.pem").write_text("this is no CRL\n")
        wait_until(lambda: "broken.pem" in smimed.text(), 20, "a warning about the file")
        assert stats(smimed)["generation"] == 1
        answer, edits = client.message("a@example.test", ["b@example.test"], PLAIN)
        assert answer[0] == CONTINUE and body_of(edits), answer
        (authority.crls / "broken.pem").unlink()
        authority.publish()
        wait_until(lambda: stats(smimed)["generation"] >= 2, 20, "the new CRLs")


def test_pkcs12_files_that_are_dropped_become_keys():
    with Scratch("milter") as scratch:
        authority = Authority(scratch)
        dropped = scratch.folder("dropped", 0o700)
        smimed = start(scratch, sign_config(authority, f'import_interval = 1s\nimport_folder = "{dropped}"\n'))
        key, cert = authority.user("a@example.test")
        run("openssl", "pkcs12", "-export", "-inkey", key, "-in", cert, "-certfile", authority.cert, "-passout",
            "pass:a long password", "-out", scratch.path / "new.p12")
        (dropped / "alice.password").write_text("a long password\n")
        (dropped / "alice.password").chmod(0o600)
        (scratch.path / "new.p12").chmod(0o600)
        os.rename(scratch.path / "new.p12", dropped / "alice.p12")
        wait_until(lambda: stats(smimed)["keys"] == 1, 30, f"the imported key ({smimed.text()})")
        answer, edits = connect(smimed).message("a@example.test", ["b@example.test"], PLAIN)
        assert answer[0] == CONTINUE and body_of(edits), answer
        assert not (dropped / "alice.p12").exists()


def test_a_certificate_that_will_be_missed_is_warned_of():
    with Scratch("milter") as scratch:
        authority = Authority(scratch)
        smimed = start(scratch, sign_config(authority), start=False)
        for address, days in (("soon@example.test", 5), ("later@example.test", 200), ("renewed@example.test", 5),
                              ("renewed@example.test", 300)):
            authority.install_pair(smimed.keys, *authority.user(address, days=days))
        smimed.start()
        wait_until(lambda: "expires in" in smimed.text(), 20, "the warning")
        warnings = [line for line in smimed.text().splitlines() if "expires in" in line]
        assert len(warnings) == 1 and "soon@example.test" in warnings[0], warnings


def test_the_control_socket_is_bounded_and_patient_with_nobody():
    with Scratch("milter") as scratch:
        smimed = start(scratch, PASS)
        assert control(smimed, b"stats\r\n")["ok"]
        answer = control(smimed, b"sing\n")
        assert answer["ok"] is False and "reload, stats, health, bypass, cache and poison" in answer["error"]
        with socket.socket(socket.AF_UNIX) as s:  # too long a line
            s.connect(str(smimed.control))
            s.sendall(b"y" * 64)
            s.settimeout(10 * PATIENCE)
            assert s.recv(100) == b""
        silent = socket.socket(socket.AF_UNIX)  # one that says nothing does not stop the others for ever
        silent.connect(str(smimed.control))
        begin = time.monotonic()
        assert control(smimed, b"health\n")["ok"]
        assert time.monotonic() - begin < 10 * PATIENCE
        silent.close()


def test_many_clients_of_the_control_socket_reload_while_mail_flows():
    with Scratch("milter") as scratch:
        authority = Authority(scratch)
        smimed = start(scratch, sign_config(authority), start=False)
        authority.install_pair(smimed.keys, *authority.user("a@example.test"))
        smimed.start()
        failures = []

        def send():
            client = connect(smimed)
            for _ in range(20):
                answer, edits = client.message("a@example.test", ["b@example.test"], PLAIN)
                if answer[0] != CONTINUE or not body_of(edits):
                    failures.append(answer)
            client.close()

        senders = [threading.Thread(target=send) for _ in range(4)]
        for sender in senders:
            sender.start()
        for _ in range(10):
            assert control(smimed, b"reload\n")["ok"]
        for sender in senders:
            sender.join()
        assert not failures, failures[:3]
        assert stats(smimed)["generation"] >= 11
        assert stats(smimed)["delivered"] == 80


# ---- the process -------------------------------------------------------------------------------


def test_the_socket_has_its_mode_and_group():
    with Scratch("milter") as scratch:
        smimed = start(scratch, "socket_mode = 0620\nsocket_group = daemon\n" + PASS)
        found = smimed.socket.stat()
        assert stat.S_IMODE(found.st_mode) == 0o620, oct(found.st_mode)
        assert smimed.socket.group() == "daemon"
        assert stat.S_IMODE(smimed.control.stat().st_mode) == 0o660


def test_a_stale_socket_is_replaced_and_a_living_one_respected():
    with Scratch("milter") as scratch:
        smimed = start(scratch, PASS)
        smimed.kill()
        assert smimed.socket.exists()
        smimed.start()
        second = subprocess.run([str(SMIMED), "-f", "-c", str(smimed.file)], capture_output=True, timeout=30 * PATIENCE)
        assert second.returncode == 1 and b"already listens" in second.stderr, second
        assert connect(smimed).message("a@example.test", ["b@example.test"], PLAIN)[0][0] == CONTINUE


def test_root_is_not_stayed_unless_it_is_said():
    need_root()
    with Scratch("milter") as scratch:
        smimed = start(scratch, PASS, start=False)
        smimed.base = smimed.base.replace("user = root\n", "")
        smimed.configure(PASS)
        done = subprocess.run([str(SMIMED), "-f", "-c", str(smimed.file)], capture_output=True, timeout=30 * PATIENCE)
        assert done.returncode == 2 and b"does not run as root" in done.stderr, done


def test_root_is_given_up_after_the_sockets_are_open():
    need_root()
    with Scratch("milter") as scratch:
        smimed = start(scratch, PASS, start=False)
        smimed.base = smimed.base.replace("user = root\n", "user = nobody\n")
        smimed.configure(PASS)
        for folder in ("state", "spool", "keys"):
            os.chown(smimed.path / folder, 65534, 65534)
        smimed.file.chmod(0o644)
        smimed.start()
        wait_until(lambda: "is ready" in smimed.text(), 20, "the daemon to be ready")
        status = pathlib.Path(f"/proc/{smimed.process.pid}/status").read_text()
        lines = dict(line.split(":", 1) for line in status.splitlines())
        assert lines["Uid"].split() == ["65534"] * 4, lines["Uid"]
        assert lines["CapEff"].strip() == "0000000000000000", lines["CapEff"]
        assert "0" not in lines["Groups"].split(), lines["Groups"]
        assert connect(smimed).message("a@example.test", ["b@example.test"], PLAIN)[0][0] == CONTINUE
        assert control(smimed, b"reload\n")["ok"], smimed.text()


def test_options_version_check_and_usage():
    if not SMIMED.exists():
        raise Skip("smimed is not built")
    with Scratch("milter") as scratch:
        smimed = Smimed(scratch, PASS, start=False)
        assert run(SMIMED, "-V").stdout.startswith(b"smimed ")
        assert b": ok" in run(SMIMED, "-t", "-c", smimed.file).stdout
        assert run(SMIMED, "-x", check=False).returncode == 2
        assert run(SMIMED, "extra", check=False).returncode == 2
        done = run(SMIMED, "-t", "-c", "/nonexistent/smimed.conf", check=False)
        assert done.returncode == 2 and b"/nonexistent/smimed.conf" in done.stderr
        smimed.configure("socket_mode = 9\nnonsense = 1\n" + PASS)
        done = run(SMIMED, "-t", "-c", smimed.file, check=False)
        assert done.returncode == 2 and b"nonsense" in done.stderr and b"socket_mode" in done.stderr, done


def test_in_the_background_with_a_pid_file():
    if os.geteuid() != 0:
        raise Skip("the harness runs smimed as root")
    with Scratch("milter") as scratch:
        smimed = Smimed(scratch, "log = syslog\n" + PASS, start=False)
        pid_file = smimed.path / "pid"
        run(SMIMED, "-c", smimed.file, "-p", pid_file)
        pid = int(pid_file.read_text())
        scratch.add(lambda: os.path.exists(f"/proc/{pid}") and os.kill(pid, signal.SIGKILL))
        assert connect(smimed).message("a@example.test", ["b@example.test"], PLAIN)[0][0] == CONTINUE
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not pid_file.exists(), 20, "the end of the daemon")
        smimed.configure("nonsense = 1\n" + PASS)
        assert run(SMIMED, "-c", smimed.file, "-p", pid_file, check=False).returncode == 2
        smimed.configure("log = stderr\n" + PASS)
        assert run(SMIMED, "-c", smimed.file, check=False).returncode == 2


def test_the_service_manager_is_told():
    with Scratch("milter") as scratch:
        manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        manager.bind(str(scratch.path / "notify"))
        manager.settimeout(20 * PATIENCE)
        smimed = start(scratch, PASS, environment={"NOTIFY_SOCKET": str(scratch.path / "notify")})
        ready = manager.recv(4096)
        assert b"READY=1" in ready and b"MAINPID=%d" % smimed.process.pid in ready, ready
        control(smimed, b"reload\n")
        assert b"RELOADING=1" in manager.recv(4096)
        assert b"READY=1" in manager.recv(4096)
        assert smimed.stop() == 0
        assert b"STOPPING=1" in manager.recv(4096)
        manager.close()


def test_stopping_lets_a_message_at_its_end_finish_and_takes_no_new_one():
    with Scratch("milter") as scratch:
        smimed = start(scratch, PASS)
        busy, idle = connect(smimed), connect(smimed)
        busy.mail("a@example.test")
        process = smimed.process
        process.terminate()
        wait_until(lambda: control_is_stopping(smimed), 10, "the stop to begin")
        answer = idle.mail("a@example.test")
        assert answer[0] == REPLYCODE and reply_text(answer).startswith("451 4.3.2 "), answer
        busy.rcpt("b@example.test")
        busy.data("LAST")
        busy.header("From", " a@example.test")
        busy.eoh()
        busy.body(b"hello\r\n")
        assert busy.eom()[0][0] == CONTINUE
        assert process.wait(30 * PATIENCE) == 0


def control_is_stopping(smimed):
    answer = control(smimed, b"health\n")
    return answer and not answer["ok"] and "stopping" in answer["error"]


if __name__ == "__main__":
    main(globals())
