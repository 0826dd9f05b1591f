"""
Failures of the CA itself, and of the connection to it. Codes: ca.*, net.*.
"""

from __future__ import annotations

from certworker.errors.failure import CertworkerError, Retry, Severity


class ServerInternal(CertworkerError):
    code = "ca.server_internal"
    message_template = "{authority} has an internal error: {detail}"
    remedy_template = (
        "No action is needed; certworker retries soon. For Let's Encrypt, check https://letsencrypt.status.io"
    )
    retry = Retry.SOON
    severity = Severity.WARNING
    other_ca_may_issue = True


class Maintenance(CertworkerError):
    code = "ca.maintenance"
    message_template = "{authority} is down for maintenance: {detail}"
    remedy_template = (
        "No action is needed; certworker retries soon. For Let's Encrypt, check https://letsencrypt.status.io"
    )
    retry = Retry.SOON
    severity = Severity.WARNING
    other_ca_may_issue = True


class CaUnreachable(CertworkerError):
    code = "ca.unreachable"
    message_template = "{host} did not respond: {reason}"
    remedy_template = (
        "No action is needed; certworker retries soon. If this continues, allow connections from this "
        "container to the CA (firewall, HTTPS_PROXY, MTU of the Docker network). Test: curl -v "
        "https://{host}/"
    )
    retry = Retry.SOON
    severity = Severity.WARNING
    other_ca_may_issue = True


class NotAcme(CertworkerError):
    code = "ca.not_json"
    message_template = "The response from {host} is not an ACME response ({found})."
    remedy_template = (
        "Check whether a proxy or a captive portal responds instead of the CA: curl -v https://{host}/"
    )
    retry = Retry.SOON
    other_ca_may_issue = True


class SecondaryRpcFailed(CertworkerError):
    code = "ca.secondary_rpc"
    message_template = "{authority} cannot reach its own remote validation servers."
    remedy_template = "No action is needed; certworker retries soon."
    retry = Retry.SOON
    severity = Severity.WARNING
    other_ca_may_issue = True


class TlsIntercepted(CertworkerError):
    code = "net.tls_intercept"
    message_template = "Cannot verify the certificate of {host}: {reason}"
    remedy_template = (
        "Check the clock (date), and check that no proxy intercepts TLS. For a private CA or an intercepting "
        "proxy, set CERTWORKER_CA_BUNDLE=/path/to/root.pem"
    )
    retry = Retry.SOON
    severity = Severity.FATAL
    other_ca_may_issue = True
