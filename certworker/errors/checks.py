"""
Failures that only a check of our own can tell: the clock and the disk, who stands in the
way to the domain, and what Traefik shows.
"""

from __future__ import annotations

from certworker.errors.failure import CertworkerError, Retry, Severity
from certworker.errors.machine import VolumeFull
from certworker.errors.reach import TEST, CheckFailure, HttpNotFound, HttpSlow, Ipv6Unreachable


class VolumeNearlyFull(VolumeFull):
    """
    There is room for today's certificates.
    """

    says = "The disk of {path} is nearly full: {left} left."
    cure = VolumeFull.cure
    severity = Severity.WARNING


class ClockSkew(CertworkerError):
    code = "clock.skew"
    says = "The clock of this server is {span} {direction} that of the CA, where it is {theirs}."
    cure = "Let the host keep the time; the container follows it: timedatectl set-ntp true"
    retry = Retry.PREFLIGHT
    severity = Severity.FATAL


class ClockDrift(ClockSkew):
    """
    As wrong as a CA allows.
    """

    says = ClockSkew.says
    cure = ClockSkew.cure
    severity = Severity.WARNING


class Ipv6Untested(Ipv6Unreachable):
    """
    Nothing is known of it: most containers have no IPv6.
    """

    says = "{name} has an AAAA record ({address}), which cannot be tested from here: there is no way to IPv6."
    cure = "Test it from another network: curl -6 -v http://{name}/.well-known/acme-challenge/test"
    severity = Severity.WARNING


class MixedAddresses(CheckFailure):
    code = "dns.mixed_ips"
    says = "{name} has several addresses: {good} leads to this server, but {address} does not ({detail})."
    cure = "Remove the record with {address} from {name}, or point it here. See: dig +short {name}"


class HttpSluggish(HttpSlow):
    """
    It answers in time, but not by far.
    """

    says = "{name} ({address}) took {seconds} s to answer at port 80; a CA gives up after about 10 s."
    cure = "See what keeps the server busy: docker stats --no-stream"
    severity = Severity.WARNING


class AnotherServer(HttpNotFound):
    """
    Our own side has the answer, and the address leads elsewhere.
    """

    says = "Another server answers for {name} at {address} (404); {inside} has the answer."
    cure = "Point the A record of {name}, or the AAAA record, to this server. See: dig +short {name}"


class NotRouted(HttpNotFound):
    """
    The answer is there, behind a Traefik that does not pass it on.
    """

    says = "Traefik does not route the challenges of {name} to the worker (404); {inside} has the answer."
    cure = (
        "Let Traefik route /.well-known/acme-challenge/ to it. See why it does not: "
        "docker compose logs traefik"
    )


class NotShared(HttpNotFound):
    """
    The answer is in a file that whoever serves the name does not have.
    """

    says = "Appwrite does not see the challenge files that the worker writes for {name} (404)."
    cure = (
        "In docker-compose.yml mount appwrite-certificates:/storage/certificates in both services, then run: "
        "docker compose up -d"
    )


class HttpRouterProtection(CheckFailure):
    code = "http.router_protection"
    says = "Appwrite refuses {name} ({address}): its router protection is on, and no project has that domain."
    cure = (
        "Add {name} as a custom domain of the project; or, while the certificate is issued, set "
        "_APP_OPTIONS_ROUTER_PROTECTION=disabled in .env and run: docker compose up -d"
    )


class HttpTraefikEmpty(CheckFailure):
    code = "http.traefik_docker"
    says = "Traefik answers for {name} ({address}), but has no route for it: 404 page not found."
    cure = (
        "See why: docker compose logs traefik. If it says that its client version is too old for Docker, "
        "raise the tag of its image to 2.11.31, 3.6.1 or later, then run: docker compose up -d traefik"
    )


class HttpCloudflare(CheckFailure):
    code = "http.cloudflare"
    says = "{name} is behind Cloudflare, which does not bring the answer: {detail}"
    cure = (
        "In Cloudflare set SSL/TLS to Full and take /.well-known/acme-challenge/* out of Access; or set the "
        'record of {name} to "DNS only"'
    )


class BehindCloudflare(HttpCloudflare):
    """
    All is well, as long as nobody changes a setting there.
    """

    says = "{name} is behind Cloudflare, and the answer comes through."
    cure = "Keep it so: in Cloudflare leave SSL/TLS at Full (strict)"
    severity = Severity.WARNING


class HttpRouterUi(CheckFailure):
    code = "http.router_ui"
    says = "The admin page of a router answers at port 80 of {name} ({address})."
    cure = f"Forward port 80 of the router to this machine. {TEST}"


class HttpBotWall(CheckFailure):
    code = "http.bot_wall"
    says = "A filter against bots answers in the place of {name} ({address})."
    cure = f"Take /.well-known/acme-challenge/ out of the filter. {TEST}"


class HttpHairpin(CheckFailure):
    code = "http.hairpin"
    says = (
        "Port 80 of {name} ({address}) cannot be tested from here ({detail}); "
        "the router has no NAT loopback, it seems."
    )
    cure = f"Nothing to do if it answers from outside. {TEST}"
    severity = Severity.WARNING


class ProxyDefaultCert(CertworkerError):
    code = "proxy.default_cert"
    says = "The certificate of {name} is stored, but Traefik at {proxy} still shows the default of its own."
    cure = (
        "Mount the same volumes in both services, and start Traefik with --providers.file.watch=true and "
        "--providers.file.directory={directory}; then run: docker compose up -d traefik"
    )
    retry = Retry.CONFIG


class ProxyShowsNone(ProxyDefaultCert):
    """
    It refuses the name in the handshake, as with sniStrict.
    """

    says = "The certificate of {name} is stored, but Traefik at {proxy} shows none ({reason})."


class ProxyOldCert(CertworkerError):
    code = "proxy.old_cert"
    says = "The certificate of {name} is stored, but Traefik at {proxy} still shows another one."
    cure = "Let it read {directory} again: docker compose kill -s HUP traefik"
    retry = Retry.CONFIG


class ProxyYamlBroken(CertworkerError):
    code = "proxy.yaml_broken"
    says = "{path} cannot be read ({reason}), and Traefik then ignores its whole directory."
    cure = "Mend it, or take it away: mv {path} {path}.broken"
    retry = Retry.CONFIG


class ProxyOtherTerminator(CertworkerError):
    code = "proxy.other_terminator"
    says = "Visitors of {name} ({address}) see a certificate of another proxy (issuer {issuer}), not ours."
    cure = (
        "Nothing to do if that proxy is wanted; ours then counts between it and Traefik only. See it: "
        "curl -v https://{name}/"
    )
    retry = Retry.CONFIG
    severity = Severity.WARNING


class ProxyUnreachable(CertworkerError):
    code = "proxy.unreachable"
    says = "Nobody could be asked at {proxy} which certificate is shown there: {reason}."
    cure = (
        "See that Traefik runs: docker compose ps traefik. If it speaks TLS elsewhere, set "
        "CERTWORKER_PROXY_ADDRESS to that address, or to off"
    )
    retry = Retry.CONFIG
    severity = Severity.WARNING
