"""
Tests of `certworker dns` and `certworker records`, with a real name server that accepts updates.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from certworker.devca.name_server import KEY_NAME, DevelopmentNameServer
from tests.dns01.services import AcmeDnsServer, Service
from tests.servers.ports import free_port
from tests.servers.worker import WorkerProcess

ZONE = "demo.localhost"


@pytest.fixture
def name_server() -> Iterator[DevelopmentNameServer]:
    """
    Yield the name server of the zone.
    """
    with DevelopmentNameServer(ZONE) as server:
        yield server


@pytest.fixture
def worker(worker: WorkerProcess, name_server: DevelopmentNameServer) -> WorkerProcess:
    """
    Return a worker with the settings of the DNS provider.
    """
    address = "{}:{}".format(*name_server.address)
    worker.environment |= {
        "_APP_DNS": address,
        "CERTWORKER_DNS01_PROVIDER": f"rfc2136@{ZONE}",
        "RFC2136_NAMESERVER": address,
        "RFC2136_TSIG_KEY": KEY_NAME,
        "RFC2136_TSIG_SECRET": name_server.secret,
    }
    return worker


class TestTest:
    def test_a_record_is_created_seen_and_deleted(
        self, worker: WorkerProcess, name_server: DevelopmentNameServer
    ) -> None:
        """
        Each name gets one line with the seconds of each step, whether or not it is a wildcard.
        """
        ended = worker.command("dns", "test", f"*.{ZONE}", f"www.{ZONE}")

        assert 0 == ended.returncode, ended.stderr
        first, second = ended.stdout.splitlines()
        assert first.startswith(f"{ZONE}: rfc2136 created _acme-challenge.{ZONE} in ")
        assert "visible at 1 name server after" in first
        assert "deleted in" in first
        assert second.startswith(f"www.{ZONE}: rfc2136 created _acme-challenge.www.{ZONE} in ")
        assert {} == name_server.records

    def test_json_has_the_seconds(self, worker: WorkerProcess) -> None:
        """
        The JSON output has the seconds of each step.
        """
        ended = worker.command("dns", "test", "--json", ZONE)
        answer = json.loads(ended.stdout)

        seconds = {"created_s", "visible_s", "deleted_s"}
        assert {"name", "ok", "provider", "record", "zone", *seconds} == set(answer)
        assert (True, "rfc2136", ZONE) == (answer["ok"], answer["provider"], answer["zone"])

    def test_wrong_credentials_are_reported_and_the_next_name_is_tested(
        self, worker: WorkerProcess, name_server: DevelopmentNameServer
    ) -> None:
        """
        The failure of each name has its code, and never the secret.
        """
        worker.environment["RFC2136_TSIG_SECRET"] = "d3Jvbmcgc2VjcmV0"
        ended = worker.command("dns", "test", ZONE, f"www.{ZONE}")

        assert 1 == ended.returncode
        assert 2 == ended.stderr.count("[dns01.credentials]"), ended.stderr
        assert "left_behind" not in ended.stderr
        assert "d3Jvbmcgc2VjcmV0" not in ended.stderr + ended.stdout
        as_json = worker.command("dns", "test", "--json", ZONE)
        assert "dns01.credentials" == json.loads(as_json.stdout)["code"]

    def test_a_zone_without_a_provider_is_reported(self, worker: WorkerProcess) -> None:
        """
        The failure has its code, and the remedy names the setting.
        """
        worker.environment["CERTWORKER_DNS01_PROVIDER"] = "rfc2136@example.com"
        ended = worker.command("dns", "test", ZONE)

        assert 1 == ended.returncode
        assert "[dns01.not_configured]" in ended.stderr
        assert "CERTWORKER_DNS01_PROVIDER" in ended.stderr


class TestDoctor:
    def test_dns_01_of_a_wildcard_is_tested(
        self, worker: WorkerProcess, name_server: DevelopmentNameServer
    ) -> None:
        """
        For a wildcard, the doctor checks DNS-01, and neither the address nor port 80.
        """
        ended = worker.command("doctor", "--json", f"*.{ZONE}")
        findings = [json.loads(line) for line in ended.stdout.splitlines()]
        of_the_name = {each["subject"]: each for each in findings if each["section"] == f"*.{ZONE}"}

        assert "well" == of_the_name["DNS-01"]["verdict"], of_the_name
        assert "by rfc2136 in the zone demo.localhost" == of_the_name["DNS-01"]["text"]
        assert "well" == of_the_name["TXT record"]["verdict"], of_the_name
        assert {"port 80", "target", "DNS"}.isdisjoint(of_the_name)
        assert {} == name_server.records


class TestRegister:
    def test_the_cname_to_create_is_printed(self, worker: WorkerProcess, tmp_path: Path) -> None:
        """
        The command writes the account file, and a second call uses the same account.
        """
        server, accounts = AcmeDnsServer(), tmp_path / "acme-dns.json"
        service = Service(server.respond)
        worker.environment |= {
            "CERTWORKER_DNS01_PROVIDER": "acme-dns",
            "ACME_DNS_API_BASE": service.url,
            "ACME_DNS_STORAGE_PATH": str(accounts),
        }
        try:
            first = worker.command("dns", "register", "*.shop.localhost")
            second = worker.command("dns", "register", "shop.localhost")
        finally:
            service.stop()

        assert 0 == first.returncode, first.stderr
        assert first.stdout.startswith("_acme-challenge.shop.localhost. CNAME ")
        assert first.stdout == second.stdout
        assert 0o600 == accounts.stat().st_mode & 0o777

    def test_without_acme_dns_it_is_a_usage_error(self, worker: WorkerProcess) -> None:
        """
        The message names the setting, and the exit code is 2.
        """
        ended = worker.command("dns", "register", "shop.localhost")

        assert 2 == ended.returncode
        assert "CERTWORKER_DNS01_PROVIDER does not contain acme-dns" in ended.stderr


class TestRecords:
    def test_a_name_of_a_served_zone_needs_no_record(self, worker: WorkerProcess) -> None:
        """
        A name in a zone with a provider needs no record from its owner.
        """
        ended = worker.command("records", f"*.{ZONE}")

        assert (0, f"*.{ZONE}: no record is needed\n") == (ended.returncode, ended.stdout), ended.stderr

    def test_a_zone_without_a_provider_needs_a_cname(self, worker: WorkerProcess) -> None:
        """
        The CNAME points to the first zone with a provider. A missing record is exit code 1.
        """
        worker.environment["CERTWORKER_DNS01_PROVIDER"] = "rfc2136@acme.example.com"
        ended = worker.command("records", f"*.shop.{ZONE}")
        as_json = worker.command("records", "--json", f"*.shop.{ZONE}")

        owner = f"_acme-challenge.shop.{ZONE}."
        line = f"{owner} CNAME {owner}acme.example.com.  ; missing\n"
        assert (1, line) == (ended.returncode, ended.stdout), ended.stderr
        (record,) = json.loads(as_json.stdout)["records"]
        assert {"owner", "kind", "value", "state", "found"} == set(record)
        assert "missing" == record["state"]

    def test_a_custom_domain_points_to_the_target(self, worker: WorkerProcess) -> None:
        """
        With a target, the command compares the address record. Without one, it names the setting.
        """
        without = worker.command("records", "shop.localhost")
        worker.environment["_APP_DOMAIN_TARGET_A"] = "203.0.113.7"
        wrong = worker.command("records", "shop.localhost")

        assert 0 == without.returncode
        assert without.stdout.startswith("shop.localhost: the address of this server is unknown")
        assert "_APP_DOMAIN_TARGET_A" in without.stdout
        assert 1 == wrong.returncode
        assert "shop.localhost. A 203.0.113.7  ; wrong, found 127.0.0.1\n" == wrong.stdout

    def test_an_unreachable_redis_is_reported_with_its_remedy(self, worker: WorkerProcess) -> None:
        """
        Redis has the tenant of a name. Without Redis, the command fails with the code of the failure.
        """
        worker.environment |= {"CERTWORKER_OWNERSHIP": "txt", "_APP_REDIS_PORT": str(free_port())}
        ended = worker.command("records", "shop.localhost")

        assert 1 == ended.returncode
        assert "redis.unreachable" in ended.stderr
        assert "Traceback" not in ended.stderr
