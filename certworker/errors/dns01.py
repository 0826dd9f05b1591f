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


class CredentialsRejected(CertworkerError):
    code = "dns01.credentials"
    message_template = "The DNS provider {provider} rejects the credentials: {reason}"
    remedy_template = "Correct {variables} in .env, then run: docker compose up -d"
    retry = Retry.CONFIG


class ClocksDiffer(CredentialsRejected):
    """
    The signature of an update has a time (RFC 8945, section 5.2.3).
    """

    message_template = (
        "The name server of {provider} rejects the signature, because its clock and this one differ by "
        "minutes."
    )
    remedy_template = "Synchronize both clocks by NTP. Show this one: date -u"
    retry = Retry.PREFLIGHT


class ChangeForbidden(CertworkerError):
    code = "dns01.forbidden"
    message_template = "The DNS provider {provider} does not allow a change of {fqdn}: {reason}"
    remedy_template = (
        "Allow the account or the key of {variables} to create and delete TXT records in the zone {zone}."
    )
    retry = Retry.PREFLIGHT


class UpdateRefused(ChangeForbidden):
    """
    The access rules of a name server decide about dynamic updates.
    """

    remedy_template = (
        "Allow updates by the key {key} in the configuration of the zone {zone}. For BIND: update-policy "
        "{{ grant {key} zonesub TXT; }};"
    )


class ZoneMissing(CertworkerError):
    code = "dns01.no_zone"
    message_template = "The DNS provider {provider} does not have the zone {zone}: {reason}"
    remedy_template = (
        "Create the zone {zone} there, or set the provider that has it: "
        "CERTWORKER_DNS01_PROVIDER=PROVIDER@{zone}"
    )
    retry = Retry.PREFLIGHT


class ProviderFailed(CertworkerError):
    code = "dns01.provider_failed"
    message_template = "The DNS provider {provider} did not change {fqdn}: {reason}"
    remedy_template = "Check that {provider} works, and that this machine can connect to it."
    retry = Retry.SOON


class ProgramFailed(ProviderFailed):
    """
    Its output may have secrets in it, so that no failure shows it.
    """

    message_template = "The program {program} of EXEC_PATH failed at {action} for {fqdn}: {reason}"
    remedy_template = (
        "Run it to see its output: docker compose exec appwrite-worker-certificates {program} {action} "
        "{fqdn}. test"
    )
