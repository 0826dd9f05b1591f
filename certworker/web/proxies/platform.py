"""
Asks the platform, a program of the operator at the URL in the settings, whether it allows a name.

Each unknown name that a visitor sends could start a call. So the calls have a short deadline, few run at the
same time, and their results are cached.
"""

from __future__ import annotations

import http.client
import ssl
from base64 import b64encode
from threading import BoundedSemaphore
from urllib.parse import quote, unquote

from certworker.deadline import Deadline
from certworker.hosts import WEB_PORTS, web_url_in
from certworker.ttl_cache import TtlCache
from certworker.version import __version__

#: The deadline of a call. kamal-proxy waits two seconds for the response of certworker.
LONGEST_SECONDS = 1.5
#: The maximum number of simultaneous calls. Each occupies a thread that also serves handshakes.
MOST_CALLS = 4

#: How long the cache contains a name that the platform allows.
ALLOWED_SECONDS = 60.0
#: The same for any other name. A customer that the platform has just added waits at most this time.
DENIED_SECONDS = 10.0


class PlatformUnavailable(Exception):
    """
    The platform does not respond or fails, or too many calls are waiting for it. The message is a sentence.
    """


class Platform:
    """
    Asks the platform, and remembers its results.

    Args:
        results: The cache of the results by URL and name.
    """

    def __init__(self, results: TtlCache[tuple[str, str], bool] | None = None) -> None:
        self._results = TtlCache() if results is None else results
        self._places = BoundedSemaphore(MOST_CALLS)

    def allows(self, url: str, name: str) -> bool:
        """
        Return whether the platform at *url* allows the normalized *name*, which the status 200 means.

        Raises:
            PlatformUnavailable: The platform does not respond in time, fails, or has too many calls.
        """
        if (known := self._results.get((url, name))) is not None:
            return known
        if not self._places.acquire(blocking=False):
            raise PlatformUnavailable("Too many calls are waiting for the platform.")
        try:
            status = _status_of(url, name)
        except (OSError, http.client.HTTPException) as error:
            raise PlatformUnavailable("The platform does not respond.") from error
        finally:
            self._places.release()
        if status >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
            raise PlatformUnavailable(f"The platform responds with HTTP {status}.")
        is_allowed = status == http.HTTPStatus.OK
        self._results.put((url, name), is_allowed, ALLOWED_SECONDS if is_allowed else DENIED_SECONDS)
        return is_allowed


def _status_of(url: str, name: str) -> int:
    target, deadline = web_url_in(url), Deadline(LONGEST_SECONDS)
    user, _, host = target.netloc.rpartition("@")
    headers = {"Host": host, "User-Agent": f"certworker/{__version__}"}
    if user:
        headers["Authorization"] = f"Basic {b64encode(unquote(user).encode()).decode()}"
    connection = http.client.HTTPConnection(target.hostname or "")
    connection.sock = deadline.connect_to(target.hostname or "", target.port or WEB_PORTS[target.scheme])
    try:
        if target.scheme == "https":
            connection.sock = deadline.secure(connection.sock, ssl.create_default_context(), target.hostname)
        query = f"{target.query}&" if target.query else ""
        connection.request("GET", f"{target.path or '/'}?{query}domain={quote(name)}", headers=headers)
        # The body does not matter, and is not read. Redirects are not followed.
        return connection.getresponse().status
    finally:
        connection.close()
