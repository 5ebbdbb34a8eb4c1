#!/usr/bin/env python3
"""Outbound through Postfix: rules, formats, who can read what, and every kind of refusal with its reply."""

import base64
import email
import email.policy
import re

from harness import (Authority, Postfix, Scratch, Sink, Smimed, datetime, main, now, openssl_decrypt, openssl_verify, run, submit,
                     trust_config, wait_until)


def mail(sender="alice@example.org", to=("dave@elsewhere.example",), text=b"Hello.\r\n", fields=()):
    return (b"From: " + sender.encode() + b"\r\nTo: " + ", ".join(to).encode() + b"\r\nSubject: test\r\n"
            + b"".join(f + b"\r\n" for f in fields) + b"\r\n" + text)


class Setting:
    """Alice and Carol have keys; Bob and Erin are partners with certificates in folder and LDIF; the rest have trouble."""

    def __init__(self, scratch, rules, extra=""):
        self.ca = ca = Authority(scratch)
        self.sink = Sink(scratch)
        certificates = scratch.folder("certificates")
        self.alice = ca.user("alice@example.org", "alice")
        self.bob = ca.user("bob@partner.example", "bob")
        self.erin = ca.user("erin@partner.example", "erin", kind="ec:P-256", usage="keyAgreement")
        (certificates / "bob.pem").write_bytes(self.bob[1].read_bytes())
        yesterday = (now() - datetime.timedelta(days=30), now() - datetime.timedelta(days=1))
        tomorrow = (now() + datetime.timedelta(days=1), now() + datetime.timedelta(days=30))
        self.trouble = {
            "expired": ca.user("expired@partner.example", "expired", valid=yesterday),
            "future": ca.user("future@partner.example", "future", valid=tomorrow),
            "usage": ca.user("usage@partner.example", "usage", usage="digitalSignature"),
            "revoked": ca.user("revoked@partner.example", "revoked"),
        }
        ca.revoke(self.trouble["revoked"][1])
        for name, (_, cert) in self.trouble.items():
            (certificates / f"{name}.pem").write_bytes(cert.read_bytes())
        der = run("openssl", "x509", "-in", self.erin[1], "-outform", "DER").stdout
        ldif = scratch.path / "people.ldif"
        ldif.write_text("dn: cn=Erin,dc=x\nobjectClass: inetOrgPerson\ncn: Erin\nmail: erin@partner.example\n"
                        f"userCertificate;binary:: {base64.b64encode(der).decode()}\n\n"
                        "dn: uid=alice,dc=x\nobjectClass: inetOrgPerson\nuid: alice\ncn: Alice\nmail: alice@example.org\n"
                        "proxyAddresses: SMTP:alice@example.org\nproxyAddresses: smtp:second@example.org\n\n"
                        "dn: uid=expired,dc=x\nobjectClass: inetOrgPerson\nuid: old\ncn: Old\nmail: old@example.org\n")
        self.smimed = Smimed(scratch, f'certificate_folders = "{certificates}"\n{extra}\n'
                             f'directory "people" {{\n    ldif = "{ldif}"\n}}\n' + rules + trust_config(ca), start=False)
        ca.install_pair(self.smimed.keys, *self.alice)
        ca.install_pair(self.smimed.keys, *ca.user("old@example.org", "old", valid=yesterday))
        self.smimed.start()
        self.postfix = Postfix(scratch, self.sink.port, self.smimed.milter)

    def send(self, message, *recipients, sender="alice@example.org"):
        return submit(self.postfix.port, sender, recipients or ["dave@elsewhere.example"], message)

    def deliver(self, message, *recipients, **options):
        code, text = self.send(message, *recipients, **options)
        assert code == 250, text
        return self.sink.take()[0][2]


SIGN = 'rule "sign" {\n    direction = out\n    sign = always\n}\n'
OPAQUE = 'rule "opaque" {\n    direction = out\n    sign = always\n    sign_format = opaque\n}\n'
SEAL = 'rule "seal" {\n    direction = out\n    recipient = *@partner.example\n    sign = always\n    encrypt = always\n}\n'
NEVER = 'rule "off" {\n    direction = out\n    recipient = off@partner.example\n    smime = no\n}\n'


def test_the_header_of_a_signed_message():
    with Scratch("out") as scratch:
        it = Setting(scratch, SIGN)
        delivered = it.deliver(mail(text=b"Gr\xfc\xdfe\r\nFrom here\r\n.\r\ntrailing  \r\n", fields=[
            b"MIME-Version: 1.0", b"mime-version: 1.0 (twice)", b"Content-Type: text/plain; charset=iso-8859-1",
            b"Content-Transfer-Encoding: 8bit", b"Content-Language: de"]))
        message = email.message_from_bytes(delivered, policy=email.policy.default)
        assert message.get_all("MIME-Version") == ["1.0"], message.items()
        assert len(message.get_all("Content-Type")) == 1 and "Content-Language" not in message, message.items()
        assert message.get_content_type() == "multipart/signed"
        assert message.get_param("protocol") == "application/pkcs7-signature"
        assert message.get_param("micalg") == "sha-256"
        head = delivered.partition(b"\r\n\r\n")[0]
        assert re.search(rb'protocol="application/pkcs7-signature"', head), head
        assert all(len(line) <= 78 for line in re.search(rb"(?ims)^content-type:.*?(?=^\S|\Z)", head).group(0).split(b"\r\n")), head
        content, signature = message.get_payload()
        assert content.get_content().replace("\r\n", "\n") == "Grüße\nFrom here\n.\ntrailing  \n", repr(content.get_content())
        assert content["Content-Language"] == "de"
        assert signature.get_content_type() == "application/pkcs7-signature"
        assert signature.get_filename() == "smime.p7s", signature.items()
        assert b"trailing" in openssl_verify(delivered, it.ca.root, it.ca.cert)


def test_signed_attributes_and_the_chain_without_the_root():
    with Scratch("out") as scratch:
        it = Setting(scratch, SIGN)
        delivered = it.deliver(mail())
        path = scratch.path / "m"
        path.write_bytes(delivered)
        text = run("openssl", "cms", "-cmsout", "-print", "-in", path).stdout.decode()
        for attribute in ("contentType", "messageDigest", "signingTime", "S/MIME Capabilities", "signingCertificateV2",
                          "id-smime-aa-encrypKeyPref"):
            assert attribute in text, f"{attribute} is missing"
        assert text.count("d.certificate:") == 2, "leaf and intermediate, not the root"


def test_opaque_signing():
    with Scratch("out") as scratch:
        it = Setting(scratch, OPAQUE)
        delivered = it.deliver(mail(text=b"8bit \xe4\r\n"))
        head = delivered.partition(b"\r\n\r\n")[0]
        assert b"smime-type=signed-data" in head and b"smime.p7m" in head, head
        assert b"8bit \xe4\r\n" in openssl_verify(delivered, it.ca.root, it.ca.cert)


def test_encrypted_for_all_recipients_and_the_sender():
    with Scratch("out") as scratch:
        it = Setting(scratch, SEAL)
        delivered = it.deliver(mail(to=("bob@partner.example", "erin@partner.example")), "bob@partner.example",
                               "erin@partner.example")
        for person in (it.bob, it.erin, it.alice):
            inner = openssl_decrypt(delivered, *person)
            assert b"Hello." in openssl_verify(inner, it.ca.root, it.ca.cert)
        path = scratch.path / "m"
        path.write_bytes(delivered)
        text = run("openssl", "cms", "-cmsout", "-print", "-in", path).stdout.decode()
        assert text.count("d.ktri:") == 2 and text.count("d.kari:") == 1, text[:3000]
        outcome = it.smimed.wait_outcomes(1)[0]
        assert (outcome["dir"], outcome["rule"], outcome["result"], outcome["nrcpt"]) == ("out", "seal", "ok", "2"), outcome


def test_recipients_that_cannot_be_encrypted_to_are_refused_and_told_apart():
    with Scratch("out") as scratch:
        it = Setting(scratch, SEAL)
        words = {"expired": "expired", "future": "not", "usage": "usage", "revoked": "revoked", "nobody": "certificate"}
        for name, word in words.items():
            address = f"{name}@partner.example"
            code, text = it.send(mail(to=(address,)), address)
            assert code == 550 and address in text and word in text.lower(), f"{name}: {text}"
            # One recipient of several makes the whole message unreachable: nobody gets it, nobody gets it plain.
            code, text = it.send(mail(to=("bob@partner.example", address)), "bob@partner.example", address)
            assert code == 550 and address in text, f"{name}: {text}"
        assert not it.sink.messages
        reasons = [o["reason"] for o in it.smimed.wait_outcomes(2 * len(words))]
        for word in ("cert-expired", "cert-not-yet-valid", "cert-wrong-usage", "revoked", "no-certificate"):
            assert word in reasons, (word, reasons)


def test_many_unreachable_recipients_the_first_ten_are_named_and_all_are_counted():
    with Scratch("out") as scratch:
        it = Setting(scratch, SEAL)
        people = [f"nobody{i}@partner.example" for i in range(60)]
        code, text = it.send(mail(to=people), *people)
        assert code == 550, text
        assert text.count("@partner.example") == 10 and "60" in text, text
        assert it.smimed.wait_outcomes(1)[0]["unreachable"] == "60"
        wait_until(lambda: "numbers=51-60 of=60" in it.smimed.text(), 5, "the last of them")
        named = re.findall(r"(nobody\d+@partner\.example):no-certificate", it.smimed.text())
        assert sorted(named) == sorted(people), named


def test_a_sender_without_a_valid_certificate():
    with Scratch("out") as scratch:
        it = Setting(scratch, SIGN, "sender_identity = off")
        code, text = it.send(mail("nokey@example.org"), sender="nokey@example.org")
        assert code == 550 and "nokey@example.org" in text, text
        code, text = it.send(mail("old@example.org"), sender="old@example.org")
        assert code == 550 and "old@example.org" in text and "expired" in text, text
        assert not it.sink.messages
    unsigned = SIGN.replace("sign = always", "sign = always\n    no_signing_certificate = unsigned")
    with Scratch("out") as scratch:
        it = Setting(scratch, unsigned, "sender_identity = off")
        delivered = it.deliver(mail("nokey@example.org"), sender="nokey@example.org")
        assert b"multipart/signed" not in delivered
    domain = SIGN.replace("sign = always", "sign = always\n    no_signing_certificate = domain\n    sign_as = alice@example.org")
    with Scratch("out") as scratch:
        it = Setting(scratch, domain, "sender_identity = off")
        delivered = it.deliver(mail("nokey@example.org"), sender="nokey@example.org")
        assert b"Hello." in openssl_verify(delivered, it.ca.root, it.ca.cert)


def test_a_crl_that_is_missing_or_old_defers():
    with Scratch("out") as scratch:
        it = Setting(scratch, SEAL)
        for path in it.ca.crls.glob("sub*"):
            path.unlink()
        it.smimed.stop()
        it.smimed.start()
        code, text = it.send(mail(to=("bob@partner.example",)), "bob@partner.example")
        assert code == 451 and "4.7.1" in text, text
        assert not it.sink.messages


def test_the_sender_must_be_who_the_directory_says():
    with Scratch("out") as scratch:
        it = Setting(scratch, SIGN)
        cases = [("alice@example.org", "alice@example.org", 250), ("Alice <ALICE@Example.ORG>", "alice@example.org", 250),
                 ("boss@example.org", "alice@example.org", 550), ("second@example.org", "second@example.org", 550),
                 ("alice@example.org, boss@example.org", "alice@example.org", 550),
                 ('"alice@example.org" <boss@example.org>', "alice@example.org", 550),
                 ("stranger@example.org", "stranger@example.org", 550)]
        for header, envelope, wanted in cases:
            code, text = it.send(mail(header), sender=envelope)
            assert code == wanted, f"{header} by {envelope}: {text}"
        code, text = it.send(b"From: alice@example.org\r\n" + mail("boss@example.org"))
        assert code == 550, text


def test_a_false_from_does_not_choose_another_rule():
    """Rules that go by the sender: a From of somebody else must not lead to the catch-all that exempts."""
    rules = ('rule "ours" {\n    direction = out\n    sender = *@example.org\n    sign = never\n    encrypt = always\n}\n'
             'rule "rest" {\n    direction = out\n    smime = no\n}\n')
    with Scratch("out") as scratch:
        it = Setting(scratch, rules)
        bob = "bob@partner.example"
        for header, envelope in (("x@evil.test", "alice@example.org"), ("g:alice@example.org;", ""),
                                 ("alice@example.org, x@evil.test", ""), ("x@evil.test", "y@evil.test")):
            code, text = it.send(mail(header, to=(bob,)), bob, sender=envelope)
            assert code == 550, f"{header} by <{envelope}>: {text}"
        assert b"Hello." in openssl_decrypt(it.deliver(mail(to=(bob,)), bob), *it.bob)
        assert not it.sink.messages


def test_one_exempt_recipient_does_not_turn_protection_off():
    with Scratch("out") as scratch:
        it = Setting(scratch, NEVER + SEAL + SIGN)
        people = ("bob@partner.example", "off@partner.example")
        code, text = it.send(mail(to=people), *people)
        assert code == 550, text
        assert b"Hello." in it.deliver(mail(to=("off@partner.example",)), "off@partner.example")
        # Signed for one, encrypted for the other, who both can: everybody gets the stronger one, or it is refused.
        people = ("bob@partner.example", "dave@elsewhere.example")
        code, text = it.send(mail(to=people), *people)
        assert code == 550 and "dave@elsewhere.example" in text, text
        assert not it.sink.messages


def test_a_bcc_recipient_is_not_shown_to_others():
    with Scratch("out") as scratch:
        it = Setting(scratch, SEAL)
        code, text = it.send(mail(to=("bob@partner.example",)), "bob@partner.example", "erin@partner.example")
        assert code == 550, text
        outcome = it.smimed.wait_outcomes(1)[0]
        assert outcome["reason"] == "copies-needed", outcome
        assert b"Hello." in openssl_verify(openssl_decrypt(it.deliver(mail(to=()), "erin@partner.example"), *it.erin),
                                           it.ca.root, it.ca.cert)


def test_escrow_reads_every_encrypted_message():
    with Scratch("out") as scratch:
        it = Setting(scratch, SEAL.replace("encrypt = always", "encrypt = always\n    encrypt_also = erin@partner.example"))
        delivered = it.deliver(mail(to=("bob@partner.example",)), "bob@partner.example")
        assert b"multipart/signed" in openssl_decrypt(delivered, *it.erin)
    with Scratch("out") as scratch:
        it = Setting(scratch, SEAL.replace("encrypt = always", "encrypt = always\n    encrypt_also = nobody@example.org"))
        code, text = it.send(mail(to=("bob@partner.example",)), "bob@partner.example")
        assert code in (550, 451), text
        assert not it.sink.messages


def test_gcm_and_oaep_by_rule():
    with Scratch("out") as scratch:
        it = Setting(scratch, SEAL.replace("encrypt = always",
                                           "encrypt = always\n    cipher = aes256-gcm\n    key_transport = oaep"))
        delivered = it.deliver(mail(to=("bob@partner.example",)), "bob@partner.example")
        assert b"authEnveloped-data" in delivered.partition(b"\r\n\r\n")[0]
        assert b"multipart/signed" in openssl_decrypt(delivered, *it.bob)


def test_if_possible_encrypts_only_where_everybody_can_read():
    possible = ('rule "possible" {\n    direction = out\n    sign = always\n    encrypt = if-possible\n}\n')
    with Scratch("out") as scratch:
        it = Setting(scratch, possible)
        assert b"enveloped-data" in it.deliver(mail(to=("bob@partner.example",)), "bob@partner.example")
        people = ("bob@partner.example", "nobody@partner.example")
        code, text = it.send(mail(to=people), *people)
        assert code == 250, text
        assert b"multipart/signed" in it.sink.take()[0][2]


def test_too_large_is_refused_with_the_bound():
    with Scratch("out") as scratch:
        it = Setting(scratch, SIGN, "max_message = 64KiB")
        code, text = it.send(mail(text=b"x" * 70 + b"\r\n" + (b"y" * 76 + b"\r\n") * 2000))
        assert code == 552 and "5.3.4" in text, text


if __name__ == "__main__":
    main(globals())
