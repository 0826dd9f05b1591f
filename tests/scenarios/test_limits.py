"""
A8: limits, the CA's and our own.
"""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from tests.scenarios.scenario import DAY, HOUR, Scene, play, played, refused_by_the_ca, tried
from tests.scenarios.worlds import HERE, Stage
from tests.servers.fault_injection import Fault

LINK = "https://ca.example/unpause?jwt=abc.def"


def limited(title: str, code: str, detail: str, remedy: str, seconds: int = 3600) -> Scene:
    """
    A scene with a CA that takes no order for so many seconds; the next check is within a day.
    """
    fault = Fault(429, "rateLimited", seconds, detail)
    return refused_by_the_ca(
        title, code, "newOrder", fault, remedy, again=min(timedelta(seconds=seconds), DAY)
    )


def our_own_caution(stage: Stage) -> None:
    """
    Two orders in three hours, one of which is kept for newcomers, and the other one is placed.
    """
    file = stage.place / "limits.json"
    file.write_text(json.dumps({stage.authority.directory_url: {"orders_per_account": "2/3h"}}))
    stage.settings["CERTWORKER_LIMITS_FILE"] = str(file)
    stage.zone.rows["www.shop.org"] = {"A": [HERE]}
    stage.before.append(tried("www.shop.org"))


def told_before(stage: Stage) -> None:
    """
    The CA has named the moment for another name of the account.
    """
    stage.ca.rate_limit(600, "too many new orders (300) from this account")
    stage.zone.rows["www.shop.org"] = {"A": [HERE]}
    stage.before.append(tried("www.shop.org"))


SCENES = [
    limited(
        "too many failures of this name",
        "rate.failed_validations",
        'too many failed authorizations (5) for "shop.org" in the last 1h0m0s',
        "certworker status shop.org",
    ),
    limited(
        "the same certificate five times this week",
        "rate.duplicate",
        "too many certificates (5) already issued for this exact set of identifiers in the last 168h0m0s",
        "CERTWORKER_CERTIFICATES_DIR",
        34 * 3600,
    ),
    limited(
        "a domain that many share",
        "rate.registered_domain",
        'too many certificates (50) already issued for "shop.org" in the last 168h0m0s',
        "_APP_DOMAIN",
    ),
    limited(
        "too many orders",
        "rate.new_orders",
        "too many new orders (300) from this account in the last 3h0m0s",
        "No action is needed",
        600,
    ),
    limited("a limit of an unknown type", "rate.busy", "not so fast", "No action is needed", 60),
    refused_by_the_ca(
        "a load balancer that has enough",
        "rate.busy",
        "newOrder",
        Fault(503, None, 120),
        "No action is needed",
        again=timedelta(seconds=120),
    ),
    refused_by_the_ca(
        "paused after months of failures",
        "rate.paused",
        "newOrder",
        Fault(
            429,
            "rateLimited",
            60,
            f"Your account is temporarily prevented from requesting certificates for x. Please visit: {LINK}",
        ),
        f"{LINK} and then run: certworker resume shop.org",
        again=DAY,
    ),
    Scene(
        "the budget of certworker",
        "rate.local_guard",
        our_own_caution,
        "--force --use-full-quota shop.org",
        again=HOUR,
    ),
    Scene(
        "a limit that another name has met",
        "rate.local_guard",
        told_before,
        "certworker retries then",
        again=timedelta(seconds=600),
    ),
]


@played(SCENES)
def test_scene(scene: Scene, stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """
    The line tells the moment, and what may be done meanwhile.
    """
    play(scene, stage, caplog)
