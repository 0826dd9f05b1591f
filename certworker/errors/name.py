"""
Names for which certworker orders no certificate. Codes: name.*.
"""

from __future__ import annotations

from certworker.errors.failure import CertworkerError, Retry, Severity


class NameFailure(CertworkerError):
    """
    certworker orders no certificate for the name.
    """

    retry = Retry.NEVER
    severity = Severity.WARNING


class NameEmpty(NameFailure):
    code = "name.empty"
    message_template = "The request has no name."
    remedy_template = "Send the name of the site, for example domain=api.example.org."


class EmptyLabel(NameFailure):
    code = "name.empty_label"
    message_template = "{name} has two dots in a row, or begins with a dot."
    remedy_template = "Send it as {suggestion}."


class InvalidCharacter(NameFailure):
    code = "name.invalid_char"
    message_template = "{name} is not a valid name: {reason}."
    remedy_template = "Send a name of letters, digits, hyphens and dots, for example api.example.org."


class NameIsUrl(NameFailure):
    code = "name.is_url"
    message_template = "{name} is a URL, not a name."
    remedy_template = "Send it as {suggestion}."


class NameHasPort(NameFailure):
    code = "name.has_port"
    message_template = "{name} has a port, but a certificate is valid for all ports of a name."
    remedy_template = "Send it as {suggestion}."


class NameTooLong(NameFailure):
    code = "name.too_long"
    message_template = "{name} is too long: {what} has {length} characters, and the limit is {limit}."
    remedy_template = "Send a shorter name: at most 253 characters, with at most 63 in each label."


class TooManyLabels(NameFailure):
    code = "name.too_many_labels"
    message_template = "{name} has {count} labels, and certworker accepts at most {limit}."
    remedy_template = "Send a name with at most {limit} labels, which are the parts that dots separate."


class SingleLabel(NameFailure):
    code = "name.single_label"
    message_template = "{name} is not a public name, because it has no dot."
    remedy_template = "Send the full public name, for example {name}.example.org."


class IpAddress(NameFailure):
    code = "name.ip_address"
    message_template = "{name} is not a valid IP address for a certificate: {reason}."
    remedy_template = (
        "Send a public address in its usual form (203.0.113.7 or 2001:db8::7), or a name such as "
        "api.example.org."
    )


class NoPublicSuffix(NameFailure):
    code = "name.no_public_suffix"
    message_template = (
        "{name} is not a public name, and no public CA issues certificates for names under .{suffix}."
    )
    remedy_template = (
        "Use a registered domain. For a private CA, set CERTWORKER_AUTHORITY to the URL of its directory and "
        "CERTWORKER_PRIVATE_NETWORK=true"
    )


class IsPublicSuffix(NameFailure):
    code = "name.is_public_suffix"
    message_template = "{name} is a public suffix, and CAs issue certificates only for names below it."
    remedy_template = "Send a name below it, for example example.{name}."


class Wildcard(NameFailure):
    code = "name.wildcard"
    message_template = "{name} is a wildcard, which needs DNS-01, but no DNS provider is set."
    remedy_template = (
        "Set CERTWORKER_DNS01_PROVIDER to the DNS provider of the domain, for example rfc2136, or send each "
        "name separately, for example {suggestion}."
    )


class WildcardOfSuffix(NameFailure):
    code = "name.wildcard_of_suffix"
    message_template = "{name} is the wildcard of a public suffix, and no CA issues a certificate for it."
    remedy_template = "Request the wildcard of your own domain, for example *.example.{suffix}."


class BadIdn(NameFailure):
    code = "name.bad_idn"
    message_template = "{name} is not a valid internationalized name: {reason}."
    remedy_template = "Send it as {suggestion}."


class ForbiddenByPolicy(NameFailure):
    code = "name.policy"
    message_template = "The policy of {authority} excludes {name}: {detail}"
    remedy_template = "Send another name, or set CERTWORKER_AUTHORITY to another CA."
    retry = Retry.CONFIG
    other_ca_may_issue = True


class NotRegistered(NameFailure):
    code = "name.not_registered"
    message_template = "The domain {domain} of {name} does not exist in DNS."
    remedy_template = (
        "Check that {domain} is registered, has not expired, and has name servers: dig +trace NS {domain}"
    )
    retry = Retry.PREFLIGHT
