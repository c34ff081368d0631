from __future__ import annotations

from datetime import UTC, datetime

from django.conf import settings as django_settings
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from django_support_tickets.models import project_time


def parse_moment(text: str) -> datetime | None:
    """Return an ISO 8601 date and time as this project's columns have it; None if it is none that a row can have.

    One without zone is in the site's.
    """
    try:
        moment = parse_datetime(text)
    except ValueError:
        return None
    if moment is None or not 1970 <= moment.year <= 9998:
        return None
    if moment.tzinfo is not None:
        return project_time(moment.astimezone(UTC))
    return timezone.make_aware(moment) if django_settings.USE_TZ else moment
