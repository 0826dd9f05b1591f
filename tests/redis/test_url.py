"""
Tests of the URL of a Redis.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certworker.redis.url import RedisURL


class TestParse:
    def test_the_plain_form_is_parsed(self) -> None:
        """
        The form that redis-py and PHP frameworks use is parsed.
        """
        address = RedisURL.parse("redis://certworker:secret@redis.internal:6380/2")

        assert (("redis.internal", 6380),) == address.hosts
        assert ("certworker", "secret", 2) == (address.username, address.password, address.database)
        assert (None, None) == (address.service, address.tls)

    def test_missing_parts_have_defaults(self) -> None:
        """
        The defaults are the port 6379, the database 0 and no user.
        """
        assert RedisURL.parse("redis://redis") == RedisURL((("redis", 6379),))

    @pytest.mark.parametrize(
        ("access", "username", "password"),
        [
            (":secret@", None, "secret"),
            ("default:se%40c%2Fret%3F%23@", "default", "se@c/ret?#"),
            ("me:a:b@c@", "me", "a:b@c"),
            ("me@", "me", None),
        ],
    )
    def test_a_password_can_have_any_characters(
        self, access: str, username: str | None, password: str | None
    ) -> None:
        """
        A password can have any characters. Only "/", "?" and "#" need percent-encoding.
        """
        address = RedisURL.parse(f"redis://{access}redis")

        assert (username, password) == (address.username, address.password)

    def test_options_of_tls_are_parsed(self) -> None:
        """
        The options of TLS have the names that redis-py uses.
        """
        url = "rediss://redis/0?ssl_ca_certs=/ca.pem&ssl_certfile=/c.pem&ssl_keyfile=/k.pem"
        address = RedisURL.parse(f"{url}&ssl_check_hostname=False")

        assert address.tls == {
            "ssl_ca_certs": "/ca.pem",
            "ssl_certfile": "/c.pem",
            "ssl_keyfile": "/k.pem",
            "ssl_check_hostname": False,
        }
        assert (Path("/ca.pem"), Path("/c.pem"), Path("/k.pem")) == address.files
        assert {} == RedisURL.parse("rediss://redis").tls

    def test_sentinels_are_parsed(self) -> None:
        """
        The URL of Sentinels has several hosts, a service and a database. IPv6 addresses have brackets.
        """
        address = RedisURL.parse(
            "redis+sentinel://me:pw@one,two:26380,[2001:db8::1]:26381/main-redis/1"
            "?sentinel_username=you&sentinel_password=p%26w"
        )

        assert (("one", 26379), ("two", 26380), ("2001:db8::1", 26381)) == address.hosts
        assert ("main-redis", 1, "me", "pw") == (
            address.service,
            address.database,
            address.username,
            address.password,
        )
        assert {"username": "you", "password": "p&w"} == address.sentinel_access
        assert address.tls is None
        assert {} == RedisURL.parse("rediss+sentinel://one/main").tls

    @pytest.mark.parametrize(
        "url",
        [
            "",
            "redis",
            "redis:6379",
            "http://redis",
            "unix:///run/redis.sock",
            "redis://",
            "redis://redis:0",
            "redis://redis:65536",
            "redis://redis:port",
            "redis://a,b",
            "redis://[redis]",
            "redis://[::1",
            "redis://redis/queue",
            "redis://redis/0/1",
            "redis://redis#0",
            "redis://two words",
            "redis://redis?db=1",
            "redis://redis?ssl_ca_certs=/ca.pem",
            "redis://redis?sentinel_password=pw",
            "rediss://redis?ssl_cert_reqs=none",
            "rediss://redis?ssl_ca_certs",
            "rediss://redis?ssl_ca_certs=",
            "rediss://redis?ssl_check_hostname=maybe",
            "redis+sentinel://one",
            "redis+sentinel://one/",
            "redis+sentinel://one//0",
            "redis+sentinel://one,/main",
            "redis+sentinel://one/main/zero",
        ],
    )
    def test_an_invalid_url_is_refused_without_its_text(self, url: str) -> None:
        """
        An invalid URL is refused, and the error does not contain it, because it can have a password.
        """
        with pytest.raises(ValueError, match=r"^(not|no|several|an) [\w ,]+$") as refused:
            RedisURL.parse(url.replace("://", "://hunter2@") if "://" in url else url)

        assert "hunter2" not in str(refused.value)

    @given(st.text(max_size=40))
    def test_any_text_is_parsed_or_refused(self, text: str) -> None:
        """
        The parser returns an address, or raises ValueError and no other exception.
        """
        try:
            address = RedisURL.parse(f"redis+sentinel://{text}")
        except ValueError:
            return

        assert address.service
        assert address.hosts


class TestShown:
    def test_the_text_has_no_secret(self) -> None:
        """
        The text of a URL, which logs show, has no secret.
        """
        url = "redis+sentinel://me:hunter2@one,[::1]/main?sentinel_password=hunter2"
        address = RedisURL.parse(url)

        assert "main (Sentinel one:26379,[::1]:26379)" == str(address)
        assert "hunter2" not in f"{address} {address!r}"


class TestImport:
    def test_the_module_needs_the_standard_library_only(self) -> None:
        """
        The module imports only the standard library, because producers on web servers use it.
        """
        wanted = "{'pydantic', 'redis'} & {*sys.modules}"
        program = f"import sys; import certworker.redis.url; sys.exit(bool({wanted}))"

        assert 0 == subprocess.run([sys.executable, "-c", program], check=False).returncode
