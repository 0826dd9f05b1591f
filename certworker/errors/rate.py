"""
The CA's rate limits. Codes: rate.*.
"""

from __future__ import annotations

from typing import Any

from certworker.errors.failure import CertworkerError, Retry, Severity


class FailedValidations(CertworkerError):
    code = "rate.failed_validations"
    message_template = "Too many checks of this name failed lately: {detail}"
    remedy_template = "Mend the cause of the last failure meanwhile: certworker status {name}"
    retry = Retry.UNTIL


class DuplicateCertificates(CertworkerError):
    code = "rate.duplicate"
    message_template = "{authority} has issued this very certificate too often this week: {detail}"
    remedy_template = (
        "Restore the volume of CERTWORKER_CERTIFICATES_DIR from a backup if it was lost; a certificate with "
        "one more name is not under this limit."
    )
    retry = Retry.UNTIL
    other_ca_may_issue = True


class RegisteredDomainLimit(CertworkerError):
    code = "rate.registered_domain"
    message_template = (
        "The weekly limit of this registered domain is used up; all who use it share it: {detail}"
    )
    remedy_template = (
        "certworker asks again by itself. A domain of your own has a limit of its own: set _APP_DOMAIN to it."
    )
    retry = Retry.UNTIL
    other_ca_may_issue = True


class TooManyOrders(CertworkerError):
    code = "rate.new_orders"
    message_template = "{authority} takes no more orders from this account for a while: {detail}"
    remedy_template = "certworker goes on by itself; nothing to do."
    retry = Retry.UNTIL
    other_ca_may_issue = True


class Paused(CertworkerError):
    code = "rate.paused"
    message_template = "{authority} has paused {name} after months of failures."
    remedy_template = "Mend their cause, end the pause at {url} and then run: certworker resume {name}"
    retry = Retry.CONFIG

    def __init__(self, *, url: str, **values: Any) -> None:
        super().__init__(url=url, **values)
        #: Where a person ends the pause.
        self.url = url


class CaBusy(CertworkerError):
    code = "rate.busy"
    message_template = "{authority} is busy and wants us to wait: {detail}"
    remedy_template = "certworker goes on by itself; nothing to do."
    retry = Retry.UNTIL
    severity = Severity.WARNING
    other_ca_may_issue = True


class LocalGuard(CertworkerError):
    code = "rate.local_guard"
    message_template = "{authority} is not asked for {name} before {moment}: {reason}."
    remedy_template = (
        "certworker goes on by itself then. Where this is its own caution and no limit of the CA, a person "
        "may insist: certworker request --force --use-full-quota {name}"
    )
    retry = Retry.UNTIL
    severity = Severity.WARNING
    other_ca_may_issue = True
