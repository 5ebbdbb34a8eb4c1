#!/usr/bin/env python3
"""Messages and CMS objects that nobody on this project made, each file with its expected outcome.

`signature` is cryptography alone: weak algorithms verify. `result` is the verdict of today's policy. What the library cannot do is
unsupported-algorithm, never a bad signature."""

import base64
import json
import re

from harness import Authority, Postfix, Scratch, Sink, Smimed, corpus, main, run, smimectl, submit

AT_4134 = "950000000"
AT_BC = "1157500000"  # 6 September 2006, when the validator.* messages were written


def cms(octets, sender, kind=b"signed-data"):
    return (b"From: " + sender.encode() + b"\r\nMIME-Version: 1.0\r\nContent-Type: application/pkcs7-mime; smime-type=" + kind
            + b"; name=smime.p7m\r\nContent-Transfer-Encoding: base64\r\n\r\n"
            + base64.encodebytes(octets).replace(b"\n", b"\r\n"))


def detached(content, signature, sender, micalg=b"sha1"):
    return (b"From: " + sender.encode() + b"\r\nMIME-Version: 1.0\r\nContent-Type: multipart/signed;"
            b' protocol="application/pkcs7-signature"; micalg=' + micalg + b'; boundary="frontier"\r\n\r\n--frontier\r\n' + content
            + b"\r\n--frontier\r\nContent-Type: application/pkcs7-signature\r\nContent-Transfer-Encoding: base64\r\n\r\n"
            + base64.encodebytes(signature).replace(b"\n", b"\r\n") + b"--frontier--\r\n")


def wire(octets):
    return octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def verify(message, *options):
    done = smimectl("verify", "--json", "--offline", *options, "-", stdin=message)
    assert done.returncode in (0, 1, 3), f"exit {done.returncode}: {done.stderr!r}"
    return json.loads(done.stdout)


def decrypt(message, key, cert):
    done = smimectl("decrypt", "--key", key, "--cert", cert, "-", stdin=message)
    return done.returncode, done.stdout, done.stderr.decode(errors="replace")


class Table:
    """Collects what is not as expected, so that one run shows all of it."""

    def __init__(self):
        self.problems, self.seen = [], set()

    def expect(self, name, got, **wanted):
        self.seen.add(name)
        for key, value in wanted.items():
            values = value if isinstance(value, tuple) else (value,)
            if got.get(key) not in values:
                self.problems.append(f"{name}: {key} is {got.get(key)!r}, not {value!r} ({json.dumps(got)[:400]})")

    def check(self, condition, name, text):
        self.seen.add(name)
        if not condition:
            self.problems.append(f"{name}: {text}")

    def done(self, files):
        missing = sorted(set(files) - self.seen)
        assert not self.problems and not missing, "\n".join(self.problems + [f"{m}: not in the table" for m in missing])
        print(f"# {len(self.seen)} files as expected")


# ---- RFC 4134 ----------------------------------------------------------------------------------


def test_rfc4134_signed():
    folder = corpus("rfc4134")
    table = Table()
    content = (folder / "ExContent.bin").read_bytes()
    anchors = ("--anchors", folder / "CarlDSSSelf.cer", folder / "CarlRSASelf.cer")
    crls = ("--crl", folder / "CarlDSSCRLForAll.crl", folder / "CarlRSACRLForAll.crl")
    options = (*anchors, "--at", AT_4134, "--revocation", "off")
    weak = {"signature": "ok", "result": "policy", "reason": "weak-algorithm"}
    for name, sender in (("4.1.bin", "AliceDSS@example.com"), ("4.2.bin", "AliceRSA@example.com"),
                         ("4.4.bin", "AliceDSS@example.com"), ("4.5.bin", "AliceRSA@example.com"),
                         ("4.7.bin", "AliceDSS@example.com"), ("4.10.bin", "AliceDSS@example.com")):
        table.expect(name, verify(cms((folder / name).read_bytes(), sender), *options), **weak)
    table.expect("4.3.bin", verify(detached(content, (folder / "4.3.bin").read_bytes(), "AliceDSS@example.com"), *options), **weak)
    # Two signers, the second with DSA parameters inherited from her issuer.
    result = verify(cms((folder / "4.6.bin").read_bytes(), "AliceDSS@example.com"), *options)
    table.expect("4.6.bin", result, result=("policy",), signature="ok")
    # With her issuer's certificate at hand her key is whole.
    result = verify(cms((folder / "4.6.bin").read_bytes(), "AliceDSS@example.com"), *options,
                    "--untrusted", folder / "CarlDSSSelf.cer")
    diane = [s for s in result["signers"] if s["identifier"] == "DianeDSS@example.com"]
    table.check([(s["signature"], s["key"], s["path"]) for s in diane] == [("ok", "dsa 1024", "weak-algorithm")],
                "4.6.bin", str(diane))
    for name in ("4.8.eml", "4.9.eml"):
        message = re.sub(rb"(?im)^From: .*$", b"From: AliceDSS@example.com", wire((folder / name).read_bytes()), count=1)
        message = message.replace(b"example.com\r\r\n", b"example.com\r\n")
        table.expect(name, verify(message, *options), **weak)
    table.expect("4.11.bin", verify(cms((folder / "4.11.bin").read_bytes(), "AliceDSS@example.com"), *options),
                 signature="none", reason="certs-only")
    # A changed content is a bad signature, however weak the algorithm.
    table.expect("4.2.bin", verify(cms((folder / "4.2.bin").read_bytes().replace(b"sample", b"simple"), "AliceRSA@example.com"),
                                   *options), signature="bad", result="fail")
    for name in ("6.0.bin", "7.1.bin", "7.2.bin"):
        table.expect(name, verify(cms((folder / name).read_bytes(), "x@example.com"), *options), signature="none",
                     result=("permerror", "none", "neutral"))
    # The lists that revoke everybody.
    result = verify(cms((folder / "4.2.bin").read_bytes(), "AliceRSA@example.com"), *anchors, "--at", AT_4134, *crls)
    table.check(result["result"] in ("fail", "policy", "temperror"), "4.2.bin", f"with its CRL: {result}")
    for name in ("3.1.bin", "3.2.bin", "5.1.bin", "5.2.bin", "5.3.eml", "ExContent.bin"):
        table.seen.add(name)  # keys and enveloped objects: below
    table.done([p.name for p in folder.iterdir() if re.match(r"\d+\.\d+\.(bin|eml)$", p.name)])


def test_rfc4134_enveloped():
    folder = corpus("rfc4134")
    table = Table()
    content = (folder / "ExContent.bin").read_bytes()
    with Scratch("rfc4134") as scratch:
        key, cert = scratch.path / "bob.key", scratch.path / "bob.pem"
        run("openssl", "pkey", "-inform", "DER", "-in", folder / "BobPrivRSAEncrypt.pri", "-out", key)
        key.chmod(0o600)
        run("openssl", "x509", "-inform", "DER", "-in", folder / "BobRSASignByCarl.cer", "-out", cert)
        messages = {name: cms((folder / name).read_bytes(), "x@example.com", b"enveloped-data") for name in ("5.1.bin", "5.2.bin")}
        messages["5.3.eml"] = wire((folder / "5.3.eml").read_bytes())
        for name, message in messages.items():
            code, out, errors = decrypt(message, key, cert)
            if name == "5.2.bin":  # RC2 content
                table.check(code == 1 and out == b"" and "unsupported" in errors, name, f"{code} {out!r} {errors}")
            else:  # 3DES content
                table.check((code == 0 and content in out) or (code == 1 and out == b"" and "unsupported" in errors), name,
                            f"{code} {out!r} {errors}")
    table.done(messages)


# ---- RFC 9216, examples of CMS ---------------------------------------------------------------------


def test_rfc9216_pkcs12_files_import():
    folder = corpus("rfc9216")
    problems = []
    with Scratch("rfc9216") as scratch:
        for name in ("alice", "bob", "carlos", "dana"):
            password = scratch.path / f"{name}.password"
            password.write_text(name + "\n")
            password.chmod(0o600)
            keys = scratch.folder(f"keys-{name}", 0o700)
            config = scratch.path / f"{name}.conf"
            config.write_text(f'keys_folder = "{keys}"\nstate_folder = "{scratch.folder("state", 0o700)}"\n'
                              f'spool_folder = "{scratch.folder("spool", 0o700)}"\n')
            config.chmod(0o600)
            done = smimectl("import", "-c", config, "--password-file", password, folder / f"{name}.p12")
            pairs = list(keys.rglob("*.pem"))
            if done.returncode != 0 or len(pairs) < 1:
                problems.append(f"{name}: exit {done.returncode}, {len(pairs)} pairs: {done.stderr.decode()}")
            elif any(p.stat().st_mode & 0o77 for p in pairs):
                problems.append(f"{name}: a key that others can read")
        done = smimectl("import", "-c", config, "--password-file", "/dev/null", folder / "alice.p12")
        if done.returncode == 0:
            problems.append("an empty password was accepted")
    assert not problems, "\n".join(problems)


def test_examples_of_cms():
    folder = corpus("examples-cms")
    identities = corpus("rfc9216")
    binary, people = folder / "binary-files", folder / "certs-and-keys"
    options = ("--anchors", identities / "ca.rsa.crt.pem", identities / "ca.25519.crt.pem", "--revocation", "off", "--untrusted",
               people / "lamps-alice.crt", people / "lamps-carlos.crt")
    table = Table()

    def octets(name):
        return (binary / name).read_bytes()

    alice, carlos = "alice@smime.example", "carlos@smime.example"
    table.expect("signedByAliceRSA.p7m", verify(cms(octets("signedByAliceRSA.p7m"), alice), *options), signature="ok",
                 identity="match")
    table.expect("signedByAliceRSAPSS.p7m", verify(cms(octets("signedByAliceRSAPSS.p7m"), alice), *options), signature="ok",
                 identity="match")
    result = verify(cms(octets("signedByCarlosEd25519.p7m"), carlos), *options)
    table.expect("signedByCarlosEd25519.p7m", result, reason="unsupported-algorithm")
    table.check(result["signature"] != "bad", "signedByCarlosEd25519.p7m", "called forged")
    result = verify(detached(b"", octets("signedByCarlosDetached.p7m"), carlos, b"sha-512"), *options)
    table.expect("signedByCarlosDetached.p7m", result, reason=("unsupported-algorithm",))
    result = verify(cms(octets("signedByAliceAndCarlosNoCerts.p7m"), alice), *options)
    table.check(result["signature"] != "bad" and result["result"] != "fail", "signedByAliceAndCarlosNoCerts.p7m", str(result))
    bob = (people / "lamps-bob.decrypt.p8.pem", people / "lamps-bob.encrypt.crt")
    dana = (people / "lamps-dana.decrypt.p8.pem", people / "lamps-dana.encrypt.crt")
    with Scratch("examples") as scratch:
        def private(path):
            copy = scratch.path / path.name
            copy.write_bytes(path.read_bytes())
            copy.chmod(0o600)
            return copy

        def enveloped(name, who, kind=b"enveloped-data"):
            return decrypt(cms(octets(name), "x@smime.example", kind), private(who[0]), who[1])

        for name, who, kind in (("encryptedForBobRSAOaep.p7m", bob, b"enveloped-data"),
                                ("encryptedForBobAndDana.p7m", bob, b"enveloped-data"),
                                ("authEnvelopedForBobChaCha20Poly1305.p7m", bob, b"authEnveloped-data"),
                                ("authEnvelopedForDanaX25519HKDF.p7m", dana, b"authEnveloped-data")):
            code, out, errors = enveloped(name, who, kind)
            table.check(code == 0 and b"This is some sample content." in out, name, f"{code} {out!r} {errors}")
        # A key that both sides knew before: no private key helps.
        code, out, errors = enveloped("encryptedKekri.p7m", bob)
        table.check(code == 1 and out == b"" and ("unsupported" in errors or "no-key" in errors or "no key" in errors),
                    "encryptedKekri.p7m", f"{code} {out!r} {errors}")
    table.done([p.name for p in binary.iterdir()])


# ---- protected headers ----------------------------------------------------------------------------


def test_protected_headers():
    folder = corpus("protected-headers")
    table = Table()
    options = ("--anchors", folder / "sample-ca.pem", "--revocation", "off")
    with Scratch("protected") as scratch:
        key, cert = scratch.path / "bob.key", scratch.path / "bob.pem"
        armoured = (folder / "bob.p12").read_bytes().split(b"-----")[2]
        p12 = scratch.path / "bob.p12"
        p12.write_bytes(base64.b64decode(armoured))
        openssl = ("openssl", "pkcs12", "-legacy", "-in", p12, "-passin", "pass:bob")
        run(*openssl, "-nocerts", "-nodes", "-out", key)
        run(*openssl, "-clcerts", "-nokeys", "-out", cert)
        key.chmod(0o600)
        for name in ("smime-enc+legacy-disp", "smime-sign+enc", "smime-sign+enc+legacy-disp"):
            code, out, errors = decrypt(wire((folder / f"{name}.eml").read_bytes()), key, cert)
            wanted = (folder / f"{name}.inner").read_bytes()
            inner = out[out.find(wanted[:40]):] if wanted[:40] in out else out
            table.check(code == 0 and wire(inner).rstrip() == wire(wanted).rstrip(), f"{name}.eml",
                        f"{code} {errors} {out[:300]!r}")
            if (folder / f"{name}.inner.inner").exists():
                message = b"From: alice@smime.example\r\n" + wire(wanted)
                table.expect(f"{name}.eml", verify(message, *options), signature="ok", identity="match")
    for name in ("smime-multipart-signed.eml", "smime-onepart-signed.eml"):
        table.expect(name, verify(wire((folder / name).read_bytes()), *options), signature="ok", identity="match")
    for path in folder.glob("*.eml"):
        if path.name.startswith(("pgpmime", "unfortunately")):
            result = verify(wire(path.read_bytes()), *options)
            table.expect(path.name, result, result="none", signature="none")
    table.done([p.name for p in folder.glob("*.eml")])


def test_protected_headers_through_the_gateway():
    folder = corpus("protected-headers")
    problems = []
    with Scratch("protected") as scratch:
        ca = Authority(scratch)
        p12, key, cert = (scratch.path / name for name in ("bob.p12", "bob.key", "bob.pem"))
        p12.write_bytes(base64.b64decode((folder / "bob.p12").read_bytes().split(b"-----")[2]))
        openssl = ("openssl", "pkcs12", "-legacy", "-in", p12, "-passin", "pass:bob")
        run(*openssl, "-nocerts", "-nodes", "-out", key)
        run(*openssl, "-clcerts", "-nokeys", "-out", cert)
        sink = Sink(scratch)
        smimed = Smimed(scratch, 'inbound_daemons = INBOUND\nrevocation_inbound = off\nrule "in" {\n    direction = in\n'
                        "    decrypt = yes\n    decrypt_unsigned = mark\n    protected_headers = restore\n}\n"
                        f'trust "default" {{\n    anchors = "{folder}/sample-ca.pem"\n}}\n', start=False)
        ca.install_pair(smimed.keys, key, cert, "bob")
        smimed.start()
        postfix = Postfix(scratch, sink.port, smimed.milter, {"in": {"milter_macro_daemon_name": "INBOUND"}})
        real = b"BarCorp contract signed, let's go!"
        # name: what the result says, and the Subject that arrives
        for name, result, subject in (("smime-sign+enc", b"smime=pass", real), ("smime-sign+enc+legacy-disp", b"smime=pass", real),
                                      ("smime-enc+legacy-disp", b"smime=none (decrypted-unproven", b"..."),
                                      ("smime-onepart-signed", b"smime=pass", b"The FooCorp contract"),
                                      ("smime-multipart-signed", b"smime=pass", b"The FooCorp contract")):
            mail = wire((folder / f"{name}.eml").read_bytes())
            code, text = submit(postfix.port, "alice@smime.example", ["bob@smime.example"], mail)
            assert code == 250, text
            got = sink.take()[0][2]
            head = re.sub(rb"\r\n[ \t]+", b" ", got.partition(b"\r\n\r\n")[0])
            if result not in head or b"\r\nSubject: " + subject not in head:
                problems.append(f"{name}: {head!r}")
            if "enc" in name and b"correct-horse-battery-staple" not in got and "sign+enc" not in name:
                problems.append(f"{name}: not decrypted")
    assert not problems, "\n".join(problems)


# ---- messages of the Bouncy Castle tests -----------------------------------------------------------


def test_bc_mail_canonicalisation_traps():
    folder = corpus("bc-mail")
    table = Table()
    for name in ("quotable.message", "qp-soft-break.eml", "extra-nl.eml", "multi-alternative.eml", "embeddedmulti.message",
                 "3nnn_smime.eml"):
        result = verify(wire((folder / name).read_bytes()), "--revocation", "off")
        table.expect(name, result, signature="ok")
        table.check(result["result"] != "pass", name, "no anchor, and yet pass")
    # A salt length of its own choosing is legal in RSASSA-PSS.
    name = "openssl-signed-sha256-non-default-salt-length.eml"
    table.expect(name, verify(wire((folder / name).read_bytes()), "--revocation", "off"), signature="ok")
    table.done(table.seen)


def test_bc_mail_policy_cases():
    folder = corpus("bc-mail")
    table = Table()
    options = ("--anchors", folder / "validator.root.crt", "--at", AT_BC, "--allow-weak")
    off, revoked = ("--revocation", "off"), ("--crl", folder / "validator.revoked.crl")
    wanted = {
        "validMail": {"signature": "ok", "path": "ok"},
        "longValidity": {"signature": "ok", "path": "ok"},
        "expired": {"signature": "ok", "result": "fail"},
        "notYetValid": {"signature": "ok", "result": "fail"},
        "keyUsage": {"signature": "ok", "result": "fail"},
        "extKeyUsage": {"signature": "ok", "result": "fail"},
        "noEmail": {"signature": "ok", "result": "fail", "identity": ("mismatch", "none")},
    }
    for name, expected in wanted.items():
        message = wire((folder / f"validator.{name}.eml").read_bytes())
        table.expect(f"validator.{name}.eml", verify(message, *options, *off), **expected)
    message = wire((folder / "validator.revoked.eml").read_bytes())
    table.expect("validator.revoked.eml", verify(message, *options, *revoked), signature="ok", result="fail", reason="revoked")
    message = wire((folder / "validator.shortKey.eml").read_bytes())
    table.expect("validator.shortKey.eml", verify(message, "--anchors", folder / "validator.root.crt", "--at", AT_BC, *off),
                 signature="ok", result=("policy", "fail"))
    # With a root that only looks the same nothing is trusted.
    message = wire((folder / "validator.validMail.eml").read_bytes())
    table.expect("validator.validMail.eml", verify(message, "--anchors", folder / "validator.fakeRoot.crt", "--at", AT_BC,
                                                   "--allow-weak", *off), signature="ok", result="fail")
    # A path that bites its own tail comes to an end.
    table.expect("circular.eml", verify(wire((folder / "circular.eml").read_bytes()), *off), signature=("ok", "bad"),
                 result=("fail", "policy"))
    table.done([p.name for p in folder.glob("validator.*.eml")])


def test_bc_mail_enveloped():
    folder = corpus("bc-mail")
    table = Table()
    with Scratch("bc") as scratch:
        def private(name):
            copy = scratch.path / name
            copy.write_bytes((folder / name).read_bytes())
            copy.chmod(0o600)
            return copy

        pair = (private("smimeTKkey.pem"), folder / "smimeTKcert.pem")
        # The content key has another size than the cipher: a clean failure, whatever the reason.
        for name in ("test128.message", "test192.message", "test256.message"):
            code, out, errors = decrypt(wire((folder / name).read_bytes()), *pair)
            table.check(code in (0, 1) and (out == b"" or code == 0), name, f"{code} {out!r} {errors}")
            if name != "test192.message":
                table.check(code == 1 and out == b"", name, f"{code} {out!r} {errors}")
        for name in ("dotnet_encrypted_mail.eml", "outlook_2010_beta_sime_msg.eml", "brokenEnv.message"):
            code, out, errors = decrypt(wire((folder / name).read_bytes()), *pair)
            table.check(code == 1 and out == b"", name, f"{code} {out!r} {errors}")
    # Everything else is in the tables above.
    above = {"quotable.message", "qp-soft-break.eml", "extra-nl.eml", "multi-alternative.eml", "embeddedmulti.message",
             "3nnn_smime.eml", "openssl-signed-sha256-non-default-salt-length.eml", "circular.eml"}
    table.seen |= above
    # What is no S/MIME at all, or of another trade.
    table.expect("attachonly.eml", verify(wire((folder / "attachonly.eml").read_bytes())), result="none")
    for name in ("basicAS2.message", "rawAS2.message"):
        result = verify(wire((folder / name).read_bytes()), "--revocation", "off")
        table.check(result["result"] != "pass", name, str(result))
    table.done([p.name for p in folder.iterdir() if p.suffix in (".eml", ".message") and not p.name.startswith("validator.")])


if __name__ == "__main__":
    main(globals())
