"""
Tests of the public suffix list, as Boulder reads it.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from certworker.domains.suffixes import (
    PRIVATE_SUFFIXES,
    delegated_domain,
    refuse_private,
    registered_domain,
    shared_suffix,
)
from certworker.errors import CertworkerError


class TestRefusePrivate:
    @pytest.mark.parametrize("suffix", sorted(PRIVATE_SUFFIXES - {"localhost"}))
    def test_a_private_suffix_is_refused(self, suffix: str) -> None:
        """
        Each private suffix is refused, even if the public suffix list contains it.
        """
        with pytest.raises(CertworkerError) as caught:
            refuse_private(suffix)

        assert caught.value.code == "name.no_public_suffix"

    def test_a_suffix_in_the_private_part_of_the_list_is_accepted(self) -> None:
        """
        A suffix in the private part of the list is accepted, because Boulder ignores that part.
        """
        refuse_private("github.io")
        refuse_private("*.github.io")

    @pytest.mark.parametrize(
        ("name", "code"),
        [
            ("*.co.uk", "name.wildcard_of_suffix"),
            ("*.org", "name.wildcard_of_suffix"),
            ("*.shop.internal", "name.no_public_suffix"),
            ("*.nosuchsuffix", "name.no_public_suffix"),
        ],
    )
    def test_the_wildcard_of_a_suffix_is_refused(self, name: str, code: str) -> None:
        """
        The wildcard of a public suffix is refused, because its names belong to many owners.
        """
        with pytest.raises(CertworkerError) as caught:
            refuse_private(name)

        assert code == caught.value.code
        assert name in caught.value.message


class TestSharedSuffix:
    @pytest.mark.parametrize(
        ("name", "suffix"),
        [
            ("foo.github.io", "github.io"),
            ("x.duckdns.org", "duckdns.org"),
            ("1-2-3-4.sslip.io", "sslip.io"),
            ("a.b.nip.io", "nip.io"),
            ("api.shop.org", None),
            ("shop.co.uk", None),
            ("printer.internal", None),
            ("web", None),
        ],
    )
    def test_the_shared_suffix_is_returned(self, name: str, suffix: str | None) -> None:
        """
        The function returns a suffix whose users share its limits at the CA, or None.
        """
        assert shared_suffix(name) == suffix


class TestImport:
    def test_the_tables_are_loaded_on_demand(self) -> None:
        """
        The import of the package does not load the tables, so that commands start fast.
        """
        script = "import sys, certworker.domains; print({'idna', 'publicsuffixlist'} & set(sys.modules))"

        output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

        assert output.stdout == "set()\n"


class TestRegisteredDomain:
    @pytest.mark.parametrize(
        ("name", "registered"),
        [
            ("example.org", "example.org"),
            ("a.b.example.org", "example.org"),
            ("www.example.co.uk", "example.co.uk"),
            # Boulder counts by both parts of the list.
            ("www.shop.github.io", "shop.github.io"),
            ("*.shop.duckdns.org", "shop.duckdns.org"),
            ("github.io", "github.io"),
            ("*.github.io", "github.io"),
            ("s3.amazonaws.com", "s3.amazonaws.com"),
            ("1-2-3-4.sslip.io", "sslip.io"),
            ("www.shop.localhost", "shop.localhost"),
            ("localhost", "localhost"),
            ("192.0.2.1", "192.0.2.1"),
            ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ],
    )
    def test_the_registered_domain_is_the_one_of_the_rate_limits(self, name: str, registered: str) -> None:
        """
        The function returns the domain by which a CA counts certificates a week.
        """
        assert registered == registered_domain(name)


class TestDelegatedDomain:
    @pytest.mark.parametrize(
        ("name", "delegated"),
        [
            ("a.b.example.org", "example.org"),
            ("*.example.co.uk", "example.co.uk"),
            ("www.shop.github.io", "github.io"),
            ("www.shop.localhost", "shop.localhost"),
            ("192.0.2.1", "192.0.2.1"),
        ],
    )
    def test_only_a_registry_delegates_domains(self, name: str, delegated: str) -> None:
        """
        The function returns the domain that a registry has delegated, whose name servers are queried.
        """
        assert delegated == delegated_domain(name)


class TestLoadSuffixes:
    def test_the_lists_are_loaded_at_once(self) -> None:
        """
        After `load_suffixes` no later call loads a list.
        """
        program = (
            "import sys\n"
            "from certworker.domains.suffixes import load_suffixes, registered_domain, shared_suffix\n"
            "load_suffixes()\n"
            "sys.modules['publicsuffixlist'] = None\n"
            "print(registered_domain('www.shop.co.uk'), shared_suffix('shop.github.io'))\n"
        )
        ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

        assert "shop.co.uk github.io" == ended.stdout.strip()
