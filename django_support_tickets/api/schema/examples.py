"""Examples of the OpenAPI description: one ticket, and what belongs to it."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiExample

KEY = "0b5c3a0e-4b7e-4a56-9a3e-6f4a3d2c1b0a"
MOMENT = "2026-03-01T12:00:00Z"
GOOD = ["200", "201", "202"]

RAISE = OpenApiExample(
    "Raise",
    request_only=True,
    value={
        "provider": "ripio-sandbox",
        "subject": "Deposit missing",
        "description": "Sent at 10:12, not there at 12:00.",
        "tags": ["deposit"],
    },
)
DRAFT = OpenApiExample(
    "Draft", request_only=True, value={"provider": "ripio-sandbox", "subject": "Deposit missing", "draft": True}
)
SHOWN = OpenApiExample(
    "Delivered",
    response_only=True,
    status_codes=GOOD,
    value={
        "key": KEY,
        "provider": "ripio-sandbox",
        "reference": "SUP-1234",
        "subject": "Deposit missing",
        "description": "Sent at 10:12, not there at 12:00.",
        "priority": "",
        "category": "",
        "tags": ["deposit"],
        "options": {},
        "contact_name": "Ann",
        "contact_email": "ann@example.com",
        "status": "open",
        "resolution": "",
        "delivery": "delivered",
        "delivery_text": "The support desk has received it.",
        "closing": "",
        "closing_text": "",
        "comments_count": 1,
        "attachments_count": 0,
        "created_at": MOMENT,
        "updated_at": MOMENT,
        "submitted_at": MOMENT,
        "delivered_at": MOMENT,
        "resolved_at": None,
        "closed_at": None,
        "last_comment_at": MOMENT,
    },
)
REFUSED = OpenApiExample(
    "Not what the vendor takes",
    response_only=True,
    status_codes=["400"],
    value={"subject": ["At most 240 characters, it has 312."], "files": ["At most 5 files."]},
)
EDIT = OpenApiExample("Edit", request_only=True, value={"subject": "Deposit of 1 March missing"})
EXISTS = OpenApiExample("It exists", request_only=True, value={"exists": "77"})
AGAIN = OpenApiExample("It does not", request_only=True, value={"send_again": True})
ASK = OpenApiExample("Ask", request_only=True, value={"body": "Any news?"})
ANSWER = OpenApiExample(
    "An answer",
    response_only=True,
    status_codes=GOOD,
    value={
        "key": "5d7f2c1e-9a0b-4c3d-8e1f-2a3b4c5d6e7f",
        "author_type": "agent",
        "author_name": "Eve",
        "body": "We look into it.",
        "body_format": "text",
        "sent_at": MOMENT,
        "created_at": MOMENT,
        "delivery": "delivered",
        "delivery_text": "The support desk has received it.",
    },
)
RECEIPT = OpenApiExample(
    "A receipt",
    response_only=True,
    status_codes=GOOD,
    value={
        "key": "9c8b7a6d-5e4f-4321-8fed-cba987654321",
        "comment": None,
        "name": "receipt.pdf",
        "content_type": "application/pdf",
        "size": 48213,
        "direction": "out",
        "state": "stored",
        "created_at": MOMENT,
        "delivery": "delivered",
        "delivery_text": "The support desk has received it.",
    },
)
CHANGE = OpenApiExample(
    "A change",
    response_only=True,
    status_codes=GOOD,
    value={
        "at": MOMENT,
        "kind": "changed",
        "text": "Changed at the vendor",
        "changes": {"status": ["open", "in_progress"]},
    },
)
ACCOUNT = OpenApiExample(
    "An account",
    response_only=True,
    status_codes=GOOD,
    value={
        "alias": "ripio-sandbox",
        "required_fields": ["description", "subject"],
        "sent_fields": [],
        "subject_max": 240,
        "description_max": 5000,
        "comment_max": None,
        "categories": [],
        "priorities": [],
        "options": [],
        "required_options": {},
        "option_max": {},
        "can_comment": False,
        "no_comment_reason": "Ripio answers by e-mail.",
        "can_close": False,
        "files": {
            "moments": ["create"],
            "max_count": 5,
            "max_bytes": 26214400,
            "max_total_bytes": 52428800,
            "extensions": ["jpeg", "jpg", "pdf", "png"],
            "content_types": [],
        },
    },
)
