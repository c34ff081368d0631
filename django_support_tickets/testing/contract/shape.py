from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.core.checks import CheckMessage

from django_support_tickets.exceptions import InvalidProvider
from django_support_tickets.providers.base import Provider
from django_support_tickets.records import Capabilities, Status
from django_support_tickets.testing.contract.subject import ContractSubject

FIELDS = frozenset({"customer_id", "contact", "contact_name", "contact_email", "description", "category", "priority"})
MOMENTS = frozenset({"create", "after", "comment"})
OPERATIONS = ("create", "comment", "upload", "close", "get", "list", "find")


class ShapeContract:
    """What can be said of a provider without calling its vendor."""

    def test_capabilities_agree_with_the_methods(self, subject: ContractSubject) -> None:
        provider = subject.provider
        # Where options decide, a method may be there without being declared.
        by_options = "capabilities" in vars(provider)
        for method, is_declared in methods_of(provider.capabilities).items():
            is_there = getattr(subject.backend, method) is not getattr(Provider, method)
            assert is_there or not is_declared, f"{method} is declared but not there"
            assert is_declared or not is_there or by_options, f"{method} is there but not declared"

    def test_capabilities_make_sense(self, subject: ContractSubject) -> None:
        declared = subject.provider.capabilities
        assert isinstance(declared, Capabilities)
        assert declared.can_comment or declared.no_comment_reason, "say why there are no comments"
        assert declared.required_fields | declared.sent_fields <= FIELDS | {"tags"}
        needed = frozenset().union(*declared.required_options.values())
        assert declared.customer_options | needed | declared.option_max.keys() <= declared.option_names
        assert declared.status_map, "no status is mapped"
        assert all(isinstance(status, Status) for status in declared.status_map.values())
        assert Status.UNKNOWN not in declared.settled_statuses
        assert declared.can_list or not declared.lists_by_customer
        assert all(400 <= status < 500 and status != 429 for status in declared.proves_rejection)
        rules = declared.attachments
        assert rules is None or (rules.moments and rules.moments <= MOMENTS)
        limits = [declared.subject_max, declared.description_max, declared.comment_max]
        limits += [rules.max_count, rules.max_bytes, rules.max_total_bytes] if rules else []
        assert all(limit is None or limit > 0 for limit in limits)

    def test_every_operation_has_a_deadline(self, subject: ContractSubject) -> None:
        provider = subject.provider
        assert all(provider.deadline_of(operation) > 0 for operation in OPERATIONS)
        assert provider.settle_seconds >= provider.deadline_of("create")

    def test_an_unknown_option_is_refused(self, subject: ContractSubject) -> None:
        with pytest.raises((TypeError, InvalidProvider), match="tokn"):
            subject.build(tokn="x")

    def test_a_nonsense_option_is_refused(self, subject: ContractSubject) -> None:
        for changes in ({"deadline": 0}, {"deadline": "soon"}, {"timeout": 5}, {"max_response_bytes": -1}):
            with pytest.raises(InvalidProvider):
                subject.build(**changes)

    def test_building_and_checking_does_nothing(self, subject: ContractSubject) -> None:
        with no_network():
            messages = subject.provider.check()
        assert all(isinstance(message, CheckMessage) for message in messages)
        if subject.vendor is not None:
            assert not subject.vendor.ledger

    def test_an_option_given_as_a_callable_is_not_called_before_its_use(self, subject: ContractSubject) -> None:
        def fail() -> Any:
            raise AssertionError("called too early")

        for name, value in subject.options.items():
            if isinstance(value, (str, list, tuple)):
                try:
                    provider = subject.build(**{name: fail})
                except (InvalidProvider, TypeError):
                    continue  # this one may not be a callable
                provider.check()
                repr(provider)


def methods_of(declared: Capabilities) -> dict[str, bool]:
    """Return which methods the capabilities promise."""
    rules = declared.attachments
    return {
        "list_changed": declared.can_list,
        "find": declared.can_find,
        "add_comment": declared.can_comment,
        "close": declared.can_close,
        "upload": rules is not None and "after" in rules.moments,
        "parse_webhook": declared.has_webhooks,
    }


@contextmanager
def no_network() -> Iterator[None]:
    """Fail if a socket is connected or a name resolved inside the block."""

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("the network was used")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", refuse)
        patch.setattr(socket, "getaddrinfo", refuse)
        yield
