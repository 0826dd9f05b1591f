"""
Tests of the choice of DNS providers, and of the names that use them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from certworker.errors.config import InvalidSettings
from certworker.settings import load
from certworker.settings.dns_providers import (
    Dns01Names,
    ProviderChoice,
    lexicon_providers,
    names_in,
    providers_in,
)
from certworker.settings.fields import Unusable

pytestmark = pytest.mark.usefixtures("lexicon")


class TestProvidersIn:
    def test_each_provider_is_read_with_its_zone(self) -> None:
        """
        The parser returns each provider with its zone, or without one for all other zones.
        """
        text = " RFC2136@Example.com., lexicon:cloudflare@bücher.example,exec@_acme-challenge.a.org,,httpreq"

        assert providers_in(text) == (
            ProviderChoice("rfc2136", None, "example.com"),
            ProviderChoice("lexicon", "cloudflare", "xn--bcher-kva.example"),
            ProviderChoice("exec", None, "_acme-challenge.a.org"),
            ProviderChoice("httpreq", None, None),
        )

    def test_one_provider_can_serve_several_zones(self) -> None:
        """
        One provider can have several entries, each with a zone.
        """
        zones = [choice.zone for choice in providers_in("acme-dns@a.org,acme-dns@b.org")]

        assert ["a.org", "b.org"] == zones

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("cloudflare", "entry 1 is not one of them"),
            ("lexicon", "entry 1 is not one of them"),
            ("lexicon:", "entry 1 is not one of them"),
            ("lexicon:../x", "entry 1 is not one of them"),
            ("exec:x", "entry 1 is not one of them"),
            ("@a.org", "entry 1 is not one of them"),
            ("lexicon:cloudflair", "entry 1 is not a provider .*: did you mean lexicon:cloudflare?"),
            ("lexicon:zzz", "entry 1 is not a provider of the installed dns-lexicon$"),
            ("exec@", "entry 1 has no zone after @"),
            ("exec@1.2.3.4", "entry 1 has no zone after @"),
            ("exec@a..b", "entry 1 has no zone after @"),
            ("exec@_x", "entry 1 has no zone after @"),
            ("exec@*.a.org", "entry 1 has no zone after @"),
            ("exec@a.org, exec@b.org, httpreq@A.org.", "entry 3 serves the zone of entry 1: give each"),
            ("exec, httpreq", "entry 2 serves all zones, as does entry 1: give each a zone of its own"),
        ],
    )
    def test_an_invalid_entry_is_named_by_its_number(self, text: str, reason: str) -> None:
        """
        The reason names the number of the entry, and not its text, which can be a password.
        """
        with pytest.raises(Unusable, match=reason):
            providers_in(text)

    def test_all_reasons_are_in_one_failure(self) -> None:
        """
        One failure has the reasons of all invalid entries.
        """
        with pytest.raises(InvalidSettings) as refused:
            load({"CERTWORKER_DNS01_PROVIDER": "foo, exec, lexicon:x@a.org, httpreq"})

        (finding,) = refused.value.findings
        assert ["entry 1", "entry 3", "entry 4"] == [part[:7] for part in finding.split("; ")[2:]]

    def test_the_number_of_reasons_is_bounded(self) -> None:
        """
        The message for thousands of invalid entries is short.
        """
        with pytest.raises(Unusable) as refused:
            providers_in("x," * 10_000)

        assert len(str(refused.value)) < 500

    def test_without_dns_lexicon_its_package_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        Without dns-lexicon, the reason has the command that installs it.
        """
        monkeypatch.setattr(sys, "path", [])
        with pytest.raises(Unusable, match=r"entry 1 needs dns-lexicon: pip install 'certworker\[lexicon\]'"):
            providers_in("lexicon:cloudflare")


class TestLexiconProviders:
    def test_the_providers_are_those_of_the_installed_files(self) -> None:
        """
        The providers come from the list of installed files, without an import of the library.
        """
        assert {"cloudflare", "gandi", "oci"} == lexicon_providers()

    def test_without_a_list_of_files_each_name_is_accepted(self, lexicon: Path) -> None:
        """
        Without the list of files, as in some Linux distributions, each provider is accepted.
        """
        (lexicon / "dns_lexicon-3.25.2.dist-info" / "RECORD").unlink()

        assert frozenset() == lexicon_providers()
        assert [ProviderChoice("lexicon", "zzz", None)] == list(providers_in("lexicon:zzz"))


class TestNamesIn:
    def test_each_form_is_read(self) -> None:
        """
        The parser accepts each form, and suffixes with a leading dot or asterisk.
        """
        assert Dns01Names() == names_in("Wildcards")
        assert Dns01Names(all_names=True) == names_in("all")
        assert Dns01Names(suffixes=("a.org", "internal")) == names_in("*.A.org, .internal., a.org, wildcards")

    @pytest.mark.parametrize("text", ["a..b", "10.0.0.1", "https://a.org", "*"])
    def test_an_invalid_suffix_is_refused(self, text: str) -> None:
        """
        A text that is not a domain name is refused.
        """
        with pytest.raises(ValueError, match=r"^(a|not a) name"):
            names_in(text)


class TestInclude:
    @pytest.mark.parametrize(
        ("names", "name", "included"),
        [
            (Dns01Names(), "*.a.org", True),
            (Dns01Names(), "a.org", False),
            (Dns01Names(all_names=True), "a.org", True),
            (Dns01Names(all_names=True), "2001:db8::1", False),
            (Dns01Names(suffixes=("a.org",)), "a.org", True),
            (Dns01Names(suffixes=("a.org",)), "www.a.org", True),
            (Dns01Names(suffixes=("a.org",)), "aa.org", False),
            (Dns01Names(suffixes=("a.org",)), "*.b.org", True),
        ],
    )
    def test_the_setting_selects_the_names(self, names: Dns01Names, name: str, included: bool) -> None:
        """
        The setting selects the names, every wildcard, and no IP address.

        A wildcard needs DNS-01 (RFC 8555, section 7.1.3), and an address cannot use it (RFC 8738).
        """
        assert included is names.include(name)
