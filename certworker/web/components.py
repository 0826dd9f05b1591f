"""
The components that the views use.
"""

from __future__ import annotations

from dataclasses import dataclass

from certworker.dashboard.actions import Actions
from certworker.dashboard.names import NameIndex
from certworker.dashboard.sources import Sources
from certworker.web.access import Accesses


@dataclass(frozen=True)
class WebComponents:
    """
    The components that the views use.

    Attributes:
        sources: The settings, Redis and the volume.
        index: The names, with search and pages.
        actions: The requests for the worker.
        access: Finds the access of a request.
        secret_key: Signs the cookies.
        base_path: The path below which a reverse proxy serves the page.
    """

    sources: Sources
    index: NameIndex
    actions: Actions
    access: Accesses
    secret_key: str
    base_path: str = ""
