"""
The proxy in front of the applications. Codes: proxy.*.
"""

from __future__ import annotations

from certworker.errors.failure import CertworkerError, Retry, Severity


class ProxyDefaultCert(CertworkerError):
    code = "proxy.default_cert"
    message_template = (
        "The certificate of {name} is stored, but Traefik at {proxy} still shows the default of its own."
    )
    remedy_template = (
        "Mount the same volumes in both services, and start Traefik with --providers.file.watch=true and "
        "--providers.file.directory={directory}; then run: docker compose up -d traefik"
    )
    retry = Retry.CONFIG


class ProxyNoCert(ProxyDefaultCert):
    """
    It refuses the name in the handshake, as with sniStrict.
    """

    message_template = "The certificate of {name} is stored, but Traefik at {proxy} shows none ({reason})."


class ProxyOldCert(CertworkerError):
    code = "proxy.old_cert"
    message_template = "The certificate of {name} is stored, but Traefik at {proxy} still shows another one."
    remedy_template = "Let it read {directory} again: docker compose kill -s HUP traefik"
    retry = Retry.CONFIG


class ProxyYamlBroken(CertworkerError):
    code = "proxy.yaml_broken"
    message_template = "{path} cannot be read ({reason}), and Traefik then ignores its whole directory."
    remedy_template = "Mend it, or take it away: mv {path} {path}.broken"
    retry = Retry.CONFIG


class ProxyOtherTerminator(CertworkerError):
    code = "proxy.other_terminator"
    message_template = (
        "Visitors of {name} ({address}) see a certificate of another proxy (issuer {issuer}), not ours."
    )
    remedy_template = (
        "Nothing to do if that proxy is wanted; ours then counts between it and Traefik only. See it: "
        "curl -v https://{name}/"
    )
    retry = Retry.CONFIG
    severity = Severity.WARNING


class ProxyUnreachable(CertworkerError):
    code = "proxy.unreachable"
    message_template = "Nobody could be asked at {proxy} which certificate is shown there: {reason}."
    remedy_template = (
        "See that Traefik runs: docker compose ps traefik. If it speaks TLS elsewhere, set "
        "CERTWORKER_PROXY_ADDRESS to that address, or to off"
    )
    retry = Retry.CONFIG
    severity = Severity.WARNING
