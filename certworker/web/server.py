"""
The server of the page and the API.

The server listens immediately, and loads the application at the first request. So a worker with an unused
page starts as fast, and uses as little memory, as a worker without the page.
"""

from __future__ import annotations

import importlib.util
import logging
import secrets
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import Any

from redis import Redis

from certworker.errors import CertworkerError
from certworker.errors.config import AddressNotUsable
from certworker.hosts import with_port
from certworker.http.listener import Application, Listener
from certworker.http.throttle import HEADERS, Bounds
from certworker.redis.client import connect
from certworker.settings import HttpAddress, Settings
from certworker.storage import durable
from certworker.storage.shared_directory import WriteLock
from certworker.supervision import Faults, Loop
from certworker.validity import now_in_utc
from certworker.web.cpu_share import CpuShare
from certworker.web.tokens import TokenFile, UnusableTokens

logger = logging.getLogger(__name__)

BOUNDS = Bounds(
    "the page",
    # A browser opens up to six connections, and each stream of events occupies one.
    connections=200,
    threads=12,
    # No pause after a client error: the user reads it, and the lockout stops guesses.
    pause_seconds=0,
    read_at_once=16 * 1024,
    # A browser sends the cookies of all services on the same host.
    longest_header=32 * 1024,
    longest_body=256 * 1024,
    unread=1024 * 1024,
    ahead=1,
    pipelined=2,
)

#: How long a thread may run while another one waits for the interpreter. A job waits for it after each read
#: and write. The default of Python is 5 ms, which is as long as the page needs for a response.
SWITCH_SECONDS = 0.0005

#: A request that would wait longer for the processor gets 503 immediately.
LONGEST_PAUSE_SECONDS = 5.0

#: A package of the extra `certworker[web]`, without which there is no page.
NEEDED = "flask"
INSTALLATION = "pip install 'certworker[web]'"

#: The directory in the state directory, and its files.
DIRECTORY = "web"
TOKENS = "tokens.json"
KEY = "session.key"
#: The number of hexadecimal digits of the key.
KEY_DIGITS = 64


class WebServer:
    """
    The server of the page and the API, in its own thread.

    Attributes:
        loop: The loop and its heartbeat.
    """

    def __init__(
        self,
        address: HttpAddress,
        load: Callable[[ExitStack], Application],
        *,
        base_path: str = "",
        share: CpuShare | None = None,
    ) -> None:
        """
        Args:
            address: Where to listen; port 0 selects a free port.
            load: Loads the application. Closing the stack that it gets stops the threads of the application.
            base_path: The path under which a reverse proxy serves the page and the API; empty for the root.
            share: Limits the processor time; None: no limit.
        """
        self._load = load
        self._share = share
        self._stack = ExitStack()
        self._loading = Lock()
        self._application: Application | None = None
        self._faults = Faults("the page")
        self._listener = Listener(
            address,
            self._answer,
            BOUNDS,
            name="web",
            variable="CERTWORKER_WEB_ADDRESS",
            prefix=base_path,
            is_always_quick=False,
        )
        self.loop = self._listener.loop

    @property
    def port(self) -> int:
        """
        Return the port that the server listens on.
        """
        return self._listener.port

    def start(self) -> None:
        """
        Start the server, which accepts requests as soon as this method returns.

        Raises:
            AddressNotUsable: The server cannot listen on the address.
        """
        self._listener.start()

    def stop(self) -> None:
        """
        Close the server, and stop the threads of the application; do nothing if the server never started.
        """
        self._listener.stop()
        self._stack.close()

    def _answer(self, request: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
        try:
            with self._loading:
                if self._application is None:
                    self._application = self._load(self._stack)
        except Exception as error:
            self._faults.failed(error)
            reason = b"The page cannot be loaded. The log has the reason.\n"
            return _unavailable(request, reason, start_response)
        if self._share is None:
            return self._application(request, start_response)
        pause = self._share.pause_seconds()
        if pause > LONGEST_PAUSE_SECONDS:
            return _unavailable(request, b"The page is busy, and the jobs come first.\n", start_response)
        time.sleep(pause)
        began = time.thread_time()
        try:
            return self._application(request, start_response)
        finally:
            self._share.spend(time.thread_time() - began)


def _unavailable(
    request: dict[str, Any], body: bytes, start_response: Callable[..., object]
) -> Iterable[bytes]:
    headers = [
        ("Content-Type", "text/plain"),
        ("Content-Length", str(len(body))),
        ("Retry-After", f"{LONGEST_PAUSE_SECONDS:.0f}"),
        *HEADERS,
    ]
    start_response("503 Service Unavailable", headers)
    # After HEAD, a client would read a body as the beginning of the next response.
    return [] if request["REQUEST_METHOD"] == "HEAD" else [body]


def is_installed() -> bool:
    """
    Return whether the extra `certworker[web]` is installed.
    """
    return importlib.util.find_spec(NEEDED) is not None


def tokens_of(settings: Settings) -> TokenFile:
    """
    Return the file with the tokens: the configured file, or the default one in the state directory.
    """
    return TokenFile(settings.web.tokens_file or settings.state_dir / DIRECTORY / TOKENS)


def web_server(
    settings: Settings,
    connection: Redis,
    address: HttpAddress,
    clock: Callable[[], datetime] = now_in_utc,
    *,
    share: CpuShare | None = None,
) -> WebServer:
    """
    Return the server of the page of an installation. It uses the volume and Redis, and needs no worker.

    Args:
        settings: The settings of the installation.
        connection: The connection to Redis.
        address: Where to listen.
        clock: Returns the current time in UTC.
        share: Limits the processor time, for a server in the process of a worker; None: no limit.
    """

    def load(stack: ExitStack) -> Application:
        # An import at the start would take a third of the start time of a worker.
        from certworker.web.composition import application_of

        if share:
            sys.setswitchinterval(SWITCH_SECONDS)
        is_open = settings.web.tokens_file is None and address.is_loopback
        key = session_key(settings.state_dir / DIRECTORY / KEY)
        return application_of(
            *(settings, connection, tokens_of(settings), clock),
            secret_key=key,
            open_on_loopback=is_open,
            stack=stack,
        )

    return WebServer(address, load, base_path=settings.web.path, share=share)


def page_connection(settings: Settings) -> Redis:
    """
    Return a connection for :func:`web_server`: a Redis that hangs must not block the few threads of the page.
    """
    return connect(settings.redis, connections=2 * BOUNDS.threads, is_patient=False)


def start_page(settings: Settings, stack: ExitStack, clock: Callable[[], datetime]) -> list[Loop]:
    """
    Start the page of a worker. Closing *stack* stops it.

    Return a list with the loop of the page; an empty list if there is no page.

    A worker without the page is better than no worker. So an unusable address is an error only if the
    operator has set it.

    Raises:
        AddressNotUsable: The server cannot listen on the address that the operator has set.
    """
    address = settings.web.address
    if address is None:
        return []
    if not is_installed():
        logger.info("the page in the browser needs more packages; to install them: %s", INSTALLATION)
        return []
    connection = stack.enter_context(page_connection(settings))
    server = web_server(settings, connection, address, clock, share=CpuShare())
    try:
        server.start()
    except AddressNotUsable as failure:
        if "address" in settings.web.model_fields_set:
            raise
        # Another program may use the default address of the page.
        logger.warning("the page did not start: %s", failure, extra={"code": failure.code})
        return []
    stack.callback(server.stop)
    log_address(settings, address, clock)
    return [server.loop]


def log_address(settings: Settings, address: HttpAddress, clock: Callable[[], datetime] = now_in_utc) -> None:
    """
    Log the address of the page.

    If other machines can connect, and the default file with the tokens is missing, also create the first
    token and log it.
    """
    url = url_of(address, settings.web.path)
    tokens = tokens_of(settings)
    if settings.web.tokens_file or address.is_loopback or not tokens.is_missing():
        logger.info("the page is at %s", url, extra={"event": "start"})
        return
    try:
        token = tokens.create("admin", None, clock)
    except (CertworkerError, UnusableTokens) as error:
        logger.warning("the page is at %s, but the first token cannot be stored: %s", url, error)
        return
    logger.info(
        "the page is at %s; the first token, which is shown only once, has the role admin: %s",
        f"{url}login",
        token,
        extra={"event": "start"},
    )


def url_of(address: HttpAddress, base_path: str) -> str:
    """
    Return the URL of the page for a browser on this machine.
    """
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host, address.host)  # noqa: S104 (compared only)
    return f"http://{with_port(host, address.port)}{base_path}/"


def session_key(path: Path) -> str:
    """
    Return the key that signs the cookies, from the file at *path*. If the file has none, store a new key.

    If the key cannot be stored, it is new at each start, and a restart ends all sessions.
    """
    if stored := _stored_key(path):
        return stored
    key = secrets.token_hex(KEY_DIGITS // 2)
    with suppress(CertworkerError):
        durable.make_directory(path.parent, 0o700)
        # Several processes that start at the same time all use the key of the first one.
        with WriteLock(path.with_name(f"{path.name}.lock")).held():
            if stored := _stored_key(path):
                return stored
            durable.write(path, f"{key}\n".encode(), 0o600)
    return key


def _stored_key(path: Path) -> str:
    with suppress(OSError, UnicodeDecodeError):
        key = durable.read(path, 2 * KEY_DIGITS).decode().strip()
        if len(key) == KEY_DIGITS:
            return key
    return ""
