"""
The failures that the responses of a DNS provider describe.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from certworker.dns01.provider import TxtRecord
from certworker.errors import CertworkerError
from certworker.errors.dns01 import (
    ChangeForbidden,
    CredentialsRejected,
    ProviderFailed,
    ProviderRateLimited,
    ZoneMissing,
)
from certworker.http_dates import retry_after

#: The pause after a rate limit without Retry-After, and the bounds of a pause with it.
DEFAULT_PAUSE = timedelta(minutes=5)
SHORTEST_PAUSE = timedelta(seconds=1)
LONGEST_PAUSE = timedelta(days=1)


@dataclass(frozen=True)
class Refusals:
    """
    The failures of one provider. No reason contains the text of a response, which may contain secrets.
    """

    #: The label of the provider in messages, followed by its host and port if it has them.
    provider: str
    #: The settings with the credentials.
    variables: str

    def credentials(self, reason: str) -> CertworkerError:
        """
        Return the failure for credentials that the provider rejects.
        """
        return CredentialsRejected(provider=self.provider, reason=reason, variables=self.variables)

    def forbidden(self, record: TxtRecord, reason: str) -> CertworkerError:
        """
        Return the failure of an account that may not change *record*.
        """
        return ChangeForbidden(
            provider=self.provider,
            fqdn=record.fqdn,
            zone=record.zone,
            reason=reason,
            variables=self.variables,
        )

    def no_zone(self, record: TxtRecord, reason: str) -> CertworkerError:
        """
        Return the failure of a provider that does not have the zone of *record*.
        """
        return ZoneMissing(provider=self.provider, zone=record.zone, reason=reason)

    def rate_limited(self, headers: Mapping[str, str], now: datetime) -> CertworkerError:
        """
        Return the failure of a rate limit, which resets at the time in the Retry-After header.

        Without a valid header, it resets after :data:`DEFAULT_PAUSE`. The time is a second to a day away.
        """
        wanted = {name.title(): value for name, value in headers.items()}
        until = retry_after(wanted, now) or now + DEFAULT_PAUSE
        until = min(max(until, now + SHORTEST_PAUSE), now + LONGEST_PAUSE)
        moment = f"{until:%Y-%m-%d %H:%M:%S} UTC"
        return ProviderRateLimited(provider=self.provider, moment=moment, until=until)

    def failed(self, record: TxtRecord, reason: object) -> CertworkerError:
        """
        Return the failure for any other reason.
        """
        return ProviderFailed(provider=self.provider, fqdn=record.fqdn, reason=reason)

    def of_status(
        self, status: int, headers: Mapping[str, str], record: TxtRecord, now: datetime
    ) -> CertworkerError:
        """
        Return the failure that the *status* of an HTTP response describes.
        """
        reason = f"HTTP {status}"
        if status == 401:
            return self.credentials(reason)
        if status == 403:
            return self.forbidden(record, reason)
        if status == 404:
            return self.no_zone(record, reason)
        if status == 429 or (status == 503 and "retry-after" in map(str.lower, headers)):
            return self.rate_limited(headers, now)
        redirect = ", a redirect, which is not followed" if 300 <= status < 400 else ""
        return self.failed(record, reason + redirect)
