"""
A6: the account at the CA.
"""

from __future__ import annotations

import pytest

from certworker.settings import CaChoice
from tests.scenarios.scenario import DAY, HOUR, Scene, job, play, played, refused_by_the_ca
from tests.scenarios.worlds import Stage
from tests.servers.fault_injection import Fault


def damaged_key(stage: Stage) -> None:
    """
    Somebody has edited the file.
    """
    label = CaChoice.named(stage.authority.directory_url).label
    place = stage.place / "state" / "accounts" / label
    place.mkdir(parents=True)
    (place / "key.pem").write_text("no key")


def keeps_its_key(stage: Stage) -> None:
    """
    Let the CA answer a change of the key as step-ca does.
    """
    job(stage.open(), stage.name)
    stage.ca.fail("keyChange", Fault(501, "rejectedIdentifier", detail="not implemented"))
    stage.command = ("account", "rotate-key")


SCENES = [
    refused_by_the_ca(
        "a CA that forgot it, again and again",
        "acct.gone",
        "newOrder",
        Fault(400, "accountDoesNotExist"),
        "certworker registers the account again",
    ),
    refused_by_the_ca(
        "it was deactivated, and so is the new one",
        "acct.deactivated",
        "newOrder",
        Fault(403, "unauthorized", detail="Account is not valid, has status deactivated"),
        "accounturi",
    ),
    refused_by_the_ca(
        "too many new ones",
        "acct.too_many",
        "newAccount",
        Fault(429, "rateLimited", 3600, "too many new registrations (10) from this IP address"),
        "CERTWORKER_STATE_DIR",
        asked=False,
        again=HOUR,
    ),
    refused_by_the_ca(
        "new terms of service",
        "acct.tos",
        "newAccount",
        Fault(403, "userActionRequired", detail="Terms have changed, see https://ca.example/terms"),
        "https://ca.example/terms",
        asked=False,
        again=DAY,
    ),
    refused_by_the_ca(
        "a person has to act at the CA",
        "acct.user_action",
        "newAccount",
        Fault(403, "userActionRequired", detail="Please confirm your organisation: https://ca.example/42"),
        "https://ca.example/42",
        asked=False,
        again=DAY,
    ),
    refused_by_the_ca(
        "it needs a contact",
        "acct.contact",
        "newAccount",
        Fault(400, "malformed", detail="Contact information is missing"),
        "_APP_EMAIL_CERTIFICATES",
        asked=False,
        again=DAY,
    ),
    refused_by_the_ca(
        "it must be bound to one on the web site",
        "acct.eab",
        "newAccount",
        Fault(403, "externalAccountRequired"),
        "CERTWORKER_EAB_KID",
        asked=False,
        again=DAY,
    ),
    refused_by_the_ca(
        "it was blocked",
        "acct.blocked",
        "newOrder",
        Fault(403, "unauthorized", detail="account blocked"),
        "CERTWORKER_AUTHORITY",
        again=DAY,
    ),
    Scene(
        "the CA changes no keys",
        "acct.no_key_change",
        keeps_its_key,
        "certworker account deactivate",
        shows="command",
    ),
    Scene("its key is damaged", "acct.key_unreadable", damaged_key, "mv ", again=DAY),
]


@played(SCENES)
def test_scene(scene: Scene, stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """
    The line tells what to do, or that nobody has to.
    """
    play(scene, stage, caplog)
