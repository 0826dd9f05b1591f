"""
Scenarios of the limits of the CA and of certworker.
"""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from tests.scenarios.installation import HERE, Installation
from tests.scenarios.scenario import (
    DAY,
    HOUR,
    Scenario,
    attempt,
    check_scenario,
    each_scenario,
    refused_by_the_ca,
)
from tests.servers.fault_injection import Fault

LINK = "https://ca.example/unpause?jwt=abc.def"


def limited(title: str, code: str, detail: str, remedy: str, seconds: int = 3600) -> Scenario:
    """
    Return a scenario with a CA that rejects orders for *seconds*. The next check is within a day.
    """
    fault = Fault(429, "rateLimited", seconds, detail)
    return refused_by_the_ca(
        title, code, "newOrder", fault, remedy, retry_after=min(timedelta(seconds=seconds), DAY)
    )


def used_budget(installation: Installation) -> None:
    """
    Allow two orders in three hours. One is reserved for new names, and the other is used.
    """
    file = installation.directory / "limits.json"
    file.write_text(json.dumps({installation.authority.directory_url: {"orders_per_account": "2/3h"}}))
    installation.settings["CERTWORKER_LIMITS_FILE"] = str(file)
    installation.zone.rows["www.shop.org"] = {"A": [HERE]}
    installation.before.append(attempt("www.shop.org"))


def limited_before(installation: Installation) -> None:
    """
    Make the CA report a limit for another name of the account.
    """
    installation.ca.rate_limit(600, "too many new orders (300) from this account")
    installation.zone.rows["www.shop.org"] = {"A": [HERE]}
    installation.before.append(attempt("www.shop.org"))


SCENARIOS = [
    limited(
        "too many failures of this name",
        "rate.failed_validations",
        'too many failed authorizations (5) for "shop.org" in the last 1h0m0s',
        "certworker explain shop.org",
    ),
    limited(
        "the same certificate five times this week",
        "rate.duplicate",
        "too many certificates (5) already issued for this exact set of identifiers in the last 168h0m0s",
        "CERTWORKER_CERTIFICATES_DIR",
        34 * 3600,
    ),
    limited(
        "a domain with many users",
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
        "an overloaded load balancer",
        "rate.busy",
        "newOrder",
        Fault(503, None, 120),
        "No action is needed",
        retry_after=timedelta(seconds=120),
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
        retry_after=DAY,
    ),
    Scenario(
        "the budget of certworker",
        "rate.local_guard",
        used_budget,
        "--force --use-full-quota shop.org",
        retry_after=HOUR,
    ),
    Scenario(
        "a limit that the CA reported for another name",
        "rate.local_guard",
        limited_before,
        "certworker retries at that time",
        retry_after=timedelta(seconds=600),
    ),
]


@each_scenario(SCENARIOS)
def test_scenario(scenario: Scenario, installation: Installation, caplog: pytest.LogCaptureFixture) -> None:
    """
    certworker reports the end of the limit, and the remedy has the possible actions.
    """
    check_scenario(scenario, installation, caplog)
