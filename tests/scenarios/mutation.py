"""
Remove one check from preflight and the doctor, and expect only its scenarios to fail.

::

    pytest -p tests.scenarios.mutation --without "port 80" tests/scenarios -k test_scenario

The run passes if each scenario of the check fails without the check, and no other scenario fails.
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
    Add the option with the name of the removed check.
    """
    parser.addoption(
        "--without", required=True, help="the name of a check in certworker/preflight/checkers.py"
    )


def pytest_configure(config: pytest.Config) -> None:
    """
    Remove the check from the list of jobs and from that of the doctor.
    """
    without = str(config.getoption("--without"))
    init, domain_checks = PreflightRunner.__init__, checkers.domain_checks

    def init_without(
        self: PreflightRunner,
        inspections: Sequence[MachineCheck],
        checks: Sequence[Check],
        *others: Any,
        **more: Any,
    ) -> None:
        init(self, _others(inspections, without), _others(checks, without), *others, **more)

    def domain_checks_without(*arguments: Any) -> list[Check]:
        return _others(domain_checks(*arguments), without)

    _replace(PreflightRunner, "__init__", init_without)
    _replace(domain, "domain_checks", domain_checks_without)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """
    Expect the scenarios of the check to fail.
    """
    for item in items:
        call = getattr(item, "callspec", None)
        scenario = call and call.params.get("scenario")
        if scenario and scenario.check == config.getoption("--without"):
            item.add_marker(pytest.mark.xfail(strict=True, reason="its check was removed"))


def _others(checks: Sequence[Any], without: str) -> list[Any]:
    return [check for check in checks if check.name != without]


def _replace(owner: object, name: str, by: Callable[..., object]) -> None:
    setattr(owner, name, by)
