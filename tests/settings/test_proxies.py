"""
The proxies of the environment.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certworker.acme.http_pool import pool_for
from certworker.errors.config import InvalidSettings
from certworker.settings import load
from certworker.settings.proxies import wrong_proxies

GOOD = [
    "http://proxy:3128",
    "https://proxy.example.org",
    "http://me:p%40ss%E2%82%AC@proxy:3128/",
    "http://[2001:db8::1]:3128",
    "proxy:3128",
    "me:word@127.0.0.1:3128",
    "HTTP://PROXY:3128",
]
WRONG = [
    "socks5h://127.0.0.1:1080",
    "socks://127.0.0.1:1080",
    "http://[::1",
    "http://127.0.0.1:notaport",
    "http://127.0.0.1:65536",
    "http://127.0.0.1:0",
    "http://",
    "http://a..b:3128",
    "http://" + "x" * 64 + ":3128",
    "ftp://proxy:21",
    " http://proxy:3128",
    "http://pro xy:3128",
    "http://proxy:3128/path",
    "http://proxy:3128\n",
    "http://me@you@proxy:3128",
    "http://bücher:3128",
    "http://me:\udcff@proxy:3128",
]
NAMES = [
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "No_Proxy",
    "no_proxy",
]
ANY = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
VALUES = st.sampled_from([*GOOD, *WRONG, ""]) | ANY


def connected(environ: Mapping[str, str]) -> None:
    """
    Make the connections to a CA at either scheme, as the transport does.
    """
    with mock.patch.dict(os.environ, dict(environ), clear=True):
        for url in ("https://ca.example.org/dir", "http://ca.example.org:14000/dir"):
            pool_for(url, None, 1)


class TestWrongProxies:
    @pytest.mark.parametrize(
        "name", ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"]
    )
    @pytest.mark.parametrize("value", WRONG)
    def test_one_that_no_connection_can_use_is_told_by_its_name(self, name: str, value: str) -> None:
        """
        At the start, with what is allowed and without its value, which may hold a password.
        """
        with pytest.raises(InvalidSettings, match=f"{name} must be http://HOST:PORT") as refused:
            load({name: value})

        assert refused.value.findings == tuple(wrong_proxies({name: value}))

    @pytest.mark.parametrize("value", GOOD)
    def test_the_usual_forms_are_fine(self, value: str) -> None:
        """
        And the connections take them.
        """
        environ = {"HTTPS_PROXY": value, "ALL_PROXY": value}

        assert [] == wrong_proxies(environ)
        connected(environ)

    def test_a_password_is_not_repeated(self) -> None:
        """
        Logs are shown around.
        """
        with pytest.raises(InvalidSettings) as refused:
            load({"HTTPS_PROXY": "http://me:hunter2@[::1"})

        assert "hunter2" not in str(refused.value)

    def test_socks_is_named(self) -> None:
        """
        Whoever set it for another program learns why it is refused.
        """
        assert ["ALL_PROXY must be"] == [each[:17] for each in wrong_proxies({"ALL_PROXY": WRONG[0]})]
        assert "SOCKS is not supported" in wrong_proxies({"ALL_PROXY": WRONG[0]})[0]

    @pytest.mark.parametrize(
        "environ",
        [
            {"ALL_PROXY": "socks5://p:1", "HTTP_PROXY": "http://p:1", "https_proxy": "http://p:1"},
            {"HTTPS_PROXY": "socks5://p:1", "https_proxy": "http://p:1"},
            {"HTTPS_PROXY": "socks5://p:1", "https_proxy": ""},
            {"HTTPS_PROXY": ""},
        ],
    )
    def test_one_that_is_not_used_does_not_matter(self, environ: dict[str, str]) -> None:
        """
        Many machines have all of them set, for programs that can do more.
        """
        assert [] == wrong_proxies(environ)
        connected(environ)

    def test_all_are_told_together_with_other_settings(self) -> None:
        """
        Nobody wants to start a worker three times for three slips.
        """
        with pytest.raises(InvalidSettings) as refused:
            load({"HTTP_PROXY": "http://[::1", "https_proxy": "socks://p:1", "CERTWORKER_LOG": "xml"})

        assert ["CERTWORKER_LOG", "HTTP_PROXY", "https_proxy"] == [
            finding.partition(" ")[0] for finding in refused.value.findings
        ]

    @given(st.dictionaries(st.sampled_from(NAMES), VALUES))
    def test_whatever_is_accepted_can_be_used(self, environ: dict[str, str]) -> None:
        """
        The check and the connections read the environment by the same rules.
        """
        try:
            load(environ)
        except InvalidSettings:
            return
        connected(environ)
