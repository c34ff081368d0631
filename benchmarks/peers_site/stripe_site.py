"""dj-stripe storing products with four prices each, five rows as a ticket with its comments and file is.

`python stripe_site.py PRODUCTS FOLDER`, in an environment that holds dj-stripe; prints JSON of seconds per product. No
network: what it asks Stripe for on the way (a product's features) is answered at once with an empty list.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import django
from django.conf import settings
from django.core.management import call_command

KEY = "sk_test_" + "a" * 24
SECOND = 1_700_000_000


def configure(folder: Path) -> None:
    apps = ("auth", "contenttypes", "sessions", "messages", "admin")
    settings.configure(
        SECRET_KEY="not-secret",
        USE_TZ=True,
        STRIPE_TEST_SECRET_KEY=KEY,
        STRIPE_LIVE_MODE=False,
        DJSTRIPE_FOREIGN_KEY_TO_FIELD="id",
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        INSTALLED_APPS=[*(f"django.contrib.{app}" for app in apps), "djstripe"],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": folder / "stripe.sqlite3",
                "OPTIONS": {"transaction_mode": "IMMEDIATE", "init_command": "PRAGMA journal_mode=WAL"},
            }
        },
    )
    django.setup()
    call_command("migrate", verbosity=0)


def families(count: int) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Yield products as Stripe sends them, each with its prices."""
    common = {"active": True, "livemode": False, "metadata": {}, "created": SECOND}
    for number in range(count):
        key = f"prod_{number}"
        product = {"id": key, "object": "product", "name": f"Product {number}", "type": "service", "images": []}
        product |= {"description": "d" * 300, "updated": SECOND, "default_price": None, "url": None, **common}
        price = {"object": "price", "currency": "usd", "product": key, "type": "one_time", "unit_amount": 100}
        price |= {"billing_scheme": "per_unit", "lookup_key": None, "nickname": "n", "recurring": None, **common}
        price["unit_amount_decimal"] = "100"
        yield product, [{**price, "id": f"price_{number}_{part}"} for part in range(4)]


def main() -> None:
    count, folder = int(sys.argv[1]), Path(sys.argv[2])
    configure(folder)
    import stripe
    from djstripe.models import Account, APIKey, Price, Product

    class Nothing(stripe.HTTPClient):  # type: ignore[misc]
        """Answer every request with an empty list, without a socket."""

        name = "nothing"

        def request(self, *arguments: Any, **keywords: Any) -> tuple[str, int, dict[str, str]]:
            return '{"object": "list", "data": [], "has_more": false, "url": "/"}', 200, {}

        def close(self) -> None:
            return

    stripe.default_http_client = Nothing()
    account = Account.objects.create(id="acct_1", stripe_data={"id": "acct_1", "object": "account"})
    APIKey.objects.create(secret=KEY, type="secret", livemode=False, djstripe_owner_account=account)

    def store() -> float:
        started = time.perf_counter()
        for product, prices in families(count):
            Product.sync_from_stripe_data(product)
            for price in prices:
                Price.sync_from_stripe_data(price)
        return (time.perf_counter() - started) / count

    found = {"first": store(), "unchanged": store()}
    assert (Product.objects.count(), Price.objects.count()) == (count, 4 * count)
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
