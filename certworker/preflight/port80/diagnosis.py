"""
The cause of a wrong or missing response, with its remedy.

The status, the headers and the beginning of the body identify the server that sent the response.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from certworker.domains.address import is_public
from certworker.errors import CertworkerError
from certworker.errors.acme import TlsProblem
from certworker.errors.dns import Ipv6Unreachable
from certworker.errors.failure import ValidationFailure
from certworker.errors.http import (
    AnotherServer,
    HttpBasicAuth,
    HttpBotWall,
    HttpCloudflare,
    HttpHairpin,
    HttpNotFound,
    HttpOn443,
    HttpRedirectBad,
    HttpRedirectClosed,
    HttpRedirectLoop,
    HttpRefused,
    HttpReset,
    HttpRouterProtection,
    HttpRouterUi,
    HttpSlow,
    HttpsOn80,
    HttpTimeout,
    HttpTraefikNoRoute,
    HttpWrongBody,
    NotRouted,
    NotShared,
)
from certworker.preflight.port80.http_get import FetchError, Reply
from certworker.preflight.port80.probe import Fetch

CLOUDFLARE = "Cloudflare"

#: How to recognize intermediaries: a header, a part of its value, and a name for messages.
INTERMEDIARIES = (
    ("cf-ray", "", CLOUDFLARE),
    ("server", "cloudflare", CLOUDFLARE),
    ("x-amz-cf-id", "", "CloudFront"),
    ("x-served-by", "cache-", "Fastly"),
    ("x-akamai-request-id", "", "Akamai"),
    ("server", "akamai", "Akamai"),
    ("server", "bunnycdn", "bunny.net"),
    ("x-sucuri-id", "", "Sucuri"),
    ("x-iinfo", "", "Imperva"),
    ("x-vercel-id", "", "Vercel"),
    ("x-nf-request-id", "", "Netlify"),
    ("x-varnish", "", "Varnish"),
    ("via", "", "a proxy"),
)

#: Server headers of the admin pages of routers (the first four are from Let's Debug).
ROUTERS = (
    "micro_httpd",
    "cisco-ios",
    "lancom",
    "mikrotik",
    "mini_httpd",
    "rompager",
    "fritz!box",
    "routeros",
)

#: Strings in the pages of bot filters.
BOT_WALLS = ("/aes.js", "tonumbers(", "acme-protocol", "just a moment", "cf-chl", "_incapsula_", "captcha")

PLAIN_TO_TLS = (
    "plain http request was sent to https port",
    "client sent an http request to an https server",
    "speaking plain http to an ssl-enabled server port",
)

ROUTER_PROTECTION = "router protection does not allow"

#: The body of Traefik's response if it has no route. Traefik sends no Server header.
NO_ROUTER = "404 page not found"

#: Cloudflare's status codes for an unreachable origin.
ORIGIN_CLOSED = (521, 522, 523)

#: The two internal hops that remedies mention.
TRAEFIK = "Traefik"
APPWRITE = "Appwrite"

FAILURES: dict[FetchError, type[CertworkerError]] = {
    FetchError.TIMEOUT: HttpTimeout,
    FetchError.REFUSED: HttpRefused,
    FetchError.RESET: HttpReset,
    FetchError.SILENT: HttpSlow,
    FetchError.NOT_HTTP: HttpsOn80,
    FetchError.NOT_TLS: HttpOn443,
    FetchError.BAD_TLS: TlsProblem,
    FetchError.BAD_REDIRECT: HttpRedirectBad,
    FetchError.LOOP: HttpRedirectLoop,
}

#: Errors before the connection was established.
NOT_CONNECTED = (FetchError.TIMEOUT, FetchError.REFUSED)
#: Errors of an established connection. The next request may succeed.
TRANSIENT = (FetchError.RESET, FetchError.SILENT)


def intermediary(reply: Reply) -> str | None:
    """
    Return the name of the intermediary that sent or forwarded *reply*, or None if none is recognized.
    """
    for header, text, title in INTERMEDIARIES:
        if text in reply.headers.get(header, "-" if text else "").lower() and header in reply.headers:
            return title
    return None


def identify_responder(reply: Reply) -> type[ValidationFailure]:
    """
    Return the failure class for *reply*, which is not the response to a challenge.
    """
    text, server = _text(reply).lower(), reply.headers.get("server", "").lower()
    if ROUTER_PROTECTION in text:
        return HttpRouterProtection
    if intermediary(reply) == CLOUDFLARE:
        return HttpCloudflare
    if any(mark in text for mark in BOT_WALLS):
        return HttpBotWall
    if any(mark in server for mark in ROUTERS):
        return HttpRouterUi
    if any(mark in text for mark in PLAIN_TO_TLS):
        return HttpsOn80
    if 300 <= reply.status < 400:
        return HttpRedirectBad
    if reply.status == 401:
        return HttpBasicAuth
    if reply.status == 404:
        return HttpTraefikNoRoute if text.strip() == NO_ROUTER and not server else HttpNotFound
    return HttpWrongBody


def describe_response(reply: Reply) -> str:
    """
    Return a short description of *reply*.
    """
    if reply.status in ORIGIN_CLOSED and intermediary(reply) == CLOUDFLARE:
        return f"it cannot reach port 80 of this server (HTTP {reply.status})"
    if reply.status != 200:
        return f"HTTP {reply.status}"
    beginning = " ".join(_text(reply)[:200].split())[:60]
    if not beginning:
        return "an empty body"
    if "<" in beginning:
        return f"a web page that starts with {beginning}"
    return f"plain text that starts with {beginning}"


def _text(reply: Reply) -> str:
    return reply.body.decode("utf-8", "replace")


@dataclass(frozen=True)
class HopResult:
    """
    The result of a request to one internal hop: the worker, Appwrite or Traefik.
    """

    title: str
    fetch: Fetch
    matches: bool


def not_connected(fetch: Fetch) -> bool:
    """
    Return whether the first connection failed. Only then does a CA try IPv4 after IPv6.
    """
    return fetch.error in NOT_CONNECTED and len(fetch.hops) == 1


def is_certain(fetch: Fetch, hops: Sequence[HopResult]) -> bool:
    """
    Return whether a CA would get the same result as *fetch*.

    A response is certain, unless it is the admin page of a router. A failed, closed or silent connection may
    be a problem of this machine only.
    """
    if fetch.error in NOT_CONNECTED:
        if len(fetch.hops) > 1:
            # The server at that address accepted the first connection, so a CA gets the same result.
            return len({hop.address for hop in fetch.hops}) == 1
        refusing = {hop.title for hop in hops if hop.fetch.error is FetchError.REFUSED}
        # For a private address, no router filters the connections.
        return TRAEFIK in refusing or (
            fetch.error is FetchError.REFUSED and not is_public(fetch.hops[0].address)
        )
    if fetch.error in TRANSIENT:
        return False
    return fetch.reply is None or identify_responder(fetch.reply) is not HttpRouterUi


def diagnosis(name: str, fetch: Fetch, hops: Sequence[HopResult]) -> CertworkerError:
    """
    Return the failure that explains why *fetch* did not get the response for *name*.

    Args:
        hops: The results of the internal hops, from the worker to the public address.
    """
    failure_type, detail = _failure_type(fetch)
    holder = next((hop.title for hop in reversed(hops) if hop.matches), None)
    return _by_internal_hops(failure_type, fetch, hops)(
        name=name,
        address=fetch.hops[-1 if failure_type is Ipv6Unreachable else 0].address,
        detail=f"{detail}; {holder} has the response" if holder else detail,
        inside=holder,
    )


def _failure_type(fetch: Fetch) -> tuple[type[CertworkerError], str]:
    if fetch.reply:
        detail = describe_response(fetch.reply)
        failure_type = identify_responder(fetch.reply)
        return failure_type, f"{fetch.hops[-1].url}: {detail}" if len(fetch.hops) > 1 else detail
    error = fetch.error or FetchError.UNREACHABLE
    detail = fetch.detail or error.value
    if len(fetch.hops) == 1 or error not in NOT_CONNECTED:
        return FAILURES[error], detail
    if fetch.hops[-1].address.version == 6 != fetch.hops[0].address.version:
        return Ipv6Unreachable, detail
    url = fetch.hops[-1].url
    if url.startswith("https:"):
        return HttpRedirectClosed, detail
    return HttpRedirectBad, f"{fetch.hops[-2].url} redirects to {url}: {error.value}"


def _by_internal_hops(
    failure_type: type[CertworkerError], fetch: Fetch, hops: Sequence[HopResult]
) -> type[CertworkerError]:
    matches = {hop.title: hop.matches for hop in hops}
    if not_connected(fetch):
        return HttpHairpin if matches.get(TRAEFIK) else failure_type
    if failure_type not in (HttpNotFound, HttpTraefikNoRoute):
        return failure_type
    if matches.get(TRAEFIK):
        return AnotherServer
    if matches.get(APPWRITE) is False:
        return NotShared
    return (
        NotRouted
        if failure_type is HttpNotFound and matches.get(TRAEFIK) is False and any(matches.values())
        else failure_type
    )
