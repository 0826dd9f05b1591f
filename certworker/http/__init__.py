"""
The HTTP server of a worker or a mirror: challenge responses, health and metrics.

The web server of the page and the API shares its listener and its limits of connections.

In import order (★ to read first)::

    throttle  The connections to a port, their limits, and the server that accepts them
    listener  A WSGI server on one address, in its own thread
    server    ★ The HTTP server: challenge responses, health and metrics
"""

from certworker.http.server import HttpServer

__all__ = ["HttpServer"]
