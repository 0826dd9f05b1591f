"""
Tests of the charges of an order, and which of them are refunded.
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
    Return the failure *kind* with the text of the CA.
    """
    problem = {"type": "urn:ietf:params:acme:error:x", "detail": detail, "status": 400}
    return kind(until=LATER, problem=problem, authority="the CA", detail=detail, **more)


def reservation(*, exempt: bool = False, renewal: bool = False, limits: Limits = LETS_ENCRYPT) -> Reservation:
    """
    Return the reservation of an order for two names of two registered domains.
    """
    return Reservation(charges_for(NAMES, limits, use_full_quota=False), exempt=exempt, renewal=renewal)


def remaining_charges(reservation: Reservation, fault: BaseException | None) -> set[str]:
    """
    Return the reserved charges that remain after *fault*.
    """
    refunded = {
        change.bucket.name for change in reservation.ended(fault) if change.kind in ("give back", "forget")
    }
    return {charge.bucket.name for charge in reservation.reserved if charge.limit} - refunded


def closed_buckets(fault: CertworkerError) -> set[str]:
    """
    Return the buckets that *fault* closes until its time.
    """
    changes = [change for change in reservation().ended(fault) if change.kind == "shut"]
    assert all(change.until == fault.until for change in changes)
    return {change.bucket.name for change in changes}


class TestReserved:
    def test_an_order_reserves_all_charges(self) -> None:
        """
        An order reserves all charges, also those of failures, so that a crash during a validation counts.
        """
        assert {charge.bucket.name for charge in reservation().reserved if charge.limit} == ALL

    def test_a_renewal_is_charged_for_its_set_and_failures_only(self) -> None:
        """
        A renewal is charged only for its set of names and its failures, as Let's Encrypt counts it.
        """
        reserved = {charge.bucket.name for charge in reservation(renewal=True).reserved if charge.limit}

        assert reserved == FAILURES | {f"set {set_of(NAMES)}"}

    def test_a_replacement_outside_its_window_is_charged_as_a_renewal(
        self,
    ) -> None:
        """
        A replacement outside its window is charged as a renewal, for example after a mass revocation.
        """
        order = reservation(exempt=False, renewal=True)
        order.placed(replaces=True)
        order.validated()

        assert remaining_charges(order, None) == {f"set {set_of(NAMES)}"}

    def test_an_exempt_replacement_is_charged_for_its_failures_only(self) -> None:
        """
        An exempt replacement (RFC 9773) is charged only for its failures.
        """
        reserved = {
            charge.bucket.name for charge in reservation(exempt=True, renewal=True).reserved if charge.limit
        }

        assert reserved == FAILURES

    def test_two_names_of_a_registered_domain_are_charged_once(self) -> None:
        """
        Two names of a registered domain are charged once, because the CA counts certificates.
        """
        domains = [
            p
            for p in charges_for(("a.example.org", "b.example.org"), LETS_ENCRYPT, use_full_quota=False)
            if p.kind == "domain"
        ]

        assert ["example.org"] == [charge.subject for charge in domains]

    def test_names_of_different_users_of_a_shared_suffix_are_charged_separately(self) -> None:
        """
        Each name below a suffix of the private part of the list has a limit of its own at the CA.
        """
        charges = charges_for(("a.duckdns.org", "www.b.duckdns.org"), LETS_ENCRYPT, use_full_quota=False)

        assert ["a.duckdns.org", "b.duckdns.org"] == [
            each.subject for each in charges if each.kind == "domain"
        ]

    def test_a_wildcard_is_charged_to_its_base(self) -> None:
        """
        A wildcard's failures are charged to its base. The set of names contains the wildcard.
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
        The order of the names does not change their set.
        """
        assert set_of(NAMES) == set_of(reversed(NAMES))
        assert set_of(NAMES) != set_of(NAMES[:1])


class TestEnded:
    def test_a_certificate_is_charged_with_its_order(self) -> None:
        """
        A success is charged for the order and the certificate, and resets the consecutive failures.
        """
        order = reservation()
        order.placed(replaces=False)
        order.validated()

        assert remaining_charges(order, None) == ORDER | CERTIFICATE
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
    def test_a_failure_before_the_order_is_not_charged(self, fault: BaseException) -> None:
        """
        A failure before the order is not charged.
        """
        assert set() == remaining_charges(reservation(), fault)

    def test_a_failed_validation_is_charged_for_its_name(self) -> None:
        """
        A failed validation is charged for the order and for the failed name, and not for other names.
        """
        order = reservation()
        order.placed(replaces=False)
        fault = NoAddress(name=NAMES[0], detail="NXDOMAIN", address="none")

        assert remaining_charges(order, fault) == ORDER | {f"failures {NAMES[0]}", f"streak {NAMES[0]}"}

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
    def test_a_name_within_another_name_is_not_charged(self, names: tuple[str, str]) -> None:
        """
        A failure is charged for the whole name in its text, and not for a name within it.
        """
        host = f"[{names[1]}]" if ":" in names[1] else names[1]
        for shown in (names[1], names[1].upper(), f"{host}:80", f'"{names[1]}".', f"http://{host}/x"):
            order = Reservation(
                charges_for(names, LETS_ENCRYPT, use_full_quota=False), exempt=False, renewal=False
            )
            order.placed(replaces=False)
            failed = HttpTimeout(name=shown, address="192.0.2.1")

            assert remaining_charges(order, failed) == {
                "orders",
                f"failures {names[1]}",
                f"streak {names[1]}",
            }

    @pytest.mark.parametrize(
        "fault",
        [
            ServerInternal(authority="the CA", detail="500"),
            CaUnreachable(host="ca.example", reason="it is down"),
            VolumeLocked(path="/x", seconds=30),
            SystemExit(),
        ],
    )
    def test_an_interrupted_validation_is_not_charged_as_a_failure(self, fault: BaseException) -> None:
        """
        An interrupted validation is charged only for the order.
        """
        order = reservation()
        order.placed(replaces=False)

        assert remaining_charges(order, fault) == ORDER

    def test_a_refused_certificate_is_not_charged(self) -> None:
        """
        A refusal after the validation is charged only for the order, because no certificate exists.
        """
        order = reservation()
        order.placed(replaces=False)
        order.validated()

        assert remaining_charges(order, refused(BadCsr)) == ORDER

    @pytest.mark.parametrize(
        "fault",
        [
            BadCertificate(name="a", reason="b"),
            CaUnreachable(host="ca.example", reason="cut"),
            SystemExit(),
        ],
    )
    def test_a_certificate_that_may_exist_is_charged(self, fault: BaseException) -> None:
        """
        A failure after the validation is charged for the certificate, which the CA may have issued.
        """
        order = reservation()
        order.placed(replaces=False)
        order.validated()

        assert remaining_charges(order, fault) == ORDER | CERTIFICATE

    def test_a_replacement_that_the_ca_does_not_accept_is_charged_afterwards(self) -> None:
        """
        A replacement that the CA does not accept is charged afterwards as a renewal.
        """
        order = reservation(exempt=True, renewal=True)
        order.placed(replaces=False)
        order.validated()
        taken = {change.bucket.name for change in order.ended(None) if change.kind == "take"}

        assert taken == {f"set {set_of(NAMES)}"}

    def test_a_replacement_that_the_ca_accepts_is_not_charged(self) -> None:
        """
        A replacement that the CA accepts is not charged.
        """
        order = reservation(exempt=True, renewal=True)
        order.placed(replaces=True)
        order.validated()

        assert {"give back", "forget"} == {change.kind for change in order.ended(None)}


class TestClosedBuckets:
    def test_a_refusal_closes_the_bucket_that_it_names(self) -> None:
        """
        A refusal of the CA closes the bucket that it names, because others may use the same limit.
        """
        assert {"orders"} == closed_buckets(refused(TooManyOrders))
        assert {f"set {set_of(NAMES)}"} == closed_buckets(refused(DuplicateCertificates))
        assert {"domain example.net"} == closed_buckets(
            refused(RegisteredDomainLimit, 'issued for "example.net"')
        )
        assert {f"failures {NAMES[1]}"} == closed_buckets(
            refused(FailedValidations, f'failed authorizations for "{NAMES[1]}"', name="the domain")
        )

    def test_a_refusal_without_a_name_closes_the_buckets_of_all_names(self) -> None:
        """
        A refusal that names no domain closes the buckets of all domains in the order.
        """
        assert {"domain example.org", "domain example.net"} == closed_buckets(refused(RegisteredDomainLimit))

    def test_a_busy_ca_stops_all_orders(self) -> None:
        """
        A busy CA stops the orders of all workers.
        """
        assert {"stop"} == closed_buckets(refused(CaBusy))

    def test_a_pause_applies_to_all_names_of_the_order(self) -> None:
        """
        A pause applies to all names of the order, because the CA names only one of them.
        """
        paused = Paused(until=LATER, authority="the CA", name=NAMES[0], url="https://ca.example/")
        changes = [change for change in reservation().ended(paused) if change.kind == "shut"]

        assert {(f"pause {name}", LATEST) for name in NAMES} == {
            (each.bucket.name, each.until) for each in changes
        }

    def test_a_refused_exemption_closes_only_the_exemption(self) -> None:
        """
        A refused exemption closes the exemption for other renewals, and no limit of new names.
        """
        order = reservation(renewal=True)
        changes = [each for each in order.ended(refused(TooManyOrders)) if each.kind == "shut"]

        assert [("exempt orders", LATER)] == [(each.bucket.name, each.until) for each in changes]
        assert "exempt orders" in {charge.bucket.name for charge in reservation(renewal=True).reserved}
        assert "exempt orders" not in {charge.bucket.name for charge in reservation().reserved}

    def test_another_failure_closes_no_bucket(self) -> None:
        """
        A failure that is not a rate limit closes no bucket.
        """
        assert set() == closed_buckets(ServerInternal(authority="the CA", detail="500"))

    def test_a_ca_without_known_limits_can_close_a_bucket(self) -> None:
        """
        A rate limit of a CA without known limits closes the bucket until its time.
        """
        order = reservation(limits=Limits())
        changes = list(order.ended(refused(TooManyOrders)))

        assert [("shut", "orders")] == [(change.kind, change.bucket.name) for change in changes]
