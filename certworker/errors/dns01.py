"""
Failures of DNS-01: the TXT record of a challenge, and the DNS provider that creates it. Codes: dns01.*.
"""

from __future__ import annotations

from certworker.errors.failure import CertworkerError, Retry


class NotConfigured(CertworkerError):
    code = "dns01.not_configured"
    message_template = "{name} needs DNS-01, but no DNS provider is set for the zone {zone}."
    remedy_template = "Add a provider for {zone} to CERTWORKER_DNS01_PROVIDER, for example rfc2136@{zone}"
    retry = Retry.CONFIG


class NotVisible(CertworkerError):
    code = "dns01.not_visible"
    message_template = "The TXT record {record} for {name} is not visible at {servers}: {detail}"
    remedy_template = (
        "Check that these servers serve the zone and receive its changes: dig TXT {record} @SERVER. "
        "If they are slow, raise CERTWORKER_DNS01_TIMEOUT."
    )
    retry = Retry.CA
