"""
The client of one CA, which orders certificates. Start reading the package here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random, SystemRandom
from typing import Any

from certworker.acme.account import Account, AccountFiles
from certworker.acme.account_admin import AccountAdmin
from certworker.acme.order import Order
from certworker.acme.polling import OrderContext, Promptness
from certworker.acme.registration import AccountRegistration, ExternalAccountBinding
from certworker.acme.renewal_info import RenewalInfo, RenewalSuggestion
from certworker.acme.request_kinds import ObserveRequest, unobserved
from certworker.acme.resources import OrderState
from certworker.acme.session import Session
from certworker.acme.transport import Reply, Transport
from certworker.challenges.challenge import HTTP01
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
from certworker.hosts import Origin
from certworker.validity import Validity

#: After these failures, the order is placed again without `replaces`. Otherwise, a certificate that the CA
#: does not know, or that belongs to another account, could never be renewed. Pebble also refuses `replaces`
#: if the serial number begins with a zero.
REPLACES_REFUSED = (
    AlreadyReplaced,
    AuthorizationGone,
    Conflict,
    Malformed,
    ResourceNotFound,
    ServerInternal,
    UnknownProblem,
)

#: The profile with which Let's Encrypt issues certificates for IP addresses.
ADDRESS_PROFILE = "shortlived"

#: The maximum number of names in a certificate from Let's Encrypt, by profile. The limits of other CAs are
#: unknown.
MAX_NAMES = {"classic": 100, "tlsserver": 25, "shortlived": 25}
USUAL_PROFILE = "classic"
LETS_ENCRYPT = ("letsencrypt", "letsencrypt-staging")


class AcmeClient:
    """
    One CA and its account. Any number of threads may order at the same time.

    Attributes:
        label: The name of the CA in files and in Redis.
        title: The name of the CA in messages.

    Args:
        directory_url: The URL of the directory (RFC 8555, section 7.1.1).
        state_directory: STATE_DIR. The account is in accounts/LABEL below it.
        contact: The e-mail address of the account; None for an account without one.
        ca_bundle: The PEM file with the trusted roots; None for the roots of the system and of Mozilla.
        profile: The profile to order; None for the choice of :func:`profile_for`.
        preferred_chain: The common name of the preferred chain's root; None for the default chain.
        external_account: The external account that the CA binds the account to, if any.
        challenge_type: Returns the type of the challenge to respond to, for a name of an order.
        connections: The maximum number of idle connections to each host.
        clock: Returns the current time in UTC.
        sleep: Waits for a number of seconds between two requests.
        random: Randomizes the pauses between requests; None for the random source of the system.
        observe: Called after each request to the CA.
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
        challenge_type: Callable[[str], str] = lambda _name: HTTP01,
        connections: int,
        clock: Callable[[], datetime],
        sleep: Callable[[float], None] = time.sleep,
        random: Random | None = None,
        observe: ObserveRequest = unobserved,
    ) -> None:
        self.label = label
        self.title = title
        self._profile = profile
        self._preferred_chain = preferred_chain
        #: Returns the type of the challenge to respond to, for a name of an order.
        self.challenge_type = challenge_type
        self._clock = clock
        self._sleep = sleep
        self._random = random or SystemRandom()
        self._promptness = Promptness()
        transport = Transport(directory_url, ca_bundle=ca_bundle, connections=connections)
        self._session = Session(title, directory_url, transport, clock, observe)
        files = AccountFiles(state_directory / "accounts" / label, directory_url)
        self._renewal_info = RenewalInfo(self._session, clock)
        self._registration = AccountRegistration(self._session, files, contact, external_account)
        #: Removes incomplete account files after a crash.
        self.remove_leftovers = files.remove_leftovers
        #: The operator's actions on the account.
        self.account_admin = AccountAdmin(self._session, files, self._registration)

    @property
    def thumbprint(self) -> str:
        """
        Return the thumbprint of the account key (RFC 7638), the second half of each key authorization.

        Generate a key if there is none. Send no request to the CA.

        Raises:
            CertworkerError: The key is unusable, or the volume cannot be written.
        """
        return self._registration.thumbprint

    @property
    def account_url(self) -> str | None:
        """
        Return the URL of the account, or None if it is not on the volume. Send no request to the CA.

        Raises:
            AccountKeyUnreadable: The account key is unusable.
        """
        return self._registration.url

    @property
    def caa_identities(self) -> tuple[str, ...]:
        """
        Return the names of the CA in CAA records; empty if its directory lists none (RFC 8555, section
        7.1.1).

        Raises:
            CertworkerError: The CA is busy or does not respond, or the URL is not an ACME directory.
        """
        return self._session.directory().caa_identities

    def check(self) -> timedelta | None:
        """
        Verify that the CA speaks ACME and has the configured profile, and that no required external account
        binding is missing.

        Returns:
            How far the clock of the CA is ahead of the clock of this machine; None if unknown.

        Raises:
            CertworkerError: The check fails, or the account key is unusable.
        """
        self._session.directory()
        self._profile_for(())
        self._registration.check()
        return self._session.clock_offset

    @property
    def clock_offset(self) -> timedelta | None:
        """
        Return how far the clock of the CA was ahead at its last response with a date; None if unknown.
        """
        return self._session.clock_offset

    def measure_clock(self) -> timedelta | None:
        """
        Send a request, and return how far the clock of the CA is ahead; None if unknown.

        Raises:
            CertworkerError: The CA is busy or does not respond, or the URL is not an ACME directory.
        """
        return self._session.measure_clock()

    def renewal_suggestion(
        self, renewal_id: str, names: tuple[str, ...], life: Validity | None = None
    ) -> RenewalSuggestion | None:
        """
        Return when the CA suggests renewing the certificate *renewal_id* for *names*.

        Return None if the CA offers no renewal information, or if *renewal_id* is empty.

        Args:
            life: The validity of the certificate; None if unknown.
        """
        return self._renewal_info.suggestion(renewal_id, names, life) if renewal_id else None

    def order(
        self,
        names: tuple[str, ...],
        *,
        replaces: str | None = None,
        placed: Callable[[str, datetime | None], object] = lambda _url, _expires: None,
    ) -> Order:
        """
        Order a certificate for *names*, and read the challenges of the CA.

        If the CA no longer accepts the account, find it by its key or register a new one, once.

        Args:
            placed: Called with the URL and the expiry (None if unknown) of the order, before any further
                request. With the URL, :meth:`resume` continues the order.
            replaces: The renewal id of the certificate that the new one replaces (RFC 9773, section 5), if
                any. The order omits it if the CA offers no renewal information or refuses `replaces`, and
                after the account was found or registered again.

        Raises:
            CertworkerError: The profile is not offered, or permits fewer names; the CA refuses, is busy, or
                does not respond; the account or the volume is unusable; or a challenge is not offered or has
                failed.
        """
        self._profile_for(names)
        account = self._registration.ensure()
        replaced_id = replaces if self._session.directory().renewal_info else None
        try:
            reply = self._place(names, account, replaced_id)
        except (AccountGone, AccountDeactivated):
            account = self._registration.reregister(account)
            reply = self._place(names, account, None)
        except REPLACES_REFUSED:
            if replaced_id is None:
                raise
            reply = self._place(names, account, None)
        url, state = reply.location, OrderState.read(reply)
        placed(url, state.expires)
        return Order(names, url, state, self._context(account))

    def resume(self, url: str, names: tuple[str, ...]) -> Order | None:
        """
        Return the order at *url*, which an earlier attempt placed.

        Return None if the order is invalid or has other names, or if *url* has another scheme, host or port
        than the URL for new orders.

        Args:
            url: The URL of the order. It comes from Redis, so certworker sends no request to another host.
            names: The names of the certificate.

        Raises:
            CertworkerError: The CA does not know the order, refuses, is busy, or does not respond; the
                account or the volume is unusable; or a challenge is not offered or has failed.
        """
        if not _same_origin(url, self._session.directory().new_order):
            return None
        context = self._context(self._registration.ensure())
        state = OrderState.read(context.request(url, None))
        if state.status == "invalid" or set(state.names) != set(names):
            return None
        return Order(names, url, state, context)

    def _context(self, account: Account) -> OrderContext:
        request = partial(self._request, account)
        return OrderContext(
            self.title,
            request,
            account.thumbprint,
            self._preferred_chain,
            self.challenge_type,
            self._clock,
            self._sleep,
            self._random,
            self._promptness,
        )

    def _place(self, names: tuple[str, ...], account: Account, replaces: str | None) -> Reply:
        payload: dict[str, object] = {"identifiers": [_identifier(name) for name in names]}
        if profile := self._profile_for(names):
            payload["profile"] = profile
        if replaces:
            payload["replaces"] = replaces
        return self._request(account, self._session.directory().new_order, payload)

    def _request(self, account: Account, url: str, payload: dict[str, Any] | None) -> Reply:
        try:
            return self._session.post(url, payload, account.signer)
        except (Malformed, UnknownProblem) as refused:
            # The operator may have changed the key during the order. The next attempt uses the new key.
            if self._registration.has_changed(account):
                raise AccountGone(authority=self.title, problem=refused.problem) from refused
            raise

    def _profile_for(self, names: tuple[str, ...]) -> str | None:
        offered = self._session.directory().profiles
        return profile_for(names, self._profile, offered, label=self.label, title=self.title)


def profile_for(
    names: tuple[str, ...], wanted: str | None, offered: Mapping[str, str], *, label: str, title: str
) -> str | None:
    """
    Return the profile of an order for *names*, or None for the default of the CA.

    Without a configured profile, an order with an IP address gets :data:`ADDRESS_PROFILE` if it is offered.

    Args:
        wanted: The configured profile, if any.
        offered: The profiles in the directory of the CA.
        label: The name of the CA in files and in Redis.
        title: The name of the CA in messages.

    Raises:
        InvalidProfile: The CA does not offer the configured profile.
        TooManyNames: The CA accepts fewer names with this profile.
    """
    if wanted is not None and wanted not in offered:
        known = ", ".join(offered) or "none"
        raise InvalidProfile(authority=title, detail=f"{wanted} is not among its profiles ({known}).")
    chosen = wanted
    if chosen is None and ADDRESS_PROFILE in offered and any(map(is_address, names)):
        chosen = ADDRESS_PROFILE
    most = MAX_NAMES.get(chosen or USUAL_PROFILE) if label in LETS_ENCRYPT else None
    if most is not None and len(names) > most:
        raise TooManyNames(count=len(names), limit=most)
    return chosen


def _same_origin(url: str, other: str) -> bool:
    try:
        return Origin.of(url) == Origin.of(other)
    except ValueError:
        return False


def _identifier(name: str) -> dict[str, str]:
    # IP addresses have their own identifier type (RFC 8738).
    return {"type": "ip" if is_address(name) else "dns", "value": name}
