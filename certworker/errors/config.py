"""
Wrong settings. Codes: config.*.
"""

from __future__ import annotations

from collections.abc import Sequence

from certworker.errors.failure import CertworkerError, Retry, Severity


class ConfigurationFailure(CertworkerError):
    """
    Nothing will change before an operator changes a setting.
    """

    retry = Retry.CONFIG


class InvalidSettings(ConfigurationFailure):
    """
    Some variables have values that are not allowed.

    Attributes:
        findings: One sentence for each, with what is allowed; none has the value that was given.
    """

    code = "config.invalid"
    message_template = "The configuration has wrong values ({count})."
    remedy_template = "Correct them in .env, then run: docker compose up -d"
    severity = Severity.FATAL

    def __init__(self, findings: Sequence[str]) -> None:
        super().__init__(count=len(findings))
        self.findings = tuple(findings)
        # All of them: this is no foreign text, and whoever corrects one wants to see the next.
        self.message = " ".join([self.message, *(f"{finding}." for finding in findings)])


class NotProduction(ConfigurationFailure):
    code = "config.not_production"
    message_template = "{authority} counts as a public CA, and _APP_ENV is not production."
    remedy_template = (
        "Set _APP_ENV=production in .env, or CERTWORKER_PRIVATE_NETWORK=true if it is a CA of your own. "
        "Then run: docker compose up -d"
    )


class EmailMissing(ConfigurationFailure):
    code = "config.email_missing"
    message_template = "There is no e-mail address for certificates, and a public CA wants one as contact."
    remedy_template = (
        "Set _APP_EMAIL_CERTIFICATES=you@yourdomain in .env, see that docker-compose.yml passes it to this "
        "service, then run: docker compose up -d"
    )


class EmailInvalid(ConfigurationFailure):
    code = "config.email_invalid"
    message_template = "The e-mail address for certificates will be refused by the CA: {reason}."
    remedy_template = "Set _APP_EMAIL_CERTIFICATES to a mailbox that you read, then run: docker compose up -d"


class DomainIsLocalhost(ConfigurationFailure):
    code = "config.domain_localhost"
    message_template = "{name} is this machine only: no public CA can certify it."
    remedy_template = (
        "Set _APP_DOMAIN to the public name of this server, or CERTWORKER_AUTHORITY=development."
    )
    severity = Severity.WARNING


class WouldReplacePublic(ConfigurationFailure):
    code = "config.would_replace_public"
    message_template = "{name} has a valid certificate of {current}, which {authority} may not replace."
    remedy_template = (
        "Set CERTWORKER_AUTHORITY and _APP_ENV back to the public CA, or remove the certificate first."
    )


class WrongCaUrl(ConfigurationFailure):
    code = "config.wrong_ca_url"
    message_template = "{url} did not answer as an ACME directory ({found})."
    remedy_template = (
        "Set CERTWORKER_AUTHORITY to the URL of the CA's directory. See what it says: curl -v {url}"
    )
    other_ca_may_issue = True


class AddressNotUsable(ConfigurationFailure):
    code = "config.http_address"
    message_template = "Cannot listen on {address}: {reason}."
    remedy_template = (
        "End the other program, or set CERTWORKER_HTTP_ADDRESS or CERTWORKER_METRICS_ADDRESS to another "
        "address, such as 0.0.0.0:8081."
    )
    severity = Severity.FATAL
