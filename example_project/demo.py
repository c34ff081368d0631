"""The main job, end to end: tickets travel to four vendors and come back, all on this machine.

`python demo.py` ends by itself; `python demo.py --serve` then opens the site on the same data.
"""

from __future__ import annotations

import base64
import errno
import fcntl
import json
import os
import shutil
import sys
from pathlib import Path
from typing import IO

import django
from django.core.management import call_command

from django_support_tickets.testing.sandbox import Fault, Sandbox

HERE = Path(__file__).resolve().parent
VAR = HERE / "var"
LOCK = VAR / "lock"
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def main() -> None:
    serving = "--serve" in sys.argv
    with claim_folder(), start_vendors(8800 if serving else 0) as sandbox:
        prepare(sandbox)
        # Models can be imported only now.
        import story

        story.tell(sandbox, Fault, PNG)
        if serving:
            sandbox.ripio.auto_register_after = 5.0
            serve()


def claim_folder() -> IO[str]:
    """Keep other demos away from the data until this one ends; end at once if one is at work."""
    VAR.mkdir(exist_ok=True)
    lock = LOCK.open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit("`make demo` or `make serve` is at work with this data already. End it first: Ctrl-C in its terminal.")
    return lock


def start_vendors(port: int) -> Sandbox:
    """Return the fake vendors, listening; end with a sentence if something else listens there."""
    try:
        return Sandbox(port=port).start()
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        sys.exit(f"Something listens on port {port} already, where the fake vendors are to be. End it first.")


def prepare(sandbox: Sandbox) -> None:
    for path in set(VAR.iterdir()) - {LOCK}:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    options = sandbox.options()
    # The sandbox does not mind: no need to keep to the vendors' rates here.
    for alias in ("verifik", "ankra"):
        options[alias]["rate"] = 50
    (VAR / "sandbox.json").write_text(json.dumps(options))
    sys.path.insert(0, str(HERE))
    os.environ["DJANGO_SETTINGS_MODULE"] = "site_project.settings"
    django.setup()
    call_command("migrate", verbosity=0)


def serve() -> None:
    from django.conf import settings
    from django.contrib.auth import get_user_model

    settings.SUPPORT_TICKETS_DISPATCHER = "inline"
    get_user_model().objects.create_superuser("admin", "admin@example.com", "admin")
    print("\nOpen http://127.0.0.1:8000/ and log in as  admin  with password  admin  (Ctrl-C stops).")
    call_command("runserver", "127.0.0.1:8000", use_reloader=False)


if __name__ == "__main__":
    main()
