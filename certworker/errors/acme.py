"""
Failures of ACME orders. Codes: acme.*.
"""

from __future__ import annotations

from typing import Any

from certworker.errors.failure import CertworkerError, Retry, Severity, ValidationFailure


class BadNonce(CertworkerError):
    code = "acme.bad_nonce"
    message_template = "{authority} rejected several fresh nonces in a row."
    remedy_template = (
        "No action is needed; certworker retries soon. If this continues for a day, report it to the "
        "operator of the CA."
    )
    retry = Retry.SOON
    severity = Severity.WARNING
    other_ca_may_issue = True


class NoHttp01(CertworkerError):
    code = "acme.no_http01"
    message_template = "{authority} does not offer the HTTP-01 challenge for {name} (offered: {offered})."
    remedy_template = (
        "Set CERTWORKER_DNS01_PROVIDER and CERTWORKER_DNS01_NAMES, so that {name} is validated by DNS-01. Or "
        "set CERTWORKER_AUTHORITY to a CA that offers HTTP-01, for example letsencrypt."
    )
    retry = Retry.CONFIG
    other_ca_may_issue = True


class NoDns01(CertworkerError):
    code = "acme.no_dns01"
    message_template = "{authority} does not offer the DNS-01 challenge for {name} (offered: {offered})."
    remedy_template = "Set CERTWORKER_AUTHORITY to a CA that offers DNS-01, for example letsencrypt."
    retry = Retry.CONFIG
    other_ca_may_issue = True


class OrderNotReady(CertworkerError):
    code = "acme.order_not_ready"
    message_template = "{authority} reports that the order is not ready: {detail}"
    remedy_template = "No action is needed; certworker retries soon."
    retry = Retry.SOON
    severity = Severity.WARNING


class OrderInvalid(CertworkerError):
    code = "acme.order_invalid"
    message_template = "{authority} set the order for {name} to invalid without a reason."
    remedy_template = "No action is needed; certworker places a new order automatically."
    retry = Retry.CA


class PendingTimeout(CertworkerError):
    code = "acme.pending_timeout"
    message_template = "The order for {name} is still {status} at {authority} after {seconds} seconds."
    remedy_template = "No action is needed; certworker retries automatically."
    retry = Retry.SOON
    severity = Severity.WARNING


class BadCsr(CertworkerError):
    code = "acme.bad_csr"
    message_template = "{authority} rejected the certificate signing request: {detail}"
    remedy_template = "Set CERTWORKER_KEY_TYPE=ec256, which most CAs accept, then run: docker compose up -d"
    retry = Retry.CONFIG
    other_ca_may_issue = True


class AuthorizationGone(CertworkerError):
    code = "acme.authorization_gone"
    message_template = "{authority} no longer accepts an earlier validation of the name: {detail}"
    remedy_template = (
        "No action is needed; certworker places a new order, and the CA validates the name again."
    )
    retry = Retry.SOON
    severity = Severity.WARNING


class TlsProblem(ValidationFailure):
    code = "acme.tls"
    message_template = "{name} redirects the CA to HTTPS, and the TLS handshake failed there: {detail}"
    remedy_template = (
        "Enable TLS 1.2 or newer on that server, or exclude /.well-known/acme-challenge/ from the redirect. "
        "Test: curl -kv https://{name}/"
    )


class AlreadyReplaced(CertworkerError):
    code = "acme.already_replaced"
    message_template = "{authority} reports that this certificate has already been replaced."
    remedy_template = "No action is needed; certworker orders again without naming the replaced certificate."
    retry = Retry.SOON
    severity = Severity.WARNING


class InvalidProfile(CertworkerError):
    code = "acme.invalid_profile"
    message_template = "{authority} does not offer the profile of CERTWORKER_PROFILE: {detail}"
    remedy_template = (
        "Set CERTWORKER_PROFILE to a profile of this CA, or leave it empty, then run: docker compose up -d"
    )
    retry = Retry.CONFIG
    other_ca_may_issue = True


class NotOffered(CertworkerError):
    code = "acme.not_offered"
    message_template = "{authority} does not offer this operation: {detail}"
    remedy_template = "Set CERTWORKER_AUTHORITY to a CA that offers it, for example letsencrypt."
    retry = Retry.CONFIG
    other_ca_may_issue = True


class RevocationRefused(CertworkerError):
    code = "acme.not_revoked"
    message_template = "{authority} refused to revoke the certificate: {detail}"
    remedy_template = "The certificate is still valid. Ask the CA to revoke it by its serial number: {serial}"
    retry = Retry.CONFIG


class Malformed(CertworkerError):
    code = "acme.malformed"
    message_template = "{authority} reports a malformed request: {detail}"
    remedy_template = (
        "No action is needed; certworker retries automatically. If this continues for days, report it as a "
        "bug in certworker or in the CA."
    )
    #: The servers of a CA may read from replicas that lag behind.
    retry = Retry.SOON
    other_ca_may_issue = True


class ResourceNotFound(CertworkerError):
    code = "acme.not_found"
    message_template = "{authority} cannot find a resource that it has just created: {detail}"
    remedy_template = "No action is needed; certworker retries soon, with a new order if necessary."
    retry = Retry.SOON
    severity = Severity.WARNING
    other_ca_may_issue = True


class Conflict(CertworkerError):
    code = "acme.conflict"
    message_template = "{authority} is already processing this request: {detail}"
    remedy_template = "No action is needed; certworker retries soon."
    retry = Retry.SOON
    severity = Severity.WARNING


class BadCertificate(CertworkerError):
    code = "acme.bad_cert"
    message_template = "The certificate for {name} is not usable: {reason}."
    remedy_template = "No action is needed; certworker does not store this certificate, and retries soon."
    retry = Retry.SOON

    def __init__(self, *, reason: str, **values: Any) -> None:
        super().__init__(reason=reason, **values)
        #: The reason, for the failure of a stored certificate.
        self.reason = reason


class UnknownProblem(CertworkerError):
    code = "acme.unknown_problem"
    message_template = "{authority} refused the request ({type}): {detail}"
    remedy_template = (
        "No action is needed; certworker retries automatically. If this continues for a day, ask the CA what "
        "the problem means."
    )
    retry = Retry.CA
