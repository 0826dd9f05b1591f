"""
Where Redis is: the four variables of Appwrite, or one URL.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from certworker.errors.config import InvalidSettings
from certworker.redis.url import RedisURL
from certworker.settings import load
from tests.storage.authority import Signer

SECRET = "hunter2"
APPWRITE = {
    "_APP_REDIS_HOST": "redis",
    "_APP_REDIS_PORT": "6380",
    "_APP_REDIS_USER": "me",
    "_APP_REDIS_PASS": SECRET,
}


class TestRedis:
    def test_it_is_where_the_four_variables_say(self) -> None:
        """
        As Appwrite has them.
        """
        assert load(APPWRITE).redis == RedisURL((("redis", 6380),), "me", SECRET)

    def test_the_url_wins(self) -> None:
        """
        Compose files pass the four on, whether somebody needs them or not.
        """
        settings = load({**APPWRITE, "CERTWORKER_REDIS_URL": "rediss://you:pw@other/1"})

        assert settings.redis == RedisURL((("other", 6379),), "you", "pw", 1, tls={})

    def test_it_shows_nowhere(self) -> None:
        """
        It may hold a password.
        """
        settings = load({"CERTWORKER_REDIS_URL": f"redis://me:{SECRET}@redis/0"})

        assert SECRET not in f"{settings!r} {settings} {settings.model_dump_json()} {settings.redis!r}"

    def test_it_may_stand_in_a_file(self, tmp_path: Path) -> None:
        """
        As Docker mounts secrets.
        """
        (tmp_path / "url").write_text("redis://me:pw@redis/0\n")

        assert "pw" == load({"CERTWORKER_REDIS_URL_FILE": str(tmp_path / "url")}).redis.password

    def test_a_wrong_one_is_told_without_its_value(self) -> None:
        """
        With the forms that there are, for whoever corrects it.
        """
        with pytest.raises(InvalidSettings, match=r"CERTWORKER_REDIS_URL must be redis://.*%40") as refused:
            load({"CERTWORKER_REDIS_URL": f"redis://me:{SECRET}/x@redis"})

        assert SECRET not in str(refused.value)

    def test_files_that_it_names_have_to_be_there(self, tmp_path: Path) -> None:
        """
        At the start, and not when the first job wants Redis.
        """
        bundle = tmp_path / "ca.pem"
        url = f"rediss://redis?ssl_ca_certs={bundle}"
        with pytest.raises(InvalidSettings, match="CERTWORKER_REDIS_URL"):
            load({"CERTWORKER_REDIS_URL": url})
        bundle.write_bytes(Signer().certificate("redis.internal").fullchain_pem)

        assert (bundle,) == load({"CERTWORKER_REDIS_URL": url}).redis.files

    @pytest.mark.parametrize(
        "content", [b"", b"rubbish", b"-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----\n"]
    )
    def test_what_is_in_them_has_to_be_of_use(self, tmp_path: Path, content: bytes) -> None:
        """
        redis-py would say so with each connection, in OpenSSL's words.
        """
        (tmp_path / "ca.pem").write_bytes(content)
        with pytest.raises(InvalidSettings, match="no certificate or no key in PEM form"):
            load({"CERTWORKER_REDIS_URL": f"rediss://redis?ssl_ca_certs={tmp_path / 'ca.pem'}"})

    def test_a_key_with_a_password_is_refused(self, tmp_path: Path) -> None:
        """
        OpenSSL would ask for the password on the terminal, with each connection.
        """
        certificate = Signer().certificate("worker.internal")
        (tmp_path / "client.pem").write_bytes(certificate.fullchain_pem)
        (tmp_path / "key.pem").write_bytes(
            certificate.key.key.private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
            )
        )
        query = f"ssl_certfile={tmp_path / 'client.pem'}&ssl_keyfile={tmp_path / 'key.pem'}"
        with pytest.raises(InvalidSettings, match="without a password"):
            load({"CERTWORKER_REDIS_URL": f"rediss://redis?{query}"})
