"""
Is the domain theirs? HTTP-01, fetched as a public CA would (RFC 8555, section 8.3).

Two rules are the CA's own: ``localhost`` and ``*.localhost`` are this machine (RFC 6761, section 6.3),
and port 80 may be another one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

from certworker.answer import CHALLENGE_PATH
from certworker.development.problems import Problem

# A public CA follows a redirect to https whatever certificate stands there; nobody has to be warned of it.
urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)

#: As Boulder has them: what it waits, reads and follows.
PATIENCE_SECONDS = 10
LONGEST_ANSWER = 127
MOST_REDIRECTS = 10


def resolve(name: str) -> str:
    """
    The host to connect to for *name*: this machine for ``*.localhost``, else the resolver's answer.
    """
    return "127.0.0.1" if _is_this_machine(name) else name


@dataclass(frozen=True)
class Validator:
    """
    Looks for the answer to a challenge.
    """

    port: int = 80
    resolve: Callable[[str], str] = resolve
    #: The port of this machine, for `localhost` and the names under it; None: the same.
    local_port: int | None = None

    def look(self, name: str, token: str, key_authorization: str) -> Problem | None:
        """
        Why *name* does not answer *token* with *key_authorization*; None: it does.
        """
        url = f"http://{_bracketed(name)}{CHALLENGE_PATH}{token}"
        try:
            answer = self._fetch(url)
        except (requests.RequestException, ValueError) as error:
            # A ValueError is a redirect to something that is no URL.
            return Problem("connection", f"{name}: fetching {url}: {_cause(error)}")
        if isinstance(answer, Problem):
            return answer
        if answer.rstrip() != key_authorization.encode():
            shown = answer.decode("utf-8", "backslashreplace")
            return Problem(
                "unauthorized",
                f'{name}: the answer at {url} is not "{key_authorization}" but "{shown}".',
                status=403,
            )
        return None

    def _fetch(self, url: str) -> bytes | Problem:
        with requests.Session() as session:
            session.trust_env = False
            for _ in range(MOST_REDIRECTS + 1):
                with self._get(session, url) as response:
                    if not response.is_redirect:
                        return _body(response, url)
                    url = urljoin(url, response.headers["location"])
                parts = urlsplit(url)
                port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
                if port not in (80, 443, self.port):
                    return Problem("connection", f"Invalid port or scheme in redirect target {url}.")
        return Problem("connection", f"Too many redirects; the last one went to {url}.")

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
            timeout=PATIENCE_SECONDS,
            allow_redirects=False,
            stream=True,
            verify=False,
        )


def _is_this_machine(name: str) -> bool:
    return name == "localhost" or name.endswith(".localhost")


def _body(response: requests.Response, url: str) -> bytes | Problem:
    if response.status_code != 200:
        return Problem("unauthorized", f"Invalid response from {url}: {response.status_code}", status=403)
    body = b""
    for part in response.iter_content(LONGEST_ANSWER + 1):
        body += part
        if len(body) > LONGEST_ANSWER:
            return Problem("unauthorized", f"The answer from {url} is too long.", status=403)
    return body


def _cause(error: Exception) -> str:
    if isinstance(error, requests.Timeout):
        return "Timeout during connect (likely firewall problem)"
    if isinstance(error, requests.ConnectionError) and "refused" in str(error):
        return "Connection refused"
    return type(error).__name__


def _bracketed(host: str) -> str:
    try:
        return f"[{host}]" if ip_address(host).version == 6 else host
    except ValueError:
        return host
