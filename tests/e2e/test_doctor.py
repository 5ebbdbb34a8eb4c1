#!/usr/bin/env python3
"""smimectl doctor finds what it promises to find, at a Postfix of its own, and says what to do."""

import json
import os
import pathlib
import shutil
import socket
import subprocess

from trustservers import PASSWORD, USER, Redis
from harness import (Authority, Postfix, Scratch, Sink, Skip, Smimed, cool, main, need_root, run, smimectl, stop_process,
                     submit, trust_config, wait_until)


def config(authority, more=""):
    return more + trust_config(authority) + 'rule "out" {\n    direction = out\n    sign = always\n}\n'


class World:
    """A daemon with one key, and configurations of Postfix that are looked at but never run."""

    def __init__(self, scratch, more=""):
        need_root()
        self.scratch = scratch
        self.authority = Authority(scratch)
        self.smimed = Smimed(scratch, config(self.authority, more), start=False)
        self.authority.install_pair(self.smimed.keys, *self.authority.user("alice@example.test"))
        self.count = 0

    def postfix(self, main_lines="", master="smtp inet n - n - - smtpd\n", queue=None):
        """A folder with main.cf and master.cf; returns it."""
        self.count += 1
        folder = self.scratch.folder(f"etc{self.count}")
        queue = queue or self.scratch.folder("queue")
        (folder / "main.cf").write_text(f"compatibility_level = 3.6\nqueue_directory = {queue}\n"
                                        f"smtpd_milters = {self.smimed.milter}\n"
                                        f"non_smtpd_milters = {self.smimed.milter}\n"
                                        "milter_default_action = tempfail\n"
                                        "internal_mail_filter_classes = bounce, notify\n" + main_lines)
        (folder / "master.cf").write_text(master + "cleanup unix n - n - 0 cleanup\n")
        cool(folder)
        return folder

    def doctor(self, folder, *more):
        """(exit code, {check: [(level, text), ...]})"""
        done = smimectl("doctor", "--json", "-c", self.smimed.file, "--postfix", folder, *more)
        checks = {}
        for one in json.loads(done.stdout)["checks"]:
            checks.setdefault(one["check"], []).append((one["level"], one["text"]))
            assert one["level"] == "OK" or one["check"] in ("configuration", "crl", "left-out") or one.get("hint") \
                or one["level"] == "UNKNOWN", one
        return done.returncode, checks


def levels(checks, name):
    return [level for level, _ in checks.get(name, [])]


def test_a_good_setup_is_found_good_and_said_so_in_both_forms():
    with Scratch("doctor") as scratch:
        world = World(scratch)
        world.smimed.start()
        code, checks = world.doctor(world.postfix())
        assert code == 0, checks
        for name in ("postfix.listener", "postfix.default-action", "postfix.socket", "postfix.timeout",
                     "postfix.protocol", "postfix.bounces", "keys", "trust", "crl", "daemon", "openssl", "keys_folder"):
            assert set(levels(checks, name)) == {"OK"}, (name, checks.get(name))
        text = smimectl("doctor", "-c", world.smimed.file, "--postfix", world.postfix())
        assert text.returncode == 0 and b"OK      postfix.default-action" in text.stdout, text


def test_the_default_action_must_be_tempfail():
    with Scratch("doctor") as scratch:
        world = World(scratch)
        world.smimed.start()
        for lines in ("milter_default_action = accept\n",
                      f"smtpd_milters = {{ {world.smimed.milter}, default_action = accept }}\n"):
            code, checks = world.doctor(world.postfix(lines))
            assert code == 1 and "FAIL" in levels(checks, "postfix.default-action"), (lines, checks)
        # Braces may also mend what the rest of the file says.
        lines = (f"milter_default_action = accept\nsmtpd_milters = inet:127.0.0.1:1, {{ {world.smimed.milter}, "
                 f"default_action = tempfail, command_timeout = 5s }}\nnon_smtpd_milters = $smtpd_milters\n")
        code, checks = world.doctor(world.postfix(lines))
        assert code == 0 and set(levels(checks, "postfix.default-action")) == {"OK"}, checks
        assert "WARN" in levels(checks, "postfix.timeout"), checks["postfix.timeout"]


def test_a_message_that_never_fits_is_named():
    for more, level in (("max_bytes = 1MiB\nmax_message = 2MiB\n", "WARN"), ("", "OK")):
        with Scratch("doctor") as scratch:
            world = World(scratch, more)
            _, checks = world.doctor(world.postfix())
            assert levels(checks, "sizes") == [level], checks


def test_ways_around_the_milter_are_named():
    with Scratch("doctor") as scratch:
        world = World(scratch)
        world.smimed.start()
        master = ("smtp inet n - n - - smtpd\n10025 inet n - n - - smtpd\n  -o smtpd_milters=\n"
                  "10026 inet n - n - - smtpd\n  -o receive_override_options=no_milters,no_address_mappings\n")
        code, checks = world.doctor(world.postfix("smtpd_milter_maps = cidr:/etc/x\ninternal_mail_filter_classes =\n",
                                                  master))
        assert code == 0, checks
        around = [text for level, text in checks["postfix.listener"] if level == "WARN"]
        assert len(around) == 2 and "10025" in around[0] and "10026" in around[1], checks["postfix.listener"]
        assert levels(checks, "postfix.milter-maps") == ["WARN"]
        assert levels(checks, "postfix.bounces") == ["WARN"]
        code, checks = world.doctor(world.postfix("smtpd_milters =\nnon_smtpd_milters = unix:/nonexistent\n"))
        assert code == 1 and levels(checks, "postfix.milters") == ["FAIL"], checks


def test_the_socket_is_seen_with_the_eyes_of_the_mta():
    with Scratch("doctor") as scratch:
        world = World(scratch, "socket_mode = 0600\n")
        world.smimed.start()
        code, checks = world.doctor(world.postfix())
        assert code == 1 and "FAIL" in levels(checks, "postfix.socket"), checks
        world.smimed.socket.chmod(0o666)
        code, checks = world.doctor(world.postfix())
        assert code == 0, checks
        world.smimed.path.chmod(0o700)
        code, checks = world.doctor(world.postfix())
        assert code == 1 and "cannot enter" in checks["postfix.socket"][0][1], checks
        world.smimed.path.chmod(0o755)


def test_a_chrooted_postfix_sees_the_socket_below_its_queue_folder():
    with Scratch("doctor") as scratch:
        queue = scratch.folder("queue")
        inside = scratch.folder("queue/smimed")
        world = World(scratch, f'socket = "unix:{inside}/milter.sock"\n')
        world.smimed.socket = inside / "milter.sock"
        world.smimed.start()
        chrooted = "smtp inet n - y - - smtpd\n"
        for name in ("unix:smimed/milter.sock", "unix:/smimed/milter.sock", "local:smimed/milter.sock"):
            folder = world.postfix(f"smtpd_milters = {name}\nnon_smtpd_milters = unix:smimed/milter.sock\n",
                                   chrooted, queue)
            code, checks = world.doctor(folder)
            assert code == 0 and set(levels(checks, "postfix.listener")) == {"OK"}, (name, checks)
            assert any("chrooted" in text for _, text in checks["postfix.listener"]), checks
        # The full path leads nowhere from inside.
        folder = world.postfix(f"smtpd_milters = unix:{inside}/milter.sock\nnon_smtpd_milters =\n", chrooted, queue)
        code, checks = world.doctor(folder)
        assert code == 1, checks


def test_keys_and_crls_are_looked_at():
    with Scratch("doctor") as scratch:
        world = World(scratch)
        folder = world.postfix()
        open_key = world.authority.install_pair(world.smimed.keys, *world.authority.user("open@example.test"))
        open_key.chmod(0o644)
        code, checks = world.doctor(folder)
        assert code == 1 and any(open_key.name in text for _, text in checks["left-out"]), checks
        open_key.unlink()
        world.smimed.keys.chmod(0o755)
        code, checks = world.doctor(folder)
        assert code == 2 and "not private" in checks["configuration"][0][1], checks
        world.smimed.keys.chmod(0o700)
        world.authority.install_pair(world.smimed.keys, *world.authority.user("soon@example.test", days=5))
        code, checks = world.doctor(folder)
        assert code == 0 and levels(checks, "expiry") == ["WARN"], checks
        assert "soon@example.test" in checks["expiry"][0][1], checks
        crls = world.authority.crls
        run("openssl", "ca", "-gencrl", "-config", world.authority.path / "crl-sub/ca.cnf", "-crlexts", "e",
            "-crl_lastupdate", "20260101000000Z", "-crl_nextupdate", "20260102000000Z", "-cert", world.authority.cert,
            "-keyfile", world.authority.key, "-out", crls / "sub.pem")
        code, checks = world.doctor(folder)
        old = [text for level, text in checks["crl"] if level == "FAIL"]
        assert code == 1 and len(old) == 1 and "2026-01-02" in old[0], checks["crl"]
        run("openssl", "crl", "-in", crls / "root.pem", "-outform", "DER", "-out", crls / "root.der")
        (crls / "root.pem").unlink()
        _, checks = world.doctor(folder)
        assert sorted(levels(checks, "crl")) == ["FAIL", "OK"], checks["crl"]


def test_sendmail_needs_a_flag():
    with Scratch("doctor") as scratch:
        world = World(scratch)
        world.smimed.start()
        folder = world.postfix()
        file = scratch.path / "sendmail.cf"
        line = f"Xsmimed, S=local:{world.smimed.socket}, {{}}T=C:1m;S:10s;R:10s;E:{{}}\n"
        for flag, end, level, time in (("F=T, ", "5m", "OK", "OK"), ("", "5m", "FAIL", "OK"),
                                       ("F=R, ", "5m", "FAIL", "OK"), ("F=T, ", "5s", "OK", "WARN")):
            file.write_text("O QueueDirectory=/x\n" + line.format(flag, end))
            code, checks = world.doctor(folder, "--sendmail", file)
            assert levels(checks, "sendmail.flags") == [level], (flag, checks)
            assert levels(checks, "sendmail.timeout") == [time], (end, checks)
            assert code == (1 if level == "FAIL" else 0), checks
        file.write_text("O QueueDirectory=/x\n")
        _, checks = world.doctor(folder, "--sendmail", file)
        assert levels(checks, "sendmail.filter") == ["WARN"], checks
        mc = scratch.path / "sendmail.mc"
        mc.write_text(f"INPUT_MAIL_FILTER(`smimed', `S=local:{world.smimed.socket}, F=T, T=R:60s;E:5m')dnl\n")
        _, checks = world.doctor(folder, "--sendmail", mc)
        assert levels(checks, "sendmail.flags") == ["OK"], checks


def test_what_cannot_be_asked_is_another_exit_code_than_what_is_wrong():
    with Scratch("doctor") as scratch:
        world = World(scratch)
        world.smimed.start()
        code, checks = world.doctor(scratch.path / "nowhere")
        assert code == 3 and levels(checks, "postfix") == ["UNKNOWN"], checks
        world.smimed.configure("nonsense = 1\n")
        code, checks = world.doctor(world.postfix())
        assert code == 2 and "nonsense" in checks["configuration"][0][1], checks
        world.smimed.configure(config(world.authority))
        world.smimed.kill()
        code, checks = world.doctor(world.postfix())
        assert levels(checks, "daemon") == ["WARN"], checks


def test_the_example_for_postfix_works_and_the_doctor_likes_it():
    with Scratch("doctor") as scratch:
        need_root()
        example = (pathlib.Path(__file__).resolve().parents[2] / "conf/postfix.example").read_text()
        main_part = example.split("# ---- master.cf")[0]
        settings = [line for line in main_part.splitlines() if line and not line.startswith("#")]
        assert any(line.startswith("milter_default_action = tempfail") for line in settings), settings
        # The harness's own Postfix with the example's lines, its queue folder being the one of the socket.
        queue = scratch.path / "postfix/queue"
        world = World(scratch, f'sender_identity = off\nsocket = "unix:{queue}/smimed/milter.sock"\n'
                               'socket_group = postfix\nsocket_mode = 0660\n')
        sink = Sink(scratch)
        postfix = Postfix(scratch, sink.port, "unix:smimed/milter.sock", main="\n".join(settings))
        (queue / "smimed").mkdir(mode=0o750)
        shutil.chown(queue / "smimed", "root", "postfix")
        world.smimed.socket = queue / "smimed/milter.sock"
        world.smimed.start()
        code, text = submit(postfix.port, "alice@example.test", ["bob@remote.test"],
                            b"From: alice@example.test\r\nTo: bob@remote.test\r\nSubject: e\r\n\r\nhello\r\n")
        assert code == 250, (text, world.smimed.text())
        assert b"multipart/signed" in sink.take()[0][2]
        code, checks = world.doctor(postfix.config)
        assert code == 0 and set(levels(checks, "postfix.socket")) == {"OK"}, checks


def test_reload_stats_and_health_from_the_command_line():
    with Scratch("doctor") as scratch:
        world = World(scratch)
        world.smimed.start()
        wait_until(lambda: smimectl("health", "-c", world.smimed.file).returncode == 0, 10, "health")
        assert json.loads(smimectl("stats", "--json", "-c", world.smimed.file).stdout)["generation"] == 1
        assert b"generation 2" in smimectl("reload", "-c", world.smimed.file).stdout
        good = world.smimed.file.read_text()
        world.smimed.file.write_text(good + "nonsense = 1\n")
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(str(world.smimed.control))
            s.sendall(b"reload\n")
            assert b'"ok": false' in s.recv(4096)
        world.smimed.file.write_text(good)
        assert smimectl("health", "-c", world.smimed.file).returncode == 1
        assert smimectl("reload", "-c", world.smimed.file).returncode == 0
        assert smimectl("health", "-c", world.smimed.file).returncode == 0
        world.smimed.kill()
        done = smimectl("stats", "-c", world.smimed.file)
        assert done.returncode == 3 and b"does not run" in done.stderr, done
        assert os.path.exists(world.smimed.control)


class Shared:
    """Redis, the key and the password of a gateway, and the lines of smimed.conf that name them."""

    def __init__(self, scratch):
        self.redis = Redis(scratch)
        self.key, self.password = scratch.path / "cache.key", scratch.path / "redis.password"
        self.key.write_bytes(os.urandom(32))
        self.password.write_text(PASSWORD + "\n")
        for file in (self.key, self.password):
            file.chmod(0o600)

    def lines(self, **more):
        values = {"cache": "redis", "cache_key_file": self.key, "redis_server": f"unix:{self.redis.socket}", "redis_user": USER,
                  "redis_password_file": self.password, **more}
        return "".join(f"{name} = {value}\n" for name, value in values.items())


def test_redis_and_its_key_are_tried():
    with Scratch("doctor") as scratch:
        shared = Shared(scratch)
        world = World(scratch, shared.lines())
        folder = world.postfix()

        def look(more=""):
            world.smimed.configure(config(world.authority, more))
            return world.doctor(folder)[1]

        checks = look(shared.lines())
        assert levels(checks, "redis") == ["OK"] and levels(checks, "cache-key") == ["OK"], checks
        number = checks["cache-key"][0][1].split()[-1]
        assert shared.redis.keys("*") == [], "the doctor leaves nothing behind"
        # The same key has the same number, another one another.
        assert look(shared.lines())["cache-key"][0][1].split()[-1] == number
        shared.key.write_bytes(os.urandom(32))
        assert look(shared.lines())["cache-key"][0][1].split()[-1] != number

        shared.password.write_text("wrong\n")
        checks = look(shared.lines())
        assert levels(checks, "redis") == ["FAIL"] and "wrong" not in checks["redis"][0][1], checks
        shared.password.write_text(PASSWORD + "\n")
        # Below another prefix this user may do nothing.
        checks = look(shared.lines(redis_prefix="other:"))
        assert levels(checks, "redis") == ["FAIL"] and "NOPERM" in checks["redis"][0][1].upper(), checks
        shared.redis.command("ACL", "SETUSER", USER, "-eval")
        assert levels(look(shared.lines()), "redis") == ["FAIL"]
        shared.redis.command("ACL", "SETUSER", USER, "+eval")
        assert levels(look(shared.lines()), "redis") == ["OK"]
        shared.redis.kill()
        assert levels(look(shared.lines()), "redis") == ["FAIL"]
        # A daemon starts all the same, and says what it counts.
        world.smimed.start()
        stats = json.loads(smimectl("cache", "stats", "--json", "-c", world.smimed.file).stdout)
        assert stats["ok"] and stats["entries"] == 0 and stats["shared_hits"] == 0, stats
        assert b"0 entries" in smimectl("cache", "show", "-c", world.smimed.file, check=True).stdout
        assert b"flushed 0" in smimectl("cache", "flush", "--shared", "http://crl.test/a.crl", "-c", world.smimed.file).stdout
        assert json.loads(smimectl("stats", "--json", "-c", world.smimed.file).stdout)["cache_entries"] == 0


def test_the_example_for_redis_works_and_the_doctor_likes_it():
    with Scratch("doctor") as scratch:
        if not shutil.which("redis-server"):
            raise Skip("redis-server is not installed")
        example = (pathlib.Path(__file__).resolve().parents[2] / "conf/redis.example").read_text()
        server, gateway = example.split("# ---- smimed.conf")
        lines = [line for line in server.splitlines() if line and not line.startswith("#")]
        assert any(line.startswith("user smimed on") for line in lines), lines
        text = "\n".join(lines).replace("REPLACE-THIS-PASSWORD", "a-long-password").replace("/run/redis/", f"{scratch.path}/")
        file = scratch.path / "redis.conf"
        file.write_text(f"{text}\ndir {scratch.path}\nlogfile {scratch.path}/redis.log\n")
        process = subprocess.Popen(["redis-server", file], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.STDOUT)
        scratch.add(lambda: stop_process(process))
        wait_until((scratch.path / "smimed.sock").exists, 20, "Redis")
        key, password = scratch.path / "cache.key", scratch.path / "redis.password"
        key.write_bytes(os.urandom(32))
        password.write_text("a-long-password\n")
        for secret in (key, password):
            secret.chmod(0o600)
        # The lines for smimed.conf, as they stand there.
        wanted = [line[2:] for line in gateway.splitlines() if line.startswith("# ") and " = " in line]
        settings = [line for line in wanted if "sentinel" not in line and "redis_master" not in line]
        assert len(settings) == 5, settings
        settings = "\n".join(settings).replace("/etc/smimed/", f"{scratch.path}/").replace("/run/redis/", f"{scratch.path}/")
        world = World(scratch, settings + "\n")
        checks = world.doctor(world.postfix())[1]
        assert levels(checks, "redis") == ["OK"] and levels(checks, "cache-key") == ["OK"], checks


def test_the_proxy_is_tried():
    with Scratch("doctor") as scratch:
        world = World(scratch)
        folder = world.postfix()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            for proxy, wanted in ((f"http://127.0.0.1:{port}", "OK"), (f"http://user:secret@127.0.0.1:{port}/", "OK"),
                                  ("http://127.0.0.1", "FAIL"), ("http://no-such-host.invalid:3128", "FAIL")):
                world.smimed.configure(config(world.authority, f"fetch_proxy = {proxy}\n"))
                checks = world.doctor(folder)[1]
                assert levels(checks, "proxy") == [wanted], (proxy, checks)
                assert "secret" not in str(checks)
        world.smimed.configure(config(world.authority, f"fetch_proxy = http://127.0.0.1:{port}\n"))
        assert levels(world.doctor(folder)[1], "proxy") == ["FAIL"]


if __name__ == "__main__":
    main(globals())
