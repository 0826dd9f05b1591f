"""
Tests of the settings of the page and the API.
"""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import pytest

from certworker.settings import load
from certworker.settings.web import TrustedHeader


class TestWebSettings:
    def test_by_default_the_page_is_on_loopback(self) -> None:
        """
        By default only this machine reaches the page, and only its proxies are trusted.
        """
        web = load({}).web

        assert "127.0.0.1:8081" == str(web.address)
        assert ("", None, None) == (web.path, web.tokens_file, web.trusted_header)
        assert (ip_network("127.0.0.0/8"), ip_network("::1/128")) == web.proxies
        assert "address" not in web.model_fields_set

    def test_off_means_no_page(self) -> None:
        """
        The value `off` disables the page, and counts as set.
        """
        web = load({"CERTWORKER_WEB_ADDRESS": "off"}).web

        assert web.address is None
        assert "address" in web.model_fields_set

    @pytest.mark.parametrize(("text", "path"), [("/certs/", "/certs"), ("/a/b-c", "/a/b-c"), ("/", "")])
    def test_a_path_has_no_slash_at_its_end(self, text: str, path: str) -> None:
        """
        The base path has no slash at its end.
        """
        assert path == load({"CERTWORKER_WEB_PATH": text}).web.path

    @pytest.mark.parametrize(
        ("text", "header"),
        [
            ("Remote-User", TrustedHeader("Remote-User", "read")),
            ("X-Forwarded-User:admin", TrustedHeader("X-Forwarded-User", "admin")),
        ],
    )
    def test_users_of_a_proxy_may_read_unless_a_role_is_set(self, text: str, header: TrustedHeader) -> None:
        """
        The header may have a role, and the default is the lowest one.
        """
        assert header == load({"CERTWORKER_WEB_TRUSTED_HEADER": text}).web.trusted_header

    def test_a_missing_tokens_file_is_allowed(self, tmp_path: Path) -> None:
        """
        The file of the tokens may be missing, because a command creates it.
        """
        assert tmp_path / "new" == load({"CERTWORKER_TOKENS_FILE": str(tmp_path / "new")}).web.tokens_file

    def test_proxies_are_addresses_and_networks(self) -> None:
        """
        A proxy is an address or a network.
        """
        proxies = load({"CERTWORKER_WEB_PROXIES": "10.0.0.0/8, 192.0.2.1"}).web.proxies

        assert (ip_network("10.0.0.0/8"), ip_network("192.0.2.1/32")) == proxies
