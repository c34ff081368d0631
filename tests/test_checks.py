from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import run_checks
from django.test import override_settings

from django_support_tickets.checks import check_deployment, check_dispatcher, check_providers, check_settings

RIPIO = "django_support_tickets.providers.ripio.RipioProvider"
OPTIONS = {"base_url": "https://ripio.example", "client_id": "a", "client_secret": "b"}


def complaints(**providers: Any) -> list[str]:
    with override_settings(SUPPORT_TICKETS_PROVIDERS=providers):
        messages = check_providers()
    assert all(message.id == "support_tickets.E003" and message.hint for message in messages)
    return [message.msg for message in messages]


class TestSettings:
    def test_the_defaults_are_in_order(self) -> None:
        assert [message for message in run_checks() if str(message.id).startswith("support_tickets")] == []

    @override_settings(SUPPORT_TICKETS_PROVIDRES={})
    def test_a_misspelt_setting_is_named(self) -> None:
        (message,) = check_settings()
        assert message.id == "support_tickets.E001"
        assert "SUPPORT_TICKETS_PROVIDRES" in message.msg

    @pytest.mark.parametrize("value", [None, [], {}, "local"])
    def test_providers_must_be_a_filled_dictionary(self, value: Any) -> None:
        with override_settings(SUPPORT_TICKETS_PROVIDERS=value):
            assert [message.id for message in check_providers()] == ["support_tickets.E002"]

    @override_settings(SUPPORT_TICKETS_DISPATCHER="nowhere.at_all")
    def test_a_dispatcher_must_exist(self) -> None:
        assert [message.id for message in check_dispatcher()] == ["support_tickets.E004"]


class TestProviders:
    def test_a_complete_account_is_in_order(self) -> None:
        assert complaints(ripio={"BACKEND": RIPIO, "OPTIONS": OPTIONS}) == []

    def test_an_unknown_option_is_named(self) -> None:
        (message,) = complaints(ripio={"BACKEND": RIPIO, "OPTIONS": {**OPTIONS, "tokn": "x"}})
        assert message == "Provider 'ripio': unexpected keyword argument 'tokn'"

    def test_a_missing_option_is_named(self) -> None:
        (message,) = complaints(ripio={"BACKEND": RIPIO, "OPTIONS": {"base_url": "https://ripio.example"}})
        assert "'ripio'" in message
        assert "missing" in message
        assert "'client_id'" in message
        assert "'client_secret'" in message

    @pytest.mark.parametrize(
        ("config", "named"),
        [
            ({"OPTIONS": {}}, "BACKEND is missing"),
            ({"BACKEND": "no.such.Thing"}, "no.such.Thing"),
            ({"BACKEND": "django.http.HttpResponse"}, "not a Provider"),
            ({"BACKEND": RIPIO, "OPTION": {}}, "'OPTION'"),
            ({"BACKEND": RIPIO, "OPTIONS": []}, "dictionary"),
            ({"BACKEND": RIPIO, "OPTIONS": {**OPTIONS, "base_url": "ftp://x"}}, "base_url"),
            ({"BACKEND": RIPIO, "OPTIONS": {**OPTIONS, "base_url": "https://a:b@x"}}, "base_url"),
            ({"BACKEND": RIPIO, "OPTIONS": {**OPTIONS, "deadline": 0}}, "deadline"),
            ({"BACKEND": RIPIO, "OPTIONS": {**OPTIONS, "timeout": 5}}, "timeout"),
        ],
    )
    def test_what_is_wrong_is_named(self, config: Any, named: str) -> None:
        (message,) = complaints(ripio=config)
        assert "'ripio'" in message
        assert named in message

    def test_a_callable_value_is_not_called(self) -> None:
        def secret() -> str:
            raise AssertionError("a check must not ask the secret manager")

        assert complaints(ripio={"BACKEND": RIPIO, "OPTIONS": {**OPTIONS, "client_secret": secret}}) == []

    def test_an_alias_must_fit_its_column(self) -> None:
        (message,) = complaints(**{"x" * 65: {"BACKEND": RIPIO, "OPTIONS": OPTIONS}})
        assert "64" in message


class TestDeployment:
    @override_settings(SUPPORT_TICKETS_DISPATCHER="inline")
    def test_the_inline_dispatcher_is_warned_of(self) -> None:
        assert "support_tickets.W103" in [message.id for message in check_deployment()]

    @pytest.mark.fault(27)
    def test_plain_http_and_verify_off_are_warned_of(self) -> None:
        options = {**OPTIONS, "base_url": "http://ripio.example", "verify": False}
        with override_settings(SUPPORT_TICKETS_PROVIDERS={"ripio": {"BACKEND": RIPIO, "OPTIONS": options}}):
            ids = {message.id for message in check_deployment()}
        assert {"support_tickets.W101", "support_tickets.W102"} <= ids
