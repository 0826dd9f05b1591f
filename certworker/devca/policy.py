"""
The rules of the CA that a test or the demo may change while the CA is running.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta


@dataclass(frozen=True)
class Profile:
    """
    A type of certificate that a client may choose (draft-aaron-acme-profiles).
    """

    description: str
    most_names: int
    #: The maximum lifetime; None: the CA's usual lifetime.
    lifetime: timedelta | None = None


def _profiles() -> dict[str, Profile]:
    return {
        "classic": Profile("The usual certificate, for up to 100 names", 100),
        "shortlived": Profile("A certificate for 160 hours, for up to 25 names", 25, timedelta(hours=160)),
    }


@dataclass(frozen=True)
class Window:
    """
    The time in which the CA suggests a renewal (RFC 9773, section 4.2).
    """

    start: datetime
    end: datetime
    explanation_url: str | None = None


@dataclass
class Policy:
    """
    The rules of the CA.
    """

    #: The time from the start to the end of a certificate's validity.
    lifetime: timedelta = timedelta(days=90)
    #: How long a validation is valid for further orders from the account; zero: each order needs a new one.
    authorization_reuse: timedelta = timedelta(0)
    #: The profiles by name. An order without a profile gets the first one.
    profiles: dict[str, Profile] = field(default_factory=_profiles)
    #: Whether the CA also offers DNS-01, and certificates for wildcards.
    offers_dns01: bool = False
    #: Whether every authorization is valid immediately, for tests with thousands of names.
    trusts_every_name: bool = False
    #: Key id → HMAC key. If there are any, a new account needs one of them (RFC 8555, section 7.3.4).
    external_accounts: dict[str, bytes] = field(default_factory=dict)
    #: The suggested windows by name; the key "" is for all names. By default, the validity of a certificate
    #: determines its window.
    windows: dict[str, Window] = field(default_factory=dict)
    #: The CA suggests an immediate renewal of certificates issued before this time (a mass revocation).
    recalled_before: datetime | None = None

    def lifetime_of(self, profile: str) -> timedelta:
        """
        Return the lifetime of certificates of *profile*.
        """
        return min(self.lifetime, self.profiles[profile].lifetime or self.lifetime)
