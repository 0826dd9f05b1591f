"""
A CA that is away, or is none. Codes: ca.*, net.*.
"""

from __future__ import annotations

from certworker.errors.failure import CertworkerError, Retry, Severity


class ServerInternal(CertworkerError):
    code = "ca.server_internal"
    message_template = "{authority} has an internal problem: {detail}"
    remedy_template = "It is not your fault; certworker asks again soon. For Let's Encrypt see https://letsencrypt.status.io"
    retry = Retry.SOON
    severity = Severity.WARNING
    other_ca_may_issue = True


class Maintenance(CertworkerError):
    code = "ca.maintenance"
    message_template = "{authority} is down for maintenance: {detail}"
    remedy_template = "certworker asks again soon. For Let's Encrypt see https://letsencrypt.status.io"
    retry = Retry.SOON
    severity = Severity.WARNING
    other_ca_may_issue = True


class CaUnreachable(CertworkerError):
    code = "ca.unreachable"
    message_template = "{host} did not answer: {reason}"
    remedy_template = (
        "certworker asks again soon. If it stays so, let this container out to it (firewall, HTTPS_PROXY, "
        "MTU of the Docker network). Test: curl -v https://{host}/"
    )
    retry = Retry.SOON
    severity = Severity.WARNING
    other_ca_may_issue = True


class NotAcme(CertworkerError):
    code = "ca.not_json"
    message_template = "{host} answered with something that is not ACME ({found})."
    remedy_template = "Is a proxy or a captive portal in between? See what it says: curl -v https://{host}/"
    retry = Retry.SOON
    other_ca_may_issue = True


class SecondaryRpcFailed(CertworkerError):
    code = "ca.secondary_rpc"
    message_template = "{authority} could not reach its own remote validators."
    remedy_template = "It is not your fault; certworker asks again soon."
    retry = Retry.SOON
    severity = Severity.WARNING
    other_ca_may_issue = True


class TlsIntercepted(CertworkerError):
    code = "net.tls_intercept"
    message_template = "The certificate of {host} cannot be verified: {reason}"
    remedy_template = (
        "See that the clock is right (date) and that no proxy intercepts TLS. For a CA or a proxy with a "
        "root of its own set CERTWORKER_CA_BUNDLE=/path/to/root.pem"
    )
    retry = Retry.SOON
    severity = Severity.FATAL
    other_ca_may_issue = True
