"""
Takes one check away: then exactly its scenes have to fail.

::

    pytest -p tests.scenarios.mutation --without "port 80" tests/scenarios -k test_scene

Green means: each scene of that check fails without it, and no other one does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from certworker.doctor import domain
from certworker.preflight import checkers
from certworker.preflight.result import Check, MachineCheck
from certworker.preflight.runner import PreflightRunner


def pytest_addoption(parser: pytest.Parser) -> None:
    """
    The check that is taken away.
    """
    parser.addoption(
        "--without", required=True, help="the name of a check in certworker/preflight/checkers.py"
    )


def pytest_configure(config: pytest.Config) -> None:
    """
    Take it from the list of jobs, and from that of the doctor.
    """
    without = str(config.getoption("--without"))
    made, listed = PreflightRunner.__init__, checkers.domain_checks

    def make(
        self: PreflightRunner,
        inspections: Sequence[MachineCheck],
        checks: Sequence[Check],
        *others: Any,
        **more: Any,
    ) -> None:
        made(self, _others(inspections, without), _others(checks, without), *others, **more)

    def list_them(*arguments: Any) -> list[Check]:
        return _others(listed(*arguments), without)

    _replace(PreflightRunner, "__init__", make)
    _replace(domain, "domain_checks", list_them)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """
    Its scenes have to fail.
    """
    for item in items:
        scene = getattr(item, "callspec", None) and item.callspec.params.get("scene")  # type: ignore[attr-defined]
        if scene and scene.check == config.getoption("--without"):
            item.add_marker(pytest.mark.xfail(strict=True, reason="its check was taken away"))


def _others(those: Sequence[Any], without: str) -> list[Any]:
    return [each for each in those if each.name != without]


def _replace(owner: object, name: str, by: Callable[..., object]) -> None:
    setattr(owner, name, by)
