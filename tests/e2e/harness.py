"""What the end-to-end tests stand on: scratch folders, a throw-away CA, a private Postfix, SMTP sinks, smimed.

Everything runs on loopback, in one scratch folder, and is ended by its process id. Nothing here is smimed's own code:
certificates come from the openssl command, mail is read by Python.

A test module has functions named test_*; each is independent, and one that cannot run raises Skip with the reason.
"""

import base64
import contextlib
import datetime
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("SMIMED_BUILD", TOP / "build/out"))
SMIMED = BUILD / "smimed"
SMIMECTL = BUILD / "smimectl"
CORPORA = os.environ.get("SMIMED_CORPORA", "")
# Sanitizers and valgrind make everything slower; every wait below is multiplied by this.
PATIENCE = float(os.environ.get("SMIMED_PATIENCE", "1"))


class Skip(Exception):
    """The test cannot run here; the text says why."""


def corpus(name):
    """The folder of a corpus, or Skip."""
    if not CORPORA:
        raise Skip("SMIMED_CORPORA is not set")
    path = pathlib.Path(CORPORA).resolve() / name
    if not path.is_dir():
        raise Skip(f"no corpus {name} in {CORPORA}")
    return path


def need_root():
    if os.geteuid() != 0:
        raise Skip("needs root: Postfix's master runs as root")


def wait_until(condition, seconds, what):
    """Polls; a failed wait is a failed test that says what was missing."""
    end = time.monotonic() + seconds * PATIENCE
    while time.monotonic() < end:
        result = condition()
        if result:
            return result
        time.sleep(0.02)
    raise AssertionError(f"after {seconds * PATIENCE:.0f} s still no {what}")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def run(*command, stdin=None, check=True, **more):
    """Runs a command, returns it with stdout and stderr as bytes."""
    done = subprocess.run([str(c) for c in command], input=stdin, capture_output=True,
                          timeout=600 * PATIENCE, **more)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))}: exit {done.returncode}\n"
                             f"{done.stdout[-2000:].decode(errors='replace')}"
                             f"{done.stderr[-4000:].decode(errors='replace')}")
    return done


class Scratch:
    """A folder that goes away, and everything that was started in it."""

    def __init__(self, name="test"):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix=f"smimed-{name}-", dir="/tmp"))
        self.path.chmod(0o755)
        self.closers = []

    def folder(self, name, mode=0o755):
        path = self.path / name
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(mode)
        return path

    def add(self, closer):
        self.closers.append(closer)

    def close(self):
        for closer in reversed(self.closers):
            try:
                closer()
            except Exception as error:  # a closer must not hide the others
                print(f"# while cleaning up: {error}", file=sys.stderr)
        self.closers = []
        if os.environ.get("SMIMED_KEEP"):
            print(f"# kept: {self.path}")
        else:
            shutil.rmtree(self.path, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def stop_process(process, seconds=10):
    """Ends a process by its id, kindly first."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(seconds * PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    return process.returncode


# ---- certificates ------------------------------------------------------------------------------


class Authority:
    """A throw-away CA: a root, one intermediate, users. All by the openssl command."""

    def __init__(self, scratch, name="ca"):
        self.path = scratch.folder(name)
        self.serial = 1000
        self.revoked = []
        self.used = {} if name == "ca" else {"rsa:2048": 500}
        self.root_key, self.root = self.path / "root.key", self.path / "root.pem"
        self.key, self.cert = self.path / "sub.key", self.path / "sub.pem"
        self._key(self.root_key, "rsa:2048")
        self._key(self.key, "rsa:2048")
        config = self.path / "openssl.cnf"
        config.write_text("[req]\ndistinguished_name = dn\n[dn]\n")
        self.config = config
        run("openssl", "req", "-x509", "-new", "-config", config, "-key", self.root_key, "-days", "3650",
            "-sha256", "-subj", f"/O=Test/CN={name} root", "-out", self.root,
            "-addext", "basicConstraints=critical,CA:TRUE",
            "-addext", "keyUsage=critical,keyCertSign,cRLSign",
            "-addext", "subjectKeyIdentifier=hash")
        self._issue(self.key, f"/O=Test/CN={name} issuing", self.cert, self.root, self.root_key, [
            "basicConstraints=critical,CA:TRUE,pathlen:0", "keyUsage=critical,keyCertSign,cRLSign",
            "subjectKeyIdentifier=hash", "authorityKeyIdentifier=keyid"])
        self.anchors = self.path / "anchors"
        self.intermediates = self.path / "intermediates"
        self.crls = self.path / "crls"
        for folder in (self.anchors, self.intermediates, self.crls):
            folder.mkdir()
        shutil.copy(self.root, self.anchors)
        shutil.copy(self.cert, self.intermediates)
        self.publish()

    # Keys are made once for a test program and used again by the next test's authority: making them is slow.
    made = {}

    def _key(self, path, kind):
        number = self.used[kind] = self.used.get(kind, 0) + 1
        if (kind, number) not in self.made:
            self._make_key(path, kind)
            self.made[kind, number] = path.read_bytes()
        path.write_bytes(self.made[kind, number])
        os.chmod(path, 0o600)

    @staticmethod
    def _make_key(path, kind):
        if kind.startswith("rsa:"):
            run("openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", f"rsa_keygen_bits:{kind[4:]}", "-out", path)
        elif kind.startswith("ec:"):
            run("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", f"ec_paramgen_curve:{kind[3:]}",
                "-pkeyopt", "ec_param_enc:named_curve", "-out", path)
        else:
            run("openssl", "genpkey", "-algorithm", kind, "-out", path)

    def _issue(self, key, subject, out, issuer, issuer_key, extensions, days=730, not_before=None, not_after=None):
        request, ext = str(out) + ".req", str(out) + ".ext"
        run("openssl", "req", "-new", "-config", self.config, "-key", key, "-subj", subject, "-out", request)
        pathlib.Path(ext).write_text("\n".join(extensions) + "\n")
        self.serial += 1
        command = ["openssl", "x509", "-req", "-in", request, "-CA", issuer, "-CAkey", issuer_key, "-sha256",
                   "-set_serial", str(self.serial), "-extfile", ext, "-out", out, "-days", str(days)]
        if not_after is not None:
            # x509 -req has no start date in OpenSSL 3.0: `openssl ca` does.
            command = self._ca_command(request, ext, out, issuer, issuer_key, not_before, not_after)
        run(*command)
        os.unlink(request)
        os.unlink(ext)

    def _ca_command(self, request, ext, out, issuer, issuer_key, not_before, not_after):
        base = self.path / f"db{self.serial}"
        base.mkdir()
        (base / "index.txt").write_text("")
        (base / "serial").write_text(f"{self.serial:08X}\n")
        config = base / "ca.cnf"
        config.write_text(f"[ca]\ndefault_ca=c\n[c]\ndatabase={base}/index.txt\nserial={base}/serial\n"
                          f"new_certs_dir={base}\ndefault_md=sha256\npolicy=p\nunique_subject=no\n"
                          "[p]\nO=optional\nCN=optional\nemailAddress=optional\n")
        stamp = "%Y%m%d%H%M%SZ"
        return ["openssl", "ca", "-batch", "-notext", "-config", config, "-in", request, "-cert", issuer,
                "-keyfile", issuer_key, "-extfile", ext, "-out", out, "-startdate", not_before.strftime(stamp),
                "-enddate", not_after.strftime(stamp)]

    def user(self, address, name=None, kind="rsa:2048", usage="digitalSignature,keyEncipherment", eku="emailProtection",
             san=None, days=730, valid=None):
        """Issues a leaf; returns (key, certificate) paths. `valid`: (first, last) as datetimes."""
        name = name or f"{address.replace('@', '_at_')}-{self.serial + 1}"
        key, cert = self.path / f"{name}.key", self.path / f"{name}.pem"
        self._key(key, kind)
        extensions = ["basicConstraints=CA:FALSE", f"keyUsage=critical,{usage}", "subjectKeyIdentifier=hash",
                      "authorityKeyIdentifier=keyid", f"subjectAltName={san or 'email:' + address}"]
        if eku:
            extensions.append(f"extendedKeyUsage={eku}")
        first, last = valid or (None, None)
        self._issue(key, f"/O=Test/CN={name}", cert, self.cert, self.key, extensions, days, first, last)
        return key, cert

    def publish(self, days=30):
        """Writes fresh CRLs of root and intermediate into crls/."""
        for label, cert, key, revoked in (("root", self.root, self.root_key, []),
                                          ("sub", self.cert, self.key, self.revoked)):
            base = self.path / f"crl-{label}"
            base.mkdir(exist_ok=True)
            lines = []
            for serial in revoked:
                lines.append(f"R\t400101000000Z\t250101000000Z\t{serial}\tunknown\t/CN=x\n")
            (base / "index.txt").write_text("".join(lines))
            number = base / "crlnumber"
            if not number.exists():
                number.write_text("01\n")
            config = base / "ca.cnf"
            config.write_text(f"[ca]\ndefault_ca=c\n[c]\ndatabase={base}/index.txt\ncrlnumber={number}\n"
                              "default_md=sha256\n[e]\nauthorityKeyIdentifier=keyid\n")
            run("openssl", "ca", "-gencrl", "-config", config, "-crlexts", "e", "-crldays", str(days), "-cert", cert,
                "-keyfile", key, "-out", self.crls / f"{label}.pem.new")
            os.replace(self.crls / f"{label}.pem.new", self.crls / f"{label}.pem")

    def revoke(self, cert):
        text = run("openssl", "x509", "-in", cert, "-noout", "-serial").stdout.decode()
        self.revoked.append(text.strip().split("=")[1])
        self.publish()

    def install_pair(self, folder, key, cert, name=None):
        """Puts key, certificate and chain as one PEM file into a keys folder."""
        target = pathlib.Path(folder) / f"{name or pathlib.Path(cert).stem}.pem"
        target.write_bytes(pathlib.Path(key).read_bytes() + pathlib.Path(cert).read_bytes() + self.cert.read_bytes())
        target.chmod(0o600)
        return target


# ---- mail --------------------------------------------------------------------------------------


class Sink:
    """An SMTP server that keeps what it gets, octet for octet, as the last hop of the private Postfix."""

    def __init__(self, scratch, eightbit=True, utf8=True):
        self.eightbit, self.utf8 = eightbit, utf8
        self.messages = []  # (sender line, [recipient lines], octets)
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.closed = False
        # The listener is closed by the thread that accepts on it: an accept that outlives its socket could take what
        # is meant for the next sink.
        self.listener.settimeout(0.1)
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()
        scratch.add(self.close)

    def close(self):
        self.closed = True
        self.thread.join()

    def _accept(self):
        while not self.closed:
            try:
                peer, _ = self.listener.accept()
            except TimeoutError:
                continue
            peer.settimeout(None)
            threading.Thread(target=self._talk, args=(peer,), daemon=True).start()
        self.listener.close()

    def _talk(self, peer):
        with contextlib.suppress(OSError), peer, peer.makefile("rb") as lines:
            peer.sendall(b"220 sink ESMTP\r\n")
            sender, recipients = "", []
            for line in lines:
                verb = line[:4].upper()
                if verb == b"EHLO":
                    answer = [b"sink", b"SIZE 0"]
                    answer += [b"8BITMIME"] if self.eightbit else []
                    answer += [b"SMTPUTF8"] if self.utf8 else []
                    peer.sendall(b"".join(b"250-%s\r\n" % a for a in answer[:-1]) + b"250 %s\r\n" % answer[-1])
                elif verb == b"MAIL":
                    sender, recipients = line.decode(errors="replace").strip(), []
                    peer.sendall(b"250 ok\r\n")
                elif verb == b"RCPT":
                    recipients.append(line.decode(errors="replace").strip())
                    peer.sendall(b"250 ok\r\n")
                elif verb == b"DATA":
                    peer.sendall(b"354 go\r\n")
                    body = []
                    for text in lines:
                        if text == b".\r\n":
                            break
                        body.append(text[1:] if text.startswith(b".") else text)
                    with self.lock:
                        self.messages.append((sender, recipients, b"".join(body)))
                    peer.sendall(b"250 kept\r\n")
                elif verb == b"QUIT":
                    peer.sendall(b"221 bye\r\n")
                    return
                else:
                    peer.sendall(b"250 ok\r\n")

    def wait(self, count, seconds=30):
        wait_until(lambda: len(self.messages) >= count, seconds,
                   f"message {count} at the sink (there are {len(self.messages)})")
        with self.lock:
            return list(self.messages)

    def take(self, count=1, seconds=30):
        """Waits for `count` messages and empties the sink."""
        self.wait(count, seconds)
        with self.lock:
            taken, self.messages = self.messages, []
        return taken

    def find(self, marker, seconds=30):
        """Waits for the message that holds `marker`."""
        def look():
            with self.lock:
                return next((m for m in self.messages if marker in m[2]), None)
        return wait_until(look, seconds, f"message with {marker!r}")


class Smtp:
    """An SMTP client that sends exactly the octets it is given."""

    def __init__(self, port, hello="client.test"):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60 * PATIENCE)
        self.file = self.socket.makefile("rb")
        self.read()
        self.command(f"EHLO {hello}")

    def read(self):
        text = b""
        while True:
            line = self.file.readline()
            if not line:
                raise ConnectionError("the server hung up")
            text += line
            if line[3:4] != b"-":
                return int(line[:3]), text.decode(errors="replace")

    def command(self, line):
        self.socket.sendall((line if isinstance(line, bytes) else line.encode()) + b"\r\n")
        return self.read()

    def login(self, name, password):
        """AUTH PLAIN (RFC 4616); (code, text)."""
        token = base64.b64encode(b"\0" + name.encode() + b"\0" + password.encode()).decode()
        return self.command(f"AUTH PLAIN {token}")

    def send(self, sender, recipients, message, mail_options="", rcpt_options=""):
        """One transaction; (code, text) of the first refusal or of the end."""
        code, text = self.command(f"MAIL FROM:<{sender}>{mail_options}")
        if code != 250:
            return code, text
        for recipient in recipients:
            code, text = self.command(f"RCPT TO:<{recipient}>{rcpt_options}")
            if code != 250:
                self.command("RSET")
                return code, text
        code, text = self.command("DATA")
        if code != 354:
            return code, text
        stuffed = message.replace(b"\r\n.", b"\r\n..")
        if stuffed.startswith(b"."):
            stuffed = b"." + stuffed
        if not stuffed.endswith(b"\r\n"):
            stuffed += b"\r\n"
        self.socket.sendall(stuffed + b".\r\n")
        return self.read()

    def close(self):
        with contextlib.suppress(OSError, ConnectionError):
            self.command("QUIT")
        self.file.close()
        self.socket.close()


def submit(port, sender, recipients, message, **options):
    """One message over a connection of its own; (code, text)."""
    client = Smtp(port)
    try:
        return client.send(sender, recipients, message, **options)
    finally:
        client.close()


def last_of_each(text):
    """main.cf without what a later line says anew. Postfix takes the last one too, but every program warns of it, and
    postlogd does so into its own socket: when ten other lines wait there already it waits for itself, and with it all
    that log, for ever."""
    entries = {}
    for entry in re.split(r"\n(?!\s)", text.strip()):
        name = entry.partition("=")[0].strip()
        entries.pop(name, None)
        entries[name] = entry
    return "\n".join(entries.values()) + "\n"


def cool(folder):
    """Every program of Postfix waits two seconds before it believes a main.cf that was written just now."""
    os.utime(folder / "main.cf", (time.time() - 3600,) * 2)


class Postfix:
    """A private Postfix below the scratch folder. `services`: {name: {option: value}}, each with a port of its own.
    `logins`: names that can log in (SASL), all with one password; without "@" they are of the realm mx.test."""

    password = "open sesame"

    def __init__(self, scratch, sink_port, milter, services=None, main="", action="tempfail", logins=()):
        need_root()
        if not shutil.which("postfix"):
            raise Skip("Postfix is not installed")
        self.path = scratch.folder("postfix")
        self.config = self.path / "etc"
        self.config.mkdir()
        if logins:
            main += self._make_logins(logins)
        self._make_folders()
        self.log = self.path / "log"
        LOGS.append(self.log)
        self.ports = {}
        (self.config / "main.cf").write_text(last_of_each(f"""compatibility_level = 3.6
queue_directory = {self.path}/queue
data_directory = {self.path}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
maillog_file = {self.log}
maillog_file_prefixes = {self.path}
myhostname = mx.test
mydestination =
local_recipient_maps =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
relay_domains =
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_recipient_restrictions = permit_mynetworks, reject
relayhost = [127.0.0.1]:{sink_port}
default_transport = smtp
relay_transport = smtp
alias_maps =
alias_database =
smtp_host_lookup = native
disable_dns_lookups = yes
smtputf8_enable = yes
smtputf8_autodetect_classes = all
smtpd_milters = {milter}
non_smtpd_milters = {milter}
milter_default_action = {action}
milter_protocol = 6
milter_connect_timeout = 10s
milter_command_timeout = 60s
milter_content_timeout = 300s
message_size_limit = 0
mailbox_size_limit = 0
header_size_limit = 1024000
line_length_limit = 2048
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
default_process_limit = 100
smtpd_banner = mx.test
smtp_tls_security_level = none
smtpd_tls_security_level = none
minimal_backoff_time = 2s
maximal_backoff_time = 4s
queue_run_delay = 2s
smtpd_soft_error_limit = 1000
smtpd_hard_error_limit = 2000
smtpd_error_sleep_time = 0
{main}
"""))
        master = []
        for name, options in (services or {"out": {}}).items():
            self.ports[name] = free_port()
            master.append(f"127.0.0.1:{self.ports[name]} inet n - n - - smtpd\n"
                          + "".join(f"  -o {{ {key} = {value} }}\n" for key, value in options.items()))
        master.append("""pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
tlsmgr unix - - n 1000? 1 tlsmgr
""")
        (self.config / "master.cf").write_text("".join(master))
        cool(self.config)
        self.process = subprocess.Popen(["/usr/sbin/postfix", "-c", str(self.config), "start-fg"],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=open(self.path / "stderr", "wb"), start_new_session=True)
        scratch.add(self.close)
        for port in self.ports.values():
            wait_until(lambda port=port: self._answers(port), 30, "Postfix")

    def _make_folders(self):
        """What `postfix check` would make (postfix-files), so that quick-start can leave that second of shell out."""
        (self.path / "data").mkdir()
        shutil.chown(self.path / "data", "postfix", "postfix")
        queue = self.path / "queue"
        queue.mkdir()
        for name in ("active bounce corrupt defer deferred flush hold incoming private saved trace maildrop public pid").split():
            owner, group, mode = {"maildrop": ("postfix", "postdrop", 0o730), "public": ("postfix", "postdrop", 0o710),
                                  "pid": ("root", "root", 0o755)}.get(name, ("postfix", "root", 0o700))
            (queue / name).mkdir()
            shutil.chown(queue / name, owner, group)
            (queue / name).chmod(mode)
        (queue / "quick-start").touch()

    def _make_logins(self, names):
        if not shutil.which("saslpasswd2"):
            raise Skip("sasl2-bin is not installed")
        path = self.config / "sasl"  # Debian's Postfix looks there, whatever cyrus_sasl_config_path says
        path.mkdir()
        database = path / "sasldb2"
        for name in names:
            user, _, realm = name.partition("@")
            run("saslpasswd2", "-p", "-c", "-f", database, "-u", realm or "mx.test", user, stdin=self.password.encode())
        shutil.chown(database, "postfix", "postfix")
        (path / "smtpd.conf").write_text("pwcheck_method: auxprop\nauxprop_plugin: sasldb\nmech_list: PLAIN\n"
                                         f"sasldb_path: {database}\n")
        return "smtpd_sasl_auth_enable = yes\nsmtpd_sasl_local_domain = mx.test\n"

    def _answers(self, port):
        if self.process.poll() is not None:
            raise AssertionError("Postfix ended: " + (self.path / "stderr").read_text() + self.text())
        with contextlib.suppress(OSError):
            with socket.create_connection(("127.0.0.1", port), timeout=5):
                return True
        return False

    @property
    def port(self):
        return next(iter(self.ports.values()))

    def close(self):
        # master is its own session leader; its pid is in its pid file.
        file = self.path / "queue/pid/master.pid"
        pid = int(file.read_text().strip()) if file.exists() else None
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            if pid:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
            self.process.kill()
            self.process.wait()

    def text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def queue(self):
        """Queue-ids that are in the queue now, with their queue ('incoming', 'hold', ...)."""
        found = []
        for name in ("maildrop", "incoming", "active", "deferred", "hold", "corrupt"):
            for path in (self.path / "queue" / name).rglob("*"):
                if path.is_file():
                    found.append((name, path.name))
        return found

    def command(self, *command):
        done = run(command[0], "-c", self.config, *command[1:])
        cool(self.config)
        return done


class Sendmail:
    """A private Sendmail, unpacked into build/sendmail by tests/deps.sh, that relays everything to the sink."""

    def __init__(self, scratch, sink_port, milter, copies_port=None):
        need_root()
        root = TOP / "build/sendmail"
        self.binary = root / "usr/libexec/sendmail/sendmail"
        if not self.binary.exists():
            raise Skip("Sendmail is not unpacked (tests/deps.sh check)")
        self.path = scratch.folder("sendmail")
        self.port = free_port()
        queue = scratch.folder("sendmail/queue", 0o700)
        copies = (f"DAEMON_OPTIONS(`Name=smimed-copies, Addr=127.0.0.1, Port={copies_port}, Family=inet')\n"
                  if copies_port else "")
        cf = root / "usr/share/sendmail/cf"
        macro = self.path / "sendmail.mc"
        macro.write_text(f"""divert(-1)
define(`_CF_DIR_', `{cf}/')
include(`{cf}/m4/cf.m4')
divert(0)
VERSIONID(`test')
OSTYPE(`linux')
define(`QUEUE_DIR', `{queue}')
define(`STATUS_FILE', `{self.path}/status')
define(`HELP_FILE', `{self.path}/help')
define(`ALIAS_FILE', `{self.path}/aliases')
define(`confPID_FILE', `{self.path}/pid')
define(`confCONTROL_SOCKET_NAME', `')
define(`confDONT_PROBE_INTERFACES', `True')
define(`confDOMAIN_NAME', `mx.test')
define(`confDEF_USER_ID', `nobody:nogroup')
define(`confTRUSTED_USER', `root')
define(`confDONT_BLAME_SENDMAIL', `GroupWritableDirPathSafe,GroupWritableForwardFileSafe,AssumeSafeChown')
define(`confLOG_LEVEL', `14')
define(`confTO_IDENT', `0')
define(`confREFUSE_LA', `1000')
define(`confQUEUE_LA', `1000')
define(`SMART_HOST', `relay:[127.0.0.1]')
define(`RELAY_MAILER_ARGS', `TCP $h {sink_port}')
define(`LOCAL_RELAY', `relay:[127.0.0.1]')
define(`MAIL_HUB', `relay:[127.0.0.1]')
FEATURE(`no_default_msa')
FEATURE(`nocanonify')
FEATURE(`promiscuous_relay')
FEATURE(`accept_unresolvable_domains')
FEATURE(`accept_unqualified_senders')
DAEMON_OPTIONS(`Name=MTA, Addr=127.0.0.1, Port={self.port}, Family=inet')
{copies}INPUT_MAIL_FILTER(`smimed', `S={milter}, F=T, T=C:1m;S:1m;R:2m;E:5m')
define(`confMILTER_MACROS_ENVFROM', `i, {{auth_type}}, {{auth_authen}}')
MAILER(`smtp')
""")
        (self.path / "aliases").write_text("")
        config = self.path / "sendmail.cf"
        config.write_bytes(run("m4", macro).stdout)
        (self.path / "service.switch").write_text("hosts files\naliases files\n")
        with config.open("a") as out:
            out.write(f"O ServiceSwitchFile={self.path}/service.switch\n")
        # A host name without a dot makes Sendmail sleep for a minute: it gets a name of its own where that can be had.
        command = [str(self.binary), f"-C{config}", "-bD", "-q1h", "-OLogLevel=14", f"-X{self.path}/traffic"]
        if run("unshare", "--uts", "hostname", "mx.test", check=False).returncode == 0:
            command = ["unshare", "--uts", "sh", "-c", 'hostname mx.test; exec "$0" "$@"', *command]
        self.process = subprocess.Popen(command,
                                        stdin=subprocess.DEVNULL, stdout=open(self.path / "stdout", "wb"),
                                        stderr=subprocess.STDOUT)
        scratch.add(lambda: stop_process(self.process))
        wait_until(self._answers, 90, "Sendmail")

    def _answers(self):
        if self.process.poll() is not None:
            raise AssertionError("Sendmail ended: " + (self.path / "stdout").read_text())
        with contextlib.suppress(OSError):
            with socket.create_connection(("127.0.0.1", self.port), timeout=5):
                return True
        return False


class Smimed:
    """The daemon under test with a configuration of the test's."""

    def __init__(self, scratch, config, name="smimed", start=True, environment=None):
        if not SMIMED.exists():
            raise Skip(f"{SMIMED} is not built")
        self.path = scratch.folder(name)
        for folder in ("state", "spool", "keys"):
            (self.path / folder).mkdir(exist_ok=True)
            (self.path / folder).chmod(0o700)
        self.socket = self.path / "milter.sock"
        self.control = self.path / "control.sock"
        self.file = self.path / "smimed.conf"
        self.log = self.path / "log"
        LOGS.append(self.log)
        self.environment = environment or {}
        self.base = (f'socket = "unix:{self.socket}"\nsocket_mode = 0666\ncontrol_socket = "{self.control}"\n'
                     f'user = root\nstate_folder = "{self.path}/state"\nspool_folder = "{self.path}/spool"\n'
                     f'keys_folder = "{self.path}/keys"\nauthserv_id = mx.test\nhostname = mx.test\nlog = stderr\n')
        self.configure(config)
        self.process = None
        scratch.add(self.stop)
        if start:
            self.start()

    @property
    def keys(self):
        return self.path / "keys"

    @property
    def milter(self):
        return f"unix:{self.socket}"

    def configure(self, config):
        """The test's lines win over the harness' own parameters of the same name."""
        given = {line.split("=")[0].strip() for line in config.splitlines() if "=" in line and not line.startswith(" ")}
        base = "".join(line + "\n" for line in self.base.splitlines() if line.split("=")[0].strip() not in given)
        self.file.write_text(base + config)
        self.file.chmod(0o600)

    def start(self):
        environment = dict(os.environ, **self.environment)
        self.process = subprocess.Popen([str(SMIMED), "-f", "-c", str(self.file)], stdin=subprocess.DEVNULL,
                                        stdout=open(self.log, "ab"), stderr=subprocess.STDOUT, env=environment)
        wait_until(self._answers, 20, f"smimed ({self.text()[-2000:]})")

    def _answers(self):
        if self.process.poll() is not None:
            raise AssertionError(f"smimed ended with {self.process.returncode}: {self.text()[-4000:]}")
        inet = re.search(r'^socket = "?inet:(\d+)@', self.file.read_text(), re.M)
        with contextlib.suppress(OSError):
            if inet:
                socket.create_connection(("127.0.0.1", int(inet.group(1))), timeout=5).close()
                return True
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(str(self.socket))
            return True
        return False

    def stop(self):
        if self.process:
            code = stop_process(self.process)
            self.process = None
            return code
        return 0

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process = None

    def text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def outcomes(self):
        """The outcome lines so far, as dictionaries."""
        found = []
        for line in self.text().splitlines():
            if " dir=" in line and " result=" in line:
                found.append({part.split("=", 1)[0]: part.split("=", 1)[1]
                              for part in line.split() if "=" in part})
        return found

    def wait_outcomes(self, count, seconds=20):
        wait_until(lambda: len(self.outcomes()) >= count, seconds, f"outcome line {count}")
        return self.outcomes()

    def status(self, name):
        """A line of /proc/PID/status as kilobytes: VmRSS, VmHWM."""
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1])
        raise KeyError(name)

    def reset_peak(self):
        pathlib.Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")


def trust_config(authority, name="default"):
    return (f'trust "{name}" {{\n    anchors = "{authority.anchors}"\n'
            f'    intermediates = "{authority.intermediates}"\n    crls = "{authority.crls}"\n}}\n')


def smimectl(*arguments, stdin=None, check=False):
    if not SMIMECTL.exists():
        raise Skip(f"{SMIMECTL} is not built")
    return run(SMIMECTL, *arguments, stdin=stdin, check=check)


def openssl_verify(message, root, certificates=None, out=None, extra=()):
    """`openssl cms -verify` of a whole message against a root; returns the content, or raises."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder)
        (path / "m").write_bytes(message)
        command = ["openssl", "cms", "-verify", "-in", path / "m", "-CAfile", root, "-purpose", "any", "-out",
                   path / "o", *extra]
        if certificates:
            command += ["-certfile", certificates]
        run(*command)
        return (path / "o").read_bytes()


def openssl_decrypt(message, key, cert):
    """`openssl cms -decrypt` of a whole message; returns the inner entity, or raises."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder)
        (path / "m").write_bytes(message)
        run("openssl", "cms", "-decrypt", "-in", path / "m", "-inkey", key, "-recip", cert, "-out", path / "o")
        return (path / "o").read_bytes()


def now():
    return datetime.datetime.now(datetime.timezone.utc)


LOGS = []  # of every Postfix and smimed of this module, while they last


def evidence():
    """What the programs of a failed test said last, where their scratch folder is still there."""
    lines = []
    for log in LOGS:
        if log.exists():
            lines += [f"{log}: {line[:300]}" for line in log.read_text(errors="replace").splitlines()[-8:]]
    return lines


def main(namespace):
    """Runs the test_* functions of a module, TAP on stdout: `main(globals())`. Names on the command line choose."""
    chosen = sys.argv[1:]
    tests = [(name, function) for name, function in namespace.items()
             if name.startswith("test_") and callable(function) and (not chosen or name in chosen)]
    print(f"1..{len(tests)}")
    failed = 0
    for number, (name, function) in enumerate(tests, 1):
        begin = time.monotonic()
        try:
            function()
            result = f"ok {number} - {name}"
        except Skip as reason:
            result = f"ok {number} - {name} # SKIP {reason}"
        except Exception as error:
            import traceback
            failed += 1
            for line in traceback.format_exc().splitlines() + evidence():
                print(f"# {line}")
            result = f"not ok {number} - {name}"
        print(f"{result}" if "SKIP" in result else f"{result} ({time.monotonic() - begin:.1f} s)", flush=True)
    for closer in namespace.get("CLOSERS", []):
        closer()
    sys.exit(1 if failed else 0)
