"""
certworker issues and renews a TLS certificate for each requested name, and puts it into service.

Other Python programs call one function::

    from certworker import request_certificate

    request_certificate("api.example.org")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from certworker.worker.producer import request_certificate

__all__ = ["request_certificate"]


def __getattr__(name: str) -> Any:
    # Most importers of this package do not need the Redis client.
    if name == "request_certificate":
        from certworker.worker.producer import request_certificate

        return request_certificate
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
