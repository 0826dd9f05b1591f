"""
The desk of one CA: its client, its budget, its answers to challenges, its orders under way.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from certworker.acme.client import AcmeClient
from certworker.challenges.challenge import Solver, present
from certworker.challenges.responder import Responder
from certworker.challenges.webroot import Webroot
from certworker.errors import CertworkerError, Retry
from certworker.errors.config import WouldReplacePublic
from certworker.issuance.pending_orders import PendingOrders
from certworker.ratelimits.budget import Budget
from certworker.ratelimits.limits import RENEWAL_WITHIN
from certworker.settings import CaChoice
from certworker.storage.keypair import StoredCertificate

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Issuer:
    """
    Where certificates of one CA are ordered.
    """

    ca: CaChoice
    client: AcmeClient
    #: Raises why the configuration does not allow an order here.
    check_eligible: Callable[[], None]
    budget: Budget
    responder: Responder
    webroot: Webroot | None
    pending_orders: PendingOrders
    #: The desk of its staging; None: none is known.
    staging: Issuer | None
    clock: Callable[[], datetime]

    @property
    def solvers(self) -> list[Solver]:
        """
        Where this CA finds its answers.
        """
        return [self.responder, self.webroot] if self.webroot else [self.responder]

    def check(self, in_service: Sequence[StoredCertificate | None]) -> None:
        """
        Make sure that an order here is allowed, and that its certificate may replace what is *in_service*.

        Raises:
            ConfigurationFailure: It is not.
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
        The renewal id of the certificate that is *current*, if it is this CA's.
        """
        # Only the CA that issued it may be told (RFC 9773, section 5).
        return (
            current.metadata.renewal_id if current and current.metadata.authority == self.ca.label else None
        )

    def renews(self, current: StoredCertificate | None) -> bool:
        """
        Return whether the CA counts an order for the names of the *current* certificate as a renewal.

        Let's Encrypt counts certificates of all accounts. Another program may have got an adopted one there.
        """
        if current is None or self.clock() - current.metadata.not_before > RENEWAL_WITHIN:
            return False
        adopted = not current.metadata.authority and current.metadata.kind == self.ca.kind
        return adopted or current.metadata.authority == self.ca.label

    def dry_run(self, names: tuple[str, ...]) -> None:
        """
        See whether staging finds *names* to be ours, where one is known; nothing is installed from there.

        Production counts every failure, and staging is there to fail. It is no judge of more than that: where
        it cannot be asked, production is.

        Raises:
            CertworkerError: Why it does not.
        """
        if self.staging is None:
            return
        logger.info(
            "asking %s first, after the last failure", self.staging.ca.title, extra=_log_fields(names)
        )
        try:
            self.staging._validate(names)
        except CertworkerError as failure:
            if failure.retry is Retry.CA and failure.problem:
                raise
            logger.warning(
                "%s could not be asked: %s",
                self.staging.ca.title,
                failure.message,
                extra=_log_fields(names),
            )
        else:
            logger.info("%s says yes", self.staging.ca.title, extra=_log_fields(names))

    def _validate(self, names: tuple[str, ...]) -> None:
        with self.budget.reserve(names, exempt=False, renewal=False) as reservation:
            order = self.client.order(names)
            reservation.placed(replaces=False)
            with present(order.answers, self.solvers):
                order.validate()
            reservation.validated()
            # Or the next rehearsal would find the name to be ours without a look.
            order.deactivate_authorizations()


def _log_fields(names: tuple[str, ...]) -> dict[str, object]:
    return {"domain": names[0], "event": "validate"}
