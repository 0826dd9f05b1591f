"""
Tests of the states of orders and authorizations (RFC 8555, section 7.1.6).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from certworker.devca.messages import Problem
from certworker.devca.resources import Authorization, Memory, Order, identifier, rfc3339

NOW = datetime(2026, 11, 23, 12, 30, 45, 999, tzinfo=UTC)
LATER = NOW + timedelta(days=7)


def authorization(state: str, name: str = "shop.localhost") -> Authorization:
    """
    Return an authorization in *state*.
    """
    return Authorization("account", name, LATER, state=state)


class TestAuthorization:
    def test_a_challenge_has_the_members_of_the_rfc(self) -> None:
        """
        A challenge has a type, a URL, a status and a token (RFC 8555, sections 7.1.5 and 8.3).
        """
        found = authorization("pending")
        url = "https://ca.example/challenge/1"

        assert {
            "type": "http-01",
            "url": url,
            "status": "pending",
            "token": found.token,
        } == found.challenge_json("http-01", url)

    def test_only_the_challenge_with_a_response_changes_its_state(self) -> None:
        """
        A challenge without a response stays pending.
        """
        found = authorization("invalid")
        found.response_type = "dns-01"

        assert "pending" == found.challenge_json("http-01", "https://ca.example/challenge/1")["status"]
        assert "invalid" == found.challenge_json("dns-01", "https://ca.example/challenge/1-dns-01")["status"]

    @pytest.mark.parametrize(
        ("state", "now", "later"),
        [
            ("pending", "pending", "invalid"),
            ("processing", "pending", "invalid"),
            ("valid", "valid", "expired"),
            ("invalid", "invalid", "invalid"),
            ("deactivated", "deactivated", "deactivated"),
        ],
    )
    def test_an_authorization_expires(self, state: str, now: str, later: str) -> None:
        """
        A pending authorization becomes invalid, and a valid authorization expires.
        """
        found = authorization(state)
        assert (now, later) == (found.status(NOW), found.status(LATER))


class TestOrder:
    @pytest.mark.parametrize(
        ("states", "status"),
        [
            (("pending", "valid"), "pending"),
            (("valid", "valid"), "ready"),
            (("valid", "invalid"), "invalid"),
            (("pending", "deactivated"), "invalid"),
        ],
    )
    def test_authorizations_determine_the_status_of_an_order(
        self, states: tuple[str, ...], status: str
    ) -> None:
        """
        An order is ready if all authorizations are valid, and invalid if one has failed.
        """
        order = Order("account", tuple(map(authorization, states)), LATER, "classic")
        assert status == order.status(NOW)
        assert "invalid" == order.status(LATER)

    def test_an_order_with_a_problem_is_invalid(self) -> None:
        """
        An order with a problem is invalid, whatever its authorizations are.
        """
        order = Order("account", (authorization("valid"),), LATER, "classic", problem=Problem("caa", ""))
        assert "invalid" == order.status(NOW)


class TestMemory:
    def test_all_names_need_an_authorization(self) -> None:
        """
        A revocation needs an authorization for each name of the certificate.
        """
        memory = Memory()
        memory.latest["account", "a.localhost"] = authorization("valid", "a.localhost")
        assert memory.authorized("account", ("a.localhost",), NOW)
        assert not memory.authorized("account", ("a.localhost", "b.localhost"), NOW)
        assert not memory.authorized("other", ("a.localhost",), NOW)


class TestWriting:
    def test_times_are_in_utc(self) -> None:
        """
        Times have the format of RFC 3339, in UTC and whole seconds.
        """
        assert "2026-11-23T12:30:45Z" == rfc3339(NOW)

    def test_identifiers_have_a_type(self) -> None:
        """
        The identifier of an address has the type `ip` (RFC 8738).
        """
        assert {"type": "dns", "value": "a.localhost"} == identifier("a.localhost")
        assert {"type": "ip", "value": "::1"} == identifier("::1")
