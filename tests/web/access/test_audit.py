"""
Tests of the audit lines: who did what, with which name, from where.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from certworker.web.access import allowed, audit_names
from tests.web.application import client_with, create_token, open_application


def fields_of(record: object) -> dict[str, object]:
    """
    Return the fields of a log line.
    """
    found: dict[str, object] = vars(record)["fields"]
    return found


class TestAudit:
    def test_each_action_has_a_line(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """
        The line names the identity, the action, the name, the address and the outcome, but no secret.
        """
        application = open_application(tmp_path / "tokens")

        def renew(name: str) -> str:
            return name

        def request_names() -> str:
            audit_names(f"n{number}.example" for number in range(25))
            return "done"

        application.add_url_rule("/things/<name>", "renew", allowed("operate")(renew), methods=["POST"])
        application.add_url_rule(
            "/things", "request", allowed("operate")(request_names), methods=["GET", "POST"]
        )
        token = create_token(tmp_path / "tokens", "operate")
        client = client_with(application, token)
        with caplog.at_level("INFO", "certworker.web"):
            client.get("/things")
            client.post("/things/shop.example", environ_base={"REMOTE_ADDR": "192.0.2.7"})
            client.post("/things")
            application.test_client().post("/things/x.example")
            client.post("/things/x%20status=200%0aFORGED")
        first, second, third, forged = caplog.records
        identity = fields_of(first)["identity"]

        assert {
            "identity": identity,
            "address": "192.0.2.7",
            "action": "renew",
            "names": "shop.example",
            "status": 200,
        } == fields_of(first)
        assert f"{identity} from 192.0.2.7: POST /things/shop.example" == first.getMessage()
        assert str(fields_of(second)["names"]).endswith("n19.example and 5 more")
        assert ("unknown", 401) == (fields_of(third)["identity"], fields_of(third)["status"])
        assert forged.getMessage().endswith(": POST /things/x%20status%3D200%0AFORGED")
        assert token not in caplog.text
