"""
Tests of the public suffix list, as Boulder reads it.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from certworker.domains.suffixes import PRIVATE_SUFFIXES, refuse_private, registered_domain, shared_suffix
from certworker.errors import CertworkerError


class TestRefusePrivate:
    @pytest.mark.parametrize("suffix", sorted(PRIVATE_SUFFIXES - {"localhost"}))
    def test_a_private_suffix_is_none_of_its_own_either(self, suffix: str) -> None:
        """
        The public suffix list contains some private suffixes, which would pass as top-level domains.
        """
        with pytest.raises(CertworkerError) as caught:
            refuse_private(suffix)

        assert caught.value.code == "name.no_public_suffix"

    def test_suffixes_of_hosters_are_names(self) -> None:
        """
        Their owners get certificates for them: Boulder ignores the private part of the list.
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
        Its names belong to many owners.
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
    def test_it_is_a_suffix_with_other_users(self, name: str, suffix: str | None) -> None:
        """
        Users of a shared suffix share its limits at the CA.
        """
        assert shared_suffix(name) == suffix


class TestCost:
    def test_the_tables_load_when_a_name_needs_them(self) -> None:
        """
        Commands without a name start without loading the tables.
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
            # Boulder ignores the private part of the list.
            ("shop.github.io", "github.io"),
            ("1-2-3-4.sslip.io", "sslip.io"),
            ("www.shop.localhost", "shop.localhost"),
            ("localhost", "localhost"),
            ("192.0.2.1", "192.0.2.1"),
            ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ],
    )
    def test_it_is_what_a_ca_counts_by(self, name: str, registered: str) -> None:
        """
        A CA counts fifty new certificates a week by the registered domain.
        """
        assert registered == registered_domain(name)


class TestReadSuffixes:
    def test_afterwards_the_lists_are_loaded(self) -> None:
        """
        After `load_suffixes` the first request does not wait for the lists.
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
