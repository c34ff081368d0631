"""Run the long profiles, at most 15 minutes each: `python -m tests.soak [push|webhooks|…]`; no name runs all.

A profile is a module of this package with `main() -> int`; it ends in its line (or lines) of counts, and returns 0 if
all is as promised. Each runs in a process of its own.
"""

from __future__ import annotations

import os
import pkgutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent


def profiles() -> list[str]:
    """Return the names of all profiles."""
    return sorted(module.name for module in pkgutil.iter_modules([str(HERE)]) if not module.name.startswith("_"))


def run(name: str) -> int:
    """Run one profile; return its exit code."""
    sys.stdout.write(f"\n[{name}]\n")
    sys.stdout.flush()
    started = time.monotonic()
    command = [sys.executable, "-c", f"import sys; from tests.soak.{name} import main; sys.exit(main())"]
    code = subprocess.run(command, cwd=HERE.parent.parent, env=os.environ).returncode
    sys.stdout.write(
        f"[{name}] {'held' if code == 0 else f'FAILED ({code})'} after {time.monotonic() - started:.0f} s\n"
    )
    return code


def main() -> int:
    known = profiles()
    asked = sys.argv[1:] or known
    if unknown := [name for name in asked if name not in known]:
        sys.stderr.write(f"There is no profile {', '.join(unknown)}; there are {', '.join(known)}.\n")
        return 2
    failed = [name for name in asked if run(name)]
    if failed:
        sys.stdout.write(f"\nnot as promised: {', '.join(failed)}\n")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
