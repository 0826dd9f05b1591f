"""
Failures of the addresses and name servers of a domain. Codes: dns.*.
"""

from __future__ import annotations

from certworker.errors.failure import CertworkerError, PreflightFailure, Retry, Severity, ValidationFailure


class NoAddress(ValidationFailure):
    code = "dns.no_record"
    message_template = "{name} has no address that the CA can use: {detail}"
    remedy_template = (
        "Create an A record for {name} with the public address of this server. Test: dig +short A {name}"
    )


class Ipv6Unreachable(ValidationFailure):
    code = "dns.aaaa_wrong"
    message_template = (
        "The AAAA record of {name} ({address}) does not lead to this server, and CAs try IPv6 first."
    )
    remedy_template = (
        "Delete the AAAA record of {name}, or set it to the IPv6 address of this server. Test: dig +short "
        "AAAA {name}"
    )


class NameServersFail(ValidationFailure):
    code = "dns.servfail"
    message_template = "The name servers of {name} answer with an error: {detail}"
    remedy_template = "Ask the DNS provider to fix its name servers. Test: https://unboundtest.com"


class DnssecBroken(ValidationFailure):
    code = "dns.dnssec"
    message_template = "DNSSEC validation of {name} fails: {detail}"
    remedy_template = (
        "Remove the old DS record of {zone} at the registrar, or sign {zone} again. Test: "
        "https://dnsviz.net/d/{name}/"
    )


class NameServersTimeout(ValidationFailure):
    code = "dns.timeout"
    message_template = "The name servers of {name} did not answer in time: {detail}"
    remedy_template = "Ask the DNS provider to fix its name servers. Test: dig +trace {name}"


class ContainerResolver(CertworkerError):
    code = "dns.container_resolver"
    message_template = "This container cannot resolve {host}: {reason}"
    remedy_template = (
        'Check "dns:" of this service in the Compose file, and the resolver of the host. Test: '
        "docker compose exec SERVICE getent hosts {host}"
    )
    retry = Retry.SOON
    severity = Severity.FATAL
    other_ca_may_issue = True


class NoRecord(NoAddress):
    """
    A preflight check found the failure, and knows the missing record.
    """

    message_template = "{name} has neither an A nor an AAAA record ({detail})."
    remedy_template = "Create the record: {record}"


class PrivateAddress(PreflightFailure):
    code = "dns.private_ip"
    message_template = "{name} points to {found}, which only a private network can reach."
    remedy_template = "Forward port 80 of the public address to this server, and set the record: {record}"


class WrongAddress(PreflightFailure):
    code = "dns.wrong_ip"
    message_template = "{name} points to {found}, but the address of this server is {expected}."
    remedy_template = "Change the record: {name}. {kind} {expected}"


class Propagation(PreflightFailure):
    code = "dns.propagation"
    message_template = (
        "{server} still returns {found} for {name}, but its name servers return {expected} (the old "
        "answer expires in {seconds} s)."
    )
    remedy_template = (
        "No action is needed; CAs query the authoritative name servers. Test: dig {name} @{server}"
    )
    severity = Severity.WARNING


class NameServersDiffer(Propagation):
    """
    The authoritative name servers give different answers.
    """

    message_template = (
        "The name servers of {name} do not agree: {server} returns {found}, but others return {expected}."
    )
    remedy_template = "Ask the DNS provider if this continues for an hour. Test: dig {name} @{server}"
    severity = Severity.WARNING


class CnameTarget(PreflightFailure):
    code = "dns.cname_target"
    message_template = "{name} does not point to this Appwrite server (expected: {expected}; found: {found})."
    remedy_template = "Create the record: {record}"
    severity = Severity.WARNING


class Moved(CertworkerError):
    code = "dns.moved"
    message_template = "{name} has pointed to another server for three days (found: {found})."
    remedy_template = "Create the record {record}, or remove the name: certworker remove {name}"
    retry = Retry.CONFIG
    severity = Severity.WARNING


class OwnershipMissing(PreflightFailure):
    code = "dns.ownership_missing"
    message_template = "No TXT record proves that {name} belongs to the tenant {tenant} (found: {found})."
    remedy_template = 'Create the record: {owner}. TXT "{value}"'


class InServiceForAnother(OwnershipMissing):
    """
    The certificate in service belongs to another tenant or to the operator, and is not affected.

    The state of the name is that of its owner, so no retry of the request of another tenant can be planned.
    """

    message_template = (
        "{name} is in service, but not for the tenant {tenant}, and certworker found no TXT record for this "
        "tenant."
    )
    remedy_template = 'Create this record, then send the request again: {owner}. TXT "{value}"'
    retry = Retry.NEVER


class InvalidTarget(CertworkerError):
    code = "dns.target_invalid"
    message_template = "Ignoring {variable}, which is not a valid target ({reason})."
    remedy_template = (
        "Set it in .env to {wanted}, for example {variable}={example}, or leave it empty, then run: docker "
        "compose up -d"
    )
    retry = Retry.CONFIG
    severity = Severity.WARNING


class SplitHorizon(PreflightFailure):
    code = "dns.split_horizon"
    message_template = (
        "The resolver of this network returns {found} for {name}, but public DNS returns {expected}."
    )
    remedy_template = "No action is needed for the certificate. Test: getent ahosts {name}"
    severity = Severity.WARNING


class Ipv6Untested(Ipv6Unreachable):
    """
    The worker cannot test the address, because its container has no IPv6.
    """

    message_template = (
        "The AAAA record of {name} ({address}) cannot be tested, because this container has no IPv6."
    )
    remedy_template = "Test it from another network: curl -6 -v http://{name}/.well-known/acme-challenge/test"
    severity = Severity.WARNING


class MixedAddresses(PreflightFailure):
    code = "dns.mixed_ips"
    message_template = (
        "{name} has several addresses: {good} leads to this server, but {address} does not: {detail}"
    )
    remedy_template = (
        "Remove the record with {address} from {name}, or set it to the address of this server. Test: dig "
        "+short {name} A {name} AAAA"
    )
