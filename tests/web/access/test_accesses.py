"""
Tests of the access of a request.
"""

from __future__ import annotations

from pathlib import Path

from certworker.web.access import allowed
from tests.web.application import client_with, create_token, open_application


class TestAccesses:
    def test_without_a_token_only_this_machine_may_read(self, tmp_path: Path) -> None:
        """
        The open page answers requests of this machine only, and a wrong token is not replaced by it.
        """
        application = open_application(tmp_path / "tokens")
        application.add_url_rule("/test", "show", allowed("read")(lambda: "shown"))
        client = application.test_client()

        assert 200 == client.get("/test").status_code
        assert 401 == client.get("/test", environ_base={"REMOTE_ADDR": "192.0.2.7"}).status_code
        assert 401 == client_with(application, "cw_wrong").get("/test").status_code
        token = create_token(tmp_path / "tokens", "read")
        assert 200 == client_with(application, token).get("/test").status_code
