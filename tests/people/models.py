from __future__ import annotations

import uuid

from django.contrib.auth.models import AbstractUser
from django.db import models


class Person(AbstractUser):
    """A user model as many projects have: swapped, with a UUID as primary key."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
