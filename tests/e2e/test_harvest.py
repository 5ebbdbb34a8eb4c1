#!/usr/bin/env python3
"""What mail that verified teaches: its sender's certificate is used for mail to him, and nothing unverified ever is."""

import base64
import hashlib
import json
import os
import pathlib
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "scenario"))
from harness import (SMIMED, Authority, Postfix, Scratch, Sink, Skip, Smimed, datetime, main, now, openssl_decrypt, run,
                     smimectl, submit, trust_config, wait_until)
from milter_client import CONTINUE, REPLBODY, REPLYCODE, Closed, Milter
from test_attacks import Person, attribute, clear, signed_data, tlv

TEXT = b"Content-Type: text/plain\r\n\r\nHello alice, this is bob.\r\n"
BOB = "bob@partner.example"
RULES = """
harvest = yes
inbound_daemons = INBOUND
sender_identity = off
resolve_life = 0
resolve_life_negative = 0
rule "in" {
    direction = in
}
rule "out" {
    direction = out
    sign = never
    encrypt = always
}
"""
DAYS = datetime.timedelta(days=1)


def from_(address):
    return b"From: " + address.encode() + b"\r\n"


class Setting:
    def __init__(self, scratch, rules=RULES, intermediates=True):
        self.ca = ca = Authority(scratch)
        if not intermediates:
            for path in ca.intermediates.iterdir():
                path.unlink()
        self.sub = run("openssl", "x509", "-in", ca.cert, "-outform", "DER").stdout
        self.people = 0
        self.smimed = Smimed(scratch, rules + trust_config(ca))
        self.database = self.smimed.path / "state/harvest.db"
        self.scratch = scratch

    def person(self, address=BOB, **options):
        """A Person; each is newer than the one before."""
        self.people += 1
        options.setdefault("valid", (now() - (200 - self.people) * DAYS, now() + 300 * DAYS))
        return Person(self.ca.user(address, f"person{self.people}", **options))

    def mail_in(self, person, address=BOB, more=(), certificates=(), text=TEXT, signed_at=None, sub=True):
        """Through the milter; the word of the verdict."""
        stamp = (signed_at or now()).strftime("%y%m%d%H%M%SZ").encode()
        attributes = person.attributes(TEXT, more=[attribute(5, tlv(0x17, stamp)), *more])
        der = signed_data([person.der, *([self.sub] if sub else []), *certificates], [person.info(TEXT, attributes)])
        return self.receive(clear(text, der, sender=from_(address)))

    def receive(self, message):
        milter = Milter(self.smimed.socket).negotiate()
        milter.connect(macros={"{daemon_name}": "INBOUND"})
        answer, edits = milter.message(BOB, ["alice@example.org"], message)
        milter.close()
        assert answer[0] == CONTINUE, answer
        found = re.search(rb"smime=(\w+)", b"".join(data for _, data in edits))
        return found.group(1).decode() if found else "none"

    def mail_out(self, to=BOB):
        """The entity that would leave, or the reply."""
        milter = Milter(self.smimed.socket).negotiate()
        milter.connect(address="127.0.0.1")
        answer, edits = milter.message("alice@example.org", [to], (f"From: alice@example.org\r\nTo: {to}\r\nSubject: x\r\n\r\n"
                                                                   "secret\r\n").encode())
        milter.close()
        if answer[0] == REPLYCODE:
            return answer[1].decode()
        assert answer[0] == CONTINUE, answer
        body = b"".join(data for command, data in edits if command == REPLBODY)
        return b"Content-Type: application/pkcs7-mime; name=smime.p7m\r\nContent-Transfer-Encoding: base64\r\n\r\n" + body

    def opens(self, message, person):
        assert isinstance(message, bytes), message
        try:
            return b"secret" in openssl_decrypt(message, person.key, person.cert)
        except AssertionError:
            return False

    def ctl(self, *arguments, code=0):
        done = smimectl("certs", "-c", self.smimed.file, *arguments)
        assert done.returncode == code, (arguments, done)
        return done.stdout.decode() + done.stderr.decode()

    def rows(self, *arguments):
        return json.loads(self.ctl("list", "--json", *arguments))

    def wait_rows(self, count):
        wait_until(lambda: len(self.rows()) >= count, 10, f"row {count}: {self.smimed.text()[-1500:]}")
        return self.rows()

    def settled(self):
        """Whatever was learnt so far is written: one more sender has come through."""
        address = f"marker{random.randrange(10 ** 9)}@partner.example"
        assert self.mail_in(self.person(address), address) == "pass"
        wait_until(lambda: self.rows(address), 10, "the marker's row")
        smimectl("certs", "-c", self.smimed.file, "remove", address, self.rows(address)[0]["fingerprint"])


def preference(person):
    """encryptionKeyPreference (RFC 8551 2.5.3), by issuer and serial."""
    return tlv(0x30, tlv(6, bytes.fromhex("2a864886f70d010910020b")), tlv(0x31, tlv(0xA0, person.identifier[
        2 if person.identifier[1] < 128 else 2 + (person.identifier[1] & 127):])))


def fingerprint(person):
    return run("openssl", "x509", "-in", person.cert, "-noout", "-fingerprint", "-sha256").stdout.decode().strip() \
        .split("=")[1].replace(":", "").lower()


def test_a_signed_message_lets_the_next_one_to_its_sender_be_encrypted():
    with Scratch("harvest") as scratch:
        it = Setting(scratch)
        sink = Sink(scratch)
        postfix = Postfix(scratch, sink.port, it.smimed.milter,
                          {"out": {}, "in": {"milter_macro_daemon_name": "INBOUND"}})
        bob = it.person()
        to_bob = f"From: alice@example.org\r\nTo: {BOB}\r\nSubject: x\r\n\r\nsecret\r\n".encode()
        code, text = submit(postfix.ports["out"], "alice@example.org", [BOB], to_bob)
        assert code == 550 and "there is no certificate for the address" in text, text
        signed = run("openssl", "cms", "-sign", "-binary", "-signer", bob.cert, "-inkey", bob.key, "-certfile", it.ca.cert,
                     stdin=TEXT).stdout.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        code, text = submit(postfix.ports["in"], BOB, ["alice@example.org"], from_(BOB) + signed)
        assert code == 250 and b"smime=pass" in sink.take()[0][2], text
        row, = it.wait_rows(1)
        assert (row["address"], row["state"], row["messages"]) == (BOB, "accepted", 1), row
        assert row["fingerprint"] == fingerprint(bob), row

        def deliver():
            return submit(postfix.ports["out"], "alice@example.org", [BOB], to_bob)[0] == 250
        # That nobody had a certificate is believed for resolve_life_negative at most.
        wait_until(deliver, 90, "encrypted mail to bob")
        delivered = sink.take()[0][2]
        assert b"secret" not in delivered and b"secret" in openssl_decrypt(delivered, bob.key, bob.cert)
        looked = smimectl("lookup", "-c", it.smimed.file, "--json", BOB)
        assert looked.returncode == 0 and b'"harvested"' in looked.stdout, looked
        assert "capabilities were told" in it.ctl("show", BOB), it.ctl("show", BOB)
        assert it.ctl("export", BOB).startswith("-----BEGIN CERTIFICATE-----")
        assert f"harvested the certificate {row['fingerprint'][:16]} of {BOB}" in it.smimed.text()


def test_an_intermediate_that_exists_in_the_senders_mail_alone_is_kept_with_his_certificate():
    with Scratch("harvest") as scratch:
        it = Setting(scratch, intermediates=False)
        bob, pair = it.person(), it.person("pair@partner.example", usage="keyEncipherment")
        other = Authority(scratch, "other")
        # The certificate alone builds no path, here or outbound.
        assert it.mail_in(bob, sub=False) == "fail"
        answer = it.mail_out()
        assert isinstance(answer, str) and answer.startswith("550"), answer
        # With it come a root that is no anchor here, a certificate of somebody else, and the anchor itself.
        strangers = [run("openssl", "x509", "-in", path, "-outform", "DER").stdout
                     for path in (other.root, other.cert, it.ca.root, it.person("x@partner.example").cert)]
        assert it.mail_in(bob, certificates=strangers) == "pass"
        row, = it.wait_rows(1)
        kept, = row["intermediates"]
        assert kept["fingerprint"] == hashlib.sha256(it.sub).hexdigest(), row
        assert it.opens(it.mail_out(), bob), "mail to him is encrypted"
        assert "with the intermediate CN=ca issuing,O=Test" in it.ctl("show", BOB), it.ctl("show", BOB)
        # A message without it takes it away no more, and neither does a new start.
        it.smimed.stop()
        it.smimed.start()
        assert it.opens(it.mail_out(), bob)
        looked = json.loads(smimectl("lookup", "-c", it.smimed.file, "--json", BOB).stdout)
        assert "harvested" in json.dumps(looked), looked
        # A certificate beside the signer's: its own path is kept.
        signer = it.person("pair@partner.example", usage="digitalSignature")
        assert it.mail_in(signer, "pair@partner.example", [preference(pair)], [pair.der, *strangers]) == "pass"
        row, = wait_until(lambda: it.rows("pair@partner.example"), 10, "the preferred certificate")
        assert [one["fingerprint"] for one in row["intermediates"]] == [kept["fingerprint"]], row
        assert it.opens(it.mail_out("pair@partner.example"), pair)
        # Kept once for both; and never an anchor: without the root nothing holds any more.
        handle = sqlite3.connect(it.database)
        assert handle.execute("SELECT count(*) FROM issuer").fetchone() == (1,)
        handle.close()
        shutil.copy(other.root, it.ca.anchors)
        (it.ca.anchors / it.ca.root.name).write_bytes(other.root.read_bytes())
        assert smimectl("reload", "-c", it.smimed.file).returncode == 0
        answer = it.mail_out()
        assert isinstance(answer, str) and answer.startswith("550"), answer


def test_a_change_of_keys_is_held_approved_and_what_is_removed_stays_away():
    with Scratch("harvest") as scratch:
        it = Setting(scratch)
        one, two = it.person(), it.person()
        assert it.mail_in(one) == "pass"
        it.wait_rows(1)
        assert it.mail_in(two) == "pass"
        rows = {row["fingerprint"]: row for row in it.wait_rows(2)}
        assert rows[fingerprint(one)]["state"] == "accepted" and rows[fingerprint(two)]["state"] == "held", rows
        wait_until(lambda: "is held; smimectl certs approve" in it.smimed.text(), 10, "its line, written after the row")
        assert it.opens(it.mail_out(), one), "the known key"
        assert "accepted" in it.ctl("approve", BOB, fingerprint(two)[:12].upper())
        wait_until(lambda: it.opens(it.mail_out(), two), 90, "mail to the approved key")
        assert "removed" in it.ctl("remove", BOB, fingerprint(two))
        assert smimectl("reload", "-c", it.smimed.file).returncode == 0
        assert it.mail_in(two) == "pass"
        it.settled()
        assert it.opens(it.mail_out(), one), "the removed one stays away"
        states = {row["fingerprint"]: (row["state"], row["decided"]) for row in it.rows(BOB)}
        assert states[fingerprint(two)][0] == "removed" and states[fingerprint(two)][1], states
        assert states[fingerprint(one)] == ("accepted", None), states
        # The same key in a renewed certificate is no change.
        it.ctl("approve", BOB, "12345678", code=1)
        it.ctl("approve", BOB, code=2)
        it.ctl("frobnicate", code=2)


def test_changes_are_taken_at_once_where_that_is_configured():
    with Scratch("harvest") as scratch:
        it = Setting(scratch, "harvest_change = accept\n" + RULES)
        one, two = it.person(), it.person()
        assert it.mail_in(one) == "pass" and it.mail_in(two) == "pass"
        assert {row["state"] for row in it.wait_rows(2)} == {"accepted"}
        assert it.opens(it.mail_out(), two), "the newer one"


def test_nothing_unverified_teaches_anything():
    with Scratch("harvest") as scratch:
        it = Setting(scratch)
        other = Authority(scratch, "other")
        bob, revoked = it.person(), it.person("revoked@partner.example")
        stranger = Person(other.user(BOB, "stranger"))
        wrong = it.person("mallory@partner.example")
        expired = it.person("expired@partner.example", valid=(now() - 9 * DAYS, now() - DAYS))
        signer_only = it.person("signer@partner.example", usage="digitalSignature")
        it.ca.revoke(revoked.cert)
        assert smimectl("reload", "-c", it.smimed.file).returncode == 0

        signer = "signer@partner.example"
        cases = {
            "altered": (it.mail_in(bob, text=TEXT.replace(b"Hello", b"HELLO")), "fail"),
            "another's certificate": (it.mail_in(wrong, BOB), "fail"),
            "a strange CA": (it.mail_in(stranger), "fail"),
            "revoked": (it.mail_in(revoked, "revoked@partner.example"), "fail"),
            "expired": (it.mail_in(expired, "expired@partner.example"), "fail"),
            "not signed": (it.receive(from_(BOB) + b"\r\nHello\r\n"), "none"),
            "two senders": (it.receive(clear(TEXT, signed_data([bob.der, it.sub], [bob.info(TEXT)]),
                                             sender=from_(BOB) + from_("m@evil.test"))), "permerror"),
            "text behind it": (it.receive(clear(TEXT, signed_data([bob.der, it.sub], [bob.info(TEXT)]),
                                                sender=from_(BOB), after=b"more\r\n")), "neutral"),
            # Those verify, but what they would teach does not hold.
            "a certificate that signs only": (it.mail_in(signer_only, signer), "pass"),
            "prefers another's": (it.mail_in(signer_only, signer, [preference(wrong)], [wrong.der]), "pass"),
            "prefers a strange CA's": (it.mail_in(signer_only, signer, [preference(stranger)], [stranger.der]), "pass"),
            "prefers one that is not there": (it.mail_in(bob, BOB, [preference(wrong)]), "pass"),
        }
        for name, (got, wanted) in cases.items():
            assert got == wanted, f"{name}: {got}"
        fake = Person(other.user(signer, "fake"))
        assert it.mail_in(signer_only, signer, [preference(fake)], [fake.der]) == "pass"
        it.settled()
        assert not [row for row in it.rows() if row["state"] != "removed"], it.rows()
        # And what does hold: the certificate that the signer names, for the address he signed for.
        pair = it.person(signer, usage="keyEncipherment")
        assert it.mail_in(signer_only, signer, [preference(pair)], [pair.der]) == "pass"
        row, = wait_until(lambda: it.rows(signer), 10, "the preferred certificate")
        assert row["fingerprint"] == fingerprint(pair) and it.opens(it.mail_out(signer), pair)


def test_a_locked_database_holds_no_mail_up():
    with Scratch("harvest") as scratch:
        it = Setting(scratch)
        one, late = it.person(), it.person("late@partner.example")
        assert it.mail_in(one) == "pass"
        it.wait_rows(1)
        lock = sqlite3.connect(it.database, isolation_level=None)
        lock.execute("BEGIN EXCLUSIVE")
        begin = time.monotonic()
        assert it.mail_in(late, "late@partner.example") == "pass"
        assert it.opens(it.mail_out(), one), "who only asks is not held up either"
        assert time.monotonic() - begin < 4, "mail waited for the lock"
        wait_until(lambda: "nothing was learnt from a message of late@partner.example" in it.smimed.text(), 20, "the warning")
        lock.execute("ROLLBACK")
        lock.close()
        assert not it.rows("late@partner.example")
        assert it.mail_in(late, "late@partner.example") == "pass"
        it.wait_rows(2)


def test_a_database_that_cannot_be_read_is_could_not_ask():
    with Scratch("harvest") as scratch:
        it = Setting(scratch)
        assert it.mail_in(it.person()) == "pass"
        it.wait_rows(1)
        it.smimed.stop()
        with sqlite3.connect(it.database) as handle:
            handle.execute("UPDATE certificate SET der = x'3003020101'")
        handle.close()
        it.smimed.start()
        answer = it.mail_out()
        assert answer.startswith("451"), answer


OLD_SCHEMA = """
CREATE TABLE certificate (address TEXT NOT NULL COLLATE NOCASE, fingerprint TEXT NOT NULL, key BLOB NOT NULL,
 der BLOB NOT NULL, state INTEGER NOT NULL, first_seen INTEGER NOT NULL, last_seen INTEGER NOT NULL, count INTEGER NOT NULL,
 PRIMARY KEY (address, fingerprint)) WITHOUT ROWID;
CREATE INDEX certificate_seen ON certificate (last_seen);
CREATE TABLE capability (address TEXT PRIMARY KEY COLLATE NOCASE, der BLOB NOT NULL, signed_at INTEGER NOT NULL) WITHOUT ROWID;
PRAGMA user_version = 1;
"""


def test_an_old_database_is_brought_forward_and_a_newer_one_refused():
    with Scratch("harvest") as scratch:
        it = Setting(scratch)
        it.smimed.stop()
        bob = it.person()
        handle = sqlite3.connect(it.database)
        handle.executescript(OLD_SCHEMA)
        handle.execute("INSERT INTO certificate VALUES (?, ?, ?, ?, 0, 1700000000, 1700000000, 3)",
                       (BOB, fingerprint(bob), b"", bob.der))
        handle.commit()
        handle.close()
        it.database.chmod(0o600)
        it.smimed.start()
        assert it.opens(it.mail_out(), bob)
        row, = it.rows()
        assert row["messages"] == 3 and row["decided"] is None, row
        it.smimed.stop()
        handle = sqlite3.connect(it.database)
        version, = handle.execute("PRAGMA user_version").fetchone()
        assert version == 3, version
        handle.execute("PRAGMA user_version = 99")
        handle.commit()
        handle.close()
        wanted = "harvest.db was written by a newer smimed (schema 99, this one knows 3): install that one, or move the file away"
        refused = subprocess.run([SMIMED, "-f", "-c", it.smimed.file], capture_output=True, timeout=60)
        assert refused.returncode != 0 and wanted in (refused.stderr + refused.stdout).decode(), refused
        assert wanted in it.ctl("list", code=1)


def good_and_bad(it, count):
    """Messages that verify, each by another sender, and ones that must teach nothing; fingerprints of the first."""
    good, bad, known = [], [], set()
    for i in range(count):
        address = f"good{i}@partner.example"
        person = it.person(address)
        known.add(fingerprint(person))
        good.append(clear(TEXT, signed_data([person.der, it.sub], [person.info(TEXT)]), sender=from_(address)))
        address = f"bad{i}@partner.example"
        person = it.person(address)
        bad.append(clear(TEXT.replace(b"bob", b"BOB"), signed_data([person.der, it.sub], [person.info(TEXT)]),
                         sender=from_(address)))
        bad.append(clear(TEXT, signed_data([person.der, it.sub], [person.info(TEXT)]), sender=from_("x@elsewhere.example")))
    return good, bad, known


def test_killed_two_hundred_times_in_the_middle_of_harvests():
    if os.environ.get("SAN"):
        raise Skip("who is killed reports nothing: without sanitizers alone")
    rounds = 200
    with Scratch("harvest") as scratch:
        it = Setting(scratch, "harvest_change = accept\n" + RULES, intermediates=False)
        sub = hashlib.sha256(it.sub).hexdigest()
        good, bad, known = good_and_bad(it, 12)
        chance = random.Random(6)
        stored = kept = chained = 0

        def traffic(messages, stop):
            try:
                while not stop.is_set():
                    it.receive(messages[stop.number % len(messages)])
                    stop.number += 1
            except (Closed, OSError, AssertionError):
                pass

        for number in range(rounds):
            stops = []
            threads = []
            for messages in (good[number % 12:] + good[:number % 12], bad, good):
                stop = threading.Event()
                stop.number = 0
                stops.append(stop)
                threads.append(threading.Thread(target=traffic, args=(messages, stop)))
            for thread in threads:
                thread.start()
            time.sleep(chance.uniform(0.005, 0.12))
            it.smimed.kill()
            for stop, thread in zip(stops, threads):
                stop.set()
                thread.join()
            if it.database.exists():
                handle = sqlite3.connect(it.database)
                assert handle.execute("PRAGMA integrity_check").fetchone() == ("ok",), number
                # A kill before the schema was made leaves an empty file.
                if handle.execute("PRAGMA user_version").fetchone()[0]:
                    found = {row[0] for row in handle.execute("SELECT fingerprint FROM certificate")}
                    assert found <= known, f"round {number}: {found - known}"
                    links = handle.execute("SELECT fingerprint, issuer FROM chain").fetchall()
                    assert {leaf for leaf, _ in links} <= found and {issuer for _, issuer in links} <= {sub}, f"{number}: {links}"
                    assert {row[0] for row in handle.execute("SELECT fingerprint FROM issuer")} == {i for _, i in links}, number
                    chained += len(links)
                    stored, kept = max(stored, len(found)), kept + len(found)
                handle.close()
                if number % 5 == 4:
                    for path in it.database.parent.glob("harvest.db*"):
                        path.unlink()
            it.smimed.start()
        print(f"# {rounds} kills; {kept} certificates were seen after them, {stored} at most; {chained} intermediates")
        assert kept > rounds and chained == kept and not it.ctl("list").count("bad")


if __name__ == "__main__":
    main(globals())
