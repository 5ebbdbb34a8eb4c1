"""smimectl from the outside: every command, its exit codes, its JSON, and what it never does.

What it writes is judged by the openssl command and by Python's email package.
"""

import base64
import datetime
import email
import email.policy
import json
import os
import shutil
import time

from harness import Authority, Scratch, main, openssl_decrypt, openssl_verify, run, smimectl, trust_config

CLOSERS = []
MESSAGE = (b"Received: from somewhere\r\nFrom: Alice <alice@our.example>\r\nTo: Bob <bob@partner.example>\r\n"
           b"Subject: =?utf-8?q?gr=C3=BC=C3=9Fe?=\r\nMIME-Version: 1.0\r\n"
           b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
           b"Gr\xc3\xbc\xc3\x9fe an Bob \r\nFrom here to there\r\n.\r\nend\r\n")
ENTITY_BODY = "Grüße an Bob \nFrom here to there\n.\nend\n"


class World:
    """A CA, four people, and a configuration; made once, only read by tests."""

    made = None

    def __init__(self):
        self.scratch = Scratch("smimectl")
        CLOSERS.append(self.scratch.close)
        self.path = self.scratch.path
        self.ca = Authority(self.scratch)
        self.alice = self.ca.user("alice@our.example", "alice")
        self.bob = self.ca.user("bob@partner.example", "bob")
        now = datetime.datetime.now(datetime.timezone.utc)
        day = datetime.timedelta(days=1)
        self.carl = self.ca.user("carl@partner.example", "carl", valid=(now - 20 * day, now - day))
        self.dora = self.ca.user("dora@our.example", "dora", kind="ec:P-256", usage="digitalSignature",
                                 valid=(now - day, now + 5 * day))
        self.keys = self.scratch.folder("keys", 0o700)
        for who in (self.alice, self.dora):
            self.ca.install_pair(self.keys, *who)
        self.certificates = self.scratch.folder("certificates")
        for who in (self.bob, self.carl):
            shutil.copy(who[1], self.certificates)
        for name in ("spool", "state"):
            self.scratch.folder(name, 0o700)
        self.config = self.path / "smimed.conf"
        self.config.write_text(self.configuration())
        self.message = self.path / "message.eml"
        self.message.write_bytes(MESSAGE)

    def configuration(self, more=""):
        return (f'keys_folder = "{self.keys}"\ncertificate_folders = "{self.certificates}"\n'
                f'spool_folder = "{self.path}/spool"\nstate_folder = "{self.path}/state"\n'
                f'control_socket = "{self.path}/control.sock"\nsocket = "unix:{self.path}/milter.sock"\n{more}'
                + trust_config(self.ca)
                + 'rule "partners" {\n    direction = out\n    sender = "@our.example"\n'
                  '    recipient = "@partner.example"\n    sign = always\n    encrypt = always\n}\n'
                  'rule "rest" {\n    direction = out\n    sender = "@our.example"\n    sign = always\n}\n')

    @classmethod
    def get(cls):
        if cls.made is None:
            cls.made = cls()
        return cls.made

    def sign(self, *options, message=None):
        return smimectl("sign", "--key", self.alice[0], "--cert", self.alice[1], "--chain", self.ca.cert, *options,
                        "-" if message else self.message, stdin=message, check=True).stdout

    def encrypt(self, *options, message=None):
        return smimectl("encrypt", "--to-cert", self.bob[1], *options, "-" if message else self.message,
                        stdin=message, check=True).stdout

    def verify(self, message, *options, crl=True):
        revocation = ("--crl", self.ca.crls) if crl else ()
        done = smimectl("verify", "--json", "--anchors", self.ca.anchors, "--untrusted", self.ca.cert, *revocation,
                        *options, "-", stdin=message)
        return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr


def content_of(octets):
    return email.message_from_bytes(octets, policy=email.policy.default).get_content().replace("\r\n", "\n")


def headers_of(message):
    return message.split(b"\r\n\r\n", 1)[0].decode()


# ---- sign, encrypt, decrypt, verify without a configuration --------------------------------------


def test_sign_makes_what_openssl_verifies_and_keeps_the_header():
    world = World.get()
    for options in ([], ["--opaque"], ["--digest", "sha384"], ["--digest", "sha512"], ["--pss"]):
        signed = world.sign(*options)
        assert content_of(openssl_verify(signed, world.ca.root)) == ENTITY_BODY, options
        head = headers_of(signed)
        for field in ("Received: from somewhere", "From: Alice <alice@our.example>", "Subject: =?utf-8?q?gr"):
            assert head.count(field) == 1, (options, field)
        assert head.count("MIME-Version: 1.0") == 1 and head.count("Content-Type:") == 1, head
        assert ("multipart/signed" in head) == ("--opaque" not in options), head
        assert all(b < 128 for b in signed), options


def test_sign_reads_unix_files_stdin_and_messages_without_mime():
    world = World.get()
    plain = b"From: alice@our.example\nTo: bob@partner.example\n\nhello\nworld\n"
    for message in (plain, plain.replace(b"\n", b"\r\n"), b"From alice Mon Jan  1 00:00:00 2026\n" + plain):
        signed = world.sign(message=message)
        assert content_of(openssl_verify(signed, world.ca.root)) == "hello\nworld\n", message
        assert headers_of(signed).startswith("From: alice@our.example"), signed[:100]


def test_encrypt_with_every_cipher_is_read_by_openssl_and_by_decrypt():
    world = World.get()
    for cipher in ("aes128-cbc", "aes256-cbc", "aes128-gcm", "aes256-gcm"):
        for more in ([], ["--oaep"]):
            sealed = world.encrypt("--cipher", cipher, *more)
            assert b"bob@partner.example" in sealed.split(b"\r\n\r\n")[0]
            inner = openssl_decrypt(sealed, *world.bob)
            assert content_of(inner) == ENTITY_BODY, (cipher, more)
            done = smimectl("decrypt", "--key", world.bob[0], "--cert", world.bob[1], stdin=sealed)
            assert done.returncode == 0 and done.stdout == inner, (cipher, more, done.stderr)
            assert (b"integrity" in done.stderr) == cipher.endswith("cbc"), done.stderr


def test_decrypt_says_that_a_cipher_is_too_weak():
    world = World.get()
    sealed = run("openssl", "cms", "-encrypt", "-des3", "-in", world.message, world.bob[1]).stdout
    words = ["decrypt", "--key", world.bob[0], "--cert", world.bob[1]]
    done = smimectl(*words, stdin=sealed)
    assert done.returncode == 0 and b"too weak" in done.stderr, done.stderr
    done = smimectl(*words, "--json", stdin=sealed)
    result = json.loads(done.stderr)
    assert (result["weak_cipher"], result["misplaced_aead"], result["authenticated"]) == (True, False, False), result


def test_encrypt_takes_several_certificates_in_either_spelling():
    world = World.get()
    alice, bob = world.alice[1], world.bob[1]
    for words in (["--to-cert", alice, bob], ["--to-cert", alice, "--to-cert", bob], [f"--to-cert={alice}", f"--to-cert={bob}"]):
        sealed = smimectl("encrypt", *words, world.message, check=True).stdout
        for who in (world.alice, world.bob):
            assert content_of(openssl_decrypt(sealed, *who)) == ENTITY_BODY, words


def test_signed_then_encrypted_comes_back_and_passes():
    world = World.get()
    signed = world.sign()
    sealed = world.encrypt(message=signed)
    done = smimectl("decrypt", "--message", "--key", world.bob[0], "--cert", world.bob[1], stdin=sealed, check=True)
    code, result = world.verify(done.stdout)
    assert (code, result["result"], result["reason"]) == (0, "pass", "ok"), result
    assert (result["signature"], result["path"], result["identity"]) == ("ok", "ok", "match"), result
    signer = result["signers"][0]
    assert signer["identifier"] == "alice@our.example" and len(result["signers"]) == 1, result
    serial = run("openssl", "x509", "-in", world.alice[1], "-noout", "-serial").stdout.decode().strip().split("=")[1]
    assert int(signer["serial"], 16) == int(serial, 16), signer
    assert "ca issuing" in signer["issuer"], signer


def test_decrypt_releases_nothing_of_a_message_that_was_changed():
    world = World.get()
    for cipher in ("aes256-cbc", "aes256-gcm"):
        big = MESSAGE + b"0123456789abcdef" * 40000 + b"\r\n"
        sealed = world.encrypt("--cipher", cipher, message=big)
        head, body = sealed.split(b"\r\n\r\n", 1)
        lines = body.split(b"\r\n")
        for place in (len(lines) - 3, len(lines) // 2):
            changed = list(lines)
            swap = b"B" if changed[place][10:11] == b"A" else b"A"
            changed[place] = changed[place][:10] + swap + changed[place][11:]
            done = smimectl("decrypt", "--key", world.bob[0], "--cert", world.bob[1],
                            stdin=head + b"\r\n\r\n" + b"\r\n".join(changed))
            # CBC has no way to see a change in the middle; the end, padding and structure it sees.
            if cipher.endswith("gcm"):
                assert (done.returncode, done.stdout) == (1, b""), (cipher, place, done.stderr)
        done = smimectl("decrypt", "--key", world.bob[0], "--cert", world.bob[1],
                        stdin=head + b"\r\n\r\n" + b"\r\n".join(lines[:len(lines) // 2]) + b"\r\n")
        assert (done.returncode, done.stdout) == (1, b""), (cipher, done.stderr)
        done = smimectl("decrypt", "--key", world.alice[0], "--cert", world.alice[1], stdin=sealed)
        assert (done.returncode, done.stdout) == (1, b""), (cipher, done.stderr)


def test_verify_tells_bad_mismatch_untrusted_and_could_not_ask_apart():
    world = World.get()
    signed = world.sign()
    assert world.verify(signed.replace(b"end", b"and"))[1]["signature"] == "bad"
    code, result = world.verify(signed.replace(b"end", b"and"))
    assert (code, result["result"]) == (1, "fail"), result
    code, result = world.verify(signed.replace(b"From: Alice <alice@", b"From: Alice <boss@"))
    assert (code, result["result"], result["reason"], result["identity"]) == (1, "fail", "identity-mismatch", "mismatch")
    code, result = world.verify(signed, crl=False)
    assert (code, result["result"], result["reason"]) == (1, "policy", "revocation-none"), result
    code, result = world.verify(signed, "--revocation", "off", crl=False)
    assert (code, result["result"]) == (0, "pass"), result
    code, result = world.verify(signed, "--at", str(int(time.time()) + 3 * 366 * 86400))
    assert code == 1 and result["result"] == "fail", result
    done = smimectl("verify", "--json", "-c", "/nonexistent/smimed.conf", "-", stdin=signed)
    assert done.returncode == 2 and done.stdout == b"", done.stderr
    code, result = world.verify(MESSAGE)
    assert (code, result["result"], result["signers"]) == (1, "none", []), result


def test_verify_knows_a_revoked_signer():
    with Scratch("smimectl-revoked") as scratch:
        ca = Authority(scratch)
        key, cert = ca.user("alice@our.example")
        signed = smimectl("sign", "--key", key, "--cert", cert, "--chain", ca.cert, "-", stdin=MESSAGE, check=True).stdout
        words = ["verify", "--json", "--anchors", ca.anchors, "--untrusted", ca.cert, "--crl", ca.crls, "-"]
        assert smimectl(*words, stdin=signed).returncode == 0
        ca.revoke(cert)
        done = smimectl(*words, stdin=signed)
        result = json.loads(done.stdout)
        assert (done.returncode, result["result"], result["reason"]) == (1, "fail", "revoked"), result


def test_verify_prints_the_same_in_words():
    world = World.get()
    done = smimectl("verify", "--anchors", world.ca.anchors, "--untrusted", world.ca.cert, "--crl", world.ca.crls, "-",
                    stdin=world.sign())
    text = done.stdout.decode()
    assert done.returncode == 0 and text.startswith("pass (ok)"), text
    for line in ("signature: ok", "path: ok", "identity: match", "alice@our.example"):
        assert line in text, text


def test_a_certificate_that_must_not_be_used_is_not_used():
    world = World.get()
    done = smimectl("encrypt", "--to-cert", world.bob[1], "--to-cert", world.carl[1], world.message)
    assert (done.returncode, done.stdout) == (1, b"") and b"cert-expired" in done.stderr, done
    done = smimectl("encrypt", "--to-cert", world.dora[1], world.message)
    assert (done.returncode, done.stdout) == (1, b"") and b"cert-wrong-usage" in done.stderr, done
    done = smimectl("sign", "--key", world.carl[0], "--cert", world.carl[1], world.message)
    assert (done.returncode, done.stdout) == (1, b"") and b"cert-expired" in done.stderr, done
    done = smimectl("sign", "--key", world.bob[0], "--cert", world.alice[1], world.message)
    assert (done.returncode, done.stdout) == (1, b""), done


def test_json_of_protecting_commands_goes_to_stderr():
    world = World.get()
    done = smimectl("sign", "--json", "--key", world.alice[0], "--cert", world.alice[1], world.message, check=True)
    assert json.loads(done.stderr)["addresses"] == ["alice@our.example"]
    done = smimectl("encrypt", "--json", "--to-cert", world.bob[1], "--cipher", "aes256-gcm", world.message, check=True)
    assert json.loads(done.stderr)["cipher"] == "aes256-gcm"
    done = smimectl("decrypt", "--json", "--key", world.bob[0], "--cert", world.bob[1], stdin=done.stdout, check=True)
    report = json.loads(done.stderr)
    assert report["authenticated"] is True and report["recipients"] == 1, report
    sealed = world.encrypt()
    done = smimectl("decrypt", "--json", "--key", world.alice[0], "--cert", world.alice[1], stdin=sealed)
    report = json.loads(done.stderr)
    assert (done.returncode, done.stdout, report["result"], report["reason"]) == (1, b"", "error", "no-key"), report
    done = smimectl("decrypt", "--key", world.alice[0], "--cert", world.alice[1], stdin=sealed)
    assert b"(no-key)" in done.stderr, done.stderr


# ---- with a configuration ------------------------------------------------------------------------


def test_sign_and_decrypt_use_the_keyring_by_the_addresses_of_the_message():
    world = World.get()
    signed = smimectl("sign", "-c", world.config, world.message, check=True).stdout
    assert content_of(openssl_verify(signed, world.ca.root)) == ENTITY_BODY
    done = smimectl("verify", "--json", "-c", world.config, stdin=signed)
    assert (done.returncode, json.loads(done.stdout)["result"]) == (0, "pass"), done.stdout
    other = MESSAGE.replace(b"alice@our", b"nobody@our")
    done = smimectl("sign", "-c", world.config, "-", stdin=other)
    assert (done.returncode, done.stdout) == (1, b"") and b"nobody@our.example" in done.stderr, done
    to_alice = smimectl("encrypt", "--to-cert", world.alice[1], world.message, check=True).stdout
    done = smimectl("-c", world.config, "decrypt", "-", stdin=to_alice)
    assert done.returncode == 0 and content_of(done.stdout) == ENTITY_BODY, done.stderr


def test_encrypt_by_addresses_reaches_recipients_and_sender_and_names_who_is_missing():
    world = World.get()
    sealed = smimectl("encrypt", "-c", world.config, world.message, check=True).stdout
    for who in (world.alice, world.bob):
        assert content_of(openssl_decrypt(sealed, *who)) == ENTITY_BODY
    message = MESSAGE.replace(b"To: Bob <bob@partner.example>",
                              b"To: bob@partner.example, carl@partner.example\r\nCc: nobody@partner.example")
    done = smimectl("encrypt", "-c", world.config, "-", stdin=message)
    assert (done.returncode, done.stdout) == (1, b""), done
    assert b"carl@partner.example" in done.stderr and b"cert-expired" in done.stderr, done.stderr
    assert b"nobody@partner.example" in done.stderr and b"no-certificate" in done.stderr, done.stderr
    sealed = smimectl("encrypt", "-c", world.config, "--to", "bob@partner.example", "-", stdin=message, check=True).stdout
    assert content_of(openssl_decrypt(sealed, *world.bob)) == ENTITY_BODY


def test_lookup_shows_selected_and_rejected():
    world = World.get()
    done = smimectl("lookup", "-c", world.config, "bob@partner.example")
    assert done.returncode == 0 and done.stdout.startswith(b"SELECTED") and b"files:" in done.stdout, done.stdout
    done = smimectl("lookup", "-c", world.config, "carl@partner.example")
    assert done.returncode == 1 and b"REJECTED cert-expired" in done.stdout, done.stdout
    done = smimectl("lookup", "--json", "-c", world.config, "nobody@partner.example")
    result = json.loads(done.stdout)
    assert done.returncode == 1 and (result["result"], result["reason"]) == ("none", "no-certificate"), result
    done = smimectl("lookup", "--json", "-c", world.config, "ALICE@Our.Example")
    result = json.loads(done.stdout)
    assert done.returncode == 0 and result["candidates"][0]["source"] == "keys", result
    done = smimectl("lookup", "--sign", "--json", "-c", world.config, "dora@our.example")
    assert done.returncode == 0 and json.loads(done.stdout)["candidates"][0]["selected"] is True, done.stdout
    done = smimectl("lookup", "--json", "-c", world.config, "dora@our.example")
    assert done.returncode == 1 and json.loads(done.stdout)["reason"] == "cert-wrong-usage", done.stdout
    assert smimectl("lookup", "-c", world.config, "not an address").returncode == 2
    assert smimectl("lookup", "-c", world.config).returncode == 2


def test_lookup_without_revocation_status_could_not_ask():
    with Scratch("smimectl-lookup") as scratch:
        ca = Authority(scratch)
        bob = ca.user("bob@partner.example")
        for old in ca.crls.iterdir():
            old.unlink()
        keys, certificates = scratch.folder("keys", 0o700), scratch.folder("certificates")
        shutil.copy(bob[1], certificates)
        config = scratch.path / "smimed.conf"
        config.write_text(f'keys_folder = "{keys}"\ncertificate_folders = "{certificates}"\n'
                          f'spool_folder = "{scratch.folder("spool", 0o700)}"\n'
                          f'state_folder = "{scratch.folder("state", 0o700)}"\n'
                          f'socket = "unix:{scratch.path}/m.sock"\ncontrol_socket = "{scratch.path}/c.sock"\n'
                          + trust_config(ca))
        done = smimectl("lookup", "-c", config, "--json", "bob@partner.example")
        result = json.loads(done.stdout)
        assert (done.returncode, result["result"], result["reason"]) == (3, "temperror", "revocation-unknown"), result


def explain(world, *words, stdin=None):
    done = smimectl("explain", "-c", world.config, "--json", *words, stdin=stdin)
    return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr.decode()


def test_explain_shows_protection_refusal_and_reason_without_side_effects():
    world = World.get()
    before = sorted(os.listdir(world.path))
    code, result = explain(world, "--from", "alice@our.example", "--rcpt", "bob@partner.example", "--client", "127.0.0.1")
    assert code == 0 and result["answer"] == "accept", result
    kinds = [edit["kind"] for edit in result["edits"]]
    assert "replace-body" in kinds, result
    types = [edit["value"] for edit in result["edits"] if edit["name"] == "Content-Type"]
    assert any("enveloped-data" in value for value in types if value), result
    text = json.dumps(result["lines"])
    assert "partners" in text and "bob@partner.example" in text, result

    code, result = explain(world, "--from", "alice@our.example", "--rcpt", "bob@partner.example", "carl@partner.example",
                           "--client", "127.0.0.1")
    assert (code, result["answer"], result["code"], result["enhanced"]) == (1, "refuse", 550, "5.7.1"), result
    assert "carl@partner.example" in result["text"] and "bob@" not in result["text"], result
    assert result["edits"] == [], result

    code, result = explain(world, "--from", "alice@our.example", "--rcpt", "bob@partner.example", "--client", "127.0.0.1", "-",
                           stdin=MESSAGE)
    assert code == 0 and result["answer"] == "accept", result
    assert sorted(os.listdir(world.path)) == before


def test_explain_takes_the_client_and_a_file():
    world = World.get()
    signed = world.path / "signed-for-explain.eml"
    signed.write_bytes(world.sign().replace(b"To: Bob <bob@partner.example>", b"To: x@our.example"))
    done = smimectl("explain", "-c", world.config, "--from", "alice@our.example", "--rcpt", "x@our.example",
                    "--client", "192.0.2.1", signed)
    assert done.returncode == 0 and b"answer: accept" in done.stdout, (done.stdout, done.stderr)
    assert b"pass" in done.stdout, done.stdout
    done = smimectl("explain", "-c", world.config, "--from", "alice@our.example", "--client", "localhost",
                    "--rcpt", "x@our.example")
    assert done.returncode == 2, done
    assert smimectl("explain", "-c", world.config, "--from", "alice@our.example").returncode == 2


def test_directory_says_who_may_send_and_gives_certificates():
    world = World.get()
    with Scratch("smimectl-ldif") as scratch:
        erik = world.ca.user("erik@partner.example", "erik")
        der = run("openssl", "x509", "-in", erik[1], "-outform", "DER").stdout
        people = scratch.path / "people.ldif"
        people.write_text(
            "dn: uid=alice,dc=our\nobjectClass: inetOrgPerson\nuid: alice\nmail: alice@our.example\n"
            "proxyAddresses: smtp:alias@our.example\nproxyAddresses: SMTP:alice@our.example\n\n"
            "dn: cn=erik,dc=our\nobjectClass: contact\ncn: erik\nmail: erik@partner.example\n"
            "userCertificate;binary:: " + base64.b64encode(der).decode() + "\n")
        config = scratch.path / "smimed.conf"
        config.write_text(world.configuration() + f'directory "people" {{\n    ldif = "{people}"\n}}\n')
        assert smimectl("check", config).returncode == 0
        done = smimectl("lookup", "--json", "-c", config, "erik@partner.example")
        result = json.loads(done.stdout)
        assert done.returncode == 0 and result["candidates"][0]["source"] == "directory:people", result
        # The alias of an own user finds his key.
        done = smimectl("lookup", "--json", "-c", config, "alias@our.example")
        result = json.loads(done.stdout)
        assert done.returncode == 0 and result["candidates"][0]["source"] == "keys", result

        def ask(sender, login, recipient="erik@partner.example"):
            done = smimectl("explain", "-c", config, "--json", "--from", sender, "--rcpt", recipient, "--login", login,
                            "--client", "192.0.2.1")
            return done.returncode, json.loads(done.stdout)

        code, result = ask("alice@our.example", "alice")
        assert (code, result["answer"]) == (0, "accept"), result
        for sender, login, words in (("boss@our.example", "alice", "not your address"),
                                     ("alias@our.example", "alice", "alice@our.example"),
                                     ("alice@our.example", "mallory", "login")):
            code, result = ask(sender, login)
            assert (code, result["answer"], result["code"]) == (1, "refuse", 550), result
            assert words in result["text"], result


# ---- configuration, keys -------------------------------------------------------------------------


def test_check_reports_every_error_with_its_place():
    world = World.get()
    done = smimectl("check", "-c", world.config)
    assert done.returncode == 0 and done.stdout.endswith(b": ok\n"), done
    bad = world.path / "bad.conf"
    bad.write_text("max_messages = many\n\nnonsense = 1\n" + world.configuration())
    done = smimectl("check", bad)
    lines = done.stdout.decode().splitlines()
    assert done.returncode == 2 and len(lines) == 2, done
    assert lines[0].startswith(f"{bad}:1:") and lines[1].startswith(f"{bad}:3:"), lines
    done = smimectl("check", "--json", "-c", bad)
    result = json.loads(done.stdout)
    assert done.returncode == 2 and [e["line"] for e in result["errors"]] == [1, 3], result
    done = smimectl("check", "/nonexistent.conf")
    assert done.returncode == 2 and b"/nonexistent.conf" in done.stderr, done
    done = smimectl("keys", "-c", bad)
    assert done.returncode == 2 and done.stdout == b"", done


def test_dump_shows_values_and_where_they_come_from():
    world = World.get()
    done = smimectl("dump", "-n", "-c", world.config, check=True)
    text = done.stdout.decode()
    assert f"keys_folder = {world.keys}" in text and f"# {world.config}:1" in text, text
    assert "max_messages" not in text and 'rule "partners" {' in text, text
    rows = json.loads(smimectl("dump", "--json", "-c", world.config, check=True).stdout)
    values = {(row["section"], row["name"]): row for row in rows}
    assert values["", "max_messages"]["from"] == "default", values["", "max_messages"]
    assert values['rule "partners"', "encrypt"]["value"] == "always"
    # What dump prints is a configuration that says the same.
    again = world.path / "again.conf"
    again.write_text(text)
    assert smimectl("check", again).returncode == 0
    more = json.loads(smimectl("dump", "--json", "-c", again, check=True).stdout)
    assert [(r["section"], r["name"], r["value"]) for r in more] == [(r["section"], r["name"], r["value"]) for r in rows]


def test_keys_and_expiring_list_address_usage_validity_and_file():
    world = World.get()
    rows = json.loads(smimectl("keys", "--json", "-c", world.config, check=True).stdout)
    by_address = {row["addresses"][0]: row for row in rows}
    assert sorted(by_address) == ["alice@our.example", "dora@our.example"], rows
    assert by_address["alice@our.example"]["usage"] == "sign encrypt"
    assert by_address["dora@our.example"]["usage"] == "sign"
    assert by_address["alice@our.example"]["source"].startswith(str(world.keys))
    assert by_address["dora@our.example"]["days_left"] in (3, 4, 5)
    text = smimectl("keys", "-c", world.config, check=True).stdout.decode()
    assert len(text.splitlines()) == 2 and "dora@our.example  sign  " in text, text
    soon = json.loads(smimectl("expiring", "--json", "-c", world.config, check=True).stdout)
    assert [row["addresses"] for row in soon] == [["dora@our.example"]], soon
    assert json.loads(smimectl("expiring", "--json", "--within", "1", "-c", world.config, check=True).stdout) == []
    assert len(json.loads(smimectl("expiring", "--json", "--within", "9999", "-c", world.config, check=True).stdout)) == 2


def test_keys_names_files_that_others_can_read():
    world = World.get()
    with Scratch("smimectl-modes") as scratch:
        keys = scratch.folder("keys", 0o700)
        target = world.ca.install_pair(keys, *world.alice)
        target.chmod(0o644)
        done = smimectl("keys", "--folder", keys)
        assert done.stdout == b"" and target.name.encode() in done.stderr, done


def test_import_takes_pkcs12_and_refuses_an_empty_password():
    world = World.get()
    with Scratch("smimectl-import") as scratch:
        keys = scratch.folder("keys", 0o700)
        p12, password = scratch.path / "alice.p12", scratch.path / "password"
        for legacy in ([], ["-legacy"]):
            run("openssl", "pkcs12", "-export", *legacy, "-inkey", world.alice[0], "-in", world.alice[1], "-certfile",
                world.ca.cert, "-passout", "pass:secret", "-out", p12)
            password.write_text("secret\n")
            done = smimectl("import", "--json", "--folder", keys, "--password-file", password, p12)
            assert done.returncode == 0, done
            assert json.loads(done.stdout)["pairs"] == (0 if legacy else 1), done.stdout
        rows = json.loads(smimectl("keys", "--json", "--folder", keys, check=True).stdout)
        assert [row["addresses"] for row in rows] == [["alice@our.example"]], rows
        password.write_text("wrong\n")
        assert smimectl("import", "--folder", keys, "--password-file", password, p12).returncode == 1
        password.write_text("\n")
        done = smimectl("import", "--folder", keys, "--password-file", password, p12)
        assert done.returncode == 1 and b"empty" in done.stderr, done
        assert smimectl("import", p12).returncode == 2


def test_path_validates_and_says_why_not():
    world = World.get()
    base = ["path", "--json", "--anchors", world.ca.anchors, "--untrusted", world.ca.cert]
    done = smimectl(*base, "--crl", world.ca.crls, world.bob[1])
    result = json.loads(done.stdout)
    assert done.returncode == 0 and len(result["path"]) == 3, result
    assert [step["revocation"] for step in result["path"]] == ["good", "good", "anchor"], result
    # It names no place to ask, and there is none for CRLs: asking again cannot help.
    done = smimectl(*base, world.bob[1])
    assert (done.returncode, json.loads(done.stdout)["reason"]) == (1, "revocation-none"), done.stdout
    done = smimectl(*base, "--revocation", "off", world.bob[1])
    assert done.returncode == 0, done.stdout
    done = smimectl(*base, "--crl", world.ca.crls, "--", world.carl[1])
    assert (done.returncode, json.loads(done.stdout)["reason"]) == (1, "cert-expired"), done.stdout
    done = smimectl("path", "--json", "--anchors", world.ca.anchors, "--crl", world.ca.crls, "--", world.bob[1])
    assert (done.returncode, json.loads(done.stdout)["reason"]) == (1, "untrusted"), done.stdout
    done = smimectl("-c", world.config, "path", world.bob[1])
    assert done.returncode == 0 and done.stdout.startswith(b"ok"), done.stdout
    done = smimectl(*base, "--revocation", "off", "--explicit-policy", world.bob[1])
    assert (done.returncode, json.loads(done.stdout)["reason"]) == (1, "policy"), done.stdout


# ---- the command line itself ---------------------------------------------------------------------


def test_wrong_command_lines_end_with_2_and_say_why():
    world = World.get()
    for words in ([], ["nonsense"], ["keys", "--nonsense"], ["verify", "--at"], ["verify", "--at", "noon", world.message],
                  ["keys", "word"], ["sign", "--key", world.alice[0], world.message],
                  ["sign", "--key", world.alice[0], "--cert", world.alice[1], "--digest", "md5", world.message],
                  ["encrypt", "--to-cert", world.bob[1], "--cipher", "rc2", world.message],
                  ["verify", "--revocation", "perhaps", "--anchors", world.ca.root, world.message],
                  ["verify", "--anchors", "/nonexistent", world.message], ["verify", "--crl", world.ca.crls, "--", world.message],
                  ["path", "-c", world.config, "--trust", "nobody", world.bob[1]],
                  ["sign", "-c", "/nonexistent", world.message], ["import", "--password-file", "/x"]):
        done = smimectl(*words, stdin=b"")
        assert done.returncode == 2, (words, done.returncode, done.stderr)
        assert done.stdout == b"" and done.stderr, words


def test_files_that_are_not_there_are_named():
    world = World.get()
    for words in (["verify", "--anchors", world.ca.root, "/nonexistent/message"],
                  ["sign", "--key", world.alice[0], "--cert", world.alice[1], "/nonexistent/message"],
                  ["decrypt", "--key", world.alice[0], "--cert", world.alice[1], "/nonexistent/message"]):
        done = smimectl(*words)
        assert done.returncode == 1 and b"/nonexistent/message" in done.stderr and done.stdout == b"", (words, done)


def test_help_and_version():
    done = smimectl("help", check=True)
    for command in ("check", "dump", "doctor", "explain", "lookup", "sign", "encrypt", "decrypt", "verify", "path", "import",
                    "keys", "expiring", "certs", "poison", "reload", "cache", "stats", "health", "demo"):
        assert f"\n    {command} ".encode() in done.stdout, command
        assert smimectl("help", command, check=True).stdout.startswith(b"usage: smimectl"), command
        assert smimectl(command, "--help", check=True).stdout.startswith(b"usage: smimectl"), command
    assert smimectl("--version", check=True).stdout.startswith(b"smimectl ")
    assert b"make demo" in smimectl("demo", check=True).stdout


def test_without_a_daemon_nobody_can_be_asked():
    world = World.get()
    for command in ("reload", "stats", "health", "poison", "poison --forget", "cache stats", "cache show", "cache flush"):
        done = smimectl(*command.split(), "-c", world.config)
        assert done.returncode == 3, (command, done)
    for wrong in (("cache",), ("cache", "burn"), ("cache", "show", "--shared"), ("cache", "stats", "http://x/")):
        assert smimectl(*wrong, "-c", world.config).returncode == 2, wrong


def test_json_stays_valid_whatever_a_certificate_says():
    with Scratch("smimectl-json") as scratch:
        ca = Authority(scratch)
        key = scratch.path / "evil.key"
        run("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", key)
        names = ('quote " and \\\\ backslash', "line\nbreak\ttab", "Zo\u00eb \u4f60\u597d \U0001f600", "\x01\x7f\x1b[31m")
        for number, name in enumerate(names):
            cert = scratch.path / f"evil-{number}.pem"
            run("openssl", "req", "-x509", "-new", "-utf8", "-key", key, "-days", "10", "-subj", f"/CN={name}",
                "-addext", "subjectAltName=email:evil@x.example", "-out", cert, "-config", ca.config)
            done = smimectl("path", "--json", "--anchors", cert, "--revocation", "off", "--", cert)
            result = json.loads(done.stdout)
            assert len(done.stdout.splitlines()) == 1 and "path" in result, done.stdout
            plain = smimectl("path", "--anchors", cert, "--revocation", "off", "--", cert)
            assert b"\x1b" not in plain.stdout and b"\x01" not in plain.stdout, plain.stdout


def test_result_that_cannot_be_written_is_no_success():
    world = World.get()
    if not os.path.exists("/dev/full"):
        return
    with open("/dev/full", "wb") as full:
        import subprocess
        from harness import SMIMECTL
        for words in (["keys", "-c", world.config], ["sign", "--key", world.alice[0], "--cert", world.alice[1], world.message]):
            done = subprocess.run([str(w) for w in (SMIMECTL, *words)], stdout=full, stderr=subprocess.PIPE, check=False)
            assert done.returncode == 3 and done.stderr, words


if __name__ == "__main__":
    os.umask(0o077)
    main(globals())
