"""
Tests of the providers of dns-lexicon with a real PowerDNS and with hostile APIs.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from certworker.dns01.lexicon import Lexicon
from certworker.dns01.provider import TxtRecord
from certworker.errors import CertworkerError
from tests.servers.ports import free_port
from tests.servers.powerdns import API_KEY, PowerDns
from tests.servers.web import Respond, WebServer, always, silent

ZONE = "example.com"
VALUE = "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0"
OTHER_VALUE = "9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI"
NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def powerdns(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PowerDns]:
    """
    Run a PowerDNS with the zones `example.com` and `sub.example.com`.
    """
    with PowerDns(tmp_path_factory.mktemp("powerdns"), [ZONE, f"sub.{ZONE}"]) as server:
        yield server


def provider(api: str, key: str = API_KEY, deadline_seconds: float = 60) -> Lexicon:
    """
    Return the provider for the PowerDNS at *api*.
    """
    variables = {"LEXICON_POWERDNS_PDNS_SERVER": api, "LEXICON_POWERDNS_AUTH_TOKEN": key}
    return Lexicon("powerdns", variables, deadline_seconds, clock=lambda: NOW)


def record(owner: str, value: str = VALUE, zone: str = ZONE) -> TxtRecord:
    """
    Return a record in *zone*. Each test uses another owner.
    """
    return TxtRecord(f"_acme-challenge.{owner}.{zone}", value, zone)


class TestChanges:
    def test_records_are_created_and_deleted(self, powerdns: PowerDns) -> None:
        """
        Two values of a name are created and deleted independently, and repeated calls have no effect.
        """
        own, first, second = provider(powerdns.api), record("two"), record("two", OTHER_VALUE)

        for each in (first, first, second):
            own.present(each)
        assert powerdns.txt(first.fqdn) == {VALUE, OTHER_VALUE}

        for _ in range(2):
            own.withdraw(first)
        assert powerdns.txt(first.fqdn) == {OTHER_VALUE}

        own.withdraw(second)
        assert powerdns.txt(first.fqdn) == set()

    def test_values_of_other_clients_are_unchanged(self, powerdns: PowerDns) -> None:
        """
        A value of another client remains after the creation and the deletion of a record.
        """
        own = record("foreign")
        powerdns.set_txt(ZONE, own.fqdn, "the value of another client")

        provider(powerdns.api).present(own)
        assert powerdns.txt(own.fqdn) == {"the value of another client", VALUE}

        provider(powerdns.api).withdraw(own)
        assert powerdns.txt(own.fqdn) == {"the value of another client"}

    def test_the_record_is_in_the_given_zone(self, powerdns: PowerDns) -> None:
        """
        The record is in the given zone, even if the zone is below a registered domain.
        """
        own = record("deep", zone=f"sub.{ZONE}")

        provider(powerdns.api).present(own)

        rows = powerdns.call("GET", f"/zones/sub.{ZONE}.")["rrsets"]
        (found,) = [row for row in rows if row["name"] == f"{own.fqdn}."]
        assert found["ttl"] == 60

    def test_the_ttl_can_be_set(self, powerdns: PowerDns) -> None:
        """
        The record has the TTL of the variable, because some providers refuse 60 seconds.
        """
        own = record("ttl")
        plain = provider(powerdns.api)

        Lexicon("powerdns", {**plain.variables, "LEXICON_POWERDNS_TTL": "600"}).present(own)

        rows = powerdns.call("GET", f"/zones/{ZONE}.")["rrsets"]
        assert [row["ttl"] for row in rows if row["name"] == f"{own.fqdn}."] == [600]


class TestRefusals:
    def test_a_wrong_key_is_not_shown(self, powerdns: PowerDns) -> None:
        """
        The failure for a wrong key names the variables, and does not show the key.
        """
        with pytest.raises(
            CertworkerError, match=r"dns01\.credentials.*HTTP 401.*LEXICON_POWERDNS_\*"
        ) as caught:
            provider(powerdns.api, "wrong-key").present(record("key"))

        assert "wrong-key" not in str(caught.value)

    def test_an_unknown_zone_is_a_failure(self, powerdns: PowerDns) -> None:
        """
        The failure names the zone that the provider does not have.
        """
        with pytest.raises(CertworkerError, match=r"dns01\.no_zone.*example\.net"):
            provider(powerdns.api).present(record("zone", zone="example.net"))

    def test_missing_credentials_are_a_failure(self) -> None:
        """
        The failure for missing credentials has the class of the provider's exception.
        """
        with pytest.raises(CertworkerError, match=r"dns01\.provider_failed.*PowerDNSProviderError"):
            Lexicon("powerdns", {}).present(record("missing"))

    def test_missing_packages_are_a_failure_with_their_command(self) -> None:
        """
        The remedy for missing packages is the command that installs them.
        """
        with pytest.raises(CertworkerError, match=r"dns01\.provider_failed.*'dns-lexicon\[oci\]'"):
            Lexicon("oci", {}).present(record("extra"))

    @pytest.mark.parametrize(
        ("first", "second", "code"),
        [
            (always(400), None, "dns01.credentials"),
            (always(403), None, "dns01.credentials"),
            (always(429, Retry_After="120"), None, "dns01.rate_limited"),
            (always(500, f"the key {API_KEY} is wrong"), None, "dns01.provider_failed"),
            (always(200, f"<html>{API_KEY}</html>"), None, "dns01.provider_failed"),
            (always(200, "[]"), None, "dns01.provider_failed"),
            (None, always(401), "dns01.credentials"),
            (None, always(403), "dns01.forbidden"),
            (None, always(429), "dns01.rate_limited"),
            (None, always(422, API_KEY), "dns01.provider_failed"),
        ],
    )
    def test_each_answer_has_its_code(self, first: Respond | None, second: Respond | None, code: str) -> None:
        """
        Each answer has its failure, at the login or at the change. The failure does not show the
        answer.
        """
        zone = always(200, json.dumps({"name": f"{ZONE}.", "kind": "Native", "rrsets": []}))
        responds = [first or zone, second or zone]

        with (
            WebServer(lambda path, client: responds.pop(0)(path, client)) as server,
            pytest.raises(CertworkerError) as caught,
        ):
            provider(f"http://127.0.0.1:{server.port}").present(record("answers"))

        assert caught.value.code == code
        assert API_KEY not in f"{caught.value!s} {caught.value.as_json()}"

    def test_a_rate_limit_ends_at_retry_after(self) -> None:
        """
        A rate limit resets at the time of Retry-After.
        """
        with (
            WebServer(always(429, Retry_After="120")) as server,
            pytest.raises(CertworkerError, match=r"dns01\.rate_limited") as caught,
        ):
            provider(f"http://127.0.0.1:{server.port}").present(record("limit"))

        assert caught.value.until == NOW + timedelta(minutes=2)


class TestOutages:
    def test_an_unreachable_api_is_a_failure(self) -> None:
        """
        An unreachable API is a failure.
        """
        with pytest.raises(CertworkerError, match=r"dns01\.provider_failed.*ConnectionError"):
            provider(f"http://127.0.0.1:{free_port()}").present(record("down"))

    def test_an_api_that_exceeds_the_timeout_is_a_failure(self) -> None:
        """
        A process that exceeds the timeout is killed, because most providers of dns-lexicon set no timeout.
        """
        with (
            WebServer(silent) as server,
            pytest.raises(CertworkerError, match=r"dns01\.provider_failed.*did not end within 2 s"),
        ):
            provider(f"http://127.0.0.1:{server.port}", deadline_seconds=2).present(record("hangs"))

    @pytest.mark.parametrize(
        ("part", "shown"), [(b"x", "did not end within"), (b"x" * 1_000_000, "MemoryError")]
    )
    def test_an_endless_answer_is_a_failure(self, part: bytes, shown: str) -> None:
        """
        An endless answer is a failure, because the time and the memory of the process have limits.
        """

        def endless(_path: str, client: socket.socket) -> bytes:
            client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                client.sendall(part)
                time.sleep(0 if shown == "MemoryError" else 0.05)

        deadline_seconds = 60 if shown == "MemoryError" else 2
        with (
            WebServer(endless) as server,
            pytest.raises(CertworkerError, match=rf"dns01\.provider_failed.*{shown}"),
        ):
            provider(f"http://127.0.0.1:{server.port}", deadline_seconds=deadline_seconds).present(
                record("endless")
            )


@pytest.fixture
def sitecustomize(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """
    Return the path of a module that each Python process imports first.
    """
    path = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
    monkeypatch.setenv("PYTHONPATH", path)
    return tmp_path / "sitecustomize.py"


class TestHostileProviders:
    FLOOD = (
        "import os, requests\n"
        "real = requests.request\n"
        "def request(*arguments, **options):\n"
        "    for stream in (1, 2):\n"
        f"        os.write(stream, b'{API_KEY}')\n"
        "        for _ in range(50):\n"
        "            os.write(stream, b'x' * 1_000_000)\n"
        "    return real(*arguments, **options)\n"
        "requests.request = request\n"
    )

    def test_a_very_long_output_is_not_logged(
        self,
        powerdns: PowerDns,
        sitecustomize: Path,
        caplog: pytest.LogCaptureFixture,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        """
        The change succeeds although the process writes 100 MB, and no log has the output.
        """
        sitecustomize.write_text(self.FLOOD)

        with caplog.at_level("DEBUG"):
            provider(powerdns.api).present(record("flood"))

        assert powerdns.txt(record("flood").fqdn) == {VALUE}
        assert API_KEY not in f"{caplog.text}{capfd.readouterr()}"

    RAISING = f"import requests\ndef request(*_, **__): raise KIND('{API_KEY}')\nrequests.request = request"

    @pytest.mark.parametrize(
        "code",
        [
            "import os; os._exit(0)",
            "import os; os.abort()",
            f"print('{API_KEY}'); import os; [os.write(1, b'x' * 1_000_000) for _ in range(100)]",
            f"raise SystemExit('{API_KEY}')",
            RAISING.replace("KIND", "SystemExit"),
            RAISING.replace("KIND", "OSError"),
        ],
        ids=["exit", "abort", "early flood", "early end", "end", "error"],
    )
    def test_a_process_without_a_result_is_a_failure(
        self, powerdns: PowerDns, sitecustomize: Path, caplog: pytest.LogCaptureFixture, code: str
    ) -> None:
        """
        A process that ends without a result is a failure, which does not show its output.
        """
        sitecustomize.write_text(code)

        with (
            caplog.at_level("DEBUG"),
            pytest.raises(CertworkerError, match=r"dns01\.provider_failed") as caught,
        ):
            provider(powerdns.api).present(record("dead"))

        assert API_KEY not in f"{caught.value!s}{caplog.text}"

    def test_the_process_gets_no_secrets_of_certworker(
        self, powerdns: PowerDns, sitecustomize: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        The process gets the variables of its provider, and those that it needs to reach the network.
        """
        secrets = {"_APP_REDIS_PASS", "CERTWORKER_EAB_HMAC_KEY", "RFC2136_TSIG_SECRET", "LEXICON_GANDI_TOKEN"}
        for name in secrets:
            monkeypatch.setenv(name, "given")
        file = sitecustomize.with_name("names")
        sitecustomize.write_text(f"import os; open({str(file)!r}, 'w').write(' '.join(os.environ))")

        provider(powerdns.api).present(record("secrets"))

        names = set(file.read_text().split())
        assert not secrets & names
        assert "LEXICON_POWERDNS_AUTH_TOKEN" in names

    def test_the_process_downloads_no_public_suffix_list(
        self, powerdns: PowerDns, sitecustomize: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        The process does not download the public suffix list, as dns-lexicon alone would.
        """
        file = sitecustomize.with_name("parts")
        sitecustomize.write_text(
            "import requests\n"
            "real = requests.request\n"
            "def request(*arguments, **options):\n"
            "    import tldextract\n"
            f"    found = tldextract.extract('www.sub.{ZONE}')\n"
            f"    open({str(file)!r}, 'w').write(found.domain + ' ' + found.suffix)\n"
            "    return real(*arguments, **options)\n"
            "requests.request = request\n"
        )
        with WebServer(always(502)) as proxy:
            monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
            monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
            monkeypatch.setenv("NO_PROXY", "127.0.0.1")

            provider(powerdns.api).present(record("suffixes", zone=f"sub.{ZONE}"))

        assert proxy.requests == []
        assert file.read_text() == f"sub {ZONE}"


def test_the_credentials_are_not_shown() -> None:
    """
    The representation of the provider, which logs may contain, does not show the credentials.
    """
    assert API_KEY not in repr(provider("http://127.0.0.1"))
    assert provider("http://127.0.0.1").label == "lexicon:powerdns"
