"""Directories for the tests of groups: one organisation, written as a file, served by a private slapd, or held by a private Active
Directory (Samba). All on loopback, in the scratch folder, ended by their process ids."""

import base64
import contextlib
import os
import shutil
import socket
import subprocess

from harness import Skip, free_port, need_root, run, stop_process, wait_until

BASE = "dc=corp,dc=example"


class Organisation:
    """People and groups; a group's members are names of either, addresses (with @), URLs (ldap:), DNs (with =) or alias names."""

    def __init__(self, base=BASE):
        self.base = base
        self.entries = {}  # name: (kind, address, certificate, members)

    def person(self, name, address=None, certificate=None, kind="user"):
        self.entries[name] = (kind, address, certificate, [])
        return self

    def group(self, name, address=None, members=(), kind="group"):
        self.entries[name] = (kind, address, None, list(members))
        return self

    def dn(self, name):
        return f"{'cn' if self.entries[name][0] in ('group', 'alias', 'unique', 'dynamic') else 'uid'}={name},{self.base}"

    @staticmethod
    def der(certificate):
        der = run("openssl", "x509", "-in", certificate, "-outform", "DER").stdout
        return base64.b64encode(der).decode()

    def members(self, names):
        """(attribute, value) of each; an alias names its members in one attribute of its own."""
        for name in names:
            if name.startswith("ldap:"):
                yield "memberURL", name
            elif "@" in name:
                yield "rfc822MailMember", name
            elif "=" in name:
                yield "member", name
            else:
                yield "member", self.dn(name)

    def ldif(self):
        """For the file backend and for slapd alike."""
        text = [f"dn: {self.base}\nobjectClass: dcObject\nobjectClass: organization\n"
                f"dc: {self.base.split('=')[1].split(',')[0]}\no: corp\n"]
        for name, (kind, address, certificate, members) in self.entries.items():
            lines = [f"dn: {self.dn(name)}"]
            if kind == "user":
                lines += ["objectClass: inetOrgPerson", f"uid: {name}", f"cn: {name}", f"sn: {name}"]
            elif kind == "alias":
                lines += ["objectClass: nisMailAlias", "objectClass: extensibleObject", f"cn: {name}"]
                members = [m if "@" in m or m.startswith("ldap:") else f"NAME {m}" for m in members]
            elif kind == "dynamic":
                lines += ["objectClass: groupOfURLs", "objectClass: extensibleObject", f"cn: {name}"]
            elif kind == "unique":
                lines += ["objectClass: groupOfUniqueNames", "objectClass: extensibleObject", f"cn: {name}"]
            else:
                lines += ["objectClass: groupOfNames", "objectClass: extensibleObject", f"cn: {name}"]
            if address:
                lines.append(f"mail: {address}")
            if certificate:
                lines.append(f"userCertificate;binary:: {self.der(certificate)}")
            if kind == "alias":
                lines += [f"rfc822MailMember: {m.removeprefix('NAME ')}" for m in members]
            else:
                lines += [f"{'uniqueMember' if kind == 'unique' and a == 'member' else a}: {v}" for a, v in self.members(members)]
            text.append("\n".join(lines) + "\n")
        return "\n".join(text)

    def large(self, people, groups=12, kind="user"):
        """`people` in nested groups, one in ten of them in the next group too, and two cycles; the first group is all."""
        lists = [[] for _ in range(groups)]
        for number in range(people):
            self.person(f"p{number}", f"p{number}@corp.example", kind=kind)
            lists[number % groups].append(f"p{number}")
            if number % 10 == 0:
                lists[(number + 1) % groups].append(f"p{number}")
        for number in range(groups):
            lists[number].append(f"g{(number + 1) % groups}")
        lists[5].append("g2")
        for number in range(groups):
            self.entries[f"g{number}"] = ("group", f"g{number}@corp.example", None, [])
        for number in range(groups):
            self.group(f"g{number}", f"g{number}@corp.example", lists[number])
        return self


class File:
    """The organisation as an LDIF file."""

    def __init__(self, scratch, organisation):
        self.path = scratch.path / "people.ldif"
        self.path.write_text(organisation.ldif())
        self.path.chmod(0o644)

    def config(self, name="people"):
        return f'directory "{name}" {{\n    ldif = "{self.path}"\n}}\n'


class Slapd:
    """A private OpenLDAP that holds the organisation."""

    SCHEMAS = ("core", "cosine", "inetorgperson", "misc", "nis", "dyngroup")

    def __init__(self, scratch, organisation, limit=None):
        if not shutil.which("slapd", path="/usr/sbin:/usr/bin"):
            raise Skip("slapd is not installed")
        self.path = scratch.folder("slapd")
        (self.path / "db").mkdir()
        self.port = free_port()
        self.base = organisation.base
        config = self.path / "slapd.conf"
        config.write_text("".join(f"include /etc/ldap/schema/{s}.schema\n" for s in self.SCHEMAS if s != "nis")
                          + f"pidfile {self.path}/pid\nmodulepath /usr/lib/ldap\nmoduleload back_mdb\n"
                          + f"sizelimit {limit or 'unlimited'}\n"
                          f"database mdb\nmaxsize 1073741824\nsuffix \"{self.base}\"\ndirectory {self.path}/db\n"
                          "index objectClass,mail,uid,cn eq\naccess to * by * read\n")
        ldif = self.path / "people.ldif"
        ldif.write_text(organisation.ldif())
        run("/usr/sbin/slapadd", "-q", "-f", config, "-l", ldif)
        self.process = subprocess.Popen(["/usr/sbin/slapd", "-d", "0", "-h", f"ldap://127.0.0.1:{self.port}", "-f", config],
                                        stdin=subprocess.DEVNULL, stdout=open(self.path / "log", "wb"), stderr=subprocess.STDOUT)
        scratch.add(self.stop)
        wait_until(self._answers, 20, "slapd")

    def _answers(self):
        if self.process.poll() is not None:
            raise AssertionError("slapd ended: " + (self.path / "log").read_text(errors="replace"))
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
            return True
        return False

    def stop(self):
        stop_process(self.process)

    def config(self, name="people", extra=""):
        return (f'directory "{name}" {{\n    servers = ldap://127.0.0.1:{self.port}\n    base = "{self.base}"\n'
                f'    schema = openldap\n    starttls = no\n{extra}}}\n')


class ActiveDirectory:
    """A private domain controller of Samba's. Its ports are fixed, so it has a loopback address of its own."""

    def __init__(self, scratch, organisation):
        need_root()
        if not shutil.which("samba-tool"):
            raise Skip("samba-ad-dc is not installed")
        self.path = scratch.folder("samba")
        self.base = organisation.base
        self.address = self._free_address()
        self.password = "Loopback-only-1"
        run("samba-tool", "domain", "provision", f"--targetdir={self.path}", "--realm=CORP.EXAMPLE", "--domain=CORP",
            "--server-role=dc", "--dns-backend=NONE", f"--adminpass={self.password}", f"--host-ip={self.address}",
            f"--option=interfaces={self.address}/8", "--option=bind interfaces only=yes")
        (self.path / "cache").mkdir(exist_ok=True)
        # Samba's own certificate names the host; this one names the address.
        self.certificate = self.path / "server.pem"
        run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", self.path / "server.key", "-out",
            self.certificate, "-subj", "/CN=dc", "-days", "30", "-addext", f"subjectAltName=IP:{self.address}")
        (self.path / "server.key").chmod(0o600)
        self._load(organisation)
        self.log = open(self.path / "log", "wb")
        self.process = subprocess.Popen(["samba", "-i", "--debug-stdout", "-s", self.path / "etc/smb.conf",
                                         "--option=server services=ldap", f"--option=tls certfile={self.certificate}",
                                         f"--option=tls keyfile={self.path}/server.key",
                                         f"--option=tls cafile={self.certificate}"], stdin=subprocess.PIPE, stdout=self.log,
                                        stderr=subprocess.STDOUT, start_new_session=True)
        scratch.add(self.stop)
        wait_until(self._answers, 60, "Samba's LDAP")
        self.secret = self.path / "secret"
        self.secret.write_text(self.password + "\n")
        self.secret.chmod(0o600)

    @staticmethod
    def _free_address():
        for last in range(2, 250):
            with contextlib.suppress(OSError), socket.socket() as one, socket.socket() as two:
                one.bind((f"127.66.{os.getpid() % 250}.{last}", 636))
                two.bind((f"127.66.{os.getpid() % 250}.{last}", 389))
                return f"127.66.{os.getpid() % 250}.{last}"
        raise Skip("no free loopback address")

    def dn(self, organisation, name):
        return f"CN={name},CN=Users,{organisation.base}"

    def _load(self, organisation):
        add, change = [], []
        for name, (kind, address, certificate, members) in organisation.entries.items():
            lines = [f"dn: {self.dn(organisation, name)}", f"cn: {name}",
                     f"objectClass: {'group' if kind == 'group' else 'contact' if kind == 'contact' else 'user'}"]
            if kind == "group":
                lines += ["groupType: -2147483640", f"sAMAccountName: {name}"]
            elif kind == "user":
                lines += [f"sAMAccountName: {name}", f"userPrincipalName: {name}@corp.example"]
            if address:
                lines += [f"mail: {address}", f"proxyAddresses: SMTP:{address}", f"proxyAddresses: smtp:old-{address}"]
            if certificate:
                lines.append(f"userCertificate:: {organisation.der(certificate)}")
            add.append("\n".join(lines) + "\n")
            if members:
                change.append("\n".join([f"dn: {self.dn(organisation, name)}", "changetype: modify", "add: member",
                                         *(f"member: {self.dn(organisation, m)}" for m in members)]) + "\n")
        for tool, text in (("ldbadd", add), ("ldbmodify", change)):
            file = self.path / f"{tool}.ldif"
            file.write_text("\n".join(text))
            run(tool, "-H", self.path / "private/sam.ldb", file)

    def _answers(self):
        if self.process.poll() is not None:
            raise AssertionError("Samba ended: " + (self.path / "log").read_text(errors="replace")[-3000:])
        with contextlib.suppress(OSError):
            socket.create_connection((self.address, 636), timeout=5).close()
            return True
        return False

    def stop(self):
        self.process.stdin.close()
        stop_process(self.process)
        self.log.close()

    def config(self, name="people", extra=""):
        return (f'directory "{name}" {{\n    servers = ldaps://{self.address}\n    base = "{self.base}"\n    schema = ad\n'
                f'    tls_ca_file = "{self.certificate}"\n    bind = simple\n    bind_dn = "administrator@corp.example"\n'
                f'    bind_password_file = "{self.secret}"\n{extra}}}\n')
