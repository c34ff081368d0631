from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from django_support_tickets.exceptions import WebhookRejected
from django_support_tickets.providers.signatures import (
    check_age,
    first_header,
    is_usable_secret,
    sign_hmac,
    verify_hmac,
)

MESSAGE = b'{"a":1}'
# echo -n '{"a":1}' | openssl dgst -sha256 -hmac the-secret
HEX = hmac.new(b"the-secret", MESSAGE, hashlib.sha256).hexdigest()
BASE64 = base64.b64encode(bytes.fromhex(HEX)).decode()


class TestHmac:
    # RFC 4231, test case 2.
    @pytest.mark.parametrize(
        ("digest", "signature"),
        [
            ("sha256", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
            (
                "sha512",
                "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"
                "9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
            ),
        ],
    )
    def test_vectors_of_the_rfc(self, digest: str, signature: str) -> None:
        verify_hmac(["Jefe"], b"what do ya want for nothing?", signature, digest=digest)
        assert sign_hmac("Jefe", b"what do ya want for nothing?", digest=digest) == signature

    def test_prefix_and_base64(self) -> None:
        verify_hmac(["the-secret"], MESSAGE, f"sha256={HEX}", prefix="sha256=")
        verify_hmac(["the-secret"], MESSAGE, f"v1,{BASE64}", prefix="v1,", encoding="base64")
        assert sign_hmac("the-secret", MESSAGE, prefix="sha256=") == f"sha256={HEX}"
        assert sign_hmac(b"the-secret", MESSAGE, prefix="v1,", encoding="base64") == f"v1,{BASE64}"

    def test_a_key_of_bytes(self) -> None:
        signature = hmac.new(b"\xff\x00key", MESSAGE, hashlib.sha256).hexdigest()
        verify_hmac([b"\xff\x00key"], MESSAGE, signature)

    @pytest.mark.fault(58)
    def test_any_of_several_secrets(self) -> None:
        for secrets in (["new", "the-secret"], ("the-secret", "new"), {"the-secret"}, iter(["a", "the-secret"])):
            verify_hmac(secrets, MESSAGE, HEX)
        with pytest.raises(WebhookRejected, match="signature"):
            verify_hmac(["new", "other"], MESSAGE, HEX)

    @pytest.mark.fault(58)
    @pytest.mark.parametrize("secrets", [[], [""], ["  ", b""], [None], ["changeme"], "", b" ", ["<Your-Secret>"]])
    def test_without_a_secret(self, secrets: Any) -> None:
        signature = hmac.new(b"", MESSAGE, hashlib.sha256).hexdigest()
        with pytest.raises(WebhookRejected, match="no webhook secret is configured"):
            verify_hmac(secrets, MESSAGE, signature)

    @pytest.mark.fault(58)
    def test_one_secret_is_not_a_list_of_letters(self) -> None:
        verify_hmac("the-secret", MESSAGE, HEX)
        with pytest.raises(WebhookRejected):
            verify_hmac("the-secret", MESSAGE, hmac.new(b"t", MESSAGE, hashlib.sha256).hexdigest())

    @pytest.mark.fault(51, 52)
    @pytest.mark.parametrize(
        "signature",
        ["", HEX[:-1], HEX + "0", HEX.upper(), f" {HEX}", f"{HEX}\n", f"sha256={HEX}", f"{HEX},{HEX}", BASE64]
        + ["é", "\udcff", "\x00" * 64, "٣" * 64],
    )
    def test_a_wrong_one(self, signature: str) -> None:
        with pytest.raises(WebhookRejected) as caught:
            verify_hmac(["the-secret"], MESSAGE, signature)
        assert caught.value.status == 401

    @pytest.mark.fault(51)
    @pytest.mark.parametrize("encoding", ["hex", "base64"])
    def test_every_flipped_bit(self, encoding: Any) -> None:
        genuine = (HEX if encoding == "hex" else BASE64).encode()
        for position in range(8 * len(genuine)):
            changed = bytearray(genuine)
            changed[position // 8] ^= 1 << position % 8
            with pytest.raises(WebhookRejected):
                verify_hmac(["the-secret"], MESSAGE, changed.decode("latin-1"), encoding=encoding)

    @pytest.mark.fault(51)
    @pytest.mark.parametrize("prefix", ["sha256=", "SHA256=", "sha512=", ""])
    def test_the_prefix_is_exact(self, prefix: str) -> None:
        allowed = contextlib.nullcontext() if prefix == "sha256=" else pytest.raises(WebhookRejected)
        with allowed:
            verify_hmac(["the-secret"], MESSAGE, prefix + HEX, prefix="sha256=")


@pytest.mark.fault(57)
class TestAge:
    @pytest.mark.parametrize(("shift", "is_good"), [(0, True), (-55, True), (55, True), (-65, False), (65, False)])
    @pytest.mark.parametrize("form", ["datetime", "naive", "rfc3339", "seconds", "text", "milliseconds", "digits"])
    def test_both_sides_and_every_form(self, form: str, shift: int, is_good: bool) -> None:
        moment = datetime.now(UTC) + timedelta(seconds=shift)
        written: Any = {
            "datetime": moment,
            "naive": moment.replace(tzinfo=None),
            "rfc3339": moment.isoformat(),
            "seconds": moment.timestamp(),
            "text": f"{moment.timestamp():.3f}",
            "milliseconds": int(moment.timestamp() * 1000),
            "digits": str(int(moment.timestamp() * 1000)),
        }[form]
        with contextlib.nullcontext() if is_good else pytest.raises(WebhookRejected):
            check_age(written, 60)

    @pytest.mark.parametrize(
        "moment", [None, "", "nan", "1e99", "soon", float("nan"), 1e99, True, [], {}, -1, "٣", b"1"]
    )
    def test_what_is_no_time(self, moment: Any) -> None:
        check_age(moment, None)
        with pytest.raises(WebhookRejected):
            check_age(moment, 1e12)

    @pytest.mark.parametrize("tolerance", [0, 0.0, -1, float("nan")])
    def test_no_tolerance_is_not_any(self, tolerance: float) -> None:
        with pytest.raises(WebhookRejected):
            check_age(datetime.now(UTC) - timedelta(seconds=1), tolerance)


class TestHeaders:
    def test_the_first_that_is_there(self) -> None:
        headers = {"x-b": "2", "X-C": "3"}
        assert first_header(headers, "X-A", "X-B", "X-C") == "2"
        assert first_header(headers, "x-c") == "3"
        assert first_header(headers, "X-A") == first_header({}, "X-A") == ""


@pytest.mark.parametrize(
    ("secret", "is_usable"),
    [
        ("s3cr3t-of-length", True),
        (b"\x00", True),
        ("", False),
        (" \n", False),
        (None, False),
        (5, False),
        ("TODO", False),
    ],
)
def test_usable_secrets(secret: Any, is_usable: bool) -> None:
    assert is_usable_secret(secret) is is_usable


def test_angle_brackets_are_all_that_is_taken_off_a_placeholder() -> None:
    assert not is_usable_secret("<secret>")
    assert is_usable_secret("Xsecret")


@pytest.mark.parametrize(
    ("check", "reason"),
    [
        (lambda: verify_hmac([], MESSAGE, HEX), "no webhook secret is configured"),
        (lambda: verify_hmac(["other"], MESSAGE, HEX), "the signature is missing or wrong"),
        (lambda: check_age("soon", 60), "the time is too old or too new, or cannot be read"),
    ],
)
def test_the_reason_is_said_as_operators_look_for_it_in_the_log(check: Any, reason: str) -> None:
    with pytest.raises(WebhookRejected) as caught:
        check()
    assert (str(caught.value), caught.value.status) == (reason, 401)
