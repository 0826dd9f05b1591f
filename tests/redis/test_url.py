"""
The URL of a Redis: each form of it, and what is none.
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
    def test_the_plain_form(self) -> None:
        """
        As redis-py, PHP frameworks and hosts write it.
        """
        address = RedisURL.parse("redis://certworker:secret@redis.internal:6380/2")

        assert (("redis.internal", 6380),) == address.hosts
        assert ("certworker", "secret", 2) == (address.username, address.password, address.database)
        assert (None, None) == (address.service, address.tls)

    def test_what_is_left_out_is_as_usual(self) -> None:
        """
        The port of Redis, database 0, no user.
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
    def test_a_password_may_have_any_characters(
        self, access: str, username: str | None, password: str | None
    ) -> None:
        """
        Slash, question mark and number sign percent-encoded; all others as they are or so.
        """
        address = RedisURL.parse(f"redis://{access}redis")

        assert (username, password) == (address.username, address.password)

    def test_tls_with_its_options(self) -> None:
        """
        In redis-py's words.
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

    def test_sentinels(self) -> None:
        """
        Several hosts, the service, a database; IPv6 in brackets.
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
    def test_what_is_none_is_refused_without_being_repeated(self, url: str) -> None:
        """
        The text may have a password.
        """
        with pytest.raises(ValueError, match=r"^(not|no|several|an) [\w ,]+$") as refused:
            RedisURL.parse(url.replace("://", "://hunter2@") if "://" in url else url)

        assert "hunter2" not in str(refused.value)

    @given(st.text(max_size=40))
    def test_whatever_is_given_it_is_an_address_or_a_value_error(self, text: str) -> None:
        """
        The start of a worker raises nothing else.
        """
        try:
            address = RedisURL.parse(f"redis+sentinel://{text}")
        except ValueError:
            return

        assert address.service
        assert address.hosts


class TestShown:
    def test_it_has_no_secret(self) -> None:
        """
        The log and the findings of the doctor have it.
        """
        url = "redis+sentinel://me:hunter2@one,[::1]/main?sentinel_password=hunter2"
        address = RedisURL.parse(url)

        assert "main (Sentinel one:26379,[::1]:26379)" == str(address)
        assert "hunter2" not in f"{address} {address!r}"


class TestImport:
    def test_it_needs_nothing_but_the_standard_library(self) -> None:
        """
        A web server that requests certificates imports it.
        """
        wanted = "{'pydantic', 'redis'} & {*sys.modules}"
        program = f"import sys; import certworker.redis.url; sys.exit(bool({wanted}))"

        assert 0 == subprocess.run([sys.executable, "-c", program], check=False).returncode
