"""
A4: whether CAA records allow the CA, which is called "localhost" there.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.scenarios.scenario import Scene, play, played
from tests.scenarios.worlds import HERE, NAME, Stage


def caa(*records: str) -> Callable[[Stage], object]:
    """
    The domain has these CAA records.
    """
    return lambda stage: stage.rows.update(CAA=list(records))


def behind_an_alias(stage: Stage) -> None:
    """
    The records of another company apply.
    """
    stage.points_to()
    stage.rows["CNAME"] = ["edge.cdn.net"]
    stage.another_zone("cdn.net")
    stage.dns.servers[-1].rows["edge.cdn.net"] = {"A": [HERE], "CAA": ['0 issue "digicert.com"']}


def at_the_parent(stage: Stage) -> None:
    """
    The name has none of its own.
    """
    stage.name = "www.shop.org"
    stage.zone.rows["www.shop.org"] = {"A": [HERE]}
    caa('0 issue "digicert.com"')(stage)


SCENES = [
    Scene(
        "another CA only",
        "caa.forbidden",
        caa('0 issue "digicert.com"'),
        'shop.org. CAA 0 issue "localhost"',
        check="CAA",
    ),
    Scene(
        "another CA only, says the parent",
        "caa.forbidden",
        at_the_parent,
        'shop.org. CAA 0 issue "localhost"',
        check="CAA",
    ),
    Scene("all CAs", "caa.deny_all", caa('0 issue ";"'), 'shop.org. CAA 0 issue "localhost"', check="CAA"),
    Scene(
        "by DNS only",
        "caa.method",
        caa('0 issue "localhost; validationmethods=dns-01"'),
        "validationmethods=dns-01,http-01",
        check="CAA",
    ),
    Scene(
        "another account only",
        "caa.account",
        caa('0 issue "localhost; accounturi=https://ca.example/acct/1"'),
        'shop.org. CAA 0 issue "localhost"',
        check="CAA",
    ),
    Scene(
        "a critical property that is unknown",
        "caa.critical_unknown",
        caa('128 foo "bar"'),
        'shop.org. CAA 0 foo "bar"',
        check="CAA",
    ),
    Scene(
        "an alias brings the records of its owner",
        "caa.via_cname",
        behind_an_alias,
        'edge.cdn.net. CAA 0 issue "localhost"',
        check="CAA",
    ),
    Scene(
        "the question fails",
        "caa.lookup_failed",
        lambda stage: (
            stage.zone.codes.update({(NAME, "CAA"): "SERVFAIL"}),
            stage.dns.resolver.codes.update({(NAME, "CAA"): "SERVFAIL"}),
        ),
        "dig CAA shop.org",
        check="CAA",
    ),
    Scene(
        "the question is not understood",
        "caa.lookup_failed",
        lambda stage: (
            stage.zone.codes.update({(NAME, "CAA"): "NOTIMP"}),
            stage.dns.resolver.codes.update({(NAME, "CAA"): "NOTIMP"}),
        ),
        "https://letsencrypt.org/docs/caa/",
        check="CAA",
    ),
    Scene(
        "a record with a mistake beside a good one",
        "caa.syntax",
        caa('0 issue "local host"', '0 issue "localhost"'),
        'shop.org. CAA 0 issue "localhost"',
        asked=True,
        check="CAA",
        shows="warning",
    ),
]


@played(SCENES)
def test_scene(scene: Scene, stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """
    The line tells the record to add or to change, and where it stands.
    """
    play(scene, stage, caplog)
