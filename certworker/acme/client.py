"""
A CA from which certificates can be ordered. Start reading the room here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random, SystemRandom
from typing import Any
from urllib.parse import urlsplit

from certworker.acme.account import Account, AccountFiles
from certworker.acme.account_admin import AccountAdmin
from certworker.acme.order import Order
from certworker.acme.order_context import OrderContext
from certworker.acme.registration import AccountRegistration, ExternalAccountBinding
from certworker.acme.renewal_info import RenewalInfo, RenewalSuggestion
from certworker.acme.resources import OrderState
from certworker.acme.session import Session
from certworker.acme.transport import Reply, Transport
from certworker.domains import is_address
from certworker.errors.acct import AccountDeactivated, AccountGone
from certworker.errors.acme import (
    AlreadyReplaced,
    AuthorizationGone,
    Conflict,
    InvalidProfile,
    Malformed,
    ResourceNotFound,
    UnknownProblem,
)
from certworker.errors.ca import ServerInternal
from certworker.errors.payload import TooManyNames
from certworker.validity import Validity

#: After these an order is placed once more, as one that replaces nothing. A predecessor of another account,
#: or one that the CA has forgotten, must not end all renewals. Nor must one over which the CA stumbles, as
#: Pebble does if the serial number begins with a zero.
PERHAPS_THE_PREDECESSOR = (
    AlreadyReplaced,
    AuthorizationGone,
    Conflict,
    Malformed,
    ResourceNotFound,
    ServerInternal,
    UnknownProblem,
)

#: The one in which Let's Encrypt certifies IP addresses.
ADDRESS_PROFILE = "shortlived"

#: How many names Let's Encrypt puts into a certificate; of another CA only its refusal tells.
MAX_NAMES = {"classic": 100, "tlsserver": 25, "shortlived": 25}
USUAL_PROFILE = "classic"
LETS_ENCRYPT = ("letsencrypt", "letsencrypt-staging")


class AcmeClient:
    """
    One CA and our account there. Any number of threads may order at once.

    Attributes:
        label: Its name for files and the ledger.
        title: Its name for people.

    Args:
        directory_url: The CA's directory (RFC 8555, section 7.1.1).
        state_directory: STATE_DIR; the account lives below it, in accounts/LABEL.
        contact: The e-mail address that the CA is told.
        ca_bundle: The PEM file with its root; None: the system's and Mozilla's.
        profile: The kind of certificate to order, where the CA has several.
        preferred_chain: The common name of the root whose chain to take, where the CA has several.
        external_account: The account on the CA's web site that ours is bound to, where the CA wants that.
        connections: How many threads will order at once.
        clock: The time, for Retry-After and deadlines.
        sleep: Waits for so many seconds; between two looks at an order.
        random: Spreads those looks.
    """

    def __init__(
        self,
        label: str,
        title: str,
        directory_url: str,
        *,
        state_directory: Path,
        contact: str | None,
        ca_bundle: Path | None,
        profile: str | None,
        preferred_chain: str | None = None,
        external_account: ExternalAccountBinding | None = None,
        connections: int,
        clock: Callable[[], datetime],
        sleep: Callable[[float], None] = time.sleep,
        random: Random | None = None,
    ) -> None:
        self.label = label
        self.title = title
        self._profile = profile
        self._preferred_chain = preferred_chain
        self._clock = clock
        self._sleep = sleep
        self._random = random or SystemRandom()
        transport = Transport(directory_url, ca_bundle=ca_bundle, connections=connections)
        self._network = Session(title, directory_url, transport, clock)
        files = AccountFiles(state_directory / "accounts" / label, directory_url)
        self._renewal_info = RenewalInfo(self._network, clock)
        self._registration = AccountRegistration(self._network, files, contact, external_account)
        #: Remove what a crash left among the files of the account.
        self.remove_leftovers = files.remove_leftovers
        #: What a person may do with the account.
        self.account_admin = AccountAdmin(self._network, files, self._registration)

    @property
    def thumbprint(self) -> str:
        """
        The fingerprint of the account's key (RFC 7638): TOKEN.THUMBPRINT answers a challenge.

        The key is made if there is none; the CA is not asked.

        Raises:
            CertworkerError: The key is damaged, or the volume cannot be written.
        """
        return self._registration.thumbprint

    @property
    def account_url(self) -> str | None:
        """
        The account's URL; None if there is no account yet. The CA is not asked.

        Raises:
            AccountKeyUnreadable: The account's key is damaged.
        """
        return self._registration.url

    @property
    def caa_identities(self) -> tuple[str, ...]:
        """
        What stands for the CA in CAA records; none if it does not say (RFC 8555, section 7.1.1).

        Raises:
            CertworkerError: The CA does not answer, or is none.
        """
        return self._network.directory().caa_identities

    def check(self) -> timedelta | None:
        """
        Make sure that the CA answers, speaks ACME, has the profile that is set, and would make an account;
        returns how much its clock was ahead of ours then.

        Raises:
            CertworkerError: It does not.
        """
        self._network.directory()
        self._profile_for(())
        self._registration.check()
        return self._network.clock_offset

    def renewal_suggestion(
        self, renewal_id: str, name: str, life: Validity | None = None
    ) -> RenewalSuggestion | None:
        """
        When the CA suggests to renew the certificate *renewal_id* of *name*; None if it has no advice.

        Args:
            life: Of the certificate; None: unknown.
        """
        return self._renewal_info.suggestion(renewal_id, name, life) if renewal_id else None

    def order(
        self,
        names: tuple[str, ...],
        *,
        replaces: str | None = None,
        placed: Callable[[str, datetime | None], object] = lambda _url, _expires: None,
    ) -> Order:
        """
        Order a certificate for *names*, and read what the CA wants to see for it.

        An account that the CA has lost is registered anew, once.

        Args:
            placed: Called with the URL of the order, and until when the CA keeps it, before anything else is
                asked: whoever has the URL may :meth:`resume` the order.
            replaces: The renewal id of the certificate that this one follows (RFC 9773, section 5). A CA that
                has seen it followed already is asked once more without.

        Raises:
            CertworkerError: The CA refuses, is busy, or does not answer; or the account cannot be used.
        """
        self._profile_for(names)
        account = self._registration.ensure()
        known_to_it = replaces if self._network.directory().renewal_info else None
        try:
            reply = self._place(names, account, known_to_it)
        except (AccountGone, AccountDeactivated):
            account = self._registration.reregister(account)
            reply = self._place(names, account, None)
        except PERHAPS_THE_PREDECESSOR:
            if known_to_it is None:
                raise
            reply = self._place(names, account, None)
        url, state = reply.location, OrderState.read(reply)
        placed(url, state.expires)
        return Order(names, url, state, self._world(account))

    def resume(self, url: str, names: tuple[str, ...]) -> Order | None:
        """
        Return the order at *url*, which an earlier attempt placed; None if it has ended or is another one.

        Args:
            url: What was stored outside of the state directory: only one of this CA is requested.

        Raises:
            CertworkerError: The CA does not know the order, one of its authorizations or challenges has
                failed, or the CA is busy or does not answer.
        """
        if not _same_origin(url, self._network.directory().new_order):
            return None
        world = self._world(self._registration.ensure())
        state = OrderState.read(world.ask(url, None))
        if state.status == "invalid" or set(state.names) != set(names):
            return None
        return Order(names, url, state, world)

    def _world(self, account: Account) -> OrderContext:
        ask = partial(self._ask, account)
        return OrderContext(
            self.title,
            ask,
            account.thumbprint,
            self._preferred_chain,
            self._clock,
            self._sleep,
            self._random,
        )

    def _place(self, names: tuple[str, ...], account: Account, replaces: str | None) -> Reply:
        wanted: dict[str, object] = {"identifiers": [_identifier(name) for name in names]}
        if profile := self._profile_for(names):
            wanted["profile"] = profile
        if replaces:
            wanted["replaces"] = replaces
        return self._ask(account, self._network.directory().new_order, wanted)

    def _ask(self, account: Account, url: str, payload: dict[str, Any] | None) -> Reply:
        try:
            return self._network.post(url, payload, account.signer)
        except (Malformed, UnknownProblem) as refused:
            # A person changed the key while the order was under way: the next attempt has the new one.
            if self._registration.has_changed(account):
                raise AccountGone(authority=self.title, problem=refused.problem) from refused
            raise

    def _profile_for(self, names: tuple[str, ...]) -> str | None:
        offered = self._network.directory().profiles
        return profile_for(names, self._profile, offered, label=self.label, title=self.title)


def profile_for(
    names: tuple[str, ...], wanted: str | None, offered: Mapping[str, str], *, label: str, title: str
) -> str | None:
    """
    The profile to name in an order for *names*; None: none is named, the CA takes its usual one.

    Args:
        wanted: The one that is set, if any.
        offered: Those of the CA's directory.
        label: The CA's, for files; *title* is for people.

    Raises:
        InvalidProfile: The CA does not offer the one that is set.
        TooManyNames: It is known to take fewer names.
    """
    if wanted is not None and wanted not in offered:
        known = ", ".join(offered) or "one unnamed"
        raise InvalidProfile(authority=title, detail=f"no {wanted}, only {known}.")
    chosen = wanted
    if chosen is None and ADDRESS_PROFILE in offered and any(map(is_address, names)):
        chosen = ADDRESS_PROFILE
    most = MAX_NAMES.get(chosen or USUAL_PROFILE) if label in LETS_ENCRYPT else None
    if most is not None and len(names) > most:
        raise TooManyNames(count=len(names), limit=most)
    return chosen


def _same_origin(url: str, other: str) -> bool:
    try:
        one, two = urlsplit(url), urlsplit(other)
    except ValueError:
        return False
    return (one.scheme, one.netloc) == (two.scheme, two.netloc)


def _identifier(name: str) -> dict[str, str]:
    # An address is an identifier of its own type (RFC 8738).
    return {"type": "ip" if is_address(name) else "dns", "value": name}
