"""
One configured CA with its account, its limits, its challenge solvers and its pending orders.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime

from certworker.acme.client import AcmeClient
from certworker.challenges.challenge import Challenge, PresentInDns, Solver, present_all
from certworker.challenges.responder import Responder
from certworker.challenges.webroot import Webroot
from certworker.errors import CertworkerError, Retry
from certworker.errors.config import WouldReplacePublic
from certworker.issuance.pending_orders import PendingOrders
from certworker.ratelimits.budget import Budget
from certworker.ratelimits.limits import RENEWAL_WITHIN
from certworker.settings import CaChoice
from certworker.storage.keypair import StoredCertificate
from certworker.tracing.steps import step

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Issuer:
    """
    One CA that can issue certificates.
    """

    ca: CaChoice
    client: AcmeClient
    #: Raises the reason if the settings do not allow an order from this CA.
    check_eligible: Callable[[], None]
    budget: Budget
    responder: Responder
    webroot: Webroot | None
    #: Publishes TXT records within its block.
    present_in_dns: PresentInDns
    #: Waits until the CA has fetched the responses for tokens, at most for a number of seconds.
    await_fetches: Callable[[Sequence[str], float], None]
    pending_orders: PendingOrders
    #: The issuer for the staging environment of the CA; None: the CA has none.
    staging: Issuer | None
    clock: Callable[[], datetime]

    @property
    def solvers(self) -> list[Solver]:
        """
        Return the solvers that publish the responses to the HTTP-01 challenges of this CA.
        """
        return [self.responder, self.webroot] if self.webroot else [self.responder]

    def challenge_types(self, names: Sequence[str]) -> list[str]:
        """
        Return the types of the challenges that prove the control of *names*.
        """
        return sorted(set(map(self.client.challenge_type, names)))

    def presenting(self, challenges: Sequence[Challenge]) -> AbstractContextManager[None]:
        """
        Publish the responses to *challenges* within the block, as :func:`present_all` does.
        """
        return present_all(challenges, self.solvers, self.present_in_dns)

    def check(self, in_service: Sequence[StoredCertificate | None]) -> None:
        """
        Check that the settings allow an order, whose certificate may replace those *in_service*.

        Raises:
            ConfigurationFailure: An order is not allowed.
        """
        self.check_eligible()
        if self.ca.kind not in ("staging", "development"):
            return
        for metadata in (stored.metadata for stored in in_service if stored):
            if metadata.kind == "public" and metadata.not_after > self.clock():
                raise WouldReplacePublic(
                    name=metadata.names[0], current=metadata.issuer, authority=self.ca.title
                )

    def replaces_id(self, current: StoredCertificate | None) -> str | None:
        """
        Return the renewal id of the *current* certificate; None if there is none, or another CA issued it.
        """
        # The field `replaces` is only for the CA that issued the certificate (RFC 9773, section 5).
        return (
            current.metadata.renewal_id if current and current.metadata.authority == self.ca.label else None
        )

    def renews(self, current: StoredCertificate | None) -> bool:
        """
        Return whether the CA counts an order for the names of the *current* certificate as a renewal.

        Let's Encrypt counts the certificates of all accounts, including those of other programs.
        """
        if current is None or self.clock() - current.metadata.not_before > RENEWAL_WITHIN:
            return False
        adopted = not current.metadata.authority and current.metadata.kind == self.ca.kind
        return adopted or current.metadata.authority == self.ca.label

    @step("dry_run")
    def dry_run(self, names: tuple[str, ...]) -> None:
        """
        Validate *names* at the staging environment of the CA, if there is one. Nothing is issued.

        Failures there do not count against the limits of production. If another failure prevents the
        validation, for example an outage, the dry run is inconclusive, and the order follows.

        Raises:
            CertworkerError: A validation of one of *names* failed at staging.
        """
        if self.staging is None:
            return
        logger.info(
            "starting a dry run at %s, because the last validation failed",
            self.staging.ca.title,
            extra=_log_fields(names),
        )
        try:
            self.staging._validate(names)
        except CertworkerError as failure:
            if failure.retry is Retry.CA and failure.problem:
                raise
            logger.warning(
                "dry run at %s was inconclusive (%s); the order follows",
                self.staging.ca.title,
                failure.message,
                extra=_log_fields(names),
            )
        else:
            logger.info("dry run succeeded at %s", self.staging.ca.title, extra=_log_fields(names))

    def _validate(self, names: tuple[str, ...]) -> None:
        with self.budget.reserve(names, exempt=False, renewal=False) as reservation:
            order = self.client.order(names)
            reservation.placed(replaces=False)
            with self.presenting(order.responses):
                order.validate(self.await_fetches)
            reservation.validated()
            # A valid authorization would let the next dry run succeed without a validation.
            order.deactivate_authorizations()


def _log_fields(names: tuple[str, ...]) -> dict[str, object]:
    return {"domain": names[0], "event": "validate"}
