"""Break the code on purpose and see which breaks no test notices: `python -m tests.mutants [theme …]` (mutmut).

Each theme is a few modules and the tests that are asked about them. It works on a copy in .mutants/, so that the tree
may be edited meanwhile, and prints a line per module: mutants, survivors, score. Survivors are listed below, and shown
by `mutmut show NAME` in the theme's folder. SAMPLE=5 takes every fifth mutant.

As a plugin of pytest it lets each test compile the statements that it runs: those that an earlier test has compiled
would hide what is broken in the functions that make them.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / ".mutants"
PACKAGE = "django_support_tickets"
KILLED = ("killed", "timeout", "caught by type check", "segfault")


@dataclass(frozen=True)
class Theme:
    """Modules, without the package's name, and the tests that are to notice."""

    modules: tuple[str, ...]
    tests: tuple[str, ...]


PUSH = (
    "tests/outbox",
    "tests/test_statements.py",
    "tests/test_receivers.py",
    "tests/test_databases.py",
    "tests/test_logging.py",
)
THEMES = {
    "signatures": Theme(("providers/signatures",), ("tests/providers/test_signatures.py", "tests/webhooks")),
    "webhooks": Theme(
        ("webhooks/door", "webhooks/bodies", "webhooks/remembering", "webhooks/counting"),
        ("tests/webhooks", "tests/test_databases.py", "tests/test_logging.py"),
    ),
    "permissions": Theme(
        ("api/permissions", "api/scope", "admin/scope"), ("tests/api", "tests/admin/test_rights.py", "tests/admin")
    ),
    "files": Theme(
        ("attachments/signatures", "attachments/names", "attachments/rules", "attachments/intake", "models/names"),
        ("tests/attachments", "tests/test_databases.py"),
    ),
    "claims": Theme(
        ("outbox/claims", "outbox/leases", "models/statements", "outbox/facts", "outbox/flight", "outbox/account"), PUSH
    ),
    "delivery": Theme(("outbox/delivery", "outbox/items", "outbox/push", "outbox/crew"), PUSH),
    "settling": Theme(("outbox/settling", "outbox/storing", "outbox/latecomers", "outbox/twins"), PUSH),
    "searching": Theme(("outbox/searching", "outbox/closing"), PUSH),
    "deciding": Theme(("outbox/decisions", "outbox/raising"), PUSH),
    "intake": Theme(("outbox/intake", "outbox/validation", "outbox/filters"), PUSH),
}


def main() -> int:
    names = sys.argv[1:] or list(THEMES)
    if unknown := set(names) - set(THEMES):
        sys.stderr.write(f"There is no theme {unknown.pop()!r}; there are {', '.join(THEMES)}.\n")
        return 2
    survivors = [survivor for name in names for survivor in run(name)]
    say("\n".join(["", f"{len(survivors)} survived:", *survivors]))
    return 0


def run(name: str) -> list[str]:
    """Run one theme and print its modules; return the names of its survivors."""
    folder = copy(name)
    command = [sys.executable, "-m", "mutmut"]
    chosen = sample(folder, command)
    with (folder / "log").open("a") as log:
        subprocess.run([*command, "run", "--max-children", "1", *chosen], cwd=folder, stdout=log, check=False)
    found = defaultdict(Counter)  # type: ignore[var-annotated]
    survivors = []
    for mutant, result in results(folder, command):
        if result == "not checked":
            continue
        module = mutant.removeprefix(f"{PACKAGE}.").rpartition(".")[0]
        found[module][result in KILLED] += 1
        if result not in KILLED:
            survivors.append(f"  {mutant}: {result}")
    for module, count in found.items():
        total = count[True] + count[False]
        say(f"{module:28} {total:5} mutants  {count[False]:4} survived  {count[True] / total:6.1%}")
    return survivors


def sample(folder: Path, command: list[str]) -> list[str]:
    """Return every n-th mutant where the environment says SAMPLE=n, else none, which means all."""
    step = int(os.environ.get("SAMPLE", "1"))
    if step == 1:
        return []
    with (folder / "log").open("w") as log:
        subprocess.run([*command, "run", "none.there"], cwd=folder, stdout=log, stderr=log, check=False)
    return [mutant for number, (mutant, _) in enumerate(results(folder, command)) if number % step == 0]


def results(folder: Path, command: list[str]) -> Iterator[tuple[str, str]]:
    """Yield every mutant with what became of it."""
    done = subprocess.run(
        [*command, "results", "--all", "true"], cwd=folder, capture_output=True, text=True, check=True
    )
    for line in done.stdout.splitlines():
        if match := re.fullmatch(r"\s*([\w.ǁ]+): (.+)", line):
            yield match[1], match[2]


def copy(name: str) -> Path:
    """Return a folder with what git tracks, set up for the modules and tests of a theme."""
    folder, theme = WORK / name, THEMES[name]
    shutil.rmtree(folder, ignore_errors=True)
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    for path in listed.stdout.splitlines():
        if (ROOT / path).exists():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / path, folder / path)
    project = folder / "pyproject.toml"
    lines = {
        "only_mutate": [f"{PACKAGE}/{module}.py" for module in theme.modules],
        "pytest_add_cli_args_test_selection": list(theme.tests),
    }
    settings = "\n".join(f"{key} = {value!r}" for key, value in lines.items())
    project.write_text(project.read_text().replace("[tool.mutmut]\n", f"[tool.mutmut]\n{settings}\n"))
    return folder


def pytest_runtest_setup() -> None:
    for name, module in list(sys.modules.items()):
        if name.startswith(f"{PACKAGE}."):
            for function in vars(module).values():
                if hasattr(function, "cache_clear"):
                    function.cache_clear()


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
