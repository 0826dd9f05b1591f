"""
Tests of the role that a view needs.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from certworker.web.access import Role, allowed, current_access
from tests.web.application import client_with, create_token, open_application

ROLES: tuple[Role, ...] = ("read", "operate", "admin")


class TestAllowed:
    @pytest.mark.parametrize(
        ("role", "statuses"),
        [("read", [200, 403, 403]), ("operate", [200, 200, 403]), ("admin", [200, 200, 200])],
    )
    def test_a_view_needs_its_role(self, tmp_path: Path, role: Role, statuses: list[int]) -> None:
        """
        A view responds 200 to its role or a higher one, and 403 to a lower one.
        """
        application = open_application(tmp_path / "tokens")
        for each in ROLES:
            application.add_url_rule(
                f"/{each}", each, allowed(each)(lambda: "shown"), methods=["GET", "POST"]
            )
        client = client_with(application, create_token(tmp_path / "tokens", role))

        assert statuses == [client.get(f"/{each}").status_code for each in ROLES]
        assert statuses == [client.post(f"/{each}").status_code for each in ROLES]

    def test_a_view_knows_the_access_of_its_request(self, tmp_path: Path) -> None:
        """
        A view knows the role, the tenant and the identity of its request.
        """
        application = open_application(tmp_path / "tokens")
        application.add_url_rule("/test", "show", allowed("read")(lambda: repr(current_access())))
        client = client_with(application, create_token(tmp_path / "tokens", "read", "acme"))

        assert "Access(role='read', tenant='acme', identity='token " in client.get("/test").text
