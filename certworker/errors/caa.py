"""
CAA records (RFC 8659). Codes: caa.*.
"""

from __future__ import annotations

from certworker.errors.failure import PreflightFailure, Severity, ValidationFailure


class CaaForbidden(ValidationFailure):
    code = "caa.forbidden"
    message_template = "A CAA record forbids this CA to certify {name}: {detail}"
    remedy_template = 'Allow the CA; for Let\'s Encrypt add the record: {name}. CAA 0 issue "letsencrypt.org"'


class CaaLookupFailed(ValidationFailure):
    code = "caa.lookup_failed"
    message_template = "The CA must refuse {name}, because the question for its CAA records failed: {detail}"
    remedy_template = "Ask your DNS provider; see https://letsencrypt.org/docs/caa/. Test: dig CAA {name}"


class CaaNotListed(CaaForbidden):
    """
    We know which record is missing.
    """

    message_template = "The CAA records of {owner} allow {allowed} only, not {authority} ({name})."
    remedy_template = 'Add the record: {owner}. CAA 0 issue "{identity}"'


class CaaDenyAll(PreflightFailure):
    code = "caa.deny_all"
    message_template = 'A CAA record of {owner} forbids every CA to certify {name}: 0 issue ";".'
    remedy_template = 'Replace it by the record: {owner}. CAA 0 issue "{identity}"'


class CaaMethod(PreflightFailure):
    code = "caa.method"
    message_template = (
        "The CAA record of {owner} allows {authority} to certify {name} only by {methods}, not by http-01."
    )
    remedy_template = (
        'Change the record: {owner}. CAA 0 issue "{identity}; validationmethods={methods},http-01"'
    )


class CaaAccount(PreflightFailure):
    code = "caa.account"
    message_template = (
        "The CAA record of {owner} allows only the account {found} to certify {name}; ours is {ours}."
    )
    remedy_template = 'Change the record: {owner}. CAA 0 issue "{identity}; accounturi={ours}"'


class CaaUnknownCritical(PreflightFailure):
    code = "caa.critical_unknown"
    message_template = (
        "A CAA record of {owner} says that nobody may certify {name} without understanding it: {record}"
    )
    remedy_template = "Remove the record, or set its flag to 0: {owner}. CAA 0 {record}"


class CaaViaAlias(PreflightFailure):
    code = "caa.via_cname"
    message_template = (
        "{name} is an alias of {owner}, whose CAA records count, and they do not allow {authority}: {detail}"
    )
    remedy_template = (
        "Replace the alias by an A record, or have whoever runs {owner} add the record: "
        '{owner}. CAA 0 issue "{identity}"'
    )


class CaaSyntax(PreflightFailure):
    code = "caa.syntax"
    message_template = "A CAA record of {owner} cannot be understood, and allows nobody anything: {record}"
    remedy_template = 'Write it as in: {owner}. CAA 0 issue "{identity}"'
    severity = Severity.WARNING
