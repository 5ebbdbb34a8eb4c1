#!/usr/bin/env python3
"""A real Active Directory domain controller: recipients' certificates, primary SMTP addresses, of user and contact with one address
the user, LDAPS, StartTLS, StartTLS that is left out, simple bind, through Postfix."""

import base64
import json

from directories import ActiveDirectory, Organisation
from harness import (Authority, Postfix, Scratch, Sink, Smimed, main, openssl_decrypt, run, smimectl, submit, trust_config)

RULE = 'rule "all" {\n    sign = always\n    encrypt = always\n}\n'


class World:
    def __init__(self, scratch):
        self.ca = ca = Authority(scratch)
        self.sink = Sink(scratch)
        self.keys = {name: ca.user(f"{name}@corp.example", name) for name in ("alice", "bob", "carol", "ext")}
        company = Organisation()
        company.person("alice", "alice@corp.example", self.keys["alice"][1])
        company.person("bob", "bob@corp.example", self.keys["bob"][1])
        company.person("carol", "carol@corp.example")
        company.person("ext", "ext@corp.example", self.keys["ext"][1], kind="contact")
        company.person("nobody", "nobody@corp.example")
        self.ad = ActiveDirectory(scratch, company)
        self.modify(company)
        self.smimed = Smimed(scratch, self.config(), start=False)
        ca.install_pair(self.smimed.keys, *self.keys["alice"])
        self.smimed.start()
        self.postfix = Postfix(scratch, self.sink.port, self.smimed.milter)

    def modify(self, company):
        """Carol's certificate as Outlook publishes it; a contact that has Bob's address too."""
        p7 = self.ad.path / "carol.p7"
        run("openssl", "crl2pkcs7", "-nocrl", "-certfile", self.keys["carol"][1], "-outform", "DER", "-out", p7)
        ldif = self.ad.path / "more.ldif"
        ldif.write_text(f"dn: {self.ad.dn(company, 'carol')}\nchangetype: modify\nadd: userSMIMECertificate\n"
                        f"userSMIMECertificate:: {base64.b64encode(p7.read_bytes()).decode()}\n\n"
                        f"dn: CN=a bob,CN=Users,{company.base}\nchangetype: add\nobjectClass: contact\ncn: a bob\n"
                        "mail: bob@corp.example\nproxyAddresses: SMTP:bob@corp.example\n")
        run("ldbmodify", "-H", self.ad.path / "private/sam.ldb", ldif)

    def config(self, **more):
        text = self.ad.config(**more)
        return text + RULE + trust_config(self.ca)

    def send(self, to, sender="alice@corp.example"):
        text = f"From: {sender}\r\nTo: {to}\r\nSubject: test\r\n\r\nHello.\r\n".encode()
        return submit(self.postfix.port, sender, [to], text)

    def lookup(self, address):
        done = smimectl("lookup", "--json", "-c", self.smimed.file, address)
        return done.returncode, done.stdout.decode() + done.stderr.decode()


def check_recipients(world):
    for address, name in (("bob@corp.example", "bob"), ("carol@corp.example", "carol"), ("ext@corp.example", "ext"),
                          ("old-bob@corp.example", "bob")):
        code, text = world.send(address)
        assert code == 250, (address, text)
        octets = world.sink.take()[0][2]
        assert b"Hello." in openssl_decrypt(octets, *world.keys[name]), address
    code, text = world.send("nobody@corp.example")
    assert code == 550 and "nobody@corp.example" in text, text
    code, text = world.send("stranger@corp.example")
    assert code == 550, text


def check_sender(world):
    code, text = world.send("bob@corp.example", sender="old-alice@corp.example")
    assert code == 550, (code, text)


def check_tls(world):
    """StartTLS works, and a domain controller does not take a password without it; the wrong authority is none."""
    ldaps = world.smimed.file.read_text()
    plain = ldaps.replace(f"ldaps://{world.ad.address}", f"ldap://{world.ad.address}")
    assert plain != ldaps
    forms = [(plain, 0), (plain.replace("bind = simple", "bind = simple\n    starttls = no"), 3),
             (ldaps.replace(f"ldaps://{world.ad.address}", f"{world.ad.address}:636"), 0),
             (ldaps.replace(str(world.ad.certificate), str(world.keys["bob"][1])), 3)]
    for text, wanted in forms:
        world.smimed.file.write_text(text)
        code, shown = world.lookup("bob@corp.example")
        assert code == wanted, (wanted, code, shown, text)
    world.smimed.file.write_text(ldaps)


def check_doctor(world):
    done = smimectl("doctor", "--json", "-c", world.smimed.file)
    found = [one for one in json.loads(done.stdout)["checks"] if one["check"] == "directory.people"]
    assert [one["level"] for one in found] == ["OK"], found


def test_a_real_active_directory_answers_for_recipients_and_senders():
    with Scratch("ad") as scratch:
        world = World(scratch)
        check_recipients(world)
        check_sender(world)
        check_tls(world)
        check_doctor(world)
        assert json.loads(smimectl("stats", "--json", "-c", world.smimed.file).stdout)["directory.people.failures"] == 0


if __name__ == "__main__":
    main(globals())
