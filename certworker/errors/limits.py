"""
Limits of the CA: it takes no more from us for a while, and mostly says how long.
"""

from __future__ import annotations

from certworker.errors.failure import CertworkerError, Retry, Severity


class FailedValidations(CertworkerError):
    code = "rate.failed_validations"
    says = "Too many checks of this name failed lately: {detail}"
    cure = "Mend the cause of the last failure meanwhile: certworker status {name}"
    retry = Retry.UNTIL


class DuplicateCertificates(CertworkerError):
    code = "rate.duplicate"
    says = "{authority} has issued this very certificate too often this week: {detail}"
    cure = (
        "Restore the volume of CERTWORKER_CERTIFICATES_DIR from a backup if it was lost; a certificate with "
        "one more name is not under this limit."
    )
    retry = Retry.UNTIL


class RegisteredDomainLimit(CertworkerError):
    code = "rate.registered_domain"
    says = "The weekly limit of this registered domain is used up; all who use it share it: {detail}"
    cure = (
        "certworker asks again by itself. A domain of your own has a limit of its own: set _APP_DOMAIN to it."
    )
    retry = Retry.UNTIL


class TooManyOrders(CertworkerError):
    code = "rate.new_orders"
    says = "{authority} takes no more orders from this account for a while: {detail}"
    cure = "certworker goes on by itself; nothing to do."
    retry = Retry.UNTIL


class Paused(CertworkerError):
    code = "rate.paused"
    says = "{authority} has paused this name after months of failures: {detail}"
    cure = "Mend the cause of the failures, then open: {url}"
    retry = Retry.CONFIG


class AuthorityBusy(CertworkerError):
    code = "rate.busy"
    says = "{authority} is busy and wants us to wait: {detail}"
    cure = "certworker goes on by itself; nothing to do."
    retry = Retry.UNTIL
    severity = Severity.WARNING
