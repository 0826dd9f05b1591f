"""
Failures of CAA records (RFC 8659). Codes: caa.*.
"""

from __future__ import annotations

from certworker.errors.failure import PreflightFailure, Severity, ValidationFailure


class CaaForbidden(ValidationFailure):
    code = "caa.forbidden"
    message_template = "The CAA records of {name} do not allow this CA: {detail}"
    remedy_template = (
        'Add a CAA record for the CA; for Let\'s Encrypt: {owner}. CAA 0 issue "letsencrypt.org"'
    )


class CaaLookupFailed(ValidationFailure):
    code = "caa.lookup_failed"
    message_template = (
        "The query for the CAA records of {name} failed, so the CA must refuse to issue: {detail}"
    )
    remedy_template = (
        "Ask the DNS provider to answer CAA queries; see https://letsencrypt.org/docs/caa/. Test: dig CAA "
        "{owner}"
    )


class CaaNotListed(CaaForbidden):
    """
    A preflight check found the failure, and knows the missing record.
    """

    message_template = "The CAA records of {owner} allow only {allowed}, not {authority} ({name})."
    remedy_template = 'Add the record: {owner}. CAA 0 {tag} "{identity}"'


class CaaDenyAll(PreflightFailure):
    code = "caa.deny_all"
    message_template = "The CAA {tag} records of {owner} allow no CA to issue for {name}."
    remedy_template = 'Replace them with the record: {owner}. CAA 0 {tag} "{identity}"'


class CaaMethod(PreflightFailure):
    code = "caa.method"
    message_template = (
        "The CAA record of {owner} allows {authority} to validate {name} only by {methods}, not by {method}."
    )
    remedy_template = (
        'Change the record: {owner}. CAA 0 {tag} "{identity}; validationmethods={methods},{method}"'
    )


class CaaAccount(PreflightFailure):
    code = "caa.account"
    message_template = "The CAA record of {owner} allows only the account {found} for {name}, not {ours}."
    remedy_template = 'Change the record: {owner}. CAA 0 {tag} "{identity}; accounturi={ours}"'


class CaaBeforeAccount(CaaAccount):
    """
    The record has accounturi, but certworker has no account yet.
    """

    message_template = (
        "The CAA record of {owner} allows only the account {found} for {name}, and certworker has none yet."
    )
    remedy_template = (
        "Remove accounturi from the record until the first order has created the account: {owner}. CAA 0 "
        '{tag} "{identity}"'
    )


class CaaUnknownCritical(PreflightFailure):
    code = "caa.critical_unknown"
    message_template = (
        "A critical CAA record of {owner} has an unknown property, so no CA issues for {name}: {record}"
    )
    remedy_template = "Remove the record, or set its flag to 0: {owner}. CAA 0 {record}"


class CaaViaAlias(PreflightFailure):
    code = "caa.via_cname"
    message_template = (
        "{name} is an alias of {owner}, and the CAA records there do not allow {authority}: {detail}"
    )
    remedy_template = (
        "Replace the alias with an A record, or ask the operator of {owner} to add the record: {owner}. CAA "
        '0 {tag} "{identity}"'
    )


class CaaSyntax(PreflightFailure):
    code = "caa.syntax"
    message_template = "A CAA record of {owner} has a syntax error, and CAs treat it as a refusal: {record}"
    remedy_template = 'Correct the record, for example: {owner}. CAA 0 {tag} "{identity}"'
    severity = Severity.WARNING
