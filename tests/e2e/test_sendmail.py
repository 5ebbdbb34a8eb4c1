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


if __name__ == "__main__":
    main(globals())
