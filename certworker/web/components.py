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
        index: Searches the names, and returns them by page.
        actions: The actions on names.
        access: Finds the access of a request.
        secret_key: Signs the cookies.
        base_path: The path under which a reverse proxy serves the page and the API; empty for the root.
    """

    sources: Sources
    index: NameIndex
    actions: Actions
    access: Accesses
    secret_key: str
    base_path: str = ""
