"""
ARI: asked when the CA wants to be asked, and never in the way of a renewal.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from certworker.assembly import House
from certworker.development.authority import DevelopmentAuthority
from tests.acme.clients import client_of, issued
from tests.servers.development import ChallengeServer

NAME = "shop.localhost"


def asked(authority: DevelopmentAuthority, kind: str) -> int:
    """
    How often the CA was asked for *kind*.
    """
    return sum(each.kind == kind for each in authority.requests)


class TestSuggestion:
    def test_it_is_asked_for_right_after_issuance_and_kept_until_retry_after(
        self, house: House, door_authority: DevelopmentAuthority
    ) -> None:
        """
        RFC 9773, section 4.3: neither less often nor more.
        """
        facts = house.issuer.issue((NAME,)).facts
        first = house.desks[0].authority.suggestion(facts.renewal_id, NAME)
        second = house.desks[0].authority.suggestion(facts.renewal_id, NAME)

        assert first is not None
        assert first is second
        assert first.window is not None
        assert facts.not_before < first.window.start < first.window.end < facts.not_after
        assert 1 == asked(door_authority, "renewalInfo")
        assert timedelta(seconds=50) < first.ask_again - house.clock() <= timedelta(days=1)

    def test_a_ca_that_does_not_answer_is_asked_again_later(
        self, house: House, door_authority: DevelopmentAuthority
    ) -> None:
        """
        Without advice the arithmetic decides; nobody fails for want of advice.
        """
        facts = house.issuer.issue((NAME,)).facts
        door_authority.stop()
        told = house.desks[0].authority.suggestion("unknown.certificate", NAME)

        assert told is not None
        assert told.window is None
        assert told.ask_again > house.clock()
        assert not house.issuer.plan(facts, house.clock()).due


class TestReplaces:
    def test_a_predecessor_that_the_ca_does_not_take_ends_no_renewal(
        self, authority: DevelopmentAuthority, challenge_server: ChallengeServer, tmp_path: Path
    ) -> None:
        """
        After the account's key was lost, it is another account's; the order is one for a new certificate then.
        """
        others = issued(client_of(authority.directory_url, tmp_path / "lost"), challenge_server, NAME)
        client = client_of(authority.directory_url, tmp_path / "new")

        order = client.order((NAME,), replaces=others.renewal_id)

        assert order.answers
        assert not order.replaces

    def test_a_renewal_says_what_it_replaces_unless_the_ca_has_seen_it_replaced(
        self, house: House, door_authority: DevelopmentAuthority
    ) -> None:
        """
        Such orders are exempt from the CA's limits; a 409 must not stop a renewal until it is too late.
        """
        first = house.issuer.issue((NAME,)).facts
        house.issuer.issue((NAME,), force=True)
        before = asked(door_authority, "newOrder")
        order = house.desks[0].authority.order((NAME,), replaces=first.renewal_id)

        assert order.answers
        assert 2 == before
        assert 4 == asked(door_authority, "newOrder")
