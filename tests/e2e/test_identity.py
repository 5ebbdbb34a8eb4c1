#!/usr/bin/env python3
"""Who a sender is: real logins (SASL) through Postfix, a directory, and a table of senders with reply and log line."""

import base64
import email
import email.policy
import re

from harness import (Authority, Postfix, Scratch, Sink, Smimed, Smtp, main, openssl_decrypt, openssl_verify, run,
                     smimectl, trust_config)

ANONYMOUS = ("the sender is not accepted without a login: From and envelope sender have to be the same primary address of "
             "one of our users; correct them, or log in")
ALICE, SECOND, BOSS = "alice@example.org", "second@example.org", "boss@example.org"
UMLAUT, IDN = "müller@example.org", "ida@xn--bcher-kva.example"
LOGINS = ["alice", "boss", "muller", "ida", "nokey", "dark", "noprimary", "ghost", "carol@example.org"]


def person(uid, *addresses, more=""):
    lines = [f"dn: uid={uid},dc=example", "objectClass: inetOrgPerson", f"uid: {uid}", f"cn: {uid}", f"sn: {uid}",
             f"userPrincipalName: {uid}@mx.test"]
    for prefix, address in addresses:
        text = f"{prefix}{address}"
        encoded = text.encode()
        lines.append(f"proxyAddresses: {text}" if encoded.isascii()
                     else f"proxyAddresses:: {base64.b64encode(encoded).decode()}")
    return "\n".join(lines) + "\n" + more + "\n"


PEOPLE = (
    person("alice", ("SMTP:", ALICE), ("smtp:", SECOND), ("smtp:", "alice@alias.example"))
    + person("boss", ("SMTP:", BOSS), ("smtp:", "chief@example.org"), more="publicDelegates: uid=alice,dc=example\n")
    + person("shared", ("SMTP:", "team@example.org"), more="publicDelegates: uid=alice,dc=example\n")
    + person("muller", ("SMTP:", UMLAUT), ("smtp:", "mueller@example.org"))
    + person("ida", ("SMTP:", "ida@bücher.example"))
    + person("nokey", ("SMTP:", "nokey@example.org"))
    + person("dark", ("SMTP:", "dark@example.org"))
    + person("noprimary")
    + person("carol", ("SMTP:", "carol@example.org"), more="mail: carol@example.org\n")
    + "dn: cn=all,dc=example\nobjectClass: groupOfNames\ncn: all\nmail: all@example.org\nmember: uid=alice,dc=example\n\n"
    + "dn: cn=partner,dc=example\nobjectClass: contact\ncn: partner\nmail: friend@partner.example\n\n")

SIGN = 'rule "sign" {\n    direction = out\n    sign = always\n}\n'


class World:
    """One Postfix with logins, one smimed that is started again with another configuration for each part."""

    def __init__(self, scratch, options="", rules=SIGN, directory=True):
        self.ca = ca = Authority(scratch)
        self.dark = Authority(scratch, "dark")
        for crl in self.dark.crls.glob("sub*"):
            crl.unlink()  # whose certificates cannot be asked about
        people = scratch.path / "people.ldif"
        people.write_text(PEOPLE)
        self.directory = f'directory "people" {{\n    ldif = "{people}"\n    send_as_attributes = publicDelegates\n}}\n'
        trust = trust_config(ca)
        for kind in ("anchors", "intermediates", "crls"):
            trust = trust.replace(f'{kind} = "{getattr(ca, kind)}"',
                                  f'{kind} = "{getattr(ca, kind)}" "{getattr(self.dark, kind)}"')
        self.trust = trust
        certificates = scratch.folder("certificates")
        self.bob = ca.user("bob@partner.example", "bob")
        (certificates / "bob.pem").write_bytes(self.bob[1].read_bytes())
        self.certificates = f'certificate_folders = "{certificates}"\n'
        self.smimed = Smimed(scratch, self.text(options, rules, directory), start=False)
        for address, san in ((ALICE, None), (BOSS, None), (SECOND, None), ("team@example.org", None), (IDN, None),
                             ("carol@example.org", None), ("chief@example.org", None),
                             ("alice@alias.example", f"email:alice@alias.example,email:{ALICE}")):
            ca.install_pair(self.smimed.keys, *ca.user(address, re.sub("[^a-z]", "-", address), san=san))
        # SmtpUTF8Mailbox (RFC 9598)
        ca.install_pair(self.smimed.keys, *ca.user(UMLAUT, "umlaut", san="@other", eku="emailProtection\n[other]\n"
                                                   f"otherName = 1.3.6.1.5.5.7.8.9;FORMAT:UTF8,UTF8:{UMLAUT}"))
        self.dark.install_pair(self.smimed.keys, *self.dark.user("dark@example.org", "dark"))
        self.sink = Sink(scratch)
        self.smimed.start()
        self.postfix = Postfix(scratch, self.sink.port, self.smimed.milter, logins=LOGINS,
                               # It would write a missing From itself, and take routes off addresses.
                               main="local_header_rewrite_clients =\n")
        self.seen = 0

    def text(self, options, rules, directory):
        return options + self.certificates + (self.directory if directory else "") + rules + self.trust

    def restart(self, options="", rules=SIGN, directory=True):
        self.smimed.stop()
        self.smimed.configure(self.text(options, rules, directory))
        self.smimed.start()

    def send(self, login, envelope, header, to="dave@elsewhere.example", options=""):
        """(code, reply, outcome, delivered or None)."""
        client = Smtp(self.postfix.port)
        try:
            if login:
                code, text = client.login(login, Postfix.password)
                assert code == 235, f"{login}: {text}"
            message = header if isinstance(header, bytes) else header.encode()
            code, text = client.send(envelope, [to], message + f"\r\nTo: {to}\r\nSubject: test\r\n\r\nHello.\r\n".encode(),
                                     options)
        finally:
            client.close()
        self.seen += 1
        outcome = self.smimed.wait_outcomes(self.seen)[-1]
        return code, text.strip(), outcome, self.sink.take()[0] if code == 250 else None


def fields(delivered, name):
    return email.message_from_bytes(delivered, policy=email.policy.SMTPUTF8).get_all(name, [])


def raw_field(delivered, name):
    head = delivered.partition(b"\r\n\r\n")[0]
    found = re.search(rb"(?im)^" + name.encode() + rb":([^\r\n]*(?:\r\n[ \t][^\r\n]*)*)", head)
    return found.group(1).strip().decode() if found else None


def signer(world, delivered, scratch):
    """The addresses in the certificate that signed."""
    path = scratch.path / "m"
    path.write_bytes(delivered)
    run("openssl", "cms", "-verify", "-in", path, "-CAfile", world.ca.root, "-certfile", world.ca.cert, "-purpose", "any",
        "-signer", scratch.path / "signer.pem", "-out", "/dev/null")
    text = run("openssl", "x509", "-in", scratch.path / "signer.pem", "-noout", "-ext", "subjectAltName").stdout.decode()
    return re.findall(r"email:([^,\s]+)", text)


def check(world, scratch, cases):
    """Each case: (name, login, envelope, header, code, reply or signer, words of the log line)."""
    failed = []
    for name, login, envelope, header, code, wanted, words in cases:
        options = " SMTPUTF8" if not (header.isascii() and envelope.isascii()) else ""
        got, reply, outcome, delivered = world.send(login, envelope, header, options=options)
        problems = []
        if got != code:
            problems.append(f"code {got}: {reply}")
        elif code == 250:
            who = signer(world, delivered[2], scratch)
            if wanted and wanted not in who:
                problems.append(f"signed by {who}")
        elif wanted and reply != f"{code} {'5.7.1' if code == 550 else '4.7.1'} {wanted}":
            problems.append(f"reply {reply}")
        expected = {"result": "ok" if code == 250 else "refused" if code == 550 else "deferred", **words}
        expected["login"] = login and (login if "@" in login else f"{login}@mx.test")
        for key, value in expected.items():
            if value is None and key in outcome:
                problems.append(f"{key}={outcome[key]}")
            elif value is not None and outcome.get(key) != value:
                problems.append(f"{key}={outcome.get(key)}, not {value}")
        if problems:
            failed.append(f"{name}: {'; '.join(problems)}")
    print(f"# {len(cases)} cases")
    assert not failed, "\n".join(failed)


def no(text):
    return f"{text}; send as {ALICE}"


SAID = {"identity": None, "reason": None}


def word(reason, **more):
    return {"identity": reason, "reason": reason, "code": "550-5.7.1", **more}


MISSING = "the message has no From address; set one and send again"
SEVERAL = "the message names more than one From address; name exactly one"
SYNTAX = "the From field is not one well-formed address; correct it"
SHOWS = "the name in From shows an address that is not the sender's; take it out"

CASES = [
    # his own address, in every spelling of it
    ("plain", "alice", ALICE, f"From: {ALICE}", 250, ALICE, SAID),
    ("display name", "alice", ALICE, f"From: Alice A. <{ALICE}>", 250, ALICE, SAID),
    ("case of the domain", "alice", ALICE, "From: alice@EXAMPLE.org", 250, ALICE, SAID),
    ("case of the local part", "alice", "Alice@example.org", "From: ALICE@example.org", 250, ALICE, SAID),
    ("comments around it", "alice", ALICE, f"From: (the real) {ALICE} (Alice)", 250, ALICE, SAID),
    ("encoded name", "alice", ALICE, f"From: =?utf-8?q?Al=C3=ACce?= <{ALICE}>", 250, ALICE, SAID),
    ("folded", "alice", ALICE, f"From: \"Alice\r\n of Org\"\r\n\t<{ALICE}>", 250, ALICE, SAID),
    ("quotes that are not needed", "alice", ALICE, 'From: "alice"@example.org', 250, ALICE, SAID),
    ("his own address as name", "alice", ALICE, f'From: "{ALICE}" <{ALICE}>', 250, ALICE, SAID),
    ("another of his as name", "alice", ALICE, f'From: "{SECOND}" <{ALICE}>', 250, ALICE, SAID),
    ("login by address", "carol@example.org", "carol@example.org", "From: carol@example.org", 250, "carol@example.org", SAID),
    ("null sender with a login", "alice", "", f"From: {ALICE}", 250, ALICE, {**SAID, "sender": "<>"}),
    ("Sender is he", "alice", ALICE, f"From: {ALICE}\r\nSender: {ALICE}", 250, ALICE, SAID),
    ("resent by him", "alice", ALICE, f"Resent-From: {ALICE}\r\nFrom: {ALICE}", 250, ALICE, SAID),
    ("resent before by others", "alice", ALICE,
     f"Resent-From: {ALICE}\r\nResent-From: {BOSS}\r\nFrom: {ALICE}", 250, ALICE, SAID),
    ("A-label", "ida", IDN, f"From: {IDN}", 250, IDN, SAID),
    ("U-label", "ida", "ida@bücher.example", "From: ida@bücher.example", 250, IDN, SAID),
    ("U-label in From, A-label outside", "ida", IDN, "From: ida@BÜCHER.example", 250, IDN, SAID),
    ("UTF-8 local part", "muller", UMLAUT, f"From: {UMLAUT}", 250, None, SAID),
    ("decomposed local part", "muller", UMLAUT, "From: mu\u0308ller@example.org", 250, None, SAID),
    # not his
    ("boss by login", "carol@example.org", BOSS, f"From: {BOSS}", 550,
     f"{BOSS} is not your address; send as carol@example.org", word("not-your-address", person="carol@example.org")),
    ("an address of nobody", "alice", "void@example.org", "From: void@example.org", 550,
     no("void@example.org is not your address"), word("not-your-address", person=ALICE)),
    ("outside address", "alice", "x@evil.test", "From: x@evil.test", 550, no("x@evil.test is not your address"),
     word("not-your-address")),
    ("another's with own envelope", "carol@example.org", "carol@example.org", f"From: {BOSS}", 550,
     f"{BOSS} is not your address; send as carol@example.org", word("not-your-address")),
    ("another's with the null sender", "carol@example.org", "", f"From: {BOSS}", 550, None, word("not-your-address")),
    ("another's envelope", "alice", "carol@example.org", f"From: {ALICE}", 550,
     no("carol@example.org (the envelope sender) is not your address"), word("envelope-not-yours", **{"from": ALICE})),
    ("another's Sender", "alice", ALICE, f"From: {ALICE}\r\nSender: carol@example.org", 550,
     no("carol@example.org (the Sender field) is not your address"), word("sender-not-yours")),
    ("another's Resent-From", "alice", ALICE, f"Resent-From: carol@example.org\r\nFrom: {ALICE}", 550,
     no("carol@example.org (who sent it on) is not your address"), word("resent-not-yours")),
    ("what another wrote, resent", "alice", ALICE, f"Resent-From: {ALICE}\r\nFrom: carol@example.org", 550,
     no("carol@example.org is not your address"), word("not-your-address")),
    ("name shows another", "alice", ALICE, f'From: "{BOSS}" <{ALICE}>', 550, SHOWS, word("from-shows-another")),
    ("encoded name shows another", "alice", ALICE, f"From: =?utf-8?q?boss=40example=2Eorg?= <{ALICE}>", 550, SHOWS,
     word("from-shows-another")),
    ("split encoded name shows another", "alice", ALICE,
     f"From: =?utf-8?b?Ym9zc0BleGFt?= =?utf-8?q?ple.org?= <{ALICE}>", 550, SHOWS, word("from-shows-another")),
    ("comment shows another", "alice", ALICE, f"From: {ALICE} ({BOSS})", 550, SHOWS, word("from-shows-another")),
    ("wide commercial at", "alice", ALICE, f'From: "boss＠example.org" <{ALICE}>', 550, SHOWS, word("from-shows-another")),
    ("name in UTF-7", "alice", ALICE, f"From: =?utf-7?q?boss+AEA-example.org?= <{ALICE}>", 550,
     "the name in From is written in a character set that cannot be checked; write it in UTF-8", word("from-shows-another")),
    ("unknown login", "ghost", ALICE, f"From: {ALICE}", 550,
     "your login is not known in the directory; ask your administrator", word("sender-unknown", person=None)),
    ("login without an address", "noprimary", ALICE, f"From: {ALICE}", 550,
     "the directory has no primary address for you; ask your administrator", word("no-primary-address")),
    # forms
    ("no From", "alice", ALICE, "X-From: none", 550, MISSING, word("from-missing")),
    ("empty From", "alice", ALICE, "From: ", 550, MISSING, word("from-missing")),
    ("two From fields", "alice", ALICE, f"From: {ALICE}\r\nFrom: {ALICE}", 550, SEVERAL, word("from-several")),
    ("two From fields, one another's", "alice", ALICE, f"From: {ALICE}\r\nX-A: b\r\nfrom: {BOSS}", 550, SEVERAL,
     word("from-several")),
    ("two mailboxes", "alice", ALICE, f"From: {ALICE}, {BOSS}", 550, SEVERAL, word("from-several")),
    ("group", "alice", ALICE, f"From: us: {ALICE};", 550, SYNTAX, word("from-syntax")),
    ("empty group", "alice", ALICE, "From: undisclosed:;", 550, None, {"result": "refused"}),
    ("encoded word as address", "alice", ALICE, "From: =?utf-8?q?alice=40example.org?=", 550, None, {"result": "refused"}),
    ("encoded word in the address", "alice", ALICE, "From: <=?utf-8?q?alice?=@example.org>", 550, None,
     {"result": "refused"}),
    ("comment inside the address", "alice", ALICE, "From: alice(x)@(y)example.org", 550, SYNTAX, word("from-syntax")),
    ("route", "alice", ALICE, "From: <@evil.test:alice@example.org>", 550, SYNTAX, word("from-syntax")),
    ("unquoted at in the name", "alice", ALICE, f"From: {BOSS} <{ALICE}>", 550, SYNTAX, word("from-syntax")),
    ("two Sender fields", "alice", ALICE, f"From: {ALICE}\r\nSender: {ALICE}\r\nSender: {ALICE}", 550,
     "the Sender field is not one well-formed address; correct it", word("sender-syntax")),
    # secondary addresses
    ("secondary", "alice", SECOND, f"From: {SECOND}", 550, no(f"{SECOND} is not your primary address"),
     word("secondary-address")),
    ("secondary in the envelope", "alice", SECOND, f"From: {ALICE}", 550, no(f"{SECOND} is not your primary address"),
     word("secondary-address")),
    ("secondary with the null sender", "alice", "", f"From: {SECOND}", 550, None, word("secondary-address")),
    # send-as
    ("send-as", "alice", BOSS, f"From: {BOSS}", 250, BOSS,
     {"identity": "send-as", "person": ALICE, "reason": None, "from": BOSS, "signer": None}),
    ("send-as, own envelope", "alice", ALICE, f"From: {BOSS}", 250, BOSS, {"identity": "send-as", "person": ALICE}),
    ("on behalf", "alice", ALICE, f"From: Boss <{BOSS}>\r\nSender: {ALICE}", 250, BOSS,
     {"identity": "send-as", "person": ALICE}),
    ("shared mailbox", "alice", "team@example.org", "From: team@example.org", 250, "team@example.org",
     {"identity": "send-as", "person": ALICE}),
    ("secondary address of the owner", "alice", ALICE, "From: chief@example.org", 550,
     "chief@example.org is not a primary address; send as the primary one", word("secondary-address")),
    ("send-as the other way round", "boss", ALICE, f"From: {ALICE}", 550,
     f"{ALICE} is not your address; send as {BOSS}", word("not-your-address")),
    # without a login
    ("host", None, ALICE, f"From: {ALICE}", 250, ALICE, {**SAID, "login": None}),
    ("host, two people", None, ALICE, "From: carol@example.org", 550, ANONYMOUS, word("from-not-sender")),
    ("host, nobody", None, "void@example.org", "From: void@example.org", 550, ANONYMOUS, word("sender-unknown")),
    ("host, secondary", None, SECOND, f"From: {SECOND}", 550, ANONYMOUS, word("secondary-address")),
    ("host, a group", None, "all@example.org", "From: all@example.org", 550, ANONYMOUS, word("sender-unknown")),
    ("host, a contact", None, "friend@partner.example", "From: friend@partner.example", 550, ANONYMOUS,
     word("sender-unknown")),
    ("host, null sender, a person", None, "", f"From: {ALICE}", 250, ALICE, SAID),
    ("host, null sender, secondary", None, "", f"From: {SECOND}", 550, ANONYMOUS, word("secondary-address")),
    # "must be signed" goes on from here: nobody's key, and a key that cannot be asked about
    ("host, null sender, nobody", None, "", "From: MAILER-DAEMON@mx.test", 550,
     "must be signed, and there is no valid signing certificate for MAILER-DAEMON@mx.test: there is no key for the "
     "address; ask your administrator for a certificate", {"identity": "nobody-vouches", "reason": "no-certificate"}),
    ("no certificate", "nokey", "nokey@example.org", "From: nokey@example.org", 550,
     "must be signed, and there is no valid signing certificate for nokey@example.org: there is no key for the address; "
     "ask your administrator for a certificate", {"identity": None, "reason": "no-certificate", "code": "550-5.7.1"}),
    ("certificate that cannot be asked about", "dark", "dark@example.org", "From: dark@example.org", 451, None,
     {"identity": None, "result": "deferred", "code": "451-4.7.1"}),
]


def test_a_table_of_senders_with_reply_and_log_line():
    assert len(CASES) >= 60
    with Scratch("identity") as scratch:
        world = World(scratch)
        check(world, scratch, CASES)
        # What a dry run says of them: the same words, and everything that can leaves as it came.
        world.restart("sender_identity = log\n", SIGN.replace("always\n", "always\n    no_signing_certificate = unsigned\n"))
        world.seen = len(world.smimed.outcomes())
        for name, login, envelope, header, code, wanted, words in CASES:
            if not (header.isascii() and envelope.isascii()) or "dark" in envelope:
                continue
            got, reply, outcome, delivered = world.send(login, envelope, header)
            assert got == 250, f"{name}: {reply}"
            assert outcome.get("identity") == words.get("identity", outcome.get("identity")), f"{name}: {outcome}"
            refused = code == 550 and words.get("identity") not in (None, "nobody-vouches")
            assert ("dry_run" in outcome) == refused or words == {"result": "refused"}, f"{name}: {outcome}"
            if refused:
                assert f'dry_run="{code} 5.7.1 ' in world.smimed.text().splitlines()[-1], world.smimed.text()[-600:]
            if header.startswith("From") and "\r\n" not in header:
                assert raw_field(delivered[2], "From") == header[5:].strip(), name


def test_a_secondary_address_becomes_the_primary_one():
    with Scratch("identity") as scratch:
        world = World(scratch, "secondary_address = rewrite\n")
        cases = [
            # (login, envelope, From, From as delivered, envelope as delivered)
            ("alice", SECOND, SECOND, ALICE, ALICE),
            ("alice", ALICE, f"Alice <{SECOND}>", f"Alice <{ALICE}>", ALICE),
            ("alice", SECOND, f"Alice <{ALICE}>", f"Alice <{ALICE}>", ALICE),
            ("alice", "", f"(a) \"Alice, A.\" <{SECOND}> (b)", f"(a) \"Alice, A.\" <{ALICE}> (b)", ""),
            ("alice", SECOND, f"=?utf-8?q?Al=C3=ACce?=\r\n <{SECOND}>", f"=?utf-8?q?Al=C3=ACce?=\r\n <{ALICE}>", ALICE),
            ("alice", SECOND, '"Second"\t< "second"@EXAMPLE.org >', f'"Second"\t< {ALICE} >', ALICE),
            ("alice", "alice@alias.example", f"{SECOND} (home)", f"{ALICE} (home)", ALICE),
            (None, SECOND, SECOND, ALICE, ALICE),
        ]
        for login, envelope, header, field, sender in cases:
            code, reply, outcome, delivered = world.send(login, envelope, f"From: {header}")
            assert code == 250, f"{header}: {reply}"
            assert raw_field(delivered[2], "From") == field, raw_field(delivered[2], "From")
            assert delivered[2].count(b"\nFrom:") + delivered[2].startswith(b"From:") == 1
            assert f"FROM:<{sender}>" in delivered[0], delivered[0]
            assert ALICE in signer(world, delivered[2], scratch)
            assert outcome["identity"] == "secondary-rewritten" and outcome["from"] == ALICE, outcome
            assert outcome["rewritten"] in (SECOND, "alice@alias.example"), outcome
        # Sender and Resent-From too; what is not his is refused as before.
        code, reply, _, delivered = world.send("alice", ALICE, f"Resent-From: {SECOND}\r\nFrom: {ALICE}\r\nSender: A <{SECOND}>")
        assert code == 250, reply
        assert raw_field(delivered[2], "Sender") == f"A <{ALICE}>" and raw_field(delivered[2], "Resent-From") == ALICE
        for envelope, header in ((SECOND, f"From: {SECOND}\r\nSender: {BOSS}x"), (SECOND, "From: carol@example.org"),
                                 ("carol@example.org", f"From: {SECOND}"), (ALICE, "From: chief@example.org")):
            code, reply, _, _ = world.send("alice", envelope, header)
            assert code == 550, f"{header}: {reply}"
        # An address beyond ASCII enters only a message that is internationalised already.
        code, reply, outcome, _ = world.send("muller", "mueller@example.org", "From: mueller@example.org")
        assert code == 550 and outcome["reason"] == "secondary-address", reply


def test_a_rule_for_the_primary_address_holds_for_the_secondary_one():
    """Who writes from another of his addresses does not come out of the rule for him."""
    rules = (f'rule "alice" {{\n    direction = out\n    sender = {ALICE}\n    sign = never\n    encrypt = always\n}}\n'
             'rule "rest" {\n    direction = out\n    smime = no\n}\n')
    with Scratch("identity") as scratch:
        world = World(scratch, "secondary_address = rewrite\n", rules)
        code, reply, outcome, delivered = world.send("alice", SECOND, f"From: {SECOND}", to="bob@partner.example")
        assert code == 250 and outcome["rule"] == "alice", (reply, outcome)
        assert b"Hello." in openssl_decrypt(delivered[2], *world.bob) and b"Hello." not in delivered[2]
        code, reply, outcome, _ = world.send("alice", SECOND, f"From: {SECOND}", to="dave@elsewhere.example")
        assert code == 550 and outcome["rule"] == "alice", (reply, outcome)
        code, reply, outcome, delivered = world.send("carol@example.org", "carol@example.org", "From: carol@example.org",
                                                     to="bob@partner.example")
        assert code == 250 and outcome["rule"] == "rest" and b"Hello." in delivered[2], (reply, outcome)


def test_a_secondary_address_that_is_allowed_needs_both_in_the_certificate():
    with Scratch("identity") as scratch:
        world = World(scratch, "secondary_address = allow\n")
        check(world, scratch, [
            ("both", "alice", "alice@alias.example", "From: alice@alias.example", 250, "alice@alias.example",
             {"identity": "secondary-allowed"}),
            ("primary envelope", "alice", ALICE, "From: alice@alias.example", 250, ALICE, {"identity": "secondary-allowed"}),
            ("one of them", "alice", SECOND, f"From: {SECOND}", 550, None,
             {"identity": "secondary-allowed", "reason": "cert-wrong-address"}),
            ("not his", "alice", SECOND, "From: carol@example.org", 550, no("carol@example.org is not your address"),
             word("not-your-address")),
            ("primary", "alice", SECOND, f"From: {ALICE}", 250, ALICE, {"identity": "secondary-allowed"}),
        ])


def test_who_may_send_as_another_need_not_sign_as_him():
    with Scratch("identity") as scratch:
        world = World(scratch, "send_as_signs = no\n")
        check(world, scratch, [
            ("refused", "alice", ALICE, f"From: {BOSS}", 550,
             f"must be signed, and there is no valid signing certificate for {BOSS}: who sends as another does not sign as "
             "him; ask your administrator for a certificate", {"identity": "send-as", "reason": "send-as", "person": ALICE}),
            ("own", "boss", BOSS, f"From: {BOSS}", 250, BOSS, SAID),
        ])
        world.restart("send_as_signs = no\n", SIGN.replace("always\n", "always\n    no_signing_certificate = unsigned\n"))
        world.seen = len(world.smimed.outcomes())
        code, reply, outcome, delivered = world.send("alice", ALICE, f"From: {BOSS}")
        assert code == 250 and b"multipart/signed" not in delivered[2] and outcome["person"] == ALICE, (reply, outcome)


def test_hosts_the_null_sender_and_automatic_mail_as_configured():
    auto = "\r\nAuto-Submitted: auto-replied"
    report = '\r\nMIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=b'
    plain = 'rule "plain" {\n    direction = out\n    sign = never\n    encrypt = if-possible\n}\n'
    tables = {
        "": [("null sender of nobody", None, "", "From: daemon@mx.test", 250),
             ("automatic with another envelope", None, "bounce+1@example.org", f"From: {ALICE}{auto}", 550),
             ("automatic with a login", "alice", ALICE, f"From: {BOSS}x{auto}", 550)],
        "identity_trusted_hosts = refuse\n": [
            ("host", None, ALICE, f"From: {ALICE}", 550), ("host, null sender", None, "", "From: daemon@mx.test", 250),
            ("login", "alice", ALICE, f"From: {ALICE}", 250)],
        "identity_trusted_hosts = allow\n": [
            ("nobody", None, "void@example.org", "From: other@example.org", 250),
            ("two people", None, "carol@example.org", f"From: {ALICE}", 250),
            ("secondary", None, SECOND, f"From: {SECOND}", 550), ("login", "alice", BOSS, "From: carol@example.org", 550),
            ("form", None, ALICE, f"From: {ALICE}, {BOSS}", 550)],
        "identity_null_sender = known\n": [
            ("nobody", None, "", "From: daemon@mx.test", 550), ("somebody", None, "", f"From: {ALICE}", 250)],
        "identity_null_sender = refuse\n": [
            ("nobody", None, "", "From: daemon@mx.test", 550), ("somebody", None, "", f"From: {ALICE}", 550),
            ("login", "alice", "", f"From: {ALICE}", 250)],
        "identity_automatic = allow\n": [
            ("reply", None, "bounce+1@example.org", f"From: {ALICE}{auto}", 250),
            ("report", None, "bounce+1@example.org", f"From: daemon@mx.test{report}", 250),
            ("no", None, "bounce+1@example.org", f"From: {ALICE}\r\nAuto-Submitted: no", 550),
            ("secondary", None, "bounce+1@example.org", f"From: {SECOND}{auto}", 550),
            ("login", "alice", "bounce+1@example.org", f"From: {ALICE}{auto}", 550)],
        "identity_display_name = allow\n": [("name", "alice", ALICE, f'From: "{BOSS}" <{ALICE}>', 250)],
    }
    with Scratch("identity") as scratch:
        world = World(scratch, "", plain)
        for options, cases in tables.items():
            world.restart(options, plain)
            world.seen = len(world.smimed.outcomes())
            for name, login, envelope, header, wanted in cases:
                code, reply, outcome, _ = world.send(login, envelope, header)
                assert code == wanted, f"{options.strip() or 'defaults'}: {name}: {reply} {outcome}"


def test_what_nobody_vouches_for_does_not_choose_another_rule():
    """A trusted host, no login, the null sender, and a From that the directory does not know: the rule that encrypts holds."""
    rules = ('rule "daemon" {\n    direction = out\n    sender = mailer-daemon@*\n    smime = no\n}\n'
             'rule "ours" {\n    direction = out\n    sender = *@example.org\n    recipient = *@partner.example\n'
             '    sign = never\n    encrypt = always\n}\n'
             'rule "rest" {\n    direction = out\n    smime = no\n}\n')
    bob = "bob@partner.example"
    with Scratch("identity") as scratch:
        world = World(scratch, "", rules)
        for address in ("x@evil.test", "mailer-daemon@mx.test", ALICE):
            code, reply, outcome, delivered = world.send(None, "", f"From: {address}", to=bob)
            assert code == 250 and outcome["rule"] == "ours", f"{address}: {reply} {outcome}"
            assert b"Hello." not in delivered[2] and b"Hello." in openssl_decrypt(delivered[2], *world.bob)
        code, reply, outcome, _ = world.send(None, "", "From: x@evil.test", to="nobody@partner.example")
        assert code == 550 and outcome["rule"] == "ours", reply
        code, reply, outcome, delivered = world.send(None, "", "From: mailer-daemon@mx.test")
        assert code == 250 and outcome["rule"] == "daemon" and b"Hello." in delivered[2], reply
        # An administrator may exempt the null sender itself.
        world.restart("", rules.replace("mailer-daemon@*", "<>"))
        world.seen = len(world.smimed.outcomes())
        code, reply, outcome, delivered = world.send(None, "", "From: x@evil.test", to=bob)
        assert code == 250 and outcome["rule"] == "daemon" and b"Hello." in delivered[2], reply
        code, reply, outcome, delivered = world.send("alice", "", f"From: {ALICE}", to=bob)
        assert code == 250 and outcome["rule"] == "ours" and b"Hello." not in delivered[2], reply


def test_without_a_directory_one_address_stands_in_all_places():
    with Scratch("identity") as scratch:
        world = World(scratch, directory=False)
        check(world, scratch, [
            ("same", "alice", BOSS, f"From: {BOSS}", 250, BOSS, SAID),
            ("null sender", "alice", "", f"From: {BOSS}", 250, BOSS, SAID),
            ("differ", "alice", ALICE, f"From: {BOSS}", 550,
             f"From {BOSS} and the envelope sender {ALICE} differ; send from one address", word("from-not-sender")),
            ("Sender", "alice", BOSS, f"From: {BOSS}\r\nSender: {ALICE}", 550,
             f"{ALICE} is named as who sent the message, and is not the address of From; leave that field out",
             word("sender-not-yours")),
            ("name", "alice", ALICE, f'From: "{BOSS}" <{ALICE}>', 550, SHOWS, word("from-shows-another")),
        ])


def test_explain_says_the_same():
    with Scratch("identity") as scratch:
        world = World(scratch, "secondary_address = rewrite\n")

        def explain(login, envelope):
            done = smimectl("explain", "--config", world.smimed.file, "--from", envelope, "--rcpt", "dave@elsewhere.example",
                            "--login", login)
            return done.returncode, done.stdout.decode()
        code, text = explain("alice", SECOND)
        assert code == 0 and f"{SECOND} becomes {ALICE}" in text and f"edit: change-sender: {ALICE}" in text, text
        assert "edit: change-header From" in text, text
        code, text = explain("alice", "carol@example.org")
        assert code == 1 and "identity: not-your-address" in text, text
        code, text = explain("alice", BOSS)
        assert code == 0 and "identity: send-as" in text and "primary address " + ALICE in text, text


if __name__ == "__main__":
    main(globals())
