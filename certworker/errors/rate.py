"""
Rate limits of the CA. Codes: rate.*.
"""

from __future__ import annotations

from typing import Any

from certworker.errors.failure import CertworkerError, Retry, Severity


class FailedValidations(CertworkerError):
    code = "rate.failed_validations"
    message_template = "Too many validations of this name failed recently: {detail}"
    remedy_template = (
        "Fix the cause of the earlier failures, which this command shows: certworker explain {name}"
    )
    retry = Retry.UNTIL


class DuplicateCertificates(CertworkerError):
    code = "rate.duplicate"
    message_template = "{authority} has issued too many certificates for this exact set of names: {detail}"
    remedy_template = (
        "Restore the volume of CERTWORKER_CERTIFICATES_DIR from a backup if it is lost. This limit does not "
        "apply to a certificate with one more name."
    )
    retry = Retry.UNTIL
    other_ca_may_issue = True


class RegisteredDomainLimit(CertworkerError):
    code = "rate.registered_domain"
    message_template = (
        "The registered domain has reached its weekly limit, which all its subdomains share: {detail}"
    )
    remedy_template = (
        "No action is needed; certworker retries automatically. If the registered domain belongs to others, "
        "set _APP_DOMAIN to your own domain."
    )
    retry = Retry.UNTIL
    other_ca_may_issue = True


class TooManyOrders(CertworkerError):
    code = "rate.new_orders"
    message_template = "{authority} accepts no more orders from this account for now: {detail}"
    remedy_template = "No action is needed; certworker retries automatically."
    retry = Retry.UNTIL
    other_ca_may_issue = True


class Paused(CertworkerError):
    code = "rate.paused"
    message_template = "{authority} has paused {name} after months of failures."
    remedy_template = (
        "Fix the cause of the failures, end the pause at {url} and then run: certworker resume {name}"
    )
    retry = Retry.CONFIG

    def __init__(self, *, url: str, **values: Any) -> None:
        super().__init__(url=url, **values)
        #: The URL of the page where the operator ends the pause.
        self.url = url


class CaBusy(CertworkerError):
    code = "rate.busy"
    message_template = "{authority} is busy and requests a pause: {detail}"
    remedy_template = "No action is needed; certworker retries automatically."
    retry = Retry.UNTIL
    severity = Severity.WARNING
    other_ca_may_issue = True


class LocalGuard(CertworkerError):
    code = "rate.local_guard"
    message_template = (
        "certworker orders no certificate for {name} from {authority} before {moment}: {reason}."
    )
    remedy_template = (
        "No action is needed; certworker retries at that time. To override a limit that is not the CA's own, "
        "run: certworker request --force --use-full-quota {name}"
    )
    retry = Retry.UNTIL
    severity = Severity.WARNING
    other_ca_may_issue = True
