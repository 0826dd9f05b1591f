"""
Failures of the way to the domain: what the CA met when it looked for the answer to its challenge, or what
our own checks met before it.

The CA counts each that it meets, so they are tried again as patiently as it wants.
"""

from __future__ import annotations

from certworker.errors.failure import CertworkerError, Retry, Severity

#: What a person types to see what the CA saw.
TEST = "Test from another network: curl -v http://{name}/.well-known/acme-challenge/test"


class ReachFailure(CertworkerError):
    """
    The answer was looked for and not found.
    """

    retry = Retry.CA


class CheckFailure(ReachFailure):
    """
    Only a check of certworker can recognize this cause. The CA is not asked and counts nothing.
    """

    retry = Retry.PREFLIGHT


class NoAddress(ReachFailure):
    code = "dns.no_record"
    says = "{name} has no address that the CA can use: {detail}"
    cure = "Create an A record for it with the public address of this server. See: dig +short A {name}"


class Ipv6Unreachable(ReachFailure):
    code = "dns.aaaa_wrong"
    says = "{name} has an AAAA record ({address}) that does not lead to this server; the CA tries IPv6 first."
    cure = "Delete the AAAA record of {name}, or point it here. See: dig +short AAAA {name}"


class NameServersFail(ReachFailure):
    code = "dns.servfail"
    says = "The name servers of {name} do not answer as they should: {detail}"
    cure = "Ask your DNS provider. Test: https://unboundtest.com"


class DnssecBroken(ReachFailure):
    code = "dns.dnssec"
    says = "DNSSEC is broken for {name}: {detail}"
    cure = (
        "Remove the old DS record of {zone} at the registrar, or sign {zone} anew. "
        "Test: https://dnsviz.net/d/{name}/"
    )


class NameServersSilent(ReachFailure):
    code = "dns.timeout"
    says = "The name servers of {name} did not answer in time: {detail}"
    cure = "Ask your DNS provider. See: dig +trace {name}"


class ContainerResolver(CertworkerError):
    code = "dns.container_resolver"
    says = "This container cannot resolve {host}: {reason}"
    cure = (
        'See "dns:" of this service in docker-compose.yml, and the resolver of the host. '
        "Test: getent hosts {host}"
    )
    retry = Retry.SOON
    severity = Severity.FATAL
    elsewhere = True


class CaaForbids(ReachFailure):
    code = "caa.forbidden"
    says = "A CAA record forbids this CA to certify {name}: {detail}"
    cure = 'Allow the CA; for Let\'s Encrypt add the record: {name}. CAA 0 issue "letsencrypt.org"'


class CaaLookupFailed(ReachFailure):
    code = "caa.lookup_failed"
    says = "The CA must refuse {name}, because the question for its CAA records failed: {detail}"
    cure = "Ask your DNS provider; see https://letsencrypt.org/docs/caa/. Test: dig CAA {name}"


class HttpTimeout(ReachFailure):
    code = "http.timeout"
    says = "Nobody answers at port 80 of {name} ({address}): time-out."
    cure = f"Open TCP port 80 in the cloud firewall and on the host. {TEST}"


class HttpRefused(ReachFailure):
    code = "http.refused"
    says = "Port 80 of {name} ({address}) refuses connections."
    cure = "See that Traefik runs and publishes port 80: docker compose ps traefik"


class HttpNotValidated(ReachFailure):
    code = "http.not_validated"
    says = "The CA could not validate {name} over port 80 ({address}): {detail}"
    cure = (
        "Point the A record of {name} here, open TCP port 80, and route /.well-known/acme-challenge/ to "
        f"certworker. {TEST}"
    )


class HttpReset(ReachFailure):
    code = "http.reset"
    says = "{name} ({address}) cuts connections to port 80."
    cure = f"Take port 80 out of what filters it (intrusion prevention, bot protection). {TEST}"


class HttpSlow(ReachFailure):
    code = "http.slow"
    says = "{name} ({address}) takes connections to port 80 and then is silent; a CA waits about 10 s."
    cure = f"See whether the server is overloaded or a filter holds the request. {TEST}"


class HttpNotFound(ReachFailure):
    code = "http.404"
    says = "{name} ({address}) does not have the answer to the challenge (404)."
    cure = (
        "Point the A record of {name} here, and let Traefik route /.well-known/acme-challenge/ to us. " + TEST
    )


class HttpWrongBody(ReachFailure):
    code = "http.wrong_body"
    says = "{name} ({address}) answers the challenge with something else: {detail}"
    cure = f"Take /.well-known/acme-challenge/ out of what catches it (catch-all, CDN, other server). {TEST}"


class HttpBasicAuth(ReachFailure):
    code = "http.basic_auth"
    says = "Port 80 of {name} ({address}) asks for a password (401)."
    cure = f"Take /.well-known/acme-challenge/ out of what asks for it. {TEST}"


class HttpRedirectBad(ReachFailure):
    code = "http.redirect_bad"
    says = "{name} redirects the CA to where it does not follow: {detail}"
    cure = (
        "Redirect with 301 or 302, to a name, on port 80 or 443; or not below /.well-known/acme-challenge/. "
        + TEST
    )


class HttpRedirectLoop(ReachFailure):
    code = "http.redirect_loop"
    says = "{name} redirects the CA in a circle."
    cure = "In Cloudflare set SSL/TLS to Full, not Flexible; or set _APP_OPTIONS_FORCE_HTTPS=disabled"


class HttpRedirectClosed(ReachFailure):
    code = "http.redirect_https_closed"
    says = "{name} redirects the CA to HTTPS, but port 443 does not answer."
    cure = "Open TCP port 443, or take /.well-known/acme-challenge/ out of the redirection. Test: curl -kv https://{name}/"


class HttpSecondary(ReachFailure):
    code = "http.secondary"
    says = "{name} is seen from one place of the Internet but not from others: {detail}"
    cure = (
        "Remove country blocking and bot protection from port 80: the CA looks from several countries and "
        f"publishes no addresses. {TEST}"
    )


class HttpsOn80(ReachFailure):
    code = "http.https_on_80"
    says = "Port 80 of {name} does not speak plain HTTP: {detail}"
    cure = (
        'Correct "ports:" of Traefik in docker-compose.yml to 80:80 and 443:443, then run: '
        "docker compose up -d"
    )


class HttpOn443(ReachFailure):
    code = "http.http_on_443"
    says = "{name} redirects the CA to HTTPS, but port 443 does not speak TLS: {detail}"
    cure = HttpsOn80.cure
