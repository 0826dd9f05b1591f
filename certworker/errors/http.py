"""
Port 80 of a domain. Codes: http.*.
"""

from __future__ import annotations

from certworker.errors.failure import PreflightFailure, Severity, ValidationFailure

#: What a person types to see what the CA saw.
TEST = "Test from another network: curl -v http://{name}/.well-known/acme-challenge/test"


class HttpTimeout(ValidationFailure):
    code = "http.timeout"
    message_template = "Nobody answers at port 80 of {name} ({address}): time-out."
    remedy_template = f"Open TCP port 80 in the cloud firewall and on the host. {TEST}"


class HttpRefused(ValidationFailure):
    code = "http.refused"
    message_template = "Port 80 of {name} ({address}) refuses connections."
    remedy_template = "See that Traefik runs and publishes port 80: docker compose ps traefik"


class HttpNotValidated(ValidationFailure):
    code = "http.not_validated"
    message_template = "The CA could not validate {name} over port 80 ({address}): {detail}"
    remedy_template = (
        "Point the A record of {name} here, open TCP port 80, and route /.well-known/acme-challenge/ to "
        f"certworker. {TEST}"
    )


class HttpReset(ValidationFailure):
    code = "http.reset"
    message_template = "{name} ({address}) cuts connections to port 80."
    remedy_template = f"Take port 80 out of what filters it (intrusion prevention, bot protection). {TEST}"


class HttpSlow(ValidationFailure):
    code = "http.slow"
    message_template = (
        "{name} ({address}) takes connections to port 80 and then is silent; a CA waits about 10 s."
    )
    remedy_template = f"See whether the server is overloaded or a filter holds the request. {TEST}"


class HttpNotFound(ValidationFailure):
    code = "http.404"
    message_template = "{name} ({address}) does not have the answer to the challenge (404)."
    remedy_template = (
        "Point the A record of {name} here, and let Traefik route /.well-known/acme-challenge/ to us. " + TEST
    )


class HttpWrongBody(ValidationFailure):
    code = "http.wrong_body"
    message_template = "{name} ({address}) answers the challenge with something else: {detail}"
    remedy_template = (
        f"Take /.well-known/acme-challenge/ out of what catches it (catch-all, CDN, other server). {TEST}"
    )


class HttpBasicAuth(ValidationFailure):
    code = "http.basic_auth"
    message_template = "Port 80 of {name} ({address}) asks for a password (401)."
    remedy_template = f"Take /.well-known/acme-challenge/ out of what asks for it. {TEST}"


class HttpRedirectBad(ValidationFailure):
    code = "http.redirect_bad"
    message_template = "{name} redirects the CA to where it does not follow: {detail}"
    remedy_template = (
        "Redirect with 301 or 302, to a name, on port 80 or 443; or not below /.well-known/acme-challenge/. "
        + TEST
    )


class HttpRedirectLoop(ValidationFailure):
    code = "http.redirect_loop"
    message_template = "{name} redirects the CA in a circle."
    remedy_template = (
        "In Cloudflare set SSL/TLS to Full, not Flexible; or set _APP_OPTIONS_FORCE_HTTPS=disabled"
    )


class HttpRedirectClosed(ValidationFailure):
    code = "http.redirect_https_closed"
    message_template = "{name} redirects the CA to HTTPS, but port 443 does not answer."
    remedy_template = (
        "Open TCP port 443, or take /.well-known/acme-challenge/ out of the redirection. "
        "Test: curl -kv https://{name}/"
    )


class HttpSecondary(ValidationFailure):
    code = "http.secondary"
    message_template = "{name} is seen from one place of the Internet but not from others: {detail}"
    remedy_template = (
        "Remove country blocking and bot protection from port 80: the CA looks from several countries and "
        f"publishes no addresses. {TEST}"
    )


class HttpsOn80(ValidationFailure):
    code = "http.https_on_80"
    message_template = "Port 80 of {name} does not speak plain HTTP: {detail}"
    remedy_template = (
        'Correct "ports:" of Traefik in docker-compose.yml to 80:80 and 443:443, then run: '
        "docker compose up -d"
    )


class HttpOn443(ValidationFailure):
    code = "http.http_on_443"
    message_template = "{name} redirects the CA to HTTPS, but port 443 does not speak TLS: {detail}"
    remedy_template = HttpsOn80.remedy_template


class HttpSluggish(HttpSlow):
    """
    It answers in time, but not by far.
    """

    message_template = (
        "{name} ({address}) took {seconds} s to answer at port 80; a CA gives up after about 10 s."
    )
    remedy_template = "See what keeps the server busy: docker stats --no-stream"
    severity = Severity.WARNING


class AnotherServer(HttpNotFound):
    """
    Our own side has the answer, and the address leads elsewhere.
    """

    message_template = "Another server answers for {name} at {address} (404); {inside} has the answer."
    remedy_template = (
        "Point the A record of {name}, or the AAAA record, to this server. See: dig +short {name}"
    )


class NotRouted(HttpNotFound):
    """
    The answer is there, behind a Traefik that does not pass it on.
    """

    message_template = (
        "Traefik does not route the challenges of {name} to the worker (404); {inside} has the answer."
    )
    remedy_template = (
        "Let Traefik route /.well-known/acme-challenge/ to it. See why it does not: "
        "docker compose logs traefik"
    )


class NotShared(HttpNotFound):
    """
    The answer is in a file that whoever serves the name does not have.
    """

    message_template = "Appwrite does not see the challenge files that the worker writes for {name} (404)."
    remedy_template = (
        "In docker-compose.yml mount appwrite-certificates:/storage/certificates in both services, then run: "
        "docker compose up -d"
    )


class HttpRouterProtection(PreflightFailure):
    code = "http.router_protection"
    message_template = (
        "Appwrite refuses {name} ({address}): its router protection is on, and no project has that domain."
    )
    remedy_template = (
        "Add {name} as a custom domain of the project; or, while the certificate is issued, set "
        "_APP_OPTIONS_ROUTER_PROTECTION=disabled in .env and run: docker compose up -d"
    )


class HttpTraefikNoRoute(PreflightFailure):
    code = "http.traefik_no_route"
    message_template = "Traefik answers for {name} ({address}), but has no route for it: 404 page not found."
    remedy_template = (
        "See why: docker compose logs traefik. If it says that its client version is too old for Docker, "
        "raise the tag of its image to 2.11.31, 3.6.1 or later, then run: docker compose up -d traefik"
    )


class HttpCloudflare(PreflightFailure):
    code = "http.cloudflare"
    message_template = "{name} is behind Cloudflare, which does not bring the answer: {detail}"
    remedy_template = (
        "In Cloudflare set SSL/TLS to Full and take /.well-known/acme-challenge/* out of Access; or set the "
        'record of {name} to "DNS only"'
    )


class BehindCloudflare(HttpCloudflare):
    """
    All is well, as long as nobody changes a setting there.
    """

    message_template = "{name} is behind Cloudflare, and the answer comes through."
    remedy_template = "Keep it so: in Cloudflare leave SSL/TLS at Full (strict)"
    severity = Severity.WARNING


class HttpRouterUi(PreflightFailure):
    code = "http.router_ui"
    message_template = "The admin page of a router answers at port 80 of {name} ({address})."
    remedy_template = f"Forward port 80 of the router to this machine. {TEST}"


class HttpBotWall(PreflightFailure):
    code = "http.bot_wall"
    message_template = "A filter against bots answers in the place of {name} ({address})."
    remedy_template = f"Take /.well-known/acme-challenge/ out of the filter. {TEST}"


class HttpHairpin(PreflightFailure):
    code = "http.hairpin"
    message_template = (
        "Port 80 of {name} ({address}) cannot be tested from here ({detail}); "
        "the router has no NAT loopback, it seems."
    )
    remedy_template = f"Nothing to do if it answers from outside. {TEST}"
    severity = Severity.WARNING
