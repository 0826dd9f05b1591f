"""
A name from its request to its removal, by the API of a real worker process.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.cli.conftest import worker
from tests.servers.ports import free_port
from tests.servers.worker import PATIENCE_SECONDS, WorkerProcess
from tests.web.application import bearer, create_token

__all__ = ["worker"]

NAME = "shop.localhost"


@pytest.fixture
def url(worker: WorkerProcess, tmp_path: Path) -> Iterator[str]:
    """
    Start the worker; yield the URL of its API.
    """
    address, tokens = f"127.0.0.1:{free_port()}", str(tmp_path / "tokens.json")
    worker.environment |= {"CERTWORKER_WEB_ADDRESS": address, "CERTWORKER_TOKENS_FILE": tokens}
    with worker:
        worker.wait_for_line(" ready · ")
        yield f"http://{address}/api/v1"


def event_with(lines: Iterator[bytes], state: str) -> dict[str, Any]:
    """
    Return the next event with *state* in the *lines* of a stream.
    """
    events = (json.loads(line.removeprefix(b"data: ")) for line in lines if line.startswith(b"data: "))
    return next(event for event in events if event["state"] == state)


class TestLifeOfAName:
    def test_a_name_is_requested_renewed_and_removed(
        self, url: str, worker: WorkerProcess, tmp_path: Path
    ) -> None:
        """
        A tenant requests a name, follows it by events, reads, renews and removes it. Then it is unknown.

        An open stream does not prevent the end of the worker.
        """
        session = requests.Session()
        session.headers.update(bearer(create_token(tmp_path / "tokens.json", "operate", "acme")))
        with session.get(f"{url}/events", stream=True, timeout=PATIENCE_SECONDS) as stream:
            lines = stream.iter_lines(chunk_size=1)
            # After its first line, the stream misses no event.
            assert b"retry: 3000" == next(lines)
            requested = session.post(f"{url}/names", json={"names": [NAME]})
            issued = event_with(lines, "issued")
            found = session.get(f"{url}/names/{NAME}").json()
            renewal = session.post(f"{url}/names/{NAME}/renew")
            renewed = event_with(lines, "issued")
            chain = session.get(f"{url}/names/{NAME}/certificate").content
            removal = session.delete(f"{url}/names/{NAME}")
            removed = event_with(lines, "removed")
            gone, names = session.get(f"{url}/names/{NAME}"), session.get(f"{url}/names").json()
            assert 0 == worker.terminate()

        assert [202, 202, 202] == [each.status_code for each in (requested, renewal, removal)]
        assert (NAME, "acme", "valid") == (found["name"], found["tenant"], found["state"])
        assert issued["serial"] == found["serial"] != renewed["serial"]
        assert chain.startswith(b"-----BEGIN CERTIFICATE-----")
        assert {NAME} == {event["name"] for event in (issued, renewed, removed)}
        assert (404, []) == (gone.status_code, names["names"])
