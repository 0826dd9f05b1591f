"""
The composition of the application: builds its components from the settings and Redis.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime

from flask import Flask
from redis import Redis

from certworker.dashboard.actions import Actions
from certworker.dashboard.names import NameIndex
from certworker.dashboard.sources import Sources
from certworker.settings import Settings
from certworker.web.access import Accesses
from certworker.web.access.sessions import EndedSessions
from certworker.web.application import build_application
from certworker.web.components import WebComponents
from certworker.web.queue import mount_queue
from certworker.web.tokens import TokenFile


def application_of(
    settings: Settings,
    connection: Redis,
    tokens: TokenFile,
    clock: Callable[[], datetime],
    *,
    secret_key: str,
    open_on_loopback: bool,
    stack: ExitStack,
) -> Flask:
    """
    Return the application of an installation.

    Args:
        settings: The settings of the installation.
        connection: The connection to Redis.
        tokens: The file with the tokens.
        clock: Returns the current time in UTC.
        secret_key: Signs the cookies.
        open_on_loopback: Whether this machine may read without a token while the file is missing.
        stack: Stops the threads of the application when it is closed.
    """
    sources = Sources.of(settings, connection, clock)
    index = NameIndex(sources)
    stack.callback(index.stop)
    access = Accesses(
        tokens,
        open_on_loopback=open_on_loopback,
        proxies=settings.web.proxies,
        sessions=EndedSessions(connection),
        header=settings.web.trusted_header,
    )
    application = build_application(
        WebComponents(
            sources=sources,
            index=index,
            actions=Actions(sources),
            access=access,
            secret_key=secret_key,
            base_path=settings.web.path,
        )
    )
    mount_queue(application, connection)
    return application
