#!/usr/bin/env python3
"""Sendmail beside Postfix: one signed message, one refused, and a dead filter that lets nothing through."""

from harness import Authority, Scratch, Sendmail, Sink, Smimed, free_port, main, openssl_verify, submit, trust_config

MESSAGE = b"From: alice@example.org\r\nTo: dave@elsewhere.example\r\nSubject: by Sendmail\r\n\r\nSigned by the filter.\r\n"


def test_sendmail_carries_a_signed_and_a_refused_message_and_nothing_when_the_filter_is_dead():
    with Scratch("sendmail") as scratch:
        ca = Authority(scratch)
        alice = ca.user("alice@example.org", "alice")
        sink = Sink(scratch)
        # Sendmail refuses a Unix socket below the world-writable /tmp: inet here.
        port = free_port()
        smimed = Smimed(scratch, f'socket = "inet:{port}@127.0.0.1"\nrule "sign" {{\n    direction = out\n    sign = always\n}}\n'
                        + trust_config(ca), start=False)
        ca.install_pair(smimed.keys, *alice)
        smimed.start()
        sendmail = Sendmail(scratch, sink.port, f"inet:{port}@127.0.0.1")
        code, text = submit(sendmail.port, "alice@example.org", ["dave@elsewhere.example"], MESSAGE)
        assert code == 250, text
        delivered = sink.take()[0][2]
        assert b"Signed by the filter." in openssl_verify(delivered, ca.root, ca.cert)
        assert delivered.lower().count(b"\r\nmime-version:") == 1, delivered
        code, text = submit(sendmail.port, "mallory@example.org", ["dave@elsewhere.example"],
                            MESSAGE.replace(b"alice@", b"mallory@"))
        assert code == 550 and "mallory@example.org" in text, text
        smimed.kill()
        code, text = submit(sendmail.port, "alice@example.org", ["dave@elsewhere.example"], MESSAGE)
        assert code == 451, text
        assert not sink.messages


def test_copies_that_differ_pass_its_listener():
    with Scratch("sendmail") as scratch:
        ca = Authority(scratch)
        alice, bob = ca.user("alice@example.org", "alice"), ca.user("bob@partner.example", "bob")
        certificates = scratch.folder("certificates")
        (certificates / "bob.pem").write_bytes(bob[1].read_bytes())
        sink = Sink(scratch)
        port, copies = free_port(), free_port()
        smimed = Smimed(scratch, f'socket = "inet:{port}@127.0.0.1"\nresubmit_server = "inet:{copies}@127.0.0.1"\n'
                        f'certificate_folders = "{certificates}"\n'
                        'rule "seal" {\n    direction = out\n    recipient = *@partner.example\n    sign = always\n'
                        '    encrypt = always\n}\n'
                        'rule "off" {\n    direction = out\n    smime = no\n}\n' + trust_config(ca), start=False)
        ca.install_pair(smimed.keys, *alice)
        smimed.start()
        sendmail = Sendmail(scratch, sink.port, f"inet:{port}@127.0.0.1", copies_port=copies)
        message = MESSAGE.replace(b"Subject", b"Message-ID: <1@example.org>\r\nBcc: hidden@elsewhere.example\r\nSubject")
        code, text = submit(sendmail.port, "alice@example.org", ["bob@partner.example", "dave@elsewhere.example"], message)
        assert code == 250, text + smimed.text()
        got = {people[0]: octets for _, people, octets in sink.take(2)}
        assert len(got) == 2 and all(b"x-smimed-mark" not in x.lower() and b"hidden@" not in x for x in got.values()), got
        for line, octets in got.items():
            assert (b"enveloped-data" in octets) == ("bob@" in line), got
            assert (b"Signed by the filter" in octets) == ("dave@" in line), got
        code, text = submit(copies, "alice@example.org", ["dave@elsewhere.example"], message)
        assert code == 550 and "5.7.1" in text, text


if __name__ == "__main__":
    main(globals())
