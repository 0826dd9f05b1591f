"""
Pebble that rejects one fifth of the nonces, delays validations, and reuses authorizations.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from redis import Redis

from certworker.app import App
from certworker.errors.acme import BadNonce
from certworker.issuance.service import Outcome
from tests.app_fixture import open_app
from tests.servers.pebble import Pebble

#: The settings of Pebble. Without them, it waits for up to 15 s before each validation.
UNPLEASANT = {
    "PEBBLE_VA_NOSLEEP": "0",
    "PEBBLE_VA_SLEEPTIME": "1",
    "PEBBLE_WFE_NONCEREJECT": "20",
    "PEBBLE_AUTHZREUSE": "50",
}

COUNT = 200

#: The number of pending orders. More orders cause a deadlock in Pebble.
AT_ONCE = 4

#: Pebble rejects one of 16,000 requests six times in a row, and 200 certificates need thousands of requests.
ATTEMPTS = 3


@pytest.fixture
def unpleasant(tmp_path: Path) -> Iterator[Pebble]:
    """
    Start a separate Pebble.
    """
    server = Pebble(tmp_path / "pebble")
    server.start(external_accounts=None, **UNPLEASANT)
    yield server
    server.close()


@pytest.mark.timeout(400)
class TestUnpleasant:
    def test_all_are_issued(self, unpleasant: Pebble, tmp_path: Path, connection: Redis) -> None:
        """
        Two orders for each name succeed. The second order reuses the authorization of the first.
        """
        names = [f"shop{number}.localhost" for number in range(COUNT // 2)]
        with (
            open_app(
                tmp_path,
                connection,
                unpleasant.directory_url,
                unpleasant.http_port,
                CERTWORKER_CA_BUNDLE=str(unpleasant.ca_bundle),
            ) as app,
            ThreadPoolExecutor(AT_ONCE) as pool,
        ):
            outcomes = [
                *pool.map(lambda name: _issued(app, name), names),
                *pool.map(lambda name: _issued(app, name, force=True), names),
            ]

        assert ["issued"] * COUNT == [outcome.state for outcome in outcomes]
        assert COUNT == len({outcome.metadata.serial for outcome in outcomes})


def _issued(app: App, name: str, *, force: bool = False) -> Outcome:
    # Six bad nonces in a row end an attempt, but not the order. The next attempt is ten seconds later.
    for _ in range(ATTEMPTS):
        with suppress(BadNonce):
            return app.issuance.issue((name,), force=force)
    raise AssertionError(f"{name} has met {ATTEMPTS} times six bad nonces in a row")
