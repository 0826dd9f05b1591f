"""
The server of the page and the API, with an application of a test.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from flask import Flask

from certworker.settings import HttpAddress
from certworker.web.server import WebServer


@contextmanager
def serving(application: Flask) -> Iterator[str]:
    """
    Serve *application*; yield the URL of its API.
    """
    server = WebServer(HttpAddress("127.0.0.1", 0), lambda _: application)
    server.start()
    try:
        yield f"http://127.0.0.1:{server.port}/api/v1"
    finally:
        server.stop()
