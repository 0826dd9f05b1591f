"""
Who answered in our place: recognised by the status, the headers and the first words of an answer.
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

#: What marks an intermediary: a header, what it contains, and its name for people.
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

#: The admin pages of routers say so in their Server header (Let's Debug knows the first four).
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

#: Cookie tests and filters against programs.
BOT_WALLS = ("/aes.js", "tonumbers(", "acme-protocol", "just a moment", "cf-chl", "_incapsula_", "captcha")

PLAIN_TO_TLS = (
    "plain http request was sent to https port",
    "client sent an http request to an https server",
    "speaking plain http to an ssl-enabled server port",
)

ROUTER_PROTECTION = "router protection does not allow"

#: What Traefik says where it has no router; it does not name itself.
NO_ROUTER = "404 page not found"

#: Cloudflare's own codes for an origin that it cannot reach.
ORIGIN_CLOSED = (521, 522, 523)


def intermediary(reply: Reply) -> str | None:
    """
    The name of what stands between us and the server, if it says so.
    """
    for header, text, title in INTERMEDIARIES:
        if text in reply.headers.get(header, "-" if text else "").lower() and header in reply.headers:
            return title
    return None


def identify_responder(reply: Reply) -> type[ValidationFailure]:
    """
    The failure that *reply* is, being no answer to a challenge.
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
    *reply* in a few words.
    """
    if reply.status in ORIGIN_CLOSED and intermediary(reply) == CLOUDFLARE:
        return f"it cannot reach port 80 of this server (HTTP {reply.status})"
    if reply.status != 200:
        return f"HTTP {reply.status}"
    beginning = " ".join(_text(reply)[:200].split())[:60]
    if not beginning:
        return "nothing at all"
    if "<" in beginning:
        return f"a web page that begins with {beginning}"
    return f"a text that begins with {beginning}"


def _text(reply: Reply) -> str:
    return reply.body.decode("utf-8", "replace")
