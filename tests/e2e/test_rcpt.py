#!/usr/bin/env python3
"""Recipients without a certificate, refused at RCPT: only where nothing that comes later could change it, each with his own
reply, while the others are served."""

from harness import Scratch, Smtp, main, wait_until
from test_outbound import SEAL, Setting, mail

AT_RCPT = SEAL.replace("encrypt = always", "encrypt = always\n    no_certificate_at_rcpt = yes")


def transaction(it, *recipients, sender="alice@example.org"):
    """The replies to RCPT, and that to the message if somebody is left."""
    client = Smtp(it.postfix.port)
    try:
        assert client.command(f"MAIL FROM:<{sender}>")[0] == 250
        replies = [client.command(f"RCPT TO:<{recipient}>") for recipient in recipients]
        if not any(code == 250 for code, _ in replies):
            return replies, None
        assert client.command("DATA")[0] == 354
        client.socket.sendall(mail(to=recipients) + b"\r\n.\r\n")
        return replies, client.read()
    finally:
        client.close()


def test_each_has_his_reply_and_the_others_are_served():
    with Scratch("rcpt") as scratch:
        it = Setting(scratch, AT_RCPT)
        people = ["bob@partner.example"] + [f"{name}@partner.example" for name in ("expired", "usage", "revoked", "nobody")]
        replies, end = transaction(it, *people, "dave@elsewhere.example")
        assert [code for code, _ in replies] == [250, 550, 550, 550, 550, 250], replies
        assert all("5.7.1" in text and person in text for (_, text), person in zip(replies[1:5], people[1:]))
        assert "expired" in replies[1][1] and "revoked" in replies[3][1], replies
        assert len({text.split("(")[1] for _, text in replies[1:5]}) == 4, replies
        # Two are left, and without a listener they would need different copies.
        assert end[0] == 550 and "resubmit_server" in end[1], end
        assert not it.sink.messages
        replies, end = transaction(it, "bob@partner.example", "nobody@partner.example")
        assert [code for code, _ in replies] == [250, 550] and end[0] == 250, (replies, end)
        assert b"enveloped-data" in it.sink.take()[0][2]
        for word in ("expired@partner.example:cert-expired", "revoked@partner.example:revoked",
                     "usage@partner.example:cert-wrong-usage", "nobody@partner.example:no-certificate"):
            wait_until(lambda: f"unreachable={word} at=rcpt code=550-5.7.1" in it.smimed.text(), 5, word)


def test_could_not_ask_is_451_there():
    with Scratch("rcpt") as scratch:
        it = Setting(scratch, AT_RCPT)
        for path in it.ca.crls.glob("sub*"):
            path.unlink()
        it.smimed.stop()
        it.smimed.start()
        replies, end = transaction(it, "bob@partner.example", "nobody@partner.example")
        assert [code for code, _ in replies] == [451, 550] and end is None, replies
        assert "4.7.1" in replies[0][1] and "try again later" in replies[0][1], replies


def test_what_can_still_change_is_decided_at_the_end():
    choices = (
        # The sender may choose: plain would lift it.
        AT_RCPT.replace("encrypt = always", "encrypt = default-on"),
        # From is not known: another rule may hold.
        'rule "boss" {\n    direction = out\n    sender = boss@example.org\n    smime = no\n}\n' + AT_RCPT,
        # The header is not known.
        'rule "plain" {\n    direction = out\n    header = "X-Plain: yes"\n    smime = no\n}\n' + AT_RCPT,
        # The sender would get a letter, the others the message.
        AT_RCPT.replace("no_certificate_at_rcpt", "no_certificate = return\n    no_certificate_at_rcpt"),
        # Not asked for.
        SEAL,
    )
    for rules in choices:
        with Scratch("rcpt") as scratch:
            it = Setting(scratch, rules)
            replies, end = transaction(it, "nobody@partner.example")
            assert replies[0][0] == 250, (rules, replies)
            assert end[0] == 550 and "nobody@partner.example" in end[1], (rules, end)


if __name__ == "__main__":
    main(globals())
