#!/usr/bin/env python3
"""Groups that are replaced by their members, together with copies that differ: each member has the copy of his own rule, and has it
once. What was delivered is read by `openssl cms`."""

from harness import Scratch, Smtp, main, run
from test_copies import LISTENER, PLAIN, SIGN, Setting, cms, is_signed, mail, recipient_infos, rule

# Nadia has no certificate; Dave and Pia are contacts; "inner" is a group in the group, and knows it.
MORE = "".join(f"\ndn: cn={name},dc=x\nobjectClass: inetOrgPerson\ncn: {name}\nmail: {name}@{domain}\n" for name, domain in (
    ("nadia", "partner.example"), ("dave", "elsewhere.example"), ("pia", "plain.example"))) + """
dn: cn=all,dc=x
objectClass: groupOfNames
cn: all
mail: all@example.org
member: cn=bob,dc=x
member: cn=nadia,dc=x
member: cn=pia,dc=x
member: cn=inner,dc=x

dn: cn=inner,dc=x
objectClass: groupOfNames
cn: inner
member: cn=carol,dc=x
member: cn=dave,dc=x
member: cn=bob,dc=x
member: cn=all,dc=x
"""

GCM = rule("gcm", "carol@partner.example", "sign = always", "encrypt = always", "cipher = aes256-gcm", "algorithms = rule")
RETURN = rule("return", "nadia@partner.example", "sign = always", "encrypt = always", "no_certificate = return")
SEAL = rule("seal", "*@partner.example", "sign = always", "encrypt = always", "groups = replace")
OPEN = rule("all", "all@example.org", "sign = never", "encrypt = never", "groups = replace")
ALL = ("bob@partner.example", "carol@partner.example", "dave@elsewhere.example", "pia@plain.example")


def check_all(it, got, groups="all@example.org:5:replaced"):
    """Five messages: one for each member who can have it, and the letter about Nadia."""
    assert set(got) == {*ALL, "alice@example.org"}, set(got)
    bob, carol = got["bob@partner.example"], got["carol@partner.example"]
    assert recipient_infos(bob) == it.serials("alice", "bob") and "aes-256-cbc" in cms(bob)
    assert recipient_infos(carol) == it.serials("alice", "carol") and "authEnvelopedData" in cms(carol)
    for name, octets in (("bob", bob), ("carol", carol)):
        assert b"Hello." not in octets and b"Hello." in it.check_signed(it.open(name, octets)), name
    assert is_signed(got["dave@elsewhere.example"])
    assert b"Hello." in it.check_signed(got["dave@elsewhere.example"])
    assert got["pia@plain.example"].endswith(b"\r\n\r\nHello.\r\n"), got["pia@plain.example"]
    letter = got["alice@example.org"]
    assert b"nadia@partner.example" in letter and b"no certificate" in letter, letter
    line = [x for x in it.smimed.outcomes() if x["dir"] == "out"][-1]
    assert (line["action"], line["copies"], line["returned"]) == ("copies", "4", "1"), line
    assert line["groups"] == groups, line


def test_each_member_has_the_copy_of_his_own_rule():
    with Scratch("copies") as scratch:
        it = Setting(scratch, GCM + RETURN + SEAL + PLAIN + OPEN + SIGN, more=MORE)
        check_all(it, it.deliver(mail(("all@example.org",)), "all@example.org", count=5))
        # Whoever is named himself, or in a second group, has it once all the same.
        to = ("all@example.org", "bob@partner.example", "team@partner.example")
        got = it.deliver(mail(to), *to, "pia@plain.example", count=5)
        check_all(it, got, "all@example.org:5:replaced,team@partner.example:2:replaced")


def test_the_same_message_again_sends_nobody_a_second_copy():
    """A copy is refused for now in the middle: what left before is not sent again, what did not is."""
    with Scratch("copies") as scratch:
        table = scratch.path / "later"
        table.write_text("dave@elsewhere.example 450 4.2.1 later\n")
        table.chmod(0o644)
        it = Setting(scratch, GCM + RETURN + SEAL + PLAIN + OPEN + SIGN, more=MORE,
                     listener=dict(LISTENER, smtpd_recipient_restrictions=f"check_recipient_access texthash:{table},"
                                   "permit_mynetworks,reject"))
        message = mail(("all@example.org",))
        code, text = it.send(message, "all@example.org")
        assert code == 451 and "resubmit-refused" in it.smimed.text(), text
        line = [x for x in it.smimed.outcomes() if x["dir"] == "out"][-1]
        assert (line["result"], line["resubmitted"]) == ("deferred", "2"), line
        table.write_text("nobody@plain.example 450 4.2.1 later\n")
        run("postfix", "-c", it.postfix.config, "reload")
        # What left at the first attempt is in the sink already.
        check_all(it, it.deliver(message, "all@example.org", count=5))


def test_a_group_that_must_be_encrypted_is_so_for_all_members_or_for_none():
    with Scratch("copies") as scratch:
        it = Setting(scratch, rule("all", "all@example.org", "sign = always", "encrypt = always", "groups = replace")
                     + rule("team", "team@partner.example", "sign = never", "encrypt = always", "groups = replace")
                     + rule("open", "*@partner.example", "smime = no") + SIGN, more=MORE)
        code, text = it.send(mail(("all@example.org",)), "all@example.org")
        assert code == 550 and all(f"{x}@" in text for x in ("dave", "pia", "nadia")) and "bob@" not in text, text
        assert not it.sink.messages
        # The rules of bob and carol would let it leave in plain; dan's does.
        got = it.deliver(mail(("team@partner.example", "dan@partner.example")), "team@partner.example", "dan@partner.example",
                         count=2)
        assert recipient_infos(got["bob@partner.example"]) == it.serials("alice", "bob", "carol")
        assert got["bob@partner.example"] == got["carol@partner.example"]
        assert got["dan@partner.example"].endswith(b"\r\n\r\nHello.\r\n")


def test_a_member_who_must_be_encrypted_has_his_own_copy():
    must = 'user "bob@partner.example" {\n    must_encrypt = yes\n}\n'
    with Scratch("copies") as scratch:
        it = Setting(scratch, rule("team", "team@partner.example", "sign = never", "encrypt = never", "groups = replace")
                     + rule("open", "*", "smime = no") + must, more=MORE)
        got = it.deliver(mail(("team@partner.example",)), "team@partner.example", count=2)
        assert recipient_infos(got["bob@partner.example"]) == it.serials("alice", "bob")
        assert got["carol@partner.example"].endswith(b"\r\n\r\nHello.\r\n")


def test_what_the_envelope_said_of_the_group_holds_for_its_members():
    with Scratch("copies") as scratch:
        it = Setting(scratch, GCM + RETURN + SEAL + PLAIN + OPEN + SIGN, more=MORE, proxied=True)
        client = Smtp(it.postfix.port)
        assert client.command("MAIL FROM:<alice@example.org>")[0] == 250
        assert client.command("RCPT TO:<all@example.org> NOTIFY=NEVER")[0] == 250
        assert client.command("DATA")[0] == 354
        assert client.command(mail(("all@example.org",)) + b".")[0] == 250
        client.close()
        said = b"".join(it.proxy.recorded)
        commands = [x for x in said.split(b"\r\n") if x.startswith(b"RCPT TO:<") and b"alice" not in x]
        assert len(commands) == 3 and all(x.endswith(b" NOTIFY=NEVER") for x in commands), commands


if __name__ == "__main__":
    main(globals())
