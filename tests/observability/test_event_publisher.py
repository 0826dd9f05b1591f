"""
What other programs are told of a name.
"""

from __future__ import annotations

import json
import logging
from typing import Any, cast

import pytest
from redis import Redis

from certworker.app import App
from certworker.errors import CertworkerError
from certworker.runtime import build_tasks
from certworker.state.events import EVENTS
from certworker.state.history import HistoryEntry

NAME = "shop.localhost"


def last_event(connection: Redis) -> dict[str, Any]:
    """
    The youngest event of the stream.
    """
    ((_, fields),) = cast("list[tuple[bytes, dict[bytes, bytes]]]", connection.xrevrange(EVENTS, count=1))
    told: dict[str, Any] = json.loads(fields[b"event"])
    return told


class TestResults:
    def test_a_success_has_the_fields_of_appwrites_certificate(self, app: App, connection: Redis) -> None:
        """
        Whoever keeps the Console's documents needs no more than this.
        """
        app.history.append(NAME, HistoryEntry(app.clock(), "INFO", "in service"))

        result = build_tasks(app)["certworker.issue"](domain=NAME)

        assert result == last_event(connection)
        assert ("issued", NAME, [NAME], 0) == tuple(
            result[field] for field in ("state", "name", "names", "attempts")
        )
        assert result["issue_date"] < result["renew_date"] < result["not_after"]
        assert result["logs"].endswith("INFO  in service")

    def test_a_failure_has_code_remedy_and_the_certificate_that_serves_on(
        self, app: App, connection: Redis, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A tenant is to see what to change, and that nothing is broken yet.
        """
        build_tasks(app)["certworker.issue"](domain=NAME)
        serial = last_event(connection)["serial"]
        with caplog.at_level(logging.CRITICAL), pytest.raises(CertworkerError) as caught:
            build_tasks(app)["certworker.issue"](domain="nowhere.invalid")

        told = last_event(connection)

        assert ("failed", "nowhere.invalid", 1) == (told["state"], told["name"], told["attempts"])
        assert (caught.value.code, caught.value.remedy) == (told["code"], told["remedy"])
        assert (None, "") == (told["issue_date"], told["serial"])
        assert "no_certificate" == told["detail"]
        app.events.publish((NAME,), "failed", caught.value)
        assert (serial, "failing") == tuple(last_event(connection)[field] for field in ("serial", "detail"))

    def test_a_removal_is_told_too(self, app: App, connection: Redis) -> None:
        """
        Or the Console would show a certificate that is gone.
        """
        build_tasks(app)["certworker.issue"](domain=NAME)

        build_tasks(app)["certworker.remove"](domain=NAME)

        assert ("removed", NAME, "") == tuple(
            last_event(connection)[field] for field in ("state", "name", "serial")
        )
