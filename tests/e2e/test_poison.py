#!/usr/bin/env python3
"""A message in which the daemon fell twice is not looked at a third time, and everybody else's mail flows."""

import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "scenario"))
from harness import Authority, Postfix, Scratch, Sink, Smimed, main, smimectl, submit, trust_config, wait_until
from milter_client import CHGHEADER, CONTINUE, INSHEADER, QUARANTINE, REPLYCODE, SKIP, Milter

RULES = """
inbound_daemons = INBOUND
sender_identity = off
rule "in" {
    direction = in
}
rule "out" {
    direction = out
    sign = never
    encrypt = if-possible
}
"""
HEAD = (b"Authentication-Results : mx.test; smime=pass\r\nFrom: bob@partner.example\r\nTo: alice@example.org\r\n"
        b"MIME-Version: 1.0\r\nContent-Type: multipart/signed; protocol=\"application/pkcs7-signature\"; boundary=b\r\n"
        b"authentication-RESULTS: elsewhere.test; dkim=pass\r\nSubject: poison\r\n\r\n")
BODY = b"--b\r\n\r\nhello\r\n--b\r\n\r\n--b--\r\n"
INNOCENT = b"From: bob@partner.example\r\nTo: alice@example.org\r\nSubject: innocent\r\n\r\nhello\r\n"


class Setting:
    def __init__(self, scratch, rules=RULES):
        self.ca = Authority(scratch)
        self.smimed = Smimed(scratch, rules + trust_config(self.ca))

    def begin(self, message=HEAD, out=False, sender="bob@partner.example"):
        """A message of which half has come: (milter, the answer to its last step)."""
        milter = Milter(self.smimed.socket).negotiate()
        milter.connect(**({"address": "127.0.0.1"} if out else {"macros": {"{daemon_name}": "INBOUND"}}))
        assert milter.mail(sender)[0] == CONTINUE and milter.rcpt("alice@example.org")[0] == CONTINUE
        milter.data("QID")
        for line in message.split(b"\r\n\r\n")[0].split(b"\r\n"):
            name, _, value = line.partition(b":")
            milter.header(name, value)
        answer = milter.eoh()
        if answer[0] == CONTINUE:
            answer = milter.body(BODY[:10])
        return milter, answer

    def fall(self, **options):
        """Down while that message is in flight, killed from outside; up again."""
        milter, answer = self.begin(**options)
        assert answer[0] in (CONTINUE, SKIP), answer
        self.smimed.kill()
        milter.socket.close()
        self.smimed.start()

    def whole(self, message, out=False):
        milter = Milter(self.smimed.socket).negotiate()
        milter.connect(**({"address": "127.0.0.1"} if out else {"macros": {"{daemon_name}": "INBOUND"}}))
        answer, edits = milter.message("bob@partner.example", ["alice@example.org"], message)
        milter.close()
        return answer, edits

    def poison(self, *arguments):
        return json.loads(smimectl("poison", "-c", self.smimed.file, "--json", *arguments, check=True).stdout)


def test_it_is_held_the_third_time_and_others_flow():
    with Scratch("poison") as scratch:
        it = Setting(scratch)
        it.fall()
        wait_until(lambda: "1 message was in flight" in it.smimed.text(), 10, "the warning")
        assert it.poison()["suspects"] == 1 and it.poison()["poisoned"] == 0
        it.fall()
        answer, edits = it.whole(INNOCENT)
        assert answer[0] == CONTINUE and not [e for e in edits if e[0] == QUARANTINE], (answer, edits)
        assert it.poison()["poisoned"] == 1
        answer, edits = it.whole(HEAD + BODY)
        assert answer[0] == CONTINUE, answer
        assert [d for c, d in edits if c == QUARANTINE] == [b"brought the mail gateway down before (poison)\0"], edits
        # Nothing of it was parsed: result fields go by their names alone, the last first.
        gone = [d for c, d in edits if c == CHGHEADER and d.endswith(b"\0\0")]
        assert len(gone) == 2 and all(b"authentication-results" in d.lower() for d in gone), edits
        inserted, = [d for c, d in edits if c == INSHEADER]
        assert b"smime=permerror (poison:" in inserted, inserted
        outcome = it.smimed.wait_outcomes(1)[-1]
        assert (outcome["action"], outcome["reason"], outcome["result"]) == ("quarantine", "poison", "ok"), outcome
        # Mended: it is looked at again.
        assert it.poison("--forget")["forgotten"] == 1
        answer, edits = it.whole(HEAD + BODY)
        assert answer[0] == CONTINUE and not [e for e in edits if e[0] == QUARANTINE], (answer, edits)


def test_outbound_it_is_refused_and_never_held():
    with Scratch("poison") as scratch:
        it = Setting(scratch)
        for _ in range(2):
            it.fall(out=True)
        answer, edits = it.whole(HEAD + BODY, out=True)
        assert answer[0] == REPLYCODE and answer[1].startswith(b"550 5.6.0") and b"(poison)" in answer[1], answer
        assert not edits
        # The other direction knows the same message by the same name.
        outcome = it.smimed.wait_outcomes(1)[-1]
        assert (outcome["action"], outcome["reason"]) == ("refuse", "poison"), outcome


def test_policy_defer_and_refuse():
    for word, reply in (("defer", b"451 4.7.1"), ("refuse", b"550 5.6.0")):
        with Scratch("poison") as scratch:
            it = Setting(scratch, f"on_poison = {word}\n" + RULES)
            for _ in range(2):
                it.fall()
            for out in (False, True):
                answer, edits = it.whole(HEAD + BODY, out=out)
                assert answer[0] == REPLYCODE and answer[1].startswith(reply) and not edits, (word, answer)


def test_who_ends_well_or_is_stopped_is_no_suspect():
    with Scratch("poison") as scratch:
        it = Setting(scratch)
        it.fall()
        assert it.whole(HEAD + BODY)[0][0] == CONTINUE
        assert it.poison()["suspects"] == 0, "cleared by a try that ended well"
        # A client that goes away, and a daemon that is stopped as it should be.
        milter, _ = it.begin()
        milter.socket.close()
        wait_until(lambda: it.smimed.outcomes()[-1:] and it.smimed.outcomes()[-1]["result"] == "aborted", 10, "the abort")
        for _ in range(3):
            milter, _ = it.begin()
            assert it.smimed.stop() == 0
            milter.socket.close()
            it.smimed.start()
        assert it.poison()["suspects"] == 0, it.smimed.text()


def test_through_postfix_it_waits_on_hold():
    with Scratch("poison") as scratch:
        it = Setting(scratch)
        sink = Sink(scratch)
        postfix = Postfix(scratch, sink.port, it.smimed.milter, {"in": {"milter_macro_daemon_name": "INBOUND"}},
                          main="local_header_rewrite_clients =\nalways_add_missing_headers = no\n")
        message = HEAD.replace(b"Authentication-Results :", b"Authentication-Results:")
        for _ in range(2):
            it.fall(message=message)
        code, text = submit(postfix.port, "bob@partner.example", ["alice@example.org"], message + BODY)
        assert code == 250, text
        wait_until(lambda: [q for q in postfix.queue() if q[0] == "hold"], 10, "the message on hold")
        code, text = submit(postfix.port, "bob@partner.example", ["alice@example.org"], INNOCENT)
        assert code == 250 and b"innocent" in sink.take()[0][2]
        name = [q for q in postfix.queue() if q[0] == "hold"][0][1]
        held = postfix.command("postcat", "-q", name).stdout
        assert b"smime=permerror (poison:" in held and b"smime=pass" not in held and b"dkim=pass" not in held, held


if __name__ == "__main__":
    main(globals())
