"""
A13: the clock.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.scenarios.scenario import DAY, HOUR, MINUTE, Scene, play, played
from tests.scenarios.worlds import Stage


def apart(span: timedelta) -> Callable[[Stage], object]:
    """
    The clock of the house is ahead of everybody's.
    """
    return lambda stage: setattr(stage, "wrong", span)


SCENES = [
    Scene("three hours ahead", "clock.skew", apart(3 * HOUR), "timedatectl", check="clock"),
    Scene("three hours behind", "clock.skew", apart(-3 * HOUR), "timedatectl set-ntp true", check="clock"),
    Scene("a year behind", "clock.skew", apart(-365 * DAY), "timedatectl set-ntp true", check="clock"),
    Scene(
        "ten minutes behind",
        "clock.skew",
        apart(-10 * MINUTE),
        "timedatectl set-ntp true",
        asked=True,
        check="clock",
        shows="warning",
    ),
]


@played(SCENES)
def test_scene(scene: Scene, stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """
    The line tells by how much, and what keeps the time.
    """
    play(scene, stage, caplog)
