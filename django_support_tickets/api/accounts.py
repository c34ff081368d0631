"""What a front end needs to know of an account to build a form: its capabilities, and nothing about its credentials."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext

from django_support_tickets.api.scope import CUSTOMER_FIELDS, customer_of, is_agent, provider_at
from django_support_tickets.attachments.rules import MOST, largest
from django_support_tickets.attachments.signatures import CONTENT_TYPES
from django_support_tickets.models import Ticket
from django_support_tickets.providers import Provider, providers
from django_support_tickets.records import AttachmentRules, Capabilities

#: What our own column takes, where a vendor takes more.
LONGEST_SUBJECT = Ticket._meta.get_field("subject").max_length or 0


def accounts_for(user: Any) -> list[dict[str, Any]]:
    """Return the accounts that a user can raise tickets at, in the order of SUPPORT_TICKETS_PROVIDERS."""
    found = (_provider_to_raise_at(alias, user=user) for alias in providers)
    return [account_of(provider, user=user) for provider in found if provider is not None]


def account_of(provider: Provider, *, user: Any) -> dict[str, Any]:
    """Return an account as `/providers/` shows it; sizes in bytes, null: no limit, or no files."""
    capabilities = provider.capabilities
    options = capabilities.option_names if is_agent(user) else capabilities.customer_options
    return {
        "alias": provider.alias,
        "required_fields": _required(capabilities, user),
        "sent_fields": sorted(capabilities.sent_fields),
        "subject_max": min(capabilities.subject_max or LONGEST_SUBJECT, LONGEST_SUBJECT),
        "description_max": capabilities.description_max,
        "comment_max": capabilities.comment_max,
        "categories": list(capabilities.categories),
        "priorities": list(capabilities.priorities),
        "options": sorted(options),
        "required_options": {name: sorted(needed) for name, needed in capabilities.required_options.items()},
        "option_max": {name: limit for name, limit in capabilities.option_max.items() if name in options},
        "can_comment": capabilities.can_comment,
        "no_comment_reason": gettext(capabilities.no_comment_reason),
        "can_close": capabilities.can_close,
        "files": _files(capabilities.attachments),
    }


def _required(capabilities: Capabilities, user: Any) -> list[str]:
    """Return what must be filled in; who a customer is, is not asked of them."""
    required = {"subject", *capabilities.required_fields}
    return sorted(required if is_agent(user) else required - {*CUSTOMER_FIELDS})


def _files(rules: AttachmentRules | None) -> dict[str, Any] | None:
    if rules is None:
        return None
    return {
        "moments": sorted(rules.moments),
        "max_count": MOST if rules.max_count is None else rules.max_count,
        "max_bytes": largest(rules),
        "max_total_bytes": rules.max_total_bytes,
        "extensions": sorted(name for name in rules.extensions or CONTENT_TYPES if _is_of_a_type(name, rules)),
        "content_types": sorted(rules.content_types),
    }


def _is_of_a_type(extension: str, rules: AttachmentRules) -> bool:
    return not rules.content_types or CONTENT_TYPES.get(extension) in rules.content_types


def _provider_to_raise_at(alias: str, *, user: Any) -> Provider | None:
    """Return the provider of an account; None if it cannot be used, or the vendor needs to know more of this user."""
    provider = provider_at(alias)
    if provider is None or is_agent(user):
        return provider
    known = customer_of(user, alias)
    needed = provider.capabilities.required_fields & {*CUSTOMER_FIELDS}
    return provider if known is not None and all(known.get(name) for name in needed) else None
