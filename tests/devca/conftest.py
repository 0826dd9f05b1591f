"""
What the tests of the CA share: a client with an account.
"""

from __future__ import annotations

import pytest

from certworker.devca.authority import DevelopmentAuthority
from tests.servers.acme_client import AcmeClient


@pytest.fixture
def client(authority: DevelopmentAuthority) -> AcmeClient:
    """
    A client with a new account at `authority`.
    """
    client = AcmeClient(authority.directory_url)
    client.register()
    return client
