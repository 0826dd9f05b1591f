"""
The client under test, against a CA that runs.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from certworker.acme.client import AcmeClient
from certworker.acme.order import Order
from certworker.certificates import Certificate, PrivateKey
from tests.servers.development import ChallengeServer


def client_of(directory_url: str, place: Path, **options: Any) -> AcmeClient:
    """
    A client with its state in *place*, and otherwise as in production.
    """
    usual = {
        "contact": "ops@certworker.dev",
        "ca_bundle": None,
        "profile": None,
        "connections": 4,
        "clock": lambda: datetime.now(UTC),
    }
    return AcmeClient("ca", "The CA", directory_url, state_directory=place, **usual | options)


def presented(order: Order, site: ChallengeServer) -> Order:
    """
    *order*, after its answers stand at *site*.
    """
    site.answers.update({answer.token: answer.key_authorization for answer in order.answers})
    return order


def issued(client: AcmeClient, site: ChallengeServer, *names: str) -> Certificate:
    """
    A certificate for *names*, checked as before an installation.
    """
    order = presented(client.order(names), site)
    order.validate()
    key = PrivateKey.generate()
    certificate = Certificate.from_pem(order.finalize(key.sign_request(names)), key)
    certificate.check(names, datetime.now(UTC))
    return certificate
