"""
The HTTP server of the worker: challenge responses, health and metrics.

In import order::

    throttle  The connections to the HTTP port, and the server that accepts them
    server    ★ The HTTP server: challenge responses, health and metrics
"""

from certworker.http.server import HttpServer

__all__ = ["HttpServer"]
