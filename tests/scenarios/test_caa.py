"""
Scenarios of CAA records, in which the CA has the name "localhost".
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.scenarios.installation import HERE, NAME, Installation
from tests.scenarios.scenario import Scenario, check_scenario, each_scenario


def caa(*records: str) -> Callable[[Installation], object]:
    """
    Return a step that publishes the CAA *records*.
    """
    return lambda installation: installation.rows.update(CAA=list(records))


def behind_an_alias(installation: Installation) -> None:
    """
    Make the name an alias of a name with CAA records.
    """
    installation.points_to()
    installation.rows["CNAME"] = ["edge.cdn.net"]
    installation.add_zone("cdn.net")
    installation.dns.servers[-1].rows["edge.cdn.net"] = {"A": [HERE], "CAA": ['0 issue "digicert.com"']}


def at_the_parent(installation: Installation) -> None:
    """
    Publish CAA records only at the parent domain.
    """
    installation.name = "www.shop.org"
    installation.zone.rows["www.shop.org"] = {"A": [HERE]}
    caa('0 issue "digicert.com"')(installation)


SCENARIOS = [
    Scenario(
        "another CA only",
        "caa.forbidden",
        caa('0 issue "digicert.com"'),
        'shop.org. CAA 0 issue "localhost"',
        check="CAA",
    ),
    Scenario(
        "another CA only, at the parent domain",
        "caa.forbidden",
        at_the_parent,
        'shop.org. CAA 0 issue "localhost"',
        check="CAA",
    ),
    Scenario("all CAs", "caa.deny_all", caa('0 issue ";"'), 'shop.org. CAA 0 issue "localhost"', check="CAA"),
    Scenario(
        "validation by DNS only",
        "caa.method",
        caa('0 issue "localhost; validationmethods=dns-01"'),
        "validationmethods=dns-01,http-01",
        check="CAA",
    ),
    Scenario(
        "another account only",
        "caa.account",
        caa('0 issue "localhost; accounturi=https://ca.example/acct/1"'),
        'shop.org. CAA 0 issue "localhost"',
        check="CAA",
    ),
    Scenario(
        "a critical property that is unknown",
        "caa.critical_unknown",
        caa('128 foo "bar"'),
        'shop.org. CAA 0 foo "bar"',
        check="CAA",
    ),
    Scenario(
        "the CAA records of an alias target",
        "caa.via_cname",
        behind_an_alias,
        'edge.cdn.net. CAA 0 issue "localhost"',
        check="CAA",
    ),
    Scenario(
        "a CAA query that fails",
        "caa.lookup_failed",
        lambda installation: (
            installation.zone.codes.update({(NAME, "CAA"): "SERVFAIL"}),
            installation.dns.resolver.codes.update({(NAME, "CAA"): "SERVFAIL"}),
        ),
        "dig CAA shop.org",
        check="CAA",
    ),
    Scenario(
        "a CAA query that the server does not understand",
        "caa.lookup_failed",
        lambda installation: (
            installation.zone.codes.update({(NAME, "CAA"): "NOTIMP"}),
            installation.dns.resolver.codes.update({(NAME, "CAA"): "NOTIMP"}),
        ),
        "https://letsencrypt.org/docs/caa/",
        check="CAA",
    ),
    Scenario(
        "an invalid CAA record beside a valid one",
        "caa.syntax",
        caa('0 issue "local host"', '0 issue "localhost"'),
        'shop.org. CAA 0 issue "localhost"',
        asked=True,
        check="CAA",
        shows="warning",
    ),
]


@each_scenario(SCENARIOS)
def test_scenario(scenario: Scenario, installation: Installation, caplog: pytest.LogCaptureFixture) -> None:
    """
    The remedy names the record to add or change, and its domain.
    """
    check_scenario(scenario, installation, caplog)
