"""
Failures of a request: a name no CA would certify, or a job that says something else than it must.

The same job would get the same answer, so no attempt begins and nothing is planned. Each is a warning: the
worker is well, and so is every other name. What a CA or the DNS says of a name is tried again.
"""

from __future__ import annotations

from certworker.errors.failure import CertworkerError, Retry, Severity


class NameFailure(CertworkerError):
    """
    The name cannot stand in a certificate.
    """

    retry = Retry.NEVER
    severity = Severity.WARNING


class PayloadFailure(CertworkerError):
    """
    The job does not say what a job must say.
    """

    retry = Retry.NEVER
    severity = Severity.WARNING


class NameEmpty(NameFailure):
    code = "name.empty"
    says = "The job has no domain."
    cure = "Send the name of the site, for example domain=api.example.org."


class EmptyLabel(NameFailure):
    code = "name.empty_label"
    says = "{name} has an empty part: two dots in a row, or one in front."
    cure = "Send it as {suggestion}."


class InvalidCharacter(NameFailure):
    code = "name.invalid_char"
    says = "{name} cannot be certified: {reason}."
    cure = "Send a name of letters, digits, hyphens and dots, for example api.example.org."


class NameIsUrl(NameFailure):
    code = "name.is_url"
    says = "{name} is an address for a browser, not a name."
    cure = "Send it as {suggestion}."


class NameHasPort(NameFailure):
    code = "name.has_port"
    says = "{name} has a port; a certificate is for the name alone, whatever the port."
    cure = "Send it as {suggestion}."


class NameTooLong(NameFailure):
    code = "name.too_long"
    says = "{name} is too long: {what} has {length} characters, and the limit is {limit}."
    cure = "Send a name of at most 253 characters, each part between the dots at most 63."


class TooManyLabels(NameFailure):
    code = "name.too_many_labels"
    says = "{name} has {count} parts; Let's Encrypt accepts at most {limit}."
    cure = "Send a name with at most {limit} parts between the dots."


class SingleLabel(NameFailure):
    code = "name.single_label"
    says = "{name} is not a public name: it has no dot."
    cure = "Send the full public name, for example {name}.example.org."


class IpAddress(NameFailure):
    code = "name.ip_address"
    says = "{name} cannot be certified as an IP address: {reason}."
    cure = (
        "Send the public address in its plain form, for example 203.0.113.7 or 2001:db8::7, or a name that "
        "points to it, for example api.example.org."
    )


class NoPublicSuffix(NameFailure):
    code = "name.no_public_suffix"
    says = "{name} is a private name: no public CA can certify anything under .{suffix}."
    cure = (
        "Use a registered domain; or, for a CA of your own, set CERTWORKER_AUTHORITY to the URL of its "
        "directory and CERTWORKER_PRIVATE_NETWORK=true"
    )


class IsPublicSuffix(NameFailure):
    code = "name.is_public_suffix"
    says = "{name} belongs to a registry: names are registered under it, not it itself."
    cure = "Send a name under it, for example example.{name}."


class Wildcard(NameFailure):
    code = "name.wildcard"
    says = "{name} is a wildcard: a CA certifies those by DNS-01 only, and certworker answers HTTP-01."
    cure = "Send each name by itself, for example {suggestion}."


class BadIdn(NameFailure):
    code = "name.bad_idn"
    says = "{name} is not a valid international name: {reason}."
    cure = "Send it as {suggestion}."


class ForbiddenByPolicy(NameFailure):
    code = "name.policy"
    says = "{authority} does not certify {name}: {detail}"
    cure = "Send another name, or set CERTWORKER_AUTHORITY to another CA."
    retry = Retry.CONFIG
    elsewhere = True


class NotRegistered(NameFailure):
    code = "name.not_registered"
    says = "{domain}, to which {name} belongs, does not exist in DNS."
    cure = "See that {domain} is registered, has not expired, and has name servers: dig +trace NS {domain}"
    retry = Retry.PREFLIGHT


class PayloadType(PayloadFailure):
    code = "payload.type"
    says = "{field} must be {wanted}."
    cure = 'Send the keyword arguments as in {{"domain": "api.example.org", "force": false}}'


class PayloadAction(PayloadFailure):
    code = "payload.action"
    says = "The message asks for the action {action}, which is none of ours ({known})."
    cure = "Send one of them, or none: then a certificate is generated."


class PayloadMissing(PayloadFailure):
    code = "payload.missing"
    says = "The job names no domain."
    cure = 'Send the keyword argument domain, for example {{"domain": "api.example.org"}}.'


class PayloadNotJson(PayloadFailure):
    code = "payload.json"
    says = "The job's data is not the JSON of a request ({reason})."
    cure = (
        "Send JSON as in docs/reference/queue-protocol.md: "
        '["certworker.issue", null, [], {{"domain": "api.example.org"}}]'
    )


class PayloadPickled(PayloadFailure):
    code = "payload.pickle"
    says = "The job is a pickle, the default of RQ in Python; certworker reads JSON only."
    cure = (
        "Send JSON; in Python: from rq.serializers import JSONSerializer, then "
        'Queue("certificates", connection=redis, serializer=JSONSerializer)'
    )


class PayloadUnknownArgument(PayloadFailure):
    code = "payload.unknown"
    says = "{function} does not take the argument {argument}{hint}"
    cure = "Send no other arguments than: {known}."


class PayloadDuplicateKey(PayloadFailure):
    code = "payload.duplicate_key"
    says = "The job's data has the key {key} twice, and readers differ in which one they believe."
    cure = "Send each key once."


class PayloadEncoding(PayloadFailure):
    code = "payload.encoding"
    says = "The job is not valid UTF-8 text."
    cure = "Send it as JSON in UTF-8."


class PayloadTooLarge(PayloadFailure):
    code = "payload.too_large"
    says = "The job has {size} characters, and the limit is {limit}; it begins with {beginning}."
    cure = "Send the names only: at most 100 in one job."


class TooManyNames(PayloadFailure):
    code = "payload.too_many_names"
    says = "The job has {count} names, and one certificate takes at most {limit}."
    cure = "Send them in several jobs, each with at most {limit} names."
