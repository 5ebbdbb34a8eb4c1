#!/usr/bin/env python3
"""291 messages of other people, many malformed: signed and encrypted by smimed, through the real Postfix, to a sink
without 8BITMIME and to one with it. openssl verifies and decrypts every one; Python's email package compares."""

import collections
import pathlib
import re

import mime_compare
from harness import (Authority, Postfix, Scratch, Sink, Smimed, Smtp, corpus, main, openssl_decrypt, openssl_verify,
                     trust_config, wait_until)

# Messages that smimed may refuse, each with a part of the reply that says why. At most five.
REFUSED = {
}

# What Postfix itself changes before any filter sees it. These are compared with what Postfix delivers without smimed, all others
# with the original as it was sent.
BY_POSTFIX = {
    "james/mimetools-testmsgs_2002_06_12_doublebound.msg": "Content-Length is removed",
    "james/mimetools-testmsgs_x-gzip64.msg": "Content-Length is removed",
    "ruby/emails_error_emails_content_transfer_encoding_plain.eml": "Content-Length is removed",
    "ruby/emails_error_emails_content_transfer_encoding_text-html.eml": "Content-Length is removed",
    "ruby/emails_error_emails_content_transfer_encoding_with_semi_colon.eml": "Content-Length is removed",
    "james/testmsgs_obsolete.msg": "blanks before the colon of a field name",
    "ruby/emails_rfc2822_example13.eml": "blanks before the colon of a field name",
    "stalwart/eml_legacy_049.eml": "a bare CR at the end",
    "stalwart/eml_malformed_019.eml": "an empty line before the header",
}

RULES = """
inbound_daemons = INBOUND
sender_identity = off
max_message = 64MiB
rule "domain" {
    direction = out
    recipient = *@sign.test
    sign = always
    no_signing_certificate = domain
    sign_as = gateway@example.org
}
rule "seal" {
    direction = out
    recipient = *@seal.test
    sign = never
    encrypt = always
}
rule "both" {
    direction = out
    recipient = *@both.test
    sign = always
    encrypt = always
    no_signing_certificate = domain
    sign_as = gateway@example.org
}
rule "pass" {
    smime = no
}
"""


def messages():
    folder = corpus("mime")
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            octets = path.read_bytes()
            # What a mail system is given on the wire: CRLF line ends.
            found[str(path.relative_to(folder))] = octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    assert len(found) == 291, len(found)
    return found


class Setting:
    """CA, smimed, Postfix and a sink; what smimed gave back, message by message."""

    def __init__(self, scratch, eightbit):
        self.ca = Authority(scratch)
        self.sink = Sink(scratch, eightbit=eightbit)
        self.gateway = self.ca.user("gateway@example.org", "gateway")
        self.reader = {name: self.ca.user(f"reader@{name}.test", name) for name in ("seal", "both")}
        certificates = scratch.folder("certificates")
        for _, cert in self.reader.values():
            (certificates / cert.name).write_bytes(cert.read_bytes())
        self.smimed = Smimed(scratch, f'certificate_folders = "{certificates}"\n' + RULES + trust_config(self.ca), start=False)
        self.ca.install_pair(self.smimed.keys, *self.gateway)
        self.smimed.start()
        # Postfix must hand the message over as it came: no field added, no address completed.
        self.postfix = Postfix(scratch, self.sink.port, self.smimed.milter,
                               main="local_header_rewrite_clients =\nalways_add_missing_headers = no\n"
                                    "disable_mime_output_conversion = no\nheader_size_limit = 10240000\n")

    def send(self, name, octets, recipient):
        """(reply code, reply text, delivered octets or None)"""
        eightbit = " BODY=8BITMIME" if any(byte > 127 for byte in octets) else ""
        utf8 = " SMTPUTF8" if any(byte > 127 for byte in octets.partition(b"\r\n\r\n")[0]) else ""
        client = Smtp(self.postfix.port)
        try:
            code, text = client.send("sender@example.org", [recipient], octets, mail_options=eightbit + utf8)
        finally:
            client.close()
        if code != 250:
            return code, text, None
        try:
            (_, _, delivered), = self.sink.take(1)
        except AssertionError as late:
            raise AssertionError(f"{name}: {late}\n{self.postfix.text()[-3000:]}") from late
        return code, text, delivered


def strip_received(octets):
    """Without the trace fields Postfix put on top."""
    lines = octets.split(b"\r\n")
    while lines and (lines[0].lower().startswith((b"received:", b"return-path:")) or lines[0][:1] in (b" ", b"\t")):
        lines.pop(0)
    return b"\r\n".join(lines)


def run_corpus(eightbit, recipient, reader, reading):
    """Sends every message to `recipient`; `reading` turns what was delivered into the inner entity."""
    everything = messages()
    problems, refused = [], {}
    outcomes = collections.Counter()
    with Scratch("mime") as scratch:
        setting = Setting(scratch, eightbit)
        for name, octets in everything.items():
            code, text, delivered = setting.send(name, octets, recipient)
            if code != 250:
                refused[name] = text.strip()
                continue
            if any(byte > 127 for byte in delivered.partition(b"\r\n\r\n")[2]):
                problems.append(f"{name}: 8-bit octets in the body of a protected message")
                continue
            try:
                inner = reading(setting, delivered)
            except AssertionError as error:
                problems.append(f"{name}: {str(error)[:300]}")
                continue
            if name in BY_POSTFIX:
                _, _, original = setting.send(name, octets, "as-it-is@pass.test")
                original = strip_received(original)
                assert mime_compare.compare(octets, original), f"{name}: Postfix changes nothing: take it out of BY_POSTFIX"
            else:
                original = octets
            differences = mime_compare.compare(original, inner)
            outcomes["equal" if not differences else "different"] += 1
            problems += [f"{name}: {difference}" for difference in differences[:3]]
    for name, text in refused.items():
        if name not in REFUSED or REFUSED[name] not in text:
            problems.append(f"{name}: refused: {text}")
    assert len(refused) <= 5, refused
    print(f"# {recipient}, {'8BITMIME' if eightbit else 'no 8BITMIME'}: {dict(outcomes)}, {len(refused)} refused")
    assert not problems, f"{len(problems)} problems:\n" + "\n".join(problems[:60])


def read_signed(setting, delivered):
    return openssl_verify(delivered, setting.ca.root, setting.ca.cert)


def read_sealed(setting, delivered):
    return openssl_decrypt(delivered, *setting.reader["seal"])


def read_both(setting, delivered):
    return openssl_verify(openssl_decrypt(delivered, *setting.reader["both"]), setting.ca.root, setting.ca.cert)


def test_every_message_is_signed_for_a_peer_without_8bitmime():
    run_corpus(False, "anyone@sign.test", None, read_signed)


def test_every_message_is_signed_for_a_peer_with_8bitmime():
    run_corpus(True, "anyone@sign.test", None, read_signed)


def test_every_message_is_encrypted():
    run_corpus(True, "reader@seal.test", "seal", read_sealed)


def test_every_message_is_signed_and_encrypted():
    run_corpus(False, "reader@both.test", "both", read_both)


def test_pass_through_is_byte_identical():
    """Outbound pass-through: what leaves Postfix with smimed is what leaves it without a milter."""
    everything = messages()
    problems = []
    with Scratch("pass") as scratch:
        sink = Sink(scratch)
        smimed = Smimed(scratch, 'sender_identity = off\nrule "pass" {\n    smime = no\n}\n')
        postfix = Postfix(scratch, sink.port, smimed.milter, {"with": {}, "without": {"smtpd_milters": ""}},
                          main="local_header_rewrite_clients =\nalways_add_missing_headers = no\n"
                               "header_size_limit = 10240000\n")
        for name, octets in everything.items():
            delivered = []
            for service in ("with", "without"):
                client = Smtp(postfix.ports[service])
                utf8 = " SMTPUTF8" if any(b > 127 for b in octets.partition(b"\r\n\r\n")[0]) else ""
                code, text = client.send("a@example.org", ["b@example.net"], octets, mail_options=" BODY=8BITMIME" + utf8)
                client.close()
                if code != 250:
                    problems.append(f"{name}: {service}: {text.strip()}")
                    break
                delivered.append(strip_received(sink.take(1)[0][2]))
            if len(delivered) == 2 and delivered[0] != delivered[1]:
                problems.append(f"{name}: differs")
        wait_until(lambda: len(smimed.outcomes()) >= len(everything) - len(problems), 10, "outcome lines")
    assert not problems, problems


def test_inbound_differs_by_the_result_field_alone():
    """Every message as mail from outside: with smimed and without, the octets are the same but for our field."""
    everything = messages()
    problems = []
    with Scratch("inbound") as scratch:
        sink = Sink(scratch)
        smimed = Smimed(scratch, 'result_none = yes\ninbound_daemons = INBOUND\nrule "in" {\n    direction = in\n}\n'
                        + trust_config(Authority(scratch)))
        postfix = Postfix(scratch, sink.port, smimed.milter, {"with": {"milter_macro_daemon_name": "INBOUND"},
                                                              "without": {"smtpd_milters": ""}},
                          main="local_header_rewrite_clients =\nalways_add_missing_headers = no\n"
                               "header_size_limit = 10240000\n")
        field = re.compile(rb"^authentication-results: mx\.test;[^\r]*\r\n(?:[ \t][^\r]*\r\n)*", re.I | re.M)
        for name, octets in everything.items():
            delivered = []
            for service in ("with", "without"):
                client = Smtp(postfix.ports[service])
                utf8 = " SMTPUTF8" if any(b > 127 for b in octets.partition(b"\r\n\r\n")[0]) else ""
                code, text = client.send("a@example.net", ["b@example.org"], octets, mail_options=" BODY=8BITMIME" + utf8)
                client.close()
                assert code == 250, f"{name}: {service}: {text}"
                delivered.append(sink.take(1)[0][2])
            marked, count = field.subn(b"", delivered[0], count=1)
            if count != 1:
                problems.append(f"{name}: no result field")
            elif strip_received(marked) != strip_received(delivered[1]):
                problems.append(f"{name}: differs")
    assert not problems, problems


if __name__ == "__main__":
    assert pathlib.Path(mime_compare.__file__).exists()
    main(globals())
