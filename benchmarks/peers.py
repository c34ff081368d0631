"""Beside other people's packages, each in a virtual environment of its own: what they take for the nearest thing.

    python -m benchmarks.peers [--rounds N]

dj-stripe stores five rows per object from a vendor's JSON, on SQLite; django-helpdesk lists and shows 10,000 tickets by
its REST API, on PostgreSQL. They do other things than this app does, so there is no gate: the ratio says which order of
magnitude to expect. The environments are made once, in .venv-peers-<name>/, for which pip needs its index.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from benchmarks import pull
from benchmarks.report import not_run, note, parse, report

ROOT = Path(__file__).resolve().parent.parent
SITES = ROOT / "benchmarks" / "peers_site"
PACKAGES = {
    "dj-stripe": ("dj-stripe>=2.9", "Django>=5.2,<5.3"),
    "django-helpdesk": ("django-helpdesk>=2", "Django>=5.2,<5.3", "psycopg[binary]>=3.2"),
}
TICKETS = 10_000
#: Rows of one ticket with its three comments and its file, and of one product with its four prices.
ROWS = 5


def environment(name: str) -> Path:
    """Return the Python that has a peer, made and filled if it is not there; raise CalledProcessError if pip fails."""
    folder = ROOT / f".venv-peers-{name}"
    if not (folder / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(folder / "bin" / "pip"), "install", "--quiet", *PACKAGES[name]], check=True)
        (folder / "ready").touch()
    return folder / "bin" / "python"


def measured(python: Path, script: str, *arguments: str) -> dict[str, float]:
    """Return what a script prints; it sees nothing of this environment but where the servers are."""
    outer = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "DJANGO", "VIRTUAL"))}
    command = [str(python), str(SITES / script), *arguments]
    done = subprocess.run(command, env=outer, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def stripe(rounds: int) -> None:
    """Store what a vendor has sent, for the first time and again."""
    python = environment("dj-stripe")
    theirs: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds):
            place = Path(folder) / str(number)
            place.mkdir()
            for part, seconds in measured(python, "stripe_site.py", "200", str(place)).items():
                theirs.setdefault(part, []).append(seconds)
    with pull.database("sqlite") as surroundings:
        ours = pull.case(surroundings, "storing", rounds, 2000, 10)
    for part, own in (("first", "ours first"), ("unchanged", "ours digest")):
        mine, peer = statistics.median(ours[own]), statistics.median(theirs[part])
        rates = {"ours": f"{ROWS / mine:.0f} rows/s", "floor": f"{ROWS / peer:.0f} rows/s"}
        report(f"peers.dj-stripe {part}", **rates, ratio=f"{peer / mine:.0f} ×")


def helpdesk(rounds: int) -> None:
    """List and show tickets by a REST API."""
    python, name = environment("django-helpdesk"), f"bench_peers_{secrets.token_hex(4)}"
    pull.administer("postgresql", f"CREATE DATABASE {name}")
    try:
        theirs = measured(python, "helpdesk_site.py", str(TICKETS), name, str(rounds))
    finally:
        pull.administer("postgresql", f"DROP DATABASE {name} WITH (FORCE)")
    command = [sys.executable, "-m", "benchmarks.api", "--rows", str(TICKETS)]
    printed = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False).stdout
    ours = {line.name: line.ours for line in map(parse, printed.splitlines()) if line}
    for part, own in (("list", "api.agent-first-page"), ("detail", "api.agent-detail")):
        mine = float(ours[own].removesuffix(" ms"))
        shown = {"ours": f"{mine:.1f} ms", "floor": f"{theirs[part]:.0f} ms"}
        report(f"peers.django-helpdesk {part}", **shown, ratio=f"{theirs[part] / mine:.0f} ×")
    statements = f"{theirs['list statements']}, {theirs['detail statements']}"
    note(f"ratio: times faster; {TICKETS} tickets; statements of the peer: {statements}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    code = 0
    for name, work in (("dj-stripe", partial(stripe, rounds)), ("django-helpdesk", partial(helpdesk, rounds))):
        try:
            work()
        except Exception as error:  # no index, no server, a peer that has changed: none of it is ours to mend
            code |= not_run(f"peers.{name}", f"{type(error).__name__}: {error}")
    return code


if __name__ == "__main__":
    sys.exit(main())
