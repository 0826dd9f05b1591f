"""
The components of the running application, and the values that every template gets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import current_app, g

from certworker.dashboard.actions import Actions
from certworker.dashboard.names import NameIndex
from certworker.dashboard.sources import Sources
from certworker.version import __version__

#: The views in the navigation: the endpoint, the title, and whether a tenant may see it.
VIEWS = (
    ("pages.overview", "Overview", True),
    ("pages.names", "Names", True),
    ("pages.doctor", "Doctor", False),
    ("pages.errors", "Errors", True),
)

#: The endpoints of each view in the navigation.
SECTIONS: Mapping[str, frozenset[str]] = {
    "pages.overview": frozenset({"pages.overview"}),
    "pages.names": frozenset(
        f"pages.{view}"
        for view in ("names", "request_certificate", "name", "records", "confirm_removal", "remove", "change")
    ),
    "pages.doctor": frozenset({"pages.doctor", "pages.examine"}),
    "pages.errors": frozenset({"pages.errors", "pages.error"}),
}


def sources() -> Sources:
    """
    Return the sources of the data.
    """
    found: Sources = current_app.extensions["certworker"].sources
    return found


def index() -> NameIndex:
    """
    Return the index of names.
    """
    found: NameIndex = current_app.extensions["certworker"].index
    return found


def actions() -> Actions:
    """
    Return the actions on the names.
    """
    found: Actions = current_app.extensions["certworker"].actions
    return found


def for_every_view() -> dict[str, Any]:
    """
    Return the values that the template of each view gets.
    """
    return {"now": sources().clock()}


def for_every_template() -> dict[str, Any]:
    """
    Return the values that every template gets, including the template of the login.
    """
    access = g.get("access")
    everything = access is not None and access.tenant is None
    return {
        "access": access,
        "may_operate": access is not None and access.may("operate"),
        "sections": SECTIONS,
        "version": __version__,
        "views": [(endpoint, title) for endpoint, title, shared in VIEWS if shared or everything],
    }
