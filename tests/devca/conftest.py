"""
Provide a client with an account for the tests of the CA.
"""

from __future__ import annotations

import pytest

from tests.servers.acme_client import AcmeClient
from tests.servers.faulty_authority import FaultyAuthority


@pytest.fixture
def client(authority: FaultyAuthority) -> AcmeClient:
    """
    Return a client with a new account at `authority`.
    """
    client = AcmeClient(authority.directory_url)
    client.register()
    return client
