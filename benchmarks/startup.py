"""What the app adds to `django.setup()`: CPU time of fresh processes, with and without it, in turn.

Bytecode is compiled beforehand, as by an installation. A full garbage collection takes as long as all of the app, and
falls to whichever app is loaded when the collector's counter is up: so each run starts at another count.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.report import note, report

ROOT = Path(__file__).resolve().parent.parent
RUNS = 15
GATE_MS = 30.0
GOAL_MS = 10.0
OURS = "django_support_tickets"
#: The app without its admin, receivers and checks: the least that models of this size cost.
ONLY_MODELS = "benchmarks.startup_site.OnlyModels"
#: Between two full collections, 11 * 11 * 700 containers are made.
COLLECTION = 11 * 11 * 700
CODE = """
import sys, time
from django.conf import settings
names = ["admin", "auth", "contenttypes", "messages", "sessions", "staticfiles"]
apps = [f"django.contrib.{name}" for name in names] + sys.argv[2:]
settings.configure(
    INSTALLED_APPS=apps,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
)
import django
ballast = [[] for _ in range(int(sys.argv[1]))]
started = time.process_time()
django.setup()
heavy = [name for name in ("requests", "rest_framework", "celery") if name in sys.modules]
print(1000 * (time.process_time() - started), ",".join(heavy) or "-")
"""


def measure(ballast: int, bytecode: str, *apps: str) -> tuple[float, str]:
    """Return the milliseconds of CPU that `django.setup()` took, and which heavy modules it imported."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": bytecode}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-c", CODE, str(ballast), *apps]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    milliseconds, heavy = done.stdout.split()
    return float(milliseconds), heavy


def main() -> int:
    cases: dict[str, tuple[str, ...]] = {"without": (), "models": (ONLY_MODELS,), "ours": (OURS,)}
    taken: dict[str, list[float]] = {name: [] for name in cases}
    heavy = set()
    with tempfile.TemporaryDirectory() as bytecode:
        for name in cases:
            measure(0, bytecode, *cases[name])
        for number in range(RUNS):
            for name in list(cases)[:: 1 if number % 2 else -1]:
                milliseconds, found = measure(number * COLLECTION // RUNS, bytecode, *cases[name])
                taken[name].append(milliseconds)
                heavy.add(found)
    return summarise(taken, ", ".join(heavy))


def summarise(taken: dict[str, list[float]], heavy: str) -> int:
    """Report the figures; return 1 if a gate is not held."""
    floor, own = (statistics.median(taken[name]) for name in ("without", "ours"))
    added, models = (more(taken[name], taken["without"]) for name in ("ours", "models"))
    held = report(
        "startup.setup",
        ours=f"{own:.0f} ms",
        floor=f"{floor:.0f} ms",
        ratio=f"{own / floor:.2f} ×",
        gate=f"≤ +{GATE_MS:.0f} ms",
        held=added <= GATE_MS,
    )
    is_light = report("startup.heavy_imports", ours=heavy, gate="none", held=heavy == "-")
    note(f"+{added:.1f} ms of CPU, +{models:.1f} of it models; goal +{GOAL_MS:.0f}; medians of {RUNS} rounds")
    return int(not held or not is_light)


def more(ours: list[float], floor: list[float]) -> float:
    """Return the median of the differences of runs that were side by side."""
    return statistics.median(own - other for own, other in zip(ours, floor, strict=True))


if __name__ == "__main__":
    sys.exit(main())
