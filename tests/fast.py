"""
Select the fast tests: `pytest -p tests.fast`, which is `make test-fast`.

A test is slow if it has the marker `slow` or a time limit of its own. It is also slow if a fixture or a
module that it uses starts a worker process, a program, a CA, or a server other than Redis.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

#: The modules of tests/servers that a fast test may use: one Redis for all tests, and ports.
FAST_SERVERS = {"tests.servers.redis", "tests.servers.ports"}
#: The modules that start programs, generate many examples of each test, or open a complete CA.
SLOW = (
    "subprocess",
    "multiprocessing",
    "pty",
    "hypothesis",
    "playwright",
    "certworker.devca",
    "tests.servers.",
    "tests.scenarios",
    "tests.app_fixture",
)
SLOW_FIXTURES = {"pebble", "worker", "own_redis", "authority", "app_authority", "app", "dns_world"}


def is_slow(item: pytest.Item) -> bool:
    """
    Return whether *item* is slow.
    """
    if any(item.get_closest_marker(marker) for marker in ("timeout", "slow")):
        return True
    if SLOW_FIXTURES.intersection(getattr(item, "fixturenames", ())):
        return True
    return imports_slow(item.path)


@cache
def imports_slow(path: Path) -> bool:
    """
    Return whether the module at *path* imports a slow module, directly or through another module of the
    tests.
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
    Return the modules that the module at *path* imports.
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
    Deselect the slow tests.
    """
    slow = [item for item in items if is_slow(item)]
    config.hook.pytest_deselected(items=slow)
    chosen = set(map(id, slow))
    items[:] = [item for item in items if id(item) not in chosen]
