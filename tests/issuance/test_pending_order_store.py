"""
Tests of the pending orders in Redis.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
import redis

from certworker.issuance.pending_orders import LONGEST, ORDERS, PendingOrder, PendingOrderStore
from certworker.redis.codec import decode_text

NAMES = ("a.org", "b.org")
URL = "https://ca/order/1"


@pytest.fixture
def now() -> datetime:
    """
    Return the time without microseconds. Redis expires keys by the same clock.
    """
    return datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def orders(connection: redis.Redis, now: datetime) -> PendingOrderStore:
    """
    Return a store without orders.
    """
    return PendingOrderStore(connection, "ca", lambda: now)


class TestSave:
    def test_an_order_is_found_by_its_names_in_any_order(
        self, orders: PendingOrderStore, now: datetime
    ) -> None:
        """
        An order is found by its names, in any order.
        """
        expires = now + timedelta(days=1)
        orders.save(NAMES, URL, expires=expires, reserved=True)

        assert PendingOrder(URL, NAMES[::-1], "ca", expires, reserved=True) == orders.find(NAMES[::-1])
        assert orders.find(NAMES[:1]) is None

    def test_an_order_has_the_number_of_its_resumptions(
        self, orders: PendingOrderStore, now: datetime
    ) -> None:
        """
        An order has the number of its resumptions.
        """
        orders.save(NAMES, URL, expires=None, reserved=False, resumed=3)

        pending = orders.find(NAMES)
        assert pending is not None
        assert 3 == pending.resumed

    def test_each_ca_has_its_own_orders(
        self, orders: PendingOrderStore, connection: redis.Redis, now: datetime
    ) -> None:
        """
        The orders of one CA are not found for another CA.
        """
        orders.save(NAMES, URL, expires=None, reserved=False)

        assert PendingOrderStore(connection, "other", lambda: now).find(NAMES) is None

    @pytest.mark.parametrize("expires", [None, datetime(9999, 1, 1, tzinfo=UTC)])
    def test_an_order_expires_after_a_week_at_the_latest(
        self, orders: PendingOrderStore, connection: redis.Redis, now: datetime, expires: datetime | None
    ) -> None:
        """
        The key of an order expires after a week at the latest.
        """
        orders.save(NAMES, URL, expires=expires, reserved=False)

        assert 0 < connection.ttl(f"{ORDERS}ca:{only_key(connection)}") <= timedelta(days=7).total_seconds()

    def test_an_expired_order_is_no_error(self, orders: PendingOrderStore, now: datetime) -> None:
        """
        Saving an expired order raises no error. The clocks of CA and worker differ.
        """
        orders.save(NAMES, URL, expires=now - timedelta(days=1), reserved=False)

    def test_deleting_an_order_twice_is_no_error(self, orders: PendingOrderStore, now: datetime) -> None:
        """
        Deleting an order twice raises no error, because two workers may delete the same order.
        """
        orders.save(NAMES, URL, expires=None, reserved=False)
        orders.delete(NAMES)
        orders.delete(NAMES)

        assert orders.find(NAMES) is None


class TestFind:
    @pytest.mark.parametrize(
        "planted",
        [
            b"\xff",
            b"[" * 100_000,
            b"7",
            b"{}",
            b'{"url": 7, "names": ["a.org", "b.org"], "expires": "2026-11-30T00:00:00Z", "reserved": true}',
            b'{"url": "u", "names": ["c.org"], "expires": "2026-11-30T00:00:00Z", "reserved": true}',
            b'{"url": "u", "names": ["a.org", "b.org"], "expires": "soon", "reserved": true}',
            b'{"url": "u", "names": [["a.org"]], "expires": "2026-11-30T00:00:00Z", "reserved": true}',
            b'{"url":"","names":["a.org","b.org"],"expires":"2030-01-01T00:00Z","reserved":true,"resumed":"x"}',
        ],
    )
    def test_an_invalid_order_is_none(
        self, orders: PendingOrderStore, connection: redis.Redis, now: datetime, planted: bytes
    ) -> None:
        """
        An invalid order in Redis is not returned.
        """
        orders.save(NAMES, URL, expires=None, reserved=False)
        connection.set(f"{ORDERS}ca:{only_key(connection)}", planted)

        assert orders.find(NAMES) is None

    @pytest.mark.parametrize("planted", ["9999-12-31T23:59:59Z", "2999-01-01T00:00:00+00:00"])
    def test_an_order_with_an_implausible_expiry_expires_after_a_week(
        self, orders: PendingOrderStore, connection: redis.Redis, now: datetime, planted: str
    ) -> None:
        """
        An order with an implausible expiry has an expiry of one week.
        """
        orders.save(NAMES, URL, expires=None, reserved=False)
        key = f"{ORDERS}ca:{only_key(connection)}"
        fields = json.loads(decode_text(connection.get(key)))
        connection.set(key, json.dumps({**fields, "expires": planted}))

        pending = orders.find(NAMES)
        assert pending is not None
        assert now + LONGEST == pending.expires


def only_key(connection: redis.Redis) -> str:
    """
    Return the last part of the only key, which identifies the set of names.
    """
    (key,) = connection.keys(f"{ORDERS}*")
    return decode_text(key).rpartition(":")[2]
