"""
The rules that differ from CA to CA; all of them may change while the CA runs.
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
    #: None: the CA's usual lifetime.
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

    #: The time between the two dates of a certificate.
    lifetime: timedelta = timedelta(days=90)
    #: How long further orders of the account need no new validation; zero: each order needs one.
    authorization_reuse: timedelta = timedelta(0)
    #: By name; orders without a profile get the first one.
    profiles: dict[str, Profile] = field(default_factory=_profiles)
    #: Offer DNS-01 as well, and certificates for wildcards.
    offers_dns01: bool = False
    #: Every name is valid at once, for tests with thousands of names.
    trusts_every_name: bool = False
    #: Key id → HMAC key; if not empty, a new account needs one (RFC 8555, section 7.3.4).
    external_accounts: dict[str, bytes] = field(default_factory=dict)
    #: Suggested windows by name, "" for all names; otherwise the dates of the certificate decide.
    windows: dict[str, Window] = field(default_factory=dict)
    #: Certificates issued before this time are to be renewed now, as before a mass revocation.
    recalled_before: datetime | None = None

    def lifetime_of(self, profile: str) -> timedelta:
        """
        Return the lifetime of certificates of *profile*.
        """
        return min(self.lifetime, self.profiles[profile].lifetime or self.lifetime)
