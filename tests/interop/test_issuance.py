"""
Certificates of CAs that others wrote.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import count

import pytest

from certworker.assembly import House
from certworker.certificates import Certificate
from certworker.challenges.solver import present
from certworker.errors import CertworkerError, Retry
from certworker.errors.authority import AuthorityUnreachable
from tests.interop.authorities import ForeignAuthority
from tests.interop.step_ca import StepCa
from tests.servers.web import Respond, WebServer, always

#: Where the CA is sent for a name whose answer is not here.
ELSEWHERE = "127.0.0.9"

NUMBERS = count(1)


@pytest.fixture
def name() -> str:
    """
    A name that no test has used at this CA.
    """
    return f"shop{next(NUMBERS)}.localhost"


def served(house: House, name: str) -> Certificate:
    """
    The certificate in service.
    """
    stored = house.volume.current(name)
    assert stored is not None
    return stored.certificate


def pending(house: House, *names: str) -> bool:
    """
    Whether an order for these names is pending.
    """
    return any(desk.under_way.find(names) for desk in house.desks)


@contextmanager
def answering_elsewhere(authority: ForeignAuthority, name: str, respond: Respond | None) -> Iterator[None]:
    """
    Send the CA, and nobody else, to another server for *name*; None: nothing listens there.
    """
    authority.names.addresses[name] = ELSEWHERE
    try:
        with WebServer(respond, ELSEWHERE, authority.http_port) if respond else nullcontext():
            yield
    finally:
        del authority.names.addresses[name]


class TestIssue:
    def test_names_are_issued_alone_together_and_again(self, house: House, name: str) -> None:
        """
        The main job, and what a person may insist on.
        """
        names = (name, f"www.{name}", f"api.{name}")

        alone = house.issuer.issue((name,))
        assert "kept" == house.issuer.issue((name,)).state
        again = house.issuer.issue((name,), force=True)
        together = house.issuer.issue(names)

        assert 3 == len({each.facts.serial for each in (alone, again, together)})
        assert set(names) == set(served(house, name).names)

    def test_an_order_that_was_cut_off_is_resumed(self, house: House, name: str) -> None:
        """
        A worker died after it had placed the order: the next attempt finishes the same one.
        """
        (desk,) = house.desks
        placed = desk.under_way.place((name,), None)

        order, reserved = desk.under_way.resume((name,), force=False)

        assert order is not None
        assert (placed.url, True) == (order.url, reserved)
        assert "issued" == house.issuer.issue((name,)).state

    def test_an_order_that_was_cut_off_while_the_ca_validated_is_resumed(
        self, house: House, name: str
    ) -> None:
        """
        A challenge that is not pending any more is not responded to again.
        """
        (desk,) = house.desks
        order = desk.under_way.place((name,), None)
        with present(order.answers, desk.solvers):
            order.validate()

        assert "issued" == house.issuer.issue((name,)).state

    def test_a_ca_without_renewal_information_is_no_obstacle(self, house: House, name: str) -> None:
        """
        The renewal is planned by the age of the certificate.
        """
        outcome = house.issuer.issue((name,))

        assert house.clock() < outcome.next_look < outcome.facts.not_after

    @pytest.mark.parametrize("authority", [StepCa], indirect=True)
    def test_a_policy_of_the_ca_is_reported(self, house: House) -> None:
        """
        The same type of problem as for a wrong answer to a challenge, with another meaning.
        """
        with pytest.raises(CertworkerError) as caught:
            house.issuer.issue(("refused.localhost",))

        assert "name.policy" == caught.value.code


class TestFailedValidation:
    @pytest.mark.parametrize(
        ("respond", "codes"),
        [
            (None, {"http.not_validated", "http.refused"}),
            (always(404, "nothing here"), {"http.not_validated", "http.404"}),
            (always(200, "down for maintenance"), {"http.wrong_body"}),
        ],
        ids=["nothing listens", "404", "another body"],
    )
    def test_the_cause_is_reported_and_the_next_request_is_issued(
        self, house: House, authority: ForeignAuthority, name: str, respond: Respond | None, codes: set[str]
    ) -> None:
        """
        Whatever the CA leaves unfinished: the name has a certificate once the cause has gone.
        """
        with answering_elsewhere(authority, name, respond), pytest.raises(CertworkerError) as caught:
            house.issuer.issue((name,))
        assert caught.value.code in (codes if authority.tells_why else {"http.not_validated"})
        assert Retry.CA is caught.value.retry
        assert authority.tells_why is bool(caught.value.problem)
        assert not pending(house, name)

        assert "issued" == house.issuer.issue((name,)).state

    def test_the_failed_name_of_several_is_named(
        self, house: House, authority: ForeignAuthority, name: str
    ) -> None:
        """
        One wrong record is found without another request.
        """
        names = (name, f"www.{name}", f"api.{name}")
        with (
            answering_elsewhere(authority, names[1], always(200, "Welcome")),
            pytest.raises(CertworkerError) as caught,
        ):
            house.issuer.issue(names)

        assert ("http.wrong_body" if authority.tells_why else "http.not_validated") == caught.value.code
        assert names[1] in caught.value.message
        assert "issued" == house.issuer.issue(names).state

    def test_a_name_that_the_ca_cannot_resolve_is_issued_later(
        self, house: House, authority: ForeignAuthority, name: str
    ) -> None:
        """
        The CA asks other name servers than certworker.
        """
        missing = f"nxdomain.{name}"
        with pytest.raises(CertworkerError) as caught:
            house.issuer.issue((missing,))

        assert caught.value.code in {"http.not_validated", "dns.no_record"}
        assert not pending(house, missing)

    def test_removal_drops_a_pending_order(self, house: House, name: str) -> None:
        """
        A name that comes back begins with a new order.
        """
        (desk,) = house.desks
        desk.under_way.place((name,), None)
        house.removal.remove(name)

        assert not pending(house, name)


class TestOutage:
    def test_a_ca_that_is_away_is_reported_as_such(
        self, house: House, authority: ForeignAuthority, name: str
    ) -> None:
        """
        The pending order is finished afterwards.
        """
        (desk,) = house.desks
        placed = desk.under_way.place((name,), None)
        with authority.away(), pytest.raises(AuthorityUnreachable):
            house.issuer.issue((name,))
        found = desk.under_way.find((name,))

        assert found is not None
        assert placed.url == found.url
        assert "issued" == house.issuer.issue((name,)).state
