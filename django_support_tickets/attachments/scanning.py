"""The project's own look at a stored file, with a time limit: what it does not clear is quarantined."""

from __future__ import annotations

import logging
import queue
import threading
import time
from contextlib import closing

from django.db import connections
from django.utils import timezone
from django.utils.module_loading import import_string

from django_support_tickets.attachments.storing import LARGEST, file_storage
from django_support_tickets.conf import settings
from django_support_tickets.models import Attachment
from django_support_tickets.models.names import display_name

logger = logging.getLogger(__name__)
State = Attachment.State

#: How long a scanner may take for one file, in seconds.
SCAN_SECONDS = 20.0
#: How many bytes a file may have that is given to a scanner; what nobody looks at is not cleared.
SCAN_BYTES = LARGEST
#: How many scanners that do not come back are borne with; while there are so many, no other is started.
SCANS_MAX = 8

NO_ANSWER = "The scanner did not answer in time."
FAILED = "The scanner failed."
TOO_LARGE = "The file is too large for the scanner."

_free = threading.BoundedSemaphore(SCANS_MAX)


def scan(key: str, name: str, *, seconds: float = SCAN_SECONDS) -> str:
    """Ask SUPPORT_TICKETS_FILE_SCANNER about a stored file; return why it must be quarantined, "" if it need not.

    The function gets a file of its own, opened for reading, and the file's display name; it returns None or a reason.
    Whatever else happens (it raises, takes too long, cannot be imported, the file is too large for it) is a reason too.
    """
    if not settings.FILE_SCANNER:
        return ""
    ends_at = time.monotonic() + seconds
    if not _free.acquire(timeout=seconds):
        return NO_ANSWER
    answers: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_answer, args=(key, name, answers), name="file-scanner", daemon=True).start()
    try:
        return answers.get(timeout=max(ends_at - time.monotonic(), 0.0))
    except queue.Empty:
        logger.error("the file scanner hangs", extra={"event": "attachments.scanner_hangs"})
        return NO_ANSWER


def scan_again(attachment: Attachment) -> bool:
    """Ask about a quarantined file again; return whether it is cleared.

    A file of ours that is cleared is not sent by itself: submit it again.
    """
    if attachment.state != State.QUARANTINED or not attachment.file:
        return False
    complaint = scan(str(attachment.file.name), display_name(attachment.name))
    attachment.state, attachment.error = (State.QUARANTINED if complaint else State.STORED), complaint
    rows = Attachment.objects.using(attachment._state.db).filter(pk=attachment.pk, state=State.QUARANTINED)
    rows.update(state=attachment.state, error=complaint, updated_at=timezone.now())
    return not complaint


def _answer(key: str, name: str, answers: queue.SimpleQueue[str]) -> None:
    try:
        answers.put(_ask(key, name))
    except Exception as error:  # its text may quote the file
        logger.error("the file scanner fails: %s", type(error).__name__, extra={"event": "attachments.scanner_fails"})
        answers.put(FAILED)
    finally:
        connections.close_all()
        _free.release()


def _ask(key: str, name: str) -> str:
    scanner = import_string(str(settings.FILE_SCANNER))
    if file_storage().size(key) > SCAN_BYTES:
        return TOO_LARGE
    with closing(file_storage().open(key, "rb")) as file:
        reason = scanner(file, name)
    return "" if reason is None else str(reason)[:500] or FAILED
