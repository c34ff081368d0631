"""What the app adds to `django.setup()`: CPU time of fresh processes, with and without it, in turn."""

from __future__ import annotations

import statistics
import subprocess
import sys

from benchmarks.report import note, report

RUNS = 9
GATE_MS = 30.0
GOAL_MS = 10.0
CODE = """
import sys, time
from django.conf import settings
names = ["admin", "auth", "contenttypes", "messages", "sessions", "staticfiles"]
apps = [f"django.contrib.{name}" for name in names] + sys.argv[1:]
settings.configure(
    INSTALLED_APPS=apps,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
)
import django
started = time.process_time()
django.setup()
heavy = [name for name in ("requests", "rest_framework", "celery") if name in sys.modules]
print(1000 * (time.process_time() - started), ",".join(heavy) or "-")
"""


def measure(*apps: str) -> tuple[float, str]:
    """Return the milliseconds of CPU that `django.setup()` took, and which heavy modules it imported."""
    done = subprocess.run([sys.executable, "-c", CODE, *apps], capture_output=True, text=True, check=True)
    milliseconds, heavy = done.stdout.split()
    return float(milliseconds), heavy


def main() -> int:
    floors, ours, heavy = [], [], "-"
    for _ in range(RUNS):
        floors.append(measure()[0])
        milliseconds, heavy = measure("django_support_tickets")
        ours.append(milliseconds)
    floor, own = statistics.median(floors), statistics.median(ours)
    added = own - floor
    held = report(
        "startup.setup",
        ours=f"{own:.0f} ms",
        floor=f"{floor:.0f} ms",
        ratio=f"{own / floor:.2f} ×",
        gate=f"≤ +{GATE_MS:.0f} ms",
        held=added <= GATE_MS,
    )
    is_light = report("startup.heavy_imports", ours=heavy, gate="none", held=heavy == "-")
    note(f"+{added:.1f} ms of CPU; goal +{GOAL_MS:.0f} ms; medians of {RUNS} processes each")
    return int(not held or not is_light)


if __name__ == "__main__":
    sys.exit(main())
