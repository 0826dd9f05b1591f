"""
The HTTP server of the worker: challenge responses, health and metrics.

In the order in which they may import each other::

    throttle  The connections to the HTTP port, and the server that accepts them
    server    ★ What is answered at the door: challenges, the health of the worker, its metrics
"""

from certworker.http.server import HttpServer

__all__ = ["HttpServer"]
