"""
Names that no certificate can have. Codes: name.*.
"""

from __future__ import annotations

from certworker.errors.failure import CertworkerError, Retry, Severity


class NameFailure(CertworkerError):
    """
    The name cannot stand in a certificate.
    """

    retry = Retry.NEVER
    severity = Severity.WARNING


class NameEmpty(NameFailure):
    code = "name.empty"
    message_template = "The job has no domain."
    remedy_template = "Send the name of the site, for example domain=api.example.org."


class EmptyLabel(NameFailure):
    code = "name.empty_label"
    message_template = "{name} has an empty part: two dots in a row, or one in front."
    remedy_template = "Send it as {suggestion}."


class InvalidCharacter(NameFailure):
    code = "name.invalid_char"
    message_template = "{name} cannot be certified: {reason}."
    remedy_template = "Send a name of letters, digits, hyphens and dots, for example api.example.org."


class NameIsUrl(NameFailure):
    code = "name.is_url"
    message_template = "{name} is an address for a browser, not a name."
    remedy_template = "Send it as {suggestion}."


class NameHasPort(NameFailure):
    code = "name.has_port"
    message_template = "{name} has a port; a certificate is for the name alone, whatever the port."
    remedy_template = "Send it as {suggestion}."


class NameTooLong(NameFailure):
    code = "name.too_long"
    message_template = "{name} is too long: {what} has {length} characters, and the limit is {limit}."
    remedy_template = "Send a name of at most 253 characters, each part between the dots at most 63."


class TooManyLabels(NameFailure):
    code = "name.too_many_labels"
    message_template = "{name} has {count} parts; Let's Encrypt accepts at most {limit}."
    remedy_template = "Send a name with at most {limit} parts between the dots."


class SingleLabel(NameFailure):
    code = "name.single_label"
    message_template = "{name} is not a public name: it has no dot."
    remedy_template = "Send the full public name, for example {name}.example.org."


class IpAddress(NameFailure):
    code = "name.ip_address"
    message_template = "{name} cannot be certified as an IP address: {reason}."
    remedy_template = (
        "Send the public address in its plain form, for example 203.0.113.7 or 2001:db8::7, or a name that "
        "points to it, for example api.example.org."
    )


class NoPublicSuffix(NameFailure):
    code = "name.no_public_suffix"
    message_template = "{name} is a private name: no public CA can certify anything under .{suffix}."
    remedy_template = (
        "Use a registered domain; or, for a CA of your own, set CERTWORKER_AUTHORITY to the URL of its "
        "directory and CERTWORKER_PRIVATE_NETWORK=true"
    )


class IsPublicSuffix(NameFailure):
    code = "name.is_public_suffix"
    message_template = "{name} belongs to a registry: names are registered under it, not it itself."
    remedy_template = "Send a name under it, for example example.{name}."


class Wildcard(NameFailure):
    code = "name.wildcard"
    message_template = (
        "{name} is a wildcard: a CA certifies those by DNS-01 only, and certworker answers HTTP-01."
    )
    remedy_template = "Send each name by itself, for example {suggestion}."


class BadIdn(NameFailure):
    code = "name.bad_idn"
    message_template = "{name} is not a valid international name: {reason}."
    remedy_template = "Send it as {suggestion}."


class ForbiddenByPolicy(NameFailure):
    code = "name.policy"
    message_template = "{authority} does not certify {name}: {detail}"
    remedy_template = "Send another name, or set CERTWORKER_AUTHORITY to another CA."
    retry = Retry.CONFIG
    other_ca_may_issue = True


class NotRegistered(NameFailure):
    code = "name.not_registered"
    message_template = "{domain}, to which {name} belongs, does not exist in DNS."
    remedy_template = (
        "See that {domain} is registered, has not expired, and has name servers: dig +trace NS {domain}"
    )
    retry = Retry.PREFLIGHT
