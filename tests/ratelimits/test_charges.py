"""
What an order costs, and what is given back.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from certworker.errors import CertworkerError
from certworker.errors.acme import BadCertificate, BadCsr
from certworker.errors.ca import CaUnreachable, ServerInternal
from certworker.errors.dns import NoAddress
from certworker.errors.fs import VolumeLocked
from certworker.errors.http import HttpTimeout
from certworker.errors.rate import (
    CaBusy,
    DuplicateCertificates,
    FailedValidations,
    Paused,
    RegisteredDomainLimit,
    TooManyOrders,
)
from certworker.ratelimits.charges import Reservation, charges_for, set_of
from certworker.ratelimits.limits import LETS_ENCRYPT
from certworker.redis.codec import LATEST
from certworker.settings.limits import Limits

NAMES = ("a.example.org", "b.example.net")
LATER = datetime(2026, 11, 24, tzinfo=UTC)

ORDER = {"orders"}
CERTIFICATE = {"domain example.org", "domain example.net", f"set {set_of(NAMES)}"}
FAILURES = {f"{kind} {name}" for kind in ("failures", "streak") for name in NAMES}
ALL = ORDER | CERTIFICATE | FAILURES


def refused(kind: type[CertworkerError], detail: str = "no", **more: Any) -> CertworkerError:
    """
    Return the failure *kind* with the words of the CA.
    """
    problem = {"type": "urn:ietf:params:acme:error:x", "detail": detail, "status": 400}
    return kind(until=LATER, problem=problem, authority="the CA", detail=detail, **more)


def reservation(*, exempt: bool = False, renewal: bool = False, limits: Limits = LETS_ENCRYPT) -> Reservation:
    """
    Return an order for two names under two registered domains.
    """
    return Reservation(charges_for(NAMES, limits, use_full_quota=False), exempt=exempt, renewal=renewal)


def kept(reservation: Reservation, fault: BaseException | None) -> set[str]:
    """
    Return which reserved charges are kept.
    """
    given_back = {
        change.bucket.name for change in reservation.ended(fault) if change.kind in ("give back", "forget")
    }
    return {charge.bucket.name for charge in reservation.reserved if charge.limit} - given_back


def shut(fault: CertworkerError) -> set[str]:
    """
    Return the buckets that *fault* closes, all until its time.
    """
    changes = [change for change in reservation().ended(fault) if change.kind == "shut"]
    assert all(change.until == fault.until for change in changes)
    return {change.bucket.name for change in changes}


class TestReserved:
    def test_an_order_costs_all_that_may_be_counted(self) -> None:
        """
        A failed validation is charged before it begins, so that a crash in between does not make it free.
        """
        assert {charge.bucket.name for charge in reservation().reserved if charge.limit} == ALL

    def test_a_renewal_costs_no_order_and_nothing_of_the_domain(self) -> None:
        """
        Let's Encrypt counts a renewal for its set of names only.
        """
        reserved = {charge.bucket.name for charge in reservation(renewal=True).reserved if charge.limit}

        assert reserved == FAILURES | {f"set {set_of(NAMES)}"}

    def test_a_replacement_outside_its_window_is_a_renewal_like_any_other(
        self,
    ) -> None:
        """
        After a mass revocation all windows are in the past, and so is the exemption.
        """
        order = reservation(exempt=False, renewal=True)
        order.placed(replaces=True)
        order.validated()

        assert kept(order, None) == {f"set {set_of(NAMES)}"}

    def test_what_replaces_a_certificate_costs_nothing_but_its_failures(self) -> None:
        """
        RFC 9773: the CA wants the renewal. A name that fails again and again still waits.
        """
        reserved = {
            charge.bucket.name for charge in reservation(exempt=True, renewal=True).reserved if charge.limit
        }

        assert reserved == FAILURES

    def test_two_names_of_one_domain_pay_once(self) -> None:
        """
        The CA counts certificates there, not names.
        """
        domains = [
            p
            for p in charges_for(("a.example.org", "b.example.org"), LETS_ENCRYPT, use_full_quota=False)
            if p.kind == "domain"
        ]

        assert ["example.org"] == [charge.subject for charge in domains]

    def test_a_wildcard_is_charged_to_the_name_below_which_it_covers_names(self) -> None:
        """
        The CA validates that name. The set of names includes the star.
        """
        names = ("shop.example.org", "*.shop.example.org")
        charges = charges_for(names, LETS_ENCRYPT, use_full_quota=False)

        found = {charge.bucket.name for charge in charges if charge.limit}
        assert {
            *("orders", "domain example.org", f"set {set_of(names)}"),
            *("failures shop.example.org", "streak shop.example.org"),
        } == found
        assert set_of(names) != set_of(names[:1])

    def test_the_order_of_the_names_does_not_matter(self) -> None:
        """
        The order of the names does not matter.
        """
        assert set_of(NAMES) == set_of(reversed(NAMES))
        assert set_of(NAMES) != set_of(NAMES[:1])


class TestEnded:
    def test_a_certificate_costs_the_order_and_itself(self) -> None:
        """
        A success ends the failures in a row.
        """
        order = reservation()
        order.placed(replaces=False)
        order.validated()

        assert kept(order, None) == ORDER | CERTIFICATE
        assert {"forget"} == {
            change.kind for change in order.ended(None) if change.bucket.name[:6] == "streak"
        }

    @pytest.mark.parametrize(
        "fault",
        [
            ServerInternal(authority="the CA", detail="500"),
            CaUnreachable(host="ca.example", reason="it is down"),
            refused(TooManyOrders),
            VolumeLocked(path="/x", seconds=30),
            KeyboardInterrupt(),
        ],
    )
    def test_without_an_order_nothing_is_counted(self, fault: BaseException) -> None:
        """
        The CA failed, or the attempt was given up before.
        """
        assert set() == kept(reservation(), fault)

    def test_a_failed_validation_costs_the_order_and_a_failure_of_that_name(self) -> None:
        """
        The other names of the set did not fail.
        """
        order = reservation()
        order.placed(replaces=False)
        fault = NoAddress(name=NAMES[0], detail="NXDOMAIN", address="none")

        assert kept(order, fault) == ORDER | {f"failures {NAMES[0]}", f"streak {NAMES[0]}"}

    @pytest.mark.parametrize(
        "names",
        [
            ("example.org", "www.example.org"),
            ("example.org", "example.org.uk"),
            ("example.org", "my-example.org"),
            ("203.0.113.7", "203.0.113.77"),
            ("2001:db8::7", "2001:db8::77"),
        ],
    )
    def test_a_name_inside_another_one_did_not_fail(self, names: tuple[str, str]) -> None:
        """
        The text of the failure has the longer name only, with a port, in a URL, or in capitals.
        """
        host = f"[{names[1]}]" if ":" in names[1] else names[1]
        for shown in (names[1], names[1].upper(), f"{host}:80", f'"{names[1]}".', f"http://{host}/x"):
            order = Reservation(
                charges_for(names, LETS_ENCRYPT, use_full_quota=False), exempt=False, renewal=False
            )
            order.placed(replaces=False)
            failed = HttpTimeout(name=shown, address="192.0.2.1")

            assert kept(order, failed) == {"orders", f"failures {names[1]}", f"streak {names[1]}"}

    @pytest.mark.parametrize(
        "fault",
        [
            ServerInternal(authority="the CA", detail="500"),
            CaUnreachable(host="ca.example", reason="it is down"),
            VolumeLocked(path="/x", seconds=30),
            SystemExit(),
        ],
    )
    def test_what_interrupts_a_validation_is_no_failure_of_the_name(self, fault: BaseException) -> None:
        """
        The CA has not validated the name, or has not answered.
        """
        order = reservation()
        order.placed(replaces=False)

        assert kept(order, fault) == ORDER

    def test_a_certificate_that_is_refused_is_not_counted(self) -> None:
        """
        The CA has issued nothing.
        """
        order = reservation()
        order.placed(replaces=False)
        order.validated()

        assert kept(order, refused(BadCsr)) == ORDER

    @pytest.mark.parametrize(
        "fault",
        [
            BadCertificate(name="a", reason="b"),
            CaUnreachable(host="ca.example", reason="cut"),
            SystemExit(),
        ],
    )
    def test_a_certificate_that_may_have_been_issued_is_counted(self, fault: BaseException) -> None:
        """
        The certificate may have been lost on the way.
        """
        order = reservation()
        order.placed(replaces=False)
        order.validated()

        assert kept(order, fault) == ORDER | CERTIFICATE

    def test_a_replacement_that_the_ca_does_not_take_as_one_is_counted_afterwards(self) -> None:
        """
        The certificate had been replaced already, so the order counts like any other renewal.
        """
        order = reservation(exempt=True, renewal=True)
        order.placed(replaces=False)
        order.validated()
        taken = {change.bucket.name for change in order.ended(None) if change.kind == "take"}

        assert taken == {f"set {set_of(NAMES)}"}

    def test_a_replacement_that_it_takes_is_not(self) -> None:
        """
        The CA does not count an accepted replacement.
        """
        order = reservation(exempt=True, renewal=True)
        order.placed(replaces=True)
        order.validated()

        assert {"give back", "forget"} == {change.kind for change in order.ended(None)}


class TestShut:
    def test_a_refusal_shuts_the_bucket_that_it_speaks_of(self) -> None:
        """
        The refusal of the CA counts: others may use the same domain or account.
        """
        assert {"orders"} == shut(refused(TooManyOrders))
        assert {f"set {set_of(NAMES)}"} == shut(refused(DuplicateCertificates))
        assert {"domain example.net"} == shut(refused(RegisteredDomainLimit, 'issued for "example.net"'))
        assert {f"failures {NAMES[1]}"} == shut(
            refused(FailedValidations, f'failed authorizations for "{NAMES[1]}"', name="the domain")
        )

    def test_one_that_does_not_say_whose_shuts_all_of_them(self) -> None:
        """
        The names cannot be ordered together while one of them is limited.
        """
        assert {"domain example.org", "domain example.net"} == shut(refused(RegisteredDomainLimit))

    def test_a_busy_ca_is_busy_for_everybody(self) -> None:
        """
        Sixteen slots would otherwise send sixteen requests.
        """
        assert {"stop"} == shut(refused(CaBusy))

    def test_a_pause_is_for_all_names_of_the_order(self) -> None:
        """
        The text names one "and possibly others", and no name gets a certificate without that one.
        """
        paused = Paused(until=LATER, authority="the CA", name=NAMES[0], url="https://ca.example/")
        changes = [change for change in reservation().ended(paused) if change.kind == "shut"]

        assert {(f"pause {name}", LATEST) for name in NAMES} == {
            (each.bucket.name, each.until) for each in changes
        }

    def test_an_exemption_that_the_ca_refuses_shuts_the_exemption_and_no_limit(self) -> None:
        """
        Thousands of renewals would otherwise each get the same refusal. New names have their own limit.
        """
        order = reservation(renewal=True)
        changes = [each for each in order.ended(refused(TooManyOrders)) if each.kind == "shut"]

        assert [("exempt orders", LATER)] == [(each.bucket.name, each.until) for each in changes]
        assert "exempt orders" in {charge.bucket.name for charge in reservation(renewal=True).reserved}
        assert "exempt orders" not in {charge.bucket.name for charge in reservation().reserved}

    def test_any_other_failure_shuts_nothing(self) -> None:
        """
        Neither does a successful order.
        """
        assert set() == shut(ServerInternal(authority="the CA", detail="500"))

    def test_a_ca_without_figures_can_still_say_when(self) -> None:
        """
        The time of the failure is all that is known.
        """
        order = reservation(limits=Limits())
        changes = list(order.ended(refused(TooManyOrders)))

        assert [("shut", "orders")] == [(change.kind, change.bucket.name) for change in changes]
