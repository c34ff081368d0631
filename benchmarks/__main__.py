"""Run the benchmarks and print all gates: `python -m benchmarks [name …]`; exit 1 if a gate is not held.

Each benchmark is a module of this package whose `python -m benchmarks.<name>` prints lines
`name ours floor-or-peer ratio gate held` and exits 1 if a gate is not held.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

NAMES = ("pull", "push", "webhooks", "attachments", "api", "admin", "startup")
HERE = Path(__file__).resolve().parent


def main() -> int:
    asked = sys.argv[1:] or [name for name in NAMES if (HERE / f"{name}.py").exists()]
    failed = []
    for name in asked:
        if name not in NAMES:
            sys.stderr.write(f"There is no benchmark {name!r}; there are {', '.join(NAMES)}.\n")
            return 2
        sys.stdout.write(f"\n[{name}]\n")
        sys.stdout.flush()
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], cwd=HERE.parent, env=os.environ).returncode:
            failed.append(name)
    if failed:
        sys.stdout.write(f"\nnot held: {', '.join(failed)}\n")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
