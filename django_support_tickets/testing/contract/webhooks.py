from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

import pytest

from django_support_tickets.exceptions import WebhookRejected
from django_support_tickets.providers.base import Provider
from django_support_tickets.records import WebhookEvent
from django_support_tickets.testing.contract.subject import ContractSubject

Webhook = tuple[Mapping[str, str], bytes]
JUNK = ("", " ", "x", "sha256=", "=" * 64, "0" * 64, "0" * 128, "é" * 64, "\x00", "x" * 10_000, "nan", "1e99")
ODD_BODIES = (b"", b"{}", b"[]", b"null", b"\xff\xfe", b"{" * 100_000, b'{"type": 7}')


class WebhookContract:
    """A genuine webhook is a hint; everything else is refused, whatever it looks like."""

    def test_a_genuine_webhook_names_its_ticket(self, subject: ContractSubject) -> None:
        ref, (headers, body) = self._genuine(subject)
        event = subject.provider.parse_webhook(headers, body)
        assert isinstance(event, WebhookEvent)
        assert event.remote_id == ref
        assert event.identity
        assert event.event_type

    def test_the_same_webhook_has_the_same_identity_and_another_one_another(self, subject: ContractSubject) -> None:
        _, (headers, body) = self._genuine(subject)
        _, (other_headers, other_body) = self._genuine(subject)
        provider = subject.provider
        identities = [provider.parse_webhook(headers, body).identity for _ in range(2)]
        assert identities[0] == identities[1] != provider.parse_webhook(other_headers, other_body).identity

    def test_the_case_of_header_names_does_not_matter(self, subject: ContractSubject) -> None:
        _, (headers, body) = self._genuine(subject)
        for change in (str.lower, str.upper):
            assert subject.provider.parse_webhook({change(name): value for name, value in headers.items()}, body)

    def test_every_flipped_bit_of_a_signed_header_is_refused(self, subject: ContractSubject) -> None:
        _, (headers, body) = self._genuine(subject)
        signed = [name for name in headers if name.lower() not in ("content-type", "user-agent")]
        for name in signed:
            for position, char in enumerate(headers[name]):
                for bit in range(7):
                    flipped = headers[name][:position] + chr(ord(char) ^ 1 << bit) + headers[name][position + 1 :]
                    self._refused(subject.provider, ({**headers, name: flipped}, body), what=f"{name}: {flipped!r}")

    def test_a_changed_body_is_refused_or_only_another_hint(self, subject: ContractSubject) -> None:
        _, (headers, body) = self._genuine(subject)
        identity = subject.provider.parse_webhook(headers, body).identity
        for position in range(0, len(body), 7):
            changed = body[:position] + bytes((body[position] ^ 1,)) + body[position + 1 :]
            with suppress(WebhookRejected):
                assert subject.provider.parse_webhook(headers, changed).identity == identity

    @pytest.mark.parametrize("body", ODD_BODIES, ids=lambda body: repr(body[:20]))
    def test_an_odd_body_is_refused_or_names_nothing(self, subject: ContractSubject, body: bytes) -> None:
        _, (headers, _) = self._genuine(subject)
        with suppress(WebhookRejected):
            assert subject.provider.parse_webhook(headers, body).remote_id == ""

    def test_missing_and_odd_headers_are_refused(self, subject: ContractSubject) -> None:
        _, (headers, body) = self._genuine(subject)
        self._refused(subject.provider, ({}, body), what="no headers")
        for name in headers:
            if name.lower() != "content-type":
                for junk in JUNK:
                    self._refused(subject.provider, ({**headers, name: junk}, body), what=f"{name}: {junk[:20]!r}")
                rest = {other: value for other, value in headers.items() if other != name}
                self._refused(subject.provider, (rest, body), what=f"no {name}")

    @pytest.mark.parametrize("secrets", [(), [], "", [""], ["  "], ["another-secret"]], ids=repr)
    def test_without_the_right_secret_nothing_is_accepted(self, subject: ContractSubject, secrets: object) -> None:
        _, webhook = self._genuine(subject)
        self._refused(subject.build(webhook_secrets=secrets), webhook, what=repr(secrets))

    def test_two_secrets_are_valid_during_a_rotation(self, subject: ContractSubject) -> None:
        _, webhook = self._genuine(subject)
        secrets = list(subject.provider.webhook_secrets())
        for several in (["another-secret", *secrets], [*secrets, "another-secret"], lambda: secrets):
            assert subject.build(webhook_secrets=several).parse_webhook(*webhook)

    def test_what_it_signs_itself_is_genuine_and_about_no_ticket(self, subject: ContractSubject) -> None:
        self._genuine(subject)
        provider, secrets = subject.provider, subject.provider.webhook_secrets()
        if type(provider).sign_webhook is Provider.sign_webhook:
            pytest.skip("This provider does not sign webhooks.")
        events = [provider.parse_webhook(*provider.sign_webhook(secrets[0])) for _ in range(2)]
        assert [event.remote_id for event in events] == ["", ""]
        assert events[0].identity != events[1].identity
        self._refused(provider, provider.sign_webhook("another-secret"), what="another secret")

    @staticmethod
    def _genuine(subject: ContractSubject) -> tuple[str, Webhook]:
        if not subject.provider.capabilities.has_webhooks:
            pytest.skip("This vendor sends no webhooks.")
        assert subject.webhook is not None, "a provider with webhooks needs `webhook` in its ContractSubject"
        ref, _ = subject.raise_ticket()
        return ref.remote_id, subject.webhook(ref.remote_id)

    @staticmethod
    def _refused(provider: Provider, webhook: Webhook, *, what: str) -> None:
        try:
            provider.parse_webhook(*webhook)
        except WebhookRejected as error:
            assert 400 <= error.status < 500
            return
        raise AssertionError(f"accepted with {what}")
