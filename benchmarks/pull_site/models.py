"""Tables like ours, for the peer: the same columns, keys and indexes, and nothing of our code in their `save()`."""

from __future__ import annotations

from typing import Any

from django.db import models

from django_support_tickets.models import Attachment, Comment, Ticket

NAMES = {Ticket: "PeerTicket", Comment: "PeerComment", Attachment: "PeerAttachment"}


def twin(model: type[models.Model], **targets: type[models.Model]) -> type[models.Model]:
    """Return a model with the columns and indexes of another; `targets` are those of its foreign keys."""
    members: dict[str, Any] = {"__module__": __name__, "Meta": type("Meta", (), options_of(model))}
    for field in model._meta.local_concrete_fields:
        if not field.primary_key:
            members[field.name] = column(field, targets.get(field.name))
    return type(NAMES[model], (models.Model,), members)


def column(field: Any, target: type[models.Model] | None) -> models.Field[Any, Any]:
    """Return a column like another; a foreign key that is not followed stays a number with an index."""
    if target is not None:
        return models.ForeignKey(target, models.CASCADE, null=field.null, related_name="+")
    if field.is_relation:
        return models.BigIntegerField(null=True, db_index=True, db_column=field.column)
    if isinstance(field, models.FileField):
        return models.CharField(max_length=255, blank=True, default="")
    copy: models.Field[Any, Any] = field.clone()
    return copy


def options_of(model: type[models.Model]) -> dict[str, Any]:
    meta = model._meta
    indexes = [models.Index(fields=index.fields, name=f"peer_{index.name}") for index in meta.indexes]
    uniques = [one for one in meta.constraints if isinstance(one, models.UniqueConstraint)]
    names = [models.UniqueConstraint(fields=one.fields, name=f"peer_{one.name}") for one in uniques]
    return {"app_label": "pull_site", "indexes": indexes, "constraints": names}


PeerTicket = twin(Ticket)
PeerComment = twin(Comment, ticket=PeerTicket)
PeerAttachment = twin(Attachment, ticket=PeerTicket, comment=PeerComment)
