"""Take the pictures in docs/screenshots anew: `python -m tests.browser.screenshots`.

`python -m tests.browser.screenshots FOLDER` puts pictures of all pages into a folder instead, to be looked at.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "docs" / "screenshots"
PAGES = ("changelist", "ticket", "dashboard")
LOOKS = ("light", "dark", "narrow")


def photograph(folder: Path) -> int:
    """Put a picture of every page in every look into a folder; return pytest's exit code."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "browser", "tests/browser/test_looks.py"]
    folder.mkdir(parents=True, exist_ok=True)
    return subprocess.call(command, cwd=ROOT, env={**os.environ, "SUPPORT_TICKETS_SCREENSHOTS": str(folder)})


def main() -> int:
    if len(sys.argv) > 1:
        return photograph(Path(sys.argv[1]).resolve())
    with tempfile.TemporaryDirectory() as folder:
        if code := photograph(Path(folder)):
            return code
        KEPT.mkdir(parents=True, exist_ok=True)
        for name in (f"{page}-{look}.png" for page in PAGES for look in LOOKS):
            shutil.copyfile(Path(folder) / name, KEPT / name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
