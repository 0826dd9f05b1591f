"""
What the CA refuses in an order. Codes: acme.*.
"""

from __future__ import annotations

from certworker.errors.failure import CertworkerError, Retry, Severity


class BadNonce(CertworkerError):
    code = "acme.bad_nonce"
    message_template = "{authority} refused our nonces again and again."
    remedy_template = (
        "certworker asks again soon; if it stays so, several servers of the CA disagree: tell its operator."
    )
    retry = Retry.SOON
    severity = Severity.WARNING
    other_ca_may_issue = True


class NoHttp01(CertworkerError):
    code = "acme.no_http01"
    message_template = "{authority} does not offer the HTTP-01 challenge for {name}, only: {offered}."
    remedy_template = "Set CERTWORKER_AUTHORITY to a CA that does, for example letsencrypt."
    retry = Retry.CONFIG
    other_ca_may_issue = True


class OrderNotReady(CertworkerError):
    code = "acme.order_not_ready"
    message_template = "{authority} says that the order is not ready yet: {detail}"
    remedy_template = "certworker asks again soon; nothing to do."
    retry = Retry.SOON
    severity = Severity.WARNING


class OrderInvalid(CertworkerError):
    code = "acme.order_invalid"
    message_template = "{authority} gave up the order for {name} and did not say why."
    remedy_template = "certworker orders again by itself; nothing to do."
    retry = Retry.CA


class PendingTimeout(CertworkerError):
    code = "acme.pending_timeout"
    message_template = "The order for {name} is still {status} at {authority} after {seconds} s."
    remedy_template = "The CA is slow; certworker asks again soon. Nothing to do."
    retry = Retry.SOON
    severity = Severity.WARNING


class BadCsr(CertworkerError):
    code = "acme.bad_csr"
    message_template = "{authority} refuses the signing request: {detail}"
    remedy_template = "Set CERTWORKER_KEY_TYPE=ec256, which every CA takes, then run: docker compose up -d"
    retry = Retry.CONFIG
    other_ca_may_issue = True


class AuthorizationGone(CertworkerError):
    code = "acme.authorization_gone"
    message_template = "{authority} no longer counts the domain as ours: {detail}"
    remedy_template = "certworker orders again and is validated anew; nothing to do."
    retry = Retry.SOON
    severity = Severity.WARNING


class TlsProblem(CertworkerError):
    code = "acme.tls"
    message_template = "The CA was sent on to HTTPS at {name} and failed there: {detail}"
    remedy_template = (
        "Let the server there speak TLS 1.2 or newer, or take /.well-known/acme-challenge/ out of the "
        "redirection. Test: curl -kv https://{name}/"
    )
    retry = Retry.CA


class AlreadyReplaced(CertworkerError):
    code = "acme.already_replaced"
    message_template = "{authority} has seen this certificate replaced already."
    remedy_template = "certworker orders once more, as for a new certificate; there is nothing to do."
    retry = Retry.SOON
    severity = Severity.WARNING


class InvalidProfile(CertworkerError):
    code = "acme.invalid_profile"
    message_template = "{authority} does not offer what CERTWORKER_PROFILE asks for: {detail}"
    remedy_template = (
        "Set CERTWORKER_PROFILE to a profile that it has, or leave it empty, then run: docker compose up -d"
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
    message_template = "{authority} refuses to revoke the certificate: {detail}"
    remedy_template = "The certificate is still valid. Ask the CA to revoke it by its serial number: {serial}"
    retry = Retry.CONFIG


class Malformed(CertworkerError):
    code = "acme.malformed"
    message_template = "{authority} could not read our request: {detail}"
    remedy_template = (
        "certworker retries automatically. If the message comes back for days, report it as a fault of "
        "certworker or of the CA."
    )
    #: Servers of a CA may read from replicas that do not have yet what another server has just made.
    retry = Retry.SOON
    other_ca_may_issue = True


class ResourceNotFound(CertworkerError):
    code = "acme.not_found"
    message_template = "{authority} does not find what it has just made: {detail}"
    remedy_template = "certworker retries soon, with a new order if needed. No action is needed."
    retry = Retry.SOON
    severity = Severity.WARNING
    other_ca_may_issue = True


class Conflict(CertworkerError):
    code = "acme.conflict"
    message_template = "{authority} is already processing this request: {detail}"
    remedy_template = "certworker retries soon. No action is needed."
    retry = Retry.SOON
    severity = Severity.WARNING


class BadCertificate(CertworkerError):
    code = "acme.bad_cert"
    message_template = "The certificate for {name} is not usable: {reason}."
    remedy_template = (
        "Nothing was installed and the old certificate serves on; certworker will ask the CA again."
    )
    retry = Retry.SOON


class UnknownProblem(CertworkerError):
    code = "acme.unknown_problem"
    message_template = "{authority} refuses ({type}): {detail}"
    remedy_template = "certworker asks again by itself; if it stays so, ask the CA what it means."
    retry = Retry.CA
