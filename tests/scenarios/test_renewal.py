"""
A14: renewals of what works, and certificates whose end comes near.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.scenarios.scenario import DAY, SOON, Scene, job, play, played, tried
from tests.scenarios.worlds import NAME, Stage
from tests.servers.fault_injection import Fault
from tests.servers.web import always


def later(build: Callable[[Stage], object], again: int = 0) -> Callable[[Stage], object]:
    """
    A certificate works, and then the world changes; *again*: so many renewals have been tried since.
    """

    def built(stage: Stage) -> None:
        stage.arguments["force"] = True
        stage.before += [tried(NAME), lambda _app: build(stage)]
        stage.before += [lambda app: job(app, NAME, force=True)] * again

    return built


def weeks_of_failures(stage: Stage) -> None:
    """
    Renewals fail, and five days are left.
    """
    later(lambda _stage: stage.ca.fail("newOrder", Fault(500), times=None), again=2)(stage)
    stage.before.append(lambda _app: setattr(stage, "ahead", 85 * DAY))


def moved(stage: Stage) -> None:
    """
    The name leads to another server.
    """
    stage.serve(always(404))


def forbidden(stage: Stage) -> None:
    """
    Somebody has written CAA records.
    """
    stage.rows["CAA"] = ['0 issue "digicert.com"']


SCENES = [
    Scene(
        "the CA has the last word on what works",
        "caa.forbidden",
        later(forbidden),
        'shop.org. CAA 0 issue "localhost"',
        asked=True,
        check="CAA",
        shows="warning",
    ),
    Scene(
        "a site that has moved: after the first no the CA is not asked again today",
        "http.404",
        later(moved, again=1),
        "Point the A record of shop.org to this server",
        again=timedelta(minutes=5),
        check="port 80",
    ),
    Scene(
        "a CA that is away when the renewal is due",
        "ca.server_internal",
        later(lambda stage: stage.ca.fail("newOrder", Fault(500), times=None)),
        "certworker retries soon",
        asked=True,
        again=SOON,
    ),
    Scene(
        "weeks of failures",
        "renew.overdue",
        weeks_of_failures,
        "Next step: No action is needed",
        shows="beside",
    ),
]


@played(SCENES)
def test_scene(scene: Scene, stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """
    The old certificate serves on, and the line tells what threatens it.
    """
    play(scene, stage, caplog)

    assert 1 == len(list(stage.place.glob(f"config/{NAME}.yml")))
