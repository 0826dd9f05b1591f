"""
Tests of the settings of DNS-01, and of the variables of the DNS providers.
"""

from __future__ import annotations

import json
from pathlib import Path

import dns.tsig
import pytest

from certworker.errors.config import InvalidSettings
from certworker.settings import Settings, load, variables
from certworker.settings.dns01 import ALGORITHMS, READERS, Dns01Settings
from certworker.settings.dns_providers import ProviderChoice

SECRET = "aHVudGVyMg=="
RFC2136 = {"CERTWORKER_DNS01_PROVIDER": "rfc2136", "RFC2136_NAMESERVER": "ns1.example.com"}
EXEC = {"CERTWORKER_DNS01_PROVIDER": "exec"}
HTTPREQ = {"CERTWORKER_DNS01_PROVIDER": "httpreq", "HTTPREQ_ENDPOINT": "https://dns.example.com"}
ACME_DNS = {"CERTWORKER_DNS01_PROVIDER": "acme-dns", "ACME_DNS_API_BASE": "https://dns.example.com"}
LEXICON = {"CERTWORKER_DNS01_PROVIDER": "lexicon:cloudflare"}


pytestmark = pytest.mark.usefixtures("lexicon")


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """
    Return the path of an executable program.
    """
    path = tmp_path / "dns"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def findings(environ: dict[str, str]) -> list[str]:
    """
    Return the findings of the failure to load *environ*.
    """
    with pytest.raises(InvalidSettings) as refused:
        load(environ)
    return list(refused.value.findings)


def refused(environ: dict[str, str]) -> list[str]:
    """
    Return the variables that the findings for *environ* name.
    """
    return [finding.partition(" ")[0] for finding in findings(environ)]


class TestDefaults:
    def test_dns_01_is_off_by_default(self) -> None:
        """
        Without settings, there is no provider, and no name that requires DNS-01.
        """
        settings = load({}).dns01

        assert ((), (), ()) == (settings.providers, settings.function_domains, settings.site_domains)
        assert (120, False, ()) == (settings.timeout, settings.names.all_names, settings.names.suffixes)

    def test_the_domains_of_appwrite_are_lists(self) -> None:
        """
        Each of Appwrite's variables for domains is a list of domains.
        """
        settings = load({"_APP_DOMAIN_FUNCTIONS": "f.a.org, f.b.org", "_APP_DOMAIN_SITES": "s.a.org"}).dns01

        assert (("f.a.org", "f.b.org"), ("s.a.org",)) == (settings.function_domains, settings.site_domains)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("CERTWORKER_DNS01_NAMES", "a..b"),
            ("CERTWORKER_DNS01_TIMEOUT", "0"),
            ("CERTWORKER_DNS01_TIMEOUT", "3601"),
            ("CERTWORKER_DNS01_TIMEOUT", "2m"),
            ("CERTWORKER_DNS01_PROVIDER", "route53"),
        ],
    )
    def test_an_invalid_value_is_named(self, name: str, value: str) -> None:
        """
        An invalid value is named, even without a provider.
        """
        assert [name] == refused({name: value})


class TestChosenProviders:
    def test_all_missing_variables_are_reported_together(self) -> None:
        """
        One failure names every variable that the chosen providers need, with the reason.
        """
        chosen = "rfc2136@a.org, exec@b.org, httpreq@c.org, acme-dns@d.org, lexicon:gandi@e.org, lexicon:oci"
        found = findings({"CERTWORKER_DNS01_PROVIDER": chosen})

        assert [finding.partition(" ")[0] for finding in found] == [
            *("RFC2136_NAMESERVER", "EXEC_PATH", "HTTPREQ_ENDPOINT", "ACME_DNS_API_BASE"),
            *("ACME_DNS_STORAGE_PATH", "LEXICON_GANDI_*", "LEXICON_OCI_*"),
        ]
        assert found[0].endswith("; CERTWORKER_DNS01_PROVIDER has rfc2136")
        assert "must be the credentials that the provider needs" in found[5]

    def test_the_variables_of_another_provider_are_ignored(self, tmp_path: Path) -> None:
        """
        The loader ignores the variables and files of a provider that is not chosen.

        Other programs use EXEC_PATH, too.
        """
        fields = [Dns01Settings.model_fields[name] for name in READERS if name != "lexicon"]
        wrong = {str(field.validation_alias): "\x1b\udcff" for field in fields}
        files = {f"{name}_FILE": str(tmp_path / "missing") for name in wrong}

        assert load(wrong | files) == load({})

    def test_each_variable_can_be_in_a_file(self, tmp_path: Path) -> None:
        """
        Each variable of a provider has a variant with _FILE, as in lego.
        """
        (tmp_path / "file").write_text("ns1.example.com:5353\n")
        environ = RFC2136 | {"RFC2136_NAMESERVER": "", "RFC2136_NAMESERVER_FILE": str(tmp_path / "file")}

        assert ("ns1.example.com", 5353) == load(environ).dns01.rfc2136_nameserver
        fields = [Dns01Settings.model_fields[name] for name in READERS if name != "lexicon"]
        assert {f"{field.validation_alias}_FILE" for field in fields} <= variables().keys()

    def test_a_value_and_a_file_together_are_refused(self, script: Path) -> None:
        """
        A value and a file for the same variable are refused, because either can be the correct one.
        """
        environ = EXEC | {"EXEC_PATH": str(script), "EXEC_PATH_FILE": str(script)}

        assert ["EXEC_PATH_FILE"] == refused(environ)


class TestRfc2136:
    @pytest.mark.parametrize(
        ("text", "server"),
        [
            ("ns1.example.com", ("ns1.example.com", 53)),
            ("192.0.2.1:5353", ("192.0.2.1", 5353)),
            ("[2001:db8::53]", ("2001:db8::53", 53)),
            ("[2001:db8::53]:5353", ("2001:db8::53", 5353)),
        ],
    )
    def test_the_server_has_an_optional_port(self, text: str, server: tuple[str, int]) -> None:
        """
        The port is optional, and its default is 53.
        """
        assert server == load(RFC2136 | {"RFC2136_NAMESERVER": text}).dns01.rfc2136_nameserver

    @pytest.mark.parametrize("text", ["ns1:0", "ns1:x", "a b", "[::1", "ns1:53:53:x", "https://ns1"])
    def test_another_server_is_refused(self, text: str) -> None:
        """
        The loader names the variable of an invalid server.
        """
        assert ["RFC2136_NAMESERVER"] == refused(RFC2136 | {"RFC2136_NAMESERVER": text})

    @pytest.mark.parametrize("dot", ["", "."])
    @pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
    def test_dnspython_knows_each_algorithm(self, algorithm: str, dot: str) -> None:
        """
        Each algorithm is valid with or without the final dot, and in either case, as in lego.
        """
        environ = {
            "RFC2136_TSIG_KEY": "acme.example.com.",
            "RFC2136_TSIG_SECRET": SECRET,
            "RFC2136_TSIG_ALGORITHM": f"{algorithm.upper()}{dot}",
        }
        settings = load(RFC2136 | environ).dns01

        assert settings.rfc2136_tsig_key is not None
        assert settings.rfc2136_tsig_secret is not None
        secret = settings.rfc2136_tsig_secret.get_secret_value()
        key = dns.tsig.Key(settings.rfc2136_tsig_key, secret, settings.rfc2136_tsig_algorithm)
        assert "acme.example.com." == key.name.to_text()
        assert dns.tsig.get_context(key)  # type: ignore[no-untyped-call] # dnspython

    def test_the_default_is_sha256(self) -> None:
        """
        The default algorithm is HMAC-SHA-256, as in lego since version 5.
        """
        assert "hmac-sha256" == load(RFC2136).dns01.rfc2136_tsig_algorithm

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("RFC2136_TSIG_SECRET", "not base64"),
            ("RFC2136_TSIG_SECRET", "aHVudGVyMg"),
            ("RFC2136_TSIG_SECRET", "="),
            ("RFC2136_TSIG_SECRET", ""),
            ("RFC2136_TSIG_ALGORITHM", "hmac-sha3"),
        ],
    )
    def test_an_invalid_key_is_named(self, name: str, value: str) -> None:
        """
        An invalid secret or algorithm is named, before a name server rejects it.
        """
        key = {"RFC2136_TSIG_KEY": "acme", "RFC2136_TSIG_SECRET": SECRET}

        assert [name] == refused(RFC2136 | key | {name: value})

    @pytest.mark.parametrize("name", ["a b", "a..b", "x" * 64, "ü"])
    def test_an_invalid_name_of_the_key_is_one_failure(self, name: str) -> None:
        """
        An invalid name of the key is the only finding.
        """
        key = {"RFC2136_TSIG_KEY": name, "RFC2136_TSIG_SECRET": SECRET}

        assert ["RFC2136_TSIG_KEY"] == refused(RFC2136 | key)

    def test_a_secret_without_a_key_is_refused(self) -> None:
        """
        A secret without the name of its key is refused.
        """
        assert ["RFC2136_TSIG_SECRET"] == refused(RFC2136 | {"RFC2136_TSIG_SECRET": SECRET})


class TestExec:
    def test_a_program_is_accepted(self, script: Path) -> None:
        """
        The absolute path of an executable program is accepted.
        """
        assert script == load(EXEC | {"EXEC_PATH": str(script)}).dns01.exec_path

    @pytest.mark.parametrize(
        ("mode", "reason"),
        [(0o775, "chmod go-w FILE"), (0o757, "chmod go-w FILE"), (0o644, "not executable")],
    )
    def test_an_unsafe_program_is_refused(self, script: Path, mode: int, reason: str) -> None:
        """
        A program that other users can change, or that is not executable, is refused with the reason.
        """
        script.chmod(mode)
        (finding,) = findings(EXEC | {"EXEC_PATH": str(script)})

        assert reason in finding

    @pytest.mark.parametrize("path", ["bin/true", "/etc", "/nowhere/program", "/bin/true --now"])
    def test_an_invalid_path_is_refused(self, path: str) -> None:
        """
        A path that is not the absolute path of a program is refused, and arguments are not allowed.
        """
        assert ["EXEC_PATH"] == refused(EXEC | {"EXEC_PATH": path})


class TestHttpreq:
    @pytest.mark.parametrize(
        ("url", "endpoint"),
        [
            ("https://dns.example.com/api/", "https://dns.example.com/api"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://[fd00::1]", "http://[fd00::1]"),
            ("http://10.0.0.1/", "http://10.0.0.1"),
            ("http://dns-api:8080", "http://dns-api:8080"),
            ("http://dns.internal", "http://dns.internal"),
        ],
    )
    def test_tls_or_a_private_address_is_accepted(self, url: str, endpoint: str) -> None:
        """
        A URL with TLS, or of a private host, is accepted. Compose has names without a dot.
        """
        assert endpoint == load(HTTPREQ | {"HTTPREQ_ENDPOINT": url}).dns01.httpreq_endpoint

    @pytest.mark.parametrize("name", ["HTTPREQ_ENDPOINT", "ACME_DNS_API_BASE"])
    @pytest.mark.parametrize(
        ("url", "reason"),
        [
            ("http://dns.example.com", "use https"),
            ("http://8.8.8.8", "use https"),
            ("http://[2606:4700::1111]", "use https"),
            # Resolvers read it as 8.8.8.8.
            ("http://134744072", "use https"),
            ("https://me:word@dns.example.com", "must not have a user or a password"),
            ("https://dns.example.com?key=word", "must not have a query"),
            ("dns.example.com", "URL"),
            ("ftp://dns.example.com", "URL"),
            ("https://a..b", "URL"),
        ],
    )
    def test_an_invalid_url_is_refused(self, name: str, url: str, reason: str, tmp_path: Path) -> None:
        """
        An invalid or unencrypted URL is refused with the reason, and no password is repeated.
        """
        chosen = HTTPREQ | ACME_DNS | {"ACME_DNS_STORAGE_PATH": str(tmp_path / "new.json")}
        both = {"CERTWORKER_DNS01_PROVIDER": "httpreq@a.org, acme-dns@b.org"}
        (finding,) = findings(chosen | both | {name: url})

        assert finding.startswith(f"{name} must be ")
        assert reason in finding
        assert "word" not in finding.removeprefix(name).replace("a password", "")

    def test_mode_user_and_password_are_read(self) -> None:
        """
        The loader reads the three variables, with the quotes and spaces of the password.
        """
        more = {"HTTPREQ_MODE": "raw", "HTTPREQ_USERNAME": "me", "HTTPREQ_PASSWORD": ' "word" '}
        settings = load(HTTPREQ | more).dns01

        assert ("RAW", "me") == (settings.httpreq_mode, settings.httpreq_username)
        assert settings.httpreq_password is not None
        assert ' "word" ' == settings.httpreq_password.get_secret_value()

    @pytest.mark.parametrize(
        ("more", "name"),
        [
            ({"HTTPREQ_MODE": "JSON"}, "HTTPREQ_MODE"),
            ({"HTTPREQ_USERNAME": "me"}, "HTTPREQ_PASSWORD"),
            ({"HTTPREQ_PASSWORD": "word"}, "HTTPREQ_PASSWORD"),
            ({"HTTPREQ_USERNAME": "a\nb", "HTTPREQ_PASSWORD": "word"}, "HTTPREQ_USERNAME"),
        ],
    )
    def test_an_invalid_value_is_named(self, more: dict[str, str], name: str) -> None:
        """
        An invalid or incomplete value is named.
        """
        assert [name] == refused(HTTPREQ | more)


class TestAcmeDns:
    def test_a_file_with_accounts_is_accepted(self, tmp_path: Path) -> None:
        """
        A file in the format of lego is accepted.
        """
        path = tmp_path / "accounts.json"
        path.write_text(json.dumps({"example.com": {"username": "me", "password": "word"}}))

        assert path == load(ACME_DNS | {"ACME_DNS_STORAGE_PATH": str(path)}).dns01.acme_dns_storage_path

    def test_the_file_can_be_missing(self, tmp_path: Path) -> None:
        """
        The file can be missing, but not its directory. The first registration creates the file.
        """
        load(ACME_DNS | {"ACME_DNS_STORAGE_PATH": str(tmp_path / "new.json")})
        (finding,) = findings(ACME_DNS | {"ACME_DNS_STORAGE_PATH": str(tmp_path / "no" / "new.json")})

        assert "it cannot be read: No such file or directory" in finding

    @pytest.mark.parametrize("content", ["", "[]", "{", "[" * 100_000, "\udcff"])
    def test_a_file_without_a_json_object_is_refused(self, tmp_path: Path, content: str) -> None:
        """
        A file with other content is refused, because the next write would replace it.
        """
        (tmp_path / "accounts.json").write_bytes(content.encode(errors="surrogateescape"))
        environ = ACME_DNS | {"ACME_DNS_STORAGE_PATH": str(tmp_path / "accounts.json")}

        assert findings(environ)[0].endswith("; the file is not a JSON object")

    @pytest.mark.parametrize("path", ["accounts.json", "/dev/zero", "/etc"])
    def test_an_invalid_path_is_refused(self, path: str) -> None:
        """
        A relative path, a device and a directory are refused.
        """
        assert ["ACME_DNS_STORAGE_PATH"] == refused(ACME_DNS | {"ACME_DNS_STORAGE_PATH": path})


class TestLexicon:
    def test_each_provider_gets_its_own_variables(self, tmp_path: Path) -> None:
        """
        Each provider gets its own variables, unchanged, from the environment or from files.
        """
        (tmp_path / "token").write_text(' "b" \n')
        settings = load(
            {
                "CERTWORKER_DNS01_PROVIDER": "lexicon:cloudflare, lexicon:gandi@a.org",
                "LEXICON_CLOUDFLARE_AUTH_TOKEN": ' "a" ',
                "LEXICON_GANDI_AUTH_TOKEN_FILE": f'"{tmp_path / "token"}"',
                "LEXICON_OVH_AUTH_ENTRYPOINT": "c",
                "LEXICON_TTL": "60",
                "LEXICON_GANDI_x": "d",
            }
        ).dns01
        by_name = {
            choice.lexicon_name: {
                name: value.get_secret_value() for name, value in settings.lexicon_variables(choice).items()
            }
            for choice in settings.providers
        }

        assert by_name == {
            "cloudflare": {"LEXICON_CLOUDFLARE_AUTH_TOKEN": ' "a" '},
            "gandi": {"LEXICON_GANDI_AUTH_TOKEN": ' "b" '},
        }
        assert len(settings.lexicon) == 2

    def test_a_path_option_of_dns_lexicon_is_passed_unchanged(self) -> None:
        """
        A variable of dns-lexicon whose own name ends with _FILE is not read as a file.
        """
        environ = {"CERTWORKER_DNS01_PROVIDER": "lexicon:oci", "LEXICON_OCI_AUTH_CONFIG_FILE": "/oci/config"}
        given = load(environ).dns01.lexicon_variables(ProviderChoice("lexicon", "oci"))

        assert ["LEXICON_OCI_AUTH_CONFIG_FILE"] == list(given)

    def test_invalid_and_missing_variables_are_reported_together(self, tmp_path: Path) -> None:
        """
        One failure names every invalid variable, and each provider without a variable.
        """
        found = refused(
            {
                "CERTWORKER_DNS01_PROVIDER": "lexicon:cloudflare, lexicon:gandi@a.org",
                "LEXICON_GANDI_A_FILE": str(tmp_path / "missing"),
                "LEXICON_GANDI_B": "b",
                "LEXICON_GANDI_B_FILE": __file__,
                "LEXICON_GANDI_C": "\udcff",
                "LEXICON_GANDI_D": "",
            }
        )

        assert sorted(found) == [
            *("LEXICON_CLOUDFLARE_*", "LEXICON_GANDI_A_FILE", "LEXICON_GANDI_B_FILE", "LEXICON_GANDI_C"),
        ]


class TestSecrets:
    @pytest.fixture
    def loaded(self) -> Settings:
        """
        Return settings with a secret in each variable for a secret.
        """
        chosen = {"CERTWORKER_DNS01_PROVIDER": "rfc2136@a.org, httpreq@b.org, lexicon:cloudflare"}
        secrets = {
            "RFC2136_TSIG_KEY": "acme",
            "RFC2136_TSIG_SECRET": SECRET,
            "HTTPREQ_USERNAME": "me",
            "HTTPREQ_PASSWORD": SECRET,
            "LEXICON_CLOUDFLARE_AUTH_TOKEN": SECRET,
        }
        return load(RFC2136 | HTTPREQ | chosen | secrets)

    def test_no_secret_is_shown(self, loaded: Settings) -> None:
        """
        No text form of the settings contains a secret.
        """
        assert SECRET not in f"{loaded!r} {loaded} {loaded.model_dump_json()} {loaded.dns01!r}"

    @pytest.mark.parametrize(
        "environ", [RFC2136, EXEC, HTTPREQ, ACME_DNS, LEXICON], ids=lambda each: next(iter(each.values()))
    )
    def test_no_failure_repeats_a_value(self, environ: dict[str, str]) -> None:
        """
        No failure repeats a value, because it can be a password in the wrong line.
        """
        text = "hunter2? \x1b hunter2?"
        fields = [Dns01Settings.model_fields[name] for name in READERS if name != "lexicon"]
        wrong = {str(field.validation_alias): text for field in fields}
        with pytest.raises(InvalidSettings) as caught:
            load(wrong | {"CERTWORKER_DNS01_PROVIDER": environ["CERTWORKER_DNS01_PROVIDER"]})

        assert "hunter2" not in str(caught.value)
