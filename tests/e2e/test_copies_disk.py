#!/usr/bin/env python3
"""The disk with the journal of copies is full: a real filesystem of a megabyte. Nothing leaves that could not be noted, nothing
is lost, nobody has a copy twice, the reply says why, and mail flows again when there is space."""

import errno
import subprocess

from harness import Scratch, Skip, main, need_root
from test_copies import SEAL, SIGN, Setting, is_signed, mail, recipient_infos


class Disk:
    """A filesystem of its own for the state folder, mounted before smimed starts and taken away at the end."""

    def __init__(self, scratch, folder):
        need_root()
        self.folder = folder
        self.filler = folder / "filler"
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=0700", "none", str(folder)], capture_output=True,
                              check=False)
        if done.returncode != 0:
            raise Skip(f"no filesystem can be mounted: {done.stderr.decode().strip()}")
        scratch.add(self.unmount)

    def unmount(self):
        subprocess.run(["umount", "--lazy", str(self.folder)], check=True, timeout=60)

    def fill(self, leave=0):
        """Until not one more page fits, but for `leave` of them."""
        with open(self.filler, "ab", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 4096)
            except OSError as error:
                assert error.errno == errno.ENOSPC, error
            file.truncate(file.tell() - leave * 4096)

    def free(self):
        self.filler.unlink()


class World(Setting):
    """partner.example gets it encrypted, everybody else signed: two copies."""

    def __init__(self, scratch):
        smimed = scratch.folder("smimed")
        (smimed / "state").mkdir()
        self.disk = Disk(scratch, smimed / "state")
        super().__init__(scratch, SEAL + SIGN, proxied=True)


def outcome(it):
    return [x for x in it.smimed.outcomes() if x["dir"] == "out"][-1]


def test_nothing_leaves_on_a_full_disk_and_all_of_it_when_there_is_space():
    with Scratch("disk") as scratch:
        it = World(scratch)
        to = ("bob@partner.example", "dave@elsewhere.example")
        it.deliver(mail(to), *to, count=2)
        it.disk.fill()
        message = mail(to)
        for _ in range(3):
            code, text = it.send(message, *to)
            assert code == 451 and "4.3.0" in text and "noted on the gateway's disk" in text, text
        line = outcome(it)
        assert (line["reason"], line["code"]) == ("copies-journal", "451-4.3.0"), line
        assert "journal.db: cannot be" in it.smimed.text() and "copies handed over" in it.smimed.text(), it.smimed.text()
        assert not it.sink.messages
        # What needs no note flows.
        assert set(it.deliver(mail(to[:1]), to[0], count=1)) == {to[0]}
        it.disk.free()
        got = it.deliver(message, *to, count=2)
        assert recipient_infos(got[to[0]]) == it.serials("alice", "bob") and is_signed(got[to[1]])


def test_a_disk_that_is_full_once_the_copy_has_left_sends_it_to_nobody_twice():
    """The MTA has taken the copy and the note about it does not fit: as often as the client tries."""
    with Scratch("disk") as scratch:
        it = World(scratch)
        many = tuple(f"d{n}@elsewhere.example" for n in range(40))
        to = ("bob@partner.example", "carol@partner.example", *many)
        it.deliver(mail(to), *to, count=2)
        fitted = []
        for leave in range(0, 12):
            message = mail(to)
            it.proxy.on_end = lambda leave=leave: it.disk.fill(leave)
            code, text = it.send(message, *to)
            it.proxy.on_end = None
            fitted.append(code)
            # On a disk that stays full.
            for _ in range(2):
                if code == 451:
                    code, text = it.send(message, *to)
            if it.disk.filler.exists():
                it.disk.free()
            if code == 451:
                code, text = it.send(message, *to)
            assert code == 250, text
            got = {}
            for _, people, octets in it.sink.take(2):
                for one in people:
                    assert one not in got, f"{one} had it twice with {leave} pages left"
                    got[one] = octets
            assert len(got) == len(to) and not it.sink.messages, (leave, sorted(got))
        print(f"# first answers with 0, 1, ... pages left: {fitted}")
        assert 451 in fitted, fitted


def test_a_disk_that_is_full_at_the_start():
    with Scratch("disk") as scratch:
        it = World(scratch)
        to = ("bob@partner.example", "dave@elsewhere.example")
        it.smimed.stop()
        it.disk.fill()
        it.smimed.start()
        message = mail(to)
        code, text = it.send(message, *to)
        assert code == 451, text
        assert not it.sink.messages
        it.disk.free()
        assert set(it.deliver(message, *to, count=2)) == set(to)


if __name__ == "__main__":
    main(globals())
