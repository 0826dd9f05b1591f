"""
Tests of the kinds of requests to a CA.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from certworker.acme.request_kinds import Kind, kind_of
from certworker.acme.resources import Directory
from certworker.errors.ca import CaUnreachable
from tests.acme.clients import client_of, issued
from tests.servers.development import ChallengeServer
from tests.servers.faulty_authority import FaultyAuthority
from tests.servers.ports import free_port

DIRECTORY = Directory(
    new_nonce="https://ca/nonce",
    new_account="https://ca/account",
    new_order="https://ca/order",
    revoke="https://ca/revoke",
    change_key="https://ca/key",
    renewal_info=None,
    terms_of_service=None,
    external_account_required=False,
    profiles={},
    caa_identities=(),
)


class TestKindOf:
    @pytest.mark.parametrize(
        ("url", "payload", "kind"),
        [
            ("https://ca/account", {}, "account"),
            ("https://ca/order", {"identifiers": []}, "order"),
            ("https://ca/revoke", {"certificate": ""}, "revocation"),
            ("https://ca/key", {"payload": ""}, "key_change"),
            ("https://ca/x", None, "poll"),
            ("https://ca/x", {}, "challenge"),
            ("https://ca/x", {"csr": ""}, "finalize"),
            ("https://ca/x", {"status": "deactivated"}, "other"),
        ],
    )
    def test_the_url_and_the_payload_show_the_kind(
        self, url: str, payload: dict[str, Any] | None, kind: Kind
    ) -> None:
        """
        The directory has some URLs, and the payload shows the kind of any other.
        """
        assert kind == kind_of(url, payload, DIRECTORY)

    def test_without_a_directory_the_payload_shows_the_kind(self) -> None:
        """
        An unknown directory is not an error.
        """
        assert "finalize" == kind_of("https://ca/x", {"csr": ""}, None)


class TestObservation:
    def test_each_request_of_an_issuance_is_observed(
        self, authority: FaultyAuthority, challenge_server: ChallengeServer, tmp_path: Path
    ) -> None:
        """
        The client reports each request with its kind, its status and its duration.
        """
        seen: list[tuple[Kind, int, float]] = []
        client = client_of(authority.directory_url, tmp_path, observe=lambda *request: seen.append(request))
        issued(client, challenge_server, "demo.localhost")
        kinds = {kind for kind, _, _ in seen}

        assert {"directory", "nonce", "account", "order", "poll", "challenge", "finalize"} == kinds
        assert {200, 201} <= {status for _, status, _ in seen}
        assert all(0 < seconds < 60 for _, _, seconds in seen)

    def test_a_request_without_an_answer_is_observed(self, tmp_path: Path) -> None:
        """
        A request without an answer has the status 0.
        """
        seen: list[tuple[Kind, int]] = []
        client = client_of(
            f"http://127.0.0.1:{free_port()}/directory",
            tmp_path,
            observe=lambda kind, status, _: seen.append((kind, status)),
        )
        with pytest.raises(CaUnreachable):
            client.check()

        assert [("directory", 0)] == seen
