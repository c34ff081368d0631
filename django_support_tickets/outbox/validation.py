"""What a vendor takes, asked before anything is stored; every answer comes from its capabilities."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_support_tickets.exceptions import InvalidProvider
from django_support_tickets.models import Comment, Delivery, Ticket
from django_support_tickets.outbox.items import NO_COMMENTS
from django_support_tickets.phrases import translate
from django_support_tickets.providers import Provider, providers
from django_support_tickets.records import Capabilities

Errors = dict[str, list[Any]]
FIELDS = ("customer_id", "contact_name", "contact_email", "subject", "description", "priority", "category")


def provider_of(ticket: Ticket) -> Provider:
    """Return the ticket's provider; raise ValidationError naming the field if there is none to use."""
    if not ticket.provider:
        names = ", ".join(providers)
        message = _("Name the account: there are %(names)s.") % {"names": names}
        raise ValidationError({"provider": ValidationError(message, code="required")})
    try:
        return providers[ticket.provider]
    except InvalidProvider as error:
        raise ValidationError({"provider": ValidationError(translate(str(error)), code="invalid")}) from None


def validate_ticket(ticket: Ticket) -> None:
    """Raise ValidationError with a message per field if the vendor would not take the ticket."""
    capabilities = provider_of(ticket).capabilities
    errors: Errors = {}
    _check_columns(ticket, errors)
    _check_required(ticket, capabilities, errors)
    _check_lengths(ticket, capabilities, errors)
    _check_choices(ticket, capabilities, errors)
    _check_options(ticket, capabilities, errors)
    _check_tags(ticket, errors)
    if errors:
        raise ValidationError(errors)


def validate_comment(comment: Comment) -> None:
    """Raise ValidationError if the vendor takes no comments, or not this one."""
    capabilities = provider_of(comment.ticket).capabilities
    if not capabilities.can_comment:
        reason = gettext(capabilities.no_comment_reason) or NO_COMMENTS
        raise ValidationError({"body": ValidationError(reason, code="unsupported")})
    if comment.ticket.delivery not in (Delivery.QUEUED, Delivery.DELIVERED):
        raise ValidationError({"ticket": ValidationError(_("The ticket is not at the vendor."), code="not_delivered")})
    if not comment.body.strip():
        raise ValidationError({"body": ValidationError(_("This field is required."), code="required")})
    limit = capabilities.comment_max
    if limit is not None and len(comment.body) > limit:
        raise ValidationError({"body": ValidationError(_too_long(limit, len(comment.body)), code="max_length")})


def _check_columns(ticket: Ticket, errors: Errors) -> None:
    try:
        ticket.clean_fields(exclude={field.name for field in ticket._meta.fields} - set(FIELDS))
    except ValidationError as error:
        for name, found in error.error_dict.items():
            errors.setdefault(name, []).extend(found)


def _check_required(ticket: Ticket, capabilities: Capabilities, errors: Errors) -> None:
    for name in sorted(capabilities.required_fields | {"subject"}):
        if name not in errors and not str(getattr(ticket, name) or "").strip():
            errors[name] = [ValidationError(_("This account's vendor needs it."), code="required")]


def _check_lengths(ticket: Ticket, capabilities: Capabilities, errors: Errors) -> None:
    limits = {"subject": capabilities.subject_max, "description": capabilities.description_max}
    for name, limit in limits.items():
        length = len(getattr(ticket, name) or "")
        if name not in errors and limit is not None and length > limit:
            errors[name] = [ValidationError(_too_long(limit, length), code="max_length")]


def _check_choices(ticket: Ticket, capabilities: Capabilities, errors: Errors) -> None:
    choices: dict[str, Iterable[str]] = {"category": capabilities.categories, "priority": capabilities.priorities}
    for name, known in choices.items():
        value = getattr(ticket, name)
        if value and known and value not in known:
            message = _("The vendor knows %(known)s.") % {"known": ", ".join(known)}
            errors.setdefault(name, []).append(ValidationError(message, code="invalid_choice"))


def _check_options(ticket: Ticket, capabilities: Capabilities, errors: Errors) -> None:
    given = ticket.options if isinstance(ticket.options, dict) else {"?": ticket.options}
    found: list[Any] = []
    if unknown := sorted(given.keys() - capabilities.option_names):
        message = _("The vendor has no option %(names)s.") % {"names": ", ".join(unknown)}
        found.append(ValidationError(message, code="unknown_option"))
    needed = capabilities.required_options.get(ticket.category, frozenset())
    if missing := sorted(name for name in needed if not _is_text(given.get(name))):
        message = _("With this category the vendor needs the options %(names)s.") % {"names": ", ".join(missing)}
        found.append(ValidationError(message, code="required_option"))
    for name, limit in capabilities.option_max.items():
        if (length := len(str(given.get(name) or ""))) > limit:
            values = {"name": name, "limit": limit, "length": length}
            message = _("The option %(name)s takes at most %(limit)d characters, it has %(length)d.") % values
            found.append(ValidationError(message, code="max_length"))
    if found:
        errors["options"] = found


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _check_tags(ticket: Ticket, errors: Errors) -> None:
    if not isinstance(ticket.tags, list) or not all(isinstance(tag, str) for tag in ticket.tags):
        errors["tags"] = [ValidationError(_("Tags are a list of texts."), code="invalid")]


def _too_long(limit: int, length: int) -> str:
    return _("At most %(limit)d characters, it has %(length)d.") % {"limit": limit, "length": length}
