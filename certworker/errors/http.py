"""
Failures of the challenge on port 80. Codes: http.*.
"""

from __future__ import annotations

from certworker.errors.failure import CertworkerError, PreflightFailure, Retry, Severity, ValidationFailure

#: A command that shows which server responds to the CA. A challenge path without a response returns 404.
TEST = "Test from another network: curl -v http://{name}/.well-known/acme-challenge/test"


class HttpTimeout(ValidationFailure):
    code = "http.timeout"
    message_template = "Connections to port 80 of {name} ({address}) time out."
    remedy_template = f"Open TCP port 80 in the cloud firewall and on the host. {TEST}"


class HttpRefused(ValidationFailure):
    code = "http.refused"
    message_template = "Port 80 of {name} ({address}) refuses connections."
    remedy_template = "Check that Traefik is running and publishes port 80: docker compose ps traefik"


class HttpNotValidated(CertworkerError):
    code = "http.not_validated"
    message_template = "The CA could not validate {name} over port 80 ({address}): {detail}"
    remedy_template = (
        "Point the A record of {name} to this server, open TCP port 80, and route "
        "/.well-known/acme-challenge/ to certworker. " + TEST
    )
    #: Only the CA finds this failure.
    retry = Retry.CA


class HttpReset(ValidationFailure):
    code = "http.reset"
    message_template = "{name} ({address}) closes connections to port 80 without a response."
    remedy_template = f"Exclude port 80 from intrusion prevention and bot protection. {TEST}"


class HttpSlow(ValidationFailure):
    code = "http.slow"
    message_template = (
        "{name} ({address}) accepts connections to port 80, but does not respond (CAs wait about 10 seconds)."
    )
    remedy_template = f"Check whether the server is overloaded, or whether a filter delays requests. {TEST}"


class HttpNotFound(ValidationFailure):
    code = "http.404"
    message_template = "{name} ({address}) does not have the response to the challenge (404)."
    remedy_template = (
        "Point the A record of {name} to this server, and route /.well-known/acme-challenge/ from Traefik to "
        "certworker. Test: certworker doctor {name}"
    )


class HttpWrongBody(ValidationFailure):
    code = "http.wrong_body"
    message_template = "{name} ({address}) responds to the challenge with other content: {detail}"
    remedy_template = (
        "Exclude /.well-known/acme-challenge/ from the catch-all route, CDN or other server that responds. "
        + TEST
    )


class HttpBasicAuth(ValidationFailure):
    code = "http.basic_auth"
    message_template = "Port 80 of {name} ({address}) requires a password (401)."
    remedy_template = f"Exclude /.well-known/acme-challenge/ from the password protection. {TEST}"


class HttpRedirectBad(ValidationFailure):
    code = "http.redirect_bad"
    message_template = "{name} redirects the CA to a URL that CAs do not follow: {detail}"
    remedy_template = (
        "Redirect with 301, 302, 307 or 308, to a public host, on port 80 or 443. Or exclude "
        "/.well-known/acme-challenge/ from the redirect. " + TEST
    )


class HttpRedirectLoop(ValidationFailure):
    code = "http.redirect_loop"
    message_template = "{name} redirects the CA in a loop."
    remedy_template = (
        "Exclude /.well-known/acme-challenge/ from the redirect. With Cloudflare, set SSL/TLS to Full, or "
        "set _APP_OPTIONS_FORCE_HTTPS=disabled in .env."
    )


class HttpRedirectClosed(ValidationFailure):
    code = "http.redirect_https_closed"
    message_template = "{name} redirects the CA to HTTPS, but port 443 does not respond."
    remedy_template = (
        "Open TCP port 443, or exclude /.well-known/acme-challenge/ from the redirect. Test: curl -kv "
        "https://{name}/"
    )


class HttpSecondary(CertworkerError):
    code = "http.secondary"
    message_template = "The CA reaches {name} from one network, but not from others: {detail}"
    remedy_template = (
        "Remove country blocking and bot protection from port 80, because CAs validate from several "
        "countries. " + TEST
    )
    #: Only the CA finds this failure: certworker has one network.
    retry = Retry.CA


class HttpsOn80(ValidationFailure):
    code = "http.https_on_80"
    message_template = "Port 80 of {name} does not speak plain HTTP: {detail}"
    remedy_template = (
        'Set "ports:" of Traefik in the Compose file to 80:80 and 443:443, then run: docker compose up -d'
    )


class HttpOn443(ValidationFailure):
    code = "http.http_on_443"
    message_template = "{name} redirects the CA to HTTPS, but port 443 does not speak TLS: {detail}"
    remedy_template = HttpsOn80.remedy_template


class HttpSluggish(HttpSlow):
    """
    The server responds within the timeout of the CA, but slowly.
    """

    message_template = (
        "{name} ({address}) took {seconds} seconds to respond on port 80 (CAs wait about 10 seconds)."
    )
    remedy_template = "Find the cause of the load on the server: docker stats --no-stream"
    severity = Severity.WARNING


class AnotherServer(HttpNotFound):
    """
    This machine has the response to the challenge, but the address leads to another server.
    """

    message_template = (
        "Another server responds for {name} at {address} (404); {inside} has the response to the challenge."
    )
    remedy_template = (
        "Point the A or AAAA record of {name} to this server. Test: dig +short {name} A {name} AAAA"
    )


class NotRouted(HttpNotFound):
    """
    The worker has the response, but Traefik does not route to it.
    """

    message_template = (
        "Traefik does not route the challenges of {name} to certworker (404); {inside} has the response."
    )
    remedy_template = (
        "Route /.well-known/acme-challenge/ from Traefik to certworker. Read the log of Traefik: docker "
        "compose logs traefik"
    )


class NotShared(HttpNotFound):
    """
    The server of the name does not have the file with the response.
    """

    message_template = "Appwrite does not see the challenge files of certworker for {name} (404)."
    remedy_template = (
        "Mount appwrite-certificates:/storage/certificates in both services in the Compose file, then run: "
        "docker compose up -d"
    )


class HttpRouterProtection(PreflightFailure):
    code = "http.router_protection"
    message_template = (
        "The router protection of Appwrite rejects {name} ({address}), because no project has this domain."
    )
    remedy_template = (
        "Add {name} as a custom domain of the project, or set _APP_OPTIONS_ROUTER_PROTECTION=disabled during "
        "the issuance, then run: docker compose up -d"
    )


class HttpTraefikNoRoute(PreflightFailure):
    code = "http.traefik_no_route"
    message_template = "Traefik at {name} ({address}) has no route for the challenge (404 page not found)."
    remedy_template = (
        "Read the log of Traefik: docker compose logs traefik. If Traefik is too old for this version of "
        "Docker, set its image to at least 2.11.31 (Traefik 2) or 3.6.1 (Traefik 3), then run: "
        "docker compose up -d traefik"
    )


class HttpCloudflare(PreflightFailure):
    code = "http.cloudflare"
    message_template = "{name} is behind Cloudflare, which does not forward the challenge: {detail}"
    remedy_template = (
        "In Cloudflare, set SSL/TLS to Full and exclude /.well-known/acme-challenge/* from Access, or set "
        'the record of {name} to "DNS only".'
    )


class BehindCloudflare(HttpCloudflare):
    """
    Cloudflare forwards the challenge with its current settings.
    """

    message_template = "{name} is behind Cloudflare, which forwards the challenge."
    remedy_template = "In Cloudflare, set SSL/TLS to Full (strict)."
    severity = Severity.WARNING


class HttpRouterUi(PreflightFailure):
    code = "http.router_ui"
    message_template = "The admin page of a router responds on port 80 of {name} ({address})."
    remedy_template = f"Forward port 80 of the router to this machine. {TEST}"


class HttpBotWall(PreflightFailure):
    code = "http.bot_wall"
    message_template = "A bot filter intercepts requests to {name} ({address})."
    remedy_template = f"Exclude /.well-known/acme-challenge/ from the bot filter. {TEST}"


class HttpHairpin(PreflightFailure):
    code = "http.hairpin"
    message_template = (
        "Port 80 of {name} ({address}) cannot be tested from this network, probably because it has no NAT "
        "loopback ({detail})."
    )
    remedy_template = f"No action is needed if port 80 responds from outside. {TEST}"
    severity = Severity.WARNING
