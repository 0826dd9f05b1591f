"""
Failures of DNS-01: the TXT record of a challenge, and the DNS provider that creates it. Codes: dns01.*.
"""

from __future__ import annotations

from certworker.errors.failure import CertworkerError, PreflightFailure, Retry, Severity, ValidationFailure


class NotConfigured(CertworkerError):
    code = "dns01.not_configured"
    message_template = "{name} needs DNS-01, but no DNS provider is set for the zone {zone}."
    remedy_template = "Add a provider for {zone} to CERTWORKER_DNS01_PROVIDER, for example rfc2136@{zone}"
    retry = Retry.CONFIG


class NotVisible(ValidationFailure):
    code = "dns01.not_visible"
    message_template = "The TXT record {record} for {name} is not visible at {servers}: {detail}"
    remedy_template = (
        "Check that these servers serve the zone and receive its changes: dig TXT {record} @SERVER. "
        "If they are slow, raise CERTWORKER_DNS01_TIMEOUT."
    )


class CredentialsRejected(CertworkerError):
    code = "dns01.credentials"
    message_template = "The DNS provider {provider} rejects the credentials: {reason}"
    remedy_template = "Correct {variables} in .env, then run: docker compose up -d"
    retry = Retry.CONFIG


class ClocksDiffer(CredentialsRejected):
    """
    The signature of an update contains the time (RFC 8945, section 5.2.3).
    """

    message_template = (
        "The name server of {provider} rejects the signature, because its clock and the clock of this "
        "machine differ by minutes."
    )
    remedy_template = "Synchronize both clocks with NTP. Show the clock of this machine: date -u"
    retry = Retry.PREFLIGHT


class ChangeForbidden(CertworkerError):
    code = "dns01.forbidden"
    message_template = "The DNS provider {provider} does not allow a change to {fqdn}: {reason}"
    remedy_template = (
        "Allow the account or the key of {variables} to create and delete TXT records in the zone {zone}."
    )
    retry = Retry.PREFLIGHT


class UpdateRefused(ChangeForbidden):
    """
    The access rules of the name server do not allow the dynamic update.
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
    The program in EXEC_PATH failed. Its output may contain secrets, so the failure does not show it.
    """

    message_template = "The program {program} in EXEC_PATH failed at {action} for {fqdn}: {reason}"
    remedy_template = "Run it to see its output: docker compose exec SERVICE {program} {action} {fqdn}. test"


class CnameElsewhere(PreflightFailure):
    code = "dns01.cname_elsewhere"
    message_template = "certworker cannot create a record at the end of the CNAME of {name}: {detail}."
    remedy_template = (
        "Change the CNAME so that it leads to a zone of a configured DNS provider, or delete it. Test: "
        "dig +short CNAME {name}"
    )


class LeftBehind(CertworkerError):
    code = "dns01.left_behind"
    message_template = "The TXT record {value} of {fqdn} in the zone {zone} was not deleted: {reason}."
    remedy_template = (
        "No action is needed if certworker deletes it later; otherwise delete it at the DNS provider. Test: "
        "dig TXT {fqdn}"
    )
    retry = Retry.SOON
    severity = Severity.WARNING


class ZoneBusy(CertworkerError):
    """
    An order did not get the lock on a zone in time.
    """

    code = "dns01.zone_busy"
    message_template = "Other orders have been changing the zone {zone} for more than {seconds} s."
    remedy_template = (
        "No action is needed. If this repeats, measure how long the DNS provider takes: certworker doctor "
        "{zone}"
    )
    retry = Retry.SOON
    severity = Severity.WARNING


class ZoneLockLost(ZoneBusy):
    """
    The lock on the zone ended during the change, because the worker was frozen or Redis lost the lock.
    """

    message_template = "This worker lost its lock on the zone {zone} before it created the record {fqdn}."
    remedy_template = (
        "No action is needed. If this repeats, check whether the machine freezes or has too little memory: "
        "certworker doctor"
    )


class ProviderRateLimited(CertworkerError):
    code = "dns01.rate_limited"
    message_template = "The DNS provider {provider} accepts no more requests before {moment}."
    remedy_template = (
        "No action is needed; certworker waits until then. If this repeats, ask the provider for a higher "
        "limit."
    )
    retry = Retry.UNTIL


class AccountMissing(ZoneMissing):
    """
    The name has no acme-dns account. Each name needs its own account.
    """

    message_template = "The account file {path} of acme-dns does not have an account for {fqdn}."
    remedy_template = (
        "Register the name, and create the CNAME record that the command prints: certworker dns register NAME"
    )


class AccountsUnreadable(CredentialsRejected):
    """
    The account file of acme-dns, which contains the passwords, is unreadable.
    """

    message_template = "The account file {path} of acme-dns cannot be read: {reason}"
    remedy_template = (
        "Set ACME_DNS_STORAGE_PATH to the account file, or register a name, which creates it: certworker dns "
        "register NAME"
    )
    retry = Retry.PREFLIGHT


class AccountRejected(CredentialsRejected):
    """
    The acme-dns server does not accept the account of the name, for example after it has lost its accounts.
    """

    message_template = "The server {provider} rejects the account of {name} in the file {path}: {reason}"
    remedy_template = (
        "Remove the account of {name} from the file, register the name again, and change its CNAME record: "
        "certworker dns register {name}"
    )
    retry = Retry.PREFLIGHT


class RegistrationRefused(ProviderFailed):
    """
    The acme-dns server does not register an account.
    """

    message_template = "The server {provider} does not register an account for {name}: {reason}"
    remedy_template = (
        "Check ACME_DNS_API_BASE, and allow the registration at the server: disable_registration = false"
    )


class ExtraMissing(ProviderFailed):
    """
    The provider needs additional packages of dns-lexicon.
    """

    message_template = "The DNS provider {provider} needs Python packages that are not installed ({reason})."
    remedy_template = "Install them: pip install 'certworker[lexicon]' 'dns-lexicon[{name}]'"
    retry = Retry.CONFIG


class HidesWildcard(CertworkerError):
    code = "dns01.hides_wildcard"
    message_template = (
        "{name} resolves only through {wildcard}. During the validation, it does not resolve, because the "
        "TXT record is below {name}."
    )
    remedy_template = (
        "Use a certificate for {wildcard}, or create an A or CNAME record for {name}. Test: dig {name}"
    )
    retry = Retry.CONFIG
    severity = Severity.WARNING
