"""
Reading the settings from an environment and its secret files, and the warnings about an environment.
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

#: The variables of a provider are read if it is chosen.
EACH_PROVIDER = "rfc2136@a.org, exec@b.org, httpreq@c.org, acme-dns@d.org"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """
    Return a file with a secret, as an editor saves it.
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
    def test_they_are_read(self, file: Path) -> None:
        """
        Docker mounts secrets as files; an editor ends the last line.
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

    def test_a_password_keeps_its_spaces(self, file: Path) -> None:
        """
        All of the file is the password, but for the end of its last line.
        """
        file.write_text(' "a b" \n\n')

        assert ' "a b" \n' == revealed(load({"_APP_REDIS_PASS_FILE": str(file)}).redis_password)

    @pytest.mark.parametrize(
        "name", [f"{secret}_FILE" for secret in sorted(IN_FILES) if not secret.endswith("*")]
    )
    def test_a_file_that_cannot_be_read_is_named(self, name: str, tmp_path: Path) -> None:
        """
        Without its password Redis would refuse the worker later, with a less clear reason.
        """
        (tmp_path / "empty").touch()
        for path in (tmp_path, tmp_path / "missing", tmp_path / "empty"):
            with pytest.raises(InvalidSettings, match=f"{name} must be the path of a file"):
                load({name: str(path), "CERTWORKER_DNS01_PROVIDER": EACH_PROVIDER})

    def test_a_secret_that_is_set_twice_is_named(self, file: Path) -> None:
        """
        The start fails: either value could be the right one.
        """
        with pytest.raises(
            InvalidSettings, match=r"_APP_REDIS_PASS_FILE must be .* and _APP_REDIS_PASS empty"
        ):
            load({"_APP_REDIS_PASS_FILE": str(file), "_APP_REDIS_PASS": "other"})

    def test_every_secret_may_be_in_a_file(self) -> None:
        """
        Docker mounts secrets as files.
        """
        assert {"_APP_REDIS_PASS", "RFC2136_TSIG_SECRET"} <= set(SECRETS) <= IN_FILES

    def test_the_variables_of_dns_lexicon_have_secrets(self) -> None:
        """
        Also if they are set for a provider that is not chosen.
        """
        environ = {"LEXICON_CLOUDFLARE_AUTH_TOKEN": SECRET, "LEXICON_GANDI_AUTH_TOKEN_FILE": "/x", "PATH": ""}

        assert {"LEXICON_CLOUDFLARE_AUTH_TOKEN", "LEXICON_GANDI_AUTH_TOKEN"} == (
            secret_variables(environ) - set(SECRETS)
        )


class TestExternalAccount:
    def test_one_without_the_other_is_named(self) -> None:
        """
        The CA would refuse it with a less clear reason.
        """
        for half in ({"CERTWORKER_EAB_KID": "kid"}, {"CERTWORKER_EAB_HMAC_KEY": SECRET}):
            with pytest.raises(InvalidSettings, match=r"CERTWORKER_EAB_HMAC_KEY must be .* be set"):
                load(half)

    @pytest.mark.parametrize("written", ["-_-_", "+/+/", "-_-_=="])
    def test_a_key_may_be_written_in_either_alphabet(self, written: str) -> None:
        """
        Web sites show either.
        """
        settings = load({"CERTWORKER_EAB_KID": "kid", "CERTWORKER_EAB_HMAC_KEY": written})

        assert "-_-_" == revealed(settings.eab_hmac_key)


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
    Make the connections to a CA with either scheme, as the transport does.
    """
    with mock.patch.dict(os.environ, dict(environ), clear=True):
        for url in ("https://ca.example.org/dir", "http://ca.example.org:14000/dir"):
            pool_for(url, None, 1)


class TestWrongProxies:
    @pytest.mark.parametrize(
        "name", ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"]
    )
    @pytest.mark.parametrize("value", WRONG)
    def test_one_that_no_connection_can_use_is_named(self, name: str, value: str) -> None:
        """
        At the start, with the allowed values and without its own, which may have a password.
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
        Users attach logs to reports.
        """
        with pytest.raises(InvalidSettings) as refused:
            load({"HTTPS_PROXY": "http://me:hunter2@[::1"})

        assert "hunter2" not in str(refused.value)

    def test_socks_is_named(self) -> None:
        """
        The operator may have set it for another program.
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

    def test_all_are_reported_together_with_other_settings(self) -> None:
        """
        One start shows every invalid value.
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
        A variable with a typing error has a suggestion, and its value is never shown.
        """
        (warning,) = environment_warnings({name: "correct_horse"})

        assert f"{name} is not a setting and has no effect. Did you mean {meant}?" == str(warning)

    def test_nothing_is_suggested_for_a_name_without_likeness(self) -> None:
        """
        A wrong suggestion is worse than none.
        """
        (warning,) = environment_warnings({"CERTWORKER_XYZZY_PLUGH": "1"})

        assert "CERTWORKER_XYZZY_PLUGH is not a setting and has no effect." == str(warning)

    def test_every_setting_is_known(self) -> None:
        """
        A correct environment has no warning, nor has a variable of another program.
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

    def test_a_hostile_environment_costs_a_few_lines(self) -> None:
        """
        Names are printable, and the number of warnings is bounded.
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
            ("x", "For trusted certificates set _APP_ENV=production"),
        ],
    )
    def test_a_value_that_is_neither_word_has_a_warning(self, value: str, remedy: str) -> None:
        """
        It selects the development CA, which is never silent.
        """
        (warning,) = environment_warnings({"_APP_ENV": value})

        assert ("_APP_ENV", remedy) == (warning.variable, warning.remedy)
        assert "counts as development" in warning.message

    @pytest.mark.parametrize("value", ["", "production", " Production ", '"development"'])
    def test_both_words_have_none(self, value: str) -> None:
        """
        In any case, with spaces and quotes, as settings are read.
        """
        assert [] == environment_warnings({"_APP_ENV": value})
