"""
Opens the desks that the settings ask for. Nothing is asked of a CA yet.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from redis import Redis

from certworker.acme.authority import Authority
from certworker.acme.binding import ExternalAccount
from certworker.acme.order_keys import OrderKeys
from certworker.allowance import budget_of
from certworker.challenges.responder import Responder
from certworker.challenges.webroot import Webroot
from certworker.checks.eligibility import check_eligibility
from certworker.desks.desk import Desk
from certworker.desks.under_way import UnderWay
from certworker.ledger.orders import OrdersUnderWay
from certworker.ledger.tokens import ChallengeTokens
from certworker.serving.volume import Volume
from certworker.settings import AuthorityChoice, Settings, contact_problem
from certworker.slot import MOST_WITHOUT_A_SLOT


@dataclass(frozen=True)
class Opening:
    """
    What all desks have in common.
    """

    settings: Settings
    connection: Redis
    volume: Volume
    tokens: ChallengeTokens
    #: Where the directory of a CA is.
    directory_of: Callable[[AuthorityChoice], str]
    clock: Callable[[], datetime]

    def desks(self) -> tuple[Desk, ...]:
        """
        A desk for each CA of the settings, in their order, and behind it that of its staging.
        """
        return tuple(
            self._desk(choice, self._desk(choice.staging, None) if choice.staging else None)
            for choice in self.settings.authorities
        )

    def _desk(self, choice: AuthorityChoice, staging: Desk | None) -> Desk:
        authority = authority_of(self.settings, choice, self.directory_of(choice), self.clock)
        responder = Responder(
            remember=partial(self.tokens.remember, authority=choice.label),
            forget=self.tokens.forget,
            authority_of=self.tokens.authority_of,
            thumbprints={choice.label: lambda: authority.thumbprint}.get,
        )
        files = self.settings.webroot
        keys = _keys_of(self.settings, choice)
        orders = OrdersUnderWay(self.connection, choice.label)
        return Desk(
            choice=choice,
            authority=authority,
            check_eligible=partial(check_eligibility, self.settings, choice),
            budget=budget_of(self.settings, choice, self.connection, self.volume),
            responder=responder,
            webroot=Webroot(files, lambda: authority.thumbprint) if files else None,
            under_way=UnderWay(authority, orders, keys, self.clock),
            staging=staging,
            clock=self.clock,
        )


def forget_pending_order(
    settings: Settings, choice: AuthorityChoice, connection: Redis, names: tuple[str, ...]
) -> None:
    """
    Forget the pending order for *names* at the CA *choice*, and its key: the next request places a new one.

    Raises:
        VolumeFault: The key could not be removed.
    """
    if found := OrdersUnderWay(connection, choice.label).take_away(names):
        _keys_of(settings, choice).forget(found.url)


def authority_of(
    settings: Settings, choice: AuthorityChoice, directory_url: str, clock: Callable[[], datetime]
) -> Authority:
    """
    The CA *choice*, whose directory is at *directory_url*.
    """
    acceptable = settings.email and contact_problem(settings.email) is None
    return Authority(
        choice.label,
        choice.title,
        directory_url,
        state_directory=settings.state_dir,
        contact=settings.email if acceptable else None,
        ca_bundle=settings.ca_bundle,
        profile=settings.profile,
        preferred_chain=settings.preferred_chain,
        external_account=_external_account(settings),
        connections=settings.concurrency + MOST_WITHOUT_A_SLOT,
        clock=clock,
    )


def _keys_of(settings: Settings, choice: AuthorityChoice) -> OrderKeys:
    return OrderKeys(settings.state_dir / "orders" / choice.label, settings.key_type)


def _external_account(settings: Settings) -> ExternalAccount | None:
    if settings.eab_kid is None or settings.eab_hmac_key is None:
        return None
    return ExternalAccount(settings.eab_kid, settings.eab_hmac_key.get_secret_value())
