#!/usr/bin/env python3
"""`make install` puts everything where a distribution wants it, and `make uninstall` takes it away."""

import os
import shutil

from harness import BUILD, TOP, Scratch, Skip, main, run


def everything(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def installer(scratch):
    """make for below the scratch folder, from a copy of the build: another PREFIX builds some of it again, and other
    tests run what is in the build."""
    copy = scratch.path.with_name(scratch.path.name + "-build")
    shutil.copytree(BUILD, copy, ignore=shutil.ignore_patterns("tests"))  # with its times: make looks at them
    scratch.add(lambda: shutil.rmtree(copy))
    return ["make", "-C", TOP, f"BUILD={copy}", f"DESTDIR={scratch.path}", "PREFIX=/usr"]


def test_install_and_uninstall():
    if os.environ.get("SAN"):
        raise Skip("sanitizer builds are not for installing")
    if not (BUILD / "smimed").exists():
        raise Skip("smimed is not built")
    with Scratch("install") as scratch:
        make = installer(scratch)
        environment = {k: v for k, v in os.environ.items() if not k.startswith("MAKE") and k != "SAN"}
        run(*make, "install", env=environment)
        files = everything(scratch.path)
        for wanted in ("usr/sbin/smimed", "usr/sbin/smimectl", "usr/share/man/man8/smimed.8", "usr/share/man/man8/smimectl.8",
                       "usr/share/man/man5/smimed.conf.5", "etc/smimed/smimed.conf", "lib/systemd/system/smimed.service"):
            assert wanted in files, f"{wanted} is missing in {files}"
        unit = (scratch.path / "lib/systemd/system/smimed.service").read_text()
        for line in ("Type=notify", "NoNewPrivileges=yes", "ProtectSystem=strict", "LimitCORE=0", "User="):
            assert line in unit, f"{line} is missing"
        assert "@" not in unit.replace("@system-service", "").replace("~@", ""), unit
        assert "/usr/sbin/smimed" in unit
        version = run(scratch.path / "usr/sbin/smimed", "-V")
        assert b"smimed" in version.stdout + version.stderr
        assert "usr/share/smimed/demo/demo.py" in files, files
        # What was built for another prefix was built again: /etc, not /usr/local/etc.
        done = run(scratch.path / "usr/sbin/smimectl", "keys", check=False)
        assert b"/usr/local" not in done.stdout + done.stderr, done.stderr
        strings = (scratch.path / "usr/sbin/smimed").read_bytes()
        assert b"\0/etc/smimed/smimed.conf\0" in strings and b"/usr/local" not in strings
        # The sample configuration is one that a check can read, whatever it finds missing on this machine.
        done = run(scratch.path / "usr/sbin/smimectl", "check", "-c", scratch.path / "etc/smimed/smimed.conf", check=False)
        assert b"unknown" not in done.stdout + done.stderr, done.stdout + done.stderr
        run(*make, "uninstall", env=environment)
        assert everything(scratch.path) == [], everything(scratch.path)


def test_an_edited_configuration_survives_install_and_uninstall():
    if os.environ.get("SAN") or not (BUILD / "smimed").exists():
        raise Skip("needs a plain build")
    with Scratch("install") as scratch:
        make = installer(scratch)
        environment = {k: v for k, v in os.environ.items() if not k.startswith("MAKE") and k != "SAN"}
        conf = scratch.path / "etc/smimed/smimed.conf"
        conf.parent.mkdir(parents=True)
        conf.write_text("# mine\n")
        run(*make, "install", env=environment)
        assert conf.read_text() == "# mine\n"
        run(*make, "uninstall", env=environment)
        assert everything(scratch.path) == ["etc/smimed/smimed.conf"]


if __name__ == "__main__":
    main(globals())
