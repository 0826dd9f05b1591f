"""
The sources of an installation with a real Redis, a real volume and the development CA.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from certworker.app import App
from certworker.dashboard.names import NameIndex
from certworker.dashboard.sources import Sources
from tests.cli.conftest import worker

__all__ = ["worker"]


@pytest.fixture
def sources(app: App) -> Sources:
    """
    Return the sources of `app`.
    """
    return Sources.of(app.settings, app.connection)


@pytest.fixture
def index(sources: Sources) -> Iterator[NameIndex]:
    """
    Return the index of the names of `app`, which stops with the test.
    """
    made = NameIndex(sources)
    yield made
    made.stop()
