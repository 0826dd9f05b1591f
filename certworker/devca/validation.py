"""
Validation by HTTP-01 and DNS-01, as a public CA performs it (RFC 8555, sections 8.3 and 8.4).

HTTP-01 differs in two rules: `localhost` and `*.localhost` are this machine (RFC 6761, section 6.3), and
another port may replace port 80.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urljoin, urlsplit

import dns.exception
import dns.message
import dns.name
import dns.query
import dns.rcode
import requests
import urllib3
from dns.message import QueryMessage

from certworker.challenges.challenge import CHALLENGE_PATH, Dns01Challenge
from certworker.devca.messages import Problem

# Like a public CA, this one follows a redirect to https without verifying the certificate, on purpose.
urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)

#: The limits of Boulder for HTTP-01: seconds, bytes, redirects.
TIMEOUT_SECONDS = 10
LONGEST_RESPONSE = 127
MOST_REDIRECTS = 10
#: The maximum number of CNAME records before a TXT record.
MOST_ALIASES = 8

#: A pattern for the text of an error, the type of the problem, and its text at Let's Encrypt.
CAUSES = (
    ("ConnectTimeout", "connection", "Timeout during connect (likely firewall problem)"),
    ("ReadTimeout|Read timed out", "connection", "Timeout after connect (your server may be slow)"),
    ("WRONG_VERSION_NUMBER|RECORD_LAYER_FAILURE", "malformed", "Server only speaks HTTP, not TLS"),
    ("SSLError", "tls", "remote error: tls: handshake failure"),
    ("Connection refused", "connection", "Connection refused"),
    ("BadStatusLine", "malformed", "malformed HTTP response"),
    ("Connection reset|Connection aborted|IncompleteRead", "connection", "Connection reset by peer"),
    ("No route to host|Network is unreachable", "connection", "No route to host"),
    ("InvalidURL|ValueError", "connection", "Invalid host in redirect target"),
)


def resolve(name: str) -> str:
    """
    Return the host to connect to for *name*: this machine for `localhost` and `*.localhost`, else *name*.
    """
    return "127.0.0.1" if _is_this_machine(name) else name


@dataclass(frozen=True)
class Validator:
    """
    Fetches the response to a challenge, and compares it with the key authorization.
    """

    port: int = 80
    resolve: Callable[[str], str] = resolve
    #: The port for `localhost` and the names below it; None: *port*.
    local_port: int | None = None

    def validate(self, name: str, token: str, key_authorization: str) -> Problem | None:
        """
        Return why *name* does not respond to *token* with *key_authorization*; None if it does.
        """
        url = f"http://{_bracketed(name)}{CHALLENGE_PATH}{token}"
        answer = self._fetch(url)
        if isinstance(answer, Problem):
            return answer
        if answer.rstrip() != key_authorization.encode():
            shown = answer.decode("utf-8", "backslashreplace")
            return Problem(
                "unauthorized",
                f'{name}: the response at {url} is not "{key_authorization}" but "{shown}".',
                status=403,
            )
        return None

    def _fetch(self, url: str) -> bytes | Problem:
        with requests.Session() as session:
            session.trust_env = False
            for _ in range(MOST_REDIRECTS + 1):
                try:
                    with self._get(session, url) as response:
                        if not response.is_redirect:
                            return _body(response, url)
                        url = urljoin(url, response.headers["location"])
                except (requests.RequestException, ValueError) as error:
                    return _problem(error, url)
                if refused := self._refused_target(url):
                    return Problem("connection", f"Fetching {url}: Invalid {refused} in redirect target")
        return Problem("connection", f"Fetching {url}: Too many redirects")

    def _refused_target(self, url: str) -> str | None:
        """
        Return the part of *url* that makes the CA refuse a redirect to it; None if the CA follows the
        redirect.
        """
        try:
            parts = urlsplit(url)
            port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
        except ValueError:
            return "host"
        if parts.scheme not in ("http", "https"):
            return "protocol scheme"
        return None if port in (80, 443, self.port) else "port"

    def _get(self, session: requests.Session, url: str) -> requests.Response:
        parts = urlsplit(url)
        port = parts.port
        if parts.scheme == "http" and port in (None, 80):
            port = (
                self.local_port if self.local_port and _is_this_machine(parts.hostname or "") else self.port
            )
        host = _bracketed(self.resolve(parts.hostname or ""))
        target = parts._replace(netloc=host if port is None else f"{host}:{port}").geturl()
        return session.get(
            target,
            headers={"Host": parts.netloc, "User-Agent": "certworker development CA"},
            timeout=TIMEOUT_SECONDS,
            allow_redirects=False,
            stream=True,
            verify=False,
        )


@dataclass(frozen=True)
class DnsValidator:
    """
    Queries one name server for the TXT records of challenges.
    """

    #: The address and the port of a resolver, or of a server that is authoritative for the names.
    server: tuple[str, int]

    def validate(self, name: str, key_authorization: str) -> Problem | None:
        """
        Return why the TXT records of *name* do not prove *key_authorization*; None if they do.
        """
        challenge = Dns01Challenge(name, "", key_authorization)
        try:
            found = self._texts(challenge.fqdn)
        except dns.exception.Timeout:
            return Problem("dns", f"DNS problem: query timed out looking up TXT for {challenge.fqdn}")
        except (dns.exception.DNSException, OSError, ValueError) as error:
            return Problem(
                "dns", f"DNS problem: networking error looking up TXT for {challenge.fqdn}: {error}"
            )
        if isinstance(found, Problem) or challenge.value in found:
            return found if isinstance(found, Problem) else None
        if not found:
            return Problem("unauthorized", f"No TXT record found at {challenge.fqdn}", status=403)
        return Problem(
            "unauthorized", f'Incorrect TXT record "{found[0]}" found at {challenge.fqdn}', status=403
        )

    def _texts(self, owner: str) -> list[str] | Problem:
        name = dns.name.from_text(owner)
        for _ in range(MOST_ALIASES + 1):
            query = dns.message.make_query(name, "TXT")
            reply, _ = dns.query.udp_with_fallback(
                query, self.server[0], TIMEOUT_SECONDS, port=self.server[1], ignore_unexpected=True
            )
            if reply.rcode() != dns.rcode.NOERROR:
                code = dns.rcode.to_text(reply.rcode())
                return Problem("dns", f"DNS problem: {code} looking up TXT for {owner}")
            if not isinstance(reply, QueryMessage):
                return Problem("dns", f"DNS problem: no reply to the query looking up TXT for {owner}")
            chain = reply.resolve_chaining()
            if chain.answer is not None:
                return [b"".join(each.strings).decode("ascii", "backslashreplace") for each in chain.answer]
            if chain.canonical_name == name:
                return []
            name = chain.canonical_name
        return Problem("dns", f"DNS problem: too many CNAME records looking up TXT for {owner}")


def _is_this_machine(name: str) -> bool:
    return name == "localhost" or name.endswith(".localhost")


def _body(response: requests.Response, url: str) -> bytes | Problem:
    if response.status_code != 200:
        return Problem("unauthorized", f"Invalid response from {url}: {response.status_code}", status=403)
    body = b""
    for part in response.iter_content(LONGEST_RESPONSE + 1):
        body += part
        if len(body) > LONGEST_RESPONSE:
            return Problem("unauthorized", f"The response from {url} is too long.", status=403)
    return body


def _problem(error: Exception, url: str) -> Problem:
    """
    Return the problem of *error* in the words of Let's Encrypt, by which clients recognize the cause.
    """
    if found := re.search(r"Failed to resolve '([^']+)' \((.+?)\)", str(error)):
        # `getaddrinfo` does not always distinguish an unknown name from a resolver without an answer.
        return Problem("dns", f"no valid A records found for {found[1]}; {found[2]}")
    text = f"{type(error).__name__} {error}"
    for pattern, kind, cause in CAUSES:
        if re.search(pattern, text):
            return Problem(kind, f"Fetching {url}: {cause}")
    return Problem("connection", f"Fetching {url}: {error}")


def _bracketed(host: str) -> str:
    try:
        return f"[{host}]" if ip_address(host).version == 6 else host
    except ValueError:
        return host
