"""
Tests of every setting, and of the failures for invalid values.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from certworker import certificates
from certworker.errors.config import InvalidSettings
from certworker.settings import KeyType, load, variables
from certworker.variables import VERBATIM

ROOT = Path(__file__).parents[2]

#: A value that no message contains.
SECRET = "hunter2?"

INVALID = {
    "_APP_REDIS_HOST": ["redis://redis", "two words", "redis:6379", "a..b", "x" * 64, "[::1", "bücher"],
    "_APP_REDIS_PORT": ["0", "65536", "http", "-1"],
    "CERTWORKER_REDIS_URL": [
        "redis",
        "http://redis:6379/0",
        "redis://a,b/0",
        "redis+sentinel://a/",
        "rediss://redis/0?ssl_ca_certs=/no/such/file.pem",
        "rediss://redis/0?ssl_ca_certs=/dev/null",
        "rediss://redis/0?ssl_keyfile=/dev/null",
        "redis://a..b/0",
        "redis://redis:0/0",
        "redis://[::1/0",
    ],
    "CERTWORKER_AUTHORITY": [
        "zerossl",
        "ftp://ca.example.org",
        "https://",
        "https://me:word@ca.example.org/",
        "https://:word@ca.example.org/",
        "https://[::1/directory",
        "https://ca.example.org:https/directory",
        "https://ca..example.org/directory",
        "https://ca.example.org/dir ectory",
    ],
    "CERTWORKER_CA_BUNDLE": ["/no/such/file.pem", "/", "/dev/null", "/dev/zero"],
    "CERTWORKER_LIMITS_FILE": ["/no/such/file.json", "/", "/dev/zero"],
    "CERTWORKER_CERTIFICATES_DIR": ["/dev/null", "/dev/null/certificates", "/" + "x" * 300],
    "CERTWORKER_WEBROOT": ["/dev/null", "a\nb"],
    "CERTWORKER_CONFIG_DIR": ["/dev/null", "/storage/certificates"],
    "CERTWORKER_STATE_DIR": ["/dev/null/state", "/storage/certificates", "/storage/config"],
    "CERTWORKER_HTTP_ADDRESS": [
        "8080",
        "127.0.0.1",
        "0.0.0.0:http",
        "::1:8080",
        "[::1]",
        "a b:80",
        "[x]:80",
        "a..b:80",
    ],
    "CERTWORKER_METRICS_ADDRESS": ["8081", "127.0.0.1", "[x]:80"],
    "CERTWORKER_WEB_ADDRESS": ["8081", "127.0.0.1", "[x]:80"],
    "CERTWORKER_WEB_PATH": ["certworker", "//x", "/a b", "/..", "/a/../b", "/%41", "/ä", "/" + "x" * 101],
    "CERTWORKER_TOKENS_FILE": ["tokens.json", "/", "/dev/null", "/dev/null/x", "/a\0b"],
    "CERTWORKER_WEB_TRUSTED_HEADER": [
        *(
            "Remote User",
            "Remote-User:root",
            "Remote-User:",
            "Remote_User",
            "Cookie",
            "X-Forwarded-For",
            ":read",
        ),
    ],
    "CERTWORKER_WEB_PROXIES": ["proxy", "10.0.0.1/8", "10.0.0.0/33", ",", "::1/129"],
    "CERTWORKER_PROXY_ADDRESS": ["traefik", "traefik:https", "x" * 64 + ":443", "::1:443"],
    "CERTWORKER_CONCURRENCY": ["0", "1025", "many", "1.5"],
    "CERTWORKER_KEY_TYPE": ["rsa1024", "ed25519"],
    "CERTWORKER_PROFILE": ["two words", "x" * 65],
    "CERTWORKER_PRIVATE_NETWORK": ["maybe"],
    "CERTWORKER_HTTP01_PORT": ["0", "99999"],
    "_APP_DNS": ["dns.google", "1.1.1", ",", "1.1.1.1:0", "::1:53:99999", "[::1"],
    "_APP_EMAIL_CERTIFICATES": ["ops@example.org\nBcc: a@b"],
    "_APP_SYSTEM_EMAIL_ADDRESS": ["nobody", "a@b@c", "a b@c.org", "a@c..org", "a@\n", "a@1.2.3.4", "@c.org"],
    "_APP_SYSTEM_EMAIL_NAME": ["A%0AB", "A%00", "A\nB", "\x1b[2J"],
    "_APP_SMTP_HOST": ["smtp..example.org", "x" * 64, "smtp.example.org:25", "[::1", "bücher.example"],
    "_APP_SMTP_USERNAME": ["a\nb", "a\0b", "\udcff"],
    "_APP_SMTP_PASSWORD": ["\udcff"],
    "CERTWORKER_NOTIFY_URL": [
        *("ftp://hooks", "http://a..b/", "http://[2001:db8::a/", "http://hooks:0/", "http://hooks:http/"),
        *("http://bücher/", "http://hooks/a b", "http://", "hooks.example.org"),
    ],
    "CERTWORKER_DOCKER_HOST": [
        *(
            "tcp://",
            "tcp://a..b:2375",
            "tcp://a:0",
            "http://a:2375",
            "unix://docker.sock",
            "/run/docker.sock",
        ),
        "unix:///" + "x" * 120,
    ],
    "CERTWORKER_RELOAD": ["nginx"],
    "CERTWORKER_DEPLOY_HOOK": [
        "bin/true",
        "/etc",
        "/etc/passwd",
        "/nowhere/program",
        "/bin/true --now",
        "/bin/\n",
    ],
    "CERTWORKER_EAB_KID": ["a\nb"],
    "CERTWORKER_PREFERRED_CHAIN": ["a\x00b"],
    "_APP_DOMAIN_TARGET_A": ["a\nb"],
    "CERTWORKER_LOG": ["xml"],
    "CERTWORKER_LOG_LEVEL": ["loud"],
    "CERTWORKER_DOCS_URL": ["docs.example.org", "ftp://docs.example.org", "http://"],
}


def failure_of(environ: Mapping[str, str]) -> InvalidSettings:
    """
    Return the failure to load *environ*.
    """
    with pytest.raises(InvalidSettings) as caught:
        load(environ)
    return caught.value


class TestDefaults:
    def test_an_empty_environment_is_for_development(self) -> None:
        """
        Without settings, the development CA issues, and no certificate is requested.
        """
        settings = load({})

        assert settings.authority.kind == "development"
        assert settings.domains == ()
        assert not settings.production
        assert settings.email is None
        assert (settings.redis_host, settings.redis_port) == ("redis", 6379)
        assert settings.certificates_dir == settings.webroot == Path("/storage/certificates")
        assert settings.config_dir == Path("/storage/config")
        assert settings.state_dir == Path("/storage/certificates/.certworker")
        assert str(settings.http_address) == "0.0.0.0:8080"
        assert (settings.concurrency, settings.key_type, settings.http01_port) == (16, "ec256", 80)
        assert (settings.log, settings.log_level) == ("human", "info")

    @pytest.mark.parametrize("nothing", ["", "  ", '""'])
    def test_an_empty_variable_means_its_default(self, nothing: str) -> None:
        """
        An empty variable has its default, because Compose passes unset variables as empty texts.
        """
        assert load(dict.fromkeys(variables().keys() - VERBATIM, nothing)) == load({})
        assert load(dict.fromkeys(VERBATIM, "")) == load({})

    def test_state_and_webroot_are_on_the_volume(self, tmp_path: Path) -> None:
        """
        The default directories of the state and the webroot are on the volume.
        """
        settings = load({"CERTWORKER_CERTIFICATES_DIR": str(tmp_path)})

        assert (settings.state_dir, settings.webroot) == (tmp_path / ".certworker", tmp_path)

    def test_only_the_given_mapping_is_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        The loader ignores the variables of this process.
        """
        monkeypatch.setenv("CERTWORKER_AUTHORITY", "letsencrypt")
        monkeypatch.setenv("authority_names", "letsencrypt")

        assert load({}).authority.kind == "development"

    def test_other_variables_are_ignored(self) -> None:
        """
        The loader ignores the variables of other programs.
        """
        assert load({"PATH": "/bin", "_APP_OPENSSL_KEY_V1": SECRET, "production": "true"}) == load({})


class TestValues:
    @pytest.mark.parametrize("value", ["production", ' "production" ', "'production'", "Production"])
    def test_surrounding_spaces_and_quotes_are_removed(self, value: str) -> None:
        """
        The loader removes spaces and quotes, because old versions of Compose pass them.
        """
        assert load({"_APP_ENV": value}).production

    @pytest.mark.parametrize("value", ["development", "prod", "staging", "not production"])
    def test_only_production_is_production(self, value: str) -> None:
        """
        Only the word `production` selects a public CA.
        """
        assert not load({"_APP_ENV": value}).production

    def test_several_domains_are_separated_by_commas(self) -> None:
        """
        The domain can be a list of domains, as in newer releases of Appwrite.
        """
        assert load({"_APP_DOMAIN": " a.org, b.org ,,c.org"}).domains == ("a.org", "b.org", "c.org")

    @pytest.mark.parametrize("off", ["off", "OFF", ' "off" '])
    def test_off_disables_a_feature(self, off: str) -> None:
        """
        The word `off` disables a feature, because an empty variable means the default.
        """
        variables = (
            "CERTWORKER_HTTP_ADDRESS",
            "CERTWORKER_METRICS_ADDRESS",
            "CERTWORKER_PROXY_ADDRESS",
            "CERTWORKER_WEBROOT",
        )
        settings = load(dict.fromkeys(variables, off))

        assert (settings.http_address, settings.proxy_address, settings.webroot) == (None, None, None)

    @pytest.mark.parametrize(
        ("value", "truth"),
        [
            ("true", True),
            ("TRUE", True),
            ("1", True),
            ("yes", True),
            ("on", True),
            ("false", False),
            ("off", False),
        ],
    )
    def test_a_boolean_has_several_words(self, value: str, truth: bool) -> None:
        """
        Each of the usual words is a Boolean value.
        """
        assert load({"CERTWORKER_PRIVATE_NETWORK": value}).private_network is truth

    def test_a_relative_directory_is_made_absolute(self) -> None:
        """
        A relative directory becomes an absolute path, which the configuration of Traefik needs.
        """
        assert load({"CERTWORKER_STATE_DIR": "state"}).state_dir == Path.cwd() / "state"

    def test_case_is_ignored(self) -> None:
        """
        A word in capitals has the same meaning.
        """
        settings = load(
            {
                "CERTWORKER_KEY_TYPE": "RSA2048",
                "CERTWORKER_LOG": "JSON",
                "CERTWORKER_AUTHORITY": "LetsEncrypt",
            }
        )

        assert (settings.key_type, settings.log, settings.authority.label) == (
            "rsa2048",
            "json",
            "letsencrypt",
        )

    def test_the_key_types_are_the_supported_ones(self) -> None:
        """
        The allowed key types are those that certworker supports.
        """
        assert get_args(KeyType) == certificates.KEY_TYPES

    def test_settings_are_frozen(self) -> None:
        """
        No setting can be changed, because all slots share the settings.
        """
        settings = load({})

        with pytest.raises(ValidationError):
            settings.concurrency = 1


class TestFingerprint:
    def test_the_fingerprint_identifies_the_configuration_without_its_secrets(self) -> None:
        """
        The fingerprint depends on the settings, and not on the secrets.

        Redis stores it, and an attacker could guess a short password from a digest.
        """
        first = load({"_APP_DOMAIN": "a.org", "_APP_SMTP_PASSWORD": "one"}).fingerprint

        assert first == load({"_APP_DOMAIN": "a.org", "_APP_SMTP_PASSWORD": "two"}).fingerprint
        assert first != load({"_APP_DOMAIN": "b.org", "_APP_SMTP_PASSWORD": "one"}).fingerprint


class TestAuthority:
    @pytest.mark.parametrize(
        ("environ", "label", "kind"),
        [
            ({"_APP_ENV": "production"}, "letsencrypt", "public"),
            ({"_APP_ENV": "development"}, "development", "development"),
            ({"_APP_ENV": "production", "CERTWORKER_AUTHORITY": "auto"}, "letsencrypt", "public"),
            ({"CERTWORKER_AUTHORITY": "letsencrypt-staging"}, "letsencrypt-staging", "staging"),
            ({"_APP_ENV": "production", "CERTWORKER_AUTHORITY": "development"}, "development", "development"),
            ({"CERTWORKER_AUTHORITY": "https://ca.shop.org/dir"}, "ca.shop.org", "public"),
            (
                {"CERTWORKER_AUTHORITY": "https://ca.internal/dir", "CERTWORKER_PRIVATE_NETWORK": "true"},
                "ca.internal",
                "private",
            ),
            (
                {"CERTWORKER_AUTHORITY": "letsencrypt", "CERTWORKER_PRIVATE_NETWORK": "true"},
                "letsencrypt",
                "public",
            ),
        ],
    )
    def test_the_environment_selects_the_ca(self, environ: dict[str, str], label: str, kind: str) -> None:
        """
        The environment selects the CA. In a private network, a CA with a URL is a private CA.
        """
        authority = load(environ).authority

        assert (authority.label, authority.kind) == (label, kind)


class TestEmail:
    NEW, OLD = "_APP_EMAIL_CERTIFICATES", "_APP_SYSTEM_SECURITY_EMAIL_ADDRESS"

    @pytest.mark.parametrize(
        ("environ", "email"),
        [
            ({NEW: "a@shop.org"}, "a@shop.org"),
            ({OLD: "a@shop.org"}, "a@shop.org"),
            ({NEW: "", OLD: "a@shop.org"}, "a@shop.org"),
            ({NEW: "a@shop.org", OLD: "a@shop.org"}, "a@shop.org"),
            ({NEW: "new@shop.org", OLD: "old@shop.org"}, "new@shop.org"),
        ],
    )
    def test_both_variables_set_the_address(self, environ: dict[str, str], email: str) -> None:
        """
        Both variables set the address, and the newer one overrides the older one.
        """
        assert load(environ).email == email

    def test_an_invalid_address_is_accepted(self) -> None:
        """
        The loader accepts an invalid address. Jobs of a public CA fail with its code.
        """
        assert load({self.NEW: "nonsense"}).email == "nonsense"


class TestInvalidValues:
    def test_an_invalid_value_is_named_with_the_allowed_values(self) -> None:
        """
        The finding names the variable and the allowed values.
        """
        allowed = variables()
        for name, value in ((each, value) for each in INVALID for value in INVALID[each]):
            failure = failure_of({name: value})

            (finding,) = failure.findings
            assert finding.startswith(f"{name} must be {allowed[name]}"), value
            assert failure.remedy.endswith("docker compose up -d")

    def test_all_invalid_values_are_reported_together(self) -> None:
        """
        One failure names every invalid value.
        """
        failure = failure_of({name: values[0] for name, values in INVALID.items()})

        assert {finding.partition(" ")[0] for finding in failure.findings} == INVALID.keys()
        assert all(finding in str(failure) for finding in failure.findings)
        assert str(failure).isprintable()

    @pytest.mark.parametrize("name", sorted(INVALID.keys() - VERBATIM))
    def test_the_value_is_never_repeated(self, name: str) -> None:
        """
        The failure and its traceback do not contain the value, which can be a password.
        """
        failure = failure_of({name: f"{SECRET} \x1b {SECRET}", "_APP_REDIS_PASS": SECRET})

        assert SECRET not in "".join(traceback.format_exception(failure))

    @given(st.dictionaries(st.sampled_from(sorted(variables())), st.text(max_size=20)))
    def test_any_environment_is_loaded_or_refused(self, environ: dict[str, str]) -> None:
        """
        The loader raises no other exception than InvalidSettings.
        """
        try:
            settings = load(environ)
        except InvalidSettings as failure:
            shown = str(failure)
        else:
            shown = str(settings.authority)

        assert shown


class TestPassword:
    def test_a_password_is_not_changed(self) -> None:
        """
        The loader does not remove the quotes and spaces of a password.
        """
        password = load({"_APP_REDIS_PASS": ' "a b" '}).redis_password

        assert password is not None
        assert password.get_secret_value() == ' "a b" '

    def test_a_password_is_never_shown(self) -> None:
        """
        No text form of the settings contains the password.
        """
        settings = load({"_APP_REDIS_PASS": SECRET})

        assert SECRET not in f"{settings!r} {settings} {settings.model_dump_json()}"


class TestExample:
    def test_the_example_has_every_variable_once(self) -> None:
        """
        The file has every variable once. tests/test_containers_files.py checks its other content.
        """
        lines = (ROOT / ".env.example").read_text()

        listed = re.findall(r"^(?:# )?([A-Z_][A-Z0-9_]+)=", lines, re.M)

        assert len(listed) == len(set(listed))
        assert set(variables()) <= set(listed)

    def test_the_commented_values_are_the_defaults(self) -> None:
        """
        The values in comments are the defaults.
        """
        lines = (ROOT / ".env.example").read_text()
        shown = dict(re.findall(r"^# ([A-Z_][A-Z0-9_]+)=(.*)$", lines, re.M))

        assert load(shown) == load({})

    def test_each_block_has_a_comment(self) -> None:
        """
        Each block of variables begins with a comment.
        """
        blocks = (ROOT / ".env.example").read_text().strip().split("\n\n")

        for block in blocks:
            first, *_ = block.splitlines()
            assert re.match(r"# [A-Za-z\[]", first)
            assert "=" not in first


class TestAppwrite:
    def test_the_defaults_are_those_of_appwrite(self) -> None:
        """
        Without settings, the worker uses the queue of Appwrite, so that it can replace Appwrite's service.
        """
        settings = load({})

        assert ("auto", "v1-certificates") == (settings.appwrite, settings.appwrite_queue)

    @pytest.mark.parametrize(
        ("name", "value"), [("CERTWORKER_APPWRITE", "maybe"), ("_APP_CERTIFICATES_QUEUE_NAME", "a b")]
    )
    def test_an_invalid_value_is_named(self, name: str, value: str) -> None:
        """
        The loader names an invalid value.
        """
        with pytest.raises(InvalidSettings, match=name):
            load({name: value})


class TestNameServers:
    def test_a_public_name_server_is_the_default(self) -> None:
        """
        The default name server is public, and the same as that of Appwrite.
        """
        assert (("8.8.8.8", 53),) == load({}).name_servers

    @pytest.mark.parametrize(
        ("text", "servers"),
        [
            ("1.1.1.1", [("1.1.1.1", 53)]),
            ("1.1.1.1, 8.8.4.4", [("1.1.1.1", 53), ("8.8.4.4", 53)]),
            ("127.0.0.1:5353", [("127.0.0.1", 5353)]),
            ("2001:4860:4860::8888", [("2001:4860:4860::8888", 53)]),
            ("[::1]:5353", [("::1", 5353)]),
        ],
    )
    def test_a_port_is_optional(self, text: str, servers: list[tuple[str, int]]) -> None:
        """
        An address can have a port, and its default is 53.
        """
        assert tuple(servers) == load({"_APP_DNS": text}).name_servers

    @pytest.mark.parametrize(
        "text", ["dns.google", "1.1.1", ",", "1.1.1.1:99999", "https://1.1.1.1/dns-query"]
    )
    def test_a_host_name_is_refused(self, text: str) -> None:
        """
        A host name or an invalid address is refused.
        """
        with pytest.raises(InvalidSettings, match="_APP_DNS must be addresses"):
            load({"_APP_DNS": text})


OWN_NAMES = {
    "_APP_DOMAIN": "cloud.example.org",
    "_APP_DOMAIN_FUNCTIONS": "functions.example.org, *.run.example.org",
    "_APP_DOMAIN_SITES": "sites.example.org,functions.example.org",
}


class TestOwnNames:
    def test_without_a_provider_the_own_names_have_no_wildcard(self) -> None:
        """
        Without a DNS provider, the own names are those of _APP_DOMAIN.
        """
        assert {"cloud.example.org": "_APP_DOMAIN"} == load(OWN_NAMES).own_names

    def test_with_a_provider_the_own_names_have_wildcards(self) -> None:
        """
        With a DNS provider, the own names have the wildcards for functions and sites, each with its variable.
        """
        provider = {"CERTWORKER_DNS01_PROVIDER": "rfc2136", "RFC2136_NAMESERVER": "192.0.2.53"}

        assert {
            "cloud.example.org": "_APP_DOMAIN",
            "*.functions.example.org": "_APP_DOMAIN_FUNCTIONS",
            "*.run.example.org": "_APP_DOMAIN_FUNCTIONS",
            "*.sites.example.org": "_APP_DOMAIN_SITES",
        } == load({**OWN_NAMES, **provider}).own_names


class TestTargets:
    def test_no_target_is_set_by_default(self) -> None:
        """
        Without settings, there is no target, so a custom domain can point to any address.
        """
        assert {} == load({}).targets

    def test_the_defaults_of_appwrite_are_not_targets(self) -> None:
        """
        The defaults of Appwrite are not targets, because no custom domain points to them.
        """
        defaults = {
            "_APP_DOMAIN_TARGET": "localhost",
            "_APP_DOMAIN_TARGET_CNAME": "localhost",
            "_APP_DOMAIN_TARGET_A": "127.0.0.1",
            "_APP_DOMAIN_TARGET_AAAA": "::1",
            "_APP_DOMAIN_TARGET_CAA": "",
        }

        assert {} == load(defaults).targets

    def test_targets_are_normalized(self) -> None:
        """
        A target is in lower case and has no final dot, as names from DNS have none.
        """
        given = {"_APP_DOMAIN_TARGET_CNAME": "API.Example.ORG.", "_APP_DOMAIN_TARGET_A": "203.0.113.7"}

        assert {
            "_APP_DOMAIN_TARGET_CNAME": "api.example.org",
            "_APP_DOMAIN_TARGET_A": "203.0.113.7",
        } == load(given).targets


class TestNotifications:
    def test_there_are_no_notifications_by_default(self) -> None:
        """
        Without settings, or with an empty host, there are no notifications.
        """
        assert load({"_APP_SMTP_HOST": ""}).smtp_host is None
        assert load({}).notify_url is None

    @pytest.mark.parametrize(
        ("name", "value"), [("CERTWORKER_NOTIFY_URL", "ftp://x"), ("_APP_SMTP_SECURE", "yes")]
    )
    def test_an_invalid_value_is_named(self, name: str, value: str) -> None:
        """
        The loader names an invalid value.
        """
        with pytest.raises(InvalidSettings, match=name):
            load({name: value})

    def test_secrets_are_not_shown(self) -> None:
        """
        No text form of the settings contains a secret.
        """
        settings = load({"_APP_SMTP_PASSWORD": "hunter2", "CERTWORKER_NOTIFY_SECRET": "hunter3"})

        assert "hunter" not in repr(settings)
