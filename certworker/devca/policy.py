"""
The rules of the CA that may differ from CA to CA; all may be changed while it runs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta


@dataclass(frozen=True)
class Profile:
    """
    One kind of certificate that a client may choose (draft-aaron-acme-profiles).
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
    When the CA would like a certificate to be renewed (RFC 9773, section 4.2).
    """

    start: datetime
    end: datetime
    explanation_url: str | None = None


@dataclass
class Policy:
    """
    What the CA grants.
    """

    #: From the first moment of a certificate to its last.
    lifetime: timedelta = timedelta(days=90)
    #: How long a validation counts for further orders of the account; zero: every order is validated.
    authorization_reuse: timedelta = timedelta(0)
    #: The first one is for orders that name none.
    profiles: dict[str, Profile] = field(default_factory=_profiles)
    #: Every name counts as validated at once, for drills with thousands of names.
    trusts_every_name: bool = False
    #: Key id → HMAC key; where there are any, an account needs one (RFC 8555, section 7.3.4).
    external_accounts: dict[str, bytes] = field(default_factory=dict)
    #: Suggested windows by name, "" for all names; without an entry the certificate's own dates decide.
    windows: dict[str, Window] = field(default_factory=dict)
    #: The windows of all certificates issued before this moment are over, as before a mass revocation.
    recalled_before: datetime | None = None

    def lifetime_of(self, profile: str) -> timedelta:
        """
        How long certificates of *profile* live.
        """
        return min(self.lifetime, self.profiles[profile].lifetime or self.lifetime)
