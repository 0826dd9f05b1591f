"""
Failures that our own questions to DNS can tell: which record is wrong, what it says, and what it must say.
"""

from __future__ import annotations

from certworker.errors.failure import CertworkerError, Retry, Severity
from certworker.errors.reach import CaaForbids, CheckFailure, NoAddress


class NoRecord(NoAddress):
    """
    We know which record to create.
    """

    says = "{name} has neither an A nor an AAAA record ({detail})."
    cure = "Create the record: {name}. A {expected}"


class PrivateAddress(CheckFailure):
    code = "dns.private_ip"
    says = "{name} points to {found}, which only a private network reaches."
    cure = "Forward port 80 of the public address to this server, and set the record: {name}. A {expected}"


class WrongAddress(CheckFailure):
    code = "dns.wrong_ip"
    says = "{name} points to {found}, but this server is {expected}."
    cure = "Change the record: {name}. {kind} {expected}"


class Propagation(CheckFailure):
    code = "dns.propagation"
    says = (
        "A change of {name} is not everywhere yet: {server} says {found}, the domain's own servers say "
        "{expected}; the old answer may be repeated for {seconds} s."
    )
    cure = "Nothing to do, the CA asks the domain's own servers. See: dig {name} @{server}"
    severity = Severity.WARNING


class ServersDiffer(Propagation):
    """
    The domain's own servers are not of one mind.
    """

    says = "The name servers of {name} do not agree: {server} says {found}, others say {expected}."
    cure = "Ask your DNS provider, if it stays so for an hour. See: dig {name} @{server}"
    severity = Severity.WARNING


class CnameTarget(CheckFailure):
    code = "dns.cname_target"
    says = "{name} does not point to this Appwrite: expected {expected}; found {found}."
    cure = "Create the record: {record}"


class InvalidTarget(CertworkerError):
    code = "dns.target_invalid"
    says = "{variable} is no target of a domain ({reason}), and is not used."
    cure = (
        "Set it in .env to {wanted}, for example {variable}={example}, or leave it empty; then run: "
        "docker compose up -d"
    )
    retry = Retry.CONFIG
    severity = Severity.WARNING


class SplitHorizon(CheckFailure):
    code = "dns.split_horizon"
    says = "The DNS of this network says {found} for {name}; the Internet sees {expected}, and that counts."
    cure = "Nothing to do for the certificate. See: getent ahosts {name}"
    severity = Severity.WARNING


class CaaLeavesOut(CaaForbids):
    """
    We know which record is missing.
    """

    says = "The CAA records of {owner} allow {allowed} only, not {authority} ({name})."
    cure = 'Add the record: {owner}. CAA 0 issue "{identity}"'


class CaaDenyAll(CheckFailure):
    code = "caa.deny_all"
    says = 'A CAA record of {owner} forbids every CA to certify {name}: 0 issue ";".'
    cure = 'Replace it by the record: {owner}. CAA 0 issue "{identity}"'


class CaaMethod(CheckFailure):
    code = "caa.method"
    says = "The CAA record of {owner} allows {authority} to certify {name} only by {methods}, not by http-01."
    cure = 'Change the record: {owner}. CAA 0 issue "{identity}; validationmethods={methods},http-01"'


class CaaAccount(CheckFailure):
    code = "caa.account"
    says = "The CAA record of {owner} allows only the account {found} to certify {name}; ours is {ours}."
    cure = 'Change the record: {owner}. CAA 0 issue "{identity}; accounturi={ours}"'


class CaaUnknownCritical(CheckFailure):
    code = "caa.critical_unknown"
    says = "A CAA record of {owner} says that nobody may certify {name} without understanding it: {record}"
    cure = "Remove the record, or set its flag to 0: {owner}. CAA 0 {record}"


class CaaBehindAlias(CheckFailure):
    code = "caa.via_cname"
    says = (
        "{name} is an alias of {owner}, whose CAA records count, and they do not allow {authority}: {detail}"
    )
    cure = (
        "Replace the alias by an A record, or have whoever runs {owner} add the record: "
        '{owner}. CAA 0 issue "{identity}"'
    )


class CaaSyntax(CheckFailure):
    code = "caa.syntax"
    says = "A CAA record of {owner} cannot be understood, and allows nobody anything: {record}"
    cure = 'Write it as in: {owner}. CAA 0 issue "{identity}"'
    severity = Severity.WARNING
