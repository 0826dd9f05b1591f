"""
Tests of the composition of the application.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from redis import Redis

from certworker.validity import now_in_utc
from certworker.web.composition import application_of
from certworker.web.tokens import TokenFile
from tests.web.application import create_token, log_in
from tests.web.test_server import settings_in


class TestApplication:
    def test_the_settings_decide_who_is_trusted(self, tmp_path: Path, connection: Redis) -> None:
        """
        The header, the proxies and the key come from the settings of the installation.
        """
        settings = settings_in(
            tmp_path,
            CERTWORKER_WEB_TRUSTED_HEADER="Remote-User:operate",
            CERTWORKER_WEB_PROXIES="10.0.0.0/8",
        )
        user, proxy = {"Remote-User": "alice"}, {"REMOTE_ADDR": "10.1.2.3"}
        tokens = TokenFile(tmp_path / "tokens")
        with ExitStack() as stack:
            application = application_of(
                *(settings, connection, tokens, now_in_utc),
                secret_key="key",
                open_on_loopback=False,
                stack=stack,
            )
            client = application.test_client()

            assert 200 == client.get("/", headers=user, environ_base=proxy).status_code
            assert 303 == client.get("/", headers=user).status_code
            assert 200 == log_in(application, create_token(tokens.path, "read")).get("/").status_code
