"""
Invalid settings. Codes: config.*.
"""

from __future__ import annotations

from collections.abc import Sequence

from certworker.errors.failure import CertworkerError, Retry, Severity


class ConfigurationFailure(CertworkerError):
    """
    The operator must change a setting.
    """

    retry = Retry.CONFIG


class InvalidSettings(ConfigurationFailure):
    """
    Some variables have invalid values.

    Attributes:
        findings: One sentence for each variable, with the allowed values but without the given value.
    """

    code = "config.invalid"
    message_template = "The configuration has invalid values ({count})."
    remedy_template = "Correct the values in .env, then run: docker compose up -d"
    severity = Severity.FATAL

    def __init__(self, findings: Sequence[str]) -> None:
        super().__init__(count=len(findings))
        self.findings = tuple(findings)
        # The message shows all findings in full: one edit can correct them all, and they contain no text from
        # others.
        self.message = " ".join([self.message, *(f"{finding}." for finding in findings)])


class NotProduction(ConfigurationFailure):
    code = "config.not_production"
    message_template = "{authority} counts as a public CA, and _APP_ENV is not production."
    remedy_template = (
        "Set _APP_ENV=production in .env, or CERTWORKER_PRIVATE_NETWORK=true for a private CA, then run: "
        "docker compose up -d"
    )


class EmailMissing(ConfigurationFailure):
    code = "config.email_missing"
    message_template = (
        "certworker uses a public CA only with a contact address, and _APP_EMAIL_CERTIFICATES is empty."
    )
    remedy_template = (
        "Set _APP_EMAIL_CERTIFICATES=you@yourdomain in .env, and pass it to this service in "
        "the Compose file, then run: docker compose up -d"
    )


class EmailInvalid(ConfigurationFailure):
    code = "config.email_invalid"
    message_template = "The CA does not accept the contact address in _APP_EMAIL_CERTIFICATES: {reason}."
    remedy_template = "Set _APP_EMAIL_CERTIFICATES to a mailbox that you read, then run: docker compose up -d"


class DomainIsLocalhost(ConfigurationFailure):
    code = "config.domain_localhost"
    message_template = "{name} is this machine itself, and no public CA issues a certificate for it."
    remedy_template = (
        "Set _APP_DOMAIN to the public name of this server, or set CERTWORKER_AUTHORITY=development."
    )
    severity = Severity.WARNING


class WouldReplacePublic(ConfigurationFailure):
    code = "config.would_replace_public"
    message_template = "{name} has a valid certificate from {current}, which {authority} must not replace."
    remedy_template = (
        "Set CERTWORKER_AUTHORITY and _APP_ENV back to the values for the public CA, or remove the "
        "certificate first: certworker remove {name}"
    )


class WrongCaUrl(ConfigurationFailure):
    code = "config.wrong_ca_url"
    message_template = "{url} is not an ACME directory ({found})."
    remedy_template = (
        "Set CERTWORKER_AUTHORITY to the URL of the CA's directory. Show the current response: curl -v {url}"
    )
    other_ca_may_issue = True


class AddressNotUsable(ConfigurationFailure):
    code = "config.http_address"
    message_template = "Cannot listen on {address}: {reason}."
    remedy_template = "Set {variable} to an address of this machine and a free port."
    severity = Severity.FATAL


class AddressInUse(AddressNotUsable):
    """
    Another program listens on the address.
    """

    message_template = "Cannot listen on {address}: another program uses it."
    remedy_template = "Stop the other program, or set {variable} to another address or port."


class AddressElsewhere(AddressNotUsable):
    """
    The address does not belong to this machine, such as the public address of a cloud host.
    """

    message_template = "Cannot listen on {address}: this machine or container does not have the address."
    remedy_template = (
        "Set {variable} to an address of this machine or container, or to all its addresses: "
        "{variable}=0.0.0.0:{port}"
    )


class PortForbidden(AddressNotUsable):
    """
    Only root may use the port.
    """

    message_template = "Cannot listen on {address}: the user of certworker may not use this port ({reason})."
    remedy_template = "Set {variable} to an address with a port of at least 1024, for example 0.0.0.0:8080."
