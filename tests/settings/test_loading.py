"""
Tests that load the settings from an environment and its secret files, and of the warnings.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from certworker.acme.http_pool import pool_for
from certworker.errors.config import InvalidSettings
from certworker.settings import environment_warnings, load, variables
from certworker.settings.loading import (
    IN_FILES,
    MOST_WARNINGS,
    SECRETS,
    secret_variables,
    wrong_proxies,
)

SECRET = "correct_horse_"

#: A choice of all providers. Only the variables of a chosen provider are read.
EACH_PROVIDER = "rfc2136@a.org, exec@b.org, httpreq@c.org, acme-dns@d.org"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """
    Return a file with a secret and a final line break.
    """
    path = tmp_path / "secret"
    path.write_text(f"{SECRET}\n")
    return path


def revealed(secret: SecretStr | None) -> str:
    """
    Return the text of *secret*.
    """
    assert secret is not None
    return secret.get_secret_value()


class TestSecretsInFiles:
    def test_secrets_are_read_from_files(self, file: Path) -> None:
        """
        A secret is read from a file, without the final line break.
        """
        settings = load(
            {
                "_APP_REDIS_PASS_FILE": str(file),
                "CERTWORKER_EAB_KID": "kid",
                "CERTWORKER_EAB_HMAC_KEY_FILE": str(file),
            }
        )

        assert SECRET == revealed(settings.redis_password)
        assert SECRET == revealed(settings.eab_hmac_key)

    def test_a_password_is_read_with_its_spaces(self, file: Path) -> None:
        """
        The password is the content of the file, without the final line break.
        """
        file.write_text(' "a b" \n\n')

        assert ' "a b" \n' == revealed(load({"_APP_REDIS_PASS_FILE": str(file)}).redis_password)

    @pytest.mark.parametrize(
        "name", [f"{secret}_FILE" for secret in sorted(IN_FILES) if not secret.endswith("*")]
    )
    def test_an_unreadable_file_is_named(self, name: str, tmp_path: Path) -> None:
        """
        The failure names the variable of a file that is missing, empty or a directory.
        """
        (tmp_path / "empty").touch()
        for path in (tmp_path, tmp_path / "missing", tmp_path / "empty"):
            with pytest.raises(InvalidSettings, match=f"{name} must be the path of a file"):
                load({name: str(path), "CERTWORKER_DNS01_PROVIDER": EACH_PROVIDER})

    def test_a_secret_that_is_set_twice_is_named(self, file: Path) -> None:
        """
        A secret with a value and a file is refused, because either can be the correct one.
        """
        with pytest.raises(
            InvalidSettings, match=r"_APP_REDIS_PASS_FILE must be .* and _APP_REDIS_PASS must be empty"
        ):
            load({"_APP_REDIS_PASS_FILE": str(file), "_APP_REDIS_PASS": "other"})

    def test_every_secret_can_be_in_a_file(self) -> None:
        """
        Each secret has a variant with _FILE, because Docker mounts secrets as files.
        """
        assert {"_APP_REDIS_PASS", "RFC2136_TSIG_SECRET"} <= set(SECRETS) <= IN_FILES

    def test_the_variables_of_dns_lexicon_are_secrets(self) -> None:
        """
        Each variable of dns-lexicon is a secret, also for a provider that is not chosen.
        """
        environ = {"LEXICON_CLOUDFLARE_AUTH_TOKEN": SECRET, "LEXICON_GANDI_AUTH_TOKEN_FILE": "/x", "PATH": ""}

        assert {"LEXICON_CLOUDFLARE_AUTH_TOKEN", "LEXICON_GANDI_AUTH_TOKEN"} == (
            secret_variables(environ) - set(SECRETS)
        )


class TestExternalAccount:
    def test_half_an_external_account_is_refused(self) -> None:
        """
        A key ID without its HMAC key, or the reverse, is refused.
        """
        for half in ({"CERTWORKER_EAB_KID": "kid"}, {"CERTWORKER_EAB_HMAC_KEY": SECRET}):
            with pytest.raises(InvalidSettings, match=r"CERTWORKER_EAB_HMAC_KEY must be .* be set"):
                load(half)

    @pytest.mark.parametrize("written", ["-_-_", "+/+/", "-_-_=="])
    def test_a_key_can_use_either_alphabet(self, written: str) -> None:
        """
        A key in either alphabet of Base64, with or without padding, is accepted.
        """
        settings = load({"CERTWORKER_EAB_KID": "kid", "CERTWORKER_EAB_HMAC_KEY": written})

        assert "-_-_" == revealed(settings.eab_hmac_key)


VALID = [
    "http://proxy:3128",
    "https://proxy.example.org",
    "http://me:p%40ss%E2%82%AC@proxy:3128/",
    "http://[2001:db8::1]:3128",
    "proxy:3128",
    "me:word@127.0.0.1:3128",
    "HTTP://PROXY:3128",
]
INVALID = [
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
VALUES = st.sampled_from([*VALID, *INVALID, ""]) | ANY


def connected(environ: Mapping[str, str]) -> None:
    """
    Create the connection pools for a CA with either scheme, as the transport does.
    """
    with mock.patch.dict(os.environ, dict(environ), clear=True):
        for url in ("https://ca.example.org/dir", "http://ca.example.org:14000/dir"):
            pool_for(url, None, 1)


class TestWrongProxies:
    @pytest.mark.parametrize(
        "name", ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"]
    )
    def test_an_unusable_proxy_is_named(self, name: str) -> None:
        """
        The failure names the variable and the allowed values, without the invalid value.
        """
        for value in INVALID:
            with pytest.raises(InvalidSettings, match=f"{name} must be http://HOST:PORT") as refused:
                load({name: value})

            assert refused.value.findings == tuple(wrong_proxies({name: value})), value

    @pytest.mark.parametrize("value", VALID)
    def test_the_usual_forms_are_accepted(self, value: str) -> None:
        """
        A valid proxy is accepted, and connections can use it.
        """
        environ = {"HTTPS_PROXY": value, "ALL_PROXY": value}

        assert [] == wrong_proxies(environ)
        connected(environ)

    def test_a_password_is_not_repeated(self) -> None:
        """
        The failure does not contain the password of a proxy.
        """
        with pytest.raises(InvalidSettings) as refused:
            load({"HTTPS_PROXY": "http://me:hunter2@[::1"})

        assert "hunter2" not in str(refused.value)

    def test_socks_is_named(self) -> None:
        """
        The finding for a SOCKS proxy explains that SOCKS is not supported.
        """
        assert ["ALL_PROXY must be"] == [each[:17] for each in wrong_proxies({"ALL_PROXY": INVALID[0]})]
        assert "SOCKS is not supported" in wrong_proxies({"ALL_PROXY": INVALID[0]})[0]

    @pytest.mark.parametrize(
        "environ",
        [
            {"ALL_PROXY": "socks5://p:1", "HTTP_PROXY": "http://p:1", "https_proxy": "http://p:1"},
            {"HTTPS_PROXY": "socks5://p:1", "https_proxy": "http://p:1"},
            {"HTTPS_PROXY": "socks5://p:1", "https_proxy": ""},
            {"HTTPS_PROXY": ""},
        ],
    )
    def test_an_unused_proxy_is_not_checked(self, environ: dict[str, str]) -> None:
        """
        An invalid proxy that another variable overrides is not a failure.
        """
        assert [] == wrong_proxies(environ)
        connected(environ)

    def test_proxies_are_reported_together_with_other_settings(self) -> None:
        """
        One failure names every invalid value.
        """
        with pytest.raises(InvalidSettings) as refused:
            load({"HTTP_PROXY": "http://[::1", "https_proxy": "socks://p:1", "CERTWORKER_LOG": "xml"})

        assert ["CERTWORKER_LOG", "HTTP_PROXY", "https_proxy"] == [
            finding.partition(" ")[0] for finding in refused.value.findings
        ]

    @given(st.dictionaries(st.sampled_from(NAMES), VALUES))
    def test_each_accepted_proxy_can_be_used(self, environ: dict[str, str]) -> None:
        """
        Each environment that the loader accepts works for the connections.
        """
        try:
            load(environ)
        except InvalidSettings:
            return
        connected(environ)


class TestUnknownVariables:
    @pytest.mark.parametrize(
        ("name", "meant"),
        [
            ("CERTWORKER_AUTHORTY", "CERTWORKER_AUTHORITY"),
            ("CERTWORKER_CONCURENCY", "CERTWORKER_CONCURRENCY"),
            ("certworker_log_level", "CERTWORKER_LOG_LEVEL"),
            ("CERTWORKER_CA_BUNDLE_FILE", "CERTWORKER_CA_BUNDLE"),
        ],
    )
    def test_a_warning_names_the_similar_setting(self, name: str, meant: str) -> None:
        """
        The warning for a misspelled variable suggests the setting, and does not show the value.
        """
        (warning,) = environment_warnings({name: "correct_horse"})

        assert f"{name} is not a setting and has no effect. Did you mean {meant}?" == str(warning)

    def test_a_dissimilar_name_has_no_suggestion(self) -> None:
        """
        The warning for a dissimilar name has no suggestion.
        """
        (warning,) = environment_warnings({"CERTWORKER_XYZZY_PLUGH": "1"})

        assert "CERTWORKER_XYZZY_PLUGH is not a setting and has no effect." == str(warning)

    def test_every_setting_is_known(self) -> None:
        """
        Valid variables and the variables of other programs cause no warning.
        """
        environ = dict.fromkeys(variables(), "") | {"PATH": "/bin", "_APP_OPENSSL_KEY_V1": "secret"}

        assert [] == environment_warnings(environ)

    def test_variables_of_kubernetes_are_known(self) -> None:
        """
        The variables that Kubernetes sets for a service named `certworker` cause no warning.
        """
        linked = {
            "CERTWORKER_SERVICE_HOST": "10.0.0.1",
            "CERTWORKER_SERVICE_PORT_HTTP": "8080",
            "CERTWORKER_PORT": "tcp://10.0.0.1:8080",
            "CERTWORKER_PORT_8080_TCP_ADDR": "10.0.0.1",
        }

        assert [] == environment_warnings(linked)
        assert 1 == len(environment_warnings({"CERTWORKER_PORT": "8080"}))

    def test_the_number_of_warnings_is_bounded(self) -> None:
        """
        A hostile environment causes a bounded number of printable warnings.
        """
        warnings = environment_warnings({f"CERTWORKER_\x1b[2J{number}": "" for number in range(1_000)})

        assert MOST_WARNINGS == len(warnings)
        assert all(str(warning).isprintable() for warning in warnings)


class TestEnvironment:
    @pytest.mark.parametrize(
        ("value", "remedy"),
        [
            ("prod", "Did you mean production?"),
            ("'PROD'", "Did you mean production?"),
            ("productoin", "Did you mean production?"),
            ("dev", "Did you mean development?"),
            ("x", "For trusted certificates, set _APP_ENV=production"),
        ],
    )
    def test_an_unknown_value_has_a_warning(self, value: str, remedy: str) -> None:
        """
        An unknown value selects the development CA, and causes a warning.
        """
        (warning,) = environment_warnings({"_APP_ENV": value})

        assert ("_APP_ENV", remedy) == (warning.variable, warning.remedy)
        assert "counts as development" in warning.message

    @pytest.mark.parametrize("value", ["", "production", " Production ", '"development"'])
    def test_a_known_value_has_no_warning(self, value: str) -> None:
        """
        A known value causes no warning, in either case, with spaces or with quotes.
        """
        assert [] == environment_warnings({"_APP_ENV": value})
