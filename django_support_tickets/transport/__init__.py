"""HTTP for providers: one connection pool per process and account, and every ending told apart.

A request ends in an `Answer` (any HTTP status), in `NotSent` (no byte of it can have left) or in `Ambiguous`
(everything else). Nothing here ever repeats a request.
"""

from __future__ import annotations

from requests import Response

from django_support_tickets.transport.accounts import Account, Token, account, forget_accounts
from django_support_tickets.transport.bodies import Body, BytesBody, MultipartBody, Part, checked_chunks, json_body
from django_support_tickets.transport.client import Transport, is_loopback, refuse_inside_transaction
from django_support_tickets.transport.connections import total_deadline
from django_support_tickets.transport.messages import ID_PATTERN, Answer, HeaderAuth, Request, path_id
from django_support_tickets.transport.parsing import clean_text, parse_json, redact

__all__ = [
    "Account",
    "Answer",
    "Body",
    "BytesBody",
    "HeaderAuth",
    "ID_PATTERN",
    "MultipartBody",
    "Part",
    "Request",
    "Response",
    "Token",
    "Transport",
    "account",
    "checked_chunks",
    "clean_text",
    "forget_accounts",
    "is_loopback",
    "json_body",
    "parse_json",
    "path_id",
    "redact",
    "refuse_inside_transaction",
    "total_deadline",
]
