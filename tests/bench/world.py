"""What is measured: smimed and its peers as processes of their own, with keys, certificates and messages for all of them.

Everything is made anew in a scratch folder: an authority, users with RSA-2048, RSA-3072 and P-256 keys, a hundred
recipients, messages of every size as they would come in, signed by the openssl command.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests/e2e"))

from harness import (BUILD, SMIMED, Authority, Postfix, Scratch, Smimed, free_port, run, stop_process,  # noqa: E402,F401
                     trust_config, wait_until)

TOOLS = BUILD / "tests/bench"
SIZES = {"4k": 4096, "64k": 65536, "1m": 1 << 20, "25m": 25 << 20}
KEYS = {"rsa2048": "rsa:2048", "rsa3072": "rsa:3072", "p256": "ec:P-256"}
RECIPIENTS = 100

CONFIG = """
inbound_daemons = in
max_connections = 2000
max_messages = 2000
max_bytes = 8GiB
decrypt_rate = 1000000
decrypt_rate_each = 1000000
certificate_folders = "{certificates}"
rule "pass" {{
    direction = out
    recipient = *@pass.example
    smime = no
}}
rule "both" {{
    direction = out
    recipient = *@both.example
    sign = always
    encrypt = always
}}
rule "both-gcm" {{
    direction = out
    recipient = *@gcm.example
    sign = always
    encrypt = always
    cipher = aes256-gcm
}}
rule "encrypt" {{
    direction = out
    recipient = *@encrypt.example
    sign = never
    encrypt = always
}}
rule "sign" {{
    direction = out
    sign = always
}}
rule "decrypt" {{
    direction = in
    recipient = rsa2048@example.org
    decrypt = yes
}}
rule "inbound" {{
    direction = in
}}
"""


class Users(Authority):
    """The authority, and everybody who writes or gets mail."""

    def __init__(self, scratch):
        super().__init__(scratch)
        self.senders = {name: self.user(f"{name}@example.org", name, kind) for name, kind in KEYS.items()}
        self.certificates = scratch.folder("certificates")
        key = self.path / "recipients.key"
        self._key(key, "rsa:2048")
        for number in range(1, RECIPIENTS + 1):
            names = ",".join(f"email:r{number}@{domain}.example" for domain in ("both", "gcm", "encrypt"))
            self._issue(key, f"/O=Test/CN=r{number}", self.certificates / f"r{number}.pem", self.cert, self.key,
                        ["basicConstraints=CA:FALSE", "keyUsage=critical,digitalSignature,keyEncipherment",
                         "subjectKeyIdentifier=hash", "authorityKeyIdentifier=keyid", f"subjectAltName={names}",
                         "extendedKeyUsage=emailProtection"])


def large_crls(scratch, users, count=1000000):
    """A folder like that of the authority, but for the CRL of the issuing one, which revokes a million others."""
    folder, base = scratch.folder("crls-large"), users.path / "crl-large"
    base.mkdir()
    with open(base / "index.txt", "w", encoding="ascii") as out:
        out.writelines(f"R\t400101000000Z\t250101000000Z\t{(1 << 100) + number * 7919:X}\tunknown\t/CN=x\n"
                       for number in range(count))
    (base / "number").write_text("02\n")
    config = base / "ca.cnf"
    config.write_text(f"[ca]\ndefault_ca=c\n[c]\ndatabase={base}/index.txt\ncrlnumber={base}/number\n"
                      "default_md=sha256\n[e]\nauthorityKeyIdentifier=keyid\n")
    run("openssl", "ca", "-gencrl", "-config", config, "-crlexts", "e", "-crldays", "30", "-cert", users.cert,
        "-keyfile", users.key, "-out", base / "sub.pem")
    run("openssl", "crl", "-in", base / "sub.pem", "-outform", "DER", "-out", folder / "sub.crl")
    shutil.copy(users.crls / "root.pem", folder)
    return folder


def text(octets):
    """Lines of 76 characters that no hop would change, `octets` long at least."""
    line = b"All work and no play makes a long message of many lines, each of seventy-six.\r\n"
    return line * -(-octets // len(line))


class Messages:
    """Signed messages of every size as files, made once: path(kind, size); clear, opaque, or encrypted around a clear one."""

    def __init__(self, scratch, users):
        self.folder = scratch.folder("messages")
        self.users = users
        self.made = {}

    def path(self, kind, size, sender="rsa2048"):
        if (kind, size, sender) not in self.made:
            self.made[kind, size, sender] = self._make(kind, size, sender)
        return self.made[kind, size, sender]

    def _make(self, kind, size, sender):
        entity, signed = self.folder / "entity", self.folder / f"{kind}-{size}-{sender}"
        entity.write_bytes(b"Content-Type: text/plain; charset=us-ascii\r\n\r\n" + text(SIZES[size]))
        key, certificate = self.users.senders[sender]
        run("openssl", "cms", "-sign", "-binary", "-in", entity, "-signer", certificate, "-inkey", key, "-certfile",
            self.users.cert, "-md", "sha256", "-out", signed, *(["-nodetach"] if kind == "opaque" else []))
        if kind == "encrypted":
            entity.write_bytes(signed.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
            run("openssl", "cms", "-encrypt", "-binary", "-aes256", "-in", entity, "-out", signed, certificate)
        head = f"From: {sender}@example.org\nTo: r1@inside.example\nSubject: signed\n"
        signed.write_bytes(head.encode() + signed.read_bytes())
        return signed


def load(milter, process=None, **options):
    """One run of the load generator; its figures as a dictionary."""
    letters = {"connections": "c", "messages": "n", "seconds": "d", "per_connection": "m", "body": "b", "file": "f",
               "recipients": "r", "sender": "F", "to": "T", "daemon": "D", "offer": "N", "save": "o", "offered": "R"}
    command = [str(TOOLS / "mload"), "-s", milter]
    for name, value in options.items():
        command += [f"-{letters[name]}", str(value)]
    if process:
        command += ["-p", str(process)]
    done = subprocess.run(command, capture_output=True, check=False, timeout=600)
    if not done.stdout:
        raise RuntimeError(f"{command}: {done.stderr.decode()}")
    figures = json.loads(done.stdout)
    figures["lost"] = figures["failed"] + figures["tempfailed"] + figures["rejected"]
    return figures


class Filter:
    """A process behind a milter socket."""

    def __init__(self, scratch, name, command, socket):
        self.socket = socket
        self.process = subprocess.Popen([str(c) for c in command], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=open(scratch.path / f"{name}.log", "ab"))
        scratch.add(self.stop)
        wait_until(self._answers, 20, f"filter {name}")

    def _answers(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"a filter ended with {self.process.returncode}")
        return load(self.socket, messages=1, sender="nobody@nowhere.example", to="nobody@pass.example")["messages"] == 1 \
            if self._listens() else False

    def _listens(self):
        path = self.socket.removeprefix("unix:").removeprefix("local:")
        return self.socket.startswith("inet:") or os.path.exists(path)

    def stop(self):
        stop_process(self.process)

    @property
    def pid(self):
        return self.process.pid

    def load(self, **options):
        return load(self.socket, self.pid, **options)


def bare(scratch, mode, *arguments, inet=False):
    name = "bare-" + mode.replace("+", "-unanswered") + "-" + str(abs(hash(arguments)) % 100000)
    socket = f"inet:{free_port()}@127.0.0.1" if inet else f"unix:{scratch.path}/{name}.sock"
    return Filter(scratch, name, [TOOLS / "bare", socket, mode, *arguments], socket)


def pipe(scratch, users):
    """`openssl cms -sign` as the filter: a process per message that reads its key anew."""
    key, certificate = users.senders["rsa2048"]
    return bare(scratch, "pipe", "openssl", "cms", "-sign", "-binary", "-signer", certificate, "-inkey", key,
                "-certfile", users.cert, "-md", "sha256")


def opendkim(scratch, users):
    """OpenDKIM as Debian has it, signing with the same RSA-2048 key."""
    folder = scratch.folder("opendkim")
    config = folder / "opendkim.conf"
    socket = f"{folder}/socket"
    config.write_text(f"Syslog no\nMode s\nDomain example.org\nSelector s1\nKeyFile {users.senders['rsa2048'][0]}\n"
                      f"Socket local:{socket}\nInternalHosts 127.0.0.1\nPidFile {folder}/pid\nUMask 000\n"
                      "RequireSafeKeys no\nCanonicalization relaxed/simple\n")
    return Filter(scratch, "opendkim", ["opendkim", "-f", "-x", config], f"unix:{socket}")


class Gateway(Smimed):
    """smimed with a rule for each kind of work."""

    def __init__(self, scratch, users, name="smimed", config="", crls=None):
        trust = trust_config(users)
        if crls:
            trust = trust.replace(str(users.crls), str(crls))
        super().__init__(scratch, config + CONFIG.format(certificates=users.certificates) + trust, name=name, start=False)
        for sender in users.senders.values():
            users.install_pair(self.keys, *sender)
        self.start()

    @property
    def pid(self):
        return self.process.pid

    def load(self, **options):
        return load(self.milter, self.pid, **options)


# work: (kind of message, recipient)
INBOUND = {"verify": ("clear", "r1@inside.example"), "verify opaque": ("opaque", "r1@inside.example"),
           "decrypt": ("encrypted", "rsa2048@example.org")}


def work_options(work, size, messages, key="rsa2048"):
    """What the load generator is told for one kind of work."""
    sender = f"{key}@example.org"
    if work in INBOUND:
        kind, to = INBOUND[work]
        return {"file": messages.path(kind, size, key), "daemon": "in", "sender": sender, "to": to}
    to = {"sign": "r%@sign.example", "both": "r%@both.example", "gcm": "r%@gcm.example", "pass": "r%@pass.example"}
    if work.startswith("encrypt"):
        return {"body": SIZES[size], "sender": sender, "to": "r%@encrypt.example", "recipients": int(work.split()[1])}
    return {"body": SIZES[size], "sender": sender, "to": to[work]}
