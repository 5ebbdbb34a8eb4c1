#!/usr/bin/env python3
"""Letters to users, through a real Postfix: a certificate expires (once a day, on two gateways with one Redis), a new one has
arrived (once), a message was refused; what they look like; wrong templates; and that nothing is written in reply to machines."""

import datetime
import email
import email.policy
import os
import shutil
import time

from harness import TOP, Authority, Postfix, Scratch, Sink, Smimed, main, now, smimectl, submit, trust_config, wait_until
from trustservers import PASSWORD, USER, Clock, Redis

# As conf/postfix.example has it.
LISTENER = {"milter_macro_daemon_name": "smimed-copies", "smtpd_client_restrictions": "permit_mynetworks,reject",
            "smtpd_recipient_restrictions": "permit_mynetworks,reject", "local_header_rewrite_clients": "",
            "receive_override_options": "no_header_body_checks"}
ALICE, DORA = "alice@example.org", "dora@example.org"
RULES = ('rule "seal" {\n    direction = out\n    recipient = *@partner.example\n    sign = never\n    encrypt = always\n}\n'
         'rule "rest" {\n    direction = out\n    sign = never\n}\n')


class Setting:
    def __init__(self, scratch, extra="", expires=200, listener=True, clock=None):
        self.scratch, self.ca, self.sink, self.clock = scratch, Authority(scratch), Sink(scratch), clock
        self.templates = scratch.path / "notices"
        shutil.copytree(TOP / "conf/notices", self.templates)
        arrived = self.templates / "arrived.txt"
        arrived.write_text(arrived.read_text().replace("Subject: A new", "Subject: Ein Schlüssel für Grüße: A new"))
        self.marks = scratch.path / "marks"
        self.marks.write_bytes(os.urandom(32))
        self.marks.chmod(0o600)
        self.extra, self.listener = extra, listener
        self.nodes = []
        self.smimed = self.node("smimed", start=False)
        self.postfix = Postfix(scratch, self.sink.port, self.smimed.milter, services={"out": {}, "copies": LISTENER})
        valid = (now() - datetime.timedelta(days=1), now() + datetime.timedelta(days=expires, minutes=30))
        self.pair = self.ca.user(ALICE, "alice", valid=valid)
        self.begin(self.smimed)

    def node(self, name, start=True):
        environment = self.clock.environment if self.clock else None
        node = Smimed(self.scratch, "", name=name, start=False, environment=environment)
        self.nodes.append(node)
        if start:
            self.begin(node)
        return node

    def config(self):
        server = f'resubmit_server = "inet:{self.postfix.ports["copies"]}@127.0.0.1"\n' if self.listener else ""
        return (f'{server}resubmit_key_file = "{self.marks}"\nnotices_folder = "{self.templates}"\nimport_interval = 1s\n'
                f"sender_identity = off\nrevocation_outbound = off\n{self.extra}" + RULES + trust_config(self.ca))

    def begin(self, node):
        node.configure(self.config())
        self.ca.install_pair(node.keys, *self.pair)
        node.start()
        wait_until(lambda: (node.path / "state/letters").exists(), 20, "the first round")

    def letters(self, count):
        found = []
        for sender, recipients, octets in self.sink.take(count) if count else []:
            assert "<>" in sender, sender
            found.append((recipients, email.message_from_bytes(octets, policy=email.policy.default), octets))
        time.sleep(2.5)  # two rounds more: a letter too many would come with them
        assert not self.sink.messages, [m[2][:800] for m in self.sink.messages]
        return found


def check_form(letter, octets, to):
    assert letter["Auto-Submitted"] == "auto-generated" and letter["To"] == f"<{to}>" or letter["To"] == to, letter.items()
    assert letter["From"].addresses[0].addr_spec == "postmaster@mx.test" and letter["Message-ID"] and letter["Date"], letter.items()
    assert letter.get_content_type() == "text/plain" and letter.get_content_charset() == "utf-8"
    assert octets.isascii() and b"x-smimed-mark" not in octets.lower(), octets
    assert "{" not in letter.get_content(), letter.get_content()


def test_a_new_certificate_is_told_once():
    with Scratch("notices") as scratch:
        it = Setting(scratch)
        assert it.letters(0) == []  # what was there from the start is no news
        it.ca.install_pair(it.smimed.keys, *it.ca.user(DORA, "dora"))
        (recipients, letter, octets), = it.letters(1)
        assert DORA in recipients[0], recipients
        check_form(letter, octets, DORA)
        assert letter["Subject"] == f"Ein Schlüssel für Grüße: A new S/MIME certificate for {DORA}", letter["Subject"]
        assert "Your mail is signed with it from\nnow on" in letter.get_content().replace("\r\n", "\n")
        for stop in (it.smimed.stop, it.smimed.kill):
            stop()
            it.smimed.start()
            assert it.letters(0) == []
        assert oct((it.smimed.path / "state/letters").stat().st_mode & 0o777) == "0o600"
        # An old pair of a history is no news either.
        old = (now() - datetime.timedelta(days=400), now() - datetime.timedelta(days=30))
        it.ca.install_pair(it.smimed.keys, *it.ca.user(DORA, "dora-old", valid=old))
        assert it.letters(0) == []


def test_without_a_listener_the_log_says_it_once():
    with Scratch("notices") as scratch:
        it = Setting(scratch, listener=False)
        it.ca.install_pair(it.smimed.keys, *it.ca.user(DORA, "dora"))
        wait_until(lambda: f"a new certificate of {DORA} has arrived" in it.smimed.text(), 20, "the log line")
        assert it.letters(0) == []
        assert it.smimed.text().count("has arrived") == 1


def test_a_certificate_that_expires_is_told_once_a_day():
    with Scratch("notices") as scratch:
        clock = Clock(scratch)
        it = Setting(scratch, expires=10, clock=clock)
        (recipients, letter, octets), = it.letters(1)
        assert ALICE in recipients[0]
        check_form(letter, octets, ALICE)
        assert "in 10 days" in letter.get_content(), letter.get_content()
        it.smimed.stop()
        it.smimed.start()
        assert it.letters(0) == []
        clock.move(datetime.timedelta(hours=23))
        assert it.letters(0) == []
        clock.move(datetime.timedelta(hours=24))
        (_, letter, _), = it.letters(1)
        assert "in 9 days" in letter.get_content(), letter.get_content()
        # A successor ends it.
        it.ca.install_pair(it.smimed.keys, *it.ca.user(ALICE, "alice-next"))
        (_, letter, _), = it.letters(1)
        assert "A new S/MIME certificate" in letter["Subject"]
        clock.move(datetime.timedelta(hours=48))
        assert it.letters(0) == []


def test_two_gateways_with_one_redis_write_one_letter_a_day():
    with Scratch("notices") as scratch:
        clock, redis = Clock(scratch), Redis(scratch)
        for name, octets in (("seal", os.urandom(32)), ("password", PASSWORD.encode() + b"\n")):
            (scratch.path / name).write_bytes(octets)
            (scratch.path / name).chmod(0o600)
        shared = (f'cache = redis\nredis_server = "unix:{redis.socket}"\nredis_user = {USER}\n'
                  f'redis_password_file = "{scratch.path}/password"\ncache_key_file = "{scratch.path}/seal"\n')
        it = Setting(scratch, extra=shared, expires=10, clock=clock)
        it.node("other")
        assert len(it.letters(1)) == 1
        assert [k for k in redis.keys() if b"letter:expires" in k], redis.keys()
        clock.move(datetime.timedelta(hours=24, minutes=1))
        redis.command("FLUSHALL")  # its clock is not ours: the mark's day is over
        assert len(it.letters(1)) == 1
        # Without Redis each writes its own: a hint that is lost costs a letter, never one too few.
        redis.stop()
        clock.move(datetime.timedelta(hours=48, minutes=2))
        assert len(it.letters(2)) == 2


def test_letters_wait_while_the_listener_is_away():
    with Scratch("notices") as scratch:
        it = Setting(scratch, listener=True)
        port = it.postfix.ports["copies"]
        it.extra = ""
        it.smimed.stop()
        it.smimed.configure(it.config().replace(f"inet:{port}@", "inet:9@"))
        it.smimed.start()
        it.ca.install_pair(it.smimed.keys, *it.ca.user(DORA, "dora"))
        wait_until(lambda: "letters wait:" in it.smimed.text(), 20, "the warning")
        it.smimed.configure(it.config())
        assert smimectl("reload", "--config", it.smimed.file).returncode == 0
        (recipients, _, _), = it.letters(1)
        assert DORA in recipients[0]


def test_a_template_that_is_wrong_keeps_the_old_ones():
    with Scratch("notices") as scratch:
        it = Setting(scratch)
        good = (it.templates / "expires.txt").read_text()
        (it.templates / "expires.txt").write_text(good.replace("{serial}", "{seriel}"))
        done = smimectl("check", it.smimed.file)
        assert done.returncode == 2 and b"expires.txt: line 6: there is no value {seriel}" in done.stderr, done.stderr
        done = smimectl("reload", "--config", it.smimed.file)
        assert done.returncode == 1 and b"seriel" in done.stdout + done.stderr, done
        it.ca.install_pair(it.smimed.keys, *it.ca.user(DORA, "dora"))
        time.sleep(2.5)
        assert not it.sink.messages  # the new keys could not be taken either: health says so
        assert smimectl("health", "--config", it.smimed.file).returncode == 1
        (it.templates / "expires.txt").write_text(good)
        assert smimectl("reload", "--config", it.smimed.file).returncode == 0
        assert len(it.letters(1)) == 1


def test_a_refusal_is_told_where_it_is_asked_for():
    def mail(fields="", to="nobody@partner.example"):
        return (f"From: {ALICE}\r\nTo: {to}\r\nMessage-ID: <1@example.org>\r\n{fields}"
                "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\r\nHello.\r\n").encode()
    with Scratch("notices") as scratch:
        it = Setting(scratch, extra="notice_refused = yes\n")
        people = ["nobody@partner.example", "more@partner.example"]
        code, _ = submit(it.postfix.port, ALICE, people, mail(to=", ".join(people)))
        assert code == 550
        (recipients, letter, octets), = it.letters(1)
        assert ALICE in recipients[0]
        check_form(letter, octets, ALICE)
        text = letter.get_content()
        assert all(p in text for p in people) and "NOBODY" in text and letter["In-Reply-To"] == "<1@example.org>", text
        for sender, fields in (("", ""), (ALICE, "Auto-Submitted: auto-replied\r\n"), (ALICE, "List-Id: <l.example.org>\r\n"),
                               (ALICE, "Precedence: bulk\r\n")):
            assert submit(it.postfix.port, sender, ["nobody@partner.example"], mail(fields))[0] == 550
        assert it.letters(0) == []
        it.extra = ""
        it.smimed.configure(it.config())
        assert smimectl("reload", "--config", it.smimed.file).returncode == 0
        assert submit(it.postfix.port, ALICE, ["nobody@partner.example"], mail())[0] == 550
        assert it.letters(0) == []


def test_a_refusal_is_told_after_a_restart_and_after_a_crash():
    """The listener is away; what waits survives SIGTERM and SIGKILL, each once, and what cannot is named in the log."""
    def refuse(it, number):
        message = (f"From: {ALICE}\r\nTo: n{number}@partner.example\r\nMessage-ID: <{number}@example.org>\r\nSubject: s\r\n\r\n"
                   "Hello.\r\n")
        assert submit(it.postfix.port, ALICE, [f"n{number}@partner.example"], message.encode())[0] == 550

    with Scratch("notices") as scratch:
        it = Setting(scratch, extra="notice_refused = yes\n")
        waiting = it.smimed.path / "state/letters.waiting"
        away = it.config().replace(f'inet:{it.postfix.ports["copies"]}@', "inet:9@")
        for end in (it.smimed.stop, it.smimed.kill):
            it.smimed.configure(away)
            assert smimectl("reload", "--config", it.smimed.file).returncode == 0
            for number in range(3):
                refuse(it, number)
            wait_until(lambda: waiting.exists() and waiting.read_bytes().count(b"In-Reply-To: ") == 3, 20, "three letters")
            assert oct(waiting.stat().st_mode & 0o777) == "0o600"
            end()
            assert waiting.exists() and "letter: lost" not in it.smimed.text()
            it.smimed.configure(it.config())
            it.smimed.start()
            told = it.letters(3)
            assert sorted(letter["In-Reply-To"] for _, letter, _ in told) == [f"<{n}@example.org>" for n in range(3)], told
            assert all(ALICE in recipients[0] for recipients, _, _ in told)
            assert not waiting.exists()
        # SIGTERM right behind the refusal, before any round.
        it.smimed.configure(it.config().replace("import_interval = 1s", "import_interval = 60s"))
        it.smimed.stop()
        it.smimed.start()
        refuse(it, 7)
        it.smimed.stop()
        it.smimed.configure(it.config())
        it.smimed.start()
        assert [letter["In-Reply-To"] for _, letter, _ in it.letters(1)] == ["<7@example.org>"]
        # A file that is not ours is left alone, and one that cannot be written makes each a line.
        it.smimed.stop()
        waiting.mkdir()
        it.smimed.configure(away)
        it.smimed.start()
        refuse(it, 8)
        it.smimed.stop()
        text = it.smimed.text()
        assert text.count(f"letter: lost, to {ALICE}") == 1 and "in memory alone" in text, text


if __name__ == "__main__":
    main(globals())
