"""
Scenarios of the order, the challenge and the certificate.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest

from certworker.devca.messages import Problem
from tests.scenarios.installation import Installation
from tests.scenarios.scenario import (
    DAY,
    MINUTE,
    SOON,
    Scenario,
    check_scenario,
    each_scenario,
    job,
    refused_by_the_ca,
)
from tests.servers.fault_injection import Fault, Flaw


def without_a_reason(installation: Installation) -> None:
    """
    Make the order fail without a reason.
    """
    installation.ca.order_failure = Problem("serverInternal", "Something is wrong.")
    installation.ca.tells_why = False


def with_flaw(flaw: Flaw, installation: Installation) -> None:
    """
    Make the CA issue certificates with *flaw*.
    """
    installation.ca.flaws = frozenset({flaw})


def slow_order(installation: Installation) -> None:
    """
    Make the CA process the order for an hour, with this time in Retry-After.
    """
    installation.ca.processing_seconds = installation.ca.poll_after_seconds = 3600


def cannot_be_revoked(installation: Installation) -> None:
    """
    Make the CA reject both proofs for a revocation.
    """
    job(installation.open(), installation.name)
    installation.ca.fail("revokeCert", Fault(403, "unauthorized", detail="not yours"), times=None)
    installation.command = ("revoke", installation.name)


SCENARIOS = [
    refused_by_the_ca(
        "an operation that the CA does not offer",
        "acme.not_offered",
        "newOrder",
        Fault(501, "rejectedIdentifier", detail="not implemented"),
        "CERTWORKER_AUTHORITY",
        retry_after=DAY,
    ),
    Scenario(
        "a certificate that the CA does not revoke",
        "acme.not_revoked",
        cannot_be_revoked,
        "serial number: ",
        shows="command",
    ),
    refused_by_the_ca(
        "nonces that are never accepted",
        "acme.bad_nonce",
        "newOrder",
        Fault(400, "badNonce"),
        "report it to the operator",
    ),
    refused_by_the_ca(
        "an order that is not ready",
        "acme.order_not_ready",
        "finalize",
        Fault(403, "orderNotReady"),
        "No action is needed",
    ),
    refused_by_the_ca(
        "a key that the CA does not accept",
        "acme.bad_csr",
        "finalize",
        Fault(400, "badCSR", detail="The key is on a list"),
        "CERTWORKER_KEY_TYPE=ec256",
        retry_after=DAY,
    ),
    refused_by_the_ca(
        "an authorization that the CA no longer accepts",
        "acme.authorization_gone",
        "finalize",
        Fault(403, "unauthorized", detail="The authorization has expired"),
        "No action is needed",
    ),
    refused_by_the_ca(
        "a certificate that is already replaced",
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
        retry_after=DAY,
    ),
    refused_by_the_ca(
        "a request that the CA cannot read",
        "acme.malformed",
        "newOrder",
        Fault(400, "malformed"),
        "report it",
        retry_after=SOON,
    ),
    refused_by_the_ca(
        "a problem of an unknown type",
        "acme.unknown_problem",
        "newOrder",
        Fault(400, "somethingNew"),
        "ask the CA",
        retry_after=MINUTE,
    ),
    refused_by_the_ca(
        "a name on the CA's list",
        "name.policy",
        "newOrder",
        Fault(400, "rejectedIdentifier", detail="forbidden by policy"),
        "CERTWORKER_AUTHORITY",
        retry_after=DAY,
    ),
    refused_by_the_ca(
        "a new resource that the CA does not know",
        "acme.not_found",
        "newOrder",
        Fault(404, "malformed", detail="No such resource"),
        "No action is needed",
    ),
    refused_by_the_ca(
        "an order that is already in progress",
        "acme.conflict",
        "newOrder",
        Fault(409, "conflict", detail="The request is being processed"),
        "retries soon",
    ),
    Scenario(
        "an order that fails at the end",
        "acme.bad_csr",
        lambda installation: setattr(
            installation.ca, "order_failure", Problem("badCSR", "The key is on a list.")
        ),
        "CERTWORKER_KEY_TYPE=ec256",
        asked=True,
        retry_after=DAY,
    ),
    Scenario(
        "a CA without HTTP-01",
        "acme.no_http01",
        lambda installation: setattr(installation.ca, "challenge", "dns-01"),
        "so that shop.org is validated by DNS-01. Or set CERTWORKER_AUTHORITY to a CA that offers HTTP-01",
        asked=True,
        retry_after=DAY,
    ),
    Scenario(
        "an order that fails without a reason",
        "acme.order_invalid",
        without_a_reason,
        "places a new order automatically",
        asked=True,
    ),
    Scenario(
        "an order that takes an hour",
        "acme.pending_timeout",
        slow_order,
        "retries automatically",
        asked=True,
        retry_after=timedelta(hours=1),
    ),
    *(
        Scenario(
            f"a certificate with {flaw.value}",
            "acme.bad_cert",
            partial(with_flaw, flaw),
            "does not store this certificate",
            asked=True,
            retry_after=SOON,
        )
        # certworker accepts a certificate of a private CA without a chain.
        for flaw in Flaw
        if flaw is not Flaw.CHAIN_MISSING
    ),
]


@each_scenario(SCENARIOS)
def test_scenario(scenario: Scenario, installation: Installation, caplog: pytest.LogCaptureFixture) -> None:
    """
    certworker reports the code, and the remedy has the next step.
    """
    check_scenario(scenario, installation, caplog)
