"""The whole of Postfix, without a milter and with each contestant: messages a second that smtp-source hands in and that are
answered 250, and until all of them have left through smtp-sink."""

import pathlib
import re
import statistics
import subprocess
import time

from world import Gateway, Postfix, bare, free_port, opendkim, pipe, stop_process, wait_until


class Sink:
    """Postfix' own smtp-sink: takes everything, keeps nothing."""

    def __init__(self, scratch):
        self.port = free_port()
        self.process = subprocess.Popen(["/usr/sbin/smtp-sink", "-u", "nobody", f"127.0.0.1:{self.port}", "100"],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        scratch.add(lambda: stop_process(self.process))


def send(port, message, count, sessions):
    """Seconds that smtp-source needs for `count` messages over `sessions` connections, many messages each."""
    begin = time.monotonic()
    subprocess.run(["/usr/sbin/smtp-source", "-d", "-s", str(sessions), "-m", str(count), "-F", str(message), "-f",
                    "rsa2048@example.org", "-t", "r1@sign.example", "-M", "client.test", f"127.0.0.1:{port}"],
                   check=True, capture_output=True, timeout=600)
    return time.monotonic() - begin


def measure(scratch, users, gateway, quick):
    count, rounds = (200, 2) if quick else (600, 5)
    message = scratch.path / "smtp-message"
    line = b"All work and no play makes a long message of many lines, each of seventy-six.\r\n"
    message.write_bytes(b"From: rsa2048@example.org\r\nTo: r1@sign.example\r\nSubject: through Postfix\r\n"
                        b"Date: Mon, 1 Jan 2024 00:00:00 +0000\r\nMessage-ID: <1@example.org>\r\n\r\n" + line * (4096 // len(line)))
    message.chmod(0o644)
    port = free_port()
    inet = Gateway(scratch, users, name="smimed-inet", config=f'socket = "inet:{port}@127.0.0.1"\n')
    milters = {"none": "", "bare replace": bare(scratch, "replace+", 7800).socket, "smimed": gateway.milter,
               "smimed inet": f"inet:127.0.0.1:{port}", "opendkim": opendkim(scratch, users).socket,
               "openssl cms": pipe(scratch, users).socket}
    for path in scratch.path.rglob("*sock*"):
        path.chmod(0o666) if path.is_socket() else None
    sink = Sink(scratch)
    services = {name.replace(" ", "-"): {"smtpd_milters": socket} for name, socket in milters.items()}
    postfix = Postfix(scratch, sink.port, "", services)
    seen = {f"{name} {sessions}": [] for name in milters for sessions in (4, 1)}
    for _ in range(rounds):
        for name in milters:
            for sessions in (4, 1):
                # What is slow gets fewer messages: it is the rate that is looked for.
                number = count // (1 if sessions == 4 else 3) // (4 if name == "openssl cms" else 1)
                seconds = send(postfix.ports[name.replace(" ", "-")], message, number, sessions)
                seen[f"{name} {sessions}"].append(number / seconds)
                wait_until(lambda: not waiting(postfix), 120, "empty queue")
    refused = len(re.findall(r"milter-reject|NOQUEUE: reject", pathlib.Path(postfix.log).read_text(errors="replace")))
    return {**{name: {"rate": round(statistics.median(rates), 1)} for name, rates in seen.items()},
            "refused": {"count": refused}}


def waiting(postfix):
    return any(name in ("incoming", "active") for name, _ in postfix.queue())
