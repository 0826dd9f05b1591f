"""
The provider acme-dns, and its account file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from certworker.dns01.acme_dns import AcmeDns
from certworker.dns01.provider import TxtRecord
from certworker.errors import CertworkerError
from tests.dns01.services import AcmeDnsServer, Service, always, service

VALUE = "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0"
OTHER_VALUE = "9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI"
SECRET = "password-1"


@pytest.fixture
def acme_dns() -> AcmeDnsServer:
    """
    The accounts of a server.
    """
    return AcmeDnsServer()


@pytest.fixture
def server(acme_dns: AcmeDnsServer) -> Iterator[Service]:
    """
    Its API.
    """
    with service(acme_dns.respond) as started:
        yield started


@pytest.fixture
def provider(server: Service, tmp_path: Path) -> AcmeDns:
    """
    The provider, without an account file at first.
    """
    return AcmeDns(server.url, tmp_path / "accounts.json")


def record(fqdn: str, value: str = VALUE) -> TxtRecord:
    """
    Return a record in the zone of the server.
    """
    return TxtRecord(fqdn, value, "auth.example.net")


class TestRegistration:
    def test_it_returns_the_target_of_the_cname(self, provider: AcmeDns, acme_dns: AcmeDnsServer) -> None:
        """
        The account file has the format of lego, and only its owner reads it.
        """
        target = provider.register("example.com")

        assert list(acme_dns.accounts) == [target.removesuffix(".auth.example.net")]
        assert json.loads(provider.accounts.read_text()) == {
            "example.com": {
                "fulldomain": target,
                "subdomain": target.partition(".")[0],
                "username": "user-1",
                "password": SECRET,
            }
        }
        assert provider.accounts.stat().st_mode & 0o777 == 0o600

    def test_an_account_is_used_again(self, provider: AcmeDns, acme_dns: AcmeDnsServer) -> None:
        """
        The CNAME of the operator remains valid.
        """
        assert provider.register("example.com") == provider.register("example.com")
        assert len(acme_dns.accounts) == 1

    def test_other_accounts_remain(self, provider: AcmeDns) -> None:
        """
        Members that certworker does not know are written again as they are.
        """
        others = {"example.org": {"fulldomain": "other", "server_url": "https://x"}, "y": 1}
        provider.accounts.write_text(json.dumps(others))

        provider.register("example.com")

        stored = json.loads(provider.accounts.read_text())
        assert stored.pop("example.com")
        assert stored == others

    @pytest.mark.parametrize(
        "content",
        [
            b"<html>",
            b"[]",
            b'{"fulldomain": 1}',
            b'{"fulldomain": "a.b", "subdomain": "a", "username": "u"}',
            b'{"fulldomain": "a b", "subdomain": "a", "username": "u", "password": "p"}',
            b'{"fulldomain": "a.b", "subdomain": "a", "username": "u\\r\\nX: 1", "password": "p"}',
        ],
    )
    def test_an_answer_without_an_account(self, content: bytes, tmp_path: Path) -> None:
        """
        Nothing is written.
        """
        with (
            service(always(201, content)) as broken,
            pytest.raises(CertworkerError, match=r"dns01\.provider_failed.*does not have an account"),
        ):
            AcmeDns(broken.url, tmp_path / "accounts.json").register("example.com")

        assert not (tmp_path / "accounts.json").exists()

    def test_a_broken_file_is_not_overwritten(self, provider: AcmeDns, acme_dns: AcmeDnsServer) -> None:
        """
        It may have other accounts.
        """
        provider.accounts.write_text("{broken")

        with pytest.raises(CertworkerError, match=r"dns01\.credentials.*not JSON"):
            provider.register("example.com")

        assert provider.accounts.read_text() == "{broken"
        assert acme_dns.accounts == {}


class TestChanges:
    def test_two_values_of_one_account(self, provider: AcmeDns, acme_dns: AcmeDnsServer) -> None:
        """
        A name and its wildcard share the CNAME. The account is found by its target.
        """
        provider.register("example.com")
        target = provider.register("example.org")

        provider.present(record(target))
        provider.present(record(target, OTHER_VALUE))

        assert acme_dns.values == {target: [VALUE, OTHER_VALUE]}

    def test_a_value_cannot_be_deleted(self, provider: AcmeDns, acme_dns: AcmeDnsServer) -> None:
        """
        The next values replace it.
        """
        target = provider.register("example.com")
        provider.present(record(target))

        provider.withdraw(record(target))

        assert acme_dns.values == {target: [VALUE]}

    def test_a_name_of_the_file_in_capitals(self, provider: AcmeDns, acme_dns: AcmeDnsServer) -> None:
        """
        Names in DNS have no case.
        """
        target = provider.register("example.com")
        provider.accounts.write_text(provider.accounts.read_text().replace(target, f"{target.upper()}."))

        provider.present(record(target))

        assert acme_dns.values == {target: [VALUE]}


class TestFailures:
    def test_no_account(self, provider: AcmeDns) -> None:
        """
        The remedy is to register the name, and to create the CNAME.
        """
        provider.register("example.com")

        with pytest.raises(CertworkerError, match=r"dns01\.no_zone.*certworker dns register"):
            provider.present(record("_acme-challenge.example.org"))

    def test_a_wrong_password(self, provider: AcmeDns) -> None:
        """
        The failure names the file, and not the password.
        """
        target = provider.register("example.com")
        provider.accounts.write_text(provider.accounts.read_text().replace(SECRET, "wrong-password"))

        with pytest.raises(CertworkerError, match=r"dns01\.credentials.*ACME_DNS_STORAGE_PATH") as caught:
            provider.present(record(target))

        assert "wrong-password" not in str(caught.value)

    def test_an_answer_that_confirms_nothing(self, provider: AcmeDns) -> None:
        """
        Any web server answers with 200.
        """
        target = provider.register("example.com")
        with (
            service(always(200, b"<html>welcome</html>")) as other,
            pytest.raises(CertworkerError, match=r"dns01\.provider_failed.*does not confirm"),
        ):
            AcmeDns(other.url, provider.accounts).present(record(target))

    @pytest.mark.parametrize(
        ("content", "shown"),
        [(None, "No such file"), ("", "not JSON"), ("[]", "not a JSON object"), ("[" * 60_000, "not JSON")],
    )
    def test_a_file_that_cannot_be_read(self, provider: AcmeDns, content: str | None, shown: str) -> None:
        """
        The file may change while the worker runs.
        """
        if content is not None:
            provider.accounts.write_text(content)

        with pytest.raises(CertworkerError, match=rf"dns01\.credentials.*{shown}"):
            provider.present(record("a.auth.example.net"))

    @pytest.mark.parametrize(
        "member",
        [None, 1, [], {}, {"fulldomain": "a.auth.example.net"}, {"fulldomain": ["a"], "password": {}}],
    )
    def test_one_bad_account_costs_itself_only(
        self, provider: AcmeDns, acme_dns: AcmeDnsServer, member: Any
    ) -> None:
        """
        Accounts beside it are used.
        """
        target = provider.register("example.com")
        stored = json.loads(provider.accounts.read_text())
        provider.accounts.write_text(json.dumps({"bad.example.com": member, **stored}))

        provider.present(record(target))

        assert acme_dns.values == {target: [VALUE]}
