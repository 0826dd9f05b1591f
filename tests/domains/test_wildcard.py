"""
Tests of wildcards and of their names on the disk.
"""

from __future__ import annotations

import pytest

from certworker.domains.wildcard import base_name, covering_wildcard, file_name, is_wildcard, name_of_file


class TestIsWildcard:
    def test_only_a_leading_asterisk_makes_a_wildcard(self) -> None:
        """
        A normalized name is a wildcard if it begins with an asterisk.
        """
        assert is_wildcard("*.shop.org")
        assert not is_wildcard("shop.org")
        assert not is_wildcard("2606:4700::1111")


class TestBaseName:
    def test_the_base_is_the_name_without_the_asterisk(self) -> None:
        """
        The base of a wildcard is the name that the CA validates.
        """
        assert "shop.org" == base_name("*.shop.org")
        assert "shop.org" == base_name("shop.org")


class TestCoveringWildcard:
    @pytest.mark.parametrize(
        ("name", "wildcard"),
        [
            ("a.shop.org", "*.shop.org"),
            ("b.a.shop.org", "*.a.shop.org"),
            ("xn--mller-kva.shop.org", "*.shop.org"),
            ("a.localhost", "*.localhost"),
            ("shop.localhost2", "*.localhost2"),
            ("localhost", None),
            ("*.shop.org", None),
            ("203.0.113.7", None),
            ("2606:4700::1111", None),
        ],
    )
    def test_a_wildcard_covers_one_label_and_no_address(self, name: str, wildcard: str | None) -> None:
        """
        A wildcard covers neither its base nor names two labels below it (RFC 9525, section 6.3).
        """
        assert wildcard == covering_wildcard(name)


class TestFileName:
    @pytest.mark.parametrize(
        ("name", "file"),
        [("*.shop.org", "_.shop.org"), ("shop.org", "shop.org"), ("2606:4700::1111", "2606:4700::1111")],
    )
    def test_a_file_name_has_no_asterisk(self, name: str, file: str) -> None:
        """
        The file name of a wildcard begins with `_.`, because a shell expands an asterisk.
        """
        assert file == file_name(name)
        assert name == name_of_file(file)
