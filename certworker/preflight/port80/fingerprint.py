"""
The server behind a wrong response, by the status, the headers and the beginning of the body.
"""

from __future__ import annotations

from certworker.errors.failure import ValidationFailure
from certworker.errors.http import (
    HttpBasicAuth,
    HttpBotWall,
    HttpCloudflare,
    HttpNotFound,
    HttpRedirectBad,
    HttpRouterProtection,
    HttpRouterUi,
    HttpsOn80,
    HttpTraefikNoRoute,
    HttpWrongBody,
)
from certworker.preflight.port80.http_get import Reply

CLOUDFLARE = "Cloudflare"

#: The marks of intermediaries: a header, a part of its value, and a name for messages.
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

#: Admin pages of routers, by their Server header (the first four are from Let's Debug).
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

#: Cookie tests and filters against bots.
BOT_WALLS = ("/aes.js", "tonumbers(", "acme-protocol", "just a moment", "cf-chl", "_incapsula_", "captcha")

PLAIN_TO_TLS = (
    "plain http request was sent to https port",
    "client sent an http request to an https server",
    "speaking plain http to an ssl-enabled server port",
)

ROUTER_PROTECTION = "router protection does not allow"

#: Traefik's body without a router; it sends no Server header.
NO_ROUTER = "404 page not found"

#: Cloudflare's status codes for an unreachable origin.
ORIGIN_CLOSED = (521, 522, 523)


def intermediary(reply: Reply) -> str | None:
    """
    Return the name of the intermediary that sent or forwarded *reply*; None if no mark is known.
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
    return f"a text that starts with {beginning}"


def _text(reply: Reply) -> str:
    return reply.body.decode("utf-8", "replace")
