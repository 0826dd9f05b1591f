"""
Tests of the solver and the providers that the settings describe.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from certworker.dns01.acme_dns import AcmeDns
from certworker.dns01.exec import Exec
from certworker.dns01.httpreq import HttpReq
from certworker.dns01.lexicon import Lexicon
from certworker.dns01.rfc2136 import Rfc2136, TsigKey
from certworker.dns01.solver_factory import build_providers
from certworker.settings import load
from certworker.settings.dns01 import Dns01Settings

RFC2136 = {
    "CERTWORKER_DNS01_PROVIDER": "rfc2136@example.com",
    "RFC2136_NAMESERVER": "ns1.example.com:5353",
}


def settings(**variables: str) -> Dns01Settings:
    """
    Return the settings of DNS-01 in *variables*.
    """
    return load(variables).dns01


class TestBuildProviders:
    def test_without_settings_there_is_no_provider(self) -> None:
        """
        Without settings of DNS-01, no zone has a provider, because HTTP-01 needs none.
        """
        providers = build_providers(settings(), None)

        assert providers.serving("example.com") is None

    def test_rfc2136_has_its_name_server_and_key(self) -> None:
        """
        The provider rfc2136 has the name server of the settings, and the key if one is set.
        """
        secret = "c2VjcmV0"
        signed = {"RFC2136_TSIG_KEY": "acme.", "RFC2136_TSIG_SECRET": secret}

        unsigned = build_providers(settings(**RFC2136), None).serving("example.com")
        assert Rfc2136("ns1.example.com", 5353) == unsigned
        provider = build_providers(settings(**RFC2136, **signed), None).serving("example.com")
        assert Rfc2136("ns1.example.com", 5353, TsigKey("acme", secret)) == provider

    def test_each_zone_has_its_provider(self, tmp_path: Path) -> None:
        """
        Each zone has the provider of the settings. The provider without a zone serves all others.
        """
        program = tmp_path / "hook"
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        both = {**RFC2136, "CERTWORKER_DNS01_PROVIDER": "rfc2136@example.com,exec", "EXEC_PATH": str(program)}

        providers = build_providers(settings(**both), None)

        assert isinstance(providers.serving("www.example.com"), Rfc2136)
        assert Exec(program) == providers.serving("example.net")

    def test_httpreq_has_its_settings(self, tmp_path: Path) -> None:
        """
        The provider httpreq has the settings of the operator's service, and the trusted roots.
        """
        variables = {
            "CERTWORKER_DNS01_PROVIDER": "httpreq",
            "HTTPREQ_ENDPOINT": "https://dns.example.com/api",
            "HTTPREQ_MODE": "RAW",
            "HTTPREQ_USERNAME": "user",
            "HTTPREQ_PASSWORD": "pass",
        }
        roots = tmp_path / "roots.pem"

        provider = build_providers(settings(**variables), roots).serving("example.com")

        expected = HttpReq("https://dns.example.com/api", "user", "pass", raw=True, ca_bundle=roots)
        assert expected == provider

    def test_acme_dns_has_its_settings(self, tmp_path: Path) -> None:
        """
        The provider acme-dns has the URL and the account file of the settings.
        """
        accounts = tmp_path / "accounts.json"
        variables = {
            "CERTWORKER_DNS01_PROVIDER": "acme-dns",
            "ACME_DNS_API_BASE": "https://auth.example.net",
            "ACME_DNS_STORAGE_PATH": str(accounts),
        }

        provider = build_providers(settings(**variables), None).serving("auth.example.net")

        assert AcmeDns("https://auth.example.net", accounts) == provider

    def test_a_provider_of_dns_lexicon_has_its_own_variables(self) -> None:
        """
        A provider of dns-lexicon gets its own variables, and none of another provider.
        """
        variables = {
            "CERTWORKER_DNS01_PROVIDER": "lexicon:powerdns,lexicon:cloudflare@example.net",
            "LEXICON_POWERDNS_PDNS_SERVER": "http://127.0.0.1",
            "LEXICON_POWERDNS_AUTH_TOKEN": "a",
            "LEXICON_CLOUDFLARE_AUTH_TOKEN": "b",
        }

        providers = build_providers(settings(**variables), None)

        powerdns, cloudflare = providers.serving("example.com"), providers.serving("example.net")
        assert cloudflare == Lexicon("cloudflare", {"LEXICON_CLOUDFLARE_AUTH_TOKEN": "b"})
        assert powerdns == Lexicon(
            "powerdns",
            {"LEXICON_POWERDNS_PDNS_SERVER": "http://127.0.0.1", "LEXICON_POWERDNS_AUTH_TOKEN": "a"},
        )

    @pytest.mark.parametrize("name", ["example.net", "com"])
    def test_a_zone_is_not_served_by_the_provider_of_another(self, name: str) -> None:
        """
        A zone has no provider if the only provider is that of another zone.
        """
        assert build_providers(settings(**RFC2136), None).serving(name) is None
