"""
The time for each test: its share of the environment variable MINUTES, and at least one example.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings

MINUTES = float(os.environ.get("MINUTES") or 1)

#: The number of processes among which pytest-xdist divides the tests.
PROCESSES = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT") or 1)

#: Additional time for a test, for its servers and for the reduction of a failing example.
GRACE_SECONDS = 120

# The time limits a test, not a number of examples. A failing example prints the decorator that repeats it.
settings.register_profile(
    "fuzz",
    deadline=None,
    derandomize=False,
    database=None,
    max_examples=200,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
settings.load_profile("fuzz")

SHARE = pytest.StashKey[float]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """
    Divide the time among the tests.
    """
    ours = [item for item in items if Path(__file__).parent in item.path.parents]
    for item in ours:
        item.stash[SHARE] = MINUTES * 60 * PROCESSES / len(ours)
        item.add_marker(pytest.mark.timeout(item.stash[SHARE] + GRACE_SECONDS))


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """
    Repeat a Hypothesis test with new examples until its share of the time has passed.
    """
    inner = getattr(getattr(pyfuncitem.obj, "hypothesis", None), "inner_test", None)
    if inner is None:
        return None
    handle = pyfuncitem.obj.hypothesis
    handle.inner_test = _within(inner, end := time.monotonic() + pyfuncitem.stash[SHARE])
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    try:
        pyfuncitem.obj(**arguments)
        while time.monotonic() < end:
            pyfuncitem.obj(**arguments)
    finally:
        handle.inner_test = inner
    return True


def _within(test: Callable[..., object], end: float) -> Callable[..., object]:
    """
    Return *test* with a time limit: it does nothing after *end*, unless it has failed.
    """
    begun = failed = False

    @wraps(test)
    def run(*arguments: Any, **keywords: Any) -> None:
        nonlocal begun, failed
        if begun and not failed and time.monotonic() >= end:
            return
        begun = True
        try:
            test(*arguments, **keywords)
        except Exception:
            failed = True
            raise

    return run
