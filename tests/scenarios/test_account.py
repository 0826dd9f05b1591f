"""
Scenarios of the account at the CA.
"""

from __future__ import annotations

import pytest

from certworker.settings import CaChoice
from tests.scenarios.installation import Installation
from tests.scenarios.scenario import (
    DAY,
    HOUR,
    Scenario,
    check_scenario,
    each_scenario,
    job,
    refused_by_the_ca,
)
from tests.servers.fault_injection import Fault


def damaged_key(installation: Installation) -> None:
    """
    Write an invalid key to the file of the account.
    """
    label = CaChoice.named(installation.authority.directory_url).label
    directory = installation.directory / "state" / "accounts" / label
    directory.mkdir(parents=True)
    (directory / "key.pem").write_text("no key")


def refused_key_change(installation: Installation) -> None:
    """
    Make the CA reject a key change, as step-ca does.
    """
    job(installation.open(), installation.name)
    installation.ca.fail("keyChange", Fault(501, "rejectedIdentifier", detail="not implemented"))
    installation.command = ("account", "rotate-key")


SCENARIOS = [
    refused_by_the_ca(
        "an account that the CA does not know",
        "acct.gone",
        "newOrder",
        Fault(400, "accountDoesNotExist"),
        "certworker registers the account again",
    ),
    refused_by_the_ca(
        "an account that is deactivated",
        "acct.deactivated",
        "newOrder",
        Fault(403, "unauthorized", detail="Account is not valid, has status deactivated"),
        "accounturi",
    ),
    refused_by_the_ca(
        "too many new accounts",
        "acct.too_many",
        "newAccount",
        Fault(429, "rateLimited", 3600, "too many new registrations (10) from this IP address"),
        "CERTWORKER_STATE_DIR",
        asked=False,
        retry_after=HOUR,
    ),
    refused_by_the_ca(
        "new terms of service",
        "acct.tos",
        "newAccount",
        Fault(403, "userActionRequired", detail="Terms have changed, see https://ca.example/terms"),
        "https://ca.example/terms",
        asked=False,
        retry_after=DAY,
    ),
    refused_by_the_ca(
        "the CA requires a person to act",
        "acct.user_action",
        "newAccount",
        Fault(403, "userActionRequired", detail="Please confirm your organization: https://ca.example/42"),
        "https://ca.example/42",
        asked=False,
        retry_after=DAY,
    ),
    refused_by_the_ca(
        "an account that needs a contact",
        "acct.contact",
        "newAccount",
        Fault(400, "malformed", detail="Contact information is missing"),
        "_APP_EMAIL_CERTIFICATES",
        asked=False,
        retry_after=DAY,
    ),
    refused_by_the_ca(
        "a CA that requires external account binding",
        "acct.eab",
        "newAccount",
        Fault(403, "externalAccountRequired"),
        "CERTWORKER_EAB_KID",
        asked=False,
        retry_after=DAY,
    ),
    refused_by_the_ca(
        "an account that is blocked",
        "acct.blocked",
        "newOrder",
        Fault(403, "unauthorized", detail="account blocked"),
        "CERTWORKER_AUTHORITY",
        retry_after=DAY,
    ),
    Scenario(
        "a CA that does not change keys",
        "acct.no_key_change",
        refused_key_change,
        "certworker account deactivate",
        shows="command",
    ),
    Scenario("a damaged account key", "acct.key_unreadable", damaged_key, "mv ", retry_after=DAY),
]


@each_scenario(SCENARIOS)
def test_scenario(scenario: Scenario, installation: Installation, caplog: pytest.LogCaptureFixture) -> None:
    """
    certworker reports the code, and the remedy has the necessary action.
    """
    check_scenario(scenario, installation, caplog)
