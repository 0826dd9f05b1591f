"""
Create the client under test, and issue certificates with it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dns.query
import dns.rcode
import dns.tsigkeyring
import dns.update

from certworker.acme.client import AcmeClient
from certworker.acme.order import Order
from certworker.certificates import Certificate, PrivateKey
from certworker.devca.name_server import KEY_NAME, DevelopmentNameServer
from tests.servers.development import ChallengeServer


def client_of(directory_url: str, directory: Path, **options: Any) -> AcmeClient:
    """
    Return a client that stores its state in *directory*, with the options of production where none are
    given.
    """
    defaults = {
        "contact": "ops@certworker.dev",
        "ca_bundle": None,
        "profile": None,
        "connections": 4,
        "clock": lambda: datetime.now(UTC),
    }
    return AcmeClient("ca", "The CA", directory_url, state_directory=directory, **defaults | options)


def presented(order: Order, site: ChallengeServer) -> Order:
    """
    Publish the responses of *order* at *site*, and return the order.
    """
    site.answers.update({answer.token: answer.key_authorization for answer in order.responses})
    return order


def issued(client: AcmeClient, site: ChallengeServer, *names: str) -> Certificate:
    """
    Return a certificate for *names*, after the checks that precede its storage.
    """
    order = presented(client.order(names), site)
    order.validate()
    key = PrivateKey.generate()
    certificate = Certificate.from_pem(order.finalize(key.sign_request(names)), key)
    certificate.check(names, datetime.now(UTC))
    return certificate


def add_text(server: DevelopmentNameServer, owner: str, text: str) -> None:
    """
    Add a TXT record to the zone of *server* with a dynamic update.
    """
    keyring = dns.tsigkeyring.from_text({KEY_NAME: server.secret})
    update = dns.update.UpdateMessage(server.zone, keyring=keyring)
    update.add(f"{owner}.", 60, "TXT", text)
    host, port = server.address
    assert dns.rcode.NOERROR == dns.query.tcp(update, host, timeout=10, port=port).rcode()
