"""
Addresses and name servers of a domain. Codes: dns.*.
"""

from __future__ import annotations

from certworker.errors.failure import CertworkerError, PreflightFailure, Retry, Severity, ValidationFailure


class NoAddress(ValidationFailure):
    code = "dns.no_record"
    message_template = "{name} has no address that the CA can use: {detail}"
    remedy_template = (
        "Create an A record for it with the public address of this server. See: dig +short A {name}"
    )


class Ipv6Unreachable(ValidationFailure):
    code = "dns.aaaa_wrong"
    message_template = (
        "{name} has an AAAA record ({address}) that does not lead to this server; the CA tries IPv6 first."
    )
    remedy_template = "Delete the AAAA record of {name}, or point it here. See: dig +short AAAA {name}"


class NameServersFail(ValidationFailure):
    code = "dns.servfail"
    message_template = "The name servers of {name} do not answer as they should: {detail}"
    remedy_template = "Ask your DNS provider. Test: https://unboundtest.com"


class DnssecBroken(ValidationFailure):
    code = "dns.dnssec"
    message_template = "DNSSEC is broken for {name}: {detail}"
    remedy_template = (
        "Remove the old DS record of {zone} at the registrar, or sign {zone} anew. "
        "Test: https://dnsviz.net/d/{name}/"
    )


class NameServersTimeout(ValidationFailure):
    code = "dns.timeout"
    message_template = "The name servers of {name} did not answer in time: {detail}"
    remedy_template = "Ask your DNS provider. See: dig +trace {name}"


class ContainerResolver(CertworkerError):
    code = "dns.container_resolver"
    message_template = "This container cannot resolve {host}: {reason}"
    remedy_template = (
        'See "dns:" of this service in docker-compose.yml, and the resolver of the host. '
        "Test: getent hosts {host}"
    )
    retry = Retry.SOON
    severity = Severity.FATAL
    other_ca_may_issue = True


class NoRecord(NoAddress):
    """
    We know which record to create.
    """

    message_template = "{name} has neither an A nor an AAAA record ({detail})."
    remedy_template = "Create the record: {name}. A {expected}"


class PrivateAddress(PreflightFailure):
    code = "dns.private_ip"
    message_template = "{name} points to {found}, which only a private network reaches."
    remedy_template = (
        "Forward port 80 of the public address to this server, and set the record: {name}. A {expected}"
    )


class WrongAddress(PreflightFailure):
    code = "dns.wrong_ip"
    message_template = "{name} points to {found}, but this server is {expected}."
    remedy_template = "Change the record: {name}. {kind} {expected}"


class Propagation(PreflightFailure):
    code = "dns.propagation"
    message_template = (
        "A change of {name} is not everywhere yet: {server} says {found}, the domain's own servers say "
        "{expected}; the old answer may be repeated for {seconds} s."
    )
    remedy_template = "Nothing to do, the CA asks the domain's own servers. See: dig {name} @{server}"
    severity = Severity.WARNING


class NameServersDiffer(Propagation):
    """
    The domain's own servers are not of one mind.
    """

    message_template = (
        "The name servers of {name} do not agree: {server} says {found}, others say {expected}."
    )
    remedy_template = "Ask your DNS provider, if it stays so for an hour. See: dig {name} @{server}"
    severity = Severity.WARNING


class CnameTarget(PreflightFailure):
    code = "dns.cname_target"
    message_template = "{name} does not point to this Appwrite: expected {expected}; found {found}."
    remedy_template = "Create the record: {record}"


class InvalidTarget(CertworkerError):
    code = "dns.target_invalid"
    message_template = "{variable} is no target of a domain ({reason}), and is not used."
    remedy_template = (
        "Set it in .env to {wanted}, for example {variable}={example}, or leave it empty; then run: "
        "docker compose up -d"
    )
    retry = Retry.CONFIG
    severity = Severity.WARNING


class SplitHorizon(PreflightFailure):
    code = "dns.split_horizon"
    message_template = (
        "The DNS of this network says {found} for {name}; the Internet sees {expected}, and that counts."
    )
    remedy_template = "Nothing to do for the certificate. See: getent ahosts {name}"
    severity = Severity.WARNING


class Ipv6Untested(Ipv6Unreachable):
    """
    Nothing is known of it: most containers have no IPv6.
    """

    message_template = (
        "{name} has an AAAA record ({address}), which cannot be tested from here: there is no way to IPv6."
    )
    remedy_template = "Test it from another network: curl -6 -v http://{name}/.well-known/acme-challenge/test"
    severity = Severity.WARNING


class MixedAddresses(PreflightFailure):
    code = "dns.mixed_ips"
    message_template = (
        "{name} has several addresses: {good} leads to this server, but {address} does not ({detail})."
    )
    remedy_template = "Remove the record with {address} from {name}, or point it here. See: dig +short {name}"
