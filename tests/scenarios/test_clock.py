"""
Scenarios of the clock.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.scenarios.installation import Installation
from tests.scenarios.scenario import DAY, HOUR, MINUTE, Scenario, check_scenario, each_scenario


def apart(span: timedelta) -> Callable[[Installation], object]:
    """
    Return a step that puts the clock of the app ahead by *span*.
    """
    return lambda installation: setattr(installation, "clock_error", span)


SCENARIOS = [
    Scenario("three hours ahead", "clock.skew", apart(3 * HOUR), "timedatectl", check="clock"),
    Scenario("three hours behind", "clock.skew", apart(-3 * HOUR), "timedatectl set-ntp true", check="clock"),
    Scenario("a year behind", "clock.skew", apart(-365 * DAY), "timedatectl set-ntp true", check="clock"),
    Scenario(
        "ten minutes behind",
        "clock.skew",
        apart(-10 * MINUTE),
        "timedatectl set-ntp true",
        asked=True,
        check="clock",
        shows="warning",
    ),
]


@each_scenario(SCENARIOS)
def test_scenario(scenario: Scenario, installation: Installation, caplog: pytest.LogCaptureFixture) -> None:
    """
    certworker reports the difference, and the remedy has the command that sets the clock.
    """
    check_scenario(scenario, installation, caplog)
