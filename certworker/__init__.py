"""
certworker: a name on the queue becomes a padlock, and keeps it.

For other Python programs there is one function::

    from certworker import request_certificate

    request_certificate("api.example.org")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from certworker.worker.producer import request_certificate

__all__ = ["request_certificate"]


def __getattr__(name: str) -> Any:
    # Most who import this package need no Redis client; it is imported by the first who asks.
    if name == "request_certificate":
        from certworker.worker.producer import request_certificate

        return request_certificate
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
