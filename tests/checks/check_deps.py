#!/usr/bin/env python3
"""tests/deps.sh, which changes the machine, in front of an apt-get that only pretends: another MTA is never removed, a
missing package is named, and what is there is left alone."""

import os
import pathlib
import subprocess
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parents[2]

APT = """#!/bin/sh
echo "apt-get $*" >> "$CALLS"
case " $* " in
*" -s install "*) printf '%s\\n' "$PLAN" ;;
esac
exit 0
"""


def run(plan, installed):
    """deps.sh demo with pretended dpkg-query and apt-get: (exit code, what it said, the calls of apt-get)."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder)
        (path / "apt-get").write_text(APT)
        (path / "dpkg-query").write_text("#!/bin/sh\n" + ("echo installed\n" if installed else "exit 1\n"))
        for name in ("debconf-set-selections", "systemctl"):
            (path / name).write_text('#!/bin/sh\necho "$0 $*" >> "$CALLS"\n')
        # sudo must not be found where the test is not root, nor may policy-rc.d be touched before the plan is known.
        for tool in path.iterdir():
            tool.chmod(0o755)
        calls = path / "calls"
        calls.write_text("")
        environment = dict(os.environ, PATH=f"{path}:/usr/bin:/bin", PLAN=plan, CALLS=str(calls))
        done = subprocess.run(["sh", TOP / "tests/deps.sh", "demo"], capture_output=True, env=environment, cwd=TOP,
                              check=False, timeout=60)
        return done.returncode, (done.stdout + done.stderr).decode(), calls.read_text()


def main():
    print("1..2")
    failed = 0
    policy = pathlib.Path("/usr/sbin/policy-rc.d")
    before = policy.read_bytes() if policy.exists() else None
    code, said, calls = run("Remv exim4-daemon-light [4.96]\nInst postfix (3.7.11)", False)
    good = code == 1 and "exim4-daemon-light" in said and "nothing was changed" in said and "-y install" not in calls
    good = good and (policy.read_bytes() if policy.exists() else None) == before
    failed += not good
    print(f"{'ok' if good else 'not ok'} 1 - where apt would remove another MTA it stops, says so, and changes nothing")
    if not good:
        print(f"# {code} {said!r} {calls!r}")
    code, said, calls = run("", True)
    good = code == 0 and calls == ""
    failed += not good
    print(f"{'ok' if good else 'not ok'} 2 - nothing is asked of apt where everything is installed")
    if not good:
        print(f"# {code} {said!r} {calls!r}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
