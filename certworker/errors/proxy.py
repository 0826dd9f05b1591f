"""
Failures of the proxy in front of the applications. Codes: proxy.*.
"""

from __future__ import annotations

from certworker.errors.failure import CertworkerError, Retry, Severity


class ProxyDefaultCert(CertworkerError):
    code = "proxy.default_cert"
    message_template = (
        "Traefik at {proxy} serves its default certificate for {name} instead of the stored certificate."
    )
    remedy_template = (
        "Mount the same volumes in both services, start Traefik with --providers.file.watch=true and "
        "--providers.file.directory={directory}, then run: docker compose up -d traefik"
    )
    retry = Retry.CONFIG


class ProxyNoCert(ProxyDefaultCert):
    """
    The TLS handshake with Traefik fails, for example because of sniStrict.
    """

    message_template = (
        "Traefik at {proxy} serves no certificate for {name} ({reason}), although a certificate is stored."
    )


class ProxyOldCert(CertworkerError):
    code = "proxy.old_cert"
    message_template = "Traefik at {proxy} serves a certificate for {name} that differs from the stored one."
    remedy_template = "Restart Traefik, which then reads {directory} again: docker compose restart traefik"
    retry = Retry.CONFIG


class ProxyYamlBroken(CertworkerError):
    code = "proxy.yaml_broken"
    message_template = "Cannot read {path} ({reason}), so Traefik ignores the whole directory."
    remedy_template = "Correct the file, or rename it: docker compose exec SERVICE mv {path} {path}.broken"
    retry = Retry.CONFIG


class ProxyOtherTerminator(CertworkerError):
    code = "proxy.other_terminator"
    message_template = (
        "Visitors to {name} ({address}) get a certificate from another proxy (issuer: {issuer})."
    )
    remedy_template = (
        "No action is needed if that proxy is intended; the certificate of certworker is then used only "
        "behind it. Test: curl -v https://{name}/"
    )
    retry = Retry.CONFIG
    severity = Severity.WARNING


class ProxyUnreachable(CertworkerError):
    code = "proxy.unreachable"
    message_template = "Cannot connect to {proxy} to verify the served certificate: {reason}."
    remedy_template = (
        "Check that Traefik is running: docker compose ps traefik. If it serves TLS at another address, set "
        "CERTWORKER_PROXY_ADDRESS to that address or to off"
    )
    retry = Retry.CONFIG
    severity = Severity.WARNING


class ManyCertificates(CertworkerError):
    code = "proxy.many_certificates"
    message_template = (
        "{directory} has {count} certificates: after each change, Traefik needs about {seconds} s of "
        "processor time to read them."
    )
    remedy_template = (
        "Let Caddy or HAProxy serve the certificates. Or use fewer of them: a wildcard, or one for several "
        "names: certworker request --together NAME NAME"
    )
    retry = Retry.CONFIG
    severity = Severity.WARNING
