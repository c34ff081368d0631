"""Nobody but the vendor: signatures, headers, times and secrets, each through the view."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from django_support_tickets.models import ProviderState, Ticket, WebhookDelivery
from tests.webhooks import cases
from tests.webhooks.cases import (
    MOOV_BODY,
    MOOV_HEADERS,
    MOOV_ID,
    RIPIO_BODY,
    RIPIO_HEADERS,
    RIPIO_ID,
    RIPIO_SIGNATURE,
    VECTORS,
    deliver,
    everything,
    flipped,
    is_due,
    moov_signed,
    ripio_signed,
)
from tests.webhooks.mutations import mutated

pytestmark = pytest.mark.django_db

MOOV_SIGNATURE = MOOV_HEADERS["X-Signature"]
#: `F7` of the catalogue: 20,000 with everything, 1,000,000 in the long profile.
MUTATIONS = int(os.environ.get("TEST_WEBHOOK_MUTATIONS", "1000"))
FIRST_MUTATION = int(os.environ.get("TEST_WEBHOOK_FIRST_MUTATION", "0"))


@pytest.fixture
def tickets() -> list[Ticket]:
    """The tickets that the vectors name."""
    return [cases.ticket("ripio", RIPIO_ID), cases.ticket("moov", MOOV_ID, customer_id="acct-1")]


def refused(alias: str, headers: dict[str, str], body: bytes) -> bool:
    """Return whether a webhook is answered with a 4xx; its answer must say nothing."""
    answer = deliver(alias, headers, body)
    assert answer.content == b""
    assert answer.status_code < 500
    return answer.status_code >= 400


class TestSignature:
    @pytest.mark.fault(51)
    @pytest.mark.parametrize(
        "value",
        [
            None,
            "",
            "sha256=",
            RIPIO_SIGNATURE[:-1],
            RIPIO_SIGNATURE + "0",
            f"{RIPIO_SIGNATURE},{RIPIO_SIGNATURE}",
            f"{RIPIO_SIGNATURE} {RIPIO_SIGNATURE}",
            RIPIO_SIGNATURE * 2,
            RIPIO_SIGNATURE.replace("sha256", "sha512"),
            RIPIO_SIGNATURE.replace("sha256", "md5"),
            RIPIO_SIGNATURE.replace("=", ":"),
            "sha256=" + "z" * 64,
            RIPIO_SIGNATURE + "\xa0",
            "\x85" + RIPIO_SIGNATURE,
            RIPIO_SIGNATURE + "\x1f",
            "sha256=" + RIPIO_SIGNATURE[7:].upper(),
            "sha256=" + "0" * 64,
            "sha256=" + "Z" * 43 + "=",
            '"' + RIPIO_SIGNATURE + '"',
        ],
    )
    def test_a_wrong_one_of_ripios(self, tickets: list[Ticket], value: str | None) -> None:
        before = everything()
        headers = {} if value is None else {"Http-X-Wh-Signature-256": value}
        assert deliver("ripio", headers, RIPIO_BODY).status_code == 401
        assert everything() == before

    @pytest.mark.fault(51)
    @pytest.mark.parametrize("name", MOOV_HEADERS)
    @pytest.mark.parametrize(
        "value", [None, "", "x", "{0},{0}", "{0}{0}", "{0} ", "{0}0", "x{0}", "sha512={0}", "{0}|"]
    )
    def test_a_wrong_header_of_moovs(self, tickets: list[Ticket], name: str, value: str | None) -> None:
        before = everything()
        headers = {known: text for known, text in MOOV_HEADERS.items() if known != name}
        if value is not None:
            headers[name] = value.format(MOOV_HEADERS[name])
        assert refused("moov", headers, MOOV_BODY)
        assert everything() == before

    @pytest.mark.fault(51)
    def test_the_parts_of_moovs_message_cannot_be_moved(self, tickets: list[Ticket]) -> None:
        moved = {**MOOV_HEADERS, "X-Timestamp": "2024-01-26T20:42:25Z|nonce-1", "X-Nonce": "webhook-1"}
        assert refused("moov", {**moved, "X-Webhook-ID": ""}, MOOV_BODY)
        assert refused("moov", {**MOOV_HEADERS, "X-Nonce": "webhook-1", "X-Webhook-ID": "nonce-1"}, MOOV_BODY)

    @pytest.mark.fault(51)
    def test_every_flipped_bit_of_ripios_body_and_signature(self, tickets: list[Ticket]) -> None:
        before, value = everything(), RIPIO_SIGNATURE.encode()
        for position in range(8 * len(RIPIO_BODY)):
            assert refused("ripio", RIPIO_HEADERS, flipped(RIPIO_BODY, position)), position
        for position in range(8 * len(value)):
            headers = {"Http-X-Wh-Signature-256": flipped(value, position).decode("latin-1")}
            assert refused("ripio", headers, RIPIO_BODY), position
        assert everything() == before
        assert deliver("ripio", RIPIO_HEADERS, RIPIO_BODY).status_code == 200

    @pytest.mark.fault(51)
    @pytest.mark.parametrize("name", MOOV_HEADERS)
    def test_every_flipped_bit_of_moovs_headers(self, tickets: list[Ticket], name: str) -> None:
        before, value = everything(), MOOV_HEADERS[name].encode()
        for position in range(8 * len(value)):
            changed = {**MOOV_HEADERS, name: flipped(value, position).decode("latin-1")}
            assert refused("moov", changed, MOOV_BODY), (name, position)
        assert everything() == before
        assert deliver("moov", MOOV_HEADERS, MOOV_BODY).status_code == 200

    @pytest.mark.fault(51, 53)
    def test_a_flipped_bit_of_moovs_body_changes_the_hint_at_most(self, tickets: list[Ticket]) -> None:
        cases.ticket("moov", MOOV_ID.replace("4", "5", 1), customer_id="acct-2")
        before = {one["id"]: one for one in Ticket.objects.values()}
        accepted = sum(not refused("moov", *moov_signed(flipped(MOOV_BODY, n))) for n in range(8 * len(MOOV_BODY)))
        assert WebhookDelivery.objects.count() == accepted > 0
        assert is_due(tickets[1])
        assert {one["id"] for one in Ticket.objects.values() if one != before[one["id"]]} == {tickets[1].pk}
        after = Ticket.objects.values().get(pk=tickets[1].pk)
        assert after == {**before[tickets[1].pk], "next_poll_at": after["next_poll_at"]}


class TestMalformed:
    @pytest.mark.fault(52)
    @pytest.mark.parametrize(
        "value", ["é", "\xff\xfe\xfd", "sha256=\xe9" + "0" * 63, "\x80" * 128, "\x00", "\x7f", "٣" * 64]
    )
    def test_bytes_that_are_not_ascii(self, client: Client, tickets: list[Ticket], value: str) -> None:
        before = everything()
        for alias, (headers, body) in VECTORS.items():
            for name in headers:
                meta = {f"HTTP_{known.upper().replace('-', '_')}": text for known, text in headers.items()}
                meta[f"HTTP_{name.upper().replace('-', '_')}"] = value
                answer = client.post(cases.address(alias), body, content_type="application/json", **meta)  # type: ignore[arg-type]
                assert 400 <= answer.status_code < 500
        assert everything() == before

    @pytest.mark.fault(43, 52)
    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"\xff\xfe\xfd",
            b"\xef\xbb\xbf{}",
            b"null",
            b"[]",
            b"7",
            b'"text"',
            b"{",
            b'{"type":"ticket.updated","data":{"ticketID":NaN}}',
            b'{"type":"ticket.updated","type":"ticket.updated"}',
            b"[" * 200_000,
            b'{"a":' * 20_000 + b"1" + b"}" * 20_000,
            b'{"n":' + b"1" * 5_000 + b"}",
        ],
    )
    def test_a_signed_body_that_cannot_be_read(self, tickets: list[Ticket], body: bytes) -> None:
        before = everything()
        assert deliver("ripio", *ripio_signed(body)).status_code == 400
        assert deliver("moov", *moov_signed(body)).status_code == 400
        assert everything() == before

    @pytest.mark.fault(36, 53)
    @pytest.mark.parametrize(
        "remote_id", [None, 7, [], {}, "", "../../B", "x?y=1", "a/b", "a\nb", "x" * 9000, "\u0000"]
    )
    def test_an_id_that_is_none_reaches_nothing(self, tickets: list[Ticket], remote_id: Any) -> None:
        before = everything()
        body = json.dumps({"eventType": "SUPPORT_TICKET.CREATED", "supportTicket": {"ticketId": remote_id}}).encode()
        assert deliver("ripio", *ripio_signed(body)).status_code == 400
        for data in ({"ticketID": remote_id, "accountID": "acct-1"}, {"ticketID": MOOV_ID, "accountID": remote_id}):
            body = json.dumps({"type": "ticket.updated", "data": data}).encode()
            assert deliver("moov", *moov_signed(body)).status_code == 400
        assert everything() == before

    @pytest.mark.fault(51, 52)
    def test_mutations_of_genuine_webhooks(self, tickets: list[Ticket]) -> None:
        """0 × 5xx, and nothing accepted without a valid signature."""
        for number in range(FIRST_MUTATION, FIRST_MUTATION + MUTATIONS):
            mutation = mutated(number)
            answer = deliver(mutation.alias, mutation.headers, mutation.body)
            assert answer.status_code < 500, number
            assert mutation.may_pass or answer.status_code >= 400, number
        hinted = Ticket.objects.exclude(next_poll_at=tickets[0].next_poll_at)
        assert {one.remote_id for one in hinted} <= {RIPIO_ID, MOOV_ID}


class TestAge:
    def test_any_age_is_good_by_default(self, tickets: list[Ticket]) -> None:
        assert deliver("moov", *moov_signed(timestamp="1999-01-01T00:00:00Z")).status_code == 200

    @pytest.mark.fault(57)
    @pytest.mark.parametrize(("shift", "status"), [(0, 200), (-290, 200), (290, 200), (-310, 401), (310, 401)])
    @pytest.mark.parametrize("style", ["rfc3339", "seconds", "milliseconds"])
    def test_the_tolerance_has_two_sides(self, settings: Any, style: str, shift: int, status: int) -> None:
        settings.SUPPORT_TICKETS_PROVIDERS = cases.accounts(webhook_tolerance=300)
        moment = datetime.now(UTC) + timedelta(seconds=shift)
        written = {
            "rfc3339": moment.isoformat().replace("+00:00", "Z"),
            "seconds": str(int(moment.timestamp())),
            "milliseconds": str(int(moment.timestamp() * 1000)),
        }[style]
        assert deliver("moov", *moov_signed(timestamp=written)).status_code == status
        if style == "rfc3339":
            body = cases.ripio_event(issueDatetime=written)
            assert deliver("ripio", *ripio_signed(body)).status_code == status

    @pytest.mark.fault(57)
    @pytest.mark.parametrize("moment", ["nan", "inf", "-1", "1e99", "1e3", "soon", "٣", "0001-01-01T00:00:00Z", ""])
    def test_a_time_that_is_none(self, settings: Any, moment: str) -> None:
        settings.SUPPORT_TICKETS_PROVIDERS = cases.accounts(webhook_tolerance=1e12)
        assert refused("ripio", *ripio_signed(cases.ripio_event(issueDatetime=moment)))
        if moment:
            assert refused("moov", *moov_signed(timestamp=moment))

    @pytest.mark.fault(57)
    def test_a_tolerance_of_nothing_is_not_off(self, settings: Any) -> None:
        settings.SUPPORT_TICKETS_PROVIDERS = cases.accounts(webhook_tolerance=0)
        for alias, (headers, body) in VECTORS.items():
            assert deliver(alias, headers, body).status_code == 401


class TestSecrets:
    @pytest.mark.fault(58)
    @pytest.mark.parametrize(
        "secrets", [[], (), None, "", [""], ["  "], [None], ["changeme"], ["<your-webhook-secret>"]]
    )
    def test_without_one_nothing_is_believed(self, settings: Any, tickets: list[Ticket], secrets: Any) -> None:
        before = everything()
        settings.SUPPORT_TICKETS_PROVIDERS = cases.accounts(webhook_secrets=secrets)
        for secret in ("", "  ", "None", "changeme", "<your-webhook-secret>", cases.RIPIO_SECRET):
            assert deliver("ripio", *ripio_signed(RIPIO_BODY, secret=secret)).status_code == 401
        assert deliver("moov", MOOV_HEADERS, MOOV_BODY).status_code == 401
        assert everything() == before

    @pytest.mark.fault(58)
    def test_rotation_with_traffic_loses_and_refuses_nothing(self, settings: Any) -> None:
        """`F20`: the site learns the new secret, the vendor changes, the site forgets the old one; no restart."""
        known = ["the-old-one"]
        settings.SUPPORT_TICKETS_PROVIDERS = cases.accounts(webhook_secrets=lambda: list(known))
        sent = 0
        for learns, signs_with in (([], "old"), (["new"], "old"), ([], "old"), ([], "new"), (["-old"], "new")):
            for change in learns:
                known.remove("the-old-one") if change == "-old" else known.insert(0, "the-new-one")
            for _ in range(20):
                secret = f"the-{signs_with}-one"
                assert deliver("ripio", *ripio_signed(cases.ripio_event(), secret=secret)).status_code == 200
                sent += 1
        assert WebhookDelivery.objects.count() == sent == 100
        assert not ProviderState.objects.exists()
        assert deliver("ripio", *ripio_signed(cases.ripio_event(), secret="the-old-one")).status_code == 401
        assert WebhookDelivery.objects.count() == sent

    @pytest.mark.fault(58)
    def test_a_single_secret_is_not_a_list_of_letters(self, settings: Any) -> None:
        settings.SUPPORT_TICKETS_PROVIDERS = cases.accounts(webhook_secrets="abcdef-the-secret")
        assert deliver("ripio", *ripio_signed(RIPIO_BODY, secret="a")).status_code == 401
        assert deliver("ripio", *ripio_signed(RIPIO_BODY, secret="abcdef-the-secret")).status_code == 200
