"""Fake vendors for offline tests: stateful, over real HTTP, with a ledger and faults on demand."""

from __future__ import annotations

from django_support_tickets.testing.sandbox.ankra import AnkraSandbox
from django_support_tickets.testing.sandbox.faults import QUICK_FAULTS, Fault, Hold
from django_support_tickets.testing.sandbox.ledger import LedgerEntry
from django_support_tickets.testing.sandbox.moov import MoovSandbox
from django_support_tickets.testing.sandbox.ripio import RipioSandbox
from django_support_tickets.testing.sandbox.sandbox import Sandbox, serve, serving
from django_support_tickets.testing.sandbox.verifik import VerifikSandbox
from django_support_tickets.testing.sandbox.webhooks import WebhookVendor
from django_support_tickets.testing.sandbox.wsgi import Call, Refusal, Reply, Route, VendorSandbox, json_reply

__all__ = [
    "QUICK_FAULTS",
    "AnkraSandbox",
    "Call",
    "Fault",
    "Hold",
    "LedgerEntry",
    "MoovSandbox",
    "Refusal",
    "Reply",
    "RipioSandbox",
    "Route",
    "Sandbox",
    "VendorSandbox",
    "VerifikSandbox",
    "WebhookVendor",
    "json_reply",
    "serve",
    "serving",
]
