"""
A7: the order, the challenge, the certificate.
"""

from __future__ import annotations

import pytest

from certworker.devca.messages import Problem
from tests.scenarios.scenario import DAY, MINUTE, SOON, Scene, job, play, played, refused_by_the_ca
from tests.scenarios.worlds import Stage
from tests.servers.fault_injection import Fault, Flaw


def without_a_word(stage: Stage) -> None:
    """
    The CA need not say why.
    """
    stage.ca.order_failure = Problem("serverInternal", "Something is wrong.")
    stage.ca.tells_why = False


def an_hour(stage: Stage) -> None:
    """
    It says how long it will take.
    """
    stage.ca.processing_seconds = stage.ca.poll_after_seconds = 3600


def cannot_be_revoked(stage: Stage) -> None:
    """
    Let the CA take neither proof.
    """
    job(stage.open(), stage.name)
    stage.ca.fail("revokeCert", Fault(403, "unauthorized", detail="not yours"), times=None)
    stage.command = ("revoke", stage.name)


SCENES = [
    refused_by_the_ca(
        "what the CA does not offer",
        "acme.not_offered",
        "newOrder",
        Fault(501, "rejectedIdentifier", detail="not implemented"),
        "CERTWORKER_AUTHORITY",
        again=DAY,
    ),
    Scene(
        "a certificate that the CA does not revoke",
        "acme.not_revoked",
        cannot_be_revoked,
        "serial number: ",
        shows="command",
    ),
    refused_by_the_ca(
        "nonces that are never good",
        "acme.bad_nonce",
        "newOrder",
        Fault(400, "badNonce"),
        "report it to the operator",
    ),
    refused_by_the_ca(
        "not ready after all",
        "acme.order_not_ready",
        "finalize",
        Fault(403, "orderNotReady"),
        "No action is needed",
    ),
    refused_by_the_ca(
        "a key that the CA does not take",
        "acme.bad_csr",
        "finalize",
        Fault(400, "badCSR", detail="The key is on a list"),
        "CERTWORKER_KEY_TYPE=ec256",
        again=DAY,
    ),
    refused_by_the_ca(
        "an authorization that the CA no longer accepts",
        "acme.authorization_gone",
        "finalize",
        Fault(403, "unauthorized", detail="The authorization has expired"),
        "No action is needed",
    ),
    refused_by_the_ca(
        "a certificate that was replaced already",
        "acme.already_replaced",
        "newOrder",
        Fault(409, "alreadyReplaced"),
        "orders again without naming",
    ),
    refused_by_the_ca(
        "a profile that the CA does not have",
        "acme.invalid_profile",
        "newOrder",
        Fault(400, "invalidProfile"),
        "CERTWORKER_PROFILE",
        again=DAY,
    ),
    refused_by_the_ca(
        "a request that the CA cannot read",
        "acme.malformed",
        "newOrder",
        Fault(400, "malformed"),
        "report it",
        again=SOON,
    ),
    refused_by_the_ca(
        "a problem of an unknown type",
        "acme.unknown_problem",
        "newOrder",
        Fault(400, "somethingNew"),
        "ask the CA",
        again=MINUTE,
    ),
    refused_by_the_ca(
        "a name on the CA's list",
        "name.policy",
        "newOrder",
        Fault(400, "rejectedIdentifier", detail="forbidden by policy"),
        "CERTWORKER_AUTHORITY",
        again=DAY,
    ),
    refused_by_the_ca(
        "what the CA has just made is unknown to it",
        "acme.not_found",
        "newOrder",
        Fault(404, "malformed", detail="No such resource"),
        "No action is needed",
    ),
    refused_by_the_ca(
        "an order that is under way already",
        "acme.conflict",
        "newOrder",
        Fault(409, "conflict", detail="The request is being processed"),
        "retries soon",
    ),
    Scene(
        "the CA gives it up at the end",
        "acme.bad_csr",
        lambda stage: setattr(stage.ca, "order_failure", Problem("badCSR", "The key is on a list.")),
        "CERTWORKER_KEY_TYPE=ec256",
        asked=True,
        again=DAY,
    ),
    Scene(
        "a CA without HTTP-01",
        "acme.no_http01",
        lambda stage: setattr(stage.ca, "challenge", "dns-01"),
        "CERTWORKER_AUTHORITY to a CA that offers HTTP-01",
        asked=True,
        again=DAY,
    ),
    Scene(
        "an order that ends without a word",
        "acme.order_invalid",
        without_a_word,
        "places a new order automatically",
        asked=True,
    ),
    Scene(
        "a CA that thinks for an hour",
        "acme.pending_timeout",
        an_hour,
        "retries soon",
        asked=True,
        again=SOON,
    ),
    *(
        Scene(
            f"a certificate with {flaw.value}",
            "acme.bad_cert",
            lambda stage, flaw=flaw: setattr(stage.ca, "flaws", frozenset({flaw})),  # type: ignore[misc]
            "does not store this certificate",
            asked=True,
            again=SOON,
        )
        # The root of a private CA may sign without a chain.
        for flaw in Flaw
        if flaw is not Flaw.CHAIN_MISSING
    ),
]


@played(SCENES)
def test_scene(scene: Scene, stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """
    The line tells whose turn it is.
    """
    play(scene, stage, caplog)
