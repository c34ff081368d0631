"""The long profile of the pull: `python -m tests.soak.pull`.

Generated histories of changes, polls, hints, losses and list walks, which must end in the vendor's state; and walks
that are killed by SIGKILL again and again, which must go on where they were and end with every page read. Ends in one
line of counts, and in 1 if one of them is not as promised.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
HISTORIES = 2000
KILLED_WALKS = 12
#: Seconds after which a walk of a dozen pages is killed, at random between these; each page takes about 0.2.
LIFE = (0.2, 1.2)
MOST_LIVES = 30


def main(histories: int = HISTORIES, walks: int = KILLED_WALKS) -> int:
    wrong = count_wrong_histories(histories)
    killed, unfinished, skipped = kill_walks(walks)
    held = not wrong and not unfinished and not skipped and killed
    sys.stdout.write(
        f"pull: histories {histories} and {histories // 4} of lists, wrong {wrong}; walks {walks}, killed {killed}"
        f" times, unfinished {unfinished}, pages skipped {skipped}; {'held' if held else 'NOT HELD'}\n"
    )
    return int(not held)


def count_wrong_histories(histories: int) -> int:
    """Run the tests of histories with more of them; return how many tests have failed, their output shown."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "tests/sync/test_histories.py"]
    command.append("tests/sync/test_walk_histories.py")
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "PULL_HISTORIES": str(histories)})
    return int(done.returncode != 0)


def kill_walks(walks: int) -> tuple[int, int, int]:
    """Return how many kills there were, how many walks did not end, and how many pages nobody has read."""
    chance, killed, unfinished, skipped = random.Random(95), 0, 0, 0
    for _ in range(walks):
        with tempfile.TemporaryDirectory() as folder:
            kills, pages = kill_walk(Path(folder), chance)
        killed += kills
        unfinished += pages is None
        skipped += pages or 0
    return killed, unfinished, skipped


def kill_walk(folder: Path, chance: random.Random) -> tuple[int, int | None]:
    """Walk one list, killed until it ends; return the kills, and how many pages were never read, None: not ended."""
    from tests.management.slow import PAGES, write_settings

    environment = write_settings(folder)
    read: set[int] = set()
    for life in range(MOST_LIVES):
        pages, has_ended = live(environment, chance.uniform(*LIFE))
        read.update(pages)
        if has_ended:
            return life, PAGES - len(read)
        free_lock(folder)
    return MOST_LIVES, None


def live(environment: dict[str, str], seconds: float) -> tuple[list[int], bool]:
    """Let a process walk for so long from its first page on; return the pages that it began, and whether it ended."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.management.slow", "--pull-only", "--slow-list"]
    pages: list[int] = []
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        ends_at = None
        for line in process.stdout:
            if line.startswith("page"):
                ends_at = ends_at or time.monotonic() + seconds
                pages.append(int(line.split()[1]))
            if ends_at and time.monotonic() > ends_at:
                process.kill()
                break
        process.stdout.read()
        process.wait()
    return pages, process.returncode == 0


def free_lock(folder: Path) -> None:
    """Let the minute pass after which the lease of a dead process has run out."""
    import sqlite3

    with closing(sqlite3.connect(folder / "db")) as database, database:
        database.execute("UPDATE support_tickets_providerstate SET run_leased_until = 1")


if __name__ == "__main__":
    sys.exit(main())
