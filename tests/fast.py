"""
Select the fast tests: `pytest -p tests.fast`, which is `make test-fast`.

No name of a test is in a list. A test is slow if a fixture or a module that it uses starts a worker process,
a program, a CA or another server than Redis, or if it has the marker `slow` or a time limit of its own.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

#: What a fast test may use of the servers of the tests: one Redis for all, and ports.
FAST_SERVERS = {"tests.servers.redis", "tests.servers.ports"}
#: What starts programs, makes many examples of each test, or opens a whole CA.
SLOW = (
    "subprocess",
    "multiprocessing",
    "pty",
    "hypothesis",
    "certworker.devca",
    "tests.servers.",
    "tests.scenarios",
    "tests.app_fixture",
)
SLOW_FIXTURES = {"pebble", "worker", "own_redis", "authority", "app_authority", "app", "dns_world"}


def is_slow(item: pytest.Item) -> bool:
    """
    Return whether *item* is not for the inner loop.
    """
    if any(item.get_closest_marker(marker) for marker in ("timeout", "slow")):
        return True
    if SLOW_FIXTURES.intersection(getattr(item, "fixturenames", ())):
        return True
    return imports_slow(item.path)


@cache
def imports_slow(path: Path) -> bool:
    """
    Return whether the module at *path* uses what is slow, directly or by another module of the tests.
    """
    for name in imported(path) - FAST_SERVERS:
        if name.startswith(SLOW):
            return True
        module = ROOT / f"{name.replace('.', '/')}.py"
        if name.startswith("tests.") and module != path and module.is_file() and imports_slow(module):
            return True
    return False


def imported(path: Path) -> set[str]:
    """
    Return the modules that the one at *path* imports.
    """
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """
    Keep the fast tests.
    """
    slow = [item for item in items if is_slow(item)]
    config.hook.pytest_deselected(items=slow)
    chosen = set(map(id, slow))
    items[:] = [item for item in items if id(item) not in chosen]
