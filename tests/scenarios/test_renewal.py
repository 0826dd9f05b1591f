"""
Scenarios of failed renewals, and of certificates that expire soon.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.scenarios.installation import NAME, Installation
from tests.scenarios.scenario import DAY, SOON, Scenario, attempt, check_scenario, each_scenario, job
from tests.servers.fault_injection import Fault
from tests.servers.web import always


def later(build: Callable[[Installation], object], failures: int = 0) -> Callable[[Installation], object]:
    """
    Return a step that issues a certificate, runs *build*, and runs *failures* renewals that fail.
    """

    def built(installation: Installation) -> None:
        installation.arguments["force"] = True
        installation.before += [attempt(NAME), lambda _app: build(installation)]
        installation.before += [lambda app: job(app, NAME, force=True)] * failures

    return built


def weeks_of_failures(installation: Installation) -> None:
    """
    Run renewals that fail until the certificate has five days left.
    """
    later(lambda _installation: installation.ca.fail("newOrder", Fault(500), times=None), failures=2)(
        installation
    )
    installation.before.append(lambda _app: setattr(installation, "elapsed", 85 * DAY))


def moved(installation: Installation) -> None:
    """
    Point the name to another server.
    """
    installation.serve(always(404))


def forbidden(installation: Installation) -> None:
    """
    Publish CAA records that forbid the CA.
    """
    installation.rows["CAA"] = ['0 issue "digicert.com"']


SCENARIOS = [
    Scenario(
        "CAA records that forbid the CA: for a renewal, the CA decides",
        "caa.forbidden",
        later(forbidden),
        'shop.org. CAA 0 issue "localhost"',
        asked=True,
        check="CAA",
        shows="warning",
    ),
    Scenario(
        "a site that has moved: after a failure the CA is not asked again that day",
        "http.404",
        later(moved, failures=1),
        "Point the A record of shop.org to this server",
        retry_after=timedelta(minutes=5),
        check="port 80",
    ),
    Scenario(
        "an internal error of the CA at the time of the renewal",
        "ca.server_internal",
        later(lambda installation: installation.ca.fail("newOrder", Fault(500), times=None)),
        "certworker retries soon",
        asked=True,
        retry_after=SOON,
    ),
    Scenario(
        "weeks of failures",
        "renew.overdue",
        weeks_of_failures,
        "Next step: No action is needed",
        shows="loop",
    ),
]


@each_scenario(SCENARIOS)
def test_scenario(scenario: Scenario, installation: Installation, caplog: pytest.LogCaptureFixture) -> None:
    """
    The current certificate stays in service, and the log line has the cause of the failure.
    """
    check_scenario(scenario, installation, caplog)

    assert 1 == len(list(installation.directory.glob(f"config/{NAME}.yml")))
