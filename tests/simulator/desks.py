"""What the simulator has to know of each vendor: how a ticket is raised there, and what the vendor has in the end."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django_support_tickets.records import text_of_html
from django_support_tickets.testing.sandbox import Sandbox, VendorSandbox

Values = Callable[[random.Random], dict[str, Any]]
Stored = dict[str, Any]


@dataclass(frozen=True)
class Desk:
    """One vendor in one way of using it."""

    name: str
    vendor: Callable[[Sandbox], Any]
    #: Fields of a ticket besides subject and description.
    values: Values
    #: The description, the comments by us and the names of the files of a stored ticket.
    description: Callable[[Stored], str]
    comments: Callable[[Stored], list[str]] = lambda stored: []
    files: Callable[[Any, Stored], list[str]] = lambda vendor, stored: []
    is_closed: Callable[[Stored], bool] = lambda stored: stored["status"] in ("closed", "resolved", "cancelled")
    options: dict[str, Any] | None = None
    #: Settings of the fake vendor.
    settings: dict[str, Any] | None = None
    extension: str = "png"

    @property
    def provider_name(self) -> str:
        return self.name.partition("-")[0]

    @property
    def backend(self) -> str:
        module = f"django_support_tickets.providers.{self.provider_name}"
        return f"{module}.{self.provider_name.title()}Provider"

    def provider(self, sandbox: Sandbox) -> dict[str, Any]:
        """Return the entry of SUPPORT_TICKETS_PROVIDERS; no rate, since nobody should have to wait for it."""
        options = {**self.sandbox_of(sandbox).options(), "rate": None, **(self.options or {})}
        return {"BACKEND": self.backend, "OPTIONS": options}

    def sandbox_of(self, sandbox: Sandbox) -> VendorSandbox:
        vendor: VendorSandbox = self.vendor(sandbox)
        for name, value in (self.settings or {}).items():
            setattr(vendor, name, value)
        return vendor


def _choice(**choices: list[str]) -> Values:
    return lambda draw: {name: draw.choice(values) for name, values in choices.items()}


DESKS = {
    desk.name: desk
    for desk in (
        Desk(
            "ripio",
            lambda sandbox: sandbox.ripio,
            values=lambda draw: {"customer_id": "3c90c3cc-0d44-4b50-8888-8dd25736052a"},
            description=lambda stored: str(stored["description"]),
            files=lambda vendor, stored: [file["name"] for file in stored["files"]],
        ),
        Desk(
            "moov",
            lambda sandbox: sandbox.moov,
            values=lambda draw: {
                "customer_id": draw.choice(["acct-1", "acct-2"]),
                "contact_name": "Ana Lima",
                "contact_email": "ana@example.com",
            },
            description=lambda stored: str(stored["messages"][0]["body"]),
        ),
        Desk(
            "verifik-docs",
            lambda sandbox: sandbox.verifik,
            values=_choice(category=["technical", "billing"], priority=["low", "high"]),
            description=lambda stored: str(stored["description"]),
            settings={"dialect": "docs"},
        ),
        Desk(
            "verifik-app",
            lambda sandbox: sandbox.verifik,
            values=_choice(category=["billing", "smartScan"]),
            description=lambda stored: text_of_html(stored["threads"][0]["message"]),
            comments=lambda stored: [
                text_of_html(thread["message"]) for thread in stored["threads"][1:] if thread["type"] == "user"
            ],
            files=lambda vendor, stored: [
                vendor.files.document(file)["name"] for thread in stored["threads"] for file in thread["attachments"]
            ],
            settings={"dialect": "app"},
        ),
        Desk(
            "ankra",
            lambda sandbox: sandbox.ankra,
            values=_choice(category=["technical", "bug"]),
            description=lambda stored: str(stored["description"]),
            comments=lambda stored: [
                comment["body"] for comment in stored["comments"] if comment["author_type"] == "customer"
            ],
            files=lambda vendor, stored: [file["filename"] for file in stored["attachments"]],
        ),
    )
}

#: Provider -> the ways of using it.
WAYS: dict[str, list[str]] = {}
for _desk in DESKS.values():
    WAYS.setdefault(_desk.provider_name, []).append(_desk.name)
