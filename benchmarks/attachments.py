"""50 MB up to a vendor and down from one, against curl and a SHA-256, and the memory that it takes.

    python -m benchmarks.attachments [ROUNDS]

Each run is a process of its own, in turn with its floor, and talks to one server on loopback. A line per figure: name,
ours, floor, ratio, gate, held; exit 1 if not held. Needs curl.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.report import note, report

ROOT = Path(__file__).resolve().parent.parent
MEGABYTES = 50
GATE_SPEED = 0.70
GOAL_SPEED = 0.90
GATE_MEMORY_MB = 8.0
HEAD = b"\x89PNG\r\n\x1a\n"
TICKET = "9c1f6a3e-2b5d-4c7a-8f10-3d2e1c0b9a87"
SMALL = 100_000


@dataclass
class Runs:
    """What the runs of one direction have measured, in seconds and MB."""

    ours: list[float] = field(default_factory=list)
    floor: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)


def main(rounds: int = 7) -> int:
    directions = {"up": Runs(), "down": Runs()}
    with tempfile.TemporaryDirectory() as name, server(Path(name)) as url:
        for number in range(rounds + 1):
            for direction, runs in list(directions.items())[:: 1 if number % 2 else -1]:
                seconds, memory = ours(direction, Path(name), url)
                floor = curl(direction, Path(name), url)
                if number:  # the first is for the caches
                    runs.ours.append(seconds)
                    runs.memory.append(memory)
                    runs.floor.append(floor)
    return max(show(direction, runs) for direction, runs in directions.items())


def show(direction: str, runs: Runs) -> int:
    """Print the two figures of a direction; return 1 if one of them does not hold its gate."""
    own, floor, memory = (statistics.median(values) for values in (runs.ours, runs.floor, runs.memory))
    speed, is_light = floor / own, memory <= GATE_MEMORY_MB
    report(
        f"attachments.{direction}",
        ours=f"{MEGABYTES / own:.0f} MB/s",
        floor=f"{MEGABYTES / floor:.0f} MB/s",
        ratio=f"{speed:.0%}",
        gate=f"≥ {GATE_SPEED:.0%}",
        held=speed >= GATE_SPEED,
    )
    gate = f"≤ {GATE_MEMORY_MB:+.0f} MB"
    report(f"attachments.{direction}_memory", ours=f"{memory:+.1f} MB", floor="0 MB", gate=gate, held=is_light)
    spread = f"{MEGABYTES / max(runs.ours):.0f} to {MEGABYTES / min(runs.ours):.0f} MB/s"
    note(f"goal {GOAL_SPEED:.0%}; medians of {len(runs.ours)} runs, ours from {spread}")
    return int(speed < GATE_SPEED or not is_light)


def ours(direction: str, folder: Path, url: str) -> tuple[float, float]:
    """Return the seconds that a new process took for one file, and by how many MB it grew."""
    return in_process("benchmarks.attachments", direction, folder, url)


def in_process(module: str, direction: str, folder: Path, url: str) -> tuple[float, float]:
    """Return what a module, run as a process of its own, has measured of itself."""
    command = [sys.executable, "-m", module, direction, str(folder), url]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    seconds, memory = json.loads(done.stdout)
    return float(seconds), float(memory)


def curl(direction: str, folder: Path, url: str) -> float:
    """Return the seconds that curl took for the same, and OpenSSL for the file's SHA-256, without starting them.

    coreutils' sha256sum is the slower of the two wherever it is built without OpenSSL.
    """
    path = folder / ("big" if direction == "up" else "floor")
    way = ["-F", f"file=@{path}", "-H", "Expect:"] if direction == "up" else ["-o", str(path)]
    target = f"{url}/tickets/{TICKET}/attachments" if direction == "up" else f"{url}/big"
    answered = ["-w", "%{stderr}%{time_total}"]
    done = subprocess.run(["curl", "-s", "-f", *way, *answered, target], check=True, capture_output=True, text=True)
    started = time.perf_counter()
    with path.open("rb") as file:
        hashlib.file_digest(file, "sha256")
    return float(done.stderr) + time.perf_counter() - started


# --- A process that measures itself ----------------------------------------------------------------------------------


def child(direction: str, folder: Path, url: str) -> None:
    set_up(folder, url)
    measure(direction, folder, url)


def measure(direction: str, folder: Path, url: str) -> None:
    """Move a small file, so that everything is imported and connected, then the big one; print what that took."""
    move = {"up": upload, "down": download, "store": store, "hand_out": hand_out}[direction]
    move(folder, url, "small")
    with growth() as grown:
        seconds = move(folder, url, "big")
    print(json.dumps([seconds, grown[0]]))


def set_up(folder: Path, url: str, files: dict[str, Any] | None = None) -> None:
    """Configure a site with one account at each of two vendors, on an empty database in memory.

    `files` is the storage; a folder if it is not given.
    """
    import django
    from django.conf import settings
    from django.core.management import call_command

    backends = "django_support_tickets.providers"
    accounts: dict[str, dict[str, Any]] = {
        "ankra": {"BACKEND": f"{backends}.ankra.AnkraProvider", "OPTIONS": {"organisation_id": TICKET}},
        "verifik": {"BACKEND": f"{backends}.verifik.VerifikProvider", "OPTIONS": {"write_dialect": "app"}},
    }
    for account in accounts.values():
        account["OPTIONS"] |= {"base_url": url, "token": "token", "rate": None}
    accounts["local"] = {"BACKEND": f"{backends}.local.LocalProvider"}
    location = {"location": str(folder / "stored")}
    files = files or {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": location}
    settings.configure(
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "django_support_tickets"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        STORAGES={"support_tickets": files},
        SUPPORT_TICKETS_PROVIDERS=accounts,
        FILE_UPLOAD_TEMP_DIR=str(folder),
    )
    django.setup()
    call_command("migrate", verbosity=0)


def upload(folder: Path, url: str, name: str) -> float:
    """Send a stored file as the outbox does; return the seconds."""
    from django_support_tickets.models import Attachment
    from django_support_tickets.outbox.items import file_draft
    from django_support_tickets.providers import providers
    from django_support_tickets.records import TicketRef

    (folder / "stored").mkdir(exist_ok=True)
    shutil.copy(folder / name, folder / "stored" / name)
    size, digest = (folder / name).stat().st_size, (folder / f"{name}.sha256").read_text()
    row = Attachment(file=name, name="a.png", content_type="image/png", size=size, sha256=digest)
    with providers["ankra"] as provider:
        started = time.perf_counter()
        provider.upload(TicketRef(remote_id=TICKET), file_draft(row))
        return time.perf_counter() - started


def download(folder: Path, url: str, name: str) -> float:
    """Fetch a file that lies at a vendor into the storage; return the seconds."""
    from django_support_tickets.attachments.mirroring import mirror
    from django_support_tickets.models import Attachment, Ticket

    ticket = Ticket(provider="verifik", subject="S", remote_id=name, delivery="delivered")
    Ticket.objects.bulk_create([ticket])
    row = Attachment(ticket=Ticket.objects.get(remote_id=name), name="a.png", direction="in", state="remote")
    row.remote_url, row.delivery = f"{url}/{name}", "delivered"
    Attachment.objects.bulk_create([row])
    row = Attachment.objects.select_related("ticket").get(key=row.key)
    started = time.perf_counter()
    if mirror(row) != "stored" or row.sha256 != (folder / f"{name}.sha256").read_text():
        raise SystemExit(f"not mirrored: {row.error}")
    return time.perf_counter() - started


def store(folder: Path, url: str, name: str) -> float:
    """Add a file to a ticket; return the seconds."""
    from django.core.files.base import File

    from django_support_tickets.models import Attachment, Ticket

    ticket = Ticket.objects.create(provider="local", subject="S")
    with (folder / name).open("rb") as file:
        started = time.perf_counter()
        Attachment.objects.create(ticket=ticket, file=File(file, name="a.png"))
        return time.perf_counter() - started


def hand_out(folder: Path, url: str, name: str) -> float:
    """Stream a stored file to a browser that forgets it; return the seconds."""
    from django_support_tickets.attachments.serving import attachment_response
    from django_support_tickets.models import Attachment

    store(folder, url, name)
    row = Attachment.objects.latest("id")
    started = time.perf_counter()
    size = sum(map(len, attachment_response(row, may_redirect=False)))  # type: ignore[call-overload]
    assert size == row.size
    return time.perf_counter() - started


@contextlib.contextmanager
def growth() -> Iterator[list[float]]:
    """Yield a list that holds, after the block, by how many MB its peak was above what there was before."""
    grown = [0.0]
    try:
        Path("/proc/self/clear_refs").write_text("5")
        before = status_mb("VmRSS")
        yield grown
        grown[0] = status_mb("VmHWM") - before
    except OSError:  # another system, or not allowed
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        yield grown
        grown[0] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) / 1024


def status_mb(name: str) -> float:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) / 1024


# --- The vendor -------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def server(folder: Path) -> Iterator[str]:
    """Serve new files from a process of its own, and yield its address."""
    make_files(folder)
    command = [sys.executable, "-m", "benchmarks.attachments", "serve", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def make_files(folder: Path) -> None:
    """Make a small and a big file, each with its digest beside it."""
    for name, size in (("small", SMALL), ("big", MEGABYTES << 20)):
        content = HEAD + os.urandom(size - len(HEAD))
        (folder / name).write_bytes(content)
        (folder / f"{name}.sha256").write_text(hashlib.sha256(content).hexdigest())


def serve(folder: Path) -> None:
    """Take every upload and hand out every file, as fast as a socket goes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=talk, args=(connection, folder), daemon=True).start()


def talk(connection: socket.socket, folder: Path) -> None:
    with connection, contextlib.suppress(OSError):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while exchange(connection, folder):
            pass


def exchange(connection: socket.socket, folder: Path) -> bool:
    """Answer one request; return whether there was one."""
    received = b""
    while b"\r\n\r\n" not in received:
        piece = connection.recv(65536)
        if not piece:
            return False
        received += piece
    head, _, rest = received.partition(b"\r\n\r\n")
    if head.startswith(b"GET"):
        send(connection, folder / re.sub(r"\W", "", head.split()[1].decode()))
        return True
    length = int(re.search(rb"(?i)content-length: *(\d+)", head)[1])  # type: ignore[index]
    buffer, left = memoryview(bytearray(1 << 20)), length - len(rest)
    while left:
        left -= connection.recv_into(buffer[: min(left, len(buffer))])
    answer = json.dumps(ticket(folder)).encode()
    connection.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: %d\r\n\r\n%s" % (len(answer), answer))
    return True


def send(connection: socket.socket, path: Path) -> None:
    with path.open("rb") as file:
        size = path.stat().st_size
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n" % size)
        connection.sendfile(file)


def ticket(folder: Path) -> dict[str, Any]:
    """Return a ticket of Ankra's that has every file."""
    files = [
        {"id": f"00000000-0000-4000-8000-{number:012}", "filename": "a.png", "size_bytes": path.stat().st_size}
        for number, path in enumerate((folder / "small", folder / "big"))
    ]
    return {"id": TICKET, "organisation_id": TICKET, "attachments": files}


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve", folder]:
            serve(Path(folder))
        case [direction, folder, url]:
            child(direction, Path(folder), url)
        case arguments:
            sys.exit(main(*map(int, arguments)))
